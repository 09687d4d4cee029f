//! Downloads on disk: complete files at their paths below the folder, and in a folder of their own the partial files
//! and the notes of what is known of each file.

use super::Address;
use super::encoding;
use super::error::{FetchError, FetchFailure};
use super::network::Session;
use super::transfer::{self, DownloadSink};
use super::version::Version;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::sleep;

/// The name of the folder of partial files and notes, which lie in it at the paths of their files. `c4 build FOLDER`
/// skips it.
pub(crate) const NOTES_FOLDER: &str = ".c4_downloads";
/// The time between two attempts to lock a file that another process has locked.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// The paths of one download.
#[derive(Debug, Clone)]
pub(super) struct DownloadPaths {
    /// The path of the complete file.
    pub(super) file: PathBuf,
    /// The path of the partial file.
    part: PathBuf,
    /// The path of the note. It is locked while the file is fetched; the lock ends with the process.
    pub(super) note: PathBuf,
}

/// The content of a note: what is known of a file.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    url: String,
    #[serde(flatten)]
    version: Version,
    /// The bytes on disk, where an outer gzip was removed and they are not those that came.
    #[serde(default)]
    unpacked: Option<u64>,
    /// The boot of the machine in which it was written: what was not synced before a crash may have holes.
    #[serde(default)]
    boot: Option<String>,
}

impl Note {
    /// The size of the complete file on disk in bytes.
    fn bytes_on_disk(&self) -> Option<u64> {
        self.unpacked.or(self.version.size)
    }
}

/// The paths below `folder` of the files at `addresses`, in their order.
///
/// A file's path is that of its address; where two hosts have the same path, the host comes before it; and where that
/// is not enough (`http` and `https`, two users), a hash of the address follows.
pub(super) fn download_paths(folder: &Path, addresses: &[&Address]) -> Vec<DownloadPaths> {
    let with_host = |address: &Address| format!("{}/{}", safe(&address.host()), relative(address));
    let mut hosts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut users: BTreeMap<String, BTreeSet<&Address>> = BTreeMap::new();
    for address in addresses {
        hosts.entry(relative(address)).or_default().insert(address.host());
        users.entry(with_host(address)).or_default().insert(address);
    }
    let paths_of = |address: &&Address| {
        let path = relative(address);
        let several = users[&with_host(address)].len() > 1;
        let path = match hosts[&path].len() {
            1 if !several => path,
            _ if !several => with_host(address),
            _ => format!("{}@{}", with_host(address), short_hash(&address.in_full())),
        };
        let notes = folder.join(NOTES_FOLDER);
        DownloadPaths {
            file: folder.join(&path),
            part: notes.join(format!("{path}.part")),
            note: notes.join(format!("{path}.json")),
        }
    };
    addresses.iter().map(paths_of).collect()
}

/// The path of a file below the folder, which it cannot leave.
fn relative(address: &Address) -> String {
    let parts = address.path().split('/').filter(|part| !part.is_empty());
    let mut path = parts.map(safe).collect::<Vec<_>>().join("/");
    if let Some(query) = address.query() {
        // The query may be secret, or long.
        path.push('@');
        path += &short_hash(query);
    }
    path
}

/// `part` as a file name that leads to no other folder, nor to that of the notes.
fn safe(part: &str) -> String {
    match part {
        "." | ".." | NOTES_FOLDER => part.replace('.', "%2E"),
        part => part.replace(['\\', '\0', '/'], "_"),
    }
}

fn short_hash(text: &str) -> String {
    let hash = Sha256::digest(text.as_bytes());
    hash[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Downloads a file to `paths`, unless it is there and unchanged, and gives its size on disk in bytes.
///
/// With `sync` the file must outlive a crash of the machine.
pub(super) async fn fetch_to(
    session: &Session,
    address: &Address,
    paths: &DownloadPaths,
    sync: bool,
) -> Result<u64, FetchError> {
    let disk = |path: &Path, e: io::Error| {
        let cause = format!("{}: {e}", path.display());
        FetchError::unsent(address, FetchFailure::Disk, cause)
    };
    for path in [&paths.file, &paths.note] {
        let parent = path.parent().unwrap_or(Path::new(""));
        fs::create_dir_all(parent).map_err(|e| disk(parent, e))?;
    }
    let mut note = open(&paths.note).map_err(|e| disk(&paths.note, e))?;
    lock_note(&note, &paths.note).await;
    let mut known = String::new();
    note.read_to_string(&mut known).map_err(|e| disk(&paths.note, e))?;
    let boot = boot();
    // A process that was killed while it wrote may have left anything.
    let known: Option<Note> = serde_json::from_str(&known).ok();
    let url = address.to_string();
    // The file there may be that of another address with the same path.
    let other_address = known.as_ref().is_some_and(|known| known.url != url);
    // After a crash of the machine, only what was synced counts.
    let since_boot = known.as_ref().is_none_or(|known| known.boot == boot);
    if let Ok(metadata) = fs::metadata(&paths.file)
        && !other_address
        && (sync || since_boot)
    {
        let there = Version {
            size: Some(metadata.len()),
            ..Version::default()
        };
        let known = known.as_ref();
        let known = known.filter(|known| known.bytes_on_disk() == there.size);
        let unpacked = known.and_then(|known| known.unpacked);
        // Of a file that somebody else has put there only the size is known.
        let known = known.map_or(there, |known| known.version.clone());
        if let Some(version) = transfer::unchanged(session, address, &known).await? {
            let known = Note {
                url,
                version,
                unpacked,
                boot,
            };
            write_note(&mut note, &known).map_err(|e| disk(&paths.note, e))?;
            session.counters.reused.fetch_add(1, Ordering::Relaxed);
            return Ok(metadata.len());
        }
    }
    let part = open(&paths.part).map_err(|e| disk(&paths.part, e))?;
    let known = known.filter(|known| known.url == url && known.boot == boot && known.unpacked.is_none());
    let mut sink = PartialFile {
        len: part.metadata().map_err(|e| disk(&paths.part, e))?.len(),
        file: part,
        note,
        known: Note {
            url,
            version: Version::default(),
            unpacked: None,
            boot,
        },
        paths,
    };
    let seek = sink.file.seek(SeekFrom::Start(sink.len));
    seek.map_err(|e| disk(&paths.part, e))?;
    let known = known.map(|note| note.version);
    let version = transfer::fetch(session, address, &mut sink, known).await?;
    if version.is_in_gzip() {
        sink.unpack().map_err(|e| disk(&paths.part, e))?;
    }
    if sync {
        sink.file.sync_all().map_err(|e| disk(&paths.part, e))?;
    }
    fs::rename(&paths.part, &paths.file).map_err(|e| disk(&paths.file, e))?;
    Ok(sink.len)
}

/// The identifier of this boot of the machine, where the system gives one.
fn boot() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false);
    options.open(path)
}

/// Waits until no other process is fetching the file, and locks its note.
async fn lock_note(note: &File, path: &Path) {
    let mut announced = false;
    // On a file system without locks the file is fetched without one.
    while let Err(TryLockError::WouldBlock) = note.try_lock() {
        if !announced {
            tracing::info!("{}: another process is fetching this file", path.display());
            announced = true;
        }
        sleep(POLL_INTERVAL).await;
    }
}

fn write_note(file: &mut File, note: &Note) -> io::Result<()> {
    let json = serde_json::to_vec(note)?;
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&json)
}

/// A file that is being downloaded, with its note.
struct PartialFile<'a> {
    file: File,
    len: u64,
    note: File,
    known: Note,
    paths: &'a DownloadPaths,
}

impl PartialFile<'_> {
    /// Removes the gzip that a server or proxy has put around a file that is gzip by itself.
    fn unpack(&mut self) -> io::Result<()> {
        let open = || File::open(&self.paths.part).map(BufReader::new);
        if !encoding::is_twice(open()?)? {
            return Ok(());
        }
        let path = self.paths.part.with_added_extension("unpacked");
        let mut unpacked = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .open(&path)?;
        let len = encoding::unpack(open()?, self.len, &mut unpacked);
        let len = len.inspect_err(|_| {
            let _ = fs::remove_file(&path);
        })?;
        // The note comes first: from here on nothing can be appended to the partial file.
        self.known.unpacked = Some(len);
        write_note(&mut self.note, &self.known)?;
        fs::rename(&path, &self.paths.part)?;
        (self.file, self.len) = (unpacked, len);
        Ok(())
    }
}

impl DownloadSink for PartialFile<'_> {
    fn len(&self) -> u64 {
        self.len
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.len += bytes.len() as u64;
        Ok(())
    }

    fn cut(&mut self, len: u64) -> io::Result<()> {
        self.file.set_len(len)?;
        self.len = self.file.seek(SeekFrom::Start(len))?;
        Ok(())
    }

    fn note(&mut self, version: &Version) -> io::Result<()> {
        self.known.version = version.clone();
        write_note(&mut self.note, &self.known)
    }

    fn path(&self) -> &Path {
        &self.paths.part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_below_the_folder_and_distinct() {
        let addresses: Vec<Address> = [
            "https://a/x/f.gz",
            "s3://b/x/f.gz",
            "https://a/y//%2e%2e%2ff.gz",
            "https://a/y/f.gz?signature=secret",
            "https://a/y/f.gz",
            "http://a/z/f.gz",
            "http://a//z/f.gz",
            "https://a/z/f.gz",
            // No path leaves the folder, nor reaches the notes.
            "https://a/.c4_downloads/y/f.gz.json",
            "http://../w/f.gz",
            "s3://b/w/f.gz",
        ]
        .map(|text| text.parse().unwrap())
        .to_vec();
        let addresses: Vec<&Address> = addresses.iter().collect();
        let paths = download_paths(Path::new("d"), &addresses);
        let files: Vec<_> = paths.iter().map(|paths| paths.file.to_str().unwrap()).collect();
        assert_eq!(
            files,
            [
                "d/a/x/f.gz",
                "d/b/x/f.gz",
                "d/y/%2e%2e%2ff.gz",
                "d/y/f.gz@420ea3e56f16c8bb",
                "d/y/f.gz",
                "d/a/z/f.gz@acbc0a9f37c3dbdc",
                "d/a/z/f.gz@b4936b61ed7e55ca",
                "d/a/z/f.gz@5944188ee3e81f10",
                "d/%2Ec4_downloads/y/f.gz.json",
                "d/%2E%2E/w/f.gz",
                "d/b/w/f.gz",
            ]
        );
        assert_eq!(paths[4].part, Path::new("d/.c4_downloads/y/f.gz.part"));
    }
}
