//! Transfer methods: adapters, gradual unfreezing, variables by pattern. What is frozen keeps its bits and costs
//! nothing, on every backend and through the program `t5`. (Above 500 lines: one test a promise.)

use crate::backend::{backends, opened, precisions};
use crate::common::program::{Place, checkpoints, kill_until_done, losses, program, refused, said, state, stderr, t5};
use crate::common::{batch, drawn, kinds, relative, small};
use crate::finetune::Tasks;
use safetensors::SafeTensors;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;
use t5_trainer::internals::{AdafactorConfig, AdamWConfig, Architecture, Layout, Variable};
use t5_trainer::{Device, ModelConfig, Optimizer, OptimizerConfig, Precision, T5};

/// Which variables a test trains, with a name for messages.
type Choice = (&'static str, fn(&str) -> bool);

/// Every place at which a backward pass may end, and products of which a part is trained.
const CHOICES: [Choice; 16] = [
    ("nothing", |_| false),
    ("adapters", |name| name.contains(".adapter.")),
    ("norms and adapters", |name| {
        name.contains("layer_norm") || name.contains(".adapter.")
    }),
    ("the decoder", |name| name.starts_with("decoder.")),
    ("the encoder", |name| name.starts_with("encoder.")),
    ("the upper layers", |name| name.contains(".block.1.")),
    ("the decoder's uppermost sublayer", |name| {
        name.starts_with("decoder.block.1.layer.2.")
    }),
    ("queries", |name| name.ends_with(".q.weight")),
    ("values", |name| name.ends_with(".v.weight")),
    ("outputs of attention", |name| name.ends_with(".o.weight")),
    ("relative positions", |name| name.contains("relative_attention_bias")),
    ("first matrices", |name| name.contains("wi")),
    ("one of two first matrices", |name| name.contains("wi_1")),
    ("last matrices", |name| name.contains("wo")),
    ("final norms", |name| name.contains("final_layer_norm")),
    ("embedding and head", |name| {
        name == "shared.weight" || name == "lm_head.weight"
    }),
];

/// The layout of a model of which these variables are trained.
fn layout(model: &T5, is_trained: impl Fn(&str) -> bool) -> Layout {
    let mut layout = model.layout().clone();
    let trained: Vec<Option<u64>> = layout
        .variables()
        .iter()
        .map(|variable| is_trained(&variable.name).then_some(0))
        .collect();
    layout.train(&trained);
    layout
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

/// The gradients of trained variables have the bits that they have where all are trained; there are no others.
#[test]
fn gradients_of_what_is_trained_are_those_of_the_whole_model() {
    let mut devices = backends();
    devices.insert(0, Device::Cpu);
    let adafactor = OptimizerConfig::Adafactor(AdafactorConfig::default());
    for place in devices {
        for kind in kinds() {
            for recompute in [false, true] {
                let config = ModelConfig {
                    recompute,
                    dropout: 0.1,
                    ..kind.clone()
                };
                let model = drawn(&config, 1);
                let batches = [batch(&config, 3, 40, 24, 3), batch(&config, 2, 24, 12, 4)];
                let optimizer = Optimizer::new(adafactor, model.layout());
                let mut device = opened(place, Precision::F32, &model, Some(&optimizer));
                let mut gradients = |layout: &Layout| {
                    device.train(layout).unwrap();
                    device.zero_gradients().unwrap();
                    for (batch, seed) in batches.iter().zip(0..) {
                        device.accumulate(batch, 0.1, seed).unwrap();
                    }
                    device.gradients().unwrap()
                };
                let whole = gradients(model.layout());
                for (what, is_trained) in CHOICES {
                    let layout = layout(&model, is_trained);
                    let some = gradients(&layout);
                    let what = format!("{place} {:?} {what}", config.architecture);
                    for variable in layout.variables() {
                        let Some(gradient) = &variable.gradient else {
                            assert!(!is_trained(&variable.name), "{what}: {}", variable.name);
                            continue;
                        };
                        let mut expected = bits(&whole[variable.range.clone()]);
                        if !is_trained(&variable.name) {
                            // Of a product that gives others, too.
                            expected.fill(0);
                        }
                        let ours = bits(&some[gradient.clone()]);
                        assert!(ours == expected, "{what}: {}", variable.name);
                    }
                    assert_eq!(some.len(), layout.gradients_len(), "{what}");
                }
                // And all again.
                assert!(bits(&gradients(model.layout())) == bits(&whole));
            }
        }
    }
}

/// Frozen variables keep every bit over many steps, and the optimiser has no state of them; trained ones change.
#[test]
fn what_is_frozen_keeps_its_bits() {
    let mut devices = backends();
    devices.insert(0, Device::Cpu);
    let optimizers = [
        OptimizerConfig::Adafactor(AdafactorConfig::default()),
        OptimizerConfig::AdamW(AdamWConfig::default()),
    ];
    for place in devices {
        for precision in precisions(place) {
            for settings in optimizers {
                for (what, is_trained) in CHOICES {
                    let config = ModelConfig {
                        adapter: 8,
                        dropout: 0.1,
                        ..small(Architecture::EncoderDecoder)
                    };
                    let mut model = T5::new(config.clone(), 1).unwrap();
                    let layout = layout(&model, is_trained);
                    model.set_layout(&layout);
                    let before = model.parameters().to_vec();
                    let optimizer = Optimizer::new(settings, &layout);
                    let trained: usize = layout.trained_parameters();
                    if let OptimizerConfig::AdamW(_) = settings {
                        assert_eq!(optimizer.state().len(), 2 * trained);
                    }
                    let mut device = opened(place, *precision, &model, Some(&optimizer));
                    device.train(&layout).unwrap();
                    for step in 0..5 {
                        device.zero_gradients().unwrap();
                        let batch = batch(&config, 2, 40, 24, step);
                        device.accumulate(&batch, 0.1, step).unwrap();
                        let norm = device.gradient_norm().unwrap();
                        device.clip_gradients(norm, 0.5).unwrap();
                        device.update(0.01, step).unwrap();
                    }
                    let (after, optimizer) = device.host().unwrap();
                    assert_eq!(
                        optimizer.unwrap().state().len(),
                        Optimizer::new(settings, &layout).state().len()
                    );
                    for variable in layout.variables() {
                        let range = variable.range.clone();
                        let same = bits(&before[range.clone()]) == bits(&after.parameters()[range]);
                        assert_eq!(
                            same,
                            !is_trained(&variable.name),
                            "{place} {precision:?} {what}: {}",
                            variable.name
                        );
                    }
                }
            }
        }
    }
}

/// What begins to be trained later takes the steps of an optimiser that begins there; what was trained before goes on.
#[test]
fn a_variable_that_begins_later_has_a_state_of_its_own() {
    for settings in [
        OptimizerConfig::Adafactor(AdafactorConfig::default()),
        OptimizerConfig::AdamW(AdamWConfig::default()),
    ] {
        let config = small(Architecture::EncoderDecoder);
        let batch = batch(&config, 2, 40, 24, 3);
        let mut model = T5::new(config, 1).unwrap();
        let upper = |variable: &Variable| variable.name.contains(".block.1.");
        let first = layout(&model, |name| name.contains(".block.1."));
        model.set_layout(&first);
        let mut optimizer = Optimizer::new(settings, &first);
        for step in 0..4 {
            model.zero_gradients();
            model.accumulate(&batch, 0.1, step).unwrap();
            let (layout, parameters, gradients) = model.buffers();
            optimizer.update(layout, parameters, gradients, 0.01, step);
        }
        // From step 4 on, all.
        let mut second = first.clone();
        let began: Vec<_> = second
            .variables()
            .iter()
            .map(|v| Some(if upper(v) { 0 } else { 4 }))
            .collect();
        second.train(&began);
        model.set_layout(&second);
        optimizer = optimizer.retrained(&second);
        let before = model.parameters().to_vec();
        model.accumulate(&batch, 0.1, 4).unwrap();
        let gradients = model.gradients().to_vec();
        let (layout, parameters, _) = model.buffers();
        let whole = layout.clone();
        optimizer.update(layout, parameters, &gradients, 0.01, 4);
        let after = model.parameters().to_vec();
        // As an optimiser does that has just begun, at its step 0.
        let mut fresh = T5::with_parameters(model.config().clone(), before.clone()).unwrap();
        let mut beginner = Optimizer::new(settings, fresh.layout());
        let (layout, parameters, _) = fresh.buffers();
        beginner.update(layout, parameters, &gradients, 0.01, 0);
        for variable in whole.variables() {
            let range = variable.range.clone();
            let same = bits(&after[range.clone()]) == bits(&fresh.parameters()[range]);
            assert_eq!(same, !upper(variable), "{settings:?}: {}", variable.name);
        }
    }
}

/// With new adapters a model says nearly what it said, and has what it had.
#[test]
fn new_adapters_change_next_to_nothing() {
    for kind in kinds().into_iter().filter(|kind| kind.adapter == 0) {
        let config = ModelConfig { d_model: 64, ..kind };
        let batch = batch(&config, 2, 40, 24, 3);
        let mut old = T5::new(config.clone(), 1).unwrap();
        let copy = T5::with_parameters(config, old.parameters().to_vec()).unwrap();
        let mut new = copy.with_adapters(32, 5).unwrap();
        for variable in new.layout().variables() {
            let values = &new.parameters()[variable.range.clone()];
            match old.layout().variable(&variable.name) {
                Some(same) => assert!(bits(values) == bits(&old.parameters()[same.range.clone()])),
                None if variable.name.ends_with("layer_norm.weight") => assert!(values.iter().all(|v| *v == 1.0)),
                None => {
                    // A normal of 0.01 that is cut at two of them has a standard deviation of 0.0088.
                    let square: f64 = values.iter().map(|v| f64::from(*v).powi(2)).sum();
                    let deviation = (square / values.len() as f64).sqrt();
                    assert!((deviation / 0.0088 - 1.0).abs() < 0.1, "{}: {deviation}", variable.name);
                }
            }
        }
        let away = relative(&new.logits(&batch).unwrap(), &old.logits(&batch).unwrap());
        assert!(away > 0.0 && away < 0.05, "{away}");
        let refused = new.with_adapters(16, 5).unwrap_err().to_string();
        assert!(
            refused.contains("model.adapter = 16") && refused.contains("width 32"),
            "{refused}"
        );
    }
}

/// Tensors of a file by name, as bytes.
fn tensors(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let bytes = fs::read(path).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let tensors = file.tensors().into_iter();
    tensors.map(|(name, tensor)| (name, tensor.data().to_vec())).collect()
}

fn checkpoint(run: &str, step: u64) -> std::path::PathBuf {
    Path::new(run).join(format!("checkpoints/step-{step:08}"))
}

/// A run of adapters on a model that was trained before: small checkpoints on a base that is written once, resumed to
/// the bit, used as any run.
#[test]
fn a_run_of_adapters_is_whole_by_itself() {
    let place = Place::new();
    let (trained, folder) = (place.path("trained"), place.path("folder"));
    said(&place.begin(&trained, &["--steps", "10"]));
    said(&["export", &trained, "-o", &folder]);
    let mut adapters = vec!["--set", "model.adapter=8", "--set", "transfer.kind=adapters"];
    adapters.extend(["--set", "schedule.rate=0.05"]);
    let import = |run: &str, more: &[&str]| {
        let arguments = ["import", &folder, "-o", run];
        said(&[&arguments[..], &adapters, more].concat());
    };
    let on = |run: &str, more: &[&str]| {
        let mut arguments = vec!["pretrain", "-o", run, "--resume", "--corpus", &place.corpus, "-t", "2"];
        arguments.extend(["--set", "feed.rows=2", "--set", "feed.objective.inputs_length=64"]);
        arguments.extend([
            "--set",
            "batches_per_step=2",
            "--set",
            "evaluate_every=10",
            "--set",
            "evaluate_batches=2",
        ]);
        arguments.extend(more);
        said(&arguments)
    };
    let whole = place.path("whole");
    import(&whole, &[]);
    let every = ["--set", "checkpoint_every=5", "--set", "checkpoints_kept=9"];
    on(&whole, &[&["--steps", "20"][..], &every].concat());

    // The checkpoints hold adapters and norms, the base all else, with the bits that it had.
    let base = tensors(&Path::new(&whole).join("base.safetensors"));
    let own = tensors(&checkpoint(&whole, 20).join("model.safetensors"));
    assert!(
        own.keys()
            .all(|name| name.contains(".adapter.") || name.ends_with("layer_norm.weight")),
        "{own:?}"
    );
    assert!(
        own.keys()
            .any(|name| name == "encoder.block.0.layer.1.adapter.wi.weight")
    );
    assert!(base.keys().all(|name| !own.contains_key(name)));
    let before = tensors(&checkpoint(&trained, 10).join("model.safetensors"));
    for (name, values) in &before {
        assert!(base.get(name).is_none_or(|ours| ours == values), "{name}");
        assert!(base.contains_key(name) || own[name] != *values, "{name} is trained");
    }
    let new = own.keys().filter(|name| !before.contains_key(*name)).count();
    assert_eq!(new, 2 * 3);
    assert_eq!(base.len() + own.len(), before.len() + new);
    let size = |path: &str| fs::metadata(Path::new(path)).unwrap().len();
    let file = |run: &str, step| {
        checkpoint(run, step)
            .join("model.safetensors")
            .to_str()
            .unwrap()
            .to_owned()
    };
    assert!(size(&file(&whole, 20)) * 5 < size(&file(&trained, 10)));

    // Broken and gone on with, the same bits.
    let halves = place.path("halves");
    import(&halves, &[]);
    on(&halves, &["--steps", "10"]);
    said(&["pretrain", "-o", &halves, "--resume", "--steps", "20", "-t", "1"]);
    assert_eq!(state(&halves, 20), state(&whole, 20));
    assert_eq!(losses(&halves), losses(&whole));

    // Moved elsewhere, it is used as any run.
    let moved = place.path("moved");
    fs::rename(&halves, &moved).unwrap();
    let eval = |run: &str| said(&["eval", run, "--json", "--corpus", &place.corpus]);
    assert_eq!(eval(&moved), eval(&whole));
    // It has learned.
    let loss = |run: &str| {
        let eval: serde_json::Value = serde_json::from_str(&eval(run)).unwrap();
        eval["validation_loss"].as_f64().unwrap()
    };
    assert!(
        loss(&whole) < loss(&trained) - 0.05,
        "{}, {}",
        loss(&whole),
        loss(&trained)
    );
    let ask = |run: &str| said(&["generate", run, "The ___ is", "--max-tokens", "5"]);
    assert_eq!(ask(&moved), ask(&whole));
    let last = checkpoint(&whole, 20);
    assert_eq!(ask(last.to_str().unwrap()), ask(&whole));
    said(&["plot", &moved]);
    let seen = said(&["inspect", &moved, "-n", "0"]);
    for words in [
        "adapter = 8",
        "[transfer]",
        "kind = \"adapters\"",
        "norms = true",
        "of them trained",
        "shared.weight  (frozen)",
        "encoder.block.layer.adapter.wi.weight  (trained)",
    ] {
        assert!(seen.contains(words), "{words} in {seen}");
    }
    refused(
        &["export", &moved, "-o", &place.path("exported")],
        &["adapters", "model.adapter = 8", "Hugging Face", "t5 generate"],
    );
    assert!(!Path::new(&place.path("exported")).exists());

    // What it trains stays.
    let resume = ["pretrain", "-o", &moved, "--resume", "--steps", "22"];
    refused(
        &[&resume[..], &["--set", "transfer={kind='all'}"]].concat(),
        &["transfer: ", "begin another run"],
    );
    refused(
        &[&resume[..], &["--set", "model.adapter=16"]].concat(),
        &["another shape"],
    );
    assert_eq!(
        checkpoints(&moved).len(),
        checkpoints(&moved)
            .iter()
            .filter(|name| !name.contains("damaged"))
            .count()
    );

    // Without what it stands on it says so, and no checkpoint is blamed.
    let path = Path::new(&moved).join("base.safetensors");
    let bytes = fs::read(&path).unwrap();
    let mut changed = bytes.clone();
    *changed.last_mut().unwrap() ^= 1;
    fs::write(&path, changed).unwrap();
    let all = checkpoints(&moved);
    for command in [
        &resume[..],
        &["generate", &moved, "The ___ is"],
        &["eval", &moved, "--corpus", &place.corpus],
    ] {
        refused(command, &["base.safetensors", "changed or cut", "put it back"]);
    }
    fs::remove_file(&path).unwrap();
    for command in [&resume[..], &["generate", &moved, "The ___ is"]] {
        refused(command, &["base.safetensors", "is missing", "put it back"]);
    }
    assert_eq!(checkpoints(&moved), all);
    fs::write(&path, bytes).unwrap();
    said(&resume);
}

/// Killed again and again, in runs of which the trained part changes, or is small: the same weights to the bit.
#[test]
fn broken_runs_of_every_method_end_as_whole_ones() {
    let place = Place::new();
    for (name, settings) in [
        (
            "adapters",
            vec!["model.adapter=4", "transfer={kind='adapters', norms=false}"],
        ),
        (
            "only",
            vec!["transfer={kind='only', variables=['decoder.*', 'shared.weight']}"],
        ),
        (
            "unfreezing",
            vec![
                "model.encoder_layers=3",
                "model.decoder_layers=2",
                "transfer.kind=unfreezing",
            ],
        ),
        (
            "unfreezing by Adam",
            vec![
                "model.encoder_layers=3",
                "transfer={kind='unfreezing', episodes=2}",
                "optimizer.kind=adamw",
            ],
        ),
    ] {
        let sets = |settings: &[&'static str]| -> Vec<&'static str> {
            settings.iter().flat_map(|setting| ["--set", setting]).collect()
        };
        let all = [&sets(&settings)[..], &["--steps", "20", "--set", "checkpoint_every=1"]].concat();
        let whole = place.path(&format!("{name}-whole"));
        said(&place.begin(&whole, &all));
        let found = losses(&whole);
        assert_eq!(found.len(), 20);

        let killed = place.path(&format!("{name}-killed"));
        kill_until_done(&killed, &place.begin(&killed, &all));
        assert_eq!(state(&killed, 20), state(&whole, 20), "{name}");
        assert_eq!(losses(&killed), found, "{name}");
    }
    // A boundary between two steps of a whole run: the state of what begins is there, with zeros.
    let at = |step| state(&place.path("unfreezing-whole"), step).map(|bytes| bytes.len());
    // Checkpoints that are kept are the last; their sizes are those of all that is trained.
    assert_eq!(at(19), at(20));
}

/// What is trained in an episode changes, and nothing else does.
#[test]
fn unfreezing_goes_down_layer_by_layer() {
    let place = Place::new();
    let run = place.path("run");
    let mut settings = vec![
        "--steps",
        "9",
        "--set",
        "checkpoint_every=1",
        "--set",
        "checkpoints_kept=99",
    ];
    for setting in [
        "model.encoder_layers=3",
        "model.decoder_layers=3",
        "transfer.kind=unfreezing",
        "seed=3",
    ] {
        settings.extend(["--set", setting]);
    }
    let output = t5(&place.begin(&run, &settings));
    assert!(output.status.success(), "{}", stderr(&output));
    // 9 steps in 3 episodes.
    for step in 2..=9 {
        let [before, after] = [step - 1, step].map(|step| tensors(&checkpoint(&run, step).join("model.safetensors")));
        let episode = (step - 1) / 3;
        for (name, values) in &after {
            let layer = name.split('.').nth(2).and_then(|layer| layer.parse::<u64>().ok());
            let is_trained = layer.is_none_or(|layer| layer >= 2 - episode);
            assert_eq!(values != &before[name], is_trained, "step {step}: {name}");
        }
    }
    let seen = said(&["inspect", &run, "-n", "0"]);
    for words in [
        "# episodes = 3 (left out: a layer in each)",
        "trained in steps 1 to 3",
        "trained in steps 7 to 9",
    ] {
        assert!(seen.contains(words), "{words} in {seen}");
    }
}

/// Several processes exchange what is trained, and agree.
#[test]
fn processes_train_a_part_together() {
    let place = Place::new();
    for (name, setting) in [
        ("adapters", "transfer.kind=adapters"),
        ("unfreezing", "transfer.kind=unfreezing"),
    ] {
        let more = [
            "--steps",
            "6",
            "--set",
            "model.adapter=4",
            "--set",
            "model.encoder_layers=2",
            "--set",
            setting,
        ];
        let run = |processes: &str| {
            let folder = place.path(&format!("{name}-{processes}"));
            said(&place.begin(&folder, &[&more[..], &["--processes", processes]].concat()));
            folder
        };
        let (one, two) = (run("1"), run("2"));
        let (ours, theirs) = (losses(&two), losses(&one));
        assert_eq!(ours.len(), 6);
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert!((ours.1 - theirs.1).abs() < 1e-4, "{ours:?}, {theirs:?}");
        }
        // And go on together.
        said(&["pretrain", "-o", &two, "--resume", "--steps", "8", "--processes", "2"]);
        assert_eq!(losses(&two).len(), 8);
    }
}

#[test]
fn what_a_run_cannot_train_is_refused() {
    let place = Place::new();
    let folder = place.path("refused");
    for (setting, words) in [
        (
            "transfer.kind=adapters",
            &["transfer.kind = adapters", "model.adapter=32"][..],
        ),
        (
            "transfer={kind='only', variables=['decoder.blok.0.layer.2.DenseReluDense.wi.weight']}",
            &[
                "transfer.variables",
                "matches no variable",
                "decoder.block.0.layer.2.DenseReluDense.wi.weight",
            ],
        ),
        (
            "transfer={kind='unfreezing', episodes=40}",
            &["transfer.episodes = 40", "20 steps"],
        ),
    ] {
        refused(&place.begin(&folder, &["--steps", "20", "--set", setting]), words);
        assert!(!Path::new(&folder).exists());
    }
}

/// Fine-tuning by each of the methods: what is frozen has the bits of what was begun with, and the run is broken,
/// validated and used as one that trains everything.
#[test]
fn tasks_are_learned_by_each_method() {
    let tasks = Tasks::new();
    let before = tensors(&checkpoint(&tasks.start, 1).join("model.safetensors"));
    let patterns = ["--only", "decoder.*", "--only", "shared.weight"];
    for (name, options) in [
        ("adapters", &["--adapters", "16"][..]),
        ("alone", &["--adapters", "16", "--adapter-norms", "false"]),
        ("unfreezing", &["--unfreeze", "2"]),
        ("only", &patterns),
    ] {
        let whole = tasks.path(name);
        let more = [
            options,
            &["--task", &tasks.kinds, "--steps", "40", "--set", "schedule.rate=0.05"],
        ]
        .concat();
        let output = t5(&tasks.finetune(&whole, &more));
        assert!(output.status.success(), "{name}: {}", stderr(&output));
        let told = stderr(&output).contains("Of the parameters, ");
        assert_eq!(told, name != "unfreezing", "{name}: {}", stderr(&output));
        let found = losses(&whole);
        let mean = |part: &[(u64, f64)]| part.iter().map(|l| l.1).sum::<f64>() / part.len() as f64;
        assert!(mean(&found[30..]) < mean(&found[..10]) - 0.2, "{name}: {found:?}");

        let own = tensors(&checkpoint(&whole, 40).join("model.safetensors"));
        let is_trained = |name: &str| match options {
            ["--adapters", "16"] => name.contains(".adapter.") || name.ends_with("layer_norm.weight"),
            ["--adapters", ..] => name.contains(".adapter."),
            ["--only", ..] => name.starts_with("decoder.") || name == "shared.weight",
            _ => true,
        };
        assert!(own.keys().all(|name| is_trained(name)), "{name}");
        let base = Path::new(&whole).join("base.safetensors");
        let below = match name {
            "unfreezing" => BTreeMap::new(),
            _ => tensors(&base),
        };
        assert_eq!(base.exists(), name != "unfreezing");
        for (variable, values) in &before {
            match is_trained(variable) {
                true => assert!(own[variable] != *values, "{name}: {variable} is trained"),
                false => assert!(below[variable] == *values, "{name}: {variable} is frozen"),
            }
        }

        // Stopped at a validation, and gone on with. An episode's end follows the steps that were said.
        let halves = tasks.path(&format!("{name}-halves"));
        let killed = program()
            .args(tasks.finetune(&halves, &[&more[..], &["--set", "checkpoint_every=1"]].concat()))
            .stderr(std::process::Stdio::null())
            .spawn();
        let mut killed = killed.unwrap();
        while checkpoint(&halves, 5).read_dir().is_err() && killed.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = killed.kill();
        killed.wait().unwrap();
        let reached = checkpoints(&halves);
        assert!(
            !reached.contains(&"step-00000040".to_owned()),
            "{name}: it was not broken"
        );
        said(&["finetune", "-o", &halves, "--resume", "-t", "1"]);
        assert_eq!(state(&halves, 40), state(&whole, 40), "{name}");

        // It answers.
        let table = said(&["eval", &whole, "--task", &tasks.kinds, "--data", &tasks.data]);
        assert!(table.contains("kinds"), "{name}: {table}");
        let out = tasks.path(&format!("{name}.jsonl"));
        let predict = ["predict", &whole, "--task", &tasks.kinds, "--data", &tasks.data];
        said(&[&predict[..], &["--split", "test", "--format", "jsonl", "-o", &out]].concat());
        assert_eq!(fs::read_to_string(&out).unwrap().lines().count(), 20, "{name}");
        let folder = tasks.path(&format!("{name}-exported"));
        match name {
            "adapters" | "alone" => refused(&["export", &whole, "-o", &folder], &["adapters", "Hugging Face"]),
            _ => drop(said(&["export", &whole, "-o", &folder])),
        }
    }
    // Adapters of a run that has some go on being trained, in a run of their own.
    let (adapted, again) = (tasks.path("adapters"), tasks.path("again"));
    let mut arguments = vec![
        "finetune",
        &adapted,
        "--task",
        &tasks.kinds,
        "--data",
        &tasks.data,
        "-o",
        &again,
    ];
    arguments.extend([
        "--adapters",
        "16",
        "--steps",
        "2",
        "--set",
        "feed.rows=2",
        "--set",
        "batches_per_step=1",
    ]);
    said(&[&arguments[..], &["--keep-optimizer"]].concat());
    let [first, second] = [&adapted, &again].map(|run| tensors(&Path::new(run).join("base.safetensors")));
    assert!(first == second);
}

#[test]
fn methods_of_fine_tuning_that_cannot_be_are_refused() {
    let tasks = Tasks::new();
    let out = tasks.path("out");
    for (options, words) in [
        (
            &["--only", "decodr.block.0.*"][..],
            &["transfer.variables", "matches no variable", "decoder.block.0."][..],
        ),
        (&["--unfreeze", "50"], &["transfer.episodes = 50", "40 steps"]),
        (
            &["--adapters", "8", "--keep-optimizer"],
            &["--keep-optimizer", "other variables", "leave it out"],
        ),
    ] {
        let more = [options, &["--task", &tasks.kinds, "--steps", "40"]].concat();
        refused(&tasks.finetune(&out, &more), words);
        assert!(!Path::new(&out).exists());
    }
    for options in [
        &["--adapters", "8", "--only", "decoder.*"][..],
        &["--adapters", "8", "--unfreeze", "2"],
        &["--unfreeze", "2", "--only", "decoder.*"],
        &["--adapter-norms", "false"],
        &["--adapters", "0"],
        &["--adapters", "8", "--resume"],
    ] {
        let output = t5(&[&["finetune", &tasks.start, "-o", &out][..], options].concat());
        assert_eq!(output.status.code(), Some(2), "{options:?}");
        assert!(stderr(&output).contains("--"), "{}", stderr(&output));
    }
}

/// On another backend than the CPU's (see `backend.rs`): the same losses, and a broken run's bits, over the end of an
/// episode.
#[test]
fn methods_on_a_device_end_as_on_the_cpu() {
    let Some(device) = backends().pop().map(|device| device.to_string()) else {
        println!("skipped: built without another backend than the CPU's");
        return;
    };
    let place = Place::new();
    for (name, setting) in [
        ("adapters", "transfer.kind=adapters"),
        ("unfreezing", "transfer={kind='unfreezing', episodes=2}"),
    ] {
        let settings = [
            "--set",
            "model.adapter=4",
            "--set",
            "model.encoder_layers=2",
            "--set",
            setting,
        ];
        let begin = |run: &str, more: &[&str]| {
            let folder = place.path(&format!("{name}-{run}"));
            said(&place.begin(&folder, &[&["--steps", "8"], &settings[..], more].concat()));
            folder
        };
        let on = ["--device", &device, "--precision", "f32"];
        let every = ["--set", "checkpoint_every=1", "--set", "checkpoints_kept=9"];
        let (cpu, whole) = (begin("cpu", &[]), begin("whole", &[&on[..], &every].concat()));
        let (ours, theirs) = (losses(&whole), losses(&cpu));
        assert_eq!(ours.len(), 8);
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert!((ours.1 - theirs.1).abs() < 1e-3, "{name}: {ours:?}, {theirs:?}");
        }
        // Before, at and after the end of the first episode.
        for last in [3, 4, 5] {
            let halves = place.path(&format!("{name}-{last}"));
            copy(Path::new(&whole), Path::new(&halves));
            for step in last + 1..=8 {
                fs::remove_dir_all(checkpoint(&halves, step)).unwrap();
            }
            said(&[&["pretrain", "-o", &halves, "--resume"][..], &on].concat());
            assert_eq!(state(&halves, 8), state(&whole, 8), "{name} from {last}");
        }
    }
}

/// Copies a folder with all that is in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for (path, bytes) in crate::common::tree(from) {
        let path = to.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }
}
