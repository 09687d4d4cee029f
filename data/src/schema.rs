//! The Arrow schema of a corpus, and documents as record batches of it.

use crate::{Document, Page};
use arrow::array::{Array, ArrayRef, Float32Array, RecordBatch, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use arrow::error::ArrowError;
use std::collections::HashMap;
use std::sync::Arc;

/// The version of the columns and their meaning; raised when either changes.
pub const SCHEMA_VERSION: u32 = 1;

/// The metadata key of [`SCHEMA_VERSION`].
pub const KEY_VERSION: &str = "c4.schema_version";
/// The metadata key of the recipe's name.
pub const KEY_RECIPE: &str = "c4.recipe";
/// The metadata key of the recipe's hash.
pub const KEY_RECIPE_HASH: &str = "c4.recipe_hash";

const UTF8_COLUMNS: [&str; 5] = ["url", "text", "timestamp", "content_type", "content_length"];

/// The Arrow schema of a corpus, with the recipe's name and hash in its metadata.
pub fn schema(recipe: &str, recipe_hash: &str) -> SchemaRef {
    let utf8 = |name: &str| Field::new(name, DataType::Utf8, false);
    let mut fields: Vec<Field> = UTF8_COLUMNS.into_iter().map(utf8).collect();
    fields.push(utf8("language"));
    fields.push(Field::new("language_score", DataType::Float32, false));
    fields.push(utf8("archive"));
    fields.push(Field::new("record_offset", DataType::UInt64, false));
    let metadata = HashMap::from([
        (KEY_VERSION.to_owned(), SCHEMA_VERSION.to_string()),
        (KEY_RECIPE.to_owned(), recipe.to_owned()),
        (KEY_RECIPE_HASH.to_owned(), recipe_hash.to_owned()),
    ]);
    Arc::new(Schema::new_with_metadata(fields, metadata))
}

/// The first difference between the schemas `found` and `wanted`, in words: columns, then metadata. More metadata is no
/// difference.
pub(crate) fn difference(found: &Schema, wanted: &Schema) -> Option<String> {
    let columns = |schema: &Schema| -> Vec<String> {
        let fields = schema.fields().iter();
        let column = |field: &Arc<Field>| {
            let null = if field.is_nullable() { ", nullable" } else { "" };
            format!("{}: {}{null}", field.name(), field.data_type())
        };
        fields.map(column).collect()
    };
    let (has, wants) = (columns(found), columns(wanted));
    if has != wants {
        let has = has.join("; ");
        return Some(format!("has the columns {has}; wanted: {}", wants.join("; ")));
    }
    [KEY_VERSION, KEY_RECIPE, KEY_RECIPE_HASH].into_iter().find_map(|key| {
        let (has, wants) = (found.metadata().get(key), wanted.metadata().get(key));
        let has_not = || "nothing".to_owned();
        (has != wants).then(|| {
            let has = has.cloned().unwrap_or_else(has_not);
            let wants = wants.cloned().unwrap_or_else(has_not);
            format!("its metadata {key} is {has}, wanted: {wants}")
        })
    })
}

/// Encodes documents as one record batch of `schema`. Copies every string once.
///
/// # Errors
/// The documents have more than 2 GiB of text.
pub fn to_batch(schema: &SchemaRef, rows: &[Document]) -> Result<RecordBatch, ArrowError> {
    fn utf8<'a>(rows: &'a [Document], value: impl Fn(&'a Document) -> &'a str) -> ArrayRef {
        Arc::new(StringArray::from_iter_values(rows.iter().map(value)))
    }
    let score = rows.iter().map(|d| d.language_score);
    let offset = rows.iter().map(|d| d.page.record_offset);
    RecordBatch::try_new(
        schema.clone(),
        vec![
            utf8(rows, |d| &d.page.url),
            utf8(rows, |d| &d.page.text),
            utf8(rows, |d| &d.page.timestamp),
            utf8(rows, |d| &d.page.content_type),
            utf8(rows, |d| &d.page.content_length),
            utf8(rows, |d| &d.language),
            Arc::new(Float32Array::from_iter_values(score)),
            utf8(rows, |d| &d.archive),
            Arc::new(UInt64Array::from_iter_values(offset)),
        ],
    )
}

/// Decodes a record batch into documents. Columns are found by name, so that a file with more columns can be read, too.
///
/// # Errors
/// A column is missing or has another type.
pub fn from_batch(batch: &RecordBatch) -> Result<Vec<Document>, ArrowError> {
    fn column<'a, A: 'static>(batch: &'a RecordBatch, name: &str) -> Result<&'a A, ArrowError> {
        let array = batch.column_by_name(name);
        let array = array.and_then(|array| array.as_any().downcast_ref::<A>());
        array.ok_or_else(|| ArrowError::SchemaError(format!("column `{name}` is missing or has another type")))
    }
    let utf8 = |name: &str| column::<StringArray>(batch, name);
    let (url, text, timestamp) = (utf8("url")?, utf8("text")?, utf8("timestamp")?);
    let (content_type, content_length) = (utf8("content_type")?, utf8("content_length")?);
    let (language, archive) = (utf8("language")?, utf8("archive")?);
    let score = column::<Float32Array>(batch, "language_score")?;
    let offset = column::<UInt64Array>(batch, "record_offset")?;
    let mut name: Arc<str> = Arc::from("");
    let mut rows = Vec::with_capacity(batch.num_rows());
    for i in 0..batch.num_rows() {
        if &*name != archive.value(i) {
            name = Arc::from(archive.value(i));
        }
        rows.push(Document {
            page: Page {
                url: url.value(i).to_owned(),
                text: text.value(i).to_owned(),
                timestamp: timestamp.value(i).to_owned(),
                content_type: content_type.value(i).to_owned(),
                content_length: content_length.value(i).to_owned(),
                record_offset: offset.value(i),
            },
            archive: name.clone(),
            language: language.value(i).to_owned(),
            language_score: score.value(i),
        });
    }
    Ok(rows)
}
