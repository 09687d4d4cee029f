//! Lower case as Python's `str.lower()` and Rust's `str::to_lowercase` have it: fast, or with the origin of each byte.

use std::ops::Range;
use std::sync::LazyLock;

/// The text in lower case: `text.to_lowercase()`, several times as fast.
///
/// ```
/// use c4_filters::lower;
/// assert_eq!(lower("ÉTÉ in Σύρος"), "été in σύρος");
/// ```
pub fn lower(text: &str) -> String {
    let mut lower = String::new();
    lower_into(text, &mut lower);
    lower
}

/// Writes `text` in lower case into `lower`, whose memory is reused. Costs a copy, except for the few characters beyond
/// ASCII that change.
pub(crate) fn lower_into(text: &str, lower: &mut String) {
    lower.clear();
    lower.reserve(text.len());
    let bytes = text.as_bytes();
    let two_bytes = &*TWO_BYTES;
    // What stands before `done` is in `lower`.
    let (mut at, mut done) = (0, 0);
    while at < bytes.len() {
        let lead = bytes[at];
        if lead < 0x80 {
            at += match bytes[at..].first_chunk::<16>() {
                Some(block) if block.is_ascii() => 16,
                _ => 1,
            };
            continue;
        }
        let second = bytes.get(at + 1).copied().unwrap_or_default();
        let (length, may_change) = match lead {
            ..=0xdf => {
                let seconds = two_bytes[usize::from(lead & 0x1f)];
                (2, seconds >> (second & 0x3f) & 1 == 1)
            }
            0xe0..=0xef => (3, has_upper_case(lead, second)),
            _ => (4, true),
        };
        let end = at + length;
        if may_change && let Some(c) = text[at..end].chars().next() {
            if c == 'Σ' {
                // The one letter whose lower case depends on its neighbours.
                lower.clear();
                lower.push_str(&text.to_lowercase());
                return;
            }
            let mut small = c.to_lowercase();
            if small.len() > 1 || small.next() != Some(c) {
                lower.push_str(&text[done..at]);
                lower.extend(c.to_lowercase());
                done = end;
            }
        }
        at = end;
    }
    lower.push_str(&text[done..]);
    lower.make_ascii_lowercase();
}

/// For each lead byte (its last five bits), the set of second bytes (their last six bits) that make a character which
/// is not its own lower case.
static TWO_BYTES: LazyLock<[u64; 32]> = LazyLock::new(|| {
    let mut table = [0; 32];
    for c in '\u{80}'..'\u{800}' {
        if !c.to_lowercase().eq([c]) {
            table[c as usize >> 6] |= 1 << (c as u32 & 0x3f);
        }
    }
    table
});

/// Whether there may be an upper-case letter among the characters of three bytes that start with these two: Georgian,
/// Cherokee, Latin and Greek with marks, letter-like symbols, circled letters, Glagolitic to Coptic, more Cyrillic and
/// Latin, wide Latin.
fn has_upper_case(lead: u8, second: u8) -> bool {
    match lead {
        0xe1 => matches!(second, 0x82..=0x83 | 0x8e..=0x8f | 0xb2 | 0xb8..=0xbf),
        0xe2 => matches!(second, 0x84..=0x86 | 0x92..=0x93 | 0xb0..=0xb3),
        0xea => matches!(second, 0x99..=0x9f),
        0xef => second == 0xbc,
        _ => false,
    }
}

/// A text in lower case that knows where in the original each byte comes from. Not for the hot path: `İ` and a few
/// others change their length, so every byte's origin is stored unless the text is ASCII.
///
/// ```
/// use c4_filters::Lowered;
/// let lowered = Lowered::new("İstanbul, LOREM");
/// let at = lowered.text().find("lorem").expect("it is there");
/// assert_eq!((at, lowered.original(at..at + 5)), (12, 11..16));
/// ```
#[derive(Debug)]
pub struct Lowered {
    text: String,
    /// For every byte of `text`, and its end, where its character starts in the original; `None` for ASCII.
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

    /// The whole text in lower case.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The byte range in the original of a byte range in [`text`](Lowered::text).
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
    use proptest::prelude::*;

    #[test]
    fn every_character_has_the_standard_library_s_lower_case() {
        for c in '\0'..=char::MAX {
            let text = format!("A{c}");
            assert_eq!(lower(&text), text.to_lowercase(), "{c:?}");
        }
    }

    proptest! {
        #[test]
        fn lower_case_is_the_standard_library_s(text in r"([a-zA-Z .]{0,40}|[ΑΣσ'.]|[éÉßẞİıДд“”ỆệＡⒶ猫😀𐐀ǅ]){0,12}") {
            prop_assert_eq!(lower(&text), text.to_lowercase());
        }
    }

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
