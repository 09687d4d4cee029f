//! A sweep says of every combination what a build with it would keep.

use c4_data::{BUILTIN_RECIPES, CleanStep, InputState, LengthStep, Lists, ParagraphStep, Recipe};
use c4_filters::rules::length;
use c4_filters::url::domain;
use c4_filters::{Cleaned, Cleaner, Reason, SweepOutcome, Sweeper, TextSize};
use c4_pipeline::build::{BuildOptions, TargetOptions};
use c4_pipeline::input::{self, Input};
use c4_pipeline::inspect::sweep::full::{FullOptions, sweep_full};
use c4_pipeline::inspect::sweep::report::SweepReport;
use c4_pipeline::inspect::sweep::settings::Grid;
use c4_pipeline::inspect::sweep::{Kept, Swept, sweep};
use c4_tests::*;
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const EIGHT: [&str; 2] = ["line.min_words=3,4,5,6", "page.min_sentences=3,5"];

fn grid(recipe: &str, sets: &[&str], full: bool) -> Result<Grid, String> {
    let (recipe, _) = Recipe::load(recipe).unwrap();
    let sets: Vec<String> = sets.iter().map(|set| (*set).to_owned()).collect();
    Grid::new(&recipe, &sets, full).map_err(|e| e.to_string())
}

fn inputs(paths: &[&Path], grid: &Grid) -> Vec<Input> {
    let paths: Vec<PathBuf> = paths.iter().map(|path| path.to_path_buf()).collect();
    input::resolve(&paths, None, &grid.combinations[0].recipe.read).unwrap()
}

/// A copy without the steps that a sweep leaves out.
fn bare(recipe: &Recipe) -> Recipe {
    Recipe {
        dedup: None,
        language: None,
        bad_words: None,
        ..recipe.clone()
    }
}

/// What a build with `recipe` keeps, in all and by domain.
fn kept_by_build(recipe: Recipe, inputs: &[Input]) -> (Kept, BTreeMap<String, Kept>) {
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("out");
    let options = BuildOptions {
        targets: vec![TargetOptions {
            lists: Lists::load(&recipe, Path::new("")).unwrap(),
            recipe,
            output: output.clone(),
        }],
        inputs: inputs.to_vec(),
        ..options("c4", &[&samples()], dir.path())
    };
    let tally = built(&options).unwrap().tally;
    let mut domains: BTreeMap<String, Kept> = BTreeMap::new();
    let mut characters = 0;
    for (url, (_, document)) in documents(&output) {
        let text = TextSize::of_text(&document.page.text);
        let sum = domains.entry(domain(&url)).or_default();
        sum.pages += 1;
        sum.lines += text.lines;
        sum.characters += text.chars;
        characters += text.chars;
    }
    let all = Kept {
        pages: tally.pages_out.iter().sum(),
        lines: tally.lines_out.lines,
        characters,
    };
    (all, domains)
}

/// The sweep's numbers are those of one build a combination.
fn assert_equals_builds(swept: &Swept, recipes: &[Recipe], inputs: &[Input]) {
    assert_eq!(swept.kept.len(), recipes.len());
    for (i, recipe) in recipes.iter().enumerate() {
        let (all, domains) = kept_by_build(recipe.clone(), inputs);
        assert_eq!(swept.kept[i], all, "{recipe:?}");
        for swept in &swept.domains {
            let expected = domains.get(&swept.domain).copied().unwrap_or_default();
            assert_eq!(swept.kept[i], expected, "{} {recipe:?}", swept.domain);
        }
    }
}

fn check(recipe: &str, sets: &[&str], paths: &[&Path]) -> Swept {
    let grid = grid(recipe, sets, false).unwrap();
    let inputs = inputs(paths, &grid);
    let swept = sweep(&grid.recipes(), &inputs, 2).unwrap();
    let recipes: Vec<Recipe> = grid.recipes().iter().map(bare).collect();
    assert_equals_builds(&swept, &recipes, &inputs);
    assert_eq!(swept, sweep(&grid.recipes(), &inputs, 1).unwrap());
    swept
}

#[test]
fn equals_separate_builds_on_the_samples() {
    let swept = check("c4", &EIGHT, &[&samples()]);
    assert_eq!((swept.pages_read, swept.domains.len()), (102, 10));
    let damaged = swept.inputs.iter().filter(|i| i.state != InputState::Read);
    assert_eq!(damaged.count(), 2);
    let lists = [
        r#"clean.code_marks=[],["{"],["river", "the"]"#,
        r#"clean.end_marks=["."],[".", "?", "!", "\""]"#,
        r#"clean.policy_phrases=[],["the"]"#,
        "length.max_page_chars=300,190000",
    ];
    check("c4", &lists, &[&samples()]);
    // A recipe that does not clean.
    check("en.noclean", &["page.max_page_chars=200,400,2000"], &[&samples()]);
}

#[test]
fn equals_separate_builds_on_real_pages() {
    let name = "bench/CC-MAIN-20190418101243-20190418122311-00000.warc.wet.gz";
    let Some(path) = shared(name) else { return };
    let swept = check("c4", &EIGHT, &[&path]);
    assert_eq!(swept.pages_read, 844);
    let others = [
        "clean.max_word_chars=20,1000",
        r#"clean.not_end_marks=[],["..."]"#,
        "length.max_page_chars=2000,20000",
    ];
    check("en", &others, &[&path]);
}

#[test]
fn which_copy_of_a_page_stays_is_a_matter_of_the_setting() {
    let dir = tempfile::tempdir().unwrap();
    let page = |url: &str, date: &str, lines: usize| {
        let text: String = (0..lines).map(good_text).collect();
        gzip(&record("conversion", url, date, "text/plain", text.as_bytes()))
    };
    let (early, late) = ("2019-04-18T00:00:00Z", "2019-04-19T00:00:00Z");
    // The newest copy is the longest; two of one time; one that is bad but newest.
    let bad = record("conversion", "http://c.example/", late, "text/plain", b"lorem ipsum");
    let first = [
        page("http://a.example/x", early, 1),
        page("https://www.a.example/x/", late, 9),
        page("http://b.example/", late, 3),
        page("http://c.example", early, 2),
    ];
    let second = [
        page("http://a.example/x?ref=1", late, 4),
        page("http://B.example:80/", late, 2),
        page("http://b.example", late, 2),
        gzip(&bad),
        page("http://B.example/", late, 5),
    ];
    let paths = ["1.warc.wet.gz", "2.warc.wet.gz"].map(|name| dir.path().join(name));
    fs::write(&paths[0], first.concat()).unwrap();
    fs::write(&paths[1], second.concat()).unwrap();
    let sets = [
        "page.max_page_chars=100,300,500,1000,10000",
        "page.min_sentences=0,3",
        "line.min_words=0,5",
    ];
    let swept = check("c4", &sets, &[&paths[0], &paths[1]]);
    let read: Vec<(&str, u64)> = swept.domains.iter().map(|d| (&*d.domain, d.pages_read)).collect();
    assert_eq!(read, [("b.example", 4), ("a.example", 3), ("c.example", 2)]);
}

#[test]
fn a_full_sweep_takes_all_steps_and_leaves_nothing() {
    let sets = ["page.min_sentences=3,5", "language.min_probability=0.5,0.99999"];
    let grid = grid("c4", &sets, true).unwrap();
    let samples = samples();
    let inputs = inputs(&[&samples], &grid);
    let dir = tempfile::tempdir().unwrap();
    let swept = sweep_full(&FullOptions {
        recipes: &grid.recipes(),
        lists: Path::new(""),
        inputs: &inputs,
        threads: 2,
        work_dir: Some(dir.path()),
    })
    .unwrap();
    assert_eq!(swept.pages_read, 102);
    assert_equals_builds(&swept, &grid.recipes(), &inputs);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn the_report_says_what_was_swept() {
    let grid = grid("c4", &EIGHT, false).unwrap();
    let own: Vec<usize> = (0..8).filter(|&i| grid.combinations[i].own).collect();
    assert_eq!(own, [4]);
    let samples = samples();
    let inputs = inputs(&[&samples], &grid);
    let swept = sweep(&grid.recipes(), &inputs, 0).unwrap();
    let (recipe, _) = Recipe::load("c4").unwrap();
    let report = SweepReport {
        recipe: &recipe,
        grid: &grid,
        swept: &swept,
        full: false,
    };
    let text = report.to_text();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].contains("Off: bad_words, dedup, language"), "{text}");
    assert!(lines[2].contains("clean.min_words"), "{text}");
    let marked: Vec<usize> = (0..lines.len()).filter(|&i| lines[i].ends_with("<- recipe")).collect();
    assert_eq!(marked, [7], "{text}");
    assert!(text.contains('█'), "{text}");
    let json = report.to_json();
    assert_eq!(json["combinations"].as_array().unwrap().len(), 8);
    assert_eq!(json["combinations"][4]["own"], true);
    assert_eq!(json["combinations"][4]["set"]["clean.min_words"], 5);
    for (i, kept) in swept.kept.iter().enumerate() {
        let row = &json["combinations"][i];
        for (key, n) in [
            ("pages", kept.pages),
            ("lines", kept.lines),
            ("characters", kept.characters),
        ] {
            assert_eq!(row[key], n);
        }
    }
    assert_eq!(json["domains"][0]["combinations"].as_array().unwrap().len(), 8);
    assert_eq!(json["steps_off"].as_array().unwrap().len(), 3);
}

#[test]
fn bad_settings_are_refused_in_one_line() {
    let many: Vec<String> = (0..257).map(|n| n.to_string()).collect();
    let many = format!("line.min_words={}", many.join(","));
    let cases: [(&str, &[&str], &[&str]); 16] = [
        ("c4", &["line.min_wrods=3"], &["clean.min_wrods", "`min_words`"]),
        ("c4", &["min_words=3"], &["min_words", "STEP.KEY"]),
        ("c4", &["line.min_words"], &["line.min_words", "no value"]),
        ("c4", &["line.min_words=a"], &["TOML"]),
        ("c4", &["line.min_words=-1"], &["clean.min_words", "-1"]),
        ("c4", &["line.min_words=3,\"4\""], &["clean.min_words", "string"]),
        ("c4", &["line.min_words=3", "page.min_words=4"], &["twice"]),
        ("c4", &["clean.end_marks=[]"], &["clean.end_marks", "needs a mark"]),
        ("c4", &["clean.page_phrases=[\"Lorem\"]"], &["lower-case"]),
        (
            "c4",
            &["read.wet_reading=\"records\""],
            &["read.wet_reading", "same for"],
        ),
        ("c4", &["dedup.span_sentences=2"], &["dedup", "off", "--full"]),
        ("c4", &["language.min_probability=0.9"], &["--full"]),
        ("c4", &["bad_words.fraction=0.5"], &["--full"]),
        ("c4", &["split.validation_one_in=7"], &["--full"]),
        ("c4", &["paragraphs.min_lines=3"], &["does not take", "length, clean"]),
        ("en.noclean", &["line.min_words=3"], &["does not take", "clean"]),
    ];
    for (recipe, sets, words) in cases {
        let error = grid(recipe, sets, false).unwrap_err();
        assert_eq!(error.lines().count(), 1, "{error}");
        for word in words {
            assert!(error.contains(word), "{word}: {error}");
        }
    }
    let error = grid("c4", &[&many], false).unwrap_err();
    assert!(error.contains("257") && error.contains("256"), "{error}");
    let halves = many.split_once(",20,").unwrap().0;
    let error = grid(
        "c4",
        &[halves, "page.min_sentences=1,2,3,4,5,6,7,8,9,10,11,12,13,14"],
        false,
    );
    assert!(error.unwrap_err().contains("280 combinations"));
    for (set, words) in [
        (
            "read.max_record_bytes=65536",
            ["read.max_record_bytes", "the same for a whole sweep"],
        ),
        (
            "dedup.span_sentences=2,65",
            ["dedup.span_sentences=65", "must be 1 to 64"],
        ),
    ] {
        let error = grid("c4", &[set], true).unwrap_err();
        for word in words {
            assert!(error.contains(word), "{word}: {error}");
        }
    }
    assert_eq!(
        grid("c4", &["dedup.span_sentences=2,3"], true)
            .unwrap()
            .combinations
            .len(),
        2
    );
    assert_eq!(grid("c4", &[], false).unwrap().combinations.len(), 1);
}

/// Pieces of lines on both sides of every rule.
const PIECES: [&str; 34] = [
    "a",
    "word",
    "Mr.",
    "Hello there.",
    "How are you?",
    "No!",
    "\"Yes.\"",
    "He left. She stayed.",
    "lorem ipsum",
    "Lorem IPSUM dolor.",
    "{",
    "}",
    "javascript",
    "JavaScript!",
    "use cookies",
    "Terms of Use",
    "[1]",
    "[]",
    "[edit]",
    "[citation needed]",
    "...",
    "….",
    ".",
    " ",
    "  ",
    "\u{a0}",
    "\u{3000}",
    "\x1f",
    "ÄÖÜ",
    "İstanbul ΣΑΣ",
    "日本語。",
    "aaaaaaaaaaaaaaaaaaaaaaaa",
    "éééééééééééé",
    "]",
];
const BREAKS: [&str; 8] = ["\n", "\n", "\n", "\r\n", "\x0b", "\x1c", "\u{85}", "\u{2028}"];

fn text() -> impl Strategy<Value = String> {
    let line = prop::collection::vec(prop::sample::select(&PIECES[..]), 0..6);
    let end = prop::sample::select(&[".", "", " [3]", "!", "?\"", " "][..]);
    let line = (line, prop::bool::ANY, end, prop::sample::select(&BREAKS[..]));
    let lines = prop::collection::vec(line, 0..9);
    lines.prop_map(|lines| {
        let line = |(pieces, spaced, end, line_break): (Vec<&str>, bool, &str, &str)| {
            pieces.join(if spaced { " " } else { "" }) + end + line_break
        };
        lines.into_iter().map(line).collect()
    })
}

fn list(pool: &'static [&'static [&'static str]]) -> impl Strategy<Value = Vec<String>> {
    let own = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
    prop::sample::select(pool).prop_map(own)
}

fn clean_step() -> impl Strategy<Value = CleanStep> {
    let phrases: &[&[&str]] = &[&[], &["lorem ipsum"], &["javascript", "hello"], &["use"]];
    (
        (0..26_usize, 0..7_usize, 0..7_usize),
        list(&[&[".", "?", "!", "\""], &["."], &[" "], &["]", ".", " "], &["?\"", "。"]]),
        list(&[&["..."], &[], &["d."]]),
        list(&[&["{"], &[], &["}", "A"]]),
        (list(phrases), list(phrases), list(phrases)),
    )
        .prop_map(|(numbers, end_marks, not_end_marks, code_marks, phrases)| CleanStep {
            max_word_chars: numbers.0,
            end_marks,
            not_end_marks,
            min_words: numbers.1,
            page_phrases: phrases.0,
            script_phrases: phrases.1,
            code_marks,
            policy_phrases: phrases.2,
            min_sentences: numbers.2,
        })
}

fn recipe() -> impl Strategy<Value = Recipe> {
    let paragraphs = (0..5_usize, 0..20_usize);
    (
        prop::option::of(0..300_usize),
        prop::option::weighted(0.3, paragraphs),
        prop::option::weighted(0.9, clean_step()),
    )
        .prop_map(|(length, paragraphs, clean)| Recipe {
            length: length.map(|max_page_chars| LengthStep { max_page_chars }),
            paragraphs: paragraphs.map(|(min_lines, min_line_chars)| ParagraphStep {
                min_lines,
                min_line_chars,
            }),
            clean,
            ..Recipe::parse("c4", BUILTIN_RECIPES[0].1).unwrap()
        })
}

/// What a build makes of a page before it looks at others.
fn cleaned(recipe: &Recipe, text: &str) -> SweepOutcome {
    let length = recipe.length.as_ref();
    if length.is_some_and(|step| length::too_long(text, step.max_page_chars)) {
        return SweepOutcome::Drop(Reason::TooLong);
    }
    match Cleaner::new(recipe).clean(text) {
        Cleaned::Drop { reason, .. } => SweepOutcome::Drop(reason),
        Cleaned::Keep(page) => SweepOutcome::Keep {
            lines: page.lines.left().lines as u32,
            chars: page.text.chars().count() as u64,
        },
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn a_sweeper_says_of_a_page_what_a_cleaner_does(
        mut recipes in prop::collection::vec(recipe(), 0..6),
        min_words in 0..7_usize,
        texts in prop::collection::vec(text(), 1..6),
    ) {
        // Two recipes that differ in one threshold alone.
        if let Some(mut other) = recipes.first().cloned() {
            if let Some(clean) = &mut other.clean {
                clean.min_words = min_words;
            }
            recipes.push(other);
        }
        let sweeper = Sweeper::new(&recipes);
        for text in texts {
            let expected: Vec<SweepOutcome> =
                recipes.iter().map(|recipe| cleaned(recipe, &text)).collect();
            prop_assert_eq!(sweeper.sweep(&text), expected, "{:?}", text);
        }
    }
}
