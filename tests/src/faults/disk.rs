//! A disk on which a power cut leaves no more than was synced.
//!
//! Of a file what was synced stays; of what was written since, all, some, or zeros may be there. Of the names in a
//! folder those stay that were made or changed before the folder was synced; later ones may be there or not, but none
//! without those before it in the same folder.

use super::{Files, Random};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Component, Path, PathBuf};

/// A change of a file or folder.
#[derive(Clone)]
pub enum Change {
    /// A file is made.
    Create(PathBuf),
    /// A folder is made.
    Folder(PathBuf),
    /// Bytes are written at an offset.
    Write(PathBuf, u64, Vec<u8>),
    /// A file has this length now.
    Length(PathBuf, u64),
    /// A file or folder is synced.
    Sync(PathBuf),
    /// The folder that the output is in is synced.
    SyncAbove,
    /// A file or folder has another name, which may have been that of a file.
    Rename(PathBuf, PathBuf),
    /// A file or empty folder goes.
    Remove(PathBuf),
}

impl std::fmt::Debug for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Change::Create(path) => write!(f, "create {}", path.display()),
            Change::Folder(path) => write!(f, "folder {}", path.display()),
            Change::Write(path, at, bytes) => {
                write!(f, "write {} at {at} to {}", bytes.len(), path.display())
            }
            Change::Length(path, length) => write!(f, "length {length} of {}", path.display()),
            Change::Sync(path) => write!(f, "sync {}", path.display()),
            Change::SyncAbove => write!(f, "sync .."),
            Change::Rename(from, to) => write!(f, "rename {} {}", from.display(), to.display()),
            Change::Remove(path) => write!(f, "remove {}", path.display()),
        }
    }
}

/// What of the bytes that were not synced is there after a cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Data {
    /// None.
    None,
    /// The first half.
    Half,
    /// As many, but zeros.
    Zeros,
    /// All.
    All,
}

/// What of the names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    /// Those that were synced.
    Synced,
    /// Those up to some moment.
    Some,
    /// All.
    All,
}

/// What a cut leaves of what was not synced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept(pub Names, pub Data);

impl Kept {
    /// All that are tried.
    pub const ALL: [Kept; 8] = [
        Kept(Names::Synced, Data::None),
        Kept(Names::Synced, Data::All),
        Kept(Names::Some, Data::None),
        Kept(Names::Some, Data::Half),
        Kept(Names::Some, Data::All),
        Kept(Names::All, Data::None),
        Kept(Names::All, Data::Half),
        Kept(Names::All, Data::Zeros),
    ];
}

/// Reads the log of a run; paths are below `output`, others are left out.
pub fn read_log(log: &Path, output: &Path) -> Vec<Change> {
    let bytes = fs::read(log).unwrap();
    let mut rest = &bytes[..];
    let mut changes = Vec::new();
    while !rest.is_empty() {
        let (head, tail) = rest.split_at(32);
        let (numbers, _) = head.as_chunks::<8>();
        let [kind, number, path, data] = std::array::from_fn(|i| u64::from_le_bytes(numbers[i]));
        let (path, tail) = tail.split_at(path as usize);
        let (data, tail) = tail.split_at(data as usize);
        rest = tail;
        let below = |bytes: &[u8]| {
            let path = PathBuf::from(String::from_utf8(bytes.to_vec()).unwrap());
            path.strip_prefix(output).map(Path::to_owned).ok()
        };
        let above = output.parent().unwrap().to_str().unwrap();
        let Some(path) = below(path) else {
            if kind as u8 == b'S' && path == above.as_bytes() {
                changes.push(Change::SyncAbove);
            }
            continue;
        };
        changes.push(match kind as u8 {
            b'C' => Change::Create(path),
            b'M' => Change::Folder(path),
            b'W' => Change::Write(path, number, data.to_vec()),
            b'L' => Change::Length(path, number),
            b'S' => Change::Sync(path),
            b'R' => Change::Rename(path, below(data).unwrap()),
            b'U' => Change::Remove(path),
            other => panic!("{other} in the log"),
        });
    }
    changes
}

#[derive(Default)]
struct File {
    synced: Vec<u8>,
    now: Vec<u8>,
}

/// A name in a folder, by the folder's number.
type Entry = (usize, String);

/// A change of names.
struct Naming {
    gone: Option<Entry>,
    made: Option<(Entry, usize)>,
    synced: bool,
}

/// Files and folders by number; the output is in folder [`TOP`], without a name.
struct Disk {
    files: BTreeMap<usize, File>,
    /// By folder, as it is now.
    names: BTreeMap<Entry, usize>,
    namings: Vec<Naming>,
    next: usize,
}

const TOP: usize = 0;

impl Disk {
    fn entry(&self, path: &Path) -> Option<Entry> {
        let Some(name) = path.file_name() else {
            return Some((TOP, String::new()));
        };
        let folder = self.find(path.parent().unwrap())?;
        Some((folder, name.to_str().unwrap().to_owned()))
    }

    fn find(&self, path: &Path) -> Option<usize> {
        let mut at = *self.names.get(&(TOP, String::new()))?;
        for part in path.components() {
            let Component::Normal(name) = part else {
                continue;
            };
            at = *self.names.get(&(at, name.to_str().unwrap().to_owned()))?;
        }
        Some(at)
    }

    fn name(&mut self, gone: Option<Entry>, made: Option<(Entry, usize)>) {
        if let Some(gone) = &gone {
            self.names.remove(gone);
        }
        if let Some((entry, number)) = &made {
            self.names.insert(entry.clone(), *number);
        }
        self.namings.push(Naming {
            gone,
            made,
            synced: false,
        });
    }

    fn make(&mut self, path: &Path, is_file: bool) {
        let Some(entry) = self.entry(path) else {
            return;
        };
        self.next += 1;
        if is_file {
            self.files.insert(self.next, File::default());
        }
        self.name(None, Some((entry, self.next)));
    }

    fn file(&mut self, path: &Path) -> Option<&mut File> {
        let number = self.find(path)?;
        self.files.get_mut(&number)
    }

    fn sync_names(&mut self, of: usize) {
        for naming in &mut self.namings {
            let made = naming.made.as_ref().map(|(entry, _)| entry);
            let mut entries = naming.gone.iter().chain(made);
            naming.synced |= entries.any(|(folder, _)| *folder == of);
        }
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Create(path) => self.make(path, true),
            Change::Folder(path) => self.make(path, false),
            Change::Write(path, at, bytes) => {
                let Some(file) = self.file(path) else { return };
                let (start, end) = (*at as usize, *at as usize + bytes.len());
                file.now.resize(file.now.len().max(end), 0);
                file.now[start..end].copy_from_slice(bytes);
            }
            Change::Length(path, length) => {
                let Some(file) = self.file(path) else { return };
                file.now.resize(*length as usize, 0);
            }
            Change::Sync(path) => {
                let Some(number) = self.find(path) else {
                    return;
                };
                if let Some(file) = self.files.get_mut(&number) {
                    file.synced.clone_from(&file.now);
                    return;
                }
                self.sync_names(number);
            }
            Change::SyncAbove => self.sync_names(TOP),
            Change::Rename(from, to) => {
                let (Some(gone), Some(made)) = (self.entry(from), self.entry(to)) else {
                    return;
                };
                match self.names.get(&gone).copied() {
                    Some(number) => self.name(Some(gone), Some((made, number))),
                    None => self.make(to, true),
                }
            }
            Change::Remove(path) => {
                let gone = self.entry(path);
                self.name(gone, None);
            }
        }
    }
}

/// What a power cut after `changes` leaves of a folder in which `before` was. `seed` draws the moment of
/// [`Names::Some`].
pub fn after(before: &Files, changes: &[Change], kept: Kept, seed: usize) -> Files {
    let mut disk = Disk {
        files: BTreeMap::new(),
        names: BTreeMap::new(),
        namings: Vec::new(),
        next: TOP,
    };
    if !before.is_empty() {
        disk.make(Path::new(""), false);
    }
    for (path, bytes) in before {
        let is_file = !path.to_string_lossy().ends_with('/');
        for folder in path.ancestors().skip(1).collect::<Vec<_>>().into_iter().rev() {
            if disk.find(folder).is_none() {
                disk.make(folder, false);
            }
        }
        if disk.find(path).is_none() {
            disk.make(path, is_file);
        }
        if let Some(file) = disk.file(path) {
            (file.now, file.synced) = (bytes.clone(), bytes.clone());
        }
    }
    disk.namings.iter_mut().for_each(|naming| naming.synced = true);
    changes.iter().for_each(|change| disk.apply(change));

    let Kept(names, data) = kept;
    let moment = Random(seed as u64).below(disk.namings.len() + 1);
    let mut left: BTreeMap<&Entry, usize> = BTreeMap::new();
    for (i, naming) in disk.namings.iter().enumerate() {
        let there = naming.synced || names == Names::All || (names == Names::Some && i < moment);
        if !there {
            continue;
        }
        if let Some(gone) = &naming.gone {
            left.remove(gone);
        }
        if let Some((entry, number)) = &naming.made {
            left.insert(entry, *number);
        }
    }
    let mut files = Files::new();
    let top = (TOP, String::new());
    let mut folders: Vec<(usize, PathBuf)> = Vec::new();
    folders.extend(left.get(&top).map(|number| (*number, PathBuf::new())));
    while let Some((folder, path)) = folders.pop() {
        for ((_, name), number) in left.iter().filter(|((of, _), _)| *of == folder) {
            let path = path.join(name);
            let Some(File { synced, now }) = disk.files.get(number) else {
                files.insert(format!("{}/", path.display()).into(), Vec::new());
                folders.push((*number, path));
                continue;
            };
            let written = now.len().saturating_sub(synced.len());
            let bytes = match data {
                Data::All => now.clone(),
                Data::None => synced.clone(),
                Data::Half if written > 0 => now[..synced.len() + written / 2].to_vec(),
                Data::Zeros if written > 0 => [&synced[..], &vec![0; written]].concat(),
                Data::Half | Data::Zeros => synced.clone(),
            };
            files.insert(path, bytes);
        }
    }
    files
}
