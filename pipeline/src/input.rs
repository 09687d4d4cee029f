//! What the user names as input, as a list of archives in a fixed order.

use crate::archive;
use crate::source::Source;
use c4_data::ReadStep;
use flate2::read::MultiGzDecoder;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// An archive to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Where it is.
    pub path: PathBuf,
    /// Its name in the corpus: the file name, and as much of the folder as tells it from others.
    pub label: Arc<str>,
    /// Its size.
    pub bytes: u64,
}

/// Why an input cannot be used. All are found before work starts.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// A named file or folder is missing or cannot be read.
    #[error("{path}: {cause}")]
    Unreadable {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's reason.
        cause: std::io::Error,
    },
    /// A file that holds no WARC record.
    #[error("{path}: not a crawl archive (no WARC record in it, plain or in gzip or zstd)")]
    NotAnArchive {
        /// The file.
        path: PathBuf,
    },
    /// A listing names files that are missing.
    #[error(
        "{listing}, line {line}: {path}: {cause} ({missing} of {count} listed files are missing; --base DIR says where they are)"
    )]
    Listed {
        /// The listing.
        listing: PathBuf,
        /// Line of the first missing file, from 1.
        line: usize,
        /// The first missing file.
        path: PathBuf,
        /// The operating system's reason.
        cause: std::io::Error,
        /// How many are missing.
        missing: usize,
        /// How many are listed.
        count: usize,
    },
    /// A URL without a folder that stands for its host.
    #[error(
        "{url}: archives are read from disk; download it, and name the folder it is in with --base DIR"
    )]
    Remote {
        /// The URL.
        url: String,
    },
    /// Nothing to read.
    #[error("{path}: no crawl archive in this folder or listing")]
    Empty {
        /// The folder or listing.
        path: PathBuf,
    },
}

/// Resolves arguments: files as they are, folders to the archives in them (at any depth),
/// listings (`*.paths`, `*.paths.gz`) to what they list, below `base` (default: the listing's
/// folder). The result is in the order of names, then of folders, whatever the order of the
/// arguments; a file named twice is read once.
///
/// # Errors
/// See [`InputError`].
pub fn resolve(
    arguments: &[PathBuf],
    base: Option<&Path>,
    step: &ReadStep,
) -> Result<Vec<Input>, InputError> {
    let mut paths = Named::new();
    for argument in arguments {
        let path = argument.as_path();
        if let Some(url) = argument.to_str().filter(|text| is_url(text)) {
            add(&below_base(url, base)?, &mut paths)?;
            continue;
        }
        let metadata = fs::metadata(path).map_err(unreadable(path))?;
        if metadata.is_dir() {
            let before = paths.len();
            walk(path, &mut paths)?;
            if paths.len() == before {
                return Err(InputError::Empty {
                    path: path.to_owned(),
                });
            }
        } else if is_listing(path) {
            read_listing(path, base, &mut paths)?;
        } else {
            check(path, step)?;
            add(path, &mut paths)?;
        }
    }
    let mut inputs = label(paths)?;
    inputs.sort_by(|a, b| {
        name(&a.path)
            .cmp(name(&b.path))
            .then_with(|| a.label.cmp(&b.label))
    });
    Ok(inputs)
}

fn unreadable(path: &Path) -> impl FnOnce(std::io::Error) -> InputError {
    let path = path.to_owned();
    move |cause| InputError::Unreadable { path, cause }
}

/// Where a file is, and how it is named: a link has the name of the link.
type Named = BTreeMap<PathBuf, PathBuf>;

/// Adds a file; one that is named twice is read once, under the smaller name.
fn add(path: &Path, paths: &mut Named) -> Result<(), InputError> {
    let real = fs::canonicalize(path).map_err(unreadable(path))?;
    let named = std::path::absolute(path).map_err(unreadable(path))?;
    if let Some(before) = paths.get(&real) {
        if *before != named {
            tracing::warn!(
                "{}: is the file {}, read once",
                named.display(),
                before.display()
            );
        }
        if *before <= named {
            return Ok(());
        }
    }
    paths.insert(real, named);
    Ok(())
}

fn is_url(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| {
        !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphanumeric())
    })
}

fn is_listing(path: &Path) -> bool {
    let name = path.to_string_lossy();
    name.ends_with(".paths") || name.ends_with(".paths.gz")
}

/// A listed path or URL as a path: a URL's host is replaced by `base`.
fn below_base(entry: &str, base: Option<&Path>) -> Result<PathBuf, InputError> {
    let Some((_, rest)) = entry.split_once("://").filter(|_| is_url(entry)) else {
        let base = base.unwrap_or(Path::new(""));
        return Ok(base.join(entry));
    };
    let below = rest.split_once('/').map_or("", |(_, path)| path);
    match base {
        Some(base) => Ok(base.join(below)),
        None => Err(InputError::Remote {
            url: entry.to_owned(),
        }),
    }
}

fn check(path: &Path, step: &ReadStep) -> Result<(), InputError> {
    match Source::open(path, step).map_err(unreadable(path))? {
        Some(_) => Ok(()),
        None => Err(InputError::NotAnArchive {
            path: path.to_owned(),
        }),
    }
}

fn walk(folder: &Path, paths: &mut Named) -> Result<(), InputError> {
    for entry in fs::read_dir(folder).map_err(unreadable(folder))? {
        let path = entry.map_err(unreadable(folder))?.path();
        let metadata = match fs::metadata(&path) {
            Ok(metadata) => metadata,
            Err(e) => {
                tracing::warn!("{}: left out: {e}", path.display());
                continue;
            }
        };
        if metadata.is_dir() {
            walk(&path, paths)?;
        } else if !metadata.is_file() || is_listing(&path) {
            continue;
        } else if archive::holds_records(&path).map_err(unreadable(&path))? {
            add(&path, paths)?;
        } else if [".warc", ".wet"]
            .iter()
            .any(|part| name(&path).to_string_lossy().contains(part))
        {
            tracing::warn!("{}: left out: no WARC record in it", path.display());
        }
    }
    Ok(())
}

fn read_listing(listing: &Path, base: Option<&Path>, paths: &mut Named) -> Result<(), InputError> {
    let mut text = String::new();
    let file = File::open(listing).map_err(unreadable(listing))?;
    let read = if listing.to_string_lossy().ends_with(".gz") {
        MultiGzDecoder::new(file).read_to_string(&mut text)
    } else {
        (&file).read_to_string(&mut text)
    };
    read.map_err(unreadable(listing))?;
    let beside = listing.parent().unwrap_or(Path::new(""));
    let mut first = None;
    let (mut count, mut missing) = (0, 0);
    for (i, entry) in text.lines().enumerate().map(|(i, line)| (i, line.trim())) {
        if entry.is_empty() || entry.starts_with('#') {
            continue;
        }
        count += 1;
        let path = if is_url(entry) {
            below_base(entry, base)?
        } else {
            below_base(entry, Some(base.unwrap_or(beside)))?
        };
        match fs::canonicalize(&path) {
            Ok(_) => add(&path, paths)?,
            Err(cause) => {
                missing += 1;
                first.get_or_insert((i + 1, path, cause));
            }
        }
    }
    if let Some((line, path, cause)) = first {
        let listing = listing.to_owned();
        return Err(InputError::Listed {
            listing,
            line,
            path,
            cause,
            missing,
            count,
        });
    }
    if count == 0 {
        return Err(InputError::Empty {
            path: listing.to_owned(),
        });
    }
    Ok(())
}

fn name(path: &Path) -> &std::ffi::OsStr {
    path.file_name().unwrap_or_default()
}

/// Labels: the file name where it is the only one, else with as many folders as all of that name
/// need to differ.
fn label(paths: Named) -> Result<Vec<Input>, InputError> {
    let mut by_name: BTreeMap<_, Vec<PathBuf>> = BTreeMap::new();
    for path in paths.into_values() {
        by_name
            .entry(name(&path).to_owned())
            .or_default()
            .push(path);
    }
    let tail = |path: &Path, parts: usize| -> String {
        let all: Vec<_> = path
            .components()
            .map(|c| c.as_os_str().to_string_lossy())
            .collect();
        all[all.len().saturating_sub(parts)..].join("/")
    };
    let mut inputs = Vec::new();
    for group in by_name.into_values() {
        let depth = |parts: &usize| {
            let labels: BTreeSet<String> = group.iter().map(|path| tail(path, *parts)).collect();
            labels.len() == group.len()
        };
        let parts = (1..=64).find(depth).unwrap_or(64);
        for path in group {
            let bytes = fs::metadata(&path).map_err(unreadable(&path))?.len();
            let label = Arc::from(tail(&path, parts));
            inputs.push(Input { path, label, bytes });
        }
    }
    Ok(inputs)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: ReadStep = ReadStep {
        wet_reading: c4_data::WetReading::Lines,
        max_record_bytes: 1 << 20,
    };
    const RECORD: &str = "WARC/1.0\r\nWARC-Type: warcinfo\r\nContent-Length: 0\r\n\r\n\r\n\r\n";

    fn labels(arguments: &[&Path], base: Option<&Path>) -> Result<Vec<String>, InputError> {
        let arguments: Vec<PathBuf> = arguments.iter().map(|a| a.to_path_buf()).collect();
        let inputs = resolve(&arguments, base, &STEP)?;
        Ok(inputs.iter().map(|input| input.label.to_string()).collect())
    }

    #[test]
    fn order_and_labels_depend_on_names_alone() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        for file in ["x/b.warc", "y/b.warc", "y/a.warc"] {
            fs::create_dir_all(root.join(file).parent().unwrap()).unwrap();
            fs::write(root.join(file), RECORD).unwrap();
        }
        fs::write(root.join("y/notes.txt"), "no archive").unwrap();
        let expected = ["a.warc", "x/b.warc", "y/b.warc"];
        assert_eq!(labels(&[root], None).unwrap(), expected);
        let (x, y) = (root.join("x"), root.join("y"));
        let again = [y.as_path(), &x, &x.join("b.warc")];
        assert_eq!(labels(&again, None).unwrap(), expected);
    }

    #[test]
    fn listings_resolve_against_base() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::create_dir(root.join("crawl")).unwrap();
        fs::write(root.join("crawl/a.warc"), RECORD).unwrap();
        let listing = root.join("wet.paths");
        fs::write(&listing, "crawl/a.warc\n").unwrap();
        assert_eq!(labels(&[&listing], None).unwrap(), ["a.warc"]);
        fs::write(&listing, "https://data.example/crawl/a.warc\n").unwrap();
        assert_eq!(labels(&[&listing], Some(root)).unwrap(), ["a.warc"]);
        assert!(matches!(
            labels(&[&listing], None),
            Err(InputError::Remote { .. })
        ));
        fs::write(&listing, "crawl/a.warc\ncrawl/b.warc\n").unwrap();
        let error = labels(&[&listing], None).unwrap_err().to_string();
        assert!(
            error.contains("line 2") && error.contains("1 of 2"),
            "{error}"
        );
    }

    #[test]
    fn what_is_no_archive_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.warc.gz");
        assert!(matches!(
            labels(&[&path], None),
            Err(InputError::Unreadable { .. })
        ));
        fs::write(&path, "hello").unwrap();
        assert!(matches!(
            labels(&[&path], None),
            Err(InputError::NotAnArchive { .. })
        ));
        assert!(matches!(
            labels(&[dir.path()], None),
            Err(InputError::Empty { .. })
        ));
    }
}
