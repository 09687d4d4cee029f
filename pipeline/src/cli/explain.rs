//! `c4 explain`.

use super::lists::ListArgs;
use crate::input;
use crate::inspect::explain::{Corpus, Explainer, Explanation, Line, Passed, Wanted, find};
use crate::terminal::{JsonLines, coloured_stdout};
use anstyle::{AnsiColor, Effects, Style};
use anyhow::bail;
use c4_data::{BUILTIN_RECIPES, Recipe, printable};
use clap::{ArgGroup, Args};
use std::io::{Read, Write};
use std::path::PathBuf;

/// Shows a page as the pipeline sees it: its path from record to shard, and every line, kept or
/// dropped, with the reason.
///
/// With --build, also what a finished corpus knows: which lines were dropped as duplicates of which
/// other page, and whether a newer page has replaced this one.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("what").required(true).args(["url", "record", "random", "text"]))]
pub(super) struct ExplainArgs {
    /// Archives, folders or listings; with --build, those of the corpus if left out.
    #[arg(value_name = "INPUT", conflicts_with = "text")]
    inputs: Vec<PathBuf>,
    /// The page of this URL.
    #[arg(long)]
    url: Option<String>,
    /// Record N of the archive, from 0, over all its records.
    #[arg(long, value_name = "N")]
    record: Option<u64>,
    /// N pages, drawn at random.
    #[arg(long, value_name = "N")]
    random: Option<usize>,
    /// Seed of --random: another seed draws other pages.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// A text in place of a page; `-` reads it from stdin.
    #[arg(long, value_name = "FILE")]
    text: Option<PathBuf>,
    /// A recipe's name or TOML file [default: that of the corpus with --build, else c4].
    #[arg(short, long, value_name = "NAME|FILE")]
    recipe: Option<String>,
    #[command(flatten)]
    lists: ListArgs,
    /// Folder of a finished corpus that was built of the archives.
    #[arg(long, value_name = "DIR", conflicts_with = "text")]
    build: Option<PathBuf>,
    /// Folder that the paths of a listing are in.
    #[arg(long, value_name = "DIR")]
    base: Option<PathBuf>,
    /// One JSON object a page, one a line.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &ExplainArgs) -> anyhow::Result<()> {
    let corpus = args.build.as_deref().map(Corpus::open).transpose()?;
    let (recipe, base) = match (&args.recipe, &corpus) {
        (None, Some(corpus)) => (corpus.manifest.recipe.clone(), PathBuf::new()),
        (name, _) => Recipe::load(name.as_deref().unwrap_or(BUILTIN_RECIPES[0].0))?,
    };
    args.lists.check(&[&recipe])?;
    let (recipe, lists) = args.lists.load(recipe, &base)?;
    if let Some(corpus) = &corpus
        && corpus.manifest.recipe_hash != recipe.hash(&lists)
    {
        let built = &corpus.manifest.recipe.name;
        bail!("--recipe is another one than the corpus was built by ({built}); leave it out");
    }
    let explainer = Explainer::new(&recipe, &lists, corpus.as_ref())?;
    let explanations = match &args.text {
        Some(path) => vec![explainer.explain_text(&read_text(path)?)],
        None => {
            let inputs = match &corpus {
                Some(corpus) if args.inputs.is_empty() => &corpus.inputs,
                _ => &args.inputs,
            };
            if inputs.is_empty() {
                bail!("name the archives (INPUT), or a corpus with --build that says where they are");
            }
            let mut inputs = input::resolve(inputs, args.base.as_deref(), &recipe.read)?;
            if let Some(corpus) = &corpus {
                corpus.label(&mut inputs)?;
            }
            if args.record.is_some() && inputs.len() != 1 {
                bail!("--record counts in one archive, but there are {}", inputs.len());
            }
            let wanted = match (&args.url, args.record, args.random) {
                (Some(url), _, _) => Wanted::Url(url.clone()),
                (_, Some(record), _) => Wanted::Record(record),
                (_, _, random) => Wanted::Random(random.unwrap_or(1), args.seed),
            };
            let found = find(&inputs, &recipe.read, &wanted)?;
            if found.is_empty() {
                bail!("{}", nothing(&wanted, inputs.len()));
            }
            explainer.explain(&found)?
        }
    };
    let mut out = coloured_stdout();
    for (i, explanation) in explanations.iter().enumerate() {
        if args.json {
            writeln!(JsonLines(&mut out), "{}", explanation.to_json())?;
            continue;
        }
        if i > 0 {
            writeln!(out)?;
        }
        print(&mut out, explanation)?;
    }
    Ok(out.flush()?)
}

fn nothing(wanted: &Wanted, inputs: usize) -> String {
    match wanted {
        Wanted::Url(url) => format!("no record of {url} in {inputs} archives"),
        Wanted::Record(n) => format!("the archive has no record {n}"),
        Wanted::Random(..) => format!("no page in {inputs} archives"),
    }
}

fn read_text(path: &PathBuf) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    if path.as_os_str() == "-" {
        std::io::stdin().read_to_end(&mut bytes)?;
    } else {
        bytes = std::fs::read(path).map_err(c4_data::Error::io(path, "read"))?;
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(e) => bail!("{}: not UTF-8: {}", path.display(), e.utf8_error()),
    }
}

/// The number of lines in a row, dropped with their page, that are shown.
const SHOWN_WITH_PAGE: usize = 20;
const GOOD: Style = AnsiColor::Green.on_default().effects(Effects::BOLD);
const BAD: Style = AnsiColor::Red.on_default().effects(Effects::BOLD);
const OPEN: Style = AnsiColor::Yellow.on_default().effects(Effects::BOLD);
const FAINT: Style = Style::new().effects(Effects::DIMMED);
const MATCH: Style = AnsiColor::Red.on_default().effects(Effects::UNDERLINE);

fn print(out: &mut impl Write, explanation: &Explanation) -> std::io::Result<()> {
    let url = match &*explanation.url {
        "" => "the text",
        url => url,
    };
    let open = explanation.stations.iter().any(|s| s.passed == Passed::Open);
    let (style, verdict) = match explanation.reason {
        Some(reason) => (BAD, format!("dropped: {}", reason.code())),
        None if explanation.missing => (BAD, "dropped, for a reason not known here".to_owned()),
        None if open => (OPEN, "kept, as far as is known here".to_owned()),
        None => (GOOD, "kept".to_owned()),
    };
    writeln!(out, "{} {style}{verdict}{style:#}", printable(url))?;
    for station in &explanation.stations {
        let (style, word) = match station.passed {
            Passed::Keep => (GOOD, "keep"),
            Passed::Drop(_) => (BAD, "drop"),
            Passed::Open => (OPEN, "open"),
        };
        let says = printable(&station.says);
        writeln!(out, "  {:<10} {style}{word}{style:#}  {says}", station.name)?;
    }
    if !explanation.lines.is_empty() {
        let legend = "(blank: the line rules keep it, -: dropped, ~: a part is left, .: dropped with the page)";
        writeln!(out, "\n{FAINT}{legend}{FAINT:#}")?;
    }
    let codes = explanation.lines.iter().filter_map(|line| line.reason);
    let width = codes.map(|reason| reason.code().len()).max().unwrap_or(0);
    let mut with_page = 0;
    for line in &explanation.lines {
        if !line.is_dropped_with_page() {
            with_page = 0;
        } else if with_page == SHOWN_WITH_PAGE {
            with_page += 1;
            let all = explanation.lines.iter().filter(|line| line.is_dropped_with_page());
            let more = all.count().saturating_sub(SHOWN_WITH_PAGE);
            writeln!(out, ". {:width$}  {FAINT}… and {more} more lines{FAINT:#}", "")?;
            continue;
        } else if with_page > SHOWN_WITH_PAGE {
            continue;
        } else {
            with_page += 1;
        }
        print_line(out, line, width)?;
    }
    Ok(())
}

fn print_line(out: &mut impl Write, line: &Line, width: usize) -> std::io::Result<()> {
    let code = line.reason.map_or("", |reason| reason.code());
    match &line.kept_text {
        Some(kept) if line.reason.is_none() => {
            writeln!(out, "  {code:<width$}  {}", printable(kept))?;
        }
        Some(kept) => {
            let (text, left) = (printable(&line.text), printable(kept));
            writeln!(out, "~ {BAD}{code:<width$}{BAD:#}  {FAINT}{text}{FAINT:#}")?;
            writeln!(out, "  {:>width$}  {left}", "left:")?;
        }
        None if line.is_dropped_with_page() => {
            let text = printable(&line.text);
            writeln!(out, ". {:width$}  {FAINT}{text}{FAINT:#}", "")?;
        }
        None => {
            let text = &line.text;
            let place = line.matched.clone().unwrap_or(0..0);
            let (before, rest) = text.split_at(place.start);
            let (found, after) = rest.split_at(place.len());
            write!(
                out,
                "- {BAD}{code:<width$}{BAD:#}  {FAINT}{}{FAINT:#}",
                printable(before)
            )?;
            if !found.is_empty() {
                write!(out, "{MATCH}{}{MATCH:#}", printable(found))?;
            }
            writeln!(out, "{FAINT}{}{FAINT:#}", printable(after))?;
        }
    }
    for copy in line.kept_by.iter().take(3) {
        let copy = copy.to_string();
        writeln!(out, "  {:width$}  {FAINT}kept by {}{FAINT:#}", "", printable(&copy))?;
    }
    Ok(())
}
