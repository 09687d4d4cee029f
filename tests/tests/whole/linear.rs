//! Whatever a page holds, reading and judging it takes time that is linear in its bytes.
//!
//! Each shape is made once small and once eight times as large. Linear work grows by eight, quadratic work by
//! 64; the bound lies between them. What is compared is CPU time of this thread, so that other programs take
//! no part, and of the least of several tries, which cannot be less than the work.

use std::hint::black_box;
use std::io::Write;
use std::time::Duration;

use c4_data::{Lists, MediaTypes, Recipe};
use c4_filters::rules::bad_words::BadWords;
use c4_filters::{Cleaner, punkt, url};
use c4_pipeline::extract::html::html_to_text;
use c4_pipeline::extract::page_text;
use flate2::write::GzEncoder;
use rustix::time::{ClockId, clock_gettime};

/// Bytes of the small one.
const SMALL: usize = 1 << 16;
/// How much larger the large one is.
const TIMES: usize = 8;
/// The bound on the growth of work: three times that of linear work, for caches that no longer hold the input;
/// three eighths of that of quadratic work.
const MOST: u32 = 24;
/// Work too short to be compared; a quadratic one of this size takes many times as long.
const SHORT: Duration = Duration::from_millis(2);

/// CPU time of this thread so far.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// Fails if `work` on what `make` makes grows faster than its size.
#[track_caller]
fn linear<T>(name: &str, make: impl Fn(usize) -> T, work: impl Fn(&T)) {
    let inputs = [make(SMALL), make(SMALL * TIMES)];
    let mut least = [Duration::MAX; 2];
    for _ in 0..6 {
        for (least, input) in least.iter_mut().zip(&inputs) {
            let before = cpu();
            work(input);
            *least = (*least).min(cpu() - before);
        }
        if least[1] < SHORT || least[1] < least[0] * MOST {
            return;
        }
    }
    panic!("{name}: {least:?} for {TIMES} times the bytes");
}

/// `unit` again and again, `n` bytes of it, between two ends.
fn filled(before: &str, unit: &str, after: &str, n: usize) -> Vec<u8> {
    let times = n.div_ceil(unit.len());
    [before.as_bytes(), &unit.as_bytes().repeat(times), after.as_bytes()].concat()
}

#[test]
fn markup() {
    for (before, unit, after) in [
        ("", "<div>", "x"),
        ("", "<p><i", ">x"),
        ("<p", " a=b", ">"),
        ("<p", " a='\"", ""),
        ("<p a", "    ", ""),
        ("", "<a    ", ""),
        ("", "<a b='", ""),
        ("", "<a b=\"<a b='", ""),
        ("x<!--", "-", ""),
        ("x<!--", "- ->--!", ""),
        ("", "<!--", ""),
        ("", "<!-->", ""),
        ("", "<![CDATA[", ""),
        ("", "<![CDATA[x]]>", ""),
        ("", "<?x ", ""),
        ("", "</", ""),
        ("", "<", ""),
        ("", "&", ""),
        ("", "&#", ""),
        ("", "&#x", ""),
        ("&#", "9", ""),
        ("", "&CounterClockwiseContourIntegra", ""),
        ("&", "a", ""),
        ("", "<script><!--<script></script>", ""),
        ("", "<script><!--</script>", ""),
        ("", "<script><!--<script>", "</script>"),
        ("", "<script>--><!--<script></script>-->", ""),
        ("", "<script><!--<script></script><script></script>-->", ""),
        ("<script>", "</scrip <!-- <script ", ""),
        ("<script>", "</script", ""),
        ("<script><!--", "<script></script>", ""),
        ("", "<style><!--<style></style>", ""),
        ("", "<script>", ""),
        ("<pre>", " \n", ""),
        ("<pre>", "&#32;", ""),
        ("", "\u{3000} ", ""),
        ("", " <p>", ""),
        ("x", "&nbsp;<br>", ""),
    ] {
        let name = format!("{before} {unit} {after}");
        linear(
            &name,
            |n| String::from_utf8(filled(before, unit, after, n)).unwrap(),
            |page| {
                black_box(html_to_text(page));
            },
        );
        responses(&name, "Content-Type: text/html", |n| filled(before, unit, after, n));
    }
}

/// Responses with `fields` and a body, read whatever their type.
#[track_caller]
fn responses(name: &str, fields: &str, body: impl Fn(usize) -> Vec<u8>) {
    let make = |n| {
        let mut block = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n").into_bytes();
        block.extend_from_slice(&body(n));
        block
    };
    linear(name, make, |block| read(block));
}

fn read(block: &[u8]) {
    let _ = black_box(page_text(block, None, MediaTypes::Text));
}

#[test]
fn bodies() {
    let html = "Content-Type: text/html";
    for (before, unit) in [
        // Charsets, declared and not.
        ("", "<meta charset=x>"),
        ("<meta charset=", "charset="),
        ("<meta http-equiv=content-type content='", "charset="),
        ("<meta http-equiv=content-type content='", "charset=\""),
        ("<meta", " charset=x"),
        ("<?xml encoding", " "),
        ("", "\u{1b}$B"),
        ("<p>", "\u{e9}\u{e9}\u{e9} "),
        // Formats.
        ("", "["),
        ("", "{"),
        ("[", "1,"),
        ("", "{}"),
        ("", "a{b:c}"),
        ("", "a{"),
        ("", "/*"),
        ("", "/**/"),
        ("", "//\n"),
        ("", "a{/*;"),
        ("", "1,2,3\n"),
        ("", ",,,,"),
        ("", "<!-- -->"),
        ("", "<?xml?>"),
        ("<?xml", " "),
        ("<", "x"),
        ("", "{\\rtf"),
        ("", "\r\n"),
        ("", "\0"),
        ("", "\u{1}x"),
        ("", "\n<p>\r"),
    ] {
        responses(&format!("{before} {unit}"), html, |n| filled(before, unit, "", n));
    }
    let latin1: Vec<u8> = b"\xe9\xff ".to_vec();
    responses("bytes beyond UTF-8", html, |n| latin1.repeat(n / 3));
    responses("plain text", "Content-Type: text/plain", |n| {
        filled("", "a \r\n\n", "", n)
    });
}

#[test]
fn heads() {
    for (before, unit, after) in [
        ("", "a: b\r\n", ""),
        ("", "<br>\r\n", ""),
        ("", "<br>\r\na: b\r\n", "\r\n"),
        ("", "<br>\r\na b\r\n", "\r\n"),
        ("a: b\r\n", " c\r\n", ""),
        ("Content-Type: text/html\r\n", " charset=\r\n", "\r\n"),
        ("Content-Type: text/html;", " charset=", "\r\n\r\n"),
        ("Content-Type: text/html;", "charset=", "\r\n\r\n"),
        ("Content-Type: text/html;", "charset=\"", "\r\n\r\n"),
        ("Content-Type: text/html;", "charset='charset=\"", "\r\n\r\n"),
        ("Content-Type: text/html;", "charset ", "\r\n\r\n"),
        ("", "Content-Type: x\r\n", "\r\n"),
        ("", "Content-Type: x/y\r\n", "\r\n"),
        ("", "Content-Encoding: gzip\r\n", "\r\n"),
        ("Content-Encoding: ", "gzip,", "\r\n\r\n"),
        ("Content-Encoding: ", ",", "\r\n\r\n"),
        ("Transfer-Encoding: ", "x;", "\r\n\r\n"),
        ("Content-Length: ", "9", "\r\n\r\n"),
        ("", ":", "\r\n\r\n"),
        ("", " ", ""),
        ("", "HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\n"),
    ] {
        let before = format!("HTTP/1.1 200 OK\r\n{before}");
        let after = format!("{after}<p>x");
        linear(
            &format!("{before} {unit}"),
            |n| filled(&before, unit, &after, n),
            |block| read(block),
        );
    }
    linear(
        "blanks before the status",
        |n| filled("", "\r\n", "HTTP/1.1 200 OK\n\n", n),
        |block| read(block),
    );
    linear(
        "a status line",
        |n| filled("HTTP/1.1 200", " ", "", n),
        |block| read(block),
    );
}

#[test]
fn codings() {
    let gzip = |data: &[u8]| {
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    };
    let chunked = "Content-Type: text/html\r\nTransfer-Encoding: chunked";
    for (before, unit) in [
        ("", "1\r\nx\r\n"),
        ("1", ";x"),
        ("", "0"),
        ("", "f"),
        ("1\r\nx\r\n", "1;\r\nx\n"),
        ("", "\r\n"),
        ("1\r\nx\r\n", "\r\n"),
    ] {
        responses(&format!("chunks {before} {unit}"), chunked, |n| {
            filled(before, unit, "", n)
        });
    }
    let coding = |name: &str| format!("Content-Type: text/html\r\nContent-Encoding: {name}");
    let member = gzip(b"x");
    responses("gzip members", &coding("gzip"), |n| member.repeat(n / member.len()));
    let empty = gzip(b"");
    responses("empty gzip members", &coding("gzip"), |n| empty.repeat(n / empty.len()));
    responses("gzip heads", &coding("gzip"), |n| empty[..10].repeat(n / 10));
    for level in [1, 19] {
        let frame = zstd::bulk::compress(b"x", level).unwrap();
        responses("zstd frames", &coding("zstd"), |n| frame.repeat(n / frame.len()));
    }
    let frame = zstd::bulk::compress(b"", 1).unwrap();
    responses("empty zstd frames", &coding("zstd"), |n| frame.repeat(n / frame.len()));
    let skipped = [&b"\x50\x2a\x4d\x18\0\0\0\0"[..]].concat();
    responses("skippable zstd frames", &coding("zstd"), |n| {
        skipped.repeat(n / skipped.len())
    });
    responses("zstd magics", &coding("zstd"), |n| b"\x28\xb5\x2f\xfd".repeat(n / 4));
    responses("stored deflate blocks", &coding("deflate"), |n| {
        b"\0\0\0\xff\xff".repeat(n / 5)
    });
    responses("brotli metadata", &coding("br"), |n| b"\x06\x1a\x03".repeat(n / 3));
}

#[test]
fn filters() {
    let (recipe, base) = Recipe::load("en").unwrap();
    let lists = Lists::load(&recipe, &base).unwrap();
    let step = recipe.bad_words.as_ref().unwrap();
    let bad_words = BadWords::new(step, &lists).unwrap();
    let cleaner = Cleaner::new(&recipe);
    let word = lists.words["en"].words.iter().max_by_key(|w| w.len()).unwrap();
    let almost = format!("{} ", &word[..word.len() - 1]);
    let almost_joined = &word[..word.len() - 1];
    for unit in [
        ".",
        ". ",
        "?!",
        ".\"",
        ".)",
        "a.",
        "a. ",
        "a.b ",
        "A. ",
        "...",
        ". . ",
        "\u{2026}",
        "--",
        ".\u{3000}",
        "\"",
        "1. ",
        "a",
        " ",
        "\n",
        "\t ",
        "x\n",
        "Mr. ",
        "e.g.",
        "U.S. ",
        "é.",
        "[1]",
        "{",
        "javascript ",
        "lorem ipsu",
        "use cookie",
        "a ",
        &almost,
        almost_joined,
        "İ",
        "ﬁ",
        "\u{301}",
    ] {
        let make = |n| String::from_utf8(filled("", unit, "", n)).unwrap();
        linear(&format!("sentences of {unit:?}"), make, |text| {
            black_box(punkt::english().sentences(text).count());
        });
        linear(&format!("bad words in {unit:?}"), make, |text| {
            black_box(bad_words.check("en", text, 0));
            black_box(bad_words.find("en", text));
        });
        linear(&format!("lines of {unit:?}"), make, |text| {
            black_box(cleaner.clean(text));
        });
    }
    for unit in [
        "http://",
        "https://www.",
        "?ref",
        "?utm_",
        "/",
        "//",
        "?",
        "%",
        ".",
        "a.",
        "@",
        ":",
        "http://a?ref\n",
        "[",
        "xn--",
    ] {
        let make = |n| String::from_utf8(filled("https://a.example/", unit, "", n)).unwrap();
        linear(&format!("URL of {unit:?}"), make, |text| {
            black_box(url::normalize(text));
            black_box(url::domain(text));
        });
        let make = |n| String::from_utf8(filled("https://", unit, "", n)).unwrap();
        linear(&format!("host of {unit:?}"), make, |text| {
            black_box(url::normalize(text));
            black_box(url::domain(text));
        });
    }
}
