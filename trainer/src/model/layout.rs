//! Where every variable is: one flat buffer of `f32`, one more of the same layout for gradients.
//!
//! Names and shapes are Hugging Face's (a matrix is `[out, in]`), so a checkpoint is read and written without
//! turning anything. Matrices that read the same input are neighbours: queries, keys and values are one product.

use super::config::{Architecture, Head, ModelConfig, RelativeBias};
use crate::Error;
use crate::base::memory;
use std::ops::Range;

/// How a variable starts (see `init.rs`).
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// All ones.
    One,
    /// Normal, with this standard deviation.
    Normal(f64),
    /// Normal with this standard deviation, what lies outside of two of them drawn again.
    TruncatedNormal(f64),
    /// Uniform in plus and minus this bound.
    Uniform(f64),
}

/// A variable.
#[derive(Debug, Clone, PartialEq)]
pub struct Variable {
    /// Hugging Face's name.
    pub name: String,
    /// One or two dimensions.
    pub shape: Vec<usize>,
    /// The variable's elements in the flat buffer of all parameters.
    pub range: Range<usize>,
    /// How the first values of the variable are drawn.
    pub init: Init,
    /// The steps that the optimiser had done when it first saw the variable; `None` where the variable is frozen.
    pub trained: Option<u64>,
    /// The variable's elements in the flat buffer of gradients; `None` where there is no gradient of it.
    pub gradient: Option<Range<usize>>,
}

/// An attention's variables: `norm` `[d_model]`, `q`, `k`, `v` `[heads * d_kv, d_model]`, `o` `[d_model, heads *
/// d_kv]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AttentionLayout {
    pub norm: Range<usize>,
    /// `q`, `k` and `v`, one after the other.
    pub qkv: Range<usize>,
    pub q: Range<usize>,
    /// `k` and `v`.
    pub kv: Range<usize>,
    pub o: Range<usize>,
}

/// A feed-forward layer's variables: `norm` `[d_model]`, `wi` `[1 or 2, d_ff, d_model]`, `wo` `[d_model, d_ff]`; an
/// adapter's, whose `wi` is one matrix and whose `d_ff` is the adapter's width.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FeedForwardLayout {
    pub norm: Range<usize>,
    pub wi: Range<usize>,
    pub wo: Range<usize>,
}

/// A layer's variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LayerLayout {
    /// `[buckets, heads]`, of relative positions; of all layers of a stack the same one, unless each has its own.
    pub relative_bias: Range<usize>,
    pub attention: AttentionLayout,
    /// Attention to the encoder.
    pub cross: Option<AttentionLayout>,
    pub feed_forward: FeedForwardLayout,
    /// Behind the feed-forward layer, where the model has adapters.
    pub adapter: Option<FeedForwardLayout>,
}

/// A stack's variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StackLayout {
    pub layers: Vec<LayerLayout>,
    /// `[d_model]`.
    pub norm: Range<usize>,
}

/// All variables of a model, in the order of the flat buffer. At first all are trained; see [`train`](Layout::train).
#[derive(Debug, Clone, PartialEq)]
pub struct Layout {
    pub(super) variables: Vec<Variable>,
    pub(crate) embedding: Range<usize>,
    pub(crate) encoder: Option<StackLayout>,
    pub(crate) decoder: StackLayout,
    /// `[vocab, d_model]`; the embedding where they are tied.
    pub(crate) head: Range<usize>,
}

impl Layout {
    /// Zeros, one for each parameter.
    ///
    /// # Errors
    /// More of them than the machine's memory holds.
    pub(crate) fn zeros(&self) -> Result<Vec<f32>, Error> {
        let what = format!("a model with {} parameters", self.len());
        memory::refuse_too_much(&what, (self.len() as u64).saturating_mul(size_of::<f32>() as u64))?;
        Ok(vec![0.0; self.len()])
    }

    /// The layout of a model.
    pub fn new(config: &ModelConfig) -> Layout {
        let mut builder = LayoutBuilder {
            config,
            variables: Vec::new(),
            end: 0,
        };
        let table = [config.vocab_size, config.d_model];
        let embedding = builder.add("shared.weight".into(), &table, Init::Normal(1.0));
        let encoder = (config.architecture == Architecture::EncoderDecoder)
            .then(|| builder.stack("encoder", config.encoder_layers, false));
        let cross = config.architecture.has_encoder();
        let decoder = builder.stack("decoder", config.decoder_layers, cross);
        // The same ranges: gradients of both uses meet in one place.
        let encoder = match config.architecture {
            Architecture::Shared => {
                let mut encoder = decoder.clone();
                encoder.layers.iter_mut().for_each(|layer| layer.cross = None);
                Some(encoder)
            }
            _ => encoder,
        };
        let head = match config.head {
            Head::Tied => embedding.clone(),
            Head::Untied => {
                let init = Init::TruncatedNormal(power(config.d_model));
                builder.add("lm_head.weight".into(), &table, init)
            }
        };
        Layout {
            variables: builder.variables,
            embedding,
            encoder,
            decoder,
            head,
        }
    }

    /// All variables, in the order of the flat buffer, which they fill.
    pub fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// The variable with this name.
    pub fn variable(&self, name: &str) -> Option<&Variable> {
        self.variables.iter().find(|variable| variable.name == name)
    }

    /// Where the matrix of the logits is: the embedding where they are tied.
    pub fn head_range(&self) -> Range<usize> {
        self.head.clone()
    }

    /// Elements of the flat buffer: the model's parameters.
    pub fn len(&self) -> usize {
        self.variables.last().map_or(0, |variable| variable.range.end)
    }

    /// Never: an embedding has a row at least.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// `n^-0.5`.
fn power(n: usize) -> f64 {
    (n as f64).powf(-0.5)
}

struct LayoutBuilder<'c> {
    config: &'c ModelConfig,
    variables: Vec<Variable>,
    end: usize,
}

impl LayoutBuilder<'_> {
    fn add(&mut self, name: String, shape: &[usize], init: Init) -> Range<usize> {
        let range = self.end..self.end + shape.iter().product::<usize>();
        self.end = range.end;
        self.variables.push(Variable {
            name,
            shape: shape.to_vec(),
            range: range.clone(),
            init,
            trained: Some(0),
            gradient: Some(range.clone()),
        });
        range
    }

    fn stack(&mut self, stack: &str, layers: usize, cross: bool) -> StackLayout {
        let each_has_its_own = self.config.relative_bias == RelativeBias::EachLayer;
        let mut relative_bias = 0..0;
        let layers = (0..layers).map(|layer| {
            let block = format!("{stack}.block.{layer}.layer");
            let mut sublayers = 0..;
            let mut next = || format!("{block}.{}", sublayers.next().unwrap_or_default());
            let name = next();
            let attention = self.attention(&name, "SelfAttention");
            if layer == 0 || each_has_its_own {
                let (buckets, heads) = (self.config.relative_buckets, self.config.heads);
                // TensorFlow's default, which Mesh leaves in place: Glorot's uniform.
                let bound = (6.0 / (buckets + heads) as f64).sqrt();
                let name = format!("{name}.SelfAttention.relative_attention_bias.weight");
                relative_bias = self.add(name, &[buckets, heads], Init::Uniform(bound));
            }
            let cross = cross.then(|| self.attention(&next(), "EncDecAttention"));
            let name = next();
            LayerLayout {
                relative_bias: relative_bias.clone(),
                attention,
                cross,
                feed_forward: self.feed_forward(&name),
                adapter: (self.config.adapter > 0).then(|| self.adapter(&name)),
            }
        });
        let layers = layers.collect();
        let norm = self.norm(&format!("{stack}.final_layer_norm"));
        StackLayout { layers, norm }
    }

    fn norm(&mut self, name: &str) -> Range<usize> {
        self.add(format!("{name}.weight"), &[self.config.d_model], Init::One)
    }

    /// Mesh TensorFlow's first values: the scale of the dot product is in `q`.
    fn attention(&mut self, name: &str, kind: &str) -> AttentionLayout {
        let (d_model, d_kv) = (self.config.d_model, self.config.d_kv);
        let width = self.config.heads_width();
        let norm = self.norm(&format!("{name}.layer_norm"));
        let mut matrix = |part: &str, shape: [usize; 2], std: f64| {
            self.add(format!("{name}.{kind}.{part}.weight"), &shape, Init::Normal(std))
        };
        let q = matrix("q", [width, d_model], power(d_model * d_kv));
        let k = matrix("k", [width, d_model], power(d_model));
        let v = matrix("v", [width, d_model], power(d_model));
        let o = matrix("o", [d_model, width], power(width));
        AttentionLayout {
            norm,
            qkv: q.start..v.end,
            kv: k.start..v.end,
            q,
            o,
        }
    }

    fn feed_forward(&mut self, name: &str) -> FeedForwardLayout {
        let (d_model, d_ff) = (self.config.d_model, self.config.d_ff);
        let norm = self.norm(&format!("{name}.layer_norm"));
        let inputs: &[&str] = match self.config.activation.gated() {
            None => &["wi"],
            Some(_) => &["wi_0", "wi_1"],
        };
        let mut wi = self.end..self.end;
        for input in inputs {
            let init = Init::TruncatedNormal(power(d_model));
            let name = format!("{name}.DenseReluDense.{input}.weight");
            wi.end = self.add(name, &[d_ff, d_model], init).end;
        }
        let init = Init::TruncatedNormal(power(d_ff));
        let wo = self.add(format!("{name}.DenseReluDense.wo.weight"), &[d_model, d_ff], init);
        FeedForwardLayout { norm, wi, wo }
    }

    /// Behind the feed-forward layer of this name. Both matrices start near 0, so that the model says nearly what it
    /// said without the adapter (Houlsby et al. 2019, sections 2.1 and 3.6: a truncated normal of standard deviation
    /// 0.01).
    fn adapter(&mut self, name: &str) -> FeedForwardLayout {
        let (d_model, width) = (self.config.d_model, self.config.adapter);
        let init = Init::TruncatedNormal(1e-2);
        FeedForwardLayout {
            norm: self.norm(&format!("{name}.adapter.layer_norm")),
            wi: self.add(format!("{name}.adapter.wi.weight"), &[width, d_model], init),
            wo: self.add(format!("{name}.adapter.wo.weight"), &[d_model, width], init),
        }
    }
}
