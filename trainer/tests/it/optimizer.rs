//! Optimisers and schedules against Mesh TensorFlow's.

use crate::common::{batch, golden, small};
use t5_trainer::Schedule;
use t5_trainer::T5;
use t5_trainer::internals::Architecture;
use t5_trainer::internals::{Adafactor, AdafactorConfig, AdamWConfig, clip_global_norm, global_norm};
use t5_trainer::{Optimizer, OptimizerConfig};

/// NumPy's `RandomState(0).randn`: Mersenne Twister and the polar method, as the golden trajectories were drawn.
struct Numpy {
    state: Vec<u32>,
    index: usize,
    left: Option<f64>,
}

impl Numpy {
    fn new(seed: u32) -> Numpy {
        let mut state = vec![seed];
        for i in 1..624u32 {
            let last = state[i as usize - 1];
            state.push(1_812_433_253u32.wrapping_mul(last ^ (last >> 30)).wrapping_add(i));
        }
        Numpy {
            state,
            index: 624,
            left: None,
        }
    }

    fn word(&mut self) -> u32 {
        if self.index == 624 {
            for i in 0..624 {
                let y = (self.state[i] & 0x8000_0000) | (self.state[(i + 1) % 624] & 0x7fff_ffff);
                let odd = if y & 1 == 1 { 0x9908_b0df } else { 0 };
                self.state[i] = self.state[(i + 397) % 624] ^ (y >> 1) ^ odd;
            }
            self.index = 0;
        }
        let mut y = self.state[self.index];
        self.index += 1;
        y ^= y >> 11;
        y ^= (y << 7) & 0x9d2c_5680;
        y ^= (y << 15) & 0xefc6_0000;
        y ^ (y >> 18)
    }

    fn uniform(&mut self) -> f64 {
        let (a, b) = (f64::from(self.word() >> 5), f64::from(self.word() >> 6));
        (a * 67_108_864.0 + b) / 9_007_199_254_740_992.0
    }

    fn normal(&mut self) -> f64 {
        if let Some(left) = self.left.take() {
            return left;
        }
        loop {
            let (x, y) = (2.0 * self.uniform() - 1.0, 2.0 * self.uniform() - 1.0);
            let square = x * x + y * y;
            if square < 1.0 && square != 0.0 {
                let factor = (-2.0 * square.ln() / square).sqrt();
                self.left = Some(factor * x);
                return factor * y;
            }
        }
    }
}

#[test]
fn adafactor_follows_mesh() {
    let golden = golden("golden_mesh.json");
    let mut random = Numpy::new(0);
    let mut worst = 0.0f64;
    for case in golden["adafactor"].as_array().unwrap() {
        let shape: Vec<usize> = case["shape"]
            .as_array()
            .unwrap()
            .iter()
            .map(|n| n.as_u64().unwrap() as usize)
            .collect();
        let len = shape.iter().product();
        let steps = case["w_stats"].as_array().unwrap();
        // As the case was made: tiny parameters in one, one gradient ten times as large.
        let std = if shape == [2, 3] { 1e-5 } else { 1.0 };
        let mut draw = |std: f64| -> Vec<f32> { (0..len).map(|_| (random.normal() * std) as f32).collect() };
        let mut w = draw(std);
        let gradients: Vec<_> = (0..steps.len())
            .map(|step| draw(if step == 2 { 10.0 } else { 1.0 }))
            .collect();
        let rate = case["lr"].as_f64().unwrap();
        let mut optimizer = Adafactor::with_shapes(AdafactorConfig::default(), [&shape[..]].into_iter());
        for (step, (gradients, expected)) in gradients.iter().zip(steps).enumerate() {
            optimizer.update_variable(0, &mut w, gradients, rate, step as u64);
            let largest = w.iter().fold(0.0f64, |max, w| max.max(f64::from(w.abs())));
            let mut check = |ours: f64, expected: f64| {
                let away = (ours - expected).abs() / largest;
                assert!(away < 2e-6, "{shape:?} step {step}: {ours}, not {expected}");
                worst = worst.max(away);
            };
            for (ours, expected) in w.iter().zip(expected["first8"].as_array().unwrap()) {
                check(f64::from(*ours), expected.as_f64().unwrap());
            }
            let n = len as f64;
            check(
                w.iter().map(|&w| f64::from(w)).sum::<f64>() / n,
                expected["mean"].as_f64().unwrap(),
            );
            let squares = w.iter().map(|&w| f64::from(w).powi(2)).sum::<f64>();
            check((squares / n).sqrt(), expected["rms"].as_f64().unwrap());
        }
    }
    println!("parameters at most {worst:e} of the largest away");
}

#[test]
fn schedules_follow_mesh() {
    let golden = golden("golden_mesh.json");
    for row in golden["lr"].as_array().unwrap() {
        let number = |key: &str| row[key].as_f64().unwrap();
        let (step, total_steps) = (row["step"].as_u64().unwrap(), row["total"].as_u64().unwrap());
        let noam = |linear_decay_fraction| Schedule::InverseSquareRoot {
            warmup_steps: 10_000,
            scale: 1.0,
            linear_decay_fraction,
            total_steps,
        };
        let triangle = Schedule::SlantedTriangular {
            rate: 0.01,
            total_steps,
            cut_fraction: 0.1,
            ratio: 32.0,
        };
        let cases = [
            (Schedule::t5(), "noam_no_decay"),
            (noam(0.0), "noam_no_decay"),
            (noam(0.1), "noam_default_linear_decay_0_1"),
            (triangle, "slanted_triangular"),
        ];
        for (schedule, key) in cases {
            schedule.validate(1 << 19).unwrap();
            let (ours, expected) = (schedule.rate(step, 1 << 19), number(key));
            // The reference is in f32, where a part near 1 has an error of 6e-8.
            assert!(
                (ours - expected).abs() < 1e-6 * expected + 6e-10,
                "{key} at {step}: {ours}, not {expected}"
            );
        }
    }
}

#[test]
fn schedules_rise_and_fall() {
    let linear = Schedule::Linear {
        rate: 2.0,
        warmup_steps: Some(4),
        total_steps: 12,
    };
    let rates: Vec<f64> = [0, 1, 3, 4, 8, 12, 20].map(|step| linear.rate(step, 99)).into();
    assert_eq!(rates, [0.5, 1.0, 2.0, 2.0, 1.0, 0.0, 0.0]);
    let cosine = Schedule::Cosine {
        rate: 2.0,
        warmup_steps: Some(0),
        total_steps: 10,
        final_rate: 0.5,
    };
    assert_eq!((cosine.rate(0, 99), cosine.rate(10, 99)), (2.0, 0.5));
    assert!((cosine.rate(5, 99) - 1.25).abs() < 1e-12);
    assert_eq!(Schedule::Constant { rate: 0.001 }.rate(77, 99), 0.001);
    assert!(
        Schedule::Linear {
            rate: 1.0,
            warmup_steps: Some(5),
            total_steps: 5
        }
        .validate(99)
        .is_err()
    );
    let parsed: Schedule = serde_json::from_str(r#"{"kind": "inverse_square_root"}"#).unwrap();
    assert_eq!(parsed, Schedule::t5());
    assert!(serde_json::from_str::<Schedule>(r#"{"kind": "constant", "rate": 1, "warmup": 3}"#).is_err());
}

/// What is left out follows the run; what is said stays as it is.
#[test]
fn schedules_follow_the_run() {
    let named = |kind: &str| serde_json::from_str::<Schedule>(&format!(r#"{{"kind": "{kind}"}}"#)).unwrap();
    for kind in [
        "inverse_square_root",
        "constant",
        "linear",
        "cosine",
        "slanted_triangular",
    ] {
        for steps in [1, 2, 5, 9, 100, 1 << 19] {
            let schedule = named(kind);
            schedule.validate(steps).unwrap();
            let rates = [0, steps / 2, steps - 1].map(|step| schedule.rate(step, steps));
            assert!(
                rates.iter().all(|r| r.is_finite() && (0.0..=0.01).contains(r)),
                "{kind}: {rates:?}"
            );
        }
    }
    for (kind, last) in [("linear", 0.0), ("cosine", 0.0), ("slanted_triangular", 0.01 / 32.0)] {
        let schedule = named(kind);
        for (steps, top) in [
            (1000, 100),
            (
                1 << 19,
                if kind == "slanted_triangular" {
                    (1 << 19) / 10
                } else {
                    10_000
                },
            ),
        ] {
            assert!((schedule.rate(top, steps) - 0.01).abs() < 1e-12, "{kind}");
            assert!(
                schedule.rate(top - 50, steps) < 0.01 && schedule.rate(top + 50, steps) < 0.01,
                "{kind}"
            );
            assert!(
                (schedule.rate(steps, steps) - last).abs() < 1e-5,
                "{kind}: {}",
                schedule.rate(steps, steps)
            );
        }
    }
    let said: Schedule =
        serde_json::from_str(r#"{"kind": "linear", "rate": 1, "warmup_steps": 2, "total_steps": 8}"#).unwrap();
    assert_eq!(said.rate(5, 8), said.rate(5, 1000));
    let error = said.validate(1000).and(named("constant").validate(1));
    assert!(error.is_ok());
    let late: Schedule = serde_json::from_str(r#"{"kind": "cosine", "warmup_steps": 500}"#).unwrap();
    let error = late.validate(500).unwrap_err().to_string();
    assert!(
        error.contains("warmup_steps = 500: must be less than total_steps, which is 500"),
        "{error}"
    );
}

/// AdamW against its formula, in f64.
#[test]
fn adamw_is_adamw() {
    let mut model = T5::new(small(Architecture::EncoderDecoder), 4).unwrap();
    let config = AdamWConfig {
        weight_decay: 0.1,
        ..AdamWConfig::default()
    };
    let mut optimizer = Optimizer::new(OptimizerConfig::AdamW(config), model.layout());
    let batch = batch(model.config(), 2, 40, 24, 3);
    let variables = model.layout().variables().to_vec();
    let mut w: Vec<f64> = model.parameters().iter().map(|&w| f64::from(w)).collect();
    let (mut m, mut v) = (vec![0.0; w.len()], vec![0.0; w.len()]);
    for step in 0..3 {
        model.zero_gradients();
        model.accumulate(&batch, 0.01, step).unwrap();
        for variable in &variables {
            let decay = if variable.shape.len() > 1 { 0.1 } else { 0.0 };
            for i in variable.range.clone() {
                let g = f64::from(model.gradients()[i]);
                m[i] = 0.9 * m[i] + 0.1 * g;
                v[i] = 0.999 * v[i] + 0.001 * g * g;
                let time = step as i32 + 1;
                let (first, second) = (m[i] / (1.0 - 0.9f64.powi(time)), v[i] / (1.0 - 0.999f64.powi(time)));
                w[i] -= 0.01 * (first / (second.sqrt() + 1e-8) + decay * w[i]);
            }
        }
        let (layout, parameters, gradients) = model.buffers();
        optimizer.update(layout, parameters, gradients, 0.01, step);
        // Where a gradient is as small as epsilon, its direction is rounding.
        for (i, (ours, expected)) in model.parameters().iter().zip(&w).enumerate() {
            if v[i].sqrt() > 1e-5 {
                assert!(
                    (f64::from(*ours) - expected).abs() < 1e-5,
                    "step {step}, {i}: {ours}, not {expected}"
                );
            }
        }
        w = model.parameters().iter().map(|&w| f64::from(w)).collect();
    }
}

#[test]
fn a_state_can_be_saved() {
    for config in [
        OptimizerConfig::Adafactor(Default::default()),
        OptimizerConfig::AdamW(Default::default()),
    ] {
        let run = |stop: bool| {
            let mut model = T5::new(small(Architecture::Shared), 4).unwrap();
            let mut optimizer = Optimizer::new(config, model.layout());
            let batch = batch(model.config(), 2, 40, 24, 3);
            for step in 0..4 {
                if stop && step == 2 {
                    let state = optimizer.state().to_vec();
                    optimizer = Optimizer::new(config, model.layout());
                    optimizer.set_state(state).unwrap();
                    assert!(optimizer.set_state(vec![0.0]).is_err());
                }
                model.zero_gradients();
                model.accumulate(&batch, 0.01, step).unwrap();
                let (layout, parameters, gradients) = model.buffers();
                optimizer.update(layout, parameters, gradients, 0.01, step);
            }
            model.parameters().to_vec()
        };
        assert!(run(false) == run(true), "{config:?}");
    }
}

#[test]
fn gradients_are_clipped_by_their_global_norm() {
    let mut gradients: Vec<f32> = (0..100_000).map(|i| (i % 7) as f32 - 3.0).collect();
    let exact = gradients.iter().map(|&g| f64::from(g).powi(2)).sum::<f64>().sqrt();
    let norm = global_norm(&gradients);
    assert!((norm / exact - 1.0).abs() < 1e-6);
    let before = gradients.clone();
    clip_global_norm(&mut gradients, norm, 2.0 * norm);
    assert_eq!(gradients, before);
    clip_global_norm(&mut gradients, norm, 1.0);
    assert!((global_norm(&gradients) - 1.0).abs() < 1e-5);
}
