//! Leaves out what repeats itself, and takes samples of what is still too long.

/// `kMaxSpaceScan`: so far away a space is looked for, in bytes.
const SPACE_SCAN: usize = 32;
/// `kPredictionTableSize`.
const PREDICTIONS: usize = 4096;
/// `kChunksizeDefault`, in bytes.
const CHUNK: usize = 48;
/// `kSpacesThreshPercent`: a chunk of 30 % spaces is removed,
const SPACES: usize = CHUNK * 30 / 100;
/// `kPredictThreshPercent`: and one that is predicted by 40 %.
const PREDICTED: usize = CHUNK * 40 / 100;
/// `kNumSnippets`.
const SNIPPETS: usize = 5;

/// Predicts each character by a hash of those before it.
struct Predictor {
    hash: u32,
    /// The character that followed each hash the last time; 0 at first.
    last: Box<[u32; PREDICTIONS]>,
}

impl Predictor {
    /// The number of bytes of `chunk` that were predicted (`CountPredictedBytes`).
    fn count(&mut self, chunk: &[u8]) -> usize {
        let mut predicted = 0;
        let mut rest = chunk;
        while let [first, ..] = rest {
            let length = char_len(*first).min(rest.len());
            let (c, after) = rest.split_at(length);
            let code = match *c {
                [a, b] => u32::from_be_bytes([0, 0, a, b]),
                [a, b, c] => u32::from_be_bytes([0, a, b, c]),
                [a, b, c, d] => u32::from_be_bytes([a, b, c, d]),
                _ => u32::from(*first),
            };
            let last = &mut self.last[self.hash as usize];
            if *last == code {
                predicted += length;
            }
            *last = code;
            self.hash = ((self.hash << 4) ^ code) & 0xfff;
            rest = after;
        }
        predicted
    }
}

fn is_continuation(byte: u8) -> bool {
    byte & 0xc0 == 0x80
}

fn char_len(first: u8) -> usize {
    match first {
        ..0xc0 => 1,
        0xc0..0xe0 => 2,
        0xe0..0xf0 => 3,
        _ => 4,
    }
}

/// Removes chunks that are mostly spaces or repeat what came before, where possible at spaces (`CheapSqueezeInplace`).
/// `text` is UTF-8 before and after.
///
/// In place like the original, since in one case it reads behind the end of what it has kept so far, where older bytes
/// are.
pub(super) fn squeeze(text: &mut Vec<u8>) {
    let end = text.len();
    let mut predictor = Predictor {
        hash: 0,
        last: Box::new([0; PREDICTIONS]),
    };
    let (mut from, mut to) = (0, 0);
    let mut skipping = false;
    while from < end {
        let mut length = CHUNK.min(end - from);
        while text.get(from + length).is_some_and(|byte| is_continuation(*byte)) {
            length += 1;
        }
        let chunk = &text[from..from + length];
        // In steps of four bytes.
        let spaces = chunk[..length & !3].iter().filter(|b| **b == b' ').count();
        let predicted = predictor.count(chunk);
        if spaces >= SPACES || predicted >= PREDICTED {
            if !skipping {
                to -= back_to_space(text, to);
                if to == 0 {
                    text[0] = b' ';
                    to = 1;
                }
                skipping = true;
            }
        } else {
            if skipping {
                let n = forward_to_space(&text[from..from + length]);
                from += n;
                length -= n;
                skipping = false;
            }
            text.copy_within(from..from + length, to);
            to += length;
        }
        from += length;
    }
    text.truncate(to);
}

/// The number of bytes before `at` at which the last space ends, or if there is none, the last character starts
/// (`BackscanToSpace`).
fn back_to_space(text: &[u8], at: usize) -> usize {
    let limit = at.min(SPACE_SCAN);
    let space = (0..limit).find(|n| text[at - n - 1] == b' ');
    let start = || (0..limit).find(|n| !is_continuation(text[at - n]));
    space.or_else(start).unwrap_or(0)
}

/// The number of bytes after its start at which the first space of `text` ends; 0 if there is none
/// (`ForwardscanToSpace`).
fn forward_to_space(text: &[u8]) -> usize {
    let space = text.iter().take(SPACE_SCAN).position(|b| *b == b' ');
    space.map_or(0, |at| at + 1)
}

/// `text` if it has at most `max` bytes, else pieces of as much in all, at equal distances
/// (`SelectTextGivenBeginAndSize`). UTF-8 in and out.
pub(super) fn sample(text: &[u8], max: usize) -> String {
    let text = String::from_utf8_lossy(text);
    if text.len() <= max {
        return text.into_owned();
    }
    let gap = (text.len() - max) / (SNIPPETS + 1);
    let mut out = String::with_capacity(max + SNIPPETS);
    let mut at = 0;
    for _ in 0..SNIPPETS {
        let start = text.floor_char_boundary(at + gap);
        at = text.floor_char_boundary(start + max / SNIPPETS);
        out.push_str(&text[start..at]);
        out.push(' ');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn squeezed(text: &str) -> String {
        let mut text = text.as_bytes().to_vec();
        squeeze(&mut text);
        String::from_utf8(text).unwrap()
    }

    #[test]
    fn repetitions_and_spaces_go() {
        let text = " the old miller of the valley had a white horse and two brown cows ";
        assert_eq!(squeezed(text), text);
        assert!(squeezed(&text.repeat(20)).len() < 3 * text.len());
        assert_eq!(squeezed(&" ".repeat(4 * CHUNK)), " ");
        assert_eq!(squeezed(&"a b c d e f g h i j k l m n o p ".repeat(9)), " ");
        // No space near: characters stay whole.
        assert!(squeezed(&"あ".repeat(500)).chars().all(|c| c == 'あ' || c == ' '));
    }

    #[test]
    fn samples_are_spread_and_whole() {
        assert_eq!(sample("äöü".as_bytes(), 6), "äöü");
        let text: String = ('a'..='t').map(|c| c.to_string().repeat(3)).collect();
        assert_eq!(sample(text.as_bytes(), 30), "bcccdd ffgggh jjjkkk mnnnoo qqrrrs ");
        assert_eq!(sample("éééééééé".as_bytes(), 10), "é é é é é ");
    }
}
