//! The tests of the trainer, one program: the model against reference implementations, and `t5` as a user meets it.
//!
//! Only `tests/faults.rs` is a program of its own.

#![allow(clippy::unwrap_used)]

mod common;

mod backend;
mod domain_loss;
mod feed;
mod feed_tasks;
mod finetune;
mod generate;
#[cfg(target_os = "linux")]
mod gpu_proof;
mod hostile;
mod hub;
mod import;
mod languages;
mod metrics;
mod model;
mod objectives;
mod optimizer;
mod predict;
mod processes;
mod pytorch;
mod reference;
mod rows;
mod run;
mod task;
mod task_bad;
mod task_forms;
mod task_get;
mod transfer;
mod vocab;
