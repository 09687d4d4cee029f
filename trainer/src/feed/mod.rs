//! The feed: from corpora to batches.
//!
//! The chain of the reference (`t5/data/preprocessors.py`): tokens without EOS; of a document with more than 65,536
//! one random part; 128 documents joined (objectives that [join](crate::objective::Objective::joins_documents)); cut
//! into segments; [objective](crate::objective); trimmed and EOS appended; examples of some groups shuffled, where
//! [`shuffle_groups`](FeedConfig::shuffle_groups) says so; [packed](Packer) into rows.
//!
//! **An epoch** uses every document of a corpus once, but for what is said: documents held out where the corpus has no
//! validation, parts of very long documents, ends of examples that are trimmed, blank texts. After it the next begins,
//! and [`Feed::epoch_starts`] says so. Corpora of a mixture have epochs of their own.
//!
//! **A batch is a function** of corpora, configuration and tokeniser. All randomness is drawn by
//! [place](crate::objective::Place), so threads do not show, and a [`Cursor`] of a few numbers is enough to go on at
//! any batch: one file is opened for each corpus and one window of groups made again. Of the file, Arrow and Parquet
//! read no more than the record batches needed; JSON, text and Arrow streams are read up to there.

mod assemble;
mod chain;
mod config;
mod corpus;
mod cursor;
mod documents;
mod group;
mod loader;
mod mixing;
mod mixture;
mod pack;
pub(crate) mod preview;
mod streams;
pub(crate) mod task;
mod validation;

pub use config::{FeedConfig, Packing, RowLayout, ShardOrder};
pub use corpus::{CorpusInfo, Validation};
pub use cursor::{Cursor, Position};
pub use documents::Documents;
pub use mixing::{Mixing, MixtureShare, TaskSource};
pub use mixture::Mixture;
pub use pack::Packer;
pub(crate) use streams::configured_row_lengths;
pub use streams::{FeedSources, mixture};
pub use task::RefusedRow;
pub use validation::Validations;

use crate::Error;
use crate::base::Batch;
use crate::objective::{Example, Ids};
use crate::rows::Source;
use crate::vocab::Vocab;
use assemble::{Assembler, Packet};
use c4_data::Split;
use chain::Chain;
use group::{GroupReader, Reading};
use loader::{Reader, Store};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::{Builder, JoinHandle};
use std::time::{Duration, Instant};
use streams::Streams;
use task::TaskReader;

/// Makes tokens of text.
pub trait Tokenizer: Send + Sync {
    /// Appends the ids of `text` to `out`, without EOS.
    fn encode(&self, text: &str, out: &mut Vec<u32>);
}

impl<F: Fn(&str, &mut Vec<u32>) + Send + Sync> Tokenizer for F {
    fn encode(&self, text: &str, out: &mut Vec<u32>) {
        self(text, out);
    }
}

impl Tokenizer for Vocab {
    fn encode(&self, text: &str, out: &mut Vec<u32>) {
        Vocab::encode(self, text, out);
    }
}

/// The ids of a vocabulary that objectives must know.
pub(crate) fn ids(vocab: &Vocab) -> Ids {
    Ids {
        vocab_size: vocab.size(),
        pad: vocab.pad(),
        eos: vocab.eos(),
        unk: vocab.unk(),
    }
}

/// A corpus or a task began an epoch that is not its first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EpochStart {
    /// [`CorpusInfo::name`], or the task's.
    pub corpus: String,
    /// The epoch that began, from 0.
    pub epoch: u64,
}

/// What went into the batches given out since the feed was opened. All but the examples is counted when a group of
/// documents is begun.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Documents, without blank ones; rows of tasks, without refused ones.
    pub documents: u64,
    /// Tokens of those documents.
    pub tokens: u64,
    /// Tokens of those documents that are not used, as only a part of a very long document is.
    pub left_out: u64,
    /// Examples.
    pub examples: u64,
    /// Examples whose inputs or targets lost their end to the configured lengths.
    pub trimmed: u64,
}

/// Batches that wait in the channel, beside the one that is being packed.
const BATCHES_AHEAD: usize = 2;

/// Batches of one or several corpora, made in the background.
///
/// ```
/// use std::sync::Arc;
/// use t5_trainer::internals::Ids;
/// use t5_trainer::{Feed, FeedConfig, Source};
/// let nowhere = Source::at("no/such/corpus");
/// let letters = |text: &str, out: &mut Vec<u32>| out.extend(text.bytes().map(|byte| 3 + u32::from(byte)));
/// let feed = Feed::open(&[nowhere], &FeedConfig::default(), Ids::T5, Arc::new(letters), None);
/// assert!(feed.is_err_and(|error| error.to_string().contains("no/such/corpus")));
/// ```
pub struct Feed {
    corpora: Vec<CorpusInfo>,
    row_lengths: (usize, usize),
    fingerprint: String,
    store: Arc<Store>,
    batches: Option<Receiver<Result<Packet, Error>>>,
    threads: Vec<JoinHandle<()>>,
    waited: Duration,
    epochs: Vec<EpochStart>,
    refused: Vec<RefusedRow>,
    counts: Counts,
}

impl Feed {
    /// Batches for training, without end. `cursor`: go on where another feed of the same sources and configuration was.
    ///
    /// Starts `config.threads` threads that read and tokenise, and one that packs. In memory are at most 3 batches and,
    /// of each corpus, 2 windows of groups plus 2 windows a thread by its share.
    ///
    /// # Errors
    /// A configuration that cannot be; a corpus that is missing, empty, without train shards, damaged, or has a shard
    /// of another size than its manifest says; a cursor of another feed.
    pub fn open(
        sources: &[Source],
        config: &FeedConfig,
        ids: Ids,
        tokenizer: Arc<dyn Tokenizer>,
        cursor: Option<Cursor>,
    ) -> Result<Feed, Error> {
        Feed::of_mixture(FeedSources::of(sources), config, ids, tokenizer, cursor)
    }

    /// Batches of corpora and tasks. In memory are besides, of each task, the rows of its training split, or 2^17 of
    /// them where it has more.
    ///
    /// # Errors
    /// As [`open`](Feed::open); a task that there is not, a folder of another one, or without rows to train on.
    pub fn of_mixture(
        sources: FeedSources<'_>,
        config: &FeedConfig,
        ids: Ids,
        tokenizer: Arc<dyn Tokenizer>,
        cursor: Option<Cursor>,
    ) -> Result<Feed, Error> {
        Feed::start(Streams::open(sources, config)?, config, ids, tokenizer, cursor, None)
    }

    fn start(
        streams: Streams,
        config: &FeedConfig,
        ids: Ids,
        tokenizer: Arc<dyn Tokenizer>,
        cursor: Option<Cursor>,
        epochs: Option<u64>,
    ) -> Result<Feed, Error> {
        let chain = chain(config, ids, tokenizer)?;
        let row_lengths = streams.row_lengths(config, chain.objective.lengths())?;
        let fingerprint = streams.fingerprint(config, &chain);
        let count = streams.corpora.len() + streams.tasks.len();
        let start = match cursor {
            None => Cursor {
                fingerprint: fingerprint.clone(),
                examples: 0,
                corpora: vec![Position::default(); count],
            },
            Some(cursor) if cursor.fingerprint == fingerprint && cursor.corpora.len() == count => cursor,
            Some(_) => {
                return Err(Error::Setting(
                    "the run was elsewhere in other data: corpora, weights, vocabulary, feed.seed, the objective or the order are \
                     not those that it was saved with; go on with those, or begin the corpora anew by --new-data"
                        .to_owned(),
                ));
            }
        };
        let reading = reading(config, epochs);
        let shares = streams.corpora.iter().map(|corpus| corpus.info.share);
        let shares: Vec<f64> = shares.chain(streams.task_shares).collect();
        let mixture = Mixture::new(config.seed, shares.iter().copied());
        let infos: Vec<CorpusInfo> = streams.corpora.iter().map(|corpus| corpus.info.clone()).collect();
        let names = infos.iter().map(|info| info.name.clone());
        let names: Vec<String> = names
            .chain(streams.tasks.iter().map(|task| task.name().to_owned()))
            .collect();
        let mut readers = Vec::new();
        let mut places = start.corpora.iter().zip(&shares).zip(0..);
        for (corpus, ((at, share), i)) in streams.corpora.into_iter().zip(&mut places) {
            let reader = GroupReader::new(Arc::new(corpus), i, reading, *at)?;
            readers.push((Reader::Corpus(reader), ahead(config, *share)));
        }
        for (task, ((at, share), i)) in streams.tasks.into_iter().zip(&mut places) {
            let reader = TaskReader::new(Arc::new(task), i, config.seed, *at)?;
            readers.push((Reader::Task(reader), ahead(config, *share)));
        }
        let store = Arc::new(Store::new(readers, chain));
        let packer = Packer::new(config.rows, row_lengths.0, row_lengths.1, config.packing);
        let assembler = Assembler::new(store.clone(), mixture, packer, names.into_iter(), start);
        let (sender, batches) = sync_channel(BATCHES_AHEAD);
        let mut feed = Feed {
            corpora: infos,
            row_lengths,
            fingerprint,
            store,
            batches: Some(batches),
            threads: Vec::new(),
            waited: Duration::ZERO,
            epochs: Vec::new(),
            refused: Vec::new(),
            counts: Counts::default(),
        };
        for i in 0..config.threads {
            let store = feed.store.clone();
            feed.spawn(format!("feed {i}"), move || store.work())?;
        }
        feed.spawn("packer".to_owned(), move || pack(assembler, &sender))?;
        Ok(feed)
    }

    fn spawn(&mut self, name: String, work: impl FnOnce() + Send + 'static) -> Result<(), Error> {
        let thread = Builder::new().name(name).spawn(work);
        let fail = |e| Error::Setting(format!("cannot start a thread ({e}): lower `threads`"));
        self.threads.push(thread.map_err(fail)?);
        Ok(())
    }

    /// The next batch, and the cursor of the one after it. `None` after the last, which only a validation feed has.
    /// After an error there are no more batches.
    ///
    /// # Errors
    /// A shard that is damaged or not what the manifest says, a tokeniser of another vocabulary.
    ///
    /// # Panics
    /// If the tokeniser panicked, with its panic.
    #[allow(clippy::should_implement_trait)] // an iterator of results would hide that it ends at the first error
    pub fn next(&mut self) -> Result<Option<(Batch, Cursor)>, Error> {
        let Some(batches) = &self.batches else {
            return Ok(None);
        };
        let packet = match batches.try_recv() {
            Ok(packet) => Some(packet),
            Err(TryRecvError::Disconnected) => None,
            Err(TryRecvError::Empty) => {
                let start = Instant::now();
                let packet = batches.recv().ok();
                self.waited += start.elapsed();
                packet
            }
        };
        match packet {
            Some(Ok(packet)) => {
                self.epochs.extend(packet.epochs);
                self.refused.extend(packet.refused);
                self.counts = packet.counts;
                Ok(Some((packet.batch, packet.cursor)))
            }
            Some(Err(error)) => {
                self.stop();
                Err(error)
            }
            None => {
                if let Some(panic) = self.stop() {
                    std::panic::resume_unwind(panic);
                }
                Ok(None)
            }
        }
    }

    /// How long [`next`](Feed::next) had to wait for a batch, in all: what the feed cost the training loop. The
    /// first batch is always waited for.
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// What is read, in the order of the sources.
    pub fn corpora(&self) -> &[CorpusInfo] {
        &self.corpora
    }

    /// Positions of a row: of its inputs (0 for a decoder-only model) and of its targets.
    pub fn row_lengths(&self) -> (usize, usize) {
        self.row_lengths
    }

    /// [`Cursor::fingerprint`] of its cursors.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The epochs that began with the batches given out since this was last called, in order.
    pub fn epoch_starts(&mut self) -> Vec<EpochStart> {
        std::mem::take(&mut self.epochs)
    }

    /// Rows of tasks that gave no example, found since this was last called, each once: those of the epoch in which the
    /// feed was opened.
    pub fn refused_rows(&mut self) -> Vec<RefusedRow> {
        std::mem::take(&mut self.refused)
    }

    /// What went into the batches so far.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// Ends all threads; gives the panic of one, if there was one.
    fn stop(&mut self) -> Option<Box<dyn std::any::Any + Send>> {
        self.store.stop();
        // The packer may be waiting for room in the channel.
        self.batches = None;
        let ends = self.threads.drain(..).map(JoinHandle::join);
        ends.fold(None, |panic, end| panic.or(end.err()))
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Groups of a source that may be in store.
fn ahead(config: &FeedConfig, share: f64) -> u64 {
    (2.0 + (2.0 * config.threads as f64 * share).ceil()) as u64
}

/// The packing thread. Ends with the corpora, an error, or when nobody listens.
fn pack(mut assembler: Assembler, batches: &SyncSender<Result<Packet, Error>>) {
    while let Some(packet) = assembler.next().transpose() {
        let failed = packet.is_err();
        if batches.send(packet).is_err() || failed {
            return;
        }
    }
}

/// An example with what it was made of, to be shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// [`CorpusInfo::name`].
    pub corpus: String,
    /// The plain tokens.
    pub segment: Vec<u32>,
    /// What the objective made of them, with EOS, and joined for a decoder-only model.
    pub example: Example,
}

/// The first examples of the first epoch of each corpus, one of each in turn, at most `count`: what the feed's first
/// batches hold of them. Reads and tokenises one window of groups a corpus, on this thread.
///
/// # Errors
/// Those of [`Feed::open`].
pub fn examples(
    sources: &[Source],
    config: &FeedConfig,
    ids: Ids,
    tokenizer: Arc<dyn Tokenizer>,
    count: usize,
) -> Result<Vec<Shown>, Error> {
    let chain = chain(config, ids, tokenizer)?;
    config.layout.row_lengths(chain.objective.lengths())?;
    let mut found = Vec::new();
    let corpora = corpus::open(sources, &[], Mixing::Given, Split::Train)?.corpora;
    for (corpus, i) in corpora.into_iter().zip(0..) {
        let name = corpus.info.name.clone();
        let start = Position::default();
        let mut reader = GroupReader::new(Arc::new(corpus), i, reading(config, Some(1)), start)?;
        let Some(window) = reader.next()? else { continue };
        let made = chain.made(&window, i, |segment, example| (segment, example))?;
        for ((segment, example), number) in made.examples.into_iter().take(count).zip(0_u64..) {
            let corpus = name.clone();
            found.push((
                number,
                Shown {
                    corpus,
                    segment,
                    example,
                },
            ));
        }
    }
    // Stable: among equals in the order of corpora.
    found.sort_by_key(|(number, _)| *number);
    Ok(found.into_iter().map(|(_, shown)| shown).take(count).collect())
}

fn chain(config: &FeedConfig, ids: Ids, tokenizer: Arc<dyn Tokenizer>) -> Result<Chain, Error> {
    config.validate()?;
    ids.validate()?;
    Ok(Chain {
        tokenizer,
        objective: config.objective.resolve()?,
        layout: config.layout,
        ids,
        seed: config.seed,
        max_document_tokens: config.max_document_tokens,
        shuffles: config.shuffle_groups > 1,
    })
}

fn reading(config: &FeedConfig, epochs: Option<u64>) -> Reading {
    Reading {
        seed: config.seed,
        shard_order: config.shard_order,
        documents_per_group: config.documents_per_group,
        shuffle_groups: config.shuffle_groups,
        epochs,
    }
}
