//! The passes written by hand against candle's automatic ones.

#![allow(clippy::unwrap_used)]

mod common;

use common::{batch, kinds, relative};
use t5_trainer::model::{DropoutShape, ModelConfig, T5};

/// Every variable's gradient, in every kind of model, with and without dropout.
#[test]
fn gradients_are_those_of_automatic_differentiation() {
    let mut compared = 0;
    for kind in kinds() {
        for (dropout, dropout_shape) in [
            (0.0, DropoutShape::Elementwise),
            (0.3, DropoutShape::Elementwise),
            (0.3, DropoutShape::AcrossLength),
        ] {
            let config = ModelConfig {
                dropout,
                dropout_shape,
                ..kind.clone()
            };
            let mut ours = T5::new(config.clone(), 7).unwrap();
            let mut theirs = T5::new(config.clone(), 7).unwrap();
            for seed in [1, 2] {
                let batch = batch(&config, 3, 20, 13, seed);
                let our_loss = ours.accumulate(&batch, 0.25, seed).unwrap();
                let their_loss = theirs.accumulate_by_candle(&batch, 0.25, seed).unwrap();
                assert_eq!(our_loss.targets, their_loss.targets);
                assert_eq!(our_loss.correct, their_loss.correct);
                for (a, b) in [
                    (our_loss.cross_entropy, their_loss.cross_entropy),
                    (our_loss.log_z_squares, their_loss.log_z_squares),
                ] {
                    assert!((a - b).abs() < 1e-5 * b.abs(), "{config:?}: {a} and {b}");
                }
            }
            for variable in ours.layout().variables() {
                let range = variable.range.clone();
                let away = relative(&ours.gradients()[range.clone()], &theirs.gradients()[range]);
                assert!(away < 2e-5, "{} of {config:?}: {away:e}", variable.name);
                compared += 1;
            }
        }
    }
    assert!(compared > 300, "{compared}");
}
