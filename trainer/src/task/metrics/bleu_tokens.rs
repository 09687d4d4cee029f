//! How BLEU cuts a text into tokens: sacreBLEU's two tokenisers, after `mteval-v13a.pl` and `mteval-v14.pl`.

use super::super::pystr;
use super::super::score::BleuTokenizer;
use regex::Regex;
use std::sync::LazyLock;

/// An expression and what replaces each match.
type Replacement = (Regex, &'static str);

/// Marks are apart, but `'`, and `.` `,` `-` by the digits beside them.
static WESTERN: LazyLock<[Replacement; 4]> = LazyLock::new(|| {
    [
        (r"([{-~\[-` -&(-+:-@/])", " ${1} "),
        (r"([^0-9])([.,])", "${1} ${2} "),
        (r"([.,])([^0-9])", " ${1} ${2}"),
        (r"([0-9])(-)", "${1} ${2} "),
    ]
    .map(compiled)
});

/// Punctuation is apart unless numbers are on both sides, symbols always.
static INTERNATIONAL: LazyLock<[Replacement; 3]> = LazyLock::new(|| {
    [
        (r"(\P{N})(\p{P})", "${1} ${2} "),
        (r"(\p{P})(\P{N})", " ${1} ${2}"),
        (r"(\p{S})", " ${1} "),
    ]
    .map(compiled)
});

fn compiled((expression, by): (&str, &'static str)) -> Replacement {
    (Regex::new(expression).expect("a valid expression"), by)
}

/// A text with white space between its tokens.
pub(super) fn spaced(text: &str, tokenizer: BleuTokenizer) -> String {
    let text = text.trim_end_matches(pystr::is_space);
    match tokenizer {
        BleuTokenizer::V13a => {
            let line = text.replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
            let line = line.replace("&quot;", "\"").replace("&amp;", "&");
            let line = line.replace("&lt;", "<").replace("&gt;", ">");
            replaced(format!(" {line} "), &*WESTERN)
        }
        BleuTokenizer::Intl => replaced(text.to_owned(), &*INTERNATIONAL),
    }
}

fn replaced(text: String, replacements: &[Replacement]) -> String {
    let replace = |text: String, (expression, by): &Replacement| expression.replace_all(&text, *by).into_owned();
    replacements.iter().fold(text, replace)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str, tokenizer: BleuTokenizer) -> Vec<String> {
        pystr::words(&spaced(text, tokenizer)).map(str::to_owned).collect()
    }

    #[test]
    fn marks_are_apart_but_for_numbers() {
        let text = "It's 1,000.5-fold, \u{201c}he\u{201d} &amp; she: 3.";
        let western = [
            "It's",
            "1,000.5",
            "-",
            "fold",
            ",",
            "\u{201c}he\u{201d}",
            "&",
            "she",
            ":",
            "3",
            ".",
        ];
        assert_eq!(tokens(text, BleuTokenizer::V13a), western);
        let text = "It's 1,000.5-fold, \u{201c}he\u{201d} 3\u{20ac} 3.";
        let international = [
            "It", "'", "s", "1,000.5", "-", "fold", ",", "\u{201c}", "he", "\u{201d}", "3", "\u{20ac}", "3.",
        ];
        assert_eq!(tokens(text, BleuTokenizer::Intl), international);
    }
}
