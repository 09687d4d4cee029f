//! Recipes, loaded once a process: by name, from a file, or from TOML.

use crate::error::{invalid, of_data};
use c4_data::{Lists, Recipe};
use c4_filters::rules::bad_words::BadWords;
use c4_filters::{Admission, Cleaner, Finisher, PageRules, guard, language};
use pyo3::prelude::*;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

/// A recipe with all that it compiles to.
pub struct Loaded {
    pub recipe: Recipe,
    pub lists: Lists,
    pub hash: String,
    admission: Admission,
    cleaner: Cleaner,
    bad_words: Option<BadWords>,
}

static LOADED: LazyLock<Mutex<HashMap<String, Arc<Loaded>>>> = LazyLock::new(Mutex::default);

/// Loads a recipe, or gives what was loaded before by the same words (a file is not read again).
pub fn load(recipe: &str) -> PyResult<Arc<Loaded>> {
    let lock = || LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(loaded) = lock().get(recipe) {
        return Ok(loaded.clone());
    }
    let loaded = Arc::new(Loaded::new(recipe)?);
    lock().insert(recipe.to_owned(), loaded.clone());
    Ok(loaded)
}

/// The recipe alone, and the folder of its lists.
pub fn parse(recipe: &str) -> PyResult<(Recipe, PathBuf)> {
    // No file name has a line end.
    match recipe.contains('\n') {
        true => Recipe::parse("recipe", recipe).map(|recipe| (recipe, PathBuf::new())),
        false => Recipe::load(recipe),
    }
    .map_err(of_data)
}

impl Loaded {
    fn new(recipe: &str) -> PyResult<Loaded> {
        let (recipe, base) = parse(recipe)?;
        let refuse = |reason: String| invalid(format!("recipe {}: {reason}", recipe.name));
        guard::check(&recipe).map_err(refuse)?;
        let lists = Lists::load(&recipe, &base).map_err(of_data)?;
        let admission = c4_pipeline::admission::load(&recipe, &lists);
        let compile = |step| BadWords::new(step, &lists);
        let bad_words = recipe.bad_words.as_ref().map(compile).transpose();
        if let Some(step) = &recipe.language {
            language::warm_up(step.detector);
        }
        Ok(Loaded {
            hash: recipe.hash(&lists),
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
