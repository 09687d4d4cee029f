//! Downloads of a list of archives, ahead of the threads that read them.

use super::Address;
use super::error::{FetchError, FetchFailure};
use super::folder::{self, DownloadPaths};
use super::network::{Network, Session, Started};
use crate::runtime::parallel::lock;
use crate::runtime::stop;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

/// The number of downloads given up or denied in a row after which no other is tried: the connection, the server or the
/// credentials are at fault, and each download would take a minute of waits to fail.
const MAX_FAILED_IN_A_ROW: u32 = 16;
/// The time between two checks, while a thread waits for a file, whether the build should stop.
const POLL_INTERVAL: Duration = Duration::from_millis(200);

/// The folder of downloads, and how many run at a time.
#[derive(Debug, Clone)]
pub struct FetchOptions {
    /// The folder into which files are downloaded; created if it is missing.
    pub folder: PathBuf,
    /// Whether files are kept once they are read, for a later run to use if they are unchanged on the server.
    pub keep: bool,
    /// The largest number of files that are being fetched, wait to be read, or are read, at a time; at least 1. With
    /// fewer files than reading threads some threads wait.
    pub read_ahead: usize,
    /// The largest number of downloads at a time.
    pub connections: usize,
}

/// Downloads files in the order in which they will be read.
///
/// Dropping a `Fetcher` stops its downloads; partial files are kept on disk, and a later one resumes them.
pub struct Fetcher {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
    /// Keeps the client's threads alive.
    _started: Option<Arc<Started>>,
}

struct Shared {
    addresses: Vec<Address>,
    paths: Vec<DownloadPaths>,
    /// The position in the list of each file's number.
    positions: BTreeMap<usize, usize>,
    slots: Mutex<DownloadSlots>,
    changed: Condvar,
    next: AtomicUsize,
    room: Arc<Semaphore>,
    given_up: AtomicU32,
    keep: bool,
}

struct DownloadSlots {
    list: Vec<DownloadSlot>,
    /// No file will be taken any more.
    closed: bool,
}

enum DownloadSlot {
    Coming,
    Whole(FetchedFile),
    Failed(FetchError),
    Taken,
}

/// A file that has been downloaded completely.
///
/// Dropping it makes room for the next download, and removes the file unless downloads are kept.
#[derive(Debug)]
pub struct FetchedFile {
    path: PathBuf,
    bytes: u64,
    /// The path of the note, which is removed with the file; `None` where both are kept.
    note: Option<PathBuf>,
    _room: OwnedSemaphorePermit,
}

impl FetchedFile {
    /// The path of the file on this machine.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The size of the file in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Drop for FetchedFile {
    fn drop(&mut self) {
        if let Some(note) = &self.note {
            for path in [&self.path, note] {
                if let Err(e) = fs::remove_file(path) {
                    tracing::warn!("{}: cannot remove: {e}", path.display());
                }
            }
        }
    }
}

impl Fetcher {
    /// Starts to download the files of `list`: numbers, each once, and addresses, in about the order in which
    /// [`Fetcher::take`] will be called. Every file must be taken, or downloads stop for want of room.
    ///
    /// # Errors
    /// The client cannot be started.
    pub fn start(
        network: &Network,
        list: Vec<(usize, Address)>,
        options: &FetchOptions,
    ) -> Result<Fetcher, FetchError> {
        let started = match list.first() {
            Some((_, address)) => Some(network.started(address)?),
            None => None,
        };
        let (numbers, addresses): (Vec<usize>, Vec<Address>) = list.into_iter().unzip();
        let all: Vec<&Address> = addresses.iter().collect();
        let shared = Arc::new(Shared {
            paths: folder::download_paths(&options.folder, &all),
            positions: numbers.into_iter().zip(0..).collect(),
            slots: Mutex::new(DownloadSlots {
                list: addresses.iter().map(|_| DownloadSlot::Coming).collect(),
                closed: false,
            }),
            changed: Condvar::new(),
            next: AtomicUsize::new(0),
            room: Arc::new(Semaphore::new(options.read_ahead.clamp(1, Semaphore::MAX_PERMITS))),
            given_up: AtomicU32::new(0),
            keep: options.keep,
            addresses,
        });
        let workers = options.connections.max(1).min(shared.addresses.len());
        let tasks = started.iter().flat_map(|started| {
            let spawn = |_| {
                let work = work(shared.clone(), started.session.clone());
                started.runtime.spawn(work)
            };
            (0..workers).map(spawn)
        });
        Ok(Fetcher {
            tasks: tasks.collect(),
            shared,
            _started: started,
        })
    }

    /// Waits until file `number` of the list has been downloaded, and gives it. Each can be taken once.
    ///
    /// # Errors
    /// The download has failed for good, or the build is asked to stop meanwhile.
    pub fn take(&self, number: usize) -> Result<FetchedFile, FetchError> {
        let position = self.shared.positions[&number];
        let mut slots = lock(&self.shared.slots);
        loop {
            match std::mem::replace(&mut slots.list[position], DownloadSlot::Taken) {
                DownloadSlot::Whole(file) => return Ok(file),
                DownloadSlot::Failed(error) => return Err(error),
                DownloadSlot::Taken => {
                    let address = &self.shared.addresses[position];
                    return Err(FetchError::unsent(address, FetchFailure::Stopped, "was already taken"));
                }
                DownloadSlot::Coming => {
                    slots.list[position] = DownloadSlot::Coming;
                    if stop::asked() {
                        let address = &self.shared.addresses[position];
                        return Err(FetchError::unsent(address, FetchFailure::Stopped, "stopped"));
                    }
                    let changed = &self.shared.changed;
                    let waited = changed.wait_timeout(slots, POLL_INTERVAL);
                    (slots, _) = waited.unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}

impl Drop for Fetcher {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
        let mut slots = lock(&self.shared.slots);
        slots.closed = true;
        // Files are removed now, and not when the last task has noticed the abort.
        let left = std::mem::take(&mut slots.list);
        drop(slots);
        drop(left);
    }
}

/// Downloads file after file, as one of several connections.
async fn work(shared: Arc<Shared>, session: Arc<Session>) {
    loop {
        let Ok(room) = shared.room.clone().acquire_owned().await else {
            return;
        };
        let position = shared.next.fetch_add(1, Ordering::Relaxed);
        let Some(address) = shared.addresses.get(position) else {
            return;
        };
        // Whatever happens to this task, no thread waits for ever.
        let mut guard = SlotGuard {
            slot: DownloadSlot::Failed(FetchError::unsent(address, FetchFailure::Stopped, "stopped")),
            shared: &shared,
            position,
        };
        let fetched = fetch(&shared, &session, position).await;
        guard.slot = match fetched {
            Ok(bytes) => {
                shared.given_up.store(0, Ordering::Relaxed);
                let paths = &shared.paths[position];
                DownloadSlot::Whole(FetchedFile {
                    path: paths.file.clone(),
                    bytes,
                    note: (!shared.keep).then(|| paths.note.clone()),
                    _room: room,
                })
            }
            Err(error) => {
                if matches!(error.failure, FetchFailure::GaveUp | FetchFailure::Denied) {
                    shared.given_up.fetch_add(1, Ordering::Relaxed);
                }
                DownloadSlot::Failed(error)
            }
        };
    }
}

async fn fetch(shared: &Shared, session: &Session, position: usize) -> Result<u64, FetchError> {
    let address = &shared.addresses[position];
    if shared.given_up.load(Ordering::Relaxed) >= MAX_FAILED_IN_A_ROW {
        let cause = format!("not tried, since {MAX_FAILED_IN_A_ROW} downloads in a row failed");
        return Err(FetchError::unsent(address, FetchFailure::Stopped, cause));
    }
    let paths = &shared.paths[position];
    folder::fetch_to(session, address, paths, shared.keep).await
}

/// Puts its slot into the list and wakes the waiting threads when it is dropped.
struct SlotGuard<'a> {
    slot: DownloadSlot,
    shared: &'a Shared,
    position: usize,
}

impl Drop for SlotGuard<'_> {
    fn drop(&mut self) {
        let slot = std::mem::replace(&mut self.slot, DownloadSlot::Taken);
        let mut slots = lock(&self.shared.slots);
        if !slots.closed {
            slots.list[self.position] = slot;
            self.shared.changed.notify_all();
        }
    }
}
