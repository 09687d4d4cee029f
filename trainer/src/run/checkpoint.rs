//! A run on disk, so that it can go on to the bit: parameters, the optimiser's state, where the data is.
//!
//! A checkpoint is a folder `step-00001000` with `model.safetensors` (variables by their names),
//! `optimizer.safetensors` (one tensor, `state`) and `checkpoint.json`, which has the checksums of the other two. It is
//! written under another name, synced and renamed, so a folder of that name is whole. Random numbers need no state: all
//! are drawn by seed and step.
//!
//! Of a run that never trains some of its variables, a checkpoint has the others alone; those that keep their bits are
//! in the run's `base.safetensors`, written once, before the first checkpoint.
//!
//! Above 500 lines: all that knows the files of a checkpoint is here.

use super::settings::RunConfig;
use crate::Error;
use crate::base::limits;
use crate::base::tensor_file::{not_written, open_as};
use crate::feed::Cursor;
use crate::model::{Layout, T5, Variable};
use crate::optimizer::Optimizer;
use crate::vocab::Vocab;
use safetensors::tensor::{Dtype, SafeTensors, View};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::{self, File};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::Xxh3;

const MODEL: &str = "model.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
/// What a run's checkpoints stand on, in the run's folder: the variables that it never trains.
pub(crate) const BASE: &str = "base.safetensors";
/// What a checkpoint says of itself.
pub(crate) const NOTE: &str = "checkpoint.json";
const STATE: &str = "state";
const PREFIX: &str = "step-";
/// Of a checkpoint that is being written.
const PARTIAL: &str = ".partial";
/// Of one that is being removed.
const GONE: &str = ".gone";
/// Of one that could not be read.
const DAMAGED: &str = ".damaged";

/// XXH3 (128 bits) of a file's bytes, as hexadecimal digits: against damage, not against people.
fn checksum(path: &Path, mut bytes: impl Read) -> Result<String, Error> {
    let mut hash = Xxh3::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let read = c4_data::atomic_file::uninterrupted(|| bytes.read(&mut buffer));
        match read.map_err(|e| Error::io(path, e))? {
            0 => return Ok(format!("{:032x}", hash.digest128())),
            n => hash.update(&buffer[..n]),
        }
    }
}

/// What `checkpoint.json` holds: what a checkpoint is of, and how to read the rest of it.
///
/// ```
/// use std::path::Path;
/// use t5_trainer::Checkpoint;
/// let missing = Checkpoint::read(Path::new("run/checkpoints/step-00001000"));
/// assert!(missing.is_err_and(|error| error.to_string().contains("checkpoint.json")));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// Version of the program that wrote it.
    pub program: String,
    /// Steps that are done.
    pub step: u64,
    /// Where the data is; nothing where there was none.
    pub cursor: Option<Cursor>,
    /// Mean validation loss at this step, in nats a target.
    pub validation_loss: Option<f64>,
    /// The score of each task at this step: its headline number.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tasks: BTreeMap<String, f64>,
    /// What the run was fine-tuned from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
    /// The step at which the optimiser's state was last begun anew.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub optimizer_began: u64,
    /// SHA-256 of the vocabulary's file.
    pub vocab_sha256: String,
    /// XXH3 (128 bits) of the other files, by name; of a checkpoint that is older than this, none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub xxh3: BTreeMap<String, String>,
    /// XXH3 (128 bits) of the run's `base.safetensors`; none where the checkpoint has all variables itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_xxh3: Option<String>,
    /// The run's configuration.
    pub config: RunConfig,
}

/// What a run was fine-tuned from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// The checkpoint, or the folder of Hugging Face's.
    pub path: PathBuf,
    /// Steps that its model had; nothing of Hugging Face's models.
    pub step: Option<u64>,
    /// XXH3 (128 bits) of its parameters as F32, little-endian; nothing where only its shape and vocabulary were taken.
    pub xxh3: Option<String>,
    /// Steps that its optimiser's state, which was kept, had seen; 0: the state began anew.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub optimizer_steps: u64,
}

/// XXH3 (128 bits) of values as F32, little-endian, as hexadecimal digits.
pub(crate) fn checksum_of(values: &[f32]) -> String {
    let mut hash = Xxh3::new();
    for block in values.chunks(1 << 10) {
        let bytes: Vec<u8> = block.iter().flat_map(|value| value.to_le_bytes()).collect();
        hash.update(&bytes);
    }
    format!("{:032x}", hash.digest128())
}

impl Checkpoint {
    /// Steps that the optimiser's state has seen.
    pub(crate) fn optimizer_steps(&self) -> u64 {
        let kept = match (&self.origin, self.optimizer_began) {
            (Some(origin), 0) => origin.optimizer_steps,
            _ => 0,
        };
        self.step.saturating_sub(self.optimizer_began) + kept
    }

    /// The mean of the tasks' scores.
    pub(crate) fn average(&self) -> Option<f64> {
        let sum: f64 = self.tasks.values().sum();
        (!self.tasks.is_empty()).then(|| sum / self.tasks.len() as f64)
    }
}

fn is_zero(step: &u64) -> bool {
    *step == 0
}

/// Values as a tensor.
struct Values<'a>(&'a [f32], Vec<usize>);

impl View for Values<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }

    fn shape(&self) -> &[usize] {
        &self.1
    }

    fn data(&self) -> Cow<'_, [u8]> {
        self.0.iter().flat_map(|value| value.to_le_bytes()).collect()
    }

    fn data_len(&self) -> usize {
        size_of_val(self.0)
    }
}

/// The name of a checkpoint's folder.
fn name(step: u64) -> String {
    format!("{PREFIX}{step:08}")
}

/// The checkpoints in a folder, by step. What is not whole is none.
///
/// # Errors
/// The folder cannot be read; one that is missing holds none.
pub fn list(folder: &Path) -> Result<Vec<(u64, PathBuf)>, Error> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|e| Error::io(folder, e))?,
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.map_err(|e| Error::io(folder, e))?.path();
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        let step = file.strip_prefix(PREFIX).and_then(|step| step.parse().ok());
        if let Some(step) = step.filter(|step| name(*step) == file) {
            found.push((step, path));
        }
    }
    found.sort_unstable();
    Ok(found)
}

impl Checkpoint {
    /// Writes a checkpoint into `folder` and gives its own folder. Notes the checksums of its files.
    ///
    /// # Errors
    /// Something cannot be written; nothing is left of it then.
    pub fn write(&mut self, folder: &Path, model: &T5, optimizer: &Optimizer) -> Result<PathBuf, Error> {
        let target = folder.join(name(self.step));
        let partial = folder.join(format!("{}{PARTIAL}", name(self.step)));
        remove(&partial)?;
        let written = self.write_partial(&partial, model, optimizer);
        let renamed = written.and_then(|()| {
            // One of the same step is of the same run, before it went on from an earlier one.
            discard(&target)?;
            c4_data::atomic_file::rename(&partial, &target).map_err(|e| Error::io(&target, e))
        });
        if let Err(error) = renamed {
            // The error tells; on a full disk its room is wanted.
            let _ = remove(&partial);
            return Err(error);
        }
        Ok(target)
    }

    fn write_partial(&mut self, partial: &Path, model: &T5, optimizer: &Optimizer) -> Result<(), Error> {
        c4_data::atomic_file::create_folder(partial).map_err(|e| Error::io(partial, e))?;
        let all = self.config.last_layout()?;
        let variables = named(model, all.variables().iter().filter(|v| v.trained.is_some()));
        let begun = partial
            .parent()
            .is_some_and(|all| list(all).is_ok_and(|all| !all.is_empty()));
        write_tensors(&partial.join(MODEL), variables, begun)?;
        let state = optimizer.state();
        let state = [(STATE.to_owned(), Values(state, vec![state.len()]))];
        write_tensors(&partial.join(OPTIMIZER), state, begun)?;
        for file in [MODEL, OPTIMIZER] {
            let path = partial.join(file);
            let opened = File::open(&path).map_err(|e| Error::io(&path, e))?;
            self.xxh3.insert(file.to_owned(), checksum(&path, opened)?);
        }
        let path = partial.join(NOTE);
        fs::write(&path, self.json(&path)?).map_err(|e| Error::io(&path, e))?;
        for file in [MODEL, OPTIMIZER] {
            open_as(&partial.join(file), &path)?;
        }
        for file in [MODEL, OPTIMIZER, NOTE] {
            let path = partial.join(file);
            let synced = File::open(&path).and_then(|file| file.sync_all());
            synced.map_err(|e| Error::io(&path, e))?;
        }
        c4_data::atomic_file::sync_folder(partial).map_err(|e| Error::io(partial, e))
    }

    fn json(&self, path: &Path) -> Result<Vec<u8>, Error> {
        let mut json =
            serde_json::to_vec_pretty(self).map_err(|e| Error::format(path, format!("cannot be written: {e}")))?;
        json.push(b'\n');
        Ok(json)
    }

    /// Reads what a checkpoint says of itself.
    ///
    /// # Errors
    /// It is none, of another version, or says what cannot be.
    pub fn read(checkpoint: &Path) -> Result<Checkpoint, Error> {
        let path = checkpoint.join(NOTE);
        let bytes = fs::read(&path).map_err(|e| Error::io(&path, e))?;
        let note: Checkpoint = serde_json::from_slice(&bytes).map_err(|e| Error::format(&path, e.to_string()))?;
        note.validate()
            .map_err(|error| Error::format(&path, error.to_string()))?;
        Ok(note)
    }

    /// The file may come from anywhere.
    fn validate(&self) -> Result<(), Error> {
        let most = 0..=limits::COUNT;
        limits::whole("step", self.step, most.clone())?;
        if let Some(cursor) = &self.cursor {
            limits::whole("cursor.examples", cursor.examples, 0..=1 << 60)?;
            for at in &cursor.corpora {
                for (key, value) in [
                    ("epoch", at.epoch),
                    ("shard", at.shard),
                    ("document", at.document),
                    ("group", at.group),
                    ("example", at.example),
                ] {
                    limits::whole(key, value, most.clone()).map_err(|error| error.under("cursor.corpora"))?;
                }
            }
        }
        self.config.validate().map_err(|error| error.under("config"))
    }

    /// Notes the validation loss and the tasks' scores of a checkpoint that is written.
    ///
    /// # Errors
    /// The checkpoint's note cannot be read or written.
    pub fn note_evaluation(checkpoint: &Path, loss: Option<f64>, tasks: BTreeMap<String, f64>) -> Result<(), Error> {
        let mut note = Checkpoint::read(checkpoint)?;
        note.validation_loss = loss;
        note.tasks = tasks;
        let path = checkpoint.join(NOTE);
        Ok(c4_data::atomic_file::write_atomic(&path, &note.json(&path)?)?)
    }

    /// Opens the vocabulary that it was trained with.
    ///
    /// # Errors
    /// A file that cannot be read, or another vocabulary.
    pub fn vocab(&self, file: &Path) -> Result<Vocab, Error> {
        let sum = c4_data::atomic_file::sha256_file(file)?;
        if sum != self.vocab_sha256 {
            let problem = "is not the vocabulary that the run began with; put that back";
            return Err(Error::format(file, problem));
        }
        Vocab::open(file)
    }

    /// Reads one of its files, compared with the checksum.
    fn file(&self, checkpoint: &Path, name: &str) -> Result<(PathBuf, Vec<u8>), Error> {
        let path = checkpoint.join(name);
        let bytes = fs::read(&path).map_err(|e| Error::io(&path, e))?;
        match self.xxh3.get(name) {
            Some(sum) if *sum != checksum(&path, &bytes[..])? => {
                let problem =
                    "its checksum is not that of checkpoint.json; it was cut or changed, take an earlier checkpoint";
                Err(Error::format(&path, problem))
            }
            _ => Ok((path, bytes)),
        }
    }

    /// Reads its model, of a run that trains a part of it with the rest from the run's folder, in which the checkpoint
    /// lies.
    ///
    /// # Errors
    /// A file that is missing, cut, changed, or of another model.
    pub fn model(&self, checkpoint: &Path) -> Result<T5, Error> {
        let layout = self.config.last_layout()?;
        let (own, below): (Vec<_>, Vec<_>) = layout.variables().iter().partition(|v| v.trained.is_some());
        let mut parameters = layout.zeros()?;
        let mut read = |path: &Path, bytes: &[u8], variables: &[&Variable]| {
            let file = tensors(path, bytes)?;
            let mut variables = variables.iter();
            variables.try_for_each(|v| read_values(path, &file, &v.name, &mut parameters[v.range.clone()]))
        };
        if !below.is_empty() {
            let (path, bytes) = self.base(checkpoint)?;
            read(&path, &bytes, &below)?;
        }
        let (path, bytes) = self.file(checkpoint, MODEL)?;
        read(&path, &bytes, &own)?;
        T5::with_parameters(self.config.model.clone(), parameters)
    }

    /// Reads what a checkpoint stands on, compared with the checksum.
    fn base(&self, checkpoint: &Path) -> Result<(PathBuf, Vec<u8>), Error> {
        let folder = std::path::absolute(checkpoint).map_err(|e| Error::io(checkpoint, e))?;
        let path = folder.ancestors().nth(2).unwrap_or(&folder).join(BASE);
        let unusable = |what: &str| {
            let problem = format!(
                "{what}: it has the variables that this run does not train, without which its checkpoints are of no use; put it back \
                 from a copy of the run"
            );
            Error::format(&path, problem)
        };
        let bytes = match fs::read(&path) {
            Err(e) if e.kind() == ErrorKind::NotFound => return Err(unusable("is missing")),
            bytes => bytes.map_err(|e| Error::io(&path, e))?,
        };
        match &self.base_xxh3 {
            Some(sum) if *sum == checksum(&path, &bytes[..])? => Ok((path, bytes)),
            Some(_) => Err(unusable(
                "was changed or cut, its checksum is not that of checkpoint.json",
            )),
            None => Err(unusable("is not the one of this checkpoint, which notes none")),
        }
    }

    /// The layout of its model, with what its optimiser trains next.
    ///
    /// # Errors
    /// A pattern that matches nothing.
    pub(crate) fn layout(&self) -> Result<Layout, Error> {
        self.config.layout_at(self.step, self.optimizer_began)
    }

    /// Reads the state of its optimiser into `optimizer`.
    ///
    /// # Errors
    /// A file that is missing, cut, changed, or of another optimiser.
    pub fn optimizer(&self, checkpoint: &Path, layout: &Layout) -> Result<Optimizer, Error> {
        let (path, bytes) = self.file(checkpoint, OPTIMIZER)?;
        let mut optimizer = Optimizer::new(self.config.optimizer, layout);
        let mut state = vec![0.0; optimizer.state().len()];
        read_values(&path, &tensors(&path, &bytes)?, STATE, &mut state)?;
        optimizer.set_state(state)?;
        Ok(optimizer)
    }
}

/// Writes what the checkpoints of a run stand on into its folder; gives the checksum.
///
/// # Errors
/// The file cannot be written.
pub(super) fn write_base(run: &Path, model: &T5, layout: &Layout) -> Result<String, Error> {
    let (path, partial) = (run.join(BASE), run.join(format!("{BASE}.tmp")));
    let frozen = layout.variables().iter().filter(|v| v.trained.is_none());
    let write = || {
        write_tensors(&partial, named(model, frozen), false)?;
        let opened = File::open(&partial).map_err(|e| Error::io(&partial, e))?;
        opened.sync_all().map_err(|e| Error::io(&partial, e))?;
        let sum = checksum(&partial, opened)?;
        c4_data::atomic_file::rename(&partial, &path).map_err(|e| Error::io(&path, e))?;
        c4_data::atomic_file::sync_folder(run).map_err(|e| Error::io(run, e))?;
        Ok(sum)
    };
    let written = write();
    if written.is_err() {
        // The error tells; on a full disk its room is wanted.
        let _ = fs::remove_file(&partial);
    }
    written
}

/// Whether an error is of what all checkpoints of a run stand on, so that no other checkpoint is better.
pub(super) fn is_of_base(error: &Error) -> bool {
    matches!(error, Error::Format { path, .. } | Error::Io { path, .. } if path.ends_with(BASE))
}

/// Variables of a model with their names.
fn named<'m>(
    model: &'m T5,
    variables: impl Iterator<Item = &'m Variable>,
) -> impl Iterator<Item = (String, Values<'m>)> {
    variables.map(|variable| {
        let values = &model.parameters()[variable.range.clone()];
        (variable.name.clone(), Values(values, variable.shape.clone()))
    })
}

/// Whether an error is of the file, and not of the system's limits, rights or memory, say.
pub(crate) fn is_damage(cause: &io::Error) -> bool {
    // The system's "input/output error" has no name of its own.
    const EIO: i32 = 5;
    is_content(cause) || cause.raw_os_error() == Some(EIO)
}

/// Whether an error is of what a file holds, so that another try gives the same.
fn is_content(cause: &io::Error) -> bool {
    matches!(
        cause.kind(),
        ErrorKind::NotFound | ErrorKind::InvalidData | ErrorKind::UnexpectedEof
    )
}

/// By what a checkpoint can be the best.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum BestBy {
    /// The loss over the documents of corpora.
    Loss,
    /// The score of a task.
    Task(String),
    /// The mean of the tasks' scores.
    Average,
}

impl Checkpoint {
    /// What the checkpoint is worth, by whatever was measured of it; more is better.
    fn worth(&self) -> Vec<(BestBy, f64)> {
        let loss = self.validation_loss.map(|loss| (BestBy::Loss, -loss));
        let average = self.average().map(|average| (BestBy::Average, average));
        let tasks = self
            .tasks
            .iter()
            .map(|(task, score)| (BestBy::Task(task.clone()), *score));
        tasks.chain(loss).chain(average).collect()
    }
}

/// The step of the best checkpoint in a folder, by each measure that one of them has; the earlier one of equals.
///
/// # Errors
/// A checkpoint cannot be read; one that is damaged is not the best.
pub fn best(folder: &Path) -> Result<BTreeMap<BestBy, u64>, Error> {
    let mut best: BTreeMap<BestBy, (f64, u64)> = BTreeMap::new();
    for (step, path) in list(folder)? {
        let note = match Checkpoint::read(&path) {
            // A disk that fails once must not cost the best of them.
            Err(Error::Io { path, cause }) if !is_content(&cause) => {
                return Err(Error::Io { path, cause });
            }
            Err(_) => continue,
            Ok(note) => note,
        };
        for (by, worth) in note.worth() {
            if best.get(&by).is_none_or(|(most, _)| worth > *most) {
                best.insert(by, (worth, step));
            }
        }
    }
    Ok(best.into_iter().map(|(by, (_, step))| (by, step)).collect())
}

/// Removes all checkpoints but the last `keep`, the [`best`] ones, and the remains of broken ones.
///
/// # Errors
/// A checkpoint cannot be read, or a folder cannot be removed; nothing is removed before all are read.
pub fn prune(folder: &Path, keep: usize) -> Result<(), Error> {
    let all = list(folder)?;
    let best: BTreeSet<u64> = best(folder)?.into_values().collect();
    let old = all.len().saturating_sub(keep);
    for (step, path) in &all[..old] {
        if !best.contains(step) {
            discard(path)?;
        }
    }
    // Of processes that were killed.
    let entries = fs::read_dir(folder).map_err(|e| Error::io(folder, e))?;
    for entry in entries {
        let path = entry.map_err(|e| Error::io(folder, e))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with(PREFIX) && (name.ends_with(PARTIAL) || name.ends_with(GONE)) {
            remove(&path)?;
        }
    }
    Ok(())
}

/// Sets a damaged checkpoint aside under a name that is no checkpoint's, and gives that.
///
/// # Errors
/// It cannot be renamed.
pub fn set_aside(checkpoint: &Path) -> Result<PathBuf, Error> {
    let mut aside = checkpoint.as_os_str().to_owned();
    aside.push(DAMAGED);
    let aside = PathBuf::from(aside);
    remove(&aside)?;
    fs::rename(checkpoint, &aside).map_err(|e| Error::io(checkpoint, e))?;
    Ok(aside)
}

/// Removes a checkpoint, which is none from the first moment on.
fn discard(checkpoint: &Path) -> Result<(), Error> {
    let mut gone = checkpoint.as_os_str().to_owned();
    gone.push(GONE);
    let gone = PathBuf::from(gone);
    remove(&gone)?;
    match fs::rename(checkpoint, &gone) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        Err(e) => Err(Error::io(checkpoint, e)),
        Ok(()) => remove(&gone),
    }
}

fn remove(folder: &Path) -> Result<(), Error> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != ErrorKind::NotFound => Err(Error::io(folder, e)),
        _ => Ok(()),
    }
}

fn write_tensors<'a>(
    path: &Path,
    tensors: impl IntoIterator<Item = (String, Values<'a>)>,
    begun: bool,
) -> Result<(), Error> {
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    let advice = match begun {
        true => "make room, and go on by --resume",
        false => "make room, and give the same command again",
    };
    safetensors::serialize_to_file(tensors, Some(metadata), path).map_err(|e| not_written(path, e, advice))
}

fn tensors<'a>(path: &Path, bytes: &'a [u8]) -> Result<SafeTensors<'a>, Error> {
    SafeTensors::deserialize(bytes)
        .map_err(|e| Error::format(path, format!("{e}; it was cut or changed, take an earlier checkpoint")))
}

fn read_values(path: &Path, file: &SafeTensors<'_>, name: &str, values: &mut [f32]) -> Result<(), Error> {
    let tensor = file
        .tensor(name)
        .map_err(|e| Error::format(path, format!("`{name}`: {e}")))?;
    let (quads, rest) = tensor.data().as_chunks::<4>();
    if tensor.dtype() != Dtype::F32 || quads.len() != values.len() || !rest.is_empty() {
        let is = tensor.shape();
        let problem = format!(
            "`{name}` is {is:?}, not {} values in F32: of another model",
            values.len()
        );
        return Err(Error::format(path, problem));
    }
    for (value, bytes) in values.iter_mut().zip(quads) {
        *value = f32::from_le_bytes(*bytes);
    }
    Ok(())
}
