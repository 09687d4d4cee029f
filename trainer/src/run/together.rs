//! A run by several processes: rank 0 has the run's folder, and gives the others what they need; all take every so
//! many-th batch.

use super::checkpoint::Checkpoint;
use super::{Run, VOCAB};
use crate::Error;
use crate::backend;
use crate::model::{Loss, T5};
use crate::optimizer::Optimizer;
use crate::processes::{Communicator, Values};
use crate::rows::sizes::{self, FileSize};
use crate::vocab::{self, Vocab};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::Arc;
use xxhash_rust::xxh3::Xxh3;

/// What rank 0 tells the others of a run, before vocabulary, parameters and the optimiser's state.
#[derive(Serialize, Deserialize)]
struct Shared {
    note: Checkpoint,
    saved: Option<u64>,
    /// Of the corpora's files, so that not every process reads them for that.
    sizes: Vec<FileSize>,
}

impl Run {
    /// Trains with others from here on, of which this process is rank 0: gives them what they need.
    ///
    /// # Errors
    /// The vocabulary cannot be read; another process has ended.
    pub fn share(mut self, mut communicator: Communicator) -> Result<Run, Error> {
        if communicator.size() > 1 {
            let shared = Shared {
                note: self.note(),
                saved: self.saved,
                sizes: sizes::all(),
            };
            let shared = serde_json::to_vec(&shared).map_err(|e| Error::format(&self.folder, e.to_string()))?;
            communicator.broadcast(&shared)?;
            communicator.broadcast(&vocab::sentencepiece(&self.folder.join(VOCAB))?)?;
            let (model, optimizer) = self.backend.host()?;
            communicator.broadcast_values(Values::Give(model.parameters()))?;
            communicator.broadcast_values(Values::Give(optimizer.map_or(&[][..], Optimizer::state)))?;
        }
        Ok(Run { communicator, ..self })
    }

    /// Trains with others from here on, of which rank 0 has the run: takes what it gives. Nothing in `folder`, which is
    /// the run's, is read or written.
    ///
    /// # Errors
    /// Another process has ended, or is of another version.
    pub fn join(folder: &Path, mut communicator: Communicator) -> Result<Run, Error> {
        let rank = communicator.rank();
        let unlike = |problem: String| {
            Error::Peer(format!(
                "rank {rank} cannot read what rank 0 gives ({problem}); start the same version of t5 in all processes"
            ))
        };
        let shared = communicator.broadcast(&[])?;
        let Shared { note, saved, sizes } = serde_json::from_slice(&shared).map_err(|e| unlike(e.to_string()))?;
        if note.program != env!("CARGO_PKG_VERSION") {
            return Err(unlike(format!("it is version {}", note.program)));
        }
        sizes::remember(&sizes);
        let vocab = Vocab::of_bytes(&communicator.broadcast(&[])?).map_err(unlike)?;
        let layout = note.layout()?;
        let mut parameters = layout.zeros()?;
        communicator.broadcast_values(Values::Take(&mut parameters))?;
        let mut optimizer = Optimizer::new(note.config.optimizer, &layout);
        let mut state = vec![0.0; optimizer.state().len()];
        communicator.broadcast_values(Values::Take(&mut state))?;
        optimizer.set_state(state)?;
        let mut model = T5::with_parameters(note.config.model.clone(), parameters)?;
        model.set_layout(&layout);
        Ok(Run {
            folder: folder.to_owned(),
            vocab: Arc::new(vocab),
            layout,
            backend: backend::on_cpu(model, Some(optimizer)),
            step: note.step,
            cursor: note.cursor,
            passed_over: Vec::new(),
            saved,
            optimizer_began: note.optimizer_began,
            base_xxh3: note.base_xxh3,
            origin: note.origin,
            noted: Vec::new(),
            vocab_sha256: note.vocab_sha256,
            config: note.config,
            lock: None,
            communicator,
        })
    }

    /// Refuses to go on where processes no longer have the same parameters: they start from the same, and change them
    /// by the same gradients, so one of them computes otherwise.
    ///
    /// # Errors
    /// Says whose parameters are others.
    pub(super) fn check_same(&mut self) -> Result<(), Error> {
        if self.communicator.size() == 1 {
            return Ok(());
        }
        let (model, _) = self.backend.host()?;
        compare(&mut self.communicator, self.step, model.parameters())
    }
}

fn compare(communicator: &mut Communicator, step: u64, parameters: &[f32]) -> Result<(), Error> {
    let mut hash = Xxh3::new();
    for block in parameters.chunks(1 << 10) {
        let bytes: Vec<u8> = block.iter().flat_map(|value| value.to_le_bytes()).collect();
        hash.update(&bytes);
    }
    let all = communicator.gather(&hash.digest128().to_le_bytes())?;
    match all.iter().position(|hash| *hash != all[0]) {
        None => Ok(()),
        Some(rank) => Err(Error::Device(format!(
            "after step {step} rank {rank} has other parameters than rank 0: its machine computes otherwise (another kind of GPU or CPU, another \
             driver or library) or has a fault. Go on from the last checkpoint by --resume, on machines of one kind"
        ))),
    }
}

/// The loss of all `batches`, of which every process has those whose number, divided by the number of processes, leaves
/// its rank. Added in the order of batches, so that the sum is to the bit that of one process with the same losses.
///
/// # Errors
/// Another process has ended.
pub(super) fn add_up(communicator: &mut Communicator, own: &[Loss], batches: usize) -> Result<Loss, Error> {
    let own: Vec<u8> = own.iter().flat_map(to_bytes).collect();
    let all = communicator.gather(&own)?;
    let mut all: Vec<_> = all.iter().map(|losses| losses.as_chunks().0.iter()).collect();
    let mut sum = Loss::default();
    for number in 0..batches {
        let rank = number % all.len();
        let loss = all[rank].next().ok_or_else(|| {
            let problem =
                format!("rank {rank} has other batches than rank 0; the corpora must be the same on all machines");
            Error::Peer(problem)
        })?;
        sum += of_bytes(loss);
    }
    Ok(sum)
}

const LOSS: usize = 40;

fn to_bytes(loss: &Loss) -> [u8; LOSS] {
    let counts = [loss.targets, loss.positions, loss.correct].map(|count| count as u64);
    let sums = [loss.cross_entropy, loss.log_z_squares].map(f64::to_bits);
    let mut bytes = [0; LOSS];
    let numbers = sums.into_iter().chain(counts);
    for (bytes, number) in bytes.as_chunks_mut().0.iter_mut().zip(numbers) {
        *bytes = number.to_le_bytes();
    }
    bytes
}

fn of_bytes(bytes: &[u8; LOSS]) -> Loss {
    let number = |i: usize| u64::from_le_bytes(bytes.as_chunks().0[i]);
    Loss {
        cross_entropy: f64::from_bits(number(0)),
        log_z_squares: f64::from_bits(number(1)),
        targets: number(2) as usize,
        positions: number(3) as usize,
        correct: number(4) as usize,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processes::each;

    #[test]
    fn other_parameters_are_found() {
        let found = each(3, |communicator| {
            let mut parameters = vec![1.0; 3000];
            let same = compare(communicator, 6, &parameters);
            if communicator.rank() == 2 {
                parameters[2999] = 1.0 + f32::EPSILON;
            }
            (
                same.is_ok(),
                compare(communicator, 7, &parameters).unwrap_err().to_string(),
            )
        });
        for (same, error) in found {
            assert!(
                same && error.contains("after step 7 rank 2 has other parameters"),
                "{error}"
            );
        }
    }

    #[test]
    fn losses_come_back() {
        let loss = Loss {
            cross_entropy: -0.0,
            log_z_squares: 1e-300,
            targets: 3,
            positions: 1 << 40,
            correct: 2,
        };
        assert_eq!(of_bytes(&to_bytes(&loss)), loss);
        let mut alone = Communicator::alone();
        assert_eq!(add_up(&mut alone, &[loss, loss], 2).unwrap().positions, 2 << 40);
        let error = add_up(&mut alone, &[loss], 2).unwrap_err().to_string();
        assert!(error.contains("rank 0 has other batches"), "{error}");
    }
}
