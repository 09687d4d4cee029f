//! The input: what the user names, as a list of archives in a fixed order.

mod error;
mod listing;
mod location;

pub use error::InputError;
pub use location::Location;

use crate::read::Source;
use crate::read::archive;
use crate::remote::crawl::{self, CrawlFiles, Sample};
use crate::remote::folder::NOTES_FOLDER;
use crate::remote::{Address, AddressError, Network, is_url};
use c4_data::ReadStep;
use error::unreadable;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// An archive that is to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// The path or URL of the archive.
    pub location: Location,
    /// The name of the archive in the corpus: its file name, after as many folders as distinguish it from others.
    pub label: Arc<str>,
    /// The size of the archive in bytes; `None` before it is fetched.
    pub bytes: Option<u64>,
}

impl Input {
    /// The stamp that distinguishes this archive from another one of its name and size: of a file, the time of its last
    /// change in nanoseconds since 1970 (empty if the system does not say), else the URL.
    pub(crate) fn stamp(&self) -> String {
        match &self.location {
            Location::Remote(address) => address.to_string(),
            Location::File(path) => {
                let changed = fs::metadata(path).and_then(|file| file.modified()).ok();
                let since = changed.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
                since.map_or(String::new(), |time| time.as_nanos().to_string())
            }
        }
    }

    /// The present state of the archive's file, which changes when the file is replaced or written to; `None` for a
    /// remote archive.
    ///
    /// # Errors
    /// The file is missing, or the system does not give its metadata.
    pub(crate) fn state(&self) -> std::io::Result<Option<FileState>> {
        let Location::File(path) = &self.location else {
            return Ok(None);
        };
        let metadata = fs::metadata(path)?;
        #[cfg(unix)]
        let inode = {
            use std::os::unix::fs::MetadataExt;
            (metadata.dev(), metadata.ino())
        };
        #[cfg(not(unix))]
        let inode = (0, 0);
        Ok(Some(FileState {
            bytes: metadata.len(),
            changed: metadata.modified().ok(),
            inode,
        }))
    }

    /// The path of the archive's file.
    ///
    /// # Errors
    /// The archive is not on this machine.
    pub fn file(&self) -> Result<&Path, InputError> {
        match &self.location {
            Location::File(path) => Ok(path),
            Location::Remote(address) => Err(InputError::Remote {
                name: address.to_string(),
            }),
        }
    }
}

/// The state of a file, by which a change of it, or another file in its place, is noticed ([`Input::state`]).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileState {
    bytes: u64,
    changed: Option<SystemTime>,
    inode: (u64, u64),
}

/// The places where what arguments name is searched.
#[derive(Debug, Clone)]
pub struct Places<'a> {
    /// The folder or URL below which the paths of listings are, and which replaces the host of URLs.
    pub base: Option<Location>,
    /// The address of the server or bucket with the crawls that arguments name.
    pub store: Address,
    /// The kind of archives that is read of a crawl.
    pub crawl_files: CrawlFiles,
    /// The sample of each listing or folder; `None`: all files.
    pub sample: Option<Sample>,
    /// The client for remote listings and archives; `None`: they are refused.
    pub network: Option<&'a Network>,
    /// Whether a named file may be without records here; then reading it fails later, as that of a listed one does.
    pub any_file: bool,
}

impl Places<'_> {
    /// The places on this machine alone.
    ///
    /// # Errors
    /// None: the built-in address of Common Crawl is valid.
    pub fn here() -> Result<Self, AddressError> {
        Ok(Places {
            base: None,
            store: crawl::STORE.parse()?,
            crawl_files: CrawlFiles::default(),
            sample: None,
            network: None,
            any_file: false,
        })
    }
}

/// Resolves the arguments of a command that reads only files, as [`resolve_in`] does.
///
/// # Errors
/// See [`InputError`].
pub fn resolve(arguments: &[PathBuf], base: Option<&Path>, step: &ReadStep) -> Result<Vec<Input>, InputError> {
    let places = Places {
        base: base.map(Location::parse).transpose()?,
        ..Places::here()?
    };
    resolve_in(arguments, &places, step)
}

/// Resolves arguments to archives: files and URLs as they are, folders to the archives in them (at any depth), listings
/// (`*.paths`, `*.paths.gz`, local or remote) to the files they list, names of crawls to the files of their listings.
///
/// The paths of a listing are below `base`; without one, in the folder of a local listing, and below the host (or the
/// store) of a remote one. The result is in the order of names, then of folders, whatever the order of the arguments;
/// an archive that is named twice is in it once.
///
/// # Errors
/// See [`InputError`].
pub fn resolve_in(arguments: &[PathBuf], places: &Places<'_>, step: &ReadStep) -> Result<Vec<Input>, InputError> {
    let mut named = InputSet::default();
    for argument in arguments {
        let path = argument.as_path();
        let location = match argument.to_str() {
            Some(url) if is_url(url) => listing::locate(url, places.base.as_ref(), None)?,
            Some(name) if crawl::is_name(name) && !path.exists() => {
                let listing = crawl::listing(&places.store, name, places.crawl_files);
                Location::Remote(listing)
            }
            _ => Location::File(argument.clone()),
        };
        match &location {
            listing if is_listing(listing) => listing::read(listing, places, &mut named)?,
            Location::Remote(address) => named.add_remote(address, places)?,
            Location::File(path) => add_path(path, places, step, &mut named)?,
        }
    }
    let mut inputs = label(named)?;
    inputs.sort_by_cached_key(|input| (input.location.name(), input.label.clone()));
    Ok(inputs)
}

/// The remote archives among the inputs, each with its index.
pub fn remote(inputs: &[Input]) -> impl Iterator<Item = (usize, Address)> {
    let places = inputs.iter().enumerate();
    places.filter_map(|(place, input)| match &input.location {
        Location::Remote(address) => Some((place, address.clone())),
        Location::File(_) => None,
    })
}

fn add_path(path: &Path, places: &Places<'_>, step: &ReadStep, named: &mut InputSet) -> Result<(), InputError> {
    let metadata = fs::metadata(path).map_err(unreadable(path))?;
    if !metadata.is_dir() {
        // Bytes that are read of a pipe to check it are lost, and it may never have any.
        if !metadata.is_file() {
            let cause = std::io::Error::other("is neither a file nor a folder");
            return Err(unreadable(path)(cause));
        }
        if !places.any_file {
            check(path, step)?;
        }
        return named.add(path);
    }
    let mut found = InputSet::default();
    walk(path, &mut found, &mut Vec::new())?;
    if found.files.is_empty() {
        return Err(InputError::Empty { path: path.to_owned() });
    }
    let folder = std::path::absolute(path).map_err(unreadable(path))?;
    let below = |file: PathBuf| {
        let below = file.strip_prefix(&folder).unwrap_or(&file);
        (below.to_string_lossy().into_owned(), file)
    };
    let mut files: Vec<(String, PathBuf)> = found.files.into_values().map(below).collect();
    if let Some(sample) = &places.sample {
        files = sample.take(files, |(below, _)| below);
    }
    files.iter().try_for_each(|(_, file)| named.add(file))
}

/// The archives that are to be read, each once.
#[derive(Debug, Default)]
struct InputSet {
    /// The name of each file by its real path: a link is named by the link.
    files: BTreeMap<PathBuf, PathBuf>,
    remote: BTreeSet<Address>,
}

impl InputSet {
    /// Adds a file; one that is named twice is read once, under the smaller name.
    fn add(&mut self, path: &Path) -> Result<(), InputError> {
        let real = fs::canonicalize(path).map_err(unreadable(path))?;
        let named = std::path::absolute(path).map_err(unreadable(path))?;
        if let Some(before) = self.files.get(&real) {
            if *before != named {
                tracing::warn!(
                    "{}: is the same file as {}; it is read once",
                    named.display(),
                    before.display()
                );
            }
            if *before <= named {
                return Ok(());
            }
        }
        self.files.insert(real, named);
        Ok(())
    }

    fn add_remote(&mut self, address: &Address, places: &Places<'_>) -> Result<(), InputError> {
        if places.network.is_none() {
            return Err(InputError::Remote {
                name: address.to_string(),
            });
        }
        if address.name().is_empty() {
            return Err(InputError::NoFile {
                address: address.clone(),
            });
        }
        self.remote.insert(address.clone());
        Ok(())
    }
}

fn is_listing(location: &Location) -> bool {
    let name = match location {
        Location::File(path) if path.is_dir() => return false,
        Location::File(path) => path.to_string_lossy(),
        Location::Remote(address) => address.name().into(),
    };
    name.ends_with(".paths") || name.ends_with(".paths.gz")
}

fn check(path: &Path, step: &ReadStep) -> Result<(), InputError> {
    match Source::open(path, step).map_err(unreadable(path))? {
        Some(_) => Ok(()),
        None => Err(InputError::NotAnArchive { path: path.to_owned() }),
    }
}

/// Adds the archives below `folder`, which is in the folders `above`.
fn walk(folder: &Path, named: &mut InputSet, above: &mut Vec<PathBuf>) -> Result<(), InputError> {
    let real = fs::canonicalize(folder).map_err(unreadable(folder))?;
    if above.contains(&real) {
        tracing::warn!("{}: left out: links to a folder that contains it", folder.display());
        return Ok(());
    }
    above.push(real);
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
            if name(&path) != NOTES_FOLDER {
                walk(&path, named, above)?;
            }
        } else if !metadata.is_file() || is_listing(&Location::File(path.clone())) {
            continue;
        } else if is_called_archive(&path) || archive::holds_records(&path).map_err(unreadable(&path))? {
            named.add(&path)?;
        } else if [".warc", ".wet", ".wat", ".arc"]
            .iter()
            .any(|part| name(&path).to_string_lossy().to_ascii_lowercase().contains(part))
        {
            tracing::warn!(
                "{}: left out: no WARC or ARC record in it, plain or in gzip or zstd",
                path.display()
            );
        }
    }
    above.pop();
    Ok(())
}

/// Whether a file is named like an archive. Then it is read though it has no record, and reading reports what is wrong.
fn is_called_archive(path: &Path) -> bool {
    let name = name(path).to_string_lossy().to_ascii_lowercase();
    let plain = [".gz", ".zst"].iter().find_map(|end| name.strip_suffix(end));
    let plain = plain.unwrap_or(&name);
    [".warc", ".wet", ".wat", ".arc"].iter().any(|end| plain.ends_with(end))
}

fn name(path: &Path) -> &std::ffi::OsStr {
    path.file_name().unwrap_or_default()
}

/// Labels the inputs: with the file name where it is unique, else with as many folders as distinguish all of that name.
fn label(named: InputSet) -> Result<Vec<Input>, InputError> {
    let files = named.files.into_values().map(Location::File);
    let remote = named.remote.into_iter().map(Location::Remote);
    let mut by_name: BTreeMap<_, Vec<Location>> = BTreeMap::new();
    for location in files.chain(remote) {
        let group = by_name.entry(location.name()).or_default();
        group.push(location);
    }
    let mut inputs = Vec::new();
    for group in by_name.into_values() {
        let depth = |parts: &usize| {
            let labels: BTreeSet<String> = group.iter().map(|at| at.tail(*parts)).collect();
            labels.len() == group.len()
        };
        let parts = (1..=64).find(depth).unwrap_or(64);
        for location in group {
            let label = location.tail(parts);
            if label.chars().any(char::is_control) {
                return Err(InputError::Name { name: label });
            }
            let bytes = match &location {
                Location::File(path) => Some(fs::metadata(path).map_err(unreadable(path))?.len()),
                Location::Remote(_) => None,
            };
            inputs.push(Input {
                label: Arc::from(label),
                location,
                bytes,
            });
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
        media_types: c4_data::MediaTypes::Html,
        verify_digests: false,
    };
    const RECORD: &str = "WARC/1.0\r\nWARC-Type: warcinfo\r\nContent-Length: 0\r\n\r\n\r\n\r\n";

    fn labels(arguments: &[&Path], base: Option<&Path>) -> Result<Vec<String>, InputError> {
        let arguments: Vec<PathBuf> = arguments.iter().map(|a| a.to_path_buf()).collect();
        let inputs = resolve(&arguments, base, &STEP)?;
        let names = inputs.iter().map(|input| input.file().unwrap());
        assert!(names.zip(&inputs).all(|(path, input)| path.ends_with(&*input.label)));
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
        assert!(matches!(labels(&[&listing], None), Err(InputError::Remote { .. })));
        fs::write(&listing, "crawl/a.warc\ncrawl/b.warc\n").unwrap();
        let error = labels(&[&listing], None).unwrap_err().to_string();
        assert!(error.contains("line 2") && error.contains("1 of 2"), "{error}");
    }

    #[test]
    fn what_is_no_archive_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.warc.gz");
        assert!(matches!(labels(&[&path], None), Err(InputError::Unreadable { .. })));
        fs::write(&path, "hello").unwrap();
        assert!(matches!(labels(&[&path], None), Err(InputError::NotAnArchive { .. })));
        // In a folder its name says that it should be an archive; reading it fails later.
        assert_eq!(labels(&[dir.path()], None).unwrap(), ["a.warc.gz"]);
        fs::rename(&path, dir.path().join("a.warc.gz.part")).unwrap();
        assert!(matches!(labels(&[dir.path()], None), Err(InputError::Empty { .. })));
    }

    #[test]
    fn remote_inputs_are_named_and_ordered_as_files() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        fs::write(root.join("b.warc"), RECORD).unwrap();
        let listing = root.join("wet.paths");
        fs::write(&listing, "crawl/c.warc\ns3://other/crawl/b.warc\ncrawl/c.warc\n").unwrap();
        let network = Network::new(crate::remote::NetworkOptions::default());
        let mut places = Places {
            base: None,
            store: crawl::STORE.parse().unwrap(),
            crawl_files: CrawlFiles::Wet,
            sample: None,
            network: Some(&network),
            any_file: false,
        };
        let arguments = [
            "https://h/x/b.warc".into(),
            "https://h/a.warc".into(),
            root.join("b.warc"),
            "https://h/x/b.warc#again".into(),
        ];
        let inputs = resolve_in(&arguments, &places, &STEP).unwrap();
        let file = root.file_name().unwrap().to_str().unwrap();
        let labels: Vec<&str> = inputs.iter().map(|input| &*input.label).collect();
        assert_eq!(labels, ["a.warc", &format!("{file}/b.warc"), "x/b.warc"]);
        assert_eq!(
            inputs.iter().map(|i| i.bytes).collect::<Vec<_>>(),
            [None, Some(RECORD.len() as u64), None]
        );
        // A local listing of remote files.
        places.base = Some(Location::parse(Path::new("https://mirror/cc")).unwrap());
        let inputs = resolve_in(std::slice::from_ref(&listing), &places, &STEP).unwrap();
        let at: Vec<String> = inputs.iter().map(|i| i.location.to_string()).collect();
        let expected = ["crawl/b.warc", "crawl/c.warc"].map(|path| format!("https://mirror/cc/{path}"));
        assert_eq!(at, expected);
        // Nothing was fetched for all that.
        assert_eq!(network.transfer().requests, 0);
        for remote in ["https://h/a.warc", "CC-MAIN-2019-18"] {
            let refused = resolve(&[remote.into()], None, &STEP).unwrap_err();
            assert!(matches!(refused, InputError::Remote { .. }), "{refused}");
        }
        let folder = resolve_in(&["s3://bucket/folder/".into()], &Places { base: None, ..places }, &STEP);
        assert!(matches!(folder, Err(InputError::NoFile { .. })));
    }
}
