//! `t5 export`.

use super::Named;
use super::output::tell;
use crate::convert::huggingface;
use crate::run;
use anyhow::Context;
use clap::Args;
use std::path::PathBuf;

/// Writes a checkpoint as a folder that Hugging Face's `T5ForConditionalGeneration.from_pretrained` opens.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// A run, or one of its checkpoints.
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// The folder; made if it is missing.
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
}

pub(crate) fn run(args: Export) -> anyhow::Result<()> {
    let Named { path, note, vocab: _ } = Named::open(&args.run)?;
    run::refuse_mixing(&args.output, run::Holds::Model)?;
    huggingface::save(&note.model(&path)?, &args.output)?;
    let owner = path.ancestors().find(|folder| folder.join(run::VOCAB).is_file());
    if let Some(owner) = owner {
        let vocab = owner.join(run::VOCAB);
        let vocab = std::fs::read(&vocab).with_context(|| vocab.display().to_string())?;
        c4_data::atomic_file::write_atomic(&args.output.join("spiece.model"), &vocab)?;
    }
    tell(format_args!(
        "{}: config.json, model.safetensors, spiece.model",
        args.output.display()
    ));
    Ok(())
}
