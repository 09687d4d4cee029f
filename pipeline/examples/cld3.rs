//! What our CLD3 says of each text on stdin, one JSON string a line: language, the bits of the probability
//! as a number, and whether it is reliable; `und 0 false` where it has no answer. The CPU
//! seconds that this took go to stderr. `pipeline/benches/cld3.py` compares it with the original.

use c4_filters::cld3;
use std::io::{BufRead, Write};

/// Nanoseconds that this thread has had a processor, as Linux counts them.
fn processor_time() -> anyhow::Result<u64> {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let first = schedstat.split(' ').next().unwrap_or_default();
    Ok(first.parse()?)
}

fn main() -> anyhow::Result<()> {
    let texts = std::io::stdin()
        .lock()
        .lines()
        .map(|line| Ok(serde_json::from_str(&line?)?))
        .collect::<anyhow::Result<Vec<String>>>()?;
    cld3::warm_up();
    let start = processor_time()?;
    let guesses: Vec<_> = texts.iter().map(|text| cld3::detect(text)).collect();
    eprintln!("{}", (processor_time()? - start) as f64 / 1e9);
    let mut out = std::io::stdout().lock();
    for guess in guesses {
        match guess {
            Some(guess) => writeln!(
                out,
                "{} {} {}",
                guess.language,
                guess.probability.to_bits(),
                guess.reliable
            )?,
            None => writeln!(out, "und 0 false")?,
        }
    }
    Ok(())
}
