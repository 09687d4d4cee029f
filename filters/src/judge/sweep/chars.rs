//! Counting the code points of a text of kept lines without making it.

use crate::text::pystr;

/// The code points of lines that are joined by `\n` and then stripped.
#[derive(Debug, Clone, Default)]
pub(super) struct KeptChars {
    /// Code points up to the last character that is no white space; 0 before the first.
    chars: u64,
    /// White space after that character.
    space: u64,
}

impl KeptChars {
    /// The text's length.
    pub(super) fn count(&self) -> u64 {
        self.chars
    }

    /// Adds a line.
    pub(super) fn add(&mut self, line: &LineChars) {
        // The first line has no `\n` before it, which is stripped with leading white space anyway.
        match (self.chars, line.blank) {
            (0, true) => {}
            (0, false) => {
                self.chars = line.all - line.before - line.after;
                self.space = line.after;
            }
            (_, true) => self.space += 1 + line.all,
            (_, false) => {
                self.chars += self.space + 1 + line.all - line.after;
                self.space = line.after;
            }
        }
    }
}

/// The code points of a line.
#[derive(Debug)]
pub(super) struct LineChars {
    all: u64,
    /// White space at the line's start.
    before: u64,
    /// White space at the line's end.
    after: u64,
    /// Whether the line is nothing but white space.
    blank: bool,
}

/// The number of code points in `text`.
pub(super) fn count(text: &str) -> u64 {
    text.chars().count() as u64
}

impl LineChars {
    /// Counts the code points of `line`.
    pub(super) fn of(line: &str) -> LineChars {
        let all = count(line);
        let stripped = pystr::strip(line);
        let (mut before, mut after) = (0, 0);
        if stripped.len() < line.len() {
            before = all - count(line.trim_start_matches(pystr::is_space));
            after = all - count(line.trim_end_matches(pystr::is_space));
        }
        LineChars {
            all,
            before,
            after,
            blank: stripped.is_empty(),
        }
    }
}
