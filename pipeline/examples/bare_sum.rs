//! What the parts of an `en` build that nobody can leave out cost with nothing around them, one thread: inflating the
//! archive, Punkt over the lines that pass the rules, the published crate `langdetect` over the pages that reach
//! language detection. `benches/bare_sum.sh` compares a build with it.
//!
//! The lines and pages come from two corpora of the same archive, whose reading is not counted, nor is
//! the loading of tables: one of a recipe without dedup, language and bad words, one of a recipe
//! without language and bad words.
//! Usage: bare_sum ARCHIVE.gz RULES-CORPUS DETECT-CORPUS

use c4_data::ShardReader;
use c4_filters::punkt;
use flate2::bufread::MultiGzDecoder;
use langdetect::{DetectorFactory, Seed};
use std::error::Error;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [archive, rules, detect] = &arguments[..] else {
        return Err("usage: bare_sum ARCHIVE.gz RULES-CORPUS DETECT-CORPUS".into());
    };
    let (rules, detect) = (texts(Path::new(rules))?, texts(Path::new(detect))?);
    let punkt = punkt::english();
    let mut factory = DetectorFactory::builtin().clone();
    factory.seed = Seed::Int(0);

    let mut buffer = vec![0; 1 << 20];
    let (inflation, bytes) = timed(|| -> std::io::Result<u64> {
        let file = BufReader::with_capacity(1 << 18, File::open(archive)?);
        let mut archive = MultiGzDecoder::new(file);
        let mut bytes = 0;
        loop {
            match archive.read(&mut buffer)? {
                0 => return Ok(bytes),
                n => bytes += n as u64,
            }
        }
    })?;
    let (splitting, sentences) = timed(|| {
        let lines = rules.iter().flat_map(|text| text.split('\n'));
        lines.map(|line| punkt.sentences(line).count()).sum::<usize>()
    })?;
    let (detection, english) = timed(|| {
        let languages = detect.iter().map(|text| factory.detect_langs(text));
        languages
            .filter(|languages| matches!(languages, Ok(found) if found.first().is_some_and(|best| best.lang == "en")))
            .count()
    })?;
    println!(
        "{:.3} {inflation:.3} {splitting:.3} {detection:.3}",
        inflation + splitting + detection
    );
    eprintln!(
        "CPU seconds: sum, inflation of {} bytes, Punkt over {} pages ({sentences} sentences), langdetect over {} pages ({english} English)",
        bytes?,
        rules.len(),
        detect.len(),
    );
    Ok(())
}

/// The documents of a corpus.
fn texts(corpus: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let mut texts = Vec::new();
    for entry in std::fs::read_dir(corpus)? {
        let path = entry?.path();
        if path.extension().is_some_and(|e| e == "arrow") {
            for document in ShardReader::open(&path)? {
                texts.push(document?.page.text);
            }
        }
    }
    Ok(texts)
}

/// CPU seconds of a piece of work on this thread (Linux says it to the nanosecond), and its result.
fn timed<T>(work: impl FnOnce() -> T) -> Result<(f64, T), Box<dyn Error>> {
    let used = || -> Result<f64, Box<dyn Error>> {
        let all = std::fs::read_to_string("/proc/thread-self/schedstat")?;
        let nanoseconds = all.split_whitespace().next().ok_or("empty schedstat")?;
        Ok(nanoseconds.parse::<f64>()? / 1e9)
    };
    let before = used()?;
    let result = work();
    Ok((used()? - before, result))
}
