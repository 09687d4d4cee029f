//! For benches/trajectory.sh: the batches that a run without cursor is trained on, a line of JSON each.
//!
//! Usage: batches CHECKPOINT VOCABULARY COUNT [KEY=VALUE...], with the settings that the run is gone on with

use serde_json::json;
use std::path::Path;
use std::sync::Arc;
use t5_trainer::internals::Ids;
use t5_trainer::{Checkpoint, Feed, Sequences, Vocab};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [checkpoint, vocab, count, settings @ ..] = &arguments[..] else {
        anyhow::bail!("usage: batches CHECKPOINT VOCABULARY COUNT [KEY=VALUE...]");
    };
    let config = Checkpoint::read(Path::new(checkpoint))?.config.with(settings)?;
    let vocab = Arc::new(Vocab::open(Path::new(vocab))?);
    let ids = Ids {
        vocab_size: vocab.size(),
        pad: vocab.pad(),
        eos: vocab.eos(),
        unk: vocab.unk(),
    };
    let mut feed = Feed::of_mixture(config.sources(), &config.feed, ids, vocab, None)?;
    let rows = |of: &Sequences| -> Vec<Vec<u32>> { of.tokens.chunks(of.length).map(<[u32]>::to_vec).collect() };
    for _ in 0..count.parse()? {
        let Some((batch, _)) = feed.next()? else { break };
        println!(
            "{}",
            json!({"inputs": rows(&batch.inputs), "targets": rows(&batch.targets)})
        );
    }
    Ok(())
}
