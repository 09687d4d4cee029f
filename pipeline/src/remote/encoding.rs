//! Unrequested compression: `Content-Encoding: gzip` around an archive that is gzip by itself.
//!
//! The header alone proves nothing: many servers send it with every `.gz` file and mean the file's own compression. So
//! the outer gzip is removed only where gzip is found in gzip, which no archive is.

use flate2::read::MultiGzDecoder;
use std::io::{self, Read, Write};

/// The bytes that begin a gzip member (RFC 1952, 2.3.1).
const GZIP: [u8; 3] = [0x1f, 0x8b, 8];
/// The most by which the outer gzip may have shrunk a file. Compressed data hardly shrinks again; more is a bomb.
const MAX_EXPANSION: u64 = 4;
/// The size in bytes up to which a file may expand by any factor: in a small one headers count.
const SMALL_BYTES: u64 = 1 << 20;

/// Whether a value of `Content-Encoding` names gzip.
pub(super) fn is_gzip(encoding: &str) -> bool {
    let names = ["gzip", "x-gzip"];
    names.iter().any(|name| encoding.eq_ignore_ascii_case(name))
}

/// Whether `packed` is gzip in gzip.
pub(super) fn is_twice(packed: impl Read) -> io::Result<bool> {
    let mut packed = packed;
    let mut head = [0; GZIP.len()];
    match packed.read_exact(&mut head) {
        Ok(()) if head == GZIP => {}
        Err(e) if e.kind() != io::ErrorKind::UnexpectedEof => return Err(e),
        _ => return Ok(false),
    }
    let mut inner = [0; GZIP.len()];
    // An error says that the data is not gzip after all.
    let read = MultiGzDecoder::new(head.chain(packed)).read_exact(&mut inner);
    Ok(read.is_ok() && inner == GZIP)
}

/// Removes the outer gzip of a file of `len` bytes, and gives the number of bytes written to `to`.
pub(super) fn unpack(packed: impl Read, len: u64, to: &mut impl Write) -> io::Result<u64> {
    let most = len.saturating_mul(MAX_EXPANSION).max(SMALL_BYTES);
    let mut unpacked = MultiGzDecoder::new(packed).take(most + 1);
    let bytes = io::copy(&mut unpacked, to)?;
    if bytes > most {
        return Err(io::Error::other(
            "the server sent it with Content-Encoding: gzip, and it unpacks to far more than an archive can",
        ));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(bytes).unwrap();
        packed.finish().unwrap()
    }

    #[test]
    fn only_gzip_in_gzip_is_unpacked() {
        let once = gzip(b"WARC/1.0");
        for no in [&once[..], b"WARC/1.0", b"", b"\x1f", b"\x1f\x8b\x08", &once[..12]] {
            assert!(!is_twice(no).unwrap(), "{no:?}");
        }
        let twice = gzip(&once);
        assert!(is_twice(&twice[..]).unwrap());
        let mut out = Vec::new();
        let len = unpack(&twice[..], twice.len() as u64, &mut out).unwrap();
        assert_eq!((out.len() as u64, out), (len, once));
    }

    #[test]
    fn a_bomb_is_not_unpacked() {
        let bomb = gzip(&[GZIP.to_vec(), vec![0; 8 << 20]].concat());
        assert!(is_twice(&bomb[..]).unwrap());
        let mut out = Vec::new();
        unpack(&bomb[..], bomb.len() as u64, &mut out).unwrap_err();
        assert!(out.len() as u64 <= SMALL_BYTES + 1);
    }
}
