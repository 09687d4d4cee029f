//! What the program says of a build is what the build did.

use c4_data::ledger::{DroppedLine, DroppedPage, Duplicate, KEPT, LedgerReader, LedgerRow, UrlVerdict};
use c4_data::{LedgerMode, Lists, Manifest, Recipe, Stats};
use c4_filters::{Reason, Scope, TextSize};
use c4_pipeline::build::BuildOptions;
use c4_pipeline::inspect::explain::{Corpus, Explainer, Explanation, FoundRecord, Passed, Wanted, find};
use c4_tests::*;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

/// The sample crawl, and real archives where they are.
fn archives() -> Vec<PathBuf> {
    let mut archives = vec![samples()];
    let names = ["00000.warc.wet.gz", "00100.warc.wet.gz", "00000.warc.gz"];
    for name in names {
        let name = format!("bench/CC-MAIN-20190418101243-20190418122311-{name}");
        archives.extend(shared(&name));
    }
    archives
}

fn with_ledger(recipe: &str, input: &Path, output: &Path, ledger: LedgerMode) -> BuildOptions {
    BuildOptions {
        ledger,
        ..options(recipe, &[input], output)
    }
}

fn rows<R: LedgerRow>(dir: &Path) -> Vec<R> {
    let manifest = Manifest::read(dir).unwrap().unwrap();
    LedgerReader::new(dir, &manifest.ledger)
        .map(|row| row.unwrap())
        .collect()
}

/// `stats.json` as anyone reads it; the typed schema holds all of it, to the byte.
fn stats(dir: &Path) -> serde_json::Value {
    let bytes = fs::read(dir.join(Stats::FILE)).unwrap();
    let typed: Stats = serde_json::from_slice(&bytes).unwrap();
    assert!(typed.to_file() == bytes, "written back as it was");
    serde_json::from_slice(&bytes).unwrap()
}

/// Explains `n` pages of `input`, each with where it was read.
fn explained(dir: &Path, input: &Path, n: usize) -> Vec<(FoundRecord, Explanation)> {
    let corpus = Corpus::open(dir).unwrap();
    let recipe = corpus.manifest.recipe.clone();
    let lists = Lists::load(&recipe, Path::new("")).unwrap();
    let explainer = Explainer::new(&recipe, &lists, Some(&corpus)).unwrap();
    let mut inputs = options(&recipe.name, &[input], dir).inputs;
    corpus.label(&mut inputs).unwrap();
    let found = find(&inputs, &recipe.read, &Wanted::Random(n, 7)).unwrap();
    let explanations = explainer.explain(&found).unwrap();
    found.into_iter().zip(explanations).collect()
}

/// One build serves both: they are the most expensive of these tests.
#[test]
fn sums_are_right_on_any_number_of_threads_and_what_is_explained_is_what_was_built() {
    let dir = tempfile::tempdir().unwrap();
    for (i, input) in archives().iter().enumerate() {
        for recipe in ["en", "c4"] {
            let [one, two] = [1, 2].map(|threads| {
                let output = dir.path().join(format!("{i}-{recipe}-{threads}"));
                built(&BuildOptions {
                    threads,
                    ..with_ledger(recipe, input, &output, LedgerMode::All)
                })
                .unwrap();
                output
            });
            assert!(
                corpus_files(&one) == corpus_files(&two),
                "{recipe} of {}",
                input.display()
            );
            adds_up(&two);
            is_explained(&two, input);
        }
    }
}

/// What is explained of 200 pages of a corpus with a whole ledger is what its ledger and its shards say.
fn is_explained(output: &Path, input: &Path) {
    let documents = documents(output);
    let dropped: HashMap<(String, u64), String> = rows::<DroppedPage>(output)
        .into_iter()
        .map(|page| ((page.archive, page.record_offset), page.reason))
        .collect();
    let mut lines: HashMap<(String, u64), Vec<(u32, String)>> = HashMap::new();
    for line in rows::<DroppedLine>(output) {
        let page = lines.entry((line.archive, line.record_offset)).or_default();
        page.push((line.line, line.reason));
    }
    let explained = explained(output, input, 200);
    assert!(explained.len() >= 90, "{}", explained.len());
    let mut kept = 0;
    for (found, explanation) in explained {
        let (archive, offset) = found.place();
        let place = (archive.to_owned(), offset);
        let reason = explanation.reason.map(|reason| reason.code().to_owned());
        assert_eq!(dropped.get(&place), reason.as_ref(), "{explanation:#?}");
        let open = explanation.stations.iter().any(|s| s.passed == Passed::Open);
        assert!(!open, "{explanation:#?}");
        if explanation.reason == Some(Reason::OlderCopy) {
            continue;
        }
        // Lines that the ledger lists are those that the explanation drops for a line's
        // reason.
        let of_line = |reason: &Reason| reason.scope() == Scope::Line;
        let mut gone: Vec<(u32, String)> = Vec::new();
        for (number, line) in (0..).zip(&explanation.lines) {
            let reason = line.reason.filter(of_line);
            if let (None, Some(reason)) = (&line.kept_text, reason) {
                gone.push((number, reason.code().to_owned()));
            }
        }
        let mut listed = lines.remove(&place).unwrap_or_default();
        listed.sort_unstable();
        assert_eq!(gone, listed, "{explanation:#?}");
        if reason.is_none() {
            kept += 1;
            let (_, document) = &documents[&explanation.url];
            assert_eq!(explanation.kept_text(), document.page.text);
        }
    }
    assert!(kept > 10, "{kept}");
}

/// Every sum of a corpus with a whole ledger, counted from its rows.
fn adds_up(output: &Path) {
    let stats = stats(output);
    let tally = &stats["tally"];
    let mut pages: BTreeMap<&str, (u64, TextSize)> = BTreeMap::new();
    let dropped_pages = rows::<DroppedPage>(output);
    for page in &dropped_pages {
        let (n, gone) = pages.entry(&page.reason).or_default();
        *n += 1;
        *gone += TextSize {
            lines: page.lines,
            chars: page.chars,
            words: page.words,
        };
    }
    for reason in Reason::of(Scope::Page) {
        let code = reason.code();
        let (n, gone) = pages.get(code).copied().unwrap_or_default();
        assert_eq!(tally["pages"]["dropped"][code], n, "{code}");
        assert_eq!(tally["lines"]["gone_with_page"][code], gone.lines, "{code}");
        assert_eq!(tally["chars"]["gone_with_page"][code], gone.chars, "{code}");
        assert_eq!(tally["words"]["gone_with_page"][code], gone.words, "{code}");
    }
    let mut lines: BTreeMap<&str, TextSize> = BTreeMap::new();
    let dropped_lines = rows::<DroppedLine>(output);
    for line in &dropped_lines {
        *lines.entry(&line.reason).or_default() += TextSize::of_line(&line.text);
    }
    for reason in Reason::of(Scope::Line) {
        let code = reason.code();
        let gone = lines.get(code).copied().unwrap_or_default();
        assert_eq!(tally["lines"]["dropped"][code], gone.lines, "{code}");
        // A line that lost some of its sentences to spans counts with these, and has no row.
        let chars = tally["chars"]["dropped"][code].as_u64().unwrap();
        match reason {
            Reason::SpanDuplicate => assert!(chars >= gone.chars),
            _ => assert_eq!(chars, gone.chars, "{code}"),
        }
    }
    let documents = documents(output);
    let mut out = TextSize::default();
    for (_, document) in documents.values() {
        out += TextSize::of_text(&document.page.text);
    }
    assert_eq!(tally["pages"]["out"], documents.len());
    assert_eq!(tally["lines"]["out"], out.lines);
    assert_eq!(tally["chars"]["out"], out.chars);
    assert_eq!(tally["words"]["out"], out.words);
    let stages = stats["stages"].as_array().unwrap();
    for (before, after) in stages.iter().zip(&stages[1..]) {
        for unit in ["pages", "lines", "chars", "words"] {
            assert_eq!(before[unit]["out"], after[unit]["in"], "{unit}");
        }
    }
    let last = stages.last().unwrap();
    for unit in ["pages", "lines", "chars", "words"] {
        assert_eq!(stages[0][unit]["in"], tally[unit]["in"]);
        assert_eq!(last[unit]["out"], tally[unit]["out"]);
    }
    for (histogram, before, after) in [
        ("page_chars", &tally["pages"]["in"], &tally["pages"]["out"]),
        ("page_lines", &tally["pages"]["in"], &tally["pages"]["out"]),
        ("line_words", &tally["lines"]["in"], &tally["lines"]["out"]),
    ] {
        let sum = |side: &str| -> u64 {
            let counts = stats["histograms"][histogram][side].as_array().unwrap();
            counts.iter().map(|n| n.as_u64().unwrap()).sum()
        };
        assert_eq!(*before, sum("in"), "{histogram}");
        assert_eq!(*after, sum("out"), "{histogram}");
    }
    let verdicts = rows::<UrlVerdict>(output);
    let kept = verdicts.iter().filter(|row| row.verdict == KEPT).count();
    assert_eq!(kept, documents.len());
    assert!(verdicts.is_sorted_by(|a, b| a.url_key < b.url_key));
    let spans = stats["counters"]["dedupe-spans/span-duplicate"].as_u64().unwrap_or(0);
    let of_pages = Reason::OlderCopy.code();
    let duplicates = rows::<Duplicate>(output);
    let older = duplicates.iter().filter(|row| row.reason == of_pages).count();
    assert_eq!(tally["pages"]["dropped"][of_pages], older);
    let by_spans = duplicates.iter().filter(|row| row.reason == "span_duplicate").count();
    assert_eq!(by_spans as u64, spans);
}

#[test]
fn a_sample_is_a_part_of_the_whole_and_the_same_on_any_number_of_threads() {
    let dir = tempfile::tempdir().unwrap();
    let input = archives().get(1).cloned().unwrap_or_else(samples);
    let build = |name: &str, threads, ledger| {
        let output = dir.path().join(name);
        built(&BuildOptions {
            threads,
            ..with_ledger("en", &input, &output, ledger)
        })
        .unwrap();
        output
    };
    let all = build("all", 2, LedgerMode::All);
    let [one, two] = [1, 2].map(|n| build(&n.to_string(), n, LedgerMode::Sample(5)));
    let whole = rows::<DroppedLine>(&all);
    let sample = rows::<DroppedLine>(&one);
    assert!(sample.iter().all(|line| whole.contains(line)));
    let count = |rows: &[DroppedLine], code| rows.iter().filter(|r| r.reason == code).count();
    for reason in Reason::of(Scope::Line) {
        let code = reason.code();
        assert_eq!(count(&sample, code), count(&whole, code).min(5), "{code}");
    }
    let (pages, sample) = (rows::<DroppedPage>(&all), rows::<DroppedPage>(&one));
    for reason in Reason::of(Scope::Page) {
        let count = |rows: &[DroppedPage]| {
            let of_reason = rows.iter().filter(|row| row.reason == reason.code());
            of_reason.count()
        };
        assert_eq!(count(&sample), count(&pages).min(5), "{}", reason.code());
    }
    assert_eq!(rows::<UrlVerdict>(&all), rows::<UrlVerdict>(&one));
    assert_eq!(rows::<Duplicate>(&all), rows::<Duplicate>(&one));
    assert!(tree(&one.join("ledger")) == tree(&two.join("ledger")));
    let none = build("none", 2, LedgerMode::None);
    assert!(!none.join("ledger").exists());
    // The ledger changes nothing else.
    let strip = |dir: &Path| {
        let mut tree = tree(dir);
        tree.retain(|path, _| path.extension().is_some_and(|e| e == "arrow"));
        tree.retain(|path, _| !path.starts_with("ledger"));
        (tree, fs::read(dir.join("stats.json")).unwrap())
    };
    assert!(strip(&none) == strip(&all));
}

#[test]
fn without_a_corpus_dedup_is_left_open() {
    let (recipe, _) = Recipe::load("en").unwrap();
    let lists = Lists::load(&recipe, Path::new("")).unwrap();
    let explainer = Explainer::new(&recipe, &lists, None).unwrap();
    let text = format!("{}A menu\nWe use Cookies on this site of ours.\n", good_text(1));
    let explanation = explainer.explain_text(&text);
    assert_eq!(explanation.reason, None);
    let station = |name| explanation.stations.iter().find(|s| s.name == name);
    assert_eq!(station("dedup").unwrap().passed, Passed::Open);
    assert_eq!(explanation.kept_text(), good_text(1).trim());
    let reasons: Vec<Option<Reason>> = explanation.lines.iter().map(|l| l.reason).collect();
    let dropped = [Some(Reason::NoEndMark), Some(Reason::Policy)];
    assert_eq!(reasons, [[None; 3].as_slice(), &dropped].concat());
    let policy = &explanation.lines[4];
    assert_eq!(&policy.text[policy.matched.clone().unwrap()], "use Cookies");

    let json = explanation.to_json();
    assert_eq!(json["verdict"], "keep");
    assert_eq!(json["lines"][4]["verdict"], "drop");
    assert_eq!(json["lines"][4]["match"]["text"], "use Cookies");
    assert_eq!(json["lines"][0]["kept_text"], json["lines"][0]["text"]);

    let short = explainer.explain_text("Only one sentence stands on this page.");
    assert_eq!(short.reason, Some(Reason::TooFewSentences));
    let code = explainer.explain_text(&format!("{}Then {{ came along the road.\nLast line.", good_text(1)));
    assert_eq!(code.reason, Some(Reason::CurlyBracket));
    assert_eq!(code.lines[4].reason, Some(Reason::CurlyBracket));
}

#[test]
fn records_are_numbered_from_the_first() {
    let archive = samples().join("sample-00001.warc.wet.gz");
    let (recipe, _) = Recipe::load("en").unwrap();
    let inputs = options("en", &[&archive], Path::new("x")).inputs;
    let at = |n| find(&inputs, &recipe.read, &Wanted::Record(n)).unwrap().pop();
    let read = read(&archive, recipe.read.wet_reading);
    for (number, split) in (0..).zip(&read) {
        assert_eq!(at(number).unwrap().split, *split);
    }
    assert!(at(read.len() as u64).is_none());
    let page = pages(read).pop().unwrap();
    let url = format!("{}/?utm_source=x", page.url.replace("https://", "http://www."));
    let found = find(&inputs, &recipe.read, &Wanted::Url(url)).unwrap();
    assert_eq!(found[0].split, c4_pipeline::read::outcome::Split::Page(page));
}
