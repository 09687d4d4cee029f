//! `t5 pretrain`.

use super::output::tell;
use super::processes::{Joined, ProcessArgs};
use super::progress::{Bar, Progress};
use super::settings::{CorpusArgs, DeviceArgs, ThreadsArg, tell_of_corpora};
use crate::backend::Device;
use crate::model::ModelConfig;
use crate::processes::Communicator;
use crate::rows::Source;
use crate::run::memory;
use crate::run::settings::RunConfig;
use crate::run::train::train;
use crate::run::{Anew, Run};
use crate::vocab::Vocab;
use clap::Args;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

/// Pre-trains T5 on corpora that `c4 build` has written, or on other files with text.
///
/// Ctrl-C ends a run after the step in hand, with a checkpoint; `--resume` goes on to the bit.
/// Exit status: 0, done; 130 or 143, stopped by Ctrl-C or SIGTERM (128 + signal), after a checkpoint; 2, refused, or the loss is no
/// longer a number.
#[derive(Debug, Args)]
pub(crate) struct Pretrain {
    #[command(flatten)]
    corpora: CorpusArgs,
    /// The vocabulary: what `t5 vocab train` wrote, or any SentencePiece unigram model with T5's layout.
    #[arg(long, value_name = "FILE", required_unless_present = "resume")]
    vocab: Option<PathBuf>,
    /// Folder of the run; made if it is missing.
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// Settings as TOML; `t5 inspect --size SIZE` prints all of them.
    #[arg(long, value_name = "FILE", conflicts_with = "resume")]
    config: Option<PathBuf>,
    /// The model, by name.
    #[arg(long, default_value = "small", value_name = "SIZE", conflicts_with = "resume")]
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(ModelConfig::names()))]
    size: String,
    /// Steps in all; the same as --set steps=N.
    #[arg(long, value_name = "N")]
    steps: Option<u64>,
    /// One setting, as feed.rows=4; may be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Go on with the run in the folder; --corpus PATH says where its corpus was moved to.
    #[arg(long)]
    resume: bool,
    /// With --resume: read the corpora from their start, so that --corpus, feed.seed and the objective may be others; model, optimiser
    /// and step stay.
    #[arg(long, requires = "resume")]
    new_data: bool,
    /// With --resume: an optimiser that has seen nothing yet, so that it may be another; model and step stay.
    #[arg(long, requires = "resume")]
    new_optimizer: bool,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    threads: ThreadsArg,
    #[command(flatten)]
    processes: ProcessArgs,
}

pub(crate) fn run(args: Pretrain) -> anyhow::Result<ExitCode> {
    let (communicator, joined) = args.processes.join(&args.device)?;
    let ended = pretrain(args, communicator, &joined);
    joined.end(ended)
}

fn pretrain(args: Pretrain, communicator: Communicator, joined: &Joined) -> anyhow::Result<ExitCode> {
    args.threads.start_among(joined.on_machine)?;
    let (leads, processes) = (communicator.leads(), communicator.size());
    let (device, precision) = args.device.find_among(joined.gpu, processes)?;
    let output = args.output.clone();
    // Who has said how many rows there are at a time gets them; several processes share a step's batches as they are.
    let rows_are_said = RunConfig::says(
        args.config.as_deref(),
        &args.settings,
        &["feed.rows", "batches_per_step"],
    )?;
    let fits_rows = !args.resume && !rows_are_said && device.has_own_memory() && processes == 1;
    let run = match leads {
        true => open(args, device, processes)?.share(communicator)?,
        false => Run::join(&output, communicator)?,
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
    if let Some(progress) = &progress {
        progress.bar.close();
    }
    trained?;
    let step = run.step;
    if step < run.config.steps {
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

/// The run that is begun or gone on with, after its head is told.
fn open(args: Pretrain, device: Device, processes: usize) -> anyhow::Result<Run> {
    let mut settings = args.settings;
    settings.extend(args.steps.map(|steps| format!("steps={steps}")));
    let corpora = args.corpora.sources();
    if args.resume {
        let anew = Anew {
            data: args.new_data,
            optimizer: args.new_optimizer,
        };
        let mut run = Run::resume(&args.output, &settings, anew)?;
        if let Some(vocab) = &args.vocab {
            run.check_vocab(vocab)?;
        }
        run.passed_over.iter().for_each(tell);
        if !corpora.is_empty() {
            run.config.corpora = corpora;
        }
        run.config.corpora = absolute(run.config.corpora);
        let folder = args.output.display();
        tell(format_args!("{folder}: goes on after step {}", run.step));
        if anew.data {
            tell("The corpora are read from their start.");
        }
        if anew.optimizer {
            tell("The optimiser's state begins anew.");
        }
        head(&run.config, run.vocab.sentinels(), device, processes)?;
        tell_of_corpora(&run.config.corpora)?;
        Ok(run)
    } else {
        let vocab = args.vocab.unwrap_or_default();
        let opened = Vocab::open(&vocab)?;
        let ids = Some(opened.size());
        let mut config = RunConfig::resolve(&args.size, args.config.as_deref(), &settings, ids)?;
        if !corpora.is_empty() {
            config.corpora = corpora;
        }
        anyhow::ensure!(
            !config.corpora.is_empty(),
            "no corpus: name one by --corpus, or in the configuration by [[corpora]]"
        );
        config.corpora = absolute(config.corpora);
        head(&config, opened.sentinels(), device, processes)?;
        // Before anything is written, and before a large model is drawn.
        tell_of_corpora(&config.corpora)?;
        Ok(Run::begin(&args.output, config, &vocab)?)
    }
}

fn absolute(corpora: Vec<Source>) -> Vec<Source> {
    corpora.into_iter().map(Source::absolute).collect()
}

/// From now on Ctrl-C, SIGTERM and SIGHUP (a terminal that is closed) are noted, 0 before; a second one ends the process at once,
/// which loses the steps since the last checkpoint. Said by the process that has a bar.
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
fn head(config: &RunConfig, sentinels: u32, device: Device, processes: usize) -> anyhow::Result<()> {
    let batches = config.batches_per_step;
    anyhow::ensure!(
        processes <= batches,
        "batches_per_step = {batches}: must be {processes} or more, since each of {processes} processes computes whole batches; raise it and lower \
         feed.rows (--set), or train by fewer processes"
    );
    let warning = memory::check_training(config, device.has_own_memory())?;
    let objective = config.feed.objective.resolve()?;
    let lengths = objective.lengths();
    tell(format_args!(
        "{} parameters; {} rows of {} + {} tokens a step; {} steps",
        thousands(config.model.parameters().unwrap_or_default()),
        config.feed.rows * config.batches_per_step,
        lengths.inputs,
        lengths.targets,
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
    if spans > sentinels as usize {
        tell(format_args!(
            "warning: an example has {spans} spans of noise, and the vocabulary {sentinels} sentinels; those beyond are \
             marked with pieces of text. Lower feed.objective.inputs_length or density, or raise mean_span_length"
        ));
    }
    Ok(())
}

/// `1234567` as `1,234,567`.
pub(super) fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    #[test]
    fn thousands_have_commas() {
        for (n, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (60_506_624, "60,506,624")] {
            assert_eq!(super::thousands(n), text);
        }
    }
}
