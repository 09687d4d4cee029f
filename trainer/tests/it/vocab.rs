//! Vocabularies: ids against PyPI `sentencepiece`, the library itself; files that are none; training.
//! Above 500 lines: all of it stands on the same few helpers and the one trained file.

use crate::common::corpus::{good_text, prose, write_two};
use crate::common::{python, shared};
use flate2::read::MultiGzDecoder;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use rayon::prelude::*;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use t5_trainer::Vocab;
use t5_trainer::internals::PieceKind;
use t5_trainer::internals::vocab_train::{Counter, TrainOptions, WordCounts, train};

/// Licence Apache-2.0; the reference, and what others open our files with.
const SENTENCEPIECE: &str = "sentencepiece==0.2.3";

/// What the vocabularies here are made of.
fn texts() -> [String; 2] {
    [prose(1, 700), prose(2, 700)]
}

fn counts() -> WordCounts {
    let counter = Counter::new().unwrap();
    let mut counts = WordCounts::default();
    for text in texts() {
        for line in text.lines() {
            counter.add(&mut counts, line);
        }
    }
    counts
}

fn small(size: u32, with_sentinels: bool) -> Vec<u8> {
    let options = TrainOptions {
        size,
        with_sentinels,
        ..TrainOptions::default()
    };
    train(counts(), &options, |_| ()).unwrap()
}

/// A vocabulary of 700 pieces made of our own prose.
fn file() -> &'static [u8] {
    static FILE: OnceLock<Vec<u8>> = OnceLock::new();
    FILE.get_or_init(|| small(700, false))
}

fn save(dir: &Path, file: &[u8]) -> PathBuf {
    let path = dir.join("spiece.model");
    fs::write(&path, file).unwrap();
    path
}

fn open(file: &[u8]) -> Result<Vocab, String> {
    let dir = tempfile::tempdir().unwrap();
    Vocab::open(&save(dir.path(), file)).map_err(|e| e.to_string())
}

fn encode(vocab: &Vocab, text: &str) -> Vec<u32> {
    let mut ids = Vec::new();
    vocab.encode(text, &mut ids);
    ids
}

/// Texts that are hard on a tokenizer.
fn hard_texts() -> Vec<String> {
    let mut texts: Vec<String> = [
        "",
        " ",
        " \t\r\n\u{3000}\u{a0}\u{200b}",
        "\n\n\na\n\nb\n",
        "a\0b \0 \0\0",
        "\u{1}\u{2}\u{7f}\u{85}",
        "👍🏽👩‍👩‍👧‍👦🇩🇪 ☺️",
        "e\u{301}e\u{301} \u{301}a ¨ a¨ ´x",
        "ＡＢＣ１２３ ﬁ ㌀ ﷺ ½ ①",
        "▁",
        "▁a ▁ b▁ ▁▁c▁",
        "a▁",
        "{x} ~ \\ < ^ {}{}{} ~~~",
        "日本語のテキスト。中文文本。한국어",
        "<extra_id_0 <extra_id_> <extra_id_100> <unk> </s> <pad>",
        "\u{feff}bom \u{fffd} \u{ffff} \u{10ffff}",
        "I'm it's 3.14159 1,000,000 #hash @at http://a.example/?q=1&r=2",
    ]
    .map(str::to_owned)
    .into();
    // Where rounding decides.
    for unit in ["!", "0", "=", "-", "a", "ha", "é", "👍", "の", "~", "! "] {
        for n in [2, 3, 7, 50, 1000] {
            texts.push(unit.repeat(n));
            texts.push(format!("{} {}", "Some words before it. ".repeat(n), unit.repeat(n)));
        }
    }
    texts.push("x".repeat(100_000));
    texts.push("The end of the river. ".repeat(20_000));
    // Made up of all sorts of characters.
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let pool: Vec<char> = "aeiounrst  \n\t.,!0189ÄéßñžФжидا中の한👍\u{301}\u{308}\u{200d}\u{3000}½ﬁ▁{~\0\u{1}"
        .chars()
        .collect();
    for _ in 0..2000 {
        let length = random.next_u32() % 60;
        let text = (0..length).map(|_| match random.next_u32() % 8 {
            0 => char::from_u32(random.next_u32() % 0x3000).unwrap_or('x'),
            _ => pool[random.next_u32() as usize % pool.len()],
        });
        texts.push(text.collect());
    }
    texts
}

/// Ids and decoded text of each text by the library; `None` where it cannot be had.
fn reference(model: &Path, texts: &[String]) -> Option<Vec<(Vec<u32>, String)>> {
    let python = python::python("venv-sentencepiece", SENTENCEPIECE)?;
    let dir = tempfile::tempdir().unwrap();
    let (input, output) = (dir.path().join("in"), dir.path().join("out"));
    fs::write(&input, serde_json::to_vec(texts).unwrap()).unwrap();
    let script = "
import json, sys, sentencepiece
model, texts, out = sys.argv[1:]
processor = sentencepiece.SentencePieceProcessor(model_file=model)
texts = json.load(open(texts, encoding='utf-8'))
ids = [processor.encode(text) for text in texts]
json.dump([(i, processor.decode(i)) for i in ids], open(out, 'w', encoding='utf-8'))
";
    let status = Command::new(python)
        .args(["-c", script])
        .args([model, &input, &output])
        .status();
    assert!(status.unwrap().success());
    Some(serde_json::from_slice(&fs::read(output).unwrap()).unwrap())
}

fn assert_same(model: &Path, texts: &[String]) {
    let vocab = Vocab::open(model).unwrap();
    let Some(expected) = reference(model, texts) else {
        return;
    };
    assert_eq!(expected.len(), texts.len());
    for (text, (ids, decoded)) in texts.iter().zip(expected) {
        let start: String = text.chars().take(200).collect();
        // The second time from memory.
        for _ in 0..2 {
            assert_eq!(encode(&vocab, text), ids, "{start:?}");
        }
        assert_eq!(vocab.decode(&ids), decoded, "{start:?}");
    }
}

#[test]
fn hard_texts_have_the_ids_of_the_library() {
    let dir = tempfile::tempdir().unwrap();
    let texts = hard_texts();
    assert_same(&save(dir.path(), file()), &texts);
    if let Some(t5) = shared("data/spm/t5_spiece.model") {
        assert_same(&t5, &texts);
    }
    if let Some(tiny) = shared("data/spm/seqio_test_26.model") {
        assert_same(&tiny, &texts);
    }
}

#[test]
fn real_texts_have_the_ids_of_the_library() {
    let (Some(t5), Some(c4)) = (shared("data/spm/t5_spiece.model"), shared("data/c4/c4-en-500.json.gz")) else {
        return;
    };
    let mut texts = String::new();
    let read = MultiGzDecoder::new(File::open(c4).unwrap()).read_to_string(&mut texts);
    read.unwrap();
    let text = |line| serde_json::from_str::<serde_json::Value>(line).unwrap()["text"].clone();
    let mut texts: Vec<String> = texts
        .lines()
        .map(|line| text(line).as_str().unwrap().to_owned())
        .collect();
    assert_eq!(texts.len(), 500);
    // A WET in many languages, headers and all, as one text and line by line.
    let wet = shared("data/wet/whatsinthebox-restored.warc.wet.gz").unwrap();
    let mut all = Vec::new();
    let read = MultiGzDecoder::new(File::open(wet).unwrap()).read_to_end(&mut all);
    read.unwrap();
    let all = String::from_utf8(all).unwrap();
    texts.extend(all.lines().map(str::to_owned));
    texts.push(all);
    assert_same(&t5, &texts);
    let dir = tempfile::tempdir().unwrap();
    assert_same(&save(dir.path(), file()), &texts);
}

#[test]
fn layout_is_that_of_t5() {
    let mut files = vec![(open(file()).unwrap(), 700)];
    let with_sentinels = small(700, true);
    assert!(with_sentinels.len() > file().len());
    files.push((open(&with_sentinels).unwrap(), 700));
    if let Some(t5) = shared("data/spm/t5_spiece.model") {
        files.push((Vocab::open(&t5).unwrap(), 32_000));
    }
    for (vocab, size) in &files {
        assert_eq!((vocab.pad(), vocab.eos(), vocab.unk()), (0, 1, 2));
        assert_eq!((vocab.size(), vocab.sentinels()), (size + 100, 100));
        assert_eq!(vocab.sentinel(0), Some(size + 99));
        assert_eq!(vocab.sentinel(99), Some(*size));
        assert_eq!(vocab.sentinel(100), None);
        assert_eq!(vocab.id("<extra_id_7>"), Some(size + 92));
        assert_eq!(vocab.id("▁<extra_id_7>"), Some(size + 92));
        assert_eq!((vocab.id("</s>"), vocab.id("no such piece")), (Some(1), None));
        let sentinel = vocab.piece(size + 99).unwrap();
        assert_eq!(
            (&*sentinel.text, sentinel.kind),
            ("▁<extra_id_0>", PieceKind::UserDefined)
        );
        assert!(vocab.piece(size + 100).is_none());
    }
    // The sentinels in the file change no id of a text.
    for text in hard_texts() {
        assert_eq!(encode(&files[0].0, &text), encode(&files[1].0, &text));
    }
}

#[test]
fn sentinels_are_typed_but_never_read_from_a_corpus() {
    for with_sentinels in [false, true] {
        let vocab = open(&small(700, with_sentinels)).unwrap();
        let text = "The <extra_id_0> of the<extra_id_1> file <extra_id_100> <extra_id_07> <extra_id_99>";
        let first_sentinel = vocab.size() - vocab.sentinels();
        let corpus = encode(&vocab, text);
        assert!(corpus.iter().all(|id| *id < first_sentinel), "{corpus:?}");
        let mut typed = Vec::new();
        vocab.encode_with_sentinels(text, &mut typed);
        let sentinels: Vec<u32> = typed.iter().copied().filter(|id| *id >= first_sentinel).collect();
        assert_eq!(sentinels, [799, 798, 700]);
        let between = encode(&vocab, " file <extra_id_100> <extra_id_07> ");
        assert!(typed.windows(between.len()).any(|ids| ids == between));
        assert_eq!(typed[0], encode(&vocab, "The")[0]);
        let shown = vocab.decode(&typed);
        assert!(
            shown.starts_with("The <extra_id_0> of the <extra_id_1> file"),
            "{shown}"
        );
    }
}

#[test]
fn texts_come_back() {
    let vocab = open(file()).unwrap();
    for (text, wanted) in [
        ("What is a page?", "What is a page?"),
        ("  spaces \n are   one ", "spaces are one"),
        ("", ""),
        ("a 日 b", "a  ⁇  b"),
    ] {
        assert_eq!(vocab.decode(&encode(&vocab, text)), wanted);
    }
    // Special ids vanish, ids that are none show.
    assert_eq!(vocab.decode(&[0, 1, 1]), "");
    assert_eq!(vocab.decode(&[5000]), "\u{fffd}");
}

#[test]
fn threads_agree() {
    let vocab = open(file()).unwrap();
    let all = texts();
    let texts: Vec<&str> = all.iter().flat_map(|text| text.lines()).collect();
    let alone: Vec<Vec<u32>> = texts.iter().map(|text| encode(&open(file()).unwrap(), text)).collect();
    let many = (0..50).into_par_iter().flat_map(|_| texts.par_iter());
    let many: Vec<Vec<u32>> = many.map(|text| encode(&vocab, text)).collect();
    for round in many.chunks(texts.len()) {
        assert_eq!(round, alone);
    }
}

#[test]
fn a_word_of_a_million_characters_takes_linear_time() {
    let vocab = open(file()).unwrap();
    let word = "characters".repeat(100_000);
    let ids = encode(&vocab, &word);
    assert_eq!(vocab.decode(&ids), word);
    let rare = "日".repeat(1_000_000);
    assert!(encode(&vocab, &rare).len() <= 2);
}

/// A field of bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut field = vec![number << 3 | 2, u8::try_from(bytes.len()).unwrap()];
    field.extend_from_slice(bytes);
    field
}

/// Where many ways through a word have nearly the same score, and versions of the library differ. `runs_of_marks.txt`
/// was made by sentencepiece 0.2.3 (0.2.2 gives the same) with T5's model: of each run of 1 to 64 `!` and `.` the
/// lengths of its pieces.
#[test]
fn runs_of_marks_are_cut_as_the_newest_library_does() {
    // T5's pieces of marks alone, with their scores.
    let pieces: [(&str, f32); 13] = [
        ("\u{2581}", -2.012_292_9),
        (".", -3.544_932_8),
        ("!", -6.421_379_6),
        ("...", -8.030_11),
        ("!!", -9.916_285_5),
        ("....", -10.446_938_5),
        ("!!!", -10.558_544),
        (".....", -11.624_943),
        ("!!!!", -11.968_652),
        ("......", -12.076_405),
        ("!!!!!", -12.307_87),
        ("........", -12.512_93),
        ("................", -12.716_879),
    ];
    let mut small = Vec::new();
    for (name, kind) in [("<pad>", 3), ("</s>", 3), ("<unk>", 2)] {
        small.extend(field(1, &[field(1, name.as_bytes()), vec![3 << 3, kind]].concat()));
    }
    for (piece, score) in pieces {
        let score = [&[2 << 3 | 5][..], &score.to_le_bytes()].concat();
        small.extend(field(1, &[field(1, piece.as_bytes()), score].concat()));
    }
    small.extend(field(3, b""));
    let mut vocabs = vec![open(&small).unwrap()];
    vocabs.extend(shared("data/spm/t5_spiece.model").map(|t5| Vocab::open(&t5).unwrap()));
    let runs = include_str!("runs_of_marks.txt");
    assert_eq!(runs.lines().count(), 128);
    for line in runs.lines() {
        let (mark, lengths) = line.split_once(' ').unwrap();
        let lengths: Vec<usize> = lengths.split(' ').map(|n| n.parse().unwrap()).collect();
        let run = mark.repeat(lengths.iter().sum());
        for vocab in &vocabs {
            // The second time from memory.
            for _ in 0..2 {
                let ids = encode(vocab, &run);
                let cut = ids[1..].iter().map(|id| vocab.piece(*id).unwrap().text.len());
                assert_eq!(vocab.piece(ids[0]).unwrap().text, "\u{2581}");
                assert_eq!(cut.collect::<Vec<_>>(), lengths, "{run}");
            }
        }
    }
}

#[test]
fn other_files_are_refused_with_the_reason() {
    let refused = |file: &[u8], reason: &str| {
        let error = open(file).unwrap_err();
        assert!(error.contains(reason), "{error}, not {reason}");
        assert!(error.contains("spiece.model: "), "{error}");
    };
    let with = |more: &[u8]| [file(), more].concat();
    let replaced = |from: &str, to: &str| {
        let at = memchr::memmem::find(file(), from.as_bytes()).unwrap();
        let mut file = file().to_vec();
        file[at..at + from.len()].copy_from_slice(to.as_bytes());
        file
    };
    refused(b"", "is no SentencePiece model");
    refused(b"[package]\nname = \"no model\"\n", "is no SentencePiece model");
    refused(&vec![0; 5000], "is no SentencePiece model");
    // Two fields of one message are one: these change the training's settings.
    refused(&with(&field(2, &[3 << 3, 2])), "is a BPE model");
    refused(&with(&field(2, &[3 << 3, 4])), "is a character model");
    refused(&with(&field(2, &[0x98, 2, 1])), "has no pieces for all of them");
    refused(&with(&byte_piece("<0x41>")), "no byte_fallback");
    refused(&with(&byte_piece("<0xga>")), "which is none");
    refused(&replaced("</s>", "</t>"), "has no </s>");
    refused(&replaced("<pad>", "<pat>"), "has no <pad> as id 0");
    refused(
        &with(&field(1, &field(1, "▁the".as_bytes()))),
        "has the piece `▁the` twice",
    );
    refused(&with(&field(1, &field(1, b""))), "has an empty piece");
    let not_a_number = [&field(1, b"zz")[..], &[2 << 3 | 5], &f32::NAN.to_le_bytes()].concat();
    refused(&with(&field(1, &not_a_number)), "is no number");
    refused(
        &with(&field(1, &field(1, b"<extra_id_3>"))),
        "only its last 0 are in T5's order",
    );
    refused(&with(&field(3, &field(2, &[1; 100]))), "rules are damaged");
    // Cut anywhere, also between two pieces.
    for cut in (0..1000).chain([file().len() / 2, file().len() - 1]) {
        assert!(open(&file()[..cut]).is_err(), "{cut}");
    }
    let missing = Vocab::open(Path::new("no/such/spiece.model")).unwrap_err();
    assert!(missing.to_string().contains("no/such/spiece.model"));
}

/// A piece of a byte, in a file.
fn byte_piece(name: &str) -> Vec<u8> {
    field(1, &[field(1, name.as_bytes()), vec![3 << 3, 6]].concat())
}

/// The file with a piece for each byte, to which unknown characters fall back: mT5's kind.
fn with_bytes() -> Vec<u8> {
    let bytes: Vec<u8> = (0..=255)
        .flat_map(|byte| byte_piece(&format!("<0x{byte:02X}>")))
        .collect();
    [file(), &bytes, &field(2, &[0x98, 2, 1])].concat()
}

#[test]
fn unknown_characters_become_bytes_as_in_the_library() {
    let dir = tempfile::tempdir().unwrap();
    let model = save(dir.path(), &with_bytes());
    let mut texts = hard_texts();
    // Often enough to be remembered, and long.
    texts.push("日本 日本 x日x 日本 👍 👍 ".repeat(2000));
    texts.push("日".repeat(100_000));
    assert_same(&model, &texts);
    // Of any ids, also where bytes are no characters.
    let vocab = Vocab::open(&model).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(3);
    let mut any = |length: u32| -> Vec<u32> {
        let ids = (0..length).map(|_| match random.next_u32() % 4 {
            0 => random.next_u32() % 700,
            _ => 700 + random.next_u32() % 256,
        });
        ids.collect()
    };
    let mut runs: Vec<Vec<u32>> = (0..2000).map(|i| any(i % 12)).collect();
    // Characters of two to four bytes, cut and whole; a surrogate, too long a form, U+FFFD itself.
    for bytes in [
        &b"\xc3\xa9\xe6\x97\xa5\xf0\x9f\x91\x8d"[..],
        b"\xe6\x97",
        b"\xed\xa0\x80",
        b"\xc0\x80\xe0\x80\x80",
        b"\xef\xbf\xbd\xff\xfe",
        b"\xf4\x90\x80\x80\xf8\x88\x80\x80\x80",
    ] {
        runs.push(bytes.iter().map(|byte| 700 + u32::from(*byte)).collect());
    }
    let Some(python) = python::python("venv-sentencepiece", SENTENCEPIECE) else {
        return;
    };
    let (input, output) = (dir.path().join("ids"), dir.path().join("decoded"));
    fs::write(&input, serde_json::to_vec(&runs).unwrap()).unwrap();
    let script = "
import json, sys, sentencepiece
model, ids, out = sys.argv[1:]
processor = sentencepiece.SentencePieceProcessor(model_file=model)
json.dump([processor.decode(i) for i in json.load(open(ids))], open(out, 'w', encoding='utf-8'))
";
    let status = Command::new(python)
        .args(["-c", script])
        .args([&model, &input, &output])
        .status();
    assert!(status.unwrap().success());
    let decoded: Vec<String> = serde_json::from_slice(&fs::read(output).unwrap()).unwrap();
    for (ids, decoded) in runs.iter().zip(decoded) {
        assert_eq!(vocab.decode(ids), decoded, "{ids:?}");
    }
}

#[test]
fn user_defined_pieces_are_kept_whole() {
    let piece = [&field(1, "<br> ﬁ".as_bytes())[..], &[3 << 3, 4]].concat();
    let with_piece = [file(), &field(1, &piece)].concat();
    let vocab = open(&with_piece).unwrap();
    assert_eq!(vocab.id("<br> ﬁ"), Some(700));
    let dir = tempfile::tempdir().unwrap();
    let mut texts = hard_texts();
    texts.push("a <br> ﬁ b<br> ﬁ c".to_owned());
    assert_same(&save(dir.path(), &with_piece), &texts);
}

#[test]
fn training_depends_on_counts_alone() {
    for threads in [1, 3] {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        assert!(pool.build().unwrap().install(|| small(700, false)) == file());
    }
    // What is counted apart and in another order is the same.
    let counter = Counter::new().unwrap();
    let mut reversed = WordCounts::default();
    for text in texts().iter().rev() {
        let mut part = WordCounts::default();
        for line in text.lines().rev() {
            counter.add(&mut part, line);
        }
        reversed = part.merge(reversed);
    }
    let options = TrainOptions {
        size: 700,
        ..TrainOptions::default()
    };
    assert!(train(reversed, &options, |_| ()).unwrap() == file());
}

#[test]
fn pieces_are_sorted_distinct_and_of_one_script() {
    let vocab = open(file()).unwrap();
    let normal = &vocab.pieces()[3..700];
    assert!(normal.is_sorted_by(|a, b| a.score >= b.score));
    assert!(
        normal
            .iter()
            .all(|piece| piece.score < 0.0 && piece.kind == PieceKind::Normal)
    );
    for piece in normal {
        let text = piece.text.strip_prefix('▁').unwrap_or(&piece.text);
        assert!(piece.text.chars().count() <= 16 && !text.contains('▁'), "{piece:?}");
        let letters = text.chars().filter(|c| c.is_alphabetic()).count();
        let all = text.chars().count();
        assert!([0, all].contains(&letters), "{piece:?}");
    }
    // The probabilities of a unigram model add up to one, or less where pieces were left out.
    let sum: f64 = normal.iter().map(|piece| f64::from(piece.score).exp()).sum();
    assert!((0.9..1.001).contains(&sum), "{sum}");
    // What the texts are full of.
    for word in ["▁the", "▁and", "▁of", "ed"] {
        assert!(vocab.id(word).is_some(), "{word}");
    }
}

#[test]
fn sizes_that_cannot_be_are_refused() {
    let trained = |size, coverage| {
        let options = TrainOptions {
            size,
            coverage,
            with_sentinels: false,
        };
        train(counts(), &options, |_| ()).map_err(|e| e.to_string())
    };
    assert!(
        trained(20, 0.9995)
            .unwrap_err()
            .contains("too small for the sample's characters")
    );
    assert!(trained(1_000_000, 0.9995).unwrap_err().contains("take a larger sample"));
    assert!(trained(700, 1.5).unwrap_err().contains("give a share"));
    let nothing = train(WordCounts::default(), &TrainOptions::default(), |_| ());
    assert!(nothing.unwrap_err().to_string().contains("no words"));
}

fn corpus(dir: &Path, name: &str, pages: impl Iterator<Item = String>) -> PathBuf {
    let url = |(i, text): (usize, String)| (format!("http://{name}.example/{i}"), text);
    let (validation, train) = pages.enumerate().map(url).partition(|(url, _)| url.ends_with("00"));
    write_two(&dir.join(name), train, validation)
}

fn t5(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_t5")).args(arguments).output().unwrap()
}

/// What a command that must succeed prints on stdout.
fn printed(arguments: &[&str]) -> String {
    let output = t5(arguments);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn commands() {
    let dir = tempfile::tempdir().unwrap();
    let houses = corpus(dir.path(), "houses", (0..400).map(good_text));
    let ships = corpus(
        dir.path(),
        "ships",
        (0..400).map(|i| good_text(i).replace("river", "harbour").replace("apples", "anchors")),
    );
    let (houses, ships) = (houses.to_str().unwrap(), ships.to_str().unwrap());
    let file = dir.path().join("ours.model");
    let file = file.to_str().unwrap();
    let other = dir.path().join("other.model");
    let other = other.to_str().unwrap();
    let weighted = [format!("{houses}=3"), format!("{ships}=1")];
    let trained = |threads: &str| {
        let size = ["--size", "120", "-o", file, "--threads", threads, "--overwrite"];
        let arguments = [&["vocab", "train", &weighted[0], &weighted[1]], &size[..]].concat();
        let output = t5(&arguments);
        assert!(output.status.success(), "{output:?}");
        assert!(output.stdout.is_empty());
        (fs::read(file).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (first, said) = trained("1");
    assert!(trained("3").0 == first);
    // Of the smaller part a third.
    let documents = |name: &str| -> f64 {
        let line = said.lines().find(|line| line.contains(&format!("{name}: "))).unwrap();
        let number = line.split(": ").nth(1).unwrap().split(' ').next().unwrap();
        number.parse().unwrap()
    };
    let ratio = documents("houses") / documents("ships");
    assert!((2.3..3.9).contains(&ratio), "{ratio}: {said}");
    assert!(said.contains("would change the mixture"), "{said}");

    let shown = printed(&["vocab", "show", file]);
    assert!(shown.contains("220 ids: 120 pieces and 100 sentinels"), "{shown}");
    assert!(printed(&["vocab", "show", file, "--id", "219"]).contains("▁<extra_id_0>"));
    assert!(printed(&["vocab", "show", file, "--piece", " river"]).contains("▁river"));
    let text = "nobody asked <extra_id_0> the river";
    let pieces = printed(&["tokenize", "--vocab", file, text]);
    assert!(pieces.contains("▁<extra_id_0>:219"), "{pieces}");
    let ids = printed(&["tokenize", "--vocab", file, "--ids", text]);
    let decoded = printed(&["tokenize", "--vocab", file, "--decode", ids.trim()]);
    assert_eq!(decoded.trim_end(), text);

    for (arguments, reason) in [
        (&["vocab", "show", file, "--id", "220"][..], "they are 0 to 219"),
        (&["vocab", "show", file, "--piece", "xyzzy"], "has no piece"),
        (&["tokenize", "--vocab", file, "--decode", "1 x"], "`x` is no id"),
        (&["vocab", "train", "nowhere", "-o", other], "is not there"),
        (&["vocab", "train", &format!("{houses}=-1"), "-o", other], "above 0"),
        (
            &["vocab", "train", &format!("{houses}:de"), "-o", other],
            "by_language = true",
        ),
        (&["vocab", "train", houses, "-o", "no/such/folder/x"], "no/such/folder"),
    ] {
        let output = t5(arguments);
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            !output.status.success() && said.contains(reason),
            "{said}, not {reason}"
        );
    }
}
