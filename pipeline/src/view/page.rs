//! The shell of a page: head, header with the theme button, contents, sections, foot.

use super::text::{Crawl, crawl};
use data_encoding::BASE64;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest, Sha256};

const STYLE: &str = include_str!("../../templates/report.css");
const SCRIPT: &str = include_str!("../../templates/report.js");

/// The parts of a page.
#[derive(Debug, Clone)]
pub(crate) struct HtmlPage<'a> {
    /// The program that the head names as its generator.
    pub generator: &'static str,
    pub title: &'a str,
    /// The kind of the page, in small letters at its top ("Build report").
    pub kind: &'a str,
    /// The part before the contents; holds the `h1`.
    pub head: Markup,
    pub sections: Vec<Section>,
    pub foot: Markup,
}

/// A section of a page, which the contents link to.
#[derive(Debug, Clone)]
pub(crate) struct Section {
    /// The anchor of the section: no other element of the page may have this id.
    pub id: &'static str,
    pub title: &'static str,
    /// What the section shows, in a sentence or two.
    pub lead: Markup,
    pub body: Markup,
}

/// The page as one HTML file that loads nothing.
pub(crate) fn page(page: &HtmlPage<'_>) -> String {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="generator" content=(page.generator);
                meta http-equiv="Content-Security-Policy" content=(policy());
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                meta name="format-detection" content="telephone=no, email=no, address=no, date=no";
                title { (page.title) }
                link rel="icon" href="data:,";
                style { (PreEscaped(STYLE)) }
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header.top {
                    span.brand { "C4" } span.kind { (page.kind) }
                    span #theme-place {}
                }
                main #main tabindex="-1" {
                    (page.head)
                    nav.contents aria-label="Contents" { ul {
                        @for section in &page.sections {
                            li { a href={ "#" (section.id) } { (section.title) } }
                        }
                    } }
                    @for section in &page.sections {
                        @let heading = format!("{}-title", section.id);
                        section id=(section.id) aria-labelledby=(heading) {
                            h2 id=(heading) { (section.title) }
                            p.lead { (section.lead) }
                            (section.body)
                        }
                    }
                }
                footer { (page.foot) }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
    .into_string()
}

/// A part of the page that is folded until the reader opens it.
pub(crate) fn fold(summary: &str, body: &Markup) -> Markup {
    html! { details.fold { summary { (summary) } (body) } }
}

/// Examples of a reason that are folded unless `open`: its name, how many there are in all, a sentence, and the
/// examples as items of a list. `id` must be the only one of its name on the page.
pub(crate) fn examples(id: &str, open: bool, name: &str, count: Option<&str>, doc: &str, items: &Markup) -> Markup {
    html! {
        details.examples id=(Crawl(id)) open[open] {
            summary {
                span.name { (crawl(name)) }
                @if let Some(count) = count { " " span.muted { (count) } }
                span.note { (doc) }
            }
            (items)
        }
    }
}

/// The content security policy of the page: nothing is loaded and no other script runs, even if text from the crawl
/// should get past the escaping.
fn policy() -> String {
    let hash = BASE64.encode(&Sha256::digest(SCRIPT.as_bytes()));
    format!(
        "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'sha256-{hash}'; \
         base-uri 'none'; form-action 'none'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn style_and_script_do_not_end_their_elements() {
        assert!(!STYLE.contains("</") && !SCRIPT.contains("</") && !SCRIPT.contains("<!--"));
        assert!(!STYLE.contains("url(") && !STYLE.contains("@import"));
    }

    #[test]
    fn a_page_has_landmarks_and_contents() {
        let section = Section {
            id: "one",
            title: "One",
            lead: html! { "First." },
            body: fold("More", &html! { "text" }),
        };
        let out = page(&HtmlPage {
            generator: "test",
            title: "A & B",
            kind: "Test",
            head: html! { h1 { "Head" } },
            sections: vec![section],
            foot: html! { "foot" },
        });
        assert!(out.starts_with("<!DOCTYPE html><html lang=\"en\">"));
        assert!(out.contains("<title>A &amp; B</title>"));
        assert!(out.contains("<a href=\"#one\">One</a>") && out.contains("<section id=\"one\""));
    }
}
