//! Converts rows between the sender's batch, the log and memory.
//!
//! The log stores only non-empty columns, with compacted string buffers, as one Arrow IPC stream, compressed if that saves space. Decoding
//! returns an equal batch, so queries see the same rows before and after a restart.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, RecordBatchOptions, StringViewArray, new_null_array};
use arrow::buffer::Buffer;
use arrow::compute::{cast, concat};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::StreamWriter;
use bytes::Bytes;
use model::{AppendError, INGESTION_TIME, TableSchema, Timestamp, Type};

use crate::snapshot::{MemoryBatch, TimeRange};

/// Smaller batches are logged uncompressed.
const COMPRESS_FROM: usize = 1 << 10;
const PLAIN: u8 = 0;
const ZSTD: u8 = 1;
/// Upper bound on a batch's inflated size; a larger length means damage.
const MAX_INFLATED: usize = 1 << 30;

/// Why logged rows cannot be decoded.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    #[error("the rows are cut short")]
    Short,
    #[error("the rows are packed in a way this version does not know")]
    Packing,
    #[error("cannot inflate the rows")]
    Inflate(#[source] std::io::Error),
    #[error("cannot read the rows")]
    Arrow(#[from] ArrowError),
}

/// Checks the batch against the table and keeps the non-empty columns, with compacted buffers.
pub fn compact(schema: &TableSchema, batch: &RecordBatch) -> Result<RecordBatch, AppendError> {
    let bad =
        |column: &str, ty: &DataType| AppendError::Column { table: schema.name.clone(), column: column.to_owned(), ty: ty.to_string() };
    let mut fields = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::new();
    for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let declared = schema.column(field.name()).ok_or_else(|| bad(field.name(), array.data_type()))?;
        let twice = fields.iter().any(|earlier: &Field| earlier.name() == field.name());
        if declared.ty.arrow() != *array.data_type() || twice {
            return Err(bad(field.name(), array.data_type()));
        }
        if is_void(declared.ty, array.as_ref()) {
            continue;
        }
        let array = match array.data_type() {
            DataType::Utf8View => Arc::new(array.as_string_view().gc()) as ArrayRef,
            _ => array.clone(),
        };
        fields.push(Field::new(field.name(), array.data_type().clone(), true));
        columns.push(array);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options).map_err(|_| bad("", &DataType::Null))
}

/// True if the column is entirely null, or entirely empty text for a type that does not distinguish null from empty.
pub fn is_void(ty: Type, array: &dyn Array) -> bool {
    if array.null_count() == array.len() {
        return true;
    }
    ty == Type::String && array.as_string_view_opt().is_some_and(|texts| texts.iter().all(|text| text.is_none_or(str::is_empty)))
}

/// Encodes compacted rows for the log.
pub fn encode(batch: &RecordBatch) -> Result<Bytes, CodecError> {
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        // Views take 16 bytes per value and compress poorly.
        let array = if *array.data_type() == DataType::Utf8View { cast(array, &DataType::Utf8)? } else { array.clone() };
        fields.push(Field::new(field.name(), array.data_type().clone(), true));
        columns.push(array);
    }
    let schema = Schema::new(fields);
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    let plain = RecordBatch::try_new_with_options(Arc::new(schema.clone()), columns, &options)?;
    let mut stream = Vec::new();
    let mut writer = StreamWriter::try_new(&mut stream, &schema)?;
    writer.write(&plain)?;
    writer.finish()?;
    drop(writer);
    let mut out = Vec::with_capacity(stream.len() / 2 + 8);
    if stream.len() >= COMPRESS_FROM {
        out.push(ZSTD);
        out.extend_from_slice(&(stream.len() as u32).to_le_bytes());
        let packed = zstd::bulk::compress(&stream, 1).map_err(CodecError::Inflate)?;
        if packed.len() < stream.len() {
            out.extend_from_slice(&packed);
            return Ok(out.into());
        }
        out.clear();
    }
    out.push(PLAIN);
    out.extend_from_slice(&stream);
    Ok(out.into())
}

/// Decodes compacted rows.
pub fn decode(bytes: &Bytes) -> Result<RecordBatch, CodecError> {
    let stream = match bytes.first() {
        None => return Err(CodecError::Short),
        Some(&PLAIN) => Buffer::from(bytes.slice(1..)),
        Some(&ZSTD) => {
            let length =
                bytes.get(1..5).and_then(|length| length.try_into().ok()).map(u32::from_le_bytes).ok_or(CodecError::Short)? as usize;
            if length > MAX_INFLATED {
                return Err(CodecError::Packing);
            }
            Buffer::from_vec(zstd::bulk::decompress(&bytes[5..], length).map_err(CodecError::Inflate)?)
        }
        Some(_) => return Err(CodecError::Packing),
    };
    let mut buffer = stream;
    let mut decoder = StreamDecoder::new();
    let mut batch = None;
    while batch.is_none() && !buffer.is_empty() {
        batch = decoder.decode(&mut buffer)?;
    }
    let batch = batch.ok_or(CodecError::Short)?;
    let mut fields = Vec::new();
    let mut columns = Vec::new();
    for (field, array) in batch.schema_ref().fields().iter().zip(batch.columns()) {
        let array = if *array.data_type() == DataType::Utf8 { cast(array, &DataType::Utf8View)? } else { array.clone() };
        fields.push(Field::new(field.name(), array.data_type().clone(), true));
        columns.push(array);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
    Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?)
}

/// Values the workspace adds to every row of a table, such as `Type`.
pub type Constants = [(&'static str, String)];

/// Converts compacted rows to the memory layout: adds the ingestion time, and the constants for columns that the table has and the sender
/// omitted.
pub fn to_memory(schema: &TableSchema, batch: &RecordBatch, ingested: Timestamp, constants: &Constants) -> Result<MemoryBatch, CodecError> {
    let rows = batch.num_rows();
    let mut fields: Vec<Field> = batch.schema_ref().fields().iter().map(|field| field.as_ref().clone()).collect();
    let mut columns = batch.columns().to_vec();
    for (name, value) in constants {
        let wanted = schema.column(name).is_some_and(|column| column.ty == Type::String);
        if wanted && batch.column_by_name(name).is_none() {
            fields.push(Field::new(*name, DataType::Utf8View, true));
            columns.push(repeated(value, rows));
        }
    }
    fields.push(Field::new(INGESTION_TIME, DataType::Int64, false));
    columns.push(Arc::new(Int64Array::from_value(ingested.ticks(), rows)));
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
    Ok(measured(batch, TimeRange { first: ingested, last: ingested }))
}

/// A column of `rows` copies of one text over a single buffer.
fn repeated(value: &str, rows: usize) -> ArrayRef {
    let one = StringViewArray::from(vec![value]);
    let views = vec![one.views()[0]; rows];
    let parts = StringViewArray::try_new(views.into(), one.data_buffers().to_vec(), None);
    Arc::new(parts.unwrap_or_else(|_| StringViewArray::from(vec![value; rows])))
}

fn measured(batch: RecordBatch, ingested: TimeRange) -> MemoryBatch {
    let time = batch.column_by_name("TimeGenerated").and_then(|times| time_range(times.as_ref()));
    let bytes = batch.get_array_memory_size();
    MemoryBatch { batch, time, ingested, bytes }
}

/// Minimum and maximum tick of a column in memory layout.
pub fn time_range(times: &dyn Array) -> Option<TimeRange> {
    let ticks = times.as_primitive_opt::<Int64Type>()?;
    let (first, last) = (arrow::compute::min(ticks)?, arrow::compute::max(ticks)?);
    Some(TimeRange { first: Timestamp::clamp_ticks(first), last: Timestamp::clamp_ticks(last) })
}

/// Concatenates two adjacent batches.
pub fn merge(first: &MemoryBatch, second: &MemoryBatch) -> Result<MemoryBatch, CodecError> {
    let mut fields: Vec<Field> = Vec::new();
    for field in first.batch.schema_ref().fields().iter().chain(second.batch.schema_ref().fields()) {
        if !fields.iter().any(|known| known.name() == field.name()) {
            fields.push(field.as_ref().clone());
        }
    }
    let mut columns = Vec::with_capacity(fields.len());
    for field in &fields {
        let part = |batch: &RecordBatch| match batch.column_by_name(field.name()) {
            Some(array) => array.clone(),
            None => new_null_array(field.data_type(), batch.num_rows()),
        };
        let (left, right) = (part(&first.batch), part(&second.batch));
        let joined = concat(&[left.as_ref(), right.as_ref()])?;
        columns.push(match joined.as_string_view_opt() {
            Some(texts) => Arc::new(texts.gc()) as ArrayRef,
            None => joined,
        });
    }
    let fields: Vec<Field> = fields.into_iter().map(|field| field.with_nullable(true)).collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?;
    Ok(measured(batch, first.ingested.union(second.ingested)))
}

#[cfg(test)]
mod tests {
    use arrow::array::{BooleanArray, Float64Array};
    use model::Column;

    use super::*;

    fn table() -> TableSchema {
        let columns = [
            ("TimeGenerated", Type::Datetime),
            ("Name", Type::String),
            ("Up", Type::Bool),
            ("Note", Type::String),
            ("X", Type::Real),
            ("Type", Type::String),
        ];
        TableSchema::new("T_CL", columns.map(|(name, ty)| Column::new(name, ty)).to_vec())
    }

    fn batch() -> RecordBatch {
        RecordBatch::try_from_iter_with_nullable([
            (
                "Name",
                Arc::new(StringViewArray::from(vec![Some("a"), None, Some("a text that is longer than twelve bytes")])) as ArrayRef,
                true,
            ),
            ("Up", Arc::new(BooleanArray::from(vec![Some(true), None, Some(false)])) as ArrayRef, true),
            ("Note", Arc::new(StringViewArray::from(vec![Some(""), None, Some("")])) as ArrayRef, true),
            ("X", Arc::new(Float64Array::from(vec![None, None, None])) as ArrayRef, true),
            ("TimeGenerated", Arc::new(Int64Array::from(vec![Some(30), None, Some(10)])) as ArrayRef, true),
        ])
        .unwrap()
    }

    #[test]
    fn rows_round_trip_without_empty_columns() {
        let compacted = compact(&table(), &batch()).unwrap();
        let names: Vec<_> = compacted.schema().fields().iter().map(|field| field.name().clone()).collect();
        assert_eq!(names, ["Name", "Up", "TimeGenerated"]);
        assert_eq!(decode(&encode(&compacted).unwrap()).unwrap(), compacted);
        let memory = to_memory(&table(), &compacted, Timestamp::clamp_ticks(77), &[("Type", "T_CL".to_owned())]).unwrap();
        assert_eq!(memory.time, Some(TimeRange { first: Timestamp::clamp_ticks(10), last: Timestamp::clamp_ticks(30) }));
        assert_eq!(memory.column("Type").unwrap().as_string_view().value(2), "T_CL");
        let twice = merge(&memory, &memory).unwrap();
        assert_eq!(twice.batch.num_rows(), 6);
        assert_eq!(twice.column("Name").unwrap().as_string_view().value(5), "a text that is longer than twelve bytes");
    }

    #[test]
    fn a_wrong_column_is_named() {
        let unknown = RecordBatch::try_from_iter([("Nope", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]).unwrap();
        assert_eq!(compact(&table(), &unknown).unwrap_err().to_string(), "table `T_CL` has no column `Nope` of type Int64");
        let mistyped = RecordBatch::try_from_iter([("Up", Arc::new(Int64Array::from(vec![1])) as ArrayRef)]).unwrap();
        assert!(compact(&table(), &mistyped).is_err());
    }

    #[test]
    fn damaged_rows_are_an_error() {
        let bytes = encode(&compact(&table(), &batch()).unwrap()).unwrap();
        for length in 0..bytes.len() {
            let _ = decode(&bytes.slice(..length));
        }
        assert!(decode(&Bytes::from_static(&[9, 9, 9])).is_err());
    }
}
