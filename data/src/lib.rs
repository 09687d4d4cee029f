//! What a page is and how it is stored.
//!
//! This crate is the contract between the corpus builder and whoever reads its corpus: [`Page`] and [`Document`], the
//! [Arrow schema](schema), [shards](shard), the [manifest](Manifest), the [recipe](Recipe) that a corpus was built by,
//! and its [lists](Lists) of words, domains and URLs, and its [statistics](Stats). It does not depend on filters,
//! crawls or models.
//!
//! # Schema (version 1)
//!
//! One row is one document. Shards are Arrow IPC files (zstd), or Parquet with the same columns.
//!
//! | column | type | content |
//! |---|---|---|
//! | `url` | Utf8 | as in the archive's record, not normalised |
//! | `text` | Utf8 | the cleaned text; lines are separated by `\n` |
//! | `timestamp` | Utf8 | the record's `WARC-Date`, verbatim |
//! | `content_type` | Utf8 | the record's (WET) or the response's (WARC) `Content-Type`, verbatim |
//! | `content_length` | Utf8 | the record's (WET) or the response's (WARC) `Content-Length`, verbatim |
//! | `language` | Utf8 | language code by the recipe's detector; empty if the recipe has no language step |
//! | `language_score` | Float32 | probability of the language, 0 to 1; 0 if the recipe has no language step |
//! | `archive` | Utf8 | file name of the archive the page was read from |
//! | `record_offset` | UInt64 | bytes from the start of the archive: of the gzip member, or of the record in the uncompressed stream where the archive is not compressed record by record |
//!
//! No column is nullable. The schema's metadata holds `c4.schema_version`, `c4.recipe` (its name) and `c4.recipe_hash`.

#![warn(missing_docs, unreachable_pub)]

pub mod atomic_file;
mod catch_panic;
mod error;
mod ipc_check;
mod ipc_file;
mod languages;
pub mod ledger;
mod limit;
mod lists;
mod manifest;
mod page;
mod parquet_check;
mod printable;
mod recipe;
mod recipe_setting;
mod record_batches;
pub mod schema;
pub mod shard;
mod shard_reader;
mod stats;
mod task_cards;
mod word_lists;

/// The project's licence, the licences of the data of others in its programs, and those of the crates.
pub const LICENSES: [&str; 3] = [
    include_str!("../../LICENSE"),
    include_str!("../licenses/data.txt"),
    include_str!("../licenses/crates.txt"),
];

pub use error::Error;
pub use ledger::{LedgerEntry, LedgerFile, LedgerMode};
pub use limit::BatchLimit;
pub use lists::{DomainList, Lists, UrlList};
pub use manifest::{Damaged, InputEntry, InputState, Manifest, ShardEntry, Versions};
pub use page::{Document, Page, ShardSet, Split, domain};
pub use printable::{printable, printable_json, printable_lines};
pub use recipe::{
    BUILTIN_RECIPES, BadWordsStep, CleanStep, DedupStep, DetectorKind, DomainsStep, LanguageStep, LengthStep,
    MediaTypes, ParagraphStep, ReadStep, Recipe, SplitStep, UNDETERMINED_LANGUAGE, Undetermined, UrlsStep, WetReading,
};
pub use recipe_setting::Setting;
pub use record_batches::{Container, RecordBatches};
pub use shard::{Format, ShardMeta, ShardWriter};
pub use shard_reader::ShardReader;
pub use stats::{
    Account, BadWordStats, DomainRow, DomainStats, DuplicateStats, HistogramStats, InOut, Named, SampleStats,
    StageDropped, StageStats, Stats, TallyStats,
};
pub use task_cards::BUILTIN_TASKS;
pub use word_lists::WordList;
