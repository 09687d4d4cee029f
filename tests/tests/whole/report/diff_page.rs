//! A comparison as a page: made of hostile text, of numbers that are all different, and of nothing.

use super::EVIL;
use c4_data::{Format, InputState, LedgerMode};
use c4_filters::Reason;
use c4_pipeline::inspect::diff::{
    self, Cause, Changed, CorpusFacts, Diff, GroupDiff, InputFacts, InputsDiff, KeyDiff, LineCause, LineExample,
    PageCause, PageCounts, PageExample,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// Numbers that are on the page for one reason only.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 += 1001;
        self.0
    }
}

fn corpus(n: &mut Numbers, i: usize) -> CorpusFacts {
    CorpusFacts {
        dir: format!("out/{}", EVIL[i]),
        recipe: EVIL[i + 1].to_owned(),
        recipe_hash: EVIL[i + 2].to_owned(),
        program: EVIL[i + 3].to_owned(),
        format: [Format::Arrow, Format::Jsonl][i],
        ledger: [LedgerMode::All, LedgerMode::None][i],
        pages: n.next(),
        text_bytes: n.next(),
    }
}

fn inputs(n: &mut Numbers) -> Vec<InputFacts> {
    let states = [InputState::Read, InputState::Damaged, InputState::Failed];
    let input = |(i, archive): (usize, &&str)| InputFacts {
        archive: (*archive).to_owned(),
        bytes: n.next(),
        state: states[i % 3],
    };
    EVIL.iter().enumerate().map(input).collect()
}

fn page_causes(n: &mut Numbers) -> Vec<PageCause> {
    let causes = [Cause::Rule(Reason::BadWords), Cause::NotRead, Cause::Unknown];
    let cause = |cause: Cause| PageCause {
        cause,
        rule: cause.rule(),
        doc: cause.doc(),
        pages: n.next(),
        lines: n.next(),
        chars: n.next(),
        examples: EVIL
            .map(|text| PageExample {
                url: text.to_owned(),
                url_md5: "0".repeat(32),
                timestamp: text.to_owned(),
                language: "en".to_owned(),
                lines: n.next(),
                chars: n.next(),
                text: text.repeat(9),
            })
            .into(),
    };
    causes.map(cause).into()
}

fn line_causes(n: &mut Numbers) -> Vec<LineCause> {
    let causes = [
        Cause::Rule(Reason::GlobalDuplicate),
        Cause::Rewritten,
        Cause::OtherVersion,
    ];
    let cause = |cause: Cause| LineCause {
        cause,
        rule: cause.rule(),
        doc: cause.doc(),
        pages: n.next(),
        lines: n.next(),
        cut_lines: n.next(),
        chars: n.next(),
        examples: EVIL
            .map(|text| LineExample {
                url: text.to_owned(),
                url_md5: "0".repeat(32),
                timestamp_a: text.to_owned(),
                timestamp_b: "2019-04-19T10:00:00Z".to_owned(),
                lines: n.next(),
                line: format!("First {text} last."),
                left: (cause == Cause::Rewritten).then(|| "First last.".to_owned()),
            })
            .into(),
    };
    causes.map(cause).into()
}

fn groups(names: &[&str], n: &mut Numbers) -> Vec<GroupDiff> {
    let group = |name: &&str| GroupDiff {
        name: (*name).to_owned(),
        only_a: n.next(),
        only_b: n.next(),
        changed: n.next(),
    };
    names.iter().map(group).collect()
}

fn facts() -> Diff {
    let n = &mut Numbers(0);
    let long = "x".repeat(400);
    let mut names = vec!["b9.example", "b10.example", "", &long, "example.org"];
    names.extend(&EVIL[..6]);
    names.push("example.com");
    let mut domains = groups(&names, n);
    let example_com = domains.last_mut().unwrap();
    // The most pages, but not the most with other text.
    (example_com.only_a, example_com.changed) = (500_009, 7);
    let recipe = vec![
        KeyDiff {
            key: EVIL[0].to_owned(),
            a: json!(EVIL),
            b: Value::Null,
        },
        KeyDiff {
            key: "dedup.span_sentences".into(),
            a: json!(n.next()),
            b: json!({EVIL[1]: 0.25}),
        },
    ];
    Diff {
        a: corpus(n, 0),
        b: corpus(n, 1),
        recipe,
        inputs: InputsDiff {
            both: n.next(),
            only_a: inputs(n),
            only_b: inputs(n),
        },
        domain: Some(EVIL[3].to_owned()),
        reason: None,
        pages: PageCounts {
            a: n.next(),
            b: n.next(),
            only_a: n.next(),
            only_b: n.next(),
            same: n.next(),
            changed: n.next(),
            other_language: n.next(),
            other_split: n.next(),
        },
        only_a: page_causes(n),
        only_b: page_causes(n),
        changed: Changed {
            pages: n.next(),
            pages_unknown: n.next(),
            pages_reordered: n.next(),
            lines_a: n.next(),
            chars_a: n.next(),
            lines_b: n.next(),
            chars_b: n.next(),
            only_a: line_causes(n),
            only_b: line_causes(n),
        },
        domains,
        domains_in_all: n.next(),
        languages: groups(&["en", "zh-cn", "", EVIL[0]], n),
        notes: EVIL.map(str::to_owned).into(),
    }
}

/// The page of hostile text.
pub fn page() -> String {
    diff::page(&facts())
}

/// The page without its elements, by words.
fn words(page: &str) -> BTreeSet<String> {
    let body = page.split_once("<body>").unwrap().1;
    let text: String = body
        .split('<')
        .map(|piece| piece.split_once('>').map_or(piece, |(_, text)| text))
        .collect::<Vec<_>>()
        .join(" ");
    let words = text.split(|c: char| !c.is_alphanumeric() && !matches!(c, '.' | ','));
    words.map(|word| word.trim_end_matches(['.', ',']).to_owned()).collect()
}

/// `1234567` as `1,234,567`.
fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let groups = digits.as_bytes().rchunks(3).rev();
    let groups: Vec<&str> = groups.map(|group| std::str::from_utf8(group).unwrap()).collect();
    groups.join(",")
}

fn numbers(value: &Value, all: &mut Vec<String>) {
    match value {
        Value::Number(n) => all.push(n.as_u64().map_or_else(|| n.to_string(), thousands)),
        Value::Array(values) => values.iter().for_each(|value| numbers(value, all)),
        Value::Object(values) => values.values().for_each(|value| numbers(value, all)),
        _ => {}
    }
}

#[test]
fn every_number_of_the_facts_is_on_the_page() {
    let facts = facts();
    let mut all = Vec::new();
    numbers(&serde_json::to_value(&facts).unwrap(), &mut all);
    assert!(all.len() > 200, "{}", all.len());
    let words = words(&diff::page(&facts));
    for number in all {
        assert!(words.contains(&number), "no {number}");
    }
}

#[test]
fn the_top_says_what_made_the_difference() {
    let mut facts = facts();
    let line = &mut facts.changed.only_b[1];
    (line.pages, facts.pages.only_a, facts.pages.only_b, facts.pages.changed) = (3_000_000, 1, 1, 3_999_998);
    let page = diff::page(&facts);
    let top = page.split_once("<nav").unwrap().0;
    for part in [
        "Most of the difference is from <strong>rewritten</strong>",
        Cause::Rewritten.doc(),
        "75.0",
    ] {
        assert!(top.contains(part), "no {part} in {top}");
    }
    // Of one cause nothing is said of the others.
    facts.reason = Some(Cause::Rewritten);
    let page = diff::page(&facts);
    assert!(page.contains("only what has the cause") && !page.contains("Most of the difference"));
}

#[test]
fn corpora_that_are_the_same_or_empty_have_a_page() {
    let mut facts = facts();
    facts.inputs = InputsDiff::default();
    facts.changed = Changed::default();
    for list in [&mut facts.domains, &mut facts.languages] {
        list.clear();
    }
    for causes in [&mut facts.only_a, &mut facts.only_b] {
        causes.clear();
    }
    (facts.recipe, facts.notes) = (Vec::new(), Vec::new());
    facts.pages = PageCounts {
        a: 7,
        b: 7,
        same: 7,
        ..PageCounts::default()
    };
    let page = diff::page(&facts);
    assert!(
        page.contains("The same <b>7\u{a0}pages</b> with the same texts."),
        "{page}"
    );
    assert!(page.contains("No key differs."));
    facts.pages = PageCounts::default();
    let page = diff::page(&facts);
    assert!(page.contains("Neither corpus has a page") && !page.contains("NaN"));
}
