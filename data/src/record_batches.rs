//! Record batches of Arrow and Parquet files, whoever wrote them: checked first, and from any row on.

use crate::catch_panic::catch_panic;
use crate::limit::BatchLimit;
use crate::shard::BATCH_ROWS;
use crate::{Error, ipc_check, parquet_check};
use arrow::datatypes::SchemaRef;
use arrow::ipc::reader::{FileReader, StreamReader};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

/// The kinds of files that hold record batches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// An Arrow IPC file, with a footer.
    ArrowFile,
    /// A stream of Arrow IPC messages, as Hugging Face `datasets` saves them.
    ArrowStream,
    /// A Parquet file.
    Parquet,
}

enum Reader {
    File(Box<FileReader<BufReader<File>>>),
    Stream(Box<StreamReader<BufReader<File>>>),
    Parquet(Box<ParquetRecordBatchReader>),
}

/// Reads the record batches of one file in order.
///
/// All lengths that the file states are compared with its size and with a limit before anything is unpacked, and a
/// panic of a decoder is an error, so that a hostile file costs an error.
pub struct RecordBatches {
    path: PathBuf,
    limit: BatchLimit,
    /// The columns to read, by their places in the file; `None`: all.
    columns: Option<Vec<usize>>,
    schema: SchemaRef,
    reader: Reader,
    /// The rest of the batch in which a row was sought.
    rest: Option<RecordBatch>,
}

impl RecordBatches {
    /// Opens a file for all its columns, or for those of `columns` that it has, which keep the file's order.
    ///
    /// # Errors
    /// The file is missing, cut, or not what `container` says, or a batch is above the limit.
    pub fn open(
        path: &Path,
        container: Container,
        columns: Option<&[&str]>,
        limit: BatchLimit,
    ) -> Result<RecordBatches, Error> {
        let (reader, schema) = read(path, container, None, limit)?;
        let mut batches = RecordBatches {
            path: path.to_owned(),
            limit,
            columns: None,
            schema,
            reader,
            rest: None,
        };
        if let Some(columns) = columns {
            let fields = batches.schema.fields().iter().enumerate();
            let wanted = fields.filter(|(_, field)| columns.contains(&field.name().as_str()));
            let wanted: Vec<usize> = wanted.map(|(place, _)| place).collect();
            (batches.reader, _) = read(path, container, Some(&wanted), limit)?;
            batches.columns = Some(wanted);
        }
        Ok(batches)
    }

    /// The file's schema, of all its columns, with its metadata.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Goes to row `row` of the file, from 0, or to its end if it has fewer; gives the row where it is then. Only
    /// for a reader that has read nothing yet. Of the rows before it, those in the same batch are decoded; of a stream,
    /// all.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn seek(&mut self, row: u64) -> Result<u64, Error> {
        let path = self.path.clone();
        let mut at = 0;
        match &mut self.reader {
            _ if row == 0 => return Ok(0),
            Reader::File(reader) => {
                // Of no column, a batch is read but not decompressed, and knows its rows.
                let mut rows = ipc_check::open(&path, Some(Vec::new()), self.limit)?;
                let mut index = 0;
                while let Some(batch) = catch_panic(&path, || rows.next().transpose().map_err(Error::arrow(&path)))? {
                    let rows = batch.num_rows() as u64;
                    if at + rows > row {
                        break;
                    }
                    at += rows;
                    index += 1;
                }
                if index < reader.num_batches() {
                    reader.set_index(index).map_err(Error::arrow(&path))?;
                } else if index > 0 {
                    // At the end: behind the last batch.
                    reader.set_index(index - 1).map_err(Error::arrow(&path))?;
                    self.next()?;
                }
            }
            Reader::Stream(_) => {}
            Reader::Parquet(_) => {
                let (builder, batch_rows) = open_parquet(&path, self.columns.as_deref(), self.limit)?;
                let rows = builder.metadata().file_metadata().num_rows();
                at = row.min(u64::try_from(rows).unwrap_or(0));
                let build = || {
                    let builder = builder.with_batch_size(batch_rows);
                    let offset = usize::try_from(at).unwrap_or(usize::MAX);
                    builder.with_offset(offset).build().map_err(Error::parquet(&path))
                };
                self.reader = Reader::Parquet(Box::new(catch_panic(&path, build)?));
            }
        }
        while at < row {
            let Some(batch) = self.next()? else { break };
            let (rows, left) = (batch.num_rows(), usize::try_from(row - at).unwrap_or(usize::MAX));
            if rows > left {
                self.rest = Some(batch.slice(left, rows - left));
                return Ok(row);
            }
            at += rows as u64;
        }
        Ok(at)
    }

    /// The next batch; `None` at the end.
    ///
    /// # Errors
    /// The file is damaged.
    #[allow(clippy::should_implement_trait)] // an iterator of results would hide that it ends at the first error
    pub fn next(&mut self) -> Result<Option<RecordBatch>, Error> {
        if let Some(rest) = self.rest.take() {
            return Ok(Some(rest));
        }
        let path = &self.path;
        let reader = &mut self.reader;
        catch_panic(path, || {
            let batch = match reader {
                Reader::File(reader) => reader.next(),
                Reader::Stream(reader) => reader.next(),
                Reader::Parquet(reader) => reader.next(),
            };
            batch.transpose().map_err(Error::arrow(path))
        })
    }
}

/// A reader of the columns, and the schema of all.
fn read(
    path: &Path,
    container: Container,
    columns: Option<&[usize]>,
    limit: BatchLimit,
) -> Result<(Reader, SchemaRef), Error> {
    let projection = columns.map(<[usize]>::to_vec);
    match container {
        Container::ArrowFile => {
            let reader = ipc_check::open(path, projection, limit)?;
            let schema = reader.schema();
            Ok((Reader::File(Box::new(reader)), schema))
        }
        Container::ArrowStream => {
            ipc_check::stream(path, limit)?;
            let file = BufReader::new(File::open(path).map_err(Error::io(path, "open"))?);
            let open = || StreamReader::try_new(file, projection).map_err(Error::arrow(path));
            let reader = catch_panic(path, open)?;
            let schema = reader.schema();
            Ok((Reader::Stream(Box::new(reader)), schema))
        }
        Container::Parquet => {
            let (builder, rows) = open_parquet(path, columns, limit)?;
            // The reader's own schema lacks the metadata.
            let schema = builder.schema().clone();
            let build = || builder.with_batch_size(rows).build().map_err(Error::parquet(path));
            Ok((Reader::Parquet(Box::new(catch_panic(path, build)?)), schema))
        }
    }
}

/// Validates and opens a Parquet file; its batches are still to be read within [`catch_panic`]. Also gives the number
/// of rows to decode at a time.
fn open_parquet(
    path: &Path,
    columns: Option<&[usize]>,
    limit: BatchLimit,
) -> Result<(ParquetRecordBatchReaderBuilder<File>, usize), Error> {
    parquet_check::footer(path)?;
    let file = File::open(path).map_err(Error::io(path, "open"))?;
    catch_panic(path, || {
        let mut builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(Error::parquet(path))?;
        let largest = parquet_check::pages(path, builder.metadata(), limit)?;
        if let Some(columns) = columns {
            let mask = ProjectionMask::roots(builder.parquet_schema(), columns.iter().copied());
            builder = builder.with_projection(mask);
        }
        // A dictionary's string may be that of every row, and none is longer than its page.
        let rows = usize::try_from(limit.bytes / largest.max(1)).unwrap_or(BATCH_ROWS);
        Ok((builder, rows.clamp(1, BATCH_ROWS)))
    })
}
