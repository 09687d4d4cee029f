//! Becomes one of several processes: one that the environment tells of, or one of those that this process starts on its
//! machine.

use super::connect::{follow, lead};
use super::{Communicator, Membership};
use crate::Error;
use std::env;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// How long processes that were started here may take to end, once this one is about to.
const END: Duration = Duration::from_secs(10);

/// Processes that this one has started, by rank from 1.
#[derive(Debug, Default)]
pub(crate) struct Children(Vec<Child>);

/// Joins the processes that train together: those of the environment; or else `processes` of this machine, of which
/// this one is rank 0 and starts the others, with its own command line. `tell` prints a line.
///
/// # Errors
/// A process cannot be started, or does not come; a port that is taken.
pub(crate) fn join(
    membership: Option<&Membership>,
    processes: usize,
    tell: fn(&str),
) -> Result<(Communicator, Children), Error> {
    let Some(member) = membership else {
        return match processes {
            0 | 1 => Ok((Communicator::alone(), Children::default())),
            _ => start(processes, tell),
        };
    };
    let communicator = match member.rank {
        0 => lead(&listen(member)?, member.size, || Ok(()), tell)?,
        rank => follow((rank, member.size), (&member.host, member.port), tell)?,
    };
    Ok((communicator, Children::default()))
}

/// Listens to whoever may come from other machines; only to this one where `MASTER_ADDR` is this one's own.
fn listen(member: &Membership) -> Result<TcpListener, Error> {
    let (host, port) = (&*member.host, member.port);
    let found = (host, port).to_socket_addrs();
    let is_local = found.is_ok_and(|mut found| found.all(|address| address.ip().is_loopback()));
    let any = [IpAddr::from(Ipv6Addr::UNSPECIFIED), Ipv4Addr::UNSPECIFIED.into()];
    let any: Vec<SocketAddr> = any.into_iter().map(|ip| (ip, port).into()).collect();
    let listener = match is_local {
        true => TcpListener::bind((host, port)),
        false => TcpListener::bind(&any[..]),
    };
    listener.map_err(|e| {
        Error::Peer(format!(
            "rank 0 cannot listen at port {port} ({e}); choose another MASTER_PORT"
        ))
    })
}

fn start(processes: usize, tell: fn(&str)) -> Result<(Communicator, Children), Error> {
    let failed = |e| Error::Peer(format!("{processes} processes cannot be started: {e}"));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
    let port = listener.local_addr().map_err(failed)?.port();
    let program = env::current_exe().map_err(failed)?;
    let mut children = Children::default();
    for rank in 1..processes {
        let mut command = Command::new(&program);
        command.args(env::args_os().skip(1)).stdin(Stdio::null());
        for (name, value) in [
            ("RANK", rank),
            ("LOCAL_RANK", rank),
            ("WORLD_SIZE", processes),
            ("LOCAL_WORLD_SIZE", processes),
            ("MASTER_PORT", port.into()),
        ] {
            command.env(name, value.to_string());
        }
        command.env("MASTER_ADDR", Ipv4Addr::LOCALHOST.to_string());
        command.env_remove("TORCHELASTIC_USE_AGENT_STORE");
        children.0.push(command.spawn().map_err(failed)?);
    }
    let communicator = lead(&listener, processes, || children.are_alive(), tell)?;
    Ok((communicator, children))
}

impl Children {
    /// An error where one has ended before its time.
    fn are_alive(&mut self) -> Result<(), Error> {
        for (rank, child) in (1..).zip(&mut self.0) {
            if let Ok(Some(status)) = child.try_wait() {
                return Err(Error::Peer(format!(
                    "rank {rank} ended before it began ({status}); see what it says above"
                )));
            }
        }
        Ok(())
    }

    /// Waits for all to end, as they do by themselves.
    pub fn wait(&mut self) {
        let begun = Instant::now();
        for child in &mut self.0 {
            while matches!(child.try_wait(), Ok(None)) && begun.elapsed() < END {
                sleep(Duration::from_millis(5));
            }
        }
    }
}

/// Ends those that have not ended by themselves, as one that waits for a GPU.
impl Drop for Children {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
