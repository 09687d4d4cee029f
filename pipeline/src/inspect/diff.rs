//! Two finished corpora side by side: which pages only one has, which have other text, and which rule did it.
//!
//! Both corpora lie in the order of the MD5 of their normalised URLs, so they are read at the same pace and a page
//! meets its counterpart when both are in memory:
//!
//! - a page that only one has: the other's verdict on it is in the other's ledger, in the table `fates`, which has the
//!   same order; a URL that is not in it was never read;
//! - a page that both have with other text: `lines.rs` says for every line what the other did with it.
//!
//! # Cost
//!
//! Every shard is read twice (its checksum, its rows), and the table `fates` twice. Memory: a few batches of pages of
//! each corpus (one more of each language with shards of its own), a count for each domain with differing pages, and,
//! if a page has other text, the table `duplicates` of both (24 to 32 bytes a row: less than their builds took). One
//! thread reads each corpus and a third compares.
//!
//! # What cannot be known
//!
//! - Without a ledger: what became of pages that are not there. Of lines the same record tells enough.
//! - Shards in jsonl do not say where a page was read: unless both builds read the same archives, what dedup dropped
//!   from it cannot be told from another reading of it. Nor do they hold languages, unless each has its own.
//! - Pages that share a gzip member share what dedup dropped.

mod cause;
mod dropped_copies;
mod facts;
mod lines;
mod page;
mod pages;
mod sentences;
mod settings;
mod sums;
mod text;

pub use cause::Cause;
pub use facts::{
    Changed, CorpusFacts, Diff, GroupDiff, InputFacts, InputsDiff, KeyDiff, LineCause, LineExample, PageCause,
    PageCounts, PageExample,
};
pub use page::page;
pub use text::text;

use crate::error::Error;
use c4_data::{Document, WetReading};
use c4_filters::{Reason, url};
use dropped_copies::NotedCopies;
use lines::{RecordRelation, Rules, View};
use pages::{ComparedCorpus, ComparedPage, Fates, Rows};
use std::path::Path;
use std::sync::mpsc::sync_channel;
use sums::Sums;

/// DiffOptions of a comparison.
#[derive(Debug, Clone)]
pub struct DiffOptions {
    /// Only pages with this cause are in the tables by cause, language and domain.
    pub reason: Option<Cause>,
    /// Only pages of this domain are compared: a host without `www.`.
    pub domain: Option<String>,
    /// The number of examples of each cause.
    pub examples: usize,
    /// The number of top domains.
    pub domains: usize,
}

impl Default for DiffOptions {
    fn default() -> DiffOptions {
        DiffOptions {
            reason: None,
            domain: None,
            examples: 3,
            domains: 20,
        }
    }
}

/// Compares the corpora in the folders `a` and `b`.
///
/// # Errors
/// A folder without a finished corpus; a shard or ledger that is missing, damaged or out of order.
pub fn diff(a: &Path, b: &Path, options: &DiffOptions) -> Result<Diff, Error> {
    let corpora = [ComparedCorpus::open(a)?, ComparedCorpus::open(b)?];
    let [a, b] = &corpora;
    let inputs = settings::inputs(&a.manifest.inputs, &b.manifest.inputs);
    let comparison = Comparer {
        corpora: &corpora,
        rules: [a, b].map(|corpus| Rules::new(&corpus.manifest.recipe)),
        same_rules: a.manifest.recipe.clean == b.manifest.recipe.clean,
        same_reading: a.manifest.versions == b.manifest.versions && wet_reading(a) == wet_reading(b),
        same_inputs: inputs.only_a.is_empty() && inputs.only_b.is_empty(),
        domain: options.domain.as_deref().map(url::domain),
        domains: options.domains,
        copies: None,
        unknown_reasons: Default::default(),
        sums: Sums::new(options.reason, options.examples),
    };
    std::thread::scope(|scope| {
        let rows = [a, b].map(|corpus| {
            let (sender, receiver) = sync_channel(2);
            scope.spawn(move || pages::send(corpus, &sender));
            Rows::new(receiver)
        });
        comparison.run(rows)
    })
}

fn wet_reading(corpus: &ComparedCorpus) -> WetReading {
    corpus.manifest.recipe.read.wet_reading
}

struct Comparer<'c> {
    corpora: &'c [ComparedCorpus; 2],
    rules: [Rules; 2],
    same_rules: bool,
    same_reading: bool,
    same_inputs: bool,
    domain: Option<String>,
    /// The number of top domains.
    domains: usize,
    /// The copies that dedup dropped, read when the first page has other text.
    copies: Option<[NotedCopies; 2]>,
    /// Reasons that this version of the program does not have.
    unknown_reasons: std::collections::BTreeSet<String>,
    sums: Sums,
}

impl Comparer<'_> {
    fn run(mut self, mut rows: [Rows; 2]) -> Result<Diff, Error> {
        let [corpus_a, corpus_b] = self.corpora;
        let mut fates = [Fates::open(corpus_a)?, Fates::open(corpus_b)?];
        let [rows_a, rows_b] = &mut rows;
        let mut heads = [rows_a.next()?, rows_b.next()?];
        loop {
            let order = match &heads {
                [Some(a), Some(b)] => a.key.cmp(&b.key),
                [Some(_), None] => std::cmp::Ordering::Less,
                [None, Some(_)] => std::cmp::Ordering::Greater,
                [None, None] => break,
            };
            let a = match order.is_le() {
                true => std::mem::replace(&mut heads[0], rows_a.next()?),
                false => None,
            };
            let b = match order.is_ge() {
                true => std::mem::replace(&mut heads[1], rows_b.next()?),
                false => None,
            };
            let Some(first) = a.as_ref().or(b.as_ref()) else {
                break;
            };
            let domain = url::domain(&first.document.page.url);
            if self.domain.as_ref().is_some_and(|only| *only != domain) {
                continue;
            }
            match (a, b) {
                (Some(a), Some(b)) => self.both(&domain, [&a, &b])?,
                (Some(a), None) => self.only(0, &domain, &a, &mut fates[1])?,
                (None, Some(b)) => self.only(1, &domain, &b, &mut fates[0])?,
                (None, None) => {}
            }
        }
        Ok(self.finish())
    }

    /// A page that only corpus `side` has.
    fn only(&mut self, side: usize, domain: &str, row: &ComparedPage, fates: &mut Fates) -> Result<(), Error> {
        let cause = match fates.of(row.key)? {
            _ if !self.corpora[1 - side].has_ledger() => Cause::Unknown,
            None => Cause::NotRead,
            Some(code) => match Reason::from_code(code) {
                Some(reason) => Cause::Rule(reason),
                None => {
                    self.unknown_reasons.insert(code.to_owned());
                    Cause::Unknown
                }
            },
        };
        self.sums.only(side, cause, domain, row);
        Ok(())
    }

    /// A page that both have.
    fn both(&mut self, domain: &str, rows: [&ComparedPage; 2]) -> Result<(), Error> {
        let texts = rows.map(|row| row.document.page.text.as_str());
        self.sums.both(rows);
        if texts[0] == texts[1] {
            return Ok(());
        }
        let [copies_a, copies_b] = match &mut self.copies {
            Some(copies) => copies,
            none => {
                let [a, b] = self.corpora;
                none.insert([NotedCopies::read(a)?, NotedCopies::read(b)?])
            }
        };
        let [place_a, place_b] = rows.map(|row| Place::of(&row.document));
        let views = [
            View {
                rules: &self.rules[0],
                text: texts[0],
                copies: copies_a.of(place_a),
            },
            View {
                rules: &self.rules[1],
                text: texts[1],
                copies: copies_b.of(place_b),
            },
        ];
        let [time_a, time_b] = rows.map(|row| &row.document.page.timestamp);
        let records = if time_a != time_b {
            RecordRelation::OtherVersion
        } else if !self.same_reading {
            RecordRelation::OtherReading
        } else if place_a.archive.is_empty() || place_b.archive.is_empty() {
            // The same archives hold the same record.
            match self.same_inputs {
                true => RecordRelation::Same,
                false => RecordRelation::Unsure,
            }
        } else if same_record(place_a, place_b) {
            RecordRelation::Same
        } else {
            RecordRelation::OtherReading
        };
        let lines = lines::compare(views, records, self.same_rules);
        // What a page is if its lines differ in nothing but their order.
        let otherwise = match records {
            RecordRelation::Same | RecordRelation::Unsure => Cause::Unknown,
            RecordRelation::OtherReading => Cause::OtherReading,
            RecordRelation::OtherVersion => Cause::OtherVersion,
        };
        self.sums.changed(domain, rows, &lines, otherwise);
        Ok(())
    }

    fn finish(self) -> Diff {
        let [a, b] = self.corpora;
        let recipe = settings::recipes(&a.manifest.recipe, &b.manifest.recipe);
        let inputs = settings::inputs(&a.manifest.inputs, &b.manifest.inputs);
        let mut notes = settings::notes(a, b, &recipe);
        for code in &self.unknown_reasons {
            notes.push(format!(
                "A ledger gives the reason {code}, which this version of the program does not have."
            ));
        }
        let mut diff = Diff {
            a: settings::facts(a),
            b: settings::facts(b),
            recipe,
            inputs,
            domain: self.domain,
            reason: None,
            pages: PageCounts::default(),
            only_a: Vec::new(),
            only_b: Vec::new(),
            changed: Changed::default(),
            domains: Vec::new(),
            domains_in_all: 0,
            languages: Vec::new(),
            notes,
        };
        self.sums.into(&mut diff, self.domains);
        diff
    }
}

/// Where a page was read.
#[derive(Debug, Clone, Copy)]
struct Place<'a> {
    /// The archive's label; empty where the corpus does not say.
    archive: &'a str,
    /// Where the record starts, in bytes.
    record_offset: u64,
}

impl Place<'_> {
    fn of(document: &Document) -> Place<'_> {
        Place {
            archive: &document.archive,
            record_offset: document.page.record_offset,
        }
    }
}

/// Whether two pages of one URL and time were read at the same place. Archives have as many folders
/// in their labels as the other inputs of the build made necessary.
fn same_record(a: Place<'_>, b: Place<'_>) -> bool {
    let ends = |long: &str, short: &str| {
        let folder = long.strip_suffix(short);
        folder.is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
    };
    let (label_a, label_b) = (a.archive, b.archive);
    a.record_offset == b.record_offset && (ends(label_a, label_b) || ends(label_b, label_a))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_told_by_place() {
        let at = |archive, record_offset| Place { archive, record_offset };
        assert!(same_record(at("a.wet", 7), at("x/a.wet", 7)));
        assert!(!same_record(at("a.wet", 7), at("a.wet", 8)));
        assert!(!same_record(at("a.wet", 7), at("ba.wet", 7)));
    }
}
