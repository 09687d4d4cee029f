//! The CPU, by the passes of `model/`.

use super::DeviceModel;
use crate::Error;
use crate::base::{Batch, Sequences};
use crate::math::elementwise::RowLoss;
use crate::model::{Arranged, Decoder, Layout, Loss, ModelConfig, T5};
use crate::optimizer::{self, Optimizer};
use crate::processes::Communicator;

/// A model on the CPU, and what trains it.
pub(super) struct Cpu {
    pub model: T5,
    optimizer: Option<Optimizer>,
    /// Of batches since it was last taken.
    losses: Vec<Loss>,
    /// The model's matrices for decoding, until training goes on.
    arranged: Option<Arranged>,
}

impl Cpu {
    pub fn new(model: T5, optimizer: Option<Optimizer>) -> Cpu {
        Cpu {
            model,
            optimizer,
            losses: Vec::new(),
            arranged: None,
        }
    }
}

impl DeviceModel for Cpu {
    fn name(&self) -> Option<&str> {
        None
    }

    fn config(&self) -> &ModelConfig {
        self.model.config()
    }

    fn zero_gradients(&mut self) -> Result<(), Error> {
        self.arranged = None;
        self.model.zero_gradients();
        self.losses.clear();
        Ok(())
    }

    fn train(&mut self, layout: &Layout) -> Result<(), Error> {
        self.arranged = None;
        self.model.set_layout(layout);
        if let Some(optimizer) = &mut self.optimizer {
            *optimizer = optimizer.retrained(layout);
        }
        Ok(())
    }

    fn accumulate_ahead(&mut self, batch: &Batch, weight: f32, dropout_seed: u64) -> Result<(), Error> {
        self.arranged = None;
        let loss = self.model.accumulate(batch, weight, dropout_seed)?;
        self.losses.push(loss);
        Ok(())
    }

    fn take_losses(&mut self) -> Result<Vec<Loss>, Error> {
        Ok(std::mem::take(&mut self.losses))
    }

    fn target_losses(&mut self, batch: &Batch) -> Result<Vec<RowLoss>, Error> {
        self.model.target_losses(batch)
    }

    fn logits(&mut self, batch: &Batch) -> Result<Vec<f32>, Error> {
        self.model.logits(batch)
    }

    fn decoder(
        &mut self,
        rows: usize,
        inputs: &Sequences,
        beams: usize,
        max_length: usize,
    ) -> Result<Box<dyn Decoder + '_>, Error> {
        let arranged = match self.arranged.take() {
            Some(arranged) => arranged,
            None => self.model.arrange()?,
        };
        let arranged = self.arranged.insert(arranged);
        Ok(Box::new(self.model.decoder(arranged, rows, inputs, beams, max_length)?))
    }

    fn sum_gradients(&mut self, over: &mut Communicator) -> Result<(), Error> {
        let (_, _, gradients) = self.model.buffers();
        over.sum(gradients)
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
        self.arranged = None;
        if let Some(optimizer) = &mut self.optimizer {
            let (layout, parameters, gradients) = self.model.buffers();
            optimizer.update(layout, parameters, gradients, rate, step);
        }
        Ok(())
    }

    fn gradients(&self) -> Result<Vec<f32>, Error> {
        Ok(self.model.gradients().to_vec())
    }

    fn host(&mut self) -> Result<(&T5, Option<&Optimizer>), Error> {
        Ok((&self.model, self.optimizer.as_ref()))
    }

    fn into_host(self: Box<Self>) -> Result<(T5, Option<Optimizer>), Error> {
        Ok((self.model, self.optimizer))
    }
}
