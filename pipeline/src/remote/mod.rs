//! Archives that are elsewhere: on `https://`, `http://` and `s3://`.
//!
//! A remote archive is downloaded to a file and then read as any other, while the next ones are on
//! their way ([`Fetcher`]). So reading needs to know nothing of networks, and a download may stall,
//! break or be cut without any of that showing in a corpus.
//!
//! Why our own retries around plain requests, and of `object_store` only the credentials and the
//! signature: its errors do not tell `Retry-After`, it takes 403 (how Common Crawl says "too fast")
//! for final, and it fails where a server ignores a range or an object has changed.
//!
//! - [`Address`]: where something is.
//! - [`Network`]: client, threads, pace and patience; started by the first request.
//! - [`Fetcher`]: downloads a list ahead of whoever reads it.
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
