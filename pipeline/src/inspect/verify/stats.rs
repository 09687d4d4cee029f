//! Whether `stats.json` adds up, and agrees with shards and ledger.

use super::report::{Check, Finding, Offence, not_checked};
use super::rows::RowSums;
use crate::error::Error;
use crate::view::number::thousands;
use crate::work::ledger::noted;
use c4_data::ledger::{DroppedLine, DroppedPage, Duplicate, KEPT, LedgerReader, LedgerRow, Table, UrlVerdict};
use c4_data::{LedgerEntry, LedgerFile, LedgerMode, Manifest, Split};
use c4_filters::{Reason, Scope, Stage};
use rayon::prelude::*;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// The sum; `None` if a number is missing, or if the sum is larger than any count.
fn total(numbers: impl IntoIterator<Item = Option<u64>>) -> Option<u64> {
    numbers.into_iter().try_fold(0_u64, |sum, n| sum.checked_add(n?))
}

/// The units that lines are counted in.
const UNITS: [&str; 3] = ["lines", "chars", "words"];

/// The content of `stats.json`.
pub(crate) struct StatsFile {
    value: Value,
}

/// Reads `stats.json`; the check says whether it belongs to the corpus.
///
/// # Errors
/// The system refuses to read the file.
pub(crate) fn read(dir: &Path, manifest: &Manifest) -> Result<(Option<StatsFile>, Check), Error> {
    const NAME: &str = "stats.json";
    let path = dir.join(c4_data::Stats::FILE);
    let mut finding = Finding::default();
    let value = match std::fs::read(&path) {
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Err("is missing".to_owned()),
        Err(e) => return Err(c4_data::Error::io(&path, "read")(e).into()),
        Ok(bytes) => {
            if c4_data::atomic_file::sha256_hex(&bytes) != manifest.stats_sha256 {
                finding.add(|| offence("is not what the build wrote: its SHA-256 differs"));
            }
            serde_json::from_slice::<Value>(&bytes).map_err(|e| format!("is not what a build writes: {e}"))
        }
    };
    let stats = match value {
        Err(what) => {
            finding.add(|| offence(what));
            None
        }
        Ok(value) => {
            for (key, wanted) in [
                ("recipe", &manifest.recipe.name),
                ("recipe_hash", &manifest.recipe_hash),
            ] {
                if value[key] != **wanted {
                    let what = format!("{key} is {}, in the manifest {wanted}", value[key]);
                    finding.add(|| offence(what));
                }
            }
            Some(StatsFile { value })
        }
    };
    let counted = "of the manifest's recipe".to_owned();
    Ok((stats, finding.check(NAME, counted)))
}

fn offence(what: impl Into<String>) -> Offence {
    Offence::of_file(c4_data::Stats::FILE, what)
}

/// Compares numbers and keeps what differs.
#[derive(Default)]
struct SumCheck {
    finding: Finding,
    compared: u64,
}

impl SumCheck {
    fn equal(&mut self, what: &str, has: Option<u64>, wanted: Option<u64>) {
        self.compared += 1;
        if has != wanted || has.is_none() {
            let show = |n: Option<u64>| n.map_or("missing".to_owned(), |n| n.to_string());
            let what = format!("{what}: {}, but {}", show(has), show(wanted));
            self.finding.add(|| offence(what));
        }
    }

    fn within(&mut self, what: &str, has: u64, wanted: Option<(u64, u64)>) {
        let nearest = wanted.map(|(least, most)| has.clamp(least, most));
        self.equal(what, Some(has), nearest);
    }

    fn check(self, name: &'static str, what: &str) -> Check {
        let counted = format!("{} sums: {what}", thousands(self.compared));
        self.finding.check(name, counted)
    }
}

impl StatsFile {
    fn number(&self, path: &[&str]) -> Option<u64> {
        let found = path.iter().try_fold(&self.value, |v, key| v.get(key));
        found.and_then(Value::as_u64)
    }

    /// A number of the object `tally`.
    fn tally(&self, path: &[&str]) -> Option<u64> {
        self.number(&[&["tally"], path].concat())
    }

    /// The counter with a name, which is absent where it is 0.
    fn counter(&self, name: &str) -> u64 {
        self.number(&["counters", name]).unwrap_or(0)
    }

    /// The sum over an object of `tally`; `None` if it is missing or holds another thing than
    /// numbers.
    fn sum(&self, path: &[&str]) -> Option<u64> {
        let found = path.iter().try_fold(&self.value["tally"], |v, key| v.get(key));
        let numbers = found?.as_object()?.values().map(Value::as_u64);
        total(numbers)
    }

    /// Checks the conservation law: what came in is what came out and what was dropped.
    pub(crate) fn conservation(&self) -> Check {
        let mut sums = SumCheck::default();
        for unit in ["records", "pages"] {
            let parts = [self.tally(&[unit, "out"]), self.sum(&[unit, "dropped"])];
            sums.equal(
                &format!("{unit}: in, and out + dropped"),
                self.tally(&[unit, "in"]),
                total(parts),
            );
        }
        for unit in UNITS {
            let parts = [
                self.tally(&[unit, "out"]),
                self.sum(&[unit, "dropped"]),
                self.sum(&[unit, "gone_with_page"]),
                self.tally(&[unit, "trimmed"]),
            ];
            sums.equal(
                &format!("{unit}: in, and out + dropped + gone_with_page + trimmed"),
                self.tally(&[unit, "in"]),
                total(parts),
            );
        }
        sums.equal(
            "records out, and pages in",
            self.tally(&["records", "out"]),
            self.tally(&["pages", "in"]),
        );
        sums.check("conservation", "records, pages, lines, characters, words")
    }

    /// Checks the steps: each takes in what the one before has let out, and lets out what it did not drop.
    pub(crate) fn stages(&self, manifest: &Manifest) -> Check {
        const NAME: &str = "stages";
        let mut sums = SumCheck::default();
        let taken = Stage::ALL.into_iter();
        let taken: Vec<Stage> = taken.filter(|stage| stage.taken(&manifest.recipe).is_some()).collect();
        let listed = self.value["stages"].as_array().cloned().unwrap_or_default();
        let names: Vec<&str> = listed.iter().filter_map(|s| s["stage"].as_str()).collect();
        if !names
            .iter()
            .eq(taken.iter().map(|stage| stage.name()).collect::<Vec<_>>().iter())
        {
            let what = format!("stages are {}, not those of the recipe", names.join(", "));
            sums.finding.add(|| offence(what));
            return sums.check(NAME, "the steps of the recipe");
        }
        let mut units = vec!["pages"];
        units.extend(UNITS);
        let mut left: Vec<Option<u64>> = units.iter().map(|unit| self.tally(&[unit, "in"])).collect();
        for (stage, listed) in taken.iter().zip(&listed) {
            let name = stage.name();
            for (left, unit) in left.iter_mut().zip(&units) {
                let what = format!("step {name}, {unit} in, and what the step before let out");
                sums.equal(&what, listed[unit]["in"].as_u64(), *left);
                *left = left.and_then(|left| left.checked_sub(self.taken_by(*stage, unit)?));
                let what = format!("step {name}, {unit} out, and what it did not take");
                sums.equal(&what, listed[unit]["out"].as_u64(), *left);
            }
            for reason in Reason::ALL.iter().filter(|reason| reason.stage() == *stage) {
                let unit = match reason.scope() {
                    Scope::Record => continue,
                    Scope::Page => "pages",
                    Scope::Line => "lines",
                };
                sums.equal(
                    &format!("step {name}, {unit} dropped as {}, and the tally", reason.code()),
                    listed["dropped"][unit][reason.code()].as_u64(),
                    self.tally(&[unit, "dropped", reason.code()]),
                );
            }
        }
        for (left, unit) in left.iter().zip(&units) {
            let what = format!("{unit} out of the last step, and out of the tally");
            sums.equal(&what, *left, self.tally(&[unit, "out"]));
        }
        sums.check(NAME, "each step takes in what the one before lets out")
    }

    /// What a step dropped, by the tally.
    fn taken_by(&self, stage: Stage, unit: &str) -> Option<u64> {
        let reasons = Reason::ALL.iter().filter(|reason| reason.stage() == stage);
        let taken = reasons.map(|reason| match (reason.scope(), unit) {
            (Scope::Record, _) | (Scope::Line, "pages") => Some(0),
            (Scope::Page, "pages") | (Scope::Line, _) => self.tally(&[unit, "dropped", reason.code()]),
            (Scope::Page, _) => self.tally(&[unit, "gone_with_page", reason.code()]),
        });
        let taken = total(taken);
        match (stage, unit) {
            (Stage::Rules, "lines" | "chars" | "words") => total([taken, self.tally(&[unit, "trimmed"])]),
            _ => taken,
        }
    }

    /// Checks that the sums are those of the shards.
    pub(crate) fn shards(&self, rows: &RowSums, by_split: [u64; 2]) -> Check {
        let mut sums = SumCheck::default();
        let amount = rows.amount;
        for (what, path, has) in [
            ("documents", ["pages", "out"], rows.rows),
            ("lines", ["lines", "out"], amount.lines),
            ("characters", ["chars", "out"], amount.chars),
            ("words", ["words", "out"], amount.words),
            ("bytes of text", ["text_bytes", "out"], rows.text_bytes),
        ] {
            let what = format!("{what} in the shards, and in stats.json");
            sums.equal(&what, Some(has), self.tally(&path));
        }
        for split in Split::ALL {
            let name = split.name();
            sums.equal(
                &format!("documents in {name}, and the counter {name}/examples"),
                Some(by_split[split as usize]),
                Some(self.counter(&format!("{name}/examples"))),
            );
        }
        sums.check("stats and shards", "documents, lines, characters, words, bytes")
    }

    /// The number of pages that the blocklist let pass though they hold a listed word.
    pub(crate) fn soft_passed(&self) -> u64 {
        self.counter("badwords-filter/soft-passed")
    }
}

/// The counts of the tables of a ledger.
#[derive(Default)]
struct LedgerCounts {
    rows: BTreeMap<(Table, String), u64>,
    /// The sum of the keys of kept URLs, modulo 2^64.
    url_keys: u64,
    wrong: Vec<Offence>,
}

/// Compares the ledger with `stats.json` and the shards. Reads every table once; memory is that of
/// a record batch a thread. `rows` is `None` if not all shards were read.
pub(crate) fn ledger(
    dir: &Path,
    manifest: &Manifest,
    sound: &[bool],
    stats: &StatsFile,
    rows: Option<&RowSums>,
) -> Vec<Check> {
    let entry = &manifest.ledger;
    let names = ["ledger rows", "ledger fates"];
    if entry.mode == LedgerMode::None {
        return names.map(|name| not_checked(name, "the corpus has no ledger")).into();
    }
    if sound.contains(&false) {
        return names.map(|name| not_checked(name, "the ledger is damaged")).into();
    }
    let parts: Vec<LedgerCounts> = entry.files.par_iter().map(|file| count(dir, entry, file)).collect();
    let mut found = LedgerCounts::default();
    for part in parts {
        for (key, n) in part.rows {
            *found.rows.entry(key).or_default() += n;
        }
        found.url_keys = found.url_keys.wrapping_add(part.url_keys);
        found.wrong.extend(part.wrong);
    }
    let of = |table: Table, code: &str| {
        let key = (table, code.to_owned());
        found.rows.get(&key).copied().unwrap_or(0)
    };
    let mut sums = SumCheck::default();
    found.wrong.iter().for_each(|o| sums.finding.add(|| o.clone()));
    for reason in Reason::ALL {
        let code = reason.code();
        let (table, unit) = match reason.scope() {
            Scope::Record => continue,
            Scope::Page => (Table::Pages, "pages"),
            Scope::Line => (Table::Lines, "lines"),
        };
        let counted = stats.tally(&[unit, "dropped", code]);
        let wanted = match entry.mode {
            LedgerMode::Sample(n) => counted.map(|counted| {
                let least = match judged_before_choice(*reason) {
                    true => noted(n).saturating_sub(older(stats, unit)),
                    false => n,
                };
                let most = counted.min(n);
                (least.min(most), most)
            }),
            _ => counted.map(|n| (n, n)),
        };
        let what = format!("rows of {code} in the ledger's {unit}, and in stats.json");
        sums.within(&what, of(table, code), wanted);
        let copies = match reason {
            Reason::OlderCopy | Reason::GlobalDuplicate | Reason::LocalDuplicate => counted,
            Reason::SpanDuplicate => Some(stats.counter("dedupe-spans/span-duplicate")),
            _ => continue,
        };
        let what = format!("rows of {code} in the ledger's duplicates, and in stats.json");
        sums.equal(&what, Some(of(Table::Duplicates, code)), copies);
    }
    let about = format!("rows by reason (ledger {}), copies", entry.mode);
    let mut checks = vec![sums.check(names[0], &about)];

    let mut sums = SumCheck::default();
    for reason in Reason::of(Scope::Page) {
        // An older copy has the verdict of its newer one; of one URL's pages of which none took part in
        // the choice, the table lists one.
        if *reason != Reason::OlderCopy && reason.competes() {
            let code = reason.code();
            sums.equal(
                &format!("URLs with fate {code}, and pages in stats.json"),
                Some(of(Table::UrlVerdicts, code)),
                stats.tally(&["pages", "dropped", code]),
            );
        }
    }
    let kept = of(Table::UrlVerdicts, KEPT);
    let Some(rows) = rows else {
        let why = "not all shards could be read";
        checks.push(not_checked(names[1], why));
        return checks;
    };
    sums.equal("URLs with fate kept, and documents", Some(kept), Some(rows.rows));
    sums.equal(
        "sum of the keys of URLs with fate kept, and of documents",
        Some(found.url_keys),
        Some(rows.url_keys),
    );
    let about = format!("{} URLs kept are the documents", thousands(kept));
    checks.push(sums.check(names[1], &about));
    checks
}

/// Whether a reason's pages and lines are noted before older copies are known, which do not count.
fn judged_before_choice(reason: Reason) -> bool {
    Stage::Newest < reason.stage() && reason.stage() <= Stage::Rules
}

/// The most that may have been noted of older copies; nobody counts how many of them were.
fn older(stats: &StatsFile, unit: &str) -> u64 {
    let group = match unit {
        "pages" => "dropped",
        _ => "gone_with_page",
    };
    stats.tally(&[unit, group, Reason::OlderCopy.code()]).unwrap_or(0)
}

fn count(dir: &Path, entry: &LedgerEntry, file: &LedgerFile) -> LedgerCounts {
    let one = LedgerEntry {
        files: vec![file.clone()],
        ..entry.clone()
    };
    let mut counts = LedgerCounts::default();
    let read = match file.table {
        Table::Pages => tell::<DroppedPage>(dir, &one, &mut counts, |row, _| &row.reason),
        Table::Lines => tell::<DroppedLine>(dir, &one, &mut counts, |row, _| &row.reason),
        Table::Duplicates => tell::<Duplicate>(dir, &one, &mut counts, |row, _| &row.reason),
        Table::UrlVerdicts => tell::<UrlVerdict>(dir, &one, &mut counts, |row, url_keys| {
            if row.verdict == KEPT {
                *url_keys = url_keys.wrapping_add(row.url_key);
            }
            &row.verdict
        }),
    };
    let rows: u64 = counts.rows.values().sum();
    if let Err(e) = read {
        let what = format!("cannot be read: {e}");
        counts.wrong.push(Offence::of_file(&file.file, what));
    } else if rows != file.rows {
        let what = format!("has {rows} rows, the manifest says {}", file.rows);
        counts.wrong.push(Offence::of_file(&file.file, what));
    }
    counts
}

/// Counts the rows of a table by their code.
fn tell<R: LedgerRow>(
    dir: &Path,
    one: &LedgerEntry,
    counts: &mut LedgerCounts,
    code: impl for<'r> Fn(&'r R, &mut u64) -> &'r str,
) -> Result<(), c4_data::Error> {
    for row in LedgerReader::<R>::new(dir, one) {
        let row = row?;
        let code = code(&row, &mut counts.url_keys);
        match counts.rows.get_mut(&(R::TABLE, code.to_owned())) {
            Some(n) => *n += 1,
            None => {
                counts.rows.insert((R::TABLE, code.to_owned()), 1);
            }
        }
    }
    Ok(())
}
