//! Lower-cased text that knows where its bytes come from.

use std::ops::Range;

/// A text in lower case, for finding places in the text itself. Not for the hot path: `İ` and a few
/// others change their length, so every byte's origin is kept unless the text is ASCII.
#[derive(Debug)]
pub struct Lowered {
    text: String,
    /// For every byte of `text`, and its end: where its character starts in the original.
    origins: Option<Vec<u32>>,
}

impl Lowered {
    /// Lower-cases `text`.
    pub fn new(text: &str) -> Lowered {
        if text.is_ascii() {
            return Lowered {
                text: text.to_ascii_lowercase(),
                origins: None,
            };
        }
        let mut origins = Vec::with_capacity(text.len() + 1);
        for (at, c) in text.char_indices() {
            let bytes: usize = c.to_lowercase().map(char::len_utf8).sum();
            origins.extend(std::iter::repeat_n(at as u32, bytes));
        }
        origins.push(text.len() as u32);
        Lowered {
            // Whole, since a final sigma depends on its neighbours; it is as long as the other one.
            text: text.to_lowercase(),
            origins: Some(origins),
        }
    }

    /// The text in lower case.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The place in the original of a byte range of [`text`](Lowered::text).
    pub fn original(&self, range: Range<usize>) -> Range<usize> {
        match &self.origins {
            None => range,
            Some(origins) => {
                let at = |i: usize| origins.get(i).map_or(0, |at| *at as usize);
                at(range.start)..at(range.end)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_places_in_the_original() {
        let text = "İİ ΟΔΟΣ Use Cookies é.";
        let lowered = Lowered::new(text);
        assert_eq!(lowered.text(), text.to_lowercase());
        let at = lowered.text().find("use cookies").unwrap();
        assert_eq!(&text[lowered.original(at..at + 11)], "Use Cookies");
        assert_eq!(Lowered::new("A b").original(2..3), 2..3);
        let end = lowered.text().len();
        assert_eq!(lowered.original(end..end), text.len()..text.len());
    }
}
