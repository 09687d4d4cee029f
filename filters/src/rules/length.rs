//! Drops pages whose text is too long.

/// Whether `text` has more than `max_chars` code points (the reference's `is_valid_length`). Counts only where the byte
/// length leaves it open.
///
/// ```
/// use c4_filters::rules::length::too_long;
/// assert!(!too_long("ééé", 3) && too_long("éééé", 3));
/// ```
pub fn too_long(text: &str, max_chars: usize) -> bool {
    text.len() > max_chars && text.chars().count() > max_chars
}
