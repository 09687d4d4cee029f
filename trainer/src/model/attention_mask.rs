//! Who sees whom: for every query the keys from `start` to before `end`.
//!
//! In packed rows an example's positions are neighbours, and what a query may see of them has no gaps, so two numbers a
//! query say everything that the reference says with a mask. Scores outside are never computed. A query with nothing to
//! see (padding, in a row without any on the other side) gets zeros, where the reference takes a mean over everything;
//! nobody reads it.

use super::config::{Architecture, EOS};
use crate::Error;
use crate::base::Sequences;
use std::ops::Range;

/// For each query `[rows, queries]` the keys it sees.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AttentionMask {
    pub rows: usize,
    pub queries: usize,
    pub keys: usize,
    seen: Vec<Range<u32>>,
}

impl AttentionMask {
    /// The keys of a row's query.
    pub fn of(&self, row: usize, query: usize) -> Range<usize> {
        let seen = &self.seen[row * self.queries + query];
        seen.start as usize..seen.end as usize
    }

    /// The keys that any of some queries sees, and more only where there are some between.
    pub fn span(&self, row: usize, queries: Range<usize>) -> Range<usize> {
        let all = queries.map(|query| self.of(row, query)).filter(|seen| !seen.is_empty());
        all.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end))
            .unwrap_or(0..0)
    }

    /// An encoder's own positions: all of their segment.
    pub fn encoder(rows: usize, inputs: &Sequences) -> Result<AttentionMask, Error> {
        AttentionMask::between(rows, &inputs.segments, &inputs.segments)
    }

    /// From a decoder's positions to the encoder's of the same segment.
    pub fn cross(rows: usize, targets: &Sequences, inputs: &Sequences) -> Result<AttentionMask, Error> {
        AttentionMask::between(rows, &targets.segments, &inputs.segments)
    }

    /// A decoder's own positions.
    pub fn decoder(rows: usize, targets: &Sequences, architecture: Architecture) -> Result<AttentionMask, Error> {
        let mut visibility = AttentionMask::encoder(rows, targets)?;
        let length = targets.length;
        for row in 0..rows {
            let tokens = &targets.tokens[row * length..(row + 1) * length];
            for query in 0..length {
                let seen = &mut visibility.seen[row * length + query];
                // The input part, and one position more: the one that reads the inputs' EOS.
                let inputs = match architecture {
                    Architecture::PrefixLm => {
                        let example = &tokens[seen.start as usize..seen.end as usize];
                        let eos = example.iter().position(|&token| token == EOS);
                        eos.map_or(seen.end, |eos| seen.end.min(seen.start + eos as u32 + 2))
                    }
                    _ => 0,
                };
                seen.end = inputs.max(query as u32 + 1).min(seen.end);
            }
        }
        Ok(visibility)
    }

    fn between(rows: usize, queries: &[u32], keys: &[u32]) -> Result<AttentionMask, Error> {
        let mut visibility = AttentionMask {
            rows,
            queries: queries.len().checked_div(rows).unwrap_or(0),
            keys: keys.len().checked_div(rows).unwrap_or(0),
            seen: Vec::with_capacity(queries.len()),
        };
        for row in 0..rows {
            let keys = &keys[row * visibility.keys..(row + 1) * visibility.keys];
            let mut segments: Vec<(u32, Range<u32>)> = Vec::new();
            for (key, &segment) in keys.iter().enumerate() {
                let key = key as u32;
                let known = segments.iter().position(|(known, _)| *known == segment);
                match known {
                    Some(known) if known + 1 == segments.len() => segments[known].1.end = key + 1,
                    Some(_) => {
                        return Err(Error::Setting(format!(
                            "segment {segment} of a batch's row {row} is in two pieces; pack an example's tokens next to each other"
                        )));
                    }
                    None => segments.push((segment, key..key + 1)),
                }
            }
            let queries = &queries[row * visibility.queries..(row + 1) * visibility.queries];
            visibility.seen.extend(queries.iter().map(|query| {
                let segment = segments.iter().find(|(segment, _)| segment == query);
                segment.map_or(0..0, |(_, seen)| seen.clone())
            }));
        }
        Ok(visibility)
    }
}
