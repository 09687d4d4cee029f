//! The files beside `spiece.model` from which Hugging Face's programs read a vocabulary: `tokenizer.json` for
//! `tokenizers` and all that is built on it, two more for transformers.

use super::normalizer::SPACE;
use super::proto::{ModelProto, Piece, PieceKind};
use super::{Vocab, parse_sentinel};
use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::{Value, json};

/// Tokens that transformers cuts a text to where it is asked to: T5's. The model itself, whose positions are relative,
/// has no limit.
const MAX_LENGTH: u32 = 512;

/// transformers' class of tokenizers that are all in their tokenizer.json.
const GENERAL: &str = "PreTrainedTokenizerFast";

/// A vocabulary's files for Hugging Face's programs.
#[derive(Debug)]
pub(crate) struct HubFiles {
    /// Names and contents.
    pub files: Vec<(&'static str, Vec<u8>)>,
    /// Why there is no `tokenizer.json` among them.
    pub without_json: Option<String>,
}

/// The files for the SentencePiece model in `file`, which is one of them.
///
/// # Errors
/// A sentence about the file, where no run has such a vocabulary.
pub(crate) fn hub_files(file: &[u8]) -> Result<HubFiles, String> {
    let model = ModelProto::parse(file)?;
    let mut files = vec![("spiece.model", file.to_vec())];
    let spec = model.clone();
    let vocab = Vocab::new(model)?;
    let sentinels: Vec<String> = (0..vocab.sentinels()).map(|k| format!("<extra_id_{k}>")).collect();
    let without_json = match tokenizer_json(&vocab, &spec) {
        Ok(json) => {
            files.push(("tokenizer.json", format!("{json}\n").into_bytes()));
            None
        }
        Err(problem) => Some(problem),
    };
    // T5's own class of version 5 leaves out byte fallback; the general one takes tokenizer.json as it is.
    let class = match spec.trainer.byte_fallback && without_json.is_none() {
        true => GENERAL,
        false => "T5Tokenizer",
    };
    let mut config = json!({
        "tokenizer_class": class,
        "model_max_length": MAX_LENGTH,
        "extra_ids": sentinels.len(),
        "clean_up_tokenization_spaces": false,
        "legacy": true,
    });
    let mut special = json!({
        "eos_token": "</s>",
        "unk_token": unknown(&vocab),
        "pad_token": "<pad>",
        "additional_special_tokens": sentinels,
    });
    files.push(("special_tokens_map.json", pretty(&special)));
    if let (Some(config), Some(special)) = (config.as_object_mut(), special.as_object_mut()) {
        if class == GENERAL {
            // Its own default has the types of tokens, too, which no T5 takes.
            let names = json!(["input_ids", "attention_mask"]);
            config.insert("model_input_names".to_owned(), names);
        }
        config.append(special);
    }
    files.push(("tokenizer_config.json", pretty(&config)));
    Ok(HubFiles { files, without_json })
}

fn pretty(json: &Value) -> Vec<u8> {
    format!("{json:#}\n").into_bytes()
}

fn unknown(vocab: &Vocab) -> &str {
    vocab.piece(vocab.unk()).map_or("<unk>", |piece| &piece.text)
}

/// What SentencePiece does in one go, in the steps of T5's own file: characters by the rules, words at white space,
/// [`SPACE`] before each, pieces. The error says what of the model has no step.
fn tokenizer_json(vocab: &Vocab, model: &ModelProto) -> Result<Value, String> {
    let rules = &model.normalizer;
    if !(rules.add_dummy_prefix && rules.remove_extra_whitespaces && rules.escape_whitespaces) {
        return Err("it keeps white space otherwise than T5's".to_owned());
    }
    let mut pieces = Vec::new();
    let mut added = Vec::new();
    for (id, piece) in (0..).zip(vocab.pieces()) {
        let Piece { text, score, kind } = piece;
        let sentinel = parse_sentinel(text).map(|k| format!("<extra_id_{k}>"));
        let name = sentinel.clone().unwrap_or_else(|| text.clone());
        let is_added = match kind {
            PieceKind::Normal | PieceKind::Byte => sentinel.is_some(),
            PieceKind::Unknown | PieceKind::Control => true,
            PieceKind::UserDefined if sentinel.is_some() => true,
            PieceKind::UserDefined => return Err(format!("its symbol `{}` is user defined", text.escape_debug())),
            PieceKind::Unused => return Err(format!("its piece `{}` is not in use", text.escape_debug())),
        };
        if is_added {
            // White space beside a sentinel belongs to it.
            let strips = sentinel.is_some();
            added.push(json!({
                "id": id, "content": name, "single_word": false, "lstrip": strips, "rstrip": strips, "normalized": false,
                "special": true,
            }));
        }
        pieces.push(json!([name, f64::from(*score)]));
    }
    let normalizer = match rules.charsmap.is_empty() {
        true => Value::Null,
        false => json!({"type": "Precompiled", "precompiled_charsmap": BASE64_STANDARD.encode(&rules.charsmap)}),
    };
    let metaspace = json!({"type": "Metaspace", "replacement": SPACE, "prepend_scheme": "always", "split": true});
    let decoder = match model.trainer.byte_fallback {
        true => json!({"type": "Sequence", "decoders": [{"type": "ByteFallback"}, metaspace]}),
        false => metaspace.clone(),
    };
    let (text, other) = (
        json!({"Sequence": {"id": "A", "type_id": 0}}),
        json!({"Sequence": {"id": "B", "type_id": 0}}),
    );
    let end = json!({"SpecialToken": {"id": "</s>", "type_id": 0}});
    Ok(json!({
        "version": "1.0",
        "truncation": null,
        "padding": null,
        "added_tokens": added,
        "normalizer": normalizer,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "WhitespaceSplit"}, metaspace]},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [text, end],
            "pair": [text, end, other, end],
            "special_tokens": {"</s>": {"id": "</s>", "ids": [vocab.eos()], "tokens": ["</s>"]}},
        },
        "decoder": decoder,
        "model": {
            "type": "Unigram",
            "unk_id": vocab.unk(),
            "vocab": pieces,
            "byte_fallback": model.trainer.byte_fallback,
        },
    }))
}
