//! `t5 tokenize`.

use super::output::Stdout;
use crate::vocab::Vocab;
use anyhow::Context;
use clap::Args;
use std::io::{BufRead, BufWriter, Write, stdin};
use std::path::PathBuf;

/// Cuts texts into pieces: each piece with its id, one text a line. `<extra_id_0>` is taken for the sentinel.
#[derive(Debug, Args)]
pub(crate) struct Tokenize {
    /// The vocabulary, a SentencePiece model.
    #[arg(long, value_name = "FILE")]
    vocab: PathBuf,
    /// Print ids alone.
    #[arg(long)]
    ids: bool,
    /// Take ids, separated by spaces, and print their text.
    #[arg(long, conflicts_with = "ids")]
    decode: bool,
    /// The text; without it, each line of standard input is one.
    text: Option<String>,
}

pub(crate) fn run(args: &Tokenize) -> anyhow::Result<()> {
    let vocab = Vocab::open(&args.vocab)?;
    let mut out = BufWriter::new(Stdout);
    if let Some(text) = &args.text {
        print(args, &vocab, text, &mut out)?;
        return Ok(out.flush()?);
    }
    let mut input = stdin().lock();
    let mut line = Vec::new();
    while input.read_until(b'\n', &mut line).context("standard input")? > 0 {
        // As in SentencePiece, what is no UTF-8 is U+FFFD.
        let text = String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(&line));
        print(args, &vocab, &text, &mut out)?;
        line.clear();
    }
    Ok(out.flush()?)
}

fn print(args: &Tokenize, vocab: &Vocab, text: &str, out: &mut impl Write) -> anyhow::Result<()> {
    let mut ids = Vec::new();
    if args.decode {
        for word in text.split_whitespace() {
            let id: Option<u32> = word.parse().ok().filter(|id| *id < vocab.size());
            ids.push(id.with_context(|| format!("`{word}` is no id; they are 0 to {}", vocab.size() - 1))?);
        }
        writeln!(out, "{}", vocab.decode(&ids))?;
        return Ok(());
    }
    vocab.encode_with_sentinels(text, &mut ids);
    for (i, &id) in ids.iter().enumerate() {
        let gap = if i > 0 { " " } else { "" };
        match vocab.piece(id).filter(|_| !args.ids) {
            Some(piece) => write!(out, "{gap}{}:{id}", piece.text.escape_debug())?,
            None => write!(out, "{gap}{id}")?,
        }
    }
    writeln!(out)?;
    Ok(())
}
