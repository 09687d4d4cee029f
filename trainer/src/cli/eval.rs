//! `t5 eval`.

use super::Named;
use super::settings::{CorpusArgs, ThreadsArg};
use clap::Args;
use std::path::PathBuf;
use std::sync::Arc;
use t5_trainer::feed::{Feed, Validation};
use t5_trainer::run::ids;
use t5_trainer::train::{Evaluation, evaluate};

/// Loss, perplexity and accuracy over validation documents, of each corpus.
#[derive(Debug, Args)]
pub(crate) struct Eval {
    /// A run, or one of its checkpoints.
    #[arg(value_name = "RUN")]
    run: PathBuf,
    #[command(flatten)]
    corpora: CorpusArgs,
    /// Batches of each corpus at most [default: all].
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    batches: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    threads: ThreadsArg,
}

pub(crate) fn run(args: Eval) -> anyhow::Result<()> {
    args.threads.start()?;
    let Named { path, note, vocab } = Named::open(&args.run)?;
    let mut model = note.model(&path)?;
    let vocab = Arc::new(vocab);
    let corpora = match args.corpora.corpora.is_empty() {
        true => note.config.corpora.clone(),
        false => args.corpora.corpora,
    };
    anyhow::ensure!(
        !corpora.is_empty(),
        "no corpus: the run was imported; name the folder of one by --corpus"
    );
    for corpus in corpora {
        let corpora = [corpus];
        let feed = Feed::validation(&corpora, &note.config.feed, ids(&vocab), vocab.clone())?;
        let told: Vec<String> = feed
            .corpora()
            .iter()
            .map(|info| match info.validation {
                Validation::Own { documents } => {
                    format!("{}: {documents} validation documents", info.name)
                }
                Validation::HeldOut { documents } => format!(
                    "{}: no validation shards; {documents} documents held out of training",
                    info.name
                ),
            })
            .collect();
        drop(feed);
        told.iter().for_each(|line| eprintln!("{line}"));
        let loss = evaluate(
            &mut model,
            &vocab,
            &corpora,
            &note.config.feed,
            args.batches,
        )?;
        let found = Evaluation::of(note.step, &loss);
        if args.json {
            let mut line = serde_json::to_value(found)?;
            line["corpus"] = corpora[0].path.to_string_lossy().into();
            println!("{line}");
        } else {
            println!(
                "step {}: {:.4} nats a target, perplexity {:.2}, accuracy {:.2} %, {} targets",
                found.step,
                found.validation_loss,
                found.perplexity,
                100.0 * found.validation_accuracy,
                found.targets
            );
        }
    }
    Ok(())
}
