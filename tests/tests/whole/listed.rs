//! Recipes that go by lists of domains and URLs: golden files, whole builds, and what is told of them.

use c4_data::{DomainList, Lists, Manifest, Recipe, UrlList};
use c4_filters::rules::domains::{DomainRule, Host};
use c4_filters::{Admission, Reason, url};
use c4_pipeline::build::url_list;
use c4_pipeline::build::{BuildOptions, TargetOptions};
use c4_pipeline::input;
use c4_pipeline::inspect::explain::{Explainer, Passed, Wanted, find};
use c4_pipeline::inspect::verify::report::Status;
use c4_pipeline::inspect::verify::{VerifyOptions, verify};
use c4_tests::*;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn rows(name: &str) -> Vec<Value> {
    let text = fs::read_to_string(golden(name)).unwrap();
    let rows = text.split('\n').filter(|row| !row.is_empty());
    rows.map(|row| serde_json::from_str(row).unwrap()).collect()
}

#[test]
fn domains_are_those_of_tldextract() {
    let rows = rows("golden_hosts.jsonl");
    assert_eq!(rows.len(), 166);
    for row in rows {
        let host = Host::of(row["url"].as_str().unwrap());
        let found = serde_json::json!([host.subdomain, host.domain, host.suffix]);
        assert_eq!(found, row["host"], "{row}");
    }
}

#[test]
fn realnews_filter() {
    let rows = rows("golden_realnews.jsonl");
    let list = DomainList::from_text(&rows[0]["domains"].to_string()).unwrap();
    let rule = DomainRule::new(&list);
    assert_eq!(rows.len(), 12);
    for row in &rows[1..] {
        let normalized = url::normalize(row["url"].as_str().unwrap());
        assert_eq!(normalized, row["normalized"].as_str().unwrap());
        let host = Host::of(&normalized);
        for (part, name) in [
            (&host.subdomain, "subdomain"),
            (&host.domain, "domain"),
            (&host.suffix, "suffix"),
        ] {
            assert_eq!(part, row[name].as_str().unwrap(), "{row}");
        }
        let reason = rule.refuse(&normalized);
        assert_eq!(reason.is_none(), row["kept"].as_bool().unwrap(), "{row}");
        let counter = reason.map_or("realnews-domain-filter/passed", Reason::counter);
        let counters: Vec<String> = numbers(&row["counters"]).into_keys().collect();
        assert_eq!(counters, [counter]);
    }
}

/// RealNews' own list.
#[test]
fn the_real_list_is_read() {
    let Some(path) = shared("lists/realnews_domains.json") else {
        return;
    };
    let list = DomainList::read(&path).unwrap();
    let whole = list.domains.values().filter(|value| value.is_none());
    assert_eq!((list.domains.len(), whole.count()), (5036, 4835));
    let rule = DomainRule::new(&list);
    // Every domain but those that allow none passes by itself or with its first subdomain.
    for (domain, subdomains) in list.domains.iter() {
        let url = match subdomains.as_ref().map(|list| &*list[0]) {
            None | Some("") => format!("{domain}/news"),
            Some(subdomain) => format!("{subdomain}.{domain}/news"),
        };
        assert_eq!(rule.refuse(&url), None, "{url}");
    }
}

/// Pages of a WET: URL, timestamp, and a number that gives the text.
fn archive(path: &Path, pages: &[(&str, &str, usize)]) {
    let record = |(url, date, i): &(&str, &str, usize)| {
        let text = good_text(*i);
        record("conversion", url, date, "text/plain", text.as_bytes())
    };
    fs::write(path, pages.iter().flat_map(record).collect::<Vec<u8>>()).unwrap();
}

/// Options for a build with a list of domains or URLs, as text.
fn listed(recipe: &str, list: &str, input: &Path, output: &Path) -> BuildOptions {
    let (mut recipe, _) = Recipe::load(recipe).unwrap();
    let name = output.with_extension("list");
    fs::write(&name, list).unwrap();
    let file = name.to_string_lossy().into_owned();
    if let Some(step) = &mut recipe.domains {
        step.file = Some(file.clone());
    }
    if let Some(step) = &mut recipe.urls {
        step.files = vec![file];
    }
    let lists = Lists::load(&recipe, Path::new("")).unwrap();
    BuildOptions {
        inputs: input::resolve(&[input.to_owned()], None, &recipe.read).unwrap(),
        targets: vec![TargetOptions {
            recipe,
            lists,
            output: output.to_owned(),
        }],
        ..options("en", &[input], output)
    }
}

fn urls(dir: &Path) -> Vec<String> {
    documents(dir).into_keys().collect()
}

/// The counters of one step.
fn step(dir: &Path, name: &str) -> BTreeMap<String, u64> {
    let counters = counters(dir).into_iter();
    let of_step = counters.filter_map(|(key, n)| {
        let key = key.strip_prefix(name)?.strip_prefix('/')?;
        Some((key.to_owned(), n))
    });
    of_step.collect()
}

fn counts(list: &[(&str, u64)]) -> BTreeMap<String, u64> {
    list.iter().map(|(k, n)| ((*k).to_owned(), *n)).collect()
}

#[test]
fn webtextlike_filter() {
    let dir = tempfile::tempdir().unwrap();
    let page = ("http://www.a.com/x/", "2019-04-18T10:12:43Z", 1);
    let cases: [(&[_], &str); 4] = [
        (&[page], "https://a.com/x\n"),
        (&[page], ""),
        (&[], "https://a.com/x\n"),
        (&[page], "https://a.com/x\nhttp://www.a.com/x?utm_source=b\r\n"),
    ];
    for (i, (row, (pages, list))) in rows("golden_webtextlike.jsonl").iter().zip(cases).enumerate() {
        // A page that is in no list and a URL that no page has, which the rows do not count.
        let (other, missing) = (("http://b.com/", "2019", 2), "http://c.com/\n");
        let input = dir.path().join(format!("{i}.wet"));
        archive(&input, &[pages, &[other]].concat());
        let output = dir.path().join(i.to_string());
        let options = listed("webtextlike", &(list.to_owned() + missing), &input, &output);
        built(&options).unwrap();
        let mut found = step(&output, "webtextlike-filter");
        for name in ["filtered", "missing-page"] {
            *found.get_mut(name).unwrap() -= 1;
        }
        found.retain(|_, n| *n > 0);
        let mut expected = numbers(&row["counters"]);
        expected = expected
            .into_iter()
            .map(|(key, n)| (key.split_once('/').unwrap().1.to_owned(), n))
            .collect();
        assert_eq!(found, expected, "{row}");
        assert_eq!(urls(&output).len() as u64, row["kept"].as_u64().unwrap());
    }
}

#[test]
fn a_page_of_another_domain_does_not_compete_but_one_of_another_url_does() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("a.wet");
    let (old, new) = ("2019-04-18T00:00:00Z", "2019-04-20T00:00:00Z");
    // Of one normalised URL: scheme, `www.` and slashes do not count.
    let pages = [
        ("http://a.com/x", old, 1),
        ("http://www.a.com/x/", new, 2),
        ("http://news.a.com/x", new, 3),
        ("http://b.com/x", old, 4),
        ("http://b.com/x/", new, 5),
        ("http://10.0.0.1/x", old, 6),
    ];
    archive(&input, &pages);
    let output = dir.path().join("domains");
    let options = listed("realnewslike", r#"{"a.com": [""]}"#, &input, &output);
    let done = built(&options).unwrap();
    done.tally.check().unwrap();
    assert_eq!(urls(&output), ["http://www.a.com/x/"]);
    let expected = [("passed", 2), ("filtered:bad_domain", 3), ("filtered:bad_subdomain", 1)];
    assert_eq!(step(&output, "realnews-domain-filter"), counts(&expected));
    let expected = [("passed", 1), ("filtered", 1)];
    assert_eq!(step(&output, "duplicate-url-filter"), counts(&expected));

    let output = dir.path().join("urls");
    let options = listed("webtextlike", "a.com/x\nmissing.com\n", &input, &output);
    let done = built(&options).unwrap();
    done.tally.check().unwrap();
    assert_eq!(urls(&output), ["http://www.a.com/x/"]);
    let expected = [("passed", 4), ("filtered", 2)];
    assert_eq!(step(&output, "duplicate-url-filter"), counts(&expected));
    let expected = [("passed", 1), ("filtered", 3), ("missing-page", 1)];
    assert_eq!(step(&output, "webtextlike-filter"), counts(&expected));
}

/// Too long and of another domain: none of the two takes part, so the third page stays.
#[test]
fn who_does_not_compete_leaves_no_trace_in_fates() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("a.wet");
    let long = "A line that is repeated until the page is far too long for it.\n".repeat(4000);
    let mut bytes = conversion("http://b.com/x", &long);
    bytes.extend(conversion("http://b.com/x/", &good_text(1)));
    bytes.extend(conversion("http://a.com/y", &long));
    bytes.extend(conversion("http://a.com/y/", &good_text(2)));
    fs::write(&input, bytes).unwrap();
    let output = dir.path().join("out");
    let options = listed("realnewslike", "a.com\n", &input, &output);
    let done = built(&options).unwrap();
    assert_eq!(urls(&output), ["http://a.com/y/"]);
    let dropped = |reason| done.tally.dropped_pages(reason);
    let found = [Reason::TooLong, Reason::BadDomain, Reason::OlderCopy].map(dropped);
    assert_eq!(found, [2, 1, 0]);
    holds(&options, Status::Ok);
    let second = dir.path().join("again");
    let mut again = BuildOptions { threads: 1, ..options };
    again.targets[0].output = second.clone();
    built(&again).unwrap();
    let ledger = |dir: &Path| tree(&dir.join("ledger"));
    assert_eq!(ledger(&output), ledger(&second));
}

/// Verifies a corpus; the checks of the lists have `status`, all others hold.
fn holds(options: &BuildOptions, status: Status) {
    let manifest = Manifest::read(&options.targets[0].output).unwrap().unwrap();
    let verify_options = VerifyOptions {
        dir: options.targets[0].output.clone(),
        lists: Some(PathBuf::new()),
        key_bytes: 1 << 20,
        threads: 1,
    };
    let report = verify(&verify_options, &manifest).unwrap();
    let mut seen = 0;
    for check in report.checks {
        if ["domains", "listed URLs"].contains(&check.name) {
            assert_eq!(check.status, status, "{check:?}");
            seen += 1;
        } else if status == Status::Ok {
            assert!(check.status != Status::Failed, "{check:?}");
        }
    }
    assert_eq!(seen, 1);
}

#[test]
fn corpora_are_verified_against_their_lists() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("a.wet");
    let pages = [("http://a.com/1", "2019", 1), ("http://x.b.org/2", "2019", 2)];
    archive(&input, &pages);
    for (recipe, list) in [
        ("realnewslike", "a.com\nb.org\n"),
        ("webtextlike", "http://a.com/1\nhttp://x.b.org/2\nhttp://c.net/\n"),
    ] {
        let output = dir.path().join(recipe);
        let options = listed(recipe, list, &input, &output);
        built(&options).unwrap();
        assert_eq!(urls(&output).len(), 2);
        holds(&options, Status::Ok);
        // With another list the recipe's hash is wrong, and nothing can be said of the pages.
        let name = output.with_extension("list");
        fs::write(&name, "c.com\n").unwrap();
        holds(&options, Status::NotChecked);
        fs::remove_file(&name).unwrap();
        holds(&options, Status::NotChecked);
        fs::write(&name, list).unwrap();
        // A corpus that was built without its list, under a manifest that names it.
        let mut manifest = Manifest::read(&output).unwrap().unwrap();
        let short = list.replace("http://x.b.org/2\n", "").replace("b.org\n", "");
        fs::write(&name, short).unwrap();
        let lists = Lists::load(&manifest.recipe, Path::new("")).unwrap();
        manifest.recipe_hash = manifest.recipe.hash(&lists);
        manifest.write(&output).unwrap();
        holds(&options, Status::Failed);
    }
}

#[test]
fn explanations_tell_what_the_lists_say() {
    let dir = tempfile::tempdir().unwrap();
    let input = dir.path().join("a.wet");
    let pages = [("http://a.com/1", "2019", 1), ("http://x.b.org/2", "2019", 2)];
    archive(&input, &pages);
    for (recipe, list, station, reason) in [
        (
            "realnewslike",
            r#"{"a.com": true, "b.org": ["y"]}"#,
            "domains",
            Reason::BadSubdomain,
        ),
        ("webtextlike", "a.com/1\n", "urls", Reason::NotListed),
    ] {
        let output = dir.path().join(recipe);
        let options = listed(recipe, list, &input, &output);
        let target = &options.targets[0];
        let recipe = &target.recipe;
        let explainer = Explainer::new(recipe, &target.lists, None).unwrap();
        for ((url, ..), kept) in pages.iter().zip([true, false]) {
            let wanted = Wanted::Url((*url).to_owned());
            let found = find(&options.inputs, &recipe.read, &wanted).unwrap();
            let explanation = &explainer.explain(&found).unwrap()[0];
            let stations = &explanation.stations;
            let at = stations.iter().find(|s| s.name == station).unwrap();
            let expected = if kept { Passed::Keep } else { Passed::Drop(reason) };
            assert_eq!(at.passed, expected, "{}", at.says);
            assert_eq!(explanation.reason, (!kept).then_some(reason));
            assert_eq!(explanation.lines.len(), 3);
            let left = explanation.lines.iter().filter(|l| l.kept_text.is_some());
            assert_eq!(left.count(), if kept { 3 } else { 0 });
        }
        // The build is of the same opinion, and its ledger says so.
        let done = built(&options).unwrap();
        assert_eq!(done.tally.dropped_pages(reason), 1);
    }
}

/// It is read twice: for its checksum, and for its keys.
#[test]
fn a_list_that_changes_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("urls");
    fs::write(&path, "http://a.com/\n").unwrap();
    let (recipe, _) = Recipe::load("webtextlike").unwrap();
    let lists = Lists {
        urls: Some(UrlList::read(vec![path.clone()]).unwrap()),
        ..Lists::default()
    };
    let admission: Admission = url_list::load(&recipe, &lists).unwrap();
    assert_eq!(admission.listed_urls(), 1);
    assert_eq!(admission.refuse("", "a.com", url::md5("a.com")), None);
    let refused = admission.refuse("", "b.com", url::md5("b.com"));
    assert_eq!(refused, Some(Reason::NotListed));
    fs::write(&path, "http://b.com/\n").unwrap();
    let error = url_list::load(&recipe, &lists).unwrap_err().to_string();
    assert!(error.contains("changed"), "{error}");
}
