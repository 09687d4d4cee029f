//! The sample of the archives that an estimate is made from: the beginnings of some of them.

use crate::error::Error;
use crate::input::{Input, InputError, Location};
use crate::remote::Network;
use crate::runtime::stop;
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The sample is one part in so many of the archives' bytes, within bounds, from at most so many archives.
const SAMPLE_SHARE: u64 = 100;
const SAMPLE_BYTES: std::ops::RangeInclusive<u64> = 1 << 20..=32 << 20;
const SAMPLE_ARCHIVES: usize = 8;
/// The seconds of downloading that a sample of remote archives may take, where a rate is set.
const SAMPLE_SECONDS: u64 = 20;
/// The bytes of archives below which no sample is taken: the build is over before it would help.
const SMALL: u64 = 32 << 20;
/// The number of archives of unknown size up to which no sample is taken.
const FEW: usize = 32;

/// A sample of archives.
#[derive(Debug)]
pub(crate) struct ArchiveSample {
    /// The number of all archives.
    pub archives: usize,
    /// The bytes of all archives; remote ones are taken for as large as the mean of those in the sample.
    pub bytes: f64,
    /// The number of remote archives.
    pub remote: usize,
    /// The bytes of the remote archives.
    pub remote_bytes: f64,
    /// Files, and the number of bytes to read of each.
    parts: Vec<(PathBuf, u64)>,
    /// The folder of the beginnings of remote archives.
    folder: Option<TempDir>,
}

/// Whether the inputs are too small to be worth a sample.
pub(crate) fn is_small(inputs: &[Input]) -> bool {
    let unknown = inputs.iter().filter(|input| input.bytes.is_none()).count();
    unknown <= FEW && inputs.iter().filter_map(|input| input.bytes).sum::<u64>() < SMALL
}

impl ArchiveSample {
    /// Chooses archives, and fetches the first megabytes of remote ones.
    ///
    /// # Errors
    /// An archive cannot be fetched, its server does not say its size, or no temporary folder can be made.
    pub(crate) fn at(inputs: &[Input], network: &Network) -> Result<ArchiveSample, Error> {
        let known: u64 = inputs.iter().filter_map(|input| input.bytes).sum();
        let remote = inputs.iter().filter(|input| input.bytes.is_none()).count();
        let wanted = match remote {
            0 => (known / SAMPLE_SHARE).clamp(*SAMPLE_BYTES.start(), *SAMPLE_BYTES.end()),
            _ => {
                let rate = network.rate().map(|rate| rate.saturating_mul(SAMPLE_SECONDS));
                rate.unwrap_or(u64::MAX).min(*SAMPLE_BYTES.end())
            }
        };
        let count = inputs.len().clamp(1, SAMPLE_ARCHIVES);
        let share = wanted.div_ceil(count as u64);
        let mut sample = ArchiveSample {
            archives: inputs.len(),
            bytes: 0.0,
            remote,
            remote_bytes: 0.0,
            parts: Vec::new(),
            folder: None,
        };
        let mut sizes = Vec::new();
        for (input, times) in chosen(inputs, count) {
            let part = share * times;
            if stop::asked() {
                return Err(Error::Stopped);
            }
            match &input.location {
                Location::File(path) => sample.parts.push((path.clone(), part)),
                Location::Remote(address) => {
                    let (bytes, size) = network.first(address, part)?;
                    let Some(size) = size else {
                        let name = address.to_string();
                        return Err(InputError::Sizeless { name }.into());
                    };
                    sizes.push(size);
                    let number = sample.parts.len();
                    let path = sample.folder()?.join(number.to_string());
                    fs::write(&path, bytes).map_err(c4_data::Error::io(&path, "write"))?;
                    sample.parts.push((path, part));
                }
            }
        }
        let mean = sizes.iter().map(|size| *size as f64).sum::<f64>() / sizes.len().max(1) as f64;
        sample.remote_bytes = mean * remote as f64;
        sample.bytes = known as f64 + sample.remote_bytes;
        Ok(sample)
    }

    fn folder(&mut self) -> Result<&Path, Error> {
        if self.folder.is_none() {
            let there = std::env::temp_dir();
            let new = tempfile::tempdir().map_err(c4_data::Error::io(&there, "make a folder in"));
            self.folder = Some(new?);
        }
        Ok(self.folder.as_ref().map_or(Path::new(""), TempDir::path))
    }

    /// The files of the sample, and the number of bytes to read of each.
    pub(crate) fn parts(&self) -> &[(PathBuf, u64)] {
        &self.parts
    }
}

/// `count` places, evenly spread over the bytes of all archives, as the archives that they are in; each with how often.
/// One of unknown size counts as the mean of the others.
fn chosen(inputs: &[Input], count: usize) -> Vec<(&Input, u64)> {
    let known: Vec<u64> = inputs.iter().filter_map(|input| input.bytes).collect();
    let mean = (known.iter().sum::<u64>() / known.len().max(1) as u64).max(1);
    let size = |input: &Input| input.bytes.unwrap_or(mean).max(1);
    let all: u64 = inputs.iter().map(size).sum();
    let mut chosen: Vec<(&Input, u64)> = Vec::new();
    let mut end = 0;
    let mut place = 0;
    for input in inputs {
        end += size(input);
        // The middle of each of `count` equal parts.
        while place < count && all * (2 * place as u64 + 1) / (2 * count as u64) < end {
            place += 1;
            match chosen.last_mut() {
                Some((last, times)) if std::ptr::eq(*last, input) => *times += 1,
                _ => chosen.push((input, 1)),
            }
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_spread_over_bytes() {
        let input = |bytes| Input {
            location: Location::File(PathBuf::new()),
            label: "x".into(),
            bytes,
        };
        let times = |sizes: &[Option<u64>], count| {
            let inputs: Vec<Input> = sizes.iter().map(|bytes| input(*bytes)).collect();
            let chosen = chosen(&inputs, count);
            let sizes = chosen.iter().map(|(input, times)| (input.bytes, *times));
            sizes.collect::<Vec<_>>()
        };
        let (small, large) = (Some(10), Some(1000));
        assert_eq!(times(&[small, large, small], 4), [(large, 4)]);
        assert_eq!(times(&[large, large], 4), [(large, 2), (large, 2)]);
        assert_eq!(times(&[None, None, None], 3), [(None, 1), (None, 1), (None, 1)]);
        assert_eq!(times(&[small], 1), [(small, 1)]);
        assert_eq!(times(&[], 1), []);
    }
}
