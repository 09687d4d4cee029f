//! Remote archives: on `https://`, `http://` and `s3://`.
//!
//! A remote archive is downloaded to a file and then read as any other, while the next ones are being downloaded
//! ([`Fetcher`]). So reading needs to know nothing of networks, and a download may stall, break or be cut without any
//! effect on a corpus. `DECISIONS.md` says why requests are made by `reqwest` and retried by code of our own.
//!
//! - [`Address`]: the address of a file or folder.
//! - [`Network`]: the client, its threads, pace and retry policy; started by the first request.
//! - [`Fetcher`]: downloads a list ahead of the threads that read it.
//! - [`crawl`]: names of crawls, and samples of listings.

mod address;
mod backoff;
mod clock;
pub mod crawl;
mod encoding;
mod error;
mod fetcher;
pub(crate) mod folder;
mod network;
mod options;
mod pace;
mod redirect;
mod refusal;
mod s3;
mod transfer;
mod version;

pub(crate) use address::is_url;
pub use address::{Address, AddressError};
pub use backoff::RetryPolicy;
pub use clock::Clock;
pub use error::{FetchError, FetchFailure};
pub use fetcher::{FetchOptions, FetchedFile, Fetcher};
pub use network::{Network, NetworkOptions, Transfer};
pub use options::RemoteOptions;
pub use s3::S3Options;
