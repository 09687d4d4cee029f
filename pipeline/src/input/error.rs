//! Errors in the input that the user names.

use crate::remote::{Address, AddressError, FetchError};
use std::path::{Path, PathBuf};

/// The reason why an input cannot be used. Every such error is found before work starts.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// A file or folder is missing or cannot be read.
    #[error("{path}: {cause}")]
    Unreadable {
        /// The path of the file or folder.
        path: PathBuf,
        /// The operating system's reason.
        cause: std::io::Error,
    },
    /// A file has no record of a crawl in it.
    #[error("{path}: not a crawl archive (no WARC or ARC record in it, plain or in gzip or zstd)")]
    NotAnArchive {
        /// The path of the file.
        path: PathBuf,
    },
    /// A listing names files that are missing.
    #[error(
        "{listing}, line {line}: {path}: {cause} ({missing} of {count} listed files are missing; --base says in which folder or at which URL they are)"
    )]
    Listed {
        /// The path or URL of the listing.
        listing: String,
        /// The line of the first missing file, from 1.
        line: usize,
        /// The path of the first missing file.
        path: PathBuf,
        /// The operating system's reason.
        cause: std::io::Error,
        /// The number of missing files.
        missing: usize,
        /// The number of listed files (in the sample, if there is one).
        count: usize,
    },
    /// A URL or a crawl is named where only files are read.
    #[error(
        "{name}: is not on this machine; only `c4 build` fetches archives (`--keep-downloads DIR` keeps them). For a listing or a URL, --base DIR says in which folder the files are"
    )]
    Remote {
        /// The URL, or the name of the crawl.
        name: String,
    },
    /// The size of an archive is unknown where an estimate is to be made.
    #[error("{name}: the server does not say how large it is, so nothing can be estimated")]
    Sizeless {
        /// The URL of the archive.
        name: String,
    },
    /// A URL cannot be used.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// A URL has no file name.
    #[error("{address}: names no file; give the URL of an archive, or of a listing (*.paths.gz)")]
    NoFile {
        /// The URL without a file name.
        address: Address,
    },
    /// A listing cannot be downloaded.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// A listing is larger than any listing can be.
    #[error("{path}: unpacks to more than 256 MiB, so it cannot be a listing of archives")]
    TooLong {
        /// The path or URL of the listing.
        path: PathBuf,
    },
    /// The name of a file has a control character, so no manifest can have it.
    #[error("{name}: a control character is in this name; rename the file")]
    Name {
        /// The file's label: its name, and as many folders as distinguish it from others.
        name: String,
    },
    /// A folder or listing names no archive.
    #[error("{path}: no crawl archive in this folder or listing")]
    Empty {
        /// The path of the folder or listing.
        path: PathBuf,
    },
}

/// Wraps an error of the operating system at `path`.
pub(super) fn unreadable(path: &Path) -> impl FnOnce(std::io::Error) -> InputError {
    let path = path.to_owned();
    move |cause| InputError::Unreadable { path, cause }
}
