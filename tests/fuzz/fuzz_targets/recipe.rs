//! Recipes as TOML: what is taken can be checked, hashed and compiled; what is not has a reason in one line.
#![no_main]

use c4_data::Recipe;
use c4_filters::{Cleaner, expectations};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match Recipe::parse("fuzzed", text) {
        Err(error) => assert_eq!(error.to_string().lines().count(), 1),
        Ok(recipe) => {
            let _ = expectations::check(&recipe);
            let cleaner = Cleaner::new(&recipe);
            let _ = cleaner.clean("One line of five words.\nlorem { ipsum javascript");
        }
    }
});
