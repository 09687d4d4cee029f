//! The pages of `c4 report` and `c4 diff` in a real browser, if there is one, and as text.
mod build_page;
mod diff_page;

use build_page::{manifest, report, stats};
use c4_data::Stats;
use c4_pipeline::inspect::report::{self, Examples, Sources};
use serde_json::{Value, json};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const DRIVER: &str = include_str!("report/driver.js");
/// Listens before anything else on the page runs.
const LISTENER: &str = "<script>window.reportErrors = [];\
    addEventListener('error', (e) => reportErrors.push(String(e.message)), true);\
    addEventListener('securitypolicyviolation', (e) => reportErrors.push(e.violatedDirective));\
    for (const name of ['error', 'warn']) console[name] = (...all) => reportErrors.push(all.join(' '));</script>";

/// Text that tries to be more than text.
const EVIL: [&str; 7] = [
    "<script>alert(1)</script>",
    "\"onmouseover=\"alert(1)\" x='",
    "javascript:alert(1)",
    "https://evil.example/</title></script><img src=x onerror=alert(1)>",
    "txt\u{202e}exe.\u{2066}moc",
    "zero\u{200b}width\u{feff}\u{0}",
    "]]>--><!--${7*7}{{7*7}}&lt;b&gt;",
];

/// The values of an attribute in a page.
fn values<'a>(page: &'a str, attribute: &str) -> Vec<&'a str> {
    let start = format!(" {attribute}=\"");
    let pieces = page.split(start.as_str()).skip(1);
    pieces.map(|piece| piece.split('"').next().unwrap()).collect()
}

#[test]
fn text_of_the_crawl_stays_text_and_nothing_is_loaded() {
    for page in [report(), diff_page::page()] {
        stays_text(&page);
    }
}

fn stays_text(page: &str) {
    assert_eq!(page.matches("<script>").count(), 1, "ours");
    assert_eq!(page.matches("</script>").count(), 1, "ours");
    for never in [
        "<img",
        "<iframe",
        "<object",
        "<form",
        "<base",
        "@import",
        "url(",
        "http-equiv=\"refresh",
    ] {
        assert!(!page.contains(never), "{never}");
    }
    assert!(values(page, "src").is_empty());
    for target in values(page, "href") {
        assert!(target.starts_with('#') || target == "data:,", "{target}");
    }
    for hidden in ['\u{202e}', '\u{2066}', '\u{200b}', '\u{feff}', '\0'] {
        assert!(!page.contains(hidden), "{hidden:?}");
    }
    assert!(page.contains("default-src 'none'"));
    assert!(page.len() < 200_000, "{} bytes", page.len());
}

#[test]
fn every_part_but_the_tally_may_be_missing() {
    let nothing = Examples::default();
    let full = stats();
    for key in full.as_object().unwrap().keys() {
        let mut stats = full.clone();
        stats.as_object_mut().unwrap().remove(key);
        let stats: Stats = serde_json::from_value(stats).unwrap();
        for manifest in [manifest(), json!({})] {
            let sources = Sources {
                manifest: &manifest,
                stats: &stats,
                run: None,
                examples: &nothing,
            };
            report::render(&sources).unwrap();
        }
    }
    let zero = json!({"tally": {"pages": {"in": 0, "out": 0}}, "stages": [{"stage": "read"}]});
    let zero: Stats = serde_json::from_value(zero).unwrap();
    let sources = Sources {
        manifest: &json!({}),
        stats: &zero,
        run: None,
        examples: &nothing,
    };
    let page = report::render(&sources).unwrap();
    assert!(page.contains("No page was read."));
    assert!(!page.contains("NaN") && !page.contains("inf%"));
}

#[test]
fn sums_that_are_not_right_are_said_at_the_top() {
    let wrong = json!({"tally": {"pages": {"in": 10, "out": 3, "dropped": {"bad_words": 5}}}});
    let wrong: Stats = serde_json::from_value(wrong).unwrap();
    let sources = Sources {
        manifest: &json!({}),
        stats: &wrong,
        run: None,
        examples: &Examples::default(),
    };
    let page = report::render(&sources).unwrap();
    let (warning, head) = (page.find("The pages do not add up"), page.find("<h1>"));
    assert!(warning.unwrap() < head.unwrap());
    let error = report::render(&Sources {
        manifest: &json!({"inputs": 7}),
        ..sources
    })
    .unwrap_err();
    assert!(error.to_string().starts_with("manifest.json is not what"), "{error}");
}

/// A browser, or `None`, which is said.
fn browser() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let names = ["chromium", "chromium-browser", "google-chrome", "chrome"];
    let found = std::env::split_paths(&path)
        .flat_map(|folder| names.map(|name| folder.join(name)))
        .find(|program| program.is_file());
    if found.is_none() {
        c4_tests::skipped("no Chromium on this machine");
    }
    found
}

/// The page as the browser has it after its scripts have run.
fn dom(browser: &Path, folder: &Path, page: &Path, dark: bool) -> String {
    let profile = tempfile::tempdir_in(folder).unwrap();
    let out = profile.path().join("dom");
    let mut command = Command::new(browser);
    command
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
        ])
        .args([
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
        ])
        .args([
            "--window-size=1280,900",
            "--hide-scrollbars",
            "--virtual-time-budget=5000",
            "--dump-dom",
        ])
        .arg(format!("--blink-settings=preferredColorScheme={}", u8::from(!dark)))
        .arg(format!("--user-data-dir={}", profile.path().join("profile").display()))
        .arg(format!("file://{}", page.display()))
        .stdout(File::create(&out).unwrap())
        .stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if start.elapsed() > Duration::from_secs(120) {
            child.kill().unwrap();
            panic!("the browser did not end in two minutes");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    std::fs::read_to_string(out).unwrap()
}

/// What the driver found.
fn found(dom: &str) -> Value {
    let coded = dom.split_once("FOUND:").and_then(|(_, rest)| rest.split_once(":END"));
    let coded = coded
        .unwrap_or_else(|| panic!("the driver did not end: {}", &dom[..dom.len().min(2000)]))
        .0;
    let mut bytes = Vec::new();
    let mut rest = coded.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let hex = std::str::from_utf8(&after[..2]).unwrap();
            bytes.push(u8::from_str_radix(hex, 16).unwrap());
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    serde_json::from_slice(&bytes).unwrap()
}

/// A copy of the page that the driver may run in.
fn driven(page: &str) -> String {
    let (before, after) = page.split_once("script-src 'sha256-").unwrap();
    let (_, after) = after.split_once('\'').unwrap();
    let page = format!("{before}script-src 'unsafe-inline'{after}");
    let page = page.replacen("<title>", &format!("{LISTENER}<title>"), 1);
    page.replacen("</body>", &format!("<script>{DRIVER}</script></body>"), 1)
}

/// What the driver finds on a page on a desk and on a phone, and what must hold of any page.
fn checked(browser: &Path, page: &str) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let (plain, copy, phone) = (
        folder.path().join("plain.html"),
        folder.path().join("copy.html"),
        folder.path().join("phone.html"),
    );
    std::fs::write(&plain, page).unwrap();
    std::fs::write(&copy, driven(page)).unwrap();
    let frame = "<body><iframe src=\"copy.html\" style=\"width:360px;height:800px;border:0\"></iframe><pre id=\"got\"></pre>\
        <script>addEventListener('message', (e) => { document.getElementById('got').textContent = e.data; });</script>";
    std::fs::write(&phone, frame).unwrap();

    let dom_plain = dom(browser, folder.path(), &plain, false);
    assert!(
        dom_plain.contains("id=\"theme\""),
        "the page's own policy lets its own script run"
    );

    let desk = found(&dom(browser, folder.path(), &copy, true));
    assert_eq!(desk["errors"], json!([]));
    assert_eq!(desk["loaded"], json!([]));
    assert_eq!(desk["links"], json!([]));
    for none in ["broken", "doubled", "layout"] {
        assert_eq!(desk[none], json!([]), "{none}");
    }
    assert_eq!(desk["unnamed"], 0);
    let orders: Vec<_> = (0..4).map(|i| desk["sorts"][i]["sort"].as_str().unwrap()).collect();
    assert_eq!(orders, ["ascending", "descending", "descending", "descending"]);
    assert!(
        place(&desk, 0, "b9.example") < place(&desk, 0, "b10.example"),
        "numbers in names count as numbers"
    );
    assert!(place(&desk, 1, "b9.example") > place(&desk, 1, "b10.example"));
    assert_eq!(place(&desk, 2, "example.com"), 0, "by pages");
    assert_eq!(desk["sortedHeads"], 1);
    assert_eq!(desk["search"][0]["names"], json!(["example.org"]));
    assert_eq!(desk["search"][0]["says"], "1 of 12");
    assert_eq!(desk["search"][1]["names"], json!([]));
    assert_eq!(desk["search"][2]["names"].as_array().unwrap().len(), 12);
    assert!(desk["heads"].as_u64().unwrap() > 20);
    assert_eq!(desk["reached"], desk["heads"], "the keyboard reaches every head");
    assert_eq!(desk["themes"], json!(["light", "dark", "system"]));
    assert!(desk["system"].as_f64().unwrap() < 0.1, "dark where the system is dark");

    let phone = found(&dom(browser, folder.path(), &phone, false));
    assert_eq!(phone["width"], 360);
    assert_eq!(phone["scrollWidth"], 360);
    for none in ["errors", "layout"] {
        assert_eq!(phone[none], json!([]), "{none}");
    }
    for found in [&desk, &phone] {
        for theme in ["light", "dark"] {
            let worst = &found[theme];
            assert!(worst["texts"].as_u64().unwrap() > 300);
            assert!(worst["ratio"].as_f64().unwrap() >= 4.5, "{theme}: {worst}");
        }
        assert!(found["dark"]["background"].as_f64() < found["light"]["background"].as_f64());
        eprintln!("worst contrast: light {}, dark {}", found["light"], found["dark"]);
    }
    desk
}

/// Where a domain is in the table after it was sorted.
fn place(found: &Value, sort: usize, name: &str) -> usize {
    let names = found["sorts"][sort]["names"].as_array().unwrap();
    names.iter().position(|n| n == name).unwrap()
}

#[test]
fn a_browser_shows_sorts_and_searches_a_report() {
    let Some(browser) = browser() else { return };
    let desk = checked(&browser, &report());
    assert!(
        place(&desk, 3, "example.org") < place(&desk, 3, "example.com"),
        "by the share kept"
    );
    assert_eq!(desk["units"], json!(["lines", "words", "characters", "pages"]));
    assert_eq!((desk["masked"].as_u64(), desk["revealed"].as_u64()), (Some(0), Some(2)));
}

#[test]
fn a_browser_shows_sorts_and_searches_a_comparison() {
    let Some(browser) = browser() else { return };
    let desk = checked(&browser, &diff_page::page());
    assert!(
        place(&desk, 3, "example.org") < place(&desk, 3, "example.com"),
        "by pages with other text"
    );
    for (mark, count) in [("-", &desk["was"]), ("+", &desk["now"])] {
        let marks = count.as_array().unwrap();
        assert!(marks.len() > 10 && marks.iter().all(|m| m == mark), "{marks:?}");
    }
}
