//! The files of a task on the Hugging Face Hub: which there are, and how they come here.
//!
//! The Hub's interface: `GET /api/datasets/REPOSITORY/tree/REVISION/FOLDER?recursive=true` lists files with their
//! checksums, in pages by `Link`; `GET /datasets/REPOSITORY/resolve/REVISION/PATH` is a file, by redirects.

use super::Task;
use crate::Error;
use reqwest::header::{ACCEPT_ENCODING, LINK, RANGE, RETRY_AFTER};
use reqwest::{Client, Response, StatusCode, Url};
use serde::Deserialize;
use sha1::{Digest, Sha1};
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, Read, Write};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;
use tokio::runtime::Runtime;
use tokio::time::sleep;

/// The Hub's own address.
const ENDPOINT: &str = "https://huggingface.co";
/// The branch on which the Hub keeps Parquet files of data sets that have none themselves.
const CONVERTED: &str = "refs/convert/parquet";
/// How often a request is made before its error counts.
const ATTEMPTS: u32 = 5;
/// The wait before the second attempt; each further one is twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// The longest wait that a server may ask for.
const LONGEST_WAIT: Duration = Duration::from_secs(120);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);
/// How long no byte may come.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// The limit for a list of files, in bytes.
const LONGEST_LIST: usize = 64 << 20;

/// The Hub, or another server that speaks like it.
pub(crate) struct HubClient {
    endpoint: String,
    token: Option<String>,
    client: Client,
    runtime: Runtime,
}

/// A file on the Hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HubFile {
    /// Where it belongs below the task's folder.
    pub path: PathBuf,
    pub bytes: u64,
    url: String,
    checksum: Checksum,
}

/// What the Hub states of a file's content.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Checksum {
    /// Of large files, which Git keeps elsewhere.
    Sha256(String),
    /// Of files in Git: the SHA-1 of `blob BYTES`, a zero byte, and the content.
    GitBlob(String),
}

/// An entry of the Hub's list.
#[derive(Deserialize)]
struct Entry {
    r#type: String,
    path: String,
    oid: String,
    size: u64,
    lfs: Option<Lfs>,
}

#[derive(Deserialize)]
struct Lfs {
    oid: String,
}

/// Why a request failed, and whether another may not.
enum Failure {
    Final(String),
    Passing { problem: String, wait: Option<Duration> },
}

impl HubClient {
    /// The Hub of `HF_ENDPOINT`, or its own; `HF_TOKEN` says who asks.
    ///
    /// # Errors
    /// The client cannot be made.
    pub fn of_environment() -> Result<HubClient, Error> {
        let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| ENDPOINT.to_owned());
        // Only the first provider of a process counts; there is no other here.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder()
            .user_agent(concat!("t5/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .build();
        let failed = |problem: String| Error::Setting(format!("no connection can be made: {problem}"));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Ok(HubClient {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            token: variable("HF_TOKEN"),
            client: client.map_err(|e| failed(chain(&e)))?,
            runtime: runtime.map_err(|e| failed(e.to_string()))?,
        })
    }

    /// The files of rows of a task, in the order of their names: those in the folder of its configuration, or those
    /// that the Hub has made of them.
    ///
    /// # Errors
    /// The card names no data set; it is not there, or has no files of rows.
    pub fn files(&self, task: &Task) -> Result<Vec<HubFile>, Error> {
        let card = &task.card;
        let Some(hub) = &card.rows.hub else {
            return Err(Error::Setting(format!(
                "the card of {} names no data set: say `hub = {{ repository = \"OWNER/NAME\" }}` under [rows]",
                card.name
            )));
        };
        let folder = hub.configuration.as_deref().unwrap_or_default();
        let mut problem = None;
        for revision in ["main", CONVERTED] {
            match self.list(&hub.repository, revision, folder) {
                Ok(files) if !files.is_empty() => return Ok(files),
                Ok(_) => {}
                Err(error) => problem = problem.or(Some(error)),
            }
        }
        Err(problem.unwrap_or_else(|| {
            let problem = format!("{} has no Parquet, JSON or CSV files below `{folder}`", hub.repository);
            Error::Setting(format!(
                "{}: {problem}; fetch the rows of {} by hand",
                self.endpoint, card.name
            ))
        }))
    }

    fn list(&self, repository: &str, revision: &str, folder: &str) -> Result<Vec<HubFile>, Error> {
        let revision = revision.replace('/', "%2F");
        let mut url = format!(
            "{}/api/datasets/{repository}/tree/{revision}/{folder}?recursive=true",
            self.endpoint
        );
        let mut entries: Vec<Entry> = Vec::new();
        let mut seen = BTreeSet::new();
        loop {
            if !seen.insert(url.clone()) {
                return Err(Error::Setting(format!("{url}: the list of files leads back to itself")));
            }
            let (next, text) = self.runtime.block_on(self.page(&url)).map_err(Error::Setting)?;
            let page: Vec<Entry> = serde_json::from_slice(&text)
                .map_err(|e| Error::Setting(format!("{url}: the answer is no list of files: {e}")))?;
            entries.extend(page);
            match next {
                Some(next) => url = next,
                None => break,
            }
        }
        entries.retain(|entry| entry.r#type == "file");
        // One form of the rows is enough; Parquet is the smallest.
        let all = |ends: &[&str]| -> Vec<&Entry> {
            let found = entries
                .iter()
                .filter(|entry| ends.iter().any(|end| entry.path.ends_with(end)));
            found.collect()
        };
        let forms: [&[&str]; 3] = [
            &[".parquet"],
            &[".jsonl", ".jsonl.gz", ".json", ".json.gz", ".jsonl.zst"],
            &[".csv", ".tsv"],
        ];
        let chosen = forms.iter().map(|ends| all(ends)).find(|found| !found.is_empty());
        let file = |entry: &Entry| {
            let below = Path::new(&entry.path);
            let below = below.strip_prefix(folder).unwrap_or(below);
            // The server says it, and nothing is to be written elsewhere.
            if !below.components().all(|part| matches!(part, Component::Normal(_))) {
                return Err(Error::Setting(format!("{url}: `{}` is no path of a file", entry.path)));
            }
            let path = entry.path.split('/').map(escaped).collect::<Vec<_>>().join("/");
            Ok(HubFile {
                path: below.to_owned(),
                bytes: entry.size,
                url: format!("{}/datasets/{repository}/resolve/{revision}/{path}", self.endpoint),
                checksum: match &entry.lfs {
                    Some(lfs) => Checksum::Sha256(lfs.oid.trim_start_matches("sha256:").to_owned()),
                    None => Checksum::GitBlob(entry.oid.clone()),
                },
            })
        };
        let mut files: Vec<HubFile> = chosen
            .unwrap_or_default()
            .into_iter()
            .map(file)
            .collect::<Result<_, _>>()?;
        files.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(files)
    }

    /// A page of a list, and the address of the next.
    async fn page(&self, url: &str) -> Result<(Option<String>, Vec<u8>), String> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let failure = match self.get(url, 0).await {
                Err(failure) => failure,
                Ok(mut response) => {
                    let next = next_page(&response);
                    let mut text = Vec::new();
                    loop {
                        match response.chunk().await {
                            Ok(Some(bytes)) if text.len() + bytes.len() <= LONGEST_LIST => text.extend(&bytes),
                            Ok(Some(_)) => {
                                return Err(format!("{url}: the list of files has more than {LONGEST_LIST} bytes"));
                            }
                            Ok(None) => return Ok((next, text)),
                            Err(e) => break passing(&e),
                        }
                    }
                }
            };
            pause(url, attempt, failure).await?;
        }
    }

    /// Fetches a file into a folder; gives whether it was not there already. What has come of it is kept, beside, under
    /// a name with a dot, and fetched no second time.
    ///
    /// # Errors
    /// The server's answer, after some attempts; another checksum than the Hub states; the file cannot be written.
    pub fn fetch(&self, file: &HubFile, folder: &Path) -> Result<bool, Error> {
        let path = folder.join(&file.path);
        if path.is_file() && file.is_content(&path)? {
            return Ok(false);
        }
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(|e| Error::io(parent, e))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        // By the checksum: a part of another version is not gone on with.
        let start: String = file.checksum.text().chars().take(12).collect();
        let part = parent.join(format!(".{name}.{start}.part"));
        for last in [false, true] {
            self.runtime.block_on(self.download(file, &part))?;
            if file.is_content(&part)? {
                c4_data::atomic_file::rename(&part, &path).map_err(|e| Error::io(&path, e))?;
                return Ok(true);
            }
            fs::remove_file(&part).map_err(|e| Error::io(&part, e))?;
            if last {
                let problem = format!(
                    "{}: what was fetched has another checksum than the Hub states",
                    file.url
                );
                return Err(Error::format(&path, problem));
            }
        }
        Ok(true)
    }

    async fn download(&self, file: &HubFile, part: &Path) -> Result<(), Error> {
        let fail = |e| Error::io(part, e);
        let (mut attempt, mut most) = (0, 0);
        loop {
            let mut out = OpenOptions::new().create(true).append(true).open(part).map_err(fail)?;
            let mut there = out.metadata().map_err(fail)?.len();
            if there == file.bytes {
                return out.sync_all().map_err(fail);
            }
            if there > file.bytes {
                out.set_len(0).map_err(fail)?;
                there = 0;
            }
            attempt += 1;
            let failure = match self.get(&file.url, there).await {
                Err(failure) => failure,
                Ok(mut response) => {
                    if there > 0 && response.status() != StatusCode::PARTIAL_CONTENT {
                        out.set_len(0).map_err(fail)?;
                        there = 0;
                    }
                    loop {
                        match response.chunk().await {
                            Ok(Some(bytes)) => {
                                out.write_all(&bytes).map_err(fail)?;
                                there += bytes.len() as u64;
                                // Whoever moves on has all attempts again; who begins anew does not.
                                if there > most {
                                    (attempt, most) = (1, there);
                                }
                            }
                            Ok(None) if there == file.bytes => return out.sync_all().map_err(fail),
                            Ok(None) => {
                                let problem = format!("{there} of {} bytes came", file.bytes);
                                break Failure::Passing { problem, wait: None };
                            }
                            Err(e) => break passing(&e),
                        }
                        if there > file.bytes {
                            break Failure::Final(format!("more bytes come than the {} of the list", file.bytes));
                        }
                    }
                }
            };
            pause(&file.url, attempt, failure).await.map_err(Error::Setting)?;
        }
    }

    /// An answer that is a success, from byte `from` on.
    async fn get(&self, url: &str, from: u64) -> Result<Response, Failure> {
        let mut request = self.client.get(url).header(ACCEPT_ENCODING, "identity");
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if from > 0 {
            request = request.header(RANGE, format!("bytes={from}-"));
        }
        let response = request
            .send()
            .await
            .map_err(|e| match e.is_builder() || e.is_redirect() {
                true => Failure::Final(chain(&e)),
                false => passing(&e),
            })?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let wait = response
            .headers()
            .get(RETRY_AFTER)
            .and_then(|wait| wait.to_str().ok()?.parse().ok());
        let wait = wait.map(|seconds| Duration::from_secs(seconds).min(LONGEST_WAIT));
        let problem = format!("the server says {status}");
        Err(match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Failure::Final(format!(
                "{problem}: the data set is not open to you; set HF_TOKEN to a token that may read it"
            )),
            StatusCode::NOT_FOUND => Failure::Final(format!("{problem}: there is no such data set or file")),
            _ if status.is_server_error()
                || status == StatusCode::TOO_MANY_REQUESTS
                || status == StatusCode::REQUEST_TIMEOUT =>
            {
                Failure::Passing { problem, wait }
            }
            _ => Failure::Final(problem),
        })
    }
}

/// Waits before the next attempt.
async fn pause(url: &str, attempt: u32, failure: Failure) -> Result<(), String> {
    match failure {
        Failure::Final(problem) => Err(format!("{url}: {problem}")),
        Failure::Passing { problem, .. } if attempt >= ATTEMPTS => Err(format!(
            "{url}: {problem}; tried {ATTEMPTS} times: the same command goes on where this has ended"
        )),
        Failure::Passing { wait, .. } => {
            sleep(wait.unwrap_or(FIRST_WAIT * 2_u32.pow(attempt.saturating_sub(1)))).await;
            Ok(())
        }
    }
}

fn passing(error: &reqwest::Error) -> Failure {
    Failure::Passing {
        problem: chain(error),
        wait: None,
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// The address of `Link: <…>; rel="next"`.
fn next_page(response: &Response) -> Option<String> {
    let links = response.headers().get(LINK)?.to_str().ok()?;
    let next = links.split(',').find(|link| link.contains("rel=\"next\""))?;
    let (address, _) = next.trim().strip_prefix('<')?.split_once('>')?;
    // It may be relative.
    let address: Url = response.url().join(address).ok()?;
    Some(address.to_string())
}

/// A part of a path as it is written in an address.
fn escaped(part: &str) -> String {
    let byte = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    part.bytes().map(byte).collect()
}

impl Checksum {
    fn text(&self) -> &str {
        match self {
            Checksum::Sha256(sum) | Checksum::GitBlob(sum) => sum,
        }
    }
}

impl HubFile {
    /// Whether a file has the content that the Hub states.
    fn is_content(&self, path: &Path) -> Result<bool, Error> {
        let bytes = fs::metadata(path).map_err(|e| Error::io(path, e))?.len();
        if bytes != self.bytes {
            return Ok(false);
        }
        Ok(match &self.checksum {
            Checksum::Sha256(sum) => c4_data::atomic_file::sha256_file(path)? == *sum,
            Checksum::GitBlob(sum) => git_blob(path, bytes).map_err(|e| Error::io(path, e))? == *sum,
        })
    }
}

fn git_blob(path: &Path, bytes: u64) -> std::io::Result<String> {
    let mut hash = Sha1::new();
    hash.update(format!("blob {bytes}\0"));
    let mut file = BufReader::new(File::open(path)?);
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(c4_data::atomic_file::hex(&hash.finalize())),
            read => hash.update(&buffer[..read]),
        }
    }
}
