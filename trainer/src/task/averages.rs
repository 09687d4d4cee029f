//! One number of a benchmark: GLUE's and SuperGLUE's averages, as the paper takes them (Raffel et al. 2020, 2.3 and
//! Table 16).

use std::collections::BTreeMap;

/// GLUE's tasks but MNLI and WNLI.
const GLUE: [&str; 7] = ["cola", "sst2", "mrpc", "stsb", "qqp", "qnli", "rte"];

/// SuperGLUE's tasks.
const SUPER_GLUE: [&str; 8] = ["boolq", "cb", "copa", "multirc", "record", "rte", "wic", "wsc"];

/// The averages of which all tasks are there, by name, of headlines by the names of tasks (`glue/cola`):
///
/// - `glue`: of eight tasks without WNLI, as the paper has it for validation splits. MNLI is one of them: the mean of
///   `glue/mnli` and `glue/mnli_mismatched`, or the first alone where the second is missing.
/// - `glue_with_wnli`: of nine, as for test splits.
/// - `super_glue`: of eight tasks.
pub fn averages(headlines: &BTreeMap<String, f64>) -> BTreeMap<String, f64> {
    let of = |benchmark: &str, task: &str| headlines.get(&format!("{benchmark}/{task}")).copied();
    let mnli = of("glue", "mnli").map(|matched| match of("glue", "mnli_mismatched") {
        Some(mismatched) => (matched + mismatched) / 2.0,
        None => matched,
    });
    let glue: Option<Vec<f64>> = GLUE.iter().map(|task| of("glue", task)).chain([mnli]).collect();
    let wnli = of("glue", "wnli");
    let with_wnli = glue
        .as_ref()
        .zip(wnli)
        .map(|(glue, wnli)| [&glue[..], &[wnli]].concat());
    let super_glue: Option<Vec<f64>> = SUPER_GLUE.iter().map(|task| of("super_glue", task)).collect();
    let all = [
        ("glue", glue),
        ("glue_with_wnli", with_wnli),
        ("super_glue", super_glue),
    ];
    let whole = all
        .into_iter()
        .filter_map(|(name, headlines)| Some((name.to_owned(), mean(&headlines?))));
    whole.collect()
}

fn mean(numbers: &[f64]) -> f64 {
    numbers.iter().sum::<f64>() / numbers.len() as f64
}
