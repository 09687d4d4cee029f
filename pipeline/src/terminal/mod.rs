//! What the program says: notices on standard error, answers on standard output.
//!
//! Nobody may be there to read notices, which ends no command. Names, URLs and texts from outside may hold what a
//! terminal takes for commands; here it is replaced, in JSON escaped.

pub mod progress;
pub(crate) mod table;

use c4_data::{printable, printable_json, printable_lines};
use clap::Parser;
use std::fmt::Display;
use std::io::{self, StdoutLock, Write};
use std::process::ExitCode;

/// Prints a line on standard error.
pub fn tell(text: impl Display) {
    let _ = writeln!(io::stderr(), "{}", printable(&text.to_string()));
}

/// The writer for `tracing`, which prints each event as a line on standard error.
#[derive(Debug, Clone, Copy)]
pub struct Notices;

impl Write for Notices {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        tell(String::from_utf8_lossy(event).trim_end());
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The reason why standard output cannot be written. Its type tells such an error from those of files and connections.
#[derive(Debug, thiserror::Error)]
#[error("standard output cannot be written: {0}")]
struct Unwritable(io::Error);

/// Whether the error is that the reader of standard output has closed it (`c4 cat … | head`).
pub(crate) fn is_enough(error: &anyhow::Error) -> bool {
    let mut causes = error.chain();
    causes.any(|cause| {
        let io = cause.downcast_ref::<io::Error>();
        let of_output = |e: &&io::Error| e.get_ref().is_some_and(|e| e.is::<Unwritable>());
        io.filter(of_output)
            .is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe)
    })
}

/// The outcome of printing, where a closed standard output is no error: the exit status still says what was found.
///
/// # Errors
/// Any other error of `printed`.
pub(crate) fn unless_closed(printed: io::Result<()>) -> io::Result<()> {
    match printed {
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed,
    }
}

/// The parsed command line; or the exit status, if clap refused it or answered it by itself (`--help`).
///
/// # Errors
/// The answer cannot be written.
pub fn parsed<C: Parser>() -> Result<C, io::Result<ExitCode>> {
    C::try_parse().map_err(|said| {
        let code = ExitCode::from(u8::try_from(said.exit_code()).unwrap_or(2));
        let text = said.render().to_string();
        let written = match said.use_stderr() {
            // An argument may be the name of a file of someone else's.
            true if printable_lines(&text) != text => {
                text.trim_end().lines().for_each(tell);
                Ok(())
            }
            true => said.print().or(Ok(())),
            false => said.print().map_err(unwritable),
        };
        match written {
            Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(e),
            _ => Ok(code),
        }
    })
}

/// Standard output, whose errors name it.
pub(crate) fn stdout() -> Stdout<StdoutLock<'static>> {
    Stdout(io::stdout().lock())
}

/// Standard output with colours where there is a terminal.
pub(crate) fn coloured_stdout() -> Stdout<anstream::AutoStream<StdoutLock<'static>>> {
    Stdout(anstream::stdout().lock())
}

/// A writer to standard output, whose errors name it.
#[derive(Debug)]
pub(crate) struct Stdout<W>(W);

impl<W: Write> Write for Stdout<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes).map_err(unwritable)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush().map_err(unwritable)
    }
}

fn unwritable(error: io::Error) -> io::Error {
    io::Error::new(error.kind(), Unwritable(error))
}

/// Prints an answer that is text of several lines.
///
/// # Errors
/// Standard output cannot be written.
pub(crate) fn print(text: &str) -> io::Result<()> {
    write_all(&printable_lines(text))
}

/// Prints an answer that is JSON.
///
/// # Errors
/// Standard output cannot be written.
pub(crate) fn print_json(json: &str) -> io::Result<()> {
    write_all(&printable_json(json))
}

/// Prints an answer for programs, as it is.
///
/// # Errors
/// Standard output cannot be written.
pub(crate) fn write_all(text: &str) -> io::Result<()> {
    let mut out = stdout();
    out.write_all(text.as_bytes())?;
    out.flush()
}

/// A writer of JSON lines. Only JSON may be written to it, each string in one piece.
#[derive(Debug)]
pub(crate) struct JsonLines<W>(pub W);

impl<W: Write> Write for JsonLines<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let ascii = bytes.is_ascii() && !bytes.contains(&0x7f);
        match std::str::from_utf8(bytes) {
            Ok(json) if !ascii => self.0.write_all(printable_json(json).as_bytes())?,
            _ => self.0.write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
