//! What is printed. Nobody may be there to read it, which ends no training: what is told on the way goes to standard error, and
//! errors of that are nobody's; what was asked for goes to standard output, and errors of that are the command's.

use std::fmt::{Arguments, Display};
use std::io::{Write, stderr, stdout};

/// Tells on standard error.
pub(crate) fn tell(text: impl Display) {
    let _ = writeln!(stderr(), "{text}");
}

/// Prints a line on standard output.
pub(crate) fn print(line: Arguments<'_>) -> std::io::Result<()> {
    let mut out = stdout().lock();
    out.write_fmt(line)?;
    out.write_all(b"\n")?;
    // Where it cannot be written, that is known before the next is computed.
    out.flush()
}

/// `1 document`, `2 documents`.
pub(crate) fn count(n: u64, what: &str) -> String {
    match n {
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    }
}
