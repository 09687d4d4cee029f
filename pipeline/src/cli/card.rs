//! `c4 card`: what the user types.

use crate::corpus;
use crate::error::Error;
use crate::inspect::card::{self, CardOptions, card};
use crate::terminal::{self, tell};
use clap::Args;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// Writes `README.md` into the folder of a corpus: a dataset card with the head that the Hugging
/// Face Hub reads, so that `datasets.load_dataset(DIR)` takes the folder as it is.
///
/// The card is made of `manifest.json` and `stats.json` alone, and is the same whenever it is
/// written. A `README.md` that this command did not write is kept, unless --force is given.
#[derive(Debug, Args)]
pub(crate) struct CardArgs {
    /// Folder of a finished corpus.
    dir: PathBuf,
    /// The file to write; `-` is stdout [default: README.md in the corpus].
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// The licence to state, by its name on the Hub.
    #[arg(long, default_value = card::LICENSE, value_name = "NAME")]
    license: String,
    /// The name to show [default: one made of the recipe's].
    #[arg(long, value_name = "TEXT")]
    pretty_name: Option<String>,
    /// Replace a file that this command did not write.
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: &CardArgs) -> anyhow::Result<()> {
    let manifest = corpus::finished(&args.dir)?;
    let (_, stats) = corpus::read_stats(&args.dir, &manifest)?;
    let options = CardOptions {
        license: args.license.clone(),
        pretty_name: args.pretty_name.clone(),
    };
    let text = card(&manifest, &stats, &options);
    let target = match &args.output {
        Some(file) if file == Path::new("-") => {
            return Ok(terminal::write_all(&text)?);
        }
        Some(file) => file.clone(),
        None => args.dir.join(corpus::CARD_FILE),
    };
    if !args.force {
        refuse_others(&target)?;
    }
    c4_data::atomic_file::write_atomic(&target, text.as_bytes())?;
    tell(format_args!("{} written", target.display()));
    Ok(())
}

/// Refuses to replace a file that this command did not write.
fn refuse_others(target: &Path) -> Result<(), Error> {
    match std::fs::read(target) {
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(()),
        Err(e) => Err(c4_data::Error::io(target, "read")(e).into()),
        Ok(content) if card::is_card(&content) => Ok(()),
        Ok(_) => Err(Error::Output {
            path: target.to_owned(),
            reason: "was not written by `c4 card`; replace it with --force, or write elsewhere with \
                     --output FILE"
                .into(),
        }),
    }
}
