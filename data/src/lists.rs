//! The lists that a recipe names: words, domains, URLs.

use crate::{Error, Recipe, WordList, atomic_file};
use flate2::read::MultiGzDecoder;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The loaded lists of a recipe.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lists {
    /// The bad words, by the language code under which the recipe names them.
    pub words: BTreeMap<String, WordList>,
    /// The domains whose pages are kept, if the recipe has that step.
    pub domains: Option<DomainList>,
    /// The URLs whose pages are kept, if the recipe has that step.
    pub urls: Option<UrlList>,
}

/// A list of domains to keep, whole or by subdomain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainList {
    /// For each domain, its subdomains whose pages are kept; `None` for the whole domain.
    pub domains: Arc<BTreeMap<String, Option<Vec<String>>>>,
    /// The SHA-256 of the list as JSON: domains sorted, `null` for a whole one.
    pub sha256: String,
}

/// The limit for a list of domains in bytes, unpacked; a million domains have about as many.
const MAX_DOMAINS_BYTES: u64 = 16 << 20;
/// The limit for a list of URLs in lines; that of OpenWebText has 23 million.
const MAX_URLS: u64 = 1 << 28;
/// The limit for a line of a list of URLs, in bytes.
const MAX_URL_BYTES: u64 = 1 << 20;

/// A list of URLs to keep, one a line. Its content is left on disk, since it may be larger than memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlList {
    /// The files of the list, in order.
    pub files: Vec<PathBuf>,
    /// The number of lines in all files.
    pub lines: u64,
    /// The SHA-256 of the lines, each ended by `\n`, in order.
    pub sha256: String,
}

impl Lists {
    /// Loads the lists that `recipe` names; files are looked up from `base`, the recipe's folder.
    ///
    /// # Errors
    /// The recipe does not name a list that a step needs, or a file is missing, empty, or no list.
    pub fn load(recipe: &Recipe, base: &Path) -> Result<Lists, Error> {
        let fail = |reason: String| Error::Recipe {
            name: recipe.name.clone(),
            reason,
        };
        let mut lists = Lists::default();
        let words = recipe.bad_words.iter().flat_map(|step| &step.lists);
        for (language, source) in words {
            let list = match WordList::builtin(source) {
                Some(list) => list?,
                None => {
                    let path = base.join(source);
                    let text = std::fs::read_to_string(&path).map_err(|e| {
                        let names: Vec<String> = WordList::builtin_names().collect();
                        fail(format!(
                            "bad_words.lists.{language} = \"{source}\" is neither a list of this \
                             program ({}) nor a file: {}: {e}",
                            names.join(", "),
                            path.display()
                        ))
                    })?;
                    WordList::from_text(&text)
                }
            };
            if list.words.is_empty() {
                let reason = format!("bad_words.lists.{language}: the list {source} is empty");
                return Err(fail(reason));
            }
            lists.words.insert(language.clone(), list);
        }
        if let Some(step) = &recipe.domains {
            let Some(file) = &step.file else {
                let reason = "it keeps pages of some domains; say which, by --domains FILE (JSON, or \
                              one domain a line) or the key domains.file";
                return Err(fail(reason.into()));
            };
            lists.domains = Some(DomainList::read(&base.join(file))?);
        }
        if let Some(step) = &recipe.urls {
            if step.files.is_empty() {
                let reason = "it keeps pages of listed URLs; say which, by --urls FILE (one URL a \
                              line) or the key urls.files";
                return Err(fail(reason.into()));
            }
            let files = step.files.iter().map(|file| base.join(file));
            lists.urls = Some(UrlList::read(files.collect())?);
        }
        Ok(lists)
    }

    /// The part of the recipe's hash that its lists decide: their checksums.
    pub(crate) fn digest(&self) -> String {
        let mut text = String::new();
        for (language, list) in &self.words {
            text += &format!("\n{language} {}", list.sha256);
        }
        // No language is called so.
        if let Some(list) = &self.domains {
            text += &format!("\n[domains] {}", list.sha256);
        }
        if let Some(list) = &self.urls {
            text += &format!("\n[urls] {}", list.sha256);
        }
        text
    }
}

impl DomainList {
    /// Reads a list of domains ([`from_text`](Self::from_text)) from a file, plain or compressed (gzip, zstd).
    ///
    /// # Errors
    /// The file cannot be read, or is no such list.
    pub fn read(path: &Path) -> Result<DomainList, Error> {
        let mut bytes = Vec::new();
        let mut file = open(path)?.take(MAX_DOMAINS_BYTES + 1);
        file.read_to_end(&mut bytes).map_err(Error::io(path, "read"))?;
        let wrong = |reason| Error::Format {
            path: path.to_owned(),
            reason,
        };
        if bytes.len() as u64 > MAX_DOMAINS_BYTES {
            return Err(wrong(format!(
                "has more than {} MiB, unpacked; a list of domains may have no more",
                MAX_DOMAINS_BYTES >> 20
            )));
        }
        let text = String::from_utf8(bytes).map_err(|_| wrong("is not UTF-8".to_owned()))?;
        Self::from_text(&text).map_err(wrong)
    }

    /// Parses a list of domains. In JSON it is an object of domains: a list keeps these subdomains (`""` is the domain
    /// itself), any other value the whole domain. In plain text it is one domain a line.
    ///
    /// # Errors
    /// A sentence about what is wrong with the text.
    pub fn from_text(text: &str) -> Result<DomainList, String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut domains = BTreeMap::new();
        if text.trim_start().starts_with('{') {
            let object: BTreeMap<String, Value> =
                serde_json::from_str(text).map_err(|e| format!("is no JSON object of domains: {e}"))?;
            for (domain, value) in object {
                let subdomains = match value {
                    Value::Array(list) => Some(
                        serde_json::from_value::<Vec<String>>(Value::Array(list))
                            .map_err(|e| format!("{domain}: no list of subdomains: {e}"))?,
                    ),
                    Value::Bool(false) | Value::Object(_) => {
                        let reason = "wants true, or a list of subdomains; leave out a domain that is \
                                      not to be kept";
                        return Err(format!("{domain}: {reason}"));
                    }
                    _ => None,
                };
                domains.insert(domain, subdomains);
            }
        } else {
            let lines = (1..).zip(text.lines().map(str::trim));
            for (number, line) in lines.filter(|(_, line)| !line.is_empty()) {
                let line = line.to_lowercase();
                let no_part = |part: &str| {
                    part.is_empty() || part.contains(|c: char| !c.is_alphanumeric() && c != '-' && c != '_')
                };
                // A part that is empty or has another character is in no host, so it would never match; some end with a
                // dot.
                if line.strip_suffix('.').unwrap_or(&line).split('.').any(no_part) {
                    return Err(format!(
                        "line {number}: `{line}` is no domain; wants one a line, or JSON"
                    ));
                }
                domains.insert(line, None);
            }
        }
        if domains.is_empty() {
            return Err("holds no domain".into());
        }
        let json = serde_json::to_string(&domains).map_err(|e| e.to_string())?;
        Ok(DomainList {
            domains: Arc::new(domains),
            sha256: atomic_file::sha256_hex(json.as_bytes()),
        })
    }
}

impl UrlList {
    /// Opens the list of URLs in `files`, plain or compressed (gzip, zstd), and reads it once for its checksum.
    ///
    /// # Errors
    /// A file cannot be read or is not UTF-8, or there is no URL at all.
    pub fn read(files: Vec<PathBuf>) -> Result<UrlList, Error> {
        let mut some = false;
        let (lines, sha256) = digest(&files, |line| some |= !line.trim().is_empty())?;
        if !some {
            return Err(Error::Format {
                path: files.into_iter().next().unwrap_or_default(),
                reason: "holds no URL; wants one a line".into(),
            });
        }
        Ok(UrlList { files, lines, sha256 })
    }

    /// Shows every line of the list to `each`, in order. A line ends with `\n` or `\r\n`; nothing else (but a byte
    /// order mark) is taken off it, and an empty line counts, as in the reference.
    ///
    /// # Errors
    /// A file cannot be read, or has changed since [`read`](Self::read).
    pub fn each(&self, each: impl FnMut(&str)) -> Result<(), Error> {
        let (_, sha256) = digest(&self.files, each)?;
        if sha256 == self.sha256 {
            return Ok(());
        }
        Err(Error::Format {
            path: self.files.first().cloned().unwrap_or_default(),
            reason: "the list of URLs changed while it was read; run again".into(),
        })
    }
}

/// The number and the SHA-256 of the lines of `files`, each of which is shown to `each`.
fn digest(files: &[PathBuf], mut each: impl FnMut(&str)) -> Result<(u64, String), Error> {
    let mut hasher = Sha256::new();
    let mut lines = 0;
    for path in files {
        let mut file = open(path)?;
        let mut line = Vec::new();
        let too_much = |what: String| Error::Format {
            path: path.clone(),
            reason: format!("{what}; a list of URLs, one a line, may have no more"),
        };
        for number in 1_u64.. {
            line.clear();
            let mut next = (&mut file).take(MAX_URL_BYTES + 1);
            let read = next.read_until(b'\n', &mut line);
            if read.map_err(Error::io(path, "read"))? == 0 {
                break;
            }
            if line.len() as u64 > MAX_URL_BYTES {
                let what = format!("line {number} has more than {} MiB", MAX_URL_BYTES >> 20);
                return Err(too_much(what));
            }
            if lines == MAX_URLS {
                return Err(too_much(format!("has more than {MAX_URLS} lines")));
            }
            if line.ends_with(b"\n") {
                line.pop();
                if line.ends_with(b"\r") {
                    line.pop();
                }
            }
            if number == 1 && line.starts_with("\u{feff}".as_bytes()) {
                line.drain(..3);
            }
            let url = std::str::from_utf8(&line).map_err(|_| Error::Format {
                path: path.clone(),
                reason: format!("line {number} is not UTF-8"),
            })?;
            hasher.update(url);
            hasher.update(b"\n");
            lines += 1;
            each(url);
        }
    }
    Ok((lines, atomic_file::hex(&hasher.finalize())))
}

/// Opens a text file, plain or compressed; its first bytes decide.
fn open(path: &Path) -> Result<Box<dyn BufRead>, Error> {
    let fail = || Error::io(path, "open");
    let mut file = BufReader::new(File::open(path).map_err(fail())?);
    let filled = crate::atomic_file::uninterrupted(|| file.fill_buf().map(|_| ()));
    let start = filled.and_then(|()| file.fill_buf());
    let start = start.map_err(Error::io(path, "read"))?;
    if start.starts_with(&[0x1f, 0x8b]) {
        return Ok(Box::new(BufReader::new(MultiGzDecoder::new(file))));
    }
    if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let decoder = zstd::Decoder::with_buffer(file).map_err(fail())?;
        return Ok(Box::new(BufReader::new(decoder)));
    }
    for (mark, kind) in [(&b"BZh"[..], "bzip2"), (b"\xfd7zXZ", "xz"), (b"PK\x03\x04", "zip")] {
        if start.starts_with(mark) {
            return Err(Error::Format {
                path: path.to_owned(),
                reason: format!("is {kind}; unpack it, or compress it with gzip or zstd"),
            });
        }
    }
    Ok(Box::new(file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;

    #[test]
    fn domains_come_as_json_or_as_text() {
        let json = DomainList::from_text(r#"{"b.org": true, "a.com": ["", "news"], "c.net": 1}"#);
        let json = json.unwrap();
        assert_eq!(json.domains["a.com"], Some(vec!["".into(), "news".into()]));
        assert_eq!((&json.domains["b.org"], &json.domains["c.net"]), (&None, &None));
        let text = DomainList::from_text("c.net\r\n\n b.org\n").unwrap();
        assert_eq!(text.domains.len(), 2);
        let same = DomainList::from_text(r#"{"b.org": null, "c.net": true}"#).unwrap();
        assert_eq!(text, same, "the same list, whatever its form");
        let marked = DomainList::from_text("\u{feff}C.net\nb.org").unwrap();
        assert_eq!(text, marked);
        for (text, word) in [
            ("", "no domain"),
            ("{}", "no domain"),
            ("{\"a.com\"}", "JSON"),
            (r#"{"a.com": [1]}"#, "a.com"),
            (r#"{"a.com": false}"#, "leave out"),
            ("a.com, b.com", "a.com, b.com"),
            ("http://a.com/", "no domain"),
            ("*.a.com", "line 1"),
            ("b.com\n.a.com", "line 2"),
            ("a.com:443", "no domain"),
        ] {
            let error = DomainList::from_text(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn urls_are_read_from_several_files_in_any_packing() {
        let dir = tempfile::tempdir().unwrap();
        let text = "http://a.com/\r\n\nhttp://b.org/é";
        let plain = dir.path().join("plain.txt");
        std::fs::write(&plain, text).unwrap();
        let gzip = dir.path().join("packed");
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        packed.write_all(text.as_bytes()).unwrap();
        std::fs::write(&gzip, packed.finish().unwrap()).unwrap();
        let zstd = dir.path().join("packed.zst");
        std::fs::write(&zstd, zstd::encode_all(text.as_bytes(), 1).unwrap()).unwrap();
        let mut sums = Vec::new();
        for path in [&plain, &gzip, &zstd] {
            let list = UrlList::read(vec![path.clone()]).unwrap();
            let mut lines = Vec::new();
            list.each(|line| lines.push(line.to_owned())).unwrap();
            assert_eq!(lines, ["http://a.com/", "", "http://b.org/é"]);
            sums.push(list.sha256);
        }
        sums.dedup();
        assert_eq!(sums.len(), 1);
        let both = UrlList::read(vec![plain.clone(), gzip]).unwrap();
        assert_eq!(both.lines, 6);
        std::fs::write(&plain, "http://c.com/\n").unwrap();
        let error = both.each(|_| {}).unwrap_err().to_string();
        assert!(error.contains("changed"), "{error}");
        for (bytes, word) in [
            (&b""[..], "no URL"),
            (b"\n \n", "no URL"),
            (b"BZh91AY", "bzip2"),
            (b"http://a.com/\n\xff\n", "line 2"),
        ] {
            std::fs::write(&plain, bytes).unwrap();
            let error = UrlList::read(vec![plain.clone()]).unwrap_err().to_string();
            assert!(error.contains(word) && error.contains("plain.txt"), "{error}");
        }
    }
}
