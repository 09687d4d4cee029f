//! What our CLD3 says of each text on stdin, one JSON string a line: language, the bits of the probability
//! as a number, and whether it is reliable; `und 0 false` where it has no answer. The seconds that this
//! took go to stderr. `pipeline/benches/cld3.py` compares it with the original.

use c4_filters::cld3;
use std::io::{BufRead, Write};
use std::time::Instant;

fn main() -> anyhow::Result<()> {
    let texts = std::io::stdin()
        .lock()
        .lines()
        .map(|line| Ok(serde_json::from_str(&line?)?))
        .collect::<anyhow::Result<Vec<String>>>()?;
    cld3::warm_up();
    let start = Instant::now();
    let guesses: Vec<_> = texts.iter().map(|text| cld3::detect(text)).collect();
    eprintln!("{}", start.elapsed().as_secs_f64());
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
