//! Why a build stops. Damage in an archive does not stop it; see [`crate::read::outcome::Damage`].

use crate::input::InputError;
use crate::remote::FetchError;
use std::path::PathBuf;

/// Why a build was refused or has stopped. Nothing that was there before is lost.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the corpus or the work folder, or a recipe.
    #[error(transparent)]
    Data(#[from] c4_data::Error),
    /// An input that cannot be used.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The client for remote archives cannot be started.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The output folder holds something that is not ours to replace.
    #[error("{path}: {reason}")]
    Output {
        /// The folder.
        path: PathBuf,
        /// What is in it, and what to do.
        reason: String,
    },
    /// A file of a corpus does not have the shape that a build gives it.
    #[error("{file} is not what a build of this program writes: {cause}")]
    Shape {
        /// The file's name.
        file: &'static str,
        /// What is wrong with it.
        cause: serde_json::Error,
    },
    /// A word list that the regex engine cannot compile.
    #[error("recipe {recipe}: the word lists do not compile: {reason}")]
    WordLists {
        /// The recipe.
        recipe: String,
        /// The engine's reason.
        reason: String,
    },
    /// No threads.
    #[error("cannot start {threads} threads: {reason}")]
    Threads {
        /// How many were asked for.
        threads: usize,
        /// The reason.
        reason: String,
    },
    /// Archives that could not be fetched; what was read is kept, and the same command tries them again.
    #[error("{} of {all} archives could not be fetched{}", list.len(), advice.as_ref().map(|advice| format!("; {advice}")).unwrap_or_default())]
    Missing {
        /// Their names, and why.
        list: Vec<String>,
        /// How many the build has.
        all: usize,
        /// What to set or change, where that can help the first of them that it can help.
        advice: Option<String>,
    },
    /// The user asked for it.
    #[error("stopped; the same command goes on")]
    Stopped,
    /// The counts do not add up: a defect of this program.
    #[error("the tally is not conserved, which is a defect of this program; please report it: {0}")]
    Tally(String),
}
