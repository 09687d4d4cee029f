//! A whole gzip member from memory: the usual case, without a decoder made anew for each of the small
//! members of a crawl archive.

use flate2::{Crc, Decompress, FlushDecompress, Status};

/// Header without any optional field (RFC 1952, section 2.3), as crawl archives have it.
const HEADER: usize = 10;
/// CRC-32 and length.
const TRAILER: usize = 8;
/// Room for what comes out of a small member.
const ROOM: usize = 64 << 10;

/// Decodes members that are all there and sound. What it does not decode may be either unsound or
/// unusual, and is left to the decoder that says which.
#[derive(Debug, Default)]
pub struct MemberDecoder {
    inflate: Option<Box<Decompress>>,
}

impl MemberDecoder {
    /// Appends what the member at the start of `bytes` holds to `out` and gives the member's length.
    /// `None`, and `out` as it was, if the member is not whole, is damaged, holds `max` bytes or more,
    /// or has more than a plain header.
    pub fn decode(&mut self, bytes: &[u8], out: &mut Vec<u8>, max: usize) -> Option<usize> {
        let start = out.len();
        let length = self.inflate(bytes, out, max).filter(|length| {
            let mut crc = Crc::new();
            crc.update(&out[start..]);
            let trailer = bytes[*length..].first_chunk::<TRAILER>();
            trailer.is_some_and(|[a, b, c, d, e, f, g, h]| {
                let sum = u32::from_le_bytes([*a, *b, *c, *d]);
                let size = u32::from_le_bytes([*e, *f, *g, *h]);
                (sum, size) == (crc.sum(), crc.amount())
            })
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
        let inflate = self
            .inflate
            .get_or_insert_with(|| Box::new(Decompress::new(false)));
        inflate.reset(false);
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
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write;

    fn member(text: &[u8]) -> Vec<u8> {
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(text).unwrap();
        gzip.finish().unwrap()
    }

    #[test]
    fn whole_sound_members_are_decoded_and_no_others() {
        let mut decoder = MemberDecoder::default();
        for size in [0, 1, 100, ROOM - 1, ROOM, ROOM + 1, 5 * ROOM] {
            let text: Vec<u8> = (0..size).map(|i| (i * i % 251) as u8).collect();
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
}
