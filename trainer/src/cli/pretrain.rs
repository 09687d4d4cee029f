//! `t5 pretrain`.

use super::output::tell;
use super::progress::{Bar, Progress};
use super::settings::{CorpusArgs, DeviceArgs, ThreadsArg};
use crate::backend::Device;
use crate::feed::Source;
use crate::model::ModelConfig;
use crate::run::Run;
use crate::run::memory;
use crate::run::settings::RunConfig;
use crate::run::train::train;
use crate::vocab::Vocab;
use clap::Args;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

/// Pre-trains T5 on corpora that `c4 build` has written.
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
    /// Go on with the run in the folder; --corpus DIR says where its corpus was moved to.
    #[arg(long)]
    resume: bool,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    threads: ThreadsArg,
}

pub(crate) fn run(args: Pretrain) -> anyhow::Result<ExitCode> {
    args.threads.start()?;
    let (device, precision) = args.device.find()?;
    let mut settings = args.settings;
    settings.extend(args.steps.map(|steps| format!("steps={steps}")));
    let run = if args.resume {
        let mut run = Run::resume(&args.output, &settings)?;
        if let Some(vocab) = &args.vocab {
            run.check_vocab(vocab)?;
        }
        run.passed_over.iter().for_each(tell);
        if !args.corpora.corpora.is_empty() {
            run.config.corpora = args.corpora.corpora;
        }
        run.config.corpora = absolute(run.config.corpora);
        let folder = args.output.display();
        tell(format_args!("{folder}: goes on after step {}", run.step));
        head(&run.config, run.vocab.sentinels(), device)?;
        run
    } else {
        let vocab = args.vocab.unwrap_or_default();
        let opened = Vocab::open(&vocab)?;
        let ids = Some(opened.size());
        let mut config = RunConfig::resolve(&args.size, args.config.as_deref(), &settings, ids)?;
        if !args.corpora.corpora.is_empty() {
            config.corpora = args.corpora.corpora;
        }
        anyhow::ensure!(
            !config.corpora.is_empty(),
            "no corpus: name the folder of one by --corpus, or in the configuration by [[corpora]]"
        );
        config.corpora = absolute(config.corpora);
        head(&config, opened.sentinels(), device)?;
        Run::begin(&args.output, config, &vocab)?
    };
    let mut run = run.place(device, precision)?;
    if let Some(name) = run.backend.name() {
        tell(format_args!("On {name}"));
    }
    let mut progress = Progress::new(&run)?;
    let stop = listen(&progress.bar)?;
    let trained = train(&mut run, |event| {
        progress.tell(event);
        stop.load(Ordering::Relaxed) == 0
    });
    progress.bar.close();
    trained?;
    if run.step < run.config.steps {
        let step = run.step;
        tell(format_args!("Stopped after step {step}; --resume goes on."));
        let signal = stop.load(Ordering::Relaxed);
        // As a shell would say it.
        return Ok(ExitCode::from(u8::try_from(128 + signal).unwrap_or(1)));
    }
    tell(format_args!(
        "Done after step {}. The run is in {}.",
        run.step,
        args.output.display()
    ));
    Ok(ExitCode::SUCCESS)
}

fn absolute(corpora: Vec<Source>) -> Vec<Source> {
    corpora.into_iter().map(Source::absolute).collect()
}

/// From now on Ctrl-C, SIGTERM and SIGHUP (a terminal that is closed) are noted, 0 before; a second one ends the process at once,
/// which loses the steps since the last checkpoint.
fn listen(bar: &Bar) -> anyhow::Result<Arc<AtomicI32>> {
    const SIGNALS: [i32; 3] = [SIGINT, SIGTERM, SIGHUP];
    let asked = Arc::new(AtomicBool::new(false));
    for signal in SIGNALS {
        // Not by the thread below: that may be waiting for a terminal that takes no more.
        signal_hook::flag::register_conditional_shutdown(signal, 128 + signal, asked.clone())?;
        signal_hook::flag::register(signal, asked.clone())?;
    }
    let mut signals = Signals::new(SIGNALS)?;
    let stop = Arc::new(AtomicI32::new(0));
    let (noted, bar) = (stop.clone(), bar.clone());
    let listen = move || {
        for signal in &mut signals {
            noted.store(signal, Ordering::Relaxed);
            // The bar goes, so that nothing of it is left where the next signal ends the process.
            bar.close();
            tell("Stopping after this step (once more: at once, without a checkpoint).");
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(listen)?;
    Ok(stop)
}

/// What is about to happen: before memory is taken and a large model is drawn. An error where that cannot be.
fn head(config: &RunConfig, sentinels: u32, device: Device) -> anyhow::Result<()> {
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
