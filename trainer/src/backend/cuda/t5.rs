//! The model on a device: parameters, gradients, and the passes over a batch, as `model/t5.rs` has them.

use super::attention::DeviceSink;
use super::buffer::Buffer;
use super::driver::{Driver, Dtype};
use super::head::{self, DeviceHead};
use super::kernels::Kernels;
use super::optimizer::DeviceOptimizer;
use super::stack::{DeviceMemory, DevicePass, DeviceScratch, Seen, Tokens, buckets};
use crate::Error;
use crate::backend::recompute::Recompute;
use crate::backend::{Backend, Precision};
use crate::base::{Batch, Sequences};
use crate::math::dropout::Dropout;
use crate::math::elementwise::RowLoss;
use crate::model::{self, Decoder, Keep, Layout, Loss, ModelConfig, T5};
use crate::optimizer::Optimizer;
use std::sync::Arc;

/// A T5 on a device.
#[derive(Debug)]
pub(in crate::backend) struct DeviceT5 {
    name: String,
    kernels: Kernels,
    config: ModelConfig,
    layout: Layout,
    parameters: Buffer,
    /// The parameters in the type of activations, where that is another. Stale after an update.
    cast: Option<Buffer>,
    stale: bool,
    /// Empty where the model is not to be trained.
    gradients: Buffer,
    optimizer: Option<DeviceOptimizer>,
    /// What it was made of, brought up to date when it is asked for.
    host: (T5, Option<Optimizer>),
    encoder: DeviceMemory,
    decoder: DeviceMemory,
    scratch: DeviceScratch,
    head: head::DeviceHeadScratch,
    dhidden: Buffer,
    dencoded: Buffer,
    /// Of sums of squares.
    partial: Buffer,
}

/// A batch on the device: tokens, who sees whom, and at which distances.
struct DeviceSight {
    encoder: Option<(Tokens, Seen, Buffer, Seen)>,
    decoder: (Tokens, Seen, Buffer),
}

impl DeviceT5 {
    pub fn new(
        driver: Arc<dyn Driver>,
        precision: Precision,
        model: T5,
        optimizer: Option<Optimizer>,
    ) -> Result<DeviceT5, Error> {
        let name = driver.name();
        let kernels = Kernels { driver: driver.clone() };
        let activations = match precision {
            Precision::Bf16 => Dtype::Bf16,
            Precision::F32 => Dtype::F32,
        };
        let mut parameters = Buffer::new(&driver, Dtype::F32);
        parameters.set(model.parameters())?;
        let len = model.layout().len();
        let cast = match precision {
            Precision::Bf16 => Some(Buffer::zeros(&driver, activations, len)?),
            Precision::F32 => None,
        };
        let trained = if optimizer.is_some() { len } else { 0 };
        let float = || Buffer::new(&driver, Dtype::F32);
        Ok(DeviceT5 {
            name,
            config: model.config().clone(),
            layout: model.layout().clone(),
            parameters,
            cast,
            stale: true,
            gradients: Buffer::zeros(&driver, Dtype::F32, trained)?,
            optimizer: match &optimizer {
                Some(optimizer) => Some(DeviceOptimizer::new(&kernels, optimizer)?),
                None => None,
            },
            host: (model, optimizer),
            encoder: DeviceMemory::new(&kernels, activations),
            decoder: DeviceMemory::new(&kernels, activations),
            scratch: DeviceScratch::new(&kernels, activations),
            head: head::DeviceHeadScratch::new(&kernels, activations),
            dhidden: float(),
            dencoded: float(),
            partial: Buffer::new(&driver, Dtype::F64),
            kernels,
        })
    }

    fn sight(&self, batch: &Batch) -> Result<DeviceSight, Error> {
        let sight = model::sight(&self.config, batch)?;
        let kernels = &self.kernels;
        let encoder = match &sight.encoder {
            None => None,
            Some((own, distances, cross)) => Some((
                Tokens::new(kernels, &batch.inputs.tokens)?,
                Seen::new(kernels, own)?,
                buckets(kernels, distances)?,
                Seen::new(kernels, cross)?,
            )),
        };
        let (own, distances) = &sight.decoder;
        Ok(DeviceSight {
            encoder,
            decoder: (
                Tokens::new(kernels, &batch.decoder_inputs)?,
                Seen::new(kernels, own)?,
                buckets(kernels, distances)?,
            ),
        })
    }

    /// Brings the copy of the parameters up to date.
    fn refresh(&mut self) -> Result<(), Error> {
        if let Some(cast) = self.cast.as_mut().filter(|_| self.stale) {
            let shape = (1, 1);
            self.kernels.cast(self.parameters.all(), cast.all_mut(), None, shape)?;
        }
        self.stale = false;
        Ok(())
    }

    fn forward(&mut self, batch: &Batch, keep: Keep, dropout: Option<Dropout>) -> Result<DeviceSight, Error> {
        model::check(&self.config, batch)?;
        self.refresh()?;
        let sight = self.sight(batch)?;
        let passes = passes(
            &self.kernels,
            &self.config,
            &self.layout,
            (&self.parameters, self.cast.as_ref()),
            &sight,
            dropout,
        );
        if let Some(pass) = passes.encoder() {
            pass.forward(keep, &mut self.encoder, &mut self.scratch)?;
        }
        let pass = passes.decoder(&self.encoder.output);
        pass.forward(keep, &mut self.decoder, &mut self.scratch)?;
        Ok(sight)
    }
}

impl Backend for DeviceT5 {
    fn name(&self) -> Option<&str> {
        Some(&self.name)
    }

    fn config(&self) -> &ModelConfig {
        &self.config
    }

    fn zero_gradients(&mut self) -> Result<(), Error> {
        self.gradients.zero()
    }

    fn accumulate(&mut self, batch: &Batch, weight: f32, dropout_seed: u64) -> Result<Loss, Error> {
        if self.gradients.len() == 0 {
            return Err(Error::Setting(
                "a model was taken to a device without an optimiser; it cannot be trained".into(),
            ));
        }
        let keep = match self.config.recompute {
            false => Keep::Everything,
            true => Keep::Streams,
        };
        let dropout = self.config.dropout_of(dropout_seed);
        let sight = self.forward(batch, keep, dropout)?;
        let targets = model::targets(&self.config, batch);
        self.dhidden.resize(self.decoder.output.len())?;
        self.dhidden.zero()?;
        let backward = head::DeviceHeadBackward {
            weight,
            z_loss: self.config.z_loss,
            dhidden: &mut self.dhidden,
            gradients: &mut self.gradients,
        };
        let weights = self.cast.as_ref().unwrap_or(&self.parameters);
        let head = head_of(&self.kernels, &self.config, &self.layout, weights);
        let hidden = &self.decoder.output;
        let loss = model::total(batch, &head.losses(hidden, &targets, Some(backward), &mut self.head)?);
        let passes = passes(
            &self.kernels,
            &self.config,
            &self.layout,
            (&self.parameters, self.cast.as_ref()),
            &sight,
            dropout,
        );
        let encoder = passes.encoder();
        if encoder.is_some() {
            self.dencoded.resize(self.encoder.output.len())?;
            self.dencoded.zero()?;
        }
        passes.decoder(&self.encoder.output).backward(
            keep,
            &mut self.decoder,
            &mut self.scratch,
            &mut self.dhidden,
            &mut DeviceSink {
                variables: &mut self.gradients,
                encoded: Some(&mut self.dencoded),
            },
        )?;
        if let Some(pass) = encoder {
            pass.backward(
                keep,
                &mut self.encoder,
                &mut self.scratch,
                &mut self.dencoded,
                &mut DeviceSink {
                    variables: &mut self.gradients,
                    encoded: None,
                },
            )?;
        }
        Ok(loss)
    }

    fn target_losses(&mut self, batch: &Batch) -> Result<Vec<RowLoss>, Error> {
        self.forward(batch, Keep::Output, None)?;
        let targets = model::targets(&self.config, batch);
        let weights = self.cast.as_ref().unwrap_or(&self.parameters);
        let head = head_of(&self.kernels, &self.config, &self.layout, weights);
        head.losses(&self.decoder.output, &targets, None, &mut self.head)
    }

    fn logits(&mut self, batch: &Batch) -> Result<Vec<f32>, Error> {
        self.forward(batch, Keep::Output, None)?;
        let weights = self.cast.as_ref().unwrap_or(&self.parameters);
        let head = head_of(&self.kernels, &self.config, &self.layout, weights);
        head.logits(&self.decoder.output, &mut self.head)
    }

    fn decoder(
        &mut self,
        rows: usize,
        inputs: &Sequences,
        beams: usize,
        _max_length: usize,
    ) -> Result<Box<dyn Decoder + '_>, Error> {
        Ok(Box::new(Recompute::open(self, rows, inputs, beams)?))
    }

    fn gradient_norm(&mut self) -> Result<f64, Error> {
        self.kernels.square_sums(self.gradients.all(), &mut self.partial)?;
        let sums: Vec<f64> = self.partial.get()?;
        Ok(sums.iter().sum::<f64>().sqrt())
    }

    fn clip_gradients(&mut self, norm: f64, limit: f64) -> Result<(), Error> {
        match norm > limit {
            true => {
                let factor = (limit / norm) as f32;
                self.kernels.scale(self.gradients.all_mut(), factor)
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

fn head_of<'a>(kernels: &'a Kernels, config: &ModelConfig, layout: &'a Layout, weights: &'a Buffer) -> DeviceHead<'a> {
    DeviceHead {
        kernels,
        weights,
        range: &layout.head,
        d: config.d_model,
        scale: model::head_scale(config),
    }
}

/// What both stacks of a pass have in common.
struct Passes<'a> {
    kernels: &'a Kernels,
    config: &'a ModelConfig,
    layout: &'a Layout,
    parameters: &'a Buffer,
    weights: &'a Buffer,
    sight: &'a DeviceSight,
    dropout: Option<Dropout>,
}

fn passes<'a>(
    kernels: &'a Kernels,
    config: &'a ModelConfig,
    layout: &'a Layout,
    (parameters, cast): (&'a Buffer, Option<&'a Buffer>),
    sight: &'a DeviceSight,
    dropout: Option<Dropout>,
) -> Passes<'a> {
    Passes {
        kernels,
        config,
        layout,
        parameters,
        weights: cast.unwrap_or(parameters),
        sight,
        dropout,
    }
}

impl<'a> Passes<'a> {
    fn encoder(&self) -> Option<DevicePass<'a>> {
        let (tokens, seen, buckets, _) = self.sight.encoder.as_ref()?;
        Some(DevicePass {
            kernels: self.kernels,
            config: self.config,
            parameters: self.parameters,
            weights: self.weights,
            embedding: &self.layout.embedding,
            layout: self.layout.encoder.as_ref()?,
            tokens,
            buckets,
            seen,
            cross: None,
            dropout: self.dropout,
            number: 0,
        })
    }

    fn decoder<'s>(&'s self, encoded: &'s Buffer) -> DevicePass<'s> {
        let (tokens, seen, buckets) = &self.sight.decoder;
        let cross = self.sight.encoder.as_ref();
        DevicePass {
            kernels: self.kernels,
            config: self.config,
            parameters: self.parameters,
            weights: self.weights,
            embedding: &self.layout.embedding,
            layout: &self.layout.decoder,
            tokens,
            buckets,
            seen,
            cross: cross.map(|sight| (&sight.3, encoded)),
            dropout: self.dropout,
            number: 1,
        }
    }
}
