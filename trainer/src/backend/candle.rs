//! A model whose passes are candle's; gradients are gathered, and the optimiser steps, as on the CPU.

use super::DeviceModel;
use super::candle_ops::CandleBackend;
use super::cpu::Cpu;
use super::recompute::Recompute;
use crate::Error;
use crate::base::{Batch, Sequences};
use crate::math::elementwise::RowLoss;
use crate::model::{Decoder, Layout, Loss, ModelConfig, Passes, T5, Weights};
use crate::optimizer::Optimizer;
use crate::processes::Communicator;

/// A model on the CPU, computed by candle.
pub(super) struct Candle {
    cpu: Cpu,
    passes: Passes<CandleBackend>,
    /// Of batches since it was last taken.
    losses: Vec<Loss>,
}

impl Candle {
    pub fn new(cpu: Cpu) -> Candle {
        let passes = Passes::new(CandleBackend::default());
        Candle {
            cpu,
            passes,
            losses: Vec::new(),
        }
    }

    /// The passes, with the weights that they read and the gradients that they add to.
    fn parts(&mut self) -> (&mut Passes<CandleBackend>, Weights<'_, CandleBackend>, &mut Vec<f32>) {
        let (config, layout, parameters, gradients) = self.cpu.model.vectors();
        let weights = Weights {
            config,
            layout,
            parameters,
            matrices: parameters,
        };
        (&mut self.passes, weights, gradients)
    }
}

impl DeviceModel for Candle {
    fn name(&self) -> Option<&str> {
        Some("candle, on the CPU")
    }

    fn config(&self) -> &ModelConfig {
        self.cpu.config()
    }

    fn zero_gradients(&mut self) -> Result<(), Error> {
        self.losses.clear();
        self.cpu.zero_gradients()
    }

    fn train(&mut self, layout: &Layout) -> Result<(), Error> {
        self.cpu.train(layout)
    }

    fn accumulate_ahead(&mut self, batch: &Batch, weight: f32, dropout_seed: u64) -> Result<(), Error> {
        let (passes, weights, gradients) = self.parts();
        let losses = passes.accumulate(weights, gradients, batch, weight, dropout_seed)?;
        let loss = passes.total(losses)?;
        self.losses.push(loss);
        Ok(())
    }

    fn take_losses(&mut self) -> Result<Vec<Loss>, Error> {
        Ok(std::mem::take(&mut self.losses))
    }

    fn target_losses(&mut self, batch: &Batch) -> Result<Vec<RowLoss>, Error> {
        let (passes, weights, _) = self.parts();
        passes.target_losses(weights, batch)
    }

    fn logits(&mut self, batch: &Batch) -> Result<Vec<f32>, Error> {
        let (passes, weights, _) = self.parts();
        passes.logits(weights, batch)
    }

    fn decoder(
        &mut self,
        rows: usize,
        inputs: &Sequences,
        _beams: usize,
        _max_length: usize,
    ) -> Result<Box<dyn Decoder + '_>, Error> {
        Ok(Box::new(Recompute::open(self, rows, inputs)?))
    }

    fn sum_gradients(&mut self, over: &mut Communicator) -> Result<(), Error> {
        self.cpu.sum_gradients(over)
    }

    fn gradient_norm(&mut self) -> Result<f64, Error> {
        self.cpu.gradient_norm()
    }

    fn clip_gradients(&mut self, norm: f64, limit: f64) -> Result<(), Error> {
        self.cpu.clip_gradients(norm, limit)
    }

    fn update(&mut self, rate: f64, step: u64) -> Result<(), Error> {
        self.cpu.update(rate, step)
    }

    fn gradients(&self) -> Result<Vec<f32>, Error> {
        self.cpu.gradients()
    }

    fn host(&mut self) -> Result<(&T5, Option<&Optimizer>), Error> {
        self.cpu.host()
    }

    fn into_host(self: Box<Self>) -> Result<(T5, Option<Optimizer>), Error> {
        Box::new(self.cpu).into_host()
    }
}
