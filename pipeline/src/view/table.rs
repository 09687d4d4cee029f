//! Tables that can be sorted and searched, and read without either.

use maud::{Markup, html};

/// The content of a column, which decides how it is aligned and sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ColumnKind {
    /// Words, left-aligned.
    Text,
    /// Numbers, right-aligned.
    Number,
    /// Shares with bars, left-aligned, sorted by number.
    Bar,
}

#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub head: &'static str,
    pub kind: ColumnKind,
}

impl Column {
    pub(crate) const fn text(head: &'static str) -> Column {
        Column {
            head,
            kind: ColumnKind::Text,
        }
    }

    pub(crate) const fn number(head: &'static str) -> Column {
        Column {
            head,
            kind: ColumnKind::Number,
        }
    }

    pub(crate) const fn bar(head: &'static str) -> Column {
        Column {
            head,
            kind: ColumnKind::Bar,
        }
    }
}

#[derive(Debug, Clone)]
pub(crate) struct Cell {
    show: Markup,
    key: Option<String>,
}

impl Cell {
    /// A cell of words, sorted by what is seen.
    pub(crate) fn text(show: Markup) -> Cell {
        Cell { show, key: None }
    }

    pub(crate) fn count(n: u64) -> Cell {
        Cell::keyed(html! { (super::number::thousands(n)) }, n as f64)
    }

    /// A cell of anything, sorted by a number.
    pub(crate) fn keyed(show: Markup, key: f64) -> Cell {
        // Enough digits to tell shares apart, few enough to keep long tables small.
        let key = format!("{key:.5}");
        let key = key.trim_end_matches('0').trim_end_matches('.').to_owned();
        Cell { show, key: Some(key) }
    }

    /// The share of `part` in `whole`, as a bar and in percent.
    pub(crate) fn share(part: u64, whole: u64, class: &'static str) -> Cell {
        Cell::keyed(
            super::bars::share(part, whole, class),
            super::number::ratio(part, whole),
        )
    }

    /// An empty cell, which sorts below all others.
    pub(crate) fn none() -> Cell {
        Cell::keyed(html! { span.muted { "–" } }, -1.0)
    }
}

/// A table of a page. The first column names the rows.
#[derive(Debug, Clone)]
pub(crate) struct Table {
    /// The caption, which a screen reader always reads.
    pub caption: Markup,
    /// Whether the caption is visible, too.
    pub show_caption: bool,
    pub columns: Vec<Column>,
    /// The rows, each with as many cells as there are columns.
    pub rows: Vec<Vec<Cell>>,
    /// The column that the rows are sorted by, the largest first.
    pub sorted_by: Option<usize>,
    /// The name of what a search finds ("domains"); `None`: no search.
    pub search: Option<&'static str>,
    /// Whether a long table scrolls in a box of its own.
    pub boxed: bool,
    /// Whether the rows have an order of their own and cannot be sorted.
    pub fixed: bool,
}

impl Table {
    /// A table with a caption for screen readers, in no order, without a search.
    pub(crate) fn new(caption: Markup, columns: Vec<Column>) -> Table {
        Table {
            caption,
            show_caption: false,
            columns,
            rows: Vec::new(),
            sorted_by: None,
            search: None,
            boxed: false,
            fixed: false,
        }
    }

    /// The table as HTML. `id` must be the only one of its name on the page. Sorting and search
    /// are added by the script, so that nothing is on the page that does not work.
    pub(crate) fn render(&self, id: &str) -> Markup {
        let sortable = self.rows.len() > 1 && !self.fixed;
        let box_id = format!("{id}-box");
        let caption_id = format!("{id}-caption");
        html! {
            div.table id=(id) data-sortable[sortable] data-search=[self.search] {
                div id=(box_id) class=(if self.boxed { "scroll boxed" } else { "scroll" })
                    role="region" aria-labelledby=(caption_id) tabindex="0" {
                    table {
                        caption id=(caption_id) .hidden[!self.show_caption] { (self.caption) }
                        thead { tr { @for (i, column) in self.columns.iter().enumerate() {
                            th scope="col" class=(class(column.kind))
                                aria-sort=[(self.sorted_by == Some(i)).then_some("descending")] { (column.head) }
                        } } }
                        tbody { @for row in &self.rows { tr {
                            @for (i, (cell, column)) in row.iter().zip(&self.columns).enumerate() {
                                @if i == 0 {
                                    th scope="row" data-v=[cell.key.as_deref()] { (cell.show) }
                                } @else {
                                    td class=(class(column.kind)) data-v=[cell.key.as_deref()] { (cell.show) }
                                }
                            }
                        } } }
                    }
                }
            }
        }
    }
}

const fn class(kind: ColumnKind) -> &'static str {
    match kind {
        ColumnKind::Text => "t",
        ColumnKind::Number => "n",
        ColumnKind::Bar => "b",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_a_header_and_keys_to_sort_by() {
        let columns = vec![Column::text("Name"), Column::number("Pages")];
        let mut table = Table::new(html! { "All" }, columns);
        table.sorted_by = Some(1);
        for (name, n) in [("a", 1234), ("b", 5)] {
            table.rows.push(vec![Cell::text(html! { (name) }), Cell::count(n)]);
        }
        let out = table.render("names").into_string();
        assert!(out.contains("<th scope=\"row\">a</th><td class=\"n\" data-v=\"1234\">1,234</td>"));
        assert!(out.contains("aria-sort=\"descending\">Pages</th>"));
        assert!(out.contains("data-sortable") && !out.contains("data-search"));
    }

    #[test]
    fn keys_keep_five_digits() {
        assert_eq!(Cell::keyed(html! {}, 0.123_456).key.as_deref(), Some("0.12346"));
        assert_eq!(Cell::count(1000).key.as_deref(), Some("1000"));
        assert_eq!(Cell::count(0).key.as_deref(), Some("0"));
    }
}
