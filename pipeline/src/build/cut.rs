//! How the work after pass 1 is cut into parts: ranges of keys, buckets of rows.

use super::target::{CleanedArchives, TargetBuild};
use crate::build::dedup::part_count;
use crate::error::Error;
use crate::work::buckets::{bucket_count, bucket_count_of_sets};
use crate::work::dedup_key::{TextKey, UrlKey};
use crate::work::judged_group::{JudgedGroups, Layout};
use crate::work::segment::{TEXTS, URLS};
use crate::work::shard_sets::ROW_BYTES;
use c4_data::{LedgerMode, atomic_file};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The memory of a domain and its counts, in bytes.
const DOMAIN_BYTES: u64 = 150;

/// How the work after pass 1 is cut; kept in the work folder, so that a resumed build cuts it in the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cut {
    /// The memory of a part of pass 2 or 3, in bytes.
    pub(super) dedup_bytes: u64,
    /// The number of parts of pass 2.
    pub(super) url_parts: usize,
    /// The number of parts of pass 3; 0: the recipe has none.
    pub(super) text_parts: usize,
    pub(super) segments: usize,
    pub(super) layout: Layout,
}

impl Cut {
    /// The hash of the cut.
    pub(super) fn id(&self) -> u64 {
        let json = serde_json::to_vec(self).unwrap_or_default();
        xxhash_rust::xxh3::xxh3_64(&json)
    }

    fn path(work: &Path) -> PathBuf {
        work.join("cut.json")
    }

    /// The cut that a work folder holds, if any.
    pub(super) fn read(work: &Path) -> Result<Option<Cut>, Error> {
        let json = atomic_file::read_if_there(&Self::path(work))?;
        Ok(json.and_then(|json| serde_json::from_slice(&json).ok()))
    }

    /// The cut of a build: the one it had before it was stopped, if any; else by what pass 1 has left and the memory.
    pub(super) fn of(build: &TargetBuild<'_>, cleaned: &CleanedArchives) -> Result<Cut, Error> {
        let work = &build.output.work;
        let memory = build.memory;
        let old = Cut::read(work)?;
        // What is judged cannot be cut anew; and need not be, if it fits.
        let fits = |cut: &Cut| cut.dedup_bytes <= memory.dedup();
        if let Some(old) = old
            && (fits(&old) || JudgedGroups::are_there(work)?)
        {
            return Ok(old);
        }
        let segments = cleaned.segments.all();
        let keys = |table| segments.iter().map(|s| s.entry.keys[table]).sum::<u64>();
        let (url_keys, text_keys) = (keys(URLS), keys(TEXTS));
        let dedup_bytes = memory.dedup();
        let threads = rayon::current_num_threads();
        let tally = &cleaned.statistics.tally;
        let (pages, lines) = (tally.pages(), tally.lines.lines);
        // Rows in memory: their texts, and what the strings and numbers beside them take.
        let buckets = |bytes| bucket_count(bytes, u64::MAX, memory.bucket());
        let all = build.options.ledger == LedgerMode::All;
        let of_text = |rows: u64| {
            if all { tally.text_bytes_in + rows * 600 } else { 1 }
        };
        let most_dropped = url_keys + text_keys;
        let (sets, shard_bytes) = (build.sets.count(), build.options.shard_size_bytes);
        let rows = cleaned.text_bytes + cleaned.passed * ROW_BYTES;
        let cut = Cut {
            dedup_bytes,
            url_parts: part_count::<UrlKey>(url_keys, dedup_bytes, threads),
            text_parts: match build.target.recipe.dedup {
                Some(_) => part_count::<TextKey>(text_keys, dedup_bytes, threads),
                None => 0,
            },
            segments: segments.len(),
            layout: Layout {
                sets,
                rows: bucket_count_of_sets(sets, rows, shard_bytes, memory.bucket()),
                ledger: [
                    buckets(of_text(pages)),
                    buckets(of_text(lines)),
                    buckets(most_dropped * 300),
                    buckets(pages * 160),
                ],
                domains: buckets(pages * DOMAIN_BYTES),
            },
        };
        let json = serde_json::to_vec(&cut).unwrap_or_default();
        atomic_file::write_atomic(&Cut::path(work), &json)?;
        Ok(cut)
    }
}
