//! Reads shards of all three formats.

use crate::catch_panic::catch_panic;
use crate::limit::BatchLimit;
use crate::record_batches::{Container, RecordBatches};
use crate::shard::{JsonLine, ShardMeta};
use crate::{Document, Error, Page, schema};
use flate2::read::MultiGzDecoder;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

enum Decoder {
    Batches(Box<RecordBatches>),
    Jsonl(Box<BufReader<MultiGzDecoder<BufReader<File>>>>),
}

/// Reads the documents of one shard in order, a record batch at a time. The file's name decides the format.
///
/// ```
/// use c4_data::*;
/// # let dir = std::env::temp_dir().join(format!("c4-data-doc-{}", std::process::id()));
/// # std::fs::create_dir_all(&dir)?;
/// let path = dir.join(Format::Arrow.file_name(Split::Train, 0, 1));
/// let meta = ShardMeta { recipe: "en".into(), recipe_hash: "…".into() };
/// let mut writer = ShardWriter::create(&path, &std::env::temp_dir(), Format::Arrow, Split::Train, &meta)?;
/// writer.write(vec![Document {
///     page: Page {
///         url: "https://a.example/".into(),
///         text: "One line.".into(),
///         timestamp: "2019-04-18T10:12:43Z".into(),
///         content_type: "text/plain".into(),
///         content_length: "9".into(),
///         record_offset: 512,
///     },
///     archive: "a.warc.wet.gz".into(),
///     language: "en".into(),
///     language_score: 0.99,
/// }])?;
/// writer.finish()?;
///
/// for document in ShardReader::open(&path)? {
///     assert_eq!(document?.page.text, "One line.");
/// }
/// # std::fs::remove_dir_all(&dir)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct ShardReader {
    path: PathBuf,
    limit: BatchLimit,
    /// The number of lines that were read, of JSON lines.
    lines: u64,
    decoder: Decoder,
    batch: std::vec::IntoIter<Document>,
    /// Whether an error has ended the iteration.
    failed: bool,
}

impl ShardReader {
    /// Opens a shard.
    ///
    /// # Errors
    /// The file is missing, cut, or in none of the formats, or it unpacks to more than any build writes.
    pub fn open(path: &Path) -> Result<ShardReader, Error> {
        ShardReader::open_within(path, BatchLimit::any())
    }

    /// Opens a shard with a limit for its batches, that of its recipe.
    ///
    /// # Errors
    /// Those of [`open`](ShardReader::open).
    pub fn open_within(path: &Path, limit: BatchLimit) -> Result<ShardReader, Error> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let open = || File::open(path).map_err(Error::io(path, "open"));
        let batches = |container| {
            Ok(Decoder::Batches(Box::new(RecordBatches::open(
                path, container, None, limit,
            )?)))
        };
        let decoder = if name.ends_with(".arrow") {
            batches(Container::ArrowFile)?
        } else if name.ends_with(".parquet") {
            batches(Container::Parquet)?
        } else if name.ends_with(".json.gz") {
            let gzip = MultiGzDecoder::new(BufReader::new(open()?));
            let lines = BufReader::with_capacity(1 << 16, gzip);
            Decoder::Jsonl(Box::new(lines))
        } else {
            return Err(Error::Format {
                path: path.to_owned(),
                reason: "not a shard: its name ends with none of .arrow, .parquet, .json.gz".into(),
            });
        };
        Ok(ShardReader {
            path: path.to_owned(),
            limit,
            lines: 0,
            decoder,
            batch: Vec::new().into_iter(),
            failed: false,
        })
    }

    /// Opens a shard at document `row`, from 0. Of the documents before it, Arrow and Parquet decode only those in its
    /// record batch; JSON lines are decompressed from the start, but not parsed.
    ///
    /// # Errors
    /// Those of [`open`](ShardReader::open), or the shard has fewer documents than `row`.
    pub fn open_at(path: &Path, limit: BatchLimit, row: u64) -> Result<ShardReader, Error> {
        let mut shard = ShardReader::open_within(path, limit)?;
        let at = match &mut shard.decoder {
            Decoder::Batches(batches) => batches.seek(row)?,
            Decoder::Jsonl(lines) => {
                let mut at = 0;
                while at < row && lines.skip_until(b'\n').map_err(Error::io(path, "read"))? > 0 {
                    at += 1;
                }
                shard.lines = at;
                at
            }
        };
        match at == row {
            true => Ok(shard),
            false => Err(Error::Format {
                path: path.to_owned(),
                reason: format!("has fewer than {row} documents"),
            }),
        }
    }

    /// The first difference between the file's columns and metadata and those of a shard of `meta`, in words; `None` if
    /// there is none, or if the format has neither (JSON lines).
    pub fn difference(&self, meta: &ShardMeta) -> Option<String> {
        let Decoder::Batches(batches) = &self.decoder else {
            return None;
        };
        let wanted = schema::schema(&meta.recipe, &meta.recipe_hash);
        schema::difference(batches.schema(), &wanted)
    }

    /// The next batch; `None` at the end.
    fn next_batch(&mut self) -> Result<Option<Vec<Document>>, Error> {
        let path = &self.path;
        match &mut self.decoder {
            Decoder::Jsonl(lines) => {
                self.lines += 1;
                read_json_lines(path, lines, self.lines, self.limit)
            }
            Decoder::Batches(batches) => {
                let Some(batch) = batches.next()? else {
                    return Ok(None);
                };
                let documents = || schema::from_batch(&batch).map_err(Error::arrow(path));
                Ok(Some(catch_panic(path, documents)?))
            }
        }
    }
}

/// Reads a line as a batch of one document, whose other columns are empty.
fn read_json_lines(
    path: &Path,
    lines: &mut impl BufRead,
    number: u64,
    limit: BatchLimit,
) -> Result<Option<Vec<Document>>, Error> {
    let mut line = String::new();
    let mut lines = lines.take(limit.line_bytes + 1);
    let read = lines.read_line(&mut line);
    if lines.limit() == 0 {
        return Err(Error::Format {
            path: path.to_owned(),
            reason: format!("line {number} has more than {} bytes; it is not read", limit.line_bytes),
        });
    }
    if read.map_err(Error::io(path, "read"))? == 0 {
        return Ok(None);
    }
    let row: JsonLine = serde_json::from_str(&line).map_err(|e| Error::Format {
        path: path.to_owned(),
        reason: format!("line {number} is not a document: {e}"),
    })?;
    Ok(Some(vec![Document {
        page: Page {
            url: row.url.into_owned(),
            text: row.text.into_owned(),
            timestamp: row.timestamp.into_owned(),
            content_type: String::new(),
            content_length: String::new(),
            record_offset: 0,
        },
        archive: Arc::from(""),
        language: String::new(),
        language_score: 0.0,
    }]))
}

impl Iterator for ShardReader {
    type Item = Result<Document, Error>;

    /// The next document; an error ends the iteration.
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(document) = self.batch.next() {
                return Some(Ok(document));
            }
            if self.failed {
                return None;
            }
            match self.next_batch() {
                Ok(Some(batch)) => self.batch = batch.into_iter(),
                Ok(None) => return None,
                Err(e) => {
                    self.failed = true;
                    return Some(Err(e));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limit::MAX_PAGE_BYTES;
    use crate::shard::{encode, next_batch};
    use crate::{Format, ShardWriter, Split};
    use std::fs;

    fn document(i: usize) -> Document {
        Document {
            page: Page {
                url: format!("https://a.example/{i}"),
                text: format!("Line one of {i}.\nLine \"two\" of it, ümläut 日本."),
                timestamp: "2019-04-18T10:12:43Z".into(),
                content_type: "text/html; charset=UTF-8".into(),
                content_length: i.to_string(),
                record_offset: 1 << 40 | i as u64,
            },
            archive: format!("{}.warc.gz", i % 3).into(),
            language: "en".into(),
            language_score: 0.99 + i as f32 * 1e-6,
        }
    }

    fn meta() -> ShardMeta {
        ShardMeta {
            recipe: "en".into(),
            recipe_hash: "h".into(),
        }
    }

    #[test]
    fn every_format_gives_back_what_it_holds_and_the_same_bytes_twice() {
        let dir = tempfile::tempdir().unwrap();
        let rows: Vec<Document> = (0..2500).map(document).collect();
        for format in [Format::Arrow, Format::Parquet, Format::Jsonl] {
            let mut sums = Vec::new();
            for run in 0..2 {
                let scratch = dir.path().join("scratch");
                fs::create_dir_all(&scratch).unwrap();
                let path = dir.path().join(format.file_name(Split::Train, run, 2));
                let mut writer = ShardWriter::create(&path, &scratch, format, Split::Train, &meta()).unwrap();
                writer.write(rows.clone()).unwrap();
                assert!(!path.exists(), "no file under its final name before the end");
                let entry = writer.finish().unwrap();
                assert_eq!(entry.rows, 2500);
                assert_eq!(entry.sha256, crate::atomic_file::sha256_file(&path).unwrap());
                assert_eq!(entry.bytes, fs::metadata(&path).unwrap().len());
                sums.push(entry.sha256);
                let read: Result<Vec<Document>, Error> = ShardReader::open(&path).unwrap().collect();
                let read = read.unwrap();
                if format == Format::Jsonl {
                    let texts =
                        |rows: &[Document]| -> Vec<String> { rows.iter().map(|d| d.page.text.clone()).collect() };
                    assert_eq!(texts(&read), texts(&rows));
                } else {
                    assert_eq!(read, rows);
                }
                assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0);
            }
            assert_eq!(sums[0], sums[1], "{format:?}");
        }
    }

    #[test]
    fn shards_open_at_any_document() {
        let dir = tempfile::tempdir().unwrap();
        // Batches of 1,024, and smaller ones where texts are long.
        let rows: Vec<Document> = (0..2500)
            .map(|i| {
                let mut row = document(i);
                if i % 7 == 0 {
                    row.page.text = "A long line of text. ".repeat(2000);
                }
                row
            })
            .collect();
        for format in [Format::Arrow, Format::Parquet, Format::Jsonl] {
            let path = dir.path().join(format.file_name(Split::Train, 0, 1));
            let scratch = dir.path().join("scratch");
            fs::create_dir_all(&scratch).unwrap();
            let mut writer = ShardWriter::create(&path, &scratch, format, Split::Train, &meta()).unwrap();
            writer.write(rows.clone()).unwrap();
            writer.finish().unwrap();
            for row in [0, 1, 167, 168, 169, 170, 1023, 1024, 1025, 2047, 2048, 2499, 2500] {
                let reader = ShardReader::open_at(&path, BatchLimit::any(), row).unwrap();
                let urls: Vec<String> = reader.map(|d| d.unwrap().page.url).collect();
                let wanted = rows[row as usize..].iter().map(|d| d.page.url.clone());
                assert!(urls.into_iter().eq(wanted), "{format:?} from {row}");
            }
            let error = ShardReader::open_at(&path, BatchLimit::any(), 2501)
                .err()
                .unwrap()
                .to_string();
            assert!(error.contains("fewer than 2501"), "{error}");
        }
    }

    #[test]
    fn cut_shard_is_an_error_that_names_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("train-00000-of-00001.arrow");
        let mut writer =
            ShardWriter::create(&path, &std::env::temp_dir(), Format::Arrow, Split::Train, &meta()).unwrap();
        writer.write(vec![document(1)]).unwrap();
        writer.finish().unwrap();
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let error = ShardReader::open(&path).err().unwrap().to_string();
        assert!(error.contains("train-00000-of-00001.arrow"), "{error}");
    }

    #[test]
    fn what_no_build_writes_is_refused_before_it_is_unpacked() {
        let dir = tempfile::tempdir().unwrap();
        // The second batch, or page, or line, holds what the first does not.
        let rows: Vec<Document> = (0..1100)
            .map(|i| {
                let mut row = document(i);
                if i == 1050 {
                    row.page.text = "A long line of text. ".repeat(40_000);
                }
                row
            })
            .collect();
        let limit = BatchLimit {
            rows: 1024,
            bytes: 512 << 10,
            line_bytes: 512 << 10,
        };
        for (format, words) in [
            (Format::Arrow, ["batch 1 holds ", "at most 524288 may be"]),
            (Format::Parquet, ["the page at ", "at most 524288 may be"]),
            (Format::Jsonl, ["line 1051 has more than", "524288 bytes"]),
        ] {
            let path = dir.path().join(format.file_name(Split::Train, 0, 1));
            let mut writer = ShardWriter::create(&path, dir.path(), format, Split::Train, &meta()).unwrap();
            writer.write(rows.clone()).unwrap();
            let at = writer.finish().unwrap().file;
            let read = |limit| -> Result<Vec<Document>, Error> { ShardReader::open_within(&path, limit)?.collect() };
            assert_eq!(read(BatchLimit::any()).unwrap().len(), rows.len());
            let error = read(limit).unwrap_err().to_string();
            assert!(error.contains(&at), "{error}");
            for word in words {
                assert!(error.contains(word), "{format:?}: no {word} in {error}");
            }
            if format == Format::Arrow {
                let few = BatchLimit {
                    rows: 1000,
                    ..BatchLimit::any()
                };
                let error = read(few).unwrap_err().to_string();
                assert!(error.contains("batch 0 has 1024 rows, at most 1000"), "{error}");
            }
        }
    }

    #[test]
    fn a_dictionary_is_decoded_in_pieces() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("train-00000-of-00001.parquet");
        let mut rows: Vec<Document> = (0..1000).map(document).collect();
        let text = "The same text in every row. ".repeat(100);
        rows.iter_mut().for_each(|row| row.page.text = text.clone());
        let mut writer = ShardWriter::create(&path, dir.path(), Format::Parquet, Split::Train, &meta()).unwrap();
        writer.write(rows.clone()).unwrap();
        writer.finish().unwrap();
        let limit = BatchLimit {
            bytes: 256 << 10,
            ..BatchLimit::any()
        };
        let mut batches = RecordBatches::open(&path, Container::Parquet, None, limit).unwrap();
        let at_a_time = batches.next().unwrap().unwrap().num_rows();
        assert!(at_a_time * text.len() <= 256 << 10, "{at_a_time} rows");
        let read = ShardReader::open_within(&path, limit).unwrap();
        assert!(read.map(|row| row.unwrap()).eq(rows));
    }

    #[test]
    fn what_readers_would_refuse_is_not_written() {
        let mut rows: Vec<Document> = (0..40).map(document).collect();
        rows.iter_mut().for_each(|row| row.page.url = "u".repeat(1 << 20));
        let batch = next_batch(&mut rows, false).unwrap();
        assert_eq!((batch.len(), rows.len()), (16, 24), "16 MiB of URLs");
        let mut long = document(0);
        long.page.text = "a".repeat(MAX_PAGE_BYTES as usize + 1);
        let error = encode(Format::Jsonl, &meta(), &[long]).err().unwrap();
        let error = error.to_string();
        assert!(
            error.contains("https://a.example/0") && error.contains("134217728"),
            "{error}"
        );
    }
}
