//! The vocabulary: a SentencePiece unigram model, T5's own included, and what it makes of text.
//!
//! | question | place |
//! |---|---|
//! | What is in the file? | `proto.rs` |
//! | What becomes of a text before it is cut? | `normalizer.rs` |
//! | Which pieces is it cut into, and why are they SentencePiece's to the bit? | `encode.rs` |
//! | What of that is in a `tokenizer.json`? | `tokenizer_json.rs` |
//! | Which files of a vocabulary do Hugging Face's programs want? | `hub.rs` |
//! | How is a vocabulary made? | [`train`] |

mod encode;
mod hub;
mod normalizer;
mod proto;
mod tokenizer_json;
pub mod train;
mod trie;

use crate::Error;
use encode::{Encoder, Segmenter};
pub(crate) use hub::hub_files;
use normalizer::{Normalizer, SPACE, character};
use proto::ModelProto;
pub use proto::{Piece, PieceKind};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use trie::Trie;

/// Sentinels of a T5 vocabulary (seqio's `extra_ids`).
pub const SENTINELS: u32 = 100;

/// The largest vocabulary that is read: so a damaged file is not taken for a giant.
const MAX_PIECES: usize = 1 << 24;

/// A SentencePiece vocabulary: pieces with their ids, and how text becomes ids. May be shared by threads.
///
/// ```
/// # use t5_trainer::internals::vocab_train::{Counter, TrainOptions, WordCounts, train, write};
/// use t5_trainer::Vocab;
/// # let folder = tempfile::tempdir().unwrap();
/// # let file = folder.path().join("vocab.model");
/// # let (counter, mut counts) = (Counter::new()?, WordCounts::default());
/// # (0..9).for_each(|_| counter.add(&mut counts, "the river and the town by the river"));
/// # let options = TrainOptions { size: 22, ..TrainOptions::default() };
/// # write(&file, &train(counts, &options, |_| ())?)?;
/// let vocab = Vocab::open(&file)?;
/// let mut ids = Vec::new();
/// vocab.encode("the town", &mut ids);
/// assert_eq!(vocab.decode(&ids), "the town");
/// # Ok::<(), t5_trainer::Error>(())
/// ```
#[derive(Debug)]
pub struct Vocab {
    pieces: Vec<Piece>,
    pad: u32,
    eos: u32,
    unk: u32,
    unk_surface: String,
    /// How many of the last pieces are sentinels.
    sentinels: u32,
    normalizer: Normalizer,
    segmenter: Segmenter,
    add_dummy_prefix: bool,
    remove_extra_whitespaces: bool,
    /// Those that no thread is using.
    encoders: Mutex<Vec<Encoder>>,
}

impl Vocab {
    /// Opens a SentencePiece model (`spiece.model`), or a `tokenizer.json` of Hugging Face's that says the same. Where
    /// the file has no sentinels, 100 are appended as seqio does: in reverse, so that `<extra_id_0>` has the highest
    /// id.
    ///
    /// # Errors
    /// A file that cannot be read, is no SentencePiece model, or one that T5 cannot use: not a unigram model, without
    /// `</s>`, with an id 0 that is not `<pad>`. The message says which.
    pub fn open(path: &Path) -> Result<Vocab, Error> {
        Vocab::of_bytes(&sentencepiece(path)?).map_err(|problem| Error::format(path, problem))
    }

    /// The vocabulary in the bytes of a SentencePiece model. The error is a sentence about them.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Result<Vocab, String> {
        ModelProto::parse(bytes).and_then(Vocab::new)
    }

    /// The error is a sentence about the file.
    fn new(model: ModelProto) -> Result<Vocab, String> {
        let kind = match model.trainer.model_type {
            1 => None,
            2 => Some("a BPE"),
            3 => Some("a word"),
            4 => Some("a character"),
            _ => Some("an unknown kind of"),
        };
        if let Some(kind) = kind {
            return Err(format!(
                "is {kind} model; T5 wants a unigram model, as `t5 vocab train` makes it"
            ));
        }
        if model.trainer.whitespace_as_suffix || model.denormalizes {
            return Err(
                "was trained with treat_whitespace_as_suffix or a denormaliser; that is \
                 not supported: train without them"
                    .to_owned(),
            );
        }
        let mut pieces = model.pieces;
        if pieces.len() > MAX_PIECES {
            return Err(format!("has {} pieces; {MAX_PIECES} at most", pieces.len()));
        }
        check_pieces(&pieces)?;
        let find = |name: &str| {
            let id = pieces.iter().position(|piece| piece.text == name);
            id.map(|id| id as u32)
        };
        let unknown = pieces.iter().position(|piece| piece.kind == PieceKind::Unknown);
        let unk = unknown.ok_or("has no <unk>; train with an unk_id")? as u32;
        let is_control = |id: &u32| pieces[*id as usize].kind == PieceKind::Control;
        let eos = find("</s>").filter(is_control);
        let eos = eos.ok_or("has no </s>, which ends T5's texts; train with an eos_id")?;
        // Everywhere in T5, id 0 is padding.
        let pad = find("<pad>").filter(is_control).filter(|id| *id == 0);
        let pad = pad.ok_or(
            "has no <pad> as id 0, which T5's rows are filled up with; train with \
             --pad_id=0 --eos_id=1 --unk_id=2 --bos_id=-1, or with `t5 vocab train`",
        )?;
        let bytes = byte_pieces(&pieces, model.trainer.byte_fallback)?;
        let mut sentinels = count_sentinels(&pieces)?;
        if sentinels == 0 {
            pieces.extend((0..SENTINELS).rev().map(sentinel_piece));
            sentinels = SENTINELS;
        }
        let first_sentinel = pieces.len() as u32 - sentinels;
        let in_text = |id: u32| {
            let kind = pieces[id as usize].kind;
            id < first_sentinel && matches!(kind, PieceKind::Normal | PieceKind::UserDefined)
        };
        let mut kept: Vec<(&str, u32)> = (0..first_sentinel)
            .map(|id| (&pieces[id as usize], id))
            .filter(|(piece, _)| piece.kind == PieceKind::UserDefined)
            .map(|(piece, id)| (&*piece.text, id))
            .collect();
        kept.sort_unstable();
        let kept = (!kept.is_empty()).then(|| Trie::new(&kept));
        Ok(Vocab {
            pad,
            eos,
            unk,
            unk_surface: model.trainer.unk_surface,
            sentinels,
            normalizer: Normalizer::new(&model.normalizer, kept)?,
            segmenter: Segmenter::new(&pieces, unk, bytes, in_text),
            add_dummy_prefix: model.normalizer.add_dummy_prefix,
            remove_extra_whitespaces: model.normalizer.remove_extra_whitespaces,
            encoders: Mutex::default(),
            pieces,
        })
    }

    /// Number of ids, sentinels included: 32,100 for T5. A model's embedding may have more rows.
    pub fn size(&self) -> u32 {
        self.pieces.len() as u32
    }

    /// Id of padding, 0.
    pub fn pad(&self) -> u32 {
        self.pad
    }

    /// Id of `</s>`, which ends a text.
    pub fn eos(&self) -> u32 {
        self.eos
    }

    /// Id of `<unk>`, what no piece covers.
    pub fn unk(&self) -> u32 {
        self.unk
    }

    /// Number of sentinels.
    pub fn sentinels(&self) -> u32 {
        self.sentinels
    }

    /// Id of `<extra_id_k>`: `size - 1 - k`. `None` if there are not so many.
    pub fn sentinel(&self, k: u32) -> Option<u32> {
        (k < self.sentinels).then(|| self.size() - 1 - k)
    }

    /// The piece with an id.
    pub fn piece(&self, id: u32) -> Option<&Piece> {
        self.pieces.get(id as usize)
    }

    /// All pieces by id.
    pub fn pieces(&self) -> &[Piece] {
        &self.pieces
    }

    /// The id of a piece, by its text as it is in the file; sentinels also as `<extra_id_0>`.
    pub fn id(&self, piece: &str) -> Option<u32> {
        self.segmenter.id(piece).or_else(|| match parse_sentinel(piece) {
            Some(k) => self.sentinel(k),
            None => {
                let found = self.pieces.iter().position(|p| p.text == piece);
                found.map(|id| id as u32)
            }
        })
    }

    /// Appends the ids of `text`: exactly those of the sentencepiece library from version 0.2.2 on (0.2.3 is the
    /// newest), for a text as a whole. No `</s>` is appended.
    ///
    /// A sentinel never comes out of it: `<extra_id_0>` in a text of a corpus is text. The library takes it for the
    /// sentinel, if the file has sentinels; [`Vocab::encode_with_sentinels`] does so, too.
    ///
    /// Threads may call it at the same time. Some 10 MiB for each of them is kept.
    ///
    /// # Panics
    /// Not unless another thread has panicked in it.
    pub fn encode(&self, text: &str, ids: &mut Vec<u32>) {
        let mut encoder = self.take_encoder();
        encoder.start();
        let by_words = self.normalizer.by_words() && self.segmenter.by_words();
        let mut room = Vec::new();
        if by_words && memchr::memmem::find(text.as_bytes(), SPACE.as_bytes()).is_none() {
            self.normalizer.for_each_word(text, &mut room, |word| {
                encoder.word(&self.segmenter, word, ids);
            });
        } else {
            self.normalizer.normalize(text, &mut room);
            encoder.whole(&self.segmenter, &room, ids);
        }
        self.give_encoder(encoder);
    }

    fn take_encoder(&self) -> Encoder {
        match self.encoders.lock() {
            Ok(mut encoders) => encoders.pop().unwrap_or_default(),
            Err(_) => Encoder::default(),
        }
    }

    fn give_encoder(&self, encoder: Encoder) {
        if let Ok(mut encoders) = self.encoders.lock() {
            encoders.push(encoder);
        }
    }

    /// Appends the ids of what a person typed: each `<extra_id_k>` is the sentinel, the text between is encoded by
    /// itself. (So does Hugging Face. seqio and the library see a sentinel at the start of a word alone.)
    pub fn encode_with_sentinels(&self, text: &str, ids: &mut Vec<u32>) {
        let mut rest = text;
        let mut from = 0;
        while let Some(start) = rest[from..].find("<extra_id_").map(|i| from + i) {
            let length = rest[start..].find('>').map_or(0, |i| i + 1);
            let sentinel = parse_sentinel(&rest[start..start + length]);
            if let Some(id) = sentinel.and_then(|k| self.sentinel(k)) {
                self.encode(&rest[..start], ids);
                ids.push(id);
                rest = &rest[start + length..];
                from = 0;
            } else {
                from = start + 1;
            }
        }
        self.encode(rest, ids);
    }

    /// The text of `ids`, as the sentencepiece library gives it: control pieces vanish, `<unk>` is ` ⁇ `, white space
    /// at the start is stripped; sentinels are ` <extra_id_k>`. An id that is none is shown as U+FFFD, and so is each
    /// byte piece that is not part of a character.
    pub fn decode(&self, ids: &[u32]) -> String {
        let mut text = String::new();
        let mut at_start = true;
        let mut space_seen = false;
        // A run of byte pieces.
        let mut bytes = Vec::new();
        for &id in ids {
            if let Some(byte) = self.byte(id) {
                bytes.push(byte);
                continue;
            }
            push_characters(&mut bytes, &mut text);
            if space_seen || !text.is_empty() {
                at_start = false;
            }
            space_seen = false;
            let Some(piece) = self.piece(id) else {
                text.push(char::REPLACEMENT_CHARACTER);
                continue;
            };
            match piece.kind {
                PieceKind::Control => continue,
                PieceKind::Unknown => {
                    text.push_str(&self.unk_surface);
                    continue;
                }
                _ => {}
            }
            let mut piece = &*piece.text;
            if at_start
                && (self.add_dummy_prefix || self.remove_extra_whitespaces)
                && let Some(stripped) = piece.strip_prefix(SPACE)
            {
                piece = stripped;
                // Only the dummy prefix goes, unless all white space does.
                space_seen = !self.remove_extra_whitespaces;
            }
            for (i, part) in piece.split(SPACE).enumerate() {
                if i > 0 {
                    text.push(' ');
                }
                text.push_str(part);
            }
        }
        push_characters(&mut bytes, &mut text);
        text
    }

    /// The byte that an id is of.
    fn byte(&self, id: u32) -> Option<u8> {
        let piece = self.piece(id).filter(|piece| piece.kind == PieceKind::Byte)?;
        parse_byte(&piece.text)
    }
}

/// Appends what bytes are as UTF-8, U+FFFD for each that is part of no character.
fn push_characters(bytes: &mut Vec<u8>, text: &mut String) {
    let mut rest = &bytes[..];
    while let Some(&first) = rest.first() {
        let length = character(first).min(rest.len());
        let (start, end) = rest.split_at(length);
        match std::str::from_utf8(start) {
            Ok(character) => {
                text.push_str(character);
                rest = end;
            }
            Err(_) => {
                text.push(char::REPLACEMENT_CHARACTER);
                rest = &rest[1..];
            }
        }
    }
    bytes.clear();
}

/// The bytes of a vocabulary's file as a SentencePiece model: as they are, or made of a `tokenizer.json`. So a run's
/// vocabulary is always a SentencePiece model.
///
/// # Errors
/// A file that cannot be read, or a tokenizer of another kind.
pub fn sentencepiece(path: &Path) -> Result<Vec<u8>, Error> {
    let file = std::fs::read(path).map_err(|e| Error::io(path, e))?;
    // A SentencePiece model begins with a piece's tag, a line feed.
    if file.first() != Some(&b'{') {
        return Ok(file);
    }
    let model = tokenizer_json::parse(&file);
    let model = model.map_err(|problem| Error::format(path, problem))?;
    Ok(model.to_bytes())
}

/// The vocabulary in a folder of Hugging Face's transformers: `spiece.model`, or else `tokenizer.json`.
pub fn in_folder(folder: &Path) -> Option<PathBuf> {
    let files = ["spiece.model", "tokenizer.json"].map(|name| folder.join(name));
    files.into_iter().find(|file| file.is_file())
}

/// What every model must be, so that the search below holds.
fn check_pieces(pieces: &[Piece]) -> Result<(), String> {
    let mut texts: Vec<&str> = pieces.iter().map(|piece| &*piece.text).collect();
    texts.sort_unstable();
    if texts[0].is_empty() {
        return Err("has an empty piece; it is damaged, take another copy".to_owned());
    }
    if let Some(pair) = texts.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(format!(
            "has the piece `{}` twice; it is damaged, take another copy",
            pair[0].escape_debug()
        ));
    }
    if let Some(piece) = pieces.iter().find(|piece| !piece.score.is_finite()) {
        return Err(format!(
            "the score of its piece `{}` is no number; it is damaged, take another copy",
            piece.text.escape_debug()
        ));
    }
    let unknown = pieces.iter().filter(|piece| piece.kind == PieceKind::Unknown);
    if unknown.count() > 1 {
        return Err("has more than one <unk>; it is damaged, take another copy".to_owned());
    }
    Ok(())
}

/// `k` of `<extra_id_k>`, with or without U+2581 before it.
fn parse_sentinel(text: &str) -> Option<u32> {
    let text = text.strip_prefix(SPACE).unwrap_or(text);
    let digits = text.strip_prefix("<extra_id_")?.strip_suffix('>')?;
    let is_number = digits.bytes().all(|b| b.is_ascii_digit());
    let canonical = is_number && (digits == "0" || !digits.starts_with('0'));
    canonical.then(|| digits.parse().ok()).flatten()
}

/// The byte of `<0x0A>`.
fn parse_byte(text: &str) -> Option<u8> {
    let digits = text.strip_prefix("<0x")?.strip_suffix('>')?;
    let byte = u8::from_str_radix(digits, 16).ok()?;
    (text == byte_text(byte)).then_some(byte)
}

fn byte_text(byte: u8) -> String {
    format!("<0x{byte:02X}>")
}

/// The ids of all bytes, where unknown characters become bytes.
fn byte_pieces(pieces: &[Piece], falls_back: bool) -> Result<Option<[u32; 256]>, String> {
    let mut ids = [None; 256];
    for (id, piece) in (0..).zip(pieces).filter(|(_, piece)| piece.kind == PieceKind::Byte) {
        let name = piece.text.escape_debug();
        match parse_byte(&piece.text) {
            Some(byte) if falls_back => ids[usize::from(byte)] = Some(id),
            Some(_) => {
                return Err(format!(
                    "has a piece of the byte `{name}`, and no byte_fallback; it is damaged, take another copy"
                ));
            }
            None => {
                return Err(format!(
                    "has a piece of the byte `{name}`, which is none; it is damaged, take another copy"
                ));
            }
        }
    }
    if !falls_back {
        return Ok(None);
    }
    match ids.iter().all(Option::is_some) {
        true => Ok(Some(ids.map(Option::unwrap_or_default))),
        false => {
            Err("falls back to bytes, but has no pieces for all of them; it is damaged, take another copy".to_owned())
        }
    }
}

/// A sentinel as seqio appends it.
fn sentinel_piece(k: u32) -> Piece {
    Piece {
        text: format!("{SPACE}<extra_id_{k}>"),
        score: 0.0,
        kind: PieceKind::UserDefined,
    }
}

/// How many sentinels a file has: its last pieces, in reverse.
fn count_sentinels(pieces: &[Piece]) -> Result<u32, String> {
    let number = |piece: &Piece| parse_sentinel(&piece.text);
    let numbers = pieces.iter().rev().map(number);
    let in_place = (0..).zip(numbers).take_while(|(k, number)| Some(*k) == *number);
    let sentinels = in_place.count();
    let all = pieces.iter().filter_map(number).count();
    if all != sentinels {
        return Err(format!(
            "has {all} pieces <extra_id_…>, but only its last {sentinels} are in T5's order \
             (<extra_id_0> last); take them out of the file: they are appended when it is read"
        ));
    }
    Ok(sentinels as u32)
}
