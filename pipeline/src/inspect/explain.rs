//! Why a page was kept or dropped: its path from record to shard, and every line of it.
//!
//! The same functions decide here as in a build, so that the lines that an explanation keeps are,
//! joined, the text of the document in the shard. Dedup depends on other pages: with a finished
//! corpus ([`Corpus`]) an explanation says what it decided there; without one that is left open.
//!
//! Above 500 lines: the stations of one page in their order, each a short function.

mod corpus;
mod find;

use corpus::KnownPage;
pub use corpus::{Copy, Corpus};
pub use find::{FoundRecord, Wanted, find};

use crate::build::url_list;
use crate::error::Error;
use crate::read::outcome::Split;
use c4_data::Page;
use c4_data::ledger::Duplicate;
use c4_data::{DedupStep, Format, Lists, Recipe};
use c4_filters::dedup::{self, LeftLine, Lost};
use c4_filters::language_rule::{self, Decision, Detection};
use c4_filters::rules::bad_words::{BadWords, BadWordsVerdict};
use c4_filters::rules::domains::Host;
use c4_filters::rules::length;
use c4_filters::{
    Admission, ArchiveKind, Cleaned, Cleaner, LineCounts, Lowered, Reason, Scope, SeenLine, Verdict, pystr, url,
};
use serde_json::{Value, json};
use std::ops::Range;

/// The decision of a station about the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passed {
    /// The page goes on to the next station.
    Keep,
    /// The page is dropped.
    Drop(Reason),
    /// The decision is not known here.
    Open,
}

/// A station on the page's path.
#[derive(Debug, Clone, PartialEq)]
pub struct Station {
    /// The name of the station: `record`, `extraction`, or that of a step.
    pub name: &'static str,
    /// What was found at the station, for people.
    pub says: String,
    /// The decision of the station.
    pub passed: Passed,
    /// What was found at the station, for programs.
    pub facts: Value,
}

/// A line of a page.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// The line as it was read.
    pub text: String,
    /// What is left of the line; `None` if it is dropped.
    pub kept_text: Option<String>,
    /// The reason why the line is dropped, or why only a part of it is kept.
    pub reason: Option<Reason>,
    /// The part that the rule found, in bytes of `text`.
    pub matched: Option<Range<usize>>,
    /// The copies that are kept of a line, or of spans in it, that is dropped as a duplicate.
    pub kept_by: Vec<Copy>,
}

/// The explanation of a page, or of a record that became none.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// The URL in the record; empty for a text without one.
    pub url: String,
    /// The stations of the page, in order, up to the step that dropped it.
    pub stations: Vec<Station>,
    /// The lines of the page, in order; none of a record that is no page.
    pub lines: Vec<Line>,
    /// The reason why the page is dropped, if it is.
    pub reason: Option<Reason>,
    /// Whether the corpus lacks the page though nothing that is known here drops it.
    pub missing: bool,
}

impl Line {
    /// Whether the line is dropped with its page only: no rule drops the line itself.
    pub(crate) fn is_dropped_with_page(&self) -> bool {
        let of_page = self.reason.is_some_and(|reason| reason.scope() == Scope::Page);
        self.kept_text.is_none() && of_page && self.matched.is_none()
    }
}

impl Explanation {
    /// The rest of the page's lines, joined: the document's text, if the page is kept.
    pub fn kept_text(&self) -> String {
        let kept = self.lines.iter().filter_map(|line| line.kept_text.as_deref());
        kept.collect::<Vec<_>>().join("\n")
    }

    /// The explanation as JSON.
    pub fn to_json(&self) -> Value {
        let verdict = |dropped: bool| if dropped { "drop" } else { "keep" };
        let code = |reason: Option<Reason>| reason.map(Reason::code);
        let station = |station: &Station| {
            let (verdict, reason) = match station.passed {
                Passed::Keep => ("keep", None),
                Passed::Drop(reason) => ("drop", Some(reason)),
                Passed::Open => ("open", None),
            };
            json!({
                "station": station.name,
                "verdict": verdict,
                "reason": code(reason),
                "facts": station.facts,
            })
        };
        let line = |line: &Line| {
            let place = line.matched.as_ref().map(|range| {
                json!({
                    "start": range.start,
                    "end": range.end,
                    "text": &line.text[range.clone()],
                })
            });
            json!({
                "text": line.text,
                "kept_text": line.kept_text,
                "verdict": verdict(line.kept_text.is_none()),
                "reason": code(line.reason),
                "match": place,
                "kept_by": line.kept_by.iter().map(Copy::to_json).collect::<Vec<_>>(),
            })
        };
        json!({
            "url": self.url,
            "verdict": verdict(self.reason.is_some() || self.missing),
            "reason": code(self.reason),
            "stations": self.stations.iter().map(station).collect::<Vec<_>>(),
            "lines": self.lines.iter().map(line).collect::<Vec<_>>(),
        })
    }
}

/// Explains pages by a recipe and, if there is one, a corpus.
pub struct Explainer<'a> {
    recipe: &'a Recipe,
    admission: Admission,
    cleaner: Cleaner,
    bad_words: Option<BadWords>,
    corpus: Option<&'a Corpus>,
}

impl<'a> Explainer<'a> {
    /// An explainer for `recipe`, and for what `corpus`, built by it, knows of duplicates.
    ///
    /// # Errors
    /// Word lists that do not compile, a list of URLs that cannot be read.
    pub fn new(recipe: &'a Recipe, lists: &Lists, corpus: Option<&'a Corpus>) -> Result<Explainer<'a>, Error> {
        let compile = |step| BadWords::new(step, lists);
        let bad_words = recipe.bad_words.as_ref().map(compile).transpose();
        Ok(Explainer {
            recipe,
            admission: url_list::load(recipe, lists)?,
            cleaner: Cleaner::new(recipe),
            bad_words: bad_words.map_err(|e| Error::WordLists {
                recipe: recipe.name.clone(),
                reason: e.to_string(),
            })?,
            corpus,
        })
    }

    /// Explains records. With a corpus, its tables and shards are read once for all of them.
    ///
    /// # Errors
    /// The corpus cannot be read.
    pub fn explain(&self, found: &[FoundRecord]) -> Result<Vec<Explanation>, Error> {
        let known: Vec<KnownPage> = match self.corpus {
            Some(corpus) => {
                let places: Vec<(&str, u64)> = found.iter().map(FoundRecord::place).collect();
                corpus.look_up(&places)?
            }
            None => found.iter().map(|_| KnownPage::default()).collect(),
        };
        let pairs = found.iter().zip(known);
        Ok(pairs.map(|(found, known)| self.record(found, &known)).collect())
    }

    /// Explains a text that comes from no archive.
    pub fn explain_text(&self, text: &str) -> Explanation {
        self.explain_page(&Page {
            text: text.to_owned(),
            ..Page::default()
        })
    }

    /// Explains a page of which nothing is known but itself.
    pub fn explain_page(&self, page: &Page) -> Explanation {
        let mut trace = Trace::default();
        self.page(page, None, &mut trace);
        trace.end(page.url.clone())
    }

    fn record(&self, found: &FoundRecord, known: &KnownPage) -> Explanation {
        let mut trace = Trace::default();
        let (label, offset) = found.place();
        let mut facts = json!({ "archive": label, "number": found.number, "offset": offset });
        let says = format!("record {} of {label}, byte {offset}", found.number);
        match &found.split {
            Split::Page(page) => {
                facts["timestamp"] = json!(page.timestamp);
                let says = format!("{says}, of {}", page.timestamp);
                trace.at("record", says, facts, Passed::Keep);
                if found.kind == ArchiveKind::Warc {
                    extraction(found, page, &mut trace);
                }
                self.page(page, Some(known), &mut trace);
                trace.end(page.url.clone())
            }
            Split::Dropped(dropped) => {
                let says = format!("{says}. {}", dropped.reason.doc());
                trace.at("record", says, facts, Passed::Drop(dropped.reason));
                trace.end(dropped.url.clone())
            }
            Split::Damage(damage) => {
                facts["cause"] = json!(damage.cause);
                let says = format!("{says}: {}", damage.cause);
                trace.at("record", says, facts, Passed::Drop(damage.reason));
                trace.end(String::new())
            }
        }
    }

    /// `known` is what a corpus knows of the page; `None` for a text that is in no archive.
    fn page(&self, page: &Page, known: Option<&KnownPage>, trace: &mut Trace) {
        if let Some(step) = &self.recipe.length {
            let chars = page.text.chars().count();
            let dropped = length::too_long(&page.text, step.max_page_chars);
            let facts = json!({ "chars": chars, "max_page_chars": step.max_page_chars });
            let says = format!("{chars} characters, {} allowed", step.max_page_chars);
            trace.at("length", says, facts, Passed::of(dropped, Reason::TooLong));
            if dropped {
                let all = |line: SeenLine<'_, '_>| trace.drop_line(line.text, Reason::TooLong);
                self.cleaner.measure(&page.text, all);
                return;
            }
        }
        let refused = known.is_some_and(|_| self.domain(page, trace));
        let newer = !refused && known.is_some_and(|known| self.newest(page, known, trace));
        let refused = refused || known.is_some_and(|_| self.listed(page, trace));
        if let Some(reason) = trace.reason.filter(|_| refused) {
            let all = |line: SeenLine<'_, '_>| trace.drop_line(line.text, reason);
            self.cleaner.measure(&page.text, all);
            return;
        }
        let Some(text) = self.rules(page, trace) else {
            return;
        };
        if newer {
            return;
        }
        let Some(text) = self.dedup(text, known, trace) else {
            return;
        };
        let normalized = url::md5(&url::normalize(&page.url));
        if self.language(&text, normalized, trace)
            && let Some(known) = known
        {
            self.shard(normalized, known, trace);
        }
    }

    /// Whether the page's domain is not listed.
    fn domain(&self, page: &Page, trace: &mut Trace) -> bool {
        if self.recipe.domains.is_none() {
            return false;
        }
        let normalized = url::normalize(&page.url);
        let refused = self.admission.refuse_domain(&normalized);
        let host = Host::of(&normalized);
        let (domain, subdomain) = (host.main_domain(), host.subdomain);
        let says = match refused {
            None => format!("{domain} is listed"),
            Some(Reason::BadSubdomain) => {
                format!("{domain} is listed, but not its subdomain `{subdomain}`")
            }
            Some(_) => format!("{domain} is not listed"),
        };
        let facts = json!({ "domain": domain, "subdomain": subdomain });
        trace.at("domains", says, facts, refused.map_or(Passed::Keep, Passed::Drop));
        refused.is_some()
    }

    /// Whether the page's URL is not listed.
    fn listed(&self, page: &Page, trace: &mut Trace) -> bool {
        if self.recipe.urls.is_none() || trace.reason.is_some() {
            return false;
        }
        let normalized = url::normalize(&page.url);
        let refused = self.admission.refuse_url(url::md5(&normalized));
        let says = match refused {
            None => format!("{normalized} is listed"),
            Some(_) => format!("{normalized} is not listed"),
        };
        let facts = json!({ "normalized_url": normalized });
        trace.at("urls", says, facts, refused.map_or(Passed::Keep, Passed::Drop));
        refused.is_some()
    }

    /// Whether a newer page of the URL has replaced this one.
    fn newest(&self, page: &Page, known: &KnownPage, trace: &mut Trace) -> bool {
        let normalized = url::normalize(&page.url);
        let md5 = format!("{:032x}", url::md5(&normalized));
        let mut facts = json!({ "normalized_url": normalized, "md5": md5 });
        let key = format!("{normalized} (MD5 {md5})");
        let older = Reason::OlderCopy.code();
        let newer = known.duplicates.iter().find(|(row, _)| row.reason == older);
        let Some((_, copy)) = newer else {
            let (says, passed) = match self.corpus {
                Some(corpus) if corpus.has_ledger() => (format!("the newest of {key}"), Passed::Keep),
                _ => (format!("{key}; other pages are not known here"), Passed::Open),
            };
            trace.at("newest", says, facts, passed);
            return false;
        };
        facts["newer"] = copy.to_json();
        let says = format!("of {key} there is a newer page: {copy}");
        trace.at("newest", says, facts, Passed::Drop(Reason::OlderCopy));
        true
    }

    /// The line and page rules; gives the text that they leave.
    fn rules(&self, page: &Page, trace: &mut Trace) -> Option<String> {
        let mut page_reason = None;
        let cleaned = self.cleaner.clean_seen(&page.text, |line| {
            let verdict = line.outcome.map(|outcome| outcome.verdict);
            match (verdict, line.outcome) {
                (Some(Verdict::Keep), Some(outcome)) => trace.lines.push(Line {
                    kept_text: Some(outcome.text.to_string()),
                    ..Line::whole(line.text)
                }),
                (Some(Verdict::DropLine(reason) | Verdict::DropPage(reason)), _) => {
                    if reason.scope() == Scope::Page {
                        page_reason = Some(reason);
                    }
                    trace.drop_line(line.text, reason);
                    if let Some(last) = trace.lines.last_mut() {
                        last.matched = self.cleaner.find_match(line.text, reason);
                    }
                }
                _ => match page_reason {
                    Some(reason) => trace.drop_line(line.text, reason),
                    None => trace.lines.push(Line::whole(line.text)),
                },
            }
        });
        let (dropped, lines, text) = match cleaned {
            Cleaned::Keep(cleaned) => (None, cleaned.lines, Some(cleaned.text)),
            Cleaned::Drop { reason, lines } => (Some(reason), lines, None),
        };
        if self.recipe.clean.is_none() && dropped.is_none() {
            for line in &mut trace.lines {
                line.kept_text = Some(line.text.clone());
            }
        } else {
            trace.strip();
        }
        if self.recipe.clean.is_some() || self.recipe.paragraphs.is_some() {
            let passed = dropped.map_or(Passed::Keep, Passed::Drop);
            let name = match dropped {
                Some(Reason::ShortParagraphs) => "paragraphs",
                _ => "rules",
            };
            trace.at(
                name,
                self.rules_say(dropped, &lines, trace),
                rules_facts(&lines),
                passed,
            );
        }
        text
    }

    fn rules_say(&self, dropped: Option<Reason>, lines: &LineCounts, trace: &Trace) -> String {
        let kept = trace.lines.iter().filter(|line| line.kept_text.is_some()).count();
        let says = format!("{kept} of {} lines pass", lines.total.lines);
        let needed = self.recipe.clean.as_ref().map_or(0, |step| step.min_sentences);
        match dropped {
            Some(Reason::TooFewSentences) => {
                let sentences = |line: &Line| {
                    let kept = line.kept_text.as_deref().unwrap_or_default();
                    c4_filters::punkt::english().sentences(kept).count()
                };
                let found: usize = trace.lines.iter().map(sentences).sum();
                format!("{says}, with {found} sentences where {needed} are needed")
            }
            Some(reason) => format!("{says}. {}", reason.doc()),
            None => format!("{says}, with at least {needed} sentences"),
        }
    }

    /// Dedup; gives the text that it leaves.
    fn dedup(&self, text: String, known: Option<&KnownPage>, trace: &mut Trace) -> Option<String> {
        let Some(step) = &self.recipe.dedup else {
            return Some(text);
        };
        let has_ledger = self.corpus.is_some_and(Corpus::has_ledger);
        let Some(known) = known.filter(|_| has_ledger) else {
            let says = match self.corpus {
                Some(_) => "the corpus was built with --ledger none",
                None => "other pages decide; give a finished corpus with --build DIR",
            };
            trace.at("dedup", says.to_owned(), json!({}), Passed::Open);
            return Some(text);
        };
        let older = Reason::OlderCopy.code();
        let rows = || known.duplicates.iter().filter(|(row, _)| row.reason != older);
        let lost: Vec<Lost> = rows().map(|(row, _)| lost(row)).collect();
        let left = dedup::left(step, &text, &lost);
        let shorter = left.text(&text);
        // Which copies a line lost: by its place, or by the places of its sentences.
        let mut sentence = 0;
        let ranges = dedup::sentence_ranges(&text);
        let kept = trace.lines.iter_mut().filter(|line| line.kept_text.is_some());
        for (number, (line, what)) in kept.zip(&left.lines).enumerate() {
            let (place, span) = match step {
                DedupStep::Lines { .. } => (number..number + 1, 1),
                DedupStep::Spans { span_sentences, .. } => {
                    let first = sentence;
                    sentence += ranges.get(number).map_or(0, Vec::len);
                    (first..sentence, *span_sentences)
                }
            };
            let reason = match what {
                LeftLine::Whole => continue,
                LeftLine::Shortened(rest) => {
                    line.kept_text = Some(rest.clone());
                    Reason::SpanDuplicate
                }
                LeftLine::Dropped(reason) => {
                    line.kept_text = None;
                    *reason
                }
            };
            line.reason = Some(reason);
            let touches = |row: &Duplicate| {
                let first = row.position as usize;
                first < place.end && first + span > place.start
            };
            let copies = rows().filter(|(row, _)| touches(row)).map(|(_, copy)| copy);
            line.kept_by = copies.cloned().collect();
        }
        let (DedupStep::Lines { min_sentences } | DedupStep::Spans { min_sentences, .. }) = step;
        let dropped = if shorter.is_empty() {
            Some(Reason::EmptiedByDedup)
        } else if dedup::too_few_sentences(&shorter, *min_sentences) {
            Some(Reason::TooFewSentencesAfterDedup)
        } else {
            None
        };
        let unit = match step {
            DedupStep::Lines { .. } => "lines",
            DedupStep::Spans { .. } => "spans of sentences",
        };
        let mut says = match lost.len() {
            0 => format!("no {unit} are kept on another page"),
            n => format!("{n} {unit} have another copy that is kept"),
        };
        if let Some(reason) = dropped {
            says = format!("{says}. {}", reason.doc());
        }
        let facts = json!({ "unit": unit, "lost": lost.len() });
        trace.at("dedup", says, facts, dropped.map_or(Passed::Keep, Passed::Drop));
        dropped.is_none().then_some(shorter)
    }

    /// Language and blocklist; whether the page is kept.
    fn language(&self, text: &str, normalized: u128, trace: &mut Trace) -> bool {
        let Some(step) = &self.recipe.language else {
            return true;
        };
        let Decision { detection, verdict, .. } = language_rule::decide(step, text);
        let (language, probability) = match detection {
            Detection::Best { language, probability } => (language, probability),
            Detection::Nothing | Detection::Undetectable => (String::new(), 0.0),
        };
        let passed = match verdict {
            Verdict::DropPage(reason) => Passed::Drop(reason),
            _ => Passed::Keep,
        };
        let says = match (&*language, passed) {
            ("", Passed::Drop(reason)) => reason.doc().to_owned(),
            (language, _) => format!(
                "{language} with probability {probability:.6}; kept are {} from {}",
                step.kept(),
                step.min_probability,
            ),
        };
        let facts = json!({ "language": language, "probability": probability });
        trace.at("language", says, facts, passed);
        if passed != Passed::Keep {
            return false;
        }
        let Some(rule) = &self.bad_words else {
            return true;
        };
        let lower = text.to_lowercase();
        let word = rule.find(&language, &lower).map(|word| {
            let place = Lowered::new(text).original(word);
            text[place].to_owned()
        });
        let verdict = rule.check(&language, &lower, normalized);
        let (says, dropped) = match (verdict, &word) {
            (BadWordsVerdict::Dropped, Some(word)) => (format!("holds {word:?}"), true),
            (BadWordsVerdict::SoftPassed, Some(word)) => {
                (format!("holds {word:?}, but is in the share that is kept"), false)
            }
            (BadWordsVerdict::NoList, _) => (format!("no list for {language}"), false),
            _ => ("no listed word".to_owned(), false),
        };
        let facts = json!({ "word": word });
        trace.at("bad_words", says, facts, Passed::of(dropped, Reason::BadWords));
        !dropped
    }

    fn shard(&self, normalized: u128, known: &KnownPage, trace: &mut Trace) {
        let split = url::split(normalized, &self.recipe.split).name();
        let (says, facts) = match &known.document {
            Some(place) => (
                format!("{split}: row {} of {}", place.row, place.shard),
                json!({ "split": split, "shard": place.shard, "row": place.row }),
            ),
            None => (split.to_owned(), json!({ "split": split })),
        };
        let missing = known.document.is_none()
            && self
                .corpus
                .is_some_and(|corpus| corpus.manifest.format != Format::Jsonl);
        let passed = if missing { Passed::Open } else { Passed::Keep };
        let says = match missing {
            true => "the corpus does not hold it".to_owned(),
            false => says,
        };
        trace.missing = missing;
        trace.at("shard", says, facts, passed);
    }
}

fn lost(row: &Duplicate) -> Lost {
    let place = (&row.archive, row.record_offset);
    let same_page = place == (&row.kept_archive, row.kept_record_offset);
    Lost {
        position: row.position,
        same_page: same_page.then_some(row.kept_position),
    }
}

fn rules_facts(lines: &LineCounts) -> Value {
    let by_reason = lines.dropped.iter().zip(Reason::of(Scope::Line));
    let dropped = by_reason.filter(|(n, _)| n.lines > 0);
    let dropped = dropped.map(|(n, reason)| (reason.code().to_owned(), json!(n.lines)));
    let dropped: serde_json::Map<_, _> = dropped.collect();
    json!({ "lines": lines.total.lines, "dropped": dropped })
}

/// How the record's bytes became text.
fn extraction(found: &FoundRecord, page: &Page, trace: &mut Trace) {
    let mut facts = json!({ "content_type": page.content_type, "chars": page.text.chars().count() });
    let mut says = format!("{}, {} characters of text", page.content_type, facts["chars"]);
    if let Some(read) = &found.extracted {
        let source = format!("{:?}", read.charset_source).to_lowercase();
        says = format!("{says}; charset {} by {source}", read.charset);
        facts["charset"] = json!(read.charset);
        facts["charset_source"] = json!(source);
        facts["truncated"] = json!(read.truncated);
    }
    trace.at("extraction", says, facts, Passed::Keep);
}

impl Passed {
    fn of(dropped: bool, reason: Reason) -> Passed {
        match dropped {
            true => Passed::Drop(reason),
            false => Passed::Keep,
        }
    }
}

impl Line {
    fn whole(text: &str) -> Line {
        Line {
            text: text.to_owned(),
            kept_text: None,
            reason: None,
            matched: None,
            kept_by: Vec::new(),
        }
    }
}

/// An explanation in the making.
#[derive(Default)]
struct Trace {
    stations: Vec<Station>,
    lines: Vec<Line>,
    reason: Option<Reason>,
    missing: bool,
}

impl Trace {
    fn at(&mut self, name: &'static str, says: String, facts: Value, passed: Passed) {
        if let Passed::Drop(reason) = passed {
            self.reason.get_or_insert(reason);
        }
        self.stations.push(Station {
            name,
            says,
            passed,
            facts,
        });
    }

    fn drop_line(&mut self, text: &str, reason: Reason) {
        self.lines.push(Line {
            reason: Some(reason),
            ..Line::whole(text)
        });
    }

    /// The whole page is stripped at the end, which a line may feel where a citation marker stood.
    fn strip(&mut self) {
        let mut kept = self.lines.iter_mut().filter_map(|line| line.kept_text.as_mut());
        if let Some(first) = kept.next() {
            *first = first.trim_start_matches(pystr::is_space).to_owned();
        }
        let mut kept = self.lines.iter_mut().rev().filter_map(|line| line.kept_text.as_mut());
        if let Some(last) = kept.next() {
            last.truncate(last.trim_end_matches(pystr::is_space).len());
        }
    }

    fn end(self, url: String) -> Explanation {
        Explanation {
            url,
            stations: self.stations,
            lines: self.lines,
            reason: self.reason,
            missing: self.missing,
        }
    }
}
