//! `t5 generate`.

use super::Named;
use super::output::{count, print, tell};
use super::settings::{DeviceArgs, ThreadsArg};
use crate::backend;
use crate::base::Sequences;
use crate::convert::huggingface;
use crate::eval::generate::{Decoding, generate};
use crate::model::T5;
use crate::objective::ObjectiveKind;
use crate::vocab;
use crate::vocab::Vocab;
use anyhow::Context;
use clap::Args;
use std::io::{BufRead, stdin};
use std::path::{Path, PathBuf};

/// Lets a model say what belongs into a text's blanks, or how a text goes on.
///
/// Blanks are written <extra_id_0>, <extra_id_1> and so on, or each as ___ (three underscores), which stands for the next of them that
/// the text does not name. A model that was trained by the objective lm or prefix_lm goes on with the text.
#[derive(Debug, Args)]
pub(crate) struct Generate {
    /// A run, one of its checkpoints, or a folder of Hugging Face's transformers (with `spiece.model` or `tokenizer.json`).
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// The text; without it, each line of standard input is one, and an empty line is answered by an empty line.
    text: Option<String>,
    /// Tokens to say at most.
    #[arg(long, default_value_t = 64, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=16384))]
    max_tokens: u16,
    /// Search with so many beams, in place of taking the likeliest token each time.
    #[arg(long, value_name = "N", conflicts_with = "sample")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=256))]
    beams: Option<u16>,
    /// How much long answers are favoured in a search with beams.
    #[arg(long, default_value_t = 0.6, value_name = "ALPHA", requires = "beams")]
    alpha: f64,
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
    let (model, vocab, objective) = open(&args.run)?;
    let mut backend = backend::open(device, precision, model, None)?;
    // A language model's examples are text alone; others have EOS between inputs and targets.
    let ends = objective != Some(ObjectiveKind::Lm);
    let goes_on = matches!(objective, Some(ObjectiveKind::Lm | ObjectiveKind::PrefixLm));
    let decoding = match (args.beams, args.sample) {
        (Some(beams), _) => Decoding::Beam {
            beams: beams.into(),
            alpha: args.alpha,
        },
        (None, true) => Decoding::Sample {
            seed: args.seed,
            temperature: args.temperature,
            top_k: args.top_k,
            top_p: args.top_p,
        },
        (None, false) => Decoding::Greedy,
    };
    let tokens_of = |text: &str| {
        let mut tokens = Vec::new();
        vocab.encode_with_sentinels(text, &mut tokens);
        tokens
    };
    let mut answer = |text: &str| -> anyhow::Result<()> {
        let text = numbered(text, vocab.sentinels())?;
        let mut tokens = tokens_of(&text);
        if ends {
            tokens.push(vocab.eos());
        }
        let length = tokens.len();
        let inputs = Sequences {
            length,
            tokens: tokens.clone(),
            segments: vec![1; length],
            positions: (0..length as u32).collect(),
        };
        let found = generate(&mut *backend, 1, &inputs, decoding, args.max_tokens.into())?;
        let said = found.first().map(|found| &found.tokens[..]).unwrap_or_default();
        match goes_on {
            true => print(format_args!("{}", continued(&text, &tokens, said, &vocab)))?,
            false => print(format_args!("{}", filled(&text, said, &vocab)))?,
        }
        Ok(())
    };
    if let Some(text) = &args.text {
        // A language model may begin with nothing.
        anyhow::ensure!(
            goes_on || !tokens_of(text).is_empty(),
            "the text is empty: there is nothing to fill; give one with a blank, as \"The river ___ the town.\""
        );
        return answer(text);
    }
    let mut empty = 0;
    for line in stdin().lock().lines() {
        let line = line.context("standard input")?;
        match tokens_of(&line).is_empty() {
            false => answer(&line)?,
            true => {
                empty += 1;
                print(format_args!(""))?;
            }
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

/// `___` as sentinels: in order, those that the text does not name itself. An error where there are not so many of `sentinels`.
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
