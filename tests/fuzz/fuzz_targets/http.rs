//! The block of a response: head, transfer and content encodings, charset, text.
#![no_main]

use c4_data::MediaTypes;
use c4_pipeline::extract;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|block: &[u8]| {
    for identified in [None, Some("text/html")] {
        let _ = extract::page_text(block, identified, MediaTypes::Text);
    }
});
