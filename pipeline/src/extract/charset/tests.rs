use super::*;

fn found(body: &[u8], content_type: &str) -> (&'static str, CharsetSource) {
    let found = detect(body, content_type.as_bytes(), true);
    (found.encoding.name(), found.source)
}

#[test]
fn mark_then_header_then_page() {
    let page = b"<meta charset=koi8-r>";
    assert_eq!(found(page, ""), ("KOI8-R", CharsetSource::Meta));
    let http = "text/html; Charset = \"ISO-8859-1\"; x=y";
    assert_eq!(found(page, http), ("windows-1252", CharsetSource::Http));
    let marked = b"\xef\xbb\xbf<meta charset=koi8-r>";
    assert_eq!(found(marked, http), ("UTF-8", CharsetSource::Bom));
    assert_eq!(found(b"\xfe\xff\0<", http), ("UTF-16BE", CharsetSource::Bom));
}

#[test]
fn header_labels() {
    let of = |v: &str| charset_param(v.as_bytes()).map(Encoding::name);
    assert_eq!(of("text/html;charset=utf8"), Some("UTF-8"));
    assert_eq!(of("text/html; charset='big5'"), Some("Big5"));
    assert_eq!(of("text/html; charset=nonsense; charset=gb2312"), Some("GBK"));
    assert_eq!(of("text/html; charset"), None);
    assert_eq!(of("text/html; charset="), None);
    assert_eq!(of("text/html; charset=\"utf-8"), Some("UTF-8"));
    // "Replacement" labels say nothing usable.
    assert_eq!(of("text/html; charset=iso-2022-kr"), None);
    assert_eq!(of("text/html; charset=cp949"), Some("EUC-KR"));
}

#[test]
fn page_declarations() {
    let of = |v: &str| prescan(v.as_bytes()).map(Encoding::name);
    let pragma = "<META content='text/html; charset=Shift_JIS' HTTP-EQUIV=Content-Type />";
    assert_eq!(of(pragma), Some("Shift_JIS"));
    assert_eq!(of("<meta content='text/html; charset=big5'>"), None);
    assert_eq!(of("<meta charset=utf-16le>"), Some("UTF-8"));
    assert_eq!(of("<meta charset=x-user-defined>"), Some("windows-1252"));
    assert_eq!(of("<!-- <meta charset=big5> --><meta charset=gbk>"), Some("GBK"));
    assert_eq!(of("<!--><meta charset=gbk>"), Some("GBK"));
    assert_eq!(of("<a title='<meta charset=big5>'><meta charset=gbk>"), Some("GBK"));
    assert_eq!(of("<script>if (a<b && c='</script><meta charset=gbk>"), Some("GBK"));
    assert_eq!(of("<meta charset=nonsense><meta charset=gbk>"), Some("GBK"));
    assert_eq!(
        of("<?xml version='1.0' encoding='windows-1251'?><p>"),
        Some("windows-1251")
    );
    assert_eq!(of("<meta charset=\"gbk"), None);
    assert_eq!(of("<meta"), None);
    let late = format!("<style>{}</style><meta charset=gbk>", "p{} ".repeat(9_000));
    assert_eq!(found(late.as_bytes(), ""), ("GBK", CharsetSource::Meta));
}

#[test]
fn plain_text_declares_nothing() {
    let got = detect(b"<meta charset=koi8-r>", b"text/plain", false);
    assert_eq!(got.source, CharsetSource::Utf8Valid);
}

#[test]
fn undeclared() {
    assert_eq!(found("naïve".as_bytes(), ""), ("UTF-8", CharsetSource::Utf8Valid));
    // Cut inside its last character.
    assert_eq!(found(b"na\xc3", ""), ("UTF-8", CharsetSource::Utf8Valid));
    let texts = [
        (
            "windows-1251",
            "Сегодня утром в городе прошёл сильный дождь, и река вышла из берегов.",
        ),
        ("Shift_JIS", "今日は朝から雨が降っていて、川の水がだいぶ増えました。"),
        ("EUC-KR", "오늘 아침부터 비가 와서 강물이 많이 불어났습니다."),
        (
            "windows-1252",
            "Le garçon a mangé une pêche très mûre à côté de la forêt.",
        ),
        ("ISO-2022-JP", "今日は朝から雨が降っていました。"),
    ];
    for (name, text) in texts {
        let encoding = Encoding::for_label(name.as_bytes()).expect("a standard name");
        // ASCII before it must not use up the sample.
        let mut body = vec![b'x'; 2 * DETECT_BYTES];
        if name == "ISO-2022-JP" {
            body.clear();
        }
        body.extend_from_slice(&encoding.encode(text).0);
        let got = detect(&body, b"text/html", true);
        assert_eq!((got.encoding.name(), got.source), (name, CharsetSource::Detected));
        assert!(decode(&body, &got).ends_with(text));
    }
}

#[test]
fn utf16_without_mark() {
    let wide = |f: fn(u16) -> [u8; 2]| -> Vec<u8> { "<p>rain and rivers</p>".encode_utf16().flat_map(f).collect() };
    assert_eq!(found(&wide(u16::to_le_bytes), "").0, "UTF-16LE");
    assert_eq!(found(&wide(u16::to_be_bytes), "").0, "UTF-16BE");
    // Declared, but not so.
    assert_eq!(found(b"<p>rain", "text/html; charset=utf-16").0, "UTF-8");
}

#[test]
fn damaged_utf8_stays_utf8() {
    let mut body = "Größe und Höhe der Bäume über dem Fluß, ".repeat(8).into_bytes();
    body.insert(50, 0xff);
    assert_eq!(found(&body, ""), ("UTF-8", CharsetSource::Detected));
}

#[test]
fn wrong_declaration_of_clear_utf8() {
    let body = "<meta charset=gbk>Größe und Höhe der Bäume über dem Fluß, ".repeat(4);
    assert_eq!(found(body.as_bytes(), ""), ("UTF-8", CharsetSource::Utf8Valid));
    // Two characters prove nothing.
    assert_eq!(found("<meta charset=gbk>öö".as_bytes(), "").0, "GBK");
}
