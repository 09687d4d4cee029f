//! Groups of documents: the unit of reading, in which work is given to threads.

use super::ShardOrder;
use super::corpus::{Corpus, damaged};
use super::cursor::Position;
use crate::Error;
use crate::objective::{Place, Purpose, Random};
use c4_data::{Page, ShardReader};
use std::sync::Arc;

/// Texts that go through the chain together.
#[derive(Debug)]
pub(super) struct RawGroup {
    /// Where it begins.
    pub start: Position,
    /// Where the next one begins.
    pub end: Position,
    pub texts: Vec<String>,
    /// The URLs of the documents' pages.
    pub urls: Vec<String>,
}

/// What a reader must know of the feed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub seed: u64,
    pub shard_order: ShardOrder,
    pub documents_per_group: usize,
    /// `None`: no end.
    pub epochs: Option<u64>,
}

/// Reads a corpus group by group, epoch after epoch.
pub(super) struct GroupReader {
    corpus: Arc<Corpus>,
    /// The corpus's number in the feed.
    index: u32,
    reading: Reading,
    at: Position,
    /// This epoch's order of pieces.
    order: Vec<usize>,
    open: Option<ShardReader>,
}

impl GroupReader {
    /// A reader that begins with the group at `at`.
    ///
    /// # Errors
    /// A place that the corpus does not have.
    pub fn new(corpus: Arc<Corpus>, index: u32, reading: Reading, at: Position) -> Result<GroupReader, Error> {
        let mut reader = GroupReader {
            corpus,
            index,
            reading,
            at: Position { example: 0, ..at },
            order: Vec::new(),
            open: None,
        };
        reader.order = reader.order();
        let shard = usize::try_from(at.shard).ok();
        let fits = match shard.map(|shard| self::at(&reader.order, shard)) {
            Some(Some(piece)) => at.document <= reader.corpus.pieces[piece].len(),
            Some(None) => at.document == 0 && shard == Some(reader.order.len()),
            None => false,
        };
        match fits {
            true => Ok(reader),
            false => Err(Error::Setting(format!(
                "{}: the cursor points behind its end: it is of another corpus",
                reader.corpus.info.name
            ))),
        }
    }

    fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.corpus.pieces.len()).collect();
        if self.reading.shard_order == ShardOrder::Seeded {
            let place = Place {
                seed: self.reading.seed,
                purpose: Purpose::ShardOrder,
                corpus: self.index,
                epoch: self.at.epoch,
                group: 0,
                index: 0,
            };
            Random::at(place).shuffle(&mut order);
        }
        order
    }

    /// The next group; `None` after the last epoch. A group does not reach into the next epoch, so the last of an epoch
    /// may be smaller.
    ///
    /// # Errors
    /// A shard that cannot be read or is not what the manifest says; a corpus without text.
    pub fn next(&mut self) -> Result<Option<RawGroup>, Error> {
        loop {
            if self.reading.epochs.is_some_and(|n| self.at.epoch >= n) {
                return Ok(None);
            }
            let start = self.at;
            let (mut texts, mut urls) = (Vec::new(), Vec::new());
            while texts.len() < self.reading.documents_per_group {
                match self.document()? {
                    // A blank text is not one of the 128, as in the reference, where it has no tokens.
                    Some(page) if page.text.trim().is_empty() => {}
                    Some(page) => {
                        texts.push(page.text);
                        urls.push(page.url);
                    }
                    None => break,
                }
            }
            if !texts.is_empty() {
                self.at.group += 1;
                let end = self.at;
                return Ok(Some(RawGroup {
                    start,
                    end,
                    texts,
                    urls,
                }));
            }
            if self.at.group == 0 {
                let name = &self.corpus.info.name;
                return Err(Error::Setting(format!("{name}: all its documents are blank")));
            }
            self.at = Position {
                epoch: self.at.epoch + 1,
                ..Position::default()
            };
            self.order = self.order();
        }
    }

    /// The next page of this epoch.
    fn document(&mut self) -> Result<Option<Page>, Error> {
        while let Some(piece) = usize::try_from(self.at.shard)
            .ok()
            .and_then(|shard| at(&self.order, shard))
        {
            let piece = &self.corpus.pieces[piece];
            let path = &piece.path;
            let fail = |cause| damaged(path, cause);
            if self.at.document == piece.len() {
                // Nobody else reads behind what the manifest says.
                let more = match self.open.take() {
                    Some(mut shard) if piece.rows.end == piece.shard_rows => shard.next(),
                    _ => None,
                };
                if more.transpose().map_err(fail)?.is_some() {
                    let rows = piece.shard_rows;
                    let problem =
                        format!("has more than the {rows} documents that the manifest says; `c4 verify` says more");
                    return Err(Error::format(path, problem));
                }
                self.at.shard += 1;
                self.at.document = 0;
                continue;
            }
            let shard = match &mut self.open {
                Some(shard) => shard,
                none => {
                    let row = piece.rows.start + self.at.document;
                    none.insert(piece.open_at(row)?)
                }
            };
            let Some(document) = shard.next().transpose().map_err(fail)? else {
                let row = piece.rows.start + self.at.document;
                let problem = format!(
                    "ends after {row} documents where the manifest says {}: it was cut short or replaced; `c4 verify` \
                     says more",
                    piece.shard_rows
                );
                return Err(Error::format(path, problem));
            };
            self.at.document += 1;
            return Ok(Some(document.page));
        }
        Ok(None)
    }
}

fn at(order: &[usize], shard: usize) -> Option<usize> {
    order.get(shard).copied()
}
