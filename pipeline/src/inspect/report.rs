//! One HTML file that shows what a build kept and dropped, and why.
//!
//! The file stands alone: no script, style, font or picture is loaded from anywhere, and its
//! content security policy forbids it. Everything is there without JavaScript; the script only
//! sorts, searches and toggles. Text from the crawl goes through [`text`], which escapes it, shows
//! characters that hide or reorder text, and never makes a link.
//!
//! [`page`], [`table`], [`bars`], [`number`], [`text`] and [`value`] know nothing of builds, so that
//! other pages can be made of the same parts: that of `c4 diff` is in `diff/page.rs`.

mod distribution;
mod examples;
mod facts;
mod flow;
mod flow_view;
mod headline;
mod model;
mod origin;
mod reasons;

pub use examples::{ExampleLine, ExamplePage, Examples};

use crate::corpus::REPORT_GENERATOR;
use crate::view::page;
use maud::html;
use serde::Deserialize;
use serde_json::Value;

/// Why a report cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// One of the files does not have the shape that it should have.
    #[error("{file} is not what a build of this program writes: {cause}")]
    Shape {
        /// The file's name.
        file: &'static str,
        /// What is wrong with it.
        cause: serde_json::Error,
    },
}

/// What a report is made of. Only the tally of the statistics has to be there; a part that is
/// missing leaves out its section.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// The content of `manifest.json`.
    pub manifest: &'a Value,
    /// The content of `stats.json`.
    pub stats: &'a Value,
    /// The content of `run.json`.
    pub run: Option<&'a Value>,
    /// Pages and lines that went, from the ledger.
    pub examples: &'a Examples,
}

/// The report as one HTML file.
///
/// # Errors
/// A source that has another shape than a build of this program gives it.
pub fn render(sources: &Sources<'_>) -> Result<String, Error> {
    let manifest: model::Manifest = parse("manifest.json", sources.manifest)?;
    let stats: model::Stats = parse("stats.json", sources.stats)?;
    let run: Option<model::Run> = sources.run.map(|run| parse("run.json", run)).transpose()?;
    let examples = sources.examples;
    let linked = examples.codes();

    let sections: Vec<page::Section> = [
        flow_view::section(&stats, &linked),
        reasons::section(&stats, &linked),
        distribution::section(&stats),
        origin::languages(&stats),
        origin::domains(&stats),
        origin::years(&stats),
        origin::duplicates(&stats),
        origin::bad_words(&stats),
        examples::section(examples, &stats),
        facts::run(&manifest, run.as_ref()),
        facts::recipe(&manifest),
        facts::inputs(&manifest),
    ]
    .into_iter()
    .flatten()
    .collect();

    let recipe = stats.recipe_name(&manifest);
    Ok(page::page(&page::Page {
        generator: REPORT_GENERATOR,
        title: &format!("C4 build report: {recipe}"),
        kind: "Build report",
        head: html! { (headline::warnings(&stats)) (headline::headline(&stats, &manifest, run.as_ref())) },
        sections,
        foot: headline::foot(&stats, &manifest),
    }))
}

fn parse<'de, T: Deserialize<'de>>(file: &'static str, value: &'de Value) -> Result<T, Error> {
    T::deserialize(value).map_err(|cause| Error::Shape { file, cause })
}
