//! Languages as splits: recipe `multilingual` writes shards for each language.
//!
//! Above 500 lines: sentences of many languages are part of it.

use crate::common::c4_command;
use c4_data::{Document, Format, Manifest, ShardMeta, ShardReader, ShardWriter, Split};
use c4_filters::url;
use c4_pipeline::inspect::diff::{Diff, DiffOptions, diff};
use c4_tests::*;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Languages, how many pages of each there are, and what these say. Without letters, CLD3 cannot tell.
const LANGUAGES: [(&str, usize, [&str; 4]); 6] = [
    (
        "de",
        90,
        [
            "Am frühen Morgen gingen # Leute aus dem Dorf hinunter an den Fluss, um dort zu fischen.",
            "Der alte Müller erzählte ihnen # Geschichten von der Zeit, in der seine Eltern noch jung waren.",
            "Weil es den ganzen Tag über regnete, blieben # Kinder in der Schule und lasen zusammen Bücher.",
            "Erst gegen Abend wurde das Wetter besser, und sie kehrten auf # Wegen nach Hause zurück.",
        ],
    ),
    (
        "en",
        40,
        [
            "Early in the morning # people of the village walked down to the river because they wanted to fish.",
            "The old miller told them # stories about the years when his parents were still young and strong.",
            "Since it rained during the whole day, # children stayed at school and read books with each other.",
            "The weather did not improve until the evening, when they went home again on # different roads.",
        ],
    ),
    (
        "fr",
        30,
        [
            "De bon matin, # habitants du village descendaient vers la rivière parce qu'ils voulaient pêcher.",
            "Le vieux meunier leur racontait # histoires du temps où ses parents étaient encore jeunes.",
            "Comme il pleuvait toute la journée, # enfants restaient à l'école et lisaient des livres ensemble.",
            "Le temps ne s'améliorait que vers le soir, et chacun rentrait chez soi par # chemins différents.",
        ],
    ),
    (
        "ja",
        20,
        [
            "朝早く、村の#人は魚を釣るために川まで歩いて行きました。天気がとても良かったので、みんな楽しそうに話していました。",
            "年を取った粉屋は、両親がまだ若かった頃の話を#も聞かせてくれました。子供たちは静かに座って耳を傾けていました。",
            "一日中雨が降っていたので、#人の子供たちは学校に残って一緒に本を読みました。先生も新しい物語を紹介してくれました。",
            "夕方になってようやく空が晴れ、人々は#本の道を通ってそれぞれの家に帰りました。夜には星がきれいに見えました。",
        ],
    ),
    (
        "ru",
        20,
        [
            "Рано утром # жителей деревни спустились к реке, потому что они хотели наловить рыбы к обеду.",
            "Старый мельник рассказал им # историй о том времени, когда его родители были ещё молодыми.",
            "Весь день шёл дождь, поэтому # детей остались в школе и вместе читали интересные книги.",
            "Погода улучшилась только к вечеру, и люди вернулись домой по # разным дорогам через лес.",
        ],
    ),
    (
        "und",
        10,
        [
            "# 17 4 23 118 9 42 7 3001 56 12 8 99 20 31 64 5 770 2 15 88 19 6 413 27 30",
            "# 71 40 32 811 90 24 70 1003 65 21 80 95 29 13 46 50 77 22 51 87 91 60 314 72 33",
            "# 1.5 2.25 3.75 4.5 5.25 6.75 7.5 8.25 9.75 10.5 11.25 12.75 13.5 14.25 15.75",
            "# 100 200 300 400 500 600 700 800 900 1000 1100 1200 1300 1400 1500 1600 1700",
        ],
    ),
];

/// Three lines of 200 characters or more.
fn text(sentences: [&str; 4], page: usize) -> String {
    let line = |first: usize| {
        let mut line = String::new();
        for sentence in sentences.iter().cycle().skip(first) {
            line += &sentence.replace('#', &(page + 2).to_string());
            if line.chars().count() >= 200 {
                break;
            }
            line.push(' ');
        }
        line + "\n"
    };
    (0..3).map(line).collect()
}

fn split_of(page: &str) -> Split {
    let recipe = c4_data::Recipe::load("multilingual").unwrap().0;
    url::split(url::md5(&url::normalize(page)), &recipe.split)
}

/// Two archives, and the language of each page by its URL. One page each in German and in French is for
/// validation.
fn archives(dir: &Path) -> (Vec<PathBuf>, BTreeMap<String, &'static str>) {
    let mut bytes = [Vec::new(), Vec::new()];
    let mut languages = BTreeMap::new();
    for (language, pages, sentences) in LANGUAGES {
        let address = |i: usize| format!("https://{language}.example/{i}");
        let of = |split| (0..).map(address).filter(move |page| split_of(page) == split);
        let validation = usize::from(["de", "fr"].contains(&language));
        let train = of(Split::Train).take(pages - validation);
        let all = train.chain(of(Split::Validation).take(validation));
        for (i, page) in all.enumerate() {
            bytes[i % 2].extend(gzip(&conversion(&page, &text(sentences, i))));
            languages.insert(page, language);
        }
    }
    let paths = [0, 1].map(|i| dir.join(format!("{i}.warc.wet.gz")));
    for (path, bytes) in paths.iter().zip(bytes) {
        fs::write(path, bytes).unwrap();
    }
    (paths.into(), languages)
}

fn of_corpus(arguments: &[&str], dir: &Path) -> Output {
    c4_command().args(arguments).arg(dir).output().unwrap()
}

/// What a command that succeeds prints.
fn said(arguments: &[&str], dir: &Path) -> String {
    let output = of_corpus(arguments, dir);
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {message}");
    String::from_utf8(output.stdout).unwrap()
}

fn command(inputs: &[PathBuf], arguments: &str, output: &Path) -> Command {
    let mut command = c4_command();
    command.args(["build", "--no-plan"]);
    command.args(arguments.split(' ')).args(inputs);
    command.arg("-o").arg(output);
    command
}

/// Builds; gives what was said. Damage in archives is none of our business.
fn build(inputs: &[PathBuf], arguments: &str, output: &Path) -> String {
    let ended = command(inputs, arguments, output).output().unwrap();
    let said = String::from_utf8(ended.stderr).unwrap();
    assert!(matches!(ended.status.code(), Some(0 | 1)), "{said}");
    said
}

/// The recipe with other values, as a file.
fn recipe(dir: &Path, name: &str, from: &str, to: &str) -> String {
    let output = c4_command().args(["recipes", "multilingual"]).output();
    let text = String::from_utf8(output.unwrap().stdout).unwrap();
    assert!(text.contains(from));
    let text = text
        .replace(from, to)
        .replace("\"multilingual\"", &format!("\"{name}\""));
    let path = dir.join(format!("{name}.toml"));
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn together(dir: &Path) -> String {
    recipe(dir, "together", "by_language = true", "by_language = false")
}

fn manifest(dir: &Path) -> Manifest {
    Manifest::read(dir).unwrap().unwrap()
}

fn compared(a: &Path, b: &Path) -> Diff {
    diff(a, b, &DiffOptions::default()).unwrap()
}

#[test]
fn each_language_has_shards_of_both_splits() {
    let dir = tempfile::tempdir().unwrap();
    let (inputs, languages) = archives(dir.path());
    for (format, end) in [
        (Format::Arrow, "arrow"),
        (Format::Parquet, "parquet"),
        (Format::Jsonl, "jsonl"),
    ] {
        let output = dir.path().join(end);
        let arguments = format!("-r multilingual --shard-size 20K --format {end}");
        build(&inputs, &arguments, &output);
        let shards = manifest(&output).shards;

        // In the order of languages; both splits, also where one has no rows.
        let mut sets: Vec<(&str, Split)> = Vec::new();
        for shard in &shards {
            let set = (shard.language.as_deref().unwrap(), shard.split);
            if sets.last() != Some(&set) {
                sets.push(set);
            }
        }
        let codes = LANGUAGES.iter().map(|(code, ..)| *code);
        let expected = codes.flat_map(|code| Split::ALL.map(|split| (code, split)));
        assert!(sets.iter().copied().eq(expected), "{sets:?}");
        let mut found: BTreeMap<String, &str> = BTreeMap::new();
        for (language, split) in sets {
            let set = c4_data::ShardSet {
                language: Some(language),
                split,
            };
            let shards: Vec<_> = shards.iter().filter(|shard| shard.set() == set).collect();
            let (mut rows, mut last) = (0, None);
            for (i, shard) in shards.iter().enumerate() {
                assert_eq!(shard.file, format.file_name(set, i, shards.len()));
                for document in ShardReader::open(&output.join(&shard.file)).unwrap() {
                    let document = document.unwrap();
                    let page = document.page.url;
                    let key = url::md5(&url::normalize(&page));
                    assert!(last < Some(key), "{page}");
                    last = Some(key);
                    assert_eq!(split_of(&page), split, "{page}");
                    if format != Format::Jsonl {
                        assert_eq!(document.language, language, "{page}");
                    }
                    found.insert(page, language);
                    rows += 1;
                }
            }
            assert_eq!(rows, shards.iter().map(|shard| shard.rows).sum::<u64>());
            let with_rows = split == Split::Train || ["de", "fr"].contains(&language);
            assert_eq!(rows > 0, with_rows, "{language} {split:?}");
        }
        assert_eq!(found, languages);
        let german = shards.iter().filter(|s| s.language.as_deref() == Some("de"));
        assert!(german.count() > 3, "several shards");

        let report: Value = serde_json::from_str(&said(&["verify", "--json"], &output)).unwrap();
        let checks = report["checks"].as_array().unwrap();
        let check = |name: &str| checks.iter().find(|check| check["name"] == name).unwrap();
        for name in ["split", "one row a URL", "shard range", "bad words"] {
            assert_eq!(check(name)["status"], "ok", "{name} {end}");
        }

        let rows = |arguments: &[&str]| said(&[&["cat"], arguments].concat(), &output).lines().count();
        assert_eq!(rows(&["--language", "de"]), 90);
        assert_eq!(rows(&["--language", "de", "--split", "validation"]), 1);
        assert_eq!(rows(&["--language", "und", "-n", "3"]), 3);
        let refused = of_corpus(&["cat", "--language", "it"], &output);
        assert_eq!(refused.status.code(), Some(2));
        let message = String::from_utf8(refused.stderr).unwrap();
        assert!(message.contains("it has de, en, fr, ja, ru, und"), "{message}");
    }
    let plain = dir.path().join("plain");
    build(&inputs, "-r en.noclean --format jsonl", &plain);
    program::refused(
        &of_corpus(&["cat", "--language", "en"], &plain),
        &["--language", "jsonl shards"],
    );
    let jsonl = compared(&dir.path().join("arrow"), &dir.path().join("jsonl"));
    assert_eq!((jsonl.pages.same, jsonl.pages.other_language), (210, 0));
}

#[test]
fn the_card_has_a_configuration_for_each_language() {
    let dir = tempfile::tempdir().unwrap();
    let (inputs, _) = archives(dir.path());
    let output = dir.path().join("out");
    build(&inputs, "-r multilingual --format jsonl", &output);
    said(&["card"], &output);
    let card = fs::read_to_string(output.join("README.md")).unwrap();
    let head = card.split("---\n").nth(1).unwrap();
    for wanted in [
        "language:\n- \"de\"\n- \"en\"\n- \"fr\"\n- \"ja\"\n- \"ru\"\n- \"und\"\nlicense",
        "configs:\n- config_name: \"de\"\n  data_files:\n  - split: train\n    path: \"c4-de.train.*.json.gz\"\n  \
         - split: validation\n    path: \"c4-de.validation.*.json.gz\"\n- config_name: \"en\"\n",
        // A split without rows is left out.
        "    path: \"c4-en.train.*.json.gz\"\n- config_name: \"fr\"\n",
        "dataset_info:\n- config_name: \"de\"\n  features:\n  - name: text\n",
        "  splits:\n  - name: train\n    num_bytes: ",
        "    num_examples: 89\n  - name: validation\n",
    ] {
        assert!(head.contains(wanted), "no {wanted:?} in\n{head}");
    }
    assert!(!head.contains("default"), "{head}");
    assert!(card.contains("load_dataset(\"path/to/this/folder\", \"de\")"), "{card}");
    assert!(card.contains("| de | 89 | 1 |"), "{card}");
}

#[test]
fn all_languages_together_are_the_corpus_without_splits_by_language() {
    let dir = tempfile::tempdir().unwrap();
    let together = together(dir.path());
    let names = [
        "whatsinthebox-restored",
        "ccc-learning-restored",
        "hostile-resaved-crlf",
    ];
    let real = names.map(|name| shared(&format!("wet/{name}.warc.wet.gz")));
    let made_up = archives(dir.path()).0;
    let real: Option<Vec<PathBuf>> = real.into_iter().collect();
    for (i, inputs) in [Some(made_up), real].into_iter().flatten().enumerate() {
        let [by_language, one, little] = ["by", "one", "little"].map(|name| dir.path().join(format!("{name}-{i}")));
        build(&inputs, "-r multilingual --shard-size 300K --threads 2", &by_language);
        build(&inputs, &format!("-r {together} --shard-size 300K"), &one);
        let (found, expected) = (documents(&by_language), documents(&one));
        assert!(found.len() >= 80, "{}", found.len());
        assert!(found == expected);
        assert!(manifest(&one).shards.iter().all(|shard| shard.language.is_none()));
        let languages: BTreeSet<&String> = found.values().map(|(_, d)| &d.language).collect();
        assert!(languages.len() >= 6, "{languages:?}");
        let shards = manifest(&by_language).shards;
        let sets: BTreeSet<_> = shards.iter().map(|shard| shard.set()).collect();
        assert_eq!(sets.len(), 2 * languages.len());

        let diff = compared(&by_language, &one);
        assert!(diff.is_empty());
        assert_eq!(diff.pages.same, found.len() as u64);
        assert_eq!((diff.pages.other_split, diff.pages.other_language), (0, 0));
        assert!(diff.recipe.iter().any(|key| key.key == "split.by_language"));

        // Threads and memory do not show.
        let arguments = "-r multilingual --shard-size 300K --threads 1 --memory 128M";
        build(&inputs, arguments, &little);
        assert!(corpus_files(&little) == corpus_files(&by_language));
        said(&["verify"], &by_language);
        // Where a language has no shards of its own, rows are looked at.
        let cat = |dir| said(&["cat", "--language", "de"], dir);
        assert_eq!(cat(&one), cat(&by_language));
    }
}

#[test]
fn one_language_alone_is_that_of_the_whole() {
    let dir = tempfile::tempdir().unwrap();
    let (inputs, _) = archives(dir.path());
    let [whole, german, none] = ["whole", "german", "none"].map(|name| dir.path().join(name));
    build(&inputs, "-r multilingual", &whole);
    build(&inputs, "-r multilingual --language de", &german);
    let names = manifest(&german).shards.into_iter().map(|shard| shard.file);
    let names: Vec<String> = names.collect();
    assert_eq!(
        names,
        ["de.train-00000-of-00001.arrow", "de.validation-00000-of-00001.arrow"]
    );
    let diff = compared(&whole, &german);
    let pages = diff.pages;
    assert_eq!((pages.same, pages.only_a, pages.only_b), (90, 120, 0));
    assert_eq!((pages.other_language, pages.other_split), (0, 0));
    let causes = diff.only_a.iter().map(|cause| (cause.cause.code(), cause.pages));
    let causes: BTreeMap<&str, u64> = causes.collect();
    assert_eq!(causes, BTreeMap::from([("other_language", 110), ("no_language", 10)]));

    // A corpus without documents has no shards.
    build(&inputs, "-r multilingual --language it", &none);
    assert_eq!(manifest(&none).shards, []);
    said(&["verify"], &none);
    said(&["card"], &none);
    assert_eq!(compared(&whole, &none).pages.only_a, 210);
}

/// The same page may be in another language, in shards elsewhere.
#[test]
fn pages_are_compared_across_languages() {
    let dir = tempfile::tempdir().unwrap();
    let (inputs, _) = archives(dir.path());
    let [a, b] = ["a", "b"].map(|name| dir.path().join(name));
    build(&inputs, "-r multilingual", &a);
    let strict = recipe(dir.path(), "strict", "min_probability = 0.95", "min_probability = 1.0");
    build(&inputs, &format!("-r {strict}"), &b);
    let languages = |dir: &Path| documents(dir).into_values().map(|(_, d)| d.language);
    let other = languages(&a).zip(languages(&b)).filter(|(a, b)| a != b).count();
    assert!(other > 50, "{other}");
    let pages = compared(&a, &b).pages;
    assert_eq!((pages.same, pages.only_a, pages.only_b), (210, 0, 0));
    assert_eq!(pages.other_language, other as u64);
}

/// Changes the rows of the first train shard of a language; the manifest follows, so that no checksum tells.
fn rewrite(dir: &Path, language: &str, change: impl FnOnce(&mut Vec<Document>)) {
    let mut manifest = manifest(dir);
    let mut shards = manifest.shards.iter();
    let shard = shards.position(|s| s.language.as_deref() == Some(language)).unwrap();
    let entry = manifest.shards[shard].clone();
    let path = dir.join(&entry.file);
    let rows = ShardReader::open(&path).unwrap();
    let mut rows: Vec<Document> = rows.map(|row| row.unwrap()).collect();
    change(&mut rows);
    rows.sort_by_key(|row| url::md5(&url::normalize(&row.page.url)));
    let meta = ShardMeta {
        recipe: manifest.recipe.name.clone(),
        recipe_hash: manifest.recipe_hash.clone(),
    };
    let scratch = tempfile::tempdir_in(dir).unwrap();
    let format = manifest.format;
    let mut writer = ShardWriter::create(&path, scratch.path(), format, entry.set(), &meta).unwrap();
    writer.write(rows).unwrap();
    manifest.shards[shard] = writer.finish().unwrap();
    manifest.write(dir).unwrap();
}

#[test]
fn verify_looks_at_languages() {
    let dir = tempfile::tempdir().unwrap();
    let (inputs, _) = archives(dir.path());
    let output = dir.path().join("out");
    let failed = |name: &str, what: &str| {
        let ended = of_corpus(&["verify", "--json"], &output);
        assert!(!ended.status.success(), "{name}");
        let report: Value = serde_json::from_slice(&ended.stdout).unwrap();
        let mut checks = report["checks"].as_array().unwrap().iter();
        let check = checks.find(|check| check["name"] == name).unwrap();
        assert_eq!(check["status"], "failed", "{check}");
        assert!(check.to_string().contains(what), "{check}");
    };
    let again = || build(&inputs, "-r multilingual --overwrite", &output);
    again();
    let german: Vec<Document> = ShardReader::open(&output.join("de.train-00000-of-00001.arrow"))
        .unwrap()
        .map(|row| row.unwrap())
        .collect();
    rewrite(&output, "en", |rows| rows.push(german[0].clone()));
    failed("split", "is in `de`, in a shard for `en`");
    failed("one row a URL", "more than once");

    // In English now, so that nothing but the URL tells.
    again();
    let copy = Document {
        language: "en".to_owned(),
        ..german[0].clone()
    };
    rewrite(&output, "en", |rows| rows.push(copy));
    failed("one row a URL", "more than once");

    again();
    let mut other = manifest(&output);
    other.shards[0].language = None;
    other.write(&output).unwrap();
    failed("shard files", "is for all languages");
    other.shards[0].language = Some("../de".to_owned());
    other.write(&output).unwrap();
    let refused = of_corpus(&["verify"], &output);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("language code"));
}

#[test]
fn a_build_that_crashed_among_its_shards_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (inputs, _) = archives(dir.path());
    let arguments = "-r multilingual --shard-size 20K --memory 128M --overwrite";
    let whole = dir.path().join("whole");
    build(&inputs, arguments, &whole);
    let expected = corpus_files(&whole);
    for crash in [
        "work-file:4",
        "shard:1",
        "shard:4",
        "shard:11",
        "replace:1",
        "replace:9",
    ] {
        let output = dir.path().join(crash.replace(':', "-"));
        // An older corpus is there, without splits by language.
        build(&inputs[..1], "-r en.noclean", &output);
        let mut first = command(&inputs, arguments, &output);
        first.env("C4_CRASH", crash);
        assert!(!first.output().unwrap().status.success(), "{crash}");
        let said = build(&inputs, arguments, &output);
        assert!(said.contains("resumed: "), "{said}");
        assert!(corpus_files(&output) == expected, "{crash}");
    }
    // And goes again, with all its shards.
    build(&inputs[..1], "-r en.noclean --overwrite", &whole);
    let mut names = corpus_files(&whole)
        .into_keys()
        .map(|name| name.to_string_lossy().into_owned());
    assert!(!names.any(|name| name.contains("de.train")));
}
