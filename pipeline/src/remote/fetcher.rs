//! Downloads ahead of whoever reads.

use super::Address;
use super::error::{FetchError, FetchFailure};
use super::folder::{self, Place};
use super::network::{Network, Session, Started};
use super::transfer::unasked;
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

/// So many downloads given up or denied in a row, and the others are not tried: it is the line, the server or the
/// credentials, and each would take a minute of waits to fail.
const HOPELESS: u32 = 16;
/// How often to look, while a file is on its way, if the build is asked to stop.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Where downloads go, and how many at a time.
#[derive(Debug, Clone)]
pub struct FetchOptions {
    /// The folder for files; made if it is missing.
    pub folder: PathBuf,
    /// Files stay there, and a later run takes them from there if they are unchanged.
    pub keep: bool,
    /// Files that are being fetched, wait to be read, or are read, at most. At least 1; fewer than
    /// threads that read keep some of them waiting.
    pub read_ahead: usize,
    /// Downloads at a time, at most.
    pub connections: usize,
}

/// Downloads files in the order in which they are to be read. Dropping it stops what is under way;
/// parts stay on disk, for another to go on.
pub struct Fetcher {
    shared: Arc<Shared>,
    tasks: Vec<JoinHandle<()>>,
    /// The threads.
    _started: Option<Arc<Started>>,
}

struct Shared {
    addresses: Vec<Address>,
    places: Vec<Place>,
    /// Position in the list by number.
    positions: BTreeMap<usize, usize>,
    slots: Mutex<Slots>,
    changed: Condvar,
    next: AtomicUsize,
    room: Arc<Semaphore>,
    given_up: AtomicU32,
    keep: bool,
}

struct Slots {
    list: Vec<Slot>,
    /// Nobody takes any more.
    closed: bool,
}

enum Slot {
    Coming,
    Whole(FetchedFile),
    Failed(FetchError),
    Taken,
}

/// A file that is whole on disk. Dropping it makes room for the next one, and removes it unless
/// downloads are kept.
#[derive(Debug)]
pub struct FetchedFile {
    path: PathBuf,
    bytes: u64,
    /// Goes with the file.
    note: Option<PathBuf>,
    _room: OwnedSemaphorePermit,
}

impl FetchedFile {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its size.
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
    /// Begins to fetch. `list`: numbers, each once, and addresses, in the order in which
    /// [`Fetcher::take`] will be called, as near as threads keep to it; every one must be taken.
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
            places: folder::places(&options.folder, &all),
            positions: numbers.into_iter().zip(0..).collect(),
            slots: Mutex::new(Slots {
                list: addresses.iter().map(|_| Slot::Coming).collect(),
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

    /// File `number` of the list; waits until it is whole. Each can be taken once.
    ///
    /// # Errors
    /// It could not be fetched, for good; or the build is asked to stop while it is on its way.
    pub fn take(&self, number: usize) -> Result<FetchedFile, FetchError> {
        let position = self.shared.positions[&number];
        let mut slots = lock(&self.shared.slots);
        loop {
            match std::mem::replace(&mut slots.list[position], Slot::Taken) {
                Slot::Whole(file) => return Ok(file),
                Slot::Failed(error) => return Err(error),
                Slot::Taken => {
                    let address = &self.shared.addresses[position];
                    let cause = "was taken before".to_owned();
                    return Err(unasked(address, FetchFailure::Stopped, cause));
                }
                Slot::Coming => {
                    slots.list[position] = Slot::Coming;
                    if stop::asked() {
                        let address = &self.shared.addresses[position];
                        let cause = "stopped".to_owned();
                        return Err(unasked(address, FetchFailure::Stopped, cause));
                    }
                    let changed = &self.shared.changed;
                    let waited = changed.wait_timeout(slots, LOOK_EVERY);
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
        // Files go now, and not when the last task has seen that it is to stop.
        let left = std::mem::take(&mut slots.list);
        drop(slots);
        drop(left);
    }
}

/// What one connection does: file after file.
async fn work(shared: Arc<Shared>, session: Arc<Session>) {
    loop {
        let Ok(room) = shared.room.clone().acquire_owned().await else {
            return;
        };
        let position = shared.next.fetch_add(1, Ordering::Relaxed);
        let Some(address) = shared.addresses.get(position) else {
            return;
        };
        // Whatever happens to this task, nobody waits for ever.
        let mut outcome = Outcome {
            slot: Slot::Failed(unasked(address, FetchFailure::Stopped, "stopped".to_owned())),
            shared: &shared,
            position,
        };
        let fetched = fetch(&shared, &session, position).await;
        outcome.slot = match fetched {
            Ok(bytes) => {
                shared.given_up.store(0, Ordering::Relaxed);
                let place = &shared.places[position];
                Slot::Whole(FetchedFile {
                    path: place.file.clone(),
                    bytes,
                    note: (!shared.keep).then(|| place.note.clone()),
                    _room: room,
                })
            }
            Err(error) => {
                if matches!(error.failure, FetchFailure::GaveUp | FetchFailure::Denied) {
                    shared.given_up.fetch_add(1, Ordering::Relaxed);
                }
                Slot::Failed(error)
            }
        };
    }
}

async fn fetch(shared: &Shared, session: &Session, position: usize) -> Result<u64, FetchError> {
    let address = &shared.addresses[position];
    if shared.given_up.load(Ordering::Relaxed) >= HOPELESS {
        let cause = format!("not tried, since {HOPELESS} downloads in a row had failed");
        return Err(unasked(address, FetchFailure::Stopped, cause));
    }
    let place = &shared.places[position];
    let file = folder::fetch_to(session, address, place, shared.keep).await?;
    Ok(file.bytes)
}

/// Tells those who wait, when dropped.
struct Outcome<'a> {
    slot: Slot,
    shared: &'a Shared,
    position: usize,
}

impl Drop for Outcome<'_> {
    fn drop(&mut self) {
        let slot = std::mem::replace(&mut self.slot, Slot::Taken);
        let mut slots = lock(&self.shared.slots);
        if !slots.closed {
            slots.list[self.position] = slot;
            self.shared.changed.notify_all();
        }
    }
}
