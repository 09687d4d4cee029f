//! The decompressed bytes of an archive, member by member, with damage kept apart.
//!
//! A Common Crawl archive is a chain of gzip members (or zstd frames), one a record. Members are
//! independent, so a damaged one costs itself alone: after an error the reader goes back to where
//! the member began and looks for the next one that decodes to the start of a record.
//!
//! Above 500 lines: three compressions, and what is done after damage.

use crate::read::arc;
use crate::read::member_decoder::{GzipDecoder, MAX_HEADER, Step, ZstdDecoder};
use memchr::memmem;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

const GZIP_MAGIC: [u8; 3] = [0x1f, 0x8b, 0x08];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// First frame of a `.warc.zst` that holds the dictionary of the others (a skippable frame; IIPC's
/// "Zstandard compression for WARC files", section 4).
const ZSTD_DICTIONARY_MAGIC: [u8; 4] = [0x5d, 0x2a, 0x4d, 0x18];
/// What every WARC record starts with.
pub(crate) const RECORD_MAGIC: &[u8] = b"WARC/";

const BUFFER_BYTES: usize = 256 << 10;
/// How far a file whose first bytes say nothing is searched for a gzip member.
const SEARCH_MEMBER_BYTES: usize = 1 << 20;
/// What is decoded to see whether a member starts with a record: for gzip, its header and some; for
/// zstd, a whole block (RFC 8878: at most 128 KiB).
const TRIAL_BYTES: [usize; 2] = [4 << 10, 160 << 10];
/// What of a member is decoded to see whether it starts with a record; the header line of an ARC fits.
const HEAD_BYTES: usize = 2 << 10;
/// Decoding in vain (members that turn out damaged, places where none starts) may cost so many bytes, and
/// [`VAIN_FACTOR`] times those of the archive that lie behind; then less is tried. Else a file made for it
/// takes time in the square of its size.
const VAIN_BYTES: u64 = 16 << 20;
const VAIN_FACTOR: u64 = 8;

/// A zstd frame or a skippable one (RFC 8878, section 3.1.2).
fn starts_zstd_frame(head: &[u8]) -> bool {
    let skippable = head.len() >= 4 && head[0] & 0xf0 == 0x50 && head[1..4] == [0x2a, 0x4d, 0x18];
    head.starts_with(&ZSTD_MAGIC) || skippable
}

/// How an archive is compressed, told by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    /// gzip members.
    Gzip,
    /// zstd frames.
    Zstd,
    /// None: the archive as a whole counts as one member.
    Plain,
}

/// What the records of an archive are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// WARC, of any version; a WET or WAT is one, too.
    Warc,
    /// ARC.
    Arc,
}

impl Format {
    /// The format of the record that `bytes` start with, if they do.
    pub(crate) fn of(bytes: &[u8]) -> Option<Format> {
        if bytes.starts_with(RECORD_MAGIC) {
            Some(Format::Warc)
        } else {
            arc::header(bytes).map(|_| Format::Arc)
        }
    }
}

/// Why a member gives nothing more.
#[derive(Debug)]
pub(crate) enum MemberError {
    /// It ends before its end.
    Truncated,
    /// It does not decode, or its checksum is wrong.
    Corrupt(String),
    /// The operating system cannot read the file.
    Io(io::Error),
}

/// What [`Archive::read`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Bytes were added and the member may have more.
    More,
    /// The member is at its end (and its checksum is right).
    End,
}

/// A file read from a place of its own, so that several threads can share it.
#[derive(Debug)]
struct Place {
    file: Arc<File>,
    at: u64,
}

impl Read for Place {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        // Who asks whether there is more does not try again.
        let n = c4_data::atomic_file::uninterrupted(|| self.file.read_at(buf, self.at))?;
        self.at += n as u64;
        Ok(n)
    }
}

impl Seek for Place {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.file.metadata()?.len().checked_add_signed(by),
        };
        self.at = at.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

/// A buffered file that knows where it is.
#[derive(Debug)]
struct Source {
    file: BufReader<Place>,
    /// Bytes from the start of the archive.
    position: u64,
}

impl Source {
    fn new(file: Arc<File>, position: u64) -> Source {
        let place = Place { file, at: position };
        let file = BufReader::with_capacity(BUFFER_BYTES, place);
        Source { file, position }
    }

    fn seek(&mut self, position: u64) -> io::Result<()> {
        // `seek_relative` keeps the buffer if the target is in it.
        self.file.seek_relative(position as i64 - self.position as i64)?;
        self.position = position;
        Ok(())
    }

    /// Up to `n` bytes from here, without moving.
    fn peek(&mut self, n: usize) -> io::Result<Vec<u8>> {
        let start = self.position;
        let mut bytes = Vec::with_capacity(n);
        self.by_ref().take(n as u64).read_to_end(&mut bytes)?;
        self.seek(start)?;
        Ok(bytes)
    }
}

impl Read for Source {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read(buf)?;
        self.position += n as u64;
        Ok(n)
    }
}

impl BufRead for Source {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.file.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.position += amount as u64;
        self.file.consume(amount);
    }
}

/// Where an archive stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between two members, or at the end.
    Between,
    /// At the start of a member of which nothing has been read.
    Before,
    /// In a member.
    Inside,
}

/// An archive open for reading.
pub struct Archive {
    source: Source,
    compression: Compression,
    format: Option<Format>,
    gzip: GzipDecoder,
    zstd: ZstdDecoder,
    state: State,
    member_start: u64,
    /// What the current member has given so far, in bytes.
    made: u64,
    /// Bytes decoded in vain.
    vain: u64,
}

impl Archive {
    /// Opens `path` and tells its compression by content. `None`: it holds nothing that starts as
    /// an archive does.
    pub fn open(path: &Path) -> io::Result<Option<Archive>> {
        let mut source = Source::new(Arc::new(File::open(path)?), 0);
        let head = source.peek(8)?;
        let mut dictionary = Vec::new();
        let blank = head.iter().take_while(|b| b.is_ascii_whitespace()).count();
        let compression = if head.starts_with(&GZIP_MAGIC) {
            Compression::Gzip
        } else if head.starts_with(&ZSTD_DICTIONARY_MAGIC) && head.len() == 8 {
            dictionary = read_dictionary(&mut source)?;
            Compression::Zstd
        } else if starts_zstd_frame(&head) {
            Compression::Zstd
        } else if RECORD_MAGIC.starts_with(&head[blank..]) || head[blank..].starts_with(b"WARC/") {
            if head.len() == blank {
                return Ok(None);
            }
            Compression::Plain
        } else if arc::header(&source.peek(TRIAL_BYTES[0])?).is_some() {
            Compression::Plain
        } else if memmem::find(&source.peek(SEARCH_MEMBER_BYTES)?, &GZIP_MAGIC).is_some() {
            // The first member's head may be damaged; whether there are records will show.
            Compression::Gzip
        } else {
            return Ok(None);
        };
        let zstd = ZstdDecoder::new(&dictionary)?;
        Ok(Some(Self::new(source, compression, zstd)))
    }

    /// Opens a gzip archive of `format` at `offset`, in bytes, where a member starts.
    ///
    /// # Errors
    /// No memory for a decoder.
    pub(crate) fn from(file: Arc<File>, offset: u64, format: Format) -> io::Result<Archive> {
        let (source, zstd) = (Source::new(file, offset), ZstdDecoder::new(&[])?);
        let mut archive = Self::new(source, Compression::Gzip, zstd);
        archive.format = Some(format);
        Ok(archive)
    }

    fn new(source: Source, compression: Compression, zstd: ZstdDecoder) -> Archive {
        Archive {
            member_start: source.position,
            source,
            compression,
            format: None,
            gzip: GzipDecoder::default(),
            zstd,
            state: State::Between,
            made: 0,
            vain: 0,
        }
    }

    /// Bytes that were decoded in vain so far.
    pub(crate) fn vain(&self) -> u64 {
        self.vain
    }

    /// Sets how many bytes were decoded in vain before, elsewhere in the archive: after many, less is tried.
    pub(crate) fn set_vain(&mut self, bytes: u64) {
        self.vain = bytes;
    }

    /// How the archive is compressed.
    pub(crate) fn compression(&self) -> Compression {
        self.compression
    }

    /// What its records are; `None`: not known yet.
    pub fn format(&self) -> Option<Format> {
        self.format
    }

    /// Notes what its records are: after damage no others are looked for.
    pub(crate) fn set_format(&mut self, format: Format) {
        self.format = Some(format);
    }

    /// Bytes of the file that have been read so far (up to what is buffered).
    pub fn position(&self) -> u64 {
        self.source.position
    }

    /// Offset of the current member (or of the place where one should start).
    pub(crate) fn member_start(&self) -> u64 {
        self.member_start
    }

    /// Goes to the next member and gives its offset in the file; `None` at the end. What stands
    /// between members and is none counts as damage, unless it is at the end and does not look like
    /// a broken member: padding and other rests after the last member are left alone.
    pub(crate) fn next_member(&mut self) -> Result<Option<u64>, MemberError> {
        let found = self.begin();
        self.state = match found {
            Ok(Some(_)) => State::Before,
            _ => State::Between,
        };
        found
    }

    fn begin(&mut self) -> Result<Option<u64>, MemberError> {
        let source = &mut self.source;
        self.member_start = source.position;
        self.made = 0;
        let mut head = [0; 4];
        let buffered = source.fill_buf().map_err(MemberError::Io)?;
        if buffered.is_empty() {
            return Ok(None);
        }
        if let Some(four) = buffered.first_chunk() {
            head = *four;
        } else {
            let peeked = source.peek(4).map_err(MemberError::Io)?;
            head[..peeked.len()].copy_from_slice(&peeked);
        }
        let compression = self.compression;
        let starts = |head: &[u8]| match compression {
            Compression::Gzip => head.starts_with(&GZIP_MAGIC),
            Compression::Zstd => starts_zstd_frame(head),
            Compression::Plain => true,
        };
        if starts(&head) {
            return Ok(Some(self.member_start));
        }
        // Padding is passed over if a member follows.
        let buffered = source.fill_buf().map_err(MemberError::Io)?;
        let blank = |b: &&u8| matches!(**b, b'\0' | b'\r' | b'\n' | b' ');
        let padding = buffered.iter().take_while(blank).count();
        if padding > 0 && starts(&buffered[padding..]) {
            source.consume(padding);
            self.member_start = source.position;
            return Ok(Some(self.member_start));
        }
        let broken = match self.compression {
            Compression::Gzip => head[0] == 0x1f || head[1] == 0x8b,
            _ => head.iter().zip(&ZSTD_MAGIC).filter(|(a, b)| a == b).count() >= 2,
        };
        match self.scan().map_err(MemberError::Io)? {
            None if !broken => Ok(None),
            _ => Err(MemberError::Corrupt("no compressed member starts here".into())),
        }
    }

    /// Adds up to `max` bytes of the current member to `out`. After an error (what was decoded
    /// before it is in `out`) the archive stands before the next member that starts a record.
    pub(crate) fn read(&mut self, out: &mut Vec<u8>, max: usize) -> Result<Progress, MemberError> {
        let start = out.len();
        let step = self.step(out, max).map_err(MemberError::Io)?;
        self.made += (out.len() - start) as u64;
        let error = match step {
            Step::More => return Ok(Progress::More),
            Step::End => {
                self.state = State::Between;
                return Ok(Progress::End);
            }
            Step::Truncated => MemberError::Truncated,
            Step::Corrupt(cause) => MemberError::Corrupt(cause),
        };
        self.resync().map_err(MemberError::Io)?;
        Err(error)
    }

    fn step(&mut self, out: &mut Vec<u8>, max: usize) -> io::Result<Step> {
        let source = &mut self.source;
        match (self.state, self.compression) {
            (State::Between, _) => return Ok(Step::End),
            (State::Before, Compression::Gzip) => {
                let buffered = source.fill_buf()?;
                if let Some(length) = self.gzip.decode(buffered, out, max) {
                    source.consume(length);
                    return Ok(Step::End);
                }
                let header = source.peek(MAX_HEADER)?;
                match self.gzip.begin(&header) {
                    Some(length) => source.seek(source.position + length as u64)?,
                    None if header.len() < MAX_HEADER => return Ok(Step::Truncated),
                    None => return Ok(Step::Corrupt("the member's header is wrong".to_owned())),
                }
            }
            (State::Before, Compression::Zstd) => self.zstd.begin()?,
            _ => {}
        }
        self.state = State::Inside;
        match self.compression {
            Compression::Gzip => self.gzip.step(source, out, max),
            Compression::Zstd => self.zstd.step(source, out, max),
            Compression::Plain => match source.take(max as u64).read_to_end(out)? {
                n if n == max => Ok(Step::More),
                _ => Ok(Step::End),
            },
        }
    }

    /// Whether less is to be tried, since too much was decoded in vain.
    fn is_spent(&self, position: u64) -> bool {
        self.vain > VAIN_BYTES + VAIN_FACTOR * position
    }

    /// Goes to the first member after the start of the current one that starts a record.
    fn resync(&mut self) -> io::Result<()> {
        self.state = State::Between;
        let here = self.source.position;
        self.vain += here - self.member_start + self.made;
        let from = match self.is_spent(here) {
            true => here.max(self.member_start + 1),
            false => self.member_start + 1,
        };
        self.source.seek(from)?;
        self.scan().map(drop)
    }

    /// Moves to the next member that starts a record, or to the end. One pass over what lies between.
    fn scan(&mut self) -> io::Result<Option<u64>> {
        let (magic, trial): (&[u8], usize) = match self.compression {
            Compression::Gzip => (&GZIP_MAGIC, TRIAL_BYTES[0]),
            Compression::Zstd => (&ZSTD_MAGIC, TRIAL_BYTES[1]),
            Compression::Plain => return Ok(None),
        };
        let finder = memmem::Finder::new(magic);
        let mut window = Vec::new();
        loop {
            let base = self.source.position - window.len() as u64;
            let read = self
                .source
                .by_ref()
                .take(BUFFER_BYTES as u64)
                .read_to_end(&mut window)?;
            let ended = read < BUFFER_BYTES;
            // A member is tried with enough of what follows, so the last ones wait for the next window.
            let tried = match ended {
                true => window.len(),
                false => window.len().saturating_sub(trial),
            };
            for at in finder.find_iter(&window).take_while(|at| *at < tried) {
                let offset = base + at as u64;
                if !self.is_spent(offset) && self.starts_record(&window[at..]) {
                    self.source.seek(offset)?;
                    return Ok(Some(offset));
                }
            }
            if ended {
                return Ok(None);
            }
            window.drain(..tried);
        }
    }

    /// Whether a member at the start of `bytes` decodes to something that begins like a record.
    fn starts_record(&mut self, bytes: &[u8]) -> bool {
        let bytes = &bytes[..bytes.len().min(TRIAL_BYTES[1])];
        let mut head = [0; HEAD_BYTES];
        let wanted = match self.format {
            Some(Format::Warc) => &mut head[..RECORD_MAGIC.len()],
            _ => &mut head[..],
        };
        let (head, read) = match self.compression {
            Compression::Gzip => self.gzip.peek(bytes, wanted),
            _ => self.zstd.peek(bytes, wanted),
        };
        self.vain += read as u64;
        let found = Format::of(head);
        found.is_some() && self.format.is_none_or(|format| found == Some(format))
    }
}

/// The dictionary of a `.warc.zst`, itself possibly compressed.
fn read_dictionary(source: &mut Source) -> io::Result<Vec<u8>> {
    /// Dictionaries in use are a few hundred kilobytes.
    const MAX_BYTES: u64 = 8 << 20;
    let mut head = [0; 8];
    source.read_exact(&mut head)?;
    let size = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
    let mut dictionary = Vec::new();
    source
        .by_ref()
        .take(u64::from(size).min(MAX_BYTES))
        .read_to_end(&mut dictionary)?;
    if dictionary.starts_with(&ZSTD_MAGIC) {
        let mut plain = Vec::new();
        zstd::Decoder::new(&dictionary[..])?
            .take(MAX_BYTES)
            .read_to_end(&mut plain)?;
        dictionary = plain;
    }
    Ok(dictionary)
}

/// The beginning of what an archive holds, uncompressed, up to `max` bytes: as much of it as can be
/// decoded. Empty if the file is no archive.
pub(crate) fn beginning(path: &Path, max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let Some(mut archive) = Archive::open(path)? else {
        return Ok(bytes);
    };
    // Damage is nothing new to whoever asks.
    for _ in 0..64 {
        match archive.next_member() {
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(MemberError::Io(e)) => return Err(e),
            Err(_) => continue,
        }
        while bytes.len() < max {
            let left = max - bytes.len();
            match archive.read(&mut bytes, left) {
                Ok(Progress::More) => {}
                Ok(Progress::End) | Err(MemberError::Truncated | MemberError::Corrupt(_)) => break,
                Err(MemberError::Io(e)) => return Err(e),
            }
        }
        if bytes.len() >= max {
            break;
        }
    }
    Ok(bytes)
}

/// Whether the file at `path` holds a WARC or ARC record near its beginning, damaged or not.
pub(crate) fn holds_records(path: &Path) -> io::Result<bool> {
    let bytes = beginning(path, 64 << 10)?;
    if arc::header(&bytes).is_some() {
        return Ok(true);
    }
    let mut places = memmem::find_iter(&bytes, RECORD_MAGIC);
    Ok(places.any(|at| at == 0 || matches!(bytes[at - 1], b'\n' | b'\r')))
}
