//! Options of the downloads of a build.

use super::{Address, FetchError, FetchOptions, Fetcher, Network, NetworkOptions};
use std::path::{Path, PathBuf};

/// The default number of files ahead of those that threads are reading.
const FILES_AHEAD: usize = 2;

/// The options by which a build fetches its archives.
#[derive(Debug, Clone)]
pub struct RemoteOptions {
    /// The client that makes the requests.
    pub network: Network,
    /// The largest number of files on disk at a time; `None`: two more than there are threads.
    pub read_ahead: Option<usize>,
    /// The largest number of downloads at a time.
    pub connections: usize,
    /// The folder in which downloads are kept; `None`: each is removed once it is read.
    pub keep: Option<PathBuf>,
}

impl Default for RemoteOptions {
    fn default() -> RemoteOptions {
        RemoteOptions {
            network: Network::new(NetworkOptions::default()),
            read_ahead: None,
            connections: 4,
            keep: None,
        }
    }
}

impl RemoteOptions {
    /// The largest number of files on disk at a time, for `threads` reading threads.
    pub(crate) fn ahead(&self, threads: usize) -> usize {
        self.read_ahead.unwrap_or(threads.saturating_add(FILES_AHEAD))
    }

    /// Starts to download `list` for `threads` reading threads (see [`Fetcher::start`]), into the folder `temporary`
    /// unless downloads are kept.
    ///
    /// # Errors
    /// The client cannot be started.
    pub(crate) fn fetch(
        &self,
        list: Vec<(usize, Address)>,
        temporary: &Path,
        threads: usize,
    ) -> Result<Fetcher, FetchError> {
        let options = FetchOptions {
            folder: self.keep.clone().unwrap_or_else(|| temporary.to_owned()),
            keep: self.keep.is_some(),
            read_ahead: self.ahead(threads),
            connections: self.connections,
        };
        Fetcher::start(&self.network, list, &options)
    }
}
