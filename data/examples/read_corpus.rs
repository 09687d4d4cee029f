//! Reads a corpus: prints the URL, language and length of its first documents.
//!
//! ```sh
//! cargo run --release -p c4-data --example read_corpus -- out/demo
//! ```

use c4_data::{Manifest, ShardReader, Split};
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = PathBuf::from(std::env::args().nth(1).ok_or("usage: read_corpus DIR")?);
    let manifest = Manifest::read(&dir)?.ok_or("no finished corpus in that folder")?;
    println!("recipe {}, {} shards", manifest.recipe.name, manifest.shards.len());
    for shard in manifest
        .shards
        .iter()
        .filter(|shard| shard.split == Split::Train)
        .take(1)
    {
        for document in ShardReader::open(&dir.join(&shard.file))?.take(10) {
            let document = document?;
            let (page, chars) = (&document.page, document.page.text.chars().count());
            println!("{:<60} {} {chars:>6} characters", page.url, document.language);
        }
    }
    Ok(())
}
