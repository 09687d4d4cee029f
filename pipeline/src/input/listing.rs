//! Listings: a path or URL on each line; empty lines and lines that begin with `#` are ignored.

use super::error::unreadable;
use super::{InputError, InputSet, Location, Places};
use crate::remote::is_url;
use flate2::read::MultiGzDecoder;
use std::collections::BTreeSet;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

/// The location of an entry: a URL's host is replaced by `base`; a path is below `base`, or else below `beside`.
pub(super) fn locate(entry: &str, base: Option<&Location>, beside: Option<&Location>) -> Result<Location, InputError> {
    if is_url(entry) {
        let (_, rest) = entry.split_once("://").unwrap_or_default();
        let below = rest.split_once('/').map_or("", |(_, path)| path);
        return match base {
            Some(base) => Ok(base.join(below)),
            None => Ok(Location::Remote(entry.parse()?)),
        };
    }
    let folder = base.or(beside);
    Ok(folder.map_or_else(|| Location::File(entry.into()), |folder| folder.join(entry)))
}

/// Adds the files that a listing names, or a sample of them.
pub(super) fn read(listing: &Location, places: &Places<'_>, named: &mut InputSet) -> Result<(), InputError> {
    let (bytes, beside) = fetch(listing, places)?;
    let text = text(listing, bytes)?;
    let mut seen = BTreeSet::new();
    let entries = (1..).zip(text.lines().map(str::trim));
    let mut entries: Vec<(usize, &str)> = entries
        .filter(|(_, entry)| !entry.is_empty() && !entry.starts_with('#') && seen.insert(*entry))
        .collect();
    if entries.is_empty() {
        return Err(InputError::Empty {
            path: listing.to_string().into(),
        });
    }
    if let Some(sample) = &places.sample {
        entries = sample.take(entries, |(_, entry)| entry);
        entries.sort_unstable();
    }
    let mut first = None;
    let mut missing = 0;
    let count = entries.len();
    for (line, entry) in entries {
        match locate(entry, places.base.as_ref(), Some(&beside))? {
            Location::Remote(address) => named.add_remote(&address, places)?,
            Location::File(path) => match fs::canonicalize(&path) {
                Ok(_) => named.add(&path)?,
                Err(cause) => {
                    missing += 1;
                    first.get_or_insert((line, path, cause));
                }
            },
        }
    }
    match first {
        None => Ok(()),
        Some((line, path, cause)) => Err(InputError::Listed {
            listing: listing.to_string(),
            line,
            path,
            cause,
            missing,
            count,
        }),
    }
}

/// The bytes of a listing, and the location that its paths are relative to.
fn fetch(listing: &Location, places: &Places<'_>) -> Result<(Vec<u8>, Location), InputError> {
    match listing {
        Location::File(path) => {
            let beside = path.parent().unwrap_or(Path::new(""));
            let bytes = fs::read(path).map_err(unreadable(path))?;
            Ok((bytes, Location::File(beside.to_owned())))
        }
        Location::Remote(address) => {
            let Some(network) = places.network else {
                return Err(InputError::Remote {
                    name: address.to_string(),
                });
            };
            let beside = match address.is_below(&places.store) {
                true => places.store.clone(),
                false => address.root(),
            };
            Ok((network.get(address)?, Location::Remote(beside)))
        }
    }
}

/// The most bytes of a listing. Common Crawl's have some 15 MB.
const MAX_LISTING_BYTES: u64 = 256 << 20;

/// The text of a listing: decompressed if it is in gzip, whatever its name says, and without a byte order mark.
fn text(listing: &Location, bytes: Vec<u8>) -> Result<String, InputError> {
    let path = PathBuf::from(listing.to_string());
    let mut text = String::new();
    let read = if bytes.starts_with(&[0x1f, 0x8b]) {
        let unpacked = MultiGzDecoder::new(&bytes[..]);
        unpacked.take(MAX_LISTING_BYTES + 1).read_to_string(&mut text)
    } else {
        (&bytes[..]).read_to_string(&mut text)
    };
    read.map_err(unreadable(&path))?;
    if text.len() as u64 > MAX_LISTING_BYTES {
        return Err(InputError::TooLong { path });
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    if text.trim_start().starts_with('<') {
        let cause = "is an HTML or XML page and not a listing; a server may have sent it instead of one";
        return Err(unreadable(&path)(std::io::Error::other(cause)));
    }
    Ok(text.to_owned())
}
