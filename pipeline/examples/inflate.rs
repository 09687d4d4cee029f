//! Inflates archives and does nothing else: the floor that `make bench` compares a build with.

use flate2::bufread::MultiGzDecoder;
use std::error::Error;
use std::fs::File;
use std::io::{BufReader, Read};

fn main() -> Result<(), Box<dyn Error>> {
    let mut buffer = vec![0; 1 << 20];
    for path in std::env::args().skip(1) {
        let file = BufReader::with_capacity(1 << 18, File::open(&path)?);
        let mut archive = MultiGzDecoder::new(file);
        let mut bytes = 0;
        loop {
            match archive.read(&mut buffer)? {
                0 => break,
                n => bytes += n as u64,
            }
        }
        println!("{bytes} bytes");
    }
    Ok(())
}
