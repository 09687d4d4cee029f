//! How processes find each other: rank 0 listens, the others come to it.

use super::watch::{Link, Watch};
use super::{Communicator, Peer};
use crate::Error;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What both sides begin with. Another version of what is said over these connections has another number.
const MAGIC: [u8; 8] = *b"t5ranks1";
/// How long a process waits for the others: machines of a cluster do not start at once.
const PATIENCE: Duration = Duration::from_secs(600);
/// After which a process that waits says so.
const TELL_AFTER: Duration = Duration::from_secs(10);
/// How long the other side of a connection may take to say who it is.
const ANSWER: Duration = Duration::from_secs(10);

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Data = 1,
    Watch = 2,
}

/// Waits for all other processes. `alive` is asked now and then, and gives up by an error. `tell` prints a line.
pub(super) fn lead(
    listener: &TcpListener,
    size: usize,
    mut alive: impl FnMut() -> Result<(), Error>,
    tell: fn(&str),
) -> Result<Communicator, Error> {
    let place = listener.local_addr().map_err(broken)?;
    listener.set_nonblocking(true).map_err(broken)?;
    let mut data: Vec<Option<TcpStream>> = (1..size).map(|_| None).collect();
    let mut links: Vec<Option<Link>> = (1..size).map(|_| None).collect();
    let (begun, mut told) = (Instant::now(), false);
    loop {
        let absent: Vec<String> = (1..size)
            .filter(|rank| data[rank - 1].is_none() || links[rank - 1].is_none())
            .map(|rank| rank.to_string())
            .collect();
        if absent.is_empty() {
            break;
        }
        let absent = absent.join(", ");
        match listener.accept() {
            Ok((stream, _)) => {
                // Whatever else may come to an open port.
                let Some(hello) = greet(&stream) else { continue };
                let Hello { purpose, rank, .. } = hello;
                if hello.size != size || !(1..size).contains(&rank) {
                    return Err(Error::Peer(format!(
                        "rank 0 of {size} processes was found by rank {rank} of {}; give all of them the same WORLD_SIZE",
                        hello.size
                    )));
                }
                let taken = match purpose {
                    Purpose::Data => data[rank - 1].is_some(),
                    Purpose::Watch => links[rank - 1].is_some(),
                };
                if taken {
                    return Err(Error::Peer(format!(
                        "two processes say that they are rank {rank}; give each a RANK of its own, and each run a MASTER_PORT"
                    )));
                }
                answer(&stream).map_err(broken)?;
                match purpose {
                    Purpose::Data => data[rank - 1] = Some(stream),
                    Purpose::Watch => {
                        let pid = hello.pid;
                        links[rank - 1] = Some(Link { rank, pid, stream });
                    }
                }
            }
            Err(e) if e.kind() == ErrorKind::WouldBlock || e.kind() == ErrorKind::Interrupted => {
                alive()?;
                sleep(Duration::from_millis(10));
            }
            Err(e) => return Err(broken(e)),
        }
        if begun.elapsed() > TELL_AFTER && !told {
            tell(&format!("waiting at {place} for rank {absent} of {size}"));
            told = true;
        }
        if begun.elapsed() > PATIENCE {
            return Err(Error::Peer(format!(
                "rank {absent} of {size} did not come to {place} within {} minutes; start all processes, with the same MASTER_ADDR and \
                 MASTER_PORT",
                PATIENCE.as_secs() / 60
            )));
        }
    }
    let peers = (1..).zip(data.into_iter().flatten());
    let peers = peers.map(|(rank, stream)| Peer { rank, stream }).collect();
    finish(0, size, peers, links.into_iter().flatten().collect(), tell)
}

/// Goes to rank 0.
pub(super) fn follow(
    (rank, size): (usize, usize),
    (host, port): (&str, u16),
    tell: fn(&str),
) -> Result<Communicator, Error> {
    let pid = std::process::id();
    let knock = |purpose, patience| {
        let hello = Hello {
            purpose,
            rank,
            size,
            pid,
        };
        knock((host, port), &hello, patience, tell)
    };
    let (stream, _) = knock(Purpose::Data, PATIENCE)?;
    let data = Peer { rank: 0, stream };
    let (stream, pid) = knock(Purpose::Watch, ANSWER)?;
    let link = Link { rank: 0, pid, stream };
    finish(rank, size, vec![data], vec![link], tell)
}

fn finish(rank: usize, size: usize, peers: Vec<Peer>, links: Vec<Link>, tell: fn(&str)) -> Result<Communicator, Error> {
    let data: Result<Vec<TcpStream>, _> = peers.iter().map(|peer| peer.stream.try_clone()).collect();
    let watch = Watch::start((rank, size), links, data.map_err(broken)?, tell);
    Ok(Communicator::connected(rank, size, peers, watch.map_err(broken)?))
}

/// What a process says of itself first.
struct Hello {
    purpose: Purpose,
    rank: usize,
    size: usize,
    pid: u32,
}

impl Hello {
    fn to_bytes(&self) -> Vec<u8> {
        let numbers = [self.purpose as u32, self.rank as u32, self.size as u32, self.pid];
        let numbers = numbers.into_iter().flat_map(u32::to_le_bytes);
        MAGIC.into_iter().chain(numbers).collect()
    }

    fn of_bytes(bytes: &[u8; 24]) -> Option<Hello> {
        let (magic, numbers) = bytes.split_at(MAGIC.len());
        let (quads, _) = numbers.as_chunks::<4>();
        let [purpose, rank, size, pid] = *quads else {
            return None;
        };
        let number = |quad| u32::from_le_bytes(quad) as usize;
        let purpose = match number(purpose) {
            1 => Purpose::Data,
            2 => Purpose::Watch,
            _ => return None,
        };
        let hello = Hello {
            purpose,
            rank: number(rank),
            size: number(size),
            pid: u32::from_le_bytes(pid),
        };
        (magic == MAGIC).then_some(hello)
    }
}

/// Who has come, unless it is somebody else.
fn greet(stream: &TcpStream) -> Option<Hello> {
    // Where accepted connections are as their listener.
    stream.set_nonblocking(false).ok()?;
    let mut bytes = [0; 24];
    prepare(stream).ok()?;
    let mut stream = stream;
    stream.read_exact(&mut bytes).ok()?;
    Hello::of_bytes(&bytes)
}

/// Tells who has come that rank 0 takes it in.
fn answer(mut stream: &TcpStream) -> std::io::Result<()> {
    let pid = std::process::id().to_le_bytes();
    stream.write_all(&[&MAGIC[..], &pid].concat())?;
    stream.set_read_timeout(None)
}

/// A connection to rank 0, with the id of its process. It may not be there yet, which `patience` is for.
fn knock(place: (&str, u16), hello: &Hello, patience: Duration, tell: fn(&str)) -> Result<(TcpStream, u32), Error> {
    let (host, port) = place;
    let (begun, mut told) = (Instant::now(), false);
    let mut stream = loop {
        let cause = match TcpStream::connect(place) {
            Ok(stream) => break stream,
            Err(cause) => cause,
        };
        if begun.elapsed() > TELL_AFTER && !told {
            tell(&format!("rank {}: waiting for rank 0 at {host}:{port}", hello.rank));
            told = true;
        }
        if begun.elapsed() > patience {
            return Err(Error::Peer(format!(
                "rank {} did not find rank 0 at {host}:{port} within {} seconds ({cause}); start it, with the same MASTER_ADDR and MASTER_PORT",
                hello.rank,
                patience.as_secs()
            )));
        }
        sleep(Duration::from_millis(50));
    };
    let mut answer = [0; 12];
    let answered = prepare(&stream)
        .and_then(|()| stream.write_all(&hello.to_bytes()))
        .and_then(|()| stream.read_exact(&mut answer))
        .and_then(|()| stream.set_read_timeout(None));
    let (magic, pid) = answer.split_at(MAGIC.len());
    match (answered, pid.first_chunk()) {
        (Ok(()), Some(pid)) if magic == MAGIC => Ok((stream, u32::from_le_bytes(*pid))),
        _ => Err(Error::Peer(format!(
            "rank {}: what listens at {host}:{port} does not answer as rank 0 of these processes; see what that says, or choose another MASTER_PORT",
            hello.rank
        ))),
    }
}

fn prepare(stream: &TcpStream) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(ANSWER))
}

fn broken(cause: std::io::Error) -> Error {
    Error::Peer(format!("processes cannot be connected: {cause}"))
}

/// What every one of `size` processes, here threads, makes of its communicator, in the order of ranks.
#[cfg(test)]
#[allow(clippy::unwrap_used)]
pub(crate) fn each<T: Send>(size: usize, work: impl Fn(&mut Communicator) -> T + Sync) -> Vec<T> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let run = |rank: usize| {
        let mut communicator = match rank {
            0 => lead(&listener, size, || Ok(()), |_| ()),
            rank => follow((rank, size), ("127.0.0.1", port), |_| ()),
        }
        .unwrap();
        assert_eq!((communicator.rank(), communicator.size()), (rank, size));
        let made = work(&mut communicator);
        communicator.watch().unwrap().done();
        made
    };
    // Somebody else, who comes first.
    let mut stranger = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stranger
        .write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .unwrap();
    let run = &run;
    std::thread::scope(|scope| {
        let ranks: Vec<_> = (0..size).map(|rank| scope.spawn(move || run(rank))).collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::super::Values;
    use super::*;

    #[test]
    fn sums_are_those_of_the_order_of_ranks() {
        // Two blocks and a piece, of values whose sum depends on the order.
        let len = 2 * super::super::BLOCK + 7;
        let values = |rank: usize| -> Vec<f32> {
            let value = |i: usize| [1e8, 1.0, -1e8, 3.0][(rank + i) % 4] * (1.0 + i as f32 / len as f32);
            (0..len).map(value).collect()
        };
        let mut wanted = values(0);
        for rank in 1..4 {
            wanted
                .iter_mut()
                .zip(values(rank))
                .for_each(|(sum, value)| *sum += value);
        }
        let sums = each(4, |communicator| {
            let mut own = values(communicator.rank());
            communicator.sum(&mut own).unwrap();
            own
        });
        assert!(sums.iter().all(|sum| *sum == wanted));
    }

    #[test]
    fn all_get_what_each_gives_and_what_rank_0_has() {
        let found = each(3, |communicator| {
            let rank = communicator.rank();
            let own = vec![rank as u8; 3 * rank];
            let gathered = communicator.gather(&own).unwrap();
            let any = [rank == 2, false].map(|says| communicator.any(says).unwrap());
            let broadcast = communicator.broadcast(format!("from {rank}").as_bytes()).unwrap();
            let leads = communicator.leads();
            // To the bit, which sums with zeros would not give.
            let mut values = vec![if leads { -0.0 } else { 7.0 }; 5];
            let given = values.clone();
            communicator
                .broadcast_values(match leads {
                    true => Values::Give(&given),
                    false => Values::Take(&mut values),
                })
                .unwrap();
            communicator.check().unwrap();
            (
                gathered,
                any,
                broadcast,
                values.iter().all(|v| v.to_bits() == (-0.0f32).to_bits()),
            )
        });
        let gathered = vec![vec![], vec![1; 3], vec![2; 6]];
        for each in found {
            assert_eq!(each, (gathered.clone(), [true, false], b"from 0".to_vec(), true));
        }
    }

    #[test]
    fn who_is_elsewhere_in_the_work_is_found() {
        let found = each(2, |communicator| match communicator.leads() {
            true => communicator.sum(&mut [1.0, 2.0]).map_err(|error| error.to_string()),
            // Does not wait for an answer that will not come.
            false => communicator
                .announce(super::super::Exchange::Gather, 8, &[0; 8])
                .map_err(|e| e.to_string()),
        });
        let error = found[0].clone().unwrap_err();
        assert!(error.contains("rank 1 is not where the others are"), "{error}");
    }

    #[test]
    fn an_alone_process_talks_to_itself() {
        let mut alone = Communicator::alone();
        let mut values = [1.5, -2.5];
        alone.sum(&mut values).unwrap();
        assert_eq!(values, [1.5, -2.5]);
        assert_eq!(alone.gather(b"x").unwrap(), [b"x"]);
        assert!(alone.any(true).unwrap() && !alone.any(false).unwrap());
        assert!(alone.leads() && alone.check().is_ok());
    }
}
