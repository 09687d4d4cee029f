//! What SentencePiece does to a text before it is cut into pieces (normalizer.cc): characters are replaced by the
//! rules of the model, white space is collapsed, spaces become U+2581.
//!
//! The rules of `nmt_nfkc` are NFKC, white space and control characters.

use super::proto::NormalizerSpec;
use super::trie::Trie;

/// How a space is written in pieces.
pub(crate) const SPACE: &str = "\u{2581}";

/// What becomes of an ASCII byte that no character outside ASCII follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ascii {
    /// It stays.
    Plain,
    /// It is white space.
    Space,
    /// Ask the rules.
    Other,
}

/// The normaliser of a model.
#[derive(Debug)]
pub(crate) struct Normalizer {
    add_dummy_prefix: bool,
    remove_extra_whitespaces: bool,
    escape_whitespaces: bool,
    /// Darts' double array: the rules' left sides, with offsets into `replacements`.
    units: Vec<u32>,
    /// The rules' right sides, each with a 0 byte at its end.
    replacements: Vec<u8>,
    /// Strings that stay as they are: the text of user defined pieces.
    kept: Option<Trie>,
    ascii: [Ascii; 128],
    by_words: bool,
}

impl Normalizer {
    /// `kept` are strings that no rule may change. The error is a sentence about the file.
    pub fn new(spec: &NormalizerSpec, kept: Option<Trie>) -> Result<Normalizer, String> {
        let (units, replacements) = match spec.charsmap.is_empty() {
            true => (Vec::new(), Vec::new()),
            false => {
                decode(&spec.charsmap).ok_or("its normalisation rules are damaged; take another copy of the file")?
            }
        };
        let mut normalizer = Normalizer {
            add_dummy_prefix: spec.add_dummy_prefix,
            remove_extra_whitespaces: spec.remove_extra_whitespaces,
            escape_whitespaces: spec.escape_whitespaces,
            units,
            replacements,
            kept,
            ascii: [Ascii::Other; 128],
            by_words: false,
        };
        normalizer.ascii = normalizer.ascii_classes();
        let never = |bytes: &str| memchr::memmem::find(&normalizer.replacements, bytes.as_bytes()).is_none();
        normalizer.by_words = spec.add_dummy_prefix
            && spec.remove_extra_whitespaces
            && spec.escape_whitespaces
            && normalizer.kept.is_none()
            && never("  ")
            && never(SPACE);
        Ok(normalizer)
    }

    /// Whether [`Normalizer::for_each_word`] may be used, unless a text holds U+2581 itself.
    pub fn by_words(&self) -> bool {
        self.by_words
    }

    /// Which ASCII bytes may be passed by without a look at the rules.
    fn ascii_classes(&self) -> [Ascii; 128] {
        let mut classes = [Ascii::Other; 128];
        // Rules on several characters of ASCII would have to be looked for everywhere.
        let is_pair = |first: u8, second: u8| self.match_length(&[first, second]) > 1;
        let pairs = (0..128).any(|first| (0..128).any(|second| is_pair(first, second)));
        if pairs || self.kept.is_some() {
            return classes;
        }
        for byte in 0..128u8 {
            let text = [byte];
            let (replacement, _) = self.prefix(&text);
            let class = &mut classes[usize::from(byte)];
            if replacement == b" " {
                *class = Ascii::Space;
            } else if replacement == text {
                *class = Ascii::Plain;
            }
        }
        classes
    }

    /// How many bytes of `text` the rules look at before none of them fits any more, at most.
    fn match_length(&self, text: &[u8]) -> usize {
        let mut walk = Walk::new(&self.units);
        let followed = text.iter().take_while(|byte| walk.step(**byte).is_some());
        followed.count()
    }

    /// What the start of `text` becomes, and how many bytes of it that is (`NormalizePrefix`): what is kept, else the
    /// longest rule, else a character as it is.
    fn prefix<'a>(&'a self, text: &'a [u8]) -> (&'a [u8], usize) {
        if let Some(length) = self.kept.as_ref().and_then(|kept| kept.longest(text)) {
            return (&text[..length], length);
        }
        let mut walk = Walk::new(&self.units);
        let mut longest = None;
        for (i, &byte) in text.iter().enumerate() {
            match walk.step(byte) {
                None => break,
                Some(None) => {}
                Some(Some(value)) => longest = Some((i + 1, value)),
            }
        }
        if let Some((length, value)) = longest
            && let Some(tail) = self.replacements.get(value as usize..)
        {
            let end = memchr::memchr(0, tail).unwrap_or(tail.len());
            return (&tail[..end], length);
        }
        let length = character(text[0]).min(text.len());
        (&text[..length], length)
    }

    /// Appends the normalised `text` to `out`.
    pub fn normalize(&self, text: &str, out: &mut Vec<u8>) {
        let start = out.len();
        let mut text = text.as_bytes();
        while self.remove_extra_whitespaces && !text.is_empty() {
            match self.prefix(text) {
                (b" ", length) => text = &text[length..],
                _ => break,
            }
        }
        if text.is_empty() {
            return;
        }
        let space = match self.escape_whitespaces {
            true => SPACE.as_bytes(),
            false => b" ",
        };
        if self.add_dummy_prefix {
            out.extend_from_slice(space);
        }
        let mut after_space = self.remove_extra_whitespaces;
        while !text.is_empty() {
            let (mut replacement, length) = self.prefix(text);
            if after_space {
                replacement = replacement.trim_ascii_start_spaces();
            }
            for &byte in replacement {
                match byte {
                    b' ' => out.extend_from_slice(space),
                    _ => out.push(byte),
                }
            }
            if let Some(last) = replacement.last() {
                after_space = self.remove_extra_whitespaces && *last == b' ';
            }
            text = &text[length..];
        }
        while self.remove_extra_whitespaces && out[start..].ends_with(space) {
            out.truncate(out.len() - space.len());
        }
    }

    /// Calls `see` with each word of `text`, without the U+2581 before it: together, each with U+2581 before it, they
    /// are what [`Normalizer::normalize`] gives. `word` is room for one.
    ///
    /// For [`Normalizer::by_words`], and where `text` does not hold U+2581.
    pub fn for_each_word(&self, text: &str, word: &mut Vec<u8>, mut see: impl FnMut(&[u8])) {
        let text = text.as_bytes();
        word.clear();
        let mut at = 0;
        while at < text.len() {
            if word.is_empty() {
                let rest = &text[at..];
                let plain = rest.iter().position(|byte| self.class(*byte) != Ascii::Plain);
                let end = plain.unwrap_or(rest.len());
                // A character outside ASCII may change the one before it.
                let is_end = match rest.get(end..) {
                    None | Some([]) => true,
                    Some([byte, after @ ..]) => {
                        self.class(*byte) == Ascii::Space && after.first().is_none_or(u8::is_ascii)
                    }
                };
                if is_end {
                    if end > 0 {
                        see(&rest[..end]);
                    }
                    at += end + 1;
                    continue;
                }
            }
            if self.class(text[at]) == Ascii::Plain && text.get(at + 1).is_none_or(u8::is_ascii) {
                word.push(text[at]);
                at += 1;
                continue;
            }
            let (replacement, length) = self.prefix(&text[at..]);
            at += length;
            for &byte in replacement {
                match byte {
                    b' ' if word.is_empty() => {}
                    b' ' => {
                        see(word);
                        word.clear();
                    }
                    _ => word.push(byte),
                }
            }
        }
        if !word.is_empty() {
            see(word);
        }
    }

    #[inline]
    fn class(&self, byte: u8) -> Ascii {
        match self.ascii.get(usize::from(byte)) {
            Some(class) => *class,
            None => Ascii::Other,
        }
    }
}

/// Bytes of the UTF-8 character that starts with `byte`; 1 for a byte that starts none (`OneCharLen`).
#[inline]
pub(crate) fn character(byte: u8) -> usize {
    match byte {
        0..0xc0 => 1,
        0xc0..0xe0 => 2,
        0xe0..0xf0 => 3,
        0xf0.. => 4,
    }
}

trait TrimSpaces {
    fn trim_ascii_start_spaces(&self) -> &Self;
}

impl TrimSpaces for [u8] {
    /// Without the spaces at its start: no other white space.
    fn trim_ascii_start_spaces(&self) -> &[u8] {
        let spaces = self.iter().take_while(|byte| **byte == b' ').count();
        &self[spaces..]
    }
}

/// The rules' double array and their right sides, from the model's blob: four bytes, the array's size in bytes; the
/// array; the right sides (`DecodePrecompiledCharsMap`).
fn decode(blob: &[u8]) -> Option<(Vec<u32>, Vec<u8>)> {
    let (size, blob) = blob.split_first_chunk::<4>()?;
    let size = u32::from_le_bytes(*size) as usize;
    if size < 1024 || !size.is_multiple_of(1024) {
        return None;
    }
    let (array, replacements) = blob.split_at_checked(size)?;
    if replacements.last() != Some(&0) || std::str::from_utf8(replacements).is_err() {
        return None;
    }
    let units = array.chunks_exact(4);
    let units = units.map(|unit| u32::from_le_bytes([unit[0], unit[1], unit[2], unit[3]]));
    Some((units.collect(), replacements.to_vec()))
}

/// A way through a double array of Darts-clone (darts.h, `DoubleArrayUnit`): bits 0 to 7 of a unit and bit 31 are its
/// label, bit 8 says that a value belongs to it, bits 10 up (times 256 with bit 9) lead to its children.
struct Walk<'a> {
    units: &'a [u32],
    node: usize,
}

impl<'a> Walk<'a> {
    #[inline]
    fn new(units: &'a [u32]) -> Walk<'a> {
        let node = units.first().map_or(0, |unit| offset(*unit));
        Walk { units, node }
    }

    /// Follows `byte`: `None` if nothing starts so, else the value of the string so far, if it has one.
    #[inline]
    fn step(&mut self, byte: u8) -> Option<Option<u32>> {
        let node = self.node ^ usize::from(byte);
        let unit = *self.units.get(node)?;
        if unit & 0x8000_00ff != u32::from(byte) {
            return None;
        }
        self.node = node ^ offset(unit);
        if unit >> 8 & 1 == 0 {
            return Some(None);
        }
        Some(self.units.get(self.node).map(|value| value & 0x7fff_ffff))
    }
}

#[inline]
fn offset(unit: u32) -> usize {
    ((unit >> 10) << ((unit & 1 << 9) >> 6)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::train::normalizer_spec;
    use proptest::prelude::*;

    fn normalized(text: &str) -> String {
        let mut out = Vec::new();
        let normalizer = Normalizer::new(&normalizer_spec(), None).unwrap();
        normalizer.normalize(text, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_nmt_nfkc_does() {
        for (text, wanted) in [
            ("", ""),
            (" \t\n\u{3000}\u{a0}", ""),
            ("a", "▁a"),
            ("  a \n b ", "▁a▁b"),
            ("ＡＢＣ ①", "▁ABC▁1"),
            ("e\u{301}", "▁é"),
            ("ﬁx", "▁fix"),
            ("a\u{1}b\u{7f}", "▁ab"),
            ("\u{1}", ""),
            ("a\u{200b}b", "▁a▁b"),
            ("x\0y", "▁x\0y"),
            // U+2581 is white space, too.
            ("▁a▁ ▁", "▁a"),
            ("¨", "▁\u{308}"),
            ("a ¨", "▁a▁\u{308}"),
        ] {
            assert_eq!(normalized(text), wanted, "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn words_are_the_normalised_text(text in "([ \t\na-e!0]|[\u{300}-\u{308}¨´ﬁ㌀①Ａ]|[\u{0}-\u{2ff}]|\\PC){0,24}") {
            prop_assume!(!text.contains(SPACE));
            let normalizer = Normalizer::new(&normalizer_spec(), None).unwrap();
            let mut words = String::new();
            normalizer.for_each_word(&text, &mut Vec::new(), |word| {
                words.push_str(SPACE);
                words.push_str(std::str::from_utf8(word).unwrap());
            });
            prop_assert_eq!(words, normalized(&text));
        }
    }
}
