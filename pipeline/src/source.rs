//! An archive as batches of work: cheap to make one after the other, worth spreading over cores.

use crate::archive::{self, Archive};
use crate::extract::{self, Extracted, Rejected};
use crate::members::{Next, Piece, PieceReader};
use crate::progress::Progress;
use crate::reading::{Damage, Dropped, RawPage, Split, damage};
use crate::table::printable;
use crate::warc::{Item, Record, RecordReader};
use crate::wet::{self, Chunk, ChunkReader, Piece as TextPiece};
use c4_data::{MediaTypes, ReadStep, WetReading};
use c4_filters::{ArchiveKind, Reason, pystr};
use std::io;
use std::path::Path;

/// A batch of records has at least this many bytes, unless the archive ends.
const BATCH_BYTES: usize = 1 << 20;

enum Reader {
    /// A WET as lines.
    Chunks(Box<ChunkReader>),
    /// Records, compressed one by one, in pieces of members.
    Pieces(PieceReader),
    /// Records of any other archive.
    Records(Box<RecordReader>),
}

/// An archive open for reading.
pub struct Source {
    /// What it holds, told by its first record that says.
    pub kind: ArchiveKind,
    reader: Reader,
    limit: u64,
    media_types: MediaTypes,
}

/// Work for one core.
#[derive(Debug)]
pub enum Batch {
    /// A piece of a WET read as lines.
    Text(Chunk),
    /// Records, in order, and which of their bodies become pages.
    Records(Vec<Record>, MediaTypes),
    /// Members of an archive that is compressed record by record, likewise.
    Members(Piece, u64, MediaTypes),
    /// A place that could not be read.
    Damage(Damage),
}

impl Source {
    /// Opens an archive. `None`: the file holds no WARC record at all.
    ///
    /// # Errors
    /// The operating system cannot read the file.
    pub fn open(path: &Path, step: &ReadStep) -> io::Result<Option<Source>> {
        let Some((kind, by_member)) = kind_of(path, step)? else {
            return Ok(None);
        };
        let Some(archive) = Archive::open(path)? else {
            return Ok(None);
        };
        let limit = step.max_record_bytes;
        let pieces = if by_member {
            PieceReader::open(path)?
        } else {
            None
        };
        let reader = match (kind, step.wet_reading, pieces) {
            (ArchiveKind::Wet, WetReading::Lines, _) => {
                Reader::Chunks(Box::new(ChunkReader::new(archive, limit)))
            }
            (_, _, Some(pieces)) => Reader::Pieces(pieces),
            _ => Reader::Records(Box::new(RecordReader::new(archive, limit))),
        };
        Ok(Some(Source {
            kind,
            reader,
            limit,
            media_types: step.media_types,
        }))
    }

    /// Bytes of the file read so far.
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
        let reader = match &mut self.reader {
            Reader::Chunks(reader) => {
                return Ok(reader.next_piece()?.map(|piece| match piece {
                    TextPiece::Chunk(chunk) => Batch::Text(chunk),
                    TextPiece::Damage(damage) => Batch::Damage(damage),
                }));
            }
            Reader::Pieces(pieces) => match pieces.next_piece()? {
                Next::Piece(piece) => {
                    let batch = Batch::Members(piece, self.limit, self.media_types);
                    return Ok(Some(batch));
                }
                Next::End => return Ok(None),
                Next::Rest(archive) => {
                    let reader = RecordReader::by_member(*archive, self.limit);
                    self.reader = Reader::Records(Box::new(reader));
                    return self.next_batch();
                }
            },
            Reader::Records(reader) => reader,
        };
        let mut records = Vec::new();
        let mut bytes = 0;
        while bytes < BATCH_BYTES {
            match reader.next_item()? {
                Some(Item::Record(record)) => {
                    bytes += record.len();
                    records.push(record);
                }
                // Damage waits for the batch before it, so that order is kept.
                Some(Item::Damage(damage)) if records.is_empty() => {
                    return Ok(Some(Batch::Damage(damage)));
                }
                Some(Item::Damage(damage)) => {
                    reader.push_back(damage);
                    break;
                }
                None if records.is_empty() => return Ok(None),
                None => break,
            }
        }
        Ok(Some(Batch::Records(records, self.media_types)))
    }
}

/// An archive in the hands of a pass that tells its progress.
pub struct OpenSource {
    source: Source,
    reported: u64,
}

impl OpenSource {
    /// Opens an archive; the error says why it cannot be read.
    pub fn open(path: &Path, step: &ReadStep) -> Result<OpenSource, String> {
        match Source::open(path, step) {
            Ok(Some(source)) => Ok(OpenSource {
                source,
                reported: 0,
            }),
            Ok(None) => Err("not a crawl archive (no WARC record in it)".to_owned()),
            Err(e) => Err(e.to_string()),
        }
    }

    /// What it holds.
    pub fn kind(&self) -> ArchiveKind {
        self.source.kind
    }

    /// Bytes of the file read so far.
    pub fn position(&self) -> u64 {
        self.source.position()
    }

    /// The next batch; the error says why and from where on the archive cannot be read.
    pub fn next_batch(&mut self, progress: &Progress) -> Result<Option<Batch>, String> {
        let batch = self.source.next_batch();
        let position = self.source.position();
        progress.add(position.saturating_sub(self.reported));
        self.reported = position.max(self.reported);
        batch.map_err(|e| format!("cannot be read further than byte {position}: {e}"))
    }
}

/// Makes pages of a batch, in order.
pub fn split(batch: Batch) -> Vec<Split> {
    match batch {
        Batch::Text(chunk) => wet::split(&chunk),
        Batch::Records(records, media_types) => {
            let page = |record| page_of(record, media_types);
            records.iter().map(page).collect()
        }
        Batch::Members(piece, limit, media_types) => members(piece, limit, media_types),
        Batch::Damage(damage) => vec![Split::Damage(damage)],
    }
}

/// Inflates members and makes pages of their records, in order.
fn members(piece: Piece, limit: u64, media_types: MediaTypes) -> Vec<Split> {
    let mut splits = Vec::new();
    let last = piece.last;
    let archive = Archive::in_memory(piece.bytes, piece.offset);
    let mut reader = RecordReader::by_member(archive, limit);
    // Memory gives no I/O errors.
    while let Ok(Some(item)) = reader.next_item() {
        splits.push(match item {
            Item::Record(record) => page_of(&record, media_types),
            Item::Damage(found) if found.reason == Reason::Truncated && !last => {
                // It is the piece that ends here, where the next member starts.
                let cause = "the member does not end where the next one starts";
                Split::Damage(damage(Reason::CorruptMember, found.offset, cause))
            }
            Item::Damage(found) => Split::Damage(found),
        });
    }
    splits
}

/// What kind of archive the file is, and whether it is compressed record by record (as far as its
/// first records tell); `None` if it holds no record.
fn kind_of(path: &Path, step: &ReadStep) -> io::Result<Option<(ArchiveKind, bool)>> {
    /// Enough to find a response behind its request, or a record behind a damaged one.
    const LOOK_AT: usize = 64;
    let Some(archive) = Archive::open(path)? else {
        return Ok(None);
    };
    let mut reader = RecordReader::new(archive, step.max_record_bytes);
    let mut seen = None;
    let mut typeless = false;
    for _ in 0..LOOK_AT {
        match reader.next_item()? {
            Some(Item::Record(record)) => match record.record_type().as_str() {
                "conversion" => seen = Some(ArchiveKind::Wet),
                "response" | "request" | "metadata" | "resource" | "revisit" => {
                    seen = Some(ArchiveKind::Warc);
                }
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
        // No whole record tells; a cut or damaged one may.
        let beginning = archive::beginning(path, 1 << 20)?.to_ascii_lowercase();
        let warc = [&b"\nwarc-type: re"[..], b"\nwarc-type: metadata"];
        if warc
            .iter()
            .any(|line| memchr::memmem::find(&beginning, line).is_some())
        {
            seen = Some(ArchiveKind::Warc);
        } else if typeless || archive::holds_records(path)? {
            // Where no record parser finds its way, the reference's line reading may.
            seen = Some(ArchiveKind::Wet);
        }
    }
    Ok(seen.map(|kind| (kind, reader.is_by_member())))
}

/// The text of a `response` record.
///
/// # Errors
/// [`Rejected`] says why there is none.
pub fn response_text(record: &Record, media_types: MediaTypes) -> Result<Extracted, Rejected> {
    let identified = record.header("WARC-Identified-Payload-Type");
    extract::page_text(record.block(), identified.as_deref(), media_types)
}

/// A record as a page, or why it is none.
fn page_of(record: &Record, media_types: MediaTypes) -> Split {
    let kind = record.record_type();
    let header = |name: &str| record.header(name).unwrap_or_default();
    let dropped = |reason| {
        Split::Dropped(Dropped {
            reason,
            url: record.url(),
            record_offset: record.offset,
        })
    };
    let (text, content_type, content_length) = match kind.as_str() {
        "conversion" => {
            let Ok(text) = std::str::from_utf8(record.block()) else {
                let cause = format!(
                    "the record of {} is not valid UTF-8",
                    printable(&record.url())
                );
                return Split::Damage(damage(Reason::BadUtf8, record.offset, cause));
            };
            let text = with_universal_newlines(text);
            (text, header("Content-Type"), header("Content-Length"))
        }
        "response" => match response_text(record, media_types) {
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
                        let url = record.url();
                        let cause = format!("the response of {} {rejected}", printable(&url));
                        Split::Damage(damage(Reason::RecordTooLarge, record.offset, cause))
                    }
                };
            }
        },
        _ => return dropped(Reason::RecordType),
    };
    let page = RawPage {
        url: record.url(),
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

/// `\r\n` and `\r` as `\n`, none at the end.
fn with_universal_newlines(text: &str) -> String {
    let text = text.trim_end_matches(['\r', '\n']);
    if memchr::memchr(b'\r', text.as_bytes()).is_none() {
        return text.to_owned();
    }
    text.replace("\r\n", "\n").replace('\r', "\n")
}
