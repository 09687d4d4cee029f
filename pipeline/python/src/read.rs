//! Archives as batches of pages.

use crate::error::{invalid, of_input};
use crate::recipe::{Loaded, Name, load};
use crate::stats::{Stats, of_json};
use crate::threads;
use arrow::array::{ArrayRef, Int64Builder, RecordBatch, StringBuilder};
use arrow_pyarrow::ToPyArrow;
use c4_data::Page;
use c4_filters::Statistics;
use c4_pipeline::input::{self, Input, Places};
use c4_pipeline::read::outcome::Split;
use c4_pipeline::read::{Batch, OpenSource, split};
use c4_pipeline::work::health::Health;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use rayon::prelude::*;
use serde_json::json;
use std::collections::{HashSet, VecDeque};
use std::iter;
use std::path::PathBuf;
use std::sync::Arc;

/// Files, folders and listings of this machine as archives, in the order in which a build has them.
fn resolve(paths: &[PathBuf], loaded: &Loaded) -> PyResult<Vec<Input>> {
    let here = Places::here().map_err(|e| invalid(e.to_string()))?;
    let places = Places { any_file: true, ..here };
    let inputs = input::resolve_in(paths, &places, &loaded.recipe.read);
    inputs.map_err(of_input)
}

/// Of a batch, if a piece of an archive alone has not more.
const MOST_TEXT: usize = 1 << 29;
/// Bytes of a label, which is in every row.
const LONGEST_LABEL: usize = 1 << 12;

/// One path or several.
pub struct Paths(pub Vec<PathBuf>);

impl<'py> FromPyObject<'_, 'py> for Paths {
    type Error = PyErr;

    fn extract(any: Borrowed<'_, 'py, PyAny>) -> PyResult<Paths> {
        if let Ok(one) = any.extract::<PathBuf>() {
            return match one.as_os_str().is_empty() {
                true => Err(invalid("a path is empty")),
                false => Ok(Paths(vec![one])),
            };
        }
        let wrong = |what: &Bound<'_, PyAny>| {
            let kind = what.get_type();
            PyTypeError::new_err(format!(
                "wanted: a path (str, os.PathLike) or a list of them; this is {kind}"
            ))
        };
        let Ok(several) = any.try_iter() else {
            return Err(wrong(&any));
        };
        let mut paths = Vec::new();
        for item in several {
            let Paths(path) = match item? {
                one if one.extract::<PathBuf>().is_ok() => one.extract()?,
                other => return Err(wrong(&other)),
            };
            paths.extend(path);
        }
        Ok(Paths(paths))
    }
}

/// The archives that paths name, with their labels (the column `archive`) and sizes in bytes.
#[pyfunction]
#[pyo3(signature = (paths, recipe=Name::default()))]
pub fn inputs<'py>(py: Python<'py>, paths: Paths, recipe: Name) -> PyResult<Bound<'py, PyAny>> {
    let loaded = load(&recipe)?;
    let inputs = py.detach(|| resolve(&paths.0, &loaded))?;
    let entry =
        |input: &Input| json!({ "path": input.location.to_string(), "archive": &*input.label, "bytes": input.bytes });
    of_json(py, &inputs.iter().map(entry).collect())
}

/// Pages of archives, batch by batch: an iterator of `pyarrow.RecordBatch`.
#[pyclass(module = "c4", name = "Reader")]
pub struct Reader {
    loaded: Arc<Loaded>,
    threads: usize,
    inputs: Vec<Input>,
    next: usize,
    open: Option<Open>,
    /// Batches that are read and not given yet.
    ready: VecDeque<RecordBatch>,
    statistics: Statistics,
    entries: Vec<serde_json::Value>,
}

/// The archive that is being read.
struct Open {
    source: Option<OpenSource>,
    health: Health,
    /// Batches read of it.
    batches: u64,
}

/// Reads pages. See the stub for what it takes.
#[pyfunction]
#[pyo3(signature = (paths, recipe=Name::default(), *, labels=None, threads=1))]
pub fn read(
    py: Python<'_>,
    paths: Paths,
    recipe: Name,
    labels: Option<Vec<String>>,
    #[pyo3(from_py_with = threads::of)] threads: usize,
) -> PyResult<Reader> {
    let loaded = load(&recipe)?;
    let mut inputs = py.detach(|| resolve(&paths.0, &loaded))?;
    if let Some(labels) = labels {
        if labels.len() != inputs.len() {
            let (has, wanted) = (labels.len(), inputs.len());
            return Err(invalid(format!("labels: {has} for {wanted} archives")));
        }
        let mut known = HashSet::new();
        if let Some(label) = labels
            .iter()
            .find(|label| label.is_empty() || label.len() > LONGEST_LABEL || !known.insert(*label))
        {
            return Err(invalid(format!(
                "labels: {label:.80?}: every archive needs its own, of at most {LONGEST_LABEL} bytes"
            )));
        }
        for (input, label) in inputs.iter_mut().zip(labels) {
            input.label = label.into();
        }
    }
    Ok(Reader {
        loaded,
        threads,
        inputs,
        next: 0,
        open: None,
        ready: VecDeque::new(),
        statistics: Statistics::default(),
        entries: Vec::new(),
    })
}

#[pymethods]
impl Reader {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let batch = py.detach(|| self.batch())?;
        batch.map(|batch| batch.to_pyarrow(py)).transpose()
    }

    /// What was counted so far: records, and why some became no page.
    #[getter]
    fn stats(&self) -> Stats {
        Stats(self.statistics.clone())
    }

    /// The archives that were read to their end, as a manifest lists them: `archive`, `bytes`, `state` (`read`,
    /// `damaged`, `failed`), `damage`.
    #[getter]
    fn inputs<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        of_json(py, &self.entries.iter().cloned().collect())
    }
}

impl Reader {
    /// The next batch that holds pages; `None` at the end of the last archive.
    fn batch(&mut self) -> PyResult<Option<RecordBatch>> {
        loop {
            if let Some(ready) = self.ready.pop_front() {
                return Ok(Some(ready));
            }
            let Some(input) = self.inputs.get(self.next) else {
                return Ok(None);
            };
            let open = match &mut self.open {
                Some(open) => open,
                none => none.insert(Open::new(input, &self.loaded, &mut self.statistics)),
            };
            let (first, batches) = open.batches(self.threads);
            if batches.is_empty() {
                let entry = serde_json::to_value(open.health.entry(&input.label, input.bytes));
                self.entries.push(entry.map_err(|e| invalid(e.to_string()))?);
                self.open = None;
                self.next += 1;
                continue;
            }
            let all = |batch| split(batch).flatten().collect();
            let splits: Vec<Vec<Split>> = match batches.len() {
                1 => batches.into_iter().map(all).collect(),
                _ => threads::on(self.threads, || batches.into_par_iter().map(all).collect())?,
            };
            // A column holds 2 GiB of text, of which many threads read more.
            let mut first = first;
            let mut splits = splits.into_iter().peekable();
            while splits.peek().is_some() {
                let mut bytes = 0;
                let part: Vec<Vec<Split>> = iter::from_fn(|| {
                    splits.next_if(|next| {
                        let fits = bytes == 0 || bytes + text_bytes(next) <= MOST_TEXT;
                        bytes += text_bytes(next);
                        fits
                    })
                })
                .collect();
                let batches = part.len() as u64;
                let pages = self.pages(first, part)?;
                first += batches;
                if pages.num_rows() > 0 {
                    self.ready.push_back(pages);
                }
            }
        }
    }

    /// Counts what was read, and makes columns of pages. `first` is the number of the first batch.
    fn pages(&mut self, first: u64, splits: Vec<Vec<Split>>) -> PyResult<RecordBatch> {
        let Some(Open {
            source: Some(source),
            health,
            ..
        }) = &mut self.open
        else {
            return Err(invalid("no archive is open"));
        };
        let (kind, label) = (source.kind(), &self.inputs[self.next].label);
        let tally = &mut self.statistics.tally;
        let names = ["url", "text", "timestamp", "content_type", "content_length", "archive"];
        let mut texts: [StringBuilder; 6] = Default::default();
        let mut numbers: [Int64Builder; 2] = Default::default();
        let mut damaged = Vec::new();
        for (batch, splits) in (first..).zip(splits) {
            for (place, split) in (0..).zip(splits) {
                // A record's rank in its archive, as a build has it.
                let order = batch << 32 | place;
                match split {
                    Split::Page(page) => {
                        tally.read_pages(kind, 1);
                        let Page {
                            url,
                            text,
                            timestamp,
                            content_type,
                            content_length,
                            record_offset,
                        } = page;
                        let values = [&*url, &text, &timestamp, &content_type, &content_length, label];
                        for (column, value) in texts.iter_mut().zip(values) {
                            column.append_value(value);
                        }
                        for (column, value) in numbers.iter_mut().zip([record_offset, order]) {
                            column.append_value(value as i64);
                        }
                    }
                    Split::Dropped(dropped) => tally.drop_record(kind, dropped.reason),
                    Split::Damage(damage) => {
                        tally.drop_record(kind, damage.reason);
                        damaged.push((order, damage.listed()));
                    }
                }
            }
        }
        health.note(damaged);
        let strings = texts.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef);
        let strings = names.into_iter().zip(strings);
        let integers = numbers.iter_mut().map(|column| Arc::new(column.finish()) as ArrayRef);
        let integers = ["record_offset", "order"].into_iter().zip(integers);
        RecordBatch::try_from_iter(strings.chain(integers)).map_err(|e| invalid(e.to_string()))
    }
}

fn text_bytes(splits: &[Split]) -> usize {
    let of = |split: &Split| match split {
        Split::Page(page) => page.url.len() + page.text.len(),
        _ => 0,
    };
    splits.iter().map(of).sum()
}

impl Open {
    /// Opens an archive; what cannot be read is noted.
    fn new(input: &Input, loaded: &Loaded, statistics: &mut Statistics) -> Open {
        let mut health = Health::default();
        let source = input
            .file()
            .map_err(|e| e.to_string())
            .and_then(|path| OpenSource::open(path, &loaded.recipe.read));
        let source = match source {
            Ok(source) => {
                statistics.tally.archives[source.kind() as usize] += 1;
                Some(source)
            }
            Err(cause) => {
                health.failed = Some(cause);
                None
            }
        };
        Open {
            source,
            health,
            batches: 0,
        }
    }

    /// The next batches, one a thread; none at the archive's end. And the number of the first.
    fn batches(&mut self, threads: usize) -> (u64, Vec<Batch>) {
        let threads = match threads {
            0 => rayon::current_num_threads(),
            n => n,
        };
        let first = self.batches;
        let mut batches = Vec::new();
        while batches.len() < threads {
            let Some(source) = &mut self.source else {
                break;
            };
            match source.next_batch(|_| ()) {
                Ok(Some(batch)) => {
                    let is_large = batch.is_large();
                    batches.push(batch);
                    if is_large {
                        break;
                    }
                }
                Ok(None) => break,
                Err(cause) => {
                    self.health.failed = Some(cause);
                    break;
                }
            }
        }
        self.batches += batches.len() as u64;
        (first, batches)
    }
}
