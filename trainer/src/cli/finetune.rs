//! `t5 finetune`.

use super::output::{count, tell};
use super::settings::{CorpusArgs, tell_of_corpora};
use super::tasks::{TrainedTaskArgs, tell_of_tasks};
use super::training::{MachineArgs, ResumeArgs, head, take_corpora};
use super::transfer::TransferArgs;
use super::{Named, is_hugging_face};
use crate::backend::Device;
use crate::convert::huggingface;
use crate::model::{ModelConfig, T5};
use crate::run;
use crate::run::Run;
use crate::run::checkpoint::{Checkpoint, Origin, checksum_of};
use crate::run::settings::RunConfig;
use crate::vocab::{self, Vocab};
use anyhow::{Context, ensure};
use clap::Args;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Fine-tunes a model on tasks, and validates it by what it answers.
///
/// The paper's settings are the default: a constant learning rate of 0.001, dropout 0.1, Adafactor, 2^18 steps of 128
/// packed rows. A new run begins at step 0; of its checkpoints, the best by each task's score and by the average are
/// kept. Everything else is as in `t5 pretrain`: Ctrl-C ends it with a checkpoint, --resume goes on to the bit.
#[derive(Debug, Args)]
pub(crate) struct Finetune {
    /// What to begin with: a run (its last checkpoint), a checkpoint, or a folder of Hugging Face's transformers.
    #[arg(value_name = "START", required_unless_present = "resume", conflicts_with = "resume")]
    start: Option<PathBuf>,
    #[command(flatten)]
    tasks: TrainedTaskArgs,
    #[command(flatten)]
    corpora: CorpusArgs,
    /// Folder of the new run; made if it is missing.
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// The vocabulary of a folder of Hugging Face's [default: spiece.model in the folder, or else tokenizer.json].
    #[arg(long, value_name = "FILE")]
    vocab: Option<PathBuf>,
    /// Settings as TOML, with [[tasks]] and [mixing]; `t5 inspect RUN` prints those of a run.
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    config: Option<PathBuf>,
    /// Steps in all; the same as --set steps=N.
    #[arg(long, value_name = "N")]
    steps: Option<u64>,
    /// End after so many validations without a better average over the tasks; the same as --set patience=N.
    #[arg(long, value_name = "N")]
    patience: Option<u64>,
    /// One setting, as feed.rows=4; may be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Go on with the state of START's optimiser; without it, a new optimiser has seen nothing yet, as in the paper.
    #[arg(long, conflicts_with_all = ["resume", "from_scratch"])]
    keep_optimizer: bool,
    /// Take only shape and vocabulary of START: the paper's baseline without pre-training.
    #[arg(long, conflicts_with = "resume")]
    from_scratch: bool,
    #[command(flatten)]
    transfer: TransferArgs,
    #[command(flatten)]
    resume: ResumeArgs,
    #[command(flatten)]
    machine: MachineArgs,
}

pub(crate) fn run(mut args: Finetune) -> anyhow::Result<ExitCode> {
    let rows = ["feed.rows", "batches_per_step"];
    let rows_are_said = args.resume.resume || RunConfig::says(args.config.as_deref(), &args.settings, &rows)?;
    args.settings.extend(args.transfer.settings());
    args.settings.extend(args.steps.map(|steps| format!("steps={steps}")));
    args.settings.extend(args.patience.map(|n| format!("patience={n}")));
    let output = args.output.clone();
    args.machine.train(&output, rows_are_said, |device, processes| {
        open(&args, device, processes)
    })
}

fn open(args: &Finetune, device: Device, processes: usize) -> anyhow::Result<Run> {
    let corpora = args.corpora.sources();
    if args.resume.resume {
        let (data, on) = ((corpora, &args.tasks), (device, processes));
        return args
            .resume
            .open(&args.output, &args.settings, data, args.vocab.as_deref(), on);
    }
    // Not after a large model was read.
    run::refuse_mixing(&args.output, run::Holds::Run)?;
    let start = Start::open(args.start.as_deref().unwrap_or(Path::new("")), args.vocab.as_deref())?;
    let before = start.note().map(|note| &note.config);
    let model = start.model_config();
    let named = args.tasks.named.of_run(&RunConfig::named("tiny")?);
    let mut config = RunConfig::finetuning(model, before, args.config.as_deref(), &args.settings, &named)?;
    if args.keep_optimizer {
        let before = before.with_context(|| {
            let start = start.path().display();
            format!("{start}: a folder of Hugging Face's has no state of an optimiser; leave out --keep-optimizer")
        })?;
        config.optimizer = before.optimizer;
        ensure!(
            config.goes_on_training_what(before),
            "--keep-optimizer goes on with the state of what {} has trained, and this run trains other variables; leave it out",
            start.path().display()
        );
    }
    take_corpora(&mut config, corpora);
    args.tasks.apply(&mut config)?;
    ensure!(
        !config.tasks.is_empty(),
        "no task: name one by --task (`t5 task list` shows those that are built in), or in the configuration by [[tasks]]"
    );
    config = config.with(&[])?;
    let vocab = start.vocab().to_owned();
    tell(start.describe(args.keep_optimizer, args.from_scratch));
    head(&config, Vocab::open(&vocab)?.sentinels(), device, processes)?;
    tell_of_corpora(&config.corpora)?;
    tell_of_tasks(&config)?;
    if args.from_scratch {
        let model = T5::new(config.model.clone(), config.seed)?;
        let origin = start.origin(None, 0);
        return Ok(Run::finetune(&args.output, config, &vocab, model, None, origin)?);
    }
    let kept = start.note().filter(|_| args.keep_optimizer);
    let origin = start.origin(None, kept.map_or(0, Checkpoint::optimizer_steps));
    let (model, optimizer) = start.read(args.keep_optimizer)?;
    let origin = Origin {
        xxh3: Some(checksum_of(model.parameters())),
        ..origin
    };
    Ok(Run::finetune(&args.output, config, &vocab, model, optimizer, origin)?)
}

/// What is begun with.
enum Start {
    Run(Box<Named>),
    HuggingFace {
        folder: PathBuf,
        vocab: PathBuf,
        model: Box<T5>,
    },
}

impl Start {
    fn open(path: &Path, vocab: Option<&Path>) -> anyhow::Result<Start> {
        if !is_hugging_face(path) {
            ensure!(
                vocab.is_none(),
                "{}: a run has its own vocabulary; leave out --vocab",
                path.display()
            );
            return Ok(Start::Run(Box::new(Named::open(path)?)));
        }
        let found = vocab.map(Path::to_owned).or_else(|| vocab::in_folder(path));
        let vocab = found.with_context(|| {
            format!(
                "{}: has neither spiece.model nor tokenizer.json; name the vocabulary that it was trained with by --vocab",
                path.display()
            )
        })?;
        Ok(Start::HuggingFace {
            folder: path.to_owned(),
            vocab,
            model: Box::new(huggingface::load(path)?),
        })
    }

    fn path(&self) -> &Path {
        match self {
            Start::Run(named) => &named.path,
            Start::HuggingFace { folder, .. } => folder,
        }
    }

    fn note(&self) -> Option<&Checkpoint> {
        match self {
            Start::Run(named) => Some(&named.note),
            Start::HuggingFace { .. } => None,
        }
    }

    fn model_config(&self) -> &ModelConfig {
        match self {
            Start::Run(named) => &named.note.config.model,
            Start::HuggingFace { model, .. } => model.config(),
        }
    }

    /// The vocabulary's file.
    fn vocab(&self) -> &Path {
        match self {
            Start::Run(named) => &named.vocab_file,
            Start::HuggingFace { vocab, .. } => vocab,
        }
    }

    /// The model, and the state of its optimiser if it is kept.
    fn read(self, keep_optimizer: bool) -> anyhow::Result<(T5, Option<Vec<f32>>)> {
        match self {
            Start::HuggingFace { model, .. } => Ok((*model, None)),
            Start::Run(named) => {
                let model = named.note.model(&named.path)?;
                let state = match keep_optimizer {
                    false => None,
                    true => Some(
                        named
                            .note
                            .optimizer(&named.path, &named.note.layout()?)?
                            .state()
                            .to_vec(),
                    ),
                };
                Ok((model, state))
            }
        }
    }

    /// What is told of the beginning.
    fn describe(&self, keep_optimizer: bool, from_scratch: bool) -> String {
        let path = self.path().display();
        let steps = match self.note() {
            Some(note) => format!(" after {}", count(note.step, "step")),
            None => String::new(),
        };
        match (from_scratch, keep_optimizer) {
            (true, _) => format!("From scratch: shape and vocabulary of {path}, nothing that it has learned"),
            (false, true) => format!("From {path}{steps}, with the state of its optimiser"),
            (false, false) => format!("From {path}{steps}, with an optimiser that has seen nothing yet"),
        }
    }

    fn origin(&self, xxh3: Option<String>, optimizer_steps: u64) -> Origin {
        let path = std::path::absolute(self.path()).unwrap_or_else(|_| self.path().to_owned());
        Origin {
            path,
            step: self.note().map(|note| note.step),
            xxh3,
            optimizer_steps,
        }
    }
}
