//! Values of JSON as one would write them.

use super::number;
use super::text::{Crawl, crawl};
use maud::{Markup, html};
use serde_json::Value;

/// A key of a recipe, such as `clean.min_words`, which may break at its dot.
pub(crate) fn recipe_key(key: &str) -> Markup {
    html! {
        span.rule {
            @if let Some((before, after)) = key.split_once('.') { (before) "." wbr; (after) } @else { (key) }
        }
    }
}

/// A value of JSON, such as a constant of a recipe, as one would write it.
pub(crate) fn value(of: &Value) -> Markup {
    match of {
        Value::Null => html! { span.muted { "none" } },
        Value::Bool(yes) => html! { (if *yes { "yes" } else { "no" }) },
        Value::Number(n) => html! { (n.as_f64().map_or_else(|| n.to_string(), number::plain)) },
        Value::String(s) => html! { code.chip { bdi { (Crawl(s)) } } },
        Value::Array(all) => html! { span.chips { @for one in all { (value(one)) " " } } },
        Value::Object(all) => html! {
            span.chips { @for (key, one) in all { span { (crawl(key)) ": " (value(one)) } " " } }
        },
    }
}
