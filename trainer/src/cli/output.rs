//! What is printed. Nobody may be there to read it, which ends no training: what is told on the way goes to standard
//! error, and errors of that are nobody's; what was asked for goes to standard output, and errors of that are the
//! command's.

use c4_data::{printable, printable_lines};
use std::fmt::{Arguments, Display};
use std::io::{self, Write, stderr};

/// Tells on standard error.
pub(crate) fn tell(text: impl Display) {
    let _ = writeln!(stderr(), "{}", printable(&text.to_string()));
}

/// Prints a line on standard output.
pub(crate) fn print(line: Arguments<'_>) -> io::Result<()> {
    let mut out = Stdout;
    out.write_all(printable_lines(&format!("{line}\n")).as_bytes())?;
    // Where it cannot be written, that is known before the next is computed.
    out.flush()
}

/// Standard output, whose errors say what they are of.
pub(crate) struct Stdout;

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stdout().write(bytes).map_err(unwritable)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush().map_err(unwritable)
    }
}

fn unwritable(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("standard output cannot be written: {error}"))
}

/// `1 document`, `2 documents`.
pub(crate) fn count(n: u64, what: &str) -> String {
    match n {
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    }
}
