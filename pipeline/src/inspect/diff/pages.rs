//! The pages of a corpus and the fates of its ledger, as streams in the order of the MD5 of the
//! normalised URL.

use crate::corpus;
use c4_data::ledger::{KEPT, LEDGER_FOLDER, LedgerReader, Table, UrlVerdict};
use c4_data::{BatchLimit, Document, Error, LedgerMode, Manifest, ShardEntry, ShardReader, ShardSet, Split};
use c4_filters::url;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender};

/// The number of pages that the reading thread sends to the comparing thread at a time.
const BATCH_ROWS: usize = 256;
/// The bytes of text that end a batch before that, so that memory is bounded.
const BATCH_TEXT_BYTES: usize = 1 << 20;

pub(super) struct ComparedCorpus {
    pub dir: PathBuf,
    pub manifest: Manifest,
}

impl ComparedCorpus {
    /// The corpus in `dir`.
    ///
    /// # Errors
    /// The folder holds no finished corpus.
    pub(super) fn open(dir: &Path) -> Result<ComparedCorpus, Error> {
        let manifest = corpus::finished(dir)?;
        Ok(ComparedCorpus {
            dir: dir.to_owned(),
            manifest,
        })
    }

    /// Compares the checksums of the files of a table of the ledger.
    ///
    /// # Errors
    /// A file is missing or not what was written.
    pub(crate) fn check_table(&self, table: Table) -> Result<(), Error> {
        let files = self.manifest.ledger.files.iter();
        let mut files = files.filter(|file| file.table == table);
        files.try_for_each(|file| corpus::checked_file(&self.dir, &file.file, &file.sha256).map(drop))
    }

    pub(crate) fn has_ledger(&self) -> bool {
        self.manifest.ledger.mode != LedgerMode::None
    }
}

/// A page of one of the two corpora.
pub(crate) struct ComparedPage {
    /// The MD5 of the normalised URL.
    pub key: u128,
    pub split: Split,
    pub document: Document,
}

/// One set of shards of a corpus.
struct SetRows<'c> {
    corpus: &'c ComparedCorpus,
    set: ShardSet<'c>,
    shards: std::vec::IntoIter<&'c ShardEntry>,
    open: Option<(PathBuf, ShardReader)>,
    last: Option<u128>,
}

impl<'c> SetRows<'c> {
    fn all(corpus: &'c ComparedCorpus) -> Vec<SetRows<'c>> {
        let mut sets: BTreeMap<ShardSet<'c>, Vec<&'c ShardEntry>> = BTreeMap::new();
        for shard in &corpus.manifest.shards {
            sets.entry(shard.set()).or_default().push(shard);
        }
        let rows = |(set, shards): (_, Vec<_>)| SetRows {
            corpus,
            set,
            shards: shards.into_iter(),
            open: None,
            last: None,
        };
        sets.into_iter().map(rows).collect()
    }

    fn next(&mut self) -> Result<Option<ComparedPage>, Error> {
        loop {
            if let Some((path, reader)) = &mut self.open {
                if let Some(document) = reader.next() {
                    let mut document = document?;
                    if let (Some(language), "") = (self.set.language, &*document.language) {
                        // The files of jsonl have no languages, but their names do.
                        language.clone_into(&mut document.language);
                    }
                    let key = url::md5(&url::normalize(&document.page.url));
                    if self.last.is_some_and(|last| last >= key) {
                        return Err(Error::Format {
                            path: path.clone(),
                            reason: format!(
                                "{} is not in the order of the URLs' MD5, by which corpora are compared; build the corpus again",
                                document.page.url
                            ),
                        });
                    }
                    self.last = Some(key);
                    return Ok(Some(ComparedPage {
                        key,
                        split: self.set.split,
                        document,
                    }));
                }
                self.open = None;
            }
            let Some(shard) = self.shards.next() else {
                return Ok(None);
            };
            let path = corpus::checked_file(&self.corpus.dir, &shard.file, &shard.sha256)?;
            let reader = ShardReader::open_within(&path, BatchLimit::of(&self.corpus.manifest.recipe))?;
            self.open = Some((path, reader));
        }
    }
}

/// Sends the pages of all sets of `corpus`, merged, until the other side hangs up.
pub(super) fn send(corpus: &ComparedCorpus, to: &SyncSender<Result<Vec<ComparedPage>, Error>>) {
    let result = send_all(corpus, to);
    if let Err(error) = result {
        // Nobody there: then nobody wants to know.
        to.send(Err(error)).ok();
    }
}

fn send_all(corpus: &ComparedCorpus, to: &SyncSender<Result<Vec<ComparedPage>, Error>>) -> Result<(), Error> {
    let mut heads = Vec::new();
    for mut set in SetRows::all(corpus) {
        if let Some(row) = set.next()? {
            heads.push((row, set));
        }
    }
    let (mut batch, mut bytes) = (Vec::new(), 0);
    loop {
        let keys = heads.iter().map(|(row, _)| row.key).enumerate();
        let Some((first, _)) = keys.min_by_key(|(_, key)| *key) else {
            break;
        };
        let (head, set) = &mut heads[first];
        let row = match set.next()? {
            Some(next) => std::mem::replace(head, next),
            None => heads.swap_remove(first).0,
        };
        bytes += row.document.page.text.len();
        batch.push(row);
        if batch.len() >= BATCH_ROWS || bytes >= BATCH_TEXT_BYTES {
            bytes = 0;
            if to.send(Ok(std::mem::take(&mut batch))).is_err() {
                return Ok(());
            }
        }
    }
    to.send(Ok(batch)).ok();
    Ok(())
}

/// The pages that [`send`] sends, one by one.
pub(super) struct Rows {
    from: Receiver<Result<Vec<ComparedPage>, Error>>,
    batch: std::vec::IntoIter<ComparedPage>,
    last: Option<u128>,
}

impl Rows {
    pub(super) fn new(from: Receiver<Result<Vec<ComparedPage>, Error>>) -> Rows {
        Rows {
            from,
            batch: Vec::new().into_iter(),
            last: None,
        }
    }

    /// The next page; `None` at the end.
    ///
    /// # Errors
    /// A shard that is damaged, missing, or out of order; a URL that is there twice.
    pub(super) fn next(&mut self) -> Result<Option<ComparedPage>, Error> {
        loop {
            if let Some(row) = self.batch.next() {
                if self.last == Some(row.key) {
                    return Err(Error::Format {
                        path: row.document.page.url.into(),
                        reason: "is in the corpus twice; build it again".into(),
                    });
                }
                self.last = Some(row.key);
                return Ok(Some(row));
            }
            match self.from.recv() {
                Ok(batch) => self.batch = batch?.into_iter(),
                Err(_) => return Ok(None),
            }
        }
    }
}

/// The verdicts on the URLs of a build, from the table `fates` of its ledger.
pub(super) struct Fates {
    folder: PathBuf,
    rows: LedgerReader<UrlVerdict>,
    head: Option<UrlVerdict>,
    /// The last key that was asked for, and its verdict.
    found: Option<(u64, String)>,
}

impl Fates {
    /// Opens the table of `corpus`; without a ledger it is empty.
    ///
    /// # Errors
    /// A file that cannot be read or is not what was written.
    pub(super) fn open(corpus: &ComparedCorpus) -> Result<Fates, Error> {
        let ledger = &corpus.manifest.ledger;
        corpus.check_table(Table::UrlVerdicts)?;
        let mut rows = LedgerReader::new(&corpus.dir, ledger);
        Ok(Fates {
            folder: corpus.dir.join(LEDGER_FOLDER),
            head: rows.next().transpose()?,
            rows,
            found: None,
        })
    }

    /// The verdict on the page with `key`; `None` if the build did not read it. Keys must be asked for in order.
    ///
    /// # Errors
    /// A file that cannot be read or is not in order.
    pub(super) fn of(&mut self, key: u128) -> Result<Option<&str>, Error> {
        let key = (key >> 64) as u64;
        while let Some(head) = self.head.take_if(|head| head.url_key <= key) {
            // Of two URLs whose first eight bytes are equal, the one that is not in the corpus is
            // the one that is asked for.
            let again = matches!(&self.found, Some((found, _)) if *found == key);
            if head.url_key == key && !(again && head.verdict == KEPT) {
                self.found = Some((key, head.verdict));
            }
            self.head = self.rows.next().transpose()?;
            if self.head.as_ref().is_some_and(|next| next.url_key < head.url_key) {
                return Err(Error::Format {
                    path: self.folder.clone(),
                    reason: "its table of fates is not in the order of the URLs' MD5; build the corpus again".into(),
                });
            }
        }
        let found = self.found.as_ref().filter(|(found, _)| *found == key);
        Ok(found.map(|(_, verdict)| verdict.as_str()))
    }
}
