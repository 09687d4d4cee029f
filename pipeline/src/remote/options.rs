//! How a build fetches its archives.

use super::{Address, FetchError, FetchOptions, Fetcher, Network, NetworkOptions};
use std::path::{Path, PathBuf};

/// Files ahead of those that threads are reading.
const AHEAD: usize = 2;

/// How a build fetches its archives.
#[derive(Debug, Clone)]
pub struct RemoteOptions {
    /// The client.
    pub network: Network,
    /// Files on disk at a time; `None`: threads + 2.
    pub read_ahead: Option<usize>,
    /// Downloads at a time.
    pub connections: usize,
    /// Where downloads stay; `None`: each goes when it is read.
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
    /// Files on disk at a time, for `threads` that read.
    pub(crate) fn ahead(&self, threads: usize) -> usize {
        self.read_ahead.unwrap_or(threads.saturating_add(AHEAD))
    }

    /// Begins to fetch, for `threads` that read; see [`Fetcher::start`]. Downloads that do not stay
    /// go through the folder `passing`.
    ///
    /// # Errors
    /// The client cannot be started.
    pub(crate) fn fetch(
        &self,
        list: Vec<(usize, Address)>,
        passing: &Path,
        threads: usize,
    ) -> Result<Fetcher, FetchError> {
        let options = FetchOptions {
            folder: self.keep.clone().unwrap_or_else(|| passing.to_owned()),
            keep: self.keep.is_some(),
            read_ahead: self.ahead(threads),
            connections: self.connections,
        };
        Fetcher::start(&self.network, list, &options)
    }
}
