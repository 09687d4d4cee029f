//! How two builds were configured: recipes and inputs.

use super::facts::{CorpusFacts, InputFacts, InputsDiff, KeyDiff};
use super::pages::ComparedCorpus;
use c4_data::{Format, InputEntry, InputState, Recipe};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The facts of a corpus for the summary.
pub(super) fn facts(corpus: &ComparedCorpus) -> CorpusFacts {
    let manifest = &corpus.manifest;
    CorpusFacts {
        dir: corpus.dir.to_string_lossy().into_owned(),
        recipe: manifest.recipe.name.clone(),
        recipe_hash: manifest.recipe_hash.clone(),
        program: manifest.versions.program.clone(),
        format: manifest.format,
        ledger: manifest.ledger.mode,
        pages: manifest.shards.iter().map(|shard| shard.rows).sum(),
        text_bytes: manifest.shards.iter().map(|shard| shard.text_bytes).sum(),
    }
}

/// The keys in which two recipes differ, in order.
pub(super) fn recipes(a: &Recipe, b: &Recipe) -> Vec<KeyDiff> {
    let [mut a, b] = [a, b].map(|recipe| {
        let mut keys = BTreeMap::new();
        flatten("", serde_json::to_value(recipe).unwrap_or_default(), &mut keys);
        keys.retain(|key, _| {
            let not_hashed = ["name", "description"].contains(&key.as_str());
            !not_hashed && !key.starts_with("expect.")
        });
        keys
    });
    let mut keys: BTreeMap<String, (Value, Value)> = BTreeMap::new();
    for (key, b) in b {
        let a = a.remove(&key).unwrap_or_default();
        keys.insert(key, (a, b));
    }
    keys.extend(a.into_iter().map(|(key, a)| (key, (a, Value::Null))));
    let differing = keys.into_iter().filter(|(_, (a, b))| a != b);
    differing
        .map(|(key, (a, b))| {
            let (a, b) = without_common(a, b);
            KeyDiff { key, a, b }
        })
        .collect()
}

fn flatten(prefix: &str, value: Value, keys: &mut BTreeMap<String, Value>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let key = match prefix {
                    "" => key,
                    _ => format!("{prefix}.{key}"),
                };
                flatten(&key, value, keys);
            }
        }
        value => {
            keys.insert(prefix.to_owned(), value);
        }
    }
}

/// Two lists without what both have; both as they are where only their order differs.
fn without_common(a: Value, b: Value) -> (Value, Value) {
    let (Value::Array(list_a), Value::Array(list_b)) = (&a, &b) else {
        return (a, b);
    };
    let only = |list: &[Value], other: &[Value]| -> Vec<Value> {
        let items = list.iter().filter(|item| !other.contains(item));
        items.cloned().collect()
    };
    match (only(list_a, list_b), only(list_b, list_a)) {
        (left, right) if left.is_empty() && right.is_empty() => (a, b),
        (left, right) => (left.into(), right.into()),
    }
}

/// The archives of two builds: those of both, and those that only one read.
pub(super) fn inputs(a: &[InputEntry], b: &[InputEntry]) -> InputsDiff {
    fn set(inputs: &[InputEntry]) -> BTreeSet<(&str, u64)> {
        let keys = inputs.iter().map(|input| (&*input.archive, input.bytes));
        keys.collect()
    }
    let (set_a, set_b) = (set(a), set(b));
    let only = |inputs: &[InputEntry], others: &BTreeSet<(&str, u64)>| -> Vec<InputFacts> {
        let own = inputs
            .iter()
            .filter(|input| !others.contains(&(&*input.archive, input.bytes)));
        own.map(|input| InputFacts {
            archive: input.archive.clone(),
            bytes: input.bytes,
            state: input.state,
        })
        .collect()
    };
    InputsDiff {
        both: set_a.intersection(&set_b).count() as u64,
        only_a: only(a, &set_b),
        only_b: only(b, &set_a),
    }
}

/// Notes on what is worth knowing of the two builds themselves.
pub(super) fn notes(a: &ComparedCorpus, b: &ComparedCorpus, recipe: &[KeyDiff]) -> Vec<String> {
    let mut notes = Vec::new();
    let (program_a, program_b) = (&a.manifest.versions.program, &b.manifest.versions.program);
    if program_a != program_b {
        notes.push(format!(
            "A was built by version {program_a} of the program and B by {program_b}; causes are judged by the rules of this version, {}.",
            env!("CARGO_PKG_VERSION")
        ));
    }
    if recipe.is_empty()
        && a.manifest.recipe_hash != b.manifest.recipe_hash
        && a.manifest.recipe.name == b.manifest.recipe.name
        && program_a == program_b
    {
        notes.push("The recipes' keys are equal, but their hashes differ: their lists do.".into());
    }
    for (name, corpus) in [("A", a), ("B", b)] {
        let inputs = corpus.manifest.inputs.iter();
        let damaged = inputs.filter(|input| input.state != InputState::Read);
        let damaged = damaged.count();
        if damaged > 0 {
            notes.push(format!(
                "{damaged} of the archives of {name} could not be read as a whole; pages that were lost there are not_read."
            ));
        }
        if !corpus.has_ledger() {
            notes.push(format!(
                "{name} has no ledger, so what became there of pages that it lacks is unknown; build it again with --ledger sample:1000 to know."
            ));
        }
        if corpus.manifest.format == Format::Jsonl {
            notes.push(format!(
                "{name} is in jsonl, which does not say in what language a page is, nor where it was read: of lines that dedup may have taken the cause is unknown unless both read the same archives. Build it again with --format arrow to know."
            ));
        }
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn recipe(name: &str) -> Recipe {
        Recipe::load(name).unwrap().0
    }

    #[test]
    fn recipes_differ_key_by_key() {
        let diff = recipes(&recipe("c4"), &recipe("en"));
        let keys: Vec<&str> = diff.iter().map(|diff| &*diff.key).collect();
        assert_eq!(keys, ["dedup.span_sentences", "dedup.unit"]);
        assert_eq!((&diff[0].a, &diff[0].b), (&json!(3), &Value::Null));
        assert_eq!((&diff[1].a, &diff[1].b), (&json!("spans"), &json!("lines")));
        assert!(recipes(&recipe("en"), &recipe("en")).is_empty());

        let diff = recipes(&recipe("en.noblocklist"), &recipe("en"));
        assert!(diff.iter().all(|diff| diff.key.starts_with("bad_words.")));
        assert!(!diff.is_empty());
    }

    #[test]
    fn lists_differ_item_by_item() {
        let (a, mut b) = (recipe("en"), recipe("en"));
        let clean = b.clean.as_mut().unwrap();
        clean.policy_phrases.push("imprint".into());
        clean.end_marks.reverse();
        let diff = recipes(&a, &b);
        assert_eq!(diff.len(), 2);
        assert_eq!(diff[0].key, "clean.end_marks");
        assert_eq!(diff[0].a.as_array().unwrap().len(), 4);
        assert_eq!((&diff[1].a, &diff[1].b), (&json!([]), &json!(["imprint"])));
    }
}
