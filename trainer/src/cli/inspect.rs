//! `t5 inspect`.

use super::Named;
use super::output::print;
use super::pretrain::thousands;
use super::settings::CorpusArgs;
use crate::feed;
use crate::feed::ids;
use crate::model::{Layout, ModelConfig};
use crate::run::settings::RunConfig;
use crate::vocab::Vocab;
use clap::Args;
use std::path::PathBuf;
use std::sync::Arc;

/// Shows what a run is: its settings, its parameters by part, and what the model sees of a corpus.
///
/// All of it is TOML, what is no setting as comments, so that it can be written to a file for `t5 pretrain --config`.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// A run, or one of its checkpoints.
    #[arg(value_name = "RUN", required_unless_present = "size")]
    run: Option<PathBuf>,
    /// A model by name, in place of a run.
    #[arg(long, value_name = "SIZE", conflicts_with = "run")]
    #[arg(value_parser = clap::builder::PossibleValuesParser::new(ModelConfig::names()))]
    size: Option<String>,
    /// The vocabulary, to show examples without a run.
    #[arg(long, value_name = "FILE", conflicts_with = "run")]
    vocab: Option<PathBuf>,
    /// One setting, as feed.rows=4; may be given several times.
    #[arg(long = "set", value_name = "KEY=VALUE")]
    settings: Vec<String>,
    /// So many examples of the corpora, as text.
    #[arg(short = 'n', long, default_value_t = 1, value_name = "N")]
    examples: usize,
    #[command(flatten)]
    corpora: CorpusArgs,
}

pub(crate) fn run(args: Inspect) -> anyhow::Result<()> {
    let (mut config, vocab) = match &args.run {
        Some(run) => {
            let named = Named::open(run)?;
            (named.note.config.with(&args.settings)?, Some(named.vocab))
        }
        None => {
            let size = args.size.unwrap_or_default();
            let vocab = args.vocab.as_deref().map(Vocab::open).transpose()?;
            let ids = vocab.as_ref().map(Vocab::size);
            (RunConfig::resolve(&size, None, &args.settings, ids)?, vocab)
        }
    };
    let corpora = args.corpora.sources();
    if !corpora.is_empty() {
        config.corpora = corpora;
    }
    // Unless it was said, that of the vocabulary: whatever that will be.
    let says_rows = args.run.is_some()
        || args
            .settings
            .iter()
            .any(|s| s.trim_start().starts_with("model.vocab_size"));
    print(format_args!("{}", config.to_toml(says_rows)?))?;
    parameters(&config)?;
    if let Some(vocab) = vocab
        && !config.corpora.is_empty()
        && args.examples > 0
    {
        let vocab = Arc::new(vocab);
        let found = feed::examples(&config.corpora, &config.feed, ids(&vocab), vocab.clone(), args.examples)?;
        for shown in found {
            print(format_args!("#\n# {}:", shown.corpus))?;
            for (what, tokens) in [
                ("text", &shown.segment),
                ("inputs", &shown.example.inputs),
                ("targets", &shown.example.targets),
            ] {
                // One line, whatever is in it.
                let text = vocab.decode(tokens).replace(char::is_control, " ");
                print(format_args!("#   {what} ({} tokens): {text}", tokens.len()))?;
            }
        }
    }
    Ok(())
}

/// A part of a model: of a layer's variables, all layers together.
#[derive(Default)]
struct Part {
    name: String,
    parameters: usize,
    variables: usize,
    trained: usize,
}

/// Parameters by part, and where not all of them are trained, which are.
fn parameters(config: &RunConfig) -> anyhow::Result<()> {
    let layout = config.last_layout()?;
    let mut parts: Vec<Part> = Vec::new();
    for variable in layout.variables() {
        let words = variable.name.split('.');
        let name: Vec<&str> = words.filter(|word| word.parse::<u32>().is_err()).collect();
        let name = name.join(".");
        let number = parts.iter().position(|part| part.name == name).unwrap_or_else(|| {
            parts.push(Part {
                name,
                ..Part::default()
            });
            parts.len() - 1
        });
        let part = &mut parts[number];
        part.parameters += variable.range.len();
        part.variables += 1;
        part.trained += usize::from(variable.trained.is_some());
    }
    let all = layout.len();
    let trained = layout.trained_parameters();
    for part in parts {
        let share = 100.0 * part.parameters as f64 / all as f64;
        let size = thousands(part.parameters as u64);
        let what = match part.trained {
            _ if trained == all => String::new(),
            0 => "  (frozen)".to_owned(),
            some if some == part.variables => "  (trained)".to_owned(),
            some => format!("  ({some} of {} trained)", part.variables),
        };
        print(format_args!("# {size:>14}  {share:5.1} %  {}{what}", part.name))?;
    }
    print(format_args!("# {:>14}  parameters", thousands(all as u64)))?;
    let parameters = |layout: &Layout| thousands(layout.trained_parameters() as u64);
    if trained < all {
        print(format_args!("# {:>14}  of them trained", parameters(&layout)))?;
    }
    let starts: Vec<u64> = config.episodes().collect();
    if starts.len() > 1 {
        let ends = starts[1..].iter().chain([&config.steps]);
        for (start, end) in starts.iter().zip(ends) {
            let layout = config.layout_at(*start, 0)?;
            let (first, last) = (thousands(start + 1), thousands(*end));
            print(format_args!(
                "# {:>14}  of them trained in steps {first} to {last}",
                parameters(&layout)
            ))?;
        }
    }
    Ok(())
}
