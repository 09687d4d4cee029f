//! Every backend against reference implementations (Mesh TensorFlow, Hugging Face), against the CPU, and against
//! itself.
//!
//! Candle's always; the GPU's kernels emulated (feature `cuda-emulated`, `make cuda-test`), or with
//! `T5_TEST_DEVICE=cuda` on a GPU (feature `cuda`, `make cuda-gpu-test`).

use crate::common::references::{RATE, close_logits, hugging_face};
use crate::common::{batch, close, drawn, kinds, mesh_model, one_example_a_row, relative, small};
use t5_trainer::internals::{
    AdafactorConfig, AdamWConfig, Architecture, DropoutShape, Emulation, Loss, LossOn, Variable, clip_global_norm,
    global_norm,
};
use t5_trainer::{
    Batch, Decoding, Device, DeviceModel, ModelConfig, Optimizer, OptimizerConfig, Precision, T5, generate, open,
};

/// The backends that are compared with the CPU's: `T5_TEST_DEVICE` alone where it is set.
pub fn backends() -> Vec<Device> {
    if let Ok(name) = std::env::var("T5_TEST_DEVICE") {
        return vec![name.parse().unwrap()];
    }
    let mut all = Vec::new();
    if cfg!(feature = "candle") {
        all.push(Device::Candle);
    }
    if cfg!(feature = "cuda-emulated") {
        all.push(Device::Emulated(Emulation::OneThread));
    }
    all
}

/// Those of them that compute with bf16, too.
fn accelerators() -> Vec<Device> {
    let all = backends().into_iter();
    all.filter(|device| *device != Device::Candle).collect()
}

/// What a device computes with.
pub fn precisions(device: Device) -> &'static [Precision] {
    match device {
        Device::Candle => &[Precision::F32],
        _ => &[Precision::F32, Precision::Bf16],
    }
}

fn adafactor() -> OptimizerConfig {
    OptimizerConfig::Adafactor(AdafactorConfig::default())
}

/// A model on the device.
fn on(device: Device, precision: Precision, model: &T5) -> Box<dyn DeviceModel> {
    let optimizer = Optimizer::new(adafactor(), model.layout());
    opened(device, precision, model, Some(&optimizer))
}

/// A copy of a model on the device.
pub fn opened(device: Device, precision: Precision, model: &T5, optimizer: Option<&Optimizer>) -> Box<dyn DeviceModel> {
    let copy = T5::with_parameters(model.config().clone(), model.parameters().to_vec()).unwrap();
    open(device, precision, copy, optimizer.cloned()).unwrap()
}

/// The largest difference of a variable's gradients, relative to its largest one; with its name.
fn worst(model: &T5, ours: &[f32], theirs: &[f32]) -> (f32, String) {
    let each = model.layout().variables().iter().map(|variable| {
        let range = variable.range.clone();
        let away = relative(&ours[range.clone()], &theirs[range]);
        (away, variable.name.clone())
    });
    each.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap()
}

/// `|ours - theirs| / |theirs|`, as vectors.
fn distance(ours: &[f32], theirs: &[f32]) -> f64 {
    let square = |x: f32| f64::from(x).powi(2);
    let apart: f64 = ours.iter().zip(theirs).map(|(a, b)| square(a - b)).sum();
    (apart / theirs.iter().map(|&x| square(x)).sum::<f64>()).sqrt()
}

#[test]
fn mesh_models_give_the_same_logits_and_losses() {
    for place in backends() {
        for name in ["v1_0", "v1_1", "shared", "lm", "prefix_lm"] {
            let (golden, model, batch) = mesh_model(name);
            let mut device = on(place, Precision::F32, &model);
            let logits = device.logits(&batch).unwrap();
            let expected = crate::common::floats(&golden["logits"]);
            let vocab = model.config().vocab_size;
            let worst = close_logits(name, &batch, vocab, &logits, &expected);
            let denominator = model.denominator(&batch).unwrap();
            for (key, z_loss) in [("loss_eval_no_z", 0.0), ("loss_train_with_z", 1e-4)] {
                let expected = golden[key].as_f64().unwrap();
                let loss = device.evaluate(&batch).unwrap();
                let ours = (loss.cross_entropy + z_loss * loss.log_z_squares) / denominator;
                assert!((ours - expected).abs() < 1e-5, "{name} {key}: {ours}, not {expected}");
            }
            println!("{name}: logits at most {worst:e} away");
        }
    }
}

/// Logits, loss, gradients and a step of Adafactor of Hugging Face's models.
#[test]
fn hugging_face_models_agree() {
    for place in backends() {
        for reference in hugging_face().into_iter().flatten() {
            let optimizer = reference.optimizer();
            let (model, batch) = (&reference.model, &reference.batch);
            let mut device = opened(place, Precision::F32, model, Some(&optimizer));
            let logits = device.logits(batch).unwrap();
            let denominator = model.denominator(batch).unwrap();
            let loss = device.accumulate(batch, (1.0 / denominator) as f32, 0).unwrap();
            let gradients = device.gradients().unwrap();
            device.update(RATE, 0).unwrap();

            reference.check_loss(loss.mean());
            println!(
                "{}: logits {:e}, gradients {:e} (relative), step {:e} away",
                reference.name,
                reference.check_logits(&logits),
                reference.check_gradients(&gradients),
                reference.check_step(device.host().unwrap().0.parameters())
            );
        }
    }
}

/// Of all kinds of models, with all kinds of dropout, keeping everything or computing it again.
#[test]
fn the_cpu_gives_the_same_gradients() {
    for place in backends() {
        let dropouts = [
            (0.0, DropoutShape::AcrossLength),
            (0.2, DropoutShape::AcrossLength),
            (0.2, DropoutShape::Elementwise),
        ];
        let mut largest = 0.0f32;
        for kind in kinds() {
            for (dropout, dropout_shape) in dropouts {
                for recompute in [false, true] {
                    let config = ModelConfig {
                        dropout,
                        dropout_shape,
                        recompute,
                        z_loss: 0.01,
                        ..kind.clone()
                    };
                    let what = format!("{:?} {dropout} {dropout_shape:?}", config.architecture);
                    let mut model = T5::new(config.clone(), 1).unwrap();
                    let mut device = on(place, Precision::F32, &model);
                    // The second batch is smaller, and its gradients are added.
                    for (number, size) in [(3, 40), (4, 24)] {
                        let batch = batch(&config, 3, size, size - 16, number);
                        let theirs = model.accumulate(&batch, 0.5, number).unwrap();
                        let ours = device.accumulate(&batch, 0.5, number).unwrap();
                        assert_eq!(
                            (ours.targets, ours.positions, ours.correct),
                            (theirs.targets, theirs.positions, theirs.correct)
                        );
                        for (ours, theirs) in [
                            (ours.cross_entropy, theirs.cross_entropy),
                            (ours.log_z_squares, theirs.log_z_squares),
                        ] {
                            assert!((ours / theirs - 1.0).abs() < 1e-6, "{what}: {ours}, {theirs}");
                        }
                    }
                    let ours = device.gradients().unwrap();
                    let (away, name) = worst(&model, &ours, model.gradients());
                    assert!(away < 2e-5, "{what}: {name} is {away:e} away");
                    largest = largest.max(away);
                    let norm = device.gradient_norm().unwrap();
                    assert!((norm / global_norm(model.gradients()) - 1.0).abs() < 1e-5);
                    // No dropout here.
                    let batch = batch(&config, 2, 40, 24, 5);
                    let (ours, theirs) = (device.logits(&batch), model.logits(&batch));
                    close(&what, &ours.unwrap(), &theirs.unwrap(), 1e-4);
                }
            }
        }
        println!("gradients at most {largest:e} away (relative)");
    }
}

/// Along the gradient of each variable, the loss rises as it says: on the device alone.
#[test]
fn gradients_agree_with_differences() {
    for place in backends() {
        for mut config in kinds() {
            config.dropout = 0.3;
            config.z_loss = 0.01;
            let batch = batch(&config, 2, 20, 14, 5);
            let mut model = drawn(&config, 2);
            // Smaller embeddings, so that the softmax is not one of a few values.
            model.parameters_mut().iter_mut().for_each(|value| *value *= 0.7);
            let at = |model: &T5| {
                let mut device = on(place, Precision::F32, model);
                let loss = device.accumulate(&batch, 1.0, 9).unwrap();
                let value = loss.cross_entropy + f64::from(config.z_loss) * loss.log_z_squares;
                (value, device)
            };
            let gradients = at(&model).1.gradients().unwrap();
            let start = model.parameters().to_vec();
            for variable in model.layout().variables().to_vec() {
                let g = &gradients[variable.range.clone()];
                let size = g.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
                let step = 2e-3;
                let mut moved = |sign: f64| {
                    let values = &mut model.parameters_mut()[variable.range.clone()];
                    let start = &start[variable.range.clone()];
                    for (value, (start, g)) in values.iter_mut().zip(start.iter().zip(g)) {
                        *value = (f64::from(*start) + sign * step * f64::from(*g) / size) as f32;
                    }
                    at(&model).0
                };
                let slope = (moved(1.0) - moved(-1.0)) / (2.0 * step);
                model.parameters_mut().copy_from_slice(&start);
                assert!(
                    (slope / size - 1.0).abs() < 0.02,
                    "{:?}, {}: {slope}, not {size}",
                    config.architecture,
                    variable.name
                );
            }
        }
    }
}

/// Wide enough for factored moments, and for sums of several blocks.
fn wide() -> ModelConfig {
    ModelConfig {
        vocab_size: 160,
        d_model: 128,
        d_ff: 136,
        d_kv: 32,
        heads: 4,
        encoder_layers: 1,
        decoder_layers: 1,
        ..small(Architecture::EncoderDecoder)
    }
}

#[test]
fn optimizers_go_the_same_way() {
    for place in backends() {
        let adafactor = |config| OptimizerConfig::Adafactor(config);
        let adamw = |config| OptimizerConfig::AdamW(config);
        for settings in [
            adafactor(AdafactorConfig::default()),
            adafactor(AdafactorConfig {
                min_parameter_scale: None,
                clip_threshold: 0.1,
                ..Default::default()
            }),
            // Without a larger epsilon, of gradients that are next to nothing the sign is all that counts.
            adamw(AdamWConfig {
                epsilon: 1e-4,
                ..Default::default()
            }),
            adamw(AdamWConfig {
                epsilon: 1e-4,
                min_parameter_scale: Some(1e-3),
                weight_decay: 0.1,
                ..Default::default()
            }),
        ] {
            let config = wide();
            let mut model = T5::new(config.clone(), 1).unwrap();
            let mut optimizer = Optimizer::new(settings, model.layout());
            let mut device = opened(place, Precision::F32, &model, Some(&optimizer));
            let batch = batch(&config, 2, 40, 24, 3);
            for step in 0..4 {
                model.zero_gradients();
                model.accumulate(&batch, 0.1, 0).unwrap();
                device.zero_gradients().unwrap();
                device.accumulate(&batch, 0.1, 0).unwrap();
                let norm = global_norm(model.gradients());
                let ours = device.gradient_norm().unwrap();
                assert!((ours / norm - 1.0).abs() < 1e-5, "{ours}, not {norm}");
                device.clip_gradients(ours, 0.5).unwrap();
                device.update(1e-2, step).unwrap();
                let (layout, parameters, gradients) = model.buffers();
                clip_global_norm(gradients, norm, 0.5);
                optimizer.update(layout, parameters, gradients, 1e-2, step);
            }
            let (other, state) = device.host().unwrap();
            let state = state.unwrap();
            let parameters = distance(other.parameters(), model.parameters());
            let moments = distance(state.state(), optimizer.state());
            println!("{settings:?}: parameters {parameters:e}, moments {moments:e} away (relative)");
            assert!(parameters < 1e-5 && moments < 1e-4, "{settings:?}");
        }
    }
}

/// bf16 keeps 8 bits: up to 2^-9 of each value is lost, and again of every product's. What is allowed is 3 % of the
/// gradient as a vector, 10 % of that of a single variable (where relu is near its kink, a unit's whole gradient may
/// come and go), and 0.1 % of the loss.
#[test]
fn bf16_is_close() {
    for place in accelerators() {
        for kind in kinds().into_iter().chain([wide()]) {
            let config = ModelConfig { dropout: 0.1, ..kind };
            let mut model = drawn(&config, 1);
            // As after some steps: at first, softmax is one of a few values, which bf16 may rank otherwise.
            model.parameters_mut().iter_mut().for_each(|value| *value *= 0.5);
            let mut device = on(place, Precision::Bf16, &model);
            let batch = batch(&config, 3, 40, 24, 3);
            let theirs = model.accumulate(&batch, 0.1, 1).unwrap();
            let ours = device.accumulate(&batch, 0.1, 1).unwrap();
            let off = ours.cross_entropy / theirs.cross_entropy - 1.0;
            let gradients = device.gradients().unwrap();
            let away = distance(&gradients, model.gradients());
            let of = |variable: &Variable| {
                let range = variable.range.clone();
                distance(&gradients[range.clone()], &model.gradients()[range])
            };
            let each = model.layout().variables().iter();
            let each = each.map(|variable| (of(variable), &variable.name));
            let (most, name) = each.max_by(|a, b| a.0.total_cmp(&b.0)).unwrap();
            let kind = format!("{:?} {:?}", config.architecture, config.activation);
            println!("{kind}: loss {off:e}, gradients {away:e} away (relative), {name} {most:e}");
            assert!(off.abs() < 1e-3, "{kind}: {off}");
            assert!(away < 0.03 && most < 0.1, "{kind}: {away}, {name} {most}");
            // And it is bf16 that was computed with.
            assert!(away > 1e-4, "{kind}: {away}");
        }
    }
}

#[test]
fn one_batch_can_be_learned_by_heart() {
    for place in backends() {
        for precision in precisions(place) {
            for config in kinds() {
                // An example's first token cannot be known without inputs.
                let loss_on = match config.architecture.has_encoder() {
                    true => LossOn::All,
                    false => LossOn::AfterInputs,
                };
                let config = ModelConfig {
                    d_model: 32,
                    d_ff: 64,
                    d_kv: 16,
                    loss_on,
                    ..config
                };
                let batch = batch(&config, 2, 24, 16, 3);
                let model = T5::new(config, 1).unwrap();
                let mut device = on(place, *precision, &model);
                let mut last = f64::INFINITY;
                for step in 0..600 {
                    device.zero_gradients().unwrap();
                    last = device.accumulate(&batch, 1.0 / 32.0, step).unwrap().mean();
                    device.update(0.01, step).unwrap();
                    if last < 0.05 {
                        break;
                    }
                }
                let kind = model.config().architecture;
                assert!(last < 0.05, "{kind:?} {precision:?}: {last} nats");
            }
        }
    }
}

/// Everything again, bit by bit.
fn bits(place: Device, precision: Precision, config: &ModelConfig, batch: &Batch) -> Vec<u32> {
    let model = T5::new(config.clone(), 1).unwrap();
    let optimizer = Optimizer::new(adafactor(), model.layout());
    let mut device = opened(place, precision, &model, Some(&optimizer));
    device.accumulate(batch, 0.1, 2).unwrap();
    let gradients = device.gradients().unwrap();
    device.update(0.01, 0).unwrap();
    let (model, optimizer) = device.host().unwrap();
    let state = optimizer.unwrap().state();
    let all = gradients.iter().chain(model.parameters()).chain(state);
    all.map(|value| value.to_bits()).collect()
}

#[test]
fn the_same_bits_every_time() {
    for place in backends() {
        let config = ModelConfig { dropout: 0.1, ..wide() };
        let batch = batch(&config, 2, 40, 24, 3);
        for precision in precisions(place) {
            let first = bits(place, *precision, &config, &batch);
            assert!(first == bits(place, *precision, &config, &batch));
            let again = ModelConfig {
                recompute: true,
                ..config.clone()
            };
            assert!(first == bits(place, *precision, &again, &batch));
        }
    }
}

/// Blocks of many threads that take turns at barriers: in which order does not matter, or a barrier is missing.
#[cfg(feature = "cuda-emulated")]
#[test]
fn threads_of_a_block_may_run_in_any_order() {
    use t5_trainer::internals::{Activation, Head};
    // Rows of more than 256 elements have blocks of more than a warp: of the residual stream, of logits, of scores.
    let config = ModelConfig {
        vocab_size: 264,
        d_model: 264,
        d_ff: 8,
        d_kv: 8,
        heads: 1,
        encoder_layers: 1,
        decoder_layers: 1,
        dropout: 0.1,
        ..small(Architecture::EncoderDecoder)
    };
    let gated = ModelConfig {
        activation: Activation::GatedGelu,
        head: Head::Untied,
        dropout_shape: DropoutShape::Elementwise,
        ..config.clone()
    };
    for (config, precision) in [(config, Precision::F32), (gated, Precision::Bf16)] {
        let batch = batch(&config, 1, 272, 24, 3);
        let run = |emulation| bits(Device::Emulated(emulation), precision, &config, &batch);
        let rising = run(Emulation::Rising);
        assert!(rising == run(Emulation::Falling), "{precision:?}");
        // Sums have another order, and no value was lost.
        let values = |bits: Vec<u32>| bits.into_iter().map(f32::from_bits).collect::<Vec<_>>();
        let one = values(run(Emulation::OneThread));
        let away = relative(&values(rising), &one);
        let allowed = match precision {
            Precision::F32 => 1e-5,
            Precision::Bf16 => 1e-2,
        };
        assert!(away < allowed, "{precision:?}: {away:e}");
    }
}

#[test]
fn what_is_wrong_is_refused() {
    for place in accelerators() {
        let model = T5::new(small(Architecture::EncoderDecoder), 0).unwrap();
        let mut device = opened(place, Precision::F32, &model, None);
        let mut wrong = batch(model.config(), 2, 8, 8, 0);
        let refused = device.accumulate(&wrong, 1.0, 0).unwrap_err().to_string();
        assert!(refused.contains("optimiser"), "{refused}");
        device.evaluate(&wrong).unwrap();
        wrong.inputs.tokens[3] = 48;
        assert!(device.evaluate(&wrong).unwrap_err().to_string().contains("48"));
    }
}

/// Losses by example, and what is generated, are those of the CPU in every kind of model.
#[test]
fn examples_and_answers_are_those_of_the_cpu() {
    for device in backends() {
        for config in kinds() {
            let model = T5::new(config.clone(), 3).unwrap();
            let mut theirs = opened(Device::Cpu, Precision::F32, &model, None);
            let mut ours = opened(device, Precision::F32, &model, None);
            let batch = batch(&config, 3, 40, 24, 3);
            let each = ours.evaluate_each(&batch).unwrap();
            let expected = theirs.evaluate_each(&batch).unwrap();
            assert_eq!(each.len(), expected.len());
            for (ours, theirs) in each.iter().zip(&expected) {
                let counts = |loss: &Loss| (loss.targets, loss.positions, loss.correct);
                assert_eq!(counts(ours), counts(theirs));
                assert!((ours.cross_entropy / theirs.cross_entropy - 1.0).abs() < 1e-5);
            }
            let tokens: Vec<u32> = [[3, 4, 2, 7, 1], [9, 2, 4, 3, 1]].concat();
            let inputs = one_example_a_row(5, tokens);
            for decoding in [Decoding::Greedy, Decoding::Beam { beams: 3, alpha: 0.6 }] {
                let expected = generate(&mut *theirs, 2, &inputs, decoding, 7).unwrap();
                let answers = generate(&mut *ours, 2, &inputs, decoding, 7).unwrap();
                for (ours, theirs) in answers.iter().zip(&expected) {
                    assert_eq!(ours.tokens, theirs.tokens, "{device} {:?}", config.architecture);
                    assert!((ours.log_probability - theirs.log_probability).abs() < 1e-3);
                }
            }
        }
    }
}
