//! The block of a response: head, transfer and content encodings, charset, text.
#![no_main]

use c4_data::MediaTypes;
use c4_pipeline::extract;
use c4_pipeline::extract::http;
use libfuzzer_sys::fuzz_target;

/// What a body may grow to here.
const LIMIT: usize = 1 << 20;

fuzz_target!(|block: &[u8]| {
    if let Ok(head) = http::parse_head(block) {
        let body = http::decode_body_limited(&head, LIMIT);
        assert!(body.bytes.len() <= LIMIT.max(block.len()));
    }
    for identified in [None, Some("text/html")] {
        let _ = extract::page_text(block, identified, MediaTypes::Text);
    }
});
