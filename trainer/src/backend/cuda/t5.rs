//! A model on a device: parameters, gradients, the optimiser, and the passes over a batch.

use super::buffer::Buffer;
use super::driver::{Driver, Dtype};
use super::ops::CudaBackend;
use super::optimizer::DeviceOptimizer;
use crate::Error;
use crate::backend::recompute::Recompute;
use crate::backend::{DeviceModel, Precision};
use crate::base::{Batch, Sequences};
use crate::math::elementwise::RowLoss;
use crate::model::{BatchLosses, Decoder, Layout, Loss, ModelConfig, Passes, T5, Weights};
use crate::optimizer::Optimizer;
use crate::processes::Communicator;
use std::sync::Arc;

/// A T5 on a device.
#[derive(Debug)]
pub(super) struct DeviceT5 {
    name: String,
    config: ModelConfig,
    layout: Layout,
    parameters: Buffer,
    /// The parameters in the type of activations, where that is another. Stale after an update.
    cast: Option<Buffer>,
    stale: bool,
    /// Of trained variables; empty where the model is not to be trained.
    gradients: Buffer,
    optimizer: Option<DeviceOptimizer>,
    /// What it was made of, brought up to date when it is asked for.
    host: (T5, Option<Optimizer>),
    passes: Passes<CudaBackend>,
    /// Of sums of squares.
    partial: Buffer,
    /// Of batches since the loss was last taken.
    losses: Vec<BatchLosses<CudaBackend>>,
}

impl DeviceT5 {
    pub fn new(
        driver: Arc<dyn Driver>,
        precision: Precision,
        model: T5,
        optimizer: Option<Optimizer>,
    ) -> Result<DeviceT5, Error> {
        let activations = match precision {
            Precision::Bf16 => Dtype::Bf16,
            Precision::F32 => Dtype::F32,
        };
        let passes = Passes::new(CudaBackend::new(driver.clone(), activations));
        let mut parameters = Buffer::new(&driver, Dtype::F32);
        parameters.set(model.parameters())?;
        let len = model.layout().len();
        let cast = match precision {
            Precision::Bf16 => Some(Buffer::zeros(&driver, activations, len)?),
            Precision::F32 => None,
        };
        let trained = optimizer.as_ref().map_or(0, |_| model.layout().gradients_len());
        Ok(DeviceT5 {
            name: driver.name(),
            config: model.config().clone(),
            layout: model.layout().clone(),
            parameters,
            cast,
            stale: true,
            gradients: Buffer::zeros(&driver, Dtype::F32, trained)?,
            optimizer: match &optimizer {
                Some(optimizer) => Some(DeviceOptimizer::new(&passes.on.kernels, optimizer)?),
                None => None,
            },
            host: (model, optimizer),
            passes,
            partial: Buffer::new(&driver, Dtype::F64),
            losses: Vec::new(),
        })
    }

    /// Brings the copy of the parameters up to date.
    fn refresh(&mut self) -> Result<(), Error> {
        if let Some(cast) = self.cast.as_mut().filter(|_| self.stale) {
            let (shape, kernels) = ((1, 1), &self.passes.on.kernels);
            kernels.cast(self.parameters.all(), cast.all_mut(), None, shape)?;
        }
        self.stale = false;
        Ok(())
    }

    /// The passes, with the weights that they read and the gradients that they add to.
    fn parts(&mut self) -> Result<(&mut Passes<CudaBackend>, Weights<'_, CudaBackend>, &mut Buffer), Error> {
        self.refresh()?;
        let weights = Weights {
            config: &self.config,
            layout: &self.layout,
            parameters: &self.parameters,
            matrices: self.cast.as_ref().unwrap_or(&self.parameters),
        };
        Ok((&mut self.passes, weights, &mut self.gradients))
    }
}

impl DeviceModel for DeviceT5 {
    fn name(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn memory(&self) -> Option<u64> {
        Some(self.passes.on.kernels.driver.most_allocated())
    }

    fn free_memory(&self) -> Result<Option<u64>, Error> {
        self.passes.on.kernels.driver.free_memory().map(Some)
    }

    fn config(&self) -> &ModelConfig {
        &self.config
    }

    fn zero_gradients(&mut self) -> Result<(), Error> {
        self.losses.clear();
        self.gradients.zero()
    }

    fn train(&mut self, layout: &Layout) -> Result<(), Error> {
        self.host()?;
        let (model, optimizer) = &mut self.host;
        model.set_layout(layout);
        self.layout = layout.clone();
        let Some(host) = optimizer else {
            return Ok(());
        };
        *host = host.retrained(layout);
        self.optimizer = Some(DeviceOptimizer::new(&self.passes.on.kernels, host)?);
        self.gradients.resize(layout.gradients_len())?;
        self.gradients.zero()
    }

    fn accumulate_ahead(&mut self, batch: &Batch, weight: f32, dropout_seed: u64) -> Result<(), Error> {
        if self.optimizer.is_none() {
            return Err(Error::Setting(
                "a model was taken to a device without an optimiser; it cannot be trained".into(),
            ));
        }
        let (passes, weights, gradients) = self.parts()?;
        let losses = passes.accumulate(weights, gradients, batch, weight, dropout_seed)?;
        self.losses.push(losses);
        Ok(())
    }

    fn take_losses(&mut self) -> Result<Vec<Loss>, Error> {
        let losses = self.losses.drain(..);
        losses.map(|losses| self.passes.total(losses)).collect()
    }

    fn target_losses(&mut self, batch: &Batch) -> Result<Vec<RowLoss>, Error> {
        let (passes, weights, _) = self.parts()?;
        passes.target_losses(weights, batch)
    }

    fn logits(&mut self, batch: &Batch) -> Result<Vec<f32>, Error> {
        let (passes, weights, _) = self.parts()?;
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
        self.gradients.sum(over)
    }

    fn gradient_norm(&mut self) -> Result<f64, Error> {
        self.passes
            .on
            .kernels
            .square_sums(self.gradients.all(), &mut self.partial)?;
        let sums: Vec<f64> = self.partial.get()?;
        Ok(sums.iter().sum::<f64>().sqrt())
    }

    fn clip_gradients(&mut self, norm: f64, limit: f64) -> Result<(), Error> {
        match norm > limit {
            true => {
                let factor = (limit / norm) as f32;
                self.passes.on.kernels.scale(self.gradients.all_mut(), factor)
            }
            false => Ok(()),
        }
    }

    fn update(&mut self, rate: f64, step: u64) -> Result<(), Error> {
        let Some(optimizer) = &mut self.optimizer else {
            return Ok(());
        };
        self.stale = true;
        optimizer.update(&self.layout, &mut self.parameters, &self.gradients, rate, step)
    }

    fn gradients(&self) -> Result<Vec<f32>, Error> {
        self.gradients.get()
    }

    fn host(&mut self) -> Result<(&T5, Option<&Optimizer>), Error> {
        let (model, optimizer) = &mut self.host;
        self.parameters.get_into(model.parameters_mut())?;
        if let (Some(host), Some(own)) = (&mut *optimizer, &self.optimizer) {
            host.set_state(own.state()?)?;
        }
        Ok((model, optimizer.as_ref()))
    }

    fn into_host(mut self: Box<Self>) -> Result<(T5, Option<Optimizer>), Error> {
        self.host()?;
        Ok(self.host)
    }
}
