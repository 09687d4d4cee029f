//! What one training step sees.

/// Packed token sequences, all of one length, row after row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sequences {
    /// Positions in a row; 0 where the model has no such side (a language model has no inputs).
    pub length: usize,
    /// Token ids, `[rows, length]`; 0 is padding.
    pub tokens: Vec<u32>,
    /// Which example of its row a position belongs to, `[rows, length]`: from 1; 0 is padding.
    pub segments: Vec<u32>,
    /// Position within its example, `[rows, length]`: from 0; 0 on padding.
    pub positions: Vec<u32>,
}

/// The examples of one step, packed into rows. The loss weight of a target is 1 where its token is not 0.
///
/// ```
/// use t5_trainer::{Batch, Sequences};
/// let row = |tokens: Vec<u32>| Sequences { length: 3, tokens, segments: vec![1; 3], positions: vec![0, 1, 2] };
/// let batch = Batch {
///     rows: 1,
///     inputs: row(vec![5, 9, 1]),
///     targets: row(vec![7, 8, 1]),
///     decoder_inputs: vec![0, 7, 8],
/// };
/// assert_eq!(batch.targets.tokens.len(), batch.decoder_inputs.len());
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Number of rows.
    pub rows: usize,
    /// What the encoder reads.
    pub inputs: Sequences,
    /// What the decoder shall say.
    pub targets: Sequences,
    /// What the decoder reads, `[rows, targets.length]`: the targets shifted right by one, 0 at the start of each
    /// segment.
    pub decoder_inputs: Vec<u32>,
}
