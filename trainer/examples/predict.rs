//! For benches/decode.sh: what a model of Hugging Face's writes for rows of ids, and the CPU seconds that this took.
//!
//! Usage: predict FOLDER ROWS BEAMS ALPHA MAX_LENGTH < INPUTS, where INPUTS is a JSON list of lists of ids, each with
//! its EOS; ROWS are answered together, greedily where BEAMS is 0. Prints JSON

use serde_json::json;
use std::io::stdin;
use std::path::Path;
use t5_trainer::{Answering, Decoding, Device, Ensemble, Precision, load, open, predict};

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, rows, beams, alpha, max_length] = &arguments[..] else {
        anyhow::bail!("give FOLDER ROWS BEAMS ALPHA MAX_LENGTH");
    };
    let inputs: Vec<Vec<u32>> = serde_json::from_reader(stdin().lock())?;
    let mut model = open(Device::Cpu, Precision::F32, load(Path::new(folder))?, None)?;
    let decoding = match beams.parse()? {
        0 => Decoding::Greedy,
        beams => Decoding::Beam {
            beams,
            alpha: alpha.parse()?,
        },
    };
    let answering = Answering {
        decoding,
        max_length: max_length.parse()?,
        rows: rows.parse()?,
        ensemble: Ensemble::default(),
    };
    let before = cpu_seconds()?;
    let answers = predict(&mut [&mut *model], &inputs, &answering, |_| ())?;
    let seconds = cpu_seconds()? - before;
    let tokens: Vec<&[u32]> = answers.iter().map(|answer| &answer.tokens[..]).collect();
    let scores: Vec<f64> = answers.iter().map(|answer| answer.log_probability).collect();
    println!(
        "{}",
        json!({"answers": tokens, "log_probabilities": scores, "cpu_seconds": seconds})
    );
    Ok(())
}

/// User and system time of this process: fields 14 and 15 of Linux's `/proc/self/stat`, in hundredths.
fn cpu_seconds() -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    // The second field, a name in brackets, may hold spaces.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks: Vec<f64> = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(str::parse)
        .collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / 100.0)
}
