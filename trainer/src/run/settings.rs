//! The settings of a run, as TOML: model, data, optimiser, and how often to validate and to save.
//!
//! What is not said has a default; what is resolved is kept with each checkpoint. Keys that are unknown are refused.
//! (Above 500 lines with its tests: what cannot be is listed there.)

use super::transfer::Transfer;
use crate::Error;
use crate::base::limits;
use crate::feed;
use crate::feed::{FeedConfig, FeedSources, Mixing, RowLayout, TaskSource};
use crate::model::{Architecture, LossOn, ModelConfig};
use crate::objective::ObjectiveKind;
use crate::optimizer::schedule::Schedule;
use crate::optimizer::{AdafactorConfig, OptimizerConfig};
use crate::rows::Source;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;
use toml::{Table, Value};

/// A key of earlier versions.
const OLD_OBJECTIVE: &str = "feed.objective.objective";

/// The configuration of a run.
///
/// ```
/// use t5_trainer::RunConfig;
/// let settings = ["feed.objective.name=prefix_lm", "steps=1000"].map(str::to_owned);
/// let config = RunConfig::named("small")?.with(&settings)?;
/// assert_eq!(config.steps, 1000);
/// # Ok::<(), t5_trainer::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunConfig {
    /// Steps of the run in all.
    ///
    /// Unit: steps. Source: 2^19 in the paper's baseline (section 3.1.2).
    pub steps: u64,
    /// Seed of the model's first values and of dropout; `feed.seed` is that of the data.
    ///
    /// Unit: none. Source: ours.
    pub seed: u64,
    /// Batches of `feed.rows` rows whose gradients are summed for a step: they change a step's time, not the memory.
    ///
    /// Unit: batches. Source: 16 batches of 8 rows are the 128 rows of the paper's pre-training (section 3.1.2).
    pub batches_per_step: usize,
    /// Global norm that gradients are scaled down to where theirs is larger; left out, they are not scaled.
    ///
    /// Unit: norm of the gradients. Source: Pascanu et al. 2013; T5 was trained without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clip_norm: Option<f64>,
    /// Steps between two validations; 0: never.
    ///
    /// Unit: steps. Source: ours.
    pub evaluate_every: u64,
    /// Batches of a validation; 0: all of the validation documents.
    ///
    /// Unit: batches. Source: ours.
    pub evaluate_batches: u64,
    /// Validation rows of each task whose answers are scored; 0: all.
    ///
    /// Unit: rows. Source: ours.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub evaluate_examples: u64,
    /// Validations without a better average over the tasks after which the run ends; 0: it never ends for that.
    ///
    /// Unit: validations. Source: ours; T5 was fine-tuned for all of its steps.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub patience: u64,
    /// Steps between two checkpoints; the last step always gives one, and so does each validation of tasks.
    ///
    /// Unit: steps. Source: ours.
    pub checkpoint_every: u64,
    /// Checkpoints that are kept, from the last one back; besides, the best one by validation loss, by each task's
    /// score, and by the average over tasks.
    ///
    /// Unit: checkpoints. Source: ours.
    pub checkpoints_kept: usize,
    /// The model.
    pub model: ModelConfig,
    /// The data.
    pub feed: FeedConfig,
    /// The optimiser.
    pub optimizer: OptimizerConfig,
    /// The learning rate.
    pub schedule: Schedule,
    /// What of the model is trained.
    ///
    /// Default: `all`. Source: paper, section 3.5.1.
    #[serde(default, skip_serializing_if = "Transfer::is_all")]
    pub transfer: Transfer,
    /// The corpora.
    #[serde(default)]
    pub corpora: Vec<Source>,
    /// The tasks.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<TaskSource>,
    /// How often an example is of which corpus or task.
    #[serde(default, skip_serializing_if = "Mixing::is_given")]
    pub mixing: Mixing,
}

fn is_zero(value: &u64) -> bool {
    *value == 0
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
            evaluate_examples: 0,
            patience: 0,
            checkpoint_every: 1000,
            checkpoints_kept: 3,
            model,
            feed: FeedConfig {
                rows: 8,
                ..FeedConfig::default()
            },
            optimizer: OptimizerConfig::Adafactor(AdafactorConfig::default()),
            schedule: Schedule::t5(),
            transfer: Transfer::All,
            corpora: Vec::new(),
            tasks: Vec::new(),
            mixing: Mixing::Given,
        })
    }

    /// A size's defaults, changed by a file and by `key=value` settings (keys as in the file, tables with dots), in
    /// this order. Of a vocabulary with `ids`, the embedding has as many rows, rounded up to a multiple of 128 (T5:
    /// 32,128 of 32,100), unless `model.vocab_size` is said.
    ///
    /// # Errors
    /// An unknown size or key, a value that cannot be.
    pub fn resolve(size: &str, file: Option<&Path>, settings: &[String], ids: Option<u32>) -> Result<RunConfig, Error> {
        let changes = Changes::read(file, settings)?;
        let mut config = RunConfig::named(size)?;
        if let Some(ids) = ids {
            config.model.vocab_size = (ids as usize).next_multiple_of(128);
        }
        // The stacks decide over layers and over the form of examples, where those are not said.
        if let Some(architecture) = find(&changes.table, "model.architecture") {
            let architecture = Architecture::deserialize(architecture.clone())
                .map_err(|e| changes.refuse("model.architecture", e.message()))?;
            config.model = config.model.with_architecture(architecture);
            if !architecture.has_encoder() {
                config.feed.layout = RowLayout::DecoderOnly;
            }
        }
        config.changed(&changes)
    }

    /// Whether a validation is due after so many steps; tasks are validated after the last one, too.
    pub(crate) fn evaluates_after(&self, step: u64) -> bool {
        let last = step == self.steps && !self.tasks.is_empty();
        step > 0 && self.evaluate_every > 0 && (step.is_multiple_of(self.evaluate_every) || last)
    }

    /// What the run is trained on.
    pub fn sources(&self) -> FeedSources<'_> {
        FeedSources {
            corpora: &self.corpora,
            tasks: &self.tasks,
            mixing: self.mixing,
        }
    }

    /// Positions of a row: of its inputs (0 for a decoder-only model) and of its targets.
    ///
    /// # Errors
    /// An objective that cannot be; a task that there is not.
    pub(crate) fn row_lengths(&self) -> Result<(usize, usize), Error> {
        // Before corpora are named, rows are theirs.
        let corpora = !self.corpora.is_empty() || self.tasks.is_empty();
        feed::configured_row_lengths(corpora, &self.tasks, &self.feed)
    }

    /// Whether a file or `key=value` settings say one of these keys.
    ///
    /// # Errors
    /// A file that cannot be read, a setting that is none.
    pub fn says(file: Option<&Path>, settings: &[String], keys: &[&str]) -> Result<bool, Error> {
        let changes = Changes::read(file, settings)?;
        Ok(keys.iter().any(|key| find(&changes.table, key).is_some()))
    }

    /// Of a model that is trained further: defaults as of [`named`](RunConfig::named) sizes, but for the learning rate,
    /// a constant 0.001, which is the paper's for fine-tuning (section 3.1.3) and that of pre-training after a million
    /// steps; changed as in [`resolve`](RunConfig::resolve).
    ///
    /// # Errors
    /// An unknown key, a value that cannot be.
    pub fn further(model: ModelConfig, file: Option<&Path>, settings: &[String]) -> Result<RunConfig, Error> {
        let config = RunConfig {
            model,
            schedule: Schedule::Constant { rate: 1e-3 },
            ..RunConfig::named("small")?
        };
        config.changed(&Changes::read(file, settings)?)
    }

    /// Fine-tuning a model on tasks, as the paper does (section 3.1.2): a constant rate of 0.001, dropout 0.1 (v1.1,
    /// which was pre-trained without, needs it as well), 2^18 steps of 128 rows, a checkpoint and a validation every
    /// 5,000 of them; of a run with fewer than 50,000 steps, every tenth part. Of a model without an encoder, the loss
    /// is on the targets alone. Changed as in [`resolve`](RunConfig::resolve); `before` is what the model was trained
    /// by.
    ///
    /// # Errors
    /// An unknown key, a value that cannot be.
    pub(crate) fn finetuning(
        model: &ModelConfig,
        before: Option<&RunConfig>,
        file: Option<&Path>,
        settings: &[String],
        tasks: &[TaskSource],
    ) -> Result<RunConfig, Error> {
        let changes = Changes::read(file, settings)?;
        let mut config = RunConfig {
            model: model.clone(),
            steps: 1 << 18,
            schedule: Schedule::Constant { rate: 1e-3 },
            tasks: tasks.to_vec(),
            ..RunConfig::named("small")?
        };
        config.model.dropout = 0.1;
        if let Some(before) = before {
            // For corpora beside the tasks.
            config.feed.objective = before.feed.objective;
        }
        if !model.architecture.has_encoder() {
            config.feed.layout = RowLayout::DecoderOnly;
            config.model.loss_on = LossOn::AfterInputs;
        }
        let steps = config.changed(&changes)?.steps;
        let every = (steps / 10).clamp(1, 5000);
        (config.evaluate_every, config.checkpoint_every) = (every, every);
        config.changed(&changes)
    }

    /// This configuration with `key=value` settings.
    ///
    /// # Errors
    /// An unknown key, a value that cannot be.
    pub fn with(&self, settings: &[String]) -> Result<RunConfig, Error> {
        self.changed(&Changes::read(None, settings)?)
    }

    fn changed(&self, changes: &Changes) -> Result<RunConfig, Error> {
        if find(&changes.table, OLD_OBJECTIVE).is_some() {
            return Err(changes.refuse(OLD_OBJECTIVE, "is called feed.objective.name now; write that"));
        }
        let wrong = |message: &str| Error::Setting(format!("configuration: {message}"));
        let mut table = Table::try_from(self).map_err(|e| wrong(&e.to_string()))?;
        merge(&mut table, changes.table.clone());
        let says_rate = find(&table, "schedule.rate").is_some();
        let mut config = RunConfig::deserialize(table).map_err(|e| {
            // Behind its message, the error names the key.
            let text = e.to_string();
            let key = text.lines().last().and_then(|line| line.strip_prefix("in `"));
            match key.and_then(|key| key.strip_suffix('`')) {
                Some(key) if find(&changes.table, key).is_some() => changes.refuse(key, plain(e.message())),
                Some(key) => wrong(&format!("{key}: {}", e.message())),
                None => wrong(e.message()),
            }
        })?;
        if !says_rate && config.optimizer.takes_absolute_steps() {
            config.schedule = config.schedule.with_absolute_rate();
        }
        config.validate().map_err(|error| changes.blame(error))?;
        Ok(config)
    }

    /// Refuses numbers and combinations that cannot be.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        limits::whole("steps", self.steps, 1..=limits::COUNT)?;
        self.model.validate().map_err(|e| e.under("model"))?;
        self.schedule.validate(self.steps).map_err(|e| e.under("schedule"))?;
        self.optimizer.validate().map_err(|e| e.under("optimizer"))?;
        self.feed.validate().map_err(|e| e.under("feed"))?;
        let transfer = self.transfer.validate(&self.model, self.steps);
        transfer.map_err(|e| e.under("transfer"))?;
        limits::whole("batches_per_step", self.batches_per_step, 1..=1 << 20)?;
        limits::whole("checkpoint_every", self.checkpoint_every, 1..=limits::COUNT)?;
        limits::whole("checkpoints_kept", self.checkpoints_kept, 1..=limits::COUNT)?;
        if let Some(norm) = self.clip_norm {
            let must = "above 0; leave it out for no clipping";
            limits::real("clip_norm", norm, |norm| norm > 0.0, must)?;
        }
        let corpora = self.corpora.iter().map(|of| ("corpora", of.weight, of.examples));
        let tasks = self.tasks.iter().map(|of| ("tasks", of.weight, of.examples));
        for (table, weight, examples) in corpora.chain(tasks) {
            if let Some(weight) = weight {
                limits::real("weight", weight, |weight| weight > 0.0, "above 0").map_err(|e| e.under(table))?;
            }
            if let Some(examples) = examples {
                limits::whole("examples", examples, 1..=limits::COUNT).map_err(|e| e.under(table))?;
            }
        }
        self.mixing.validate().map_err(|e| e.under("mixing"))?;
        limits::whole("evaluate_examples", self.evaluate_examples, 0..=limits::COUNT)?;
        limits::whole("patience", self.patience, 0..=limits::COUNT)?;
        let decoder_only = self.feed.layout == RowLayout::DecoderOnly;
        if decoder_only == self.model.architecture.has_encoder() {
            return Err(Error::Setting(
                "feed.layout does not go with model.architecture: encoder_decoder is for models with an encoder, \
                 decoder_only for language models"
                    .into(),
            ));
        }
        let objective = self.feed.objective.resolve()?;
        if !self.tasks.is_empty() && self.corpora.is_empty() {
            // Nothing is given to the objective.
            return Ok(());
        }
        self.feed.layout.row_lengths(objective.lengths())?;
        let sees_inputs =
            self.model.architecture == Architecture::PrefixLm || self.model.loss_on == LossOn::AfterInputs;
        if sees_inputs && self.feed.objective.name == ObjectiveKind::Lm {
            return Err(Error::Setting(
                "feed.objective.name = lm has no inputs, which model.architecture = prefix_lm and model.loss_on = \
                 after_inputs are for; take the objective prefix_lm, or the architecture language_model with loss_on = all"
                    .into(),
            ));
        }
        Ok(())
    }
}

/// What is to be changed: a file, and settings over it.
struct Changes<'a> {
    table: Table,
    /// The file and what it says itself.
    file: Option<(&'a Path, Table)>,
    settings: Table,
}

impl<'a> Changes<'a> {
    fn read(file: Option<&'a Path>, settings: &[String]) -> Result<Changes<'a>, Error> {
        let mut changes = Changes {
            table: Table::new(),
            file: None,
            settings: Table::new(),
        };
        if let Some(path) = file {
            let text = std::fs::read_to_string(path).map_err(|e| Error::io(path, e))?;
            let table: Table =
                toml::from_str(&text).map_err(|e| Error::format(path, e.to_string().trim_end().to_owned()))?;
            merge(&mut changes.table, table.clone());
            changes.file = Some((path, table));
        }
        for setting in settings {
            let table = parse_setting(setting)?;
            merge(&mut changes.table, table.clone());
            merge(&mut changes.settings, table);
        }
        Ok(changes)
    }

    /// The error for a key of which one of them says what cannot be.
    fn refuse(&self, key: &str, problem: &str) -> Error {
        let value = find(&self.table, key).map_or("?".to_owned(), ToString::to_string);
        self.blame(limits::refuse(key, value, problem))
    }

    /// The same error with the file that the value is from.
    fn blame(&self, mut error: Error) -> Error {
        if let (Error::Value { key, file, .. }, Some((path, table))) = (&mut error, &self.file)
            && find(&self.settings, key).is_none()
            && find(table, key).is_some()
        {
            *file = Some(path.to_path_buf());
        }
        error
    }
}

/// What a value must be, in place of the name of its type in Rust.
fn plain(message: &str) -> &str {
    match message.rsplit_once("expected ").map(|(_, kind)| kind) {
        Some("u64" | "usize" | "u32") => "must be a whole number, not below 0",
        Some("f64" | "f32") => "must be a number",
        Some("a boolean") => "must be true or false",
        Some("a string" | "path string") => "must be a text",
        _ => message,
    }
}

/// What a table has for a key with dots.
fn find<'t>(table: &'t Table, key: &str) -> Option<&'t Value> {
    let mut parts = key.split('.');
    let first = table.get(parts.next()?)?;
    parts.try_fold(first, |value, part| value.get(part))
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
                if new.get("kind").is_none_or(|kind| old.get("kind") == Some(kind)) =>
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

    /// A run that goes on has the bits of one that does not, so has its rate.
    #[test]
    fn numbers_come_back_from_a_checkpoint_to_the_bit() {
        let mut config = RunConfig::named("tiny").unwrap();
        let mut rate: f64 = 0.01;
        for _ in 0..1000 {
            rate *= 1.003_700_123;
            config.schedule = Schedule::Constant { rate };
            let text = serde_json::to_string(&config).unwrap();
            let back: RunConfig = serde_json::from_str(&text).unwrap();
            assert_eq!(back.schedule, config.schedule);
        }
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
        assert_eq!(rows(Some(8100), &["model.vocab_size=9000".to_owned()]), 9000);
        let config = resolved(&["model.architecture=language_model"]).unwrap();
        assert_eq!(
            (config.model.encoder_layers, config.feed.layout),
            (0, RowLayout::DecoderOnly)
        );
    }

    /// Every kind has all it needs, for every length of a run and for both kinds of steps.
    #[test]
    fn schedules_need_no_more_than_their_name() {
        for kind in [
            "inverse_square_root",
            "constant",
            "linear",
            "cosine",
            "slanted_triangular",
        ] {
            let kind = format!("schedule.kind={kind}");
            for steps in ["steps=1", "steps=300", "steps=500000"] {
                resolved(&[&kind, steps]).unwrap();
            }
        }
        let highest = |settings: &[&str]| {
            let config = resolved(&[&["schedule.kind=cosine", "steps=100"], settings].concat()).unwrap();
            config.schedule.rate(10, config.steps)
        };
        assert_eq!(highest(&[]), 0.01);
        assert_eq!(highest(&["optimizer.kind=adamw"]), 0.001);
        assert_eq!(highest(&["optimizer={kind='adamw', min_parameter_scale=0.001}"]), 0.01);
        assert_eq!(highest(&["optimizer.kind=adamw", "schedule.rate=0.02"]), 0.02);
        // What a run began with stays.
        let begun = resolved(&["schedule.kind=cosine", "steps=100"]).unwrap();
        let longer = begun
            .with(&["steps=200".to_owned(), "optimizer.kind=adamw".to_owned()])
            .unwrap();
        assert_eq!(longer.schedule, begun.schedule);
        assert_eq!(longer.schedule.rate(20, longer.steps), 0.01);
    }

    #[test]
    fn the_file_that_says_so_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.toml");
        std::fs::write(&path, "steps = 0\n[feed]\nrows = -3\n").unwrap();
        let error = |settings: &[&str]| {
            let settings: Vec<String> = settings.iter().map(|s| (*s).to_owned()).collect();
            let error = RunConfig::resolve("tiny", Some(&path), &settings, None);
            error.unwrap_err().to_string()
        };
        let name = path.display();
        let told = error(&[]);
        assert!(told.starts_with(&format!("feed.rows = -3 ({name}): ")), "{told}");
        let told = error(&["feed.rows=4"]);
        assert!(told.starts_with(&format!("steps = 0 ({name}): must be")), "{told}");
        let told = error(&["feed.rows=0", "steps=3"]);
        assert!(told.starts_with("feed.rows = 0: must be"), "{told}");
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
            ("steps=many", "steps = \"many\": must be a whole number"),
            ("model.recompute=1", "must be true or false"),
            ("clip_norm=much", "clip_norm = \"much\": must be a number"),
            ("nothing", "KEY=VALUE"),
            ("model.architecture=rnn", "architecture"),
            ("feed.layout=decoder_only", "feed.layout"),
            ("clip_norm=-1.0", "clip_norm"),
            (
                "schedule={kind='linear', warmup_steps=1048576}",
                "less than total_steps",
            ),
            ("clip_norm=inf", "clip_norm = inf"),
            ("optimizer.clip_threshold=inf", "optimizer.clip_threshold"),
            ("optimizer.clip_threshold=0.0", "above 0"),
            ("optimizer.decay_exponent=nan", "optimizer.decay_exponent"),
            ("optimizer.min_parameter_scale=-1.0", "not negative"),
            ("optimizer.min_parameter_scale=nan", "finite"),
            ("optimizer.epsilon=0.0", "optimizer.epsilon"),
            ("optimizer={kind='adamw', beta1=1.0}", "optimizer.beta1"),
            ("optimizer={kind='adamw', beta2=-0.1}", "optimizer.beta2"),
            ("optimizer={kind='adamw', epsilon=0.0}", "optimizer.epsilon"),
            ("optimizer={kind='adamw', weight_decay=inf}", "weight_decay"),
            ("schedule={kind='constant', rate=nan}", "schedule.rate"),
            (
                "schedule={kind='slanted_triangular', rate=1.0, total_steps=9, cut_fraction=nan}",
                "cut_fraction",
            ),
            (
                "schedule={kind='slanted_triangular', rate=1.0, total_steps=9, ratio=inf}",
                "ratio",
            ),
            ("corpora=[{path='x', weight=inf}]", "weight"),
            ("steps=9223372036854775807", "steps"),
            ("batches_per_step=9223372036854775807", "batches_per_step"),
            ("feed.rows=-3", "feed.rows = -3"),
            ("feed.rows=9999999999", "must be 1 to 1048576"),
            ("feed.objective.density=nan", "density"),
            ("feed.objective.name=lm", "objective lm"),
            (
                "feed.objective.objective=lm",
                "feed.objective.objective = \"lm\": is called feed.objective.name now; write that",
            ),
            ("model.z_loss=1e300", "model.z_loss"),
            ("model.norm_epsilon=nan", "model.norm_epsilon"),
            ("model.d_model=9223372036854775807", "model.d_model"),
            ("model.heads=0", "model.heads = 0"),
            ("model.decoder_layers=1000000", "model.decoder_layers"),
            ("model.relative_max_distance=99999999999", "relative_max_distance"),
        ] {
            let error = resolved(&[setting]).unwrap_err().to_string();
            assert!(error.contains(word) && error.lines().count() == 1, "{setting}: {error}");
        }
        assert!(RunConfig::resolve("huge", None, &[], None).is_err());
        // Each in range, all together not.
        let huge = ["d_model=65536", "d_ff=1048576", "d_kv=65536", "heads=4096"];
        let huge = huge.map(|setting| format!("model.{setting}"));
        let error = RunConfig::resolve("tiny", None, &huge, None).unwrap_err();
        assert!(error.to_string().contains("parameters"), "{error}");
        let lm = ["architecture=prefix_lm"].map(|setting| format!("model.{setting}"));
        let lm = [&lm[..], &["feed.objective.name=lm".to_owned()]].concat();
        let error = RunConfig::resolve("tiny", None, &lm, None).unwrap_err();
        assert!(error.to_string().contains("has no inputs"), "{error}");
    }
}
