//! Rules, keys and last steps over batches of pages.

use crate::columns::{Drops, batch, bytes, hash, texts, texts_if_there, texts_or_null};
use crate::error::invalid;
use crate::recipe::{Loaded, Name, load};
use crate::stats::{Stats, seal, unseal};
use crate::threads;
use arrow::array::{Array, ArrayRef, BinaryBuilder, BooleanBuilder, Float32Builder, ListBuilder, StringBuilder};
use arrow::compute::concat;
use arrow_pyarrow::ToPyArrow;
use c4_data::DedupStep;
use c4_filters::dedup::{self, Lost};
use c4_filters::{Cleaned, DroppedText, LineCounts, Reason, Scope, Statistics, url};
use pyo3::prelude::*;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use std::ops::Range;
use std::sync::Arc;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// A batch and its statistics, as Python has them.
type Counted<'py> = PyResult<(Bound<'py, PyAny>, Stats)>;

/// Columns of some rows, and their statistics.
type Piece = (Vec<ArrayRef>, Statistics);

/// Pieces, joined; statistics, added up.
fn join(pieces: Vec<Piece>) -> PyResult<(Vec<ArrayRef>, Stats)> {
    let (columns, statistics): (Vec<_>, Vec<_>) = pieces.into_iter().unzip();
    let mut sum = Stats::default();
    statistics.into_iter().for_each(|part| sum.0 += part);
    if let [_] = &*columns {
        return Ok((columns.concat(), sum));
    }
    let joined = (0..columns[0].len()).into_par_iter().map(|i| {
        let pieces: Vec<&dyn Array> = columns.iter().map(|columns| &*columns[i]).collect();
        concat(&pieces).map_err(|e| invalid(e.to_string()))
    });
    Ok((joined.collect::<PyResult<_>>()?, sum))
}

/// The column `counts`: what `clean` found, sealed together with the page it is of and the recipe. Arithmetic trusts
/// it.
#[derive(Serialize, Deserialize)]
struct Found {
    lines: LineCounts,
    /// Why the page goes, as its place among all reasons.
    reason: Option<usize>,
    /// Hash of its text; of one that goes nobody looks at it again.
    text: u64,
}

impl Found {
    fn new(lines: LineCounts, reason: Option<Reason>, text: Option<&str>) -> Found {
        Found {
            lines,
            reason: reason.and_then(|reason| Reason::ALL.iter().position(|r| *r == reason)),
            text: text.map_or(0, |text| xxh3_64(text.as_bytes())),
        }
    }

    fn encode(&self, key: u128, recipe: u64) -> PyResult<Vec<u8>> {
        let mut bytes = postcard::to_stdvec(self).map_err(|e| invalid(e.to_string()))?;
        seal(&mut bytes, xxh3_64_with_seed(&key.to_be_bytes(), recipe));
        Ok(bytes)
    }

    /// The inverse; `None` if `bytes` are of another page or recipe, or were altered.
    fn decode(bytes: &[u8], key: u128, recipe: u64) -> Option<Found> {
        let bytes = unseal(bytes, xxh3_64_with_seed(&key.to_be_bytes(), recipe))?;
        postcard::from_bytes(bytes).ok()
    }

    /// Whether a page may go on with this reason and text: those of `clean`, or as an older copy.
    fn allows(&self, reason: Option<Reason>, text: Option<&str>) -> bool {
        let before = self.reason.and_then(|at| Reason::ALL.get(at).copied());
        match reason {
            None => before.is_none() && text.is_some_and(|text| self.text == xxh3_64(text.as_bytes())),
            Some(Reason::OlderCopy) => before.is_none_or(Reason::competes),
            Some(_) => reason == before,
        }
    }
}

/// Asks a recipe's rules about pages, each alone.
#[pyfunction]
#[pyo3(signature = (batch, recipe, *, threads=1))]
pub fn clean<'py>(
    py: Python<'py>,
    batch: &Bound<'py, PyAny>,
    recipe: Name,
    #[pyo3(from_py_with = threads::of)] threads: usize,
) -> Counted<'py> {
    let loaded = load(&recipe)?;
    let batch = self::batch(batch)?;
    let (urls, texts, times) = (
        texts(&batch, "url")?,
        texts(&batch, "text")?,
        texts(&batch, "timestamp")?,
    );
    let work = |rows: Range<usize>| {
        let mut statistics = Statistics::default();
        let mut text = StringBuilder::new();
        let mut reason = StringBuilder::new();
        let mut keys = [BinaryBuilder::new(), BinaryBuilder::new()];
        let mut counts = BinaryBuilder::new();
        let mut competes = BooleanBuilder::new();
        for row in rows {
            let page = (urls.value(row)?, texts.value(row)?, times.value(row)?);
            let judged = loaded.rules().judge(page, &mut statistics, |_| {});
            let (kept, reason_of, lines) = match judged.cleaned {
                Cleaned::Keep(page) => (Some(page.text), None, page.lines),
                Cleaned::Drop { reason, lines } => (None, Some(reason), lines),
            };
            let found = Found::new(lines, reason_of, kept.as_deref());
            counts.append_value(found.encode(judged.normalized, loaded.seed)?);
            text.append_option(kept);
            reason.append_option(reason_of.map(Reason::code));
            competes.append_value(reason_of.is_none_or(Reason::competes));
            let owner = url::md5(page.0);
            for (column, key) in keys.iter_mut().zip([judged.normalized, owner]) {
                column.append_value(key.to_be_bytes());
            }
        }
        let [mut url_key, mut owner] = keys;
        let columns: Vec<ArrayRef> = vec![
            Arc::new(text.finish()),
            Arc::new(reason.finish()),
            Arc::new(competes.finish()),
            Arc::new(url_key.finish()),
            Arc::new(owner.finish()),
            Arc::new(counts.finish()),
        ];
        Ok((columns, statistics))
    };
    let (columns, stats) = threads::each(py, threads, batch.rows, work, join)?;
    let names = ["text", "reason", "competes", "url_key", "owner", "counts"];
    let columns = names.into_iter().zip(columns).collect();
    Ok((batch.with(&[], columns)?, stats))
}

/// 2 GiB of them.
const MOST_KEYS: usize = (i32::MAX / 16) as usize;

/// The keys by which copies of lines or spans are found.
#[pyfunction]
#[pyo3(signature = (batch, recipe, *, threads=1))]
pub fn keys<'py>(
    py: Python<'py>,
    batch: &Bound<'py, PyAny>,
    recipe: Name,
    #[pyo3(from_py_with = threads::of)] threads: usize,
) -> PyResult<Bound<'py, PyAny>> {
    let loaded = load(&recipe)?;
    let batch = self::batch(batch)?;
    let texts = texts_or_null(&batch, "text")?;
    let reasons = texts_if_there(&batch, "reason")?;
    let work = |rows: Range<usize>| {
        let mut count = 0;
        let mut lists = ListBuilder::new(BinaryBuilder::new());
        for row in rows {
            let stays = match &reasons {
                Some(reasons) => reasons.or_null(row)?.is_none(),
                None => true,
            };
            if let (Some(text), true) = (texts.or_null(row)?, stays) {
                for key in dedup::keys(loaded.recipe.dedup.as_ref(), text) {
                    count += 1;
                    if count > MOST_KEYS {
                        let what = format!("rows to {row} have more than {MOST_KEYS} keys: cut the batch");
                        return Err(invalid(what));
                    }
                    lists.values().append_value(key.to_be_bytes());
                }
            }
            lists.append(true);
        }
        let column: ArrayRef = Arc::new(lists.finish());
        Ok((vec![column], Statistics::default()))
    };
    let (columns, _) = threads::each(py, threads, batch.rows, work, join)?;
    columns[0].to_data().to_pyarrow(py)
}

/// Takes copies off pages, and asks about sentences, language and bad words.
#[pyfunction]
#[pyo3(signature = (batch, drops, recipe, *, threads=1))]
pub fn finish<'py>(
    py: Python<'py>,
    batch: &Bound<'py, PyAny>,
    drops: Option<&Bound<'py, PyAny>>,
    recipe: Name,
    #[pyo3(from_py_with = threads::of)] threads: usize,
) -> Counted<'py> {
    let loaded = load(&recipe)?;
    let batch = self::batch(batch)?;
    let drops = drops.map(|drops| Drops::import(drops, batch.rows));
    let drops = drops.transpose()?;
    let texts = texts_or_null(&batch, "text")?;
    let reasons = texts_or_null(&batch, "reason")?;
    let times = self::texts(&batch, "timestamp")?;
    let (url_keys, counts) = (bytes(&batch, "url_key")?, bytes(&batch, "counts")?);
    let work = |rows: Range<usize>| {
        let mut out = Finished::default();
        for row in rows {
            let at = |what: &str| invalid(format!("row {row}: {what}"));
            let key = hash(&url_keys, "url_key", row)?;
            let found = Found::decode(counts.value(row), key, loaded.seed)
                .ok_or_else(|| at("column `counts` is not what c4.clean gave for this url_key by this recipe"))?;
            let reason = match reasons.or_null(row)? {
                Some(code) => Some(
                    Reason::from_code(code)
                        .filter(|reason| reason.scope() == Scope::Page)
                        .ok_or_else(|| at(&format!("column `reason`: no page goes for {code:?}")))?,
                ),
                None => None,
            };
            let text = match reason {
                Some(_) => None,
                None => texts.or_null(row)?,
            };
            let page = KnownPage {
                key,
                timestamp: times.value(row)?,
                lines: found.lines,
            };
            if !found.allows(reason, text) {
                return Err(at(
                    "`text` or `reason` is not what c4.clean gave; of a page that stays `reason` may become `older_copy`, no more",
                ));
            }
            let gone = match (reason, text) {
                (Some(reason), _) => Err(reason),
                (None, text) => {
                    let text = text.unwrap_or_default();
                    let lost = drops.as_ref().map_or(Ok(Vec::new()), |drops| {
                        let step = loaded.recipe.dedup.as_ref();
                        lost(drops.of(row), step, text).map_err(|what| at(&what))
                    })?;
                    Ok((text.to_owned(), lost))
                }
            };
            out.page(&loaded, page, gone);
        }
        Ok(out.columns())
    };
    let (columns, stats) = threads::each(py, threads, batch.rows, work, join)?;
    let names = ["text", "reason", "language", "language_score", "split"];
    let columns = names.into_iter().zip(columns).collect();
    let taken = ["competes", "counts", "drops", "keys", "owner"];
    Ok((batch.with(&taken, columns)?, stats))
}

/// The copies that a page of `text` loses, if there can be such.
fn lost(
    drops: impl ExactSizeIterator<Item = (Option<i64>, Option<i64>)>,
    step: Option<&DedupStep>,
    text: &str,
) -> Result<Vec<Lost>, String> {
    let mut lost: Vec<Lost> = Vec::with_capacity(drops.len());
    if drops.len() == 0 {
        return Ok(lost);
    }
    let places = dedup::places(step, text);
    let place = |at: i64, places: usize| u32::try_from(at).ok().filter(|at| (*at as usize) < places).ok_or(at);
    for (position, same_page) in drops {
        let position = position.ok_or("drops: a position is null")?;
        let position =
            place(position, places).map_err(|at| format!("drops: position {at}: this page has {places} keys"))?;
        // Of equal keys of one page the first stays.
        let before = |at| {
            place(at, position as usize)
                .map_err(|at| format!("drops: same_page {at} does not come before position {position}"))
        };
        let same_page = same_page.map(before).transpose()?;
        lost.push(Lost { position, same_page });
    }
    lost.sort_unstable_by_key(|lost| lost.position);
    match lost.windows(2).find(|two| two[0].position == two[1].position) {
        Some(two) => Err(format!("drops: position {} comes twice", two[0].position)),
        None => Ok(lost),
    }
}

/// What is known of a page beside its text.
struct KnownPage<'a> {
    key: u128,
    timestamp: &'a str,
    lines: LineCounts,
}

/// Columns in the making.
#[derive(Default)]
struct Finished {
    text: StringBuilder,
    reason: StringBuilder,
    language: StringBuilder,
    score: Float32Builder,
    split: StringBuilder,
    statistics: Statistics,
}

impl Finished {
    /// A page that went before, or its text with the copies it loses.
    fn page(&mut self, loaded: &Loaded, page: KnownPage<'_>, before: Result<(String, Vec<Lost>), Reason>) {
        let finisher = loaded.finisher();
        let statistics = &mut self.statistics;
        let mut lines = page.lines;
        let judged = match before {
            Err(reason) => {
                if reason == Reason::OlderCopy {
                    lines = LineCounts::untouched(lines.total);
                }
                Err(DroppedText::new(reason, String::new()))
            }
            Ok((text, lost)) => finisher
                .without_duplicates(text, &lost, &mut lines, &mut statistics.tally, |_, _, _| {})
                .and_then(|text| finisher.judge_language(page.key, text, statistics)),
        };
        match judged {
            Ok(judged) => {
                let known = (page.key, page.timestamp);
                let split = finisher.keep(known, &judged, &lines, statistics);
                self.text.append_value(&judged.text);
                self.reason.append_null();
                self.language.append_value(&judged.language);
                self.score.append_value(judged.probability as f32);
                self.split.append_value(split.name());
            }
            Err(gone) => {
                statistics.tally.drop_page(gone.reason, &lines);
                self.text.append_null();
                self.reason.append_value(gone.reason.code());
                self.language.append_value(&gone.left.language);
                self.score.append_value(gone.left.probability as f32);
                self.split.append_null();
            }
        }
    }

    fn columns(mut self) -> (Vec<ArrayRef>, Statistics) {
        let columns: Vec<ArrayRef> = vec![
            Arc::new(self.text.finish()),
            Arc::new(self.reason.finish()),
            Arc::new(self.language.finish()),
            Arc::new(self.score.finish()),
            Arc::new(self.split.finish()),
        ];
        (columns, self.statistics)
    }
}
