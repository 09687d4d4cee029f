//! Options for archives that are elsewhere.

use super::parse_size;
use crate::input::{Location, Places};
use crate::remote::crawl::{self, CrawlFiles, Sample};
use crate::remote::{Address, AddressError, Network, NetworkOptions, RemoteOptions, RetryPolicy, S3Options};
use clap::{Args, ValueEnum};
use std::path::{Path, PathBuf};

/// The heading of these options in the help.
pub(super) const REMOTE: &str = "Remote archives";

/// Part of `c4 build`'s options.
#[derive(Debug, Args)]
pub(super) struct RemoteArgs {
    /// Where the crawls are that INPUT names: an http, https or s3 URL. S3 goes by AWS_ACCESS_KEY_ID,
    /// AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL; without keys (or with AWS_SKIP_SIGNATURE=true) it is asked
    /// unsigned.
    #[arg(help_heading = REMOTE, long, default_value = crawl::STORE, value_name = "URL")]
    store: Address,
    /// Which archives of a crawl.
    #[arg(help_heading = REMOTE, long, value_enum, default_value_t = FromArg::Wet)]
    from: FromArg,
    /// Take N archives of each crawl, listing or folder, chosen by the hashes of their paths: a
    /// sample is part of every larger one [default: all].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    sample: Option<u64>,
    /// Seed of --sample: another seed chooses another sample.
    #[arg(long, default_value_t = 0, value_name = "N", requires = "sample")]
    sample_seed: u64,
    /// Archives on disk at a time, on their way or being read [default: threads + 2].
    #[arg(help_heading = REMOTE, long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    read_ahead: Option<u16>,
    /// Downloads at a time.
    #[arg(help_heading = REMOTE, long, default_value_t = 4, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..=64))]
    connections: u16,
    /// Attempts in a row that bring nothing new, until a download is given up; a server that says that requests come
    /// too fast (403, 429, 503) is given 20 minutes.
    #[arg(help_heading = REMOTE, long, default_value_t = 8, value_name = "N")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    retries: u16,
    /// Bytes a second of all downloads together (K, M, G: powers of 1024) [default: no limit].
    #[arg(help_heading = REMOTE, long, value_parser = parse_size, value_name = "SIZE")]
    rate: Option<u64>,
    /// Keep downloads in this folder, in their paths; a later build takes from there what has not
    /// changed [default: each is removed when it has been read].
    #[arg(help_heading = REMOTE, long, value_name = "DIR")]
    keep_downloads: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum FromArg {
    /// Extracted text.
    Wet,
    /// Responses as they came.
    Warc,
}

impl RemoteArgs {
    /// How to fetch. Nothing starts before there is something to fetch.
    pub(super) fn options(&self) -> RemoteOptions {
        RemoteOptions {
            network: Network::new(NetworkOptions {
                retry: RetryPolicy {
                    attempts: self.retries.into(),
                    ..RetryPolicy::default()
                },
                rate: self.rate,
                s3: S3Options::from_env(),
                ..NetworkOptions::default()
            }),
            read_ahead: self.read_ahead.map(usize::from),
            connections: self.connections.into(),
            keep: self.keep_downloads.clone(),
        }
    }

    /// The places where inputs are looked up.
    pub(super) fn places<'a>(&self, base: Option<&Path>, network: &'a Network) -> Result<Places<'a>, AddressError> {
        Ok(Places {
            any_file: false,
            base: base.map(Location::parse).transpose()?,
            store: self.store.clone(),
            crawl_files: match self.from {
                FromArg::Wet => CrawlFiles::Wet,
                FromArg::Warc => CrawlFiles::Warc,
            },
            sample: self.sample.map(|files| Sample {
                files: usize::try_from(files).unwrap_or(usize::MAX),
                seed: self.sample_seed,
            }),
            network: Some(network),
        })
    }
}
