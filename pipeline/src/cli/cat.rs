//! `c4 cat`.

use crate::corpus;
use crate::terminal::{JsonLines, stdout};
use c4_data::{BatchLimit, Format, Manifest, ShardReader, Split};
use clap::{Args, ValueEnum};
use serde_json::json;
use std::collections::BTreeSet;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

/// Prints `text`, `timestamp` and `url` of every document, one JSON object a line, in the order of
/// the shards.
#[derive(Debug, Args)]
pub(super) struct CatArgs {
    /// Folder of a finished corpus.
    dir: PathBuf,
    /// Only this split.
    #[arg(long, value_enum)]
    split: Option<SplitArg>,
    /// Only documents in this language, by its code in the corpus.
    #[arg(long, value_name = "CODE")]
    language: Option<String>,
    /// All columns, and the split (arrow and parquet).
    #[arg(long)]
    full: bool,
    /// At most this many documents.
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<u64>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum SplitArg {
    Train,
    Validation,
}

/// Whether documents of a language can be found at all.
fn check_language(args: &CatArgs, manifest: &Manifest, language: &str) -> anyhow::Result<()> {
    let dir = args.dir.display();
    let there: BTreeSet<&str> = manifest
        .shards
        .iter()
        .filter_map(|shard| shard.language.as_deref())
        .collect();
    if !there.is_empty() && !there.contains(language) {
        let there: Vec<&str> = there.into_iter().collect();
        anyhow::bail!("{dir}: holds no documents in `{language}`; it has {}", there.join(", "));
    }
    if manifest.format == Format::Jsonl && !manifest.recipe.split.by_language {
        anyhow::bail!("{dir}: its jsonl shards do not say languages; --language needs arrow or parquet");
    }
    Ok(())
}

pub(super) fn run(args: &CatArgs) -> anyhow::Result<()> {
    let manifest = corpus::finished(&args.dir)?;
    if args.full && manifest.format == Format::Jsonl {
        anyhow::bail!(
            "{}: its jsonl shards hold text, timestamp and url only; --full needs arrow or parquet",
            args.dir.display()
        );
    }
    if let Some(language) = &args.language {
        check_language(args, &manifest, language)?;
    }
    let wanted = args.split.map(|split| match split {
        SplitArg::Train => Split::Train,
        SplitArg::Validation => Split::Validation,
    });
    let is_language = |found: Option<&str>| args.language.is_none() || args.language.as_deref() == found;
    let mut out = JsonLines(BufWriter::new(stdout()));
    let limit = BatchLimit::of(&manifest.recipe);
    let mut left = args.limit.unwrap_or(u64::MAX);
    for shard in manifest
        .shards
        .iter()
        .filter(|s| wanted.is_none_or(|split| split == s.split))
        .filter(|s| s.language.is_none() || is_language(s.language.as_deref()))
    {
        if left == 0 {
            break;
        }
        let path = corpus::checked_file(&args.dir, &shard.file, &shard.sha256)?;
        for document in ShardReader::open_within(&path, limit)? {
            if left == 0 {
                break;
            }
            let document = document?;
            // Where a shard has a language, all of it is in that.
            if shard.language.is_none() && !is_language(Some(&document.language)) {
                continue;
            }
            left -= 1;
            let page = &document.page;
            let mut line = json!({"text": page.text, "timestamp": page.timestamp, "url": page.url});
            if args.full {
                line["split"] = json!(shard.split.name());
                line["content_type"] = json!(page.content_type);
                line["content_length"] = json!(page.content_length);
                line["language"] = json!(document.language);
                line["language_score"] = json!(document.language_score);
                line["archive"] = json!(&*document.archive);
                line["record_offset"] = json!(page.record_offset);
            }
            serde_json::to_writer(&mut out, &line).map_err(io::Error::from)?;
            out.write_all(b"\n")?;
        }
    }
    Ok(out.flush()?)
}
