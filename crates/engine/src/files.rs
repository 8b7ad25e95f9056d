//! Reads files given on the command line, or standard input, as tables: CSV, TSV, NDJSON, JSON and Parquet, optionally compressed with gzip
//! or Zstandard. A table is named after its file and may consist of several files.
//!
//! For text formats, each column gets the narrowest of bool, long, real, datetime, dynamic and string that holds all its values over all
//! files of the table. Compression is detected by the magic bytes (RFC 1952, RFC 8878), not by the file name.

mod cells;
mod input;
mod json;
mod parquet;
mod parts;
mod text;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arrow::datatypes::DataType;
use model::{Column, InlineTable, TableName, TableSchema, Type};
use serde_json::Value as Json;

use crate::direct::ParquetFile;
use cells::{Cell, of_known};
use input::{opened, read_error};
use parts::{Part, complete, part, united};

pub(crate) use self::parquet::convert;
pub use input::{FileFormat, Input, Progress, table_name};

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
        cause: ::parquet::errors::ParquetError,
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

    /// The same table with other rows.
    pub fn with_rows(&self, rows: InlineTable) -> Self {
        Self { listed: self.listed, ..rows.into() }
    }

    /// The same rows under another name; `union *` and `search` skip it.
    pub fn alias(&self, name: &str) -> Self {
        let schema = TableSchema { name: TableName::new(name), ..self.table.schema.clone() };
        let table = Arc::new(InlineTable { schema, batches: self.table.batches.clone() });
        Self { table, parquet: self.parquet.clone(), listed: false }
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
/// Parquet files keep their own types.
/// File columns match known columns by name, ignoring case and the time zone suffix of portal exports (`TimeGenerated [UTC]`).
pub fn open_all(name: &str, inputs: &[Input], known: Option<&[Column]>, progress: &Progress) -> Result<FileTable, FileError> {
    if let [Input::File(path)] = inputs
        && FileFormat::of(path) == Some(FileFormat::Parquet)
    {
        return parquet::on_demand(name, path, known.unwrap_or_default());
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

/// Builds a table from rows that are already objects, like those of a JSON file.
pub fn from_rows(name: &str, rows: Vec<serde_json::Map<String, Json>>, known: Option<&[Column]>) -> Result<InlineTable, FileError> {
    let mut objects = json::Objects::default();
    rows.into_iter().for_each(|row| objects.add(row, &Progress::default()));
    objects.columns.iter_mut().for_each(|cells| cells.resize(objects.rows, Cell::Missing));
    let (known, path) = (known.unwrap_or_default(), PathBuf::from(name));
    let mut table = united(name, vec![part(&path, objects.names, &objects.columns, Type::Dynamic, known)?])?;
    complete(&mut table, known).map_err(|cause| FileError::Layout { path, cause })?;
    Ok(table)
}

fn in_memory(name: &str, inputs: &[Input], known: &[Column], progress: &Progress) -> Result<InlineTable, FileError> {
    let mut texts = text::Texts::default();
    let mut objects = json::Objects::default();
    let mut parts: Vec<Part> = Vec::new();
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
                parts.push(parquet::in_memory(path, file, progress)?);
            }
            (FileFormat::Parquet, Input::Stdin(_)) => {
                let mut whole = Vec::new();
                opened(input, progress)?.read_to_end(&mut whole).map_err(read_error(path))?;
                parts.push(parquet::in_memory(path, bytes::Bytes::from(whole), progress)?);
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
            None => text::typed(texts),
        };
        let columns: Vec<Vec<Cell>> = texts.names.iter().zip(texts.columns).map(cells).collect();
        parts.push(part(&at, texts.names, &columns, Type::String, known)?);
    }
    if !objects.names.is_empty() || parts.is_empty() {
        parts.push(part(&at, objects.names, &objects.columns, Type::Dynamic, known)?);
    }
    united(name, parts)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use arrow::record_batch::RecordBatch;
    use kql::Value;

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
    fn compression_is_detected_by_magic_bytes() {
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
    fn a_single_parquet_file_has_the_known_columns_that_it_lacks() {
        let folder = tempfile::tempdir().unwrap();
        let columns = [Column::new("n", Type::Long), Column::new("UserPrincipalName", Type::String)];
        let arrays: [arrow::array::ArrayRef; 2] =
            [Arc::new(arrow::array::Int64Array::from(vec![1, 2])), Arc::new(arrow::array::StringViewArray::from(vec!["ann", "bob"]))];
        let batch = RecordBatch::try_new(model::arrow_schema(&columns), arrays.to_vec()).unwrap();
        let path = folder.path().join("SigninLogs.parquet");
        let mut writer = ::parquet::arrow::ArrowWriter::try_new(File::create(&path).unwrap(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let known = [Column::new("TimeGenerated", Type::Datetime), Column::new("UserPrincipalName", Type::String)];
        let inputs = [Input::File(path)];
        let table = open_all("SigninLogs", &inputs, Some(&known), &Progress::default()).unwrap();
        assert!(table.in_memory().is_none());
        // As for the same file in memory.
        let whole = read_all("SigninLogs", &inputs, Some(&known), &Progress::default()).unwrap();
        assert_eq!(table.schema().columns, whole.schema.columns);
        assert_eq!(shape(&table), "SigninLogs TimeGenerated:datetime,UserPrincipalName:string,n:long 0");
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
    fn known_tables_keep_their_column_types() {
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
    }
}
