//! The parts of a card that people read.

use super::{Facts, LICENSE};
use crate::terminal::table::percent;
use crate::view::number::thousands;
use c4_data::{DedupStep, Format, InputState, LedgerMode, Manifest, Split, StageStats, Stats, Undetermined, printable};
use c4_filters::{Reason, Scope};
use serde_json::Value;
use std::cmp::Reverse;
use std::fmt::Write as _;

/// The number of reasons and languages that are listed.
const TOP: usize = 10;
/// The number of archives that are listed.
const ARCHIVES: usize = 20;

/// The text with everything escaped that is Markdown or ends a cell.
pub(super) fn plain(text: &str) -> String {
    let mut out = String::new();
    for c in printable(&text.replace(char::is_control, " ")).chars() {
        match c {
            '|' | '`' | '*' | '_' | '<' | '>' | '[' | ']' | '\\' | '#' => out.extend(['\\', c]),
            _ => out.push(c),
        }
    }
    out
}

/// A table in Markdown; the first column is text, the others are numbers.
fn table<const N: usize>(heads: [&str; N], rows: Vec<[String; N]>) -> String {
    let mut out = format!("| {} |\n|---|", heads.join(" | "));
    out += &"---:|".repeat(N - 1);
    out.push('\n');
    for row in rows {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "| {} |", row.join(" | "));
    }
    out.push('\n');
    out
}

pub(crate) fn summary(manifest: &Manifest, stats: &Stats, facts: &Facts<'_>) -> String {
    let recipe = &manifest.recipe;
    let mut text = format!(
        "{} documents of web text, {} words, cleaned and deduplicated by the rules of \
         [C4](https://arxiv.org/abs/1910.10683) from {} archives of Common Crawl. Recipe \
         `{}`: {}\n\n",
        thousands(facts.all.sum(|split| split.rows)),
        thousands(stats.tally.words.kept),
        thousands(manifest.inputs.len() as u64),
        recipe.name,
        plain(&recipe.description),
    );
    let rows = Split::ALL.into_iter().zip(facts.all.splits);
    let rows = rows.map(|(split, sums)| {
        let shards = manifest.shards.iter().filter(|shard| shard.split == split);
        [
            split.name().to_owned(),
            thousands(sums.rows),
            thousands(sums.text_bytes),
            thousands(shards.count() as u64),
            thousands(sums.file_bytes),
        ]
    });
    let heads = ["split", "documents", "bytes of text", "files", "bytes of files"];
    text += &table(heads, rows.collect());
    let by_language = facts.languages().next().is_some();
    if by_language {
        text += "Each language has files, splits and a configuration of its own:\n\n";
        let rows = facts.configs().map(|config| {
            let [train, validation] = config.splits;
            [
                config.name().to_owned(),
                thousands(train.rows),
                thousands(validation.rows),
                thousands(config.sum(|split| split.text_bytes)),
                thousands(config.sum(|split| split.file_bytes)),
            ]
        });
        let heads = ["language", "train", "validation", "bytes of text", "bytes of files"];
        text += &table(heads, rows.collect());
    }
    let of = if by_language { " of a language" } else { "" };
    let _ = write!(
        text,
        "Documents{of} are in the order of the MD5 of their normalised URL, so reading the files in \
         order is reading them shuffled. "
    );
    text += match recipe.split.validation_one_in {
        0 => "There is no validation split.",
        _ => "The split of a document follows from that MD5 alone.",
    };
    text += " In the head of this card, `num_bytes` and `dataset_size` are bytes of text.\n\n";
    text += &columns(manifest.format);
    if manifest.format == Format::Jsonl {
        text += "`datasets` takes timestamps in JSON for dates, and writes them as `2019-04-18 10:12:43`; in \
                 the files they are as in the archives.\n\n";
    }
    text
}

fn columns(format: Format) -> String {
    let doc = |name: &str| match name {
        "url" => "as in the archive's record",
        "text" => "the cleaned text; lines are separated by `\\n`",
        "timestamp" => "when the page was fetched (`WARC-Date`)",
        "content_type" | "content_length" => "the header, verbatim: of the record (WET) or the HTTP response (WARC)",
        "language" => "by the recipe's detector",
        "language_score" => "its probability, 0 to 1",
        "archive" => "the archive the page was read from",
        _ => "where its record starts in the archive, in bytes",
    };
    let mut text = String::from("| column | type | what |\n|---|---|---|\n");
    for (name, dtype) in super::features(format) {
        let _ = writeln!(text, "| `{name}` | {dtype} | {} |", doc(name));
    }
    text + "\n"
}

pub(super) fn recipe(manifest: &Manifest, facts: &Facts<'_>) -> String {
    let recipe = &manifest.recipe;
    let origin = match facts.builtin {
        Some(_) => "one that comes with the program",
        None => "one of its own; `manifest.json` holds it",
    };
    let mut text = format!(
        "## Recipe\n\n`{}`, {origin}. Its hash, which covers all constants and lists and stands \
         in the manifest{}, is\n`{}`.\n\n",
        recipe.name,
        match manifest.format {
            Format::Jsonl => "",
            _ => " and in every shard",
        },
        manifest.recipe_hash,
    );
    let mut value = serde_json::to_value(recipe).unwrap_or_default();
    if let Some(object) = value.as_object_mut() {
        for key in ["name", "description", "expect"] {
            object.remove(key);
        }
    }
    let mut rows = Vec::new();
    constants("", &value, &mut rows);
    let heads = "| constant | value |\n|---|---|\n";
    text += heads;
    for (key, value) in rows {
        let _ = writeln!(text, "| `{key}` | {value} |");
    }
    text + "\nA step without constants here is not taken.\n\n"
}

fn constants(key: &str, value: &Value, rows: &mut Vec<(String, String)>) {
    let code = |value: &Value| match value {
        Value::String(text) => format!("`{}`", text.replace('|', "\\|")),
        Value::Number(n) if n.is_u64() => thousands(n.as_u64().unwrap_or(0)),
        other => other.to_string(),
    };
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                let key = match key {
                    "" => name.clone(),
                    _ => format!("{key}.{name}"),
                };
                constants(&key, value, rows);
            }
        }
        Value::Array(list) => {
            let list: Vec<String> = list.iter().map(code).collect();
            rows.push((key.to_owned(), list.join(", ")));
        }
        leaf => rows.push((key.to_owned(), code(leaf))),
    }
}

pub(super) fn statistics(stats: &Stats) -> String {
    let mut text = String::from("## Statistics\n\n");
    let all = stats.stages.first().map_or(0, |stage| stage.pages.read);
    let row = |stage: &StageStats| {
        [
            plain(&stage.doc),
            thousands(stage.pages.read),
            thousands(stage.pages.kept),
            percent(stage.pages.kept, all),
            thousands(stage.lines.kept),
            thousands(stage.words.kept),
        ]
    };
    let heads = ["step", "pages in", "pages out", "of all", "lines out", "words out"];
    text += &table(heads, stats.stages.iter().map(row).collect());
    let tally = &stats.tally;
    for (scope, unit, account) in [
        (Scope::Page, "pages", &tally.pages),
        (Scope::Line, "lines", &tally.lines),
    ] {
        let all = account.read;
        let dropped = |reason: &Reason| account.dropped.get(reason.code()).copied().unwrap_or(0);
        let mut reasons: Vec<(u64, Reason)> = Reason::of(scope).iter().map(|r| (dropped(r), *r)).collect();
        reasons.retain(|(n, _)| *n > 0);
        if reasons.is_empty() {
            continue;
        }
        reasons.sort_by_key(|(n, reason)| (Reverse(*n), *reason));
        let rows = reasons.iter().map(|(n, reason)| {
            let why = format!("`{}`: {}", reason.code(), reason.doc());
            [why, thousands(*n), percent(*n, all)]
        });
        let head = format!("why {unit} were dropped");
        let share = format!("of all {unit}");
        text += &table([&head, unit, &share], rows.collect());
    }
    text += "A line counts under the reason that dropped it, or under its page's if it was dropped with its page.\n\n";
    text + &languages(stats)
}

fn languages(stats: &Stats) -> String {
    let rows = stats.languages.iter().map(|(name, n)| (n.kept, n.read, name));
    let mut rows: Vec<(u64, u64, &String)> = rows.collect();
    if rows.is_empty() {
        return String::new();
    }
    rows.sort_by_key(|(out, seen, name)| (Reverse(*out), Reverse(*seen), *name));
    let (seen, rest) = (rows.len(), rows.len().saturating_sub(TOP));
    let rows = rows.iter().take(TOP);
    let rows = rows.map(|(out, seen, name)| [plain(name), thousands(*seen), thousands(*out)]);
    let heads = ["language", "pages that came to the step", "documents"];
    let mut text = table(heads, rows.collect());
    if rest > 0 {
        let _ = writeln!(text, "{rest} more of {seen} languages are in `stats.json`.\n");
    }
    text
}

pub(super) fn provenance(manifest: &Manifest, license: &str) -> String {
    let inputs = &manifest.inputs;
    let bytes: u64 = inputs.iter().map(|input| input.bytes).sum();
    let mut text = format!(
        "## Provenance\n\nBuilt by the program `c4`, version {}, from {} archives ({} bytes):\n\n",
        manifest.versions.program,
        thousands(inputs.len() as u64),
        thousands(bytes)
    );
    for input in inputs.iter().take(ARCHIVES) {
        let state = match input.state {
            InputState::Read => String::new(),
            InputState::Damaged => format!("; {} places in it could not be read", thousands(input.damaged_records)),
            InputState::Failed => "; could not be read to its end".to_owned(),
        };
        let bytes = thousands(input.bytes);
        let _ = writeln!(text, "- {} ({bytes} bytes{state})", plain(&input.archive));
    }
    if inputs.len() > ARCHIVES {
        let more = thousands((inputs.len() - ARCHIVES) as u64);
        let _ = writeln!(text, "- and {more} more, listed in `manifest.json`");
    }
    text += "\n**Licence.** The text is that of the web pages that Common Crawl fetched. Its use is subject \
             to [Common Crawl's terms of use](https://commoncrawl.org/terms-of-use), and the rights of \
             the pages' authors remain theirs. ";
    text += &match license {
        LICENSE => format!(
            "`{LICENSE}` in the head of this card is what the published C4 says of itself; it is \
             about the collection, not about the texts in it.\n\n"
        ),
        other => format!(
            "`{}` in the head of this card was chosen by whoever wrote it; the published C4 says \
             `{LICENSE}`.\n\n",
            other.replace('`', "'")
        ),
    };
    text
}

pub(crate) fn limitations(manifest: &Manifest) -> String {
    let recipe = &manifest.recipe;
    let mut points = vec![
        "The texts are as their authors wrote them: errors, bias, personal data and machine-made text \
         are in them. Nothing was done about any of these beyond the recipe's steps."
            .to_owned(),
        "Pages are deduplicated within this corpus only, and only one page of each normalised URL \
         was considered."
            .to_owned(),
    ];
    if let Some(step) = &recipe.language {
        let unsure = match step.undetermined {
            Undetermined::Drop => "dropped, and with them",
            Undetermined::Keep => "in no language (`und`), and among them are",
        };
        points.push(format!(
            "The language is a detector's opinion of the whole page. Pages below probability {} are \
             {unsure} dialects and mixed pages more often than others.",
            step.min_probability
        ));
    }
    if recipe.bad_words.is_some() {
        points.push(
            "A blocklist matches words, not meaning: it also drops harmless pages, and more of \
             those by and about some groups of people than others \
             ([Dodge et al., 2021](https://arxiv.org/abs/2104.08758))."
                .to_owned(),
        );
    }
    match &recipe.dedup {
        None => points.push("Text that several pages share was not removed.".to_owned()),
        Some(DedupStep::Lines { .. }) => {
            points.push("Of equal lines one is kept, so a page may lack lines that another one has.".to_owned())
        }
        Some(DedupStep::Spans { .. }) => points.push(
            "Of equal spans of sentences one is kept, so a page may lack sentences that another one \
             has, and a line that lost some may be shorter than the line rules allow."
                .to_owned(),
        ),
    }
    if recipe.clean.is_some() {
        points.push(
            "Line rules drop menus and notices, and with them headings, lists, tables, verse and \
             code."
                .to_owned(),
        );
    }
    let damaged = manifest.inputs.iter();
    let damaged = damaged.filter(|input| input.state != InputState::Read).count();
    if damaged > 0 {
        let all = thousands(manifest.inputs.len() as u64);
        points.push(format!(
            "{} of {all} archives could not be read to the last record.",
            thousands(damaged as u64)
        ));
    }
    format!("## Limitations\n\n- {}\n\n", points.join("\n- "))
}

pub(crate) fn loading(manifest: &Manifest, facts: &Facts<'_>) -> String {
    let mut text = String::from("## How to load\n\n");
    // That with most documents is what people will want to see.
    let most = facts.configs().max_by_key(|config| config.sum(|split| split.rows));
    let first = most.and_then(|config| config.splits().next());
    let Some((set, _)) = first else {
        return text + "There are no documents in it.\n\n";
    };
    let config = set.language.map_or(String::new(), |l| format!(", \"{l}\""));
    let split = set.split.name();
    let files = manifest.format.file_pattern(set);
    let _ = write!(
        text,
        "```python\nimport datasets\n\ncorpus = datasets.load_dataset(\"path/to/this/folder\"{config})  # or its \
         name on the Hub\nprint(corpus[\"{split}\"][0][\"text\"])\n```\n\n"
    );
    let other = match manifest.format {
        Format::Arrow => format!("Or as Arrow IPC files: `polars.scan_ipc(\"{files}\")`, `pyarrow.ipc.open_file`."),
        Format::Parquet => format!("Or as Parquet files: `polars.scan_parquet(\"{files}\")`."),
        Format::Jsonl => format!("Or as gzip JSON lines: `zcat {files}`."),
    };
    text + &other + "\n\n"
}

pub(crate) fn reproduction(manifest: &Manifest, facts: &Facts<'_>) -> String {
    let recipe = match &facts.builtin {
        Some(name) => name.clone(),
        None => format!("{}.toml", manifest.recipe.name),
    };
    let mut lists = String::new();
    if let Some(file) = manifest.recipe.domains.iter().find_map(|step| step.file.as_ref()) {
        lists += &format!(" --domains {file}");
    }
    for file in manifest.recipe.urls.iter().flat_map(|step| &step.files) {
        lists += &format!(" --urls {file}");
    }
    let mut text = String::from("## How to reproduce\n\nWith the archives above in the folder `crawl`:\n\n```sh\n");
    let ledger = match manifest.ledger.mode {
        mode if mode == LedgerMode::default() => String::new(),
        mode => format!(" --ledger {mode}"),
    };
    let format = match manifest.format {
        Format::Arrow => "",
        Format::Parquet => " --format parquet",
        Format::Jsonl => " --format jsonl",
    };
    let _ = write!(
        text,
        "c4 build --recipe {recipe}{lists}{format} --shard-size {}{ledger} --output corpus crawl\nc4 verify corpus\n```\n\n",
        size(manifest.shard_size_bytes)
    );
    if facts.builtin.is_none() {
        let _ = write!(
            text,
            "`{recipe}` is the recipe with the constants above (`c4 recipes` prints recipes to start from).\n\n"
        );
    }
    text += "The same archives and the same version of the program give the same bytes, on any machine and any \
             number of threads; `manifest.json` holds the SHA-256 of every file.\n";
    text
}

/// A size as the command line takes it.
fn size(bytes: u64) -> String {
    let units = [(30, "G"), (20, "M"), (10, "K")];
    let unit = units.iter().find(|(shift, _)| bytes.trailing_zeros() >= *shift);
    match unit {
        Some((shift, unit)) => format!("{}{unit}", bytes >> shift),
        None => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use c4_data::Recipe;

    #[test]
    fn sizes_are_as_they_are_typed() {
        for (bytes, text) in [
            (256 << 20, "256M"),
            (3 << 30, "3G"),
            (300 << 10, "300K"),
            (1000, "1000"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }

    #[test]
    fn markdown_of_others_is_plain() {
        assert_eq!(plain("a|b`c\n<d>"), "a\\|b\\`c \\<d\\>");
    }

    #[test]
    fn every_constant_of_a_recipe_is_listed() {
        let (recipe, _) = Recipe::load("c4").unwrap();
        let mut rows = Vec::new();
        constants("", &serde_json::to_value(&recipe).unwrap(), &mut rows);
        let keys: Vec<&str> = rows.iter().map(|(key, _)| &**key).collect();
        for key in ["dedup.span_sentences", "clean.end_marks", "bad_words.lists.en"] {
            assert!(keys.contains(&key), "{keys:?}");
        }
    }
}
