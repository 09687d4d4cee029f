//! The Python module `c4`. `c4.pyi` says what everything takes and gives; what it does is in the other crates.

mod build;
mod columns;
mod error;
mod pages;
mod read;
mod recipe;
mod shards;
mod stats;
mod threads;

use pyo3::prelude::*;

/// Rebuild C4: pages of crawl archives, the rules, dedup keys, last steps, shards, and whole builds, on Arrow
/// record batches.
#[pymodule(name = "c4")]
mod module {
    use super::*;
    use crate::error::invalid;
    use crate::recipe::Name;
    use crate::stats::of_json;
    use c4_data::BUILTIN_RECIPES;
    use c4_data::Page;
    use c4_pipeline::inspect::explain::Explainer;
    use serde_json::Value;

    #[pymodule_export]
    use super::build::build;
    #[pymodule_export]
    use super::pages::{clean, finish, keys};
    #[pymodule_export]
    use super::read::{Reader, inputs, read};
    #[pymodule_export]
    use super::shards::{ShardWriter, manifest};
    #[pymodule_export]
    use super::stats::Stats;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }

    /// The built-in recipes by name, each as a dict of its steps.
    #[pyfunction]
    fn recipes(py: Python<'_>) -> PyResult<Bound<'_, PyAny>> {
        let mut all = serde_json::Map::new();
        for (name, _) in BUILTIN_RECIPES {
            let (recipe, _) = crate::recipe::parse(name)?;
            let value = serde_json::to_value(&recipe).map_err(|e| invalid(e.to_string()))?;
            all.insert((*name).to_owned(), value);
        }
        of_json(py, &Value::Object(all))
    }

    /// One recipe as a dict of its steps; reads none of its lists.
    #[pyfunction]
    #[pyo3(signature = (recipe=Name::default()))]
    fn recipe<'py>(py: Python<'py>, recipe: Name) -> PyResult<Bound<'py, PyAny>> {
        let (recipe, _) = crate::recipe::parse(&recipe)?;
        let value = serde_json::to_value(&recipe).map_err(|e| invalid(e.to_string()))?;
        of_json(py, &value)
    }

    /// The way of a page through a recipe, and why each of its lines stays or goes. Copies on other pages are not known
    /// here.
    #[pyfunction]
    #[pyo3(signature = (page, recipe=Name::default(), *, url="", timestamp=""))]
    fn explain<'py>(
        py: Python<'py>,
        page: &str,
        recipe: Name,
        url: &str,
        timestamp: &str,
    ) -> PyResult<Bound<'py, PyAny>> {
        let loaded = crate::recipe::load(&recipe)?;
        let page = Page {
            url: url.to_owned(),
            text: page.to_owned(),
            timestamp: timestamp.to_owned(),
            ..Page::default()
        };
        let explained = py.detach(|| -> Result<Value, String> {
            let explainer = Explainer::new(&loaded.recipe, &loaded.lists, None);
            let explainer = explainer.map_err(|e| e.to_string())?;
            Ok(explainer.explain_page(&page).to_json())
        });
        of_json(py, &explained.map_err(invalid)?)
    }
}
