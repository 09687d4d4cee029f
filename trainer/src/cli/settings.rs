//! Options of several commands: corpora, threads.

use crate::backend::{self, Device, Precision};
use crate::feed::Source;
use clap::Args;
use std::path::PathBuf;
use std::thread::available_parallelism;

/// `DIR`, `DIR=WEIGHT`, `DIR:LANGUAGE`, `DIR:LANGUAGE=WEIGHT`. A folder whose name has such signs is taken as it is, if it
/// is there.
pub(super) fn parse_source(text: &str) -> Result<Source, String> {
    let whole = PathBuf::from(text);
    if whole.is_dir() {
        return Ok(Source {
            path: whole,
            weight: None,
            language: None,
        });
    }
    let (rest, weight) = match text.rsplit_once('=') {
        Some((rest, weight)) => {
            let weight: f64 = weight.parse().map_err(|_| format!("`{weight}` is no weight"))?;
            if !(weight > 0.0 && weight.is_finite()) {
                return Err(format!("the weight is {weight}, and must be positive"));
            }
            (rest, Some(weight))
        }
        None => (text, None),
    };
    let (path, language) = match rest.rsplit_once(':') {
        Some((path, language)) if !PathBuf::from(rest).is_dir() => (path, Some(language.to_owned())),
        _ => (rest, None),
    };
    Ok(Source {
        path: path.into(),
        weight,
        language,
    })
}

#[derive(Debug, Args)]
pub(super) struct CorpusArgs {
    /// Folders that `c4 build` wrote, as DIR, DIR=WEIGHT, or DIR:LANGUAGE=WEIGHT; may be given several times. Without weights,
    /// corpora count by their bytes of text.
    #[arg(long = "corpus", value_name = "DIR[=WEIGHT]", value_parser = parse_source)]
    pub corpora: Vec<Source>,
}

#[derive(Debug, Args)]
pub(super) struct ThreadsArg {
    /// Threads [default: one a core].
    #[arg(short, long, default_value_t = 0, hide_default_value = true, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u16).range(0..=512))]
    threads: u16,
}

impl ThreadsArg {
    /// Makes them, for all that computes.
    pub(super) fn start(&self) -> anyhow::Result<()> {
        self.start_among(1)
    }

    /// The same for one of several processes that share a machine, and its cores where nothing is said.
    pub(super) fn start_among(&self, processes: usize) -> anyhow::Result<()> {
        let threads = match (self.threads, processes) {
            (0, 2..) => (available_parallelism().map_or(1, usize::from) / processes).max(1),
            (threads, _) => threads.into(),
        };
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        Ok(pool.build_global()?)
    }
}

#[derive(Debug, Args)]
pub(super) struct DeviceArgs {
    /// Where to compute: cpu, cuda, cuda:N for GPU N (in a program built by `make cuda`), or candle (on the CPU).
    #[arg(long, default_value = "cpu", value_name = "DEVICE")]
    device: Device,
    /// What a GPU computes with: bf16 (sums, parameters and gradients f32), or f32. The CPU always takes f32.
    #[arg(long, default_value = "bf16", value_name = "TYPE")]
    precision: Precision,
}

impl DeviceArgs {
    /// Where, and with what; an error where that is not there.
    pub(super) fn find(&self) -> anyhow::Result<(Device, Precision)> {
        self.find_among(None, 1)
    }

    /// The same for one of several processes, which may have a GPU of its own.
    pub(super) fn find_among(&self, gpu: Option<usize>, processes: usize) -> anyhow::Result<(Device, Precision)> {
        let device = gpu.map_or(self.device, Device::Cuda);
        backend::find(device, processes)?;
        Ok((device, self.precision))
    }

    /// Whether a GPU is asked for.
    pub(super) fn is_gpu(&self) -> bool {
        matches!(self.device, Device::Cuda(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_have_weights_and_languages() {
        let source = |path: &str, weight, language: Option<&str>| Source {
            path: path.into(),
            weight,
            language: language.map(str::to_owned),
        };
        for (text, want) in [
            ("a/b", source("a/b", None, None)),
            ("a/b=10", source("a/b", Some(10.0), None)),
            ("a/b:de=0.5", source("a/b", Some(0.5), Some("de"))),
            ("a/b:de", source("a/b", None, Some("de"))),
        ] {
            assert_eq!(parse_source(text), Ok(want));
        }
        for text in ["a=x", "a=0", "a=-1", "a=inf"] {
            assert!(parse_source(text).is_err(), "{text}");
        }
    }
}
