//! What a comparison found: plain data, for tables, JSON and pages of HTML.

use super::Cause;
use c4_data::{Format, InputState, LedgerMode};
use serde::Serialize;
use serde_json::Value;

/// How two corpora differ. "A" is the first and "B" the second.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Diff {
    /// The first corpus.
    pub a: CorpusFacts,
    /// The second.
    pub b: CorpusFacts,
    /// Keys of the two recipes that differ, in order; not the name, the description, and what is
    /// expected.
    pub recipe: Vec<KeyDiff>,
    /// The archives they were built from.
    pub inputs: InputsDiff,
    /// Only pages of this domain were looked at.
    pub domain: Option<String>,
    /// Only pages with this cause are in the tables from `only_a` on.
    pub reason: Option<Cause>,
    /// All pages (of the domain).
    pub pages: PageCounts,
    /// Pages only in A by what B did with them, most pages first.
    pub only_a: Vec<PageCause>,
    /// Pages only in B by what A did with them.
    pub only_b: Vec<PageCause>,
    /// Pages in both with other text.
    pub changed: Changed,
    /// Differing pages by domain: the top ones.
    pub domains: Vec<Group>,
    /// How many domains have differing pages.
    pub domains_in_all: u64,
    /// Differing pages by language, as A has it for pages in both.
    pub languages: Vec<Group>,
    /// What cannot be told and why, and what else is worth knowing.
    pub notes: Vec<String>,
}

impl Diff {
    /// Whether the corpora hold the same pages with the same texts.
    pub fn is_empty(&self) -> bool {
        self.pages.only_a + self.pages.only_b + self.pages.changed == 0
    }

    /// Differing pages whose cause cannot be told.
    pub fn unknown(&self) -> u64 {
        let unknown = |causes: &[PageCause]| -> u64 {
            let causes = causes.iter().filter(|c| c.cause == Cause::Unknown);
            causes.map(|c| c.pages).sum()
        };
        unknown(&self.only_a) + unknown(&self.only_b) + self.changed.pages_unknown
    }
}

/// One of the two corpora.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CorpusFacts {
    /// Its folder, as it was given.
    pub dir: String,
    /// The recipe's name.
    pub recipe: String,
    /// The recipe's hash.
    pub recipe_hash: String,
    /// Version of the program that built it.
    pub program: String,
    /// Format of its shards.
    pub format: Format,
    /// How much of the ledger it has.
    pub ledger: LedgerMode,
    /// All its pages.
    pub pages: u64,
    /// UTF-8 bytes of all its text.
    pub text_bytes: u64,
}

/// A key of the recipes that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KeyDiff {
    /// The key, as in `dedup.unit`.
    pub key: String,
    /// Its value in A's recipe; null if it has none. Of lists, what only A's has.
    pub a: Value,
    /// Its value in B's recipe; likewise.
    pub b: Value,
}

/// How the inputs differ. Archives are the same if their labels and sizes are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct InputsDiff {
    /// Archives of both.
    pub both: u64,
    /// Archives of A only.
    pub only_a: Vec<InputFacts>,
    /// Archives of B only.
    pub only_b: Vec<InputFacts>,
}

/// An archive.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InputFacts {
    /// Its label.
    pub archive: String,
    /// Its size.
    pub bytes: u64,
    /// How reading it went.
    pub state: InputState,
}

/// Pages of both corpora. `a = only_a + same + changed`, and so for `b`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct PageCounts {
    /// In A.
    pub a: u64,
    /// In B.
    pub b: u64,
    /// Only in A.
    pub only_a: u64,
    /// Only in B.
    pub only_b: u64,
    /// In both with the same text.
    pub same: u64,
    /// In both with other text.
    pub changed: u64,
    /// Of those in both: with another language.
    pub other_language: u64,
    /// Of those in both: in another split.
    pub other_split: u64,
}

/// Pages that one corpus lacks for one cause.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PageCause {
    /// What it did with them.
    pub cause: Cause,
    /// The recipe's key that decides, or words.
    pub rule: &'static str,
    /// One sentence for people.
    pub doc: &'static str,
    /// Pages.
    pub pages: u64,
    /// Their lines in the corpus that has them.
    pub lines: u64,
    /// Code points of these lines.
    pub chars: u64,
    /// The pages with the smallest MD5 of the normalised URL.
    pub examples: Vec<PageExample>,
}

/// A page that is in one corpus only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PageExample {
    /// Its URL.
    pub url: String,
    /// MD5 of the normalised URL, hexadecimal.
    pub url_md5: String,
    /// Its timestamp.
    pub timestamp: String,
    /// Its language; empty where the corpus does not say.
    pub language: String,
    /// Its lines.
    pub lines: u64,
    /// Code points of these lines.
    pub chars: u64,
    /// The start of its text.
    pub text: String,
}

/// Pages in both corpora with other text.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Changed {
    /// Pages, all of them or those with the cause that was asked for.
    pub pages: u64,
    /// Those for which no rule can be told for some line.
    pub pages_unknown: u64,
    /// Those whose lines are the same but for their order.
    pub pages_reordered: u64,
    /// Lines of these pages in A.
    pub lines_a: u64,
    /// Code points of these lines. Less those of `only_a`, they are those of B less `only_b`.
    pub chars_a: u64,
    /// Lines of these pages in B.
    pub lines_b: u64,
    /// Code points of these lines.
    pub chars_b: u64,
    /// Lines only in A by what B did with them, most pages first.
    pub only_a: Vec<LineCause>,
    /// Lines only in B by what A did with them.
    pub only_b: Vec<LineCause>,
}

/// Lines that one corpus lacks for one cause, of pages that both have.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LineCause {
    /// What it did with them.
    pub cause: Cause,
    /// The recipe's key that decides, or words.
    pub rule: &'static str,
    /// One sentence for people.
    pub doc: &'static str,
    /// Pages with such a line. A page with lines of several causes counts for each.
    pub pages: u64,
    /// Lines that are gone.
    pub lines: u64,
    /// Lines of which a part is left.
    pub cut_lines: u64,
    /// Code points that are gone.
    pub chars: u64,
    /// The first such line of the pages with the smallest MD5 of the normalised URL.
    pub examples: Vec<LineExample>,
}

/// A line that is in one corpus only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LineExample {
    /// The page's URL.
    pub url: String,
    /// MD5 of the normalised URL, hexadecimal.
    pub url_md5: String,
    /// The page's timestamp in A.
    pub timestamp_a: String,
    /// The page's timestamp in B.
    pub timestamp_b: String,
    /// Its lines with this cause.
    pub lines: u64,
    /// The start of the line.
    pub line: String,
    /// The start of what is left of it in the other corpus; null if nothing is.
    pub left: Option<String>,
}

/// Differing pages that have something in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Group {
    /// A domain or language; empty where there is none.
    pub name: String,
    /// Pages only in A.
    pub only_a: u64,
    /// Pages only in B.
    pub only_b: u64,
    /// Pages in both with other text.
    pub changed: u64,
}
