//! `t5 predict`.

use super::answering::AnswerArgs;
use super::output::{count, tell};
use super::settings::{DeviceArgs, ThreadsArg};
use super::submission;
use super::tasks::TaskArgs;
use crate::backend::{self, DeviceModel};
use crate::eval::ensemble::Ensemble;
use crate::eval::exam::Exam;
use crate::task::TaskSplit;
use anyhow::ensure;
use clap::{Args, ValueEnum};
use serde_json::json;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// Writes what a model answers to the rows of a task, in their order.
///
/// Of several runs, an ensemble answers: they must have one vocabulary.
#[derive(Debug, Args)]
pub(crate) struct Predict {
    /// A run, or one of its checkpoints; several answer together.
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,
    #[command(flatten)]
    tasks: TaskArgs,
    /// The rows that are answered: train, validation or test.
    #[arg(long, default_value = "test", value_name = "SPLIT")]
    split: TaskSplit,
    /// The file.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// How answers are written.
    #[arg(long, default_value = "tsv")]
    format: Format,
    /// How several runs give one answer.
    #[arg(long, default_value = "mean-logit")]
    ensemble: EnsembleKind,
    #[command(flatten)]
    answers: AnswerArgs,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    threads: ThreadsArg,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum EnsembleKind {
    /// By the mean of their logits, as in the paper.
    MeanLogit,
    /// By the mean of their probabilities, as in Mesh TensorFlow.
    MeanProbability,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A table with the columns index and prediction; white space of an answer is one space.
    Tsv,
    /// An object a line: id, inputs, targets (where they are known), prediction.
    Jsonl,
    /// The form in which GLUE and SuperGLUE take answers.
    Glue,
}

pub(crate) fn run(args: &Predict) -> anyhow::Result<()> {
    args.threads.start()?;
    let (device, precision) = args.device.find()?;
    refuse_unwritable(&args.output)?;
    // The task that the first of them has, where none is named.
    let first = super::Named::open(&args.runs[0])?;
    let sources = args.tasks.of_run(&first.note.config);
    ensure!(sources.len() == 1, "{}", which_task(sources.len()));
    let source = &sources[0];
    let split = args.split;
    let exam = Exam::open(source, split, 0, &first.note.config.feed, &first.vocab)?;
    let Some(exam) = exam else {
        anyhow::bail!(
            "{}: no rows of the split {split} in the folder of its data",
            source.name
        );
    };
    super::tasks::tell_of_refused(&exam);
    let format = match args.format {
        Format::Glue => Some(submission::Form::of(&exam.task)?),
        _ => None,
    };
    let mut models: Vec<Box<dyn DeviceModel>> = Vec::new();
    for run in &args.runs {
        let named = args.answers.open(run, exam.name())?;
        ensure!(
            named.note.vocab_sha256 == first.note.vocab_sha256,
            "{}: has another vocabulary than {}; models that answer together need one",
            run.display(),
            args.runs[0].display()
        );
        tell(format_args!(
            "{}: the checkpoint of step {}",
            run.display(),
            named.note.step
        ));
        models.push(backend::open(device, precision, named.note.model(&named.path)?, None)?);
    }
    let mut models: Vec<&mut dyn DeviceModel> = models
        .iter_mut()
        .map(|model| &mut **model as &mut dyn DeviceModel)
        .collect();
    let ensemble = match args.ensemble {
        EnsembleKind::MeanLogit => Ensemble::MeanLogit,
        EnsembleKind::MeanProbability => Ensemble::MeanProbability,
    };
    let answering = args.answers.answering(&exam, ensemble);
    let answers = exam.answers(0..exam.examples.len(), &mut models, &first.vocab, &answering, |_| {})?;
    let text = match (args.format, format) {
        (_, Some(form)) => {
            let (text, foreign) = form.write(&exam, &answers)?;
            if foreign > 0 {
                tell(format_args!(
                    "warning: {foreign} of {} answers are not labels of the task; the file has the first label in their place",
                    answers.len()
                ));
            }
            text
        }
        (Format::Jsonl, _) => jsonl(&exam, &answers),
        _ => tsv(&exam, &answers),
    };
    c4_data::atomic_file::write_atomic(&args.output, text.as_bytes())?;
    tell(format_args!(
        "{}: {}",
        args.output.display(),
        count(answers.len() as u64, "answer")
    ));
    Ok(())
}

/// Refuses a file that cannot be written before anything is answered.
fn refuse_unwritable(output: &Path) -> anyhow::Result<()> {
    let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty());
    ensure!(
        !output.is_dir(),
        "{}: is a folder; name a file for the answers",
        output.display()
    );
    ensure!(
        folder.is_none_or(Path::is_dir),
        "{}: its folder is not there; make it first",
        output.display()
    );
    Ok(())
}

fn which_task(tasks: usize) -> &'static str {
    match tasks {
        0 => "no task: name one by --task (`t5 task list` shows those that are built in)",
        _ => "the run has several tasks; name one by --task",
    }
}

/// The row's own id, or else the example's number.
fn id(exam: &Exam, number: usize) -> String {
    let own = exam.examples[number].truth.id.clone();
    own.unwrap_or_else(|| number.to_string())
}

fn tsv(exam: &Exam, answers: &[String]) -> String {
    let mut text = "index\tprediction\n".to_owned();
    for (number, answer) in answers.iter().enumerate() {
        let answer: Vec<&str> = answer.split_whitespace().collect();
        let _ = writeln!(text, "{}\t{}", id(exam, number), answer.join(" "));
    }
    text
}

fn jsonl(exam: &Exam, answers: &[String]) -> String {
    let mut text = String::new();
    for (number, (example, answer)) in exam.examples.iter().zip(answers).enumerate() {
        let mut line = json!({ "id": id(exam, number), "inputs": example.inputs, "prediction": answer });
        if example.truth.known {
            line["targets"] = example.targets.clone().into();
        }
        let _ = writeln!(text, "{line}");
    }
    text
}
