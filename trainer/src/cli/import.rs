//! `t5 import`.

use super::output::tell;
use super::pretrain::thousands;
use super::settings::CorpusArgs;
use crate::convert::{huggingface, tasks};
use crate::rows::Source;
use crate::run::settings::RunConfig;
use crate::run::{self, Holds, Run};
use crate::vocab;
use anyhow::Context;
use clap::Args;
use std::path::PathBuf;

/// Makes a run of a folder that Hugging Face's `save_pretrained` wrote, to be measured, asked, or trained further: T5,
/// T5 v1.1, mT5 or umT5; `config.json`, `model.safetensors` or `pytorch_model.bin` (of which no code runs) in f32, bf16
/// or f16, `spiece.model` or `tokenizer.json`.
///
/// What its config.json says of tasks (`task_specific_params`) is kept: `t5 generate --task` follows it, `t5 export`
/// writes it again. The run is at step 0, with an optimiser that has seen nothing yet and a constant learning rate of
/// 0.001.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The folder.
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
    /// Folder of the run; made if it is missing.
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// The vocabulary, a SentencePiece model or a tokenizer.json [default: spiece.model in the folder, or else
    /// tokenizer.json].
    #[arg(long, value_name = "FILE")]
    vocab: Option<PathBuf>,
    #[command(flatten)]
    corpora: CorpusArgs,
    /// Settings of the run as TOML; `t5 inspect --size SIZE` prints all of them.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One setting, as feed.rows=4; may be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
}

pub(crate) fn run(args: Import) -> anyhow::Result<()> {
    // Not after a large model was read.
    run::refuse_mixing(&args.output, Holds::Run)?;
    let model = huggingface::load(&args.folder)?;
    let tasks = tasks::of_folder(&args.folder)?;
    let vocab = args.vocab.or_else(|| vocab::in_folder(&args.folder));
    let vocab = vocab.with_context(|| {
        format!(
            "{}: has neither spiece.model nor tokenizer.json; name the vocabulary that it was trained with by --vocab",
            args.folder.display()
        )
    })?;
    let model_config = model.config().clone();
    let mut config = RunConfig::further(model_config, args.config.as_deref(), &args.settings)?;
    let corpora = args.corpora.sources();
    if !corpora.is_empty() {
        config.corpora = corpora;
    }
    config.corpora = config.corpora.into_iter().map(Source::absolute).collect();
    let mut run = Run::import(&args.output, config, &vocab, model)?;
    tasks::write(&args.output, &tasks)?;
    run.save()?;
    let output = args.output.display();
    tell(format_args!(
        "{output}: a run at step 0 with {} parameters; to train further: t5 pretrain -o {output} --resume --corpus DIR --steps N",
        thousands(run.layout.len() as u64)
    ));
    Ok(())
}
