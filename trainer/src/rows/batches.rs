//! Rows of Arrow files, Arrow streams and Parquet files.

use super::{Place, Row, Rows};
use crate::Error;
use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type, Int64Type, UInt64Type};
use c4_data::{BatchLimit, Container, RecordBatches};
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

/// The rows of a file of record batches.
pub(super) struct BatchRows {
    path: PathBuf,
    batches: RecordBatches,
    columns: Vec<String>,
    /// The columns of the batch in hand, in the order they were asked for; `None`: the file has none of this name.
    batch: Vec<Option<Column>>,
    rows: usize,
    next: usize,
    /// Rows that were read, from the file's start.
    number: u64,
}

impl BatchRows {
    pub fn open(
        path: &Path,
        container: Container,
        columns: Vec<String>,
        limit: BatchLimit,
        row: u64,
    ) -> Result<BatchRows, Error> {
        let names: Vec<&str> = columns.iter().map(String::as_str).collect();
        let mut batches = RecordBatches::open(path, container, Some(&names), limit)?;
        let number = batches.seek(row)?;
        Ok(BatchRows {
            path: path.to_owned(),
            batches,
            columns,
            batch: Vec::new(),
            rows: 0,
            next: 0,
            number,
        })
    }

    fn columns_of(&self, batch: &RecordBatch) -> Result<Vec<Option<Column>>, Error> {
        let column = |name: &String| {
            batch
                .column_by_name(name)
                .map(|array| Column::new(array, &self.path, name))
        };
        self.columns.iter().map(|name| column(name).transpose()).collect()
    }
}

impl Rows for BatchRows {
    fn next(&mut self) -> Result<Option<Row>, Error> {
        while self.next == self.rows {
            let Some(batch) = self.batches.next()? else {
                return Ok(None);
            };
            self.batch = self.columns_of(&batch)?;
            (self.next, self.rows) = (0, batch.num_rows());
        }
        let at = self.next;
        self.next += 1;
        self.number += 1;
        let value = |column: &Option<Column>| column.as_ref().map_or(Value::Null, |column| column.value(at));
        Ok(Some(self.batch.iter().map(value).collect()))
    }

    fn place(&self) -> Place {
        Place::Row(self.number)
    }
}

/// A column of a batch, its type brought to one of few.
enum Column {
    Text(ArrayRef),
    Int(ArrayRef),
    Unsigned(ArrayRef),
    Float(ArrayRef),
    Bool(ArrayRef),
    List(ArrayRef, Box<Column>),
    Struct(ArrayRef, Vec<(String, Column)>),
}

impl Column {
    fn new(array: &ArrayRef, path: &Path, name: &str) -> Result<Column, Error> {
        let wrong = |problem: String| Error::format(path, format!("column `{name}` {problem}"));
        let to = |wanted: &DataType| cast(array, wanted).map_err(|e| wrong(format!("cannot be read: {e}")));
        let inner = |array: &ArrayRef| Column::new(array, path, name).map(Box::new);
        Ok(match array.data_type() {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => Column::Text(to(&DataType::LargeUtf8)?),
            DataType::Dictionary(_, value) => Column::new(&to(value)?, path, name)?,
            DataType::Boolean => Column::Bool(array.clone()),
            DataType::UInt64 => Column::Unsigned(array.clone()),
            kind if kind.is_integer() => Column::Int(to(&DataType::Int64)?),
            kind if kind.is_floating() => Column::Float(to(&DataType::Float64)?),
            DataType::List(field) | DataType::FixedSizeList(field, _) => {
                let list = to(&DataType::LargeList(field.clone()))?;
                let values = inner(list.as_list::<i64>().values())?;
                Column::List(list, values)
            }
            DataType::LargeList(_) => Column::List(array.clone(), inner(array.as_list::<i64>().values())?),
            DataType::Struct(fields) => {
                let parts = array.as_struct().columns().iter().zip(fields);
                let parts = parts.map(|(part, field)| Ok((field.name().clone(), Column::new(part, path, name)?)));
                Column::Struct(array.clone(), parts.collect::<Result<_, Error>>()?)
            }
            // A column of nothing but nulls; text is as good as any type.
            DataType::Null => Column::Text(to(&DataType::LargeUtf8)?),
            other => return Err(wrong(format!("holds {other}, which no task and no corpus reads"))),
        })
    }

    fn value(&self, at: usize) -> Value {
        let (Column::Text(array)
        | Column::Int(array)
        | Column::Unsigned(array)
        | Column::Float(array)
        | Column::Bool(array)
        | Column::List(array, _)
        | Column::Struct(array, _)) = self;
        if array.is_null(at) {
            return Value::Null;
        }
        match self {
            Column::Text(array) => array.as_string::<i64>().value(at).into(),
            Column::Int(array) => array.as_primitive::<Int64Type>().value(at).into(),
            Column::Unsigned(array) => array.as_primitive::<UInt64Type>().value(at).into(),
            Column::Float(array) => array.as_primitive::<Float64Type>().value(at).into(),
            Column::Bool(array) => array.as_boolean().value(at).into(),
            Column::List(array, values) => {
                let offsets = array.as_list::<i64>().value_offsets();
                let range = offsets[at] as usize..offsets[at + 1] as usize;
                range.map(|i| values.value(i)).collect()
            }
            Column::Struct(_, parts) => {
                let parts = parts.iter().map(|(name, part)| (name.clone(), part.value(at)));
                Value::Object(parts.collect::<Map<_, _>>())
            }
        }
    }
}
