//! `t5 eval`.

use super::Named;
use super::eval_tasks::ScoreArgs;
use super::output::print;
use super::pretrain::thousands;
use super::settings::{CorpusArgs, DeviceArgs, ThreadsArg, tell_of_corpora};
use crate::backend;
use crate::eval::domain_loss::{self, DomainLoss};
use crate::run::memory;
use crate::run::settings::RunConfig;
use crate::run::train::{CorpusLoss, Evaluation, evaluate};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::Arc;

/// Loss, perplexity and accuracy over validation documents, of each corpus; or by --task and --all, scores of answers
/// to a task's rows, with 95 % intervals.
///
/// With --by domain each example is of one document: documents are not joined before they are cut into segments. So the
/// loss of all domains together is not quite that without --by.
#[derive(Debug, Args)]
pub(crate) struct Eval {
    /// A run, or one of its checkpoints.
    #[arg(value_name = "RUN")]
    run: PathBuf,
    #[command(flatten)]
    corpora: CorpusArgs,
    #[command(flatten)]
    scores: ScoreArgs,
    /// Batches of each corpus at most [default: all].
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    batches: u64,
    /// Measure the documents of each part by themselves.
    #[arg(long, value_name = "PART")]
    by: Option<By>,
    /// Show the parts with the most tokens only; 0: all.
    #[arg(long, value_name = "N", default_value_t = 20, requires = "by")]
    top: usize,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    threads: ThreadsArg,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum By {
    /// The host of a page's URL, without `www.`.
    Domain,
}

pub(crate) fn run(args: Eval) -> anyhow::Result<()> {
    args.threads.start()?;
    let (device, precision) = args.device.find()?;
    let of_tasks_alone = || -> anyhow::Result<bool> {
        let config = Named::open(&args.run)?.note.config;
        Ok(config.corpora.is_empty() && !config.tasks.is_empty() && args.corpora.sources().is_empty())
    };
    if args.scores.is_wanted() || of_tasks_alone()? {
        return args.scores.run(&args.run, args.json, (device, precision));
    }
    let Named { path, note, vocab, .. } = Named::open(&args.run)?;
    // Of corpora alone.
    let config = RunConfig {
        tasks: Vec::new(),
        ..note.config.clone()
    };
    memory::check_evaluation(&config, device.has_own_memory())?;
    let mut backend = backend::open(device, precision, note.model(&path)?, None)?;
    let vocab = Arc::new(vocab);
    let named = args.corpora.sources();
    let corpora = match named.is_empty() {
        true => note.config.corpora.clone(),
        false => named,
    };
    anyhow::ensure!(
        !corpora.is_empty(),
        "no corpus: the run was imported; name one by --corpus, or a task by --task"
    );
    tell_of_corpora(&corpora)?;
    let config = &note.config.feed;
    let Some(By::Domain) = args.by else {
        let losses = evaluate(&mut *backend, &vocab, &corpora, config, args.batches)?;
        for of in &losses {
            let found = Evaluation::of(note.step, std::slice::from_ref(of));
            show(&found, &of.corpus, args.json)?;
        }
        if losses.len() > 1 {
            show(&Evaluation::of(note.step, &losses), "mean by weights", args.json)?;
        }
        anyhow::ensure!(!losses.is_empty(), "no corpus has a document to validate with");
        return Ok(());
    };
    for corpus in corpora {
        let corpora = [corpus];
        let parts = domain_loss::evaluate(&mut *backend, &vocab, &corpora, config, args.batches)?;
        let mut all = DomainLoss::default();
        parts.values().for_each(|part| all.add(part));
        let mut parts: Vec<(String, DomainLoss)> = parts.into_iter().collect();
        // Stable: among equals in the order of names.
        parts.sort_by_key(|(_, part)| std::cmp::Reverse(part.tokens));
        let name = corpora[0].path.display().to_string();
        let losses = CorpusLoss {
            corpus: name.clone(),
            share: 1.0,
            loss: all.loss,
        };
        let found = Evaluation::of(note.step, &[losses]);
        if args.json {
            let mut line = serde_json::to_value(found)?;
            line["corpus"] = name.into();
            let shown = parts.iter().take(shown(args.top));
            line["domains"] = shown.map(|(name, part)| part_as_json(name, part)).collect();
            print(format_args!("{line}"))?;
        } else {
            table(&parts, shown(args.top), &all)?;
            show(&found, &name, false)?;
        }
    }
    Ok(())
}

fn show(found: &Evaluation, corpus: &str, json: bool) -> anyhow::Result<()> {
    let Some(loss) = &found.loss else { return Ok(()) };
    if json {
        let mut line = serde_json::to_value(found)?;
        line["corpus"] = corpus.into();
        print(format_args!("{line}"))?;
        return Ok(());
    }
    print(format_args!(
        "step {}: {:.4} nats a target, perplexity {:.2}, accuracy {:.2} %, {} targets; {corpus}",
        found.step,
        loss.validation_loss,
        loss.perplexity,
        100.0 * loss.validation_accuracy,
        loss.targets
    ))?;
    Ok(())
}

/// How many parts `--top` asks for.
fn shown(top: usize) -> usize {
    match top {
        0 => usize::MAX,
        top => top,
    }
}

fn part_as_json(name: &str, part: &DomainLoss) -> Value {
    json!({
        "domain": name,
        "documents": part.documents,
        "tokens": part.tokens,
        "targets": part.loss.targets,
        "loss": part.loss.mean(),
        "perplexity": part.loss.mean().exp(),
        "accuracy": accuracy(part),
    })
}

fn accuracy(part: &DomainLoss) -> f64 {
    part.loss.correct as f64 / part.loss.targets.max(1) as f64
}

/// The largest parts, the others together, all together.
fn table(parts: &[(String, DomainLoss)], top: usize, all: &DomainLoss) -> std::io::Result<()> {
    let (largest, others) = parts.split_at(top.min(parts.len()));
    let mut rows = largest.to_vec();
    if !others.is_empty() {
        let mut rest = DomainLoss::default();
        others.iter().for_each(|(_, part)| rest.add(part));
        rows.push((format!("({} others)", others.len()), rest));
    }
    rows.push(("all".to_owned(), *all));
    let names = rows.iter().map(|(name, _)| name.chars().count());
    let width = names.max().unwrap_or_default().max("domain".len());
    print(format_args!(
        "{:width$}  {:>10}  {:>12}  {:>12}  {:>8}  {:>10}  {:>8}",
        "domain", "documents", "tokens", "targets", "loss", "perplexity", "accuracy"
    ))?;
    for (name, part) in &rows {
        print(format_args!(
            "{name:width$}  {:>10}  {:>12}  {:>12}  {:>8.4}  {:>10.2}  {:>6.2} %",
            thousands(part.documents),
            thousands(part.tokens),
            thousands(part.loss.targets as u64),
            part.loss.mean(),
            part.loss.mean().exp(),
            100.0 * accuracy(part)
        ))?;
    }
    Ok(())
}
