//! The reference of settings, `docs/settings.md`: made here of the code's doc comments, defaults and refusals, and
//! compared with the file. `WRITE_DATA=1 cargo test --release --locked --test it reference` writes it anew.

use std::fmt::Write;
use std::path::Path;
use t5_trainer::internals::{Setting, settings};
use t5_trainer::{ModelConfig, RunConfig};

const HEAD: &str = "\
# Settings of a run

<!-- Made from the code, not by hand: WRITE_DATA=1 cargo test --release --locked --test it reference -->
";

const INTRODUCTION: &str = "\
    Every key of a run's configuration, with what it means, what it counts, its default, the values that it takes, and \
    where it is from. `--set feed.rows=4` sets one for a run, `--config my.toml` many; `t5 inspect --size small > my.toml` \
    writes a file of all, and `t5 inspect RUN` shows those of a run. \"Paper\" is Raffel et al. 2020, \"ours\" a choice of \
    this program; Mesh TensorFlow is what T5 was trained with, \"the reference\" its code for the data. A default in \
    brackets is computed where the key is left out, here for the other defaults.";

/// The tables of a configuration, and what is said of them.
const TABLES: [(&str, &str, &str); 10] = [
    ("", "The run", "Keys at the top of the file."),
    (
        "model",
        "`[model]`",
        "Most defaults are those of the size that `--size` names:",
    ),
    ("feed", "`[feed]`", "How the corpora become batches."),
    (
        "feed.objective",
        "`[feed.objective]`",
        "How a segment of text becomes inputs and targets.",
    ),
    (
        "optimizer",
        "`[optimizer]`",
        "`optimizer.kind` decides which other keys there are; `--set optimizer.kind=adamw` takes its defaults.",
    ),
    (
        "schedule",
        "`[schedule]`",
        "The learning rate of a step. `schedule.kind` decides which other keys there are; each kind needs no more than its name.",
    ),
    (
        "transfer",
        "`[transfer]`",
        "What of the model is trained. `transfer.kind` decides which other keys there are.",
    ),
    (
        "corpora",
        "`[[corpora]]`",
        "A table for each corpus, in place of `--corpus`.",
    ),
    (
        "tasks",
        "`[[tasks]]`",
        "A table for each task, in place of `--task`; beside corpora, or alone.",
    ),
    (
        "mixing",
        "`[mixing]`",
        "How often an example is of which corpus or task. `mixing.kind` decides which other keys there are; `t5 mix show` prints \
         what follows.",
    ),
];

fn with(changes: &[String]) -> Result<RunConfig, String> {
    RunConfig::resolve("base", None, changes, None).map_err(|error| error.to_string())
}

/// The change that makes a setting one of the configuration.
fn kind(setting: &Setting) -> Vec<String> {
    let (table, _) = setting.table_and_name();
    let kind = setting.kind.iter().map(|kind| format!("{table}.kind={kind}"));
    // What a kind cannot be without.
    let more: &[&str] = match (table, setting.kind.as_deref()) {
        ("transfer", Some("adapters")) => &["model.adapter=32"],
        ("transfer", Some("only")) => &["transfer.variables=['*']"],
        _ => &[],
    };
    kind.chain(more.iter().map(|setting| (*setting).to_owned())).collect()
}

/// What is behind `name = ` in a configuration's table, and whether it is a comment there.
fn value_in(toml: &str, table: &str, name: &str) -> Option<(String, bool)> {
    let mut within = "";
    for line in toml.lines() {
        if line.starts_with('[') {
            within = line.trim_matches(['[', ']']);
        } else if within == table
            && let Some((key, value)) = line.split_once(" = ")
            && key.trim_start_matches("# ") == name
        {
            let value = value.split(" (left out").next().unwrap_or(value);
            return Some((value.to_owned(), line.starts_with('#')));
        }
    }
    None
}

fn default(setting: &Setting) -> String {
    if let Some(said) = &setting.default {
        return said.clone();
    }
    let (table, name) = setting.table_and_name();
    let of = |size: &str| {
        let config = RunConfig::resolve(size, None, &kind(setting), None).unwrap();
        let value = value_in(&config.to_toml(true).unwrap(), table, name);
        match value {
            Some((value, false)) => format!("`{value}`"),
            Some((value, true)) => format!("left out [`{value}`]"),
            None => "left out".to_owned(),
        }
    };
    let defaults: Vec<String> = ModelConfig::names().map(of).collect();
    match defaults.iter().all(|default| *default == defaults[0]) {
        _ if [("corpora", "path"), ("tasks", "name"), ("transfer", "variables")].contains(&(table, name)) => {
            "must be said".to_owned()
        }
        _ if setting.key == "mixing.kind" => "`given`".to_owned(),
        // What a default would be is said in the meaning of these two.
        _ if name == "clip_norm" || table == "optimizer" && defaults[0].starts_with("left out") => {
            "left out".to_owned()
        }
        true => defaults[0].clone(),
        false => "by size".to_owned(),
    }
}

/// What a value must be: names of choices, or what a refusal of a value that cannot be says.
fn values(setting: &Setting) -> String {
    if !setting.choices.is_empty() {
        let names: Vec<String> = setting.choices.iter().map(|(name, _)| format!("`{name}`")).collect();
        return names.join(", ");
    }
    let impossible = match &setting.json_type[..] {
        "boolean" => return "`true`, `false`".to_owned(),
        "string" => return "a text".to_owned(),
        "array" => return "texts".to_owned(),
        "integer" => "9223372036854775807",
        "number" => "nan",
        other => panic!("{}: {other}", setting.key),
    };
    let (table, name) = setting.table_and_name();
    let mut changes = kind(setting);
    changes.push(match table {
        "corpora" => format!("corpora=[{{path='x', {name}={impossible}}}]"),
        "tasks" => format!("tasks=[{{name='x', {name}={impossible}}}]"),
        _ => format!("{}={impossible}", setting.key),
    });
    match with(&changes) {
        Ok(_) => "any whole number".to_owned(),
        Err(refusal) => {
            let must = refusal
                .rsplit_once("must be ")
                .unwrap_or_else(|| panic!("{}: {refusal}", setting.key))
                .1;
            let must = must.split([';', ',']).next().unwrap().replace("finite and ", "");
            must.split(' ').map(grouped).collect::<Vec<_>>().join(" ")
        }
    }
}

/// Long numbers with commas.
fn grouped(word: &str) -> String {
    let is_number = word.len() > 4 && word.bytes().all(|b| b.is_ascii_digit());
    let comma = |place: usize| is_number && place > 0 && (word.len() - place).is_multiple_of(3);
    let digits = word.chars().enumerate();
    digits
        .flat_map(|(place, c)| comma(place).then_some(',').into_iter().chain([c]))
        .collect()
}

fn sizes(out: &mut String) {
    let row = |name| {
        let model = ModelConfig::named(name).unwrap();
        let config = RunConfig::named(name).unwrap();
        let toml = config.to_toml(true).unwrap();
        let of = |key| value_in(&toml, "model", key).unwrap().0.replace('"', "");
        let keys = [
            "d_model",
            "d_ff",
            "d_kv",
            "heads",
            "encoder_layers",
            "decoder_layers",
            "activation",
            "head",
            "dropout",
        ];
        let cells: Vec<String> = keys.map(of).into();
        let millions = model.parameters().unwrap() as f64 / 1e6;
        format!("| `{name}` | {} | {millions:.1} |\n", cells.join(" | "))
    };
    out.push_str("\n| `--size` | d_model | d_ff | d_kv | heads | encoder_layers | decoder_layers | activation | head | dropout | million parameters |\n");
    out.push_str("|---|---|---|---|---|---|---|---|---|---|---|\n");
    ModelConfig::names().map(row).for_each(|row| out.push_str(&row));
}

fn reference(settings: &[Setting]) -> String {
    let mut out = format!("{HEAD}\n{}\n", wrapped(INTRODUCTION, ""));
    for (table, title, about) in TABLES {
        write!(out, "\n## {title}\n\n{}\n", wrapped(about, "")).unwrap();
        if table == "model" {
            sizes(&mut out);
        }
        let own: Vec<&Setting> = settings.iter().filter(|s| s.table_and_name().0 == table).collect();
        let mut kinds: Vec<&Option<String>> = own.iter().map(|s| &s.kind).collect();
        kinds.dedup();
        for kind in kinds {
            if let Some(kind) = kind {
                let all = &own.iter().find(|s| s.key.ends_with(".kind")).unwrap().choices;
                let meaning = &all.iter().find(|(name, _)| name == kind).unwrap().1;
                write!(out, "\n### `kind = \"{kind}\"`\n\n{}\n", wrapped(meaning, "")).unwrap();
            }
            out.push_str("\n| key | meaning | unit | default | values | source |\n|---|---|---|---|---|---|\n");
            for setting in own.iter().filter(|s| s.kind == *kind) {
                writeln!(
                    out,
                    "| `{}` | {} | {} | {} | {} | {} |",
                    setting.key,
                    setting.meaning,
                    setting.unit.as_deref().filter(|unit| *unit != "none").unwrap_or("-"),
                    default(setting),
                    values(setting),
                    setting.source.as_deref().unwrap_or("-"),
                )
                .unwrap();
            }
            for setting in own
                .iter()
                .filter(|s| s.kind == *kind && !s.choices.is_empty() && !s.key.ends_with(".kind"))
            {
                write!(out, "\n`{}`:\n\n", setting.key).unwrap();
                for (name, meaning) in &setting.choices {
                    out.push_str(&wrapped(&format!("- `{name}`: {meaning}"), "  "));
                    out.push('\n');
                }
            }
        }
    }
    out
}

/// Lines of 120 characters at most, those after the first behind an indent.
fn wrapped(text: &str, indent: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().unwrap();
        if line.is_empty() {
            line.push_str(word);
        } else if line.chars().count() + 1 + word.chars().count() > 120 {
            lines.push(format!("{indent}{word}"));
        } else {
            write!(line, " {word}").unwrap();
        }
    }
    lines.join("\n")
}

#[test]
fn the_reference_of_settings_is_that_of_the_code() {
    let made = reference(&settings());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/settings.md");
    if std::env::var_os("WRITE_DATA").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let file = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = file.lines().zip(made.lines()).find(|(old, new)| old != new);
    assert!(
        file == made,
        "docs/settings.md is not what the code says ({differs:?}); this writes it anew:\n\
         WRITE_DATA=1 cargo test --release --locked --test it reference"
    );
}

/// A setting that is added says all of it.
#[test]
fn every_setting_is_described() {
    let settings = settings();
    assert!(settings.len() > 60, "{}", settings.len());
    for setting in &settings {
        let Setting { key, meaning, .. } = setting;
        let first = meaning.chars().next().unwrap_or(' ');
        assert!(first.is_uppercase() || first == '`', "{key}: {meaning}");
        assert!(meaning.ends_with('.') && meaning.len() > 10, "{key}: {meaning}");
        assert!(
            !meaning.contains("[`") && !meaning.contains('|'),
            "{key}: a link, or a table's edge: {meaning}"
        );
        let is_kind = key.ends_with(".kind");
        assert!(
            is_kind || setting.source.is_some(),
            "{key}: no `Source: ….` at the end of its doc comment"
        );
        let counts = ["integer", "number"].contains(&&setting.json_type[..]);
        assert_eq!(
            counts,
            setting.unit.is_some(),
            "{key}: a number has a `Unit: ….`, nothing else has"
        );
        for (name, meaning) in &setting.choices {
            assert!(
                meaning.ends_with('.') && !meaning.contains("[`"),
                "{key} = {name}: {meaning}"
            );
        }
    }
    // Whatever a configuration has is among them.
    for changes in [
        vec![],
        vec!["optimizer.kind=adamw", "schedule.kind=cosine", "clip_norm=1.0"],
    ] {
        let changes: Vec<String> = changes.into_iter().map(str::to_owned).collect();
        let table = toml::Table::try_from(with(&changes).unwrap()).unwrap();
        let mut tables = vec![(String::new(), table)];
        while let Some((prefix, table)) = tables.pop() {
            for (name, value) in table {
                let key = format!("{prefix}{name}");
                match value {
                    toml::Value::Table(table) => tables.push((format!("{key}."), table)),
                    _ if key == "corpora" => {}
                    _ => assert!(settings.iter().any(|s| s.key == key), "{key}"),
                }
            }
        }
    }
}

/// What `t5 inspect` prints has a comment above each key.
#[test]
fn every_key_of_a_configuration_has_a_comment() {
    for size in ["base", "v1.1-tiny"] {
        let toml = RunConfig::named(size).unwrap().to_toml(true).unwrap();
        let lines: Vec<&str> = toml.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            if line.contains(" = ") && !line.starts_with("# ") {
                assert!(number > 0 && lines[number - 1].starts_with("# "), "{line}");
            }
            assert!(line.chars().count() <= 100, "{line}");
        }
        assert!(
            toml.contains("\n# Rows of a batch, whose activations are in memory together. Unit: rows.\nrows = 8\n"),
            "{toml}"
        );
    }
}
