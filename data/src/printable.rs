//! Makes text from outside safe to print on a terminal.

/// `text` in one line, without characters that a terminal would take as a command or that reorder text.
///
/// ```
/// assert_eq!(c4_data::printable("one\ntwo\u{1b}[31m"), "one⏎two\u{fffd}[31m");
/// ```
pub fn printable(text: &str) -> String {
    let one_line = |c| match c {
        '\n' => '⏎',
        c => harmless(c),
    };
    text.chars().map(one_line).collect()
}

/// `text` with its line ends, each line as [`printable`] makes it.
pub fn printable_lines(text: &str) -> String {
    let in_lines = |c| match c {
        '\n' => '\n',
        c => harmless(c),
    };
    text.chars().map(in_lines).collect()
}

/// The JSON with the characters escaped that [`printable`] replaces: it has the same values.
pub fn printable_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match is_harmful(c) && !matches!(c, '\n' | '\t' | '\r') {
            // All of them are below U+10000, and stand in strings alone.
            true => out += &format!("\\u{:04x}", u32::from(c)),
            false => out.push(c),
        }
    }
    out
}

fn harmless(c: char) -> char {
    match c {
        '\t' => ' ',
        c if is_harmful(c) => '\u{fffd}',
        c => c,
    }
}

/// Whether `c` is a control character (C0, C1, delete), or one that orders text from right to left.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_reaches_a_terminal_that_acts_on_it() {
        let hostile = "a\u{1b}[31m\u{9b}31m\u{7f}\r\n\u{202e}b\u{2066}\tc\u{61c}é";
        assert_eq!(
            printable(hostile),
            "a\u{fffd}[31m\u{fffd}31m\u{fffd}\u{fffd}⏎\u{fffd}b\u{fffd} c\u{fffd}é"
        );
        assert_eq!(printable_lines("a\n\u{9d}0;b\u{7}"), "a\n\u{fffd}0;b\u{fffd}");
        let json = serde_json::to_string_pretty(&[hostile]).unwrap();
        let safe = printable_json(&json);
        assert!(safe.chars().all(|c| c == '\n' || !is_harmful(c)), "{safe:?}");
        assert_eq!(serde_json::from_str::<[String; 1]>(&safe).unwrap(), [hostile]);
    }
}
