//! `c4 recipes`.

use crate::error::Error;
use crate::terminal;
use c4_data::{BUILTIN_RECIPES, Recipe};
use clap::Args;

#[derive(Debug, Args)]
pub(super) struct RecipesArgs {
    /// The recipe to print.
    name: Option<String>,
}

pub(super) fn run(args: &RecipesArgs) -> anyhow::Result<()> {
    let Some(name) = &args.name else {
        let mut out = String::new();
        for (name, text) in BUILTIN_RECIPES {
            let description = Recipe::parse(name, text)?.description;
            out += &format!("{name:<16} {description}\n");
        }
        return Ok(terminal::print(&out)?);
    };
    let found = BUILTIN_RECIPES.iter().find(|(n, _)| n == name);
    let Some((_, text)) = found else {
        // The same message as for a build.
        return Err(Recipe::load(name)
            .map_or_else(Error::from, |_| Error::Output {
                path: name.into(),
                reason: "is a file; print it with any tool".into(),
            })
            .into());
    };
    Ok(terminal::print(text)?)
}
