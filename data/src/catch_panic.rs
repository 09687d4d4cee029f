//! Runs decoders of other crates, which may panic where a file is damaged on purpose.

use crate::Error;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::path::Path;
use std::sync::Once;

thread_local! {
    /// Whether this thread is in a decoder whose panics are caught.
    static DECODING: Cell<bool> = const { Cell::new(false) };
}

/// Runs `decode`; a panic in it is an error of the file `path`, and says nothing on stderr.
///
/// # Errors
/// The error of `decode`, or its panic as one.
pub(crate) fn catch_panic<T>(path: &Path, decode: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !DECODING.get() {
                before(info);
            }
        }));
    });
    let outer = DECODING.replace(true);
    // What `decode` leaves half done is dropped: no caller uses a shard after an error.
    let decoded = panic::catch_unwind(AssertUnwindSafe(decode));
    DECODING.set(outer);
    decoded.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<&str>().copied();
        let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
        Err(Error::Format {
            path: path.to_owned(),
            reason: format!("is damaged ({})", text.unwrap_or("the decoder gave up")),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_of_the_file() {
        let path = Path::new("a.arrow");
        assert_eq!(catch_panic(path, || Ok(1)).unwrap(), 1);
        let error = catch_panic::<()>(path, || panic!("no {}", "sense")).unwrap_err();
        assert_eq!(error.to_string(), "a.arrow: is damaged (no sense)");
        assert!(!DECODING.get());
    }
}
