//! Adding up what differs.

use super::Cause;
use super::facts::{Changed, Diff, GroupDiff, LineCause, LineExample, PageCause, PageCounts, PageExample};
use super::lines::LineDiff;
use super::pages::ComparedPage;
use c4_filters::TextSize;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

/// The number of code points of a text or line that an example shows.
pub(super) const SHOWN_CHARS: usize = 300;

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARS).collect()
}

/// The sums of what has been found so far.
pub(crate) struct Sums {
    reason: Option<Cause>,
    examples: usize,
    pages: PageCounts,
    only: [BTreeMap<Cause, PageCause>; 2],
    changed: Changed,
    lines: [BTreeMap<Cause, LineCause>; 2],
    domains: HashMap<String, [u64; 3]>,
    languages: BTreeMap<String, [u64; 3]>,
}

impl Sums {
    pub(super) fn new(reason: Option<Cause>, examples: usize) -> Sums {
        Sums {
            reason,
            examples,
            pages: PageCounts::default(),
            only: Default::default(),
            changed: Changed::default(),
            lines: Default::default(),
            domains: HashMap::new(),
            languages: BTreeMap::new(),
        }
    }

    fn wanted(&self, cause: Cause) -> bool {
        self.reason.is_none_or(|reason| reason == cause)
    }

    fn group(&mut self, column: usize, domain: &str, language: &str) {
        match self.domains.get_mut(domain) {
            Some(counts) => counts[column] += 1,
            None => {
                let mut counts = [0; 3];
                counts[column] = 1;
                self.domains.insert(domain.to_owned(), counts);
            }
        }
        self.languages.entry(language.to_owned()).or_default()[column] += 1;
    }

    /// Adds a page that only corpus `side` has.
    pub(super) fn only(&mut self, side: usize, cause: Cause, domain: &str, row: &ComparedPage) {
        let pages = &mut self.pages;
        let (all, only) = match side {
            0 => (&mut pages.a, &mut pages.only_a),
            _ => (&mut pages.b, &mut pages.only_b),
        };
        *all += 1;
        *only += 1;
        if !self.wanted(cause) {
            return;
        }
        let document = &row.document;
        self.group(side, domain, &document.language);
        let amount = TextSize::of_text(&document.page.text);
        let sum = self.only[side].entry(cause).or_insert_with(|| PageCause {
            cause,
            rule: cause.rule(),
            doc: cause.doc(),
            pages: 0,
            lines: 0,
            chars: 0,
            examples: Vec::new(),
        });
        sum.pages += 1;
        sum.lines += amount.lines;
        sum.chars += amount.chars;
        if sum.examples.len() < self.examples {
            sum.examples.push(PageExample {
                url: document.page.url.clone(),
                url_md5: format!("{:032x}", row.key),
                timestamp: document.page.timestamp.clone(),
                language: document.language.clone(),
                lines: amount.lines,
                chars: amount.chars,
                text: shown(&document.page.text),
            });
        }
    }

    /// Adds a page that both have.
    pub(super) fn both(&mut self, [a, b]: [&ComparedPage; 2]) {
        let pages = &mut self.pages;
        pages.a += 1;
        pages.b += 1;
        pages.other_split += u64::from(a.split != b.split);
        // A jsonl shard may have no languages.
        let (language_a, language_b) = (&a.document.language, &b.document.language);
        let said = !language_a.is_empty() && !language_b.is_empty();
        pages.other_language += u64::from(said && language_a != language_b);
        match a.document.page.text == b.document.page.text {
            true => pages.same += 1,
            false => pages.changed += 1,
        }
    }

    /// Adds what [`both`](Self::both) did not of a page with other text: the lines that differ, or the cause if none
    /// do.
    pub(super) fn changed(
        &mut self,
        domain: &str,
        rows: [&ComparedPage; 2],
        lines: &[Vec<LineDiff<'_>>; 2],
        otherwise: Cause,
    ) {
        let mut by_cause: [BTreeMap<Cause, Vec<&LineDiff<'_>>>; 2] = Default::default();
        for (by_cause, lines) in by_cause.iter_mut().zip(lines) {
            for line in lines {
                by_cause.entry(line.cause).or_default().push(line);
            }
        }
        let reordered = lines.iter().all(Vec::is_empty);
        if reordered {
            // Neither has more than the other, so both sides say so.
            by_cause
                .iter_mut()
                .for_each(|causes| _ = causes.insert(otherwise, Vec::new()));
        }
        let causes = |cause| by_cause.iter().any(|causes| causes.contains_key(&cause));
        if self.reason.is_some_and(|reason| !causes(reason)) {
            return;
        }
        let unknown = causes(Cause::Unknown);
        let [a, b] = rows.map(|row| &row.document);
        let language = match a.language.is_empty() {
            true => &b.language,
            false => &a.language,
        };
        self.group(2, domain, language);
        let changed = &mut self.changed;
        changed.pages += 1;
        changed.pages_unknown += u64::from(unknown);
        changed.pages_reordered += u64::from(reordered);
        let [amount_a, amount_b] = [a, b].map(|document| TextSize::of_text(&document.page.text));
        changed.lines_a += amount_a.lines;
        changed.chars_a += amount_a.chars;
        changed.lines_b += amount_b.lines;
        changed.chars_b += amount_b.chars;
        for (side, causes) in by_cause.into_iter().enumerate() {
            for (cause, lines) in causes {
                if !self.wanted(cause) {
                    continue;
                }
                let sum = self.lines[side].entry(cause).or_insert_with(|| LineCause {
                    cause,
                    rule: cause.rule(),
                    doc: cause.doc(),
                    pages: 0,
                    lines: 0,
                    cut_lines: 0,
                    chars: 0,
                    examples: Vec::new(),
                });
                sum.pages += 1;
                for line in &lines {
                    match line.left {
                        Some(_) => sum.cut_lines += 1,
                        None => sum.lines += 1,
                    }
                    sum.chars += line.chars;
                }
                if sum.examples.len() < self.examples {
                    let first = lines.first();
                    sum.examples.push(LineExample {
                        url: a.page.url.clone(),
                        url_md5: format!("{:032x}", rows[0].key),
                        timestamp_a: a.page.timestamp.clone(),
                        timestamp_b: b.page.timestamp.clone(),
                        lines: lines.len() as u64,
                        line: first.map_or(String::new(), |first| shown(first.line)),
                        left: first.and_then(|first| first.left.as_deref().map(shown)),
                    });
                }
            }
        }
    }

    /// Puts everything into `diff`, most pages first, with the top `domains`.
    pub(super) fn into(self, diff: &mut Diff, domains: usize) {
        fn pages(causes: BTreeMap<Cause, PageCause>) -> Vec<PageCause> {
            let mut causes: Vec<PageCause> = causes.into_values().collect();
            causes.sort_by_key(|cause| Reverse(cause.pages));
            causes
        }
        fn lines(causes: BTreeMap<Cause, LineCause>) -> Vec<LineCause> {
            let mut causes: Vec<LineCause> = causes.into_values().collect();
            causes.sort_by_key(|cause| Reverse(cause.pages));
            causes
        }
        fn groups(counts: impl IntoIterator<Item = (String, [u64; 3])>) -> Vec<GroupDiff> {
            let group = |(name, [only_a, only_b, changed]): (String, [u64; 3])| GroupDiff {
                name,
                only_a,
                only_b,
                changed,
            };
            let mut groups: Vec<GroupDiff> = counts.into_iter().map(group).collect();
            let all = |group: &GroupDiff| group.only_a + group.only_b + group.changed;
            groups.sort_by(|x, y| (all(y), &x.name).cmp(&(all(x), &y.name)));
            groups
        }
        diff.reason = self.reason;
        diff.pages = self.pages;
        [diff.only_a, diff.only_b] = self.only.map(pages);
        diff.changed = self.changed;
        [diff.changed.only_a, diff.changed.only_b] = self.lines.map(lines);
        diff.domains_in_all = self.domains.len() as u64;
        diff.domains = groups(self.domains);
        diff.domains.truncate(domains);
        diff.languages = groups(self.languages);
    }
}
