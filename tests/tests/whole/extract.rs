//! Page text from real crawl records, read in place where they exist.

use std::collections::HashMap;
use std::io::Read;
use std::path::PathBuf;

use c4_data::MediaTypes;
use c4_pipeline::extract::charset;
use c4_pipeline::extract::html::html_to_text;
use c4_pipeline::extract::{self, CharsetSource, Extracted, Rejected};
use c4_tests::shared;
use memchr::memmem::find;

struct Record {
    fields: HashMap<String, String>,
    block: Vec<u8>,
}

impl Record {
    fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }
}

/// What the default recipe reads of a response.
fn page_text(record: &Record) -> Result<Extracted, Rejected> {
    let identified = record.fields.get("warc-identified-payload-type");
    extract::page_text(&record.block, identified.map(String::as_str), MediaTypes::Html)
}

/// The records of a WARC file, by their own `Content-Length` as far as it leads to the next one.
fn records(path: &PathBuf) -> Vec<Record> {
    let coded = std::fs::read(path).expect("a readable file");
    let mut bytes = Vec::new();
    flate2::read::MultiGzDecoder::new(coded.as_slice())
        .read_to_end(&mut bytes)
        .expect("whole gzip members");
    let mut records = Vec::new();
    let mut rest = bytes.as_slice();
    while let Some(start) = find(rest, b"WARC/1.") {
        rest = &rest[start..];
        let Some(end) = find(rest, b"\r\n\r\n") else {
            break;
        };
        let fields: HashMap<_, _> = String::from_utf8_lossy(&rest[..end])
            .lines()
            .filter_map(|l| l.split_once(':'))
            .map(|(n, v)| (n.to_ascii_lowercase(), v.trim().to_owned()))
            .collect();
        rest = &rest[end + 4..];
        let length = fields.get("content-length").and_then(|l| l.parse().ok());
        let length = length.unwrap_or(0).min(rest.len());
        let block = rest[..length].to_vec();
        rest = &rest[length..];
        records.push(Record { fields, block });
    }
    records
}

/// The harmonic mean of precision and recall over the two texts' words, each as often as it is.
fn token_f1(a: &str, b: &str) -> f64 {
    let mut left: HashMap<&str, usize> = HashMap::new();
    let (mut total, mut common) = (0_u32, 0_u32);
    for word in a.split_whitespace() {
        *left.entry(word).or_default() += 1;
        total += 1;
    }
    for word in b.split_whitespace() {
        total += 1;
        if let Some(n) = left.get_mut(word).filter(|n| **n > 0) {
            *n -= 1;
            common += 1;
        }
    }
    2.0 * f64::from(common) / f64::from(total.max(1))
}

#[test]
fn common_crawls_own_text() {
    let Some(warc) = shared("warc/whirlwind/whirlwind.warc.gz") else {
        return;
    };
    let wet = shared("warc/whirlwind/whirlwind.warc.wet.gz").expect("its counterpart");
    let page = records(&warc)
        .into_iter()
        .find(|r| r.field("warc-type") == "response")
        .expect("a response");
    let text = records(&wet)
        .into_iter()
        .find(|r| r.field("warc-type") == "conversion")
        .expect("a conversion");
    let got = page_text(&page).expect("a page");
    let want = String::from_utf8(text.block).expect("UTF-8");
    println!("token F1 {}", token_f1(&got.text, &want));
    assert_eq!(got.text, want.trim());
}

#[test]
fn texts_of_many_pages() {
    const NAME: &str = "bench/CC-MAIN-20190418101243-20190418122311-00000.warc";
    let Some(warc) = shared(&format!("{NAME}.gz")) else {
        return;
    };
    let wet = shared(&format!("{NAME}.wet.gz")).expect("its counterpart");
    let texts: HashMap<String, String> = records(&wet)
        .into_iter()
        .filter(|r| r.field("warc-type") == "conversion")
        .map(|r| {
            let text = String::from_utf8(r.block).expect("UTF-8");
            (r.fields["warc-target-uri"].clone(), text)
        })
        .collect();
    let (mut pages, mut scored, mut sum) = (0, 0, 0.0);
    for record in records(&warc) {
        if record.field("warc-type") != "response" {
            continue;
        }
        let Ok(got) = page_text(&record) else {
            continue;
        };
        pages += 1;
        if let Some(want) = texts.get(record.field("warc-target-uri")) {
            scored += 1;
            sum += token_f1(&got.text, want);
        }
    }
    let mean = sum / f64::from(scored);
    println!("{pages} pages, {} texts, mean token F1 {mean:.4}", texts.len());
    assert!(scored > 800, "{scored}");
    assert!((f64::from(pages) / texts.len() as f64 - 1.0).abs() <= 0.01);
    // May only rise.
    assert!(mean >= 0.995);
}

#[test]
fn awkward_responses() {
    let Some(path) = shared("quirks/quirks.warc.gz") else {
        return;
    };
    let json = std::fs::read(path.with_file_name("quirks.json")).expect("its truth");
    let truth: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    let kinds: HashMap<&str, &str> = truth
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|t| Some((t["url"].as_str()?, t["kind"].as_str()?)))
        .collect();
    let mut texts = 0;
    for record in records(&path) {
        let Some(&kind) = kinds.get(record.field("warc-target-uri")) else {
            continue;
        };
        let got = page_text(&record);
        match kind {
            "404" => assert_eq!(got, Err(Rejected::Status(404))),
            "301-empty" => assert_eq!(got, Err(Rejected::Status(301))),
            // What came before the cut of the chunked one is a single script.
            "revisit" | "empty-body" | "body-cut-chunked" => {
                assert_eq!(got, Err(Rejected::Empty), "{kind}");
            }
            // HTML sent as plain text, which is none to Common Crawl either.
            "text/plain" => {
                assert!(matches!(got, Err(Rejected::ContentType(_))), "{got:?}");
                let text = extract::page_text(&record.block, None, MediaTypes::Text);
                assert!(text.expect(kind).text.len() > 1000);
            }
            _ => {
                let got = got.expect(kind);
                assert!(got.text.len() > 1000, "{kind}: {}", got.text.len());
                assert!(!got.text.contains('\u{fffd}'), "{kind}");
                assert_eq!(got.truncated, kind == "body-cut-gzip", "{kind}");
                texts += 1;
            }
        }
    }
    // All but these six and the record type that a reader passes over.
    assert!(texts >= 22, "{texts}");
}

/// What becomes of each response of `../shared/cases/reading/NAME.warc.gz`, by the last part of its URL.
fn cases(name: &str) -> Option<HashMap<String, Result<Extracted, Rejected>>> {
    let path = shared(&format!("../cases/reading/{name}.warc.gz"))?;
    let responses = records(&path)
        .into_iter()
        .filter(|record| record.field("warc-type") == "response");
    let result = responses.map(|record| {
        let url = record.field("warc-target-uri");
        let name = url.rsplit('/').next().unwrap_or(url).to_owned();
        (name, page_text(&record))
    });
    let result: HashMap<_, _> = result.collect();
    assert!(!result.is_empty(), "{name}");
    Some(result)
}

#[test]
fn bodies_that_are_no_html() {
    let Some(cases) = cases("not-html-as-text-html") else {
        return;
    };
    assert!(cases.len() >= 40, "{}", cases.len());
    for (name, got) in cases {
        assert_eq!(got, Err(Rejected::OtherFormat), "{name}");
    }
}

#[test]
fn heads_as_servers_write_them() {
    let Some(cases) = cases("head-line-begins-with-lt") else {
        return;
    };
    for (name, got) in cases {
        if name == "lt4" {
            let png = Rejected::ContentType("image/png".to_owned());
            assert_eq!(got, Err(png));
            continue;
        }
        let got = got.expect(&name);
        assert!(got.text.starts_with("T"), "{name}: {}", got.text);
        assert!(!got.text.contains("header"), "{name}: {}", got.text);
        let latin1 = name == "lt1" || name == "lt3";
        assert_eq!(got.charset == "windows-1252", latin1, "{name}: {}", got.charset);
        assert!(!got.text.contains('\u{fffd}'), "{name}: {}", got.text);
    }
    for name in [
        "status-line-without-version",
        "content-encoding-zstd",
        "blank-line-before-body",
    ] {
        for (case, got) in cases_of(name) {
            // Plain text, which the default recipe does not read.
            if case == "xb2" {
                assert!(matches!(got, Err(Rejected::ContentType(_))), "{got:?}");
                continue;
            }
            let got = got.unwrap_or_else(|why| panic!("{case}: {why}"));
            assert!(got.text.contains("The river"), "{case}: {}", got.text);
            assert!(!got.text.contains(['\u{fffd}', '\u{feff}']), "{case}: {}", got.text);
        }
    }
}

#[test]
fn identified_types() {
    for (name, got) in cases_of("identified-payload-type") {
        let html = ["i1", "i2", "i3", "i4"].contains(&name.as_str());
        match got {
            Ok(_) => assert!(html, "{name}"),
            Err(why) => assert!(!html && matches!(why, Rejected::ContentType(_)), "{name}: {why}"),
        }
    }
}

#[test]
fn quadratic_pages() {
    for name in ["script-quadratic", "charset-quadratic"] {
        let start = std::time::Instant::now();
        let cases = cases_of(name);
        let took = start.elapsed();
        assert!(took.as_secs() < 20, "{name}: {} pages, {took:?}", cases.len());
    }
}

/// [`cases`], none where they are not here.
fn cases_of(name: &str) -> HashMap<String, Result<Extracted, Rejected>> {
    cases(name).unwrap_or_default()
}

#[test]
fn legacy_charsets() {
    let Some(path) = shared("charsets/charsets.warc.gz") else {
        return;
    };
    let json = std::fs::read(path.with_file_name("charsets.json")).expect("its truth");
    let truth: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    let responses: HashMap<String, Record> = records(&path)
        .into_iter()
        .filter(|r| r.field("warc-type") == "response")
        .map(|r| (r.field("warc-target-uri").to_owned(), r))
        .collect();
    let (mut declared, mut undeclared, mut right) = (0, 0, 0);
    for case in truth.as_array().expect("a list") {
        let text = |key: &str| case[key].as_str().expect("a string");
        let response = &responses[text("url")];
        let block = &response.block;
        let body = &block[find(block, b"\r\n\r\n").expect("a head") + 4..];
        let want =
            charset::for_label(text("declared_as").as_bytes()).map(|encoding| html_to_text(&encoding.decode(body).0));
        let got = page_text(response);
        match text("declared_where") {
            "http" | "meta" => {
                // Labels outside the Encoding Standard cannot be honoured.
                if let Some(want) = want {
                    let got = got.expect("a page");
                    assert_eq!(got.text, want, "{}", text("url"));
                    declared += 1;
                }
            }
            "none" => {
                undeclared += 1;
                let same = |got: &c4_pipeline::extract::Extracted| {
                    assert_ne!(got.charset_source, CharsetSource::Http);
                    Some(&got.text) == want.as_ref()
                };
                right += usize::from(got.as_ref().is_ok_and(same));
            }
            _ => {}
        }
    }
    println!("{declared} declared texts exact; {right} of {undeclared} undeclared ones right");
    assert!(declared >= 237, "{declared}");
    // The floor may only rise: of 140, seven are in encodings that the standard leaves out and
    // four in one that the detector never guesses.
    assert!(right >= 128, "{right} of {undeclared}");
}
