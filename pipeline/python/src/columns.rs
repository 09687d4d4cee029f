//! Columns of record batches that come from Python, and of those that go there.
//!
//! What comes is checked before it is used: another program's string may be no UTF-8.

use crate::error::invalid;
use arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, BinaryArray, Int64Array, ListArray, RecordBatch,
    StructArray, make_array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::{CastOptions, cast, cast_with_options, concat_batches};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema};
use arrow::error::ArrowError;
use arrow::ffi_stream::RecordBatchStreamReader;
use arrow_pyarrow::FromPyArrow;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use std::sync::Arc;

/// A record batch from whatever speaks Arrow: a record batch of pyarrow, or a table, or a frame of polars or pandas, whose
/// pieces are joined.
pub fn batch(any: &Bound<'_, PyAny>) -> PyResult<RecordBatch> {
    let batch = import(any)?;
    let schema = batch.schema();
    let mut names: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
    names.sort_unstable();
    match names.windows(2).find(|two| two[0] == two[1]) {
        Some(two) => Err(invalid(format!(
            "batch: two columns are named `{}`",
            two[0]
        ))),
        None => Ok(batch),
    }
}

fn import(any: &Bound<'_, PyAny>) -> PyResult<RecordBatch> {
    if any.hasattr("__arrow_c_stream__")? {
        let wrong = |e: ArrowError| invalid(format!("batch: {e}"));
        let reader = RecordBatchStreamReader::from_pyarrow_bound(any)?;
        let schema = arrow::array::RecordBatchReader::schema(&reader);
        let batches: Result<Vec<RecordBatch>, _> = reader.collect();
        return match &*batches.map_err(wrong)? {
            [one] => Ok(one.clone()),
            several => concat_batches(&schema, several).map_err(wrong),
        };
    }
    // Other libraries' single batches.
    if any.hasattr("__arrow_c_array__")? {
        let batch = RecordBatch::from_pyarrow_bound(any);
        return batch.map_err(|e| invalid(format!("batch: {e}")));
    }
    let name = any.get_type().name()?;
    Err(PyTypeError::new_err(format!(
        "batch: a {name} is no record batch; give a pyarrow.RecordBatch, or a table or frame of a library that \
         speaks Arrow (polars, pandas)"
    )))
}

/// Column `name`.
fn there<'a>(batch: &'a RecordBatch, name: &str) -> PyResult<&'a ArrayRef> {
    batch.column_by_name(name).ok_or_else(|| {
        let schema = batch.schema();
        let has: Vec<&str> = schema.fields().iter().map(|f| f.name().as_str()).collect();
        invalid(format!(
            "column `{name}` is missing; the batch has: {}",
            has.join(", ")
        ))
    })
}

/// Column `name` as `wanted`, whatever kind of it (large, views, dictionaries) it is.
fn column(batch: &RecordBatch, name: &str, wanted: &DataType) -> PyResult<ArrayRef> {
    convert(there(batch, name)?, name, wanted)
}

/// The same of an array.
pub fn convert(array: &ArrayRef, name: &str, wanted: &DataType) -> PyResult<ArrayRef> {
    let wrong = || {
        let is = array.data_type();
        invalid(format!("column `{name}` is {is}; wanted: {wanted}"))
    };
    let like = match wanted {
        DataType::Utf8 => is_text(array.data_type()),
        DataType::Binary => is_bytes(array.data_type()),
        DataType::Int64 => array.data_type().is_integer(),
        DataType::Float64 => array.data_type().is_numeric(),
        _ => true,
    };
    // A column of nulls alone has no type of its own.
    if !like && *array.data_type() != DataType::Null {
        return Err(wrong());
    }
    let data = array.to_data();
    data.validate_full()
        .map_err(|e| invalid(format!("column `{name}`: {e}")))?;
    // A number that has no place in the type is an error, and no null.
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    cast_with_options(&small(array, name)?, wanted, &options).map_err(|e| match e {
        ArrowError::CastError(e) => invalid(format!("column `{name}`: {e}")),
        _ => wrong(),
    })
}

/// Refuses what a column of strings or bytes cannot hold: views, dictionaries and large columns can have more than 2 GiB. Of a
/// slice of a large column that starts behind so much, a copy. The array has been validated.
fn small(array: &ArrayRef, name: &str) -> PyResult<ArrayRef> {
    let lengths = |views: &[u128]| views.iter().map(|view| u64::from(*view as u32)).sum();
    let any: &dyn Array = array;
    let bytes: u64 = match array.data_type() {
        DataType::Utf8View => lengths(any.as_string_view().views()),
        DataType::BinaryView => lengths(any.as_binary_view().views()),
        DataType::LargeBinary => span(any.as_binary::<i64>().value_offsets()),
        DataType::Dictionary(_, values) if is_text(values) => {
            let dictionary = any.as_any_dictionary();
            let values = dictionary.values();
            let values =
                cast(&small(values, name)?, &DataType::Utf8).map_err(|e| invalid(e.to_string()))?;
            let offsets = values.as_string::<i32>().value_offsets();
            let length = |key: usize| (offsets[key + 1] - offsets[key]) as u64;
            let keys = dictionary.normalized_keys();
            let there = keys.iter().filter(|key| **key + 1 < offsets.len());
            there.map(|key| length(*key)).sum()
        }
        _ => return Ok(array.clone()),
    };
    if bytes > i32::MAX as u64 {
        return Err(invalid(format!(
            "column `{name}` holds {bytes} bytes; a batch takes less than 2 GiB of a column: cut it"
        )));
    }
    let far = |offsets: &[i64]| {
        offsets
            .last()
            .is_some_and(|last| *last > i64::from(i32::MAX))
    };
    Ok(match array.data_type() {
        DataType::LargeBinary if far(any.as_binary::<i64>().value_offsets()) => {
            Arc::new(any.as_binary::<i64>().iter().collect::<BinaryArray>())
        }
        _ => array.clone(),
    })
}

/// Bytes from the first offset to the last.
fn span(offsets: &[i64]) -> u64 {
    match offsets {
        [first, .., last] => (last - first) as u64,
        _ => 0,
    }
}

fn is_text(kind: &DataType) -> bool {
    match kind {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => true,
        DataType::Dictionary(_, values) => is_text(values),
        _ => false,
    }
}

fn is_bytes(kind: &DataType) -> bool {
    matches!(
        kind,
        DataType::Binary
            | DataType::LargeBinary
            | DataType::BinaryView
            | DataType::FixedSizeBinary(_)
    )
}

fn is_whole(array: &dyn Array, name: &str) -> PyResult<()> {
    match (0..array.len()).find(|row| array.is_null(*row)) {
        Some(row) => Err(invalid(format!("column `{name}` is null in row {row}"))),
        None => Ok(()),
    }
}

fn down<A: Array + Clone + 'static>(array: &ArrayRef, name: &str) -> PyResult<A> {
    let array = array.as_any().downcast_ref::<A>().cloned();
    array.ok_or_else(|| invalid(format!("column `{name}` has another type")))
}

/// A column of strings. That they are UTF-8 is asked row by row, by whoever works on the row: all of it at once would be a
/// good part of the work, on one thread, and of a slice arrow asks about the whole array.
pub struct Texts<'a> {
    name: &'a str,
    bytes: BinaryArray,
}

impl Texts<'_> {
    /// Of row `row`; `None` if it is null.
    pub fn or_null(&self, row: usize) -> PyResult<Option<&str>> {
        match self.bytes.is_null(row) {
            true => Ok(None),
            false => self.value(row).map(Some),
        }
    }

    /// Of row `row`, empty if it is null.
    pub fn value(&self, row: usize) -> PyResult<&str> {
        std::str::from_utf8(self.bytes.value(row)).map_err(|e| {
            let name = self.name;
            invalid(format!("column `{name}`, row {row}: no UTF-8: {e}"))
        })
    }
}

/// Column `name` of strings, which may be null.
pub fn texts_or_null<'a>(batch: &RecordBatch, name: &'a str) -> PyResult<Texts<'a>> {
    let array = there(batch, name)?;
    // As bytes, for arrow asks about strings as a whole (see `Texts`).
    let array = match array.data_type() {
        DataType::Utf8 => relabel(array, name, DataType::Binary)?,
        DataType::LargeUtf8 => relabel(array, name, DataType::LargeBinary)?,
        _ => relabel(
            &convert(array, name, &DataType::Utf8)?,
            name,
            DataType::Binary,
        )?,
    };
    let bytes = down(&convert(&array, name, &DataType::Binary)?, name)?;
    Ok(Texts { name, bytes })
}

/// The same, if there is such a column.
pub fn texts_if_there<'a>(batch: &RecordBatch, name: &'a str) -> PyResult<Option<Texts<'a>>> {
    match batch.column_by_name(name) {
        Some(_) => texts_or_null(batch, name).map(Some),
        None => Ok(None),
    }
}

/// Column `name` of strings.
pub fn texts<'a>(batch: &RecordBatch, name: &'a str) -> PyResult<Texts<'a>> {
    let texts = texts_or_null(batch, name)?;
    is_whole(&texts.bytes, name)?;
    Ok(texts)
}

/// The same buffers as another type, checked as that.
fn relabel(array: &ArrayRef, name: &str, kind: DataType) -> PyResult<ArrayRef> {
    let data = array.to_data().into_builder().data_type(kind).build();
    data.map(make_array)
        .map_err(|e| invalid(format!("column `{name}`: {e}")))
}

/// Column `name` of bytes.
pub fn bytes(batch: &RecordBatch, name: &str) -> PyResult<BinaryArray> {
    let array: BinaryArray = down(&column(batch, name, &DataType::Binary)?, name)?;
    is_whole(&array, name)?;
    Ok(array)
}

/// Column `name` of whole numbers.
pub fn integers(batch: &RecordBatch, name: &str) -> PyResult<Int64Array> {
    let array: Int64Array = down(&column(batch, name, &DataType::Int64)?, name)?;
    is_whole(&array, name)?;
    Ok(array)
}

/// Column `name` of numbers.
pub fn floats(batch: &RecordBatch, name: &str) -> PyResult<arrow::array::Float64Array> {
    let array = down(&column(batch, name, &DataType::Float64)?, name)?;
    is_whole(&array, name)?;
    Ok(array)
}

/// The hash in row `row` of column `name`: 16 bytes, the most significant first.
pub fn hash(array: &BinaryArray, name: &str, row: usize) -> PyResult<u128> {
    let bytes = array.value(row).try_into().map_err(|_| {
        let len = array.value(row).len();
        invalid(format!(
            "column `{name}`, row {row}: {len} bytes; a hash has 16"
        ))
    })?;
    Ok(u128::from_be_bytes(bytes))
}

/// What a page loses, by row: places, and where on the same page the copy is that stays.
pub struct Drops {
    lists: ListArray,
    positions: Int64Array,
    same_pages: Int64Array,
}

impl Drops {
    /// Whatever pyarrow makes an array of.
    pub fn import(any: &Bound<'_, PyAny>, rows: usize) -> PyResult<Drops> {
        let pyarrow = any.py().import("pyarrow")?;
        let wrong = |e: PyErr| invalid(format!("drops: {e}"));
        // A column of a table is in chunks; a series of polars and a list are no arrays yet.
        let array = if any.hasattr("__arrow_c_stream__")? {
            let chunks = pyarrow.call_method1("chunked_array", (any,));
            chunks.map_err(wrong)?.call_method0("combine_chunks")?
        } else if any.hasattr("__arrow_c_array__")? {
            any.clone()
        } else {
            pyarrow.call_method1("array", (any,)).map_err(wrong)?
        };
        let data = ArrayData::from_pyarrow_bound(&array).map_err(wrong)?;
        Drops::new(&make_array(data), rows)
    }

    /// `drops` of `rows` rows: lists of `{position, same_page}`.
    fn new(drops: &ArrayRef, rows: usize) -> PyResult<Drops> {
        if drops.len() != rows {
            let has = drops.len();
            return Err(invalid(format!(
                "drops: {has} lists for {rows} pages; one a page is wanted"
            )));
        }
        let wrong = || {
            let is = drops.data_type();
            invalid(format!(
                "drops is {is}; wanted: lists of structs of position and same_page, whole numbers"
            ))
        };
        let empty = || {
            Fields::from(vec![
                Field::new("position", DataType::Int64, true),
                Field::new("same_page", DataType::Int64, true),
            ])
        };
        let items = match drops.data_type() {
            DataType::Null => DataType::Struct(empty()),
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                match item.data_type() {
                    DataType::Null => DataType::Struct(empty()),
                    kind => kind.clone(),
                }
            }
            _ => return Err(wrong()),
        };
        let like = DataType::List(Arc::new(Field::new_list_field(items, true)));
        let lists: ListArray = down(&convert(drops, "drops", &like)?, "drops")?;
        let items = lists.values().as_any().downcast_ref::<StructArray>();
        let items = items.ok_or_else(wrong)?;
        let field = |name: &str| -> PyResult<Int64Array> {
            let array = items.column_by_name(name).ok_or_else(wrong)?;
            let field = format!("drops.{name}");
            let numbers: Int64Array = down(&convert(array, &field, &DataType::Int64)?, &field)?;
            // A struct that is null has no numbers.
            let nulls = NullBuffer::union(numbers.nulls(), items.nulls());
            Ok(Int64Array::new(numbers.values().clone(), nulls))
        };
        Ok(Drops {
            positions: field("position")?,
            same_pages: field("same_page")?,
            lists,
        })
    }

    /// Those of a row.
    pub fn of(&self, row: usize) -> impl ExactSizeIterator<Item = (Option<i64>, Option<i64>)> {
        let there = !self.lists.is_null(row);
        let offsets = self.lists.value_offsets();
        let range = if there {
            offsets[row] as usize..offsets[row + 1] as usize
        } else {
            0..0
        };
        let value = |array: &Int64Array, i| (!array.is_null(i)).then(|| array.value(i));
        range.map(move |i| (value(&self.positions, i), value(&self.same_pages, i)))
    }
}

/// `batch` with `columns` in place of those of the same names, or after all others.
pub fn with(
    batch: &RecordBatch,
    without: &[&str],
    columns: Vec<(&str, ArrayRef)>,
) -> PyResult<RecordBatch> {
    let schema = batch.schema();
    let mut fields: Vec<FieldRef> = Vec::new();
    let mut arrays: Vec<ArrayRef> = Vec::new();
    for (field, array) in schema.fields().iter().zip(batch.columns()) {
        let name = field.name().as_str();
        if !without.contains(&name) && columns.iter().all(|(new, _)| *new != name) {
            fields.push(field.clone());
            arrays.push(array.clone());
        }
    }
    for (name, array) in columns {
        fields.push(Arc::new(Field::new(name, array.data_type().clone(), true)));
        arrays.push(array);
    }
    let metadata = schema.metadata().clone();
    let schema = Arc::new(Schema::new_with_metadata(fields, metadata));
    RecordBatch::try_new(schema, arrays).map_err(|e| invalid(e.to_string()))
}
