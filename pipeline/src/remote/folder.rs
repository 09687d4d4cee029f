//! Downloads on disk: whole files below the folder in their path, and beside them, in a folder of
//! their own, what is not whole yet and what is known of each file.

use super::Address;
use super::encoding;
use super::error::{FetchError, FetchFailure};
use super::network::Session;
use super::transfer::{self, Sink, unasked};
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

/// Holds parts and notes, in the paths of their files. No folder of archives has such a name, and
/// `c4 build FOLDER` does not look into it.
pub(crate) const NOTES_FOLDER: &str = ".c4_downloads";
/// How often to look if another process is done with a file.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Where a download goes.
#[derive(Debug, Clone)]
pub(super) struct Place {
    /// The file, once it is whole.
    pub(super) file: PathBuf,
    /// As much of it as has come.
    part: PathBuf,
    /// What is known of it. Locked by whoever fetches the file; the lock dies with the process.
    pub(super) note: PathBuf,
}

/// The content of a note.
#[derive(Debug, Serialize, Deserialize)]
struct Note {
    url: String,
    #[serde(flatten)]
    version: Version,
    /// Bytes on disk, if they are fewer or more than came: a packing of the server's was taken off.
    #[serde(default)]
    unpacked: Option<u64>,
    /// When the machine was started: what was not synced before that may have holes.
    #[serde(default)]
    boot: Option<String>,
}

impl Note {
    /// Bytes of the whole file on disk.
    fn bytes_on_disk(&self) -> Option<u64> {
        self.unpacked.or(self.version.size)
    }
}

/// Places of all of these in a folder: their paths; where two hosts have the same path, the host before it; and
/// where that is not enough (`http` and `https`, two users), a hash of the address behind it.
pub(super) fn places(folder: &Path, addresses: &[&Address]) -> Vec<Place> {
    let with_host = |address: &Address| format!("{}/{}", safe(&address.host()), relative(address));
    let mut hosts: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut users: BTreeMap<String, BTreeSet<&Address>> = BTreeMap::new();
    for address in addresses {
        hosts.entry(relative(address)).or_default().insert(address.host());
        users.entry(with_host(address)).or_default().insert(address);
    }
    let place = |address: &&Address| {
        let path = relative(address);
        let several = users[&with_host(address)].len() > 1;
        let path = match hosts[&path].len() {
            1 if !several => path,
            _ if !several => with_host(address),
            _ => format!("{}@{}", with_host(address), short_hash(&address.in_full())),
        };
        let notes = folder.join(NOTES_FOLDER);
        Place {
            file: folder.join(&path),
            part: notes.join(format!("{path}.part")),
            note: notes.join(format!("{path}.json")),
        }
    };
    addresses.iter().map(place).collect()
}

/// The path of a file below the folder, safe as a path.
fn relative(address: &Address) -> String {
    let parts = address.path().split('/').filter(|part| !part.is_empty());
    let mut path = parts.map(safe).collect::<Vec<_>>().join("/");
    if let Some(query) = address.query() {
        // May be secret, or long.
        path.push('@');
        path += &short_hash(query);
    }
    path
}

/// A name that is a name in a folder, and not that of the notes.
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

/// A file that is whole on disk.
#[derive(Debug)]
pub(super) struct OnDisk {
    pub(super) bytes: u64,
}

/// Brings a file to its place, unless it is there and unchanged. `sync`: it must outlive a crash.
pub(super) async fn fetch_to(
    session: &Session,
    address: &Address,
    place: &Place,
    sync: bool,
) -> Result<OnDisk, FetchError> {
    let disk = |path: &Path, e: io::Error| {
        let cause = format!("{}: {e}", path.display());
        unasked(address, FetchFailure::Disk, cause)
    };
    for path in [&place.file, &place.note] {
        let parent = path.parent().unwrap_or(Path::new(""));
        fs::create_dir_all(parent).map_err(|e| disk(parent, e))?;
    }
    let mut note = open(&place.note).map_err(|e| disk(&place.note, e))?;
    lock(&note, &place.note).await;
    let mut known = String::new();
    note.read_to_string(&mut known).map_err(|e| disk(&place.note, e))?;
    let boot = boot();
    // Of a process that was killed while it wrote, there may be anything.
    let known: Option<Note> = serde_json::from_str(&known).ok();
    let url = address.to_string();
    // What is there may be of another address that has the same path.
    let others = known.as_ref().is_some_and(|known| known.url != url);
    // Of before a power cut, only what was synced counts.
    let since_boot = known.as_ref().is_none_or(|known| known.boot == boot);
    if let Ok(metadata) = fs::metadata(&place.file)
        && !others
        && (sync || since_boot)
    {
        let there = Version {
            size: Some(metadata.len()),
            ..Version::default()
        };
        let known = known.as_ref();
        let known = known.filter(|known| known.bytes_on_disk() == there.size);
        let unpacked = known.and_then(|known| known.unpacked);
        // A file that somebody else has put there is told by its size alone.
        let known = known.map_or(there, |known| known.version.clone());
        if let Some(version) = transfer::unchanged(session, address, &known).await? {
            let known = Note {
                url,
                version,
                unpacked,
                boot,
            };
            write_note(&mut note, &known).map_err(|e| disk(&place.note, e))?;
            session.counters.reused.fetch_add(1, Ordering::Relaxed);
            return Ok(OnDisk { bytes: metadata.len() });
        }
    }
    let part = open(&place.part).map_err(|e| disk(&place.part, e))?;
    let known = known.filter(|known| known.url == url && known.boot == boot && known.unpacked.is_none());
    let mut sink = Part {
        len: part.metadata().map_err(|e| disk(&place.part, e))?.len(),
        file: part,
        note,
        known: Note {
            url,
            version: Version::default(),
            unpacked: None,
            boot,
        },
        place,
    };
    let seek = sink.file.seek(SeekFrom::Start(sink.len));
    seek.map_err(|e| disk(&place.part, e))?;
    let known = known.map(|note| note.version);
    let version = transfer::fetch(session, address, &mut sink, known).await?;
    if version.is_in_gzip() {
        sink.unpack().map_err(|e| disk(&place.part, e))?;
    }
    if sync {
        sink.file.sync_all().map_err(|e| disk(&place.part, e))?;
    }
    let bytes = sink.len;
    fs::rename(&place.part, &place.file).map_err(|e| disk(&place.file, e))?;
    Ok(OnDisk { bytes })
}

/// What tells this start of the machine from others, where the system says it.
fn boot() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false);
    options.open(path)
}

/// Waits until no other process is at work on the file.
async fn lock(note: &File, path: &Path) {
    let mut told = false;
    // Where a file system knows no locks, do without.
    while let Err(TryLockError::WouldBlock) = note.try_lock() {
        if !told {
            tracing::info!("{}: another process fetches this file", path.display());
            told = true;
        }
        sleep(LOOK_EVERY).await;
    }
}

fn write_note(file: &mut File, note: &Note) -> io::Result<()> {
    let json = serde_json::to_vec(note)?;
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&json)
}

/// A file that is not whole yet.
struct Part<'a> {
    file: File,
    len: u64,
    note: File,
    known: Note,
    place: &'a Place,
}

impl Part<'_> {
    /// Takes off the gzip that a server or proxy has put around a file that is gzip by itself.
    fn unpack(&mut self) -> io::Result<()> {
        let open = || File::open(&self.place.part).map(BufReader::new);
        if !encoding::is_twice(open()?)? {
            return Ok(());
        }
        let path = self.place.part.with_added_extension("unpacked");
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
        // Before the part is another: nothing that comes can be added to it.
        self.known.unpacked = Some(len);
        write_note(&mut self.note, &self.known)?;
        fs::rename(&path, &self.place.part)?;
        (self.file, self.len) = (unpacked, len);
        Ok(())
    }
}

impl Sink for Part<'_> {
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
        &self.place.part
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_below_the_folder_and_apart() {
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
        let places = places(Path::new("d"), &addresses);
        let files: Vec<_> = places.iter().map(|place| place.file.to_str().unwrap()).collect();
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
        assert_eq!(places[4].part, Path::new("d/.c4_downloads/y/f.gz.part"));
    }
}
