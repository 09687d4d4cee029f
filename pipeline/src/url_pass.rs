//! Pass 2: of the pages with one normalised URL the newest stays.

use crate::clean_pass::CleanedArchive;
use c4_filters::{Reason, newest};
use rayon::prelude::*;

/// Which pages lose, by archive and place of the page.
pub struct UrlLosers(Vec<Vec<bool>>);

impl UrlLosers {
    /// Whether the page has lost to a newer one.
    pub fn lost(&self, archive: usize, page: usize) -> bool {
        self.0[archive][page]
    }
}

/// Finds them: the largest timestamp wins, then the first archive (by name), then the first place
/// in it. Pages above the length limit were dropped before, as in the reference, so they do not
/// compete. Sorts 24 bytes a page.
pub fn run(archives: &[CleanedArchive]) -> UrlLosers {
    let mut places: Vec<(u128, u32, u32)> = Vec::new();
    for (a, archive) in archives.iter().enumerate() {
        for (p, page) in archive.pages.iter().enumerate() {
            if page.dropped != Some(Reason::TooLong) {
                places.push((page.normalized, a as u32, p as u32));
            }
        }
    }
    let entry = |&(_, a, p): &(u128, u32, u32)| &archives[a as usize].pages[p as usize];
    places.par_sort_unstable_by_key(|place| (place.0, place.1, entry(place).order));
    let mut lost: Vec<Vec<bool>> = archives
        .iter()
        .map(|a| vec![false; a.pages.len()])
        .collect();
    for copies in places.chunk_by(|a, b| a.0 == b.0) {
        let stays = newest::newest(copies.iter().map(|place| &*entry(place).timestamp));
        for (_, (_, a, p)) in copies.iter().enumerate().filter(|(i, _)| Some(*i) != stays) {
            lost[*a as usize][*p as usize] = true;
        }
    }
    UrlLosers(lost)
}
