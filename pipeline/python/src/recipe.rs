//! Recipes, loaded once a process: by name, from a file, or from TOML.

use crate::error::{invalid, of_data};
use c4_data::{BUILTIN_RECIPES, Lists, Recipe};
use c4_filters::rules::bad_words::BadWords;
use c4_filters::{Admission, Cleaner, Finisher, PageRules, expectations, language_rule};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyString;
use std::collections::HashMap;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use xxhash_rust::xxh3::xxh3_64;

/// Python's argument `recipe`: a name, TOML, or a path, of `str` or `os.PathLike`.
pub struct Name(String);

impl Default for Name {
    fn default() -> Name {
        Name("c4".to_owned())
    }
}

impl Deref for Name {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<'py> FromPyObject<'_, 'py> for Name {
    type Error = PyErr;

    fn extract(any: Borrowed<'_, 'py, PyAny>) -> PyResult<Name> {
        if any.is_instance_of::<PyString>() {
            return any.extract().map(Name);
        }
        let Ok(path) = any.extract::<PathBuf>() else {
            let kind = any.get_type();
            return Err(PyTypeError::new_err(format!(
                "recipe: wanted: a name, a path or TOML (str, os.PathLike); this is {kind}"
            )));
        };
        // A path is a file's, even if a built-in recipe is called so.
        let path = Path::new(".").join(path).into_os_string();
        let path = path.into_string();
        path.map(Name)
            .map_err(|path| invalid(format!("recipe: {path:?} is no Unicode")))
    }
}

/// A recipe with all that it compiles to.
pub struct Loaded {
    pub recipe: Recipe,
    pub lists: Lists,
    pub hash: String,
    /// The same as a number.
    pub seed: u64,
    admission: Admission,
    cleaner: Cleaner,
    bad_words: Option<BadWords>,
}

static LOADED: LazyLock<Mutex<HashMap<String, Arc<Loaded>>>> = LazyLock::new(Mutex::default);

/// Loads a recipe, or gives what was loaded before by the same words; of a file, while it is the same (its word lists
/// are not looked at again).
pub fn load(recipe: &str) -> PyResult<Arc<Loaded>> {
    let lock = || LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    let mut key = recipe.to_owned();
    let file = !BUILTIN_RECIPES.iter().any(|(name, _)| *name == recipe) && !recipe.contains('\n');
    // What cannot be read is a matter of whoever loads it.
    if let Ok(text) = std::fs::read_to_string(recipe)
        && file
    {
        key += "\n";
        key += &text;
    }
    if let Some(loaded) = lock().get(&key) {
        return Ok(loaded.clone());
    }
    let loaded = Arc::new(Loaded::new(recipe)?);
    lock().insert(key, loaded.clone());
    Ok(loaded)
}

/// The recipe alone, and the folder of its lists.
pub fn parse(recipe: &str) -> PyResult<(Recipe, PathBuf)> {
    // No file name has a line end. Words have no folder in which their lists could be.
    match recipe.contains('\n') {
        true => Recipe::parse_own("TOML", recipe).map(|recipe| (recipe, "/dev/null".into())),
        false => Recipe::load(recipe),
    }
    .map_err(of_data)
}

impl Loaded {
    fn new(recipe: &str) -> PyResult<Loaded> {
        let (recipe, base) = parse(recipe)?;
        let refuse = |reason: String| invalid(format!("recipe {}: {reason}", recipe.name));
        expectations::check(&recipe).map_err(refuse)?;
        let lists = Lists::load(&recipe, &base).map_err(of_data)?;
        let admission = c4_pipeline::build::url_list::load(&recipe, &lists);
        let compile = |step| BadWords::new(step, &lists);
        let bad_words = recipe.bad_words.as_ref().map(compile).transpose();
        if let Some(step) = &recipe.language {
            language_rule::warm_up(step.detector);
        }
        let hash = recipe.hash(&lists);
        Ok(Loaded {
            seed: xxh3_64(hash.as_bytes()),
            hash,
            admission: admission.map_err(|e| invalid(e.to_string()))?,
            cleaner: Cleaner::new(&recipe),
            bad_words: bad_words.map_err(|e| refuse(e.to_string()))?,
            recipe,
            lists,
        })
    }

    /// Those of a page alone.
    pub fn rules(&self) -> PageRules<'_> {
        PageRules {
            admission: &self.admission,
            cleaner: &self.cleaner,
        }
    }

    /// Those after dedup.
    pub fn finisher(&self) -> Finisher<'_> {
        Finisher {
            recipe: &self.recipe,
            bad_words: self.bad_words.as_ref(),
        }
    }
}
