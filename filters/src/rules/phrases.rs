//! Looks for phrases that mark a line or page as something other than prose: placeholder text,
//! script warnings, code, policy notices.

use memchr::memmem::Finder;

/// A list of phrases, looked up as substrings: `colorem ipsumism` holds `lorem ipsum`.
#[derive(Debug, Clone)]
pub struct Phrases {
    finders: Vec<Finder<'static>>,
}

impl Phrases {
    /// The phrases, each not empty.
    pub fn new(phrases: &[String]) -> Phrases {
        let finder = |phrase: &String| Finder::new(phrase).into_owned();
        Phrases {
            finders: phrases.iter().map(finder).collect(),
        }
    }

    /// Byte range of the first phrase of the list that `text` holds. Case counts: give the
    /// lower-cased line for a rule that ignores case. One pass a phrase.
    pub fn find(&self, text: &str) -> Option<std::ops::Range<usize>> {
        self.finders.iter().find_map(|finder| {
            let start = finder.find(text.as_bytes())?;
            Some(start..start + finder.needle().len())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Phrases;

    #[test]
    fn finds_the_first_phrase_of_the_list() {
        let phrases = Phrases::new(&["use cookies".into(), "terms of use".into()]);
        assert_eq!(phrases.find("the house cookies"), Some(6..17));
        assert_eq!(phrases.find("terms of  use"), None);
        assert_eq!(Phrases::new(&[]).find("x"), None);
    }
}
