//! The decompressed bytes of an archive, member by member, with damage kept apart.
//!
//! A Common Crawl archive is a chain of gzip members (or zstd frames), one a record. Members are
//! independent, so damage to one costs no other: after an error the reader returns to where
//! the member began and searches for the next one that decodes to the start of a record.

use crate::read::arc;
use crate::read::member_decoder::{DecodeStep, GzipDecoder, MAX_HEADER, ZstdDecoder};
use crate::read::positioned_file::{BUFFER_BYTES, PositionedFile};
use memchr::memmem;
use std::fs::File;
use std::io::{self, BufRead, Read};
use std::path::Path;
use std::sync::Arc;

const GZIP_MAGIC: [u8; 3] = [0x1f, 0x8b, 0x08];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// What the first frame of a `.warc.zst` starts with if it holds the dictionary of the others (a skippable frame;
/// IIPC's "Zstandard compression for WARC files", section 4).
const ZSTD_DICTIONARY_MAGIC: [u8; 4] = [0x5d, 0x2a, 0x4d, 0x18];
/// What every WARC record starts with.
pub(crate) const RECORD_MAGIC: &[u8] = b"WARC/";

/// How many bytes of a file whose first ones say nothing are searched for a gzip member.
const SEARCH_MEMBER_BYTES: usize = 1 << 20;
/// How many compressed bytes are tried to see whether a member starts with a record: for gzip, its header and some; for
/// zstd, a whole block (RFC 8878: at most 128 KiB).
const TRIAL_BYTES: [usize; 2] = [4 << 10, 160 << 10];
/// How many bytes of a member are decoded to see whether it starts with a record; the header line of an ARC fits.
const HEAD_BYTES: usize = 2 << 10;
/// Decoding in vain (members that turn out damaged, places where none starts) may cost so many bytes, and
/// [`VAIN_FACTOR`] times those of the archive that lie behind; then less is tried. Else a hostile file takes time in
/// the square of its size.
const VAIN_BYTES: u64 = 16 << 20;
const VAIN_FACTOR: u64 = 8;

/// Whether a zstd frame starts here, or a skippable one (RFC 8878, section 3.1.2).
fn starts_zstd_frame(head: &[u8]) -> bool {
    let skippable = head.len() >= 4 && head[0] & 0xf0 == 0x50 && head[1..4] == [0x2a, 0x4d, 0x18];
    head.starts_with(&ZSTD_MAGIC) || skippable
}

/// How an archive is compressed, by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Compression {
    Gzip,
    Zstd,
    /// Not compressed: the archive as a whole counts as one member.
    Plain,
}

/// The format of the records of an archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordFormat {
    /// WARC of any version; WET and WAT are WARC, too.
    Warc,
    /// ARC, the Internet Archive's format before WARC.
    Arc,
}

impl RecordFormat {
    /// The format of the record that `bytes` start with, if they do.
    pub(crate) fn of(bytes: &[u8]) -> Option<RecordFormat> {
        if bytes.starts_with(RECORD_MAGIC) {
            Some(RecordFormat::Warc)
        } else {
            arc::header(bytes).map(|_| RecordFormat::Arc)
        }
    }
}

/// Why no more of a member can be read.
#[derive(Debug)]
pub(crate) enum MemberError {
    /// The archive ends within the member.
    Truncated,
    /// The member does not decode, or its checksum is wrong; in words.
    Corrupt(String),
    /// The operating system cannot read the file.
    Io(io::Error),
}

/// Whether [`Archive::read`] has reached the end of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MemberProgress {
    /// The member may have more.
    More,
    /// The member is at its end (and its checksum is right).
    End,
}

/// Where an archive is between members or in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between two members, or at the end.
    Between,
    /// At the start of a member of which nothing has been read.
    Before,
    /// In a member.
    Inside,
}

/// The decompressed bytes of an archive, read member by member.
pub struct Archive {
    file: PositionedFile,
    compression: Compression,
    format: Option<RecordFormat>,
    gzip: GzipDecoder,
    zstd: ZstdDecoder,
    state: State,
    member_start: u64,
    /// How many bytes the current member has given so far.
    made: u64,
    /// How many bytes were decoded in vain.
    vain: u64,
}

impl Archive {
    /// Opens the archive at `path`, whose compression its first bytes tell. `None` if the file does not start as an
    /// archive does.
    ///
    /// # Errors
    /// The operating system cannot read the file.
    pub fn open(path: &Path) -> io::Result<Option<Archive>> {
        let mut file = PositionedFile::new(Arc::new(File::open(path)?), 0);
        let head = file.peek(8)?;
        let mut dictionary = Vec::new();
        let blank = head.iter().take_while(|b| b.is_ascii_whitespace()).count();
        let compression = if head.starts_with(&GZIP_MAGIC) {
            Compression::Gzip
        } else if head.starts_with(&ZSTD_DICTIONARY_MAGIC) && head.len() == 8 {
            dictionary = read_dictionary(&mut file)?;
            Compression::Zstd
        } else if starts_zstd_frame(&head) {
            Compression::Zstd
        } else if RECORD_MAGIC.starts_with(&head[blank..]) || head[blank..].starts_with(b"WARC/") {
            if head.len() == blank {
                return Ok(None);
            }
            Compression::Plain
        } else if arc::header(&file.peek(TRIAL_BYTES[0])?).is_some() {
            Compression::Plain
        } else if memmem::find(&file.peek(SEARCH_MEMBER_BYTES)?, &GZIP_MAGIC).is_some() {
            // The first member's head may be damaged; whether there are records will show.
            Compression::Gzip
        } else {
            return Ok(None);
        };
        let zstd = ZstdDecoder::new(&dictionary)?;
        Ok(Some(Self::new(file, compression, zstd)))
    }

    /// Opens a gzip archive of `format` at `offset`, in bytes, where a member starts.
    ///
    /// # Errors
    /// There is no memory for a decoder.
    pub(crate) fn from(file: Arc<File>, offset: u64, format: RecordFormat) -> io::Result<Archive> {
        let (file, zstd) = (PositionedFile::new(file, offset), ZstdDecoder::new(&[])?);
        let mut archive = Self::new(file, Compression::Gzip, zstd);
        archive.format = Some(format);
        Ok(archive)
    }

    fn new(file: PositionedFile, compression: Compression, zstd: ZstdDecoder) -> Archive {
        Archive {
            member_start: file.position,
            file,
            compression,
            format: None,
            gzip: GzipDecoder::default(),
            zstd,
            state: State::Between,
            made: 0,
            vain: 0,
        }
    }

    /// How many bytes were decoded in vain so far.
    pub(crate) fn vain(&self) -> u64 {
        self.vain
    }

    /// Sets how many bytes were decoded in vain before, elsewhere in the archive: after many, less is tried.
    pub(crate) fn set_vain(&mut self, bytes: u64) {
        self.vain = bytes;
    }

    pub(crate) fn compression(&self) -> Compression {
        self.compression
    }

    /// The format of the archive's records; `None` before it is known.
    pub fn format(&self) -> Option<RecordFormat> {
        self.format
    }

    /// Notes the format of the archive's records: after damage no others are searched for.
    pub(crate) fn set_format(&mut self, format: RecordFormat) {
        self.format = Some(format);
    }

    /// How many bytes of the file have been read so far, without those that are buffered.
    pub fn position(&self) -> u64 {
        self.file.position
    }

    /// The byte offset of the current member, or of the place where one should start.
    pub(crate) fn member_start(&self) -> u64 {
        self.member_start
    }

    /// Goes to the next member and returns its byte offset in the file; `None` at the end. Other bytes between
    /// members count as damage, unless they are at the end and do not look like a broken member: padding and other
    /// rests after the last member are left alone.
    pub(crate) fn next_member(&mut self) -> Result<Option<u64>, MemberError> {
        let found = self.begin();
        self.state = match found {
            Ok(Some(_)) => State::Before,
            _ => State::Between,
        };
        found
    }

    fn begin(&mut self) -> Result<Option<u64>, MemberError> {
        let file = &mut self.file;
        self.member_start = file.position;
        self.made = 0;
        let mut head = [0; 4];
        let buffered = file.fill_buf().map_err(MemberError::Io)?;
        if buffered.is_empty() {
            return Ok(None);
        }
        if let Some(four) = buffered.first_chunk() {
            head = *four;
        } else {
            let peeked = file.peek(4).map_err(MemberError::Io)?;
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
        let buffered = file.fill_buf().map_err(MemberError::Io)?;
        let blank = |b: &&u8| matches!(**b, b'\0' | b'\r' | b'\n' | b' ');
        let padding = buffered.iter().take_while(blank).count();
        if padding > 0 && starts(&buffered[padding..]) {
            file.consume(padding);
            self.member_start = file.position;
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

    /// Adds up to `max` bytes of the current member to `out`. After an error (what was decoded before it is in `out`)
    /// the archive is before the next member that starts a record.
    pub(crate) fn read(&mut self, out: &mut Vec<u8>, max: usize) -> Result<MemberProgress, MemberError> {
        let start = out.len();
        let step = self.step(out, max).map_err(MemberError::Io)?;
        self.made += (out.len() - start) as u64;
        let error = match step {
            DecodeStep::More => return Ok(MemberProgress::More),
            DecodeStep::End => {
                self.state = State::Between;
                return Ok(MemberProgress::End);
            }
            DecodeStep::Truncated => MemberError::Truncated,
            DecodeStep::Corrupt(cause) => MemberError::Corrupt(cause),
        };
        self.resync().map_err(MemberError::Io)?;
        Err(error)
    }

    fn step(&mut self, out: &mut Vec<u8>, max: usize) -> io::Result<DecodeStep> {
        let file = &mut self.file;
        match (self.state, self.compression) {
            (State::Between, _) => return Ok(DecodeStep::End),
            (State::Before, Compression::Gzip) => {
                let buffered = file.fill_buf()?;
                if let Some(length) = self.gzip.decode(buffered, out, max) {
                    file.consume(length);
                    return Ok(DecodeStep::End);
                }
                let header = file.peek(MAX_HEADER)?;
                match self.gzip.begin(&header) {
                    Some(length) => file.seek(file.position + length as u64)?,
                    None if header.len() < MAX_HEADER => return Ok(DecodeStep::Truncated),
                    None => return Ok(DecodeStep::Corrupt("the member's header is wrong".to_owned())),
                }
            }
            (State::Before, Compression::Zstd) => self.zstd.begin()?,
            _ => {}
        }
        self.state = State::Inside;
        match self.compression {
            Compression::Gzip => self.gzip.step(file, out, max),
            Compression::Zstd => self.zstd.step(file, out, max),
            Compression::Plain => match file.take(max as u64).read_to_end(out)? {
                n if n == max => Ok(DecodeStep::More),
                _ => Ok(DecodeStep::End),
            },
        }
    }

    /// Whether less is to be tried from now on, since too much was decoded in vain.
    fn is_spent(&self, position: u64) -> bool {
        self.vain > VAIN_BYTES + VAIN_FACTOR * position
    }

    /// Goes to the first member after the start of the current one that starts a record.
    fn resync(&mut self) -> io::Result<()> {
        self.state = State::Between;
        let here = self.file.position;
        self.vain += here - self.member_start + self.made;
        let from = match self.is_spent(here) {
            true => here.max(self.member_start + 1),
            false => self.member_start + 1,
        };
        self.file.seek(from)?;
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
            let base = self.file.position - window.len() as u64;
            let read = self.file.by_ref().take(BUFFER_BYTES as u64).read_to_end(&mut window)?;
            let ended = read < BUFFER_BYTES;
            // A member is tried with enough of what follows, so the last ones wait for the next window.
            let tried = match ended {
                true => window.len(),
                false => window.len().saturating_sub(trial),
            };
            for at in finder.find_iter(&window).take_while(|at| *at < tried) {
                let offset = base + at as u64;
                if !self.is_spent(offset) && self.starts_record(&window[at..]) {
                    self.file.seek(offset)?;
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
            Some(RecordFormat::Warc) => &mut head[..RECORD_MAGIC.len()],
            _ => &mut head[..],
        };
        let (head, read) = match self.compression {
            Compression::Gzip => self.gzip.peek(bytes, wanted),
            _ => self.zstd.peek(bytes, wanted),
        };
        self.vain += read as u64;
        let found = RecordFormat::of(head);
        found.is_some() && self.format.is_none_or(|format| found == Some(format))
    }
}

/// Reads the dictionary of a `.warc.zst`, which may be compressed.
fn read_dictionary(file: &mut PositionedFile) -> io::Result<Vec<u8>> {
    /// Dictionaries in use are a few hundred kilobytes.
    const MAX_BYTES: u64 = 8 << 20;
    let mut head = [0; 8];
    file.read_exact(&mut head)?;
    let size = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
    let mut dictionary = Vec::new();
    file.by_ref()
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

/// The first `max` bytes of an archive, decompressed, or as many as can be decoded. None if the file is no archive.
///
/// # Errors
/// The operating system cannot read the file.
pub(crate) fn beginning(path: &Path, max: usize) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let Some(mut archive) = Archive::open(path)? else {
        return Ok(bytes);
    };
    // The caller knows of the damage.
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
                Ok(MemberProgress::More) => {}
                Ok(MemberProgress::End) | Err(MemberError::Truncated | MemberError::Corrupt(_)) => break,
                Err(MemberError::Io(e)) => return Err(e),
            }
        }
        if bytes.len() >= max {
            break;
        }
    }
    Ok(bytes)
}

/// Whether the file at `path` holds a WARC or ARC record in its first 64 KiB, damaged or not.
///
/// # Errors
/// The operating system cannot read the file.
pub(crate) fn holds_records(path: &Path) -> io::Result<bool> {
    let bytes = beginning(path, 64 << 10)?;
    if arc::header(&bytes).is_some() {
        return Ok(true);
    }
    let mut places = memmem::find_iter(&bytes, RECORD_MAGIC);
    Ok(places.any(|at| at == 0 || matches!(bytes[at - 1], b'\n' | b'\r')))
}
