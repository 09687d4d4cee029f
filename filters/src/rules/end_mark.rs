//! Drops lines that do not end as sentences do: menus, titles, buttons.

/// Whether `line` ends with one of `marks` and with none of `not` (the reference's `_END_MARKS`
/// and `_ELLIPSIS`). Exact characters at the very end: `.)` or a typographic quote is no end mark.
///
/// ```
/// use c4_filters::rules::end_mark::ends_well;
/// let (marks, not) = ([".", "!"].map(String::from), ["..."].map(String::from));
/// assert!(ends_well("Yes.", &marks, &not) && !ends_well("Well...", &marks, &not));
/// ```
pub fn ends_well(line: &str, marks: &[String], not: &[String]) -> bool {
    let ends_with_any = |list: &[String]| list.iter().any(|mark| line.ends_with(mark.as_str()));
    ends_with_any(marks) && !ends_with_any(not)
}

/// By value, whether a byte is the last one of a mark: most lines that do not end well end with another.
pub(crate) fn last_bytes(marks: &[String]) -> [bool; 256] {
    let mut last_bytes = [false; 256];
    for mark in marks {
        match mark.as_bytes() {
            [.., last] => last_bytes[usize::from(*last)] = true,
            // Every line ends with nothing.
            [] => last_bytes.fill(true),
        }
    }
    last_bytes
}
