//! Converts JSON rows to Arrow columns, by the schema of their table.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, StringViewArray};
use arrow::datatypes::{Field, Schema};
use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use model::{Column, Span, TableSchema, Timestamp, Type};
use serde_json::{Map, Value};

/// Why rows do not fit their table.
#[derive(Debug, thiserror::Error)]
pub enum RowError {
    #[error("table `{table}` has no column of these rows")]
    NoColumns { table: String },
    #[error("the rows of table `{table}` make no batch")]
    Batch {
        table: String,
        #[source]
        cause: ArrowError,
    },
}

/// The rows as a batch of those columns of `schema` that occur in them. A value of the wrong type becomes null (an empty string in a string
/// column): a table with a different user-defined schema must not block the others.
pub fn batch(schema: &TableSchema, rows: &[&Map<String, Value>]) -> Result<RecordBatch, RowError> {
    let (mut fields, mut arrays) = (Vec::new(), Vec::new());
    for column in &schema.columns {
        if rows.iter().any(|row| row.contains_key(&column.name))
            && let Some(array) = array(column, rows)
        {
            fields.push(Field::new(&column.name, column.ty.arrow(), true));
            arrays.push(array);
        }
    }
    if fields.is_empty() {
        return Err(RowError::NoColumns { table: schema.name.to_string() });
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).map_err(|cause| RowError::Batch { table: schema.name.to_string(), cause })
}

fn array(column: &Column, rows: &[&Map<String, Value>]) -> Option<ArrayRef> {
    let values = || rows.iter().map(|row| row.get(&column.name).filter(|value| !value.is_null()));
    Some(match column.ty {
        Type::String => Arc::new(StringViewArray::from_iter_values(values().map(|value| match value {
            None => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }))),
        Type::Guid => Arc::new(StringViewArray::from_iter(values().map(|value| value.and_then(Value::as_str).map(str::to_lowercase)))),
        Type::Dynamic => Arc::new(StringViewArray::from_iter(values().map(|value| value.map(Value::to_string)))),
        Type::Bool => Arc::new(BooleanArray::from_iter(values().map(|value| value.and_then(Value::as_bool)))),
        Type::Int => {
            Arc::new(Int32Array::from_iter(values().map(|value| value.and_then(Value::as_i64).and_then(|n| i32::try_from(n).ok()))))
        }
        Type::Long => Arc::new(Int64Array::from_iter(values().map(|value| value.and_then(Value::as_i64)))),
        Type::Real => Arc::new(Float64Array::from_iter(values().map(|value| value.and_then(Value::as_f64)))),
        Type::Datetime => Arc::new(Int64Array::from_iter(
            values().map(|value| value.and_then(Value::as_str).and_then(Timestamp::parse_iso).map(Timestamp::ticks)),
        )),
        Type::Timespan => Arc::new(Int64Array::from_iter(
            values().map(|value| value.and_then(Value::as_str).and_then(Span::parse_clock).map(Span::ticks)),
        )),
        // Our rows have none.
        Type::Decimal => return None,
    })
}
