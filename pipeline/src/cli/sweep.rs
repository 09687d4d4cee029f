//! The command `c4 sweep`.

use super::build::report_damage;
use super::lists::ListArgs;
use super::threads::ThreadsArg;
use crate::input;
use crate::inspect::sweep::full::{FullOptions, sweep_full};
use crate::inspect::sweep::report::SweepReport;
use crate::inspect::sweep::settings::Grid;
use crate::inspect::sweep::sweep;
use crate::terminal;
use c4_data::{BUILTIN_RECIPES, InputState, Recipe};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;

/// Reads archives once and says what each combination of the values would keep: pages, lines and
/// characters, in all and of the ten largest domains. The numbers are those of builds with these
/// recipes up to the language step; dedup, language and bad words are off.
///
/// Exit status: 0, all done; 1, done, but something could not be read (see the messages); 2,
/// refused or stopped.
#[derive(Debug, Args)]
pub(crate) struct SweepArgs {
    /// Archives, folders of archives, or listings (*.paths, *.paths.gz: one path or URL a line).
    #[arg(required = true, value_name = "INPUT")]
    inputs: Vec<PathBuf>,
    /// A key of the recipe and the values to try, in TOML: line.min_words=3,4,5, or
    /// clean.code_marks=[],["{"]. `line` and `page` stand for `clean`. May be given several times;
    /// all combinations are tried, 256 at most.
    #[arg(short, long = "set", value_name = "KEY=VALUES")]
    sets: Vec<String>,
    /// A recipe's name (see `c4 recipes`) or TOML file.
    #[arg(short, long, default_value = BUILTIN_RECIPES[0].0, value_name = "NAME|FILE")]
    recipe: String,
    #[command(flatten)]
    lists: ListArgs,
    /// Folder that the paths of a listing are in, and that stands for the host of its URLs
    /// [default: the listing's folder].
    #[arg(long, value_name = "DIR")]
    base: Option<PathBuf>,
    #[command(flatten)]
    threads: ThreadsArg,
    /// Print JSON.
    #[arg(long)]
    json: bool,
    /// Take all steps of the recipe, by a whole build for each combination. The keys of all steps
    /// may vary then.
    #[arg(long)]
    full: bool,
    /// Folder for the builds of --full, which are removed [default: the system's for such files].
    #[arg(long, value_name = "DIR", requires = "full")]
    work_dir: Option<PathBuf>,
}

pub(crate) fn run(args: SweepArgs) -> anyhow::Result<ExitCode> {
    let (recipe, lists) = Recipe::load(&args.recipe)?;
    args.lists.check(&[&recipe])?;
    let recipe = args.lists.named(recipe)?;
    let grid = Grid::new(&recipe, &args.sets, args.full)?;
    let inputs = input::resolve(&args.inputs, args.base.as_deref(), &recipe.read)?;
    let recipes = grid.recipes();
    let threads = args.threads.number();
    let swept = if args.full {
        sweep_full(&FullOptions {
            recipes: &recipes,
            lists: &lists,
            inputs: &inputs,
            threads,
            work_dir: args.work_dir.as_deref(),
        })?
    } else {
        sweep(&recipes, &inputs, threads)?
    };
    let report = SweepReport {
        recipe: &recipe,
        grid: &grid,
        swept: &swept,
        full: args.full,
    };
    let printed = match args.json {
        true => terminal::print_json(&format!("{:#}\n", report.to_json())),
        false => terminal::print(&report.to_text()),
    };
    terminal::unless_closed(printed)?;
    report_damage(&swept.inputs);
    let whole = swept.inputs.iter().all(|i| i.state == InputState::Read);
    Ok(ExitCode::from(u8::from(!whole)))
}
