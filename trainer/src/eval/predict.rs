//! What models write for many inputs: batches of inputs of like lengths, answers in the order of the inputs.

pub use super::ensemble::Ensemble;
use super::generate::{Decoding, Generated, answer_rows};
use crate::Error;
use crate::backend::DeviceModel;
use crate::base::Sequences;

/// How inputs are answered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answering {
    /// How the next token is chosen.
    pub decoding: Decoding,
    /// Tokens of an answer at most, its EOS included.
    pub max_length: usize,
    /// Inputs of a batch; on the CPU, answers do not depend on it.
    pub rows: usize,
    /// What is made of several models; of one alone it changes nothing.
    pub ensemble: Ensemble,
}

/// What models of one vocabulary write for each of `inputs` (token ids, with the EOS where the models' examples have
/// one), in the order of the inputs. Inputs of like lengths are answered together; `on_done` gets the number of inputs
/// answered so far after each batch. For models without an encoder an input is what the answer goes on from.
///
/// On the CPU, an answer is the same to the bit whatever its neighbours, for any number of rows and threads.
///
/// # Errors
/// Settings that cannot be, models of different vocabularies, an input that is not for these models, too little memory.
pub fn predict(
    models: &mut [&mut dyn DeviceModel],
    inputs: &[Vec<u32>],
    answering: &Answering,
    mut on_done: impl FnMut(usize),
) -> Result<Vec<Generated>, Error> {
    answering.decoding.validate()?;
    if answering.rows == 0 {
        return Err(Error::Setting(
            "a batch of 0 inputs answers nothing; give 1 at least".into(),
        ));
    }
    let Some(first) = models.first() else {
        return Err(Error::Setting("no model is given to answer by; give 1 at least".into()));
    };
    let vocab = first.config().vocab_size;
    if let Some(other) = models.iter().find(|model| model.config().vocab_size != vocab) {
        return Err(Error::Setting(format!(
            "an ensemble of a model with {vocab} tokens and one with {}; take models of one vocabulary",
            other.config().vocab_size
        )));
    }
    // What goes on from a prompt has no place for padding.
    let one_length = models.iter().any(|model| !model.config().architecture.has_encoder());
    // The longest first, so that what is too much for the memory is refused at once.
    let mut order: Vec<usize> = (0..inputs.len()).collect();
    order.sort_by_key(|&number| (std::cmp::Reverse(inputs[number].len()), number));
    let together = |a: &usize, b: &usize| !one_length || inputs[*a].len() == inputs[*b].len();
    let mut answers: Vec<Option<Generated>> = vec![None; inputs.len()];
    let mut done = 0;
    for batch in order.chunk_by(together).flat_map(|same| same.chunks(answering.rows)) {
        let rows: Vec<&[u32]> = batch.iter().map(|&number| &inputs[number][..]).collect();
        let found = answer_rows(models, batch, &padded(&rows), answering)?;
        for (&number, found) in batch.iter().zip(found) {
            answers[number] = Some(found);
        }
        done += batch.len();
        on_done(done);
    }
    let answers = answers.into_iter().flatten().collect::<Vec<_>>();
    debug_assert_eq!(answers.len(), inputs.len(), "every input is in one batch");
    Ok(answers)
}

/// Rows of one example each, padded to the longest.
fn padded(rows: &[&[u32]]) -> Sequences {
    let length = rows.iter().map(|row| row.len()).max().unwrap_or_default();
    let mut sequences = Sequences {
        length,
        ..Sequences::default()
    };
    for row in rows {
        let (len, end) = (row.len(), sequences.tokens.len() + length);
        sequences.tokens.extend_from_slice(row);
        sequences.segments.extend(std::iter::repeat_n(1, len));
        sequences.positions.extend(0..len as u32);
        sequences.tokens.resize(end, 0);
        sequences.segments.resize(end, 0);
        sequences.positions.resize(end, 0);
    }
    sequences
}
