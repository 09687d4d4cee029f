//! `t5 vocab`.

use super::output::{Stdout, count, tell};
use super::settings::{RowArgs, ThreadsArg, tell_of_first_read};
use crate::rows::Source;
use crate::vocab::PieceKind;
use crate::vocab::Vocab;
use crate::vocab::train::{Counter, Progress, TrainOptions, sample, train, write};
use anyhow::Context;
use clap::{Args, Subcommand};
use indicatif::DecimalBytes;
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::time::Instant;

/// Vocabularies: SentencePiece models with unigram scores.
#[derive(Debug, Args)]
pub(crate) struct VocabArgs {
    #[command(subcommand)]
    command: VocabCommand,
}

#[derive(Debug, Subcommand)]
enum VocabCommand {
    /// Make a vocabulary with T5's layout from corpora.
    Train(Train),
    /// Show what is in a vocabulary.
    Show(Show),
}

/// Trains on a sample of the corpora's train splits. The same corpora and settings give the same file, on any number of
/// threads.
#[derive(Debug, Args)]
struct Train {
    /// Corpora of `c4 build`, or folders, patterns or files of JSON, Parquet, Arrow or text, as PATH, PATH=WEIGHT, or
    /// PATH:LANGUAGE=WEIGHT; T5's mixture is English 10, German 1, French 1, Romanian 1.
    #[arg(required = true, value_name = "CORPUS[=WEIGHT]", value_parser = Source::parse)]
    corpora: Vec<Source>,
    #[command(flatten)]
    rows: RowArgs,
    /// Where to write the vocabulary.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// Number of pieces, not counting the 100 sentinels.
    #[arg(long, default_value_t = 32_000, value_name = "PIECES")]
    size: u32,
    /// Size of the sample in megabytes of text.
    #[arg(long, default_value_t = 1000, value_name = "MB")]
    megabytes: u64,
    /// Share of all characters that are sure of a piece.
    #[arg(long, default_value_t = 0.9995, value_name = "SHARE")]
    coverage: f64,
    /// Another seed draws another sample.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Write the sentinels into the file. T5's own file has none, and Hugging Face and seqio append theirs to whatever
    /// the file has; choose this for programs that use the sentencepiece library alone.
    #[arg(long)]
    with_sentinels: bool,
    /// Write over a file that is there.
    #[arg(long)]
    overwrite: bool,
    #[command(flatten)]
    threads: ThreadsArg,
}

/// Shows counts, lengths and scores; or single pieces.
#[derive(Debug, Args)]
struct Show {
    /// The vocabulary, a SentencePiece model.
    file: PathBuf,
    /// Look up this piece; white space at its start may be written as a space.
    #[arg(long, value_name = "TEXT")]
    piece: Option<String>,
    /// Look up this id.
    #[arg(long, conflicts_with = "piece")]
    id: Option<u32>,
    /// List so many of the most probable and of the longest pieces.
    #[arg(long, default_value_t = 10, value_name = "N")]
    top: usize,
}

pub(crate) fn run(args: VocabArgs) -> anyhow::Result<()> {
    match args.command {
        VocabCommand::Train(args) => run_train(&args),
        VocabCommand::Show(args) => run_show(&args),
    }
}

fn run_train(args: &Train) -> anyhow::Result<()> {
    let start = Instant::now();
    // Not after an hour's work.
    let folder = args.output.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        anyhow::bail!("{}: no such folder to write to; make it first", folder.display());
    }
    anyhow::ensure!(
        args.overwrite || !args.output.is_file(),
        "{}: is there already; name another file, or write over it by --overwrite",
        args.output.display()
    );
    args.threads.start()?;
    let bytes = args.megabytes.saturating_mul(1_000_000);
    let counter = Counter::new()?;
    let corpora = args.rows.apply(args.corpora.clone());
    let (counts, drawn) = sample::count(&counter, &corpora, bytes, args.seed, &tell_of_first_read)?;
    for (source, drawn) in corpora.iter().zip(&drawn) {
        let language = source.language.as_ref();
        let language = language.map_or(String::new(), |language| format!(" ({language})"));
        tell(format_args!(
            "{}{language}: {}, {} of {}",
            source.path.display(),
            count(drawn.documents, "document"),
            DecimalBytes(drawn.bytes),
            DecimalBytes(drawn.of_bytes)
        ));
    }
    let sampled = drawn.iter().map(|drawn| drawn.bytes).sum::<u64>();
    if corpora.len() > 1 && (sampled as f64) < 0.9 * bytes as f64 {
        tell(format_args!(
            "{} in place of {}: more would change the mixture, since a corpus has no more",
            DecimalBytes(sampled),
            DecimalBytes(bytes)
        ));
    }
    let options = TrainOptions {
        size: args.size,
        coverage: args.coverage,
        with_sentinels: args.with_sentinels,
    };
    let on_progress = |progress| match progress {
        Progress::Counted { words, characters } => {
            tell(format_args!("{words} different words, {characters} characters"));
        }
        Progress::Left(pieces) => tell(format_args!("{pieces} pieces")),
    };
    let file = train(counts, &options, on_progress)?;
    write(&args.output, &file)?;
    tell(format_args!(
        "{}: {} pieces, and {} sentinels {} it ({:.0} s)",
        args.output.display(),
        args.size,
        crate::vocab::SENTINELS,
        if args.with_sentinels {
            "in"
        } else {
            "that a reader appends to"
        },
        start.elapsed().as_secs_f64()
    ));
    Ok(())
}

fn run_show(args: &Show) -> anyhow::Result<()> {
    let vocab = Vocab::open(&args.file)?;
    let mut out = BufWriter::new(Stdout);
    let name = args.file.display();
    if let Some(id) = args.id {
        let last = vocab.size() - 1;
        vocab
            .piece(id)
            .with_context(|| format!("{name}: has no id {id}; they are 0 to {last}"))?;
        print(&vocab, id, &mut out)?;
    } else if let Some(piece) = &args.piece {
        let escaped = piece.replace(' ', "\u{2581}");
        let id = vocab.id(&escaped);
        let id = id.with_context(|| {
            format!("{name}: has no piece `{escaped}`; `t5 tokenize` shows what the text is cut into")
        })?;
        print(&vocab, id, &mut out)?;
    } else {
        summary(&vocab, args.top, &mut out)?;
    }
    Ok(out.flush()?)
}

fn print(vocab: &Vocab, id: u32, out: &mut impl Write) -> anyhow::Result<()> {
    if let Some(piece) = vocab.piece(id) {
        writeln!(
            out,
            "{id:>7}  {:<20}  {:>9.4}  {}",
            piece.text.escape_debug().to_string(),
            piece.score,
            piece.kind.name()
        )?;
    }
    Ok(())
}

fn summary(vocab: &Vocab, top: usize, out: &mut impl Write) -> anyhow::Result<()> {
    let pieces = vocab.pieces();
    writeln!(
        out,
        "{} ids: {} pieces and {} sentinels",
        vocab.size(),
        vocab.size() - vocab.sentinels(),
        vocab.sentinels()
    )?;
    writeln!(
        out,
        "<pad> {}, </s> {}, <unk> {}",
        vocab.pad(),
        vocab.eos(),
        vocab.unk()
    )?;
    let (first, last) = (vocab.sentinel(0), vocab.sentinels().checked_sub(1));
    if let (Some(first), Some(last)) = (first, last) {
        let id = vocab.sentinel(last).unwrap_or_default();
        writeln!(out, "<extra_id_0> {first} … <extra_id_{last}> {id}")?;
    }
    let counts = PieceKind::ALL.map(|(kind, name)| {
        let of_kind = pieces.iter().filter(|piece| piece.kind == kind);
        (name, of_kind.count())
    });
    for (name, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
        writeln!(out, "{count:>7}  {name}")?;
    }
    let mut normal: Vec<u32> = (0..vocab.size())
        .filter(|id| pieces[*id as usize].kind == PieceKind::Normal)
        .collect();
    let length = |id: &u32| pieces[*id as usize].text.chars().count();
    let starts_word = normal
        .iter()
        .filter(|id| pieces[**id as usize].text.starts_with('\u{2581}'));
    let characters = normal.iter().filter(|id| length(id) == 1).count();
    writeln!(out, "{:>7}  start a word", starts_word.count())?;
    writeln!(out, "{characters:>7}  are one character")?;
    if top > 0 {
        writeln!(out, "\nThe first pieces")?;
        let ids = 0..vocab.size() - vocab.sentinels();
        for id in ids.take(top) {
            print(vocab, id, out)?;
        }
        writeln!(out, "\nThe longest")?;
        normal.sort_by_key(|id| (std::cmp::Reverse(length(id)), *id));
        for id in normal.into_iter().take(top) {
            print(vocab, id, out)?;
        }
    }
    Ok(())
}
