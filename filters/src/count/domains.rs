//! The pages of each domain, counted by the steps that they passed.
//!
//! A crawl has more domains than fit in memory, so they are counted in parts, each of which holds all pages of its
//! domains; a [`DomainTable`] keeps the largest domains of all parts, exactly.

use crate::rules::reason::{Reason, STAGES, Stage};
use crate::text::url;
use c4_data::{DomainRow, DomainStats, Recipe};
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasherDefault;

/// The number of rows that a table keeps by pages read, and again by pages kept.
const TOP: usize = 100;

/// The number of pages of one domain that have passed each step, in the order of [`Stage::ALL`].
pub type Reached = [u64; STAGES];
type Counts = HashMap<Box<str>, Reached, BuildHasherDefault<ahash::AHasher>>;

/// The pages of some domains, counted by the steps that they passed. Takes some 150 bytes a domain.
#[derive(Debug, Clone, Default)]
pub struct DomainCounts(Counts);

impl DomainCounts {
    /// Counts a page under its URL's domain; `dropped` is the reason for which it was dropped, `None` if it is in the
    /// corpus.
    pub fn page(&mut self, url: &str, dropped: Option<Reason>) {
        let passed = dropped.map_or(STAGES, |reason| reason.stage() as usize);
        let mut reached = [0; STAGES];
        reached[..passed].fill(1);
        self.add(&url::domain(url), &reached);
    }

    /// Adds `reached` to the counts of `domain`.
    pub fn add(&mut self, domain: &str, reached: &Reached) {
        match self.0.get_mut(domain) {
            Some(sum) => sum.iter_mut().zip(reached).for_each(|(a, b)| *a += b),
            None => {
                self.0.insert(domain.into(), *reached);
            }
        }
    }

    /// Adds all of `other`.
    pub fn merge(&mut self, other: DomainCounts) {
        for (domain, reached) in other.0 {
            self.add(&domain, &reached);
        }
    }

    /// The number of domains.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no page was counted.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The counts of all domains, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Reached)> {
        self.0.iter().map(|(domain, reached)| (&**domain, reached))
    }

    /// Keeps the domains with the most pages read and those with the most pages kept, ties by name; drops the others.
    fn keep_largest(&mut self) {
        if self.len() <= TOP {
            return;
        }
        let mut largest = Counts::default();
        let mut rows: Vec<(&str, &Reached)> = self.iter().collect();
        for column in [0, STAGES - 1] {
            let place = |&(name, n): &(&str, &Reached)| (Reverse(n[column]), name.to_owned());
            if rows.len() > TOP {
                rows.select_nth_unstable_by_key(TOP, place);
            }
            let first = rows.iter().take(TOP).filter(|(_, n)| n[column] > 0);
            largest.extend(first.map(|(name, n)| (Box::from(*name), **n)));
        }
        self.0 = largest;
    }
}

/// The domains with the most pages, and the counts of all top-level domains.
#[derive(Debug, Clone, Default)]
pub struct DomainTable {
    distinct: usize,
    largest: DomainCounts,
    top_level: DomainCounts,
}

impl DomainTable {
    /// Adds a part of the domains; no domain may be in two parts.
    pub fn add(&mut self, mut part: DomainCounts) {
        self.distinct += part.len();
        for (domain, reached) in part.iter() {
            self.top_level.add(url::top_level_domain(domain), reached);
        }
        part.keep_largest();
        self.largest.merge(part);
        self.largest.keep_largest();
    }

    /// The tables of `stats.json` of the domains, and of the top-level domains.
    pub fn to_stats(&self, recipe: &Recipe) -> [DomainStats; 2] {
        let mut top_level = self.top_level.clone();
        top_level.keep_largest();
        [
            table(&self.largest, self.distinct, recipe),
            table(&top_level, self.top_level.len(), recipe),
        ]
    }
}

fn table(largest: &DomainCounts, distinct: usize, recipe: &Recipe) -> DomainStats {
    let stages: Vec<Stage> = Stage::of(recipe).collect();
    let mut top: BTreeMap<(Reverse<u64>, &str), &Reached> = BTreeMap::new();
    top.extend(largest.iter().map(|(name, n)| ((Reverse(n[0]), name), n)));
    let row = |((_, name), n): ((Reverse<u64>, &str), &Reached)| DomainRow {
        name: name.to_owned(),
        pages: stages.iter().map(|stage| n[*stage as usize]).collect(),
    };
    DomainStats {
        stages: stages.iter().map(|stage| stage.name().to_owned()).collect(),
        distinct: distinct as u64,
        top: top.into_iter().map(row).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_are_counted_by_how_far_their_pages_came() {
        let (recipe, _) = Recipe::load("en").unwrap();
        let mut domains = DomainCounts::default();
        domains.page("http://www.b.org/1", None);
        domains.page("http://b.org/2", Some(Reason::TooFewSentences));
        domains.page("http://a.org/", Some(Reason::TooLong));
        let mut whole = DomainTable::default();
        whole.add(domains);
        let [domains, top_level] = whole.to_stats(&recipe);
        let stages = ["read", "length", "newest", "rules", "dedup", "language", "bad_words"];
        assert_eq!(domains.stages, stages);
        let rows = [("b.org", [2, 2, 2, 1, 1, 1, 1]), ("a.org", [1, 0, 0, 0, 0, 0, 0])];
        let rows = rows.map(|(name, pages)| DomainRow {
            name: name.to_owned(),
            pages: pages.to_vec(),
        });
        assert_eq!(domains.top, rows);
        assert_eq!(top_level.top[0].pages[0], 3);
    }

    #[test]
    fn the_table_is_the_same_however_the_domains_are_cut_into_parts() {
        let (recipe, _) = Recipe::load("en").unwrap();
        let of = |i: u64| {
            let mut reached = [i * 7919 % 101; STAGES];
            reached[STAGES - 1] = i * 104_729 % 7;
            (format!("d{i}.example"), reached)
        };
        let tables = [1, 3, 50].map(|parts: u64| {
            let mut table = DomainTable::default();
            for part in 0..parts {
                let mut domains = DomainCounts::default();
                for i in (0..2000).filter(|i| i % parts == part) {
                    let (name, reached) = of(i);
                    domains.add(&name, &reached);
                }
                table.add(domains);
            }
            table.to_stats(&recipe)
        });
        assert_eq!(tables[0], tables[1]);
        assert_eq!(tables[0], tables[2]);
        assert!(tables[0][0].top.len() > TOP);
    }
}
