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
