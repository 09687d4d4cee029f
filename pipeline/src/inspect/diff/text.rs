//! A comparison as text, for a terminal.

use super::{CorpusFacts, Diff, GroupDiff, InputFacts, LineCause, PageCause};
use crate::terminal::table::{TextTable, percent};
use crate::view::number::thousands;
use crate::view::text::shortened;
use serde_json::Value;

/// Archives of one corpus that are listed.
const LISTED_INPUTS: usize = 10;
/// Characters of an example on the terminal.
const SHOWN_CHARS: usize = 100;
/// Characters of a value of a recipe.
const VALUE_CHARS: usize = 40;

/// The comparison as text for a terminal.
pub fn text(diff: &Diff) -> String {
    let mut out = summary(diff);
    if diff.is_empty() {
        out += "\nThe same pages with the same texts.\n";
    }
    let pages = &diff.pages;
    let sections = [
        ("only in A", "B", pages.only_a, &diff.only_a),
        ("only in B", "A", pages.only_b, &diff.only_b),
    ];
    for (title, other, n, causes) in sections {
        if !causes.is_empty() {
            out += &format!("\nPages {title}, and what {other} did with them\n");
            out += &page_causes(causes, n);
        }
    }
    let changed = &diff.changed;
    let sections = [("A", "B", &changed.only_a), ("B", "A", &changed.only_b)];
    for (here, other, causes) in sections {
        if !causes.is_empty() {
            out += &format!("\nPages in both with other text: lines only in {here}, and what {other} did with them\n");
            out += &line_causes(causes, changed.pages);
        }
    }
    if changed.pages_reordered > 0 {
        out += &format!(
            "{} of these pages have the same lines in another order.\n",
            thousands(changed.pages_reordered)
        );
    }
    if !diff.languages.is_empty() {
        out += "\nDiffering pages by language\n";
        out += &groups(&diff.languages);
        out += "\nDiffering pages by domain";
        if diff.domains_in_all > diff.domains.len() as u64 {
            out += &format!(" (top {} of {})", diff.domains.len(), thousands(diff.domains_in_all));
        }
        out.push('\n');
        out += &groups(&diff.domains);
    }
    out += &examples(diff);
    if !diff.notes.is_empty() {
        out += "\nNotes\n";
        diff.notes.iter().for_each(|note| out += &format!("  {note}\n"));
    }
    out
}

fn summary(diff: &Diff) -> String {
    let mut table = TextTable::default();
    let heads = [
        "",
        "recipe",
        "hash",
        "program",
        "pages",
        "text bytes",
        "format",
        "ledger",
    ];
    table.row(heads);
    let row = |name: &str, corpus: &CorpusFacts, table: &mut TextTable| {
        table.row([
            &format!("{name}  {}", corpus.dir),
            &corpus.recipe,
            corpus.recipe_hash.get(..12).unwrap_or_default(),
            &corpus.program,
            &thousands(corpus.pages),
            &thousands(corpus.text_bytes),
            &format!("{:?}", corpus.format).to_lowercase(),
            &corpus.ledger.to_string(),
        ]);
    };
    row("A", &diff.a, &mut table);
    row("B", &diff.b, &mut table);
    let mut out = table.render();
    out += "\nRecipes: ";
    if diff.recipe.is_empty() {
        out += "no key differs\n";
    } else {
        out += "keys that differ\n";
        let mut table = TextTable::default().left([1, 2]);
        table.row(["  key", "A", "B"]);
        for diff in &diff.recipe {
            table.row([&format!("  {}", diff.key), &value(&diff.a), &value(&diff.b)]);
        }
        out += &table.render();
    }
    let inputs = &diff.inputs;
    out += &format!("Inputs: {} archives in both", thousands(inputs.both));
    for (name, only) in [("A", &inputs.only_a), ("B", &inputs.only_b)] {
        out += &format!(", {} only in {name}", thousands(only.len() as u64));
    }
    out.push('\n');
    for (name, only) in [("A", &inputs.only_a), ("B", &inputs.only_b)] {
        let line = |input: &InputFacts| {
            let bytes = thousands(input.bytes);
            format!("  {name}  {}, {bytes} bytes\n", input.archive)
        };
        out.extend(only.iter().take(LISTED_INPUTS).map(line));
        if only.len() > LISTED_INPUTS {
            let rest = (only.len() - LISTED_INPUTS) as u64;
            out += &format!("  {name}  and {} more\n", thousands(rest));
        }
    }
    out.push('\n');
    if let Some(domain) = &diff.domain {
        out += &format!("Of the domain {domain}:\n");
    }
    let pages = &diff.pages;
    let mut table = TextTable::default();
    table.row(["pages", "", "of A", "of B"]);
    for (name, n) in [
        ("in A", pages.a),
        ("in B", pages.b),
        ("in both, same text", pages.same),
        ("in both, other text", pages.changed),
        ("only in A", pages.only_a),
        ("only in B", pages.only_b),
        ("in both, other language", pages.other_language),
        ("in both, other split", pages.other_split),
    ] {
        let optional = name.ends_with("language") || name.ends_with("split");
        if n > 0 || !optional {
            let (of_a, of_b) = match name {
                "in A" | "only in A" => (percent(n, pages.a), String::new()),
                "in B" | "only in B" => (String::new(), percent(n, pages.b)),
                _ => (percent(n, pages.a), percent(n, pages.b)),
            };
            table.row([name, &thousands(n), &of_a, &of_b]);
        }
    }
    out += &table.render();
    if let Some(reason) = diff.reason {
        out += &format!("\nBelow: only what has the cause {}.\n", reason.code());
    }
    out
}

/// A recipe's value in one line.
fn value(value: &Value) -> String {
    match value {
        Value::Null => "-".into(),
        Value::String(text) => cut(text, VALUE_CHARS),
        value => cut(&value.to_string(), VALUE_CHARS),
    }
}

/// At most `max` characters of a text, in one line and without what steers a terminal.
fn cut(text: &str, max: usize) -> String {
    shortened(&text.replace(char::is_control, " "), max)
}

fn page_causes(causes: &[PageCause], all: u64) -> String {
    let mut table = TextTable::default().left([5]);
    table.row(["cause", "pages", "share", "lines", "characters", "decided by"]);
    for cause in causes {
        table.row([
            cause.cause.code(),
            &thousands(cause.pages),
            &percent(cause.pages, all),
            &thousands(cause.lines),
            &thousands(cause.chars),
            cause.rule,
        ]);
    }
    table.render()
}

fn line_causes(causes: &[LineCause], all: u64) -> String {
    let mut table = TextTable::default().left([6]);
    let heads = ["cause", "pages", "", "lines", "lines cut", "characters", "decided by"];
    table.row(heads);
    for cause in causes {
        table.row([
            cause.cause.code(),
            &thousands(cause.pages),
            &percent(cause.pages, all),
            &thousands(cause.lines),
            &thousands(cause.cut_lines),
            &thousands(cause.chars),
            cause.rule,
        ]);
    }
    table.render()
}

fn groups(groups: &[GroupDiff]) -> String {
    let mut table = TextTable::default();
    table.row(["", "only in A", "only in B", "other text"]);
    for group in groups {
        let name = match group.name.as_str() {
            "" => "(none)",
            name => name,
        };
        table.row([
            name,
            &thousands(group.only_a),
            &thousands(group.only_b),
            &thousands(group.changed),
        ]);
    }
    table.render()
}

fn examples(diff: &Diff) -> String {
    let mut out = String::new();
    for (name, causes) in [("A", &diff.only_a), ("B", &diff.only_b)] {
        for cause in causes.iter().filter(|cause| !cause.examples.is_empty()) {
            out += &format!("\nOnly in {name}: {}. {}\n", cause.cause.code(), cause.doc);
            for page in &cause.examples {
                out += &format!("  {}\n", cut(&page.url, 4 * SHOWN_CHARS));
                out += &format!("    {}\n", cut(&page.text, SHOWN_CHARS));
            }
        }
    }
    let changed = &diff.changed;
    for (name, causes) in [("A", &changed.only_a), ("B", &changed.only_b)] {
        for cause in causes.iter().filter(|cause| !cause.examples.is_empty()) {
            out += &format!("\nLines only in {name}: {}. {}\n", cause.cause.code(), cause.doc);
            for line in &cause.examples {
                out += &format!("  {}\n", cut(&line.url, 4 * SHOWN_CHARS));
                if !line.line.is_empty() {
                    out += &format!("    {}\n", cut(&line.line, SHOWN_CHARS));
                }
                if let Some(left) = &line.left {
                    out += &format!("    left: {}\n", cut(left, SHOWN_CHARS));
                }
            }
        }
    }
    out
}
