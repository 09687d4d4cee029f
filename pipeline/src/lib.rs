//! How pages flow from a crawl to shards: the library behind the `c4` program.
//!
//! [`build`](build::build) takes archives and a recipe and leaves a corpus; the passes are described
//! in [`build`]. What looks at corpora is in [`inspect`].
//!
//! ```
//! use c4_data::{Format, LedgerMode, Lists, Recipe, ShardReader};
//! use c4_pipeline::build::{BuildOptions, Outcome, TargetOptions, build};
//! use c4_pipeline::{input, remote::RemoteOptions};
//!
//! let folder = tempfile::tempdir()?;
//! let (recipe, base) = Recipe::load("c4")?;
//! let lists = Lists::load(&recipe, &base)?;
//! let archive = "../data/samples/sample-00001.warc.wet.gz".into();
//! let outcomes = build(&BuildOptions {
//!     inputs: input::resolve(&[archive], None, &recipe.read)?,
//!     targets: vec![TargetOptions { recipe, lists, output: folder.path().join("corpus") }],
//!     format: Format::Arrow,
//!     shard_size_bytes: 256 << 20,
//!     threads: 1,
//!     memory_bytes: 1 << 30,
//!     work_dir: None,
//!     overwrite: false,
//!     ledger: LedgerMode::default(),
//!     remote: RemoteOptions::default(),
//!     allow_missing: false,
//! })?;
//! let [Outcome::Built(built)] = &outcomes[..] else { panic!("the folder was empty") };
//! let first = folder.path().join("corpus").join(&built.manifest.shards[0].file);
//! let document = ShardReader::open(&first)?.next().expect("the sample has pages")?;
//! assert!(document.page.text.ends_with(['.', '!', '?', '"']), "a line ends as a sentence does");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Why the lines of a text are kept or dropped:
//!
//! ```
//! use c4_data::{Lists, Recipe};
//! use c4_pipeline::inspect::explain::Explainer;
//!
//! let (recipe, base) = Recipe::load("c4")?;
//! let lists = Lists::load(&recipe, &base)?;
//! let explained = Explainer::new(&recipe, &lists, None)?.explain_text("Two words\nThis line has no end mark");
//! assert!(explained.to_json().to_string().contains("no_end_mark"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![warn(missing_docs, unreachable_pub)]

pub mod build;
pub mod cli;
pub mod corpus;
mod error;
pub mod extract;
pub mod input;
pub mod inspect;
pub mod read;
pub mod remote;
pub mod runtime;
pub mod terminal;
mod view;
pub mod work;

pub use error::Error;
