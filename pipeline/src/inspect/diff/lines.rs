//! Two texts of one page: which lines differ, and which rule did it.
//!
//! Lines are compared as a multiset, by place where one text has a line more often. Of the others:
//!
//! 1. A line that the other's rules turn into one that is there is `rewritten`.
//! 2. A line that is another without some of its sentences, on a page that lost spans, is that line:
//!    `span_duplicate`.
//! 3. A line that the other's line rules drop was dropped for their reason. Asked only where the two recipes'
//!    line rules differ, since a line that span removal has shortened passed them as a whole.
//! 4. A line that is in the other text but for case or white space is its `local_duplicate`, if its
//!    recipe goes by lines.
//! 5. Where dedup took a line from the other text, between the same neighbours, its reason is the
//!    line's. So a page that was crawled twice is told right. Of several lines in one place the reason
//!    that fits is taken first.
//! 6. If both are the same record, dedup did it, if its recipe has it and the ledger does not say that
//!    it took nothing there.
//! 7. Else the page is another version, or another reading of the same one.

use super::Cause;
use super::dropped_copies::{self, Hole, NotedCopy, main_reason, took_spans};
use super::sentences::Sentences;
use c4_data::{DedupStep, Recipe};
use c4_filters::{Cleaner, Reason, TextSize, Verdict, dedup, pystr};
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

pub(super) struct Rules {
    cleaner: Cleaner,
    dedup: Option<DedupStep>,
}

impl Rules {
    pub(super) fn new(recipe: &Recipe) -> Rules {
        Rules {
            cleaner: Cleaner::new(recipe),
            dedup: recipe.dedup.clone(),
        }
    }
}

/// A page as one of the two corpora has it.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    pub rules: &'a Rules,
    pub text: &'a str,
    /// The lines or spans that dedup dropped from the page; `None` if the corpus does not say.
    pub copies: Option<&'a [NotedCopy]>,
}

impl View<'_> {
    /// Whether dedup dropped sentences of the page, or may have.
    fn lost_spans(&self) -> bool {
        let spans = matches!(self.rules.dedup, Some(DedupStep::Spans { .. }));
        spans && self.copies.is_none_or(took_spans)
    }
}

/// The relation between a page's records in the two corpora.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordRelation {
    /// One record, read the same way.
    Same,
    /// Pages of the same time: another archive, or another way to read it.
    OtherReading,
    /// Pages of different times.
    OtherVersion,
    /// Pages of the same time; where they were read is not known.
    Unsure,
}

/// A line of one text that is not in the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LineDiff<'t> {
    /// What the other corpus did with it.
    pub cause: Cause,
    pub line: &'t str,
    /// The rest of the line in the other text, if there is one.
    pub left: Option<String>,
    /// The code points of the line that are not in the other text.
    pub chars: u64,
}

/// The lines that are only in the first text, and those only in the second, in order. Where lines
/// are the same but for their order both are empty.
///
/// Code points add up: those of the first text less those only there are those of the second less
/// those only there (line ends apart). Memory is linear in the texts, as is time but for lines that
/// start with the same word.
pub(super) fn compare<'t>(views: [View<'t>; 2], records: RecordRelation, same_rules: bool) -> [Vec<LineDiff<'t>>; 2] {
    let mut work = Work {
        sides: views.map(TextSide::new),
        diffs: [Vec::new(), Vec::new()],
        records,
        same_rules,
    };
    work.match_equal();
    if !same_rules {
        work.match_rewritten(0);
        work.match_rewritten(1);
    }
    for side in [0, 1] {
        if views[side].lost_spans() {
            work.match_shortened(side);
        }
    }
    for side in [0, 1] {
        work.explain(side);
    }
    work.diffs.map(|mut diffs| {
        diffs.sort_by_key(|(place, _)| *place);
        diffs.into_iter().map(|(_, diff)| diff).collect()
    })
}

struct TextSide<'t> {
    view: View<'t>,
    lines: Vec<&'t str>,
    /// The line's partner in the other text.
    partner: Vec<Option<usize>>,
}

impl<'t> TextSide<'t> {
    fn new(view: View<'t>) -> TextSide<'t> {
        let lines: Vec<&str> = match view.text {
            "" => Vec::new(),
            text => text.split('\n').collect(),
        };
        TextSide {
            view,
            partner: vec![None; lines.len()],
            lines,
        }
    }

    fn open(&self) -> impl Iterator<Item = (usize, &'t str)> {
        let open = self.partner.iter().zip(&self.lines).enumerate();
        open.filter(|(_, (partner, _))| partner.is_none())
            .map(|(i, (_, line))| (i, *line))
    }

    /// Every part of `line` that the rules would see as a line, and what they make of it.
    fn outcomes<'l>(&self, line: &'l str) -> Vec<(Cow<'l, str>, Verdict)> {
        let mut parts: Vec<&str> = pystr::split_lines(line).collect();
        if parts.is_empty() {
            parts.push(line);
        }
        let outcome = |part| {
            let outcome = self.view.rules.cleaner.line(part);
            (outcome.text, outcome.verdict)
        };
        parts.into_iter().map(outcome).collect()
    }
}

fn chars(line: &str) -> u64 {
    TextSize::of_line(line).chars
}

struct Work<'t> {
    sides: [TextSide<'t>; 2],
    /// The differences by the text that has the line, each with its place there.
    diffs: [Vec<(usize, LineDiff<'t>)>; 2],
    records: RecordRelation,
    same_rules: bool,
}

impl<'t> Work<'t> {
    fn match_equal(&mut self) {
        let [a, b] = &mut self.sides;
        let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
        for (i, line) in b.lines.iter().enumerate().rev() {
            places.entry(line).or_default().push(i);
        }
        for (i, line) in a.lines.iter().enumerate() {
            if let Some(j) = places.get_mut(line).and_then(Vec::pop) {
                a.partner[i] = Some(j);
                b.partner[j] = Some(i);
            }
        }
    }

    /// A line of `side` is, partly, `left` in the other text.
    fn pair(&mut self, side: usize, place: usize, left: &[usize], cause: Cause) {
        let other = 1 - side;
        for &j in left {
            self.sides[side].partner[place].get_or_insert(j);
            self.sides[other].partner[j] = Some(place);
        }
        let there: Vec<&'t str> = left.iter().map(|j| self.sides[other].lines[*j]).collect();
        let line = self.sides[side].lines[place];
        let (here, rest) = (chars(line), there.iter().map(|line| chars(line)).sum());
        // White space at the start of a line goes where the line is the first.
        let (side, place, line, left) = match here >= rest {
            true => (side, place, line, there.join("\n")),
            false => (other, left[0], there[0], line.to_owned()),
        };
        let diff = LineDiff {
            cause,
            line,
            left: Some(left),
            chars: here.abs_diff(rest),
        };
        self.diffs[side].push((place, diff));
    }

    /// Lines of `side` that are in the other text as its rules left them.
    fn match_rewritten(&mut self, side: usize) {
        let other = &self.sides[1 - side];
        let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
        for (j, line) in other.open() {
            places.entry(pystr::strip(line)).or_default().push(j);
        }
        places.values_mut().for_each(|places| places.reverse());
        let mut pairs = Vec::new();
        for (i, line) in self.sides[side].open() {
            let kept = other.outcomes(line).into_iter();
            let kept = kept.filter(|(_, verdict)| *verdict == Verdict::Keep);
            let left: Vec<usize> = kept
                .filter_map(|(text, _)| places.get_mut(pystr::strip(&text))?.pop())
                .collect();
            if !left.is_empty() {
                pairs.push((i, left));
            }
        }
        for (i, left) in pairs {
            self.pair(side, i, &left, Cause::Rewritten);
        }
    }

    /// Lines of `side` that are lines of the other text without some sentences.
    fn match_shortened(&mut self, side: usize) {
        let other = &self.sides[1 - side];
        // The lines as this text's rules had left them for dedup.
        let before_dedup = |(j, line): (usize, &'t str)| {
            let kept = self.sides[side].outcomes(line).into_iter();
            let kept = kept.filter(|(_, verdict)| *verdict == Verdict::Keep);
            kept.map(move |(text, _)| (j, text)).collect::<Vec<_>>()
        };
        let others: Vec<(usize, Cow<'t, str>)> = other.open().flat_map(before_dedup).collect();
        let mut others = Sentences::new(others.iter().map(|(j, line)| (*j, &**line)));
        let mut pairs = Vec::new();
        for (i, line) in self.sides[side].open() {
            if let Some(j) = others.whole_of(line) {
                others.remove(j);
                pairs.push((j, i));
            }
        }
        for (j, i) in pairs {
            self.pair(1 - side, j, &[i], Cause::Rule(Reason::SpanDuplicate));
        }
    }

    /// Why the lines of `side` that are still open are not in the other text.
    fn explain(&mut self, side: usize) {
        let (here, other) = (&self.sides[side], &self.sides[1 - side]);
        let open: Vec<(usize, &'t str)> = here.open().collect();
        if open.is_empty() {
            return;
        }
        let by_lines = matches!(other.view.rules.dedup, Some(DedupStep::Lines { .. }));
        let keys: HashSet<u128> = match by_lines {
            true => dedup::line_keys(other.view.text).into_iter().collect(),
            false => HashSet::new(),
        };
        let known = |text: &str| dedup::line_keys(text).iter().all(|key| keys.contains(key));
        // What is left of a line has not the line's key.
        let wholes = match by_lines && here.view.lost_spans() {
            true => Sentences::new(other.lines.iter().copied().enumerate()),
            false => Sentences::new([]),
        };
        let mut gaps = Gaps::new(here, other);
        let mut found = Vec::with_capacity(open.len());
        for (i, line) in open {
            let cause = self.rule_on(side, line).or_else(|| {
                let mut outcomes = other.outcomes(line).into_iter();
                if !by_lines {
                    return gaps.take(i, line, None);
                }
                let local = outcomes.all(|(text, _)| known(&text));
                let wanted = match local || wholes.whole_of(line).is_some() {
                    true => Reason::LocalDuplicate,
                    false => Reason::GlobalDuplicate,
                };
                let hole = gaps.take(i, line, Some(wanted));
                // Another version need not have had the line twice.
                let sure = local && self.records == RecordRelation::Same;
                let sure = sure.then_some(Reason::LocalDuplicate);
                hole.or(sure).or_else(|| gaps.take(i, line, None))
            });
            let cause = match cause {
                Some(reason) => Cause::Rule(reason),
                None => self.without_a_rule(side),
            };
            let diff = LineDiff {
                cause,
                line,
                left: None,
                chars: chars(line),
            };
            found.push((i, diff));
        }
        self.diffs[side].append(&mut found);
    }

    /// The other's line rule that drops `line` of `side`.
    fn rule_on(&self, side: usize, line: &str) -> Option<Reason> {
        if self.same_rules {
            return None;
        }
        // What its own rules drop has been shortened after them.
        let whole = |(_, verdict): &(_, Verdict)| *verdict == Verdict::Keep;
        if !self.sides[side].outcomes(line).iter().any(whole) {
            return None;
        }
        let mut reason = None;
        for (_, verdict) in self.sides[1 - side].outcomes(line) {
            match verdict {
                Verdict::DropLine(because) => reason = reason.or(Some(because)),
                // The page is there, so this line was not on it.
                Verdict::Keep | Verdict::DropPage(_) => return None,
            }
        }
        reason
    }

    fn without_a_rule(&self, side: usize) -> Cause {
        let [own, other] = [side, 1 - side].map(|side| &self.sides[side].view);
        match self.records {
            RecordRelation::OtherVersion => Cause::OtherVersion,
            RecordRelation::OtherReading => Cause::OtherReading,
            RecordRelation::Unsure => Cause::Unknown,
            RecordRelation::Same => match (other.copies, &other.rules.dedup) {
                // The rules have kept it, so nothing else can have taken it.
                (None, Some(DedupStep::Lines { .. })) => Cause::Rule(Reason::GlobalDuplicate),
                (None, Some(DedupStep::Spans { .. })) => Cause::Rule(Reason::SpanDuplicate),
                (Some(copies), _) if !copies.is_empty() => main_reason(copies).map_or(Cause::Unknown, Cause::Rule),
                // What is left of a line that is there as a whole.
                _ if own.lost_spans() => Cause::Rule(Reason::SpanDuplicate),
                _ => Cause::Unknown,
            },
        }
    }
}

/// Where dedup took lines from the other text, seen from the lines around them.
struct Gaps {
    holes: Vec<Hole>,
    used: Vec<bool>,
    by_lines: bool,
    /// For each line here: the number of lines of the other text up to the partner of the one before it, and up
    /// to the partner of the one after it.
    between: Vec<(usize, usize)>,
}

impl Gaps {
    fn new(here: &TextSide<'_>, other: &TextSide<'_>) -> Gaps {
        let (mut holes, mut by_lines) = (Vec::new(), true);
        if let (Some(step), Some(copies)) = (&other.view.rules.dedup, other.view.copies)
            && !copies.is_empty()
        {
            holes = dropped_copies::holes(other.view.text, step, copies);
            by_lines = matches!(step, DedupStep::Lines { .. });
        }
        let mut between = vec![(0, other.lines.len()); here.lines.len()];
        let mut before = 0;
        for (place, partner) in between.iter_mut().zip(&here.partner) {
            place.0 = before;
            before = partner.map_or(before, |j| j + 1);
        }
        let mut after = other.lines.len();
        for (place, partner) in between.iter_mut().zip(&here.partner).rev() {
            place.1 = after;
            after = partner.unwrap_or(after);
        }
        Gaps {
            used: vec![false; holes.len()],
            holes,
            by_lines,
            between,
        }
    }

    /// Uses up the holes that line `i` fits into, with `reason` if one is wanted; gives their
    /// reason.
    fn take(&mut self, i: usize, line: &str, reason: Option<Reason>) -> Option<Reason> {
        let (from, to) = self.between[i];
        let start = self.holes.partition_point(|hole| hole.lines_before < from);
        let mut wanted = match self.by_lines {
            true => 1,
            false => dedup::sentence_ranges(line).iter().map(Vec::len).sum(),
        }
        .max(1);
        let mut found = None;
        for (hole, used) in self.holes.iter().zip(&mut self.used).skip(start) {
            if hole.lines_before > to || wanted == 0 {
                break;
            }
            if !*used && reason.is_none_or(|reason| reason == hole.reason) {
                *used = true;
                wanted -= 1;
                found = found.or(Some(hole.reason));
            }
        }
        found
    }
}
