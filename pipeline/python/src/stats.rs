//! What was counted: sums, which are added in any order.

use crate::error::invalid;
use crate::recipe;
use c4_filters::{Statistics, counters};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyBytes};
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_64_with_seed;

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
        let read = unseal(data, 0).and_then(|data| postcard::from_bytes::<Statistics>(data).ok());
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
        seal(&mut bytes, 0);
        Ok(PyBytes::new(py, &bytes))
    }

    /// The reference's counters (TensorFlow Datasets) by name, as `stats.json` has them, of a whole (see `check`).
    fn counters<'py>(&self, py: Python<'py>, recipe: recipe::Name) -> PyResult<Bound<'py, PyAny>> {
        let recipe = recipe::load(&recipe)?;
        // Of a part some would be below zero.
        self.check()?;
        let counters = counters::counters(&self.0.tally, &recipe.recipe);
        counters.into_pyobject(py).map(Bound::into_any)
    }

    /// Records, pages, lines, characters and words: in, out, dropped by reason.
    fn tally<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let tally = serde_json::to_value(self.0.tally.to_stats()).map_err(|e| invalid(e.to_string()))?;
        of_json(py, &tally)
    }

    /// Raises `ValueError` if something came in that neither came out nor was dropped. Only a whole adds up: pages
    /// that were read, cleaned and finished.
    fn check(&self) -> PyResult<()> {
        self.0.tally.check().map_err(invalid)
    }

    fn __eq__(&self, other: &Stats) -> bool {
        self.0 == other.0
    }

    fn __add__(&self, other: &Stats) -> PyResult<Stats> {
        let mut sum = self.clone();
        sum.__iadd__(other)?;
        Ok(sum)
    }

    /// For `sum`, which begins with 0.
    fn __radd__(&self, other: u8) -> PyResult<Stats> {
        match other {
            0 => Ok(self.clone()),
            _ => Err(PyTypeError::new_err("a number cannot be added to c4.Stats")),
        }
    }

    fn __iadd__(&mut self, other: &Stats) -> PyResult<()> {
        // Counts of what was read once do not come near; sums of sums of sums would.
        for part in [&*self, other] {
            let tally = &part.0.tally;
            let counts = [tally.records, tally.lines.chars, tally.text_bytes_out];
            if counts.iter().any(|count| *count > 1 << 61) {
                return Err(invalid("these Stats count more than can be added"));
            }
        }
        self.0 += other.0.clone();
        Ok(())
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<(Bound<'py, PyAny>, (Bound<'py, PyBytes>,))> {
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

/// Ends `bytes` with their hash: numbers that were altered on their way would not add up, and break arithmetic. `seed`
/// stands for what else they belong to.
pub fn seal(bytes: &mut Vec<u8>, seed: u64) {
    bytes.extend(xxh3_64_with_seed(bytes, seed).to_le_bytes());
}

/// What was sealed.
pub fn unseal(sealed: &[u8], seed: u64) -> Option<&[u8]> {
    let (bytes, hash) = sealed.split_last_chunk()?;
    (xxh3_64_with_seed(bytes, seed) == u64::from_le_bytes(*hash)).then_some(bytes)
}

/// JSON as Python's dicts and lists.
pub fn of_json<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    py.import("json")?.call_method1("loads", (value.to_string(),))
}

/// Python's dicts and lists as JSON.
pub fn to_json(any: &Bound<'_, PyAny>) -> PyResult<String> {
    let py = any.py();
    // Whatever else is a mapping is a dict then.
    let default = [("default", py.get_type::<pyo3::types::PyDict>())].into_py_dict(py)?;
    let text = py.import("json")?.call_method("dumps", (any,), Some(&default))?;
    text.extract()
}
