//! For benches/tokenise.sh: reads texts, one JSON string a line, and writes their ids, one JSON list a line; or, with a
//! number of rounds, encodes them all so often and prints bytes and CPU seconds.
//!
//! Usage: tokenize VOCAB [ROUNDS] < TEXTS

use std::io::{BufWriter, Read, Write, stdin, stdout};
use std::path::Path;
use t5_trainer::Vocab;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let vocab = arguments.get(1).map(Path::new);
    let vocab = Vocab::open(vocab.ok_or(anyhow::anyhow!("give a vocabulary"))?)?;
    let mut input = String::new();
    stdin().read_to_string(&mut input)?;
    let texts: Result<Vec<String>, _> = input.lines().map(serde_json::from_str).collect();
    let texts = texts?;
    let mut ids = Vec::new();
    if let Some(rounds) = arguments.get(2) {
        let rounds: u32 = rounds.parse()?;
        let bytes: usize = texts.iter().map(String::len).sum();
        let mut tokens = 0;
        for _ in 0..rounds {
            // As a new process would: nothing is remembered from the round before.
            let vocab = Vocab::open(Path::new(&arguments[1]))?;
            let start = cpu_seconds()?;
            tokens = 0;
            for text in &texts {
                ids.clear();
                vocab.encode(text, &mut ids);
                tokens += ids.len();
            }
            println!("{bytes} {} {tokens}", cpu_seconds()? - start);
        }
        anyhow::ensure!(tokens > 0, "no texts");
        return Ok(());
    }
    let mut out = BufWriter::new(stdout().lock());
    for text in &texts {
        ids.clear();
        vocab.encode(text, &mut ids);
        serde_json::to_writer(&mut out, &ids)?;
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}

/// CPU seconds of this thread so far (Linux).
fn cpu_seconds() -> anyhow::Result<f64> {
    let statistics = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds = statistics.split(' ').next().unwrap_or_default();
    Ok(nanoseconds.parse::<f64>()? / 1e9)
}
