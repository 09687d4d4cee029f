//! What transformers gave for two small models, and how far from it ours may be.

use super::{close, one_example_a_row, relative, shared};
use safetensors::SafeTensors;
use std::collections::BTreeMap;
use t5_trainer::Batch;
use t5_trainer::internals::AdafactorConfig;
use t5_trainer::internals::Denominator;
use t5_trainer::internals::huggingface;
use t5_trainer::{ModelConfig, T5};
use t5_trainer::{Optimizer, OptimizerConfig};

/// The learning rate of the reference's step.
pub const RATE: f64 = 1e-2;

/// A model, a batch, and all that came of them: logits, loss, gradients, the parameters after a step of Adafactor.
pub struct Reference {
    pub name: &'static str,
    pub model: T5,
    pub batch: Batch,
    values: BTreeMap<String, Vec<f32>>,
}

/// T5 1.0 and 1.1; `None`, said on stdout, where they are missing.
pub fn hugging_face() -> Option<Vec<Reference>> {
    ["t5_v10", "t5_v11"].into_iter().map(Reference::read).collect()
}

impl Reference {
    fn read(name: &'static str) -> Option<Reference> {
        let folder = shared(&format!("spec/golden/hf_t5/{name}"))?;
        let loaded = huggingface::load(&folder).unwrap();
        let config = ModelConfig {
            dropout: 0.0,
            z_loss: 0.0,
            denominator: Denominator::Targets,
            ..loaded.config().clone()
        };
        let bytes = std::fs::read(folder.join("case.safetensors")).unwrap();
        let case = SafeTensors::deserialize(&bytes).unwrap();
        let floats = |data: &[u8]| -> Vec<f32> {
            let (quads, _) = data.as_chunks();
            quads.iter().map(|quad| f32::from_le_bytes(*quad)).collect()
        };
        Some(Reference {
            name,
            model: T5::with_parameters(config, loaded.parameters().to_vec()).unwrap(),
            batch: batch(&case),
            values: case
                .iter()
                .filter(|(_, tensor)| tensor.dtype() == safetensors::Dtype::F32)
                .map(|(name, tensor)| (name.to_owned(), floats(tensor.data())))
                .collect(),
        })
    }

    /// A tensor by its name.
    pub fn values(&self, name: &str) -> &[f32] {
        &self.values[name]
    }

    /// What made the reference's step: Hugging Face factors every matrix, whatever its size.
    pub fn optimizer(&self) -> Optimizer {
        let settings = AdafactorConfig {
            min_factored_size: 0,
            ..Default::default()
        };
        Optimizer::new(OptimizerConfig::Adafactor(settings), self.model.layout())
    }

    /// Asserts that logits are right within 1e-4; gives the largest difference.
    pub fn check_logits(&self, ours: &[f32]) -> f32 {
        let vocab = self.model.config().vocab_size;
        close_logits(self.name, &self.batch, vocab, ours, self.values("logits"))
    }

    /// Asserts that the mean loss is right within 1e-5.
    pub fn check_loss(&self, ours: f64) {
        let expected = self.values("loss")[0];
        let name = self.name;
        assert!((ours as f32 - expected).abs() < 1e-5, "{name}: {ours}, not {expected}");
    }

    /// Asserts that the gradients of each variable are right within 1e-5, relative to the largest; gives the largest
    /// difference.
    pub fn check_gradients(&self, ours: &[f32]) -> f32 {
        let mut worst = 0.0f32;
        for variable in self.model.layout().variables() {
            let expected = self.values(&format!("grad.{}", variable.name));
            let away = relative(&ours[variable.range.clone()], expected);
            let (model, name) = (self.name, &variable.name);
            assert!(away < 1e-5, "{model}: gradient of {name} is {away:e} away");
            worst = worst.max(away);
        }
        worst
    }

    /// Asserts that parameters after the step are right within 1e-6; gives the largest difference.
    pub fn check_step(&self, parameters: &[f32]) -> f32 {
        let variables = self.model.layout().variables().iter();
        let away = variables.map(|variable| {
            let expected = self.values(&format!("step.{}", variable.name));
            close(&variable.name, &parameters[variable.range.clone()], expected, 1e-6)
        });
        away.fold(0.0, f32::max)
    }
}

/// Asserts that logits of real targets are right within 1e-4; gives the largest difference.
pub fn close_logits(name: &str, batch: &Batch, vocab: usize, ours: &[f32], expected: &[f32]) -> f32 {
    let real = batch.targets.segments.iter().enumerate();
    let away = real.filter(|(_, segment)| **segment > 0).map(|(position, _)| {
        let range = position * vocab..(position + 1) * vocab;
        close(name, &ours[range.clone()], &expected[range], 1e-4)
    });
    away.fold(0.0, f32::max)
}

/// The inputs of a case made with transformers.
fn batch(case: &SafeTensors<'_>) -> Batch {
    let ids = |name: &str| -> Vec<i64> {
        let tensor = case.tensor(name).unwrap();
        tensor
            .data()
            .as_chunks()
            .0
            .iter()
            .map(|bytes| i64::from_le_bytes(*bytes))
            .collect()
    };
    let tokens = |name: &str| ids(name).into_iter().map(|id| id.max(0) as u32).collect::<Vec<u32>>();
    let mut inputs = one_example_a_row(96, tokens("input_ids"));
    inputs.segments = tokens("attention_mask");
    // A label of -100 does not count, and transformers has no mask in the decoder.
    let targets = one_example_a_row(72, tokens("labels"));
    Batch {
        rows: 3,
        inputs,
        targets,
        decoder_inputs: tokens("decoder_input_ids"),
    }
}
