//! Whether records are what their digests say: `WARC-Block-Digest` and `WARC-Payload-Digest` (WARC 1.1, sections 5.8
//! and 5.9), in SHA-1, SHA-256 or MD5, in base32 or hexadecimal.

use crate::extract::http;
use crate::read::record::Record;
use data_encoding::{BASE32_NOPAD, HEXLOWER_PERMISSIVE};
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;

/// The result of comparing a record with its digests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Checked {
    /// The record has no digest of a known algorithm.
    None,
    /// All digests are right.
    Right,
    /// A digest is wrong; in words.
    Wrong(String),
}

/// Compares a record with its digests. A payload digest may be that of the block behind its HTTP head (the first one,
/// or that of the final response), as it is there or without its chunks, or of the whole block: writers differ. A
/// revisit has another record's payload digest, and joined segments have the first one's block digest, so these are not
/// checked. Cost: the hashes, some 1 to 2 ns a byte each.
pub(crate) fn check(record: &Record) -> Checked {
    let said = |name| record.header(name).and_then(|value| parse(&value));
    let block = record.block();
    let mut checked = Checked::None;
    if let Some(digest) = said("WARC-Block-Digest").filter(|_| !record.is_joined) {
        if !digest.is_of(block) {
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
    let behind_first = memchr::memmem::find(block, b"\r\n\r\n").map(|at| &block[at + 4..]);
    let behind_last = http::parse_head(block).ok().map(|head| head.body);
    let payloads = [behind_first, behind_last, Some(block)];
    let right = payloads.into_iter().flatten().any(|payload| {
        let unchunked = || http::dechunk(payload).is_some_and(|(body, _)| digest.is_of(&body));
        digest.is_of(payload) || unchunked()
    });
    match right {
        true => Checked::Right,
        false => Checked::Wrong("its payload is not that of its WARC-Payload-Digest".to_owned()),
    }
}

/// A digest by a header of a record.
enum HeaderDigest {
    Sha1(Vec<u8>),
    Sha256(Vec<u8>),
    Md5(Vec<u8>),
}

impl HeaderDigest {
    fn is_of(&self, bytes: &[u8]) -> bool {
        match self {
            HeaderDigest::Sha1(said) => Sha1::digest(bytes)[..] == **said,
            HeaderDigest::Sha256(said) => Sha256::digest(bytes)[..] == **said,
            HeaderDigest::Md5(said) => Md5::digest(bytes)[..] == **said,
        }
    }
}

/// Parses a digest such as `sha1:3I42H3S6NNFQ2MSVX7XZKYAYSCX5QBYJ`; `None` if the algorithm is not known or the value
/// has another length than the algorithm's.
fn parse(value: &str) -> Option<HeaderDigest> {
    let (algorithm, value) = value.split_once(':')?;
    let value = value.trim().trim_end_matches('=');
    let (length, make): (usize, fn(Vec<u8>) -> HeaderDigest) =
        match &*algorithm.trim().to_ascii_lowercase().replace('-', "") {
            "sha1" => (20, HeaderDigest::Sha1),
            "sha256" => (32, HeaderDigest::Sha256),
            "md5" => (16, HeaderDigest::Md5),
            _ => return None,
        };
    let bytes = match value.len() == 2 * length {
        true => HEXLOWER_PERMISSIVE.decode(value.as_bytes()),
        false => BASE32_NOPAD.decode(value.to_ascii_uppercase().as_bytes()),
    };
    bytes.ok().filter(|bytes| bytes.len() == length).map(make)
}
