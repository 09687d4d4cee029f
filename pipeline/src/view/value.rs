//! Values of JSON as one would write them.

use super::number;
use super::text::{Crawl, crawl};
use maud::{Markup, html};
use serde_json::Value;

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
