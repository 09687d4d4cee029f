//! Several models that answer together: one distribution of the next token from those of all.

use crate::Error;
use crate::math::logits::log_sum_exp;
use crate::model::Decoder;
use serde::{Deserialize, Serialize};

/// How several models give one distribution of the next token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ensemble {
    /// The softmax of the mean of their logits, as the paper's ensembles (Raffel et al. 2020, table 13).
    #[default]
    MeanLogit,
    /// The mean of their probabilities, as Mesh TensorFlow has it by default.
    MeanProbability,
}

/// One decoder of several, whose sequences go the same way; of one alone, itself.
pub(super) fn join<'m>(mut decoders: Vec<Box<dyn Decoder + 'm>>, ensemble: Ensemble) -> Box<dyn Decoder + 'm> {
    match (decoders.len(), decoders.pop()) {
        (1, Some(alone)) => alone,
        (_, last) => {
            decoders.extend(last);
            Box::new(Joined {
                decoders,
                ensemble,
                sums: Vec::new(),
                logits: Vec::new(),
            })
        }
    }
}

struct Joined<'m> {
    decoders: Vec<Box<dyn Decoder + 'm>>,
    ensemble: Ensemble,
    sums: Vec<f64>,
    logits: Vec<f32>,
}

impl Decoder for Joined<'_> {
    fn step(&mut self, last: &[u32]) -> Result<&[f32], Error> {
        self.sums.clear();
        let count = self.decoders.len() as f64;
        for decoder in &mut self.decoders {
            let logits = decoder.step(last)?;
            self.sums.resize(logits.len(), 0.0);
            let vocab = logits.len() / last.len();
            let rows = logits.chunks_exact(vocab).zip(self.sums.chunks_exact_mut(vocab));
            for (logits, sums) in rows {
                match self.ensemble {
                    Ensemble::MeanLogit => sums.iter_mut().zip(logits).for_each(|(sum, &x)| *sum += f64::from(x)),
                    Ensemble::MeanProbability => {
                        let log_sum = log_sum_exp(logits);
                        let all = sums.iter_mut().zip(logits);
                        all.for_each(|(sum, &x)| *sum += (f64::from(x) - log_sum).exp());
                    }
                }
            }
        }
        let mean = |sum: &f64| match self.ensemble {
            Ensemble::MeanLogit => (sum / count) as f32,
            // Logarithms of probabilities are logits whose softmax these are.
            Ensemble::MeanProbability => (sum / count).ln() as f32,
        };
        self.logits.clear();
        self.logits.extend(self.sums.iter().map(mean));
        Ok(&self.logits)
    }

    fn reorder(&mut self, places: &[usize]) {
        self.decoders.iter_mut().for_each(|decoder| decoder.reorder(places));
    }
}
