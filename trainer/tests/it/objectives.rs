//! Objectives against the reference's own results, and the properties of what is drawn.
//!
//! Above 500 lines: one table for all objectives would hide what each of them must do.

use crate::common::golden;
use proptest::prelude::*;
use serde_json::Value;
use t5_trainer::internals::{
    Example, Ids, Lengths, ObjectiveConfig, ObjectiveKind, Place, Purpose, Random, Spans, append_eos_after_trim, mask,
    noise, span_corruption,
};
use t5_trainer::internals::{Packer, Packing};

fn tokens(value: &Value) -> Vec<u32> {
    let numbers = value.as_array().unwrap().iter();
    numbers.map(|n| u32::try_from(n.as_u64().unwrap()).unwrap()).collect()
}

fn at(index: u64) -> Random {
    Random::at(Place {
        seed: 7,
        purpose: Purpose::Noise,
        corpus: 0,
        epoch: 0,
        group: 0,
        index,
    })
}

fn objective(toml: &str) -> t5_trainer::internals::Objective {
    let config: ObjectiveConfig = toml::from_str(toml).unwrap();
    config.resolve().unwrap()
}

fn runs(mask: &[bool], of: bool) -> usize {
    (0..mask.len())
        .filter(|&i| mask[i] == of && (i == 0 || mask[i - 1] != of))
        .count()
}

/// Pearson's statistic of counts that should be equal, and its bound that one in 10,000 fair samples exceeds
/// (Wilson and Hilferty's approximation of the quantile).
fn is_uniform(counts: &[u32]) -> bool {
    let sum: u32 = counts.iter().sum();
    let expected = f64::from(sum) / counts.len() as f64;
    assert!(expected > 50.0, "too few draws to judge");
    let chi_square: f64 = counts
        .iter()
        .map(|&n| (f64::from(n) - expected).powi(2) / expected)
        .sum();
    let freedom = (counts.len() - 1) as f64;
    let spread = 2.0 / (9.0 * freedom);
    chi_square < freedom * (1.0 - spread + 3.719 * spread.sqrt()).powi(3)
}

// ---- the reference's results

#[test]
fn masks_give_the_inputs_and_targets_of_the_reference() {
    let golden = golden("golden_objectives.json");
    let cases = golden["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 8);
    for case in cases {
        let (text, ids) = (tokens(&case["tokens"]), Ids::T5);
        let mask: Vec<bool> = tokens(&case["mask"]).iter().map(|m| *m == 1).collect();
        let found = [
            (
                "noise_span_to_unique_sentinel",
                noise::noise_span_to_unique_sentinel(&text, &mask, ids),
            ),
            (
                "nonnoise_span_to_unique_sentinel",
                noise::nonnoise_span_to_unique_sentinel(&text, &mask, ids),
            ),
            (
                "noise_token_to_sentinel",
                noise::noise_token_to_sentinel(&text, &mask, ids),
            ),
            ("drop_noise_tokens", noise::drop_noise_tokens(&text, &mask)),
            ("drop_nonnoise_tokens", noise::drop_nonnoise_tokens(&text, &mask)),
        ];
        for (function, found) in found {
            assert_eq!(found, tokens(&case[function]), "{function}: {}", case["name"]);
        }
        let example = span_corruption::corrupt(&text, &mask, ids);
        assert_eq!(example.inputs, tokens(&case["noise_span_to_unique_sentinel"]));
        assert_eq!(example.targets, tokens(&case["nonnoise_span_to_unique_sentinel"]));
        let permuted = noise::permute_noise_tokens(&text, &mask, &mut at(1));
        let mut sorted = permuted.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, text, "the same tokens");
        for i in (0..text.len()).filter(|&i| !mask[i]) {
            assert_eq!(permuted[i], text[i], "clean tokens stay where they are");
        }
    }
}

#[test]
fn random_spans_have_the_counts_of_the_reference() {
    let golden = golden("golden_objectives.json");
    let rows = golden["random_spans_counts"].as_array().unwrap();
    assert_eq!(rows.len(), 288);
    for (row, i) in rows.iter().zip(0..) {
        let length = usize::try_from(row["length"].as_u64().unwrap()).unwrap();
        let (density, mean) = (row["density"].as_f64().unwrap(), row["mean_span"].as_f64().unwrap());
        let mask = mask::random_spans_noise_mask(length, density, mean, &mut at(i));
        assert_eq!(mask.len(), length);
        let noise = mask.iter().filter(|m| **m).count();
        assert_eq!(noise as u64, row["num_noise"], "{row}");
        assert_eq!(runs(&mask, true) as u64, row["num_noise_spans"], "{row}");
        assert_eq!(mask[0], row["starts_with_noise"].as_bool().unwrap(), "{row}");
        assert_eq!(mask[length - 1], row["ends_with_noise"].as_bool().unwrap(), "{row}");
    }
}

#[test]
fn lengths_are_those_of_the_reference() {
    let golden = golden("golden_random_spans_helper.json");
    let rows = golden.as_array().unwrap();
    assert_eq!(rows.len(), 120);
    for row in rows {
        let number = |key: &str| usize::try_from(row[key].as_u64().unwrap()).unwrap();
        let inputs = number("inputs_length");
        let density = row["noise_density"].as_f64().unwrap();
        let mean = row["mean_noise_span_length"].as_f64().unwrap();
        let lengths = span_corruption::random_spans_helper(inputs, density, mean);
        let wanted = Lengths {
            segment: number("tokens_length"),
            inputs,
            targets: number("targets_length"),
        };
        assert_eq!(lengths, Some(wanted), "{row}");
    }
}

#[test]
fn rows_are_packed_as_by_the_reference() {
    let golden = golden("golden_packing.json");
    let cases = golden.as_array().unwrap();
    assert_eq!(cases.len(), 5);
    for case in cases {
        let lengths = &case["feature_lengths"];
        let number = |key: &str| usize::try_from(lengths[key].as_u64().unwrap()).unwrap();
        let (inputs, targets) = (number("inputs"), number("targets"));
        let packed = case["packed"].as_array().unwrap();
        // All rows in one batch, and each in its own.
        for rows in [packed.len(), 1] {
            let mut packer = Packer::new(rows, inputs, targets, Packing::Packed);
            let mut batches = Vec::new();
            for example in case["examples"].as_array().unwrap() {
                let example = Example {
                    inputs: tokens(&example["inputs"]),
                    targets: tokens(&example["targets"]),
                };
                if !packer.add(&example) {
                    batches.extend(packer.finish());
                    assert!(packer.add(&example));
                }
            }
            batches.extend(packer.finish());
            assert_eq!(batches.len(), packed.len() / rows);
            let row = |i: usize| (&batches[i / rows], i % rows);
            for (wanted, i) in packed.iter().zip(0..) {
                let (batch, row) = row(i);
                let of = |all: &[u32], length: usize| all[row * length..][..length].to_vec();
                let loss: Vec<u32> = of(&batch.targets.tokens, targets)
                    .iter()
                    .map(|t| u32::from(*t != 0))
                    .collect();
                let found = [
                    ("inputs", of(&batch.inputs.tokens, inputs)),
                    ("inputs_positions", of(&batch.inputs.positions, inputs)),
                    ("inputs_segment_ids", of(&batch.inputs.segments, inputs)),
                    ("targets", of(&batch.targets.tokens, targets)),
                    ("targets_positions", of(&batch.targets.positions, targets)),
                    ("targets_segment_ids", of(&batch.targets.segments, targets)),
                    ("decoder_input_tokens", of(&batch.decoder_inputs, targets)),
                    ("decoder_loss_weights", loss),
                ];
                for (feature, found) in found {
                    assert_eq!(found, tokens(&wanted[feature]), "{feature}: {}", case["note"]);
                }
            }
        }
    }
}

#[test]
fn configured_lengths_are_the_papers() {
    // Tables 5 to 7 by the reference's gin files: raw tokens, inputs, targets.
    let table = [
        ("", (568, 512, 114)),
        ("mean_span_length = 2.0", (552, 512, 126)),
        ("mean_span_length = 5.0", (581, 512, 105)),
        ("mean_span_length = 10.0", (591, 512, 99)),
        ("name = \"iid_denoising\"", (511, 512, 192)),
        ("name = \"iid_denoising\"\ndensity = 0.10", (511, 512, 103)),
        ("name = \"iid_denoising\"\ndensity = 0.25", (511, 512, 256)),
        ("name = \"iid_denoising\"\ndensity = 0.5", (511, 512, 512)),
        ("name = \"drop_tokens\"", (511, 512, 104)),
        ("name = \"bert_style\"", (511, 512, 512)),
        ("name = \"mass_style\"", (511, 512, 512)),
        ("name = \"deshuffling\"", (511, 512, 512)),
        ("name = \"prefix_lm\"", (511, 512, 512)),
        ("name = \"lm\"", (511, 0, 512)),
        ("targets_length = 62", (568, 512, 62)),
        ("name = \"lm\"\ntargets_length = 128", (127, 0, 128)),
        // By this project's own rules.
        ("name = \"iid_denoising\"\ninputs_length = 128", (127, 128, 48)),
        ("spans = \"rolled\"", (567, 512, 115)),
    ];
    for (toml, (segment, inputs, targets)) in table {
        let wanted = Lengths {
            segment,
            inputs,
            targets,
        };
        assert_eq!(objective(toml).lengths(), wanted, "{toml}");
    }
    let sentinels = |toml| objective(toml).sentinels();
    assert_eq!(sentinels(""), 28);
    assert_eq!(sentinels("name = \"iid_denoising\"\ndensity = 0.5"), 129);
    assert_eq!(sentinels("name = \"mass_style\""), 1);
}

// ---- randomness

/// By an independent ChaCha (Python, from RFC 8439's block function with 12 rounds, 64-bit counter and nonce).
#[test]
fn streams_are_chacha12() {
    let place = Place {
        seed: 7,
        epoch: 1,
        group: 2,
        corpus: 3,
        purpose: Purpose::Noise,
        index: 5,
    };
    let mut rng = Random::at(place);
    let found: Vec<u32> = (0..6).map(|_| rng.below(1000)).collect();
    assert_eq!(found, [323, 766, 509, 108, 622, 993]);
    assert_eq!(Random::at(place).unit(), 0.766_718_686_400_741_8);
}

#[test]
fn every_part_of_a_place_counts() {
    let place = Place {
        seed: 1,
        purpose: Purpose::Noise,
        corpus: 1,
        epoch: 1,
        group: 1,
        index: 1,
    };
    let others = [
        place,
        Place { seed: 2, ..place },
        Place {
            purpose: Purpose::Chunk,
            ..place
        },
        Place { corpus: 2, ..place },
        Place { epoch: 2, ..place },
        Place { group: 2, ..place },
        Place { index: 2, ..place },
    ];
    let drawn: std::collections::BTreeSet<u32> = others
        .into_iter()
        .map(|place| Random::at(place).below(u32::MAX))
        .collect();
    assert_eq!(drawn.len(), others.len());
}

#[test]
fn draws_are_uniform() {
    let mut rng = at(0);
    for n in [2, 3, 7, 10, 100] {
        let mut counts = vec![0; n];
        for _ in 0..n * 1000 {
            counts[rng.index(n)] += 1;
        }
        assert!(is_uniform(&counts), "{n}: {counts:?}");
    }
    // 2^32 is no multiple of n: a plain remainder gives the lower third twice as often, a plain product the
    // multiples of 3.
    let n = 3 << 30;
    let (mut thirds, mut residues) = ([0; 3], [0; 3]);
    for _ in 0..9000 {
        let drawn = rng.below(n);
        thirds[(drawn >> 30) as usize] += 1;
        residues[(drawn % 3) as usize] += 1;
    }
    assert!(is_uniform(&thirds), "{thirds:?}");
    assert!(is_uniform(&residues), "{residues:?}");
    let mut orders = std::collections::BTreeMap::<Vec<u8>, u32>::new();
    for _ in 0..24_000 {
        let mut items = vec![0, 1, 2, 3];
        rng.shuffle(&mut items);
        *orders.entry(items).or_default() += 1;
    }
    assert_eq!(orders.len(), 24);
    assert!(is_uniform(&orders.into_values().collect::<Vec<_>>()));
}

#[test]
fn all_random_span_masks_are_equally_likely() {
    // 12 tokens, 5 noise, 2 spans: 4 ways to cut the noise times 6 to cut the rest; and 3 of 6 and 6: 10 times 10.
    for (length, density, mean, ways) in [(12, 0.4, 2.5, 24), (12, 0.5, 2.0, 100), (9, 0.12, 3.0, 1)] {
        let mut masks = std::collections::BTreeMap::<Vec<bool>, u32>::new();
        for i in 0..ways * 400 {
            let mask = mask::random_spans_noise_mask(length, density, mean, &mut at(i));
            *masks.entry(mask).or_default() += 1;
        }
        assert_eq!(masks.len() as u64, ways);
        if ways > 1 {
            assert!(is_uniform(&masks.into_values().collect::<Vec<_>>()));
        }
    }
}

#[test]
fn prefixes_rolls_and_regular_spans_are_uniform() {
    let (mut prefixes, mut rolls) = ([0; 9], [0; 10]);
    let (mut spans, mut offsets) = ([0; 5], [0; 20]);
    for i in 0..20_000 {
        let mask = mask::random_prefix_noise_mask(10, &mut at(i));
        let k = mask.iter().filter(|m| **m).count();
        assert!(mask[..k].iter().all(|m| *m), "one run at the start");
        prefixes[k - 1] += 1;

        let one: Vec<bool> = (0..10).map(|i| i == 3).collect();
        let rolled = mask::roll(one, &mut at(i));
        rolls[rolled.iter().position(|m| *m).unwrap()] += 1;

        // Density 0.25: periods 4, 8, 12, 16, 20.
        let mask = mask::regular_noise_mask(200, 0.25, &mut at(i));
        let start = (1..).find(|&i| mask[i] && !mask[i - 1]).unwrap();
        let length = (start..).take_while(|&i| mask[i]).count();
        spans[length - 1] += 1;
        for (i, noise) in mask.iter().enumerate() {
            let in_span = (i + 4 * length * 60 - start) % (4 * length) < length;
            assert_eq!(*noise, in_span);
        }
        if length == 5 {
            offsets[start % 20] += 1;
        }
    }
    assert!(is_uniform(&prefixes), "{prefixes:?}");
    assert!(is_uniform(&rolls), "{rolls:?}");
    assert!(is_uniform(&spans), "{spans:?}");
    assert!(is_uniform(&offsets), "{offsets:?}");
    assert_eq!(mask::random_prefix_noise_mask(1, &mut at(0)), [false]);
    assert_eq!(mask::random_prefix_noise_mask(2, &mut at(0)), [true, false]);
    assert!(mask::random_prefix_noise_mask(0, &mut at(0)).is_empty());
}

#[test]
fn rates_are_those_asked_for() {
    let within = |found: usize, n: usize, p: f64| {
        let (mean, deviation) = (n as f64 * p, (n as f64 * p * (1.0 - p)).sqrt());
        assert!((found as f64 - mean).abs() < 4.0 * deviation, "{found} of {n} at {p}");
    };
    for density in [0.1, 0.15, 0.25, 0.5] {
        let mask = mask::iid_noise_mask(100_000, density, &mut at(3));
        within(mask.iter().filter(|m| **m).count(), mask.len(), density);
        // Independent of the one before: as often after noise as elsewhere.
        let after: Vec<bool> = mask.windows(2).filter(|w| w[0]).map(|w| w[1]).collect();
        within(after.iter().filter(|m| **m).count(), after.len(), density);
    }
    let text: Vec<u32> = (0..100_000).map(|i| 3 + i % 32_000).collect();
    let example = objective("name = \"bert_style\"").example(&text, Ids::T5, &mut at(4));
    assert_eq!(example.targets, text);
    let changed: Vec<u32> = example
        .inputs
        .iter()
        .zip(&text)
        .filter(|(a, b)| a != b)
        .map(|(a, _)| *a)
        .collect();
    within(changed.len(), text.len(), 0.15);
    let random: Vec<u32> = changed.iter().copied().filter(|t| *t != 32_099).collect();
    within(random.len(), changed.len(), 0.1);
    let mut tenths = [0; 10];
    for token in &random {
        assert!((3..32_100).contains(token));
        tenths[(token - 3) as usize * 10 / 32_097] += 1;
    }
    assert!(is_uniform(&tenths), "{tenths:?}");
}

// ---- properties

/// Puts the targets' runs where the inputs have sentinels. Text is below 1,000, sentinels are above.
fn restore(example: &Example) -> Vec<u32> {
    let is_sentinel = |t: u32| t >= 1000;
    // Whichever side begins with text, text and sentinels alternate in both.
    let mut spans = std::collections::BTreeMap::<u32, Vec<u32>>::new();
    let mut first = Vec::new();
    let mut current = None;
    for &token in &example.targets {
        match current {
            _ if is_sentinel(token) => {
                current = Some(token);
                spans.entry(token).or_default();
            }
            Some(sentinel) => spans.get_mut(&sentinel).unwrap().push(token),
            None => first.push(token),
        }
    }
    let starts_with_noise = example.targets.first().is_some_and(|t| !is_sentinel(*t));
    let mut text = first;
    for &token in &example.inputs {
        if !is_sentinel(token) {
            text.push(token);
        } else {
            // Where noise comes first, inputs' sentinel k + 1 stands for what follows targets' sentinel k.
            let key = match starts_with_noise {
                true if token == Ids::T5.sentinel(0) => continue,
                true => token + 1,
                false => token,
            };
            text.extend(&spans[&key]);
        }
    }
    text
}

proptest! {
    #[test]
    fn span_corruption_loses_nothing(
        length in 1usize..700,
        density in 0.01f64..0.95,
        mean in 1.0f64..12.0,
        spans in prop_oneof![Just(Spans::Random), Just(Spans::Rolled), Just(Spans::Regular)],
        index: u64,
    ) {
        let text: Vec<u32> = (0..length as u32).map(|i| 3 + i % 990).collect();
        let mask = span_corruption::mask(length, density, mean, spans, &mut at(index));
        prop_assert_eq!(mask.len(), length);
        let example = span_corruption::corrupt(&text, &mask, Ids::T5);
        prop_assert_eq!(restore(&example), text);
        prop_assert_eq!(example.inputs.len() + example.targets.len(), length + runs(&mask, true) + runs(&mask, false));
        if spans == Spans::Random && length > 1 {
            let (noise, spans) = mask::random_spans_counts(length, density, mean);
            prop_assert_eq!(mask.iter().filter(|m| **m).count(), noise);
            prop_assert_eq!(runs(&mask, true), spans);
            prop_assert!(!mask[0] && mask[length - 1]);
        }
    }

    #[test]
    fn full_segments_fill_their_lengths(
        inputs in 8usize..600,
        density in 0.05f64..0.6,
        mean in 1.0f64..12.0,
        rolled: bool,
        index: u64,
    ) {
        let config = ObjectiveConfig {
            density: Some(density),
            mean_span_length: Some(mean),
            inputs_length: Some(inputs),
            spans: rolled.then_some(Spans::Rolled),
            ..ObjectiveConfig::default()
        };
        let objective = config.resolve().unwrap();
        let lengths = objective.lengths();
        let text: Vec<u32> = (0..lengths.segment as u32).map(|i| 3 + i % 990).collect();
        let mut example = objective.example(&text, Ids::T5, &mut at(index));
        // The helper counts in f64 and the mask in f32, and the helper does not know that spans need tokens
        // between them: where both agree, nothing is trimmed and at most the turn's place is left.
        let (noise, spans) = mask::random_spans_counts(lengths.segment, density, mean);
        let helper_noise = (lengths.segment as f64 * density).round_ties_even() as usize;
        let helper_spans = (helper_noise as f64 / mean).round_ties_even() as usize;
        if (noise, spans) == (helper_noise, helper_spans) {
            let before = example.clone();
            prop_assert!(!append_eos_after_trim(&mut example, lengths, Ids::T5));
            prop_assert_eq!(example.inputs.len(), before.inputs.len() + 1);
            if !rolled && density != 0.5 {
                prop_assert_eq!(example.targets.len(), lengths.targets);
                // A longer segment would not have fitted.
                prop_assert!(example.inputs.len() + 1 >= inputs);
            }
        }
    }

    #[test]
    fn every_objective_keeps_its_promise(length in 1usize..300, index: u64, density in 0.05f64..0.9) {
        let text: Vec<u32> = (0..length as u32).map(|i| 3 + i).collect();
        for kind in ObjectiveKind::ALL {
            let config: ObjectiveConfig = toml::from_str(&format!("name = \"{}\"", kind.name())).unwrap();
            let has_density = toml::from_str::<ObjectiveConfig>(&format!("name = \"{}\"\ndensity = {density}", kind.name()));
            let objective = has_density.unwrap().resolve().or_else(|_| config.resolve()).unwrap();
            let example = objective.example(&text, Ids::T5, &mut at(index));
            prop_assert_eq!(&example, &objective.example(&text, Ids::T5, &mut at(index)), "a function of its place");
            let Example { inputs, targets } = example.clone();
            let join = || [inputs.clone(), targets.clone()].concat();
            let sorted = |mut tokens: Vec<u32>| { tokens.sort_unstable(); tokens };
            match kind {
                ObjectiveKind::SpanCorruption | ObjectiveKind::IidDenoising => prop_assert_eq!(restore(&example), text.clone()),
                ObjectiveKind::PrefixLm => {
                    prop_assert_eq!(join(), text.clone());
                    prop_assert!(!targets.is_empty() && (length == 1) == inputs.is_empty());
                }
                ObjectiveKind::Lm => prop_assert!(inputs.is_empty() && targets == text),
                ObjectiveKind::BertStyle => prop_assert!(targets == text && inputs.len() == length),
                ObjectiveKind::MassStyle => {
                    prop_assert_eq!(&targets, &text);
                    prop_assert!(inputs.iter().zip(&text).all(|(a, b)| a == b || *a == 32_099));
                }
                ObjectiveKind::DropTokens => prop_assert_eq!(sorted(join()), text.clone()),
                ObjectiveKind::Deshuffling => {
                    prop_assert_eq!(&targets, &text);
                    prop_assert_eq!(sorted(inputs), text.clone());
                }
            }
        }
    }
}

// ---- edges

#[test]
fn more_sentinels_than_there_are_reach_pieces_but_no_special_id() {
    // 120 runs: as in the reference, ids go on below the hundred sentinels.
    let text: Vec<u32> = (0..240).map(|i| 100 + i).collect();
    let mask: Vec<bool> = (0..240).map(|i| i % 2 == 1).collect();
    let example = span_corruption::corrupt(&text, &mask, Ids::T5);
    assert_eq!(example.inputs[239], 32_099 - 119);
    assert_eq!(example.targets[238], 32_099 - 119);
    // A vocabulary of 50: pad, EOS and unknown are never taken.
    let ids = Ids {
        vocab_size: 50,
        ..Ids::T5
    };
    let example = span_corruption::corrupt(&text, &mask, ids);
    let sentinels: Vec<u32> = example.inputs.into_iter().filter(|t| *t < 100).collect();
    assert_eq!(sentinels.len(), 120);
    assert_eq!(sentinels[..47], (3..50).rev().collect::<Vec<_>>());
    assert!(sentinels[47..].iter().all(|t| *t == 3));
}

#[test]
fn ends_are_trimmed_for_eos() {
    let lengths = Lengths {
        segment: 3,
        inputs: 4,
        targets: 3,
    };
    let example = |inputs: &[u32], targets: &[u32]| Example {
        inputs: inputs.to_vec(),
        targets: targets.to_vec(),
    };
    for (given, wanted, trimmed) in [
        (example(&[5, 6, 7], &[8, 9]), example(&[5, 6, 7, 1], &[8, 9, 1]), false),
        (example(&[5, 6, 7, 8], &[8]), example(&[5, 6, 7, 1], &[8, 1]), true),
        (example(&[5], &[8, 9, 10]), example(&[5, 1], &[8, 9, 1]), true),
        (example(&[], &[]), example(&[1], &[1]), false),
    ] {
        let mut found = given.clone();
        assert_eq!(
            append_eos_after_trim(&mut found, lengths, Ids::T5),
            trimmed,
            "{given:?}"
        );
        assert_eq!(found, wanted);
    }
    let mut lm = example(&[], &[8, 9]);
    assert!(!append_eos_after_trim(
        &mut lm,
        Lengths { inputs: 0, ..lengths },
        Ids::T5
    ));
    assert_eq!(
        lm,
        example(&[], &[8, 9, 1]),
        "a language model has no inputs, no EOS of them either"
    );
}

#[test]
fn nonsense_is_refused_in_one_line() {
    for (toml, word) in [
        ("density = 0.0", "density is 0"),
        ("density = 1.0", "density is 1"),
        ("density = nan", "density is NaN"),
        ("density = -0.15", "density"),
        ("density = 0.9999999\nmean_span_length = 60000.0", "lower it"),
        ("mean_span_length = 0.5", "mean_span_length is 0.5"),
        ("mean_span_length = inf", "mean_span_length"),
        ("inputs_length = 1", "inputs_length is 1"),
        ("inputs_length = 1000000", "inputs_length"),
        ("targets_length = 0", "targets_length is 0"),
        ("name = \"lm\"\ninputs_length = 512", "no inputs_length"),
        ("name = \"lm\"\ndensity = 0.15", "no density"),
        ("name = \"deshuffling\"\ndensity = 0.15", "no density"),
        ("name = \"prefix_lm\"\nmean_span_length = 3.0", "no mean_span_length"),
        ("name = \"iid_denoising\"\nspans = \"rolled\"", "no spans"),
        ("spans = \"regular\"\nmean_span_length = 3.0", "no mean_span_length"),
        ("name = \"span\"", "unknown variant"),
        ("mean_noise_span_length = 3.0", "unknown field"),
        ("density = \"15 %\"", "invalid type"),
    ] {
        let error = match toml::from_str::<ObjectiveConfig>(toml) {
            Ok(config) => {
                let error = config.resolve().unwrap_err().to_string();
                assert_eq!(error.lines().count(), 1, "{error}");
                assert!(error.starts_with("objective "), "{error}");
                error
            }
            Err(error) => error.message().to_owned(),
        };
        assert!(error.contains(word), "{toml}: {error}");
    }
    for (ids, word) in [
        (Ids { pad: 3, ..Ids::T5 }, "padding is 3"),
        (Ids { eos: 0, ..Ids::T5 }, "three ids"),
        (
            Ids {
                vocab_size: 3,
                ..Ids::T5
            },
            "no pieces",
        ),
    ] {
        let error = ids.validate().unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    Ids::T5.validate().unwrap();
}

#[test]
fn configurations_survive_toml() {
    for kind in ObjectiveKind::ALL {
        let config = ObjectiveConfig {
            name: kind,
            targets_length: Some(99),
            ..ObjectiveConfig::default()
        };
        let json = serde_json::to_string(&config).unwrap();
        assert!(json.contains(&format!("\"{}\"", kind.name())), "{json}");
        assert_eq!(serde_json::from_str::<ObjectiveConfig>(&json).unwrap(), config);
        let value: toml::Value = toml::Value::try_from(config).unwrap();
        assert_eq!(value.try_into::<ObjectiveConfig>().unwrap(), config);
    }
}
