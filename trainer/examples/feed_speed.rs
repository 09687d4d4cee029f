//! How fast the feed makes batches, and how fast it goes on: reads corpora for some seconds with 1, 2 and 4 threads
//! and a tokeniser that costs next to nothing, so that what is measured is the feed.
//!
//! ```sh
//! cargo run --release -p t5-trainer --example feed_speed -- out/demo
//! ```

use std::sync::Arc;
use std::time::{Duration, Instant};
use t5_trainer::Error;
use t5_trainer::internals::Ids;
use t5_trainer::internals::Tokenizer;
use t5_trainer::{Feed, FeedConfig, Source};

/// Time for each number of threads.
const TIME: Duration = Duration::from_secs(5);

/// A word is a token.
fn words(text: &str, out: &mut Vec<u32>) {
    out.extend(text.split_ascii_whitespace().map(|word| {
        let hash = word
            .bytes()
            .fold(7u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte)));
        3 + hash % 31_997
    }));
}

fn main() -> Result<(), Error> {
    let sources: Vec<Source> = std::env::args().skip(1).map(Source::at).collect();
    let tokenizer: Arc<dyn Tokenizer> = Arc::new(words);
    let open = |threads, cursor| {
        let config = FeedConfig {
            threads,
            ..FeedConfig::default()
        };
        Feed::open(&sources, &config, Ids::T5, tokenizer.clone(), cursor)
    };
    for threads in [1, 2, 4] {
        let start = Instant::now();
        let mut feed = open(threads, None)?;
        let (mut batches, mut positions, mut filled) = (0u32, 0, 0);
        let mut last = None;
        let mut epochs = 0;
        while start.elapsed() < TIME {
            let Some((batch, cursor)) = feed.next()? else {
                break;
            };
            batches += 1;
            positions += batch.inputs.tokens.len() + batch.targets.tokens.len();
            let sides = [&batch.inputs.tokens, &batch.targets.tokens];
            let tokens = sides.into_iter().flatten();
            filled += tokens.filter(|token| **token != 0).count();
            epochs += feed.epoch_starts().len();
            last = Some(cursor);
        }
        let seconds = start.elapsed().as_secs_f64();
        println!(
            "{threads} threads: {:.1} batches/s of 128 rows, {:.2} million tokens of text/s, {:.1} % of positions filled, \
             {epochs} further epochs",
            f64::from(batches) / seconds,
            feed.counts().tokens as f64 / seconds / 1e6,
            100.0 * filled as f64 / positions as f64,
        );
        drop(feed);
        let start = Instant::now();
        open(threads, last)?.next()?;
        println!("  going on there: {:.0?} to the first batch", start.elapsed());
    }
    Ok(())
}
