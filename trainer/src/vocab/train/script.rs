//! Which strings may be pieces (`TrainerInterface::IsValidSentencePiece` with its defaults).

use unicode_script::{Script, UnicodeScript};

/// Characters of a piece, at most (`max_sentencepiece_length`).
pub(crate) const PIECE_CHARACTERS: usize = 16;

/// The script that a character counts for: kana are Han; `None` fits to the one before.
fn script(character: char) -> Option<Script> {
    match character.script() {
        Script::Hiragana | Script::Katakana => Some(Script::Han),
        // The prolonged sound mark is common to both.
        _ if character == '\u{30fc}' => Some(Script::Han),
        Script::Inherited => None,
        // SentencePiece takes an unassigned character for a common one.
        Script::Unknown => Some(Script::Common),
        script => Some(script),
    }
}

/// How many characters the longest piece has that starts `characters`: all of one script, where digits and punctuation
/// are one of their own; U+2581 is of any, and only at the start.
pub(crate) fn longest_piece(characters: &[char]) -> usize {
    let mut piece = None;
    let mut length = 0;
    for (i, &character) in characters.iter().take(PIECE_CHARACTERS).enumerate() {
        if character == '\u{2581}' {
            if i > 0 {
                break;
            }
        } else if let Some(script) = script(character) {
            if piece.is_some_and(|piece| piece != script) {
                break;
            }
            piece = Some(script);
        }
        length = i + 1;
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_end_where_the_script_does() {
        let longest = |text: &str| longest_piece(&text.chars().collect::<Vec<char>>());
        assert_eq!(longest("\u{2581}hello,"), 6);
        assert_eq!(longest("F1"), 1);
        assert_eq!(longest("12,3%a"), 5);
        assert_eq!(longest("a\u{2581}b"), 1);
        assert_eq!(longest("カタカナーと漢字a"), 8);
        assert_eq!(longest("e\u{301}te\u{301}"), 5);
        assert_eq!(longest("\u{301}\u{301}a"), 3);
        assert_eq!(longest(&"x".repeat(40)), PIECE_CHARACTERS);
        assert_eq!(longest(""), 0);
    }
}
