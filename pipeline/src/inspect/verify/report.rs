//! What a verification says: a list of checks, with the first offences of each.

use serde::Serialize;
use std::ops::AddAssign;

/// The number of offences of a check that are listed; all are counted.
const LISTED: usize = 5;
/// The number of characters of a line that are shown.
const SHOWN_CHARS: usize = 200;

/// The outcome of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Everything that was checked is as promised.
    Ok,
    /// Something is not as promised.
    Failed,
    /// Nothing is wrong, but something is worth knowing.
    Note,
    /// The check could not be made, or not of everything; why is in [`Check::counted`].
    NotChecked,
}

/// A check and its outcome.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// The name of the check.
    pub name: &'static str,
    /// The outcome of the check.
    pub status: Status,
    /// What was counted, or why the check was not made.
    pub counted: String,
    /// The number of offences; of a note, of cases.
    pub offences: u64,
    /// The first offences, in the order of the files.
    pub examples: Vec<Offence>,
}

/// Something that is not as promised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Offence {
    /// The name of the file in the corpus.
    pub file: String,
    /// The row of the shard, from 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub row: Option<u64>,
    /// The URL of the row.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The line that the offence is about, or the start of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<String>,
    /// What is wrong.
    pub what: String,
}

impl Offence {
    /// An offence of a file as a whole.
    pub(crate) fn of_file(file: &str, what: impl Into<String>) -> Offence {
        Offence {
            file: file.to_owned(),
            row: None,
            url: None,
            line: None,
            what: what.into(),
        }
    }

    /// Adds the line that the offence is about, cut to a size for reading.
    pub(crate) fn with_line(mut self, line: &str) -> Offence {
        self.line = Some(line.chars().take(SHOWN_CHARS).collect());
        self
    }
}

/// Offences on their way to a check. Merged with `+=` in the order of the rows.
#[derive(Debug, Clone, Default)]
pub(crate) struct Finding {
    pub offences: u64,
    pub examples: Vec<Offence>,
}

impl Finding {
    /// Adds an offence; `offence` is called only for those that are listed.
    pub(crate) fn add(&mut self, offence: impl FnOnce() -> Offence) {
        self.offences += 1;
        if self.examples.len() < LISTED {
            self.examples.push(offence());
        }
    }

    /// The finding as a check, failed if there are offences.
    pub(crate) fn check(self, name: &'static str, counted: String) -> Check {
        let failed = self.offences > 0;
        let status = if failed { Status::Failed } else { Status::Ok };
        self.with_status(name, status, counted)
    }

    /// The finding as a check with a given status.
    pub(crate) fn with_status(self, name: &'static str, status: Status, counted: String) -> Check {
        Check {
            name,
            status,
            counted,
            offences: self.offences,
            examples: self.examples,
        }
    }
}

impl AddAssign for Finding {
    fn add_assign(&mut self, other: Finding) {
        self.offences += other.offences;
        let room = LISTED - self.examples.len();
        self.examples.extend(other.examples.into_iter().take(room));
    }
}

impl FromIterator<Offence> for Finding {
    fn from_iter<I: IntoIterator<Item = Offence>>(offences: I) -> Finding {
        let mut finding = Finding::default();
        offences.into_iter().for_each(|o| finding.add(|| o));
        finding
    }
}

/// A check that could not be made.
pub(crate) fn not_checked(name: &'static str, why: impl Into<String>) -> Check {
    Finding::default().with_status(name, Status::NotChecked, why.into())
}

/// The outcome of a verification.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The name of the recipe.
    pub recipe: String,
    /// The hash of the recipe, by the manifest.
    pub recipe_hash: String,
    /// The number of documents, by the manifest.
    pub documents: u64,
    /// The checks, in order.
    pub checks: Vec<Check>,
}

impl Report {
    /// Whether no check failed.
    pub fn holds(&self) -> bool {
        self.count(Status::Failed) == 0
    }

    /// The number of checks with a status.
    pub(crate) fn count(&self, status: Status) -> usize {
        let of_status = self.checks.iter().filter(|check| check.status == status);
        of_status.count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_count_all_and_list_the_first() {
        let offence = |i: usize| Offence::of_file(&i.to_string(), "is wrong");
        let mut sum: Finding = (0..3).map(offence).collect();
        sum += (3..10).map(offence).collect();
        assert_eq!(sum.offences, 10);
        let files: Vec<&str> = sum.examples.iter().map(|o| &*o.file).collect();
        assert_eq!(files, ["0", "1", "2", "3", "4"]);
        assert_eq!(sum.check("x", String::new()).status, Status::Failed);
        assert_eq!(Finding::default().check("x", String::new()).status, Status::Ok);
    }
}
