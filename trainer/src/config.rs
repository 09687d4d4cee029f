//! What a run is told, as TOML: model, data, optimiser, and how often to look and to save.
//!
//! What is not said has a default; what is resolved is kept with each checkpoint. Keys that are unknown are refused.

use crate::Error;
use crate::feed::{FeedConfig, Layout, Source};
use crate::model::{Architecture, ModelConfig};
use crate::optimizer::{AdafactorConfig, OptimizerConfig};
use crate::schedule::Schedule;
use serde::{Deserialize, Serialize};
use std::path::Path;
use toml::{Table, Value};

/// The configuration of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// Steps in all. The paper's baseline has 2^19 (section 3.1.2).
    pub steps: u64,
    /// Of the model's first values and of dropout; `feed.seed` is that of the data.
    pub seed: u64,
    /// Batches whose gradients are summed for a step: `feed.rows` rows each.
    pub batches_per_step: usize,
    /// Gradients are scaled down to this global norm; left out, they are not, as in the paper.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// Steps between two looks at the validation documents; 0: never.
    pub evaluate_every: u64,
    /// Validation batches of a look; 0: all.
    pub evaluate_batches: u64,
    /// Steps between two checkpoints; the last step always gives one.
    pub checkpoint_every: u64,
    /// Checkpoints that are kept, from the last one back; the best one by validation loss is kept besides.
    pub checkpoints_kept: usize,
    /// The model.
    pub model: ModelConfig,
    /// The data.
    pub feed: FeedConfig,
    /// The optimiser.
    pub optimizer: OptimizerConfig,
    /// The learning rate.
    pub schedule: Schedule,
    /// The corpora.
    #[serde(default)]
    pub corpora: Vec<Source>,
}

impl RunConfig {
    /// The paper's pre-training of a named size: 2^19 steps of 128 rows, Adafactor, inverse square root.
    ///
    /// # Errors
    /// An unknown size.
    pub fn named(size: &str) -> Result<RunConfig, Error> {
        let model = ModelConfig::named(size)?;
        Ok(RunConfig {
            steps: 1 << 19,
            seed: 0,
            batches_per_step: 16,
            clip_norm: None,
            evaluate_every: 1000,
            evaluate_batches: 32,
            checkpoint_every: 1000,
            checkpoints_kept: 3,
            model,
            feed: FeedConfig {
                rows: 8,
                ..FeedConfig::default()
            },
            optimizer: OptimizerConfig::Adafactor(AdafactorConfig::default()),
            schedule: Schedule::InverseSquareRoot {
                warmup_steps: 10_000,
                scale: 1.0,
                linear_decay_fraction: 0.0,
                total_steps: 0,
            },
            corpora: Vec::new(),
        })
    }

    /// A size's defaults, changed by a file and by `key=value` settings (keys as in the file, tables with dots), in this
    /// order. Of a vocabulary with `ids`, the embedding has as many rows, rounded up to a multiple of 128 (T5: 32,128 of
    /// 32,100), unless `model.vocab_size` is said.
    ///
    /// # Errors
    /// An unknown size or key, a value that cannot be.
    pub fn resolve(
        size: &str,
        file: Option<&Path>,
        settings: &[String],
        ids: Option<u32>,
    ) -> Result<RunConfig, Error> {
        let changes = changes(file, settings)?;
        let mut config = RunConfig::named(size)?;
        if let Some(ids) = ids {
            config.model.vocab_size = (ids as usize).next_multiple_of(128);
        }
        // The stacks decide over layers and over the form of examples, where those are not said.
        let wanted = changes
            .get("model")
            .and_then(|model| model.get("architecture"));
        if let Some(architecture) = wanted {
            let architecture = Architecture::deserialize(architecture.clone())
                .map_err(|e| Error::Setting(format!("model.architecture: {}", e.message())))?;
            config.model = config.model.with_architecture(architecture);
            if !architecture.has_encoder() {
                config.feed.layout = Layout::DecoderOnly;
            }
        }
        config.changed(changes)
    }

    /// Of a model that is trained further: defaults as of [`named`](RunConfig::named) sizes, but for the learning rate, a
    /// constant 0.001, which is the paper's for fine-tuning (section 3.1.3) and that of pre-training after a million steps; changed
    /// as in [`resolve`](RunConfig::resolve).
    ///
    /// # Errors
    /// An unknown key, a value that cannot be.
    pub fn further(
        model: ModelConfig,
        file: Option<&Path>,
        settings: &[String],
    ) -> Result<RunConfig, Error> {
        let config = RunConfig {
            model,
            schedule: Schedule::Constant { rate: 1e-3 },
            ..RunConfig::named("small")?
        };
        config.changed(changes(file, settings)?)
    }

    /// This configuration with `key=value` settings.
    ///
    /// # Errors
    /// An unknown key, a value that cannot be.
    pub fn with(&self, settings: &[String]) -> Result<RunConfig, Error> {
        self.changed(changes(None, settings)?)
    }

    fn changed(&self, changes: Table) -> Result<RunConfig, Error> {
        let wrong = |message: &str| Error::Setting(format!("configuration: {message}"));
        let mut table = Table::try_from(self).map_err(|e| wrong(&e.to_string()))?;
        merge(&mut table, changes);
        let config = RunConfig::deserialize(table).map_err(|e| wrong(e.message()))?;
        config.validate()?;
        Ok(config)
    }

    fn validate(&self) -> Result<(), Error> {
        self.model.validate()?;
        self.schedule.validate()?;
        let positive = [
            ("steps", self.steps),
            ("batches_per_step", self.batches_per_step as u64),
            ("checkpoint_every", self.checkpoint_every),
            ("checkpoints_kept", self.checkpoints_kept as u64),
        ];
        for (key, value) in positive {
            if value == 0 {
                return Err(Error::Setting(format!(
                    "{key} is 0; give a positive number"
                )));
            }
        }
        if self
            .clip_norm
            .is_some_and(|norm| norm.is_nan() || norm <= 0.0)
        {
            return Err(Error::Setting(
                "clip_norm must be positive; leave it out for no clipping".into(),
            ));
        }
        let decoder_only = self.feed.layout == Layout::DecoderOnly;
        if decoder_only == self.model.architecture.has_encoder() {
            return Err(Error::Setting(
                "feed.layout does not go with model.architecture: encoder_decoder is for models with an encoder, \
                 decoder_only for language models"
                    .into(),
            ));
        }
        Ok(())
    }
}

/// A file, and settings over it.
fn changes(file: Option<&Path>, settings: &[String]) -> Result<Table, Error> {
    let mut changes = Table::new();
    if let Some(path) = file {
        let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
        let table: Table = toml::from_str(&text)
            .map_err(|e| Error::format(path, e.to_string().trim_end().to_owned()))?;
        merge(&mut changes, table);
    }
    for setting in settings {
        merge(&mut changes, parse_setting(setting)?);
    }
    Ok(changes)
}

/// `a.b=1` as a table. What is no TOML value is taken for text.
fn parse_setting(setting: &str) -> Result<Table, Error> {
    let Some((key, value)) = setting.split_once('=') else {
        return Err(Error::Setting(format!(
            "`{setting}` is no setting; write KEY=VALUE, as feed.rows=4"
        )));
    };
    let (key, value) = (key.trim(), value.trim());
    let text = format!("value = {value}");
    let parsed: Result<Table, _> = toml::from_str(&text);
    let mut value = match parsed {
        Ok(mut table) => table.remove("value").unwrap_or(Value::Boolean(false)),
        Err(_) => Value::String(value.to_owned()),
    };
    for part in key.rsplit('.') {
        if part.is_empty() {
            return Err(Error::Setting(format!("`{key}` is no key")));
        }
        value = Value::Table(Table::from_iter([(part.to_owned(), value)]));
    }
    match value {
        Value::Table(table) => Ok(table),
        _ => Ok(Table::new()),
    }
}

/// Puts `changes` over `base`, table by table. A table that names another kind (`kind = …`) replaces the old one.
fn merge(base: &mut Table, changes: Table) {
    for (key, value) in changes {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(old)), Value::Table(new))
                if new
                    .get("kind")
                    .is_none_or(|kind| old.get("kind") == Some(kind)) =>
            {
                merge(old, new);
            }
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(settings: &[&str]) -> Result<RunConfig, Error> {
        let settings: Vec<String> = settings.iter().map(|s| (*s).to_owned()).collect();
        RunConfig::resolve("tiny", None, &settings, None)
    }

    #[test]
    fn settings_change_what_they_name() {
        let config = resolved(&["steps=7", "feed.rows = 3", "model.dropout=0.0"]).unwrap();
        let mut same = RunConfig::named("tiny").unwrap();
        assert_ne!(config, same);
        same.steps = 7;
        same.feed.rows = 3;
        same.model.dropout = 0.0;
        assert_eq!(config, same);
        let config = resolved(&["schedule.kind=constant", "schedule.rate=0.001"]).unwrap();
        assert_eq!(config.schedule, Schedule::Constant { rate: 0.001 });
        let rows = |ids, settings: &[String]| {
            let config = RunConfig::resolve("tiny", None, settings, ids).unwrap();
            config.model.vocab_size
        };
        assert_eq!(rows(None, &[]), 32_128);
        assert_eq!(rows(Some(32_100), &[]), 32_128);
        assert_eq!(rows(Some(8100), &[]), 8192);
        assert_eq!(
            rows(Some(8100), &["model.vocab_size=9000".to_owned()]),
            9000
        );
        let config = resolved(&["model.architecture=language_model"]).unwrap();
        assert_eq!(
            (config.model.encoder_layers, config.feed.layout),
            (0, Layout::DecoderOnly)
        );
    }

    #[test]
    fn what_is_resolved_is_read_back_the_same() {
        for size in ModelConfig::names() {
            let config = RunConfig::named(size).unwrap();
            let text = toml::Table::try_from(&config).unwrap();
            assert_eq!(RunConfig::deserialize(text).unwrap(), config);
        }
    }

    #[test]
    fn nonsense_is_refused_in_one_line() {
        for (setting, word) in [
            ("steps=0", "steps"),
            ("stepps=1", "stepps"),
            ("feed.row=1", "row"),
            ("steps=many", "configuration"),
            ("nothing", "KEY=VALUE"),
            ("model.architecture=rnn", "architecture"),
            ("feed.layout=decoder_only", "feed.layout"),
            ("clip_norm=-1.0", "clip_norm"),
            ("schedule.kind=constant", "rate"),
        ] {
            let error = resolved(&[setting]).unwrap_err().to_string();
            assert!(
                error.contains(word) && error.lines().count() == 1,
                "{setting}: {error}"
            );
        }
        assert!(RunConfig::resolve("huge", None, &[], None).is_err());
    }
}
