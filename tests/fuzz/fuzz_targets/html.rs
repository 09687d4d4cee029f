//! HTML as text: never longer than its input by more than what character references can add.
#![no_main]

use c4_filters::Cleaner;
use c4_pipeline::extract::html;
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

static CLEANER: LazyLock<Cleaner> = LazyLock::new(|| {
    let (recipe, _) = c4_data::Recipe::load("en").expect("a recipe of this program");
    Cleaner::new(&recipe)
});

fuzz_target!(|html: &[u8]| {
    let bytes = html::html_bytes_to_text(html);
    assert!(bytes.len() <= 8 * html.len() + 8);
    if let Ok(html) = std::str::from_utf8(html) {
        let text = html::html_to_text(html);
        // The bytes may have white space at their ends.
        assert_eq!(text.trim(), String::from_utf8_lossy(&bytes).trim());
        let _ = CLEANER.clean(&text);
    }
});
