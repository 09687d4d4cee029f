//! Which files a corpus is of: those of a manifest, or whatever holds rows.

use super::kind::Kind;
use super::source::{NamedSplit, Source, files, named_split};
use super::{RowFile, TextDocument, sizes};
use crate::Error;
use c4_data::{BatchLimit, Container, Format, Manifest, RecordBatches, ShardEntry, Split};
use rayon::prelude::*;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The files of a source in one language.
#[derive(Debug, Clone)]
pub(crate) struct ListedCorpus {
    /// The source's path, and the language if its shards are by language.
    pub name: String,
    pub train: Vec<RowFile>,
    pub validation: Vec<RowFile>,
    /// Files that were not read, since they hold no rows or a test set.
    pub left_out: Vec<PathBuf>,
}

/// The corpora of a source: one, or one for each language of a build by language.
///
/// Reads a manifest and the sizes of its shards. Of other files each is read once a process, or once a run
/// ([`sizes`]), for its checksum, rows and text; `on_first_read` is told of those files, and of their bytes.
///
/// # Errors
/// Nothing is there, or nothing that rows can be read of; a shard of another size than its manifest says; a language
/// that is not there; damaged files.
pub(crate) fn corpora(source: &Source, on_first_read: &dyn Fn(usize, u64)) -> Result<Vec<ListedCorpus>, Error> {
    match Manifest::read(&source.path) {
        Ok(Some(manifest)) => of_build(source, &manifest),
        Ok(None) => Ok(vec![of_files(source, on_first_read)?]),
        Err(c4_data::Error::Io { cause, .. }) if cause.kind() == std::io::ErrorKind::NotADirectory => {
            Ok(vec![of_files(source, on_first_read)?])
        }
        Err(error) => Err(error.into()),
    }
}

fn of_build(source: &Source, manifest: &Manifest) -> Result<Vec<ListedCorpus>, Error> {
    let dir = &source.path;
    if source.column.is_some() || source.document.is_some() {
        let problem = "`c4 build` wrote it, and its text is in the column `text`; leave out --column and --document";
        return Err(Error::format(dir, problem));
    }
    let mut languages: Vec<Option<&str>> = Vec::new();
    for shard in &manifest.shards {
        let language = shard.language.as_deref();
        let wanted = source.language.is_none() || source.language.as_deref() == language;
        if wanted && !languages.contains(&language) {
            languages.push(language);
        }
    }
    if let (Some(language), true) = (&source.language, languages.is_empty()) {
        let problem = match manifest.recipe.split.by_language {
            true => format!("the corpus has no shards of language {language:?}; `c4 stats` lists its languages"),
            false => format!(
                "the corpus has no shards of language {language:?}: build it with `by_language = true` in the recipe's [split]"
            ),
        };
        return Err(Error::format(dir, problem));
    }
    let limit = BatchLimit::of(&manifest.recipe);
    let of_set = |language: Option<&str>, split: Split| -> Result<Vec<RowFile>, Error> {
        let shards = manifest.shards.iter();
        let shards = shards.filter(|shard| shard.language.as_deref() == language && shard.split == split);
        shards.map(|entry| shard(dir, manifest.format, entry, limit)).collect()
    };
    let corpus = |language: Option<&str>| {
        Ok(ListedCorpus {
            name: match language {
                Some(language) => format!("{} ({language})", dir.display()),
                None => dir.display().to_string(),
            },
            train: of_set(language, Split::Train)?,
            validation: of_set(language, Split::Validation)?,
            left_out: Vec::new(),
        })
    };
    languages.into_iter().map(corpus).collect()
}

/// A shard, whose size is that of its manifest, which shows most of those that were cut short.
fn shard(dir: &Path, format: Format, entry: &ShardEntry, limit: BatchLimit) -> Result<RowFile, Error> {
    let path = dir.join(&entry.file);
    let bytes = std::fs::metadata(&path).map_err(|e| Error::io(&path, e))?.len();
    if bytes != entry.bytes {
        let problem = format!(
            "has {bytes} bytes where the manifest says {}: it was cut short or replaced; `c4 verify` says more",
            entry.bytes
        );
        return Err(Error::format(&path, problem));
    }
    Ok(RowFile {
        path,
        kind: match format {
            Format::Arrow => Kind::Batches(Container::ArrowFile),
            Format::Parquet => Kind::Batches(Container::Parquet),
            Format::Jsonl => Kind::JsonLines,
        },
        text: super::source::TEXT.to_owned(),
        document: TextDocument::Line,
        names: None,
        limit,
        rows: entry.rows,
        text_bytes: entry.text_bytes,
        sha256: entry.sha256.clone(),
        of_build: true,
    })
}

fn of_files(source: &Source, on_first_read: &dyn Fn(usize, u64)) -> Result<ListedCorpus, Error> {
    let path = &source.path;
    if let Some(language) = &source.language {
        let problem = format!("only corpora of `c4 build` have languages; leave out {language:?}, or name its files");
        return Err(Error::format(path, problem));
    }
    let (found, by_itself) = files(path)?;
    let (column, document) = (source.text_column(), source.document.unwrap_or_default());
    let mut left_out = Vec::new();
    let mut train = Vec::new();
    let mut validation = Vec::new();
    for file in found {
        let split = match by_itself {
            true => NamedSplit::Train,
            false => named_split(path, &file),
        };
        match (Kind::of(&file, by_itself)?, split) {
            (None, _) | (_, NamedSplit::Test) => left_out.push(file),
            (Some(kind), NamedSplit::Train) => train.push((file, kind)),
            (Some(kind), NamedSplit::Validation) => validation.push((file, kind)),
        }
    }
    // Whoever names nothing but a validation or test set means it.
    if train.is_empty() && !validation.is_empty() {
        std::mem::swap(&mut train, &mut validation);
    }
    if train.is_empty() {
        let unread = left_out.iter().take(3).map(|file| file.display().to_string());
        let there = match left_out.is_empty() {
            true => "no file".to_owned(),
            false => format!("only {}", unread.collect::<Vec<_>>().join(", ")),
        };
        let problem = format!(
            "nothing to read: neither a finished corpus (manifest.json) nor JSON, Parquet, Arrow or text files ({there})"
        );
        return Err(Error::format(path, problem));
    }
    let new = train.iter().chain(&validation).map(|(file, _)| {
        let known = sizes::find(file, column, document)?;
        let bytes = std::fs::metadata(file).map_err(|e| Error::io(file, e))?.len();
        Ok((known.is_none(), bytes))
    });
    let new: Vec<(bool, u64)> = new.collect::<Result<_, Error>>()?;
    let new: Vec<u64> = new
        .into_iter()
        .filter(|(new, _)| *new)
        .map(|(_, bytes)| bytes)
        .collect();
    if !new.is_empty() {
        on_first_read(new.len(), new.iter().sum());
    }
    let measured = |files: Vec<(PathBuf, Kind)>| -> Result<Vec<RowFile>, Error> {
        let size = |(file, kind): (PathBuf, Kind)| {
            let size = match sizes::find(&file, column, document)? {
                Some(size) => size,
                None => sizes::measure(&file, kind, column, document)?,
            };
            Ok(size.file(kind))
        };
        files.into_par_iter().map(size).collect()
    };
    Ok(ListedCorpus {
        name: path.display().to_string(),
        train: measured(train)?,
        validation: measured(validation)?,
        left_out,
    })
}

/// The names of a file's columns; of JSON, of its first object.
pub(crate) fn columns(path: &Path, kind: Kind) -> Result<Vec<String>, Error> {
    Ok(match kind {
        Kind::Batches(container) => {
            let batches = RecordBatches::open(path, container, None, BatchLimit::of_other_programs())?;
            batches
                .schema()
                .fields()
                .iter()
                .map(|field| field.name().clone())
                .collect()
        }
        Kind::JsonLines | Kind::JsonArray | Kind::JsonObjects => {
            let mut head = Vec::new();
            let mut bytes = super::kind::open(path)?.take(16 << 20);
            bytes.read_to_end(&mut head).map_err(|e| Error::io(path, e))?;
            let start = head.iter().position(|byte| *byte == b'{').unwrap_or(0);
            super::json::keys(&head[start..])
        }
        Kind::Tabs | Kind::Commas => super::table::first_row(path, kind)?,
        Kind::Text => vec![super::source::TEXT.to_owned()],
    })
}
