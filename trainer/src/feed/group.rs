//! Windows of groups of documents: the unit of reading, in which work is given to threads.

use super::ShardOrder;
use super::corpus::Corpus;
use super::cursor::Position;
use crate::Error;
use crate::objective::{Place, Purpose, Random};
use crate::rows::{DocumentRows, TextRow};
use c4_data::Manifest;
use std::sync::Arc;

/// Groups whose examples are shuffled together: one, where nothing is shuffled.
#[derive(Debug)]
pub(super) struct Window {
    /// Where it begins.
    pub start: Position,
    /// Where the next one begins.
    pub end: Position,
    /// The documents of each group.
    pub groups: Vec<Vec<TextRow>>,
}

/// What a reader must know of the feed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    pub seed: u64,
    pub shard_order: ShardOrder,
    pub documents_per_group: usize,
    /// Groups of a window.
    pub shuffle_groups: usize,
    /// `None`: no end.
    pub epochs: Option<u64>,
}

/// Reads a corpus window by window, epoch after epoch.
pub(super) struct GroupReader {
    corpus: Arc<Corpus>,
    /// The corpus's number in the feed.
    index: u32,
    reading: Reading,
    at: Position,
    /// This epoch's order of pieces.
    order: Vec<usize>,
    open: Option<DocumentRows>,
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
            Some(Some(part)) => at.document <= reader.corpus.parts[part].len(),
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
        let mut order: Vec<usize> = (0..self.corpus.parts.len()).collect();
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

    /// The next window; `None` after the last epoch. Neither a group nor a window reaches into the next epoch, so the
    /// last of an epoch may be smaller.
    ///
    /// # Errors
    /// A shard that cannot be read or is not what the manifest says; a corpus without text.
    pub fn next(&mut self) -> Result<Option<Window>, Error> {
        loop {
            if self.reading.epochs.is_some_and(|n| self.at.epoch >= n) {
                return Ok(None);
            }
            let start = self.at;
            let mut groups = Vec::new();
            while groups.len() < self.reading.shuffle_groups {
                let group = self.group()?;
                if group.is_empty() {
                    break;
                }
                self.at.group += 1;
                groups.push(group);
            }
            if !groups.is_empty() {
                let end = self.at;
                return Ok(Some(Window { start, end, groups }));
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

    /// The documents of the next group of this epoch; none at its end.
    fn group(&mut self) -> Result<Vec<TextRow>, Error> {
        let mut group = Vec::new();
        while group.len() < self.reading.documents_per_group {
            match self.document()? {
                // A blank text is not one of the 128, as in the reference, where it has no tokens.
                Some(document) if document.text.trim().is_empty() => {}
                Some(document) => group.push(document),
                None => break,
            }
        }
        Ok(group)
    }

    /// The next document of this epoch.
    fn document(&mut self) -> Result<Option<TextRow>, Error> {
        while let Some(part) = usize::try_from(self.at.shard)
            .ok()
            .and_then(|shard| at(&self.order, shard))
        {
            let part = &self.corpus.parts[part];
            let file = &part.file;
            // Of files that no build wrote, the checksum says that they are what was counted.
            let manifest = Manifest::FILE;
            if self.at.document == part.len() {
                // Nobody else reads behind what the manifest says.
                let more = match self.open.take() {
                    Some(mut documents) if part.rows.end == file.rows => documents.next()?,
                    _ => None,
                };
                if more.is_some() {
                    let rows = file.rows;
                    let problem =
                        format!("has more than the {rows} documents that {manifest} says; `c4 verify` says more");
                    return Err(Error::format(&file.path, problem));
                }
                self.at.shard += 1;
                self.at.document = 0;
                continue;
            }
            let row = part.rows.start + self.at.document;
            let documents = match &mut self.open {
                Some(documents) => documents,
                none => none.insert(file.documents(row)?),
            };
            let Some(document) = documents.next()? else {
                let problem = format!(
                    "ends after {row} documents where {manifest} says {}: it was cut short or replaced; `c4 verify` says more",
                    file.rows
                );
                return Err(Error::format(&file.path, problem));
            };
            self.at.document += 1;
            return Ok(Some(document));
        }
        Ok(None)
    }
}

fn at(order: &[usize], shard: usize) -> Option<usize> {
    order.get(shard).copied()
}
