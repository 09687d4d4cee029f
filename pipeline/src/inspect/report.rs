//! One HTML file that shows what a build kept and dropped, and why.
//!
//! The file stands alone: no script, style, font or picture is loaded from anywhere, and its content security policy
//! forbids it. Everything is there without JavaScript; the script only sorts, searches and toggles. Text from the crawl
//! goes through `view/text.rs`, which escapes it, shows characters that hide or reorder text, and never makes a link.
//!
//! The parts of the page are in the room `view`, which knows nothing of builds; the page of `c4 diff` is made of them,
//! too.

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
use c4_data::Stats;
use maud::html;
use serde::Deserialize;
use serde_json::Value;

/// The reason why a report cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A file of the build has not the shape that a build gives it.
    #[error("{file} is not what a build of this program writes: {cause}")]
    Shape {
        /// The name of the file.
        file: &'static str,
        /// The parser's message.
        cause: serde_json::Error,
    },
}

/// The files that a report is made of. Only the tally of the statistics has to be there; for another part that is
/// missing, a section is left out.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// The content of `manifest.json`.
    pub manifest: &'a Value,
    /// The statistics of the build.
    pub stats: &'a Stats,
    /// The content of `run.json`.
    pub run: Option<&'a Value>,
    /// Pages and lines that were dropped, from the ledger.
    pub examples: &'a Examples,
}

/// The report as one HTML file.
///
/// # Errors
/// A source that has another shape than a build of this program gives it.
pub fn render(sources: &Sources<'_>) -> Result<String, ReportError> {
    let manifest: model::Manifest = parse("manifest.json", sources.manifest)?;
    let stats = sources.stats;
    let run: Option<model::Run> = sources.run.map(|run| parse("run.json", run)).transpose()?;
    let examples = sources.examples;
    let linked = examples.codes();

    let sections: Vec<page::Section> = [
        flow_view::section(stats, &linked),
        reasons::section(stats, &linked),
        distribution::section(stats),
        origin::languages(stats),
        origin::domains(stats),
        origin::years(stats),
        origin::duplicates(stats),
        origin::bad_words(stats),
        examples::section(examples, stats),
        facts::run(&manifest, run.as_ref()),
        facts::recipe(&manifest),
        facts::inputs(&manifest),
    ]
    .into_iter()
    .flatten()
    .collect();

    let recipe = model::recipe_name(stats, &manifest);
    Ok(page::page(&page::HtmlPage {
        generator: REPORT_GENERATOR,
        title: &format!("C4 build report: {recipe}"),
        kind: "Build report",
        head: html! { (headline::warnings(stats)) (headline::headline(stats, &manifest, run.as_ref())) },
        sections,
        foot: headline::foot(stats, &manifest),
    }))
}

fn parse<'de, T: Deserialize<'de>>(file: &'static str, value: &'de Value) -> Result<T, ReportError> {
    T::deserialize(value).map_err(|cause| ReportError::Shape { file, cause })
}
