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

fuzz_target!(|html: &str| {
    let text = html::html_to_text(html);
    assert!(text.len() <= 8 * html.len() + 8);
    let _ = CLEANER.clean(&text);
});
