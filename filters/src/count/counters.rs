//! The reference's counters: the same facts as the [`Tally`], under the names and with the meaning that TensorFlow
//! Datasets gives them.

use super::tally::{ArchiveKind, Tally};
use crate::rules::reason::{Reason, Scope};
use c4_data::{DedupStep, DetectorKind, Recipe, Split};
use std::collections::BTreeMap;

/// The reference's counters of a whole build, by name. As in the reference, a counter that was never raised is absent,
/// and so are those of steps that the recipe does not have.
///
/// ```
/// use c4_data::Recipe;
/// use c4_filters::{ArchiveKind, LineCounts, Reason, Tally, counters::counters};
///
/// let (recipe, _) = Recipe::load("en")?;
/// let mut tally = Tally::default();
/// tally.read_pages(ArchiveKind::Wet, 1);
/// tally.drop_page(Reason::TooLong, &LineCounts::default());
/// let counters = counters(&tally, &recipe);
/// assert_eq!(counters["split-wet-file/passed"], 1);
/// assert_eq!(counters["too-long-filter/filtered"], 1);
/// # Ok::<(), c4_data::Error>(())
/// ```
///
/// Reading, length and URL counters are of all pages, those of later steps of the newest page of each URL only; a page
/// dropped midway keeps the line counts it had earned. Steps that the reference does not have are named in its manner:
/// `split-warc-file/*`, `dedupe-spans/*`.
pub fn counters(tally: &Tally, recipe: &Recipe) -> BTreeMap<String, u64> {
    let mut out = BTreeMap::new();
    let mut put = |name: &str, n: u64| {
        if n > 0 {
            *out.entry(name.to_owned()).or_insert(0) += n;
        }
    };
    for kind in ArchiveKind::ALL {
        let (step, archives) = match kind {
            ArchiveKind::Wet => ("split-wet-file", "wet-file"),
            ArchiveKind::Warc => ("split-warc-file", "warc-file"),
        };
        let kind = kind as usize;
        put(&format!("{step}/{archives}"), tally.archives[kind]);
        put(&format!("{step}/passed"), tally.pages_read[kind]);
        for &reason in Reason::of(Scope::Record) {
            let suffix = suffix(reason);
            put(&format!("{step}/{suffix}"), tally.records_dropped[kind][reason.index()]);
        }
    }

    // Each step passes what came in less what its reasons dropped.
    let mut pages = tally.pages();
    let mut step = |name: &str, reasons: &[Reason]| {
        for &reason in reasons {
            let dropped = tally.dropped_pages(reason);
            put(&format!("{name}/{}", suffix(reason)), dropped);
            pages -= dropped;
        }
        // Pages that a soft blocklist lets pass have a counter of their own.
        let soft = match reasons {
            [Reason::BadWords] => tally.bad_words_soft_passed,
            _ => 0,
        };
        put(&format!("{name}/passed"), pages.saturating_sub(soft));
        pages
    };
    if recipe.length.is_some() {
        step("too-long-filter", &[Reason::TooLong]);
    }
    if recipe.domains.is_some() {
        let reasons = [Reason::BadDomain, Reason::BadSubdomain];
        step("realnews-domain-filter", &reasons);
    }
    step("duplicate-url-filter", &[Reason::OlderCopy]);
    let mut missing = 0;
    if recipe.urls.is_some() {
        // Of each URL one page has come here, and has passed if it is listed.
        let found = step("webtextlike-filter", &[Reason::NotListed]);
        missing = tally.listed_urls.saturating_sub(found);
    }
    if recipe.paragraphs.is_some() {
        step("paragraph-filter", &[Reason::ShortParagraphs]);
    }
    if recipe.clean.is_some() {
        let reasons = [Reason::LoremIpsum, Reason::CurlyBracket, Reason::TooFewSentences];
        step("clean-page", &reasons);
    }
    let dedup = [Reason::EmptiedByDedup, Reason::TooFewSentencesAfterDedup];
    match &recipe.dedup {
        Some(DedupStep::Lines { .. }) => step("dedupe-lines", &dedup),
        Some(DedupStep::Spans { .. }) => step("dedupe-spans", &dedup),
        None => 0,
    };
    // The reference has a step of its own for English alone.
    let many_languages = (recipe.language.as_ref()).is_some_and(|step| step.detector == DetectorKind::Cld3);
    if recipe.language.is_some() {
        let name = match many_languages {
            true => "language-filter",
            false => "english-filter",
        };
        let reasons = [
            Reason::UndetectableLanguage,
            Reason::NoLanguage,
            Reason::LowConfidence,
            Reason::OtherLanguage,
        ];
        step(name, &reasons);
    }
    if recipe.bad_words.is_some() {
        step("badwords-filter", &[Reason::BadWords]);
    }

    put("webtextlike-filter/missing-page", missing);
    if recipe.clean.is_some() {
        put("clean-page/line-passed", tally.lines_passed_rules);
    }
    if matches!(recipe.dedup, Some(DedupStep::Lines { .. })) {
        put("dedupe-lines/line-passed", tally.lines_passed_dedup);
    }
    for &reason in Reason::of(Scope::Line) {
        if reason == Reason::SpanDuplicate {
            // Spans are counted by span and sentence, below; whole lines only in the tally.
            continue;
        }
        put(reason.counter(), tally.lines_dropped[reason.index()].lines);
    }
    put("dedupe-spans/span-duplicate", tally.spans_duplicate);
    put("dedupe-spans/sentence-removed", tally.sentences_removed);
    if many_languages {
        for (language, n) in &tally.languages_passed {
            put(&format!("language-filter/passed:{language}"), *n);
        }
        // As in the reference: filtered and passed.
        for (cause, n) in &tally.undetermined_languages {
            put(&format!("language-filter/{}", suffix(*cause)), *n);
        }
    } else {
        for (language, n) in &tally.other_languages {
            let counter = format!("english-filter/filtered:ignored_language-{language}");
            put(&counter, *n);
        }
    }
    put("badwords-filter/soft-passed", tally.bad_words_soft_passed);
    for (language, [dropped, passed, soft_passed]) in &tally.bad_words_by_language {
        put(&format!("badwords-filter-{language}/filtered"), *dropped);
        put(&format!("badwords-filter-{language}/passed"), *passed);
        put(&format!("badwords-filter-{language}/soft-passed"), *soft_passed);
    }
    for split in Split::ALL {
        put(&format!("{}/examples", split.name()), tally.pages_out[split as usize]);
    }
    out
}

/// A counter's name without its step.
fn suffix(reason: Reason) -> &'static str {
    reason.counter().split_once('/').map_or("", |(_, suffix)| suffix)
}
