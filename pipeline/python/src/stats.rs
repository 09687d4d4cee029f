//! What was counted: sums, which are added in any order.

use crate::error::invalid;
use crate::recipe;
use c4_filters::{Statistics, counters};
use pyo3::prelude::*;
use pyo3::types::PyBytes;
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64;

/// What became of records, pages, lines, characters and words.
///
/// The statistics of a part of a build: of a reader, of a call of `clean` or `finish`. Add them up with `+`; the sum
/// over all parts is that of the whole build, whatever their order, and `check()` holds for it.
#[pyclass(module = "c4", name = "Stats", from_py_object)]
#[derive(Clone, Default)]
pub struct Stats(pub Statistics);

#[pymethods]
impl Stats {
    #[new]
    fn new() -> Stats {
        Stats::default()
    }

    /// What `to_bytes` gave.
    #[staticmethod]
    fn from_bytes(data: &[u8]) -> PyResult<Stats> {
        let read = unseal(data).and_then(|data| postcard::from_bytes::<Statistics>(data).ok());
        let Some(statistics) = read else {
            return Err(invalid("data: these bytes are no Stats of this version"));
        };
        let mut sum = Stats::default();
        // Bins are not stored.
        sum.0 += statistics;
        Ok(sum)
    }

    /// As bytes, to be sent to another process of the same version.
    fn to_bytes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyBytes>> {
        let mut bytes = postcard::to_stdvec(&self.0).map_err(|e| invalid(e.to_string()))?;
        seal(&mut bytes);
        Ok(PyBytes::new(py, &bytes))
    }

    /// The reference's counters (TensorFlow Datasets) by name, as `stats.json` has them, of a whole (see `check`).
    fn counters<'py>(&self, py: Python<'py>, recipe: &str) -> PyResult<Bound<'py, PyAny>> {
        let recipe = recipe::load(recipe)?;
        // Of a part some would be below zero.
        self.check()?;
        let counters = counters::counters(&self.0.tally, &recipe.recipe);
        counters.into_pyobject(py).map(Bound::into_any)
    }

    /// Records, pages, lines, characters and words: in, out, dropped by reason.
    fn tally<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        of_json(py, &self.0.tally.to_json())
    }

    /// Raises `ValueError` if something came in that neither came out nor was dropped. Only a whole adds up: pages
    /// that were read, cleaned and finished.
    fn check(&self) -> PyResult<()> {
        self.0.tally.check().map_err(invalid)
    }

    fn __add__(&self, other: &Stats) -> Stats {
        let mut sum = self.clone();
        sum.0 += other.0.clone();
        sum
    }

    /// For `sum`, which begins with 0.
    fn __radd__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>) -> Bound<'py, PyAny> {
        match other.extract::<u8>() {
            Ok(0) => slf.clone().into_any(),
            _ => slf.py().NotImplemented().into_bound(slf.py()),
        }
    }

    fn __iadd__(&mut self, other: &Stats) {
        self.0 += other.0.clone();
    }

    fn __reduce__<'py>(
        slf: &Bound<'py, Self>,
    ) -> PyResult<(Bound<'py, PyAny>, (Bound<'py, PyBytes>,))> {
        let from = slf.get_type().getattr("from_bytes")?;
        Ok((from, (slf.borrow().to_bytes(slf.py())?,)))
    }

    fn __repr__(&self) -> String {
        let tally = &self.0.tally;
        let out: u64 = tally.pages_out.iter().sum();
        let dropped: u64 = tally.pages_dropped.iter().sum();
        let pages = tally.pages();
        format!("<c4.Stats: {pages} pages read, {out} kept, {dropped} dropped>")
    }
}

/// Ends `bytes` with their hash: numbers that were altered on their way would not add up, and break arithmetic.
pub fn seal(bytes: &mut Vec<u8>) {
    bytes.extend(xxh3_64(bytes).to_le_bytes());
}

/// What was sealed.
pub fn unseal(sealed: &[u8]) -> Option<&[u8]> {
    let (bytes, hash) = sealed.split_last_chunk()?;
    (xxh3_64(bytes) == u64::from_le_bytes(*hash)).then_some(bytes)
}

/// JSON as Python's dicts and lists.
pub fn of_json<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    py.import("json")?
        .call_method1("loads", (value.to_string(),))
}

/// Python's dicts and lists as JSON.
pub fn to_json(any: &Bound<'_, PyAny>) -> PyResult<String> {
    let text = any.py().import("json")?.call_method1("dumps", (any,))?;
    text.extract()
}
