//! A text's letters in runs of one script (CLD2's `ScriptScanner` for plain text).

use super::letters::{COMMON, INHERITED, LATIN, Letters};
use std::ops::Range;

/// The number of the first `limit` bytes that are whole characters before the first that the original does not take
/// (`SpanInterchangeValid`): control characters, but not tab, line feed, form feed and carriage return; and
/// non-characters. The rest of the text is not read.
pub(super) fn valid_prefix(text: &str, limit: usize) -> usize {
    let text = &text[..text.floor_char_boundary(limit)];
    let invalid = |c: char| {
        (c.is_control() && !matches!(c, '\t' | '\n' | '\x0c' | '\r'))
            || ('\u{fdd0}'..='\u{fdef}').contains(&c)
            || u32::from(c) & 0xfffe == 0xfffe
    };
    text.find(invalid).unwrap_or(text.len())
}

/// The letters of `text[..end]` in lower case; before and after every run of one script stands a space, and what is no
/// letter becomes one.
pub(super) fn clean(letters: &Letters, text: &str, end: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(end + end / 8 + 16);
    let mut at = 0;
    let mut put = |c: char| match u8::try_from(c) {
        Ok(byte) if byte.is_ascii() => out.push(byte.to_ascii_lowercase()),
        _ => out.extend_from_slice(letters.lower(c).encode_utf8(&mut [0; 4]).as_bytes()),
    };
    while let Some((_, next)) = span(letters, text, at..end, &mut put) {
        at = next;
    }
    out
}

/// Finds the next run of letters of one script in a part of `text`, and gives it to `put` with a space before it, one
/// for the non-letters in it, and one after it. Its script, and where the next run may start; `None` if there are no
/// more letters (`GetOneScriptSpan`).
///
/// A single letter of another script does not end a run (a `µ` or a `Δ` in Latin text), two do.
pub(super) fn span(
    letters: &Letters,
    text: &str,
    part: Range<usize>,
    put: &mut impl FnMut(char),
) -> Option<(u8, usize)> {
    let end = part.end;
    let mut at = part.start;
    // The character at a place of the text, its script, and where the next one starts.
    let look = |at: usize| match text.as_bytes().get(at) {
        Some(byte) if byte.is_ascii() => {
            let script = if byte.is_ascii_alphabetic() { LATIN } else { COMMON };
            Some((char::from(*byte), script, at + 1))
        }
        _ => {
            let c = text.get(at..)?.chars().next()?;
            Some((c, letters.script(c), at + c.len_utf8()))
        }
    };
    let peek = |at: usize| if at < end { look(at) } else { None };

    let script = loop {
        match peek(at)? {
            (_, COMMON, next) => at = next,
            (_, script, _) => break script,
        }
    };
    put(' ');
    loop {
        while let Some((c, this, next)) = peek(at) {
            if this != script && this != INHERITED {
                if this == COMMON {
                    break;
                }
                // The original looks beyond the part, too.
                let after = look(next).map_or(COMMON, |(_, script, _)| script);
                if after != COMMON && after != script {
                    break;
                }
            }
            put(c);
            at = next;
        }
        let found = loop {
            match peek(at) {
                Some((_, COMMON, next)) => at = next,
                found => break found,
            }
        };
        put(' ');
        match found {
            Some((_, this, _)) if this == script || this == INHERITED => {}
            _ => return Some((script, at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cleaned(text: &str) -> String {
        let letters = Letters::load().unwrap();
        String::from_utf8(clean(&letters, text, text.len())).unwrap()
    }

    #[test]
    fn letters_stay_in_runs_of_one_script() {
        assert_eq!(cleaned("Hello, World 42 times!"), " hello world times ");
        assert_eq!(cleaned("Привет, World!"), " привет  world ");
        assert_eq!(cleaned("5 Δt and ΔT, Δ"), " δt  and  δt δ ");
        assert_eq!(cleaned("a ΔT but ΔTT and kΩ"), " a  δt  but  δ  tt and kω ");
        assert_eq!(cleaned("aбc дe"), " aбc  дe ");
        assert_eq!(cleaned("a\u{301} \u{301}b"), " a\u{301} \u{301}b ");
        assert_eq!(cleaned("日本語とEnglish"), " 日本語と  english ");
        assert_eq!(cleaned("12 34"), "");
        assert_eq!(cleaned(""), "");
    }

    #[test]
    fn control_characters_end_the_text() {
        assert_eq!(valid_prefix("ab\tc\r\n\x0cd\x0be", 100), 8);
        assert_eq!(valid_prefix("ab\u{85}", 100), 2);
        assert_eq!(valid_prefix("a\u{7f}", 100), 1);
        assert_eq!(valid_prefix("ä\u{fdd0}", 100), 2);
        assert_eq!(valid_prefix("\u{1ffff}", 100), 0);
        assert_eq!(valid_prefix("a\u{fffd}é", 100), 6);
        assert_eq!(valid_prefix("aéé", 4), 3);
    }
}
