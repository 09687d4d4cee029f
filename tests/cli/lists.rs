//! The options that say what a recipe goes by: lists of domains and URLs, languages.

use crate::common::c4;
use c4_data::{Manifest, WetReading};
use c4_filters::url;
use c4_tests::program::{Arguments, printed};
use c4_tests::*;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// What a command that succeeds prints.
fn said(arguments: Arguments<'_>) -> String {
    printed(&c4(arguments))
}

/// Refused: exit status 2 and one line that says all of `words`.
fn refused(arguments: Arguments<'_>, words: &[&str]) {
    program::refused(&c4(arguments), words);
}

/// Real archives, and the URLs of their pages up to the length limit, as they are in the records.
fn real() -> Option<(Vec<PathBuf>, Vec<String>)> {
    let names = [
        "whatsinthebox-restored.warc.wet.gz",
        "ccc-learning-restored.warc.wet.gz",
    ];
    let paths = names.map(|name| shared(&format!("wet/{name}")));
    let paths: Vec<PathBuf> = paths.into_iter().collect::<Option<_>>()?;
    let read = |path: &PathBuf| pages(read(path, WetReading::Lines));
    let mut pages: Vec<_> = paths.iter().flat_map(read).collect();
    pages.retain(|page| page.text.chars().count() <= 190_000);
    Some((paths, pages.into_iter().map(|page| page.url).collect()))
}

fn sum(dir: &Path, name: &str) -> u64 {
    counters(dir).get(name).copied().unwrap_or(0)
}

#[test]
fn realnewslike_on_real_archives() {
    let Some((archives, found)) = real() else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("news");
    let [a, b] = &archives[..] else { panic!() };
    let build: [&dyn AsRef<std::ffi::OsStr>; 7] = [&"build", &"-r", &"realnewslike", &"-o", &output, a, b];
    refused(&build, &["realnewslike", "--domains FILE"]);
    assert!(!output.exists());

    // Every second `.com` host of the archives as it is, without a look at suffixes.
    let host = |url: &String| {
        let url = url::normalize(url);
        url.split(['/', '?', '#', ':']).next().unwrap().to_owned()
    };
    let hosts: BTreeSet<String> = found.iter().map(host).collect();
    let com = hosts
        .iter()
        .filter(|h| h.ends_with(".com") && h.matches('.').count() == 1);
    let listed: BTreeSet<&str> = com.step_by(2).map(String::as_str).collect();
    assert!(listed.len() > 20, "{listed:?}");
    let list = dir.path().join("news.json");
    let object: BTreeMap<&str, [&str; 1]> = listed.iter().map(|h| (*h, [""])).collect();
    fs::write(&list, serde_json::to_vec(&object).unwrap()).unwrap();
    let mut with_list = build.to_vec();
    with_list.extend([&"--domains" as &dyn AsRef<_>, &list]);
    said(&with_list);

    let passed = found.iter().filter(|url| listed.contains(&*host(url)));
    let of = |name: &str| sum(&output, &format!("realnews-domain-filter/{name}"));
    assert_eq!(of("passed"), passed.count() as u64);
    let dropped = of("filtered:bad_domain") + of("filtered:bad_subdomain");
    assert_eq!(of("passed") + dropped, found.len() as u64);
    assert!(of("filtered:bad_domain") > 0);
    let kept = documents(&output);
    assert!(kept.len() > 3);
    assert!(kept.keys().all(|url| listed.contains(&*host(url))));

    // What is told of it: the file's name, not its place.
    let manifest = Manifest::read(&output).unwrap().unwrap();
    let file = manifest.recipe.domains.unwrap().file;
    assert_eq!(file.as_deref(), Some("news.json"));
    assert!(said(&[&"verify", &"--lists", &dir.path(), &output]).contains("are of listed domains"));
    assert!(said(&[&"stats", &output]).contains("bad_domain"));
    said(&[&"report", &output]);
    let report = fs::read_to_string(output.join("report.html")).unwrap();
    assert!(report.contains("Listed domains") && report.contains("news.json"));
    said(&[&"card", &output]);
    let card = fs::read_to_string(output.join("README.md")).unwrap();
    assert!(card.contains("--recipe realnewslike --domains news.json"), "{card}");
    let gone = found.iter().find(|url| !listed.contains(&*host(url))).unwrap();
    let why: [&dyn AsRef<std::ffi::OsStr>; 7] = [&"explain", &"--build", &output, &"--domains", &list, &"--url", gone];
    assert!(said(&why).contains("dropped: bad_domain"));
    refused(
        &[&"build", &"-r", &"en", &"--domains", &list, &"-o", &output, a],
        &["en", "domains"],
    );

    // Beside a recipe that takes none, the list is for the one that does.
    let both = dir.path().join("both");
    let recipes: [&dyn AsRef<std::ffi::OsStr>; 5] = [&"build", &"-r", &"en", &"-r", &"realnewslike"];
    let rest: [&dyn AsRef<std::ffi::OsStr>; 6] = [&"--domains", &list, &"-o", &both, a, b];
    said(&[&recipes[..], &rest[..]].concat());
    assert_eq!(documents(&both.join("realnewslike")), kept);
    let en = documents(&both.join("en"));
    assert!(en.keys().any(|url| !listed.contains(&*host(url))));
}

#[test]
fn webtextlike_on_real_archives() {
    let Some((archives, found)) = real() else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let output = dir.path().join("web");
    let [a, b] = &archives[..] else { panic!() };
    let build: [&dyn AsRef<std::ffi::OsStr>; 7] = [&"build", &"-r", &"webtextlike", &"-o", &output, a, b];
    refused(&build, &["webtextlike", "--urls FILE"]);

    // Two thirds of the URLs in two files, one packed, some of them twice, and two that no page has.
    let listed: Vec<&String> = found
        .iter()
        .enumerate()
        .filter(|(i, _)| i % 3 > 0)
        .map(|(_, u)| u)
        .collect();
    let (first, second) = listed.split_at(listed.len() / 2);
    let lines = |urls: &[&String]| urls.iter().map(|url| format!("{url}\n")).collect::<String>();
    let (plain, packed) = (dir.path().join("one.txt"), dir.path().join("two.txt.gz"));
    let twice = format!("{}http://nowhere.example/\n{}", lines(first), lines(&first[..9]));
    fs::write(&plain, twice).unwrap();
    fs::write(
        &packed,
        gzip(format!("{}http://nowhere.example/2", lines(second)).as_bytes()),
    )
    .unwrap();
    let mut with_lists = build.to_vec();
    with_lists.extend([&"--urls" as &dyn AsRef<_>, &plain, &"--urls", &packed]);
    said(&with_lists);

    let keys =
        |urls: &mut dyn Iterator<Item = &String>| -> BTreeSet<String> { urls.map(|url| url::normalize(url)).collect() };
    let (all, wanted) = (keys(&mut found.iter()), keys(&mut listed.iter().copied()));
    let of = |name: &str| sum(&output, &format!("webtextlike-filter/{name}"));
    assert_eq!(of("passed"), wanted.len() as u64);
    assert_eq!(of("filtered"), (all.len() - wanted.len()) as u64);
    assert_eq!(of("missing-page"), 2);
    let kept = documents(&output);
    assert!(kept.len() > 20);
    assert!(kept.keys().all(|url| wanted.contains(&url::normalize(url))));
    let manifest = Manifest::read(&output).unwrap().unwrap();
    assert_eq!(manifest.recipe.urls.unwrap().files, ["one.txt", "two.txt.gz"]);
    assert!(said(&[&"verify", &"--lists", &dir.path(), &output]).contains("have listed URLs"));
    let sweep: [&dyn AsRef<std::ffi::OsStr>; 7] = [
        &"sweep",
        &"-r",
        &"webtextlike",
        &"-s",
        &"clean.min_words=5",
        &"--full",
        a,
    ];
    refused(&sweep, &["--urls FILE"]);
    let mut with_list = sweep.to_vec();
    with_list.extend([&"--urls" as &dyn AsRef<_>, &plain]);
    assert!(said(&with_list).contains("clean.min_words"));
}

#[test]
fn languages_are_chosen_among_those_of_the_recipe() {
    let dir = tempfile::tempdir().unwrap();
    let (input, output) = (dir.path().join("a.wet"), dir.path().join("out"));
    let german = "Das ist der erste Satz auf dieser Seite, und er ist auf Deutsch geschrieben.\n\
                  Am Abend gingen alle Leute aus dem Dorf zusammen hinunter an den Fluss.\n\
                  Dort sangen sie noch lange alte Lieder, bis die Sonne untergegangen war.\n";
    let mut bytes = conversion("http://a.example/de", german);
    bytes.extend(conversion("http://a.example/en", &good_text(1)));
    fs::write(&input, bytes).unwrap();
    let recipe = dir.path().join("two.toml");
    let text = said(&[&"recipes", &"en.noclean"]);
    let text = text.replace("\"en.noclean\"", "\"two\"");
    fs::write(&recipe, text.replace("[\"en\"]", "[\"en\", \"de\"]")).unwrap();
    let build = |codes: &[&str], output: &Path| {
        let mut arguments: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&"build", &"-r", &recipe, &input, &"-o"];
        let output = output.to_owned();
        arguments.push(&output);
        for code in codes {
            arguments.extend([&"--language" as &dyn AsRef<_>, code]);
        }
        c4(&arguments)
    };
    let kept = |dir: &Path| documents(dir).into_keys().collect::<Vec<String>>();
    assert!(build(&[], &output).status.success());
    assert_eq!(kept(&output).len(), 2);
    let german = dir.path().join("german");
    assert!(build(&["de"], &german).status.success());
    assert_eq!(kept(&german), ["http://a.example/de"]);
    assert_eq!(Manifest::read(&german).unwrap().unwrap().recipe.name, "two.de");
    let both = dir.path().join("both");
    assert!(build(&["en", "de", "en"], &both).status.success());
    assert_eq!(Manifest::read(&both).unwrap().unwrap().recipe.name, "two.de.en");

    let other = dir.path().join("other");
    for (recipe, code, word) in [
        ("en", "de", "it keeps en"),
        ("multilingual", "hr", "zh-Latn"),
        ("multilingual", "German", "`German`"),
    ] {
        refused(
            &[&"build", &"-r", &recipe, &"--language", &code, &"-o", &other, &input],
            &[recipe, word],
        );
    }
}
