//! Reads files given on the command line, or standard input, as tables: CSV, TSV, NDJSON, JSON and Parquet, optionally compressed with gzip
//! or Zstandard. A table is named after its file and may consist of several files.
//!
//! For text formats, each column gets the narrowest of bool, long, real, datetime, dynamic and string that holds all its values over all
//! files of the table. Compression is detected by the magic bytes (RFC 1952, RFC 8878), not by the file name.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arrow::array::{Array, ArrayRef};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Int64Type, TimeUnit};
use arrow::record_batch::RecordBatch;
use kql::Value;
use kql::value::cells::Cells;
use model::{Column, InlineTable, TableSchema, Timestamp, Type, arrow_schema, surrogates};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::reader::ChunkReader;
use serde_json::Value as Json;

use crate::direct::ParquetFile;

/// Why a file cannot be read as a table.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("cannot read `{path}`")]
    Read {
        path: PathBuf,
        #[source]
        cause: io::Error,
    },
    #[error("`{path}` ends in none of .csv, .tsv, .json, .ndjson, .jsonl, .parquet, with or without .gz or .zst behind it")]
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
    #[error(
        "column `{column}` of table `{table}` is a {ty} in `{path}` and a {other} in other files: name the files apart to read them as tables of their own"
    )]
    Differs { table: String, path: PathBuf, column: String, ty: Type, other: Type },
    #[error("cannot lay out `{path}`")]
    Layout {
        path: PathBuf,
        #[source]
        cause: arrow::error::ArrowError,
    },
}

/// Format of an input file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    Csv,
    Tsv,
    /// One object per line, or one array of objects.
    Json,
    Parquet,
}

impl FileFormat {
    /// Determines the format from the file extension, ignoring that of a compression format.
    pub fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?.to_ascii_lowercase();
        let name = [".gz", ".zst", ".zstd"].iter().find_map(|ending| name.strip_suffix(ending)).unwrap_or(&name);
        Some(match name.rsplit_once('.')?.1 {
            "csv" => FileFormat::Csv,
            "tsv" => FileFormat::Tsv,
            "json" | "ndjson" | "jsonl" => FileFormat::Json,
            "parquet" => FileFormat::Parquet,
            _ => return None,
        })
    }
}

/// Progress of reading. Clones share their counters.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Bytes as stored, before decompression.
    pub bytes: Arc<AtomicU64>,
    pub rows: Arc<AtomicU64>,
}

/// A reader that counts the bytes read.
struct Counted<R> {
    inner: R,
    bytes: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.bytes.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

/// Source of rows.
#[derive(Clone, Debug)]
pub enum Input {
    File(PathBuf),
    Stdin(FileFormat),
}

impl Input {
    fn path(&self) -> &Path {
        match self {
            Input::File(path) => path,
            Input::Stdin(_) => Path::new("standard input"),
        }
    }
}

/// A table read from files: rows in memory, or a reference to a Parquet file.
#[derive(Clone, Debug)]
pub struct FileTable {
    /// Has no rows if they are read on demand.
    pub(crate) table: Arc<InlineTable>,
    pub(crate) parquet: Option<Arc<ParquetFile>>,
    /// False for tables accessible only by name: `union *` and `search` skip them.
    pub(crate) listed: bool,
}

impl FileTable {
    pub fn schema(&self) -> &TableSchema {
        &self.table.schema
    }

    /// The rows, if they are in memory; a Parquet file is read by each query.
    pub fn in_memory(&self) -> Option<&InlineTable> {
        self.parquet.is_none().then_some(self.table.as_ref())
    }

    /// A table without rows that is accessible by name and skipped by `union *` and `search`.
    pub fn empty(schema: TableSchema) -> Self {
        Self { listed: false, ..InlineTable { schema, batches: Vec::new() }.into() }
    }
}

impl From<InlineTable> for FileTable {
    fn from(table: InlineTable) -> Self {
        Self { table: Arc::new(table), parquet: None, listed: true }
    }
}

/// Opens a file as a table. Parquet files are read by each query as needed; other formats are read into memory.
pub fn open(path: &Path) -> Result<FileTable, FileError> {
    open_all(&table_name(path), &[Input::File(path.to_owned())], None, &Progress::default())
}

/// Combines all inputs into one table. A column missing from an input is null there. A single Parquet file is read on demand.
///
/// With `known` columns, text formats are parsed to those types instead of inferring them, and columns missing from all inputs are null.
/// File columns match known columns by name, ignoring case and the time zone suffix of portal exports (`TimeGenerated [UTC]`).
pub fn open_all(name: &str, inputs: &[Input], known: Option<&[Column]>, progress: &Progress) -> Result<FileTable, FileError> {
    if let [Input::File(path)] = inputs
        && FileFormat::of(path) == Some(FileFormat::Parquet)
    {
        return direct(name, path);
    }
    read_all(name, inputs, known, progress).map(FileTable::from)
}

/// Like [`open_all`], but reads all rows into memory.
pub fn read_all(name: &str, inputs: &[Input], known: Option<&[Column]>, progress: &Progress) -> Result<InlineTable, FileError> {
    let known = known.unwrap_or_default();
    let mut table = in_memory(name, inputs, known, progress)?;
    complete(&mut table, known).map_err(|cause| FileError::Layout { path: PathBuf::from(name), cause })?;
    Ok(table)
}

/// A Parquet file that queries read on demand.
fn direct(name: &str, path: &Path) -> Result<FileTable, FileError> {
    let file = ParquetFile::open(path).map_err(|cause| FileError::Parquet { path: path.to_owned(), cause })?;
    let columns = columns_of(path, file.schema().fields())?;
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

/// Builds a table from rows that are already objects, like those of a JSON file.
pub fn from_rows(name: &str, rows: Vec<serde_json::Map<String, Json>>, known: Option<&[Column]>) -> Result<InlineTable, FileError> {
    let mut objects = Objects::default();
    rows.into_iter().for_each(|row| objects.add(row, &Progress::default()));
    objects.columns.iter_mut().for_each(|cells| cells.resize(objects.rows, Cell::Missing));
    let (known, path) = (known.unwrap_or_default(), PathBuf::from(name));
    let mut table = united(name, vec![part(&path, objects.names, &objects.columns, Type::Dynamic, known)?])?;
    complete(&mut table, known).map_err(|cause| FileError::Layout { path, cause })?;
    Ok(table)
}

fn in_memory(name: &str, inputs: &[Input], known: &[Column], progress: &Progress) -> Result<InlineTable, FileError> {
    let mut texts = Texts::default();
    let mut objects = Objects::default();
    let mut parts: Vec<(PathBuf, Vec<Column>, Vec<RecordBatch>)> = Vec::new();
    for input in inputs {
        let path = input.path();
        let format = match input {
            Input::File(path) => FileFormat::of(path).ok_or_else(|| FileError::Format { path: path.clone() })?,
            Input::Stdin(format) => *format,
        };
        match (format, input) {
            (FileFormat::Parquet, Input::File(path)) => {
                let file = File::open(path).map_err(read_error(path))?;
                progress.bytes.fetch_add(file.metadata().map_or(0, |meta| meta.len()), Ordering::Relaxed);
                parts.push(parquet(path, file, progress)?);
            }
            (FileFormat::Parquet, Input::Stdin(_)) => {
                let mut whole = Vec::new();
                opened(input, progress)?.read_to_end(&mut whole).map_err(read_error(path))?;
                parts.push(parquet(path, bytes::Bytes::from(whole), progress)?);
            }
            (FileFormat::Csv, _) => texts.read(path, opened(input, progress)?, b',', progress)?,
            (FileFormat::Tsv, _) => texts.read(path, opened(input, progress)?, b'\t', progress)?,
            (FileFormat::Json, _) => objects.read(path, opened(input, progress)?, progress)?,
        }
    }
    let at = inputs.first().map_or_else(|| PathBuf::from(name), |input| input.path().to_owned());
    if !texts.names.is_empty() {
        let cells = |(name, texts): (&String, Vec<String>)| match of_known(name, known) {
            Some(_) => texts.into_iter().map(|text| if text.is_empty() { Cell::Missing } else { Cell::Text(text) }).collect(),
            None => typed(texts),
        };
        let columns: Vec<Vec<Cell>> = texts.names.iter().zip(texts.columns).map(cells).collect();
        parts.push(part(&at, texts.names, &columns, Type::String, known)?);
    }
    if !objects.names.is_empty() || parts.is_empty() {
        parts.push(part(&at, objects.names, &objects.columns, Type::Dynamic, known)?);
    }
    united(name, parts)
}

/// Concatenates all parts; columns are matched by name, in order of first appearance.
fn united(name: &str, parts: Vec<(PathBuf, Vec<Column>, Vec<RecordBatch>)>) -> Result<InlineTable, FileError> {
    let mut columns: Vec<Column> = Vec::new();
    for (path, own, _) in &parts {
        for column in own {
            match columns.iter().find(|known| known.name == column.name) {
                Some(known) if known.ty != column.ty => {
                    let (table, column, ty, other) = (name.to_owned(), column.name.clone(), column.ty, known.ty);
                    return Err(FileError::Differs { table, path: path.clone(), column, ty, other });
                }
                Some(_) => {}
                None => columns.push(column.clone()),
            }
        }
    }
    let schema = arrow_schema(&columns);
    let mut batches = Vec::new();
    for (path, own, rows) in parts {
        for batch in rows {
            if own == columns {
                batches.push(batch);
                continue;
            }
            let array = |column: &Column| match own.iter().position(|known| known.name == column.name) {
                Some(index) => batch.column(index).clone(),
                None => kql::value::cells::nulls(column.ty, batch.num_rows()),
            };
            let arrays = columns.iter().map(array).collect();
            let aligned = RecordBatch::try_new(schema.clone(), arrays).map_err(|cause| FileError::Layout { path: path.clone(), cause })?;
            batches.push(aligned);
        }
    }
    Ok(InlineTable { schema: TableSchema::new(name, columns), batches })
}

/// Opens an input, decompressing it if it starts with a known magic.
fn opened(input: &Input, progress: &Progress) -> Result<Box<dyn BufRead>, FileError> {
    let raw: Box<dyn Read> = match input {
        Input::File(path) => Box::new(File::open(path).map_err(read_error(path))?),
        Input::Stdin(_) => Box::new(io::stdin().lock()),
    };
    let counted = Counted { inner: raw, bytes: progress.bytes.clone() };
    let mut reader = BufReader::with_capacity(1 << 16, counted);
    let start = reader.fill_buf().map_err(read_error(input.path()))?;
    Ok(match start {
        [0x1f, 0x8b, ..] => Box::new(BufReader::new(flate2::bufread::MultiGzDecoder::new(reader))),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let decoder = zstd::stream::read::Decoder::with_buffer(reader).map_err(read_error(input.path()))?;
            Box::new(BufReader::new(decoder))
        }
        _ => Box::new(reader),
    })
}

/// The file name without extensions, with `_` for characters not allowed in table names.
pub fn table_name(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let lower = name.to_ascii_lowercase();
    let bare = [".gz", ".zst", ".zstd"]
        .iter()
        .find(|ending| lower.ends_with(*ending))
        .map_or(name.as_str(), |ending| &name[..name.len() - ending.len()]);
    let stem = Path::new(bare).file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
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

/// Infers the type of a column from its cells.
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

/// Finds the known column that matches a file's column.
fn of_known<'k>(name: &str, known: &'k [Column]) -> Option<&'k Column> {
    // Portal exports append the time zone: `TimeGenerated [UTC]`.
    let bare = match name.split_once(" [") {
        Some((bare, zone)) if zone.ends_with(']') => bare,
        _ => name,
    };
    let exact = known.iter().find(|column| column.name == bare);
    exact.or_else(|| known.iter().find(|column| column.name.eq_ignore_ascii_case(bare)))
}

/// Converts a cell to a known column type; null if it does not fit.
fn known_value(cell: &Cell, ty: Type) -> Value {
    match (ty, cell) {
        (_, Cell::Missing) => Value::null(ty),
        (Type::String, Cell::Text(text)) => Value::String(text.clone()),
        (Type::String, Cell::Bool(b)) => Value::Bool(*b).cast(ty),
        (Type::String, Cell::Long(n)) => Value::Long(*n).cast(ty),
        (Type::String, Cell::Real(n)) => Value::Real(*n).cast(ty),
        (Type::String, Cell::Dynamic(json)) => Value::String(json.clone()),
        // Exports contain objects and arrays as JSON text.
        (Type::Dynamic, Cell::Text(text)) if text.starts_with(['{', '[']) && serde_json::from_str::<Json>(text).is_ok() => {
            Value::Dynamic(text.clone())
        }
        (Type::Dynamic, cell) => value(cell, ty),
        (Type::Datetime, Cell::Text(text)) => {
            let exported = exported_time(text).map(|time| Value::Datetime(time.ticks()));
            exported.unwrap_or_else(|| Value::String(text.clone()).cast(ty))
        }
        (_, Cell::Text(text)) => Value::String(text.trim().to_owned()).cast(ty),
        (_, Cell::Bool(b)) => Value::Bool(*b).cast(ty),
        (_, Cell::Long(n)) => Value::Long(*n).cast(ty),
        (_, Cell::Real(n)) => Value::Real(*n).cast(ty),
        (_, Cell::Dynamic(json)) => Value::Dynamic(json.clone()).cast(ty),
    }
}

/// Parses a time as exported by the portal in English: `11/30/2026, 9:05:04.123 PM`, month first.
fn exported_time(text: &str) -> Option<Timestamp> {
    let (date, clock) = text.split_once(", ")?;
    let mut parts = date.splitn(3, '/').map(|part| part.parse::<u32>().ok());
    let (month, day, year) = (parts.next()??, parts.next()??, parts.next()??);
    let (clock, half) = clock.rsplit_once(' ')?;
    let (hour, rest) = clock.split_once(':')?;
    let hour: u32 = hour.parse().ok().filter(|hour| (1..=12).contains(hour))?;
    let hour = match half {
        "AM" => hour % 12,
        "PM" => hour % 12 + 12,
        _ => return None,
    };
    Timestamp::parse_iso(&format!("{year:04}-{month:02}-{day:02}T{hour:02}:{rest}Z"))
}

/// Adds the known columns missing from all inputs, as nulls, and moves known columns to the front.
fn complete(table: &mut InlineTable, known: &[Column]) -> Result<(), arrow::error::ArrowError> {
    if known.is_empty() {
        return Ok(());
    }
    let own = &table.schema.columns;
    let further = own.iter().filter(|column| known.iter().all(|there| there.name != column.name));
    // Parquet files keep their own types.
    let first = known.iter().map(|column| own.iter().find(|there| there.name == column.name).unwrap_or(column));
    let columns: Vec<Column> = first.chain(further).cloned().collect();
    let schema = arrow_schema(&columns);
    let aligned = |batch: &RecordBatch| {
        let array = |column: &Column| match own.iter().position(|there| there.name == column.name) {
            Some(index) => batch.column(index).clone(),
            None => kql::value::cells::nulls(column.ty, batch.num_rows()),
        };
        let options = arrow::record_batch::RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(schema.clone(), columns.iter().map(array).collect(), &options)
    };
    table.batches = table.batches.iter().map(aligned).collect::<Result<_, _>>()?;
    table.schema.columns = columns;
    Ok(())
}

/// Builds a part of a table from named columns of equal length.
fn part(
    path: &Path,
    names: Vec<String>,
    columns: &[Vec<Cell>],
    mixed: Type,
    known: &[Column],
) -> Result<(PathBuf, Vec<Column>, Vec<RecordBatch>), FileError> {
    let mut schema = Vec::new();
    let mut arrays: Vec<ArrayRef> = Vec::new();
    for (name, cells) in names.into_iter().zip(columns) {
        if let Some(column) = of_known(&name, known).filter(|column| schema.iter().all(|there: &Column| there.name != column.name)) {
            let mut builder = Cells::new(column.ty, cells.len());
            cells.iter().for_each(|cell| builder.push(&known_value(cell, column.ty)));
            arrays.push(builder.finish());
            schema.push(column.clone());
            continue;
        }
        let ty = match column_type(cells.iter()) {
            // In an untyped format, a mix of numbers and words is text.
            Type::Dynamic if mixed == Type::String => Type::String,
            ty => ty,
        };
        let mut builder = Cells::new(ty, cells.len());
        cells.iter().for_each(|cell| builder.push(&value(cell, ty)));
        arrays.push(builder.finish());
        schema.push(Column::new(name, ty));
    }
    let options = arrow::record_batch::RecordBatchOptions::new().with_row_count(Some(columns.first().map_or(0, Vec::len)));
    let batch = RecordBatch::try_new_with_options(arrow_schema(&schema), arrays, &options)
        .map_err(|cause| FileError::Layout { path: path.to_owned(), cause })?;
    Ok((path.to_owned(), schema, vec![batch]))
}

/// Texts by column, over all CSV and TSV files of a table.
#[derive(Default)]
struct Texts {
    names: Vec<String>,
    columns: Vec<Vec<String>>,
    rows: usize,
}

impl Texts {
    fn read(&mut self, path: &Path, reader: Box<dyn BufRead>, delimiter: u8, progress: &Progress) -> Result<(), FileError> {
        let mut reader = csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(reader);
        let bad = |line: usize, why: csv::Error| FileError::Line { path: path.to_owned(), line, message: why.to_string() };
        let mut indexes = Vec::new();
        for name in reader.headers().map_err(|why| bad(1, why))?.iter() {
            // Remove a byte order mark written by some editors.
            let name = name.trim_start_matches('\u{feff}');
            let known = self.names.iter().position(|known| known == name).filter(|index| !indexes.contains(index));
            indexes.push(known.unwrap_or_else(|| {
                self.names.push(name.to_owned());
                self.columns.push(vec![String::new(); self.rows]);
                self.names.len() - 1
            }));
        }
        for (number, record) in reader.records().enumerate() {
            let record = record.map_err(|why| bad(number + 2, why))?;
            for (position, index) in indexes.iter().enumerate() {
                self.columns[*index].push(record.get(position).unwrap_or_default().to_owned());
            }
            self.rows += 1;
            progress.rows.fetch_add(1, Ordering::Relaxed);
        }
        self.columns.iter_mut().for_each(|texts| texts.resize(self.rows, String::new()));
        Ok(())
    }
}

/// Converts texts to cells; numbers and booleans only if all values are.
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

/// Cells by column, over all JSON files of a table.
#[derive(Default)]
struct Objects {
    names: Vec<String>,
    columns: Vec<Vec<Cell>>,
    rows: usize,
}

impl Objects {
    fn read(&mut self, path: &Path, mut reader: Box<dyn BufRead>, progress: &Progress) -> Result<(), FileError> {
        let bad = |line: usize, why: serde_json::Error| FileError::Line { path: path.to_owned(), line, message: why.to_string() };
        let start = loop {
            let buffer = reader.fill_buf().map_err(read_error(path))?;
            match buffer.first() {
                Some(byte) if byte.is_ascii_whitespace() => reader.consume(1),
                other => break other.copied(),
            }
        };
        if start == Some(b'[') {
            let mut document = Vec::new();
            reader.read_to_end(&mut document).map_err(read_error(path))?;
            let records: Vec<serde_json::Map<String, Json>> =
                serde_json::from_slice(&surrogates::replaced(&document)).map_err(|why| bad(why.line(), why))?;
            records.into_iter().for_each(|record| self.add(record, progress));
        } else {
            for (index, line) in reader.lines().enumerate() {
                let line = line.map_err(read_error(path))?;
                if !line.trim().is_empty() {
                    let record = serde_json::from_slice(&surrogates::replaced(line.as_bytes()));
                    self.add(record.map_err(|why| bad(index + 1, why))?, progress);
                }
            }
        }
        self.columns.iter_mut().for_each(|cells| cells.resize(self.rows, Cell::Missing));
        Ok(())
    }

    fn add(&mut self, record: serde_json::Map<String, Json>, progress: &Progress) {
        for (name, value) in record {
            let index = self.names.iter().position(|known| *known == name).unwrap_or_else(|| {
                self.names.push(name);
                self.columns.push(Vec::new());
                self.names.len() - 1
            });
            self.columns[index].resize(self.rows, Cell::Missing);
            self.columns[index].push(json_cell(value));
        }
        self.rows += 1;
        progress.rows.fetch_add(1, Ordering::Relaxed);
    }
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

fn parquet<R: ChunkReader + 'static>(
    path: &Path,
    file: R,
    progress: &Progress,
) -> Result<(PathBuf, Vec<Column>, Vec<RecordBatch>), FileError> {
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
    Ok((path.to_owned(), columns, batches))
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn file(folder: &Path, name: &str, content: &[u8]) -> Input {
        let path = folder.join(name);
        File::create(&path).unwrap().write_all(content).unwrap();
        Input::File(path)
    }

    fn shape(table: &FileTable) -> String {
        let table = &table.table;
        let columns: Vec<String> = table.schema.columns.iter().map(|column| format!("{}:{}", column.name, column.ty)).collect();
        format!("{} {} {}", table.schema.name.as_str(), columns.join(","), table.batches.iter().map(RecordBatch::num_rows).sum::<usize>())
    }

    #[test]
    fn compressed_files_are_read_by_what_they_begin_with() {
        let folder = tempfile::tempdir().unwrap();
        let plain = b"a,b\n1,x\n2,y\n";
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(plain).unwrap();
        let gz = gz.finish().unwrap();
        let zst = zstd::stream::encode_all(&plain[..], 1).unwrap();
        for (name, content) in [("t.csv", &plain[..]), ("t.csv.gz", &gz), ("t.csv.zst", &zst), ("u.csv", &gz)] {
            let Input::File(path) = file(folder.path(), name, content) else { unreachable!() };
            let expected = format!("{} a:long,b:string 2", if name.starts_with('u') { "u" } else { "t" });
            assert_eq!(shape(&open(&path).unwrap()), expected, "{name}");
        }
    }

    #[test]
    fn files_of_one_table_share_their_types_and_columns() {
        let folder = tempfile::tempdir().unwrap();
        let inputs = [
            file(folder.path(), "1.csv", b"a,b\n1,x\n"),
            file(folder.path(), "2.csv", b"b,a,c\ny,2.5,true\n"),
            file(folder.path(), "3.ndjson", b"{\"a\": 3.5, \"d\": {\"k\": 1}}\n"),
        ];
        let progress = Progress::default();
        let table = open_all("T", &inputs, None, &progress).unwrap();
        assert_eq!(shape(&table), "T a:real,b:string,c:bool,d:dynamic 3");
        assert_eq!(progress.rows.load(Ordering::Relaxed), 3);
        let other = file(folder.path(), "4.ndjson", b"{\"a\": \"word\"}\n");
        let error = open_all("T", &[inputs[0].clone(), other], None, &progress).unwrap_err().to_string();
        assert!(error.starts_with("column `a` of table `T` is a string in") && error.contains("a long in other files"), "{error}");
    }

    #[test]
    fn unpaired_surrogates_in_json_are_replaced() {
        // RFC 8259 §8.2; github.com/elizaOS/eliza/pull/18079 shows such a record.
        let folder = tempfile::tempdir().unwrap();
        for (name, content) in [
            ("s.ndjson", r#"{"a": "x\ud83d", "d": {"\ude00": 1}}"#.to_owned() + "\n" + r#"{"a": "\ud83d\ude00"}"#),
            ("s.json", r#"[{"a": "x\ud83d", "d": {"\ude00": 1}}, {"a": "\ud83d\ude00"}]"#.to_owned()),
        ] {
            let table = open_all("s", &[file(folder.path(), name, content.as_bytes())], None, &Progress::default()).unwrap();
            assert_eq!(shape(&table), "s a:string,d:dynamic 2", "{name}");
            let batch = &table.table.batches[0];
            let cell =
                |row, index: usize| Value::from_cell(batch.column(index).as_ref(), row, table.table.schema.columns[index].ty).to_text();
            assert_eq!([cell(0, 0), cell(1, 0), cell(0, 1)], ["x\u{fffd}", "😀", "{\"\u{fffd}\":1}"], "{name}");
        }
        let error = open_all("s", &[file(folder.path(), "t.json", b"[{\"a\": 1},\n{\"a\": ?}]")], None, &Progress::default()).unwrap_err();
        assert!(matches!(error, FileError::Line { line: 2, .. }), "{error}");
    }

    #[test]
    fn a_published_table_keeps_its_types_whatever_its_values_look_like() {
        // Column names and times in the format of the Azure portal's Logs page.
        let folder = tempfile::tempdir().unwrap();
        let csv = b"\xef\xbb\xbf\"TimeGenerated [UTC]\",UserPrincipalName,ResultType,LocationDetails,Extra\n\"11/30/2026, 9:05:04.123 PM\",ann,0,\"{\"\"city\"\":\"\"Oslo\"\"}\",7\n";
        let input = [file(folder.path(), "SigninLogs.csv", csv)];
        let known = [
            Column::new("TimeGenerated", Type::Datetime),
            Column::new("ResultType", Type::String),
            Column::new("LocationDetails", Type::Dynamic),
            Column::new("DurationMs", Type::Long),
        ];
        let table = open_all("SigninLogs", &input, Some(&known), &Progress::default()).unwrap();
        assert_eq!(
            shape(&table),
            "SigninLogs TimeGenerated:datetime,ResultType:string,LocationDetails:dynamic,DurationMs:long,UserPrincipalName:string,Extra:long 1"
        );
        let batch = &table.table.batches[0];
        let cell = |index: usize| Value::from_cell(batch.column(index).as_ref(), 0, table.table.schema.columns[index].ty).to_text();
        assert_eq!((cell(0).as_str(), cell(1).as_str()), ("2026-11-30T21:05:04.1230000Z", "0"));
        assert_eq!((cell(2).as_str(), cell(3).as_str()), (r#"{"city":"Oslo"}"#, ""));
        assert_eq!(exported_time("1/2/2026, 12:00:00.000 AM"), Timestamp::parse_iso("2026-01-02T00:00:00Z"));
        assert_eq!(exported_time("13/2/2026, 12:00:00.000 AM"), None);
    }
}
