//! The CPU by way of candle: its gradients, and everything else as on the CPU.

use super::Accelerator;
use crate::model::{Loss, T5};
use crate::optimizer::{self, Optimizer};
use crate::{Batch, Error};

/// A model whose gradients are candle's.
pub(super) struct Candle {
    model: T5,
    /// Where it is to be trained.
    optimizer: Option<Optimizer>,
}

impl Candle {
    pub fn new(model: &T5, optimizer: Option<&Optimizer>) -> Result<Candle, Error> {
        let parameters = model.parameters().to_vec();
        Ok(Candle {
            model: T5::with_parameters(model.config().clone(), parameters)?,
            optimizer: optimizer.cloned(),
        })
    }
}

impl Accelerator for Candle {
    fn name(&self) -> &str {
        "candle, on the CPU"
    }

    fn zero_gradients(&mut self) -> Result<(), Error> {
        self.model.zero_gradients();
        Ok(())
    }

    fn accumulate(&mut self, batch: &Batch, weight: f32, dropout_seed: u64) -> Result<Loss, Error> {
        self.model.accumulate_by_candle(batch, weight, dropout_seed)
    }

    fn evaluate(&mut self, batch: &Batch) -> Result<Loss, Error> {
        self.model.evaluate(batch)
    }

    fn logits(&mut self, batch: &Batch) -> Result<Vec<f32>, Error> {
        self.model.logits(batch)
    }

    fn gradient_norm(&mut self) -> Result<f64, Error> {
        Ok(optimizer::global_norm(self.model.gradients()))
    }

    fn clip_gradients(&mut self, norm: f64, limit: f64) -> Result<(), Error> {
        let (_, _, gradients) = self.model.buffers();
        optimizer::clip_global_norm(gradients, norm, limit);
        Ok(())
    }

    fn update(&mut self, rate: f64, step: u64) -> Result<(), Error> {
        let (layout, parameters, gradients) = self.model.buffers();
        if let Some(optimizer) = &mut self.optimizer {
            optimizer.update(layout, parameters, gradients, rate, step);
        }
        Ok(())
    }

    fn gradients(&self) -> Result<Vec<f32>, Error> {
        Ok(self.model.gradients().to_vec())
    }

    fn download(&self, model: &mut T5, optimizer: Option<&mut Optimizer>) -> Result<(), Error> {
        model.parameters_mut().copy_from_slice(self.model.parameters());
        if let (Some(to), Some(from)) = (optimizer, &self.optimizer) {
            to.clone_from(from);
        }
        Ok(())
    }
}
