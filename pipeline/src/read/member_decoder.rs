//! One decoder for all the gzip members, and one for all the zstd frames, of an archive.
//!
//! A crawl archive has a member a record, most of them a few kilobytes, so a decoder made anew for each would
//! cost more than decoding; a hostile one has millions that hold nothing.

use flate2::{Crc, Decompress, FlushDecompress, Status};
use std::io::{self, BufRead};
use zstd::stream::raw::{Decoder, InBuffer, Operation, OutBuffer};

/// The length in bytes of a gzip header without optional fields (RFC 1952, section 2.3).
const HEADER: usize = 10;
/// The length in bytes of a gzip member's end: CRC-32 and length.
const TRAILER: usize = 8;
/// How many bytes the output buffer grows by at a time; a small member fits.
const ROOM: usize = 64 << 10;
/// The longest gzip header with optional fields (a name, a comment) that is read, in bytes.
pub(crate) const MAX_HEADER: usize = 64 << 10;

/// What a step of decoding a member or frame has met.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum DecodeStep {
    /// No end yet.
    More,
    /// The end of the member or frame, whose checksum, if any, is right.
    End,
    /// The end of the input, within the member or frame.
    Truncated,
    /// Data that do not decode, or a wrong checksum; in words.
    Corrupt(String),
}

/// Where the deflate data start behind a gzip header; `None` if `bytes` start with none, or with a part of one.
fn header_length(bytes: &[u8]) -> Option<usize> {
    let [0x1f, 0x8b, 8, flags, ..] = *bytes else {
        return None;
    };
    // The flags of RFC 1952, section 2.3.1; its reserved bits must be zero.
    let mut at = HEADER;
    if flags & 0xe0 != 0 || bytes.len() < at {
        return None;
    }
    if flags & 4 != 0 {
        let length = bytes.get(at..at + 2)?;
        at += 2 + usize::from(u16::from_le_bytes([length[0], length[1]]));
    }
    for field in [8, 16] {
        if flags & field != 0 {
            at += memchr::memchr(0, bytes.get(at..)?)? + 1;
        }
    }
    if flags & 2 != 0 {
        at += 2;
    }
    (at <= bytes.len()).then_some(at)
}

/// Decodes gzip members, one after the other.
#[derive(Debug, Default)]
pub(crate) struct GzipDecoder {
    inflate: Option<Box<Decompress>>,
    /// The checksum so far of the member that is being read in steps.
    crc: Crc,
}

impl GzipDecoder {
    /// A decoder at the start of deflate data.
    fn fresh(&mut self) -> &mut Decompress {
        let inflate = self.inflate.get_or_insert_with(|| Box::new(Decompress::new(false)));
        inflate.reset(false);
        inflate
    }

    /// Appends what the member at the start of `bytes` holds to `out` and gives the member's length.
    /// `None`, and `out` as it was, if the member is not whole, is damaged, holds `max` bytes or more,
    /// or has more than a plain header: reading it in steps says which.
    pub(crate) fn decode(&mut self, bytes: &[u8], out: &mut Vec<u8>, max: usize) -> Option<usize> {
        let start = out.len();
        let length = self.inflate(bytes, out, max).filter(|length| {
            let mut crc = Crc::new();
            crc.update(&out[start..]);
            let trailer = bytes[*length..].first_chunk::<TRAILER>();
            trailer.is_some_and(|trailer| is_trailer(trailer, &crc))
        });
        if length.is_none() {
            out.truncate(start);
        }
        Some(length? + TRAILER)
    }

    /// Where the compressed data end.
    fn inflate(&mut self, bytes: &[u8], out: &mut Vec<u8>, max: usize) -> Option<usize> {
        let (header, data) = bytes.split_at_checked(HEADER)?;
        // Magic number, method, no flags.
        if header[..4] != [0x1f, 0x8b, 8, 0] {
            return None;
        }
        let start = out.len();
        let inflate = self.fresh();
        loop {
            if out.capacity() - out.len() < ROOM {
                out.reserve(ROOM);
            }
            let done = inflate.total_in() as usize;
            let status = inflate.decompress_vec(&data[done..], out, FlushDecompress::Finish);
            let stuck = inflate.total_in() as usize == data.len();
            match status.ok()? {
                _ if out.len() - start >= max => return None,
                Status::StreamEnd => return Some(HEADER + inflate.total_in() as usize),
                // More room was wanted, unless it is more data.
                _ if stuck && out.len() < out.capacity() => return None,
                _ => {}
            }
        }
    }

    /// The first bytes of what the member at the start of `bytes` holds, as many as `head` has room for or fewer,
    /// and how many of `bytes` that took.
    pub(crate) fn peek<'a>(&mut self, bytes: &[u8], head: &'a mut [u8]) -> (&'a [u8], usize) {
        let Some(start) = header_length(bytes) else {
            return (&[], 0);
        };
        let inflate = self.fresh();
        // What was decoded before an error counts, so the error does not.
        let _ = inflate.decompress(&bytes[start..], head, FlushDecompress::None);
        let (read, made) = (inflate.total_in() as usize, inflate.total_out() as usize);
        (&head[..made], start + read)
    }

    /// Starts to read the member at the start of `bytes` in steps; the length of its header, `None` if it has none
    /// that is whole and right.
    pub(crate) fn begin(&mut self, bytes: &[u8]) -> Option<usize> {
        let length = header_length(bytes)?;
        self.fresh();
        self.crc.reset();
        Some(length)
    }

    /// Reads on in the member, behind its header, and adds up to `max` bytes of it to `out`.
    pub(crate) fn step(&mut self, source: &mut impl BufRead, out: &mut Vec<u8>, max: usize) -> io::Result<DecodeStep> {
        let start = out.len();
        let Some(inflate) = &mut self.inflate else {
            return Ok(DecodeStep::End);
        };
        loop {
            let done = out.len() - start;
            if done == max {
                return Ok(DecodeStep::More);
            }
            let input = source.fill_buf()?;
            if input.is_empty() {
                return Ok(DecodeStep::Truncated);
            }
            // No more room than is asked for, so that no more comes out.
            let (length, room) = (out.len(), ROOM.min(max - done));
            let before = (inflate.total_in(), inflate.total_out());
            out.resize(length + room, 0);
            let status = inflate.decompress(input, &mut out[length..], FlushDecompress::None);
            let used = (inflate.total_in() - before.0) as usize;
            let made = (inflate.total_out() - before.1) as usize;
            out.truncate(length + made);
            source.consume(used);
            self.crc.update(&out[length..]);
            match status {
                Ok(Status::StreamEnd) => break,
                // With input and room there is always something to do, unless the data are wrong.
                Ok(_) if used + made > 0 => {}
                Ok(_) => return Ok(DecodeStep::Corrupt("the deflate data do not go on".to_owned())),
                Err(e) => return Ok(DecodeStep::Corrupt(e.to_string())),
            }
        }
        let mut trailer = [0; TRAILER];
        match source.read_exact(&mut trailer) {
            Ok(()) if is_trailer(&trailer, &self.crc) => Ok(DecodeStep::End),
            Ok(()) => {
                let cause = "the member's checksum or length is not that of its content";
                Ok(DecodeStep::Corrupt(cause.to_owned()))
            }
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => Ok(DecodeStep::Truncated),
            Err(e) => Err(e),
        }
    }
}

/// Decodes zstd frames, one after the other, with one dictionary.
pub(crate) struct ZstdDecoder {
    inner: Decoder<'static>,
}

impl ZstdDecoder {
    /// Makes a decoder of frames that were made with `dictionary` (empty: with none).
    pub(crate) fn new(dictionary: &[u8]) -> io::Result<ZstdDecoder> {
        let inner = Decoder::with_dictionary(dictionary)?;
        Ok(ZstdDecoder { inner })
    }

    /// The first bytes of what the frame at the start of `bytes` holds, as many as `head` has room for or fewer, and
    /// how many of `bytes` that took.
    pub(crate) fn peek<'a>(&mut self, bytes: &[u8], head: &'a mut [u8]) -> (&'a [u8], usize) {
        // The reserved bit of the frame header (RFC 8878, section 3.1.1.1.1.4).
        if bytes.get(4).is_none_or(|descriptor| descriptor & 8 != 0) || self.begin().is_err() {
            return (&[], 0);
        }
        let (mut read, mut made) = (0, 0);
        while read < bytes.len() && made < head.len() {
            // What was decoded before an error counts.
            let Ok(status) = self.inner.run_on_buffers(&bytes[read..], &mut head[made..]) else {
                break;
            };
            read += status.bytes_read;
            made += status.bytes_written;
            if status.remaining == 0 || status.bytes_read + status.bytes_written == 0 {
                break;
            }
        }
        (&head[..made], read)
    }

    /// Starts to read a frame in steps.
    pub(crate) fn begin(&mut self) -> io::Result<()> {
        self.inner.reinit()
    }

    /// Reads on in the frame and adds up to `max` bytes of it to `out`.
    pub(crate) fn step(&mut self, source: &mut impl BufRead, out: &mut Vec<u8>, max: usize) -> io::Result<DecodeStep> {
        let start = out.len();
        loop {
            let done = out.len() - start;
            if done == max {
                return Ok(DecodeStep::More);
            }
            let bytes = source.fill_buf()?;
            let ended = bytes.is_empty();
            let length = out.len();
            out.resize(length + ROOM.min(max - done), 0);
            let mut input = InBuffer::around(bytes);
            let mut output = OutBuffer::around(&mut out[length..]);
            let result = self.inner.run(&mut input, &mut output);
            let (used, made) = (input.pos(), output.pos());
            out.truncate(length + made);
            source.consume(used);
            match result {
                Ok(0) => return Ok(DecodeStep::End),
                Ok(_) if ended && made == 0 => return Ok(DecodeStep::Truncated),
                Ok(_) => {}
                Err(e) => return Ok(DecodeStep::Corrupt(e.to_string())),
            }
        }
    }
}

fn is_trailer(trailer: &[u8; TRAILER], crc: &Crc) -> bool {
    let [a, b, c, d, e, f, g, h] = *trailer;
    let sum = u32::from_le_bytes([a, b, c, d]);
    let size = u32::from_le_bytes([e, f, g, h]);
    (sum, size) == (crc.sum(), crc.amount())
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::write::GzEncoder;
    use flate2::{Compression, GzBuilder};
    use std::io::Write;

    fn text(size: usize) -> Vec<u8> {
        (0..size).map(|i| (i * i % 251) as u8).collect()
    }

    fn member(text: &[u8]) -> Vec<u8> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(text).unwrap();
        gzip.finish().unwrap()
    }

    /// What reading in steps of `max` bytes gives, from a source that gives `room` bytes at a time.
    fn steps(bytes: &[u8], max: usize, room: usize) -> (Vec<u8>, DecodeStep) {
        let mut decoder = GzipDecoder::default();
        let header = decoder.begin(bytes).unwrap();
        let mut source = io::BufReader::with_capacity(room, &bytes[header..]);
        let mut out = Vec::new();
        loop {
            let before = out.len();
            match decoder.step(&mut source, &mut out, max).unwrap() {
                DecodeStep::More => assert_eq!(out.len(), before + max),
                end => return (out, end),
            }
        }
    }

    #[test]
    fn whole_sound_members_are_decoded_and_no_others() {
        let mut decoder = GzipDecoder::default();
        for size in [0, 1, 100, ROOM - 1, ROOM, ROOM + 1, 5 * ROOM] {
            let text = text(size);
            let one = member(&text);
            let two = [&one[..], &one[..]].concat();
            let mut out = b"before".to_vec();
            assert_eq!(decoder.decode(&two, &mut out, usize::MAX), Some(one.len()));
            assert_eq!(out, [b"before", &text[..]].concat());
            out.truncate(6);
            assert_eq!(decoder.decode(&one, &mut out, size), None);
            let step = 1 + one.len() / 50;
            for cut in (0..one.len()).step_by(step) {
                assert_eq!(decoder.decode(&one[..cut], &mut out, usize::MAX), None);
            }
            for place in (one.len() - TRAILER..one.len()).chain([0, 1, 2, 3]) {
                let mut bad = one.clone();
                bad[place] ^= 1;
                assert_eq!(decoder.decode(&bad, &mut out, usize::MAX), None, "{place}");
            }
            assert_eq!(out, b"before");
            assert_eq!(decoder.decode(&one, &mut out, size + 1), Some(one.len()));
        }
    }

    #[test]
    fn steps_give_the_member_and_say_what_is_wrong() {
        let text = text(3 * ROOM);
        let whole = member(&text);
        for (max, room) in [(usize::MAX, 1 << 20), (1000, 17), (ROOM, ROOM), (ROOM + 1, 4096)] {
            assert_eq!(steps(&whole, max, room), (text.clone(), DecodeStep::End));
            let (out, end) = steps(&whole[..whole.len() - 3], max, room);
            assert_eq!((out, end), (text.clone(), DecodeStep::Truncated));
            let mut bad = whole.clone();
            *bad.last_mut().unwrap() ^= 1;
            assert!(matches!(steps(&bad, max, room).1, DecodeStep::Corrupt(_)));
            bad[HEADER] ^= 0xff;
            assert!(matches!(steps(&bad, max, room).1, DecodeStep::Corrupt(_)));
        }
    }

    #[test]
    fn headers_with_every_optional_field_are_passed() {
        for fields in 0..16 {
            let mut gzip = GzBuilder::new();
            if fields & 1 != 0 {
                gzip = gzip.extra(*b"some more");
            }
            if fields & 2 != 0 {
                gzip = gzip.filename("a.warc");
            }
            if fields & 4 != 0 {
                gzip = gzip.comment("no comment");
            }
            let mut encoder = gzip.mtime(fields).write(Vec::new(), Compression::fast());
            encoder.write_all(b"WARC/1.0").unwrap();
            let bytes = encoder.finish().unwrap();
            let mut head = [0; 5];
            assert_eq!(GzipDecoder::default().peek(&bytes, &mut head).0, b"WARC/");
            assert_eq!(steps(&bytes, 3, 2), (b"WARC/1.0".to_vec(), DecodeStep::End));
        }
        assert_eq!(
            GzipDecoder::default().begin(&[0x1f, 0x8b, 8, 0x20, 0, 0, 0, 0, 0, 0]),
            None
        );
    }

    #[test]
    fn zstd_frames_are_read_in_steps() {
        let text = text(5 * ROOM);
        let frame = zstd::bulk::compress(&text, 3).unwrap();
        let mut decoder = ZstdDecoder::new(&[]).unwrap();
        let mut head = [0; 7];
        assert_eq!(decoder.peek(&frame, &mut head).0, &text[..7]);
        for (max, cut) in [(usize::MAX, 0), (1000, 0), (1000, 3)] {
            decoder.begin().unwrap();
            let mut source = &frame[..frame.len() - cut];
            let mut out = Vec::new();
            let end = loop {
                match decoder.step(&mut source, &mut out, max).unwrap() {
                    DecodeStep::More => {}
                    end => break end,
                }
            };
            match cut {
                0 => assert_eq!((&out, end), (&text, DecodeStep::End)),
                _ => assert_eq!(end, DecodeStep::Truncated),
            }
        }
    }
}
