//! What a recipe expects of a build's counts, and warnings where they look wrong.
//!
//! A rule that drops far more or far less than is usual, or a step that drops nothing, is mostly a mistake in a recipe
//! or an input of another kind; both have been overlooked in published corpora.

use super::tally::Tally;
use crate::rules::language_rule;
use crate::rules::reason::{Reason, Scope, Stage};
use c4_data::Recipe;

/// The number of pages of which at least one should be kept: recipes keep one in ten or more.
const ENOUGH_TO_KEEP_ONE: u64 = 100;

/// The number of pages or lines from which on a share is meaningful.
const ENOUGH: u64 = 1000;
/// The number of pages or lines of which a step should drop one. The length limit drops one page in a thousand.
const fn enough_for_one(stage: Stage) -> u64 {
    match stage {
        Stage::Length => 100 * ENOUGH,
        _ => ENOUGH,
    }
}

/// Validates the codes in a recipe that only filters know: the languages to keep, and the reasons that it has
/// expectations of. An expectation of a step that the recipe does not have is allowed, so that a step can be deleted
/// alone.
///
/// # Errors
/// A sentence about the first code that is unknown.
pub fn check(recipe: &Recipe) -> Result<(), String> {
    if let Some(step) = &recipe.language {
        let known = language_rule::known(step.detector);
        if let Some(code) = step.keep.iter().find(|code| !known.contains(&code.as_str())) {
            let known = known.join(", ");
            return Err(format!("language.keep: the detector knows no {code}; it knows {known}"));
        }
    }
    let known = |code: &str| expectable().any(|reason| reason.code() == code);
    match recipe.expect.keys().find(|code| !known(code)) {
        None => Ok(()),
        Some(code) => {
            let codes: Vec<&str> = expectable().map(Reason::code).collect();
            let codes = codes.join(", ");
            Err(format!("expect.{code}: no such reason; there are {codes}"))
        }
    }
}

fn expectable() -> impl Iterator<Item = Reason> {
    let not_records = |reason: &Reason| reason.scope() != Scope::Record;
    Reason::ALL.iter().copied().filter(not_records)
}

/// For each reason, the pages or lines that came to its step, and how many of them it dropped.
fn shares(tally: &Tally) -> Vec<(Reason, u64, u64)> {
    let mut left = [tally.pages(), tally.lines.lines];
    let mut shares = Vec::new();
    for stage in Stage::ALL {
        let before = left;
        for reason in expectable().filter(|reason| reason.stage() == stage) {
            let i = reason.index();
            let (unit, taken) = match reason.scope() {
                Scope::Page => {
                    left[1] -= tally.lines_gone_with_page[i].lines;
                    (0, tally.pages_dropped[i])
                }
                _ => (1, tally.lines_dropped[i].lines),
            };
            left[unit] -= taken;
            shares.push((reason, before[unit], taken));
        }
    }
    shares
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

/// The reasons whose share is not what the recipe expects, with a sentence about each. While a build is running, only
/// the steps up to `until` are complete and judged.
pub fn unexpected(tally: &Tally, recipe: &Recipe, until: Stage) -> Vec<(Reason, String)> {
    let mut found = Vec::new();
    for (reason, came, taken) in shares(tally) {
        let Some([low, high]) = recipe.expect.get(reason.code()) else {
            continue;
        };
        let share = taken as f64 / came as f64;
        let taken_step = reason.stage().taken(recipe).is_some();
        if taken_step && reason.stage() <= until && came >= ENOUGH && !(*low..=*high).contains(&share) {
            let unit = match reason.scope() {
                Scope::Page => "pages",
                _ => "lines",
            };
            let says = format!(
                "{} took {} of the {unit} that came to it, the recipe expects {} to {}",
                reason.code(),
                percent(share),
                percent(*low),
                percent(*high),
            );
            found.push((reason, says));
        }
    }
    found
}

/// Warnings about a finished build, a sentence each: unexpected shares, an empty corpus, steps that drop nothing.
///
/// ```
/// use c4_data::Recipe;
/// use c4_filters::{ArchiveKind, LineCounts, Reason, Tally, expectations};
///
/// let (recipe, _) = Recipe::load("en")?;
/// let mut tally = Tally::default();
/// tally.read_pages(ArchiveKind::Wet, 100);
/// (0..100).for_each(|_| tally.drop_page(Reason::OtherLanguage, &LineCounts::default()));
/// assert_eq!(expectations::warnings(&tally, &recipe), ["of 100 pages none was kept"]);
/// # Ok::<(), c4_data::Error>(())
/// ```
pub fn warnings(tally: &Tally, recipe: &Recipe) -> Vec<String> {
    let shares = shares(tally);
    let unexpected = unexpected(tally, recipe, Stage::BadWords).into_iter();
    let mut warnings: Vec<String> = unexpected.map(|(_, says)| says).collect();
    if tally.pages() >= ENOUGH_TO_KEEP_ONE && tally.pages_out.iter().sum::<u64>() == 0 {
        warnings.push(format!("of {} pages none was kept", tally.pages()));
    }
    for stage in Stage::ALL
        .into_iter()
        .filter(|s| *s != Stage::Read && *s != Stage::Newest)
    {
        let Some(doc) = stage.taken(recipe) else {
            continue;
        };
        let of_stage = || shares.iter().filter(|(reason, ..)| reason.stage() == stage);
        let came = of_stage().map(|(_, came, _)| *came).max().unwrap_or(0);
        if came >= enough_for_one(stage) && of_stage().all(|(_, _, taken)| *taken == 0) {
            let name = stage.name();
            warnings.push(match doc == name {
                true => format!("step {name} dropped nothing"),
                false => format!("step {name} ({doc}) dropped nothing"),
            });
        }
    }
    warnings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::count::tally::{ArchiveKind, LineCounts};
    use crate::text::text_size::TextSize;
    use c4_data::Split;

    fn tally(kept: u64, dropped: u64) -> Tally {
        let mut tally = Tally::default();
        tally.read_pages(ArchiveKind::Wet, kept + dropped);
        let lines = LineCounts::untouched(TextSize {
            lines: 1,
            chars: 1,
            words: 1,
        });
        for i in 0..kept + dropped {
            tally.lines += lines.total;
            match i < kept {
                true => tally.keep_page(Split::Train, &lines),
                false => tally.drop_page(Reason::OtherLanguage, &lines),
            }
        }
        tally
    }

    #[test]
    fn shares_outside_their_band_and_idle_steps_are_named() {
        let (mut recipe, _) = Recipe::load("en.noclean").unwrap();
        recipe.expect.clear();
        recipe.length = None;
        let idle = |tally| warnings(&tally, &recipe);
        assert_eq!(idle(tally(999, 0)), [""; 0]);
        assert_eq!(idle(tally(1000, 0)), ["step language dropped nothing"]);
        recipe.expect.insert("other_language".into(), [0.1, 0.5]);
        check(&recipe).unwrap();
        assert_eq!(warnings(&tally(600, 500), &recipe), [""; 0]);
        let high = "other_language took 60.0 % of the pages that came to it, the recipe expects 10.0 % to 50.0 %";
        assert_eq!(warnings(&tally(400, 600), &recipe), [high]);
        for code in ["other", "http_status"] {
            recipe.expect.insert(code.into(), [0.0, 1.0]);
            assert!(check(&recipe).unwrap_err().contains(code));
            recipe.expect.remove(code);
        }
    }
}
