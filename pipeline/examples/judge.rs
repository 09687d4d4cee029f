//! Single rules for programs that compare them with the reference: JSON lines in, JSON lines out.
//!
//! `judge hosts`: strings, URLs; the host's subdomain, domain and suffix.
//! `judge bad_words RECIPE`: objects with `language`, `text` and `url`; `null` for a language without a
//! list, else `passed`, `soft-passed` or `filtered`.

use anyhow::{Context, bail};
use c4_data::{Lists, Recipe};
use c4_filters::rules::bad_words::{BadWords, BadWordsVerdict};
use c4_filters::rules::domains::Host;
use c4_filters::url;
use serde_json::{Value, json};
use std::io::{BufRead, BufWriter, Write, stdin, stdout};

type Rule = Box<dyn Fn(Value) -> Option<Value>>;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let rule: Rule = match arguments[..] {
        ["hosts"] => Box::new(|url| {
            let host = Host::of(url.as_str()?);
            Some(json!([host.subdomain, host.domain, host.suffix]))
        }),
        ["bad_words", recipe] => bad_words(recipe)?,
        _ => bail!("usage: judge hosts | judge bad_words RECIPE"),
    };
    let mut out = BufWriter::new(stdout().lock());
    for (number, line) in (1..).zip(stdin().lock().lines()) {
        let value = serde_json::from_str(&line?).with_context(|| format!("line {number}"))?;
        let answer = rule(value).with_context(|| format!("line {number}: not what is wanted"))?;
        writeln!(out, "{answer}")?;
    }
    Ok(out.flush()?)
}

fn bad_words(recipe: &str) -> anyhow::Result<Rule> {
    let (recipe, base) = Recipe::load(recipe)?;
    let lists = Lists::load(&recipe, &base)?;
    let step = recipe.bad_words.as_ref();
    let rule = BadWords::new(step.context("the recipe has no bad words")?, &lists)?;
    Ok(Box::new(move |page| {
        let lower = page["text"].as_str()?.to_lowercase();
        let key = url::md5(&url::normalize(page["url"].as_str()?));
        Some(match rule.check(page["language"].as_str()?, &lower, key) {
            BadWordsVerdict::NoList => Value::Null,
            BadWordsVerdict::Passed => "passed".into(),
            BadWordsVerdict::SoftPassed => "soft-passed".into(),
            BadWordsVerdict::Dropped => "filtered".into(),
        })
    }))
}
