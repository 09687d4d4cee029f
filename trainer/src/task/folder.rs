//! Where a task's files are below the folder that the user names, and which split each is of.

use super::card::TaskCard;
use super::{Task, TaskSplit};
use crate::Error;
use crate::rows::packed;
use crate::rows::source::{is_note, walk};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

/// The words that name a split in files and folders; the first that any file has is taken.
const WORDS: [(TaskSplit, &[&str]); 3] = [
    (TaskSplit::Train, &["train", "training"]),
    (TaskSplit::Validation, &["validation", "dev", "valid", "val"]),
    (TaskSplit::Test, &["test"]),
];

/// The files of a folder, by split.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub splits: BTreeMap<TaskSplit, Vec<PathBuf>>,
    /// Files of no split, and those that other files of their split were preferred to.
    pub left_out: Vec<PathBuf>,
}

/// The folders that may hold the task's files below `data`, those named by the task first, `data` itself last.
///
/// # Errors
/// `data` is not there, or cannot be read.
pub(super) fn candidates(task: &Task, data: &Path) -> Result<Vec<PathBuf>, Error> {
    let is = std::fs::metadata(data).map_err(|e| Error::io(data, e))?;
    if !is.is_dir() && !packed::is_archive(data) {
        return Ok(vec![data.to_owned()]);
    }
    let card = &task.card;
    let (group, short) = card.name.rsplit_once('/').unwrap_or(("", &card.name));
    // In this order: of `wsc` and `wsc.fixed` on the Hub, the card names the second.
    let configuration = card.rows.hub.as_ref().and_then(|hub| hub.configuration.as_deref());
    let own = configuration
        .into_iter()
        .chain([short])
        .chain(card.rows.folders.iter().map(String::as_str));
    let own: Vec<String> = own.map(plain).collect();
    let whole = plain(&card.name);
    let children = children(data)?;
    let named = |children: &[(String, PathBuf)], names: &[String]| -> Vec<PathBuf> {
        let all = names
            .iter()
            .flat_map(|name| children.iter().filter(move |(child, _)| child == name));
        all.map(|(_, path)| path.clone()).collect()
    };
    let mut found = named(&children, &[whole]);
    for group in named(&children, &[plain(group)]) {
        found.extend(named(&self::children(&group)?, &own));
    }
    found.extend(named(&children, &own));
    found.push(data.to_owned());
    Ok(found)
}

/// A name without case and punctuation.
fn plain(name: &str) -> String {
    let letters = name.chars().filter(|c| c.is_alphanumeric());
    letters.flat_map(char::to_lowercase).collect()
}

/// Folders, then archives in a folder, or folders in an archive, by their plain names.
fn children(folder: &Path) -> Result<Vec<(String, PathBuf)>, Error> {
    let mut found = BTreeSet::new();
    if folder.is_dir() {
        let fail = |e| Error::io(folder, e);
        for entry in std::fs::read_dir(folder).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            if !is_note(&path) && (path.is_dir() || packed::is_archive(&path)) {
                found.insert((!path.is_dir(), path));
            }
        }
    } else {
        for file in packed::files_below(folder)? {
            let mut below = file.strip_prefix(folder).unwrap_or(&file).components();
            if let (Some(first), Some(_)) = (below.next(), below.next()) {
                found.insert((false, folder.join(first)));
            }
        }
    }
    let named = found.into_iter().map(|(is_file, path)| {
        let name = if is_file { path.file_stem() } else { path.file_name() };
        (plain(&name.unwrap_or_default().to_string_lossy()), path)
    });
    Ok(named.collect())
}

/// All files of a folder, of an archive, or of a folder in one, sorted; of one file, that.
fn files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    if folder.is_dir() {
        walk(folder, &mut files)?;
        files.sort();
    } else if packed::on_disk(folder) != folder || packed::is_archive(folder) {
        files = packed::files_below(folder)?;
    } else {
        files.push(folder.to_owned());
    }
    Ok(files)
}

/// Refuses a folder with several folders of rows, none of which is named as the task: they are of other tasks.
fn refuse_several(card: &TaskCard, folder: &Path, files: &[PathBuf]) -> Result<(), Error> {
    let mut tops = BTreeSet::new();
    for file in files {
        let names: Vec<String> = names(folder, file).map(|(_, name)| name).collect();
        if let [top, rest @ ..] = &names[..] {
            let says_split = rest.iter().any(|name| first_word(name).is_some());
            if says_split && first_word(top).is_none() {
                tops.insert(top.clone());
            }
        }
    }
    if tops.len() < 2 {
        return Ok(());
    }
    let some: Vec<&str> = tops.iter().take(12).map(String::as_str).collect();
    let problem = format!(
        "holds several folders ({}), and none is named as {}: name the one with its rows",
        some.join(", "),
        card.name
    );
    Err(Error::format(folder, problem))
}

/// The files of a folder, by split: by the card's patterns, else by the words in names, those nearest to the folder.
///
/// # Errors
/// The folder cannot be read, or has several of other tasks; a pattern of the card is none.
pub(super) fn by_split(card: &TaskCard, folder: &Path) -> Result<Found, Error> {
    let files = files(folder)?;
    // GLUE's archives have the original files in a folder beside theirs.
    let direct = files
        .iter()
        .any(|file| names(folder, file).count() == 1 && says_split(card, folder, file));
    if !direct {
        refuse_several(card, folder, &files)?;
    }
    let mut found = Found::default();
    for split in TaskSplit::ALL {
        let patterns = card.rows.splits.get(&split).into_iter().flatten();
        let mut chosen = None;
        for pattern in patterns {
            let wrong = |e| {
                Error::Setting(format!(
                    "{}: rows.splits.{split}: `{pattern}` is no pattern: {e}",
                    card.name
                ))
            };
            let pattern = glob::Pattern::new(pattern).map_err(wrong)?;
            let matched = nearest(folder, &files, |name| pattern.matches(name));
            chosen = chosen.or(Some(matched).filter(|matched| !matched.is_empty()));
        }
        if let Some(chosen) = chosen {
            found.splits.insert(split, chosen);
        }
    }
    let claimed = |found: &Found, file: &PathBuf| found.splits.values().any(|files| files.contains(file));
    for (split, words) in WORDS {
        if found.splits.contains_key(&split) {
            continue;
        }
        let free: Vec<PathBuf> = files.iter().filter(|file| !claimed(&found, file)).cloned().collect();
        for word in words {
            let chosen = nearest(folder, &free, |name| first_word(name) == Some((split, *word)));
            if !chosen.is_empty() {
                found.splits.insert(split, bare(folder, chosen, word));
                break;
            }
        }
    }
    found.left_out = files.iter().filter(|file| !claimed(&found, file)).cloned().collect();
    // What no name says anything of is for training.
    if !found.splits.contains_key(&TaskSplit::Train) {
        let (train, others) = found.left_out.into_iter().partition(|file| {
            let mut names = names(folder, file);
            !names.any(|(_, name)| first_word(&name).is_some())
        });
        found.left_out = others;
        found.splits.insert(TaskSplit::Train, train);
    }
    found.splits.retain(|_, files| !files.is_empty());
    Ok(found)
}

/// Whether a file's name, or a folder's that it is in, says that it is of a split.
pub(super) fn says_split(card: &TaskCard, folder: &Path, file: &Path) -> bool {
    let patterns = card.rows.splits.values().flatten();
    let patterns: Vec<glob::Pattern> = patterns
        .filter_map(|pattern| glob::Pattern::new(pattern).ok())
        .collect();
    let mut names = names(folder, file);
    names.any(|(_, name)| first_word(&name).is_some() || patterns.iter().any(|pattern| pattern.matches(&name)))
}

/// The names of the folders and of the file itself on the way from `folder`, each with the folder that it is in.
fn names(folder: &Path, file: &Path) -> impl Iterator<Item = (PathBuf, String)> {
    let below = match file == folder {
        true => file.file_name().map(Path::new).unwrap_or(file),
        false => file.strip_prefix(folder).unwrap_or(file),
    };
    let mut parent = PathBuf::new();
    let mut names = Vec::new();
    for part in below.components() {
        if let Component::Normal(name) = part {
            names.push((parent.clone(), name.to_string_lossy().into_owned()));
            parent.push(name);
        }
    }
    names.into_iter()
}

/// The files of which a name fits, their own or a folder's: those of the one folder that is nearest.
fn nearest(folder: &Path, files: &[PathBuf], fits: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut by_parent: BTreeMap<(usize, PathBuf), Vec<PathBuf>> = BTreeMap::new();
    for file in files {
        let fitting = names(folder, file).find(|(_, name)| fits(name));
        if let Some((parent, _)) = fitting {
            let depth = parent.components().count();
            by_parent.entry((depth, parent)).or_default().push(file.clone());
        }
    }
    by_parent.into_values().next().unwrap_or_default()
}

/// Of the files of a split, those named by its word alone, as `train.tsv`, `train-00000-of-00001.parquet` or a folder
/// `train`; all, where none is.
fn bare(folder: &Path, files: Vec<PathBuf>, word: &str) -> Vec<PathBuf> {
    let is_bare = |file: &PathBuf| {
        names(folder, file).any(|(_, name)| {
            let stem = name.split('.').next().unwrap_or_default().to_lowercase();
            let mut words = stem
                .split(|c: char| !c.is_ascii_alphabetic())
                .filter(|part| !part.is_empty());
            words.next() == Some(word) && words.all(|part| part == "of")
        })
    };
    match files.iter().any(is_bare) {
        true => files.into_iter().filter(is_bare).collect(),
        false => files,
    }
}

/// The first word of a name that names a split.
fn first_word(name: &str) -> Option<(TaskSplit, &'static str)> {
    let name = name.to_lowercase();
    let mut words = name.split(|c: char| !c.is_ascii_alphabetic());
    words.find_map(|word| {
        WORDS.iter().find_map(|(split, names)| {
            let name = names.iter().find(|name| **name == word)?;
            Some((*split, *name))
        })
    })
}
