//! Text from the crawl, which may be hostile: made visible, escaped, cut, masked, never a link.

use maud::{Markup, Render, html};
use std::fmt::Write;
use std::ops::Range;

/// Text from the crawl, escaped when it is written; characters that hide or reorder text are shown by their number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Crawl<'a>(pub &'a str);

impl Render for Crawl<'_> {
    fn render_to(&self, out: &mut String) {
        let mut before = ' ';
        let mut chars = self.0.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '&' => out.push_str("&amp;"),
                '<' => out.push_str("&lt;"),
                '>' => out.push_str("&gt;"),
                '"' => out.push_str("&quot;"),
                '\'' => out.push_str("&#39;"),
                '\n' | '\t' => out.push(c),
                // Joiners belong to the spelling of some languages and to emoji.
                '\u{200c}' | '\u{200d}' if !before.is_ascii() && chars.peek().is_some_and(|next| !next.is_ascii()) => {
                    out.push(c);
                }
                _ if is_deceptive(c) => {
                    // Writing to a string cannot fail.
                    let _ = write!(out, "<span class=\"u\">U+{:04X}</span>", u32::from(c));
                }
                _ => out.push(c),
            }
            before = c;
        }
    }
}

/// Whether a character has no shape of its own, or changes the order of others.
fn is_deceptive(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}'
            | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{feff}' | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e000}'..='\u{f8ff}' | '\u{e0000}'..='\u{e0fff}')
}

/// Text from the crawl in an element that keeps its direction to itself.
pub(crate) fn crawl(text: &str) -> Markup {
    html! { bdi { (Crawl(text)) } }
}

/// A URL as text, without `http://` or `https://`, cut if it is very long.
pub(crate) fn url(url: &str) -> Markup {
    let shown = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    let (shown, cut) = head(shown.unwrap_or(url), 160);
    html! { bdi.url { (Crawl(shown)) @if cut { "…" } } }
}

/// The first `chars` characters of a text from the crawl; what is cut off shows as `…`.
pub(crate) fn cut(text: &str, chars: usize) -> Markup {
    let (shown, cut) = head(text, chars);
    html! { bdi { (Crawl(shown)) @if cut { "…" } } }
}

/// A name from the crawl, such as a domain, cut if it is very long; an empty one shows as `none`.
pub(crate) fn name_or_none(name: &str) -> Markup {
    html! { @if name.is_empty() { span.muted { "none" } } @else { (cut(name, 120)) } }
}

/// The first `chars` characters, and whether there are more.
pub(crate) fn head(text: &str, chars: usize) -> (&str, bool) {
    match text.char_indices().nth(chars) {
        Some((at, _)) => (&text[..at], true),
        None => (text, false),
    }
}

/// The text, or its first `chars` characters with `…` if there are more.
pub(crate) fn shortened(text: &str, chars: usize) -> String {
    match head(text, chars) {
        (shown, true) => format!("{shown}…"),
        (all, false) => all.to_owned(),
    }
}

/// The last `chars` characters, and whether there are more.
fn tail(text: &str, chars: usize) -> (&str, bool) {
    match text.char_indices().rev().take(chars).last() {
        Some((at, _)) => (&text[at..], at > 0),
        None => ("", !text.is_empty()),
    }
}

/// A word that may offend: as its first letter and dots, and as it is; the page shows one of the two.
pub(crate) fn masked(word: &str) -> Markup {
    let mut chars = word.chars();
    let first = chars.next().map_or(String::new(), String::from);
    let dots: String = chars.map(|c| if c.is_alphanumeric() { '•' } else { c }).collect();
    html! {
        bdi.masked { (Crawl(&first)) (Crawl(&dots)) }
        bdi.revealed { (Crawl(word)) }
    }
}

/// A piece of `text` of about `chars` characters around the match, which is marked; from its
/// start if there is none (or one that is not in the text). `mask` hides the match itself.
pub(crate) fn excerpt(text: &str, matched: Option<&Range<usize>>, chars: usize, mask: bool) -> Markup {
    let found = matched.and_then(|range| Some((range, text.get(range.clone())?)));
    let Some((range, hit)) = found.filter(|(_, hit)| !hit.is_empty()) else {
        return cut(text, chars);
    };
    let (before, cut_before) = tail(&text[..range.start], chars / 2);
    let (hit, cut_hit) = head(hit, chars);
    let (after, cut_after) = head(&text[range.end..], chars / 2);
    html! {
        bdi {
            @if cut_before { "…" }
            (Crawl(before))
            mark { @if mask { (masked(hit)) } @else { (Crawl(hit)) } @if cut_hit { "…" } }
            @if !cut_hit { (Crawl(after)) @if cut_after { "…" } }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markup_of_the_crawl_is_text() {
        let out = crawl("<script>\"a\" & 'b'</script>").into_string();
        assert_eq!(
            out,
            "<bdi>&lt;script&gt;&quot;a&quot; &amp; &#39;b&#39;&lt;/script&gt;</bdi>"
        );
    }

    #[test]
    fn characters_that_hide_or_reorder_are_shown() {
        let out = crawl("a\u{202e}b\u{200b}c\u{0}\u{200d}").into_string();
        assert!(!out.contains(['\u{202e}', '\u{200b}', '\u{0}', '\u{200d}']));
        assert!(out.contains("U+202E") && out.contains("U+200B") && out.contains("U+0000"));
        let persian = "می\u{200c}خواهم";
        assert_eq!(crawl(persian).into_string(), format!("<bdi>{persian}</bdi>"));
    }

    #[test]
    fn excerpts_are_cut_around_the_match() {
        let text = format!("{}needle{}", "é".repeat(900), "ü".repeat(900));
        let at = 1800..1806;
        let out = excerpt(&text, Some(&at), 20, false).into_string();
        let expected = format!("…{}<mark>needle</mark>{}…", "é".repeat(10), "ü".repeat(10));
        assert_eq!(out, format!("<bdi>{expected}</bdi>"));
    }

    #[test]
    fn a_match_outside_of_the_text_is_no_match() {
        for at in [1..900, 1..2, 7..7] {
            let out = excerpt("é is short", Some(&at), 40, false).into_string();
            assert_eq!(out, "<bdi>é is short</bdi>");
        }
    }

    #[test]
    fn masks_keep_the_first_letter_and_the_spaces() {
        let out = masked("two words").into_string();
        assert!(out.contains(">t•• •••••<") && out.contains(">two words<"));
    }
}
