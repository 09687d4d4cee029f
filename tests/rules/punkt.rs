//! Sentence spans against those of NLTK 3.8.1, recorded on made-up texts.

use crate::rows;
use c4_filters::punkt;
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

#[test]
fn golden_sentences() {
    let rows: Vec<Line> = rows("golden_sentences.jsonl");
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
    let rows: Vec<Fuzz> = rows("fuzz_punkt.jsonl.gz");
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
