//! Options of several commands: corpora, threads.

use super::output::{count, tell};
use crate::Error;
use crate::backend::{self, Device, Precision};
use crate::rows::{RowFile, Source, TextDocument, listing};
use clap::Args;
use indicatif::DecimalBytes;
use std::thread::available_parallelism;

#[derive(Debug, Args)]
pub(super) struct CorpusArgs {
    /// Corpora of `c4 build`, or folders, patterns or files of JSON lines, JSON, Parquet, Arrow or text, as PATH,
    /// PATH=WEIGHT, or PATH:LANGUAGE=WEIGHT; may be given several times. Without weights, corpora count by their bytes
    /// of text.
    #[arg(long = "corpus", value_name = "PATH[=WEIGHT]", value_parser = Source::parse)]
    corpora: Vec<Source>,
    #[command(flatten)]
    rows: RowArgs,
}

impl CorpusArgs {
    /// The corpora that were named; none if none were.
    pub fn sources(&self) -> Vec<Source> {
        self.rows.apply(self.corpora.clone())
    }
}

/// How files are read that `c4 build` did not write.
#[derive(Debug, Args)]
pub(super) struct RowArgs {
    /// The column that holds the text, in files that `c4 build` did not write [default: text].
    #[arg(long, value_name = "NAME")]
    column: Option<String>,
    /// What a document is in files of plain text [default: line].
    #[arg(long, value_name = "WHAT")]
    document: Option<TextDocument>,
}

impl RowArgs {
    pub fn apply(&self, mut sources: Vec<Source>) -> Vec<Source> {
        for source in &mut sources {
            source.column.clone_from(&self.column);
            source.document = self.document;
        }
        sources
    }
}

/// Tells that files are read for their sizes, which may take long.
pub(super) fn tell_of_first_read(files: usize, bytes: u64) {
    if bytes >= 100_000_000 {
        tell(format_args!(
            "{}, {}: read once for checksums and sizes",
            count(files as u64, "file"),
            DecimalBytes(bytes)
        ));
    }
}

/// Tells what the corpora are, a line each.
///
/// # Errors
/// One cannot be read.
pub(super) fn tell_of_corpora(sources: &[Source]) -> Result<(), Error> {
    for source in sources {
        for corpus in listing::corpora(source, &tell_of_first_read)? {
            let of = |files: &[RowFile]| -> (u64, u64) {
                let rows = files.iter().map(|file| (file.rows, file.text_bytes));
                rows.fold((0, 0), |sum, file| (sum.0 + file.0, sum.1 + file.1))
            };
            let ((documents, bytes), (validation, _)) = (of(&corpus.train), of(&corpus.validation));
            let validation = match validation {
                0 => "none for validation, so some are held out".to_owned(),
                documents => format!("{} for validation", count(documents, "document")),
            };
            let files = count(corpus.train.len() as u64, "file");
            let text = DecimalBytes(bytes);
            let documents = count(documents, "document");
            tell(format_args!(
                "{}: {documents}, {text} of text in {files}; {validation}",
                corpus.name
            ));
            if let Some(first) = corpus.left_out.first() {
                let others = match corpus.left_out.len() - 1 {
                    0 => String::new(),
                    others => format!(" and {}", count(others as u64, "other file")),
                };
                tell(format_args!(
                    "not read: {}{others} (no rows, or a test set)",
                    first.display()
                ));
            }
        }
    }
    Ok(())
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
