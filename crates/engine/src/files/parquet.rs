//! Parquet: foreign columns converted to ours, in memory or on demand.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::array::{Array, ArrayRef};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use arrow::record_batch::RecordBatch;
use model::{Column, InlineTable, TableSchema, Type, arrow_schema};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::reader::ChunkReader;

use super::parts::{Part, completed};
use super::{FileError, FileTable, Progress};
use crate::direct::ParquetFile;

/// A Parquet file that queries read on demand. Known columns that the file lacks are null.
pub(super) fn on_demand(name: &str, path: &Path, known: &[Column]) -> Result<FileTable, FileError> {
    let file = ParquetFile::open(path).map_err(|cause| FileError::Parquet { path: path.to_owned(), cause })?;
    let columns = completed(&columns_of(path, file.schema().fields())?, known);
    let table = InlineTable { schema: TableSchema::new(name, columns), batches: Vec::new() };
    Ok(FileTable { table: Arc::new(table), parquet: Some(Arc::new(file)), listed: true })
}

/// Maps columns of a foreign schema to ours.
fn columns_of(path: &Path, fields: &arrow::datatypes::Fields) -> Result<Vec<Column>, FileError> {
    let column = |field: &Arc<arrow::datatypes::Field>| {
        let ty = kusto_type(field.data_type());
        let ty =
            ty.ok_or_else(|| FileError::Type { path: path.to_owned(), column: field.name().clone(), ty: field.data_type().clone() })?;
        Ok(Column::new(field.name().clone(), ty))
    };
    fields.iter().map(column).collect()
}

/// All rows of a Parquet file.
pub(super) fn in_memory<R: ChunkReader + 'static>(path: &Path, file: R, progress: &Progress) -> Result<Part, FileError> {
    let bad = |cause| FileError::Parquet { path: path.to_owned(), cause };
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).map_err(bad)?.build().map_err(bad)?;
    let columns = columns_of(path, arrow::record_batch::RecordBatchReader::schema(&reader).fields())?;
    let schema = arrow_schema(&columns);
    let mut batches = Vec::new();
    for batch in reader {
        let layout = |cause| FileError::Layout { path: path.to_owned(), cause };
        let batch = batch.map_err(layout)?;
        progress.rows.fetch_add(batch.num_rows() as u64, Ordering::Relaxed);
        let arrays = batch
            .columns()
            .iter()
            .zip(&columns)
            .map(|(array, column)| convert(array, column.ty))
            .collect::<Result<_, _>>()
            .map_err(layout)?;
        batches.push(RecordBatch::try_new(schema.clone(), arrays).map_err(layout)?);
    }
    Ok(Part { path: path.to_owned(), columns, batches })
}

/// Maps a foreign column type to a KQL type.
fn kusto_type(ty: &DataType) -> Option<Type> {
    Some(match ty {
        DataType::Boolean => Type::Bool,
        DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::UInt8 | DataType::UInt16 => Type::Int,
        DataType::Int64 | DataType::UInt32 | DataType::UInt64 => Type::Long,
        DataType::Float16 | DataType::Float32 | DataType::Float64 => Type::Real,
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => Type::Decimal,
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => Type::String,
        DataType::Dictionary(_, of) => kusto_type(of)?,
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 => Type::Datetime,
        DataType::Duration(_) => Type::Timespan,
        _ => return None,
    })
}

/// Converts a foreign column to our in-memory representation.
pub(crate) fn convert(array: &ArrayRef, ty: Type) -> Result<ArrayRef, arrow::error::ArrowError> {
    let safe = CastOptions { safe: true, ..CastOptions::default() };
    let ticks = |unit: &TimeUnit, values: &ArrayRef, epoch: i64| {
        let values = arrow::array::AsArray::as_primitive::<Int64Type>(values);
        let scaled = |n: i64| match unit {
            TimeUnit::Second => n.saturating_mul(10_000_000),
            TimeUnit::Millisecond => n.saturating_mul(10_000),
            TimeUnit::Microsecond => n.saturating_mul(10),
            TimeUnit::Nanosecond => n.div_euclid(100),
        };
        Arc::new(values.unary::<_, Int64Type>(|n| scaled(n).saturating_add(epoch))) as ArrayRef
    };
    match array.data_type() {
        DataType::Timestamp(unit, _) => Ok(ticks(unit, &cast_with_options(array, &DataType::Int64, &safe)?, UNIX_EPOCH)),
        DataType::Date32 | DataType::Date64 => {
            let millis = cast_with_options(&cast_with_options(array, &DataType::Date64, &safe)?, &DataType::Int64, &safe)?;
            Ok(ticks(&TimeUnit::Millisecond, &millis, UNIX_EPOCH))
        }
        DataType::Duration(unit) => Ok(ticks(unit, &cast_with_options(array, &DataType::Int64, &safe)?, 0)),
        _ => {
            let cast = cast_with_options(array, &ty.arrow(), &safe)?;
            Ok(if ty == Type::String && cast.null_count() > 0 { crate::internal::fill(cast) } else { cast })
        }
    }
}

/// Ticks between 0001-01-01 and 1970-01-01.
const UNIX_EPOCH: i64 = 621_355_968_000_000_000;
