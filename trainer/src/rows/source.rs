//! What the user names as a corpus, and the files that are meant by it.

use crate::Error;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The column that holds the text of a document, unless another is named.
pub const TEXT: &str = "text";

/// A corpus to read: a folder that `c4 build` wrote, or any files with rows of text.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// A folder, a file, or a pattern with `*`, `?` or `[…]`: a corpus of `c4 build`, or JSON lines, JSON (gzip and
    /// zstd, too), Parquet, Arrow files and streams, plain text. The content of a file tells which it is.
    ///
    /// Source: ours.
    pub path: PathBuf,
    /// How often an example is from this corpus, relative to the others; left out everywhere, corpora count by their
    /// bytes of text.
    ///
    /// Unit: any, the same for all corpora. Source: mixing by size, seqio's rates (paper, section 3.5.2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
    /// Examples that the corpus counts as having where `mixing` goes by examples, in place of its documents.
    ///
    /// Unit: examples. Source: the artificial sizes of C4 in the paper's final models (section 3.7).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub examples: Option<u64>,
    /// The one language that is read of a corpus with shards by language; left out, all, each by its bytes of text.
    ///
    /// Source: ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// The column that holds the text, in files that `c4` did not write; left out, `text`.
    ///
    /// Source: the published C4.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub column: Option<String>,
    /// What a document is in files of plain text: a `line` (left out, it is this), or the whole `file`.
    ///
    /// Source: ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<TextDocument>,
}

/// What a document is in a file of plain text.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema, clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
pub enum TextDocument {
    /// Each line is a document.
    #[default]
    Line,
    /// Each file is a document.
    File,
}

impl Source {
    /// The corpus at a path, with nothing else said.
    pub fn at(path: impl Into<PathBuf>) -> Source {
        Source {
            path: path.into(),
            ..Source::default()
        }
    }

    /// The corpus of an argument: `PATH`, `PATH=WEIGHT`, `PATH:LANGUAGE`, `PATH:LANGUAGE=WEIGHT`. A path with such
    /// signs in it is taken as it is, if it is there.
    ///
    /// # Errors
    /// A weight that is not a number above 0.
    pub fn parse(text: &str) -> Result<Source, String> {
        if Path::new(text).exists() {
            return Ok(Source::at(text));
        }
        let (rest, weight) = match text.rsplit_once('=') {
            Some((rest, weight)) => {
                let number: f64 = weight
                    .parse()
                    .map_err(|_| format!("`{weight}` is not a weight: give a number above 0"))?;
                if !(number > 0.0 && number.is_finite()) {
                    return Err(format!("the weight is {number}, and must be above 0"));
                }
                (rest, Some(number))
            }
            None => (text, None),
        };
        let (path, language) = match rest.rsplit_once(':') {
            Some((path, language)) if !Path::new(rest).exists() => (path, Some(language.to_owned())),
            _ => (rest, None),
        };
        Ok(Source {
            weight,
            language,
            ..Source::at(path)
        })
    }

    /// The source with an absolute path, so that a run finds its corpora from any folder.
    pub fn absolute(self) -> Source {
        let found = std::fs::canonicalize(&self.path).or_else(|_| std::path::absolute(&self.path));
        match found {
            Ok(path) => Source { path, ..self },
            // The corpus is opened next, and the error says it.
            Err(_) => self,
        }
    }

    /// The column that holds the text.
    pub(super) fn text_column(&self) -> &str {
        self.column.as_deref().unwrap_or(TEXT)
    }
}

/// Names of files that Hugging Face `datasets` writes beside the rows.
const NOTES: [&str; 4] = [
    "dataset_info.json",
    "dataset_infos.json",
    "dataset_dict.json",
    "state.json",
];

/// The files of a source that are no corpus of `c4 build`, in the order of their paths, and whether each was named by
/// itself: in a folder, only names and contents tell what is data.
///
/// # Errors
/// Nothing is there, a folder that cannot be read, a pattern that is none.
pub(super) fn files(source: &Path) -> Result<(Vec<PathBuf>, bool), Error> {
    if source.is_dir() {
        let mut found = Vec::new();
        walk(source, &mut found)?;
        found.sort();
        return Ok((found, false));
    }
    if source.exists() {
        return Ok((vec![source.to_owned()], true));
    }
    let pattern = source.to_string_lossy();
    if !pattern.contains(['*', '?', '[']) {
        let problem = "is not there: name a folder that `c4 build` wrote, or files of JSON, Parquet, Arrow or text; where a run's \
                       corpus was moved to, --corpus PATH says";
        return Err(Error::format(source, problem));
    }
    let wrong = |e: glob::PatternError| Error::format(source, format!("is not a pattern: {e}"));
    let mut found = Vec::new();
    for path in glob::glob(&pattern).map_err(wrong)? {
        let path = path.map_err(|e| {
            let at = e.path().to_owned();
            Error::io(&at, e.into_error())
        })?;
        match path.is_dir() {
            _ if is_note(&path) => {}
            true => walk(&path, &mut found)?,
            false => found.push(path),
        }
    }
    if found.is_empty() {
        return Err(Error::format(source, "no file has a name of this pattern"));
    }
    found.sort();
    Ok((found, false))
}

/// Whether a file is hidden, or a note of `datasets`.
pub(crate) fn is_note(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.starts_with(['.', '_']) || NOTES.contains(&&*name)
}

/// All files below a folder that are not notes.
pub(crate) fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> Result<(), Error> {
    let fail = |e| Error::io(folder, e);
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        match path.is_dir() {
            _ if is_note(&path) => {}
            true => walk(&path, found)?,
            // Whoever opens a pipe waits for somebody to write.
            false if path.is_file() => found.push(path),
            false => {}
        }
    }
    Ok(())
}

/// What a file's name says of its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NamedSplit {
    /// Nothing: they are for training.
    Train,
    /// They are for validation.
    Validation,
    /// They are a test set, which nobody trains on or validates with.
    Test,
}

/// The split that the name of a file or of a folder below `base` says, as the Hub's data sets have it: a word
/// `validation`, `valid`, `val`, `dev`, or `test`.
pub(super) fn named_split(base: &Path, file: &Path) -> NamedSplit {
    let below = file
        .strip_prefix(base)
        .unwrap_or(file.file_name().map_or(file, Path::new));
    let below = below.to_string_lossy().to_lowercase();
    let words = below.split(|c: char| !c.is_ascii_alphabetic());
    for word in words {
        match word {
            "validation" | "valid" | "val" | "dev" => return NamedSplit::Validation,
            "test" => return NamedSplit::Test,
            "train" | "training" => return NamedSplit::Train,
            _ => {}
        }
    }
    NamedSplit::Train
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_have_weights_and_languages() {
        let source = |path: &str, weight, language: Option<&str>| Source {
            weight,
            language: language.map(str::to_owned),
            ..Source::at(path)
        };
        for (text, want) in [
            ("a/b", source("a/b", None, None)),
            ("a/b=10", source("a/b", Some(10.0), None)),
            ("a/b:de=0.5", source("a/b", Some(0.5), Some("de"))),
            ("a/b:de", source("a/b", None, Some("de"))),
        ] {
            assert_eq!(Source::parse(text), Ok(want));
        }
        for text in ["a=x", "a=0", "a=-1", "a=inf"] {
            assert!(Source::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_say_the_split() {
        for (name, split) in [
            ("c4-train.00000-of-01024.json.gz", NamedSplit::Train),
            ("c4-validation.00000-of-00008.json.gz", NamedSplit::Validation),
            ("validation/data-00000-of-00001.arrow", NamedSplit::Validation),
            ("dev.jsonl", NamedSplit::Validation),
            ("test-00000-of-00001.parquet", NamedSplit::Test),
            ("train/latest.txt", NamedSplit::Train),
            ("developers.txt", NamedSplit::Train),
            ("books.txt", NamedSplit::Train),
        ] {
            assert_eq!(
                named_split(Path::new("/x/dev"), &Path::new("/x/dev").join(name)),
                split,
                "{name}"
            );
        }
    }
}
