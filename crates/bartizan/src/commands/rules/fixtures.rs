//! Input rows of tests: a file, a list of rows, or a `datatable`.
//!
//! `now`, `now-5m` and `now+1h` are times relative to the run of the rule. A row without `TimeGenerated` is a minute old. Rows are ingested
//! when they are generated: `ingestion_time()` is `TimeGenerated`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, AsArray, BooleanArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use arrow::record_batch::RecordBatch;
use engine::{Engine, FileError, FileTable, Input, Options, Progress, SystemClock};
use model::{
    Column, INGESTION_TIME, InlineTable, Query, QueryEngine, QueryError, Span, TableSchema, Timestamp, Type, Window, arrow_schema,
};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::files::Known;

const TIME: &str = "TimeGenerated";

/// The rows of one table in a test.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum Given {
    /// Rows as objects.
    Rows(Vec<Map<String, Value>>),
    /// The path of a file, relative to the test's folder, or a query without tables, such as `datatable(…)[…]`.
    Text(String),
}

/// Why rows are not a valid table.
#[derive(Debug, thiserror::Error)]
pub enum FixtureError {
    #[error("the rows of `{table}` cannot be read")]
    File {
        table: String,
        #[source]
        cause: FileError,
    },
    #[error("the rows of `{table}` are a query that fails")]
    Query {
        table: String,
        #[source]
        cause: QueryError,
    },
    #[error("the rows of `{table}` cannot be laid out")]
    Layout {
        table: String,
        #[source]
        cause: arrow::error::ArrowError,
    },
    #[error("there is no file `{}` with the rows of `{table}`", path.display())]
    Missing { table: String, path: PathBuf },
}

/// The table as seen by the rule at `at`: rows whose `TimeGenerated` is within `seen`.
pub async fn table(
    name: &str,
    given: &Given,
    folder: &Path,
    known: Option<&[Column]>,
    at: Timestamp,
    seen: Window,
) -> Result<FileTable, FixtureError> {
    let file_error = |cause| FixtureError::File { table: name.to_owned(), cause };
    let read = match given {
        Given::Rows(rows) => {
            let rows = rows.iter().map(|row| prepared(row.clone(), at)).collect();
            engine::from_rows(name, rows, known).map_err(file_error)?
        }
        Given::Text(text) if is_query(text) => queried(name, text, at).await?,
        Given::Text(path) => {
            let path = folder.join(path);
            if !path.exists() {
                return Err(FixtureError::Missing { table: name.to_owned(), path });
            }
            let rows = engine::read_all(name, &[Input::File(path)], known, &Progress::default()).map_err(file_error)?;
            relative_times(rows, at)
        }
    };
    seen_rows(read, seen).map(FileTable::from).map_err(|cause| FixtureError::Layout { table: name.to_owned(), cause })
}

/// Tables without rows in a test.
pub fn absent<'k>(known: &'k Known, given: &'k [FileTable]) -> impl Iterator<Item = FileTable> + 'k {
    known.tables.iter().filter(|table| given.iter().all(|there| there.schema().name != table.name)).cloned().map(FileTable::empty)
}

fn is_query(text: &str) -> bool {
    let text = text.trim_start();
    ["datatable", "print", "range"].iter().any(|word| text.starts_with(word) && text[word.len()..].starts_with(['(', ' ', '\t', '\n']))
}

async fn queried(name: &str, kql: &str, at: Timestamp) -> Result<InlineTable, FixtureError> {
    let failed = |cause| FixtureError::Query { table: name.to_owned(), cause };
    let engine = Engine::new(None, Arc::new(SystemClock::default()), Options::default())
        .map_err(|error| failed(QueryError::Internal(model::chain(&error))))?;
    let scope = model::Scope { now: Some(at), ..model::Scope::default() };
    let answer = engine.query(Query::new(kql).with_scope(scope)).await.map_err(failed)?;
    let schema = arrow_schema(&answer.columns);
    let batches = answer.batches.iter().map(|batch| RecordBatch::try_new(schema.clone(), batch.columns().to_vec()));
    let batches = batches.collect::<Result<_, _>>().map_err(|cause| FixtureError::Layout { table: name.to_owned(), cause })?;
    Ok(InlineTable { schema: TableSchema::new(name, answer.columns), batches })
}

/// Resolves times relative to `now`, and adds a time to a row without one.
fn prepared(mut row: Map<String, Value>, at: Timestamp) -> Map<String, Value> {
    for value in row.values_mut() {
        if let Some(time) = value.as_str().and_then(|text| from_now(text, at)) {
            *value = Value::from(time.to_string());
        }
    }
    row.entry(TIME).or_insert_with(|| Value::from((at - Span::MINUTE).to_string()));
    row
}

/// `now`, `now-5m`, `now + 1h`.
pub fn from_now(text: &str, at: Timestamp) -> Option<Timestamp> {
    let rest = text.trim().strip_prefix("now")?.trim_start();
    let rest = rest.strip_prefix("()").unwrap_or(rest).trim_start();
    if rest.is_empty() {
        return Some(at);
    }
    let span = |text: &str| detection::rule::parse_duration(text.trim());
    match rest.as_bytes()[0] {
        b'-' => span(&rest[1..]).map(|span| at - span),
        b'+' => span(&rest[1..]).map(|span| at + span),
        _ => None,
    }
}

/// In files, a text column in which every value is a time relative to `now` becomes a datetime column.
fn relative_times(mut table: InlineTable, at: Timestamp) -> InlineTable {
    for index in 0..table.schema.columns.len() {
        if table.schema.columns[index].ty != Type::String {
            continue;
        }
        let texts: Vec<Option<Timestamp>> = table
            .batches
            .iter()
            .flat_map(|batch| batch.column(index).as_string_view().iter().map(|text| from_now(text.unwrap_or_default(), at)))
            .collect();
        if texts.is_empty() || texts.iter().any(Option::is_none) {
            continue;
        }
        let mut columns = table.schema.columns.clone();
        columns[index] = Column::new(columns[index].name.clone(), Type::Datetime);
        let schema = arrow_schema(&columns);
        let mut times = texts.into_iter().flatten();
        let changed = table.batches.iter().map(|batch| {
            let ticks = arrow::array::Int64Array::from_iter_values(times.by_ref().take(batch.num_rows()).map(Timestamp::ticks));
            let mut arrays = batch.columns().to_vec();
            arrays[index] = Arc::new(ticks);
            RecordBatch::try_new(schema.clone(), arrays)
        });
        if let Ok(batches) = changed.collect::<Result<Vec<_>, _>>() {
            table = InlineTable { schema: TableSchema { columns, ..table.schema }, batches };
        }
    }
    table
}

/// The rows within the window, with their ingestion time. A table without `TimeGenerated` is not filtered.
pub fn seen_rows(table: InlineTable, seen: Window) -> Result<InlineTable, arrow::error::ArrowError> {
    let Some(index) = table.schema.columns.iter().position(|column| column.name == TIME && column.ty == Type::Datetime) else {
        return Ok(table);
    };
    let mut columns = table.schema.columns.clone();
    columns.push(Column::new(INGESTION_TIME, Type::Datetime));
    let schema = arrow_schema(&columns);
    let visible = |batch: &RecordBatch| {
        let times = batch.column(index).as_primitive::<Int64Type>();
        let within = |ticks: i64| seen.from.ticks() < ticks && ticks <= seen.until.ticks();
        let keep: BooleanArray = (0..times.len()).map(|row| Some(times.is_valid(row) && within(times.value(row)))).collect();
        let kept = filter_record_batch(batch, &keep)?;
        let mut arrays = kept.columns().to_vec();
        arrays.push(arrays[index].clone());
        RecordBatch::try_new(schema.clone(), arrays)
    };
    let batches = table.batches.iter().map(visible).collect::<Result<_, _>>()?;
    Ok(InlineTable { schema: TableSchema { columns, ..table.schema }, batches })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at() -> Timestamp {
        Timestamp::parse_iso("2026-01-01T10:00:00Z").unwrap()
    }

    #[test]
    fn times_are_counted_from_now() {
        let read = |text: &str| from_now(text, at()).map(|time| time.to_string());
        assert_eq!(read("now-5m").as_deref(), Some("2026-01-01T09:55:00.0000000Z"));
        assert_eq!(read(" now() + 1h ").as_deref(), Some("2026-01-01T11:00:00.0000000Z"));
        assert_eq!((read("nowhere"), read("now-soon")), (None, None));
    }

    #[test]
    fn queries_are_told_from_paths() {
        assert!(is_query("datatable(a:long)[1]") && is_query("print x = 1"));
        assert!(!is_query("datatable.csv") && !is_query("fixtures/range.json"));
    }

    #[tokio::test]
    async fn a_rule_sees_only_rows_of_its_period() {
        let seen = Window { from: at() - Span::HOUR, until: at() };
        let rows: Vec<Map<String, Value>> =
            serde_json::from_str(r#"[{"TimeGenerated": "now-5m", "N": 1}, {"TimeGenerated": "now-2h", "N": 2}, {"N": 3}]"#).unwrap();
        let table = table("T", &Given::Rows(rows), Path::new("."), None, at(), seen).await.unwrap();
        let engine = Engine::new(None, Arc::new(SystemClock::default()), Options::default()).unwrap().with_files([table]);
        let kql = "T | summarize n = sum(N), same = countif(ingestion_time() == TimeGenerated)";
        let answer = engine.query(Query::new(kql)).await.unwrap();
        let row = super::super::super::query::cells(&answer.columns, &answer.batches).next().unwrap();
        assert_eq!(row.iter().map(kql::Value::to_text).collect::<Vec<_>>(), ["4", "2"]);
    }
}
