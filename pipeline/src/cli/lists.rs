//! Options of several commands: the lists that a recipe goes by.

use anyhow::bail;
use c4_data::{Lists, Recipe};
use clap::Args;
use std::path::{Path, PathBuf, absolute};

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    /// Domains whose pages are kept, for a recipe with the step `domains`: a JSON object (domain to true
    /// or to a list of subdomains) or one domain a line; plain, gzip or zstd.
    #[arg(long, value_name = "FILE")]
    domains: Option<PathBuf>,
    /// URLs whose pages are kept, one a line, for a recipe with the step `urls`; plain, gzip or zstd. May be
    /// given several times.
    #[arg(long, value_name = "FILE")]
    urls: Vec<PathBuf>,
}

impl ListArgs {
    /// Refuses a list that none of the recipes takes.
    pub(super) fn check(&self, recipes: &[&Recipe]) -> anyhow::Result<()> {
        let names: Vec<&str> = recipes.iter().map(|recipe| &*recipe.name).collect();
        let names = names.join(", ");
        let none = |step: &str, option: &str| {
            format!("{names}: no recipe here takes the step `{step}`, so {option} has no use")
        };
        if self.domains.is_some() && recipes.iter().all(|recipe| recipe.domains.is_none()) {
            bail!(none("domains", "--domains"));
        }
        if !self.urls.is_empty() && recipes.iter().all(|recipe| recipe.urls.is_none()) {
            bail!(none("urls", "--urls"));
        }
        Ok(())
    }

    /// The recipe with these files in place of those that it names, where it takes such.
    pub(super) fn named(&self, mut recipe: Recipe) -> anyhow::Result<Recipe> {
        let path = |file: &PathBuf| -> anyhow::Result<String> {
            // The recipe's own files are looked up from its folder, these from here.
            let path = absolute(file).map_err(c4_data::Error::io(file, "find"))?;
            match path.into_os_string().into_string() {
                Ok(path) => Ok(path),
                Err(_) => bail!("{}: the path is not UTF-8", file.display()),
            }
        };
        if let (Some(file), Some(step)) = (&self.domains, &mut recipe.domains) {
            step.file = Some(path(file)?);
        }
        if let (false, Some(step)) = (self.urls.is_empty(), &mut recipe.urls) {
            step.files = self.urls.iter().map(path).collect::<Result<_, _>>()?;
        }
        Ok(recipe)
    }

    /// The lists of the recipe, and the recipe as a manifest should hold it: with the names of files
    /// that were given here, not with where they are on this machine.
    pub(super) fn load(&self, recipe: Recipe, base: &Path) -> anyhow::Result<(Recipe, Lists)> {
        let mut recipe = self.named(recipe)?;
        let lists = Lists::load(&recipe, base)?;
        let name = |file: &mut String| {
            let name = Path::new(&*file).file_name();
            *file = name.unwrap_or_default().to_string_lossy().into_owned();
        };
        if let (Some(_), Some(step)) = (&self.domains, &mut recipe.domains) {
            step.file.iter_mut().for_each(name);
        }
        if let (false, Some(step)) = (self.urls.is_empty(), &mut recipe.urls) {
            step.files.iter_mut().for_each(name);
        }
        Ok((recipe, lists))
    }
}
