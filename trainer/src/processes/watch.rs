//! A process that ends ends all: who is killed, or whose machine goes, leaves nobody waiting.
//!
//! Every process but rank 0 has a connection to it over which both send a byte a second. One that breaks, or is silent
//! for too long, tells of the end of the process on the other side. Rank 0 then ends the others and says why, in one
//! line; it has a few seconds to write a checkpoint. Where rank 0 itself has ended, rank 1 says it.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::process::exit;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

/// Between two signs of life.
const BEAT: Duration = Duration::from_secs(1);
/// How long a process may be silent: a machine that is gone does not close its connections.
const SILENCE: Duration = Duration::from_secs(60);
/// How long rank 0 waits for its loop to notice that a process has ended. It looks after every batch and in every
/// exchange, but may be waiting for a GPU that waits for another.
const GRACE: Duration = Duration::from_secs(10);
/// How long is waited for what comes at once where all is well.
const SOON: Duration = Duration::from_secs(5);
/// The longest reason that is read, in bytes.
const MAX_REASON: u32 = 1 << 16;
/// What to do where no checkpoint could be written.
const ADVICE: &str = "--resume goes on from the last checkpoint, with any number of processes";

/// A connection that shows whether the process on the other side is there.
#[derive(Debug)]
pub(super) struct Link {
    pub rank: usize,
    /// Of the process, and its machine's address.
    pub pid: u32,
    pub stream: TcpStream,
}

/// What is said over a link.
enum Sign {
    Beat,
    /// All is done.
    Done,
    /// The process ends, for a reason; of rank 0, which tells it itself, an empty one.
    Failed(String),
}

/// Notices the end of other processes, and tells them of this one's.
#[derive(Debug)]
pub(crate) struct Watch {
    rank: usize,
    size: usize,
    links: Vec<Link>,
    /// Connections on which this process may be waiting.
    data: Vec<TcpStream>,
    state: Mutex<State>,
    changed: Condvar,
    tell: fn(&str),
}

#[derive(Debug, Default)]
struct State {
    /// Which process has ended, and why.
    lost: Option<String>,
    /// The loop knows of it.
    noticed: bool,
    /// This process is about to end: whatever others do is as it should be.
    over: bool,
    /// Links whose other side has not ended yet.
    open: usize,
}

impl Link {
    /// The next sign; an error if none comes within a beat.
    fn read(&self) -> io::Result<Sign> {
        let mut kind = [0];
        (&self.stream).read_exact(&mut kind)?;
        match kind[0] {
            0 => Ok(Sign::Beat),
            1 => Ok(Sign::Done),
            _ => {
                let mut len = [0; 4];
                (&self.stream).read_exact(&mut len)?;
                let len = u32::from_le_bytes(len).min(MAX_REASON);
                let mut text = vec![0; len as usize];
                (&self.stream).read_exact(&mut text)?;
                Ok(Sign::Failed(String::from_utf8_lossy(&text).into_owned()))
            }
        }
    }

    /// Errors show when the other side is read.
    fn send(&self, sign: &Sign) {
        let mut message = Vec::new();
        match sign {
            Sign::Beat => message.push(0),
            Sign::Done => message.push(1),
            Sign::Failed(text) => {
                let text = &text.as_bytes()[..text.len().min(MAX_REASON as usize)];
                message.push(2);
                message.extend((text.len() as u32).to_le_bytes());
                message.extend(text);
            }
        }
        let _ = (&self.stream).write_all(&message);
    }
}

impl Watch {
    /// Begins to watch over all links. `tell` prints a line.
    pub(super) fn start(
        (rank, size): (usize, usize),
        links: Vec<Link>,
        data: Vec<TcpStream>,
        tell: fn(&str),
    ) -> io::Result<Arc<Watch>> {
        for link in &links {
            link.stream.set_read_timeout(Some(BEAT))?;
            link.stream.set_write_timeout(Some(SOON))?;
        }
        let state = State {
            open: links.len(),
            ..State::default()
        };
        let watch = Arc::new(Watch {
            rank,
            size,
            links,
            data,
            state: Mutex::new(state),
            changed: Condvar::new(),
            tell,
        });
        for number in 0..watch.links.len() {
            let watch = watch.clone();
            let follow = move || watch.follow(&watch.links[number]);
            thread::Builder::new().name("watch".to_owned()).spawn(follow)?;
        }
        Ok(watch)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics with the lock")
    }

    /// Waits until something is so, but not longer than `time`.
    fn wait(&self, time: Duration, is_so: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let waited = self
            .changed
            .wait_timeout_while(self.state(), time, |state| !is_so(state));
        waited.expect("no thread panics with the lock").0
    }

    /// Which process has ended, if one has.
    pub(super) fn lost(&self) -> Option<String> {
        let mut state = self.state();
        state.noticed |= state.lost.is_some();
        state.lost.clone()
    }

    /// Which process has ended, where one must have.
    pub(super) fn wait_for_loss(&self) -> Option<String> {
        drop(self.wait(SOON, |state| state.lost.is_some()));
        self.lost()
    }

    /// Tells the others that all is done, and waits until it is with them.
    pub fn done(&self) {
        self.end(&Sign::Done);
    }

    /// Tells the others that this process ends, and why. `true` where somebody else tells the user.
    pub fn fail(&self, why: &str) -> bool {
        let leads = self.rank == 0;
        if !leads && self.state().lost.is_some() {
            return true;
        }
        let why = if leads { "" } else { why };
        self.end(&Sign::Failed(why.to_owned())) && !leads
    }

    /// Says the last word, and waits for that of the others; whether it came.
    fn end(&self, sign: &Sign) -> bool {
        {
            let mut state = self.state();
            state.over = true;
            state.noticed = true;
            self.links.iter().for_each(|link| link.send(sign));
            self.changed.notify_all();
        }
        self.wait(SOON, |state| state.open == 0).open == 0
    }

    /// Until the process on the other side has ended.
    fn follow(&self, link: &Link) {
        let (mut heard, mut sent) = (Instant::now(), None::<Instant>);
        loop {
            if sent.is_none_or(|sent| sent.elapsed() >= BEAT) {
                // Nothing may follow the last word.
                let state = self.state();
                if !state.over {
                    link.send(&Sign::Beat);
                }
                sent = Some(Instant::now());
            }
            match link.read() {
                Ok(Sign::Beat) => heard = Instant::now(),
                Ok(Sign::Done) => return self.close(),
                Ok(Sign::Failed(why)) => return self.lose(link, Some(why)),
                Err(e) if is_nothing(&e) && heard.elapsed() < SILENCE => {}
                Err(_) => return self.lose(link, None),
            }
        }
    }

    fn close(&self) {
        self.state().open -= 1;
        self.changed.notify_all();
    }

    /// The process on the other side has ended, and said why, or not.
    fn lose(&self, link: &Link, said: Option<String>) {
        let mut state = self.state();
        state.open -= 1;
        self.changed.notify_all();
        if state.over || state.lost.is_some() {
            return;
        }
        let lost = self.describe(link, said.as_deref());
        state.lost = Some(lost.clone());
        if self.rank != 0 {
            // With the lock, so that the loop cannot end the process before it is told. Rank 0 has told what it has
            // said.
            if said.is_none() && self.rank == 1 {
                (self.tell)(&format!("t5: {lost}; {ADVICE}"));
            }
            exit(2);
        }
        let end = Sign::Failed(String::new());
        self.links.iter().for_each(|link| link.send(&end));
        for stream in &self.data {
            let _ = stream.shutdown(Shutdown::Both);
        }
        drop(state);
        let state = self.wait(GRACE, |state| state.noticed);
        if !state.noticed {
            (self.tell)(&format!("t5: {lost}; {ADVICE}"));
            exit(2);
        }
    }

    fn describe(&self, link: &Link, said: Option<&str>) -> String {
        let machine = link.stream.peer_addr().map(|address| address.ip().to_string());
        let machine = machine.map(|machine| format!(" on {machine}")).unwrap_or_default();
        let who = format!("rank {} of {} (process {}{machine})", link.rank, self.size, link.pid);
        match said {
            Some(why) => format!("{who}: {why}"),
            None => format!("{who} has ended without a word: it was killed, or its machine or the network is gone"),
        }
    }
}

/// Whether an error says that nothing has come yet: a time limit, or a process that was stopped and goes on.
fn is_nothing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}
