//! The combinations of values to try: `--set clean.min_words=3,5 --set clean.min_sentences=3,5`.

use crate::error::Error;
use c4_data::{Error as DataError, Recipe, Setting};
use serde_json::Value;

/// The steps that look at one page alone, in their order: what a sweep runs.
pub(crate) const STEPS: [&str; 3] = ["length", "paragraphs", "clean"];
/// The number of combinations that a sweep tries at most.
pub(crate) const MAX_COMBINATIONS: usize = 256;

/// All combinations of the values of some keys.
#[derive(Debug, Clone, PartialEq)]
pub struct Grid {
    /// The keys: paths into the recipe's TOML, in the order given.
    pub keys: Vec<String>,
    /// The combinations: the last key's values change first.
    pub combinations: Vec<Combination>,
}

/// A combination: one value for each key.
#[derive(Debug, Clone, PartialEq)]
pub struct Combination {
    /// The values, in the order of the keys.
    pub values: Vec<Value>,
    /// The recipe with these values.
    pub recipe: Recipe,
    /// Whether these are the recipe's own values.
    pub own: bool,
}

impl Grid {
    /// The combinations of `sets` ([`Setting::parse`]) for `recipe`; without any, the recipe as it
    /// is. `full`: the keys of all steps may vary, not only those of [`STEPS`].
    ///
    /// # Errors
    /// A set that cannot be parsed; a key given twice, that does not exist, or of a step that the
    /// recipe or the sweep does not take; an impossible value; more than [`MAX_COMBINATIONS`].
    pub fn new(recipe: &Recipe, sets: &[String], full: bool) -> Result<Grid, Error> {
        let mut settings: Vec<Setting> = Vec::new();
        for set in sets {
            let setting = Setting::parse(set)?;
            check(recipe, &setting, full)?;
            if settings.iter().any(|other| other.key() == setting.key()) {
                return Err(refused(
                    setting.key(),
                    "is set twice; give all its values at once".to_owned(),
                ));
            }
            // Here, so that the error is of this key and not of a combination.
            for value in setting.values() {
                recipe.with(&[(setting.key(), value)])?;
            }
            settings.push(setting);
        }
        let count = settings
            .iter()
            .try_fold(1_usize, |n, setting| n.checked_mul(setting.values().len()));
        if count.is_none_or(|n| n > MAX_COMBINATIONS) {
            let keys: Vec<&str> = settings.iter().map(Setting::key).collect();
            let count = count.map_or("too many".to_owned(), |n| n.to_string());
            return Err(refused(
                &keys.join(", "),
                format!("{count} combinations; a sweep tries at most {MAX_COMBINATIONS}"),
            ));
        }
        let mut rows: Vec<Vec<&Value>> = vec![Vec::new()];
        for setting in &settings {
            let longer = |row: &Vec<_>, value| row.iter().copied().chain([value]).collect();
            rows = rows
                .iter()
                .flat_map(|row| setting.values().iter().map(move |value| longer(row, value)))
                .collect();
        }
        let combination = |row: Vec<&Value>| -> Result<Combination, Error> {
            let keys = settings.iter().map(Setting::key);
            let values: Vec<(&str, &Value)> = keys.zip(row.iter().copied()).collect();
            let changed = recipe.with(&values)?;
            Ok(Combination {
                values: row.into_iter().cloned().collect(),
                own: changed == *recipe,
                recipe: changed,
            })
        };
        Ok(Grid {
            keys: settings.iter().map(|s| s.key().to_owned()).collect(),
            combinations: rows.into_iter().map(combination).collect::<Result<_, _>>()?,
        })
    }

    /// The recipes, in the order of the combinations.
    pub fn recipes(&self) -> Vec<Recipe> {
        let combinations = self.combinations.iter();
        combinations.map(|c| c.recipe.clone()).collect()
    }
}

fn refused(key: &str, reason: String) -> Error {
    let key = key.to_owned();
    Error::Data(DataError::Setting { key, reason })
}

/// Whether the key is of a step that can vary.
fn check(recipe: &Recipe, setting: &Setting, full: bool) -> Result<(), Error> {
    let step = setting.step();
    let steps = steps(recipe);
    let name = &recipe.name;
    let reason = if step == "read" {
        "says how archives are read, which is the same for a whole sweep".to_owned()
    } else if !steps.iter().any(|other| other == step) {
        let list = steps.join(", ");
        format!("recipe {name} does not take the step `{step}`; it takes {list}")
    } else if !full && !STEPS.contains(&step) {
        let swept: Vec<&str> = STEPS.into_iter().filter(|s| takes(&steps, s)).collect();
        format!(
            "the step `{step}` is off in a sweep, which runs {}; --full runs all steps",
            list_or_none(&swept)
        )
    } else {
        return Ok(());
    };
    Err(refused(setting.key(), reason))
}

fn takes(steps: &[String], step: &str) -> bool {
    steps.iter().any(|other| other == step)
}

fn list_or_none(list: &[&str]) -> String {
    match list {
        [] => "no step of this recipe".to_owned(),
        list => list.join(", "),
    }
}

/// The recipe's steps, those of [`STEPS`] first; `split` counts as one.
fn steps(recipe: &Recipe) -> Vec<String> {
    let mut steps = recipe.sections();
    steps.retain(|step| step != "read");
    steps.sort_by_key(|step| STEPS.iter().position(|s| s == step).unwrap_or(STEPS.len()));
    steps
}

/// The recipe's steps that a sweep runs, and those that it does not.
pub(crate) fn on_and_off(recipe: &Recipe) -> (Vec<String>, Vec<String>) {
    steps(recipe)
        .into_iter()
        .filter(|step| step != "split")
        .partition(|step| STEPS.contains(&step.as_str()))
}
