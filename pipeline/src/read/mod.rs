//! Reading archives: batches of records, cheap to make one after the other, and the pages of each batch, worth
//! spreading over cores.

pub(crate) mod arc;
pub mod archive;
pub(crate) mod digest;
pub(crate) mod member_decoder;
pub mod outcome;
pub mod pieces;
mod positioned_file;
pub mod record;
mod segmented;
pub mod warc;
pub(crate) mod wet;

use crate::extract::{self, Extracted, Rejected};
use crate::read::archive::{Archive, RecordFormat};
use crate::read::digest::Checked;
use crate::read::outcome::{Damage, Dropped, MAX_URL_BYTES, Split, damage, short};
use crate::read::pieces::{MemberPiece, PieceReader, PieceRecords};
use crate::read::record::Record;
use crate::read::warc::{Item, RecordReader};
use crate::read::wet::{Chunk, ChunkReader, WetItem};
use crate::runtime::memory::Large;
use c4_data::Page;
use c4_data::{MediaTypes, ReadStep, WetReading};
use c4_filters::{ArchiveKind, Reason, pystr};
use std::collections::VecDeque;
use std::io;
use std::path::Path;

/// The fewest bytes of a batch of records, unless the archive ends.
const BATCH_BYTES: usize = 1 << 20;

enum Reader {
    /// A WET read as lines.
    Chunks(Box<ChunkReader>),
    /// Records, compressed one by one, in pieces of members.
    Pieces(PieceReader),
    /// Records of any other archive.
    Records(Box<RecordReader>),
}

/// The bytes of text from which on pages of a batch are returned as a portion.
const PORTION_BYTES: usize = 4 << 20;

/// An archive that is read batch by batch.
pub struct Source {
    /// The kind of the archive, by its first record that tells.
    pub kind: ArchiveKind,
    reader: Reader,
    rules: RecordRules,
}

/// What a recipe asks of a record before it becomes a page.
#[derive(Debug, Clone, Copy)]
struct RecordRules {
    media_types: MediaTypes,
    verify_digests: bool,
}

/// A few records of an archive, still to be made pages of, by one core: see [`split`].
#[derive(Debug)]
pub struct Batch {
    content: Content,
    rules: RecordRules,
    /// The permit to hold a large batch.
    large: Option<Large>,
}

#[derive(Debug)]
enum Content {
    /// A chunk of a WET read as lines.
    Text(Chunk),
    /// Records, in order.
    Records(Vec<Item>),
    /// Members of an archive that is compressed record by record.
    Members(MemberPiece),
    /// A place that could not be read.
    Damage(Damage),
}

impl Batch {
    /// Whether the batch is so large that no other thread may hold as much: its pages are to be made before anything
    /// else is read.
    pub fn is_large(&self) -> bool {
        self.large.is_some()
    }
}

impl Source {
    /// Opens an archive; `None` if the file holds no WARC or ARC record at all. Reads the first 64 records, if need be,
    /// to know the kind of the archive.
    ///
    /// # Errors
    /// The operating system cannot read the file.
    pub fn open(path: &Path, step: &ReadStep) -> io::Result<Option<Source>> {
        let Some((kind, format, by_member)) = kind_of(path, step)? else {
            return Ok(None);
        };
        let Some(archive) = Archive::open(path)? else {
            return Ok(None);
        };
        let limit = step.max_record_bytes;
        let pieces = if by_member {
            PieceReader::open(path, format, limit)?
        } else {
            None
        };
        let reader = match (kind, step.wet_reading, pieces) {
            (ArchiveKind::Wet, WetReading::Lines, _) => Reader::Chunks(Box::new(ChunkReader::new(archive, limit))),
            (_, _, Some(pieces)) => Reader::Pieces(pieces),
            _ => Reader::Records(Box::new(RecordReader::new(archive, limit))),
        };
        let rules = RecordRules {
            media_types: step.media_types,
            verify_digests: step.verify_digests,
        };
        Ok(Some(Source { kind, reader, rules }))
    }

    /// How many bytes of the file have been read so far.
    pub fn position(&self) -> u64 {
        match &self.reader {
            Reader::Chunks(reader) => reader.position(),
            Reader::Pieces(reader) => reader.position(),
            Reader::Records(reader) => reader.position(),
        }
    }

    /// The next batch; `None` at the end.
    ///
    /// # Errors
    /// The operating system cannot read the file; nothing more comes then.
    pub fn next_batch(&mut self) -> io::Result<Option<Batch>> {
        let rules = self.rules;
        let batch = |content, large| Batch { content, rules, large };
        let reader = match &mut self.reader {
            Reader::Chunks(reader) => {
                let item = reader.next_item()?.map(|item| match item {
                    WetItem::Chunk(chunk) => Content::Text(chunk),
                    WetItem::Damage(damage) => Content::Damage(damage),
                });
                return Ok(item.map(|content| batch(content, reader.take_large())));
            }
            Reader::Pieces(pieces) => {
                let piece = pieces.next_piece()?.map(Content::Members);
                return Ok(piece.map(|content| batch(content, None)));
            }
            Reader::Records(reader) => reader,
        };
        let mut records = Vec::new();
        let mut bytes = 0;
        while bytes < BATCH_BYTES {
            match reader.next_item()? {
                Some(item @ Item::Record(_)) => {
                    bytes += item.bytes();
                    records.push(item);
                }
                // Damage waits for the batch before it, so that order is kept.
                Some(Item::Damage(damage)) if records.is_empty() => {
                    return Ok(Some(batch(Content::Damage(damage), None)));
                }
                Some(Item::Damage(damage)) => {
                    reader.push_back(damage);
                    break;
                }
                None if records.is_empty() => return Ok(None),
                None => break,
            }
        }
        Ok(Some(batch(Content::Records(records), reader.take_large())))
    }
}

/// A [`Source`] that reports how many bytes of the file it reads, and whose errors are sentences for people.
pub struct OpenSource {
    source: Source,
    reported: u64,
}

impl OpenSource {
    /// Opens an archive.
    ///
    /// # Errors
    /// The file holds no record, or cannot be read; in words.
    pub fn open(path: &Path, step: &ReadStep) -> Result<OpenSource, String> {
        match Source::open(path, step) {
            Ok(Some(source)) => Ok(OpenSource { source, reported: 0 }),
            Ok(None) => Err("not a crawl archive (no WARC or ARC record in it)".to_owned()),
            Err(e) => Err(e.to_string()),
        }
    }

    /// The kind of the archive.
    pub fn kind(&self) -> ArchiveKind {
        self.source.kind
    }

    /// How many bytes of the file have been read so far.
    pub fn position(&self) -> u64 {
        self.source.position()
    }

    /// The next batch, `None` at the end; `advanced` is called with the number of bytes of the file that were read for
    /// it.
    ///
    /// # Errors
    /// The archive cannot be read further; in words, with the byte offset.
    pub fn next_batch(&mut self, advanced: impl FnOnce(u64)) -> Result<Option<Batch>, String> {
        let batch = self.source.next_batch();
        let position = self.source.position();
        advanced(position.saturating_sub(self.reported));
        self.reported = position.max(self.reported);
        batch.map_err(|e| format!("cannot be read further than byte {position}: {e}"))
    }
}

/// Makes pages of a batch, in order, in portions that bound memory: of each record a page, or why it is none.
pub fn split(batch: Batch) -> Splits {
    let mut splits = Splits {
        rules: batch.rules,
        large: batch.large,
        items: VecDeque::new(),
        members: None,
        text: None,
    };
    match batch.content {
        Content::Text(chunk) => splits.text = Some(chunk),
        Content::Records(records) => splits.items = records.into(),
        Content::Members(piece) => splits.members = Some(Box::new(piece.records())),
        Content::Damage(damage) => splits.items.push_back(Item::Damage(damage)),
    }
    splits
}

/// What became of the records of a batch, in portions: see [`split`].
pub struct Splits {
    rules: RecordRules,
    /// The permit to hold large pages or records, while those returned last, or those that follow, are large.
    large: Option<Large>,
    items: VecDeque<Item>,
    members: Option<Box<PieceRecords>>,
    text: Option<Chunk>,
}

impl Iterator for Splits {
    type Item = Vec<Split>;

    fn next(&mut self) -> Option<Vec<Split>> {
        if let Some(chunk) = self.text.take() {
            return Some(wet::split(&chunk, self.rules.verify_digests));
        }
        if self.items.is_empty() {
            self.large = None;
            let records = self.members.as_mut()?;
            self.items = records.next()?.into();
            self.large = records.take_large();
        }
        let (mut splits, mut bytes) = (Vec::new(), 0);
        while bytes < PORTION_BYTES
            && let Some(item) = self.items.pop_front()
        {
            let split = match item {
                Item::Record(record) => page_of(&record, self.rules, &mut self.large),
                Item::Damage(damage) => Split::Damage(damage),
            };
            bytes += size_of::<Split>();
            bytes += match &split {
                Split::Page(page) => page.text.len(),
                Split::Dropped(dropped) => dropped.url.len(),
                Split::Damage(damage) => damage.cause.len(),
            };
            splits.push(split);
        }
        Some(splits)
    }
}

/// The kind of the archive at `path`, the format of its records, and whether it is compressed record by record (as far
/// as its first records tell); `None` if it holds no record.
fn kind_of(path: &Path, step: &ReadStep) -> io::Result<Option<(ArchiveKind, RecordFormat, bool)>> {
    /// How many records are read; enough to find a response behind its request, or a record behind a damaged one.
    const FIRST_RECORDS: usize = 64;
    let Some(archive) = Archive::open(path)? else {
        return Ok(None);
    };
    let mut reader = RecordReader::new(archive, step.max_record_bytes);
    let mut seen = None;
    let mut typeless = false;
    for _ in 0..FIRST_RECORDS {
        match reader.next_item()? {
            Some(Item::Record(record)) => match record.record_type().as_str() {
                "conversion" => seen = Some(ArchiveKind::Wet),
                "response" | "request" | "metadata" | "resource" | "revisit" | "continuation" => {
                    seen = Some(ArchiveKind::Warc);
                }
                _ if reader.format() == Some(RecordFormat::Arc) => seen = Some(ArchiveKind::Warc),
                // Typeless records with a text are what some rewritten WETs hold.
                _ => {
                    typeless = true;
                    continue;
                }
            },
            Some(Item::Damage(_)) => continue,
            None => {}
        }
        break;
    }
    // One more, so that a first member with several records shows.
    reader.next_item()?;
    if seen.is_none() {
        // No whole record says which; a cut or damaged one may.
        let beginning = archive::beginning(path, 1 << 20)?.to_ascii_lowercase();
        let warc = [
            &b"\nwarc-type: re"[..],
            b"\nwarc-type: metadata",
            b"\nwarc-type: continuation",
        ];
        if warc.iter().any(|line| memchr::memmem::find(&beginning, line).is_some()) {
            seen = Some(ArchiveKind::Warc);
        } else if typeless || archive::holds_records(path)? {
            // Where no record parser finds its way, the reference's line reading may.
            seen = Some(ArchiveKind::Wet);
        }
    }
    let format = reader.format().unwrap_or(RecordFormat::Warc);
    Ok(seen.map(|kind| (kind, format, reader.is_by_member())))
}

/// The text of a `response` record. Where it is large, waits until no other thread holds anything large.
///
/// # Errors
/// The record has no text, for one of the reasons of [`Rejected`].
pub(crate) fn response_text(
    record: &Record,
    media_types: MediaTypes,
    large: &mut Option<Large>,
) -> Result<Extracted, Rejected> {
    let identified = record.header("WARC-Identified-Payload-Type");
    extract::page_text_holding(record.block(), identified.as_deref(), media_types, large)
}

/// A record as a page, or why it is none.
fn page_of(record: &Record, rules: RecordRules, large: &mut Option<Large>) -> Split {
    let kind = record.record_type();
    let header = |name: &str| record.header(name).unwrap_or_default();
    let url = record.url();
    let is_long = url.len() > MAX_URL_BYTES;
    let dropped = |reason| {
        Split::Dropped(Dropped {
            reason,
            url: if is_long { String::new() } else { url.clone() },
            record_offset: record.offset,
        })
    };
    if is_long && matches!(kind.as_str(), "conversion" | "response") {
        return dropped(Reason::UrlTooLong);
    }
    if rules.verify_digests
        && let Checked::Wrong(cause) = digest::check(record)
    {
        let cause = format!("the record of {}: {cause}", short(&url));
        return Split::Damage(damage(Reason::WrongDigest, record.offset, cause));
    }
    let (text, content_type, content_length) = match kind.as_str() {
        "conversion" => {
            let Ok(text) = std::str::from_utf8(record.block()) else {
                let cause = format!("the record of {} is not valid UTF-8", short(&url));
                return Split::Damage(damage(Reason::BadUtf8, record.offset, cause));
            };
            let text = with_universal_newlines(text);
            (text, header("Content-Type"), header("Content-Length"))
        }
        "response" => match response_text(record, rules.media_types, large) {
            Ok(page) => (page.text, page.content_type, page.content_length),
            Err(rejected) => {
                return match rejected {
                    Rejected::Status(_) => dropped(Reason::HttpStatus),
                    Rejected::ContentType(_) => dropped(Reason::MediaType),
                    Rejected::OtherFormat => dropped(Reason::OtherFormat),
                    Rejected::Coding(_) => dropped(Reason::ContentCoding),
                    Rejected::Malformed => dropped(Reason::HttpMalformed),
                    Rejected::HeadTooLarge => dropped(Reason::HttpHeadTooLarge),
                    Rejected::Empty => dropped(Reason::NoContent),
                    Rejected::TooLarge => {
                        let cause = format!("the response of {} {rejected}", short(&url));
                        Split::Damage(damage(Reason::RecordTooLarge, record.offset, cause))
                    }
                };
            }
        },
        _ => return dropped(Reason::RecordType),
    };
    let page = Page {
        url: url.clone(),
        text,
        timestamp: header("WARC-Date"),
        content_type,
        content_length,
        record_offset: record.offset,
    };
    if page.url.is_empty() {
        dropped(Reason::NoUrl)
    } else if pystr::strip(&page.text).is_empty() {
        dropped(Reason::NoContent)
    } else if page.timestamp.is_empty() {
        dropped(Reason::NoTimestamp)
    } else {
        Split::Page(page)
    }
}

/// The text with `\n` in place of `\r\n` and `\r`, without line ends at the end.
fn with_universal_newlines(text: &str) -> String {
    let text = text.trim_end_matches(['\r', '\n']);
    if memchr::memchr(b'\r', text.as_bytes()).is_none() {
        return text.to_owned();
    }
    text.replace("\r\n", "\n").replace('\r', "\n")
}
