//! `c4 ledger`.

use crate::corpus;
use crate::terminal::{JsonLines, coloured_stdout, tell};
use anstyle::{AnsiColor, Effects, Style};
use anyhow::{Context, bail};
use c4_data::ledger::{DroppedLine, DroppedPage, LedgerReader, LedgerRow};
use c4_data::{LedgerMode, printable};
use c4_filters::{Reason, Scope, url};
use clap::Args;
use regex::Regex;
use serde_json::{Value, json};
use std::io::Write;
use std::path::PathBuf;

/// Prints the pages and lines that a build dropped, with the reason and what the rule found.
///
/// A ledger holds a sample by default; the figures of `c4 stats` are of everything. Build with
/// `--ledger all` to find every line here.
#[derive(Debug, Args)]
pub(super) struct LedgerArgs {
    /// Folder of a finished corpus.
    dir: PathBuf,
    /// Only pages or lines dropped for this reason, by its code in `c4 stats`.
    #[arg(long, value_name = "CODE", value_parser = parse_reason)]
    reason: Option<Reason>,
    /// Only pages of this domain and those below it.
    #[arg(long, value_name = "DOMAIN")]
    domain: Option<String>,
    /// Only texts that match this regular expression.
    #[arg(long, value_name = "REGEX")]
    grep: Option<Regex>,
    /// At most so many pages, and so many lines.
    #[arg(short = 'n', long, value_name = "N")]
    limit: Option<usize>,
    /// One JSON object a row.
    #[arg(long)]
    json: bool,
}

pub(super) fn parse_reason(code: &str) -> Result<Reason, String> {
    let of = |scope| Reason::of(scope).iter().map(|reason| reason.code());
    let codes: Vec<&str> = of(Scope::Page).chain(of(Scope::Line)).collect();
    let found = Reason::from_code(code).filter(|reason| reason.scope() != Scope::Record);
    found.ok_or_else(|| format!("the reasons are {}", codes.join(", ")))
}

/// A row of either table.
struct DroppedRow<'a> {
    reason: &'a str,
    url: &'a str,
    text: &'a str,
    matched: &'a str,
    match_start: Option<u32>,
    about: String,
    json: Value,
}

fn page_row(page: &DroppedPage) -> DroppedRow<'_> {
    let language = match &*page.language {
        "" => String::new(),
        language => format!(", {language} {:.4}", page.language_score),
    };
    DroppedRow {
        reason: &page.reason,
        url: &page.url,
        text: &page.text,
        matched: &page.matched,
        match_start: page.match_start,
        about: format!(
            "page; {} lines, {} characters dropped with it{language}{}; {}, byte {}",
            page.lines,
            page.chars,
            holds(&page.matched),
            page.archive,
            page.record_offset
        ),
        json: json!({
            "table": "pages", "reason": page.reason, "rule": page.rule, "match": page.matched,
            "match_start": page.match_start, "text": page.text, "text_bytes": page.text_bytes,
            "url": page.url, "timestamp": page.timestamp, "language": page.language,
            "language_score": page.language_score, "lines": page.lines, "chars": page.chars,
            "words": page.words, "archive": page.archive, "record_offset": page.record_offset,
        }),
    }
}

fn line_row(line: &DroppedLine) -> DroppedRow<'_> {
    DroppedRow {
        reason: &line.reason,
        url: &line.url,
        text: &line.text,
        matched: &line.matched,
        match_start: line.match_start,
        about: format!(
            "line {} of a page that is {}{}; {}, byte {}",
            line.line,
            line.page,
            holds(&line.matched),
            line.archive,
            line.record_offset
        ),
        json: json!({
            "table": "lines", "reason": line.reason, "rule": line.rule, "match": line.matched,
            "match_start": line.match_start, "text": line.text, "line": line.line,
            "page": line.page, "url": line.url, "archive": line.archive,
            "record_offset": line.record_offset,
        }),
    }
}

/// What the rule found, if it is short enough to print.
fn holds(matched: &str) -> String {
    match matched.chars().count() {
        1..=40 => format!(", {matched:?}"),
        _ => String::new(),
    }
}

pub(super) fn run(args: &LedgerArgs) -> anyhow::Result<()> {
    let manifest = corpus::finished(&args.dir)?;
    let ledger = &manifest.ledger;
    if ledger.mode == LedgerMode::None {
        bail!(
            "{}: was built with --ledger none; build it again with --ledger all or sample:N",
            args.dir.display()
        );
    }
    let scope = args.reason.map(Reason::scope);
    let mut shown = 0;
    if scope != Some(Scope::Line) {
        let pages = LedgerReader::<DroppedPage>::new(&args.dir, ledger);
        shown += print_rows(args, pages, page_row)?;
    }
    if scope != Some(Scope::Page) {
        let lines = LedgerReader::<DroppedLine>::new(&args.dir, ledger);
        shown += print_rows(args, lines, line_row)?;
    }
    if let LedgerMode::Sample(n) = ledger.mode
        && !args.json
    {
        tell(format_args!(
            "{shown} shown of a ledger that holds at most {n} pages or lines of each reason; c4 stats has \
             the totals, a build with --ledger all every one"
        ));
    }
    Ok(())
}

fn print_rows<R: LedgerRow>(
    args: &LedgerArgs,
    rows: LedgerReader<R>,
    row: impl Fn(&R) -> DroppedRow<'_>,
) -> anyhow::Result<usize> {
    const BOLD: Style = Style::new().effects(Effects::BOLD);
    const MATCH: Style = AnsiColor::Red.on_default().effects(Effects::UNDERLINE);
    let mut out = coloured_stdout();
    let mut shown = 0;
    for value in rows {
        if args.limit.is_some_and(|limit| shown >= limit) {
            break;
        }
        let value = value.context("the ledger cannot be read; build it again")?;
        let row = row(&value);
        let wanted = args.reason.is_none_or(|reason| reason.code() == row.reason)
            && args.domain.as_ref().is_none_or(|domain| is_in(row.url, domain))
            && args.grep.as_ref().is_none_or(|regex| regex.is_match(row.text));
        if !wanted {
            continue;
        }
        shown += 1;
        if args.json {
            writeln!(JsonLines(&mut out), "{}", row.json)?;
            continue;
        }
        let (reason, url) = (row.reason, printable(row.url));
        writeln!(out, "{BOLD}{reason}{BOLD:#}  {url}\n  {}", printable(&row.about))?;
        let start = row.match_start.map(|at| at as usize);
        let place = start.map_or(0..0, |at| at..at + row.matched.len());
        let (from, to) = window(row.text, &place);
        let mark = |cut| if cut { "…" } else { "" };
        write!(
            out,
            "  {}{}",
            mark(from > 0),
            printable(&row.text[from..place.start.max(from)])
        )?;
        if !place.is_empty() {
            write!(out, "{MATCH}{}{MATCH:#}", printable(&row.text[place.clone()]))?;
        }
        let rest = printable(&row.text[place.end.max(from)..to]);
        writeln!(out, "{rest}{}", mark(to < row.text.len()))?;
    }
    out.flush()?;
    Ok(shown)
}

fn is_in(page: &str, domain: &str) -> bool {
    let (host, domain) = (url::domain(page), domain.to_lowercase());
    let domain = domain.trim_start_matches("www.");
    host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

/// The part of a text that is shown: around what the rule found, at most some lines.
fn window(text: &str, place: &std::ops::Range<usize>) -> (usize, usize) {
    const BEFORE: usize = 200;
    const AFTER: usize = 400;
    let from = text.floor_char_boundary(place.start.saturating_sub(BEFORE));
    let to = text.ceil_char_boundary((place.end + AFTER).min(text.len()));
    (from, to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn domains_hold_those_below_them() {
        assert!(is_in("http://www.a.example/x", "a.example"));
        assert!(is_in("http://b.a.example/x", "www.A.example"));
        assert!(!is_in("http://ba.example/x", "a.example"));
    }

    #[test]
    fn windows_are_cut_between_characters() {
        let text = "é".repeat(1000);
        let (from, to) = window(&text, &(1000..1002));
        assert!(text.is_char_boundary(from) && text.is_char_boundary(to));
        assert_eq!(window("ab", &(0..0)), (0, 2));
    }
}
