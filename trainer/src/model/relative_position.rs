//! The bias of relative positions: a learned number for every head and bucket of distances (§2.1).
//!
//! Heads see a distance, not a bucket: the table is spread over the distances once a stack, and their gradients are
//! gathered into it once a stack.

/// The bucket of `memory - query` (Mesh TensorFlow, `_relative_position_bucket`): the nearer half exactly, farther
/// ones in steps that grow with the logarithm, all from `max_distance` on alike. A decoder's later positions share
/// bucket 0.
pub fn bucket(distance: i64, bidirectional: bool, buckets: usize, max_distance: usize) -> usize {
    let behind = -distance;
    let (side, buckets, behind) = match bidirectional {
        true if behind < 0 => (buckets / 2, buckets / 2, -behind),
        true => (0, buckets / 2, behind),
        false => (0, buckets, behind.max(0)),
    };
    let behind = usize::try_from(behind).unwrap_or(usize::MAX);
    let exact = buckets / 2;
    if behind < exact {
        return side + behind;
    }
    // In f32, as the reference: at a bucket's edge the rounding decides.
    let steps = (behind as f32 / exact as f32).ln() / ((max_distance as f64 / exact as f64).ln() as f32)
        * (buckets - exact) as f32;
    side + (exact + steps as usize).min(buckets - 1)
}

/// How a stack's distances map to its table `[buckets, heads]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Distances {
    /// The bucket of distance `index - (queries - 1)`.
    buckets: Vec<usize>,
    heads: usize,
}

impl Distances {
    /// Distances of `queries` positions to `keys` positions that start where they do.
    pub fn new(
        queries: usize,
        keys: usize,
        heads: usize,
        bidirectional: bool,
        (buckets, max_distance): (usize, usize),
    ) -> Distances {
        let first = 1 - queries as i64;
        let bucket = |distance| bucket(distance, bidirectional, buckets, max_distance);
        Distances {
            buckets: (first..keys as i64).map(bucket).collect(),
            heads,
        }
    }

    /// Distances of a head.
    pub fn len(&self) -> usize {
        self.buckets.len()
    }

    /// The bucket of each distance.
    #[cfg(devices)]
    pub fn buckets(&self) -> &[usize] {
        &self.buckets
    }

    /// The table by distance, `[heads, len]`.
    pub fn spread(&self, table: &[f32], bias: &mut Vec<f32>) {
        bias.clear();
        for head in 0..self.heads {
            bias.extend(self.buckets.iter().map(|bucket| table[bucket * self.heads + head]));
        }
    }

    /// Backward of [`spread`](Distances::spread): `dtable` is added to.
    pub fn gather(&self, dbias: &[f32], dtable: &mut [f32]) {
        for (head, dbias) in dbias.chunks_exact(self.len()).enumerate() {
            for (bucket, value) in self.buckets.iter().zip(dbias) {
                dtable[bucket * self.heads + head] += value;
            }
        }
    }
}
