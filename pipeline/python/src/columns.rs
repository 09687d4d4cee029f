//! Columns of record batches that come from Python, and of those that go there.
//!
//! What comes is checked before it is used: another program's string may be no UTF-8, and an offset lead anywhere.
//! pyarrow knows how long buffers are, which the interface to C does not tell; the rest is asked here. Columns that no
//! function knows never leave pyarrow.
//!
//! Above 500 lines: what each function takes, and what it gives.

use crate::error::invalid;
use arrow::array::{
    Array, ArrayData, ArrayRef, AsArray, BinaryArray, Int64Array, ListArray, StructArray, make_array, new_null_array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::{CastOptions, cast, cast_with_options};
use arrow::datatypes::{DataType, Field, Fields};
use arrow_pyarrow::{FromPyArrow, PyArrowException, ToPyArrow};
use pyo3::exceptions::{PyException, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{IntoPyDict, PyList};
use std::sync::Arc;

/// A `pyarrow.RecordBatch`.
pub struct Batch<'py> {
    batch: Bound<'py, PyAny>,
    schema: Bound<'py, PyAny>,
    names: Vec<String>,
    pub rows: usize,
}

/// Arrow's errors as ours, and those of Python as they are.
fn of_arrow(py: Python<'_>, what: &str, e: PyErr) -> PyErr {
    match e.is_instance_of::<PyArrowException>(py) {
        true => invalid(format!("{what}: {}", e.value(py))),
        false => e,
    }
}

/// A record batch from whatever speaks Arrow: a record batch of pyarrow, or a table, or a frame of polars or pandas,
/// whose pieces are joined.
pub fn batch<'py>(any: &Bound<'py, PyAny>) -> PyResult<Batch<'py>> {
    let imported = import(any).and_then(|batch| {
        batch.call_method0("validate")?;
        Ok(batch)
    });
    let batch = imported.map_err(|e| of_arrow(any.py(), "batch", e))?;
    let schema = batch.getattr("schema")?;
    let names: Vec<String> = schema.getattr("names")?.extract()?;
    let mut sorted: Vec<&String> = names.iter().collect();
    sorted.sort_unstable();
    if let Some(two) = sorted.windows(2).find(|two| two[0] == two[1]) {
        return Err(invalid(format!("batch: two columns are named `{}`", two[0])));
    }
    Ok(Batch {
        rows: batch.getattr("num_rows")?.extract()?,
        batch,
        schema,
        names,
    })
}

fn import<'py>(any: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let pyarrow = any.py().import("pyarrow")?;
    let class = pyarrow.getattr("RecordBatch")?;
    if any.is_instance(&class)? {
        return Ok(any.clone());
    }
    if any.hasattr("__arrow_c_stream__")? {
        let readers = pyarrow.getattr("RecordBatchReader")?;
        let table = readers.call_method1("from_stream", (any,))?;
        return joined(&table.call_method0("read_all")?, &class);
    }
    // Other libraries' single batches.
    if any.hasattr("__arrow_c_array__")? {
        return pyarrow.call_method1("record_batch", (any,));
    }
    let name = any.get_type().name()?;
    Err(PyTypeError::new_err(format!(
        "batch: a {name} is no record batch; give a pyarrow.RecordBatch, or a table or frame of a library that \
         speaks Arrow (polars, pandas)"
    )))
}

/// A table as one batch of `class`.
fn joined<'py>(table: &Bound<'py, PyAny>, class: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
    let py = table.py();
    let arrays = PyList::empty(py);
    for column in table.getattr("columns")?.try_iter()? {
        let column = column?;
        let array = match column.getattr("num_chunks")?.extract::<usize>()? {
            1 => column.call_method1("chunk", (0,))?,
            pieces => {
                // Who joins them follows offsets and keys.
                if pieces > 1 {
                    let full = [("full", true)].into_py_dict(py)?;
                    column.call_method("validate", (), Some(&full))?;
                }
                column.call_method0("combine_chunks")?
            }
        };
        if array.hasattr("num_chunks")? {
            let kind = array.getattr("type")?;
            return Err(invalid(format!(
                "batch: a column of {kind} holds more than one batch can: cut it"
            )));
        }
        arrays.append(array)?;
    }
    let schema = [("schema", table.getattr("schema")?)].into_py_dict(py)?;
    class.call_method("from_arrays", (arrays,), Some(&schema))
}

/// An array of pyarrow, if all of it is sound.
fn sound(array: &Bound<'_, PyAny>, name: &str) -> PyResult<ArrayRef> {
    let data = ArrayData::from_pyarrow_bound(array);
    let data = data.map_err(|e| of_arrow(array.py(), name, e))?;
    Ok(make_array(data))
}

fn kind_of(array: &Bound<'_, PyAny>, name: &str) -> PyResult<DataType> {
    let kind = DataType::from_pyarrow_bound(&array.getattr("type")?);
    kind.map_err(|e| of_arrow(array.py(), name, e))
}

impl<'py> Batch<'py> {
    fn has(&self, name: &str) -> bool {
        self.names.iter().any(|there| there == name)
    }

    /// Column `name`, of pyarrow.
    fn there(&self, name: &str) -> PyResult<Bound<'py, PyAny>> {
        match self.names.iter().position(|there| there == name) {
            Some(at) => self.batch.call_method1("column", (at,)),
            None => Err(invalid(format!(
                "column `{name}` is missing; the batch has: {}",
                self.names.join(", ")
            ))),
        }
    }

    /// Column `name` as `wanted`, whatever kind of it (large, views, dictionaries) it is.
    fn column(&self, name: &str, wanted: &DataType) -> PyResult<ArrayRef> {
        let array = self.there(name)?;
        check(&kind_of(&array, name)?, name, wanted)?;
        convert(&sound(&array, &format!("column `{name}`"))?, name, wanted)
    }

    /// `self` with `columns` in place of those of the same names, or after all others.
    pub fn with(&self, without: &[&str], columns: Vec<(&str, ArrayRef)>) -> PyResult<Bound<'py, PyAny>> {
        let py = self.batch.py();
        let pyarrow = py.import("pyarrow")?;
        let (fields, arrays) = (PyList::empty(py), PyList::empty(py));
        for (at, name) in self.names.iter().enumerate() {
            let name = name.as_str();
            if !without.contains(&name) && columns.iter().all(|(new, _)| *new != name) {
                fields.append(self.schema.call_method1("field", (at,))?)?;
                arrays.append(self.batch.call_method1("column", (at,))?)?;
            }
        }
        for (name, array) in columns {
            let array = array.to_data().to_pyarrow(py)?;
            fields.append(pyarrow.call_method1("field", (name, array.getattr("type")?))?)?;
            arrays.append(array)?;
        }
        let schema = pyarrow.call_method1("schema", (fields, self.schema.getattr("metadata")?))?;
        let schema = [("schema", schema)].into_py_dict(py)?;
        let class = pyarrow.getattr("RecordBatch")?;
        class.call_method("from_arrays", (arrays,), Some(&schema))
    }
}

/// Refuses what is no `wanted` of any kind.
fn check(kind: &DataType, name: &str, wanted: &DataType) -> PyResult<()> {
    let like = match wanted {
        DataType::Utf8 => is_text(kind),
        DataType::Binary => is_bytes(kind),
        DataType::Int64 => kind.is_integer(),
        DataType::Float64 => kind.is_numeric(),
        _ => true,
    };
    // A column of nulls alone has no type of its own.
    match like || *kind == DataType::Null {
        true => Ok(()),
        false => Err(invalid(format!("column `{name}` is {kind}; wanted: {wanted}"))),
    }
}

/// An array as `wanted`; of one that is sound.
fn convert(array: &ArrayRef, name: &str, wanted: &DataType) -> PyResult<ArrayRef> {
    check(array.data_type(), name, wanted)?;
    // A number that has no place in the type is an error, and no null.
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    cast_with_options(&small(array, name)?, wanted, &options).map_err(|e| invalid(format!("column `{name}`: {e}")))
}

/// Refuses what a column of strings or bytes cannot hold: views, dictionaries and large columns can have more than 2
/// GiB. Of a slice of a large column that starts behind so much, a copy. The array has been validated.
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
            if values.is_empty() {
                return Ok(new_null_array(&DataType::Utf8, array.len()));
            }
            let values = cast(&small(values, name)?, &DataType::Utf8).map_err(|e| invalid(e.to_string()))?;
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
    let far = |offsets: &[i64]| offsets.last().is_some_and(|last| *last > i64::from(i32::MAX));
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
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_)
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

/// A column of strings. That they are UTF-8 is asked row by row, by whoever works on the row: all of it at once would
/// be a good part of the work, on one thread, and of a slice arrow asks about the whole array.
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
pub fn texts_or_null<'a>(batch: &Batch<'_>, name: &'a str) -> PyResult<Texts<'a>> {
    let array = batch.there(name)?;
    // As bytes, for arrow asks about strings as a whole (see `Texts`).
    let bytes = match kind_of(&array, name)? {
        DataType::Utf8 => Some("binary"),
        DataType::LargeUtf8 => Some("large_binary"),
        _ => None,
    };
    let column = format!("column `{name}`");
    let array = match bytes {
        Some(bytes) => {
            let relabelled = array.call_method1("cast", (bytes,));
            sound(&relabelled.map_err(|e| of_arrow(array.py(), &column, e))?, &column)?
        }
        None => cast(&batch.column(name, &DataType::Utf8)?, &DataType::Binary)
            .map_err(|e| invalid(format!("{column}: {e}")))?,
    };
    let bytes = down(&convert(&array, name, &DataType::Binary)?, name)?;
    Ok(Texts { name, bytes })
}

/// The same, if there is such a column.
pub fn texts_if_there<'a>(batch: &Batch<'_>, name: &'a str) -> PyResult<Option<Texts<'a>>> {
    match batch.has(name) {
        true => texts_or_null(batch, name).map(Some),
        false => Ok(None),
    }
}

/// Column `name` of strings.
pub fn texts<'a>(batch: &Batch<'_>, name: &'a str) -> PyResult<Texts<'a>> {
    let texts = texts_or_null(batch, name)?;
    is_whole(&texts.bytes, name)?;
    Ok(texts)
}

/// Column `name` of bytes.
pub fn bytes(batch: &Batch<'_>, name: &str) -> PyResult<BinaryArray> {
    let array: BinaryArray = down(&batch.column(name, &DataType::Binary)?, name)?;
    is_whole(&array, name)?;
    Ok(array)
}

/// Column `name` of whole numbers.
pub fn integers(batch: &Batch<'_>, name: &str) -> PyResult<Int64Array> {
    let array: Int64Array = down(&batch.column(name, &DataType::Int64)?, name)?;
    is_whole(&array, name)?;
    Ok(array)
}

/// Column `name` of numbers.
pub fn floats(batch: &Batch<'_>, name: &str) -> PyResult<arrow::array::Float64Array> {
    let array = down(&batch.column(name, &DataType::Float64)?, name)?;
    is_whole(&array, name)?;
    Ok(array)
}

/// The hash in row `row` of column `name`: 16 bytes, the most significant first.
pub fn hash(array: &BinaryArray, name: &str, row: usize) -> PyResult<u128> {
    let bytes = array.value(row).try_into().map_err(|_| {
        let len = array.value(row).len();
        invalid(format!("column `{name}`, row {row}: {len} bytes; a hash has 16"))
    })?;
    Ok(u128::from_be_bytes(bytes))
}

/// What a page loses, by row: places, and where on the same page the copy is that stays.
pub struct Drops {
    lists: ListArray,
    positions: Int64Array,
    same_pages: Int64Array,
}

/// Lists of dicts of whole numbers, and nothing else: pyarrow follows a list that holds itself for ever.
fn listed<'py>(any: &Bound<'py, PyAny>) -> PyResult<Vec<Bound<'py, PyAny>>> {
    let rows: Vec<_> = any.try_iter()?.collect::<PyResult<_>>()?;
    // Scalars of pyarrow hold what arrays hold.
    let inner = |any: &Bound<'_, PyAny>| PyResult::Ok(!any.is_none() && !any.hasattr("as_py")?);
    for row in &rows {
        if inner(row)? {
            for item in row.try_iter()? {
                let item = item?;
                if inner(&item)? {
                    for value in item.call_method0("values")?.try_iter()? {
                        let value = value?;
                        if inner(&value)? && !value.hasattr("__index__")? {
                            let kind = value.get_type().name()?;
                            return Err(invalid(format!("a {kind} is no whole number")));
                        }
                    }
                }
            }
        }
    }
    Ok(rows)
}

impl Drops {
    /// Whatever pyarrow makes an array of.
    pub fn import(any: &Bound<'_, PyAny>, rows: usize) -> PyResult<Drops> {
        let py = any.py();
        let pyarrow = py.import("pyarrow")?;
        // A column of a table is in chunks; a series of polars and a list are no arrays yet.
        let array = if any.hasattr("__arrow_c_stream__")? {
            let chunks = pyarrow.call_method1("chunked_array", (any,));
            chunks.and_then(|chunks| {
                let full = [("full", true)].into_py_dict(py)?;
                chunks.call_method("validate", (), Some(&full))?;
                chunks.call_method0("combine_chunks")
            })
        } else if any.hasattr("__arrow_c_array__")? {
            pyarrow.call_method1("array", (any,))
        } else {
            listed(any).and_then(|rows| pyarrow.call_method1("array", (rows,)))
        };
        let array = array.and_then(|array| {
            array.call_method0("validate")?;
            Ok(array)
        });
        let wrong = |e: PyErr| match e.is_instance_of::<PyException>(py) {
            true => invalid(format!("drops: {e}")),
            false => e,
        };
        let array = array.map_err(wrong)?;
        // Of what kind it is, before it is looked at.
        Drops::items(&kind_of(&array, "drops")?)?;
        Drops::new(&sound(&array, "drops")?, rows)
    }

    /// The type of the structs in lists of type `kind`.
    fn items(kind: &DataType) -> PyResult<DataType> {
        let number = |name: &str| Field::new(name, DataType::Int64, true);
        let none = || DataType::Struct(Fields::from(vec![number("position"), number("same_page")]));
        let item = match kind {
            DataType::Null => return Ok(none()),
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => item.data_type(),
            other => other,
        };
        match item {
            DataType::Null => Ok(none()),
            DataType::Struct(fields) if item != kind => {
                for name in ["position", "same_page"] {
                    let Some((_, field)) = fields.find(name) else {
                        return Err(invalid(format!("drops: the structs have no `{name}`")));
                    };
                    check(field.data_type(), &format!("drops.{name}"), &DataType::Int64)?;
                }
                Ok(item.clone())
            }
            _ => Err(invalid(format!(
                "drops is {kind}; wanted: lists of structs of position and same_page, whole numbers"
            ))),
        }
    }

    /// `drops` of `rows` rows: lists of `{position, same_page}`.
    fn new(drops: &ArrayRef, rows: usize) -> PyResult<Drops> {
        if drops.len() != rows {
            let has = drops.len();
            return Err(invalid(format!(
                "drops: {has} lists for {rows} pages; one a page is wanted"
            )));
        }
        let items = Drops::items(drops.data_type())?;
        let like = DataType::List(Arc::new(Field::new_list_field(items, true)));
        let lists: ListArray = down(&convert(drops, "drops", &like)?, "drops")?;
        let items: StructArray = down(lists.values(), "drops")?;
        let field = |name: &str| -> PyResult<Int64Array> {
            let array = items.column_by_name(name).ok_or_else(|| invalid("drops"))?;
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
