//! SentencePiece's model file: a protobuf message `ModelProto` (sentencepiece_model.proto), of which we read and
//! write what a unigram model is made of.
//!
//! By hand: two nested messages, a dozen fields ([`crate::protobuf`] says why).

use crate::base::protobuf::{put_bytes, put_float, put_number};

/// What a piece is for. Numbers are those of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PieceKind {
    /// A piece of text.
    Normal = 1,
    /// Stands for what no piece covers: `<unk>`.
    Unknown = 2,
    /// Stands for no text: `</s>`, `<pad>`.
    Control = 3,
    /// Always one token wherever its text occurs: the sentinels.
    UserDefined = 4,
    /// In the file, but out of use.
    Unused = 5,
    /// A byte of a character that no piece covers.
    Byte = 6,
}

impl PieceKind {
    /// All kinds, with their names.
    pub const ALL: [(PieceKind, &'static str); 6] = [
        (PieceKind::Normal, "normal"),
        (PieceKind::Unknown, "unknown"),
        (PieceKind::Control, "control"),
        (PieceKind::UserDefined, "user defined"),
        (PieceKind::Unused, "unused"),
        (PieceKind::Byte, "byte"),
    ];

    /// The name of the kind, for people.
    pub fn name(self) -> &'static str {
        let named = PieceKind::ALL.into_iter().find(|(kind, _)| *kind == self);
        named.map_or("", |(_, name)| name)
    }
}

/// An entry of the vocabulary; its id is its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// The text of the piece, white space written as U+2581.
    pub text: String,
    /// Natural logarithm of its probability; 0 where the kind is not [`PieceKind::Normal`].
    pub score: f32,
    /// What it is for.
    pub kind: PieceKind,
}

/// How a text is normalised before it is cut into pieces (`NormalizerSpec`).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NormalizerSpec {
    /// Name of the rules, `nmt_nfkc`.
    pub name: String,
    /// The rules, compiled ([`super::normalizer`]).
    pub charsmap: Vec<u8>,
    /// Whether a text starts with a space of its own.
    pub add_dummy_prefix: bool,
    /// Whether white space is stripped at both ends and runs of it are one space.
    pub remove_extra_whitespaces: bool,
    /// Whether a space is written as U+2581.
    pub escape_whitespaces: bool,
}

/// Those settings of the training that a reader looks at, and those that tell how a file came to be (`TrainerSpec`).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct TrainerSpec {
    /// 1 unigram, 2 BPE, 3 words, 4 characters.
    pub model_type: u64,
    /// Whether unknown characters become bytes.
    pub byte_fallback: bool,
    /// Whether words end, rather than start, with their white space.
    pub whitespace_as_suffix: bool,
    /// What `<unk>` decodes to.
    pub unk_surface: String,
    /// Share of all characters that have a piece.
    pub character_coverage: f32,
}

/// The file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ModelProto {
    pub pieces: Vec<Piece>,
    pub trainer: TrainerSpec,
    pub normalizer: NormalizerSpec,
    /// Whether decoded text is to be normalised, too.
    pub denormalizes: bool,
}

/// A field's value. Lengths and numbers come as they are in the file.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Float(f32),
    Other,
}

impl<'a> Value<'a> {
    fn bytes(&self) -> Result<&'a [u8], String> {
        match self {
            Value::Bytes(bytes) => Ok(bytes),
            _ => Err(not_a_model()),
        }
    }

    fn text(&self) -> Result<String, String> {
        let text = std::str::from_utf8(self.bytes()?);
        text.map(str::to_owned).map_err(|_| not_a_model())
    }

    fn number(&self) -> Result<u64, String> {
        match self {
            Value::Number(number) => Ok(*number),
            _ => Err(not_a_model()),
        }
    }

    fn float(&self) -> Result<f32, String> {
        match self {
            Value::Float(float) => Ok(*float),
            _ => Err(not_a_model()),
        }
    }
}

fn not_a_model() -> String {
    "is no SentencePiece model, or damaged; give a file that `t5 vocab train` or sentencepiece wrote, \
     such as T5's spiece.model"
        .to_owned()
}

/// Calls `see` with the number and value of each field of a message.
fn fields<'a>(mut message: &'a [u8], mut see: impl FnMut(u64, Value<'a>) -> Result<(), String>) -> Result<(), String> {
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        let value = match tag & 7 {
            0 => Value::Number(varint(&mut message)?),
            1 => {
                take(&mut message, 8)?;
                Value::Other
            }
            2 => {
                let length = varint(&mut message)?;
                Value::Bytes(take(&mut message, usize::try_from(length).unwrap_or(usize::MAX))?)
            }
            5 => {
                let bytes = take(&mut message, 4)?;
                Value::Float(f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
            }
            _ => return Err(not_a_model()),
        };
        if tag >> 3 == 0 {
            return Err(not_a_model());
        }
        see(tag >> 3, value)?;
    }
    Ok(())
}

fn take<'a>(message: &mut &'a [u8], length: usize) -> Result<&'a [u8], String> {
    let (head, tail) = message.split_at_checked(length).ok_or_else(not_a_model)?;
    *message = tail;
    Ok(head)
}

fn varint(message: &mut &[u8]) -> Result<u64, String> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(message, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err(not_a_model())
}

impl ModelProto {
    /// Reads a file's content; the error is a sentence about the file.
    pub fn parse(file: &[u8]) -> Result<ModelProto, String> {
        let mut model = ModelProto {
            pieces: Vec::new(),
            // The defaults of sentencepiece_model.proto.
            trainer: TrainerSpec {
                model_type: 1,
                byte_fallback: false,
                whitespace_as_suffix: false,
                unk_surface: UNK_SURFACE.to_owned(),
                character_coverage: 0.9995,
            },
            normalizer: NormalizerSpec {
                name: String::new(),
                charsmap: Vec::new(),
                add_dummy_prefix: true,
                remove_extra_whitespaces: true,
                escape_whitespaces: true,
            },
            denormalizes: false,
        };
        let mut has_rules = false;
        fields(file, |number, value| {
            has_rules |= number == 3;
            match number {
                1 => model.pieces.push(parse_piece(value.bytes()?)?),
                2 => model.trainer.parse(value.bytes()?)?,
                3 => model.normalizer.parse(value.bytes()?)?,
                5 => fields(value.bytes()?, |number, value| {
                    model.denormalizes |= number == 2 && !value.bytes()?.is_empty();
                    Ok(())
                })?,
                _ => {}
            }
            Ok(())
        })?;
        if model.pieces.is_empty() {
            return Err(not_a_model());
        }
        // They come after the pieces. Without them, a file that was cut between two pieces would pass for a small one.
        if !has_rules {
            return Err("ends before its normalisation rules; take another copy of the file".to_owned());
        }
        Ok(model)
    }

    /// The file's content: the same model gives the same bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut file = Vec::new();
        for piece in &self.pieces {
            let mut message = Vec::new();
            put_bytes(&mut message, 1, piece.text.as_bytes());
            put_float(&mut message, 2, piece.score);
            if piece.kind != PieceKind::Normal {
                put_number(&mut message, 3, piece.kind as u64);
            }
            put_bytes(&mut file, 1, &message);
        }
        put_bytes(&mut file, 2, &self.trainer.to_bytes(&self.pieces));
        put_bytes(&mut file, 3, &self.normalizer.to_bytes());
        file
    }
}

/// SentencePiece's default for what `<unk>` decodes to.
pub(crate) const UNK_SURFACE: &str = " \u{2047} ";

fn parse_piece(message: &[u8]) -> Result<Piece, String> {
    let mut piece = Piece {
        text: String::new(),
        score: 0.0,
        kind: PieceKind::Normal,
    };
    fields(message, |number, value| {
        match number {
            1 => piece.text = value.text()?,
            2 => piece.score = value.float()?,
            3 => {
                let wanted = value.number()?;
                let known = PieceKind::ALL.into_iter().map(|(kind, _)| kind);
                let mut known = known.filter(|kind| *kind as u64 == wanted);
                piece.kind = known.next().ok_or_else(not_a_model)?;
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(piece)
}

impl TrainerSpec {
    fn parse(&mut self, message: &[u8]) -> Result<(), String> {
        fields(message, |number, value| {
            match number {
                3 => self.model_type = value.number()?,
                10 => self.character_coverage = value.float()?,
                24 => self.whitespace_as_suffix = value.number()? != 0,
                35 => self.byte_fallback = value.number()? != 0,
                44 => self.unk_surface = value.text()?,
                _ => {}
            }
            Ok(())
        })
    }

    /// Ids of special pieces are written too: sentencepiece finds `pad_id()` by the piece's name, but tools print
    /// these.
    fn to_bytes(&self, pieces: &[Piece]) -> Vec<u8> {
        let mut message = Vec::new();
        put_number(&mut message, 3, self.model_type);
        put_number(&mut message, 4, pieces.len() as u64);
        put_float(&mut message, 10, self.character_coverage);
        if self.byte_fallback {
            put_number(&mut message, 35, 1);
        }
        let special = [(40, "<unk>"), (41, "<s>"), (42, "</s>"), (43, "<pad>")];
        for (number, name) in special {
            let id = pieces.iter().position(|piece| piece.text == name);
            // A negative int32 is written as 64 bits.
            put_number(&mut message, number, id.map_or(u64::MAX, |id| id as u64));
        }
        put_bytes(&mut message, 44, self.unk_surface.as_bytes());
        for (number, name) in [(45, "<unk>"), (46, "<s>"), (47, "</s>"), (48, "<pad>")] {
            put_bytes(&mut message, number, name.as_bytes());
        }
        message
    }
}

impl NormalizerSpec {
    fn parse(&mut self, message: &[u8]) -> Result<(), String> {
        fields(message, |number, value| {
            match number {
                1 => self.name = value.text()?,
                2 => self.charsmap = value.bytes()?.to_vec(),
                3 => self.add_dummy_prefix = value.number()? != 0,
                4 => self.remove_extra_whitespaces = value.number()? != 0,
                5 => self.escape_whitespaces = value.number()? != 0,
                _ => {}
            }
            Ok(())
        })
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut message = Vec::new();
        put_bytes(&mut message, 1, self.name.as_bytes());
        put_bytes(&mut message, 2, &self.charsmap);
        put_number(&mut message, 3, self.add_dummy_prefix.into());
        put_number(&mut message, 4, self.remove_extra_whitespaces.into());
        put_number(&mut message, 5, self.escape_whitespaces.into());
        message
    }
}
