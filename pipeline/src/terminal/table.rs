//! Tables on a terminal, and the funnel.

use crate::view::number::thousands;
use crate::view::text::shortened;
use c4_data::TallyStats;
use c4_data::printable;
use c4_filters::{Reason, Scope};

/// A table for a terminal, the first column left-aligned and the others right-aligned.
#[derive(Debug, Default)]
pub(crate) struct TextTable {
    rows: Vec<Vec<String>>,
    left: Vec<usize>,
}

impl TextTable {
    /// Left-aligns these columns, too.
    #[must_use]
    pub(crate) fn left<const N: usize>(mut self, columns: [usize; N]) -> TextTable {
        self.left.extend(columns);
        self
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [&str; N]) {
        self.cells(cells.map(str::to_owned).to_vec());
    }

    pub(crate) fn cells(&mut self, cells: Vec<String>) {
        self.rows.push(cells.into_iter().map(fitting).collect());
    }

    pub(crate) fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |c: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(c));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut out = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (c, cell) in row.iter().enumerate() {
                let room = " ".repeat(widths[c] - cell.chars().count());
                let (before, after) = match c == 0 || self.left.contains(&c) {
                    true => ("", &*room),
                    false => (&*room, ""),
                };
                line += if c == 0 { "" } else { "  " };
                line.extend([before, cell, after]);
            }
            out += line.trim_end();
            out.push('\n');
        }
        out
    }
}

/// A cell that is printable and not too long; a host may be as long as its URL.
fn fitting(cell: String) -> String {
    const CELL_CHARS: usize = 120;
    shortened(&printable(&cell), CELL_CHARS)
}

/// `part` of `whole` in percent, with one digit after the point, so that the numbers of a column stand below each
/// other; [`number::percent`](crate::view::number::percent) has as many as say something.
pub(crate) fn percent(part: u64, whole: u64) -> String {
    match whole {
        0 => String::new(),
        _ => format!("{:.1} %", 100.0 * part as f64 / whole as f64),
    }
}

/// From records to pages to lines: what came in, every reason that took something, what is left.
pub(crate) fn funnel(tally: &TallyStats) -> String {
    let mut table = TextTable::default();
    let scopes = [
        ("records", &tally.records, Scope::Record, "pages"),
        ("pages", &tally.pages, Scope::Page, "pages kept"),
        ("lines", &tally.lines, Scope::Line, "lines kept"),
    ];
    for (name, account, scope, left) in scopes {
        let read = account.read;
        table.row([&format!("{name} read"), &thousands(read), ""]);
        for reason in Reason::of(scope) {
            let n = account.dropped.get(reason.code()).copied().unwrap_or(0);
            if n > 0 {
                table.row([&format!("  - {}", reason.code()), &thousands(n), &percent(n, read)]);
            }
        }
        if let Some(with_page) = &account.gone_with_page {
            let n: u64 = with_page.values().sum();
            table.row(["  - gone with their page", &thousands(n), &percent(n, read)]);
        }
        let out = account.kept;
        table.row([&format!("= {left}"), &thousands(out), &percent(out, read)]);
        table.row([""]);
    }
    let (read, out) = (tally.text_bytes.read, tally.text_bytes.kept);
    table.row(["text read, bytes", &thousands(read), ""]);
    table.row(["= text kept, bytes", &thousands(out), &percent(out, read)]);
    table.render()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_alignment() {
        assert_eq!(percent(1, 8), "12.5 %");
        let mut table = TextTable::default();
        table.row(["a", "10"]);
        table.row(["long", "1"]);
        assert_eq!(table.render(), "a     10\nlong   1\n");
        assert_eq!(table.left([1]).render(), "a     10\nlong  1\n");
    }
}
