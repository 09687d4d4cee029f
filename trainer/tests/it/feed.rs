//! The feed on corpora written with the corpus crate's own writer.
//!
//! Above 500 lines: the corpora and the tokenisers that make every token traceable serve all of it.

use crate::common::corpus::{Shard, write};
use c4_data::{Format, Manifest, Split};
use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use t5_trainer::internals::{
    Cursor, EpochStart, Packer, Packing, RowLayout, ShardOrder, Tokenizer, Validation, Validations, examples,
};
use t5_trainer::internals::{Ids, ObjectiveConfig, ObjectiveKind, Place, Purpose, Random, append_eos_after_trim};
use t5_trainer::{Batch, Error};
use t5_trainer::{Feed, FeedConfig, Source};

// ---- corpora whose tokens tell where they are from

const IDS: Ids = Ids {
    vocab_size: 1_000_000,
    ..Ids::T5
};

/// A text's words are its token ids.
fn numbers() -> Arc<dyn Tokenizer> {
    Arc::new(|text: &str, out: &mut Vec<u32>| {
        out.extend(text.split_whitespace().map(|word| word.parse::<u32>().unwrap()));
    })
}

/// Document `i` has 1 to 60 tokens of its own, from `10 + 100 * i` on.
fn text(i: u32) -> String {
    let words = tokens(i).map(|token| token.to_string());
    words.collect::<Vec<_>>().join(" ")
}

fn tokens(i: u32) -> Range<u32> {
    let start = 10 + 100 * i;
    start..start + 1 + i * 7 % 60
}

/// The tokens of documents.
fn all(documents: Range<u32>) -> Vec<u32> {
    documents.flat_map(tokens).collect()
}

fn shard(split: Split, documents: Range<u32>) -> Shard<'static> {
    Shard::of_texts(None, split, documents.map(text).collect())
}

/// Train documents 0..110 in three shards, validation 110..120.
fn plain(dir: &Path, format: Format) -> PathBuf {
    let train = |documents| shard(Split::Train, documents);
    let validation = shard(Split::Validation, 110..120);
    write(dir, format, &[train(0..37), train(37..90), train(90..110), validation])
}

fn source(path: &Path) -> Source {
    Source::at(path)
}

fn weighted(path: &Path, weight: f64) -> Source {
    Source {
        weight: Some(weight),
        ..source(path)
    }
}

/// Small groups and rows, so that a few documents give many of them.
fn config(objective: ObjectiveConfig) -> FeedConfig {
    FeedConfig {
        objective,
        rows: 3,
        seed: 5,
        documents_per_group: 8,
        threads: 2,
        ..FeedConfig::default()
    }
}

fn spans() -> FeedConfig {
    config(ObjectiveConfig {
        inputs_length: Some(64),
        ..ObjectiveConfig::default()
    })
}

/// Plain text, one segment a row: what comes out is what went in.
fn lm() -> FeedConfig {
    FeedConfig {
        layout: RowLayout::DecoderOnly,
        packing: Packing::OnePerRow,
        ..config(ObjectiveConfig {
            name: ObjectiveKind::Lm,
            targets_length: Some(50),
            ..ObjectiveConfig::default()
        })
    }
}

fn open(sources: &[Source], config: &FeedConfig, cursor: Option<Cursor>) -> Result<Feed, Error> {
    Feed::open(sources, config, IDS, numbers(), cursor)
}

fn take(feed: &mut Feed, n: usize) -> Vec<(Batch, Cursor)> {
    (0..n).map(|_| feed.next().unwrap().unwrap()).collect()
}

fn rest(feed: &mut Feed) -> Vec<Batch> {
    let mut batches = Vec::new();
    while let Some((batch, _)) = feed.next().unwrap() {
        batches.push(batch);
    }
    batches
}

/// The targets of all rows without EOS and padding, in order.
/// The validation batches of each corpus.
fn validation(sources: &[Source], config: &FeedConfig) -> Vec<Vec<Batch>> {
    let mut validations = Validations::open(sources, config, IDS, numbers()).unwrap();
    let mut found = Vec::new();
    while let Some(mut feed) = validations.next().unwrap() {
        found.push(rest(&mut feed));
    }
    found
}

fn targets(batch: &Batch) -> Vec<u32> {
    let tokens = batch.targets.tokens.iter().copied();
    tokens.filter(|token| *token > IDS.eos).collect()
}

/// Text of a language model's feed until its corpora are in epoch `epochs`.
fn text_of_epochs(feed: &mut Feed, epochs: u64) -> (Vec<u32>, Vec<EpochStart>) {
    let (mut text, mut starts) = (Vec::new(), Vec::new());
    loop {
        let (batch, _) = feed.next().unwrap().unwrap();
        text.extend(targets(&batch));
        starts.extend(feed.epoch_starts());
        if starts.iter().any(|start| start.epoch >= epochs) {
            return (text, starts);
        }
    }
}

// ---- the chain

/// The chain once more, in a line, by its description: what the threads make must be this.
fn by_hand(documents: &[Range<u32>], config: &FeedConfig, epochs: u64) -> Vec<Batch> {
    let objective = config.objective.resolve().unwrap();
    let lengths = objective.lengths();
    let (inputs, targets) = config.layout.row_lengths(lengths).unwrap();
    let mut packer = Packer::new(config.rows, inputs, targets, config.packing);
    let mut batches = Vec::new();
    for epoch in 0..epochs {
        for (group, documents) in documents.chunks(config.documents_per_group).enumerate() {
            let tokens: Vec<Vec<u32>> = documents.iter().cloned().map(Iterator::collect).collect();
            let pieces = match objective.joins_documents() {
                true => vec![tokens.concat()],
                false => tokens,
            };
            let segments = pieces.iter().flat_map(|piece| piece.chunks(lengths.segment));
            for (segment, index) in segments.zip(0..) {
                let mut rng = Random::at(Place {
                    seed: config.seed,
                    purpose: Purpose::Noise,
                    corpus: 0,
                    epoch,
                    group: group as u64,
                    index,
                });
                let mut example = objective.example(segment, IDS, &mut rng);
                append_eos_after_trim(&mut example, lengths, IDS);
                if config.layout == RowLayout::DecoderOnly {
                    example.targets = [example.inputs, example.targets].concat();
                    example.inputs = Vec::new();
                }
                if !packer.add(&example) {
                    batches.extend(packer.finish());
                    assert!(packer.add(&example));
                }
            }
        }
    }
    batches
}

#[test]
fn batches_are_the_chain_applied_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let path = plain(dir.path(), Format::Arrow);
    let documents: Vec<Range<u32>> = (0..110).map(tokens).collect();
    for layout in [RowLayout::EncoderDecoder, RowLayout::DecoderOnly] {
        for packing in [Packing::Packed, Packing::OnePerRow] {
            for kind in ObjectiveKind::ALL {
                let lm = kind == ObjectiveKind::Lm;
                if lm && layout == RowLayout::EncoderDecoder {
                    continue;
                }
                let objective = ObjectiveConfig {
                    name: kind,
                    inputs_length: (!lm).then_some(40),
                    targets_length: lm.then_some(40),
                    ..ObjectiveConfig::default()
                };
                let config = FeedConfig {
                    layout,
                    packing,
                    ..config(objective)
                };
                let wanted = by_hand(&documents, &config, 2);
                assert!(wanted.len() > 20, "{kind:?}: {}", wanted.len());
                let mut feed = open(&[source(&path)], &config, None).unwrap();
                let found = take(&mut feed, wanted.len());
                for ((found, _), wanted) in found.iter().zip(&wanted) {
                    assert_eq!(found, wanted, "{kind:?} {layout:?} {packing:?}");
                    assert_eq!(found.rows, config.rows);
                    let positions = found.rows * found.targets.length;
                    assert_eq!(found.decoder_inputs.len(), positions);
                    assert_eq!(found.inputs.length, feed.row_lengths().0);
                }
            }
        }
    }
}

#[test]
fn an_epoch_uses_every_document_once_and_in_order() {
    for format in [Format::Arrow, Format::Parquet, Format::Jsonl] {
        let dir = tempfile::tempdir().unwrap();
        let path = plain(dir.path(), format);
        let mut feed = open(&[source(&path)], &lm(), None).unwrap();
        assert_eq!(feed.corpora()[0].validation, Validation::Own { documents: 10 });
        assert_eq!(feed.corpora()[0].documents, 110);
        let (text, starts) = text_of_epochs(&mut feed, 3);
        let epoch = all(0..110);
        assert!(text.len() >= 3 * epoch.len());
        for (i, token) in text.iter().enumerate() {
            assert_eq!(*token, epoch[i % epoch.len()], "{format:?}: token {i}");
        }
        let name = path.display().to_string();
        let start = |epoch| EpochStart {
            corpus: name.clone(),
            epoch,
        };
        assert_eq!(starts, [1, 2, 3].map(start), "every epoch is said once");
        let counts = feed.counts();
        assert_eq!((counts.left_out, counts.trimmed), (0, 0));
        assert!(counts.tokens >= text.len() as u64);
    }
}

#[test]
fn seeded_shards_have_another_order_in_each_epoch_and_lose_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let shards: Vec<Shard> = (0..12).map(|i| shard(Split::Train, i * 10..i * 10 + 10)).collect();
    let shards: Vec<Shard> = shards.into_iter().chain([shard(Split::Validation, 900..901)]).collect();
    let path = write(dir.path(), Format::Arrow, &shards);
    let order = |seed| {
        let config = FeedConfig {
            shard_order: ShardOrder::Seeded,
            seed,
            ..lm()
        };
        let mut feed = open(&[source(&path)], &config, None).unwrap();
        let length = all(0..120).len();
        let (text, _) = text_of_epochs(&mut feed, 2);
        let mut orders = Vec::new();
        for epoch in text.chunks(length).take(2) {
            let mut sorted = epoch.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, all(0..120), "every token once");
            let mut shards: Vec<u32> = epoch.iter().map(|token| (token - 10) / 1000).collect();
            shards.dedup();
            assert_eq!(shards.len(), 12, "shard after shard");
            orders.push(shards);
        }
        orders
    };
    let (a, b) = (order(1), order(2));
    assert_eq!(a, order(1));
    let different: BTreeSet<&Vec<u32>> = a.iter().chain(&b).collect();
    assert_eq!(different.len(), 4, "{different:?}");
}

#[test]
fn of_long_documents_one_part_is_used_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let long = |i: u32| -> String {
        let words = (0..250).map(|k| (10 + 1000 * i + k).to_string());
        words.collect::<Vec<_>>().join(" ")
    };
    let train = Shard::of_texts(None, Split::Train, (0..600).map(long).collect());
    let path = write(dir.path(), Format::Arrow, &[train, shard(Split::Validation, 0..1)]);
    let config = FeedConfig {
        max_document_tokens: 100,
        ..lm()
    };
    let mut feed = open(&[source(&path)], &config, None).unwrap();
    let (text, _) = text_of_epochs(&mut feed, 1);
    let mut parts = [0; 3];
    let mut text = text.as_slice();
    for i in 0..600 {
        let offset = text[0] - 10 - 1000 * i;
        assert!(offset.is_multiple_of(100), "parts begin at multiples of their length");
        parts[offset as usize / 100] += 1;
        let length = if offset == 200 { 50 } else { 100 };
        let wanted: Vec<u32> = (0..length).map(|k| 10 + 1000 * i + offset + k).collect();
        assert_eq!(text[..wanted.len()], wanted);
        text = &text[wanted.len()..];
    }
    // 600 draws of 3: the standard deviation is 11.5.
    assert!(parts.iter().all(|n| (150..=250).contains(n)), "{parts:?}");
    let counts = feed.counts();
    let used = u64::try_from(parts[0] * 100 + parts[1] * 100 + parts[2] * 50).unwrap();
    // The second epoch has begun with a group or two.
    assert!(counts.documents >= 600);
    assert!(counts.left_out >= 600 * 250 - used && counts.left_out < counts.tokens);
}

// ---- determinism and resume

fn mixture(dir: &Path) -> Vec<Source> {
    let (a, b) = (dir.join("a"), dir.join("b"));
    let path = plain(&a, Format::Arrow);
    let other = write(
        &b,
        Format::Jsonl,
        &[
            shard(Split::Train, 1000..1033),
            shard(Split::Train, 1033..1050),
            shard(Split::Validation, 1050..1055),
        ],
    );
    vec![weighted(&path, 0.7), weighted(&other, 0.3)]
}

#[test]
fn threads_do_not_show() {
    let dir = tempfile::tempdir().unwrap();
    let sources = mixture(dir.path());
    let made = |threads| {
        // Some texts take longer than others, so that threads overtake each other.
        let slow = |text: &str, out: &mut Vec<u32>| {
            numbers().encode(text, out);
            std::thread::sleep(Duration::from_micros(u64::from(out[0] % 7) * 50));
        };
        let config = FeedConfig { threads, ..spans() };
        let mut feed = Feed::open(&sources, &config, IDS, Arc::new(slow), None).unwrap();
        take(&mut feed, 90)
    };
    let one = made(1);
    assert_eq!(one.last().unwrap().1.corpora[1].epoch, 2, "over several epochs");
    assert!(one == made(2), "2 threads");
    assert!(one == made(4), "4 threads");
}

#[test]
fn a_cursor_goes_on_exactly_at_every_batch() {
    let dir = tempfile::tempdir().unwrap();
    let sources = mixture(dir.path());
    let seeded = FeedConfig {
        shard_order: ShardOrder::Seeded,
        ..spans()
    };
    let shuffled = FeedConfig {
        shuffle_groups: 3,
        ..seeded.clone()
    };
    let prefix = config(ObjectiveConfig {
        name: ObjectiveKind::PrefixLm,
        inputs_length: Some(48),
        ..ObjectiveConfig::default()
    });
    for (sources, config) in [
        (&sources[..], &spans()),
        (&sources[..], &seeded),
        (&sources[..], &prefix),
        (&sources[..1], &spans()),
        (&sources[1..], &lm()),
        (&sources[..], &shuffled),
    ] {
        let mut feed = open(sources, config, None).unwrap();
        let mut starts = Vec::new();
        let batches: Vec<(Batch, Cursor)> = (0..40)
            .map(|_| {
                let next = feed.next().unwrap().unwrap();
                starts.push(feed.epoch_starts());
                next
            })
            .collect();
        let last = &batches.last().unwrap().1;
        assert!(last.corpora.iter().any(|at| at.epoch > 0), "{last:?}");
        assert_eq!(feed.fingerprint(), last.fingerprint);
        for (i, (_, cursor)) in batches.iter().enumerate().take(38) {
            let json = serde_json::to_string(cursor).unwrap();
            assert!(json.len() < 400, "small: {json}");
            let cursor: Cursor = serde_json::from_str(&json).unwrap();
            // Threads may change, and so may what is ahead.
            let config = FeedConfig {
                threads: 1 + i % 3,
                ..config.clone()
            };
            let mut feed = open(sources, &config, Some(cursor)).unwrap();
            for (place, wanted) in batches.iter().enumerate().skip(i + 1).take(3) {
                let found = feed.next().unwrap().unwrap();
                assert!(found == *wanted, "batch {place} after {i}: {json}");
                assert_eq!(feed.epoch_starts(), starts[place], "{json}");
            }
        }
    }
}

#[test]
fn going_on_reads_nothing_of_what_was_used() {
    let dir = tempfile::tempdir().unwrap();
    let train: Vec<Shard> = (0..2).map(|i| shard(Split::Train, i * 3000..i * 3000 + 3000)).collect();
    let shards: Vec<Shard> = train
        .into_iter()
        .chain([shard(Split::Validation, 9000..9001)])
        .collect();
    let path = write(dir.path(), Format::Arrow, &shards);
    let mut feed = open(&[source(&path)], &spans(), None).unwrap();
    let (_, cursor) = take(&mut feed, 250).pop().unwrap();
    let at = cursor.corpora[0];
    assert!(at.epoch == 0 && at.shard == 0 && at.document > 1000, "{at:?}");

    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let notes = seen.clone();
    let watched = move |text: &str, out: &mut Vec<u32>| {
        numbers().encode(text, out);
        notes.lock().unwrap().insert(out[0] / 100);
    };
    let mut feed = Feed::open(&[source(&path)], &spans(), IDS, Arc::new(watched), Some(cursor)).unwrap();
    feed.next().unwrap().unwrap();
    drop(feed);
    let seen = seen.lock().unwrap();
    let first = u32::try_from(at.document).unwrap();
    assert_eq!(*seen.first().unwrap(), first, "the group of the cursor is the first");
    // What is ahead is bounded: 3 batches, 6 groups in store, 2 in work, by 8 documents; a batch takes 2 groups at
    // most.
    assert!(
        *seen.last().unwrap() < first + 8 * (3 * 2 + 6 + 2 + 2),
        "{first} to {:?}",
        seen.last()
    );
}

#[test]
fn rows_may_change_at_a_cursor_and_other_things_not() {
    let dir = tempfile::tempdir().unwrap();
    let sources = mixture(dir.path());
    let mut feed = open(&sources, &spans(), None).unwrap();
    let (_, cursor) = take(&mut feed, 7).pop().unwrap();
    let next = take(&mut feed, 2);
    let wider = FeedConfig { rows: 6, ..spans() };
    let (both, _) = open(&sources, &wider, Some(cursor.clone()))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    let wanted = [targets(&next[0].0), targets(&next[1].0)].concat();
    assert_eq!(targets(&both), wanted);

    let moved = tempfile::tempdir().unwrap();
    let elsewhere = mixture(moved.path());
    open(&elsewhere, &spans(), Some(cursor.clone())).unwrap();

    let mut others: Vec<(Vec<Source>, FeedConfig)> = vec![
        (sources.clone(), FeedConfig { seed: 6, ..spans() }),
        (sources.clone(), lm()),
        (
            sources.clone(),
            FeedConfig {
                documents_per_group: 9,
                ..spans()
            },
        ),
        (
            sources.clone(),
            FeedConfig {
                shuffle_groups: 2,
                ..spans()
            },
        ),
        (sources[..1].to_vec(), spans()),
    ];
    let mut weights = sources.clone();
    weights[0].weight = Some(0.5);
    others.push((weights, spans()));
    for (sources, config) in others {
        let error = open(&sources, &config, Some(cursor.clone())).err().unwrap().to_string();
        assert!(error.contains("--new-data"), "{error}");
    }
    let mut beyond = cursor.clone();
    beyond.corpora[0].document = 10_000;
    let error = open(&sources, &spans(), Some(beyond)).err().unwrap().to_string();
    assert!(error.contains("behind its end"), "{error}");
    let mut beyond = cursor;
    beyond.corpora[0].example = 10_000;
    let mut feed = open(&sources, &spans(), Some(beyond)).unwrap();
    let error = feed.next().err().unwrap().to_string();
    assert!(error.contains("of another tokeniser"), "{error}");
    assert!(feed.next().unwrap().is_none(), "nothing after an error");
}

// ---- shuffling

#[test]
fn a_window_of_groups_is_shuffled_and_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let sources = [source(&plain(dir.path(), Format::Arrow))];
    // 110 documents: 14 groups, 4 windows.
    let shuffled = FeedConfig {
        shuffle_groups: 4,
        ..lm()
    };
    let windows = |feed: &mut Feed| -> Vec<Vec<u32>> {
        let tokens = text_of_epochs(feed, 2).0;
        let epoch = all(0..110).len();
        tokens[..2 * epoch].chunks(epoch).map(<[u32]>::to_vec).collect()
    };
    let found = windows(&mut open(&sources, &shuffled, None).unwrap());
    for epoch in &found {
        let mut sorted = epoch.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, all(0..110), "every token once");
        // The first window is of the first 32 documents, in another order.
        let first = all(0..32);
        let mut begin = epoch[..first.len()].to_vec();
        assert_ne!(begin, first);
        begin.sort_unstable();
        assert_eq!(begin, first);
    }
    assert_ne!(found[0], found[1], "another order in each epoch");
    assert_eq!(windows(&mut open(&sources, &shuffled, None).unwrap()), found);
    let validated = validation(&sources, &shuffled);
    assert_eq!(validated, validation(&sources, &lm()), "validation keeps its order");
}

// ---- mixtures

#[test]
fn a_mixture_takes_examples_by_weight_and_each_corpus_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let sources = mixture(dir.path());
    let mut feed = open(&sources, &lm(), None).unwrap();
    let shares: Vec<f64> = feed.corpora().iter().map(|c| c.share).collect();
    assert_eq!(shares, [0.7, 0.3]);
    let mut texts: [Vec<u32>; 2] = Default::default();
    let mut examples = [0, 0];
    for (batch, _) in take(&mut feed, 1000) {
        for row in batch.targets.tokens.chunks(batch.targets.length) {
            let corpus = usize::from(row[0] > 50_000);
            examples[corpus] += 1;
            texts[corpus].extend(row.iter().filter(|token| **token > IDS.eos));
        }
    }
    // 3,000 draws: the standard deviation is 25.
    assert!((2000..2200).contains(&examples[0]), "{examples:?}");
    for (text, epoch) in texts.iter().zip([all(0..110), all(1000..1050)]) {
        for (i, token) in text.iter().enumerate() {
            assert_eq!(*token, epoch[i % epoch.len()]);
        }
    }
}

#[test]
fn without_weights_corpora_and_languages_count_by_their_text() {
    let dir = tempfile::tempdir().unwrap();
    let set = |language, split, documents: Range<u32>| {
        let texts = documents.map(|i| format!("{}", 10 + i));
        Shard::of_texts(Some(language), split, texts.collect())
    };
    let path = write(
        &dir.path().join("m"),
        Format::Arrow,
        &[
            set("de", Split::Train, 100..400),
            set("de", Split::Validation, 400..405),
            set("fr", Split::Train, 500..600),
            set("fr", Split::Validation, 600..600),
        ],
    );
    let feed = open(&[source(&path)], &lm(), None).unwrap();
    let name = path.display();
    let names: Vec<&str> = feed.corpora().iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, [format!("{name} (de)"), format!("{name} (fr)")]);
    let shares: Vec<f64> = feed.corpora().iter().map(|c| c.share).collect();
    assert_eq!(shares, [0.75, 0.25]);
    let validations: Vec<Validation> = feed.corpora().iter().map(|c| c.validation).collect();
    let [own, held_out] = [Validation::Own { documents: 5 }, Validation::HeldOut { documents: 1 }];
    assert_eq!(validations, [own, held_out]);

    let french = Source {
        language: Some("fr".into()),
        ..source(&path)
    };
    let mut feed = open(std::slice::from_ref(&french), &lm(), None).unwrap();
    assert_eq!(feed.corpora().len(), 1);
    let (text, _) = text_of_epochs(&mut feed, 1);
    assert_eq!(text[..99], (511..610).collect::<Vec<u32>>());
    let error = open(&[french, source(&path)], &lm(), None).err().unwrap().to_string();
    assert!(error.contains("given twice"), "{error}");
}

// ---- validation

#[test]
fn validation_is_one_pass_whatever_the_seed() {
    let dir = tempfile::tempdir().unwrap();
    let sources = mixture(dir.path());
    let pass = |config: &FeedConfig| {
        let batches = validation(&sources, config);
        batches.concat()
    };
    let text: Vec<u32> = pass(&lm()).iter().flat_map(targets).collect();
    assert_eq!(
        text,
        [all(110..120), all(1050..1055)].concat(),
        "all of it, corpus after corpus"
    );
    let (forth, mut back) = (validation(&sources, &spans()), {
        let reversed: Vec<Source> = sources.iter().rev().cloned().collect();
        validation(&reversed, &spans())
    });
    back.reverse();
    assert_eq!(forth, back, "whatever other corpora there are");
    let batches = validation(&sources[..1], &spans()).concat();
    let other = FeedConfig {
        seed: 99,
        shard_order: ShardOrder::Seeded,
        threads: 4,
        ..spans()
    };
    assert_eq!(batches, validation(&sources[..1], &other).concat());
    let (last, full) = batches.split_last().unwrap();
    assert!(full.iter().all(|batch| batch.rows == 3));
    assert!((1..=3).contains(&last.rows));
    assert_eq!(last.targets.tokens.len(), last.rows * last.targets.length);
}

#[test]
fn a_corpus_without_validation_holds_some_documents_out() {
    for format in [Format::Arrow, Format::Jsonl] {
        let dir = tempfile::tempdir().unwrap();
        // 250 documents: 3 are held out. The first shard has 2 of them and is left out of training.
        let path = write(
            dir.path(),
            format,
            &[shard(Split::Train, 0..2), shard(Split::Train, 2..250)],
        );
        let sources = [source(&path)];
        let mut train = open(&sources, &lm(), None).unwrap();
        assert_eq!(train.corpora()[0].validation, Validation::HeldOut { documents: 3 });
        assert_eq!(train.corpora()[0].documents, 247);
        let (text, _) = text_of_epochs(&mut train, 1);
        let epoch = all(3..250);
        assert_eq!(text[..epoch.len()], epoch);
        assert_eq!(text[epoch.len()], tokens(3).start, "and so in the next epoch");
        let text: Vec<u32> = validation(&sources, &lm()).concat().iter().flat_map(targets).collect();
        assert_eq!(text, all(0..3));
    }
}

// ---- what can go wrong

fn refusal(sources: &[Source], config: &FeedConfig) -> String {
    let error = match open(sources, config, None) {
        Err(error) => error,
        Ok(mut feed) => loop {
            if let Err(error) = feed.next() {
                break error;
            }
        },
    };
    let error = error.to_string();
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

#[test]
fn corpora_that_cannot_be_used_are_refused_in_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let empty = write(
        &path("empty"),
        Format::Arrow,
        &[shard(Split::Train, 0..0), shard(Split::Validation, 0..0)],
    );
    let no_train = write(&path("no-train"), Format::Arrow, &[shard(Split::Validation, 0..5)]);
    let one = write(&path("one"), Format::Arrow, &[shard(Split::Train, 0..1)]);
    let two = write(&path("two"), Format::Arrow, &[shard(Split::Train, 0..2)]);
    let blank = Shard::of_texts(None, Split::Train, vec![" \n ".to_owned(); 30]);
    let blank = write(&path("blank"), Format::Arrow, &[blank, shard(Split::Validation, 0..5)]);
    std::fs::create_dir(path("nothing")).unwrap();
    let good = plain(&path("good"), Format::Arrow);
    let rest = [
        (vec![], "no corpus: name a folder"),
        (vec![source(&path("nothing"))], "nothing to read"),
        (vec![source(&path("missing"))], "is not there"),
        (vec![source(&empty)], "the corpus is empty"),
        (vec![source(&no_train)], "has no train shard"),
        (vec![source(&blank)], "all its documents are blank"),
        (vec![weighted(&good, 0.0)], "weight 0 must be above 0"),
        (vec![weighted(&good, f64::NAN)], "weight NaN"),
        (vec![weighted(&good, 1.0), source(&two)], "give one to all of them"),
        (vec![source(&good), source(&good)], "given twice"),
        (
            vec![Source {
                language: Some("fr".into()),
                ..source(&good)
            }],
            "no shards of language \"fr\"",
        ),
    ];
    for (sources, word) in rest {
        let error = refusal(&sources, &spans());
        assert!(error.contains(word), "{error}");
        if let [source] = &sources[..] {
            assert!(error.starts_with(&source.path.display().to_string()), "{error}");
        }
    }
    for (path, validation) in [(&two, Validation::HeldOut { documents: 1 }), (&one, Validation::None)] {
        let mut smallest = open(&[source(path)], &spans(), None).unwrap();
        assert_eq!(smallest.corpora()[0].documents, 1);
        assert_eq!(smallest.corpora()[0].validation, validation);
        take(&mut smallest, 3);
    }
    for (config, word) in [
        (FeedConfig { rows: 0, ..spans() }, "rows = 0"),
        (FeedConfig { threads: 0, ..spans() }, "threads = 0"),
        (
            FeedConfig {
                documents_per_group: 0,
                ..spans()
            },
            "documents_per_group = 0",
        ),
        (
            FeedConfig {
                layout: RowLayout::EncoderDecoder,
                ..lm()
            },
            "use prefix_lm",
        ),
    ] {
        let error = refusal(&[source(&good)], &config);
        assert!(error.contains(word), "{error}");
    }
    let unknown = toml::from_str::<FeedConfig>("rows = 3\nrow = 4").unwrap_err();
    assert!(unknown.message().contains("unknown field `row`"), "{unknown}");
    let config: FeedConfig = toml::from_str("rows = 3\n[objective]\ndensity = 0.5").unwrap();
    assert_eq!((config.rows, config.objective.density), (3, Some(0.5)));
}

#[test]
fn shards_that_are_not_what_the_manifest_says_are_named() {
    for format in [Format::Arrow, Format::Parquet, Format::Jsonl] {
        let dir = tempfile::tempdir().unwrap();
        let path = plain(dir.path(), format);
        let sources = [source(&path)];
        let name = format.file_name(Split::Train, 1, 3);
        let file = path.join(&name);
        let bytes = std::fs::read(&file).unwrap();

        std::fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
        let error = refusal(&sources, &spans());
        assert!(error.contains(&name) && error.contains("cut short"), "{error}");

        // The right size, and so found only when it is read: zeros in its place.
        std::fs::write(&file, vec![0; bytes.len()]).unwrap();
        let error = refusal(&sources, &spans());
        assert!(error.contains(&name) && error.contains("damaged"), "{error}");

        std::fs::remove_file(&file).unwrap();
        let error = refusal(&sources, &spans());
        assert!(error.contains(&name), "{error}");
        std::fs::write(&file, &bytes).unwrap();

        // A manifest that promises other numbers of documents.
        let manifest = Manifest::read(&path).unwrap().unwrap();
        for (rows, word) in [(60, "ends after 53 documents"), (50, "more than the 50 documents")] {
            let mut other = manifest.clone();
            other.shards[1].rows = rows;
            other.write(&path).unwrap();
            let error = refusal(&sources, &spans());
            assert!(error.contains(&name) && error.contains(word), "{error}");
        }
        manifest.write(&path).unwrap();
        take(&mut open(&sources, &spans(), None).unwrap(), 100);
    }
}

#[test]
fn a_tokeniser_that_fits_not_or_panics_is_no_hang() {
    let dir = tempfile::tempdir().unwrap();
    let path = plain(dir.path(), Format::Arrow);
    let small = Ids {
        vocab_size: 5000,
        ..IDS
    };
    let mut feed = Feed::open(&[source(&path)], &spans(), small, numbers(), None).unwrap();
    let error = loop {
        if let Err(error) = feed.next() {
            break error.to_string();
        }
    };
    assert!(error.contains("the vocabulary has 5000"), "{error}");

    let silent = |_: &str, _: &mut Vec<u32>| {};
    let mut feed = Feed::open(&[source(&path)], &spans(), IDS, Arc::new(silent), None).unwrap();
    let error = feed.next().err().unwrap().to_string();
    assert!(error.contains("not one of its documents has a token"), "{error}");

    let panics = |text: &str, out: &mut Vec<u32>| {
        numbers().encode(text, out);
        assert!(out[0] < 5000, "a text of its own");
    };
    let mut feed = Feed::open(&[source(&path)], &spans(), IDS, Arc::new(panics), None).unwrap();
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(
        move || {
            while feed.next().unwrap().is_some() {}
        },
    ));
    let panic = panic.unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"a text of its own"));
}

#[test]
fn padding_and_blank_texts_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let words = |words: &str| words.to_owned();
    let train = Shard::of_texts(
        None,
        Split::Train,
        vec![words("10 0 11"), words(" \n"), words("0"), words(""), words("12 13")],
    );
    let path = write(dir.path(), Format::Arrow, &[train, shard(Split::Validation, 0..1)]);
    let mut feed = open(&[source(&path)], &lm(), None).unwrap();
    let (text, _) = text_of_epochs(&mut feed, 1);
    assert_eq!(text[..4], [10, 11, 12, 13]);
    assert_eq!(feed.counts().tokens % 4, 0);
}

// ---- what a user sees

#[test]
fn examples_are_those_of_the_feed() {
    let dir = tempfile::tempdir().unwrap();
    let sources = mixture(dir.path());
    let shown = examples(&sources, &spans(), IDS, numbers(), 6).unwrap();
    assert_eq!(shown.len(), 6);
    for (i, shown) in shown.iter().enumerate() {
        assert_eq!(shown.corpus, sources[i % 2].path.display().to_string());
    }
    let config = FeedConfig {
        packing: Packing::OnePerRow,
        ..spans()
    };
    let (batch, _) = open(&sources[..1], &config, None).unwrap().next().unwrap().unwrap();
    for (row, shown) in shown.iter().step_by(2).take(3).enumerate() {
        let of = |side: &t5_trainer::Sequences| -> Vec<u32> {
            let row = side.tokens[row * side.length..][..side.length].iter();
            row.copied().filter(|token| *token != 0).collect()
        };
        assert_eq!(of(&batch.inputs), shown.example.inputs);
        assert_eq!(of(&batch.targets), shown.example.targets);
        let kept = shown.example.inputs.iter().filter(|t| shown.segment.contains(t));
        assert!(kept.count() > shown.segment.len() / 2);
    }
}

#[test]
fn only_a_slow_feed_is_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = plain(dir.path(), Format::Arrow);
    let slow = |text: &str, out: &mut Vec<u32>| {
        numbers().encode(text, out);
        std::thread::sleep(Duration::from_millis(2));
    };
    let config = FeedConfig { threads: 1, ..spans() };
    let mut feed = Feed::open(&[source(&path)], &config, IDS, Arc::new(slow), None).unwrap();
    take(&mut feed, 20);
    // 20 batches hold over 100 documents of at least 2 ms each.
    assert!(feed.waited() > Duration::from_millis(150), "{:?}", feed.waited());

    let mut feed = open(&[source(&path)], &config, None).unwrap();
    take(&mut feed, 1);
    let first = feed.waited();
    for _ in 0..5 {
        std::thread::sleep(Duration::from_millis(200));
        take(&mut feed, 2);
    }
    let waited = feed.waited() - first;
    assert!(waited < Duration::from_millis(300), "{waited:?} of a second");
}
