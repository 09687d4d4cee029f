//! `t5 pretrain`.

use super::settings::{CorpusArgs, DeviceArgs, ThreadsArg};
use clap::Args;
use indicatif::{HumanDuration, ProgressBar, ProgressStyle};
use signal_hook::consts::{SIGINT, SIGTERM};
use std::io::{IsTerminal, stderr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use t5_trainer::Vocab;
use t5_trainer::config::RunConfig;
use t5_trainer::model::ModelConfig;
use t5_trainer::plot::WAITED_TOO_MUCH;
use t5_trainer::run::Run;
use t5_trainer::train::{Event, StepReport, train};

/// Pre-trains T5 on corpora that `c4 build` has written.
///
/// Ctrl-C ends a run after the step in hand, with a checkpoint; `--resume` goes on to the bit.
/// Exit status: 0, done or stopped; 2, refused, or the loss is no longer a number.
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
    #[arg(
        long,
        default_value = "small",
        value_name = "SIZE",
        conflicts_with = "resume"
    )]
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(ModelConfig::names()))]
    size: String,
    /// Steps in all; the same as --set steps=N.
    #[arg(long, value_name = "N")]
    steps: Option<u64>,
    /// One setting, as feed.rows=4; may be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// Go on with the run in the folder.
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    threads: ThreadsArg,
}

pub(crate) fn run(args: Pretrain) -> anyhow::Result<()> {
    args.threads.start()?;
    let (place, precision) = args.device.find()?;
    let mut settings = args.settings;
    settings.extend(args.steps.map(|steps| format!("steps={steps}")));
    let mut run = if args.resume {
        let mut run = Run::resume(&args.output, &settings)?;
        if !args.corpora.corpora.is_empty() {
            run.config.corpora = args.corpora.corpora;
        }
        eprintln!("{}: goes on after step {}", args.output.display(), run.step);
        run
    } else {
        let vocab = args.vocab.unwrap_or_default();
        let ids = Some(Vocab::open(&vocab)?.size());
        let mut config = RunConfig::resolve(&args.size, args.config.as_deref(), &settings, ids)?;
        if !args.corpora.corpora.is_empty() {
            config.corpora = args.corpora.corpora;
        }
        anyhow::ensure!(
            !config.corpora.is_empty(),
            "no corpus: name the folder of one by --corpus, or in the configuration by [[corpora]]"
        );
        Run::begin(&args.output, config, &vocab)?
    };
    run.place(place, precision)?;
    head(&run);
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        // The second one ends the process at once.
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, stop.clone())?;
        signal_hook::flag::register(signal, stop.clone())?;
    }
    let mut teller = Teller::new(&run);
    let trained = train(&mut run, |event| {
        teller.tell(event);
        !stop.load(Ordering::Relaxed)
    });
    teller.bar.finish_and_clear();
    trained?;
    if run.step < run.config.steps {
        eprintln!("Stopped after step {}; --resume goes on.", run.step);
    } else {
        eprintln!(
            "Done after step {}. The run is in {}.",
            run.step,
            args.output.display()
        );
    }
    Ok(())
}

/// What is about to happen.
fn head(run: &Run) {
    let config = &run.config;
    let lengths = config
        .feed
        .objective
        .resolve()
        .map(|objective| objective.lengths());
    let rows = config.feed.rows * config.batches_per_step;
    eprintln!(
        "{} parameters; {rows} rows of {} tokens a step; {} steps",
        thousands(run.model.layout().len() as u64),
        lengths.map_or("?".to_owned(), |l| format!("{} + {}", l.inputs, l.targets)),
        thousands(config.steps)
    );
    if let Some(accelerator) = &run.accelerator {
        eprintln!("On {}", accelerator.name());
    }
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
}

/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

impl Teller {
    fn new(run: &Run) -> Teller {
        let bar = if stderr().is_terminal() {
            let bar = ProgressBar::new(run.config.steps).with_position(run.step);
            let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg}");
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        } else {
            ProgressBar::hidden()
        };
        Teller {
            bar,
            started: Instant::now(),
            first: run.step,
            last_line: None,
            steps: run.config.steps,
            seconds: 0.0,
            waited: 0.0,
        }
    }

    fn tell(&mut self, event: &Event) {
        match event {
            Event::Step(report) => self.step(report),
            Event::Evaluation(e) => self.line(&format!(
                "step {}: validation loss {:.4} nats, perplexity {:.1}, accuracy {:.1} %",
                e.step,
                e.validation_loss,
                e.perplexity,
                100.0 * e.validation_accuracy
            )),
            Event::Epoch(start) => {
                self.line(&format!(
                    "{}: epoch {} begins",
                    start.corpus,
                    start.epoch + 1
                ));
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
        let due = self
            .last_line
            .is_none_or(|last| last.elapsed() >= LINE_EVERY);
        if self.bar.is_hidden() && (due || report.step == self.steps) {
            self.last_line = Some(Instant::now());
            eprintln!("step {}/{}: {text}", report.step, self.steps);
        }
    }

    fn line(&self, text: &str) {
        match self.bar.is_hidden() {
            true => eprintln!("{text}"),
            false => self.bar.println(text),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn thousands_have_commas() {
        for (n, text) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (60_506_624, "60,506,624"),
        ] {
            assert_eq!(super::thousands(n), text);
        }
    }
}
