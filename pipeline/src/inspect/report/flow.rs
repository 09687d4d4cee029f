//! The funnel as a river: what it carries, and where each branch runs.
//!
//! The river runs down. Every reason, and what is kept, is one band of it, as wide as its
//! share, from the source on; at its step the band turns to the right and ends at its label. The
//! first to leave is the rightmost, so no band crosses another, and since every label has a row of
//! its own, a share of 0.1 % is as easy to read as one of 90 %.

use crate::view::number::px;
use c4_data::{Account, Named, StageStats, Stats};
use c4_filters::{Reason, Scope, Stage};

/// The quantity that a river shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Measure {
    Pages,
    Lines,
    Chars,
    Words,
}

impl Measure {
    pub(super) const ALL: [Measure; 4] = [Measure::Pages, Measure::Lines, Measure::Chars, Measure::Words];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Measure::Pages => "pages",
            Measure::Lines => "lines",
            Measure::Chars => "characters",
            Measure::Words => "words",
        }
    }

    pub(crate) const fn account(self, stats: &Stats) -> &Account {
        match self {
            Measure::Pages => &stats.tally.pages,
            Measure::Lines => &stats.tally.lines,
            Measure::Chars => &stats.tally.chars,
            Measure::Words => &stats.tally.words,
        }
    }
}

/// The kind of what a band drops, which gives the band its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ExitKind {
    /// A record that became no page.
    Record,
    /// A page that was dropped.
    Page,
    /// A line that was dropped by itself.
    Line,
    /// Text of a page that was dropped.
    WithPage,
    /// White space and citation markers, removed from lines that are kept.
    Trimmed,
}

/// A branch of the river.
#[derive(Debug, Clone)]
pub(crate) struct Exit {
    pub code: String,
    pub doc: String,
    pub n: u64,
    pub kind: ExitKind,
}

/// A step with the branches that leave the river at it.
#[derive(Debug, Clone)]
pub(crate) struct RiverStep {
    pub title: &'static str,
    pub doc: String,
    /// The amount that reaches the step.
    pub reaches: u64,
    pub exits: Vec<Exit>,
}

/// The whole river of one quantity.
#[derive(Debug, Clone)]
pub(crate) struct River {
    pub unit: Measure,
    /// The amount at the source: records for pages, else what the pages hold.
    pub source: u64,
    /// The amount that shares are of, apart from those of records.
    pub whole: u64,
    pub steps: Vec<RiverStep>,
    pub kept: u64,
}

/// The name that the page gives to a step, by its name in the statistics.
pub(crate) fn step_title(name: &str) -> &'static str {
    match Stage::ALL.iter().find(|stage| stage.name() == name) {
        Some(Stage::Read) => "Read",
        Some(Stage::Length) => "Length",
        Some(Stage::Domains) => "Listed domains",
        Some(Stage::Newest) => "Newest copy",
        Some(Stage::Urls) => "Listed URLs",
        Some(Stage::Paragraphs) => "Paragraphs",
        Some(Stage::Rules) => "Line and page rules",
        Some(Stage::Dedup) => "Duplicates",
        Some(Stage::Language) => "Language",
        Some(Stage::BadWords) => "Bad words",
        None => "Other",
    }
}

/// The name of a reason for people: its code without underscores.
pub(crate) fn reason_title(code: &str) -> String {
    code.replace('_', " ")
}

/// The name of a branch. A colour alone must not tell a dropped line from text dropped with its page.
pub(crate) fn exit_title(exit: &Exit) -> String {
    let name = reason_title(&exit.code);
    match exit.kind {
        ExitKind::WithPage => format!("{name} (whole pages)"),
        _ => name,
    }
}

/// The sentence of a reason; empty for one that this program does not know.
pub(crate) fn reason_doc(code: &str) -> &'static str {
    Reason::from_code(code).map_or("", Reason::doc)
}

/// The river for `unit`; `None` if the statistics do not count it.
pub(crate) fn flow(stats: &Stats, unit: Measure) -> Option<River> {
    let account = unit.account(stats);
    let records = &stats.tally.records;
    let empty = account.read == 0 && (unit != Measure::Pages || records.read == 0);
    if empty && stats.stages.is_empty() {
        return None;
    }
    let with_records = unit == Measure::Pages && records.read >= account.read && records.read > 0;
    let source = if with_records { records.read } else { account.read };

    let mut left: Vec<Exit> = Vec::new();
    if with_records {
        left.extend(exits(&records.dropped, ExitKind::Record));
    }
    let of_pages = unit == Measure::Pages;
    left.extend(exits(
        &account.dropped,
        if of_pages { ExitKind::Page } else { ExitKind::Line },
    ));
    let with_page = account.gone_with_page.iter();
    left.extend(with_page.flat_map(|counts| exits(counts, ExitKind::WithPage)));
    let trimmed = account.trimmed.unwrap_or(0);
    if trimmed > 0 {
        left.push(Exit {
            code: "trimmed".to_owned(),
            doc: "White space and citation markers, removed from lines that are kept.".to_owned(),
            n: trimmed,
            kind: ExitKind::Trimmed,
        });
    }

    let mut reaches = source;
    let mut steps = Vec::new();
    for (name, doc) in step_names(stats) {
        let (mut here, rest): (Vec<_>, Vec<_>) = left.into_iter().partition(|exit| stage_of(stats, exit) == name);
        left = rest;
        // The largest branch turns last: it then runs below the small ones and not across them.
        here.sort_by(|a, b| a.n.cmp(&b.n).then_with(|| a.code.cmp(&b.code)));
        let gone: u64 = here.iter().map(|exit| exit.n).sum();
        steps.push(RiverStep {
            title: step_title(&name),
            doc,
            reaches,
            exits: here,
        });
        reaches = reaches.saturating_sub(gone);
    }
    if !left.is_empty() {
        steps.push(RiverStep {
            title: "Other",
            doc: String::new(),
            reaches,
            exits: left,
        });
    }
    Some(River {
        unit,
        source,
        whole: account.read,
        steps,
        kept: account.kept,
    })
}

fn exits(counts: &Named<u64>, kind: ExitKind) -> impl Iterator<Item = Exit> {
    counts.iter().filter(|(_, n)| **n > 0).map(move |(code, n)| Exit {
        code: code.clone(),
        doc: reason_doc(code).to_owned(),
        n: *n,
        kind,
    })
}

/// The steps with their sentences: those in the statistics, or else those that dropped something.
fn step_names(stats: &Stats) -> Vec<(String, String)> {
    if !stats.stages.is_empty() {
        let step = |s: &StageStats| (s.stage.clone(), s.doc.clone());
        return stats.stages.iter().map(step).collect();
    }
    let tally = &stats.tally;
    let used = |stage: &Stage| {
        let counts = [&tally.records.dropped, &tally.pages.dropped, &tally.lines.dropped];
        let mut codes = counts.into_iter().flat_map(Named::iter).filter(|(_, n)| **n > 0);
        codes.any(|(code, _)| Reason::from_code(code).is_some_and(|r| r.stage() == *stage))
    };
    let stages = Stage::ALL.iter().filter(|stage| **stage == Stage::Read || used(stage));
    stages.map(|stage| (stage.name().to_owned(), String::new())).collect()
}

/// The step at which a branch leaves; the statistics know best, then the list of reasons.
fn stage_of(stats: &Stats, exit: &Exit) -> String {
    let listed = stats.stages.iter().find(|stage| match exit.kind {
        ExitKind::Record | ExitKind::Trimmed => false,
        ExitKind::Page | ExitKind::WithPage => stage.dropped.pages.get(&exit.code).is_some(),
        ExitKind::Line => stage.dropped.lines.get(&exit.code).is_some(),
    });
    match (listed, exit.kind) {
        (Some(stage), _) => stage.stage.clone(),
        (None, ExitKind::Record) => Stage::Read.name().to_owned(),
        (None, ExitKind::Trimmed) => Stage::Rules.name().to_owned(),
        (None, _) => {
            let stage = Reason::from_code(&exit.code).map(Reason::stage);
            stage.map_or_else(String::new, |stage| stage.name().to_owned())
        }
    }
}

/// Whether the examples of a reason are pages, not lines.
pub(crate) fn is_page_reason(code: &str) -> bool {
    Reason::from_code(code).is_none_or(|reason| reason.scope() != Scope::Line)
}

/// The sizes of a drawing, in pixels of a screen with the usual font size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct DrawingSizes {
    /// Width of the river at its source.
    pub river: f64,
    /// Where branches end and labels begin.
    pub mouth: f64,
    /// Height of the row of a branch, if its band is not higher.
    pub row: f64,
    /// Height of the row of a step.
    pub head: f64,
    /// The number of characters of a name that fit in one line in every font.
    pub line_chars: usize,
    /// The height that a second line of a name adds to a row.
    pub line: f64,
}

impl DrawingSizes {
    pub(crate) const WIDE: DrawingSizes = DrawingSizes {
        river: 240.0,
        mouth: 290.0,
        row: 26.0,
        head: 44.0,
        line_chars: usize::MAX,
        line: 0.0,
    };
    pub(crate) const NARROW: DrawingSizes = DrawingSizes {
        river: 84.0,
        mouth: 108.0,
        row: 42.0,
        head: 52.0,
        line_chars: 15,
        line: 20.0,
    };
    /// The least width of a band, so that what is there is seen.
    const HAIR: f64 = 1.25;
    /// The radius of the inner side of a turn.
    const TURN: f64 = 9.0;
    /// The length of the kept band below the last step.
    const TAIL: f64 = 52.0;

    fn more(&self, name: &str) -> f64 {
        match name.chars().count() > self.line_chars {
            true => self.line,
            false => 0.0,
        }
    }
}

/// A band as an SVG path, with the height of the row of its label.
#[derive(Debug, Clone)]
pub(crate) struct Band {
    pub path: String,
    pub height: f64,
}

/// The places of all bands and labels.
#[derive(Debug, Clone)]
pub(crate) struct Drawing {
    pub height: f64,
    /// The height of the row of each step, and the bands that leave at it. Rows follow each other without a gap.
    pub steps: Vec<(f64, Vec<Band>)>,
    /// The band of what is kept.
    pub kept: Band,
}

/// Lays the river out.
pub(super) fn draw(flow: &River, sizes: DrawingSizes) -> Drawing {
    let scale = if flow.source == 0 {
        0.0
    } else {
        sizes.river / flow.source as f64
    };
    let kept_width = if flow.kept == 0 {
        0.0
    } else {
        (flow.kept as f64 * scale).max(DrawingSizes::HAIR)
    };
    let mut right = if flow.source == 0 { 0.0 } else { sizes.river };
    let mut y = 0.0;
    let mut steps = Vec::new();
    for step in &flow.steps {
        let head = sizes.head + sizes.more(step.title);
        y += head;
        let mut bands = Vec::new();
        for exit in &step.exits {
            let width = exit.n as f64 * scale;
            let drawn = width.max(DrawingSizes::HAIR);
            let row = sizes.row + sizes.more(&exit_title(exit));
            let height = row.max(drawn + 8.0);
            let path = band(right, drawn, y + height / 2.0, sizes.mouth);
            bands.push(Band { path, height });
            y += height;
            right = (right - width).max(0.0);
        }
        steps.push((head, bands));
    }
    let height = y + DrawingSizes::TAIL;
    let path = if kept_width > 0.0 {
        let tip = (kept_width / 2.0).min(14.0);
        format!(
            "M0 0H{w}V{shoulder}L{half} {height}L0 {shoulder}Z",
            w = px(kept_width),
            half = px(kept_width / 2.0),
            shoulder = px(height - tip),
            height = px(height),
        )
    } else {
        String::new()
    };
    let kept = Band {
        path,
        height: DrawingSizes::TAIL,
    };
    Drawing { height, steps, kept }
}

/// A band that comes down with its right side at `right`, turns, and ends at `mouth` around `middle`.
fn band(right: f64, width: f64, middle: f64, mouth: f64) -> String {
    let left = (right - width).max(0.0);
    let width = right.max(width) - left;
    let (above, below) = (middle - width / 2.0, middle + width / 2.0);
    let inner = DrawingSizes::TURN;
    let outer = inner + width;
    let right = left + width;
    format!(
        "M{left} 0H{right}V{turn}A{inner} {inner} 0 0 0 {out} {above}H{mouth}V{below}H{out}A{outer} {outer} 0 0 1 {left} {turn}Z",
        left = px(left),
        right = px(right),
        turn = px(above - inner),
        inner = px(inner),
        outer = px(outer),
        out = px(right + inner),
        above = px(above),
        below = px(below),
        mouth = px(mouth),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn stats() -> Stats {
        serde_json::from_value(json!({
            "tally": {
                "records": {"in": 110, "out": 100, "dropped": {"record_type": 10}},
                "pages": {"in": 100, "out": 9, "dropped": {"too_long": 1, "bad_words": 90, "new_code": 0}},
                "lines": {"in": 1000, "out": 400, "dropped": {"no_end_mark": 500}, "gone_with_page": {"bad_words": 100}},
                "chars": {"in": 9000, "out": 8000, "dropped": {"no_end_mark": 900}, "trimmed": 100}
            }
        }))
        .unwrap()
    }

    #[test]
    fn every_branch_leaves_at_its_step_and_the_rest_is_kept() {
        for unit in [Measure::Pages, Measure::Lines, Measure::Chars] {
            let flow = flow(&stats(), unit).unwrap();
            let gone: u64 = flow.steps.iter().flat_map(|s| &s.exits).map(|e| e.n).sum();
            assert_eq!(flow.source - gone, flow.kept, "{unit:?}");
        }
        let pages = flow(&stats(), Measure::Pages).unwrap();
        let titles: Vec<_> = pages.steps.iter().map(|s| s.title).collect();
        assert_eq!(titles, ["Read", "Length", "Line and page rules", "Bad words"]);
        assert_eq!(pages.steps[1].reaches, 100);
        assert!(flow(&stats(), Measure::Words).is_none(), "not counted");
    }

    #[test]
    fn rows_follow_each_other_and_bands_have_their_width() {
        let flow = flow(&stats(), Measure::Pages).unwrap();
        for sizes in [DrawingSizes::WIDE, DrawingSizes::NARROW] {
            let drawing = draw(&flow, sizes);
            let bands = drawing.steps.iter().flat_map(|(_, bands)| bands);
            let heads: f64 = drawing.steps.iter().map(|(head, _)| head).sum();
            let rows: f64 = bands.chain([&drawing.kept]).map(|band| band.height).sum();
            assert_eq!(heads + rows, drawing.height);
        }
        let widest = draw(&flow, DrawingSizes::WIDE).steps[3].1[0].height;
        assert!((widest - (240.0 * 90.0 / 110.0 + 8.0)).abs() < 1e-6);
        let heads = draw(&flow, DrawingSizes::NARROW).steps;
        assert_eq!((heads[1].0, heads[2].0), (52.0, 72.0), "a title of two lines");
    }

    #[test]
    fn an_empty_build_has_no_bands() {
        let stats: Stats = serde_json::from_value(json!({"stages": [{"stage": "read"}]})).unwrap();
        let flow = flow(&stats, Measure::Pages).unwrap();
        let drawing = draw(&flow, DrawingSizes::NARROW);
        assert!(drawing.kept.path.is_empty() && drawing.steps[0].1.is_empty());
    }
}
