//! Shards in all formats (the first byte says which), manifests: rows or an error.
#![no_main]

use c4_data::{Manifest, ShardReader};
use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;

thread_local! {
    static FOLDER: RefCell<tempfile::TempDir> = RefCell::new(tempfile::tempdir().expect("a folder for temporary files"));
}

fuzz_target!(|bytes: &[u8]| {
    let Some((format, bytes)) = bytes.split_first() else {
        return;
    };
    FOLDER.with_borrow_mut(|folder| {
        let name = ["a.arrow", "a.parquet", "a.json.gz", Manifest::FILE][usize::from(format % 4)];
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("a folder of our own");
        if name == Manifest::FILE {
            let _ = Manifest::read(folder.path());
        } else if let Ok(reader) = ShardReader::open(&path) {
            for document in reader {
                if document.is_err() {
                    break;
                }
            }
        }
        std::fs::remove_file(&path).expect("a folder of our own");
    });
});
