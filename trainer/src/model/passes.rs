//! The passes of a model over a batch, on any device.

use super::attention::{Sink, SublayerScratch};
use super::attention_mask::AttentionMask;
use super::backend::{Backend, Kind, Seen};
use super::batch::{check, check_sequences, distances, sight, targets, total};
use super::config::{Head, ModelConfig};
use super::head::{HeadBackward, HeadScratch, LogitsHead, Loss};
use super::layout::Layout;
use super::stack::{Keep, StackMemory, StackPass};
use crate::Error;
use crate::base::{Batch, Sequences};
use crate::math::dropout::Dropout;
use crate::math::elementwise::RowLoss;

/// A model's variables on a device.
pub(crate) struct Weights<'a, B: Backend> {
    pub config: &'a ModelConfig,
    pub layout: &'a Layout,
    /// As values.
    pub parameters: &'a B::Buffer,
    /// As products read them.
    pub matrices: &'a B::Buffer,
}

impl<B: Backend> Clone for Weights<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend> Copy for Weights<'_, B> {}

/// The losses of a batch's targets where a pass has left them; a device may not have computed them yet.
#[derive(Debug)]
pub(crate) struct BatchLosses<B: Backend> {
    targets: B::Targets,
    /// Target positions, padding included.
    positions: usize,
}

/// A device, and memory that the passes there use again.
#[derive(Debug)]
pub(crate) struct Passes<B: Backend> {
    pub on: B,
    encoder: StackMemory<B>,
    decoder: StackMemory<B>,
    scratch: SublayerScratch<B>,
    head: HeadScratch<B>,
    dhidden: B::Buffer,
    dencoded: B::Buffer,
}

/// A stack's tokens on a device, who sees whom, and at which distances.
struct StackSight<B: Backend> {
    tokens: B::Tokens,
    seen: Seen<B>,
    distances: B::Distances,
}

/// A batch on a device.
struct BatchSight<B: Backend> {
    /// With what the decoder sees of it.
    encoder: Option<(StackSight<B>, Seen<B>)>,
    decoder: StackSight<B>,
}

fn seen<B: Backend>(on: &B, mask: AttentionMask) -> Result<Seen<B>, Error> {
    Ok(Seen {
        rows: mask.rows,
        queries: mask.queries,
        keys: mask.keys,
        mask: on.mask(mask)?,
    })
}

impl<B: Backend> BatchSight<B> {
    fn new(on: &B, config: &ModelConfig, batch: &Batch) -> Result<BatchSight<B>, Error> {
        let sight = sight(config, batch)?;
        let encoder = match sight.encoder {
            None => None,
            Some((own, distances, cross)) => Some((
                StackSight {
                    tokens: on.tokens(&batch.inputs.tokens)?,
                    seen: seen(on, own)?,
                    distances: on.distances(distances)?,
                },
                seen(on, cross)?,
            )),
        };
        let (own, distances) = sight.decoder;
        Ok(BatchSight {
            encoder,
            decoder: StackSight {
                tokens: on.tokens(&batch.decoder_inputs)?,
                seen: seen(on, own)?,
                distances: on.distances(distances)?,
            },
        })
    }
}

impl<'a, B: Backend> Weights<'a, B> {
    fn encoder<'s>(self, sight: &'s StackSight<B>, dropout: Option<Dropout>) -> Option<StackPass<'s, B>>
    where
        'a: 's,
    {
        let layout = self.layout.encoder.as_ref()?;
        Some(StackPass {
            config: self.config,
            parameters: self.parameters,
            matrices: self.matrices,
            all: self.layout,
            layout,
            tokens: &sight.tokens,
            distances: &sight.distances,
            seen: &sight.seen,
            cross: None,
            dropout,
            number: 0,
        })
    }

    fn decoder<'s>(self, sight: &'s BatchSight<B>, encoded: &'s B::Buffer, dropout: Option<Dropout>) -> StackPass<'s, B>
    where
        'a: 's,
    {
        StackPass {
            config: self.config,
            parameters: self.parameters,
            matrices: self.matrices,
            all: self.layout,
            layout: &self.layout.decoder,
            tokens: &sight.decoder.tokens,
            distances: &sight.decoder.distances,
            seen: &sight.decoder.seen,
            cross: sight.encoder.as_ref().map(|(_, cross)| (cross, encoded)),
            dropout,
            number: 1,
        }
    }

    fn head(self) -> LogitsHead<'a, B> {
        LogitsHead {
            matrices: self.matrices,
            range: &self.layout.head,
            d: self.config.d_model,
            scale: head_scale(self.config),
        }
    }
}

/// What hidden values are multiplied with before the head's matrix.
pub(crate) fn head_scale(config: &ModelConfig) -> f32 {
    match config.head {
        Head::Tied => (config.d_model as f32).powf(-0.5),
        Head::Untied => 1.0,
    }
}

impl<B: Backend> Passes<B> {
    pub fn new(on: B) -> Passes<B> {
        Passes {
            encoder: StackMemory::new(&on),
            decoder: StackMemory::new(&on),
            scratch: SublayerScratch::new(&on),
            head: HeadScratch::new(&on),
            dhidden: on.buffer(Kind::Value),
            dencoded: on.buffer(Kind::Value),
            on,
        }
    }

    /// `keep`: of the encoder, and of the decoder.
    fn forward(
        &mut self,
        weights: Weights<'_, B>,
        batch: &Batch,
        keep: [Keep; 2],
        dropout: Option<Dropout>,
    ) -> Result<BatchSight<B>, Error> {
        check(weights.config, batch)?;
        let sight = BatchSight::new(&self.on, weights.config, batch)?;
        let on = &mut self.on;
        if let Some((own, _)) = &sight.encoder
            && let Some(pass) = weights.encoder(own, dropout)
        {
            pass.forward(on, keep[0], &mut self.encoder, &mut self.scratch)?;
        }
        let pass = weights.decoder(&sight, &self.encoder.output, dropout);
        pass.forward(on, keep[1], &mut self.decoder, &mut self.scratch)?;
        Ok(sight)
    }

    /// Adds to the gradients of trained variables `weight` times those of the batch's summed training loss. A device is
    /// not waited for.
    pub fn accumulate(
        &mut self,
        weights: Weights<'_, B>,
        gradients: &mut B::Buffer,
        batch: &Batch,
        weight: f32,
        dropout_seed: u64,
    ) -> Result<BatchLosses<B>, Error> {
        let config = weights.config;
        let layout = weights.layout;
        let reach = layout.reach();
        let keep = [reach.encoder, reach.decoder].map(|from| match config.recompute {
            false => Keep::Everything(from),
            true => Keep::Streams(from),
        });
        let dropout = config.dropout_of(dropout_seed);
        let sight = self.forward(weights, batch, keep, dropout)?;
        let Passes {
            on,
            encoder,
            decoder,
            scratch,
            head,
            dhidden,
            dencoded,
        } = self;
        on.resize(dhidden, B::len(&decoder.output))?;
        on.zero(dhidden)?;
        let backward = HeadBackward {
            weight,
            z_loss: config.z_loss,
            dhidden: reach.is_in_decoder.then_some(&mut *dhidden),
            gradients,
            matrix: layout.gradient(&layout.head),
        };
        let targets = weights
            .head()
            .losses(on, &decoder.output, targets(config, batch), Some(backward), head)?;
        if reach.is_in_encoder {
            on.resize(dencoded, B::len(&encoder.output))?;
            on.zero(dencoded)?;
        }
        let pass = weights.decoder(&sight, &encoder.output, dropout);
        let mut sink = Sink {
            variables: gradients,
            encoded: reach.is_in_encoder.then_some(&mut *dencoded),
        };
        pass.backward(on, keep[1], decoder, scratch, dhidden, &mut sink)?;
        if reach.is_in_encoder
            && let Some((own, _)) = &sight.encoder
            && let Some(pass) = weights.encoder(own, dropout)
        {
            let mut sink = Sink {
                variables: gradients,
                encoded: None,
            };
            pass.backward(on, keep[0], encoder, scratch, dencoded, &mut sink)?;
        }
        for spare in layout.spare_gradients() {
            on.zero_part(gradients, spare)?;
        }
        Ok(BatchLosses {
            targets,
            positions: batch.targets.tokens.len(),
        })
    }

    /// The loss of a batch; waits for it.
    pub fn total(&mut self, losses: BatchLosses<B>) -> Result<Loss, Error> {
        Ok(total(losses.positions, &self.on.losses(losses.targets)?))
    }

    /// The losses of the targets that count, row after row, without dropout.
    pub fn target_losses(&mut self, weights: Weights<'_, B>, batch: &Batch) -> Result<Vec<RowLoss>, Error> {
        self.forward(weights, batch, [Keep::Output; 2], None)?;
        let targets = targets(weights.config, batch);
        let (on, hidden) = (&mut self.on, &self.decoder.output);
        let targets = weights.head().losses(on, hidden, targets, None, &mut self.head)?;
        on.losses(targets)
    }

    /// The logits of all target positions, `[batch, targets.length, vocab]`, without dropout.
    pub fn logits(&mut self, weights: Weights<'_, B>, batch: &Batch) -> Result<Vec<f32>, Error> {
        self.forward(weights, batch, [Keep::Output; 2], None)?;
        weights
            .head()
            .logits(&mut self.on, &self.decoder.output, &mut self.head)
    }

    /// The encoder's output, `[batch, inputs.length, d_model]`, without dropout.
    pub fn encode(&mut self, weights: Weights<'_, B>, rows: usize, inputs: &Sequences) -> Result<&B::Buffer, Error> {
        if weights.layout.encoder.is_none() {
            return Err(Error::Setting("a language model has no encoder".into()));
        }
        check_sequences("inputs", rows, inputs, weights.config.vocab_size)?;
        let on = &mut self.on;
        let sight = StackSight {
            tokens: on.tokens(&inputs.tokens)?,
            seen: seen(on, AttentionMask::encoder(rows, inputs)?)?,
            distances: on.distances(distances(weights.config, inputs.length, true))?,
        };
        if let Some(pass) = weights.encoder(&sight, None) {
            pass.forward(on, Keep::Output, &mut self.encoder, &mut self.scratch)?;
        }
        Ok(&self.encoder.output)
    }
}
