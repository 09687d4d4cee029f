//! Shards that are damaged anywhere give rows or an error, whatever stands there: no panic, no memory that nobody has.
//! (Found by fuzzing: Arrow's and Parquet's readers trust numbers in the file.)

use c4_data::{Document, Format, Page, ShardMeta, ShardReader, ShardWriter, Split};
use c4_tests::good_text;
use std::cell::Cell;
use std::env;
use std::fs;
use std::panic;
use std::process::Command;

fn document(i: usize) -> Document {
    Document {
        page: Page {
            url: format!("https://a.example/{i}"),
            text: good_text(i),
            timestamp: "2019-04-18T10:12:43Z".into(),
            content_type: "text/html".into(),
            content_length: i.to_string(),
            record_offset: i as u64,
        },
        archive: "a.warc.gz".into(),
        language: "en".into(),
        language_score: 0.99,
    }
}

/// Numbers that readers stumble over.
const BAD: [[u8; 8]; 6] = [
    [0; 8],
    [0xff; 8],
    i64::MAX.to_le_bytes(),
    i64::MIN.to_le_bytes(),
    0x7fff_ffff_u64.to_le_bytes(),
    528_128_u64.to_le_bytes(),
];

thread_local! {
    /// The panics of this thread that were not caught before the hook.
    static PANICS: Cell<usize> = const { Cell::new(0) };
}

/// In a process of its own: what catches the panics of decoders must come after the hook that counts them.
#[test]
fn damage_anywhere_is_an_error_or_nothing() {
    const ALONE: &str = "C4_TEST_ALONE";
    if env::var_os(ALONE).is_none() {
        let mut alone = Command::new(env::current_exe().unwrap());
        alone.args(["--exact", "damaged_shards::damage_anywhere_is_an_error_or_nothing"]);
        let ended = alone.env(ALONE, "1").output().unwrap();
        let said = String::from_utf8_lossy(&ended.stdout);
        assert!(ended.status.success() && said.contains("1 passed"), "{said}");
        return;
    }
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        PANICS.set(PANICS.get() + 1);
        before(info);
    }));
    let dir = tempfile::tempdir().unwrap();
    let meta = ShardMeta {
        recipe: "c4".into(),
        recipe_hash: c4_data::atomic_file::sha256_hex(b"recipe"),
    };
    let documents: Vec<Document> = (0..30).map(document).collect();
    for format in [Format::Arrow, Format::Parquet, Format::Jsonl] {
        let path = dir.path().join(format.file_name(Split::Train, 0, 1));
        let mut writer = ShardWriter::create(&path, dir.path(), format, Split::Train, &meta).unwrap();
        writer.write(documents.clone()).unwrap();
        writer.finish().unwrap();
        let whole = fs::read(&path).unwrap();
        let read = || -> Result<Vec<Document>, c4_data::Error> { ShardReader::open(&path)?.collect() };
        assert_eq!(read().unwrap().len(), documents.len());
        let (mut errors, mut tries) = (0, 0);
        for at in (0..whole.len()).step_by(4) {
            for bad in BAD {
                let mut bytes = whole.clone();
                let end = (at + 8).min(bytes.len());
                bytes[at..end].copy_from_slice(&bad[..end - at]);
                fs::write(&path, bytes).unwrap();
                tries += 1;
                errors += usize::from(read().is_err());
            }
        }
        for length in (7..whole.len()).step_by(7) {
            fs::write(&path, &whole[..length]).unwrap();
            assert!(read().is_err(), "{format:?} cut at {length}");
        }
        assert!(errors > tries / 20, "{errors} of {tries}");
        let _ = fs::remove_file(&path);
    }
    // Panics of decoders are caught, and say nothing.
    assert_eq!(PANICS.get(), 0);
}
