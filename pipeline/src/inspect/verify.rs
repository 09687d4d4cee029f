//! Whether a finished corpus is what it says it is.
//!
//! | check | what is promised |
//! |---|---|
//! | shard files, ledger files, other files | every file is there, in its size, with its SHA-256; no other is in the way |
//! | recipe hash, schema | the manifest's recipe is the one whose hash stands everywhere |
//! | rows and text | documents and bytes of text, as in the manifest |
//! | order, shard range, split, one row a URL | rows ascend by the MD5 of their normalised URL |
//! | conservation, stages | `stats.json`: what came in is what came out and what was dropped |
//! | stats and shards, ledger rows, ledger fates | all of them speak of the same corpus |
//! | line rules, sentences, duplicates, language, ... | what the recipe promises of every document |
//!
//! What cannot be known is said to be not checked. A shard whose bytes are wrong is not read any further.
//!
//! **Cost.** Every file is read once for its checksum; every shard once more for its rows, and once a pass for what
//! stands twice ([`keys`] says how many: one for most corpora). Memory is the limit for keys, and a few megabytes a
//! thread. For spans, 32 bytes a copy that was dropped are taken from that limit.

pub mod archives;
pub(crate) mod corpus;
pub(crate) mod files;
pub(crate) mod keys;
pub mod report;
pub(crate) mod rows;
pub(crate) mod stats;
pub(crate) mod touched;

use crate::build::url_list;
use crate::error::Error;
use crate::inspect::thread_pool;
use crate::runtime::parallel::lock;
use crate::view::number::thousands;
use c4_data::{DedupStep, Format, Lists, Manifest};
use c4_filters::rules::bad_words::BadWords;
use corpus::{ShardRow, VerifiedCorpus};
use keys::{Keys, RepeatedKeys, unmarked};
use report::{Check, Finding, Offence, Report, Status, not_checked};
use rows::{DedupUnit, RowJudge, RowSums, Rule};
use std::path::PathBuf;
use std::sync::Mutex;
use touched::Touched;

/// Options of a verification.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// The folder of the corpus.
    pub dir: PathBuf,
    /// The folder of lists that are files; `None`: `dir`.
    pub lists: Option<PathBuf>,
    /// The bytes that may be held to find what stands twice: a part of the process's memory.
    pub key_bytes: usize,
    /// The number of threads; 0: one a core.
    pub threads: usize,
}

/// Verifies the corpus that `manifest` describes.
///
/// # Errors
/// A file that the system refuses to read, or threads that cannot be started. What is wrong with the corpus is no
/// error: it is in the report.
pub fn verify(options: &VerifyOptions, manifest: &Manifest) -> Result<Report, Error> {
    let checks = thread_pool(options.threads)?.install(|| checks(options, manifest))?;
    Ok(Report {
        recipe: manifest.recipe.name.clone(),
        recipe_hash: manifest.recipe_hash.clone(),
        documents: manifest.shards.iter().map(|shard| shard.rows).sum(),
        checks,
    })
}

fn checks(options: &VerifyOptions, manifest: &Manifest) -> Result<Vec<Check>, Error> {
    let dir = &*options.dir;
    let mut checks = Vec::new();
    checks.extend(program(manifest));
    let files = files::files(dir, manifest)?;
    checks.extend(files.checks);
    let (recipe_hash, lists) = files::recipe(manifest, options.lists.as_deref().unwrap_or(dir));
    checks.push(recipe_hash);
    checks.push(files::schemas(dir, manifest, &files.shards)?);

    let corpus = VerifiedCorpus {
        dir,
        manifest,
        sound: files.shards,
    };
    let touched = Touched::load(dir, manifest, &files.ledger, options.key_bytes / 2);
    let key_bytes = options.key_bytes - touched.bytes();
    let admission = lists.as_ref();
    let admission = admission.map(|lists| url_list::load(&manifest.recipe, lists));
    let judge = RowJudge::new(
        manifest,
        &touched,
        compiled(manifest, lists.as_ref())?,
        admission.transpose()?,
    );
    let unit = DedupUnit::of(&manifest.recipe);
    let keys = unit.map(|_| Keys::new(key_bytes));
    let scanned = corpus.scan("rows", |rows| {
        if let (Some(unit), Some(keys)) = (unit, &keys) {
            let of_row = |row| unit.keys(row, &touched);
            keys.add(rows.iter().flat_map(of_row).collect());
        }
        judge.rows(rows)
    })?;

    let mut sums = RowSums::default();
    let mut by_split = [0; 2];
    let mut as_listed = Finding::default();
    for (shard, rows, error) in scanned {
        let entry = shard.entry;
        if let Some(error) = error {
            as_listed.add(|| Offence::of_file(&entry.file, format!("cannot be read: {error}")));
        }
        for (what, has, listed) in [
            ("rows", rows.rows, entry.rows),
            ("bytes of text", rows.text_bytes, entry.text_bytes),
        ] {
            if has != listed {
                let what = format!("has {has} {what}, the manifest says {listed}");
                as_listed.add(|| Offence::of_file(&entry.file, what));
            }
        }
        by_split[entry.split as usize] += rows.rows;
        sums += rows;
        sums.end_shard();
    }
    let readable = as_listed.offences == 0;
    let whole = corpus.whole();
    let documents = documents(&corpus, &sums);
    let bytes = thousands(sums.text_bytes);
    let counted = format!("{documents}, {bytes} bytes of text, as in the manifest");
    checks.push(as_listed.check("rows and text", counted));
    let mut rule = |name, rule, counted: &str| {
        let counted = format!("{documents} {counted}");
        sums.take(rule).check(name, counted)
    };
    let by_language = manifest.recipe.split.by_language;
    let splits = match by_language {
        true => "are in the split of their language and hash",
        false => "are in the split of their hash",
    };
    let order = [
        rule("order", Rule::Order, "ascend by the MD5 of their URL"),
        rule("shard range", Rule::Range, "are in the shard of their hash"),
        rule("split", Rule::Split, splits),
    ];
    // By its language, a copy of a row may be far away.
    let in_order = !by_language && order.iter().all(|check| check.status == Status::Ok);
    checks.extend(order);
    let what = match manifest.format {
        Format::Jsonl => "have a URL, a text and a timestamp",
        _ => "have a URL, a text, a timestamp and an archive of the manifest",
    };
    checks.push(rule("columns", Rule::Columns, what));
    checks.push(one_row_a_url(
        &corpus, key_bytes, &touched, in_order, &documents, &mut sums,
    )?);

    let (stats, check) = stats::read(dir, manifest)?;
    checks.push(check);
    if let Some(stats) = &stats {
        checks.push(stats.conservation());
        checks.push(stats.stages(manifest));
        checks.push(match whole && readable {
            true => stats.shards(&sums, by_split),
            false => not_checked("stats and shards", "not all shards could be read"),
        });
        let rows = (whole && readable).then_some(&sums);
        checks.extend(stats::ledger(dir, manifest, &files.ledger, stats, rows));
    }
    let soft = stats.as_ref().map(stats::StatsFile::soft_passed);
    let soft = soft.filter(|_| whole && readable);
    promises(manifest, &judge, &touched, &documents, soft, &mut sums, &mut checks);
    if let (Some(unit), Some(keys)) = (unit, keys) {
        let found = finish(&corpus, unit, &touched, keys)?;
        checks.push(copies(&corpus, unit, &touched, &found)?);
    }
    Ok(checks)
}

/// A note where another version of the program made the corpus.
fn program(manifest: &Manifest) -> Option<Check> {
    let (made, this) = (&*manifest.versions.program, env!("CARGO_PKG_VERSION"));
    let counted = format!("made by version {made}, checked with the rules of version {this}: these may differ");
    let note = || Finding::default().with_status("program", Status::Note, counted);
    (made != this).then(note)
}

fn compiled(manifest: &Manifest, lists: Option<&Lists>) -> Result<Option<BadWords>, Error> {
    let (Some(step), Some(lists)) = (&manifest.recipe.bad_words, lists) else {
        return Ok(None);
    };
    let compiled = BadWords::new(step, lists);
    compiled.map(Some).map_err(|e| Error::WordLists {
        recipe: manifest.recipe.name.clone(),
        reason: e.to_string(),
    })
}

/// The number of documents that were checked, in words.
fn documents(corpus: &VerifiedCorpus<'_>, sums: &RowSums) -> String {
    let documents = format!("{} documents", thousands(sums.rows));
    match corpus.sound.iter().filter(|sound| !**sound).count() {
        0 => documents,
        bad => format!("{documents} (not those of {bad} damaged shards)"),
    }
}

/// Checks that no URL has two rows. Rows that are in order and in the right shard differ from all but their neighbours;
/// of others the keys must be compared.
fn one_row_a_url(
    corpus: &VerifiedCorpus<'_>,
    key_bytes: usize,
    touched: &Touched,
    in_order: bool,
    documents: &str,
    sums: &mut RowSums,
) -> Result<Check, Error> {
    const NAME: &str = "one row a URL";
    let counted = format!("{documents} have normalised URLs of their own");
    let neighbours = sums.take(Rule::Neighbour);
    if in_order {
        return Ok(neighbours.check(NAME, counted));
    }
    let keys = Keys::new(key_bytes);
    let found = finish_pass(corpus, DedupUnit::Url, touched, keys)?;
    let mut finding = located(corpus, DedupUnit::Url, touched, &found)?;
    finding.offences = found.sure;
    Ok(finding.check(NAME, counted))
}

/// Makes the pass of `keys` and all further ones.
fn finish_pass(
    corpus: &VerifiedCorpus<'_>,
    unit: DedupUnit,
    touched: &Touched,
    keys: Keys,
) -> Result<RepeatedKeys, Error> {
    collect(corpus, unit, touched, &keys)?;
    finish(corpus, unit, touched, keys)
}

/// Ends the pass of `keys` and makes all further ones.
fn finish(corpus: &VerifiedCorpus<'_>, unit: DedupUnit, touched: &Touched, keys: Keys) -> Result<RepeatedKeys, Error> {
    let mut found = RepeatedKeys::default();
    let mut next = keys.finish(&mut found);
    while let Some(keys) = next {
        collect(corpus, unit, touched, &keys)?;
        next = keys.finish(&mut found);
    }
    Ok(found)
}

/// The sum of a scan that notes what it finds elsewhere.
#[derive(Default)]
struct Nothing;

impl std::ops::AddAssign for Nothing {
    fn add_assign(&mut self, _: Nothing) {}
}

fn collect(corpus: &VerifiedCorpus<'_>, unit: DedupUnit, touched: &Touched, keys: &Keys) -> Result<(), Error> {
    let of_row = |row: &ShardRow<'_>| unit.keys(row, touched);
    corpus.scan("keys", |rows| {
        keys.add(rows.iter().flat_map(of_row).collect());
        Nothing
    })?;
    Ok(())
}

/// The places of the first keys that are repeated. Reads the shards once more, if there are any.
fn located(
    corpus: &VerifiedCorpus<'_>,
    unit: DedupUnit,
    touched: &Touched,
    found: &RepeatedKeys,
) -> Result<Finding, Error> {
    if found.first.is_empty() {
        return Ok(Finding::default());
    }
    let copies: Mutex<Vec<(String, u64, usize, Offence)>> = Mutex::default();
    corpus.scan("copies", |rows| {
        for row in rows {
            let keys = unit.keys(row, touched).into_iter().enumerate();
            for (i, _) in keys.filter(|(_, key)| found.first.contains(&unmarked(*key))) {
                let offence = row.offence("is there more than once");
                let offence = offence.with_line(&unit.shown(row, i));
                let place = (row.shard.entry.file.clone(), row.number, i);
                let mut copies = lock(&copies);
                copies.push((place.0, place.1, place.2, offence));
                // The first are shown, and a line may stand in every document.
                if copies.len() > 4096 {
                    copies.sort_by(|a, b| (&a.0, a.1, a.2).cmp(&(&b.0, b.1, b.2)));
                    copies.truncate(64);
                }
            }
        }
        Nothing
    })?;
    let mut copies = std::mem::take(&mut *lock(&copies));
    copies.sort_by(|a, b| (&a.0, a.1, a.2).cmp(&(&b.0, b.1, b.2)));
    Ok(copies.into_iter().map(|(.., offence)| offence).collect())
}

/// Checks that dedup left one copy of each line or span.
fn copies(
    corpus: &VerifiedCorpus<'_>,
    unit: DedupUnit,
    touched: &Touched,
    found: &RepeatedKeys,
) -> Result<Check, Error> {
    let (name, what) = match unit {
        DedupUnit::Span(_) => ("duplicate spans", "spans"),
        _ => ("duplicate lines", "lines"),
    };
    let seen = format!("{} {what}", thousands(found.keys));
    let passes = match found.passes {
        1 => String::new(),
        n => format!(" ({n} passes)"),
    };
    let twice = thousands(found.unsure);
    let counted = match touched {
        _ if found.unsure == 0 => format!("{seen} are there once{passes}"),
        Touched::Unknown(why) => format!(
            "{seen}, {twice} of them more than once: whether removal made these or missed them is \
             not checked, since {why}{passes}"
        ),
        _ => format!("{seen}, {twice} of them more than once, made by removal{passes}"),
    };
    let mut finding = located(corpus, unit, touched, found)?;
    finding.offences = found.sure;
    let status = match (found.sure, found.unsure, touched) {
        (1.., ..) => Status::Failed,
        (_, 1.., Touched::Unknown(_)) => Status::NotChecked,
        (_, 1.., _) => Status::Note,
        _ => Status::Ok,
    };
    Ok(finding.with_status(name, status, counted))
}

/// Checks what the recipe promises of every document by itself.
fn promises(
    manifest: &Manifest,
    judge: &RowJudge<'_>,
    touched: &Touched,
    documents: &str,
    soft_passed: Option<u64>,
    sums: &mut RowSums,
    checks: &mut Vec<Check>,
) {
    let recipe = &manifest.recipe;
    if let Some(step) = &recipe.length {
        let most = thousands(step.max_page_chars as u64);
        let counted = format!("{documents} have at most {most} characters");
        checks.push(sums.take(Rule::Length).check("page length", counted));
    }
    for (taken, rule, name, what) in [
        (
            recipe.domains.is_some(),
            Rule::Domain,
            "domains",
            "are of listed domains",
        ),
        (recipe.urls.is_some(), Rule::Listed, "listed URLs", "have listed URLs"),
    ] {
        let finding = sums.take(rule);
        if taken {
            checks.push(match judge.knows_lists() {
                true => finding.check(name, format!("{documents} {what}")),
                false => not_checked(name, "the list is not at hand"),
            });
        }
    }
    if let Some(step) = &recipe.paragraphs {
        let (lines, chars) = (step.min_lines, step.min_line_chars);
        checks.push(match (&recipe.clean, &recipe.dedup) {
            (None, None) => {
                let counted = format!("{documents} have {lines} lines of {chars} characters");
                sums.take(Rule::Paragraphs).check("paragraphs", counted)
            }
            _ => not_checked("paragraphs", "later steps dropped lines"),
        });
    }
    if recipe.clean.is_some() {
        line_rules(touched, sums, checks);
        if let Some(DedupStep::Spans { .. }) | None = &recipe.dedup {
            let short = sums.take(Rule::CleanSentences);
            let counted = format!(
                "{} pages that lost no sentences have enough for the rules",
                thousands(sums.rows - sums.touched)
            );
            checks.push(match touched {
                Touched::Unknown(why) => not_checked("rule sentences", why),
                _ => short.check("rule sentences", counted),
            });
        }
    }
    if let Some(DedupStep::Lines { min_sentences } | DedupStep::Spans { min_sentences, .. }) = recipe.dedup {
        let counted = format!("{documents} have {min_sentences} sentences");
        checks.push(sums.take(Rule::Sentences).check("sentences", counted));
    }
    if manifest.format == Format::Jsonl {
        let why = "JSON lines do not hold it";
        checks.push(not_checked("language", why));
    } else {
        let counted = match &recipe.language {
            None => format!("{documents} have none, as the recipe says"),
            Some(step) => format!(
                "{documents} are in {} with probability {} or above",
                step.kept(),
                step.min_probability
            ),
        };
        checks.push(sums.take(Rule::Language).check("language", counted));
    }
    if let Some(step) = &recipe.bad_words {
        let finding = sums.take(Rule::BadWords);
        let soft = format!(
            "{} hold one and are in the share of {} that is kept",
            thousands(sums.soft_passed),
            (1.0 - step.fraction) as f32
        );
        let with_list = thousands(sums.with_list);
        let counted = match step.fraction < 1.0 {
            true => format!("{with_list} documents in a language with a list: {soft}"),
            false => format!("{with_list} documents in a language with a list hold no word of it"),
        };
        checks.push(match judge.knows_bad_words() {
            false => not_checked("bad words", "the word lists or the languages are not at hand"),
            true => {
                let mut finding = finding;
                let other = soft_passed.filter(|n| *n != sums.soft_passed);
                if let Some(other) = other {
                    finding.add(|| {
                        let what = format!("says that {other} pages with a listed word may be kept");
                        Offence::of_file(c4_data::Stats::FILE, what)
                    });
                }
                finding.check("bad words", counted)
            }
        });
    }
}

fn line_rules(touched: &Touched, sums: &mut RowSums, checks: &mut Vec<Check>) {
    let (broken, shortened) = (sums.take(Rule::Lines), sums.take(Rule::ShortenedLines));
    let unstable = match sums.unstable_lines {
        0 => String::new(),
        n => format!(" ({} would be changed, though kept, by a second pass)", thousands(n)),
    };
    let all = thousands(sums.amount.lines);
    let name = "line rules";
    if let Touched::Unknown(why) = touched {
        checks.push(match shortened.offences {
            // Whatever dedup did: all lines are as the rules want them.
            0 => shortened.check(name, format!("{all} lines obey them{unstable}")),
            n => {
                let counted = format!(
                    "of {all} lines {} break one: whether removal made these is not checked, since \
                     {why}{unstable}",
                    thousands(n)
                );
                shortened.with_status(name, Status::NotChecked, counted)
            }
        });
        return;
    }
    let lines = thousands(sums.whole_lines);
    let counted = match touched {
        Touched::Known(_) => {
            format!("{lines} lines of pages that dedup left alone obey them{unstable}")
        }
        _ => format!("{lines} lines obey them{unstable}"),
    };
    checks.push(broken.check(name, counted));
    if shortened.offences > 0 {
        let counted = format!(
            "{} lines of {} pages that lost sentences break a rule, made by removal",
            thousands(shortened.offences),
            thousands(sums.touched)
        );
        checks.push(shortened.with_status("shortened lines", Status::Note, counted));
    }
}
