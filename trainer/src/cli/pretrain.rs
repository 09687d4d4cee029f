//! `t5 pretrain`.

use super::output::tell;
use super::processes::{Joined, ProcessArgs};
use super::settings::{CorpusArgs, DeviceArgs, ThreadsArg, tell_of_corpora};
use crate::backend::Device;
use crate::model::ModelConfig;
use crate::processes::Communicator;
use crate::rows::Source;
use crate::run::memory;
use crate::run::plot::WAITED_TOO_MUCH;
use crate::run::settings::RunConfig;
use crate::run::train::{Event, StepReport, train};
use crate::run::{Anew, Run};
use crate::vocab::Vocab;
use clap::Args;
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::io::{IsTerminal, stderr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

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
    let mut teller = match leads {
        true => Some(Teller::new(&run)?),
        false => None,
    };
    if let (Some(_), Some(name)) = (&teller, run.backend.name()) {
        tell(format_args!("On {name}"));
    }
    let stop = listen(teller.as_ref().map(|teller| teller.bar.clone()))?;
    let trained = train(&mut run, |event| {
        if let Some(teller) = &mut teller {
            teller.tell(event);
        }
        stop.load(Ordering::Relaxed) == 0
    });
    if let Some(teller) = &teller {
        teller.bar.finish_and_clear();
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
/// which loses the steps since the last checkpoint. Said above `bar`, where there is one.
fn listen(bar: Option<ProgressBar>) -> anyhow::Result<Arc<AtomicI32>> {
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
                line(bar, "Stopping after this step; once more to stop at once.");
            }
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(listen)?;
    Ok(stop)
}

/// A line above the bar, where there is one.
fn line(bar: &ProgressBar, text: &str) {
    match bar.is_hidden() {
        true => tell(text),
        false => bar.println(text),
    }
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

/// Tells what happens: a bar on a terminal, now and then a line elsewhere.
struct Teller {
    bar: ProgressBar,
    started: Instant,
    first: u64,
    last_line: Option<Instant>,
    steps: u64,
    /// Seconds of all steps but the first, which always waits for data; and those of them that were waited.
    seconds: f64,
    waited: f64,
    /// Until the first event.
    waiting: Option<Sender<()>>,
}

/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

impl Teller {
    fn new(run: &Run) -> anyhow::Result<Teller> {
        let bar = if stderr().is_terminal() {
            let bar = ProgressBar::new(run.config.steps).with_position(run.step);
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}");
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        } else {
            ProgressBar::hidden()
        };
        let waiting = Some(tell_of_first_step(run, &bar)?);
        Ok(Teller {
            waiting,
            bar,
            started: Instant::now(),
            first: run.step,
            last_line: None,
            steps: run.config.steps,
            seconds: 0.0,
            waited: 0.0,
        })
    }

    fn tell(&mut self, event: &Event) {
        self.waiting = None;
        match event {
            Event::Step(report) => self.step(report),
            Event::Evaluation(e) => {
                for of in &e.corpora {
                    self.line(&format!(
                        "step {}: validation loss {:.4} nats on {} ({:.0} % of the mean, {} targets)",
                        e.step,
                        of.loss,
                        of.corpus,
                        100.0 * of.share,
                        thousands(of.targets)
                    ));
                }
                self.line(&format!(
                    "step {}: validation loss {:.4} nats, perplexity {:.1}, accuracy {:.1} %",
                    e.step,
                    e.validation_loss,
                    e.perplexity,
                    100.0 * e.validation_accuracy
                ));
            }
            Event::Epoch(start) => {
                self.line(&format!("{}: epoch {} begins", start.corpus, start.epoch + 1));
            }
            Event::Checkpoint(step) => self.line(&format!("step {step}: checkpoint written")),
        }
    }

    fn step(&mut self, report: &StepReport) {
        let done = report.step - self.first;
        let each = self.started.elapsed().div_f64(done.max(1) as f64);
        let left = each.mul_f64((self.steps - report.step) as f64);
        if done > 1 {
            self.seconds += report.seconds;
            self.waited += report.waited;
        }
        let waited = 100.0 * self.waited / self.seconds.max(1e-9);
        let waited = match waited >= WAITED_TOO_MUCH {
            true => format!(", {waited:.0} % of it waiting for data"),
            false => String::new(),
        };
        let text = format!(
            "loss {:.4} nats, lr {:.2e}, gradient {:.3}, {:.0} tokens/s{waited}, {} left",
            report.loss,
            report.learning_rate,
            report.gradient_norm,
            report.tokens_per_second(),
            HumanDuration(left)
        );
        self.bar.set_position(report.step);
        self.bar.set_message(text.clone());
        let due = self.last_line.is_none_or(|last| last.elapsed() >= LINE_EVERY);
        if self.bar.is_hidden() && (due || report.step == self.steps) {
            self.last_line = Some(Instant::now());
            tell(format_args!("step {}/{}: {text}", report.step, self.steps));
        }
    }

    fn line(&self, text: &str) {
        line(&self.bar, text);
    }
}

/// After a while says what the first step is about, unless what is returned is dropped before: it may take minutes.
fn tell_of_first_step(run: &Run, bar: &ProgressBar) -> anyhow::Result<Sender<()>> {
    let config = &run.config;
    let lengths = config.feed.objective.resolve()?.lengths();
    let rows = (config.feed.rows * config.batches_per_step) as u64;
    let tokens = rows * (lengths.inputs + lengths.targets) as u64;
    let text = format!(
        "step {}/{}: still computing; a step is {rows} rows, up to {} tokens (fewer by batches_per_step or feed.rows)",
        run.step + 1,
        config.steps,
        thousands(tokens)
    );
    let (sender, receiver) = channel();
    let bar = bar.clone();
    let wait = move || {
        if receiver.recv_timeout(LINE_EVERY) == Err(RecvTimeoutError::Timeout) {
            line(&bar, &text);
        }
    };
    std::thread::Builder::new().name("first step".to_owned()).spawn(wait)?;
    Ok(sender)
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
