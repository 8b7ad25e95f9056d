//! Parquet files: encoding from memory, and merging adjacent files. The layout is described in `snapshot`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int8Array, Int64Array, RecordBatch, TimestampMicrosecondArray, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Int64Type, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use bytes::Bytes;
use model::{DataFault, INGESTION_TIME, TICKS_PER_MICROSECOND, Type, UNIX_EPOCH_TICKS};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use crate::catalog::StoredColumn;
use crate::codec::is_void;
use crate::proof::{TailProof, check_chunks, check_tail, chunk_sums};
use crate::snapshot::{MemoryBatch, tenth_name};

/// Rows per row group: the granularity of time pruning and of the work of one thread.
const ROW_GROUP: usize = 128 * 1024;

/// Why rows cannot be written to a file.
#[derive(Debug, thiserror::Error)]
pub enum DataFileError {
    #[error("cannot lay out the rows for a file")]
    Arrow(#[from] ArrowError),
    #[error("cannot encode or decode a Parquet file")]
    Parquet(#[from] ParquetError),
    #[error("the file {0}")]
    Damaged(DataFault),
}

/// An encoded file, not yet on disk.
pub struct Encoded {
    pub bytes: Vec<u8>,
    pub rows: u64,
    /// Physical column names, without hidden columns.
    pub columns: Vec<String>,
    pub proof: TailProof,
}

/// The Arrow type a column has in the files.
pub fn disk_type(ty: Type) -> DataType {
    match ty {
        Type::Datetime => timestamp(),
        Type::String | Type::Guid | Type::Dynamic => DataType::Utf8,
        other => other.arrow(),
    }
}

fn timestamp() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

struct Plan {
    /// Index into the table's columns; `None` for [`INGESTION_TIME`].
    name: String,
    physical: String,
    ty: Type,
    tenth: bool,
}

/// Encodes all batches, in order, as one file.
pub fn encode(columns: &[StoredColumn], batches: &[Arc<MemoryBatch>]) -> Result<Encoded, DataFileError> {
    let mut plans: Vec<Plan> = Vec::new();
    for column in columns {
        let arrays = || batches.iter().filter_map(|batch| batch.column(&column.name));
        if arrays().all(|array| is_void(column.ty, array.as_ref())) {
            continue;
        }
        let tenth = column.ty == Type::Datetime && arrays().any(|array| has_tenths(array.as_ref()));
        plans.push(Plan { name: column.name.clone(), physical: column.physical().to_owned(), ty: column.ty, tenth });
    }
    let names = plans.iter().map(|plan| plan.physical.clone()).collect();
    let tenth = batches.iter().filter_map(|batch| batch.column(INGESTION_TIME)).any(|array| has_tenths(array.as_ref()));
    plans.push(Plan { name: INGESTION_TIME.to_owned(), physical: INGESTION_TIME.to_owned(), ty: Type::Datetime, tenth });

    let mut fields = Vec::new();
    for plan in &plans {
        fields.push(Field::new(&plan.physical, disk_type(plan.ty), true));
        if plan.tenth {
            fields.push(Field::new(tenth_name(&plan.physical), DataType::Int8, true));
        }
    }
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let mut writer = Writer::new(schema.clone())?;
    for batch in batches {
        let rows = batch.batch.num_rows();
        let mut arrays: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
        for plan in &plans {
            match batch.column(&plan.name) {
                None => {
                    arrays.push(new_null_array(&disk_type(plan.ty), rows));
                    if plan.tenth {
                        arrays.push(new_null_array(&DataType::Int8, rows));
                    }
                }
                Some(array) if plan.ty == Type::Datetime => {
                    let (micros, tenths) = split_ticks(array.as_ref());
                    arrays.push(Arc::new(micros));
                    if plan.tenth {
                        arrays.push(Arc::new(tenths));
                    }
                }
                Some(array) => arrays.push(cast(array, &disk_type(plan.ty))?),
            }
        }
        writer.write(&RecordBatch::try_new(schema.clone(), arrays)?)?;
    }
    writer.finish(names)
}

/// Opens a file after verifying all its checksums, so that damage is never copied into a new file with valid checksums.
fn open(file: Vec<u8>, proof: Option<TailProof>) -> Result<ParquetRecordBatchReaderBuilder<Bytes>, DataFileError> {
    check_tail(proof, &file).map_err(DataFileError::Damaged)?;
    let file = Bytes::from(file);
    let reader = ParquetRecordBatchReaderBuilder::try_new(file.clone()).map_err(|_| DataFileError::Damaged(DataFault::Content))?;
    check_chunks(reader.metadata(), &file).map_err(DataFileError::Damaged)?;
    Ok(reader)
}

/// Verifies all checksums of a file.
pub fn verify(file: Vec<u8>, proof: Option<TailProof>) -> Result<(), DataFileError> {
    open(file, proof).map(drop)
}

/// Merges several files, in order. If one is damaged, the caller finds it with [`verify`].
pub fn merge(columns: &[StoredColumn], files: Vec<(Vec<u8>, Option<TailProof>)>) -> Result<Encoded, DataFileError> {
    let readers = files.into_iter().map(|(file, proof)| open(file, proof)).collect::<Result<Vec<_>, _>>()?;
    let present = |name: &str| readers.iter().any(|reader| reader.schema().column_with_name(name).is_some());
    let mut fields = Vec::new();
    let mut names = Vec::new();
    let hidden = [(INGESTION_TIME, Type::Datetime)];
    for (index, (physical, ty)) in columns.iter().map(|column| (column.physical(), column.ty)).chain(hidden).enumerate() {
        if !present(physical) {
            continue;
        }
        if index < columns.len() {
            names.push(physical.to_owned());
        }
        fields.push(Field::new(physical, disk_type(ty), true));
        let tenth = tenth_name(physical);
        if ty == Type::Datetime && present(&tenth) {
            fields.push(Field::new(tenth, DataType::Int8, true));
        }
    }
    let schema: SchemaRef = Arc::new(Schema::new(fields));
    let mut writer = Writer::new(schema.clone())?;
    for reader in readers {
        for batch in reader.with_batch_size(16 * 1024).build()? {
            let batch = batch?;
            let arrays = schema
                .fields()
                .iter()
                .map(|field| match batch.column_by_name(field.name()) {
                    Some(array) if array.data_type() == field.data_type() => Ok(array.clone()),
                    Some(array) => cast(array, field.data_type()),
                    None => Ok(new_null_array(field.data_type(), batch.num_rows())),
                })
                .collect::<Result<Vec<_>, _>>()?;
            writer.write(&RecordBatch::try_new(schema.clone(), arrays)?)?;
        }
    }
    writer.finish(names)
}

struct Writer {
    inner: ArrowWriter<Vec<u8>>,
    rows: u64,
}

impl Writer {
    fn new(schema: SchemaRef) -> Result<Self, DataFileError> {
        let properties = WriterProperties::builder()
            // Measured: level 3 takes twice the time for 5 % less size.
            .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
            .set_max_row_group_row_count(Some(ROW_GROUP))
            .set_created_by("bartizan".to_owned())
            .build();
        Ok(Self { inner: ArrowWriter::try_new(Vec::new(), schema, Some(properties))?, rows: 0 })
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<(), DataFileError> {
        self.rows += batch.num_rows() as u64;
        Ok(self.inner.write(batch)?)
    }

    fn finish(mut self, columns: Vec<String>) -> Result<Encoded, DataFileError> {
        self.inner.flush()?;
        self.inner.sync().map_err(ParquetError::from)?;
        let (sums, chunks_end) = chunk_sums(self.inner.flushed_row_groups(), self.inner.inner());
        self.inner.append_key_value_metadata(sums);
        let bytes = self.inner.into_inner()?;
        let proof = TailProof::of(&bytes, chunks_end);
        Ok(Encoded { bytes, rows: self.rows, columns, proof })
    }
}

fn has_tenths(ticks: &dyn Array) -> bool {
    // 1970 is a whole number of microseconds after year 1, so the remainder can be computed on ticks.
    let odd = |tick: Option<i64>| tick.is_some_and(|tick| tick.rem_euclid(TICKS_PER_MICROSECOND) != 0);
    ticks.as_primitive_opt::<Int64Type>().is_some_and(|ticks| ticks.iter().any(odd))
}

/// Splits ticks into microseconds since 1970, rounded down, and the remaining tenths (0–9).
fn split_ticks(ticks: &dyn Array) -> (TimestampMicrosecondArray, Int8Array) {
    let empty = Int64Array::from(Vec::<i64>::new());
    let ticks = ticks.as_primitive_opt::<Int64Type>().unwrap_or(&empty);
    let micros: TimestampMicrosecondArray = ticks.unary(|tick| (tick - UNIX_EPOCH_TICKS).div_euclid(TICKS_PER_MICROSECOND));
    let tenths: Int8Array = ticks.unary(|tick| (tick - UNIX_EPOCH_TICKS).rem_euclid(TICKS_PER_MICROSECOND) as i8);
    (micros.with_timezone("UTC"), tenths)
}

/// Decodes a file into the memory layout, under the table's column names.
pub fn decode(columns: &[StoredColumn], file: Vec<u8>, proof: Option<TailProof>) -> Result<Vec<RecordBatch>, DataFileError> {
    let reader = open(file, proof)?.build()?;
    reader.map(|batch| from_disk(columns, &batch?)).collect()
}

fn from_disk(columns: &[StoredColumn], batch: &RecordBatch) -> Result<RecordBatch, DataFileError> {
    let mut fields = Vec::new();
    let mut arrays: Vec<ArrayRef> = Vec::new();
    let hidden = [(INGESTION_TIME, INGESTION_TIME, Type::Datetime)];
    for (name, physical, ty) in columns.iter().map(|column| (column.name.as_str(), column.physical(), column.ty)).chain(hidden) {
        let Some(array) = batch.column_by_name(physical) else { continue };
        let array = if ty == Type::Datetime {
            let micros = cast(array, &DataType::Int64)?;
            let tenths = batch.column_by_name(&tenth_name(physical)).map(|tenths| cast(tenths, &DataType::Int64)).transpose()?;
            let value = |row: usize| {
                let micros = micros.as_primitive::<Int64Type>();
                let tenth =
                    tenths.as_ref().map_or(0, |tenths| if tenths.is_null(row) { 0 } else { tenths.as_primitive::<Int64Type>().value(row) });
                (!micros.is_null(row)).then(|| micros.value(row) * TICKS_PER_MICROSECOND + UNIX_EPOCH_TICKS + tenth)
            };
            Arc::new((0..array.len()).map(value).collect::<Int64Array>()) as ArrayRef
        } else {
            cast(array, &ty.arrow())?
        };
        fields.push(Field::new(name, ty.arrow(), true));
        arrays.push(array);
    }
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays)?)
}

#[cfg(test)]
mod tests {
    use arrow::array::StringViewArray;
    use model::{TableName, Timestamp};

    use super::*;
    use crate::catalog::CatalogDocument;
    use crate::codec::to_memory;

    fn rows(columns: Vec<(&str, ArrayRef)>) -> RecordBatch {
        RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
    }

    /// Reference: the input. Year 1, a tick that is not a whole microsecond and two columns differing in case would be lost by a plain
    /// Parquet writer.
    #[test]
    fn files_keep_every_tick_and_every_case() {
        let name = TableName::new("T_CL");
        let columns = [("Url", Type::String), ("url", Type::String), ("Cost", Type::Decimal), ("Seen", Type::Datetime)];
        let columns = columns.map(|(name, ty)| model::Column::new(name, ty)).to_vec();
        let catalog = CatalogDocument::default().define(&name, columns).unwrap();
        let table = &catalog.tables[&name];
        let schema = table.schema(&name);
        let now = Timestamp::parse_iso("2026-01-01T00:00:00.1234567Z").unwrap();
        let times: ArrayRef = Arc::new(Int64Array::from(vec![Some(0), None, Some(now.ticks())]));
        let first = rows(vec![
            ("TimeGenerated", times.clone()),
            ("Url", Arc::new(StringViewArray::from(vec!["A", "B", "C"]))),
            ("url", Arc::new(StringViewArray::from(vec!["a", "b", "c"]))),
        ]);
        let second = rows(vec![("Seen", times.clone())]);
        let memory = |batch: &RecordBatch| Arc::new(to_memory(&schema, batch, now, &[]).unwrap());
        let one = encode(&table.columns, &[memory(&first), memory(&second)]).unwrap();
        assert_eq!(one.columns, ["TimeGenerated", "Url", "url$2", "Seen"]);
        assert_eq!(one.rows, 6);
        let two = encode(&table.columns, &[memory(&second)]).unwrap();
        let merged = merge(&table.columns, vec![(one.bytes, Some(one.proof)), (two.bytes, Some(two.proof))]).unwrap();
        assert_eq!(merged.rows, 9);
        let read = decode(&table.columns, merged.bytes, Some(merged.proof)).unwrap();
        let read = arrow::compute::concat_batches(&read[0].schema(), &read).unwrap();
        assert_eq!(read.column_by_name("url").unwrap().as_string_view().value(1), "b");
        assert_eq!(read.column_by_name("Url").unwrap().as_string_view().value(1), "B");
        assert_eq!(read.column_by_name("TimeGenerated").unwrap().slice(0, 3).as_ref(), times.as_ref());
        assert_eq!(read.column_by_name("Seen").unwrap().slice(6, 3).as_ref(), times.as_ref());
        assert_eq!(read.column_by_name(INGESTION_TIME).unwrap().as_primitive::<Int64Type>().value(8), now.ticks());
        assert!(read.column_by_name("Cost").is_none());
    }

    /// Reference: the bytes written. The first four bytes are Parquet's magic number, which readers that start from the footer ignore.
    #[test]
    fn every_flipped_bit_is_detected() {
        let name = TableName::new("T_CL");
        let columns = vec![model::Column::new("A", Type::String), model::Column::new("B", Type::Long)];
        let catalog = CatalogDocument::default().define(&name, columns).unwrap();
        let table = &catalog.tables[&name];
        let now = Timestamp::parse_iso("2026-01-01").unwrap();
        let texts: ArrayRef = Arc::new(StringViewArray::from_iter_values((0..500).map(|n| format!("text {}", n * 7919 % 97))));
        let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(0..500));
        let batch = to_memory(&table.schema(&name), &rows(vec![("A", texts), ("B", numbers)]), now, &[]).unwrap();
        let file = encode(&table.columns, &[Arc::new(batch)]).unwrap();
        verify(file.bytes.clone(), Some(file.proof)).unwrap();
        for at in 4..file.bytes.len() {
            let mut damaged = file.bytes.clone();
            damaged[at] ^= 1 << (at % 8);
            assert!(matches!(verify(damaged, Some(file.proof)), Err(DataFileError::Damaged(_))), "byte {at}");
        }
        for length in [0, 3, 100, file.bytes.len() / 2, file.bytes.len() - 1] {
            assert!(verify(file.bytes[..length].to_vec(), Some(file.proof)).is_err(), "cut at {length}");
        }
    }
}
