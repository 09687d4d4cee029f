//! Which processes train a model together, and what they tell each other over TCP.
//!
//! | file | what |
//! |---|---|
//! | `membership.rs` | which process this is among how many, as its environment says |
//! | `launch.rs` | starts the processes of one machine |
//! | `connect.rs` | how processes find each other |
//! | `watch.rs` | a process that ends ends all |
//!
//! Rank 0 leads: every other process has two connections to it, one for data and one to see that the other side is
//! there. What is summed is summed by rank 0, in the order of ranks, so as many processes always give the same bits.
//! GPUs sum their gradients by NCCL (`backend/cuda/nccl.rs`) and agree on the rest here.

mod connect;
mod launch;
mod membership;
mod watch;

use crate::Error;
#[cfg(test)]
pub(crate) use connect::each;
pub(crate) use launch::{Children, join};
pub(crate) use membership::Membership;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
pub(crate) use watch::Watch;

/// Values that are summed at a time: 1 MiB.
const BLOCK: usize = 1 << 18;
/// The longest message that is read, in bytes: so damage is not taken for a giant.
const MAX_MESSAGE: u64 = 1 << 30;

/// A connection for data, to the process of a rank.
#[derive(Debug)]
struct Peer {
    rank: usize,
    stream: TcpStream,
}

/// What all processes do at once.
#[derive(Debug, Clone, Copy)]
enum Exchange {
    Gather = 1,
    Sum = 2,
}

/// How a process talks to those that train the same model. Every method is called by all of them, in the same order; it
/// returns when all have called it. A process that is alone talks to itself.
#[derive(Debug)]
pub struct Communicator {
    rank: usize,
    size: usize,
    /// Of rank 0, ranks 1, 2, and so on; of others, rank 0. Empty of a process that is alone.
    peers: Vec<Peer>,
    /// Exchanges so far.
    exchanges: u32,
    watch: Option<Arc<Watch>>,
}

impl Communicator {
    /// The communicator of a process that trains by itself.
    pub(crate) fn alone() -> Communicator {
        Communicator {
            rank: 0,
            size: 1,
            peers: Vec::new(),
            exchanges: 0,
            watch: None,
        }
    }

    fn connected(rank: usize, size: usize, peers: Vec<Peer>, watch: Arc<Watch>) -> Communicator {
        Communicator {
            rank,
            size,
            peers,
            exchanges: 0,
            watch: Some(watch),
        }
    }

    /// The number of this process, from 0.
    pub(crate) fn rank(&self) -> usize {
        self.rank
    }

    /// The number of processes.
    pub(crate) fn size(&self) -> usize {
        self.size
    }

    /// Whether this is rank 0, which writes checkpoints and metrics.
    pub(crate) fn leads(&self) -> bool {
        self.rank == 0
    }

    /// What notices the end of other processes; none of a process that is alone.
    pub(crate) fn watch(&self) -> Option<Arc<Watch>> {
        self.watch.clone()
    }

    /// Looks whether all processes are there, without waiting. The one method that a process may call by itself.
    ///
    /// # Errors
    /// A process has ended.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self.watch.as_ref().and_then(|watch| watch.lost()) {
            Some(what) => Err(Error::Peer(what)),
            None => Ok(()),
        }
    }

    /// What each process gives, in the order of ranks.
    ///
    /// # Errors
    /// A process has ended, or is somewhere else in its work.
    pub(crate) fn gather(&mut self, own: &[u8]) -> Result<Vec<Vec<u8>>, Error> {
        if self.size == 1 {
            return Ok(vec![own.to_vec()]);
        }
        self.exchanges += 1;
        if !self.leads() {
            self.announce(Exchange::Gather, own.len(), own)?;
            let leader = &self.peers[0];
            return (0..self.size).map(|_| self.io(leader, read_part(leader))).collect();
        }
        let mut all = vec![own.to_vec()];
        for peer in &self.peers {
            let len = self.expect(peer, Exchange::Gather)?;
            all.push(self.io(peer, read_bytes(peer, len))?);
        }
        let mut message = Vec::new();
        for part in &all {
            message.extend((part.len() as u64).to_le_bytes());
            message.extend(part);
        }
        for peer in &self.peers {
            self.io(peer, (&peer.stream).write_all(&message))?;
        }
        Ok(all)
    }

    /// What rank 0 gives; nobody looks at what others give.
    ///
    /// # Errors
    /// As [`gather`](Communicator::gather).
    pub(crate) fn broadcast(&mut self, bytes: &[u8]) -> Result<Vec<u8>, Error> {
        let own = if self.leads() { bytes } else { &[] };
        Ok(self.gather(own)?.swap_remove(0))
    }

    /// Makes `values`, as many in every process, those of rank 0.
    ///
    /// # Errors
    /// As [`gather`](Communicator::gather).
    pub(crate) fn broadcast_values(&mut self, values: Values<'_>) -> Result<(), Error> {
        match values {
            Values::Give(values) => {
                let mut bytes = vec![0; 4 * BLOCK.min(values.len())];
                for block in values.chunks(BLOCK) {
                    self.broadcast(encode(block, &mut bytes))?;
                }
            }
            Values::Take(values) => {
                for block in values.chunks_mut(BLOCK) {
                    let bytes = self.broadcast(&[])?;
                    if bytes.len() != size_of_val(block) {
                        return Err(another(0));
                    }
                    decode(&bytes, block, |value, given| *value = given);
                }
            }
        }
        Ok(())
    }

    /// Whether any process says so.
    ///
    /// # Errors
    /// As [`gather`](Communicator::gather).
    pub(crate) fn any(&mut self, says: bool) -> Result<bool, Error> {
        Ok(self.gather(&[says.into()])?.iter().any(|flag| flag[..] == [1]))
    }

    /// Replaces `values`, as many in every process, by their sums over all processes, added in the order of ranks.
    ///
    /// # Errors
    /// As [`gather`](Communicator::gather).
    pub(crate) fn sum(&mut self, values: &mut [f32]) -> Result<(), Error> {
        if self.size == 1 {
            return Ok(());
        }
        self.exchanges += 1;
        let mut bytes = vec![0; 4 * BLOCK.min(values.len())];
        if !self.leads() {
            self.announce(Exchange::Sum, values.len(), &[])?;
            let leader = &self.peers[0];
            for block in values.chunks_mut(BLOCK) {
                let len = encode(block, &mut bytes).len();
                let bytes = &mut bytes[..len];
                self.io(leader, (&leader.stream).write_all(bytes))?;
                self.io(leader, (&leader.stream).read_exact(bytes))?;
                decode(bytes, block, |value, sum| *value = sum);
            }
            return Ok(());
        }
        for peer in &self.peers {
            if self.expect(peer, Exchange::Sum)? != values.len() {
                return Err(another(peer.rank));
            }
        }
        for block in values.chunks_mut(BLOCK) {
            for peer in &self.peers {
                let bytes = &mut bytes[..size_of_val(block)];
                self.io(peer, (&peer.stream).read_exact(bytes))?;
                decode(bytes, block, |sum, value| *sum += value);
            }
            let bytes = encode(block, &mut bytes);
            for peer in &self.peers {
                self.io(peer, (&peer.stream).write_all(bytes))?;
            }
        }
        Ok(())
    }

    /// Tells rank 0 which exchange follows, of how many bytes or values, with the bytes.
    fn announce(&self, exchange: Exchange, len: usize, bytes: &[u8]) -> Result<(), Error> {
        let mut message = Vec::with_capacity(16 + bytes.len());
        message.extend((exchange as u32).to_le_bytes());
        message.extend(self.exchanges.to_le_bytes());
        message.extend((len as u64).to_le_bytes());
        message.extend(bytes);
        let leader = &self.peers[0];
        self.io(leader, (&leader.stream).write_all(&message))
    }

    /// Of how many bytes or values an exchange is that a process announces.
    fn expect(&self, peer: &Peer, exchange: Exchange) -> Result<usize, Error> {
        let mut head = [0; 8];
        self.io(peer, (&peer.stream).read_exact(&mut head))?;
        let [own, number] = [exchange as u32, self.exchanges].map(u32::to_le_bytes);
        if head != *[own, number].as_flattened() {
            return Err(another(peer.rank));
        }
        let mut len = [0; 8];
        self.io(peer, (&peer.stream).read_exact(&mut len))?;
        Ok(u64::from_le_bytes(len) as usize)
    }

    /// A connection that breaks is that of a process that has ended: which one, and of what, is said by its watch.
    fn io<T>(&self, peer: &Peer, result: io::Result<T>) -> Result<T, Error> {
        result.map_err(|cause| {
            let lost = self.watch.as_ref().and_then(|watch| watch.wait_for_loss());
            Error::Peer(lost.unwrap_or_else(|| format!("the connection to rank {} broke: {cause}", peer.rank)))
        })
    }
}

/// Values that are the same in all processes afterwards.
pub(crate) enum Values<'a> {
    /// Of rank 0.
    Give(&'a [f32]),
    /// Of others.
    Take(&'a mut [f32]),
}

/// The error where a process does something else than this one.
fn another(rank: usize) -> Error {
    Error::Peer(format!(
        "rank {rank} is not where the others are in their work; start the same program with the same options in all processes"
    ))
}

fn read_part(peer: &Peer) -> io::Result<Vec<u8>> {
    let mut len = [0; 8];
    (&peer.stream).read_exact(&mut len)?;
    read_bytes(peer, u64::from_le_bytes(len) as usize)
}

fn read_bytes(peer: &Peer, len: usize) -> io::Result<Vec<u8>> {
    if len as u64 > MAX_MESSAGE {
        return Err(io::Error::other(format!("a message of {len} bytes")));
    }
    let mut bytes = vec![0; len];
    (&peer.stream).read_exact(&mut bytes)?;
    Ok(bytes)
}

/// The bytes of `values`, at the beginning of `bytes`.
fn encode<'a>(values: &[f32], bytes: &'a mut [u8]) -> &'a [u8] {
    let bytes = &mut bytes[..size_of_val(values)];
    let (quads, _) = bytes.as_chunks_mut::<4>();
    for (quad, value) in quads.iter_mut().zip(values) {
        *quad = value.to_le_bytes();
    }
    bytes
}

/// Each value of `bytes`, with the one of `values` at its place.
fn decode(bytes: &[u8], values: &mut [f32], to: impl Fn(&mut f32, f32)) {
    let (quads, _) = bytes.as_chunks::<4>();
    for (value, quad) in values.iter_mut().zip(quads) {
        to(value, f32::from_le_bytes(*quad));
    }
}
