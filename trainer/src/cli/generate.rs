//! `t5 generate`.

use super::Named;
use super::export::tasks_of;
use super::output::{count, print, tell};
use super::settings::{DeviceArgs, ThreadsArg};
use crate::backend;
use crate::backend::DeviceModel;
use crate::convert::huggingface;
use crate::convert::tasks::{self, TaskParams};
use crate::eval::ensemble::Ensemble;
use crate::eval::generate::Decoding;
use crate::eval::predict::{Answering, predict};
use crate::model::T5;
use crate::objective::ObjectiveKind;
use crate::vocab;
use crate::vocab::Vocab;
use anyhow::Context;
use clap::Args;
use std::io::{BufRead, BufReader, stdin};
use std::path::{Path, PathBuf};

/// Lines of standard input that are answered together, of those that are there.
const LINES: usize = 32;

/// Lets a model say what belongs into a text's blanks, or how a text goes on.
///
/// Blanks are written <extra_id_0>, <extra_id_1> and so on, or each as ___ (three underscores), which stands for the
/// next of them that the text does not name. A model that was trained by the objective lm or prefix_lm goes on with the
/// text.
#[derive(Debug, Args)]
pub(crate) struct Generate {
    /// A run, one of its checkpoints, or a folder of Hugging Face's transformers (with `spiece.model` or
    /// `tokenizer.json`).
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// The text; without it, each line of standard input is one, and an empty line is answered by an empty line. Lines
    /// that are there together are answered together, 32 at a time; the answers are those of one by one.
    text: Option<String>,
    /// What stands before each text, as "summarize: ".
    #[arg(long, value_name = "TEXT", conflicts_with = "task")]
    prefix: Option<String>,
    /// Answers as the model does for this task: prefix, length and search by `task_specific_params` of the folder's
    /// config.json, or of the model that the run was made of; other options go before them.
    #[arg(long, value_name = "NAME")]
    task: Option<String>,
    /// Another model that answers together with the first (its vocabulary must be the same); may be given several
    /// times.
    #[arg(long = "with", value_name = "RUN")]
    with: Vec<PathBuf>,
    /// What the models of an ensemble are joined by: mean-logit, or mean-probability.
    #[arg(long, default_value = "mean-logit", value_name = "HOW", requires = "with", value_parser = parse_ensemble)]
    ensemble: Ensemble,
    /// Tokens to say at most [default: 64, or the task's].
    #[arg(long, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=16384))]
    max_tokens: Option<u16>,
    /// Search with so many beams, in place of taking the likeliest token each time.
    #[arg(long, value_name = "N", conflicts_with = "sample")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=256))]
    beams: Option<u16>,
    /// How much long answers are favoured in a search with beams: log probability over ((5 + length) / 6)^ALPHA
    /// [default: 0.6, or the task's length_penalty].
    #[arg(long, value_name = "ALPHA")]
    alpha: Option<f64>,
    /// Draw tokens by their probabilities.
    #[arg(long)]
    sample: bool,
    /// Of draws: another number, another text.
    #[arg(long, default_value_t = 0, requires = "sample")]
    seed: u64,
    /// Of draws: below 1 closer to the likeliest.
    #[arg(long, default_value_t = 1.0, value_name = "T", requires = "sample")]
    temperature: f32,
    /// Of draws: among so many of the likeliest tokens only; 0: all.
    #[arg(long, default_value_t = 0, value_name = "K", requires = "sample")]
    top_k: usize,
    /// Of draws: among the likeliest that together have this probability only.
    #[arg(long, default_value_t = 1.0, value_name = "P", requires = "sample")]
    top_p: f32,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    threads: ThreadsArg,
}

pub(crate) fn run(args: Generate) -> anyhow::Result<()> {
    args.threads.start()?;
    let (device, precision) = args.device.find()?;
    let task = args.task.as_deref().map(|name| task(&args.run, name)).transpose()?;
    let answering = answering(&args, task.as_ref())?;
    let prefix = args.prefix.or(task.map(|task| task.prefix)).unwrap_or_default();
    let (model, vocab, objective) = open(&args.run)?;
    let mut models = vec![backend::open(device, precision, model, None)?];
    for other in &args.with {
        let (model, its_vocab, its_objective) = open(other)?;
        anyhow::ensure!(
            its_vocab.pieces() == vocab.pieces() && its_objective == objective,
            "{}: is of another vocabulary or objective than {}; models answer together only where both are the same",
            other.display(),
            args.run.display()
        );
        models.push(backend::open(device, precision, model, None)?);
    }
    let mut asked = Asked {
        models,
        answering,
        prefix,
        // A language model's examples are text alone; others have EOS between inputs and targets.
        ends: objective != Some(ObjectiveKind::Lm),
        goes_on: matches!(objective, Some(ObjectiveKind::Lm | ObjectiveKind::PrefixLm)),
        vocab,
    };
    if let Some(text) = &args.text {
        // A language model may begin with nothing.
        anyhow::ensure!(
            asked.goes_on || asked.has_tokens(text),
            "the text is empty: there is nothing to fill; give one with a blank, as \"The river ___ the town.\""
        );
        return asked.answer(&[Some(text.clone())]);
    }
    let mut empty = 0;
    let mut lines = BufReader::with_capacity(1 << 16, stdin());
    let mut line = String::new();
    loop {
        let mut together = Vec::new();
        let mut read = Ok(1);
        // Never waits for a line while another is there to be answered.
        while together.is_empty() || (together.len() < LINES && lines.buffer().contains(&b'\n')) {
            line.clear();
            read = lines.read_line(&mut line);
            if !matches!(read, Ok(1..)) {
                break;
            }
            let text = line.strip_suffix('\n').unwrap_or(&line);
            let text = text.strip_suffix('\r').unwrap_or(text);
            together.push(asked.has_tokens(text).then(|| text.to_owned()));
        }
        empty += together.iter().filter(|text| text.is_none()).count() as u64;
        asked.answer(&together)?;
        if read.context("standard input")? == 0 {
            break;
        }
    }
    if empty > 0 {
        tell(format_args!(
            "{} without text: there was nothing to fill",
            count(empty, "line")
        ));
    }
    Ok(())
}

/// Models, and how they are asked.
struct Asked {
    models: Vec<Box<dyn DeviceModel>>,
    answering: Answering,
    prefix: String,
    ends: bool,
    goes_on: bool,
    vocab: Vocab,
}

impl Asked {
    fn tokens_of(&self, text: &str) -> Vec<u32> {
        let mut tokens = Vec::new();
        self.vocab.encode_with_sentinels(text, &mut tokens);
        tokens
    }

    fn has_tokens(&self, text: &str) -> bool {
        !self.tokens_of(text).is_empty()
    }

    /// Prints what is said to each text, an empty line for none.
    fn answer(&mut self, texts: &[Option<String>]) -> anyhow::Result<()> {
        let (mut prepared, mut asked) = (Vec::new(), Vec::new());
        // What comes before a text that cannot be asked is answered.
        let mut problem = None;
        for text in texts {
            let text = text.as_ref().map(|text| numbered(text, self.vocab.sentinels()));
            let text = match text.transpose() {
                Ok(text) => text,
                Err(error) => {
                    problem = Some(error);
                    break;
                }
            };
            if let Some(text) = &text {
                let mut tokens = self.tokens_of(&format!("{}{text}", self.prefix));
                if self.ends {
                    tokens.push(self.vocab.eos());
                }
                asked.push(tokens);
            }
            prepared.push(text);
        }
        // Draws are those of a text asked alone.
        let some = match self.answering.decoding {
            Decoding::Sample { .. } => 1,
            _ => LINES,
        };
        let mut found = Vec::new();
        for inputs in asked.chunks(some) {
            let mut models: Vec<&mut dyn DeviceModel> = Vec::new();
            models.extend(self.models.iter_mut().map(|model| &mut **model as &mut dyn DeviceModel));
            found.extend(predict(&mut models, inputs, &self.answering, |_| ())?);
        }
        let mut answers = asked.iter().zip(found);
        for text in &prepared {
            let answer = text.as_ref().and_then(|text| Some((text, answers.next()?)));
            match answer {
                None => print(format_args!(""))?,
                Some((text, (tokens, said))) if self.goes_on => {
                    print(format_args!("{}", continued(text, tokens, &said.tokens, &self.vocab)))?;
                }
                Some((text, (_, said))) => print(format_args!("{}", filled(text, &said.tokens, &self.vocab)))?,
            }
        }
        problem.map_or(Ok(()), Err)
    }
}

/// How texts are answered: by the options, then by the task, then by our defaults.
fn answering(args: &Generate, task: Option<&TaskParams>) -> anyhow::Result<Answering> {
    let of_task = task
        .and_then(|task| task.num_beams)
        .filter(|beams| *beams > 1 && !args.sample);
    let beams = args.beams.or(of_task);
    anyhow::ensure!(
        args.alpha.is_none() || beams.is_some(),
        "--alpha is of a search with beams; give --beams N, too"
    );
    let alpha = args.alpha.or(task.and_then(|task| task.length_penalty)).unwrap_or(0.6);
    let decoding = match (beams, args.sample) {
        (Some(beams), _) => Decoding::Beam {
            beams: beams.into(),
            alpha,
        },
        (None, true) => Decoding::Sample {
            seed: args.seed,
            temperature: args.temperature,
            top_k: args.top_k,
            top_p: args.top_p,
        },
        (None, false) => Decoding::Greedy,
    };
    let of_task = task.and_then(TaskParams::answer_length).map(|length| length as usize);
    Ok(Answering {
        decoding,
        max_length: args.max_tokens.map(usize::from).or(of_task).unwrap_or(64),
        rows: LINES,
        ensemble: args.ensemble,
    })
}

/// The parameters of a task of this name, as a run was trained on it or its model had it before, or by a folder of
/// transformers.
fn task(folder: &Path, name: &str) -> anyhow::Result<TaskParams> {
    let mut known = match folder.join(huggingface::CONFIG).is_file() {
        true => tasks::of_folder(folder)?,
        false => {
            let named = Named::open(folder)?;
            // A checkpoint is in its run's folder of checkpoints.
            let run = named.path.parent().and_then(Path::parent);
            tasks_of(&named.note, run.unwrap_or(folder))?
        }
    };
    let names: Vec<&str> = known.keys().map(String::as_str).collect();
    let what = match names.is_empty() {
        true => "it names none; give --prefix and --beams".to_owned(),
        false => format!("it has {}", names.join(", ")),
    };
    let missing = format!("{}: has no task `{name}`; {what}", folder.display());
    let task = known.remove(name).context(missing)?;
    let ignored = task.ignored();
    if !ignored.is_empty() {
        tell(format_args!(
            "{name}: {} of its settings: no effect here",
            ignored.join(", ")
        ));
    }
    Ok(task)
}

fn parse_ensemble(text: &str) -> Result<Ensemble, String> {
    match text {
        "mean-logit" => Ok(Ensemble::MeanLogit),
        "mean-probability" => Ok(Ensemble::MeanProbability),
        _ => Err("write mean-logit or mean-probability".to_owned()),
    }
}

/// A model, its vocabulary, and what it was trained by, if that is known.
fn open(folder: &Path) -> anyhow::Result<(T5, Vocab, Option<ObjectiveKind>)> {
    if folder.join("config.json").is_file() {
        let vocab = vocab::in_folder(folder)
            .with_context(|| format!("{}: has neither spiece.model nor tokenizer.json", folder.display()))?;
        return Ok((huggingface::load(folder)?, Vocab::open(&vocab)?, None));
    }
    let named = Named::open(folder)?;
    let objective = named.note.config.feed.objective.name;
    let model = named.note.model(&named.path)?;
    Ok((model, named.vocab, Some(objective)))
}

/// The text, and how it goes on.
fn continued(text: &str, tokens: &[u32], said: &[u32], vocab: &Vocab) -> String {
    let plain = |tokens: &[u32]| -> Vec<u32> {
        let plain = tokens.iter().filter(|token| **token != vocab.eos());
        plain.copied().collect()
    };
    let (before, said) = (plain(tokens), plain(said));
    let all = vocab.decode(&[&before[..], &said].concat());
    match all.strip_prefix(&vocab.decode(&before)) {
        // As it was typed, whatever the vocabulary made of it.
        Some(rest) => format!("{text}{rest}"),
        None => all,
    }
}

/// `___` as sentinels: in order, those that the text does not name itself. An error where there are not so many of
/// `sentinels`.
fn numbered(text: &str, sentinels: u32) -> anyhow::Result<String> {
    let is_named = |k: u32| text.contains(&format!("<extra_id_{k}>"));
    let free: Vec<u32> = (0..sentinels).filter(|k| !is_named(*k)).collect();
    let blanks = text.matches("___").count();
    anyhow::ensure!(
        blanks <= free.len(),
        "the text has {blanks} blanks, and the vocabulary sentinels for {}; give it in parts",
        free.len()
    );
    let mut parts = text.split("___");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for (k, part) in free.iter().zip(parts) {
        out += &format!("<extra_id_{k}>{part}");
    }
    Ok(out)
}

/// The text with what was said for each of its blanks in brackets; or, of a text without blanks, what was said.
fn filled(text: &str, said: &[u32], vocab: &Vocab) -> String {
    let mut out = text.to_owned();
    let mut blanks = 0;
    for k in 0..vocab.sentinels() {
        let name = format!("<extra_id_{k}>");
        if !text.contains(&name) {
            continue;
        }
        blanks += 1;
        // From its own sentinel to the next one, or to the end.
        let is = |id: &u32| Some(*id) == vocab.sentinel(k);
        let answer = said.iter().position(is).map_or(&[][..], |at| &said[at + 1..]);
        let ends = |id: &u32| *id == vocab.eos() || is_sentinel(vocab, *id);
        let end = answer.iter().position(ends).unwrap_or(answer.len());
        let answer = vocab.decode(&answer[..end]);
        out = out.replacen(&name, &format!("[{}]", answer.trim()), 1);
    }
    match blanks {
        0 => vocab.decode(said),
        _ => out,
    }
}

fn is_sentinel(vocab: &Vocab, id: u32) -> bool {
    id < vocab.size() && id >= vocab.size() - vocab.sentinels()
}

#[cfg(test)]
mod tests {
    #[test]
    fn blanks_are_numbered() {
        assert_eq!(
            super::numbered("a ___ b ___.", 2).unwrap(),
            "a <extra_id_0> b <extra_id_1>."
        );
        let known = "a <extra_id_3>";
        assert_eq!(super::numbered(known, 2).unwrap(), known);
        // Each blank has a sentinel of its own, in whatever order they are written.
        for (text, numbered) in [
            ("<extra_id_0> a ___ b ___", "<extra_id_0> a <extra_id_1> b <extra_id_2>"),
            ("___ a <extra_id_0> b ___", "<extra_id_1> a <extra_id_0> b <extra_id_2>"),
            (
                "a <extra_id_1> b ___ c ___",
                "a <extra_id_1> b <extra_id_0> c <extra_id_2>",
            ),
        ] {
            assert_eq!(super::numbered(text, 3).unwrap(), numbered);
            let error = super::numbered(text, 1).unwrap_err().to_string();
            assert!(error.contains("blanks, and the vocabulary sentinels for"), "{error}");
        }
        assert!(super::numbered("a ___ b ___.", 1).is_err());
    }
}
