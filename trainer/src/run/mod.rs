//! A run in its folder: configuration, vocabulary, checkpoints, metrics; begun or gone on with.
//!
//! | name | what |
//! |---|---|
//! | `vocab.model` | the vocabulary, copied when the run began |
//! | `checkpoints/step-…/` | see [`checkpoint`] |
//! | `base.safetensors` | where a part of the model is trained (`transfer`), the rest of it |
//! | `corpora.json` | sizes and checksums of files that `c4 build` did not write |
//! | `metrics.jsonl` | one line a step, one a validation |
//! | `events.out.tfevents.…` | the same for TensorBoard, a file each time the run was begun or gone on with |
//! | `lock` | held by whoever trains; dies with the process |
//!
//! Above 500 lines: how a run is begun and gone on with is one story.

mod axis;
mod begun;
pub mod checkpoint;
pub mod evaluation;
pub mod memory;
pub(crate) mod metrics;
pub mod plot;
pub mod reference;
mod rows;
pub mod settings;
mod tensorboard;
mod together;
pub mod train;
pub mod transfer;

use crate::Error;
use crate::backend::{self, Device, DeviceModel, Precision};
use crate::feed::Cursor;
use crate::model::{Layout, T5, Variable};
use crate::optimizer::Optimizer;
use crate::processes::Communicator;
use crate::rows::RowFile;
use crate::rows::sizes::{self, FileSize};
use crate::vocab;
use crate::vocab::Vocab;
use begun::Begun;
use c4_data::Manifest;
use checkpoint::{Checkpoint, Origin};
use evaluation::Evaluation;
use settings::RunConfig;
use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The vocabulary of a run.
pub const VOCAB: &str = "vocab.model";
/// The folder of its checkpoints.
pub const CHECKPOINTS: &str = "checkpoints";
/// What it has measured.
pub const METRICS: &str = "metrics.jsonl";
const LOCK: &str = "lock";

/// What a run that goes on begins anew; model and step always stay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Anew {
    /// The corpora are read from their start, so that they, `feed.seed` and the objective may be others.
    pub data: bool,
    /// The optimiser has seen nothing yet, so that it may be another.
    pub optimizer: bool,
}

/// Everything that a step changes or reads.
pub struct Run {
    /// The folder of the run.
    pub folder: PathBuf,
    /// The configuration of the run.
    pub config: RunConfig,
    /// The vocabulary of the run.
    pub vocab: Arc<Vocab>,
    /// The model and its optimiser, and the device that they are on.
    pub backend: Box<dyn DeviceModel>,
    /// The variables of the model, and which are trained in the next step.
    pub layout: Layout,
    /// Steps that are done.
    pub step: u64,
    /// Where the data is.
    pub cursor: Option<Cursor>,
    /// Why newer checkpoints were not gone on with, and what became of them.
    pub passed_over: Vec<String>,
    /// The last checkpoint that was written or read.
    pub saved: Option<u64>,
    /// The step at which the optimiser's state was last begun anew: it counts its own steps from there.
    pub optimizer_began: u64,
    /// What the run was fine-tuned from.
    pub origin: Option<Origin>,
    /// The checksum of what the checkpoints stand on, where it is written.
    base_xxh3: Option<String>,
    /// The corpora's files when the run was last begun or gone on with.
    noted: Vec<FileSize>,
    vocab_sha256: String,
    /// Of the folder; of rank 0 alone, which writes there.
    lock: Option<Lock>,
    communicator: Communicator,
}

impl Run {
    /// Begins a run in a folder, which is made where it is missing.
    ///
    /// # Errors
    /// The folder holds a run or somebody trains in it; a vocabulary that cannot be read or has more ids than the
    /// model; settings that cannot be.
    pub fn begin(folder: &Path, config: RunConfig, vocab: &Path) -> Result<Run, Error> {
        let model = |config: &RunConfig| T5::new(config.model.clone(), config.seed);
        Run::begin_with(folder, config, vocab, model)
    }

    /// Begins a run with a model that is there already, at step 0 and with an optimiser that has seen nothing yet.
    /// Where the configuration has adapters and the model none, it gets new ones.
    ///
    /// # Errors
    /// As [`begin`](Run::begin); a configuration of another model.
    pub fn import(folder: &Path, config: RunConfig, vocab: &Path, model: T5) -> Result<Run, Error> {
        let model = model.with_adapters(config.model.adapter, config.seed)?;
        if Layout::new(&config.model) != Layout::new(model.config()) {
            return Err(Error::Setting(
                "these settings are of a model of another shape; leave out those of its sizes".into(),
            ));
        }
        Run::begin_with(folder, config, vocab, |config| {
            T5::with_parameters(config.model.clone(), model.into_parameters())
        })
    }

    /// Begins a run at step 0 with what another one has learned; `optimizer`: the state of its optimiser, which is gone
    /// on with.
    ///
    /// # Errors
    /// As [`import`](Run::import); the state of another kind of optimiser.
    pub(crate) fn finetune(
        folder: &Path,
        config: RunConfig,
        vocab: &Path,
        model: T5,
        optimizer: Option<Vec<f32>>,
        origin: Origin,
    ) -> Result<Run, Error> {
        let mut run = Run::import(folder, config, vocab, model)?;
        if let Some(state) = optimizer {
            let (model, optimizer) = run.backend.into_host()?;
            let mut optimizer = optimizer.unwrap_or_else(|| Optimizer::new(run.config.optimizer, model.layout()));
            optimizer.set_state(state)?;
            run.backend = backend::on_cpu(model, Some(optimizer));
        }
        run.origin = Some(origin);
        Ok(run)
    }

    fn begin_with(
        folder: &Path,
        config: RunConfig,
        vocab: &Path,
        model: impl FnOnce(&RunConfig) -> Result<T5, Error>,
    ) -> Result<Run, Error> {
        refuse_mixing(folder, Holds::Run)?;
        refuse_run(folder)?;
        let begun = Begun::new(folder);
        c4_data::atomic_file::create_folder(folder).map_err(|e| Error::io(folder, e))?;
        let mut lock = Lock::take(folder)?;
        // Another process may have been there in between.
        refuse_run(folder)?;
        lock.begun = Some(begun);
        let opened = Vocab::open(vocab)?;
        check(&opened, &config, vocab)?;
        let bytes = vocab::sentencepiece(vocab)?;
        let model = model(&config)?;
        let copy = folder.join(VOCAB);
        c4_data::atomic_file::write_atomic(&copy, &bytes)?;
        let metrics = folder.join(METRICS);
        fs::write(&metrics, "").map_err(|e| Error::io(&metrics, e))?;
        tensorboard::remove(folder)?;
        let layout = config.layout_at(0, 0)?;
        let mut model = model;
        model.set_layout(&layout);
        let optimizer = Optimizer::new(config.optimizer, &layout);
        Ok(Run {
            folder: folder.to_owned(),
            vocab: Arc::new(opened),
            layout,
            backend: backend::on_cpu(model, Some(optimizer)),
            config,
            step: 0,
            cursor: None,
            passed_over: Vec::new(),
            saved: None,
            optimizer_began: 0,
            base_xxh3: None,
            origin: None,
            noted: Vec::new(),
            vocab_sha256: c4_data::atomic_file::sha256_hex(&bytes),
            lock: Some(lock),
            communicator: Communicator::alone(),
        })
    }

    /// Goes on with the last good checkpoint of a run, its configuration changed by `key=value` settings. Newer ones
    /// that are damaged are set aside, see [`passed_over`](Run::passed_over).
    ///
    /// # Errors
    /// No run there, or somebody trains in it; no good checkpoint; a damaged vocabulary; settings that do not go with
    /// it, unless what they are of begins anew.
    pub fn resume(folder: &Path, settings: &[String], anew: Anew) -> Result<Run, Error> {
        let checkpoints = checkpoint::list(&folder.join(CHECKPOINTS))?;
        if checkpoints.is_empty() {
            return Err(Error::format(
                folder,
                "holds no checkpoint to go on with; begin without --resume",
            ));
        }
        let lock = Lock::take(folder)?;
        let mut damaged = Vec::new();
        let mut newest = checkpoints.into_iter().rev();
        let (note, model, optimizer) = loop {
            let Some((_, path)) = newest.next() else {
                let problems: Vec<String> = damaged.into_iter().map(|(_, problem)| problem).collect();
                let problem = format!("holds no good checkpoint: {}", problems.join("; "));
                return Err(Error::format(folder, problem));
            };
            match read(&path) {
                Ok(read) => break read,
                Err(error) if checkpoint::is_of_base(&error) => return Err(error),
                // Nothing is wrong with the checkpoint.
                Err(Error::Io { path, cause }) if !checkpoint::is_damage(&cause) => {
                    return Err(Error::Io { path, cause });
                }
                Err(error) => damaged.push((path, error.to_string())),
            }
        };
        // All that the user says is looked at before a damaged checkpoint is set aside.
        let config = note.config.with(settings)?;
        if Layout::new(&config.model) != *model.layout() {
            return Err(Error::Setting(
                "these settings are of a model of another shape than the run's; leave out those of its sizes".into(),
            ));
        }
        config.refuse_other_transfer(&note.config)?;
        let optimizer_began = match anew.optimizer {
            true => note.step,
            false => note.optimizer_began,
        };
        let layout = config.layout_at(note.step, optimizer_began)?;
        let mut model = T5::with_parameters(config.model.clone(), model.into_parameters())?;
        model.set_layout(&layout);
        let optimizer = match config.optimizer == note.config.optimizer {
            _ if anew.optimizer => Optimizer::new(config.optimizer, &layout),
            true => optimizer.retrained(&layout),
            false => {
                let state = optimizer.state().to_vec();
                let mut changed = Optimizer::new(config.optimizer, &note.layout()?);
                changed.set_state(state)?;
                changed.retrained(&layout)
            }
        };
        let cursor = note.cursor.clone().filter(|_| !anew.data);
        let mut run = Run {
            folder: folder.to_owned(),
            vocab: Arc::new(note.vocab(&folder.join(VOCAB))?),
            layout,
            backend: backend::on_cpu(model, Some(optimizer)),
            config,
            step: note.step,
            cursor,
            passed_over: Vec::new(),
            saved: Some(note.step),
            optimizer_began,
            origin: note.origin.clone(),
            base_xxh3: note.base_xxh3,
            noted: sizes::read(folder)?,
            vocab_sha256: note.vocab_sha256,
            lock: Some(lock),
            communicator: Communicator::alone(),
        };
        for (path, problem) in damaged {
            let aside = checkpoint::set_aside(&path)?;
            let aside = aside.display();
            run.passed_over
                .push(format!("{problem}; it is passed over, and now {aside}"));
        }
        run.cut_metrics()?;
        Ok(run)
    }

    /// Notes the files of corpora and tasks that no build wrote; of a run that goes on in its corpora, refuses others
    /// than it has noted.
    ///
    /// # Errors
    /// A file has changed, is missing or is new; the note cannot be written.
    pub(crate) fn note_files(&self, files: &[RowFile]) -> Result<(), Error> {
        if self.cursor.is_some() {
            sizes::compare(&self.noted, files)?;
        }
        match files.is_empty() {
            true => Ok(()),
            false => sizes::write(&self.folder, files),
        }
    }

    /// Refuses a vocabulary that is not the run's.
    ///
    /// # Errors
    /// It cannot be read, or is another one.
    pub fn check_vocab(&self, file: &Path) -> Result<(), Error> {
        if c4_data::atomic_file::sha256_hex(&vocab::sentencepiece(file)?) == self.vocab_sha256 {
            return Ok(());
        }
        let problem = format!(
            "is not the vocabulary that the run in {} began with; leave out --vocab, or begin another run",
            self.folder.display()
        );
        Err(Error::format(file, problem))
    }

    /// Takes model and optimiser to a device, to be trained there from here on.
    ///
    /// # Errors
    /// See [`backend::open`].
    pub fn place(self, device: Device, precision: Precision) -> Result<Run, Error> {
        let (model, optimizer) = self.backend.into_host()?;
        let backend = backend::open(device, precision, model, optimizer)?;
        Ok(Run { backend, ..self })
    }

    /// Where the run is, as `checkpoint.json` has it.
    fn note(&self) -> Checkpoint {
        Checkpoint {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            step: self.step,
            cursor: self.cursor.clone(),
            validation_loss: None,
            tasks: BTreeMap::new(),
            origin: self.origin.clone(),
            optimizer_began: self.optimizer_began,
            vocab_sha256: self.vocab_sha256.clone(),
            xxh3: BTreeMap::new(),
            base_xxh3: self.base_xxh3.clone(),
            config: self.config.clone(),
        }
    }

    /// Refuses to write into a folder that is another run's by now.
    fn check_lock(&self) -> Result<(), Error> {
        self.lock.as_ref().map_or(Ok(()), Lock::check)
    }

    /// Writes a checkpoint of where the run is.
    ///
    /// # Errors
    /// It cannot be written, a parameter is not finite, or the folder is another run's by now.
    pub fn save(&mut self) -> Result<PathBuf, Error> {
        self.check_lock()?;
        let layout = self.config.last_layout()?;
        let mut note = self.note();
        let (model, optimizer) = self.backend.host()?;
        let (model, optimizer) = (model, optimizer.expect("a run has an optimiser"));
        if let Some(name) = not_finite(&self.layout, model.parameters()) {
            return Err(Error::Diverged(format!(
                "after step {}: parameter {name} is not finite, so no checkpoint was written; {}",
                self.step,
                advice_after_divergence(&self.folder)?
            )));
        }
        let is_written = self.base_xxh3.is_some();
        if !is_written && layout.variables().iter().any(|v| v.trained.is_none()) {
            self.base_xxh3 = Some(checkpoint::write_base(&self.folder, model, &layout)?);
        }
        note.base_xxh3 = self.base_xxh3.clone();
        let folder = self.folder.join(CHECKPOINTS);
        let path = note.write(&folder, model, optimizer)?;
        self.keep();
        self.saved = Some(self.step);
        Ok(path)
    }

    /// Trains from here on what the configuration says of the step that is next.
    ///
    /// # Errors
    /// The device fails.
    pub(crate) fn train_what_is_due(&mut self) -> Result<(), Error> {
        if self.config.transfer.episodes(&self.config.model) == 1 {
            return Ok(());
        }
        let layout = self.config.layout_at(self.step, self.optimizer_began)?;
        if layout != self.layout {
            self.backend.train(&layout)?;
            self.layout = layout;
        }
        Ok(())
    }

    /// Keeps the folder of a new run from here on: something was trained. Until then, a run that ends leaves nothing
    /// behind.
    pub(crate) fn keep(&mut self) {
        if let Some(lock) = &mut self.lock {
            lock.begun = None;
        }
    }

    /// Notes what was measured at this step with its checkpoint, if it has one.
    ///
    /// # Errors
    /// The checkpoint cannot be read or written.
    pub fn note_evaluation(&self, found: &Evaluation) -> Result<(), Error> {
        if self.saved != Some(self.step) {
            return Ok(());
        }
        self.check_lock()?;
        let all = checkpoint::list(&self.folder.join(CHECKPOINTS))?;
        match all.iter().find(|(step, _)| *step == self.step) {
            Some((_, path)) => {
                let loss = found.loss.as_ref().map(|loss| loss.validation_loss);
                let tasks = found.tasks.iter().map(|of| (of.task.clone(), of.headline));
                Checkpoint::note_evaluation(path, loss, tasks.collect())
            }
            None => Ok(()),
        }
    }

    /// Removes the checkpoints that are too many.
    ///
    /// # Errors
    /// See [`checkpoint::prune`].
    pub fn prune(&self) -> Result<(), Error> {
        self.check_lock()?;
        checkpoint::prune(&self.folder.join(CHECKPOINTS), self.config.checkpoints_kept)
    }

    /// Whether a validation is due at this step and was not made yet, as when a process ended between a checkpoint and
    /// its validation.
    ///
    /// # Errors
    /// The metrics cannot be read.
    pub fn lacks_evaluation(&self) -> Result<bool, Error> {
        if !self.config.evaluates_after(self.step) {
            return Ok(false);
        }
        let path = self.folder.join(METRICS);
        let text = fs::read_to_string(&path).map_err(|e| Error::io(&path, e))?;
        let found = text.lines().rev().any(|line| {
            let line: Result<serde_json::Value, _> = serde_json::from_str(line);
            let measured = |line: &serde_json::Value| line.get("validation_loss").or(line.get("tasks")).is_some();
            line.is_ok_and(|line| line["step"] == self.step && measured(&line))
        });
        Ok(!found)
    }

    /// Takes off the metrics of steps that are after the checkpoint.
    fn cut_metrics(&self) -> Result<(), Error> {
        let path = self.folder.join(METRICS);
        let text = match fs::read_to_string(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => String::new(),
            text => text.map_err(|e| Error::io(&path, e))?,
        };
        let before = |line: &&str| {
            let line: Result<serde_json::Value, _> = serde_json::from_str(line);
            line.is_ok_and(|line| line["step"].as_u64().is_some_and(|step| step <= self.step))
        };
        let lines: String = text.lines().filter(before).flat_map(|line| [line, "\n"]).collect();
        Ok(c4_data::atomic_file::write_atomic(&path, lines.as_bytes())?)
    }
}

/// Refuses a folder with checkpoints.
fn refuse_run(folder: &Path) -> Result<(), Error> {
    match checkpoint::list(&folder.join(CHECKPOINTS))?.is_empty() {
        true => Ok(()),
        false => Err(Error::format(
            folder,
            "holds a run; go on with it by --resume, or name another folder",
        )),
    }
}

/// The first variable with a value of `parameters` that is not finite.
pub(crate) fn not_finite<'l>(layout: &'l Layout, parameters: &[f32]) -> Option<&'l str> {
    first_not_finite(layout, parameters, |variable| Some(&variable.range))
}

/// The first variable with one of `gradients` that is not finite.
pub(crate) fn gradient_not_finite<'l>(layout: &'l Layout, gradients: &[f32]) -> Option<&'l str> {
    first_not_finite(layout, gradients, |variable| variable.gradient.as_ref())
}

fn first_not_finite<'l>(
    layout: &'l Layout,
    values: &[f32],
    place: impl Fn(&Variable) -> Option<&Range<usize>>,
) -> Option<&'l str> {
    let is_bad = |range: &Range<usize>| values[range.clone()].iter().any(|x| !x.is_finite());
    let mut bad = layout.variables().iter().filter(|v| place(v).is_some_and(is_bad));
    bad.next().map(|variable| &*variable.name)
}

/// What to do after the run in a folder has diverged.
///
/// # Errors
/// The run's checkpoints cannot be listed.
pub(crate) fn advice_after_divergence(folder: &Path) -> Result<String, Error> {
    let last = checkpoint::list(&folder.join(CHECKPOINTS))?.pop();
    Ok(match last {
        Some((step, _)) => format!(
            "the checkpoint of step {step} is good: go on from there by --resume with a lower learning rate or with clip_norm"
        ),
        None => "there is no checkpoint yet: begin anew with a lower learning rate or with clip_norm".to_owned(),
    })
}

/// A whole checkpoint.
fn read(path: &Path) -> Result<(Checkpoint, T5, Optimizer), Error> {
    let note = Checkpoint::read(path)?;
    let model = note.model(path)?;
    let optimizer = note.optimizer(path, &note.layout()?)?;
    Ok((note, model, optimizer))
}

/// What a folder is to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// A run.
    Run,
    /// A model for Hugging Face's transformers.
    Model,
}

/// Refuses a folder that holds something else, with which the new files would be mixed: a corpus, a run, a model.
///
/// # Errors
/// Names what is there.
pub fn refuse_mixing(folder: &Path, new: Holds) -> Result<(), Error> {
    let there = |name: &str| folder.join(name).exists();
    let what = match new {
        _ if there(Manifest::FILE) => "a corpus",
        Holds::Run if there("config.json") || there("model.safetensors") => "a model",
        Holds::Model if there(CHECKPOINTS) || there(VOCAB) => "a run",
        Holds::Model if there("checkpoint.json") => "a checkpoint",
        // Who reads the folder would take the files of the index.
        Holds::Model if there("model.safetensors.index.json") => "a model in several files",
        _ => return Ok(()),
    };
    let problem = format!("holds {what}; name another folder");
    Err(Error::format(folder, problem))
}

/// The lock of a run's folder: a file that is locked. A folder that was removed and made anew by another run has
/// another file by the same name, so it is the file that counts.
struct Lock {
    path: PathBuf,
    file: File,
    /// Of a new run, until it has something to keep.
    begun: Option<Begun>,
}

impl Drop for Lock {
    /// Under the lock: what is removed is this run's.
    fn drop(&mut self) {
        if let Some(begun) = self.begun.take()
            && self.check().is_ok()
        {
            begun.remove();
        }
    }
}

impl Lock {
    fn take(folder: &Path) -> Result<Lock, Error> {
        let path = folder.join(LOCK);
        let file = File::create(&path).map_err(|e| Error::io(&path, e))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(Error::format(
                    folder,
                    "another process trains in this folder; wait for it, or name another folder",
                ));
            }
            Err(TryLockError::Error(e)) => return Err(Error::io(&path, e)),
        }
        let lock = Lock {
            path,
            file,
            begun: None,
        };
        lock.check()?;
        Ok(lock)
    }

    /// Refuses to go on where the folder does not hold this very file any more.
    fn check(&self) -> Result<(), Error> {
        let ours = self.file.metadata().map_err(|e| Error::io(&self.path, e))?;
        match fs::metadata(&self.path) {
            Ok(there) if is_same(&ours, &there) => Ok(()),
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(Error::io(&self.path, e)),
            _ => Err(Error::format(
                &self.path,
                "is not the file that this run has locked: its folder was removed, or made anew by another run; nothing more is \
                 written there, and the steps since this run's last checkpoint are lost",
            )),
        }
    }
}

/// Whether both are of one file.
#[cfg(unix)]
fn is_same(a: &fs::Metadata, b: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

/// Whether both are of one file: elsewhere a folder with an open file in it cannot be removed.
#[cfg(not(unix))]
fn is_same(_: &fs::Metadata, _: &fs::Metadata) -> bool {
    true
}

fn check(vocab: &Vocab, config: &RunConfig, path: &Path) -> Result<(), Error> {
    let rows = config.model.vocab_size;
    if vocab.size() as usize > rows {
        let problem = format!(
            "has {} ids, but the model's embedding {rows} rows; set model.vocab_size to {} or more",
            vocab.size(),
            vocab.size().div_ceil(128) * 128
        );
        return Err(Error::format(path, problem));
    }
    Ok(())
}
