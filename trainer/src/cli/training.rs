//! What `t5 pretrain` and `t5 finetune` share: who trains, what is told before, the loop, and how it ends.

use super::output::tell;
use super::pretrain::thousands;
use super::processes::{Joined, ProcessArgs};
use super::progress::{Bar, Progress};
use super::settings::{DeviceArgs, ThreadsArg, tell_of_corpora};
use super::tasks::{TrainedTaskArgs, tell_of_tasks};
use crate::backend::Device;
use crate::processes::Communicator;
use crate::rows::Source;
use crate::run::memory;
use crate::run::settings::RunConfig;
use crate::run::train::{Ending, train};
use crate::run::{Anew, Run};
use clap::Args;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

/// Where it is trained, and by whom.
#[derive(Debug, Args)]
pub(super) struct MachineArgs {
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    threads: ThreadsArg,
    #[command(flatten)]
    processes: ProcessArgs,
}

/// How a run is gone on with.
#[derive(Debug, Args)]
pub(super) struct ResumeArgs {
    /// Go on with the run in the folder; --corpus PATH says where its corpus was moved to, --data DIR where its tasks'
    /// rows were.
    #[arg(long)]
    pub resume: bool,
    /// With --resume: read the data from its start, so that --corpus, --task, feed.seed and the objective may be
    /// others; model, optimiser and step stay.
    #[arg(long, requires = "resume")]
    new_data: bool,
    /// With --resume: an optimiser that has seen nothing yet, so that it may be another; model and step stay.
    #[arg(long, requires = "resume")]
    new_optimizer: bool,
}

impl MachineArgs {
    /// Trains the run that `open` begins or goes on with, told the device and how many processes there are, in the
    /// folder `output`. `rows_are_said`: `feed.rows` stay, whatever memory there is.
    pub(super) fn train(
        &self,
        output: &Path,
        rows_are_said: bool,
        open: impl FnOnce(Device, usize) -> anyhow::Result<Run>,
    ) -> anyhow::Result<ExitCode> {
        let (communicator, joined) = self.processes.join(&self.device)?;
        let ended = self.train_among(output, rows_are_said, open, communicator, &joined);
        joined.end(ended)
    }

    fn train_among(
        &self,
        output: &Path,
        rows_are_said: bool,
        open: impl FnOnce(Device, usize) -> anyhow::Result<Run>,
        communicator: Communicator,
        joined: &Joined,
    ) -> anyhow::Result<ExitCode> {
        self.threads.start_among(joined.on_machine)?;
        let (leads, processes) = (communicator.leads(), communicator.size());
        let (device, precision) = self.device.find_among(joined.gpu, processes)?;
        // Who has said how many rows there are at a time gets them; several processes share a step's batches as they
        // are.
        let fits_rows = !rows_are_said && device.has_own_memory() && processes == 1;
        let run = match leads {
            true => open(device, processes)?.share(communicator)?,
            false => Run::join(output, communicator)?,
        };
        let mut run = run.place(device, precision)?;
        if fits_rows {
            run.fit_rows()?;
            let (rows, batches) = (run.config.feed.rows, run.config.batches_per_step);
            tell(format_args!(
                "By its memory: feed.rows = {rows}, batches_per_step = {batches}"
            ));
        }
        // One process tells what all do.
        if let (true, Some(name)) = (leads, run.backend.name()) {
            tell(format_args!("On {name}"));
        }
        let mut progress = match leads {
            true => Some(Progress::new(&run)?),
            false => None,
        };
        let stop = listen(progress.as_ref().map(|progress| progress.bar.clone()))?;
        let trained = train(&mut run, |event| {
            if let Some(progress) = &mut progress {
                progress.tell(event);
            }
            stop.load(Ordering::Relaxed) == 0
        });
        if let Some(progress) = &mut progress {
            progress.finish();
        }
        let ending = trained?;
        let step = run.step;
        if ending == Ending::Stopped {
            if leads {
                tell(format_args!("Stopped after step {step}; --resume goes on."));
            }
            let signal = match stop.load(Ordering::Relaxed) {
                // It was another process that was told to stop.
                0 => SIGTERM,
                signal => signal,
            };
            // As a shell would say it.
            return Ok(ExitCode::from(u8::try_from(128 + signal).unwrap_or(1)));
        }
        if leads {
            tell(format_args!(
                "Done after step {step}. The run is in {}.",
                output.display()
            ));
        }
        Ok(ExitCode::SUCCESS)
    }
}

impl ResumeArgs {
    /// Goes on with the run in a folder, after its head is told.
    pub(super) fn open(
        &self,
        output: &Path,
        settings: &[String],
        (corpora, tasks): (Vec<Source>, &TrainedTaskArgs),
        vocab: Option<&Path>,
        (device, processes): (Device, usize),
    ) -> anyhow::Result<Run> {
        let anew = Anew {
            data: self.new_data,
            optimizer: self.new_optimizer,
        };
        let mut run = Run::resume(output, settings, anew)?;
        if let Some(vocab) = vocab {
            run.check_vocab(vocab)?;
        }
        run.passed_over.iter().for_each(tell);
        take_corpora(&mut run.config, corpora);
        tasks.apply(&mut run.config)?;
        let folder = output.display();
        tell(format_args!("{folder}: goes on after step {}", run.step));
        if anew.data {
            tell("Corpora and tasks are read from their start.");
        }
        if anew.optimizer {
            tell("The optimiser's state begins anew.");
        }
        head(&run.config, run.vocab.sentinels(), device, processes)?;
        tell_of_corpora(&run.config.corpora)?;
        tell_of_tasks(&run.config)?;
        Ok(run)
    }
}

/// Corpora of the command line in place of those of a configuration: one by one, with the sizes that they count as
/// having there.
pub(super) fn take_corpora(config: &mut RunConfig, named: Vec<Source>) {
    if !named.is_empty() {
        let same = named.len() == config.corpora.len();
        let before = std::mem::replace(&mut config.corpora, named);
        for (corpus, before) in config.corpora.iter_mut().zip(before).filter(|_| same) {
            corpus.examples = before.examples;
        }
    }
    let corpora = std::mem::take(&mut config.corpora);
    config.corpora = corpora.into_iter().map(Source::absolute).collect();
}

/// From now on Ctrl-C, SIGTERM and SIGHUP (a terminal that is closed) are noted, 0 before; a second one ends the
/// process at once, which loses the steps since the last checkpoint. Said by the process that has a bar.
fn listen(bar: Option<Bar>) -> anyhow::Result<Arc<AtomicI32>> {
    const SIGNALS: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];
    let asked = Arc::new(AtomicBool::new(false));
    for signal in SIGNALS {
        // Not by the thread below: that may be waiting for a terminal that takes no more.
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, asked.clone())?;
        signal_hook::flag::register(signal, asked.clone())?;
    }
    let mut signals = Signals::new(SIGNALS)?;
    let stop = Arc::new(AtomicI32::new(0));
    let noted = stop.clone();
    let listen = move || {
        for signal in &mut signals {
            noted.store(signal, Ordering::Relaxed);
            if let Some(bar) = &bar {
                // The bar goes, so that nothing of it is left where the next signal ends the process.
                bar.close();
                tell("Stopping after this step (once more: at once, without a checkpoint).");
            }
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(listen)?;
    Ok(stop)
}

/// What is about to happen: before memory is taken and a large model is drawn. An error where that cannot be.
pub(super) fn head(config: &RunConfig, sentinels: u32, device: Device, processes: usize) -> anyhow::Result<()> {
    let batches = config.batches_per_step;
    anyhow::ensure!(
        processes <= batches,
        "batches_per_step = {batches}: must be {processes} or more, since each of {processes} processes computes whole batches; raise it and lower \
         feed.rows (--set), or train by fewer processes"
    );
    let warning = memory::check_training(config, device.has_own_memory())?;
    let objective = config.feed.objective.resolve()?;
    let (inputs, targets) = config.row_lengths()?;
    tell(format_args!(
        "{} parameters; {} rows of {} + {} tokens a step; {} steps",
        thousands(config.model.parameters().unwrap_or_default()),
        config.feed.rows * config.batches_per_step,
        inputs,
        targets,
        thousands(config.steps)
    ));
    let layout = config.last_layout()?;
    if layout.trained_parameters() < layout.len() {
        let trained = thousands(layout.trained_parameters() as u64);
        tell(format_args!("Of the parameters, {trained} are trained."));
    }
    if processes > 1 {
        tell(format_args!(
            "{processes} processes; {batches} batches of {} rows a step",
            config.feed.rows
        ));
    }
    if !batches.is_multiple_of(processes) {
        tell(format_args!(
            "warning: batches_per_step = {batches} is no multiple of {processes} processes, so some wait while others compute one batch more"
        ));
    }
    warning.iter().for_each(tell);
    let spans = objective.sentinels();
    if !config.corpora.is_empty() && spans > sentinels as usize {
        tell(format_args!(
            "warning: an example has {spans} spans of noise, and the vocabulary {sentinels} sentinels; those beyond are \
             marked with pieces of text. Lower feed.objective.inputs_length or density, or raise mean_span_length"
        ));
    }
    Ok(())
}
