//! Batches from the groups of all corpora.

use super::chain::Group;
use super::cursor::{Cursor, Position};
use super::loader::Store;
use super::mixture::Mixture;
use super::pack::Packer;
use super::task::RefusedRow;
use super::{Counts, EpochStart};
use crate::Error;
use crate::base::Batch;
use crate::objective::Example;
use std::sync::Arc;

/// A batch and what goes with it.
pub(super) struct Packet {
    pub batch: Batch,
    /// Where the next one begins.
    pub cursor: Cursor,
    pub epochs: Vec<EpochStart>,
    /// Rows of tasks that gave no example, each once.
    pub refused: Vec<RefusedRow>,
    /// Since the feed was opened.
    pub counts: Counts,
}

/// Takes examples in an order that is a function of the cursor, and packs them.
pub(super) struct Assembler {
    store: Arc<Store>,
    mixture: Mixture,
    packer: Packer,
    fingerprint: String,
    examples: u64,
    corpora: Vec<CorpusTurn>,
    epochs: Vec<EpochStart>,
    refused: Vec<RefusedRow>,
    counts: Counts,
}

/// Where a corpus or a task is.
struct CorpusTurn {
    name: String,
    /// The next example to use, if `group` is there; else the group that comes next.
    at: Position,
    group: Option<Group>,
    ended: bool,
    /// The epoch of the last example used.
    epoch: Option<u64>,
    /// Whether an epoch began and had no example yet.
    barren: bool,
    /// The epoch that the feed was opened in: of later ones, refused rows are known already.
    first_epoch: u64,
    /// The first row that was refused.
    first_refused: Option<RefusedRow>,
}

/// Why there is no example.
enum Stop {
    /// The corpus ended.
    End,
    /// Nobody wants more.
    Stopped,
    Failed(Error),
}

impl Assembler {
    pub fn new(
        store: Arc<Store>,
        mixture: Mixture,
        packer: Packer,
        names: impl Iterator<Item = String>,
        start: Cursor,
    ) -> Assembler {
        let place = |(name, at): (String, Position)| CorpusTurn {
            name,
            epoch: match at.group == 0 && at.example == 0 {
                true => at.epoch.checked_sub(1),
                false => Some(at.epoch),
            },
            barren: false,
            first_epoch: at.epoch,
            first_refused: None,
            at,
            group: None,
            ended: false,
        };
        Assembler {
            store,
            mixture,
            packer,
            fingerprint: start.fingerprint,
            examples: start.examples,
            corpora: names.zip(start.corpora).map(place).collect(),
            epochs: Vec::new(),
            refused: Vec::new(),
            counts: Counts::default(),
        }
    }

    /// The next batch; the last may have fewer rows. `None` after it, or if the store was stopped.
    pub fn next(&mut self) -> Result<Option<Packet>, Error> {
        loop {
            let corpus = match self.corpus() {
                Ok(corpus) => corpus,
                Err(Stop::End) => return Ok(self.packer.finish().map(|batch| self.packet(batch))),
                Err(Stop::Stopped) => return Ok(None),
                Err(Stop::Failed(error)) => return Err(error),
            };
            let place = &mut self.corpora[corpus];
            let Some(example) = place.example() else {
                continue;
            };
            if !self.packer.add(example) {
                // The example begins the next batch, and the cursor stays before it.
                if let Some(batch) = self.packer.finish() {
                    return Ok(Some(self.packet(batch)));
                }
            }
            let epoch = place.at.epoch;
            if place.epoch.is_some_and(|last| last < epoch) {
                self.epochs.push(EpochStart {
                    corpus: place.name.clone(),
                    epoch,
                });
            }
            place.epoch = Some(epoch);
            place.at.example += 1;
            self.examples += 1;
            self.counts.examples += 1;
        }
    }

    fn packet(&mut self, batch: Batch) -> Packet {
        Packet {
            batch,
            cursor: Cursor {
                fingerprint: self.fingerprint.clone(),
                examples: self.examples,
                corpora: self.corpora.iter().map(CorpusTurn::position).collect(),
            },
            epochs: std::mem::take(&mut self.epochs),
            refused: std::mem::take(&mut self.refused),
            counts: self.counts,
        }
    }

    /// The corpus whose next example is due, which is then at hand.
    fn corpus(&mut self) -> Result<usize, Stop> {
        let corpus = self.mixture.corpus(self.examples);
        self.fill(corpus)?;
        match self.corpora[corpus].ended {
            true => Err(Stop::End),
            false => Ok(corpus),
        }
    }

    /// Takes groups until the corpus has an example or ended.
    fn fill(&mut self, corpus: usize) -> Result<(), Stop> {
        let place = &mut self.corpora[corpus];
        while !place.ended && place.example().is_none() {
            if let Some(used) = place.group.take() {
                place.at = used.end;
            }
            let group = match self.store.take(corpus) {
                None => return Err(Stop::Stopped),
                Some(Err(error)) => return Err(Stop::Failed(error)),
                Some(Ok(None)) => {
                    place.ended = true;
                    return Ok(());
                }
                Some(Ok(Some(group))) => group,
            };
            if group.start.group == 0 {
                if place.barren {
                    let problem = match &place.first_refused {
                        None => "not one of its documents has a token".to_owned(),
                        Some(row) => format!("not one of its rows can be used; {}: {}", row.place, row.reason),
                    };
                    let name = &place.name;
                    return Err(Stop::Failed(Error::Setting(format!("{name}: {problem}"))));
                }
                place.barren = true;
            }
            // Only the first group of a feed is begun in its middle.
            let example = match place.at.example {
                begun if begun > group.examples.len() as u64 => {
                    return Err(Stop::Failed(Error::Setting(format!(
                        "{}: the cursor points to example {begun} of a group of {}: it is of another tokeniser",
                        place.name,
                        group.examples.len()
                    ))));
                }
                begun => begun,
            };
            self.counts.documents += group.documents;
            self.counts.tokens += group.tokens;
            self.counts.left_out += group.left_out;
            self.counts.trimmed += group.trimmed;
            if place.first_refused.is_none() {
                place.first_refused = group.refused.first().cloned();
            }
            if group.start.epoch == place.first_epoch {
                self.refused.extend(group.refused.iter().cloned());
            }
            place.barren &= group.examples.is_empty();
            place.at = Position { example, ..group.start };
            place.group = Some(group);
        }
        Ok(())
    }
}

impl CorpusTurn {
    fn example(&self) -> Option<&Example> {
        let at = usize::try_from(self.at.example).ok()?;
        self.group.as_ref()?.examples.get(at)
    }

    /// Where to go on; behind a group's last example that is the next group, so that the used one is not made again.
    fn position(&self) -> Position {
        match &self.group {
            Some(group) if self.example().is_none() => group.end,
            _ => self.at,
        }
    }
}
