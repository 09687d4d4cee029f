//! Rows of a task as examples, in an order that is another one in each epoch.
//!
//! An epoch is a permutation of the split's rows, drawn from the seed; of a split with more than [`WINDOW`] rows, one
//! of each window of as many, window after window. A window's rows are in memory; where one holds the whole split, it
//! is read once. Work is given out by [`GROUP`] rows, and a [`Position`] is: `shard`, the window; `document`, how many
//! of its rows were begun; `example`, the next one of the group.

use super::chain::{Chain, Group};
use super::config::FeedConfig;
use super::cursor::Position;
use super::mixing::TaskSource;
use super::{RowLayout, Tokenizer};
use crate::Error;
use crate::objective::{Example, Ids, Lengths, Place, Purpose, Random, append_eos_after_trim};
use crate::rows::RowFile;
use crate::task::{RowProblem, SplitFiles, Task, TaskData, TaskRow, TaskSplit};
use std::path::PathBuf;
use std::sync::Arc;

/// Rows that are in memory and in one order together.
pub(super) const WINDOW: u64 = 1 << 17;
/// Rows that are given to a thread together.
const GROUP: usize = 128;

/// A task that is opened to be trained on.
pub(super) struct TaskStream {
    pub task: Arc<Task>,
    pub files: SplitFiles,
    pub lengths: Lengths,
    pub source: TaskSource,
}

/// A row that gives no example, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedRow {
    /// The task's name.
    pub task: String,
    /// The file and the row.
    pub place: String,
    /// What is wrong with the row.
    pub reason: String,
}

/// Opens a task's card.
///
/// # Errors
/// No such task; a card that cannot be.
pub(crate) fn card(source: &TaskSource) -> Result<Task, Error> {
    Task::open(&source.name)
}

/// The tokens that inputs and targets of a task have at most, EOS included.
pub(crate) fn lengths(task: &Task, config: &FeedConfig) -> Lengths {
    let said = |length: usize, card: usize| if length == 0 { card } else { length };
    let inputs = said(config.task_inputs, task.card.lengths.inputs);
    Lengths {
        segment: inputs,
        inputs,
        targets: said(config.task_targets, task.card.lengths.targets),
    }
}

/// The folder of a task's rows, or an error that says how to name one.
///
/// # Errors
/// None is named.
pub(crate) fn folder(source: &TaskSource) -> Result<&PathBuf, Error> {
    source.data.as_ref().ok_or_else(|| {
        Error::Setting(format!(
            "{}: no folder of rows; name it by --data, or in the configuration by `data` (t5 task get {} fetches it)",
            source.name, source.name
        ))
    })
}

pub(super) fn open(sources: &[TaskSource], config: &FeedConfig) -> Result<Vec<TaskStream>, Error> {
    let mut streams: Vec<TaskStream> = Vec::new();
    for source in sources {
        let task = card(source)?;
        let name = &task.card.name;
        if streams.iter().any(|other| other.task.card.name == *name) {
            return Err(Error::Setting(format!(
                "the task {name} is given twice; raise its weight if that is meant"
            )));
        }
        let data = folder(source)?;
        let found = TaskData::open(&task, data)?;
        let files = found.split(TaskSplit::Train).cloned().ok_or_else(|| {
            let problem = format!("has no rows of {name} to train on: no file of the split train");
            Error::format(data, problem)
        })?;
        if files.rows() == 0 {
            return Err(Error::format(
                data,
                format!("the files of {name} to train on hold no rows"),
            ));
        }
        streams.push(TaskStream {
            lengths: lengths(&task, config),
            task: Arc::new(task),
            files,
            source: source.clone(),
        });
    }
    Ok(streams)
}

/// The files that tasks are trained on.
///
/// # Errors
/// A task cannot be opened.
pub(crate) fn files(sources: &[TaskSource]) -> Result<Vec<RowFile>, Error> {
    let mut files = Vec::new();
    for source in sources {
        let data = TaskData::open(&card(source)?, folder(source)?)?;
        files.extend(data.split(TaskSplit::Train).map(SplitFiles::files).unwrap_or_default());
    }
    Ok(files)
}

impl TaskStream {
    pub fn name(&self) -> &str {
        &self.task.card.name
    }

    /// Rows that count for the task's rate.
    pub fn examples(&self) -> u64 {
        self.source.examples.unwrap_or(self.files.rows())
    }
}

/// Some rows of a window.
pub(super) struct RowGroup {
    pub start: Position,
    pub end: Position,
    stream: Arc<TaskStream>,
    window: Arc<Vec<TaskRow>>,
    picked: Vec<u32>,
}

/// Reads a task's rows, epoch after epoch.
pub(super) struct TaskReader {
    stream: Arc<TaskStream>,
    /// The task's number among the feed's sources.
    index: u32,
    seed: u64,
    at: Position,
    /// The rows of a window, by its number.
    window: Option<(u64, Arc<Vec<TaskRow>>)>,
    /// The order of the window in this epoch, with both.
    order: Option<((u64, u64), Vec<u32>)>,
}

impl TaskReader {
    /// A reader that begins with the group at `at`.
    ///
    /// # Errors
    /// A place that the split does not have.
    pub fn new(stream: Arc<TaskStream>, index: u32, seed: u64, at: Position) -> Result<TaskReader, Error> {
        let rows = stream.files.rows();
        let begins = at.shard.saturating_mul(WINDOW);
        if begins > rows || at.document > (rows - begins).min(WINDOW) {
            return Err(Error::Setting(format!(
                "{}: the cursor points behind its end: it is of another split",
                stream.name()
            )));
        }
        Ok(TaskReader {
            stream,
            index,
            seed,
            at: Position { example: 0, ..at },
            window: None,
            order: None,
        })
    }

    /// The next group, which reaches neither into the next window nor into the next epoch.
    ///
    /// # Errors
    /// A file that cannot be read, or is not what it was.
    pub fn next(&mut self) -> Result<RowGroup, Error> {
        loop {
            if self.at.shard.saturating_mul(WINDOW) >= self.stream.files.rows() {
                self.at = Position {
                    epoch: self.at.epoch + 1,
                    ..Position::default()
                };
            }
            let window = self.window()?;
            let at = self.at;
            let order = self.order(window.len());
            let begun = usize::try_from(at.document).unwrap_or(usize::MAX).min(order.len());
            let picked: Vec<u32> = order[begun..].iter().take(GROUP).copied().collect();
            if picked.is_empty() {
                self.at.shard += 1;
                self.at.document = 0;
                continue;
            }
            self.at.document += picked.len() as u64;
            self.at.group += 1;
            return Ok(RowGroup {
                start: at,
                end: self.at,
                stream: self.stream.clone(),
                window,
                picked,
            });
        }
    }

    fn window(&mut self) -> Result<Arc<Vec<TaskRow>>, Error> {
        let number = self.at.shard;
        if let Some((is, rows)) = &self.window
            && *is == number
        {
            return Ok(rows.clone());
        }
        // Before the next is read: two need not be in memory.
        self.window = None;
        let first = number * WINDOW;
        let count = (self.stream.files.rows() - first).min(WINDOW);
        let mut rows = self.stream.files.open(first)?;
        let mut window = Vec::new();
        for row in first..first + count {
            let next = rows.next()?.ok_or_else(|| {
                Error::Setting(format!(
                    "{}: its files end after {row} rows and had {} when the feed was opened: one was cut short or replaced",
                    self.stream.name(),
                    self.stream.files.rows()
                ))
            })?;
            window.push(next);
        }
        let window = Arc::new(window);
        self.window = Some((number, window.clone()));
        Ok(window)
    }

    fn order(&mut self, rows: usize) -> &[u32] {
        let of = (self.at.epoch, self.at.shard);
        if self.order.as_ref().is_none_or(|(is, _)| *is != of) {
            let rows = u32::try_from(rows).expect("a window has at most 2^17 rows");
            let mut order: Vec<u32> = (0..rows).collect();
            let place = Place {
                seed: self.seed,
                purpose: Purpose::RowOrder,
                corpus: self.index,
                epoch: self.at.epoch,
                group: self.at.shard,
                index: 0,
            };
            Random::at(place).shuffle(&mut order);
            self.order = Some((of, order));
        }
        self.order.as_ref().map_or(&[], |(_, order)| order)
    }
}

impl RowGroup {
    /// The examples of the group's rows. A function of the rows alone.
    ///
    /// # Errors
    /// A tokeniser that gives ids which the vocabulary does not have.
    pub fn examples(&self, chain: &Chain) -> Result<Group, Error> {
        let mut group = Group::new(self.start, self.end);
        let stream = &self.stream;
        for row in &self.picked {
            let row = &self.window[*row as usize];
            let texts = match stream.task.examples(row, TaskSplit::Train) {
                Ok(texts) => texts,
                Err(problem) => {
                    group.refused.push(refused(stream.name(), row, &problem));
                    continue;
                }
            };
            group.documents += 1;
            for text in texts {
                let inputs = tokens(&*chain.tokenizer, &text.inputs, chain.ids)?;
                let targets = tokens(&*chain.tokenizer, &text.targets, chain.ids)?;
                group.tokens += (inputs.len() + targets.len()) as u64;
                let mut example = Example { inputs, targets };
                group.trimmed += u64::from(append_eos_after_trim(&mut example, stream.lengths, chain.ids));
                if chain.layout == RowLayout::DecoderOnly {
                    example.join();
                }
                group.examples.push(example);
            }
        }
        Ok(group)
    }
}

/// The file and the row.
pub(crate) fn place_of(row: &TaskRow) -> String {
    row.place()
}

fn refused(task: &str, row: &TaskRow, problem: &RowProblem) -> RefusedRow {
    RefusedRow {
        task: task.to_owned(),
        place: place_of(row),
        reason: problem.to_string(),
    }
}

/// The ids of a text, without padding and EOS.
fn tokens(tokenizer: &dyn Tokenizer, text: &str, ids: Ids) -> Result<Vec<u32>, Error> {
    let mut tokens = Vec::new();
    tokenizer.encode(text, &mut tokens);
    ids.check(&tokens)?;
    tokens.retain(|id| *id != ids.pad);
    Ok(tokens)
}

/// What a model reads of a task's input: tokens, cut to the task's length, EOS.
///
/// # Errors
/// A tokeniser of another vocabulary.
pub(crate) fn input(tokenizer: &dyn Tokenizer, text: &str, lengths: Lengths, ids: Ids) -> Result<Vec<u32>, Error> {
    let mut example = Example {
        inputs: tokens(tokenizer, text, ids)?,
        targets: Vec::new(),
    };
    append_eos_after_trim(&mut example, lengths, ids);
    Ok(example.inputs)
}
