//! Why a page or a line is in one corpus and not in the other: a closed list.

use c4_filters::{Reason, Scope};
use serde::{Serialize, Serializer};

/// The cause of a difference: what the corpus that lacks a page or line did with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Cause {
    /// A rule dropped the page or line.
    Rule(Reason),
    /// The other corpus has the line, changed by a rule.
    Rewritten,
    /// The other corpus has the page as it was at another time.
    OtherVersion,
    /// The other corpus has the page as it was at the same time, but read it as another text.
    OtherReading,
    /// The other build never read a page of this URL.
    NotRead,
    /// The cause cannot be known.
    Unknown,
}

impl Cause {
    pub(crate) const OWN: [Cause; 5] = [
        Cause::Rewritten,
        Cause::OtherVersion,
        Cause::OtherReading,
        Cause::NotRead,
        Cause::Unknown,
    ];

    /// The stable name of the cause; of a rule, the code of its reason.
    pub fn code(self) -> &'static str {
        match self {
            Cause::Rule(reason) => reason.code(),
            Cause::Rewritten => "rewritten",
            Cause::OtherVersion => "other_version",
            Cause::OtherReading => "other_reading",
            Cause::NotRead => "not_read",
            Cause::Unknown => "unknown",
        }
    }

    /// The key of the recipe that decides, or words where no key does.
    pub fn rule(self) -> &'static str {
        match self {
            Cause::Rule(reason) => reason.rule(),
            Cause::Rewritten => "clean",
            Cause::OtherVersion => "the inputs",
            Cause::OtherReading => "the reading",
            Cause::NotRead => "the inputs",
            Cause::Unknown => "",
        }
    }

    /// The cause in one sentence for people.
    pub fn doc(self) -> &'static str {
        match self {
            Cause::Rule(reason) => reason.doc(),
            Cause::Rewritten => "The line rules cut the line, or removed white space or citation markers from it.",
            Cause::OtherVersion => "The other corpus has the page as it was at another time.",
            Cause::OtherReading => {
                "The same page was read as another text: from another archive, by another read.wet_reading, or by another version of the program."
            }
            Cause::NotRead => "The other build never read a page of this URL.",
            Cause::Unknown => "The cause is not known; the notes say why.",
        }
    }

    /// The cause with a code: one of `not_read`, `rewritten`, `other_version`, `other_reading`, `unknown`, or a reason
    /// of pages or lines.
    ///
    /// # Errors
    /// No cause has it; the message lists those that there are.
    pub fn parse(code: &str) -> Result<Cause, String> {
        let own = Cause::OWN.into_iter();
        let rules = [Scope::Page, Scope::Line].map(Reason::of);
        let rules = rules.into_iter().flatten().copied().map(Cause::Rule);
        let all: Vec<Cause> = rules.chain(own).collect();
        let found = all.iter().find(|cause| cause.code() == code).copied();
        found.ok_or_else(|| {
            let codes: Vec<&str> = all.iter().map(|cause| cause.code()).collect();
            format!("no cause has this code; give one of {}", codes.join(", "))
        })
    }
}

impl Serialize for Cause {
    /// Writes the code of the cause.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_found_again() {
        for cause in Cause::OWN {
            assert_eq!(Cause::parse(cause.code()), Ok(cause));
        }
        assert_eq!(Cause::parse("bad_words"), Ok(Cause::Rule(Reason::BadWords)));
        // Records have no URL to be compared by.
        for code in ["bad_utf8", "nonsense", ""] {
            assert!(Cause::parse(code).unwrap_err().contains("not_read"));
        }
    }
}
