//! The decompressed bytes of an archive, member by member, with damage kept apart.
//!
//! A Common Crawl archive is a chain of gzip members (or zstd frames), one a record. Members are
//! independent, so a damaged one costs itself alone: after an error the reader goes back to where
//! the member began and looks for the next one that decodes to the start of a record.

use crate::member::MemberDecoder;
use flate2::bufread::GzDecoder;
use memchr::memmem;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

const GZIP_MAGIC: [u8; 3] = [0x1f, 0x8b, 0x08];
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// First frame of a `.warc.zst` that holds the dictionary of the others (a skippable frame; IIPC's
/// "Zstandard compression for WARC files", section 4).
const ZSTD_DICTIONARY_MAGIC: [u8; 4] = [0x5d, 0x2a, 0x4d, 0x18];
/// What every record starts with.
pub const RECORD_MAGIC: &[u8] = b"WARC/";

const BUFFER_BYTES: usize = 256 << 10;
/// How far a file whose first bytes say nothing is looked at for a gzip member.
const LOOK_FOR_MEMBER_BYTES: usize = 1 << 20;
/// What is decoded to see whether a member starts with a record: for gzip, its head and some; for
/// zstd, a whole block (RFC 8878: at most 128 KiB).
const LOOK_AT_BYTES: [usize; 2] = [4 << 10, 160 << 10];

/// A zstd frame or a skippable one (RFC 8878, section 3.1.2).
fn starts_zstd_frame(head: &[u8]) -> bool {
    let skippable = head.len() >= 4 && head[0] & 0xf0 == 0x50 && head[1..4] == [0x2a, 0x4d, 0x18];
    head.starts_with(&ZSTD_MAGIC) || skippable
}

/// How an archive is compressed, told by its first bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// gzip members.
    Gzip,
    /// zstd frames.
    Zstd,
    /// None: the archive as a whole counts as one member.
    Plain,
}

/// Why a member gives nothing more.
#[derive(Debug)]
pub enum MemberError {
    /// It ends before its end.
    Truncated,
    /// It does not decode, or its checksum is wrong.
    Corrupt(String),
    /// The operating system cannot read the file.
    Io(io::Error),
}

/// What [`Archive::read`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Bytes were added and the member may have more.
    More,
    /// The member is at its end (and its checksum is right).
    End,
}

/// Where the bytes are.
#[derive(Debug)]
enum Medium {
    File(File),
    Memory(Cursor<Vec<u8>>),
}

impl Read for Medium {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            // Who asks whether there is more does not try again.
            Medium::File(file) => c4_data::fs::uninterrupted(|| file.read(buf)),
            Medium::Memory(bytes) => bytes.read(buf),
        }
    }
}

impl Seek for Medium {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        match self {
            Medium::File(file) => file.seek(to),
            Medium::Memory(bytes) => bytes.seek(to),
        }
    }
}

/// A buffered file that knows where it is.
#[derive(Debug)]
struct Source {
    file: BufReader<Medium>,
    /// Bytes from the start of the archive.
    position: u64,
}

impl Source {
    fn seek(&mut self, position: u64) -> io::Result<()> {
        // `seek_relative` keeps the buffer if the target is in it.
        self.file
            .seek_relative(position as i64 - self.position as i64)?;
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

enum Decoder {
    Gzip(Box<GzDecoder<Source>>),
    Zstd(Box<zstd::Decoder<'static, Source>>),
    Plain(Source),
}

impl Read for Decoder {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Decoder::Gzip(decoder) => decoder.read(buf),
            Decoder::Zstd(decoder) => decoder.read(buf),
            Decoder::Plain(source) => source.read(buf),
        }
    }
}

impl Decoder {
    fn into_source(self) -> Source {
        match self {
            Decoder::Gzip(decoder) => decoder.into_inner(),
            Decoder::Zstd(decoder) => decoder.finish(),
            Decoder::Plain(source) => source,
        }
    }
}

enum State {
    Between(Source),
    /// At the start of a gzip member of which nothing has been read.
    Before(Source),
    Inside(Decoder),
    /// Only while a value is moved.
    Moving,
}

/// An archive open for reading.
pub struct Archive {
    compression: Compression,
    dictionary: Vec<u8>,
    state: State,
    member_start: u64,
    whole: MemberDecoder,
}

impl Archive {
    /// Opens `path` and tells its compression by content. `None`: it holds nothing that starts as
    /// an archive does.
    pub fn open(path: &Path) -> io::Result<Option<Archive>> {
        let medium = Medium::File(File::open(path)?);
        let file = BufReader::with_capacity(BUFFER_BYTES, medium);
        let mut source = Source { file, position: 0 };
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
        } else if memmem::find(&source.peek(LOOK_FOR_MEMBER_BYTES)?, &GZIP_MAGIC).is_some() {
            // The first member's head may be damaged; whether there are records will show.
            Compression::Gzip
        } else {
            return Ok(None);
        };
        Ok(Some(Archive {
            compression,
            dictionary,
            state: State::Between(source),
            member_start: 0,
            whole: MemberDecoder::default(),
        }))
    }

    /// A gzip archive from `offset` on, where a member starts.
    pub fn open_at(path: &Path, offset: u64) -> io::Result<Archive> {
        let mut file = File::open(path)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(Self::gzip(Medium::File(file), offset))
    }

    /// Gzip members in memory, which stand at `offset` in their archive.
    pub fn in_memory(bytes: Vec<u8>, offset: u64) -> Archive {
        Self::gzip(Medium::Memory(Cursor::new(bytes)), offset)
    }

    fn gzip(medium: Medium, position: u64) -> Archive {
        let file = BufReader::with_capacity(BUFFER_BYTES, medium);
        Archive {
            compression: Compression::Gzip,
            dictionary: Vec::new(),
            state: State::Between(Source { file, position }),
            member_start: position,
            whole: MemberDecoder::default(),
        }
    }

    /// How the archive is compressed.
    pub fn compression(&self) -> Compression {
        self.compression
    }

    /// Bytes of the file that have been read so far (up to what is buffered).
    pub fn position(&self) -> u64 {
        match &self.state {
            State::Between(source)
            | State::Before(source)
            | State::Inside(Decoder::Plain(source)) => source.position,
            State::Inside(Decoder::Gzip(decoder)) => decoder.get_ref().position,
            State::Inside(Decoder::Zstd(decoder)) => decoder.get_ref().position,
            State::Moving => self.member_start,
        }
    }

    /// Offset of the current member (or of the place where one should start).
    pub fn member_start(&self) -> u64 {
        self.member_start
    }

    fn take_source(&mut self) -> Source {
        match std::mem::replace(&mut self.state, State::Moving) {
            State::Between(source) | State::Before(source) => source,
            State::Inside(decoder) => decoder.into_source(),
            State::Moving => unreachable!("the state is put back before any return"),
        }
    }

    /// Goes to the next member and gives its offset in the file; `None` at the end. What stands
    /// between members and is none counts as damage, unless it is at the end and does not look like
    /// a broken member: padding and other rests after the last member are left alone.
    pub fn next_member(&mut self) -> Result<Option<u64>, MemberError> {
        let mut source = self.take_source();
        let found = self.begin(&mut source);
        self.state = match found {
            Ok(Some(_)) if self.compression == Compression::Gzip => State::Before(source),
            Ok(Some(_)) => match self.decoder(source) {
                Ok(decoder) => State::Inside(decoder),
                Err(e) => return Err(MemberError::Io(e)),
            },
            _ => State::Between(source),
        };
        found
    }

    fn begin(&mut self, source: &mut Source) -> Result<Option<u64>, MemberError> {
        self.member_start = source.position;
        if source.fill_buf().map_err(MemberError::Io)?.is_empty() {
            return Ok(None);
        }
        let head = source.peek(4).map_err(MemberError::Io)?;
        let starts = match self.compression {
            Compression::Gzip => head.starts_with(&GZIP_MAGIC),
            Compression::Zstd => starts_zstd_frame(&head),
            Compression::Plain => true,
        };
        if starts {
            return Ok(Some(self.member_start));
        }
        let broken = match self.compression {
            Compression::Gzip => head[0] == 0x1f || head.get(1) == Some(&0x8b),
            _ => head.iter().zip(&ZSTD_MAGIC).filter(|(a, b)| a == b).count() >= 2,
        };
        match self.scan(source).map_err(MemberError::Io)? {
            None if !broken => Ok(None),
            _ => Err(MemberError::Corrupt(
                "no compressed member starts here".into(),
            )),
        }
    }

    fn decoder(&self, source: Source) -> io::Result<Decoder> {
        Ok(match self.compression {
            Compression::Gzip => Decoder::Gzip(Box::new(GzDecoder::new(source))),
            Compression::Zstd => {
                let decoder = zstd::Decoder::with_dictionary(source, &self.dictionary)?;
                Decoder::Zstd(Box::new(decoder.single_frame()))
            }
            Compression::Plain => Decoder::Plain(source),
        })
    }

    /// Adds up to `max` bytes of the current member to `out`. After an error (what was decoded
    /// before it is in `out`) the archive stands before the next member that starts a record.
    pub fn read(&mut self, out: &mut Vec<u8>, max: usize) -> Result<Progress, MemberError> {
        if let State::Before(source) = &mut self.state {
            let buffered = source.fill_buf().map_err(MemberError::Io)?;
            if let Some(length) = self.whole.decode(buffered, out, max) {
                source.consume(length);
                self.state = State::Between(self.take_source());
                return Ok(Progress::End);
            }
            let source = self.take_source();
            self.state = State::Inside(Decoder::Gzip(Box::new(GzDecoder::new(source))));
        }
        let State::Inside(decoder) = &mut self.state else {
            return Ok(Progress::End);
        };
        match decoder.take(max as u64).read_to_end(out) {
            Ok(n) if n == max => Ok(Progress::More),
            Ok(_) => {
                self.state = State::Between(self.take_source());
                Ok(Progress::End)
            }
            Err(e) => {
                let error = match e.kind() {
                    io::ErrorKind::UnexpectedEof => MemberError::Truncated,
                    // zstd's own errors are of kind `Other`.
                    io::ErrorKind::InvalidData
                    | io::ErrorKind::InvalidInput
                    | io::ErrorKind::Other => MemberError::Corrupt(e.to_string()),
                    _ => return Err(MemberError::Io(e)),
                };
                self.resync().map_err(MemberError::Io)?;
                Err(error)
            }
        }
    }

    /// Goes to the first member after the start of the current one that starts a record.
    fn resync(&mut self) -> io::Result<()> {
        let mut source = self.take_source();
        let found = source
            .seek(self.member_start + 1)
            .and_then(|()| self.scan(&mut source));
        self.state = State::Between(source);
        found.map(drop)
    }

    /// Moves `source` to the next member that starts a record, or to the end. One pass over what
    /// lies between.
    fn scan(&self, source: &mut Source) -> io::Result<Option<u64>> {
        let magic: &[u8] = match self.compression {
            Compression::Gzip => &GZIP_MAGIC,
            Compression::Zstd => &ZSTD_MAGIC,
            Compression::Plain => return Ok(None),
        };
        let finder = memmem::Finder::new(magic);
        let mut window = Vec::new();
        loop {
            let base = source.position - window.len() as u64;
            if source
                .by_ref()
                .take(BUFFER_BYTES as u64)
                .read_to_end(&mut window)?
                == 0
            {
                return Ok(None);
            }
            let next = source.position;
            for at in finder.find_iter(&window) {
                let offset = base + at as u64;
                if self.starts_record(source, offset)? {
                    source.seek(offset)?;
                    return Ok(Some(offset));
                }
            }
            source.seek(next)?;
            // A magic number may lie across two windows.
            window.drain(..window.len() - (magic.len() - 1).min(window.len()));
        }
    }

    /// Whether a member at `offset` decodes to something that begins like a record.
    fn starts_record(&self, source: &mut Source, offset: u64) -> io::Result<bool> {
        source.seek(offset)?;
        let mut head = [0; 5];
        let [gzip, zstd] = LOOK_AT_BYTES;
        let decoded = match self.compression {
            Compression::Gzip => GzDecoder::new(&source.peek(gzip)?[..]).read_exact(&mut head),
            _ => zstd::Decoder::with_dictionary(&source.peek(zstd)?[..], &self.dictionary)
                .and_then(|mut decoder| decoder.read_exact(&mut head)),
        };
        Ok(decoded.is_ok() && head == RECORD_MAGIC)
    }
}

/// The dictionary of a `.warc.zst`, itself possibly compressed.
fn read_dictionary(source: &mut Source) -> io::Result<Vec<u8>> {
    /// Dictionaries in use are a few hundred kilobytes.
    const MAX_BYTES: u64 = 64 << 20;
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
pub fn beginning(path: &Path, max: usize) -> io::Result<Vec<u8>> {
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

/// Whether the file at `path` holds a WARC record near its beginning, damaged or not.
pub fn holds_records(path: &Path) -> io::Result<bool> {
    let bytes = beginning(path, 64 << 10)?;
    let mut places = memmem::find_iter(&bytes, RECORD_MAGIC);
    Ok(places.any(|at| at == 0 || matches!(bytes[at - 1], b'\n' | b'\r')))
}
