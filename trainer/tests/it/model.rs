//! The model against reference implementations (Mesh TensorFlow, Hugging Face) and against itself.
//!
//! Above 500 lines: one test a promise.

use crate::common::references::{RATE, close_logits, hugging_face};
use crate::common::{batch, close, drawn, golden, kinds, mesh_model, one_example_a_row, relative, small};
use t5_trainer::Batch;
use t5_trainer::internals::{
    Activation, Architecture, DropoutShape, Head, Into, Layout, Loss, LossOn, Matrix, Threads, bucket, multiply,
};
use t5_trainer::internals::{SaveOptions, huggingface, save};
use t5_trainer::{Device, ModelConfig, Precision, T5, open};
use t5_trainer::{Optimizer, OptimizerConfig};

/// The training loss of a batch, as the reference reports it.
fn loss(model: &mut T5, batch: &Batch, z_loss: f32) -> f64 {
    let denominator = model.denominator(batch).unwrap();
    let loss = model.evaluate(batch).unwrap();
    (loss.cross_entropy + f64::from(z_loss) * loss.log_z_squares) / denominator
}

#[test]
fn mesh_models_give_the_same_logits_and_losses() {
    for name in ["v1_0", "v1_1", "shared", "lm", "prefix_lm"] {
        let (golden, mut model, batch) = mesh_model(name);
        let logits = model.logits(&batch).unwrap();
        let expected = crate::common::floats(&golden["logits"]);
        let vocab = model.config().vocab_size;
        let worst = close_logits(name, &batch, vocab, &logits, &expected);
        for (key, z_loss) in [("loss_eval_no_z", 0.0), ("loss_train_with_z", 1e-4)] {
            let expected = golden[key].as_f64().unwrap();
            let ours = loss(&mut model, &batch, z_loss);
            assert!((ours - expected).abs() < 1e-5, "{name} {key}: {ours}, not {expected}");
        }
        println!("{name}: logits at most {worst:e} away");
    }
}

#[test]
fn buckets_of_relative_positions() {
    let golden = golden("golden_mesh.json");
    for (key, bidirectional) in [("buckets_bidirectional", true), ("buckets_causal", false)] {
        let expected = crate::common::ids(&golden[key]["bucket"]);
        let ours: Vec<u32> = (-300..=300)
            .map(|distance| bucket(distance, bidirectional, 32, 128) as u32)
            .collect();
        assert_eq!(ours, expected, "{key}");
    }
}

#[test]
fn parameters_of_all_sizes() {
    // SPEC of the published models: Raffel et al. 2020, §3.7 and Table 13; the released v1.1 configurations.
    let expected = [
        ("small", 60_506_624),
        ("base", 222_903_552),
        ("large", 737_668_096),
        ("3b", 2_851_598_336),
        ("11b", 11_307_321_344),
        ("2x", 502_746_112),
        ("4x", 972_590_080),
        ("v1.1-tiny", 2_179_584),
        ("v1.1-small", 76_961_152),
        ("v1.1-base", 247_577_856),
        ("v1.1-large", 783_150_080),
        ("v1.1-xl", 2_849_757_184),
        ("v1.1-xxl", 11_135_332_352),
    ];
    for (name, parameters) in expected {
        let layout = Layout::new(&ModelConfig::named(name).unwrap());
        assert_eq!(layout.len(), parameters, "{name}");
    }
    // Table 2, in millions.
    let base = || ModelConfig::named("base").unwrap();
    for (architecture, millions) in [(Architecture::Shared, 137.9), (Architecture::LanguageModel, 109.6)] {
        let layout = Layout::new(&base().with_architecture(architecture));
        assert!(
            (layout.len() as f64 / 1e6 - millions).abs() < 0.05,
            "{architecture:?}: {}",
            layout.len()
        );
    }
}

#[test]
fn variables_fill_the_buffer() {
    for config in kinds() {
        let layout = Layout::new(&config);
        let mut end = 0;
        for variable in layout.variables() {
            assert_eq!(variable.range.start, end, "{}", variable.name);
            assert_eq!(variable.range.len(), variable.shape.iter().product::<usize>());
            end = variable.range.end;
        }
        assert_eq!(end, layout.len());
    }
}

#[test]
fn settings_are_checked() {
    let text = serde_json::to_string_pretty(&small(Architecture::Shared)).unwrap();
    let parsed: ModelConfig = serde_json::from_str(&text).unwrap();
    assert_eq!(parsed, small(Architecture::Shared));
    assert!(serde_json::from_str::<ModelConfig>(&text.replacen('{', "{\"layers\": 3,", 1)).is_err());
    assert!(ModelConfig::named("huge").unwrap_err().to_string().contains("small"));
    let bad = ModelConfig {
        dropout: 1.0,
        ..small(Architecture::Shared)
    };
    assert!(T5::new(bad, 0).is_err());
    let mut model = T5::new(small(Architecture::EncoderDecoder), 0).unwrap();
    let mut wrong = batch(model.config(), 2, 8, 8, 0);
    wrong.inputs.tokens[3] = 48;
    assert!(model.evaluate(&wrong).unwrap_err().to_string().contains("48"));
    wrong.inputs.tokens[3] = 4;
    wrong.inputs.segments[7] = 1;
    wrong.inputs.segments[6] = 0;
    wrong.inputs.segments[5] = 1;
    assert!(model.evaluate(&wrong).unwrap_err().to_string().contains("two pieces"));
}

#[test]
fn first_values_have_their_distributions() {
    let config = ModelConfig {
        vocab_size: 4096,
        d_model: 256,
        d_ff: 1024,
        d_kv: 32,
        heads: 4,
        activation: Activation::GatedGelu,
        head: Head::Untied,
        ..small(Architecture::EncoderDecoder)
    };
    let model = T5::new(config.clone(), 7).unwrap();
    // The standard deviation of a normal that is cut at two of them.
    let cut = 0.879_625_66;
    let expected = [
        ("shared.weight", 1.0),
        (
            "encoder.block.0.layer.0.SelfAttention.q.weight",
            (256.0 * 32.0f64).powf(-0.5),
        ),
        ("encoder.block.0.layer.0.SelfAttention.k.weight", 256f64.powf(-0.5)),
        ("encoder.block.1.layer.0.SelfAttention.o.weight", 128f64.powf(-0.5)),
        (
            "decoder.block.0.layer.2.DenseReluDense.wi_1.weight",
            cut * 256f64.powf(-0.5),
        ),
        (
            "decoder.block.1.layer.2.DenseReluDense.wo.weight",
            cut * 1024f64.powf(-0.5),
        ),
        ("lm_head.weight", cut * 256f64.powf(-0.5)),
    ];
    for (name, std) in expected {
        let variable = model.layout().variable(name).unwrap();
        let values = &model.parameters()[variable.range.clone()];
        let n = values.len() as f64;
        let mean = values.iter().map(|&x| f64::from(x)).sum::<f64>() / n;
        let ours = (values.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>() / n).sqrt();
        // Four standard errors.
        assert!(
            (ours / std - 1.0).abs() < 4.0 / (2.0 * n).sqrt(),
            "{name}: {ours}, not {std}"
        );
        assert!(mean.abs() < 4.0 * std / n.sqrt(), "{name}: mean {mean}");
    }
    let norm = model.layout().variable("encoder.final_layer_norm.weight").unwrap();
    assert!(model.parameters()[norm.range.clone()].iter().all(|&value| value == 1.0));
    // A variable's values depend on its name, not on what is before it.
    let deeper = T5::new(
        ModelConfig {
            encoder_layers: 3,
            ..config.clone()
        },
        7,
    )
    .unwrap();
    let name = "decoder.block.0.layer.0.SelfAttention.k.weight";
    let values = |model: &T5| model.parameters()[model.layout().variable(name).unwrap().range.clone()].to_vec();
    assert_eq!(values(&model), values(&deeper));
    assert_ne!(values(&model), values(&T5::new(config, 8).unwrap()));
}

#[test]
fn every_variable_gets_a_gradient() {
    for config in kinds() {
        let mut model = T5::new(config.clone(), 1).unwrap();
        model.accumulate(&batch(&config, 2, 40, 24, 3), 1.0, 0).unwrap();
        for variable in model.layout().variables() {
            let gradients = &model.gradients()[variable.range.clone()];
            assert!(
                gradients.iter().any(|&g| g != 0.0),
                "{:?}: {}",
                config.architecture,
                variable.name
            );
            assert!(
                gradients.iter().all(|g| g.is_finite()),
                "{:?}: {}",
                config.architecture,
                variable.name
            );
        }
    }
}

/// Along a random direction of each variable, the loss rises as its gradient says.
#[test]
fn gradients_agree_with_differences() {
    for mut config in kinds() {
        for (dropout, shape) in [
            (0.0, DropoutShape::AcrossLength),
            (0.3, DropoutShape::AcrossLength),
            (0.3, DropoutShape::Elementwise),
        ] {
            config.dropout = dropout;
            config.dropout_shape = shape;
            config.z_loss = 0.01;
            let batch = batch(&config, 2, 20, 14, 5);
            let mut model = drawn(&config, 2);
            // Smaller embeddings, so that the softmax is not one of a few values.
            model.parameters_mut().iter_mut().for_each(|value| *value *= 0.7);
            let at = |model: &mut T5| {
                let loss = model.accumulate(&batch, 1.0, 9).unwrap();
                loss.cross_entropy + f64::from(config.z_loss) * loss.log_z_squares
            };
            at(&mut model);
            let gradients = model.gradients().to_vec();
            let start = model.parameters().to_vec();
            for variable in model.layout().variables().to_vec() {
                let g = &gradients[variable.range.clone()];
                let size = g.iter().map(|g| f64::from(*g).powi(2)).sum::<f64>().sqrt();
                let step = 2e-3;
                let mut moved = |sign: f64| {
                    let values = &mut model.parameters_mut()[variable.range.clone()];
                    for (value, (start, g)) in values.iter_mut().zip(start[variable.range.clone()].iter().zip(g)) {
                        *value = (f64::from(*start) + sign * step * f64::from(*g) / size) as f32;
                    }
                    at(&mut model)
                };
                let slope = (moved(1.0) - moved(-1.0)) / (2.0 * step);
                model.parameters_mut().copy_from_slice(&start);
                assert!(
                    (slope / size - 1.0).abs() < 0.02,
                    "{:?} dropout {dropout} {shape:?}, {}: {slope}, not {size}",
                    config.architecture,
                    variable.name
                );
            }
        }
    }
}

#[test]
fn computing_again_gives_the_same_bits() {
    for config in kinds() {
        let batch = batch(&config, 2, 40, 24, 3);
        let run = |recompute: bool| {
            let config = ModelConfig {
                recompute,
                dropout: 0.1,
                ..config.clone()
            };
            let mut model = T5::new(config, 1).unwrap();
            let loss = model.accumulate(&batch, 0.5, 4).unwrap();
            (loss, model.gradients().to_vec())
        };
        assert_eq!(run(false), run(true), "{:?}", config.architecture);
    }
}

#[test]
fn batches_accumulate() {
    let config = small(Architecture::EncoderDecoder);
    let (one, two) = (batch(&config, 2, 40, 24, 3), batch(&config, 2, 40, 24, 4));
    let mut both = one.clone();
    both.rows = 4;
    for (to, from) in [(&mut both.inputs, &two.inputs), (&mut both.targets, &two.targets)] {
        to.tokens.extend(&from.tokens);
        to.segments.extend(&from.segments);
        to.positions.extend(&from.positions);
    }
    both.decoder_inputs.extend(&two.decoder_inputs);
    let mut model = T5::new(config.clone(), 1).unwrap();
    let mut loss = model.accumulate(&one, 0.01, 0).unwrap();
    loss += model.accumulate(&two, 0.01, 0).unwrap();
    let gradients = model.gradients().to_vec();
    model.zero_gradients();
    let expected = model.accumulate(&both, 0.01, 0).unwrap();
    assert!(relative(&gradients, model.gradients()) < 1e-5);
    assert_eq!(
        (loss.targets, loss.positions, loss.correct),
        (expected.targets, expected.positions, expected.correct)
    );
    assert!((loss.cross_entropy - expected.cross_entropy).abs() < 1e-3);
}

/// A packed example gives the logits that it gives alone.
#[test]
fn packing_changes_nothing() {
    let config = small(Architecture::EncoderDecoder);
    let mut model = T5::new(config.clone(), 1).unwrap();
    let packed = batch(&config, 1, 40, 24, 3);
    let together = model.logits(&packed).unwrap();
    let copy = T5::with_parameters(config, model.parameters().to_vec()).unwrap();
    let mut backend = open(Device::Cpu, Precision::F32, copy, None).unwrap();
    let losses = backend.evaluate_each(&packed).unwrap();
    assert_eq!(losses.len(), 2);
    let mut start = 0;
    for segment in [1, 2] {
        let own = |sequences: &t5_trainer::Sequences| {
            let tokens = sequences.tokens.iter().zip(&sequences.segments);
            let tokens: Vec<u32> = tokens.filter(|of| *of.1 == segment).map(|of| *of.0).collect();
            one_example_a_row(tokens.len(), tokens)
        };
        let targets = own(&packed.targets);
        let alone = Batch {
            rows: 1,
            inputs: own(&packed.inputs),
            decoder_inputs: crate::common::shifted(&targets),
            targets,
        };
        let logits = model.logits(&alone).unwrap();
        close("logits", &logits, &together[start..start + logits.len()], 1e-4);
        start += logits.len();
        let (loss, own) = (losses[segment as usize - 1], model.evaluate(&alone).unwrap());
        let counts = |loss: &Loss| (loss.targets, loss.correct, loss.positions);
        assert_eq!(counts(&loss), counts(&own));
        assert!((loss.cross_entropy - own.cross_entropy).abs() < 1e-4 * own.cross_entropy);
    }
}

#[test]
fn the_same_bits_on_any_number_of_threads() {
    let config = ModelConfig {
        vocab_size: 1024,
        d_model: 128,
        d_ff: 256,
        d_kv: 32,
        heads: 4,
        dropout: 0.1,
        ..small(Architecture::EncoderDecoder)
    };
    let batch = batch(&config, 4, 160, 96, 3);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut model = T5::new(config.clone(), 1).unwrap();
            let optimizer = OptimizerConfig::Adafactor(Default::default());
            let mut optimizer = Optimizer::new(optimizer, model.layout());
            for step in 0..2 {
                model.zero_gradients();
                model.accumulate(&batch, 0.01, step).unwrap();
                let (layout, parameters, gradients) = model.buffers();
                optimizer.update(layout, parameters, gradients, 0.01, step);
            }
            model.parameters().to_vec()
        })
    };
    let one = run(1);
    for threads in [2, 3, 4] {
        assert!(one == run(threads), "{threads} threads");
    }
}

#[test]
fn products_do_not_depend_on_threads() {
    let values = |len: usize| -> Vec<f32> { (0..len).map(|i| ((i * 7919) % 1009) as f32 / 1009.0 - 0.5).collect() };
    for (m, n, k) in [(1, 7, 5), (64, 512, 64), (300, 700, 900), (33, 2048, 513)] {
        let (a, b) = (values(m * k), values(k * n));
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| {
                let mut out = values(m * n);
                multiply(
                    &mut out,
                    Into::Add,
                    0.5,
                    Matrix::new(&a, m, k),
                    Matrix::new(&b, n, k).t(),
                    Threads::All,
                );
                out
            })
        };
        let one = run(1);
        let i = m * n / 2;
        let exact: f64 = (0..k)
            .map(|j| f64::from(a[i / n * k + j]) * f64::from(b[i % n * k + j]))
            .sum();
        assert!((f64::from(one[i]) - f64::from(values(m * n)[i]) - 0.5 * exact).abs() < 1e-4);
        for threads in [2, 3, 5] {
            assert!(one == run(threads), "{m} x {n} x {k} on {threads} threads");
        }
    }
}

#[test]
fn dropout_keeps_the_mean() {
    for shape in [DropoutShape::AcrossLength, DropoutShape::Elementwise] {
        let config = ModelConfig {
            dropout: 0.2,
            dropout_shape: shape,
            ..small(Architecture::EncoderDecoder)
        };
        let batch = batch(&config, 2, 40, 24, 3);
        let mut model = T5::new(config, 1).unwrap();
        let mut loss = |seed| model.accumulate(&batch, 1.0, seed).unwrap().cross_entropy;
        assert_eq!(loss(1), loss(1));
        assert_ne!(loss(1), loss(2));
        // No dropout in evaluation.
        assert_eq!(model.evaluate(&batch).unwrap(), model.evaluate(&batch).unwrap());
        let mut still = T5::with_parameters(
            ModelConfig {
                dropout: 0.0,
                ..model.config().clone()
            },
            model.parameters().to_vec(),
        )
        .unwrap();
        assert_eq!(model.evaluate(&batch).unwrap(), still.evaluate(&batch).unwrap());
    }
}

#[test]
fn one_batch_can_be_learned_by_heart() {
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
        let mut model = T5::new(config, 1).unwrap();
        let optimizer = OptimizerConfig::Adafactor(Default::default());
        let mut optimizer = Optimizer::new(optimizer, model.layout());
        let mut last = f64::INFINITY;
        for step in 0..600 {
            model.zero_gradients();
            let loss = model.accumulate(&batch, 1.0 / 32.0, step).unwrap();
            let (layout, parameters, gradients) = model.buffers();
            optimizer.update(layout, parameters, gradients, 0.01, step);
            last = loss.mean();
            if last < 0.05 {
                break;
            }
        }
        assert!(
            last < 0.05,
            "{:?}: {last} nats after 600 steps",
            model.config().architecture
        );
    }
}

/// Logits, loss, gradients and a step of Adafactor of Hugging Face's models.
#[test]
fn hugging_face_models_agree() {
    for mut reference in hugging_face().into_iter().flatten() {
        let mut optimizer = reference.optimizer();
        let (model, batch) = (&mut reference.model, &reference.batch);
        let encoded = model.encode(batch.rows, &batch.inputs).unwrap().to_vec();
        let logits = model.logits(batch).unwrap();
        let denominator = model.denominator(batch).unwrap();
        let loss = model.accumulate(batch, (1.0 / denominator) as f32, 0).unwrap();
        let gradients = model.gradients().to_vec();
        let (layout, parameters, buffer) = model.buffers();
        optimizer.update(layout, parameters, buffer, RATE, 0);

        let expected = reference.values("encoder_out");
        let real = reference.batch.inputs.segments.iter().enumerate();
        for (position, _) in real.filter(|(_, segment)| **segment > 0) {
            let range = position * 32..(position + 1) * 32;
            close("encoder", &encoded[range.clone()], &expected[range], 1e-4);
        }
        reference.check_loss(loss.mean());
        println!(
            "{}: logits {:e}, gradients {:e} (relative), step {:e} away",
            reference.name,
            reference.check_logits(&logits),
            reference.check_gradients(&gradients),
            reference.check_step(reference.model.parameters())
        );
    }
}

#[test]
fn hugging_face_folders_round_trip() {
    let gated = ModelConfig {
        activation: Activation::GatedGelu,
        head: Head::Untied,
        ..small(Architecture::EncoderDecoder)
    };
    let silu = ModelConfig {
        activation: Activation::GatedSilu,
        ..gated.clone()
    };
    for config in [
        small(Architecture::EncoderDecoder),
        gated,
        silu,
        small(Architecture::Shared),
    ] {
        let mut model = T5::new(config, 3).unwrap();
        let folder = tempfile::tempdir().unwrap();
        save(&model, folder.path(), &SaveOptions::default()).unwrap();
        let mut again = huggingface::load(folder.path()).unwrap();
        if model.config().architecture == Architecture::EncoderDecoder {
            assert_eq!(model.parameters(), again.parameters());
        }
        let batch = batch(model.config(), 2, 40, 24, 3);
        assert_eq!(model.logits(&batch).unwrap(), again.logits(&batch).unwrap());
    }
    let model = T5::new(small(Architecture::PrefixLm), 3).unwrap();
    assert!(save(&model, tempfile::tempdir().unwrap().path(), &SaveOptions::default()).is_err());
}
