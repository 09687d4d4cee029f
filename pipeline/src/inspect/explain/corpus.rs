//! What a finished corpus knows of a page: which copies it lost to which pages, and its row.

use crate::corpus;
use crate::error::Error;
use crate::input::Input;
use c4_data::ledger::{DroppedPage, Duplicate, LedgerReader};
use c4_data::{BatchLimit, LedgerMode, Manifest, ShardReader};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// A finished corpus, asked for what it knows of pages.
#[derive(Debug)]
pub struct Corpus {
    dir: PathBuf,
    /// The manifest of the corpus.
    pub manifest: Manifest,
    /// The paths of the inputs, in the manifest's order; empty if they are not known.
    pub inputs: Vec<PathBuf>,
}

/// A row of a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowPlace {
    /// The file name of the shard.
    pub shard: String,
    /// The number of the row in its shard, from 0.
    pub row: u64,
}

/// The copy of a page, line or span that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copy {
    /// The label of the archive that holds the page of the copy.
    pub archive: String,
    /// The byte offset of the record in its archive.
    pub record_offset: u64,
    /// The number of the line, or of the first sentence of the span, after the rules.
    pub position: u32,
    /// The URL of the page, where it is known.
    pub url: Option<String>,
    /// The row of the page, if it is in the corpus.
    pub document: Option<RowPlace>,
    /// Whether the copy is on the page that lost another one.
    pub same_page: bool,
}

impl Copy {
    /// The copy as JSON.
    pub fn to_json(&self) -> Value {
        json!({
            "archive": self.archive,
            "record_offset": self.record_offset,
            "position": self.position,
            "url": self.url,
            "same_page": self.same_page,
            "in_corpus": self.document.is_some(),
        })
    }
}

impl fmt::Display for Copy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.same_page {
            return f.write_str("this very page");
        }
        match &self.url {
            Some(url) => write!(f, "{url}")?,
            None => write!(f, "{}, byte {}", self.archive, self.record_offset)?,
        }
        match self.document {
            Some(_) => Ok(()),
            None => f.write_str(" (not in the corpus: a later step dropped it)"),
        }
    }
}

/// What a finished corpus knows of a page.
#[derive(Debug, Default)]
pub(super) struct KnownPage {
    /// The copies that the page lost, each with the one that is kept.
    pub duplicates: Vec<(Duplicate, Copy)>,
    /// The row of the page, if it is in the corpus.
    pub document: Option<RowPlace>,
}

impl Corpus {
    /// Opens the corpus in `dir`.
    ///
    /// # Errors
    /// The folder holds no finished corpus.
    pub fn open(dir: &Path) -> Result<Corpus, Error> {
        let manifest = corpus::finished(dir)?;
        let run = std::fs::read(dir.join(corpus::RUN_FILE)).ok();
        let run: Option<Value> = run.and_then(|json| serde_json::from_slice(&json).ok());
        let paths = run.as_ref().and_then(|run| run["inputs"].as_array());
        let paths = paths.into_iter().flatten().filter_map(Value::as_str);
        Ok(Corpus {
            dir: dir.to_owned(),
            manifest,
            inputs: paths.map(PathBuf::from).collect(),
        })
    }

    /// Whether the corpus has a ledger, which knows of duplicates.
    pub(crate) fn has_ledger(&self) -> bool {
        self.manifest.ledger.mode != LedgerMode::None
    }

    /// Gives inputs the labels that they have in the corpus, which depend on its other inputs: found by path, else by
    /// the end of the path.
    ///
    /// # Errors
    /// An input that the corpus was not built from.
    pub fn label(&self, inputs: &mut [Input]) -> Result<(), Error> {
        for input in inputs {
            let file = input.file()?;
            let same = |path: &PathBuf| std::path::absolute(path).ok() == std::path::absolute(file).ok();
            let labels = self.manifest.inputs.iter().map(|entry| entry.archive.as_str());
            let by_path = self.inputs.iter().position(same);
            let by_path = by_path.and_then(|i| labels.clone().nth(i));
            let by_name = || {
                let mut fitting = labels.clone().filter(|label| file.ends_with(label));
                fitting.next().filter(|_| fitting.next().is_none())
            };
            let Some(label) = by_path.or_else(by_name) else {
                return Err(Error::Output {
                    path: self.dir.clone(),
                    reason: format!("was not built of {}", file.display()),
                });
            };
            input.label = label.into();
        }
        Ok(())
    }

    /// What the corpus knows of pages, which are given by archive and offset. Reads the table of duplicates and the
    /// shards once.
    ///
    /// # Errors
    /// A file of the corpus cannot be read.
    pub(super) fn look_up(&self, pages: &[(&str, u64)]) -> Result<Vec<KnownPage>, Error> {
        let wanted: HashMap<(&str, u64), usize> = pages.iter().enumerate().map(|(i, page)| (*page, i)).collect();
        let mut known: Vec<KnownPage> = pages.iter().map(|_| KnownPage::default()).collect();
        let mut urls: HashMap<(String, u64), (Option<String>, Option<RowPlace>)> = HashMap::new();
        for row in LedgerReader::<Duplicate>::new(&self.dir, &self.manifest.ledger) {
            let row = row?;
            if let Some(i) = wanted.get(&(row.archive.as_str(), row.record_offset)) {
                let kept = (row.kept_archive.clone(), row.kept_record_offset);
                urls.insert(kept, (None, None));
                let copy = Copy {
                    archive: row.kept_archive.clone(),
                    record_offset: row.kept_record_offset,
                    position: row.kept_position,
                    url: None,
                    document: None,
                    same_page: (row.kept_archive.as_str(), row.kept_record_offset)
                        == (row.archive.as_str(), row.record_offset),
                };
                known[*i].duplicates.push((row, copy));
            }
        }
        let limit = BatchLimit::of(&self.manifest.recipe);
        for shard in &self.manifest.shards {
            let path = corpus::checked_file(&self.dir, &shard.file, &shard.sha256)?;
            let documents = ShardReader::open_within(&path, limit)?;
            for (row, document) in (0..).zip(documents) {
                let document = document?;
                let place = RowPlace {
                    shard: shard.file.clone(),
                    row,
                };
                let key = (document.archive.to_string(), document.page.record_offset);
                if let Some(i) = wanted.get(&(key.0.as_str(), key.1)) {
                    known[*i].document = Some(place.clone());
                }
                if let Some(found) = urls.get_mut(&key) {
                    *found = (Some(document.page.url), Some(place));
                }
            }
        }
        // A copy that stayed on a page that a later step dropped: the ledger may know its URL.
        if urls.values().any(|(url, _)| url.is_none()) {
            for page in LedgerReader::<DroppedPage>::new(&self.dir, &self.manifest.ledger) {
                let page = page?;
                let key = (page.archive, page.record_offset);
                if let Some((url @ None, _)) = urls.get_mut(&key) {
                    *url = Some(page.url);
                }
            }
        }
        for (_, copy) in known.iter_mut().flat_map(|page| &mut page.duplicates) {
            let key = (copy.archive.clone(), copy.record_offset);
            if let Some((url, document)) = urls.get(&key) {
                copy.url.clone_from(url);
                copy.document.clone_from(document);
            }
        }
        Ok(known)
    }
}
