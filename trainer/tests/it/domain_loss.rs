//! `t5 eval --by domain`: each document counts for its own domain, and nothing is lost.

use crate::common::corpus::{good_text, write_two};
use crate::common::program::{Place, said};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use t5_trainer::Vocab;
use t5_trainer::internals::{domain_loss, train};
use t5_trainer::{Checkpoint, Device, Precision, open};
use t5_trainer::{FeedConfig, Source};

/// URLs as they may be, and their domain.
const DOMAINS: [(&str, &str); 3] = [
    ("http://www.North.example/a", "north.example"),
    ("https://south.example:8080/b?c=", "south.example"),
    ("https://blog.south.example/d/", "blog.south.example"),
];

/// A corpus of pages of some of the domains, half of them for validation.
fn corpus(place: &Place, name: &str, domains: &[usize]) -> String {
    let mut halves = [Vec::new(), Vec::new()];
    for &domain in domains {
        for i in 0..30 * (domain + 1) {
            let url = format!("{}{i}", DOMAINS[domain].0);
            let text = good_text(1000 * domain + i).repeat(1 + i % 3);
            halves[i / 3 % 2].push((url, text));
        }
    }
    let [train, validation] = halves;
    let corpus = place.path(name);
    write_two(Path::new(&corpus), train, validation);
    corpus
}

fn evaluated(run: &str, corpus: &str, more: &[&str]) -> Value {
    let arguments = ["eval", run, "--corpus", corpus, "--by", "domain", "--json"];
    let line = said(&[&arguments[..], more].concat());
    serde_json::from_str(&line).unwrap()
}

#[test]
fn documents_count_for_their_own_domain() {
    let place = Place::new();
    let run = place.path("run");
    let lm = [
        "--set",
        "model.architecture=language_model",
        "--set",
        "feed.objective.name=lm",
        "--set",
        "feed.objective.targets_length=64",
        "--steps",
        "3",
    ];
    said(&place.begin(&run, &lm));
    let all = corpus(&place, "all", &[0, 1, 2]);
    let found = evaluated(&run, &all, &["--top", "0", "-t", "1"]);
    // The same bits on any number of threads.
    assert_eq!(evaluated(&run, &all, &["--top", "0", "-t", "2"]), found);
    let domains = found["domains"].as_array().unwrap();
    assert_eq!(domains.len(), 3);
    // A language model's examples have no noise, so each domain by itself gives the same.
    for (number, (_, name)) in DOMAINS.iter().enumerate() {
        let alone = corpus(&place, name, &[number]);
        let alone = evaluated(&run, &alone, &[]);
        let alone = &alone["domains"].as_array().unwrap()[..];
        let here: Vec<&Value> = domains.iter().filter(|d| d["domain"] == *name).collect();
        let ([alone], [here]) = (alone, &here[..]) else {
            panic!("{alone:?} {here:?}");
        };
        for key in ["domain", "documents", "tokens", "targets"] {
            assert_eq!(alone[key], here[key], "{name} {key}");
        }
        assert!(here["documents"].as_u64().unwrap() > 5);
        for key in ["loss", "perplexity", "accuracy"] {
            let (a, b) = (alone[key].as_f64().unwrap(), here[key].as_f64().unwrap());
            assert!((a - b).abs() < 1e-5 * b.max(1.0), "{name} {key}: {a} {b}");
        }
    }
    // Largest first; all of it below.
    let tokens = |d: &Value| d["tokens"].as_u64().unwrap();
    assert!(domains.is_sorted_by_key(|d| std::cmp::Reverse(tokens(d))));
    let targets: u64 = domains.iter().map(|d| d["targets"].as_u64().unwrap()).sum();
    assert_eq!(found["targets"], targets);
    // An EOS a document and segment is no token of the text.
    assert!(targets > domains.iter().map(tokens).sum());

    let table = said(&["eval", &run, "--corpus", &all, "--by", "domain", "--top", "1"]);
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 5, "{table}");
    let starts = ["domain ", "blog.south.example ", "(2 others) ", "all ", "step 3: "];
    for (line, start) in lines.iter().zip(starts) {
        assert!(line.starts_with(start), "{table}");
    }
    let few = evaluated(&run, &all, &["--batches", "2", "--top", "1"]);
    assert_eq!(few["domains"].as_array().unwrap().len(), 1);
    assert!(few["targets"].as_u64().unwrap() < targets);
}

#[test]
fn the_domains_together_are_the_whole() {
    let place = Place::new();
    let run = place.path("run");
    said(&place.begin(&run, &["--steps", "3"]));
    let path = Path::new(&run).join("checkpoints/step-00000003");
    let note = Checkpoint::read(&path).unwrap();
    let model = note.model(&path).unwrap();
    let mut model = open(Device::Cpu, Precision::F32, model, None).unwrap();
    let vocab = Arc::new(Vocab::open(Path::new(&place.vocab)).unwrap());
    let corpora = [Source::at(corpus(&place, "all", &[0, 1, 2]))];
    let config = FeedConfig {
        documents_per_group: 1,
        ..note.config.feed
    };
    for limit in [0, 3] {
        let whole = train::evaluate(&mut *model, &vocab, &corpora, &config, limit).unwrap();
        let whole = whole[0].loss;
        let parts = domain_loss::evaluate(&mut *model, &vocab, &corpora, &config, limit).unwrap();
        let sum = |of: fn(&domain_loss::DomainLoss) -> f64| parts.values().map(of).sum::<f64>();
        assert_eq!(sum(|part| part.loss.targets as f64), whole.targets as f64);
        assert_eq!(sum(|part| part.loss.correct as f64), whole.correct as f64);
        let (ours, whole) = (sum(|part| part.loss.cross_entropy), whole.cross_entropy);
        assert!((ours - whole).abs() < 1e-6 * whole, "{ours} {whole}");
    }
}
