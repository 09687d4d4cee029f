//! How shards become a model: T5 pre-training on the corpora that `c4 build` writes, and on others.
//!
//! The program `t5` is what this crate is for ([`main`]). The names here are those that a program of one's own needs to
//! do the same: a vocabulary ([`Vocab`]), batches of a corpus ([`Feed`]), a model ([`T5`]) on a device ([`open`],
//! [`DeviceModel`]), and what a run has left ([`Checkpoint`], [`load`]).

mod backend;
mod base;
mod cli;
mod convert;
mod error;
mod eval;
mod feed;
mod math;
mod model;
mod objective;
mod optimizer;
mod processes;
mod rows;
mod run;
mod task;
mod vocab;

pub use backend::{Device, DeviceModel, Precision, open};
pub use base::{Batch, Sequences};
pub use cli::main;
pub use convert::huggingface::load;
pub use error::Error;
pub use eval::ensemble::Ensemble;
pub use eval::generate::{Decoding, Generated, generate};
pub use eval::predict::{Answering, predict};
pub use feed::{Feed, FeedConfig};
pub use model::{ModelConfig, T5};
pub use optimizer::schedule::Schedule;
pub use optimizer::{Optimizer, OptimizerConfig};
pub use rows::Source;
pub use run::checkpoint::Checkpoint;
pub use run::settings::RunConfig;
pub use task::Task;
pub use vocab::Vocab;

/// What the tests, benchmarks and examples of this package reach besides; no promise.
#[doc(hidden)]
pub mod internals {
    pub use crate::backend::Emulation;
    pub use crate::convert::huggingface;
    pub use crate::convert::save::{SaveOptions, save};
    pub use crate::convert::tasks::{TaskMap, TaskParams};
    pub use crate::eval::domain_loss;
    pub use crate::feed::{
        CorpusInfo, Counts, Cursor, Documents, EpochStart, FeedSources, Mixing, Mixture, MixtureShare, Packer, Packing,
        Position, RefusedRow, RowLayout, ShardOrder, TaskSource, Tokenizer, Validation, Validations, examples, mixture,
    };
    pub use crate::math::dropout::DropoutShape;
    pub use crate::math::matrix::{Into, Matrix, Threads, multiply};
    pub use crate::model::{
        Activation, Architecture, Decoder, Denominator, EOS, Head, Layout, Loss, LossOn, RelativeBias, Variable, bucket,
    };
    pub use crate::objective::{
        Example, Ids, Lengths, Objective, ObjectiveConfig, ObjectiveKind, Place, Purpose, Random, Spans,
        append_eos_after_trim, bert_style, deshuffling, drop_tokens, iid_denoising, lm, mask, mass_style, noise,
        prefix_lm, span_corruption,
    };
    pub use crate::optimizer::{Adafactor, AdafactorConfig, AdamW, AdamWConfig, clip_global_norm, global_norm};
    pub use crate::rows::TextDocument;
    pub use crate::run::reference::{Setting, settings};
    pub use crate::run::{Anew, train};
    pub use crate::task::{
        BleuTokenizer, Bootstrap, Metric, Postprocess, RowProblem, RowReason, Score, Scoring, SplitFiles, Stemming,
        TaskCard, TaskData, TaskRow, TaskRows, TaskSplit, TextExample, Truth, averages, headline, score,
    };
    pub use crate::vocab::{Piece, PieceKind, train as vocab_train};
}
