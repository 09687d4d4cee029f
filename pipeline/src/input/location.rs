//! Locations: on this machine or on a server.

use crate::remote::{Address, AddressError, is_url};
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

/// The location of an archive, a listing or a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// A path on this machine.
    File(PathBuf),
    /// An address on a server.
    Remote(Address),
}

impl Location {
    /// Parses a path or URL as the user writes it.
    ///
    /// # Errors
    /// The argument is a URL that cannot be read.
    pub(crate) fn parse(argument: &Path) -> Result<Location, AddressError> {
        match argument.to_str().filter(|text| is_url(text)) {
            Some(url) => Ok(Location::Remote(url.parse()?)),
            None => Ok(Location::File(argument.to_owned())),
        }
    }

    pub(super) fn join(&self, path: &str) -> Location {
        match self {
            Location::File(folder) => Location::File(folder.join(path)),
            Location::Remote(folder) => Location::Remote(folder.join(path)),
        }
    }

    pub(super) fn name(&self) -> OsString {
        match self {
            Location::File(path) => path.file_name().unwrap_or_default().to_owned(),
            Location::Remote(address) => address.name().into(),
        }
    }

    /// The last `count` parts of the path; a host counts as a part.
    pub(super) fn tail(&self, count: usize) -> String {
        let all: Vec<String> = match self {
            Location::File(path) => path
                .components()
                .map(|part| part.as_os_str().to_string_lossy().into_owned())
                .collect(),
            Location::Remote(address) => std::iter::once(address.host())
                .chain(address.path().split('/').map(str::to_owned))
                .collect(),
        };
        all[all.len().saturating_sub(count)..].join("/")
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Location::File(path) => path.display().fmt(f),
            Location::Remote(address) => address.fmt(f),
        }
    }
}
