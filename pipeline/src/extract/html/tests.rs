use std::time::{Duration, Instant};

use super::html_to_text;

#[track_caller]
fn check(html: &str, text: &str) {
    assert_eq!(html_to_text(html), text, "{html}");
}

#[test]
fn blocks_break_lines_and_inline_elements_do_nothing() {
    check("<title>A</title>\n<h1>B</h1><p>c <b>d</b>e<p>f", "A\nB\nc de\nf");
    check("<b>1</b>Town<br>x<br/>y</br>z", "1Town\nx\ny\nz");
    check("<DIV>a<Blockquote>b</BLOCKQUOTE>c</dIv>d", "a\nb\nc\nd");
    check("a<unknown>b</unknown>c<o:p>d</o:p>", "abcd");
    check("<p></p><p> </p>a<p>&nbsp;</p>b", "a\nb");
    check("", "");
}

#[test]
fn cells_controls_and_lists() {
    let table = "<table><tr><th>a</th><th>b</th></tr><tr><td>c</td><td>d</td></tr></table>e";
    check(table, "a\nb\nc d\ne");
    check("a<img src=x>b<label>c</label>d", "a b c d");
    check("<ul><li>a<li>b</ul>", "a\nb");
    check("<select><option>a</option> <option>b</option></select>", "a b");
    check("a<svg><title>b</title><path d='M0'/></svg>c", "ab\nc");
}

#[test]
fn only_scripts_and_styles_are_left_out() {
    check("a<script>if (x<y) '</p>'</script>b<STYLE>p{}</style >c", "abc");
    check(
        "a<noscript>b</noscript><template>c</template><textarea>d</textarea>",
        "a\nb\nc\nd",
    );
    check("a<iframe>b</iframe>c", "a b c");
    check("a<script src=x />b</script>c", "abc");
    check("a<script src=x/>b</script>c", "ac");
    check("a<scripty>b</scripty>", "ab");
    check("a<script></scripty></script>b", "ab");
    check("a<script>b", "a");
    check("a<script>b</script", "a");
    check("a<script><!-- '<script></script>' --></script>b", "ab");
    check("a<script><!-- x</script>b", "ab");
    check("a<script><!--> '<script>' </script>b", "ab");
    // Opened inside the comment and never closed: the first end tag counts.
    check("a<script><!-- '<script>' </script>b", "ab");
}

#[test]
fn comments_and_declarations() {
    check(
        "<!DOCTYPE html><?xml x?>a<!-- <p>b --> c<!-->d<!--->e<!--f--!>g",
        "a cdeg",
    );
    check("a<!--!>b-->c<!--!-->d", "acd");
    check("a<!x>b</!x>c</>d", "abcd");
    check("a<!-- b", "a");
    check("a<!--b--", "a");
    check("a<![CDATA[b]]>c", "ac");
}

#[test]
fn tags_as_the_tokenizer_reads_them() {
    check("a <b title='>'>b</b> <i x=\">\" y=>c", "a b c");
    check("a<b title=it's>b</b><i \">c", "abc");
    check("a<b =\">b", "ab");
    check("a<b x==\">\">b", "a\">b");
    check("a<p x='", "a");
    check("1 < 2 <3 a<", "1 < 2 <3 a<");
    check("a</", "a</");
    check("a<b\n/\x0cx\t=\r'>'>b", "ab");
}

#[test]
fn white_space_folds() {
    check("  a \t\r\n b\u{a0}\u{a0}c\x01\0d \x7f e", "a b c d e");
    check("a\u{3000}b \u{2003}c &nbsp; d", "a\u{3000}b c d");
    check("a <b> b</b> c", "a b c");
    check("x <p> a", "x\na");
    check("a\u{200b}b\u{feff}", "a\u{200b}b\u{feff}");
    check("日本語\u{3000}日本語 тест", "日本語\u{3000}日本語 тест");
}

#[test]
fn pre_keeps_its_lines() {
    check("a<pre>b  c\n\n  d \r\ne&#10;f</pre>g  h", "a\nb  c\n  d\ne\nf\ng h");
    check("<pre>a\tb&nbsp;&nbsp;c\0d</pre>", "a\tb  c d");
}

#[test]
fn references() {
    check("&lt;p&gt; &amp;amp; &quot;&eacute;&hellip;", "<p> &amp; \"é…");
    check("&copy2 &ampx &notit; &notin; &eacutex", "©2 &x ¬it; ∉ éx");
    check(
        "&#65;&#x42;&#X43 &#128;&#x9f;&#0;&#xd800;&#x110000;&#99999999999;",
        "ABC €Ÿ\u{fffd}\u{fffd}\u{fffd}\u{fffd}",
    );
    check("&; & &# &#x; &#xg; &nosuch; &a", "&; & &# &#x; &#xg; &nosuch; &a");
    check("a&nbsp;&emsp;b&Tab;&NewLine;c", "a b c");
    check("&CounterClockwiseContourIntegral;&NotEqualTilde;", "∳≂\u{338}");
    check("a&#60;b&#38;lt;", "a<b&lt;");
    check("&am<b>p;</b>", "&amp;");
}

#[test]
fn every_name_of_the_standard() {
    assert_eq!(htmlize::ENTITIES.len(), 2231);
    for (name, expansion) in &htmlize::ENTITIES {
        let read = super::reference::read(name).expect("a name");
        let text = match read.0 {
            super::Referent::One(c) => c.to_string(),
            super::Referent::Text(t) => t.to_owned(),
        };
        assert_eq!((text.as_bytes(), read.1), (*expansion, name.len()));
    }
}

/// Pages that stop or crash tree builders: each must be read in linear time on a small stack.
#[test]
fn hostile_pages() {
    let tests = || {
        let mib = 1 << 20;
        let attributes: String = (0..100_000).map(|i| format!(" a{i}=b")).collect();
        let pages = [
            "<div>".repeat(100_000) + "x",
            "<b>".repeat(100_000) + "x",
            "<font><a>".repeat(20_000) + "x",
            "<table><tr><td>".repeat(20_000) + "x",
            "<ul><li>".repeat(50_000) + "x",
            "<p><i".repeat(100_000) + ">x",
            format!("<p{attributes}>x"),
            "\0".repeat(mib) + "x",
            "lorem ipsum \u{3000} ".repeat(600_000),
            "x<!--".to_owned() + &"- -> <p>".repeat(600_000),
            "x<!--".to_owned() + &"-".repeat(5 * mib),
            "x".to_owned() + &"<!--".repeat(mib),
            "x<script>".to_owned() + &"</scrip <!-- <script ".repeat(250_000),
            "x<script><!--".to_owned() + &"<script></script>".repeat(200_000),
            "x".to_owned() + &"<script><!--</script>".repeat(200_000),
            "x<p a='".to_owned() + &"y".repeat(5 * mib),
            "x".to_owned() + &"<a b='".repeat(mib),
            "<".repeat(mib) + " x",
            "&".repeat(mib) + "x",
            "&a".repeat(mib) + "x",
            "&#".repeat(mib) + "&#".to_owned().as_str() + &"9".repeat(mib) + "x",
            "x".to_owned() + &"</".repeat(mib),
            "x<pre>".to_owned() + &" \n".repeat(mib),
            "x".to_owned() + &" <p>".repeat(mib),
        ];
        for page in pages {
            let start = Instant::now();
            let text = html_to_text(&page);
            let (took, shown) = (start.elapsed(), &page[..page.len().min(20)]);
            assert!(took < Duration::from_secs(8), "{shown}: {took:?}");
            assert!(text.contains('x') || text.contains("lorem"), "{shown}");
        }
    };
    std::thread::Builder::new()
        .stack_size(2 << 20)
        .spawn(tests)
        .expect("a thread")
        .join()
        .expect("no page fails");
}
