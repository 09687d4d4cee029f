//! What a comparison found: plain data, for tables, JSON and pages of HTML.

use super::Cause;
use c4_data::{Format, InputState, LedgerMode};
use serde::Serialize;
use serde_json::Value;

/// The differences between two corpora. "A" is the first and "B" the second.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Diff {
    /// Corpus A.
    pub a: CorpusFacts,
    /// Corpus B.
    pub b: CorpusFacts,
    /// The keys in which the two recipes differ, in order; name, description and `expect` are left out.
    pub recipe: Vec<KeyDiff>,
    /// The archives of both corpora.
    pub inputs: InputsDiff,
    /// The only domain whose pages were compared; `None`: all.
    pub domain: Option<String>,
    /// The only cause in the tables from `only_a` on; `None`: all.
    pub reason: Option<Cause>,
    /// The counts of all pages (of the domain).
    pub pages: PageCounts,
    /// Pages only in A, by what B did with them, most pages first.
    pub only_a: Vec<PageCause>,
    /// Pages only in B, by what A did with them, most pages first.
    pub only_b: Vec<PageCause>,
    /// Pages in both with other text.
    pub changed: Changed,
    /// The domains with most differing pages.
    pub domains: Vec<GroupDiff>,
    /// The number of domains with differing pages.
    pub domains_in_all: u64,
    /// Differing pages by language: that in A, if both have the page.
    pub languages: Vec<GroupDiff>,
    /// What could not be found out and why, and what else is worth knowing.
    pub notes: Vec<String>,
}

impl Diff {
    /// Whether the corpora hold the same pages with the same texts.
    pub fn is_empty(&self) -> bool {
        self.pages.only_a + self.pages.only_b + self.pages.changed == 0
    }

    /// The number of differing pages whose cause is not known.
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
    /// The folder of the corpus, as it was given.
    pub dir: String,
    /// The name of the recipe.
    pub recipe: String,
    /// The hash of the recipe.
    pub recipe_hash: String,
    /// The version of the program that built the corpus.
    pub program: String,
    /// The format of the shards.
    pub format: Format,
    /// The mode of the ledger.
    pub ledger: LedgerMode,
    /// The number of pages of the corpus.
    pub pages: u64,
    /// The bytes of all texts of the corpus, in UTF-8.
    pub text_bytes: u64,
}

/// A key in which the two recipes differ.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct KeyDiff {
    /// The key, as in `dedup.unit`.
    pub key: String,
    /// The value in A's recipe, null if it has none; of lists, what only A's has.
    pub a: Value,
    /// The value in B's recipe, null if it has none; of lists, what only B's has.
    pub b: Value,
}

/// The archives of both corpora. Two are the same if their labels and sizes are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct InputsDiff {
    /// The number of archives that both were built from.
    pub both: u64,
    /// The archives that only A was built from.
    pub only_a: Vec<InputFacts>,
    /// The archives that only B was built from.
    pub only_b: Vec<InputFacts>,
}

/// An archive of a corpus.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InputFacts {
    /// The label of the archive.
    pub archive: String,
    /// The size of the archive in bytes.
    pub bytes: u64,
    /// Whether the archive could be read.
    pub state: InputState,
}

/// Counts of pages of both corpora: `a = only_a + same + changed`, and `b` likewise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct PageCounts {
    /// Pages in A.
    pub a: u64,
    /// Pages in B.
    pub b: u64,
    /// Pages only in A.
    pub only_a: u64,
    /// Pages only in B.
    pub only_b: u64,
    /// Pages in both with the same text.
    pub same: u64,
    /// Pages in both with other text.
    pub changed: u64,
    /// Pages in both with another language.
    pub other_language: u64,
    /// Pages in both in another split.
    pub other_split: u64,
}

/// The pages that one corpus lacks for one cause.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PageCause {
    /// What the corpus did with the pages.
    pub cause: Cause,
    /// The key of the recipe that decides, or words.
    pub rule: &'static str,
    /// The cause in one sentence for people.
    pub doc: &'static str,
    /// The number of pages.
    pub pages: u64,
    /// The lines of these pages in the corpus that has them.
    pub lines: u64,
    /// The code points of these lines.
    pub chars: u64,
    /// The pages with the smallest MD5 of the normalised URL.
    pub examples: Vec<PageExample>,
}

/// A page that is in one corpus only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PageExample {
    /// The URL of the page.
    pub url: String,
    /// MD5 of the normalised URL, hexadecimal.
    pub url_md5: String,
    /// The timestamp of the page.
    pub timestamp: String,
    /// The language of the page; empty where the corpus does not say.
    pub language: String,
    /// The number of lines of the page.
    pub lines: u64,
    /// The code points of these lines.
    pub chars: u64,
    /// The start of the page's text.
    pub text: String,
}

/// The pages that both corpora have, with other text.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Changed {
    /// The number of pages: all of them, or those with the cause that was asked for.
    pub pages: u64,
    /// The pages with a line whose cause is not known.
    pub pages_unknown: u64,
    /// The pages whose lines differ in nothing but their order.
    pub pages_reordered: u64,
    /// The lines of these pages in A.
    pub lines_a: u64,
    /// The code points of these lines. Less those of `only_a`, they are those of B less `only_b`.
    pub chars_a: u64,
    /// The lines of these pages in B.
    pub lines_b: u64,
    /// The code points of these lines.
    pub chars_b: u64,
    /// Lines only in A, by what B did with them, most pages first.
    pub only_a: Vec<LineCause>,
    /// Lines only in B, by what A did with them, most pages first.
    pub only_b: Vec<LineCause>,
}

/// The lines that one corpus lacks for one cause, of pages that both have.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LineCause {
    /// What the corpus did with the lines.
    pub cause: Cause,
    /// The key of the recipe that decides, or words.
    pub rule: &'static str,
    /// The cause in one sentence for people.
    pub doc: &'static str,
    /// The number of pages with such a line. A page with lines of several causes counts for each.
    pub pages: u64,
    /// The number of lines of which nothing is left.
    pub lines: u64,
    /// The number of lines of which a part is left.
    pub cut_lines: u64,
    /// The code points that are not left.
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
    /// The number of lines of the page with this cause.
    pub lines: u64,
    /// The start of the line.
    pub line: String,
    /// The start of what is left of it in the other corpus; null if nothing is.
    pub left: Option<String>,
}

/// The differing pages of a domain or language.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GroupDiff {
    /// The domain or language; empty where there is none.
    pub name: String,
    /// Pages only in A.
    pub only_a: u64,
    /// Pages only in B.
    pub only_b: u64,
    /// Pages in both with other text.
    pub changed: u64,
}
