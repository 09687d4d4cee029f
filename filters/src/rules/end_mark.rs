//! Drops lines that do not end as sentences do: menus, titles, buttons.

/// Whether `line` ends with one of `marks` and with none of `not` (the reference's `_END_MARKS` and `_ELLIPSIS`). Exact
/// characters at the very end: `.)` or a typographic quote is no end mark.
pub(crate) fn ends_well(line: &str, marks: &[String], not: &[String]) -> bool {
    let ends_with_any = |list: &[String]| list.iter().any(|mark| line.ends_with(mark.as_str()));
    ends_with_any(marks) && !ends_with_any(not)
}

/// For each byte, whether it is the last one of a mark: most lines that do not end well end with another.
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

#[cfg(test)]
mod tests {
    use super::ends_well;

    #[test]
    fn marks_are_exact_and_at_the_very_end() {
        let (marks, not) = ([".", "!"].map(String::from), ["..."].map(String::from));
        let ends_well = |line| ends_well(line, &marks, &not);
        assert_eq!(["Yes.", "Oh!"].map(ends_well), [true; 2]);
        assert_eq!(["Well...", "(No.)", "Yes. ", ""].map(ends_well), [false; 4]);
    }
}
