//! How the work after pass 1 is cut into parts.

use super::target::{Build, Cleaned};
use crate::build::dedup::part_count;
use crate::error::Error;
use crate::work::buckets::{bucket_count, bucket_count_of_sets};
use crate::work::dedup_key::{TextClaim, UrlClaim};
use crate::work::judged_group::{Groups, Layout};
use crate::work::segment::{TEXTS, URLS};
use crate::work::shard_sets::ROW_BYTES;
use c4_data::{LedgerMode, atomic_file};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Memory of a domain and its counts.
const DOMAIN_BYTES: u64 = 150;

/// How the work after pass 1 is cut; kept, so that a build that goes on cuts it in the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cut {
    /// Memory of a part of pass 2 or 3.
    pub(super) election_bytes: u64,
    /// Parts of pass 2.
    pub(super) url_parts: usize,
    /// Parts of pass 3; 0: the recipe has none.
    pub(super) text_parts: usize,
    /// Segments.
    pub(super) segments: usize,
    pub(super) layout: Layout,
}

impl Cut {
    /// What stands for it.
    pub(super) fn id(&self) -> u64 {
        let json = serde_json::to_vec(self).unwrap_or_default();
        xxhash_rust::xxh3::xxh3_64(&json)
    }

    fn path(work: &Path) -> PathBuf {
        work.join("cut.json")
    }

    /// That of a work folder, if there is one.
    pub(super) fn read(work: &Path) -> Result<Option<Cut>, Error> {
        let json = atomic_file::read_if_there(&Self::path(work))?;
        Ok(json.and_then(|json| serde_json::from_slice(&json).ok()))
    }

    /// That of a build: as it was cut before, if it was; else by what pass 1 has left and the memory.
    pub(super) fn of(build: &Build<'_>, cleaned: &Cleaned) -> Result<Cut, Error> {
        let work = &build.output.work;
        let memory = build.memory;
        let old = Cut::read(work)?;
        // What is judged cannot be cut anew; and need not be, if it fits.
        let fits = |cut: &Cut| cut.election_bytes <= memory.election();
        if let Some(old) = old
            && (fits(&old) || Groups::are_there(work)?)
        {
            return Ok(old);
        }
        let segments = cleaned.segments.all();
        let claims = |table| segments.iter().map(|s| s.entry.claims[table]).sum::<u64>();
        let election_bytes = memory.election();
        let threads = rayon::current_num_threads();
        let tally = &cleaned.statistics.tally;
        let (pages, lines) = (tally.pages(), tally.lines.lines);
        // Rows in memory: their texts, and what the strings and numbers beside them take.
        let buckets = |bytes| bucket_count(bytes, u64::MAX, memory.bucket());
        let all = build.options.ledger == LedgerMode::All;
        let of_text = |rows: u64| {
            if all { tally.text_bytes_in + rows * 600 } else { 1 }
        };
        let losers = claims(URLS) + claims(TEXTS);
        let (sets, shard_bytes) = (build.sets.count(), build.options.shard_size_bytes);
        let rows = cleaned.text_bytes + cleaned.passed * ROW_BYTES;
        let cut = Cut {
            election_bytes,
            url_parts: part_count::<UrlClaim>(claims(URLS), election_bytes, threads),
            text_parts: match build.target.recipe.dedup {
                Some(_) => part_count::<TextClaim>(claims(TEXTS), election_bytes, threads),
                None => 0,
            },
            segments: segments.len(),
            layout: Layout {
                sets,
                rows: bucket_count_of_sets(sets, rows, shard_bytes, memory.bucket()),
                ledger: [
                    buckets(of_text(pages)),
                    buckets(of_text(lines)),
                    buckets(losers * 300),
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
