//! The feed on tasks, alone and beside a corpus.

use crate::common::corpus::{Shard, write};
use c4_data::{Format, Split};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use t5_trainer::internals::{
    Cursor, FeedSources, Ids, Mixing, Mixture, MixtureShare, Packing, RowLayout, TaskSource, Tokenizer, mixture,
};
use t5_trainer::{Batch, Error, Feed, FeedConfig, Source};

const IDS: Ids = Ids {
    vocab_size: 1_000_000,
    ..Ids::T5
};

/// A text's words are its token ids; a word that is no number is 3.
fn numbers() -> Arc<dyn Tokenizer> {
    Arc::new(|text: &str, out: &mut Vec<u32>| {
        out.extend(text.split_whitespace().map(|word| word.parse().unwrap_or(3)));
    })
}

/// A task of rows whose inputs and targets are numbers.
fn card(dir: &Path, name: &str) -> TaskSource {
    let path = dir.join(format!("{name}.toml"));
    let toml = format!(
        "name = \"{name}\"\ninputs = \"{{text}}\"\ntargets = \"{{answer}}\"\n[score]\nmetrics = [\"exact_match\"]\n\
         [lengths]\ninputs = 8\ntargets = 4\n"
    );
    fs::write(&path, toml).unwrap();
    TaskSource {
        name: path.to_str().unwrap().to_owned(),
        data: Some(dir.join(name)),
        ..TaskSource::default()
    }
}

/// Row `i` has the inputs `10 + i` and `5`, and the target `10 + i`.
fn rows(dir: &Path, name: &str, rows: u32) -> TaskSource {
    let folder = dir.join(name);
    fs::create_dir_all(&folder).unwrap();
    let mut text = String::new();
    for i in 0..rows {
        writeln!(text, "{{\"text\": \"{0} 5\", \"answer\": \"{0}\"}}", 10 + i).unwrap();
    }
    fs::write(folder.join("train.jsonl"), text).unwrap();
    card(dir, name)
}

fn config() -> FeedConfig {
    FeedConfig {
        rows: 4,
        seed: 5,
        threads: 2,
        packing: Packing::OnePerRow,
        ..FeedConfig::default()
    }
}

fn open(
    (corpora, tasks): (&[Source], &[TaskSource]),
    mixing: Mixing,
    config: &FeedConfig,
    cursor: Option<Cursor>,
) -> Result<Feed, Error> {
    let sources = FeedSources { corpora, tasks, mixing };
    Feed::of_mixture(sources, config, IDS, numbers(), cursor)
}

fn of(tasks: &[TaskSource], config: &FeedConfig) -> Feed {
    open((&[], tasks), Mixing::Given, config, None).unwrap()
}

fn next(feed: &mut Feed) -> (Batch, Cursor) {
    feed.next().unwrap().unwrap()
}

/// The first token of the inputs of each example, in order.
fn first_tokens(batch: &Batch) -> Vec<u32> {
    let side = &batch.inputs;
    let places = 0..side.tokens.len();
    let is_first = |i: &usize| side.tokens[*i] != 0 && side.positions[*i] == 0;
    places.filter(is_first).map(|i| side.tokens[i]).collect()
}

#[test]
fn an_epoch_is_every_row_once_in_an_order_of_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let task = rows(dir.path(), "counting", 300);
    let mut feed = of(std::slice::from_ref(&task), &config());
    assert_eq!(feed.row_lengths(), (8, 4));
    let mut found = Vec::new();
    let mut starts = Vec::new();
    while found.len() < 900 {
        let (batch, _) = next(&mut feed);
        assert_eq!(batch.inputs.tokens[1..4], [5, 1, 0]);
        assert_eq!(batch.targets.tokens[..3], [batch.inputs.tokens[0], 1, 0]);
        found.extend(first_tokens(&batch));
        starts.extend(feed.epoch_starts().into_iter().map(|start| (start.corpus, start.epoch)));
    }
    let epochs: Vec<&[u32]> = found.chunks(300).collect();
    for epoch in &epochs {
        assert_eq!(epoch.iter().collect::<BTreeSet<_>>().len(), 300);
    }
    // Shuffled, over the whole split, and in each epoch otherwise.
    assert_ne!(epochs[0], epochs[1]);
    assert!(epochs[0][..75].iter().any(|token| *token > 250));
    assert_eq!(starts[0], ("counting".to_owned(), 1));

    // Threads do not show; the seed does.
    let same = FeedConfig { threads: 5, ..config() };
    let mut other = of(std::slice::from_ref(&task), &same);
    let again: Vec<u32> = (0..225).flat_map(|_| first_tokens(&next(&mut other).0)).collect();
    assert_eq!(again, found);
    let seeded = FeedConfig { seed: 6, ..config() };
    let mut other = of(&[task], &seeded);
    let again: Vec<u32> = (0..75).flat_map(|_| first_tokens(&next(&mut other).0)).collect();
    assert_ne!(again, found[..300]);
}

/// More rows than are in one order: a permutation of the first 2^17, then of the others.
#[test]
fn a_large_split_is_permuted_by_windows() {
    let dir = tempfile::tempdir().unwrap();
    let window = 1 << 17;
    let task = rows(dir.path(), "large", window + 100);
    let packed = FeedConfig { rows: 512, ..config() };
    let mut feed = of(std::slice::from_ref(&task), &packed);
    let mut found = Vec::new();
    let mut behind = None;
    while found.len() < window as usize + 200 {
        let (batch, cursor) = next(&mut feed);
        found.extend(first_tokens(&batch));
        behind = behind.or((found.len() > window as usize).then_some((found.len(), cursor)));
    }
    let (first, rest) = found.split_at(window as usize);
    assert!(first.iter().all(|token| *token < 10 + window));
    assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), first.len());
    let rest: BTreeSet<u32> = rest[..100].iter().copied().collect();
    assert!(rest.into_iter().eq(10 + window..110 + window));
    // Gone on with in the second window.
    let (done, cursor) = behind.unwrap();
    let mut again = open((&[], &[task]), Mixing::Given, &packed, Some(cursor)).unwrap();
    let tokens = first_tokens(&next(&mut again).0);
    let until = found.len().min(done + tokens.len());
    assert_eq!(tokens[..until - done], found[done..until]);
}

/// Two tasks, one of whose rows give several examples, beside a corpus: from each batch on the same again, and whatever
/// is packed together, the same examples in the same order.
#[test]
fn a_cursor_goes_on_at_the_very_next_example() {
    let dir = tempfile::tempdir().unwrap();
    let counting = rows(dir.path(), "counting", 37);
    let record = dir.path().join("record");
    fs::create_dir_all(&record).unwrap();
    let mut text = String::new();
    for i in 0..23 {
        let (first, second) = (1000 + 2 * i, 1001 + 2 * i);
        let answers = format!("[\"{first}\", \"{second}\"]");
        writeln!(
            text,
            "{{\"passage\": \"{i}\", \"query\": \"7\", \"entities\": {answers}, \"answers\": {answers}, \
             \"idx\": {{\"passage\": {i}, \"query\": {i}}}}}"
        )
        .unwrap();
    }
    fs::write(record.join("train.jsonl"), text).unwrap();
    let record = TaskSource {
        name: "super_glue/record".to_owned(),
        data: Some(record),
        ..TaskSource::default()
    };
    let tasks = [counting, record];
    let documents = (0..40).map(|i| format!("{} {}", 5000 + i, 6000 + i)).collect();
    let corpus = write(
        &dir.path().join("corpus"),
        Format::Jsonl,
        &[Shard::of_texts(None, Split::Train, documents)],
    );
    let corpora = [Source::at(&corpus)];
    let mixing = Mixing::Temperature {
        temperature: 3.0,
        limit: 30,
    };
    let packed = FeedConfig {
        packing: Packing::Packed,
        documents_per_group: 8,
        ..config()
    };
    let sources = (&corpora[..], &tasks[..]);
    let mut feed = open(sources, mixing, &packed, None).unwrap();
    let whole: Vec<(Batch, Cursor)> = (0..40).map(|_| next(&mut feed)).collect();
    let mut cursor = None;
    for (batch, after) in &whole {
        let mut feed = open(sources, mixing, &packed, cursor).unwrap();
        assert_eq!(next(&mut feed), (batch.clone(), after.clone()));
        cursor = Some(after.clone());
    }
    let examples: Vec<u32> = whole.iter().flat_map(|(batch, _)| first_tokens(batch)).collect();
    let single = FeedConfig {
        packing: Packing::OnePerRow,
        ..packed.clone()
    };
    let mut feed = open(sources, mixing, &single, None).unwrap();
    let mut alone = Vec::new();
    while alone.len() < examples.len() {
        alone.extend(first_tokens(&next(&mut feed).0));
    }
    assert_eq!(alone[..examples.len()], examples);

    // What decides over the order is compared.
    let other = Mixing::Equal;
    let error = open(sources, other, &packed, cursor.clone()).err().unwrap().to_string();
    assert!(error.contains("other data"), "{error}");
    let shorter = FeedConfig {
        task_inputs: 4,
        ..packed
    };
    assert!(open(sources, mixing, &shorter, cursor).is_err());
}

#[test]
fn a_model_without_an_encoder_gets_the_task_as_prefix() {
    let dir = tempfile::tempdir().unwrap();
    let task = rows(dir.path(), "counting", 9);
    let decoder_only = FeedConfig {
        layout: RowLayout::DecoderOnly,
        task_inputs: 2,
        ..config()
    };
    let mut feed = of(&[task], &decoder_only);
    assert_eq!(feed.row_lengths(), (0, 6));
    let (batch, _) = next(&mut feed);
    let row = &batch.targets.tokens[..6];
    // The inputs lost their second token.
    assert_eq!(row, [row[0], 1, row[0], 1, 0, 0]);
    assert_eq!(feed.counts().trimmed, 9);
}

#[test]
fn rows_that_cannot_be_used_are_told_once() {
    let dir = tempfile::tempdir().unwrap();
    let task = rows(dir.path(), "counting", 20);
    let file = dir.path().join("counting/train.jsonl");
    let mut text = fs::read_to_string(&file).unwrap();
    text += "{\"text\": \"7 5\"}\nno json\n";
    fs::write(&file, &text).unwrap();
    let mut feed = of(std::slice::from_ref(&task), &config());
    let mut found = BTreeMap::new();
    let mut counts = BTreeMap::new();
    for _ in 0..30 {
        let (batch, _) = next(&mut feed);
        first_tokens(&batch)
            .into_iter()
            .for_each(|token| *counts.entry(token).or_insert(0) += 1);
        for row in feed.refused_rows() {
            assert_eq!(row.task, "counting");
            assert!(found.insert(row.place.clone(), row.reason).is_none(), "{}", row.place);
        }
    }
    // 120 examples are six epochs of the 20 that are whole.
    assert_eq!(counts.len(), 20);
    assert!(counts.values().all(|count| *count == 6), "{counts:?}");
    let told: Vec<String> = found
        .into_iter()
        .map(|(place, reason)| format!("{place}: {reason}"))
        .collect();
    assert_eq!(told.len(), 2, "{told:?}");
    assert!(
        told[0].contains("train.jsonl: line 21") && told[0].contains("answer"),
        "{told:?}"
    );
    assert!(told[1].contains("line 22"), "{told:?}");

    // None of a split's rows.
    let lines = text.lines().skip(20).collect::<Vec<_>>().join("\n");
    let useless = dir.path().join("useless");
    fs::create_dir_all(&useless).unwrap();
    fs::write(useless.join("train.jsonl"), lines).unwrap();
    let mut feed = of(&[card(dir.path(), "useless")], &config());
    let error = feed.next().err().unwrap().to_string();
    assert!(
        error.contains("not one of its rows can be used") && error.contains("line 1"),
        "{error}"
    );
}

#[test]
fn rates_are_those_of_the_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let small = rows(dir.path(), "small", 25);
    let large = rows(dir.path(), "large", 400);
    let documents = (0..100).map(|i| i.to_string()).collect();
    let corpus: PathBuf = write(
        &dir.path().join("corpus"),
        Format::Jsonl,
        &[Shard::of_texts(None, Split::Train, documents)],
    );
    let shares = |corpora: &[Source], tasks: &[TaskSource], mixing| {
        let sources = FeedSources { corpora, tasks, mixing };
        mixture(sources, &config()).map(|found| {
            let rates = found.iter().map(|of: &MixtureShare| of.rate);
            let shares = found.iter().map(|of| of.share);
            assert!((shares.sum::<f64>() - 1.0).abs() < 1e-12);
            rates.collect::<Vec<f64>>()
        })
    };
    let corpora = [Source {
        examples: Some(10_000),
        ..Source::at(&corpus)
    }];
    let tasks = [small.clone(), large.clone()];
    let proportional = Mixing::Proportional { limit: 300 };
    let temperature = Mixing::Temperature {
        temperature: 2.0,
        limit: 900,
    };
    assert_eq!(
        shares(&corpora, &tasks, Mixing::Given).unwrap(),
        [10_000.0, 25.0, 400.0]
    );
    assert_eq!(shares(&corpora, &tasks, Mixing::Equal).unwrap(), [1.0; 3]);
    assert_eq!(shares(&corpora, &tasks, proportional).unwrap(), [300.0, 25.0, 300.0]);
    assert_eq!(shares(&corpora, &tasks, temperature).unwrap(), [30.0, 5.0, 20.0]);
    // A corpus counts by its documents: 99, since one is held out.
    let plain = [Source::at(&corpus)];
    assert_eq!(shares(&plain, &tasks, proportional).unwrap(), [99.0, 25.0, 300.0]);
    // A weight is the rate, whatever the scheme; with `given`, all have one or none.
    let weighted = TaskSource {
        weight: Some(7.5),
        ..small.clone()
    };
    let tasks = [weighted, large];
    assert_eq!(shares(&plain, &tasks, proportional).unwrap(), [99.0, 7.5, 300.0]);
    let error = shares(&plain, &tasks, Mixing::Given).unwrap_err().to_string();
    assert!(error.contains("some have none"), "{error}");
    let error = shares(&[], &[small.clone(), small], Mixing::Equal)
        .unwrap_err()
        .to_string();
    assert!(error.contains("given twice"), "{error}");
}

/// Of a million draws, each source has its share within three standard deviations, by whatever scheme.
#[test]
fn shares_are_drawn_as_they_are_said() {
    const DRAWS: u64 = 1_000_000;
    let dir = tempfile::tempdir().unwrap();
    // CB, CoLA, MNLI and a web corpus.
    let sized = [250, 8551, 392_702, 364_868_892].map(|examples| TaskSource {
        examples: Some(examples),
        ..rows(dir.path(), &format!("of-{examples}"), 2)
    });
    for (seed, mixing) in [
        Mixing::Equal,
        Mixing::Proportional { limit: 1 << 19 },
        Mixing::Temperature {
            temperature: 2.0,
            limit: 1 << 21,
        },
    ]
    .into_iter()
    .enumerate()
    {
        let sources = FeedSources {
            corpora: &[],
            tasks: &sized,
            mixing,
        };
        let shares: Vec<f64> = mixture(sources, &config()).unwrap().iter().map(|of| of.share).collect();
        let mixture = Mixture::new(seed as u64, shares.iter().copied());
        let mut drawn = [0_u64; 4];
        (0..DRAWS).for_each(|number| drawn[mixture.corpus(number)] += 1);
        for (share, drawn) in shares.into_iter().zip(drawn) {
            let sigma = (share * (1.0 - share) / DRAWS as f64).sqrt();
            let is = drawn as f64 / DRAWS as f64;
            assert!((is - share).abs() <= 3.0 * sigma, "{mixing:?}: {is} for {share}");
        }
    }
}
