//! Archives: members, record framing, WET lines, whatever the bytes are.
#![no_main]

use c4_data::{MediaTypes, ReadStep, WetReading};
use c4_pipeline::read::{self, Source};
use libfuzzer_sys::fuzz_target;
use std::cell::RefCell;
use std::io::Write;

/// Small, so that limits are reached.
const LIMIT: u64 = 1 << 16;

thread_local! {
    static FILE: RefCell<tempfile::NamedTempFile> = RefCell::new(tempfile::NamedTempFile::new().expect("a folder for temporary files"));
}

fuzz_target!(|bytes: &[u8]| {
    FILE.with_borrow_mut(|file| {
        file.as_file_mut().set_len(0).expect("a file of our own");
        file.reopen().and_then(|mut file| file.write_all(bytes)).expect("a file of our own");
        for wet_reading in [WetReading::Lines, WetReading::Records] {
            let step = ReadStep {
                wet_reading,
                max_record_bytes: LIMIT,
                media_types: MediaTypes::Text,
                verify_digests: false,
            };
            let Ok(Some(mut source)) = Source::open(file.path(), &step) else {
                continue;
            };
            let mut last = 0;
            while let Ok(Some(batch)) = source.next_batch() {
                for split in read::split(batch).flatten() {
                    if let c4_pipeline::read::outcome::Split::Page(page) = split {
                        assert!(!page.url.is_empty() && !page.text.is_empty());
                    }
                }
                assert!(source.position() >= last);
                last = source.position();
            }
        }
    });
});
