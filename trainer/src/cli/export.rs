//! `t5 export`.

use super::Named;
use super::output::tell;
use crate::convert::card::{CorpusOfCard, MARK, ModelCard};
use crate::convert::save::{SaveOptions, SavedType, save};
use crate::convert::tasks::{self, TaskMap, TaskParams};
use crate::rows::Source;
use crate::run;
use crate::run::checkpoint::Checkpoint;
use crate::run::metrics::measured;
use crate::task::Task;
use crate::vocab::hub_files;
use anyhow::Context;
use c4_data::Manifest;
use c4_data::atomic_file::write_atomic;
use clap::Args;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

const CARD: &str = "README.md";

/// Writes a checkpoint as a folder that Hugging Face's `T5ForConditionalGeneration.from_pretrained` opens, with all
/// that the Hub wants: weights, settings, the vocabulary for transformers and `tokenizers`, and a model card,
/// README.md.
///
/// A README.md that this command did not write is kept.
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// A run, or one of its checkpoints.
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// The folder; made if it is missing.
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// The type of the values: f32, as they are trained, or bf16.
    #[arg(long, default_value = "f32", value_name = "TYPE")]
    dtype: SavedType,
    /// Bytes of a file of weights at most, as 5GB, 500MB, or a number: what is more goes into several files with an
    /// index.
    #[arg(long, value_name = "BYTES", default_value = "5GB", value_parser = parse_bytes)]
    shard_size: u64,
    /// The licence that the model card names, by its identifier on the Hub, as apache-2.0.
    #[arg(long, value_name = "NAME", value_parser = parse_license)]
    license: Option<String>,
}

pub(crate) fn run(args: Export) -> anyhow::Result<()> {
    let Named { path, note, .. } = Named::open(&args.run)?;
    run::refuse_mixing(&args.output, run::Holds::Model)?;
    let absolute = std::path::absolute(&path)?;
    // As `Named::open` has found its vocabulary.
    let owner = absolute.parent().and_then(Path::parent);
    let owner = owner.with_context(|| format!("{}: is no checkpoint of a run", path.display()))?;
    let vocab = owner.join(run::VOCAB);
    let vocab = std::fs::read(&vocab).with_context(|| vocab.display().to_string())?;
    let hub =
        hub_files(&vocab).map_err(|problem| anyhow::anyhow!("{}: {problem}", owner.join(run::VOCAB).display()))?;
    let options = SaveOptions {
        dtype: args.dtype,
        shard_bytes: args.shard_size,
        tasks: tasks_of(&note, owner)?,
    };
    let stale = args.output.join("tokenizer.json");
    anyhow::ensure!(
        hub.without_json.is_none() || !stale.exists(),
        "{}: is of another vocabulary; name another folder",
        stale.display()
    );
    let mut written = save(&note.model(&path)?, &args.output, &options)?;
    for (name, bytes) in &hub.files {
        write_atomic(&args.output.join(name), bytes)?;
        written.push((*name).to_owned());
    }
    if let Some(problem) = &hub.without_json {
        tell(format_args!(
            "tokenizer.json is left out, since Hugging Face's tokenizers would cut texts otherwise than this vocabulary: {problem}"
        ));
    }
    let card = card(&args, &note, owner, hub.without_json.is_none())?;
    match write_card(&args.output.join(CARD), &card)? {
        true => written.push(CARD.to_owned()),
        false => tell(format_args!("{CARD} is kept: it was not written by this command")),
    }
    tell(format_args!("{}: {}", args.output.display(), written.join(", ")));
    if args.license.is_none() {
        tell("The model card names no licence; say it by --license NAME, as --license apache-2.0");
    }
    Ok(())
}

/// What the model is asked for each task: as the model had it that the run was made of, and by the cards of what it was
/// trained on.
pub(super) fn tasks_of(note: &Checkpoint, run: &Path) -> anyhow::Result<TaskMap> {
    let mut all = tasks::of_folder(run)?;
    for source in &note.config.tasks {
        let Ok(task) = Task::open(&source.name) else {
            tell(format_args!(
                "{}: its card cannot be read any more, so config.json does not say how it is answered",
                source.name
            ));
            continue;
        };
        let decode = task.card.decode;
        let (length, beams) = (u32::try_from(decode.max_length)?, u16::try_from(decode.beams)?);
        // What a person would write: 0.6.
        let alpha: f64 = decode.alpha.to_string().parse()?;
        let params = TaskParams::new(task.card.inputs.start(), length, beams, alpha);
        all.insert(task.card.name, params);
    }
    Ok(all)
}

/// What the card says of a checkpoint; of its data only what is still there.
fn card(args: &Export, note: &Checkpoint, run: &Path, has_tokenizer: bool) -> anyhow::Result<String> {
    let config = &note.config;
    let name_of = |path: &Path| {
        let name = path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    };
    let of_source = |source: &Source| -> anyhow::Result<CorpusOfCard> {
        Ok(CorpusOfCard {
            name: name_of(&source.path),
            weight: source.weight,
            language: source.language.clone(),
            manifest: manifest_of(&source.path)?,
        })
    };
    let objective = config.feed.objective.resolve()?;
    let (tokens, measured) = measured(run, note.step)?;
    let mut settings = config.clone();
    // Where the corpora were on this machine is nobody's business.
    settings.corpora.clear();
    let card = ModelCard {
        name: name_of(&std::path::absolute(&args.output)?),
        license: args.license.clone(),
        model: config.model.clone(),
        dtype: args.dtype.name(),
        objective: config.feed.objective.name.name(),
        steps: note.step,
        rows: (config.feed.rows * config.batches_per_step) as u64,
        lengths: (objective.lengths().inputs, objective.lengths().targets),
        tokens,
        validation: note.validation_loss.map(|loss| (loss, note.step)).or(measured),
        corpora: config.corpora.iter().map(of_source).collect::<Result<_, _>>()?,
        vocab_sha256: note.vocab_sha256.clone(),
        settings: settings.to_toml(true)?,
        has_tokenizer,
    };
    Ok(card.to_markdown())
}

/// The manifest of a corpus that `c4 build` wrote; nothing where it was moved, or is of another kind.
fn manifest_of(path: &Path) -> anyhow::Result<Option<Manifest>> {
    match std::fs::metadata(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => Err(e).with_context(|| path.display().to_string()),
        Ok(found) if found.is_dir() => Ok(Manifest::read(path)?),
        Ok(_) => Ok(None),
    }
}

/// Writes the card; `false` where somebody else's file is in its place.
fn write_card(path: &Path, card: &str) -> anyhow::Result<bool> {
    match std::fs::read(path) {
        Err(e) if e.kind() == ErrorKind::NotFound => {}
        Err(e) => return Err(e).with_context(|| path.display().to_string()),
        Ok(content) if String::from_utf8_lossy(&content).contains(MARK) => {}
        Ok(_) => return Ok(false),
    }
    write_atomic(path, card.as_bytes())?;
    Ok(true)
}

/// `5GB`, `500MB`, `40KB`, `1000`: at least one byte.
fn parse_bytes(text: &str) -> Result<u64, String> {
    let units = [("GB", 1_000_000_000), ("MB", 1_000_000), ("KB", 1000), ("", 1)];
    let found = units
        .iter()
        .find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, bytes)));
    let (number, unit) = found.unwrap_or((text, &1));
    let bytes = number.parse().ok().and_then(|number: u64| number.checked_mul(*unit));
    let bytes = bytes.filter(|bytes| *bytes > 0);
    bytes.ok_or_else(|| "write a number of bytes above 0, as 5GB, 500MB, 40KB or 1000".to_owned())
}

/// An identifier, which goes into the head of the card as it is.
fn parse_license(text: &str) -> Result<String, String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    match !text.is_empty() && text.chars().all(is_part) {
        true => Ok(text.to_owned()),
        false => Err("write an identifier of the Hub's list of licences, as apache-2.0".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units() {
        for (text, bytes) in [("5GB", 5_000_000_000), ("40KB", 40_000), ("7", 7), ("2MB", 2_000_000)] {
            assert_eq!(parse_bytes(text), Ok(bytes));
        }
        for text in ["", "0", "GB", "-1", "5TB", "99999999999GB", "1.5GB"] {
            assert!(parse_bytes(text).is_err(), "{text}");
        }
    }
}
