//! `t5 task`.

use super::Named;
use super::output::{count, print, tell};
use super::pretrain::thousands;
use crate::feed::preview::{LengthSpread, ShownText, TaskPreview, preview};
use crate::task::hub::HubClient;
use crate::task::{Task, TaskSplit};
use crate::vocab::Vocab;
use clap::{Args, Subcommand};
use serde_json::json;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Tasks: what they are, what a model sees of their rows, and where these come from.
#[derive(Debug, Args)]
pub(crate) struct TaskArgs {
    #[command(subcommand)]
    command: TaskCommand,
}

#[derive(Debug, Subcommand)]
enum TaskCommand {
    /// List the built-in tasks.
    List(List),
    /// Print a task's card, with all that it leaves to defaults.
    Show(Show),
    /// Show the first examples of a task as a model sees them, and what is in its rows.
    Preview(Preview),
    /// Fetch a task's rows from the Hugging Face Hub (HF_ENDPOINT, HF_TOKEN).
    Get(Get),
}

#[derive(Debug, Args)]
struct List {
    /// Print JSON, a line each.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Show {
    /// A built-in task, or the path of a card.
    #[arg(value_name = "NAME")]
    task: String,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Preview {
    /// A built-in task, or the path of a card.
    #[arg(value_name = "NAME")]
    task: String,
    /// The folder of its rows, or one that has a folder of the task's name; a file; an archive.
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// The rows to look at: train, validation, test; the first that is there, unless it is said.
    #[arg(long, value_name = "SPLIT")]
    split: Option<TaskSplit>,
    /// The vocabulary that makes pieces of text.
    #[arg(long, value_name = "FILE", conflicts_with = "model")]
    vocab: Option<PathBuf>,
    /// A run, for its vocabulary.
    #[arg(long, value_name = "RUN")]
    model: Option<PathBuf>,
    /// So many examples.
    #[arg(long, default_value_t = 3, value_name = "N")]
    rows: usize,
    /// Look at so many rows at most; 0 for all.
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    most: u64,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Get {
    /// A built-in task, or the path of a card.
    #[arg(value_name = "NAME")]
    task: String,
    /// The folder to write to; the rows are in a folder of the task's name in it.
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
}

pub(crate) fn run(args: TaskArgs) -> anyhow::Result<()> {
    match args.command {
        TaskCommand::List(args) => list(&args),
        TaskCommand::Show(args) => show(&args),
        TaskCommand::Preview(args) => show_preview(&args),
        TaskCommand::Get(args) => get(&args),
    }
}

fn list(args: &List) -> anyhow::Result<()> {
    let tasks: Vec<Task> = Task::names().into_iter().map(Task::open).collect::<Result<_, _>>()?;
    let width = tasks.iter().map(|task| task.card.name.len()).max().unwrap_or_default();
    for task in &tasks {
        let card = &task.card;
        let metrics: Vec<&str> = card.score.metrics.iter().map(|metric| metric.name()).collect();
        let splits: Vec<&str> = card.rows.holds.iter().map(|split| split.name()).collect();
        if args.json {
            let line = json!({
                "name": card.name,
                "description": card.description,
                "splits": splits,
                "metrics": metrics,
                "sha256": task.sha256,
            });
            print(format_args!("{line}"))?;
        } else {
            let (metrics, splits) = (metrics.join(", "), splits.join(", "));
            print(format_args!(
                "{:width$}  {} ({splits}; {metrics})",
                card.name, card.description
            ))?;
        }
    }
    Ok(())
}

fn show(args: &Show) -> anyhow::Result<()> {
    let task = Task::open(&args.task)?;
    if args.json {
        let line = json!({ "card": task.card, "sha256": task.sha256 });
        return Ok(print(format_args!("{line}"))?);
    }
    print(format_args!("# SHA-256 {}", task.sha256))?;
    Ok(print(format_args!("{}", toml::to_string(&task.card)?.trim_end()))?)
}

fn get(args: &Get) -> anyhow::Result<()> {
    let task = Task::open(&args.task)?;
    let hub = HubClient::of_environment()?;
    let files = hub.files(&task)?;
    let folder = args.output.join(&task.card.name);
    let bytes = files.iter().map(|file| file.bytes).sum();
    tell(format_args!(
        "{}: {}, {} bytes, into {}",
        task.card.name,
        count(files.len() as u64, "file"),
        thousands(bytes),
        folder.display()
    ));
    for file in &files {
        let new = hub.fetch(file, &folder)?;
        let what = if new { "fetched" } else { "there already" };
        tell(format_args!(
            "{}: {what}, {} bytes",
            file.path.display(),
            thousands(file.bytes)
        ));
    }
    Ok(print(format_args!("{}", folder.display()))?)
}

fn show_preview(args: &Preview) -> anyhow::Result<()> {
    let task = Task::open(&args.task)?;
    let vocab = match (&args.vocab, &args.model) {
        (Some(vocab), _) => Some(Vocab::open(vocab)?),
        (None, Some(run)) => Some(Named::open(run)?.vocab),
        (None, None) => None,
    };
    let most = if args.most == 0 { u64::MAX } else { args.most };
    let found = preview(&task, &args.data, args.split, vocab.as_ref(), args.rows, most)?;
    if args.json {
        let mut line = serde_json::to_value(&found)?;
        line["task"] = task.card.name.clone().into();
        return Ok(print(format_args!("{line}"))?);
    }
    print(format_args!("{}, {}", task.card.name, found.split))?;
    Ok(sheet(&found)?)
}

/// A preview, to be read.
fn sheet(found: &TaskPreview) -> std::io::Result<()> {
    let part = match found.rows_read < found.rows {
        true => format!("the first {} of ", thousands(found.rows_read)),
        false => String::new(),
    };
    print(format_args!(
        "rows      {part}{}: {} examples",
        thousands(found.rows),
        thousands(found.examples)
    ))?;
    if found.rows_unused > 0 {
        print(format_args!(
            "unused    {} have no example in this split",
            count(found.rows_unused, "row")
        ))?;
    }
    if found.unlabelled > 0 {
        print(format_args!(
            "unknown   {} have no label",
            count(found.unlabelled, "example")
        ))?;
    }
    for (reason, refused) in &found.refused {
        print(format_args!(
            "refused   {}: {}",
            count(refused.rows, "row"),
            reason.name()
        ))?;
        for first in &refused.first {
            print(format_args!("          {first}"))?;
        }
    }
    // Shares of what is there once each say nothing.
    let few = |targets: &&BTreeMap<String, u64>| targets.len() as u64 * 4 <= found.examples.max(1);
    if let Some(targets) = found.targets.as_ref().filter(few) {
        let mut targets: Vec<(&String, &u64)> = targets.iter().collect();
        targets.sort_by_key(|(_, examples)| std::cmp::Reverse(**examples));
        for (i, (target, examples)) in targets.into_iter().enumerate() {
            let head = if i == 0 { "targets" } else { "" };
            let share = 100.0 * *examples as f64 / found.examples as f64;
            print(format_args!(
                "{head:8}  {:>10}  {share:5.1} %  {target:?}",
                thousands(*examples)
            ))?;
        }
    }
    let unit = if found.in_pieces { "pieces" } else { "characters" };
    for (what, lengths) in [("inputs", &found.input_lengths), ("targets", &found.target_lengths)] {
        if let Some(lengths) = lengths {
            spread(what, lengths, unit, found.in_pieces)?;
        }
    }
    for shown in &found.shown {
        print(format_args!("\n{}", shown.place))?;
        text("inputs", &shown.inputs)?;
        text("targets", &shown.targets)?;
        if !shown.answers.is_empty() {
            print(format_args!("answers   {:?}", shown.answers))?;
        }
    }
    Ok(())
}

fn spread(what: &str, lengths: &LengthSpread, unit: &str, in_pieces: bool) -> std::io::Result<()> {
    let cut = match in_pieces {
        true => format!("; {} cut at {}", thousands(lengths.cut), lengths.limit),
        false => "; a vocabulary would say pieces (--vocab)".to_owned(),
    };
    print(format_args!(
        "{what:8}  {} to {} {unit}, half up to {}, 95 % up to {}, 99 % up to {}, {:.1} on average{cut}",
        lengths.least, lengths.most, lengths.median, lengths.of_95, lengths.of_99, lengths.mean
    ))
}

fn text(what: &str, shown: &ShownText) -> std::io::Result<()> {
    print(format_args!("{what:8}  {:?}", shown.text))?;
    if let Some(pieces) = &shown.pieces {
        let cut = match shown.cut {
            0 => String::new(),
            cut => format!(", {cut} more are cut off"),
        };
        print(format_args!(
            "          {} and EOS{cut}: {}",
            count(pieces.len() as u64, "piece"),
            pieces.join(" ")
        ))?;
    }
    Ok(())
}
