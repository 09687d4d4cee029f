//! Pass 2: of the pages with one normalised URL the newest stays.

use crate::clean_pass::CleanedArchive;
use c4_filters::newest;
use rayon::prelude::*;

/// A page of the build: place of its archive, place in the archive's table.
pub type PagePlace = (u32, u32);

/// Which pages lose, by archive: the page's place and that of the newer one, in order.
pub struct UrlLosers(Vec<Vec<(u32, PagePlace)>>);

impl UrlLosers {
    /// The newer page that the page has lost to.
    pub fn lost(&self, archive: usize, page: usize) -> Option<PagePlace> {
        let losers = &self.0[archive];
        let found = losers.binary_search_by_key(&(page as u32), |(page, _)| *page);
        found.ok().map(|i| losers[i].1)
    }
}

/// Finds them: the largest timestamp wins, then the first archive (by name), then the first place
/// in it. Pages that are too long, or not of a listed domain, were dropped before, as in the reference,
/// so they do not compete. Sorts 24 bytes a page.
pub fn run(archives: &[CleanedArchive]) -> UrlLosers {
    let mut places: Vec<(u128, u32, u32)> = Vec::new();
    for (a, archive) in archives.iter().enumerate() {
        for (p, page) in archive.pages.iter().enumerate() {
            if page.dropped.is_none_or(|reason| reason.competes()) {
                places.push((page.normalized, a as u32, p as u32));
            }
        }
    }
    let entry = |&(_, a, p): &(u128, u32, u32)| &archives[a as usize].pages[p as usize];
    places.par_sort_unstable_by_key(|place| (place.0, place.1, entry(place).order));
    let mut losers = vec![Vec::new(); archives.len()];
    for copies in places
        .chunk_by(|a, b| a.0 == b.0)
        .filter(|copies| copies.len() > 1)
    {
        let Some(stays) = newest::newest(copies.iter().map(|place| &*entry(place).timestamp))
        else {
            continue;
        };
        let (_, archive, page) = copies[stays];
        for (_, (_, a, p)) in copies.iter().enumerate().filter(|(i, _)| *i != stays) {
            losers[*a as usize].push((*p, (archive, page)));
        }
    }
    losers.iter_mut().for_each(|losers| losers.sort_unstable());
    UrlLosers(losers)
}
