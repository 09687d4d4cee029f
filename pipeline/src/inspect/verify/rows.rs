//! What one row must be: where it stands, and what the recipe promises of it.

use super::corpus::ShardRow;
use super::keys::marked;
use super::report::{Finding, Offence};
use super::touched::{self, Touched};
use crate::work::buckets::part;
use c4_data::{DedupStep, Format, LanguageStep, Manifest, Recipe, UNDETERMINED_LANGUAGE, Undetermined};
use c4_filters::rules::bad_words::{BadWords, BadWordsVerdict};
use c4_filters::rules::{length, paragraphs};
use c4_filters::{Admission, Cleaner, Reason, TextSize, Verdict, dedup, punkt, url};
use std::collections::BTreeSet;
use std::ops::{AddAssign, Index, IndexMut};

/// The rules that a row can break.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Rows ascend by the MD5 of their normalised URL.
    Order,
    /// No neighbour has the same normalised URL.
    Neighbour,
    /// The row is in the shard that its hash belongs to.
    Range,
    /// The row is in its split, and in shards of its language.
    Split,
    /// URL, text and archive are there.
    Columns,
    /// The length limit.
    Length,
    /// The list of domains.
    Domain,
    /// The list of URLs.
    Listed,
    /// The paragraph filter.
    Paragraphs,
    /// The line rules, where dedup has not shortened lines.
    Lines,
    /// The line rules, where it may have.
    ShortenedLines,
    /// Enough sentences for the line rules.
    CleanSentences,
    /// Enough sentences after dedup.
    Sentences,
    /// The language.
    Language,
    /// The blocklist.
    BadWords,
}

const RULES: usize = Rule::BadWords as usize + 1;

/// The unit in which dedup keeps one copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DedupUnit {
    /// The page's URL.
    Url,
    /// A line.
    Line,
    /// A span of so many sentences.
    Span(usize),
}

impl DedupUnit {
    /// The unit of a recipe.
    pub(crate) fn of(recipe: &Recipe) -> Option<DedupUnit> {
        recipe.dedup.as_ref().map(|step| match step {
            DedupStep::Lines { .. } => DedupUnit::Line,
            DedupStep::Spans { span_sentences, .. } => DedupUnit::Span(*span_sentences),
        })
    }

    /// The keys of a row, [`marked`].
    pub(crate) fn keys(self, row: &ShardRow<'_>, touched: &Touched) -> Vec<u128> {
        let page = &row.document.page;
        match self {
            DedupUnit::Url => vec![marked(url::md5(&url::normalize(&page.url)), true)],
            DedupUnit::Line => {
                let keys = dedup::line_keys(&page.text).into_iter();
                keys.map(|key| marked(key, true)).collect()
            }
            DedupUnit::Span(sentences) => {
                let keys = dedup::span_keys(&page.text, sentences);
                let sure = match touched.gone(row.document) {
                    Some(gone) => touched::sure_spans(&gone, keys.len(), sentences),
                    None => vec![false; keys.len()],
                };
                let pairs = keys.into_iter().zip(sure);
                pairs.map(|(key, sure)| marked(key, sure)).collect()
            }
        }
    }

    /// The text that a key of the row stands for; `place` counts the keys.
    pub(crate) fn shown(self, row: &ShardRow<'_>, place: usize) -> String {
        let text = &row.document.page.text;
        match self {
            DedupUnit::Url => row.document.page.url.clone(),
            DedupUnit::Line => text.split('\n').nth(place).unwrap_or_default().to_owned(),
            DedupUnit::Span(sentences) => {
                let ranges = dedup::sentence_ranges(text).into_iter().flatten();
                let span = ranges.skip(place).take(sentences);
                let span: Vec<&str> = span.map(|range| &text[range]).collect();
                span.join(" ")
            }
        }
    }
}

/// A key at the start or end of a run of rows.
#[derive(Debug, Clone)]
struct RunEnd {
    key: u128,
    offence: Offence,
}

/// The sums over rows. Merged with `+=` in the order of the rows.
#[derive(Debug, Clone, Default)]
pub(crate) struct RowSums {
    findings: [Finding; RULES],
    ends: Option<(RunEnd, u128)>,
    pub rows: u64,
    pub text_bytes: u64,
    /// The lines, characters and words of the texts.
    pub amount: TextSize,
    /// The sum of the first eight bytes of the MD5 of the normalised URLs, modulo 2^64.
    pub url_keys: u64,
    /// Lines that a second pass of the rules would change, though not drop.
    pub unstable_lines: u64,
    /// Lines of pages of which dedup is known to have dropped nothing.
    pub whole_lines: u64,
    /// Pages of which dedup dropped something, or may have.
    pub touched: u64,
    /// Pages with a listed word that are in the share that is kept.
    pub soft_passed: u64,
    /// Pages whose language has a word list.
    pub with_list: u64,
}

impl Index<Rule> for RowSums {
    type Output = Finding;

    fn index(&self, rule: Rule) -> &Finding {
        &self.findings[rule as usize]
    }
}

impl IndexMut<Rule> for RowSums {
    fn index_mut(&mut self, rule: Rule) -> &mut Finding {
        &mut self.findings[rule as usize]
    }
}

impl RowSums {
    pub(crate) fn take(&mut self, rule: Rule) -> Finding {
        std::mem::take(&mut self[rule])
    }

    /// Compares the first key of a run of rows with the last one before.
    fn follow(&mut self, first: RunEnd, last: u128) {
        let Some((start, before)) = self.ends.take() else {
            self.ends = Some((first, last));
            return;
        };
        let rule = match first.key.cmp(&before) {
            std::cmp::Ordering::Less => Some((Rule::Order, "comes after one with a greater MD5")),
            std::cmp::Ordering::Equal => Some((Rule::Neighbour, "has the URL of the row before")),
            std::cmp::Ordering::Greater => None,
        };
        if let Some((rule, what)) = rule {
            self[rule].add(|| Offence {
                what: what.to_owned(),
                ..first.offence
            });
        }
        self.ends = Some((start, last));
    }

    pub(crate) fn end_shard(&mut self) {
        self.ends = None;
    }
}

impl AddAssign for RowSums {
    fn add_assign(&mut self, other: RowSums) {
        if let Some((first, last)) = other.ends {
            self.follow(first, last);
        }
        for (sum, finding) in self.findings.iter_mut().zip(other.findings) {
            *sum += finding;
        }
        self.rows += other.rows;
        self.text_bytes += other.text_bytes;
        self.amount += other.amount;
        self.url_keys = self.url_keys.wrapping_add(other.url_keys);
        self.unstable_lines += other.unstable_lines;
        self.whole_lines += other.whole_lines;
        self.touched += other.touched;
        self.soft_passed += other.soft_passed;
        self.with_list += other.with_list;
    }
}

pub(crate) struct RowJudge<'a> {
    recipe: &'a Recipe,
    format: Format,
    cleaner: Cleaner,
    bad_words: Option<BadWords>,
    admission: Option<Admission>,
    archives: BTreeSet<&'a str>,
    touched: &'a Touched,
    /// The only language that the recipe keeps, for shards that do not hold it.
    language: Option<&'a str>,
}

impl<'a> RowJudge<'a> {
    /// A judge of the rows of a corpus. Without `bad_words` the blocklist is not checked, without `admission` neither
    /// are domains and URLs.
    pub(crate) fn new(
        manifest: &'a Manifest,
        touched: &'a Touched,
        bad_words: Option<BadWords>,
        admission: Option<Admission>,
    ) -> RowJudge<'a> {
        let recipe = &manifest.recipe;
        let sure = |step: &&LanguageStep| step.undetermined == Undetermined::Drop;
        let keep = recipe.language.as_ref().filter(sure);
        RowJudge {
            recipe,
            format: manifest.format,
            cleaner: Cleaner::new(recipe),
            bad_words,
            admission,
            archives: manifest.inputs.iter().map(|i| &*i.archive).collect(),
            touched,
            language: match keep.map(|step| &step.keep[..]) {
                Some([only]) => Some(only),
                _ => None,
            },
        }
    }

    pub(crate) fn knows_bad_words(&self) -> bool {
        let language = self.format != Format::Jsonl || self.language.is_some() || self.recipe.split.by_language;
        self.bad_words.is_some() && language
    }

    pub(crate) fn knows_lists(&self) -> bool {
        self.admission.is_some()
    }

    /// The sums over `rows`, which follow each other.
    pub(crate) fn rows(&self, rows: &[ShardRow<'_>]) -> RowSums {
        let mut sums = RowSums::default();
        rows.iter().for_each(|row| self.row(row, &mut sums));
        sums
    }

    fn row(&self, row: &ShardRow<'_>, sums: &mut RowSums) {
        let page = &row.document.page;
        sums.rows += 1;
        sums.text_bytes += page.text.len() as u64;
        sums.amount += TextSize::of_text(&page.text);
        let normalized = url::normalize(&page.url);
        let key = url::md5(&normalized);
        sums.url_keys = sums.url_keys.wrapping_add((key >> 64) as u64);
        let end = RunEnd {
            key,
            offence: row.offence(""),
        };
        sums.follow(end, key);
        if part(key, row.shard.count) != row.shard.index {
            sums[Rule::Range].add(|| {
                let at = part(key, row.shard.count);
                row.offence(format!("belongs in shard {at} of its split"))
            });
        }
        let split = url::split(key, &self.recipe.split);
        if split != row.shard.entry.split {
            sums[Rule::Split].add(|| row.offence(format!("belongs to {}", split.name())));
        }
        if let Some(language) = &row.shard.entry.language
            && self.format != Format::Jsonl
            && *language != row.document.language
        {
            let found = &row.document.language;
            sums[Rule::Split].add(|| row.offence(format!("is in `{found}`, in a shard for `{language}`")));
        }
        if let Some(what) = self.columns(row) {
            sums[Rule::Columns].add(|| row.offence(what));
        }
        if let Some(step) = &self.recipe.length
            && length::too_long(&page.text, step.max_page_chars)
        {
            sums[Rule::Length].add(|| row.offence("is longer than length.max_page_chars"));
        }
        if let Some(admission) = &self.admission {
            for (rule, reason) in [
                (Rule::Domain, admission.refuse_domain(&normalized)),
                (Rule::Listed, admission.refuse_url(key)),
            ] {
                if let Some(reason) = reason {
                    sums[rule].add(|| row.offence(reason.code()));
                }
            }
        }
        if let Some(step) = &self.recipe.paragraphs
            && paragraphs::too_few_long_lines(&page.text, step.min_lines, step.min_line_chars)
        {
            sums[Rule::Paragraphs].add(|| row.offence("has too few long lines"));
        }
        self.lines(row, sums);
        self.language(row, sums);
        self.bad_words(row, key, sums);
    }

    fn columns(&self, row: &ShardRow<'_>) -> Option<String> {
        let page = &row.document.page;
        let empty = [("url", &page.url), ("text", &page.text), ("timestamp", &page.timestamp)];
        if let Some((name, _)) = empty.iter().find(|(_, value)| value.is_empty()) {
            return Some(format!("has no {name}"));
        }
        let archive = &*row.document.archive;
        let unknown = self.format != Format::Jsonl && !self.archives.contains(archive);
        unknown.then(|| format!("is from `{archive}`, which the manifest does not list"))
    }

    fn lines(&self, row: &ShardRow<'_>, sums: &mut RowSums) {
        let text = &row.document.page.text;
        let least = match &self.recipe.dedup {
            Some(DedupStep::Lines { min_sentences } | DedupStep::Spans { min_sentences, .. }) => *min_sentences,
            None => 0,
        };
        if least > 0 && dedup::too_few_sentences(text, least) {
            sums[Rule::Sentences].add(|| row.offence(format!("has fewer than {least} sentences")));
        }
        let gone = self.touched.gone(row.document);
        let whole = gone.as_ref().is_some_and(Vec::is_empty);
        sums.touched += u64::from(!whole);
        let Some(step) = &self.recipe.clean else {
            return;
        };
        let rule = match whole {
            true => Rule::Lines,
            false => Rule::ShortenedLines,
        };
        for line in text.split('\n') {
            sums.whole_lines += u64::from(whole);
            if let Verdict::DropLine(reason) | Verdict::DropPage(reason) = self.cleaner.recheck(line) {
                sums[rule].add(|| broken_line(row, line, reason));
            } else if line.contains('[') || line.starts_with(' ') {
                let again = self.cleaner.line(line);
                sums.unstable_lines += u64::from(again.text != line);
            }
        }
        // A page may have lost whole lines to line dedup, which needs a ledger to know; what it has
        // left is counted above.
        let untouched = whole && !matches!(self.recipe.dedup, Some(DedupStep::Lines { .. }));
        let missing = step.min_sentences;
        if untouched && fewer_sentences_by_line(text, missing) {
            sums[Rule::CleanSentences].add(|| row.offence(format!("has fewer than {missing} sentences, line by line")));
        }
    }

    fn language(&self, row: &ShardRow<'_>, sums: &mut RowSums) {
        let (language, score) = (&row.document.language, row.document.language_score);
        let wrong = match &self.recipe.language {
            _ if self.format == Format::Jsonl => None,
            None => (!language.is_empty() || score != 0.0)
                .then(|| format!("has language `{language}`, but the recipe asks for none")),
            Some(LanguageStep {
                undetermined: Undetermined::Keep,
                ..
            }) if language == UNDETERMINED_LANGUAGE => None,
            Some(step) if !step.keeps(language) => Some(format!("is in `{language}`, which the recipe does not keep")),
            // The score was rounded to 32 bits after the step had decided; so is the limit here.
            Some(step) if score.is_nan() || score < step.min_probability as f32 => Some(format!(
                "has probability {score}, the recipe wants {}",
                step.min_probability
            )),
            Some(_) => None,
        };
        if let Some(what) = wrong {
            sums[Rule::Language].add(|| row.offence(what));
        }
    }

    fn bad_words(&self, row: &ShardRow<'_>, key: u128, sums: &mut RowSums) {
        let Some(rule) = &self.bad_words else {
            return;
        };
        let language = match self.format {
            Format::Jsonl => row.shard.entry.language.as_deref().or(self.language),
            _ => Some(&*row.document.language),
        };
        let Some(language) = language else {
            return;
        };
        let lower = row.document.page.text.to_lowercase();
        let verdict = rule.check(language, &lower, key);
        sums.with_list += u64::from(verdict != BadWordsVerdict::NoList);
        match verdict {
            BadWordsVerdict::SoftPassed => sums.soft_passed += 1,
            BadWordsVerdict::Dropped => sums[Rule::BadWords].add(|| {
                let word = rule.find(language, &lower).unwrap_or_default();
                row.offence("holds a listed word").with_line(&lower[word])
            }),
            BadWordsVerdict::NoList | BadWordsVerdict::Passed => {}
        }
    }
}

fn broken_line(row: &ShardRow<'_>, line: &str, reason: Reason) -> Offence {
    let what = format!("{} ({})", reason.code(), reason.rule());
    row.offence(what).with_line(line)
}

/// Whether the lines of `text`, each for itself, have fewer than `least` sentences together.
fn fewer_sentences_by_line(text: &str, least: usize) -> bool {
    let sentences = |line| punkt::english().sentences(line);
    text.split('\n').flat_map(sentences).take(least).count() < least
}
