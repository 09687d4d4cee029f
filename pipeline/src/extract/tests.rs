use super::*;

fn page(fields: &str, body: &[u8]) -> Result<Extracted, Rejected> {
    let mut payload = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n").into_bytes();
    payload.extend_from_slice(body);
    html(&payload)
}

/// The page that the default recipe extracts from `payload`.
fn html(payload: &[u8]) -> Result<Extracted, Rejected> {
    page_text(payload, None, MediaTypes::Html)
}

/// The text that a recipe that reads plain text extracts.
fn any_text(fields: &str, body: &str) -> Result<String, Rejected> {
    let payload = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n{body}");
    page_text(payload.as_bytes(), None, MediaTypes::Text).map(|x| x.text)
}

/// The text of a body whose type the archive's writer identified.
fn identified(as_type: &str, fields: &str, body: &str) -> Result<String, Rejected> {
    let payload = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n{body}");
    page_text(payload.as_bytes(), Some(as_type), MediaTypes::Html).map(|x| x.text)
}

fn text(fields: &str, body: &str) -> Result<String, Rejected> {
    page(fields, body.as_bytes()).map(|x| x.text)
}

#[test]
fn a_page() {
    let got = page(
        "Content-Type: text/html; charset=UTF-8\r\nContent-Length: 45",
        "<title>Rain</title><p>The river <b>rose</b>.".as_bytes(),
    );
    let want = Extracted {
        text: "Rain\nThe river rose.".to_owned(),
        content_type: "text/html; charset=UTF-8".to_owned(),
        content_length: "45".to_owned(),
        charset: "UTF-8",
        charset_source: CharsetSource::Http,
        truncated: false,
    };
    assert_eq!(got, Ok(want));
}

#[test]
fn rejections() {
    let fields = "Content-Type: text/html";
    assert_eq!(html(b""), Err(Rejected::Malformed));
    assert_eq!(html(b"<p>x"), Err(Rejected::Malformed));
    assert_eq!(html(b"HTTP/1.1 404 No\n\n<p>x"), Err(Rejected::Status(404)));
    assert_eq!(text(fields, ""), Err(Rejected::Empty));
    assert_eq!(text(fields, " \n"), Err(Rejected::Empty));
    assert_eq!(text(fields, "<script>let x;</script>"), Err(Rejected::Empty));
    let css = "text/css; charset=utf-8";
    let got = text(&format!("Content-Type: {css}"), "p {}");
    assert_eq!(got, Err(Rejected::ContentType(css.to_owned())));
    let head = "X: y\r\n".repeat(200_000);
    assert_eq!(text(&head, "<p>x"), Err(Rejected::HeadTooLarge));
}

#[test]
fn other_formats_than_the_type_says() {
    let fields = "Content-Type: text/html; charset=utf-8";
    let bodies: [&[u8]; 12] = [
        b"%PDF-1.4",
        b"\0\0\0<\0\0\0p\0\0\0>\0\0\0a",
        b"\x89PNG\r\n\x1a\nabc def abc def abc def abc def abc def",
        b"\xff\xd8\xff\xe1abc\x01def",
        b"GIF89a\x01\x01\x80\x01abc",
        b"\n\nII*\x01abc \x05",
        b"\x01\x02x\x03y\x04\x7f\xff\x05",
        b"{\"a\": [1, 2]}",
        b".a{color:red}\n",
        b"<?xml version='1.0'?><rss><title>x</title></rss>",
        b"BEGIN:VCALENDAR\r\nEND:VCALENDAR",
        b"{\\rtf1\\ansi Hello.}",
    ];
    for body in bodies {
        let shown = String::from_utf8_lossy(body);
        assert_eq!(page(fields, body), Err(Rejected::OtherFormat), "{shown}");
    }
    // UTF-16 has zero bytes, and its other bytes may have any value.
    let utf16: Vec<u8> = "\u{feff}\u{101}\u{102}\u{203}"
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    assert_eq!(page(fields, &utf16).map(|x| x.charset), Ok("UTF-16LE"));
}

#[test]
fn codings_that_cannot_be_undone() {
    let fields = |coding: &str| format!("Content-Type: text/html\r\nContent-Encoding: {coding}");
    let coded = b"\x1f\x9d\x90\x3c\x01\x02\x03\xff\x10\x04\x05\x06";
    let unknown = |coding: &str| Err(Rejected::Coding(coding.to_owned()));
    for coding in ["compress", "br", "dcz", "x-own"] {
        assert_eq!(page(&fields(coding), coded), unknown(coding));
        assert_eq!(text(&fields(coding), "<p>rain").as_deref(), Ok("rain"));
    }
    assert_eq!(page(&fields("identity"), coded), Err(Rejected::OtherFormat));
    // A frame that wants dictionary 1: nothing is there to decode it with.
    let mut wants = zstd::bulk::compress(b"<p>rain", 3).expect("memory");
    assert_eq!(page(&fields("zstd"), &wants).map(|x| x.text).as_deref(), Ok("rain"));
    wants[4] |= 1;
    wants.insert(5, 1);
    assert_eq!(page(&fields("zstd"), &wants), unknown("zstd"));
}

#[test]
fn content_types() {
    let rain = Ok("rain".to_owned());
    for value in [
        "text/html",
        "TEXT/HTML;charset=x",
        "text/html,text/html",
        "application/xhtml+xml; q=1",
        "image/png\r\nContent-Type: text/html",
        "html",
        "text/htmlcharset=utf-8",
        "",
        "*/*",
    ] {
        let got = text(&format!("content-type: {value}"), "<p>rain</p>");
        assert_eq!(got, rain, "{value}");
    }
    assert_eq!(text("X: y", "<!doctype html><p>rain"), rain);
    let none = Err(Rejected::ContentType(String::new()));
    assert_eq!(text("X: y", "rain & 1 < 2"), none);
    assert_eq!(text("X: y", "p { color: red }"), none);
    assert_eq!(page("X: y", b"\x01\x02a\x03"), Err(Rejected::OtherFormat));
    for value in ["text/plain", "text/plain; charset=utf-8", "image/png"] {
        let got = text(&format!("content-type: {value}"), "<p>rain");
        assert_eq!(got, Err(Rejected::ContentType(value.to_owned())));
    }
}

#[test]
fn a_recipe_may_read_plain_text() {
    let got = any_text("Content-Type: text/plain", " a <b> &amp; \r\n\r\n\tc\x01d \n");
    assert_eq!(got, Ok("a <b> &amp;\n\tc d".to_owned()));
    assert_eq!(any_text("X: y", "rain & 1 < 2").as_deref(), Ok("rain & 1 < 2"));
    assert_eq!(any_text("Content-Type: utf-8", "rain").as_deref(), Ok("rain"));
    assert_eq!(any_text("X: y", "<p>rain").as_deref(), Ok("rain"));
    let css = Err(Rejected::ContentType("text/css".to_owned()));
    assert_eq!(any_text("Content-Type: text/css", "rain"), css);
}

#[test]
fn an_identified_type_decides() {
    let rain = Ok("rain".to_owned());
    for fields in [
        "X: y",
        "Content-Type: application/octet-stream",
        "Content-Type: text/plain",
    ] {
        assert_eq!(identified("text/html", fields, "<p>rain"), rain, "{fields}");
        assert_eq!(identified("application/xhtml+xml; x=y", fields, "<p>rain"), rain);
    }
    // The archive's writer has identified it, so it is not checked for a table.
    assert_eq!(
        identified("text/html", "X: y", "a,b,c\n1,2,3").as_deref(),
        Ok("a,b,c 1,2,3")
    );
    for other in ["text/calendar", "application/rss+xml", "text/plain"] {
        let got = identified(other, "Content-Type: text/html", "<p>rain");
        assert_eq!(got, Err(Rejected::ContentType(other.to_owned())));
    }
    for none in ["", " ", "no-type", "unknown"] {
        let got = identified(none, "Content-Type: text/html", "<p>rain");
        assert_eq!(got, rain, "{none:?}");
        let got = identified(none, "Content-Type: image/gif", "<p>rain");
        assert_eq!(got, Err(Rejected::ContentType("image/gif".to_owned())));
    }
}

#[test]
fn one_blank_line_too_many() {
    let fields = "Content-Type: text/html";
    for ends in ["", "\n", "\r\n", "\r\n\r\n"] {
        let got = text(fields, &format!("{ends}\u{feff}<p>Café")).expect("a page");
        assert_eq!(got, "Café");
        for mark in [[0xff, 0xfe], [0xfe, 0xff]] {
            let unit = if mark[0] == 0xff {
                u16::to_le_bytes
            } else {
                u16::to_be_bytes
            };
            let wide = "<p>Café".encode_utf16().flat_map(unit);
            let body: Vec<u8> = ends.bytes().chain(mark).chain(wide).collect();
            let got = page(fields, &body).expect("a page");
            assert_eq!((got.text.as_str(), got.charset_source), ("Café", CharsetSource::Bom));
        }
    }
    // A line end in UTF-16 without a byte order mark belongs to the body.
    let wide = "\n<p>rain and rivers</p>".encode_utf16();
    let body: Vec<u8> = wide.flat_map(u16::to_le_bytes).collect();
    assert_eq!(page(fields, &body).map(|x| x.text).as_deref(), Ok("rain and rivers"));
}

/// Characters that have ended extractions of whole crawls by other programs.
#[test]
fn characters_that_break_parsers() {
    let fields = "Content-Type: text/html; charset=utf-8";
    let got = text(fields, "<p>a&#1;b\x01c\0d&#0;e&#x1f;f\x0bg\u{7f}h");
    assert_eq!(got.as_deref(), Ok("a b c d\u{fffd}e f g h"));
    assert_eq!(text(fields, "<pre>a&#1;b\x02c</pre>").as_deref(), Ok("a b c"));
    assert_eq!(
        text(
            fields,
            "a<button>b<form>c</form>d</button>e<form><button></form></button>f"
        )
        .as_deref(),
        Ok("a\nb\nc\nd\ne\nf")
    );
    // Digits in Unicode, but not in any of these formats.
    assert_eq!(html("HTTP/1.1 ②00 OK\r\n\r\n<p>x".as_bytes()), Err(Rejected::Malformed));
    assert_eq!(html("HTTP/1.1 20٠ OK\r\n\r\n<p>x".as_bytes()), Err(Rejected::Malformed));
    let length = format!("{fields}\r\nContent-Length: ①");
    assert_eq!(text(&length, "<p>x").as_deref(), Ok("x"));
    let chunked = format!("{fields}\r\nTransfer-Encoding: chunked");
    assert_eq!(text(&chunked, "①\r\n<p>x\r\n").as_deref(), Ok("①\nx"));
    assert_eq!(text(fields, "&#①;&#x①;&#1①;").as_deref(), Ok("&#①;&#x①; ①;"));
    assert_eq!(
        text("Content-Type: text/html; charset=iso-8859-①", "<p>é").as_deref(),
        Ok("é")
    );
    assert_eq!(
        text("Content-Type: text/html", "<meta charset=windows-125①><p>é").as_deref(),
        Ok("é")
    );
}

#[test]
fn malformed_utf8_is_replaced() {
    let fields = "Content-Type: text/html; charset=utf-8";
    let got = page(fields, b"<p>a\xc3<i>\xc3</i>b\xe3\x80").map(|x| x.text);
    assert_eq!(got, Ok("a\u{fffd}\u{fffd}b\u{fffd}".to_owned()));
}

#[test]
fn legacy_encodings() {
    let fields = "Content-Type: text/html; charset=Shift_JIS";
    // The second byte of the first character is a backslash, of the second an "@".
    let got = page(fields, b"<p>\x83\x5c\x83\x40&nbsp;x</p>").map(|x| x.text);
    assert_eq!(got, Ok("ソァ x".to_owned()));
}

#[test]
fn nothing_panics() {
    let seed = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\
        Content-Encoding: gzip\r\n\r\n2f\r\n<meta charset=gbk><!--a--><pre>&#x80;&ampx\xe3\x80\x80\
        </pre><script><!--<script></script>--></script><td a='b' c=\"d\">\xc2\xa0x\r\n0\r\n\r\n";
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |n: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % n as u64) as usize
    };
    for _ in 0..3_000 {
        let mut payload = seed.to_vec();
        for _ in 0..=random(6) {
            let (at, other) = (random(payload.len()), random(payload.len()));
            match random(4) {
                0 => payload[at] = random(256) as u8,
                1 => payload[at] = seed[other],
                2 => drop(payload.drain(at..payload.len().min(at + 9))),
                _ => payload.truncate(at + 9),
            }
        }
        if let Ok(got) = page_text(&payload, None, MediaTypes::Text) {
            assert_eq!(got.text, got.text.trim());
            assert!(!got.text.contains("\n\n"));
        }
    }
}
