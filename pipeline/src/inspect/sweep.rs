//! What each of many recipes would keep of a crawl, in one pass over it.
//!
//! The recipes differ in values of the steps that look at one page alone (length, paragraphs,
//! clean); [`sweep`] runs those and the choice of the newest page per URL, and its numbers equal
//! those of a build with a recipe that has no later step. [`full`] runs whole builds, with all steps.
//!
//! Memory: some 120 bytes a page, 16 bytes a page and recipe, and the names of the hosts. Texts are
//! freed once they have been judged.

mod domains;
pub mod full;
mod read;
pub mod report;
pub mod settings;

use crate::error::Error;
use crate::input::Input;
use crate::inspect::thread_pool;
use crate::terminal::progress::{Progress, Unit};
use c4_data::{InputEntry, Recipe};
use c4_filters::{SweepOutcome, newest_page};
use rayon::prelude::*;
use read::{ReadArchive, SweptPage};
use serde::Serialize;
use std::ops::AddAssign;

/// The number of domains that are listed.
pub(crate) const DOMAINS: usize = 10;

/// The amount of text that a recipe keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Kept {
    /// The number of pages: the documents of the corpus.
    pub pages: u64,
    /// The lines of these pages: the tally's `lines_out`.
    pub lines: u64,
    /// The code points of the texts of these pages.
    pub characters: u64,
}

impl AddAssign for Kept {
    fn add_assign(&mut self, other: Kept) {
        self.pages += other.pages;
        self.lines += other.lines;
        self.characters += other.characters;
    }
}

/// The amounts that the recipes keep of one domain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainKept {
    /// The name of the domain ([`c4_filters::url::domain`]).
    pub domain: String,
    /// The number of pages read.
    pub pages_read: u64,
    /// The amounts kept, in the order of the recipes.
    pub kept: Vec<Kept>,
}

/// The outcome of a sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct Swept {
    /// The number of pages read: the tally's pages in.
    pub pages_read: u64,
    /// The amounts kept, in the order of the recipes.
    pub kept: Vec<Kept>,
    /// The [`DOMAINS`] domains of which most pages were read, those with most first, then by name.
    pub domains: Vec<DomainKept>,
    /// The archives, with the damage in them.
    pub inputs: Vec<InputEntry>,
}

/// Sweeps `inputs` with `recipes`, which all read as the first does, on `threads` threads; 0: one a core.
///
/// # Errors
/// Threads that cannot be started. Damage in archives is no error: it is in [`Swept::inputs`].
pub fn sweep(recipes: &[Recipe], inputs: &[Input], threads: usize) -> Result<Swept, Error> {
    let Some(first) = recipes.first() else {
        return Ok(Swept {
            pages_read: 0,
            kept: Vec::new(),
            domains: Vec::new(),
            inputs: Vec::new(),
        });
    };
    thread_pool(threads)?.install(|| {
        let bytes = inputs.iter().filter_map(|input| input.bytes).sum();
        let progress = Progress::new("reading", Unit::Bytes, bytes);
        let (mut archives, hosts) = read::run(&first.read, recipes, inputs, &progress);
        progress.finish();
        let largest = hosts.largest(DOMAINS);
        let mut domains: Vec<DomainKept> = largest
            .iter()
            .map(|&id| DomainKept {
                domain: hosts.name(id).to_owned(),
                pages_read: hosts.pages(id),
                kept: vec![Kept::default(); recipes.len()],
            })
            .collect();
        let mut sums = vec![Kept::default(); recipes.len()];
        newest_pages(&archives, recipes.len(), |page, recipe, kept| {
            sums[recipe] += kept;
            if let Some(at) = largest.iter().position(|id| *id == page.host) {
                domains[at].kept[recipe] += kept;
            }
        });
        Ok(Swept {
            pages_read: archives.iter().map(|a| a.pages.len() as u64).sum(),
            kept: sums,
            domains,
            inputs: inputs
                .iter()
                .zip(&mut archives)
                .map(|(input, archive)| archive.health.entry(&input.label, input.bytes))
                .collect(),
        })
    })
}

/// Calls `keep` for every page that a recipe keeps. Which pages compete for a URL depends on the recipe, since those
/// that are too long do not; which of them is kept is decided as in a build ([`newest::newest`]). Sorts 32 bytes a
/// page.
fn newest_pages(archives: &[ReadArchive], recipes: usize, mut keep: impl FnMut(&SweptPage, usize, Kept)) {
    let mut places: Vec<(u128, u32, u32)> = Vec::new();
    for (a, archive) in archives.iter().enumerate() {
        let pages = archive.pages.iter().enumerate();
        places.extend(pages.map(|(p, page)| (page.normalized, a as u32, p as u32)));
    }
    let page = |&(_, a, p): &(u128, u32, u32)| &archives[a as usize].pages[p as usize];
    places.par_sort_unstable_by_key(|place| (place.0, place.1, page(place).order));
    let outcome =
        |&(_, a, p): &(u128, u32, u32), recipe: usize| archives[a as usize].outcomes[p as usize * recipes + recipe];
    let mut competing = Vec::new();
    for copies in places.chunk_by(|a, b| a.0 == b.0) {
        for recipe in 0..recipes {
            let newest = if let [only] = copies {
                *only
            } else {
                let competes = |copy: &&_| match outcome(copy, recipe) {
                    SweepOutcome::Drop(reason) => reason.competes(),
                    SweepOutcome::Keep { .. } => true,
                };
                competing.clear();
                competing.extend(copies.iter().filter(competes));
                let timestamps = competing.iter().map(|place| &*page(place).timestamp);
                match newest_page::newest(timestamps) {
                    Some(at) => competing[at],
                    None => continue,
                }
            };
            if let SweepOutcome::Keep { lines, chars } = outcome(&newest, recipe) {
                let kept = Kept {
                    pages: 1,
                    lines: u64::from(lines),
                    // Without line ends, as the tally counts them.
                    characters: chars - u64::from(lines.saturating_sub(1)),
                };
                keep(page(&newest), recipe, kept);
            }
        }
    }
}
