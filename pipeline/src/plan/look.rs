//! What of the archives an estimate looks at: the beginnings of some of them.

use crate::error::Error;
use crate::input::{Input, InputError, Location};
use crate::remote::Network;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The sample is this share of the archives, within bounds, from some of them.
const SAMPLE_SHARE: u64 = 100;
const SAMPLE_BYTES: std::ops::RangeInclusive<u64> = 1 << 20..=32 << 20;
const SAMPLE_ARCHIVES: usize = 8;
/// Below this a build is over before a sample tells anything.
const SMALL: u64 = 32 << 20;
/// The same of archives whose sizes are not known.
const FEW: usize = 32;

/// Archives to look at, and how many there are.
#[derive(Debug)]
pub struct Look {
    /// Archives in all.
    pub archives: usize,
    /// Their bytes; those of remote ones are taken for as large as the mean of those that were looked at.
    pub bytes: f64,
    /// Archives that are elsewhere.
    pub remote: usize,
    /// Their bytes.
    pub remote_bytes: f64,
    share: u64,
    paths: Vec<PathBuf>,
    /// Holds the beginnings of remote ones.
    folder: Option<TempDir>,
}

/// Whether the inputs are too few to be worth a look.
pub fn is_small(inputs: &[Input]) -> bool {
    let unknown = inputs.iter().filter(|input| input.bytes.is_none()).count();
    unknown <= FEW && inputs.iter().filter_map(|input| input.bytes).sum::<u64>() < SMALL
}

impl Look {
    /// Chooses archives, and fetches the first megabytes of those that are elsewhere.
    ///
    /// # Errors
    /// One cannot be fetched, or its server does not tell its size; no folder for it.
    pub fn at(inputs: &[Input], network: &Network) -> Result<Look, Error> {
        let known: u64 = inputs.iter().filter_map(|input| input.bytes).sum();
        let remote = inputs.iter().filter(|input| input.bytes.is_none()).count();
        let wanted = match remote {
            0 => (known / SAMPLE_SHARE).clamp(*SAMPLE_BYTES.start(), *SAMPLE_BYTES.end()),
            _ => *SAMPLE_BYTES.end(),
        };
        let count = inputs.len().clamp(1, SAMPLE_ARCHIVES);
        let mut look = Look {
            archives: inputs.len(),
            bytes: 0.0,
            remote,
            remote_bytes: 0.0,
            share: wanted.div_ceil(count as u64),
            paths: Vec::new(),
            folder: None,
        };
        let mut sizes = Vec::new();
        for input in (0..count).filter_map(|i| inputs.get(i * inputs.len() / count)) {
            match &input.location {
                Location::File(path) => look.paths.push(path.clone()),
                Location::Remote(address) => {
                    let (bytes, size) = network.first(address, look.share)?;
                    let Some(size) = size else {
                        let name = address.to_string();
                        return Err(InputError::Sizeless { name }.into());
                    };
                    sizes.push(size);
                    let number = look.paths.len();
                    let path = look.folder()?.join(number.to_string());
                    fs::write(&path, bytes).map_err(c4_data::Error::io(&path, "write"))?;
                    look.paths.push(path);
                }
            }
        }
        let mean = sizes.iter().sum::<u64>() as f64 / sizes.len().max(1) as f64;
        look.remote_bytes = mean * remote as f64;
        look.bytes = known as f64 + look.remote_bytes;
        Ok(look)
    }

    fn folder(&mut self) -> Result<&Path, Error> {
        if self.folder.is_none() {
            let there = std::env::temp_dir();
            let new = tempfile::tempdir().map_err(c4_data::Error::io(&there, "make a folder in"));
            self.folder = Some(new?);
        }
        Ok(self.folder.as_ref().map_or(Path::new(""), TempDir::path))
    }

    /// The files to look at.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// How many bytes of each.
    pub fn share(&self) -> u64 {
        self.share
    }
}
