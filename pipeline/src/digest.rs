//! Whether records are what their digests say: `WARC-Block-Digest` and `WARC-Payload-Digest` (WARC 1.1, sections 5.8
//! and 5.9), in SHA-1, SHA-256 or MD5, in base32 or hexadecimal.

use crate::http;
use crate::warc::Record;
use data_encoding::{BASE32_NOPAD, HEXLOWER_PERMISSIVE};
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;

/// What a record's digests say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checked {
    /// It has no digest, or none of an algorithm that is known.
    None,
    /// All of its digests are right.
    Right,
    /// One is not: what is wrong, for people.
    Wrong(String),
}

/// Checks the digests of a record. A payload digest is that of the block behind the HTTP head, as it is there or (as
/// some writers have it) without its chunks; of a revisit it is another record's, so it is not checked. Cost: the
/// hashes, some 1 to 2 ns a byte each.
pub fn check(record: &Record) -> Checked {
    let said = |name| record.header(name).and_then(|value| parse(&value));
    let mut checked = Checked::None;
    if let Some(digest) = said("WARC-Block-Digest") {
        if !digest.is_of(record.block()) {
            return Checked::Wrong("its block is not that of its WARC-Block-Digest".to_owned());
        }
        checked = Checked::Right;
    }
    if record.record_type() == "revisit" {
        return checked;
    }
    let Some(digest) = said("WARC-Payload-Digest") else {
        return checked;
    };
    let payload = http::parse_head(record.block()).map_or(record.block(), |head| head.body);
    let unchunked = || http::dechunk(payload).is_some_and(|(body, _)| digest.is_of(&body));
    match digest.is_of(payload) || unchunked() {
        true => Checked::Right,
        false => Checked::Wrong("its payload is not that of its WARC-Payload-Digest".to_owned()),
    }
}

/// A digest as a header has it.
enum Said {
    Sha1(Vec<u8>),
    Sha256(Vec<u8>),
    Md5(Vec<u8>),
}

impl Said {
    fn is_of(&self, bytes: &[u8]) -> bool {
        match self {
            Said::Sha1(said) => Sha1::digest(bytes)[..] == **said,
            Said::Sha256(said) => Sha256::digest(bytes)[..] == **said,
            Said::Md5(said) => Md5::digest(bytes)[..] == **said,
        }
    }
}

/// `sha1:3I42H3S6NNFQ2MSVX7XZKYAYSCX5QBYJ`; `None` if the algorithm is not known or the value is none of its length.
fn parse(value: &str) -> Option<Said> {
    let (algorithm, value) = value.split_once(':')?;
    let value = value.trim().trim_end_matches('=');
    let (length, make): (usize, fn(Vec<u8>) -> Said) =
        match &*algorithm.trim().to_ascii_lowercase().replace('-', "") {
            "sha1" => (20, Said::Sha1),
            "sha256" => (32, Said::Sha256),
            "md5" => (16, Said::Md5),
            _ => return None,
        };
    let bytes = match value.len() == 2 * length {
        true => HEXLOWER_PERMISSIVE.decode(value.as_bytes()),
        false => BASE32_NOPAD.decode(value.to_ascii_uppercase().as_bytes()),
    };
    bytes.ok().filter(|bytes| bytes.len() == length).map(make)
}
