//! Reads files given on the command line as tables: CSV, NDJSON, JSON and Parquet. A file is a table named after it.
//!
//! Text formats carry no types; a column gets the narrowest of bool, long, real, datetime, dynamic and string that holds all its values.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use arrow::record_batch::RecordBatch;
use kql::Value;
use kql::value::cells::Cells;
use model::{Column, InlineTable, TableSchema, Timestamp, Type, arrow_schema};
use serde_json::Value as Json;

use crate::direct::ParquetFile;

/// Why a file is no table.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("cannot read `{path}`")]
    Read {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("`{path}` ends in none of .csv, .tsv, .json, .ndjson, .jsonl, .parquet")]
    Format { path: PathBuf },
    #[error("`{path}`, line {line}: {message}")]
    Line { path: PathBuf, line: usize, message: String },
    #[error("`{path}` is no Parquet file that can be read")]
    Parquet {
        path: PathBuf,
        #[source]
        cause: parquet::errors::ParquetError,
    },
    #[error("`{path}`, column `{column}`: {ty} is no type of KQL")]
    Type { path: PathBuf, column: String, ty: DataType },
    #[error("cannot lay out `{path}`")]
    Layout {
        path: PathBuf,
        #[source]
        cause: arrow::error::ArrowError,
    },
}

/// A table in a file: its rows in memory, or for Parquet the way to them.
#[derive(Clone, Debug)]
pub struct FileTable {
    /// Without rows where they are read when asked for.
    pub(crate) table: Arc<InlineTable>,
    pub(crate) parquet: Option<Arc<ParquetFile>>,
}

impl From<InlineTable> for FileTable {
    fn from(table: InlineTable) -> Self {
        Self { table: Arc::new(table), parquet: None }
    }
}

/// The table in a file. A Parquet file is read anew by each query, as far as the query needs it; all others are read here.
pub fn open(path: &Path) -> Result<FileTable, FileError> {
    let extension = path.extension().and_then(|text| text.to_str()).unwrap_or_default().to_ascii_lowercase();
    match extension.as_str() {
        "csv" => separated(path, b',').map(FileTable::from),
        "tsv" => separated(path, b'\t').map(FileTable::from),
        "json" | "ndjson" | "jsonl" => json(path).map(FileTable::from),
        "parquet" => parquet(path),
        _ => Err(FileError::Format { path: path.to_owned() }),
    }
}

/// The file's name without its ending, with `_` for what no name may hold.
fn table_name(path: &Path) -> String {
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    stem.chars().map(|c| if c.is_alphanumeric() || c == '_' { c } else { '_' }).collect()
}

fn read_error(path: &Path) -> impl Fn(io::Error) -> FileError {
    let path = path.to_owned();
    move |cause| FileError::Read { path: path.clone(), cause }
}

/// A cell of a text format.
#[derive(Clone, Debug)]
enum Cell {
    Missing,
    Bool(bool),
    Long(i64),
    Real(f64),
    Text(String),
    /// An object or array.
    Dynamic(String),
}

/// What a column of such cells is.
fn column_type<'a>(cells: impl Iterator<Item = &'a Cell>) -> Type {
    let mut found: Option<Type> = None;
    for cell in cells {
        let ty = match cell {
            Cell::Missing => continue,
            Cell::Bool(_) => Type::Bool,
            Cell::Long(_) => Type::Long,
            Cell::Real(_) => Type::Real,
            Cell::Text(text) if Timestamp::parse_iso(text).is_some() => Type::Datetime,
            Cell::Text(_) => Type::String,
            Cell::Dynamic(_) => Type::Dynamic,
        };
        found = Some(match found {
            None => ty,
            Some(known) if known == ty => ty,
            Some(Type::Long | Type::Real) if matches!(ty, Type::Long | Type::Real) => Type::Real,
            Some(Type::Datetime | Type::String) if matches!(ty, Type::Datetime | Type::String) => Type::String,
            Some(_) => Type::Dynamic,
        });
    }
    found.unwrap_or(Type::String)
}

fn value(cell: &Cell, ty: Type) -> Value {
    match (ty, cell) {
        (_, Cell::Missing) => Value::null(ty),
        (Type::Bool, Cell::Bool(b)) => Value::Bool(*b),
        (Type::Long, Cell::Long(n)) => Value::Long(*n),
        (Type::Real, Cell::Long(n)) => Value::Real(*n as f64),
        (Type::Real, Cell::Real(n)) => Value::Real(*n),
        (Type::Datetime, Cell::Text(text)) => Timestamp::parse_iso(text).map_or(Value::Null(ty), |time| Value::Datetime(time.ticks())),
        (Type::String, Cell::Text(text)) => Value::String(text.clone()),
        (Type::Dynamic, Cell::Dynamic(json)) => Value::Dynamic(json.clone()),
        (Type::Dynamic, Cell::Bool(b)) => Value::Dynamic(b.to_string()),
        (Type::Dynamic, Cell::Long(n)) => Value::Dynamic(n.to_string()),
        (Type::Dynamic, Cell::Real(n)) => Value::Dynamic(Json::from(*n).to_string()),
        (Type::Dynamic, Cell::Text(text)) => Value::Dynamic(Json::from(text.as_str()).to_string()),
        _ => Value::null(ty),
    }
}

/// A table of named columns of cells, all of one length.
fn table(path: &Path, names: Vec<String>, columns: &[Vec<Cell>], mixed: Type) -> Result<InlineTable, FileError> {
    let mut schema = Vec::new();
    let mut arrays: Vec<ArrayRef> = Vec::new();
    for (name, cells) in names.into_iter().zip(columns) {
        let ty = match column_type(cells.iter()) {
            // Numbers and words in one column of a format without types are words.
            Type::Dynamic if mixed == Type::String => Type::String,
            ty => ty,
        };
        let mut builder = Cells::new(ty, cells.len());
        cells.iter().for_each(|cell| builder.push(&value(cell, ty)));
        arrays.push(builder.finish());
        schema.push(Column::new(name, ty));
    }
    let batch = RecordBatch::try_new(arrow_schema(&schema), arrays).map_err(|cause| FileError::Layout { path: path.to_owned(), cause })?;
    Ok(InlineTable { schema: TableSchema::new(table_name(path), schema), batches: vec![batch] })
}

fn separated(path: &Path, delimiter: u8) -> Result<InlineTable, FileError> {
    let file = File::open(path).map_err(read_error(path))?;
    let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(BufReader::new(file));
    let bad = |line: usize, why: csv::Error| FileError::Line { path: path.to_owned(), line, message: why.to_string() };
    let names: Vec<String> = reader.headers().map_err(|why| bad(1, why))?.iter().map(str::to_owned).collect();
    let mut texts: Vec<Vec<String>> = vec![Vec::new(); names.len()];
    for (index, record) in reader.records().enumerate() {
        let record = record.map_err(|why| bad(index + 2, why))?;
        for (column, texts) in texts.iter_mut().enumerate() {
            texts.push(record.get(column).unwrap_or_default().to_owned());
        }
    }
    let columns: Vec<Vec<Cell>> = texts.into_iter().map(typed).collect();
    table(path, names, &columns, Type::String)
}

/// The cells of a column of text: numbers and truth values only where all of them are.
fn typed(texts: Vec<String>) -> Vec<Cell> {
    let cell = |text: &str| -> Cell {
        let number = text.strip_prefix('-').unwrap_or(text);
        let padded = number.len() > 1 && number.starts_with('0') && !number.starts_with("0.");
        match text {
            "" => Cell::Missing,
            "true" | "True" | "TRUE" => Cell::Bool(true),
            "false" | "False" | "FALSE" => Cell::Bool(false),
            _ if padded => Cell::Text(text.to_owned()),
            _ => match (text.parse::<i64>(), text.parse::<f64>()) {
                (Ok(n), _) => Cell::Long(n),
                (_, Ok(n)) if n.is_finite() => Cell::Real(n),
                _ => Cell::Text(text.to_owned()),
            },
        }
    };
    let cells: Vec<Cell> = texts.iter().map(|text| cell(text)).collect();
    let plain = matches!(column_type(cells.iter()), Type::Bool | Type::Long | Type::Real | Type::Datetime);
    if plain { cells } else { texts.into_iter().map(Cell::Text).collect() }
}

fn json(path: &Path) -> Result<InlineTable, FileError> {
    let mut reader = BufReader::new(File::open(path).map_err(read_error(path))?);
    let bad = |line: usize, why: serde_json::Error| FileError::Line { path: path.to_owned(), line, message: why.to_string() };
    let start = loop {
        let buffer = reader.fill_buf().map_err(read_error(path))?;
        match buffer.first() {
            Some(byte) if byte.is_ascii_whitespace() => reader.consume(1),
            other => break other.copied(),
        }
    };
    let mut names: Vec<String> = Vec::new();
    let mut columns: Vec<Vec<Cell>> = Vec::new();
    let mut rows = 0;
    let mut add = |record: serde_json::Map<String, Json>| {
        for (name, value) in record {
            let index = names.iter().position(|known| *known == name).unwrap_or_else(|| {
                names.push(name);
                columns.push(Vec::new());
                names.len() - 1
            });
            columns[index].resize(rows, Cell::Missing);
            columns[index].push(json_cell(value));
        }
        rows += 1;
    };
    if start == Some(b'[') {
        let records: Vec<serde_json::Map<String, Json>> = serde_json::from_reader(reader).map_err(|why| bad(why.line(), why))?;
        records.into_iter().for_each(&mut add);
    } else {
        for (index, line) in reader.lines().enumerate() {
            let line = line.map_err(read_error(path))?;
            if !line.trim().is_empty() {
                add(serde_json::from_str(&line).map_err(|why| bad(index + 1, why))?);
            }
        }
    }
    columns.iter_mut().for_each(|cells| cells.resize(rows, Cell::Missing));
    table(path, names, &columns, Type::Dynamic)
}

fn json_cell(value: Json) -> Cell {
    match value {
        Json::Null => Cell::Missing,
        Json::Bool(b) => Cell::Bool(b),
        Json::Number(n) => match (n.as_i64(), n.as_f64()) {
            (Some(n), _) => Cell::Long(n),
            (None, Some(n)) => Cell::Real(n),
            (None, None) => Cell::Missing,
        },
        Json::String(text) => Cell::Text(text),
        other => Cell::Dynamic(other.to_string()),
    }
}

fn parquet(path: &Path) -> Result<FileTable, FileError> {
    let file = ParquetFile::open(path).map_err(|cause| FileError::Parquet { path: path.to_owned(), cause })?;
    let columns = file.schema().fields().iter().map(|field| {
        let ty = kusto_type(field.data_type());
        let ty =
            ty.ok_or_else(|| FileError::Type { path: path.to_owned(), column: field.name().clone(), ty: field.data_type().clone() })?;
        Ok(Column::new(field.name().clone(), ty))
    });
    let columns = columns.collect::<Result<_, FileError>>()?;
    let table = InlineTable { schema: TableSchema::new(table_name(path), columns), batches: Vec::new() };
    Ok(FileTable { table: Arc::new(table), parquet: Some(Arc::new(file)) })
}

/// What a foreign column means here.
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

/// A foreign column as it lies in memory here.
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
