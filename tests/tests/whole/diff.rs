//! `c4 diff`: is every difference between two corpora found, counted once, and put down to the rule
//! that made it?
//!
//! Above 500 lines: one made-up crawl a promise, and the same on real pages.

use c4_data::ledger::{DroppedLine, LedgerReader};
use c4_data::{BUILTIN_RECIPES, Format, LedgerMode, Manifest};
use c4_filters::url;
use c4_pipeline::inspect::diff::{Cause, Diff, DiffOptions, GroupDiff, LineCause, PageCause, diff};
use c4_tests::*;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const MONDAY: &str = "2019-04-15T10:00:00Z";
const FRIDAY: &str = "2019-04-19T10:00:00Z";

/// A WET of pages: URL, date, text.
fn wet(path: &Path, pages: &[(&str, &str, &str)]) {
    let record =
        |(url, date, text): &(&str, &str, &str)| gzip(&record("conversion", url, date, "text/plain", text.as_bytes()));
    fs::write(path, pages.iter().flat_map(record).collect::<Vec<u8>>()).unwrap();
}

fn corpus(recipe: &str, inputs: &[&Path], output: &Path) -> PathBuf {
    built(&options(recipe, inputs, output)).unwrap();
    output.to_owned()
}

/// Compares, and checks what must hold whatever differs.
fn compared(a: &Path, b: &Path) -> Diff {
    let options = DiffOptions {
        examples: usize::MAX,
        ..DiffOptions::default()
    };
    let found = diff(a, b, &options).unwrap();
    adds_up(&found);
    let back = diff(b, a, &options).unwrap();
    assert_eq!((&found.only_a, &found.only_b), (&back.only_b, &back.only_a));
    let (there, back) = (&found.changed, &back.changed);
    let sums = |causes: &[LineCause]| -> Vec<(Cause, u64, u64, u64, u64)> {
        let sum = |c: &LineCause| (c.cause, c.pages, c.lines, c.cut_lines, c.chars);
        causes.iter().map(sum).collect()
    };
    assert_eq!(sums(&there.only_a), sums(&back.only_b));
    assert_eq!(sums(&there.only_b), sums(&back.only_a));
    found
}

fn adds_up(diff: &Diff) {
    let pages = &diff.pages;
    let both = pages.same + pages.changed;
    assert_eq!(pages.a, pages.only_a + both);
    assert_eq!(pages.b, pages.only_b + both);
    if diff.domain.is_none() {
        assert_eq!((pages.a, pages.b), (diff.a.pages, diff.b.pages));
    }
    let pages_of = |causes: &[PageCause]| -> u64 { causes.iter().map(|c| c.pages).sum() };
    assert_eq!(pages_of(&diff.only_a), pages.only_a);
    assert_eq!(pages_of(&diff.only_b), pages.only_b);
    let changed = &diff.changed;
    assert_eq!(changed.pages, pages.changed);
    let chars = |causes: &[LineCause]| -> u64 { causes.iter().map(|c| c.chars).sum() };
    assert_eq!(
        changed.chars_a - chars(&changed.only_a),
        changed.chars_b - chars(&changed.only_b)
    );
    let sums = |groups: &[GroupDiff]| {
        let sum = |column: fn(&GroupDiff) -> u64| -> u64 { groups.iter().map(column).sum() };
        [sum(|g| g.only_a), sum(|g| g.only_b), sum(|g| g.changed)]
    };
    let all = [pages.only_a, pages.only_b, pages.changed];
    assert_eq!(sums(&diff.languages), all);
    if diff.domains_in_all == diff.domains.len() as u64 {
        assert_eq!(sums(&diff.domains), all);
    }
    let examples = |causes: &[PageCause]| {
        for cause in causes {
            assert!(cause.examples.is_sorted_by_key(|page| &page.url_md5));
        }
    };
    examples(&diff.only_a);
    examples(&diff.only_b);
}

/// Cause to pages.
fn pages(causes: &[PageCause]) -> BTreeMap<&'static str, u64> {
    causes.iter().map(|c| (c.cause.code(), c.pages)).collect()
}

/// Cause to lines gone and lines cut.
fn lines(causes: &[LineCause]) -> BTreeMap<&'static str, (u64, u64)> {
    let lines = causes.iter();
    lines.map(|c| (c.cause.code(), (c.lines, c.cut_lines))).collect()
}

fn shown(causes: &[LineCause], code: &str) -> Vec<String> {
    let cause = causes.iter().find(|c| c.cause.code() == code).unwrap();
    cause.examples.iter().map(|e| e.line.clone()).collect()
}

/// Two URLs, the one with the smaller MD5, whose copy of a duplicate stays, first.
fn by_md5<'a>(one: &'a str, two: &'a str) -> [&'a str; 2] {
    let mut urls = [one, two];
    urls.sort_by_key(|url| url::md5(url));
    urls
}

#[test]
fn every_rule_is_found_behind_what_it_took() {
    let dir = tempfile::tempdir().unwrap();
    let good: Vec<String> = (0..20).map(good_text).collect();
    let [keeps, loses] = by_md5("https://shared.example/1", "https://shared.example/2");
    let shared_line = "This very line is on both of these pages.\n";
    let with = |i: usize, line: &str| format!("{}{line}\n", good[i]);
    let pages_of_both: Vec<(&str, String)> = vec![
        // Pages that the rules drop.
        (
            "https://few.example/",
            "There is just one sentence here, which is too few.".into(),
        ),
        (
            "https://code.example/",
            with(1, "If this is so then { do that } and go on."),
        ),
        (
            "https://lorem.example/",
            with(2, "The text says lorem ipsum and so on."),
        ),
        (
            "https://word.example/",
            with(3, "They came to watch porn in the evening together."),
        ),
        // Pages that lose lines.
        ("https://mark.example/", with(4, "This line has no end mark at all")),
        ("https://words.example/", with(5, "Two words.")),
        (
            "https://script.example/",
            with(6, "Please enable Javascript to read these pages here."),
        ),
        (
            "https://policy.example/",
            with(7, "We ask you to read our privacy policy before that."),
        ),
        (
            "https://cited.example/",
            with(8, "So it was said in the book.[12] They all believed it."),
        ),
        (
            "https://local.example/",
            with(
                9,
                "The people of house number 9 walked down to the river in the morning.",
            ),
        ),
        (keeps, with(10, shared_line)),
        (loses, with(11, shared_line)),
        ("https://same.example/", good[12].clone()),
    ];
    let both: Vec<(&str, &str, &str)> = pages_of_both
        .iter()
        .map(|(url, text)| (*url, MONDAY, text.as_str()))
        .collect();
    let path = |name: &str| dir.path().join(name);
    wet(&path("both.wet.gz"), &both);
    let changed = format!("{}But on Friday they stayed at home, all of them.\n", good[13]);
    let only_a = [
        ("https://first.example/", MONDAY, &*good[14]),
        ("https://news.example/", MONDAY, &*good[13]),
    ];
    let only_b = [
        ("https://second.example/", MONDAY, &*good[15]),
        ("https://news.example/", FRIDAY, &*changed),
    ];
    wet(&path("a.wet.gz"), &only_a);
    wet(&path("b.wet.gz"), &only_b);
    let (both, a, b) = (path("both.wet.gz"), path("a.wet.gz"), path("b.wet.gz"));
    let a = corpus("en.noclean", &[&both, &a], &path("noclean"));
    let b = corpus("en", &[&both, &b], &path("en"));
    let found = compared(&a, &b);

    let expected = [
        ("bad_words", 1),
        ("curly_bracket", 1),
        ("lorem_ipsum", 1),
        ("not_read", 1),
        ("too_few_sentences", 1),
    ];
    assert_eq!(pages(&found.only_a), BTreeMap::from(expected));
    assert_eq!(pages(&found.only_b), BTreeMap::from([("not_read", 1)]));
    let in_a = lines(&found.changed.only_a);
    for (code, lines) in [
        ("no_end_mark", (1, 0)),
        ("too_few_words", (1, 0)),
        ("javascript", (1, 0)),
        ("policy", (1, 0)),
        ("rewritten", (0, 1)),
        ("local_duplicate", (1, 0)),
        ("global_duplicate", (1, 0)),
    ] {
        assert_eq!(in_a.get(code), Some(&lines), "{code} of {in_a:?}");
    }
    assert_eq!(
        lines(&found.changed.only_b),
        BTreeMap::from([("other_version", (1, 0))])
    );
    assert_eq!(found.unknown(), 0);
    assert!(found.notes.is_empty(), "{:?}", found.notes);
    assert_eq!(found.inputs.both, 1);
    assert_eq!(found.inputs.only_a[0].archive, "a.wet.gz");
    let global = found.changed.only_a.iter();
    let global = global.filter(|c| c.cause.code() == "global_duplicate");
    assert_eq!(global.flat_map(|c| &c.examples).next().unwrap().url, loses);

    // The same, one cause or domain at a time.
    let one = |code: &str, domain: Option<&str>| {
        let options = DiffOptions {
            reason: Some(Cause::parse(code).unwrap()),
            domain: domain.map(str::to_owned),
            examples: 1,
            ..DiffOptions::default()
        };
        diff(&a, &b, &options).unwrap()
    };
    let policy = one("policy", None);
    assert_eq!(policy.pages, found.pages);
    assert!(policy.only_a.is_empty() && policy.only_b.is_empty());
    assert_eq!(lines(&policy.changed.only_a), BTreeMap::from([("policy", (1, 0))]));
    assert_eq!((policy.changed.pages, policy.domains_in_all), (1, 1));
    let words = one("bad_words", Some("https://www.WORD.example/"));
    assert_eq!((words.pages.a, words.pages.b, words.pages.only_a), (1, 0, 1));
    assert_eq!(pages(&words.only_a), BTreeMap::from([("bad_words", 1)]));
    adds_up(&words);

    // And to read.
    let text = c4_pipeline::inspect::diff::text(&found);
    for part in [
        "clean.policy_phrases",
        "dedup.unit",
        "Two words.",
        "word.example",
        "  B  b.wet.gz",
    ] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
}

#[test]
fn spans_that_went_are_found_in_lines_that_stayed() {
    let dir = tempfile::tempdir().unwrap();
    let [keeps, loses] = by_md5("https://shared.example/1", "https://shared.example/2");
    let copy = "The cat sat on the mat. The dog ran after the cat. The cow looked at them both.";
    let first = format!("{}Once there was a farm. {copy}\n", good_text(1));
    let cut = format!("It was long ago, they say. {copy} So it ended well.");
    let second = format!("{}{cut}\n{copy}\n", good_text(2));
    let input = dir.path().join("x.wet.gz");
    wet(&input, &[(keeps, MONDAY, &first), (loses, MONDAY, &second)]);
    let spans = corpus("c4", &[&input], &dir.path().join("c4"));
    let by_lines = corpus("en", &[&input], &dir.path().join("en"));
    let found = compared(&spans, &by_lines);
    assert_eq!(lines(&found.changed.only_a), BTreeMap::new());
    let expected = BTreeMap::from([("span_duplicate", (1, 1))]);
    assert_eq!(lines(&found.changed.only_b), expected);
    let cause = &found.changed.only_b[0];
    assert_eq!(cause.examples[0].line, cut);
    let left = cause.examples[0].left.as_deref();
    assert_eq!(left, Some("It was long ago, they say. So it ended well."));
    assert_eq!(cause.chars, 2 * copy.len() as u64 + 1);
    assert_eq!(found.recipe.len(), 2);
}

#[test]
fn a_page_that_was_crawled_again_is_told_from_one_that_lost_a_line() {
    let dir = tempfile::tempdir().unwrap();
    let [keeps, loses] = by_md5("https://shared.example/1", "https://shared.example/2");
    let [head, body, tail] = [1, 2, 3].map(good_text);
    let copy = "This very line is on both of these pages.\n";
    let monday = format!("{head}{copy}{body}Monday was a rainy day in the city.\n");
    let friday = format!("{head}{copy}{body}Friday was a sunny day in the city.\n");
    let (a, b) = (dir.path().join("a.wet.gz"), dir.path().join("b.wet.gz"));
    wet(&a, &[(loses, MONDAY, &monday)]);
    let winner = format!("{tail}{copy}");
    wet(&b, &[(loses, FRIDAY, &friday), (keeps, FRIDAY, &winner)]);
    let (a, b) = (
        corpus("en", &[&a], &dir.path().join("a")),
        corpus("en", &[&b], &dir.path().join("b")),
    );
    let found = compared(&a, &b);
    let expected = BTreeMap::from([("global_duplicate", (1, 0)), ("other_version", (1, 0))]);
    assert_eq!(lines(&found.changed.only_a), expected);
    assert_eq!(shown(&found.changed.only_a, "global_duplicate"), [copy.trim_end()]);
    assert_eq!(
        lines(&found.changed.only_b),
        BTreeMap::from([("other_version", (1, 0))])
    );
    assert_eq!(pages(&found.only_b), BTreeMap::from([("not_read", 1)]));
}

#[test]
fn lines_in_another_order_are_another_version() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (good_text(1), good_text(2));
    let (a, b) = (dir.path().join("a.wet.gz"), dir.path().join("b.wet.gz"));
    wet(&a, &[("https://a.example/", MONDAY, &format!("{one}{two}"))]);
    wet(&b, &[("https://a.example/", FRIDAY, &format!("{two}{one}"))]);
    let (a, b) = (
        corpus("en", &[&a], &dir.path().join("a")),
        corpus("en", &[&b], &dir.path().join("b")),
    );
    let found = compared(&a, &b);
    assert_eq!(found.changed.pages_reordered, 1);
    assert_eq!(
        lines(&found.changed.only_a),
        BTreeMap::from([("other_version", (0, 0))])
    );
}

#[test]
fn formats_and_splits_and_missing_ledgers() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("x.wet.gz");
    let copy = "This very line is on many of these pages.";
    let text = |i: usize| match i % 3 {
        0 => format!("{}{copy}\n{copy}\n", good_text(i)),
        1 => good_text(i),
        _ => format!("Only these {i} words."),
    };
    let all: Vec<(String, String)> = (0..300)
        .map(|i| (format!("https://a{}.example/{i}", i % 31), text(i)))
        .collect();
    let all: Vec<(&str, &str, &str)> = all.iter().map(|(u, t)| (&**u, MONDAY, &**t)).collect();
    wet(&input, &all);
    let path = |name: &str| dir.path().join(name);
    // Small shards, half of the pages in each split.
    let halves = BUILTIN_RECIPES[1].1.replace("name = \"en\"", "name = \"halves\"");
    let halves = halves.replace("validation_one_in = 1000", "validation_one_in = 2");
    fs::write(path("halves.toml"), halves).unwrap();
    let halves = path("halves.toml").to_string_lossy().into_owned();
    let with = |recipe: &str, name: &str, format: Format, ledger: LedgerMode| {
        let mut options = options(recipe, &[&input], &path(name));
        (options.format, options.ledger) = (format, ledger);
        options.shard_size_bytes = 4096;
        built(&options).unwrap();
        path(name)
    };
    let sample = LedgerMode::default();
    let noclean = with("en.noclean", "noclean", Format::Arrow, sample);
    let arrow = with("en", "arrow", Format::Arrow, sample);
    let parquet = with("en", "parquet", Format::Parquet, sample);
    let jsonl = with("en", "jsonl", Format::Jsonl, sample);
    let bare = with("en", "bare", Format::Arrow, LedgerMode::None);
    let halves = with(&halves, "halves", Format::Parquet, sample);
    assert!(Manifest::read(&halves).unwrap().unwrap().shards.len() > 6);

    for other in [&arrow, &parquet, &jsonl, &bare, &halves] {
        let found = compared(&arrow, other);
        assert!(found.is_empty(), "{found:?}");
        assert_eq!(found.pages.same, 200);
        assert_eq!(found.pages.other_split > 50, *other == halves);
        assert!(found.domains.is_empty() && found.languages.is_empty());
        assert!(c4_pipeline::inspect::diff::text(&found).contains("The same pages with the same texts."));
    }

    let expected = compared(&noclean, &arrow);
    assert_eq!(pages(&expected.only_a), BTreeMap::from([("too_few_sentences", 100)]));
    let of_a = BTreeMap::from([("global_duplicate", (198, 0)), ("local_duplicate", (1, 0))]);
    // Which copy stays is chance; the page that has it loses its second one to itself.
    assert_eq!(lines(&expected.changed.only_a), of_a);
    assert_eq!(expected.domains_in_all, 31);
    assert_eq!(expected.domains.len(), 20);
    for other in [&parquet, &halves] {
        let found = compared(&noclean, other);
        assert_eq!(found.only_a, expected.only_a);
        assert_eq!(found.changed, expected.changed);
    }
    // The same record tells of lines; jsonl does not say which record, but which archives.
    let found = compared(&noclean, &jsonl);
    assert_eq!(found.only_a, expected.only_a);
    assert_eq!(lines(&found.changed.only_a).values().map(|n| n.0).sum::<u64>(), 199);
    assert!(
        found.notes.iter().any(|note| note.contains("jsonl")),
        "{:?}",
        found.notes
    );
    let found = compared(&noclean, &bare);
    assert_eq!(pages(&found.only_a), BTreeMap::from([("unknown", 100)]));
    assert_eq!(found.unknown(), 100);
    assert!(
        found.notes.iter().any(|note| note.contains("--ledger")),
        "{:?}",
        found.notes
    );
}

#[test]
fn what_is_no_corpus_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("x.wet.gz");
    wet(&input, &[("https://a.example/", MONDAY, &good_text(1))]);
    let good = corpus("en", &[&input], &dir.path().join("good"));
    let other = corpus("c4", &[&input], &dir.path().join("other"));
    let refused = |a: &Path, b: &Path, words: &[&str]| {
        let message = diff(a, b, &DiffOptions::default()).unwrap_err().to_string();
        for word in words {
            assert!(message.contains(word), "no {word} in {message}");
        }
    };
    let nothing = dir.path().join("nothing");
    refused(&good, &nothing, &["nothing", "holds no finished corpus"]);
    refused(dir.path(), &good, &["holds no finished corpus"]);
    let shard = "train-00000-of-00001.arrow";
    let bytes = fs::read(other.join(shard)).unwrap();
    fs::write(other.join(shard), &bytes[..bytes.len() / 2]).unwrap();
    refused(&good, &other, &[shard, "checksum", "build it again"]);
    refused(&other, &good, &[shard]);
    fs::remove_file(other.join(shard)).unwrap();
    refused(&good, &other, &[shard]);
    fs::write(other.join(shard), bytes).unwrap();
    fs::remove_file(other.join("ledger/fates-00000.arrow")).unwrap();
    refused(&good, &other, &["fates-00000.arrow"]);
    assert!(Cause::parse("to_long").unwrap_err().contains("too_long"));
}

/// The bench's archives; nothing where one is missing.
fn bench() -> Option<Vec<PathBuf>> {
    ["00000", "00100"]
        .iter()
        .map(|part| {
            shared(&format!(
                "bench/CC-MAIN-20190418101243-20190418122311-{part}.warc.wet.gz"
            ))
        })
        .collect()
}

#[test]
fn recipes_on_real_pages_leave_no_difference_unexplained() {
    let Some(inputs) = bench() else { return };
    let inputs: Vec<&Path> = inputs.iter().map(PathBuf::as_path).collect();
    let dir = tempfile::tempdir().unwrap();
    let [c4, en, noblocklist, noclean] =
        ["c4", "en", "en.noblocklist", "en.noclean"].map(|recipe| corpus(recipe, &inputs, &dir.path().join(recipe)));

    let found = compared(&c4, &en);
    println!(
        "{}",
        c4_pipeline::inspect::diff::text(&diff(&c4, &en, &DiffOptions::default()).unwrap())
    );
    assert_eq!(found.unknown(), 0);
    assert!(found.pages.changed > 400);
    let codes: Vec<&str> = found.changed.only_a.iter().map(|c| c.cause.code()).collect();
    assert_eq!(codes, ["global_duplicate", "local_duplicate"]);
    let codes: Vec<&str> = found.changed.only_b.iter().map(|c| c.cause.code()).collect();
    assert_eq!(codes, ["span_duplicate"]);

    let found = compared(&en, &noblocklist);
    assert_eq!(found.unknown(), 0);
    assert_eq!(
        pages(&found.only_b),
        BTreeMap::from([("bad_words", found.pages.only_b)])
    );
    assert_eq!((found.pages.only_a, found.pages.changed), (0, 0));

    for (recipe, other) in [(&en, &noclean), (&c4, &noclean)] {
        let found = compared(recipe, other);
        assert_eq!(found.unknown(), 0);
        assert!(found.changed.only_a.is_empty(), "{:?}", found.changed.only_a);
        assert!(compared(recipe, recipe).is_empty());
    }
}

/// What is said of lines is what the build wrote down when it dropped them.
#[test]
fn causes_are_those_of_the_whole_ledger() {
    let Some(inputs) = bench() else { return };
    let dir = tempfile::tempdir().unwrap();
    let [c4, en, noclean] = ["c4", "en", "en.noclean"].map(|recipe| {
        let output = dir.path().join(recipe);
        let mut options = options(recipe, &[&inputs[0]], &output);
        options.ledger = LedgerMode::All;
        built(&options).unwrap();
        output
    });
    let mut checked = 0;
    for (a, b) in [(&c4, &en), (&noclean, &en), (&noclean, &c4)] {
        let manifest = Manifest::read(b).unwrap().unwrap();
        let mut dropped: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
        for line in LedgerReader::<DroppedLine>::new(b, &manifest.ledger) {
            let line = line.unwrap();
            dropped.entry(line.url).or_default().push((line.reason, line.text));
        }
        for cause in &compared(a, b).changed.only_a {
            let code = cause.cause.code();
            for example in cause.examples.iter().filter(|example| example.left.is_none()) {
                let line = example.line.trim();
                let said = |(reason, text): &(String, String)| reason == code && text.trim().starts_with(line);
                let lines = dropped.get(&example.url);
                // Spans take sentences; the ledger lists the lines that lost all.
                let spans = code == "span_duplicate";
                let found = lines.is_some_and(|lines| lines.iter().any(said));
                if !spans {
                    assert!(found, "{code}: {line:?} of {}", example.url);
                }
                checked += u64::from(found);
            }
        }
    }
    assert!(checked > 1000, "{checked}");
}
