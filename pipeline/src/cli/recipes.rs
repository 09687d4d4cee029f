//! `c4 recipes`.

use crate::error::Error;
use c4_data::{BUILTIN_RECIPES, Recipe};
use clap::Args;
use std::io::{Write, stdout};

#[derive(Debug, Args)]
pub(super) struct Recipes {
    /// The recipe to print.
    name: Option<String>,
}

pub(super) fn run(args: &Recipes) -> anyhow::Result<()> {
    let mut out = stdout().lock();
    let Some(name) = &args.name else {
        let mut table = Vec::new();
        for (name, text) in BUILTIN_RECIPES {
            table.push((name, Recipe::parse(name, text)?.description));
        }
        for (name, description) in table {
            writeln!(out, "{name:<16} {description}")?;
        }
        return Ok(());
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
    Ok(out.write_all(text.as_bytes())?)
}
