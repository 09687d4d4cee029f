//! Sentence spans against those of NLTK 3.8.1, recorded on made-up texts.

#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::io::{BufRead, BufReader, Read};

use c4_filters::punkt;
use flate2::read::MultiGzDecoder;
use serde::Deserialize;

#[derive(Deserialize)]
struct Line {
    text: String,
    n: usize,
    sentences: Vec<String>,
}

#[derive(Deserialize)]
struct Fuzz {
    text: String,
    /// In code points.
    spans: Vec<(usize, usize)>,
}

fn rows<T: for<'a> Deserialize<'a>>(reader: impl Read) -> Vec<T> {
    let lines = BufReader::new(reader).lines();
    lines
        .map(|line| serde_json::from_str(&line.expect("readable")).expect("a row"))
        .collect()
}

#[test]
fn golden_sentences() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/golden_sentences.jsonl");
    let rows: Vec<Line> = rows(File::open(path).expect("the golden file"));
    assert_eq!(rows.len(), 642);
    for row in rows {
        let text = &row.text;
        let sentences: Vec<&str> = punkt::english().sentences(text).map(|span| &text[span]).collect();
        assert_eq!(sentences, row.sentences, "{text:?}");
        assert_eq!(sentences.len(), row.n, "{text:?}");
    }
}

#[test]
fn golden_fuzz() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/golden/fuzz_punkt.jsonl.gz");
    let rows: Vec<Fuzz> = rows(MultiGzDecoder::new(File::open(path).expect("the golden file")));
    assert_eq!(rows.len(), 30_000);
    for row in rows {
        let text = &row.text;
        let code_points = |bytes: usize| text[..bytes].chars().count();
        let spans: Vec<_> = punkt::english()
            .sentences(text)
            .map(|span| (code_points(span.start), code_points(span.end)))
            .collect();
        assert_eq!(spans, row.spans, "{text:?}");
        for n in 0..6 {
            let reached = punkt::english().has_at_least(text, n);
            assert_eq!(reached, spans.len() >= n, "{text:?}, {n}");
        }
    }
}
