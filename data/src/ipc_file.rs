//! An Arrow IPC file from record batches that were encoded elsewhere.
//!
//! Arrow's own `FileWriter` encodes and compresses a batch where it writes it, on one core. Here the two are apart:
//! batches are encoded on any core, and written in order. The format is Arrow's IPC file format (magic, schema message,
//! record batch messages, end-of-stream mark, footer, magic).

use arrow::array::RecordBatch;
use arrow::datatypes::Schema;
use arrow::error::ArrowError;
use arrow::ipc::convert::IpcSchemaEncoder;
use arrow::ipc::writer::{
    DictionaryTracker, EncodedData, IpcDataGenerator, IpcWriteContext, IpcWriteOptions, write_message,
};
use arrow::ipc::{Block, CompressionType, FooterBuilder, MetadataVersion};
use flatbuffers::FlatBufferBuilder;
use std::cell::RefCell;
use std::io::Write;

const MAGIC: &[u8; 6] = b"ARROW1";
/// Messages start at multiples of this number of bytes.
const ALIGNMENT: usize = 64;
/// The end of the stream: a continuation marker and a length of 0.
const END_OF_STREAM: [u8; 8] = [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0];

/// Files are some 4 % larger than at zstd's default of 3 on real documents, and compressing takes two thirds of the
/// time; at 1 they are 12 % larger.
const ZSTD_LEVEL: i32 = 2;

fn options(compression: CompressionType) -> Result<IpcWriteOptions, ArrowError> {
    let level = (compression == CompressionType::ZSTD).then_some(ZSTD_LEVEL);
    IpcWriteOptions::try_new(ALIGNMENT, false, MetadataVersion::V5)?
        .try_with_compression(Some(compression))?
        .try_with_compression_level(level)
}

thread_local! {
    /// The encoder's context with its compressor, which is large: making one costs more than a small batch.
    static CONTEXT: RefCell<IpcWriteContext> = RefCell::default();
}

/// Encodes and compresses one record batch (without dictionaries): the expensive part.
pub(crate) fn encode(batch: &RecordBatch, compression: CompressionType) -> Result<EncodedData, ArrowError> {
    let options = options(compression)?;
    let (dictionaries, encoded) = CONTEXT.with_borrow_mut(|context| {
        let mut dictionaries = DictionaryTracker::new(true);
        IpcDataGenerator::default().encode(batch, &mut dictionaries, &options, context)
    })?;
    debug_assert!(dictionaries.is_empty(), "the schema has no dictionaries");
    Ok(encoded)
}

/// Writes an Arrow IPC file around encoded batches.
pub(crate) struct IpcFileWriter<W> {
    writer: W,
    schema: Schema,
    options: IpcWriteOptions,
    position: usize,
    blocks: Vec<Block>,
}

impl<W: Write> IpcFileWriter<W> {
    /// Writes the file's head: magic and schema.
    pub(crate) fn new(mut writer: W, schema: &Schema) -> Result<Self, ArrowError> {
        // Compression is a matter of each batch.
        let options = options(CompressionType::ZSTD)?;
        let mut head = [0; ALIGNMENT];
        head[..MAGIC.len()].copy_from_slice(MAGIC);
        writer.write_all(&head)?;
        let message = IpcDataGenerator::default().schema_to_bytes_with_dictionary_tracker(
            schema,
            &mut DictionaryTracker::new(true),
            &options,
        );
        let (header, body) = write_message(&mut writer, message, &options)?;
        Ok(IpcFileWriter {
            writer,
            schema: schema.clone(),
            options,
            position: ALIGNMENT + header + body,
            blocks: Vec::new(),
        })
    }

    /// Appends an encoded batch.
    pub(crate) fn write(&mut self, batch: EncodedData) -> Result<(), ArrowError> {
        let (header, body) = write_message(&mut self.writer, batch, &self.options)?;
        let narrow = |_| ArrowError::IpcError("a record batch's header is above 2 GiB".into());
        let header_length = i32::try_from(header).map_err(narrow)?;
        let block = Block::new(self.position as i64, header_length, body as i64);
        self.blocks.push(block);
        self.position += header + body;
        Ok(())
    }

    /// Writes the file's footer.
    pub(crate) fn finish(mut self) -> Result<W, ArrowError> {
        self.writer.write_all(&END_OF_STREAM)?;
        let mut builder = FlatBufferBuilder::new();
        let dictionaries = builder.create_vector::<Block>(&[]);
        let batches = builder.create_vector(&self.blocks);
        let schema = IpcSchemaEncoder::new().schema_to_fb_offset(&mut builder, &self.schema);
        let mut footer = FooterBuilder::new(&mut builder);
        footer.add_version(MetadataVersion::V5);
        footer.add_schema(schema);
        footer.add_dictionaries(dictionaries);
        footer.add_recordBatches(batches);
        let root = footer.finish();
        builder.finish(root, None);
        let footer = builder.finished_data();
        let length = i32::try_from(footer.len()).map_err(|_| ArrowError::IpcError("a footer above 2 GiB".into()))?;
        self.writer.write_all(footer)?;
        self.writer.write_all(&length.to_le_bytes())?;
        self.writer.write_all(MAGIC)?;
        Ok(self.writer)
    }
}
