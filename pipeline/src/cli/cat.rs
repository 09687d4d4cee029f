//! `c4 cat`.

use super::finished;
use c4_data::{Format, Manifest, ShardReader, Split};
use clap::{Args, ValueEnum};
use serde_json::json;
use std::io::{self, BufWriter, Write, stdout};
use std::path::PathBuf;

/// Prints `text`, `timestamp` and `url` of every document, one JSON object a line, in the order of
/// the shards.
#[derive(Debug, Args)]
pub(super) struct Cat {
    /// Folder of a finished corpus.
    dir: PathBuf,
    /// Only this split.
    #[arg(long, value_enum)]
    split: Option<SplitArg>,
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

pub(super) fn run(args: &Cat) -> anyhow::Result<()> {
    let manifest = finished(&args.dir)?;
    if args.full && manifest.format == Format::Jsonl {
        anyhow::bail!(
            "{}: its jsonl shards hold text, timestamp and url only; --full needs arrow or parquet",
            args.dir.display()
        );
    }
    let wanted = args.split.map(|split| match split {
        SplitArg::Train => Split::Train,
        SplitArg::Validation => Split::Validation,
    });
    let mut out = BufWriter::new(stdout().lock());
    let mut left = args.limit.unwrap_or(u64::MAX);
    for shard in manifest
        .shards
        .iter()
        .filter(|s| wanted.is_none_or(|split| split == s.split))
    {
        if left == 0 {
            break;
        }
        let path = args.dir.join(&shard.file);
        if c4_data::fs::sha256_file(&path)? != shard.sha256 {
            anyhow::bail!(
                "{}: is not what the build wrote (its checksum differs from {}); build it again",
                path.display(),
                Manifest::FILE
            );
        }
        for document in ShardReader::open(&path)? {
            if left == 0 {
                break;
            }
            left -= 1;
            let document = document?;
            let page = &document.page;
            let mut line = json!({"text": page.text, "timestamp": page.timestamp, "url": page.url});
            if args.full {
                line["split"] = json!(shard.split.name());
                line["content_type"] = json!(page.content_type);
                line["content_length"] = json!(page.content_length);
                line["language"] = json!(document.language);
                line["language_score"] = json!(document.language_score);
                line["archive"] = json!(&*page.provenance.archive);
                line["record_offset"] = json!(page.provenance.record_offset);
            }
            serde_json::to_writer(&mut out, &line).map_err(io::Error::from)?;
            out.write_all(b"\n")?;
        }
    }
    Ok(out.flush()?)
}
