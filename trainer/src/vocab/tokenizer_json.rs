//! `tokenizer.json`, as Hugging Face's tokenizers and transformers save T5's vocabulary, as the SentencePiece model
//! that says the same. What SentencePiece does in one go is told there in steps; those that T5's have are known, others
//! are refused by name.
//!
//! Ids are SentencePiece's, whoever wrote the file: where the two differ (`tokenizers` sums scores in 64 bits and word
//! by word, and applies the rules to clusters of characters), T5 was trained by SentencePiece.

use super::normalizer::SPACE;
use super::proto::{ModelProto, NormalizerSpec, Piece, PieceKind, TrainerSpec, UNK_SURFACE};
use super::{SENTINELS, count_sentinels, parse_byte, parse_sentinel};
use base64::prelude::{BASE64_STANDARD, Engine};
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
struct File {
    #[serde(default)]
    added_tokens: Vec<AddedToken>,
    normalizer: Option<Value>,
    pre_tokenizer: Option<Value>,
    model: Value,
}

#[derive(Deserialize)]
struct AddedToken {
    id: usize,
    content: String,
    #[serde(default)]
    special: bool,
}

#[derive(Deserialize)]
struct Unigram {
    unk_id: Option<usize>,
    #[serde(default)]
    byte_fallback: bool,
    vocab: Vec<(String, f64)>,
}

/// Reads a file's content; the error is a sentence about the file.
pub(crate) fn parse(file: &[u8]) -> Result<ModelProto, String> {
    let damaged =
        |error: serde_json::Error| format!("is no tokenizer.json of Hugging Face's tokenizers, or damaged: {error}");
    let file: File = serde_json::from_slice(file).map_err(damaged)?;
    match kind(&file.model) {
        "Unigram" => {}
        other => {
            return Err(format!(
                "model.type is `{other}`; T5's is Unigram, as a SentencePiece unigram model gives it"
            ));
        }
    }
    let model = Unigram::deserialize(file.model).map_err(damaged)?;
    // transformers writes false for mT5's, too, whose SentencePiece model falls back to bytes.
    let bytes = model
        .vocab
        .iter()
        .filter(|piece| parse_byte(&piece.0).is_some())
        .count();
    let byte_fallback = model.byte_fallback || bytes == 256;
    let unk = model.unk_id.filter(|id| *id < model.vocab.len());
    let unk = unk.ok_or("model.unk_id is not the id of a piece; T5's is that of <unk>")?;
    let pieces = model.vocab.into_iter().enumerate().map(|(id, piece)| {
        let kind = match &piece.0[..] {
            _ if id == unk => PieceKind::Unknown,
            "<pad>" | "</s>" => PieceKind::Control,
            text if parse_sentinel(text).is_some() => PieceKind::UserDefined,
            text if byte_fallback && parse_byte(text).is_some() => PieceKind::Byte,
            _ => PieceKind::Normal,
        };
        Piece {
            text: piece.0,
            score: piece.1 as f32,
            kind,
        }
    });
    let mut pieces = pieces.collect();
    add(&mut pieces, file.added_tokens)?;
    let sentinels = count_sentinels(&pieces).map_err(|_| {
        let last = pieces.len() - 1;
        format!("its tokens <extra_id_…> are not the last ids in T5's order (<extra_id_0> is {last}, <extra_id_1> the one before)")
    })?;
    // As T5's own file has none, and others append theirs to whatever is there.
    if sentinels == SENTINELS {
        pieces.truncate(pieces.len() - SENTINELS as usize);
    }
    Ok(ModelProto {
        pieces,
        trainer: TrainerSpec {
            model_type: 1,
            byte_fallback,
            whitespace_as_suffix: false,
            unk_surface: UNK_SURFACE.to_owned(),
            character_coverage: 0.9995,
        },
        normalizer: NormalizerSpec {
            name: "user_defined".to_owned(),
            charsmap: charsmap(file.normalizer.as_ref(), file.pre_tokenizer.as_ref())?,
            add_dummy_prefix: true,
            remove_extra_whitespaces: true,
            escape_whitespaces: true,
        },
        denormalizes: false,
    })
}

/// The tokens that are looked for in a text before it is normalised: those of the vocabulary get their kind, sentinels
/// that are not in it their place.
fn add(pieces: &mut Vec<Piece>, mut added: Vec<AddedToken>) -> Result<(), String> {
    added.sort_by_key(|token| token.id);
    for token in added {
        let (id, name) = (token.id, token.content.escape_debug());
        let next = pieces.len();
        match pieces.get_mut(id) {
            Some(piece) if piece.text != token.content => {
                return Err(format!(
                    "added_tokens: `{name}` has the id {id}, which is `{}` in model.vocab",
                    piece.text.escape_debug()
                ));
            }
            Some(piece) if piece.kind == PieceKind::Normal => {
                piece.kind = match token.special {
                    true => PieceKind::Control,
                    false => PieceKind::UserDefined,
                };
                piece.score = 0.0;
            }
            Some(_) => {}
            None if id == next && parse_sentinel(&token.content).is_some() => pieces.push(Piece {
                text: token.content,
                score: 0.0,
                kind: PieceKind::UserDefined,
            }),
            None if id == next => {
                return Err(format!(
                    "added_tokens: `{name}` (id {id}) is none of T5's; only <extra_id_…> can follow the vocabulary"
                ));
            }
            None => {
                return Err(format!("added_tokens: no token has the id {next}, but `{name}` {id}"));
            }
        }
    }
    Ok(())
}

/// The rules by which characters are replaced, of a file whose steps together do what SentencePiece does for T5: rules,
/// runs of spaces made one, none at the ends, one before the text.
fn charsmap(normalizer: Option<&Value>, pre_tokenizer: Option<&Value>) -> Result<Vec<u8>, String> {
    let mut rules = None;
    let (mut splits, mut collapses, mut strips, mut marks) = (false, false, false, false);
    for step in steps(normalizer, "normalizers") {
        match kind(step) {
            "Precompiled" if rules.is_none() => {
                let map = step["precompiled_charsmap"].as_str().unwrap_or_default();
                let map = BASE64_STANDARD.decode(map);
                rules = Some(map.map_err(|error| format!("normalizer: its precompiled_charsmap is damaged: {error}"))?);
            }
            "Strip" if step["strip_right"] == true => strips = true,
            "Replace" if step["pattern"]["Regex"] == " {2,}" => collapses = true,
            other => {
                return Err(format!(
                    "normalizer: `{other}` is not SentencePiece's; only its precompiled rules can be read (Precompiled, then Strip \
                     at the right and Replace of runs of spaces)"
                ));
            }
        }
    }
    for step in steps(pre_tokenizer, "pretokenizers") {
        match kind(step) {
            "WhitespaceSplit" if !marks => splits = true,
            "Metaspace" if !marks => {
                let scheme = step["prepend_scheme"].as_str().unwrap_or("always");
                if step["replacement"] != SPACE || step["add_prefix_space"] == false || scheme != "always" {
                    return Err(format!(
                        "pre_tokenizer: Metaspace must put {SPACE} before every word (prepend_scheme `always`), and has `{scheme}`"
                    ));
                }
                marks = true;
            }
            other => {
                return Err(format!(
                    "pre_tokenizer: `{other}` is not T5's; only WhitespaceSplit and Metaspace can be read"
                ));
            }
        }
    }
    if !marks {
        return Err("pre_tokenizer: there is no Metaspace, which T5's has".to_owned());
    }
    let one_space = splits || collapses && strips;
    if !one_space {
        return Err(
            "pre_tokenizer: runs of spaces are kept, and T5's are one space; WhitespaceSplit is missing, or in the normalizer \
             Strip and Replace"
                .to_owned(),
        );
    }
    // Without rules, it is WhitespaceSplit that knows tabs and line ends for white space.
    Ok(rules.unwrap_or_else(|| if splits { white_space() } else { Vec::new() }))
}

/// A step's name.
fn kind(step: &Value) -> &str {
    step["type"].as_str().unwrap_or("nothing")
}

/// The steps of a sequence, or the only one.
fn steps<'a>(value: Option<&'a Value>, list: &str) -> Vec<&'a Value> {
    match value {
        None => Vec::new(),
        Some(value) if kind(value) == "Sequence" => {
            let inner = value[list].as_array();
            inner
                .into_iter()
                .flatten()
                .flat_map(|step| steps(Some(step), list))
                .collect()
        }
        Some(value) => vec![value],
    }
}

/// Rules that make a space of each character of white space, as a blob of SentencePiece's ([`super::normalizer`]): a
/// double array in which the children of each prefix have 256 units of their own, so that no search for free ones is
/// needed.
fn white_space() -> Vec<u8> {
    const BLOCK: usize = 256;
    let all = (0..=0x3000).filter_map(char::from_u32);
    let characters: Vec<String> = all.filter(|c| c.is_whitespace()).map(String::from).collect();
    let mut prefixes: Vec<&[u8]> = vec![b""];
    for character in &characters {
        let bytes = character.as_bytes();
        prefixes.extend((1..bytes.len()).map(|end| &bytes[..end]));
    }
    prefixes.sort_unstable();
    prefixes.dedup();
    // The root is in the first block; the last is that of all ends, whose value is 0.
    let block = |prefix: &[u8]| match prefixes.binary_search(&prefix) {
        Ok(number) => (1 + number) * BLOCK,
        Err(_) => (1 + prefixes.len()) * BLOCK,
    };
    let mut units = vec![0u32; block(b"end") + BLOCK];
    let unit = |at: usize, label: u8, children: usize, ends: bool| {
        u32::from(label) | u32::from(ends) << 8 | ((at ^ children) as u32) << 10
    };
    units[0] = unit(0, 0, block(b""), false);
    for character in &characters {
        let bytes = character.as_bytes();
        for (i, &byte) in bytes.iter().enumerate() {
            let at = block(&bytes[..i]) ^ usize::from(byte);
            units[at] = unit(at, byte, block(&bytes[..=i]), i + 1 == bytes.len());
        }
    }
    units[block(b"end")] = 1 << 31;
    let array: Vec<u8> = units.iter().flat_map(|unit| unit.to_le_bytes()).collect();
    [&(array.len() as u32).to_le_bytes()[..], &array, b" \0"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vocab::normalizer::Normalizer;

    #[test]
    fn all_white_space_becomes_a_space_and_nothing_else_changes() {
        let spec = NormalizerSpec {
            name: String::new(),
            charsmap: white_space(),
            add_dummy_prefix: false,
            remove_extra_whitespaces: false,
            escape_whitespaces: false,
        };
        let normalizer = Normalizer::new(&spec, None).unwrap();
        for c in (0..=u32::from(char::MAX)).filter_map(char::from_u32) {
            let mut out = Vec::new();
            normalizer.normalize(&format!("a{c}b"), &mut out);
            let wanted = if c.is_whitespace() { ' ' } else { c };
            assert_eq!(out, format!("a{wanted}b").as_bytes(), "{c:?}");
        }
    }
}
