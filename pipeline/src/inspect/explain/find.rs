//! The record to explain, among those of some archives.

use crate::error::Error;
use crate::extract::Extracted;
use crate::input::Input;
use crate::read::archive::Archive;
use crate::read::outcome::Split;
use crate::read::warc::{Item, RecordReader};
use crate::read::{self, Source};
use crate::work::sample;
use c4_data::ReadStep;
use c4_filters::{ArchiveKind, url};
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use std::path::PathBuf;

/// The records to find.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// The first page of this URL; if no page has it as it is written, the first one whose
    /// normalised URL is the same.
    Url(String),
    /// The record with a number, from 0, over all records of the one archive.
    Record(u64),
    /// A number of pages, drawn with a seed.
    Random(usize, u64),
}

/// A record, and where it was found.
#[derive(Debug, Clone)]
pub struct FoundRecord {
    /// The archive of the record.
    pub input: Input,
    /// The kind of the archive.
    pub kind: ArchiveKind,
    /// The number of the record in the archive, from 0.
    pub number: u64,
    /// What was read from the record.
    pub split: Split,
    /// How the text was extracted from the record, if that is of a WARC.
    pub extracted: Option<Extracted>,
}

impl FoundRecord {
    /// The label of the archive and the byte offset of the record in it.
    pub fn place(&self) -> (&str, u64) {
        let offset = match &self.split {
            Split::Page(page) => page.record_offset,
            Split::Dropped(dropped) => dropped.record_offset,
            Split::Damage(damage) => damage.offset,
        };
        (&self.input.label, offset)
    }
}

/// A page in the draw, by its hash; the larger one leaves.
struct DrawnPage(u64, FoundRecord);

impl PartialEq for DrawnPage {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}
impl Eq for DrawnPage {}
impl PartialOrd for DrawnPage {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for DrawnPage {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.cmp(&other.0)
    }
}

/// The records that are wanted; none if there are none. Reads archives from their start, one after the other, up to the
/// wanted record.
///
/// # Errors
/// An archive cannot be read.
pub fn find(inputs: &[Input], step: &ReadStep, wanted: &Wanted) -> Result<Vec<FoundRecord>, Error> {
    let normalized = match wanted {
        Wanted::Url(url) => url::normalize(url),
        _ => String::new(),
    };
    let mut second_best = None;
    let mut drawn = BinaryHeap::new();
    let mut first = None;
    for input in inputs {
        each_record(input, step, |kind, number, split| {
            let found = |split| FoundRecord {
                input: input.clone(),
                kind,
                number,
                split,
                extracted: None,
            };
            match (wanted, &split) {
                (Wanted::Record(wanted), _) if *wanted == number => first = Some(found(split)),
                (Wanted::Url(url), Split::Page(page)) if page.url == *url => {
                    first = Some(found(split));
                }
                (Wanted::Url(url), Split::Dropped(dropped)) if dropped.url == *url => {
                    // A request, say, comes with the same URL; a page is better.
                    second_best.get_or_insert(found(split));
                }
                (Wanted::Url(_), Split::Page(page)) if url::normalize(&page.url) == normalized => {
                    second_best = second_best
                        .take()
                        .filter(|found: &FoundRecord| matches!(found.split, Split::Page(_)));
                    second_best.get_or_insert(found(split));
                }
                (Wanted::Random(n, seed), Split::Page(page)) => {
                    let owner = url::md5(&page.url) ^ u128::from(*seed);
                    let priority = sample::priority(owner, page.record_offset);
                    drawn.push(DrawnPage(priority, found(split)));
                    if drawn.len() > *n {
                        drawn.pop();
                    }
                }
                _ => {}
            }
            first.is_none()
        })?;
        if first.is_some() {
            break;
        }
    }
    let mut found: Vec<FoundRecord> = first.or(second_best).into_iter().collect();
    found.extend(drawn.into_sorted_vec().into_iter().map(|drawn| drawn.1));
    read_responses(&mut found, step)?;
    Ok(found)
}

/// Gives every record to `each` until it says false.
fn each_record(
    input: &Input,
    step: &ReadStep,
    mut each: impl FnMut(ArchiveKind, u64, Split) -> bool,
) -> Result<(), Error> {
    let path = input.file()?;
    let io = |e| c4_data::Error::io(path, "read")(e);
    let Some(mut source) = Source::open(path, step).map_err(io)? else {
        return Ok(());
    };
    let mut number = 0;
    while let Some(batch) = source.next_batch().map_err(io)? {
        for split in read::split(batch).flatten() {
            if !each(source.kind, number, split) {
                return Ok(());
            }
            number += 1;
        }
    }
    Ok(())
}

/// Reads responses again, each archive once.
fn read_responses(found: &mut [FoundRecord], step: &ReadStep) -> Result<(), Error> {
    let mut wanted: BTreeMap<PathBuf, HashMap<(u64, String), usize>> = BTreeMap::new();
    for (i, found) in found.iter().enumerate() {
        if let (ArchiveKind::Warc, Split::Page(page)) = (found.kind, &found.split) {
            let path = found.input.file()?.to_owned();
            let records = wanted.entry(path).or_default();
            records.insert((page.record_offset, page.url.clone()), i);
        }
    }
    for (path, mut records) in wanted {
        let io = |e| c4_data::Error::io(&path, "read")(e);
        let Some(archive) = Archive::open(&path).map_err(io)? else {
            continue;
        };
        let mut reader = RecordReader::new(archive, step.max_record_bytes);
        while !records.is_empty() {
            let Some(item) = reader.next_item().map_err(io)? else {
                break;
            };
            if let Item::Record(record) = item
                && record.record_type() == "response"
                && let Some(i) = records.remove(&(record.offset, record.url()))
            {
                found[i].extracted = read::response_text(&record, step.media_types, &mut None).ok();
            }
        }
    }
    Ok(())
}
