//! The whole build on this machine.

use crate::error::{invalid, of_data, of_input, system, whole};
use crate::read::Paths;
use crate::recipe::{Name, load};
use crate::shards::{format_of, shard_size_of};
use crate::stats::of_json;
use crate::threads;
use c4_pipeline::Error;
use c4_pipeline::build::{BuildOptions, Outcome, TargetOptions};
use c4_pipeline::input::{self, Places};
use c4_pipeline::remote::{Network, NetworkOptions, RemoteOptions, S3Options};
use c4_pipeline::runtime::memory;
use c4_pipeline::runtime::stop;
use c4_pipeline::terminal::progress;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use serde_json::json;
use std::path::PathBuf;
use std::sync::{Mutex, TryLockError};
use std::time::Duration;

/// How often Python is asked whether to stop, and told how far the build is.
const EVERY: Duration = Duration::from_millis(100);

/// Bytes.
const MOST_MEMORY: u64 = 1 << 50;

fn memory_of(memory: &Bound<'_, PyAny>) -> PyResult<Option<u64>> {
    if memory.is_none() {
        return Ok(None);
    }
    match whole("memory", memory)? {
        n if n < memory::LEAST => {
            let least = memory::LEAST;
            Err(invalid(format!("memory={n}: a build needs at least {least} bytes")))
        }
        n if n > MOST_MEMORY => Err(invalid(format!("memory={n}: no machine has so much"))),
        n => Ok(Some(n)),
    }
}

/// Builds a corpus, or goes on with one. See the stub.
#[pyfunction]
#[pyo3(signature = (inputs, output, recipe=Name::default(), *, format="arrow", shard_size=268_435_456, threads=0, memory=None, ledger="sample:1000", overwrite=false, work_dir=None, progress=None))]
// Python's keywords are one argument each.
#[allow(clippy::too_many_arguments)]
pub fn build<'py>(
    py: Python<'py>,
    inputs: Paths,
    output: PathBuf,
    recipe: Name,
    format: &str,
    #[pyo3(from_py_with = shard_size_of)] shard_size: u64,
    #[pyo3(from_py_with = threads::of)] threads: usize,
    #[pyo3(from_py_with = memory_of)] memory: Option<u64>,
    ledger: &str,
    overwrite: bool,
    work_dir: Option<PathBuf>,
    progress: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    if output.as_os_str().is_empty() {
        return Err(invalid("output is empty"));
    }
    if inputs.0.is_empty() {
        return Err(invalid("inputs: no archive is named"));
    }
    let loaded = load(&recipe)?;
    let memory_bytes = memory.unwrap_or_else(memory::default_budget);
    // Whoever stops one would stop all.
    static ONE: Mutex<()> = Mutex::new(());
    let _one = match ONE.try_lock() {
        Ok(one) => one,
        Err(TryLockError::Poisoned(one)) => one.into_inner(),
        Err(TryLockError::WouldBlock) => {
            return Err(PyRuntimeError::new_err("another build runs in this process"));
        }
    };
    let network = Network::new(NetworkOptions {
        s3: S3Options::from_env(),
        ..NetworkOptions::default()
    });
    let here = Places::here().map_err(|e| invalid(e.to_string()))?;
    let places = Places {
        network: Some(&network),
        ..here
    };
    let resolved = py.detach(|| input::resolve_in(&inputs.0, &places, &loaded.recipe.read));
    let options = BuildOptions {
        targets: vec![TargetOptions {
            recipe: loaded.recipe.clone(),
            lists: loaded.lists.clone(),
            output: output.clone(),
        }],
        inputs: resolved.map_err(of_input)?,
        format: format_of(format)?,
        shard_size_bytes: shard_size,
        threads,
        memory_bytes,
        work_dir,
        overwrite,
        ledger: ledger.parse().map_err(|e| invalid(format!("ledger={ledger:?}: {e}")))?,
        remote: RemoteOptions {
            network: network.clone(),
            ..RemoteOptions::default()
        },
        allow_missing: false,
    };
    let watch = progress::watch();
    let built = std::thread::scope(|scope| -> PyResult<_> {
        let build = scope.spawn(|| c4_pipeline::build::build(&options));
        let mut raised = None;
        while !build.is_finished() {
            py.detach(|| std::thread::sleep(EVERY));
            let told = py.check_signals().and_then(|()| match (progress, watch.now()) {
                (Some(call), Some((pass, done, total))) => call.call1((pass, done, total)).map(drop),
                _ => Ok(()),
            });
            if let (Err(e), None) = (told, &raised) {
                // Ctrl-C, or the callback: what is in hand is finished, so that the same call goes on.
                stop::ask();
                raised = Some(e);
            }
        }
        let built = py.detach(|| build.join());
        stop::forget();
        match (raised, built) {
            (Some(e), _) => Err(e),
            (None, Ok(built)) => Ok(built),
            (None, Err(panic)) => std::panic::resume_unwind(panic),
        }
    })?;
    drop(watch);
    let outcome = built.map_err(|e| match e {
        Error::Missing { list, .. } => system(format!("could not be fetched: {}", list.join("; "))),
        Error::Data(e) => of_data(e),
        e => invalid(e.to_string()),
    })?;
    let (manifest, warnings) = match outcome.into_iter().next() {
        Some(Outcome::AlreadyDone(manifest)) => (*manifest, Vec::new()),
        Some(Outcome::Built(built)) => (built.manifest, built.warnings),
        None => return Err(invalid("nothing was built")),
    };
    let mut value = serde_json::to_value(manifest).map_err(|e| invalid(e.to_string()))?;
    value["warnings"] = json!(warnings);
    of_json(py, &value)
}
