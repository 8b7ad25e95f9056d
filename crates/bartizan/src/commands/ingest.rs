//! `bartizan ingest TABLE FILE…` — loads files into a table of the running service over the public ingestion API.
//!
//! The table's data collection rule is `bartizan-ingest-<table>`, created or updated as needed. Batch keys are derived from the file's name
//! and the batch's position, so that an interrupted load can be repeated and stores each row once, as long as the service keeps the keys
//! (`workspace.key_window`).

use std::path::PathBuf;

use anyhow::Context as _;
use engine::{Input, Progress};
use futures::{StreamExt as _, TryStreamExt as _};
use indicatif::{ProgressBar, ProgressStyle};
use kql::Value;
use model::{Column, InlineTable, Type};
use reqwest::{Method, StatusCode};
use serde_json::{Map, Value as Json, json};

use super::client::{CallError, Client, ServiceArgs};
use super::query::cells;
use super::{Failure, Outcome};

/// Maximum bytes of a batch; the API accepts 1 MB.
const MAX_BATCH: usize = 900_000;
/// Concurrent batches.
const CONCURRENCY: usize = 4;
const TIME: &str = "TimeGenerated";

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  bartizan ingest SigninLogs signins.csv\n  bartizan ingest Firewall_CL 'logs/2026-11-*.ndjson.gz'\n  bartizan ingest Firewall_CL today.json --add-columns\n\nReads CSV, TSV, JSON, NDJSON and Parquet, plain or as .gz or .zst, each file whole into memory. A table whose name ends in _CL is created when\nit is not there, with the columns of the files. Rows without TimeGenerated get the time of arrival. The same file loaded again within the\nservice's window for repeated batches stores nothing new; --again stores it once more."
)]
pub struct Args {
    #[arg(value_name = "TABLE")]
    table: String,
    /// Files, or patterns of files.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<String>,
    /// Add columns that the files have and the table has not.
    #[arg(long, conflicts_with = "ignore_unknown")]
    add_columns: bool,
    /// Leave out columns that the files have and the table has not.
    #[arg(long)]
    ignore_unknown: bool,
    /// Store rows of files that were loaded before once more.
    #[arg(long)]
    again: bool,
    #[command(flatten)]
    service: ServiceArgs,
}

pub fn run(args: Args) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(load(args))
}

async fn load(args: Args) -> Outcome {
    let client = args.service.client()?;
    let mut files: Vec<PathBuf> = Vec::new();
    for pattern in &args.files {
        files.extend(super::query::matching(pattern)?);
    }
    let mut table = columns_of(&client, &args.table).await?;
    if table.is_none() && !args.table.ends_with("_CL") {
        return Err(Failure::Wrong(format!(
            "error: the workspace has no table `{}`; the name of a table of your own ends in _CL, as in `{}_CL`",
            args.table, args.table
        )));
    }
    let run = if args.again { uuid::Uuid::new_v4().to_string() } else { String::new() };
    let mut total = 0u64;
    for file in &files {
        // A new table has at least a time column, which files write in several formats.
        let time = [Column::new(TIME, Type::Datetime)];
        let mut rows =
            engine::read_all(&args.table, &[Input::File(file.clone())], Some(table.as_deref().unwrap_or(&time)), &Progress::default())
                .map_err(|error| Failure::Wrong(format!("error: {}", model::chain(&error))))?;
        if table.is_none() {
            rows.schema.columns.iter_mut().for_each(|column| column.name = column_name(&column.name));
        }
        let present = present(&rows, table.as_deref());
        let known = settle(&client, &args, table.take(), &present).await?;
        let sent: Vec<Column> = present.into_iter().filter(|column| known.iter().any(|there| there.name == column.name)).collect();
        let rule = rule_of(&client, &args.table, &sent).await?;
        total += upload(&client, &rule, &args.table, file, &run, &rows, &sent).await?;
        table = Some(known);
    }
    let counted = |count: u64, one: &str| if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") };
    println!("{} of {} in `{}`", counted(total, "row"), counted(files.len() as u64, "file"), args.table);
    Ok(())
}

/// The columns of a table; `None` if it does not exist.
async fn columns_of(client: &Client, table: &str) -> Result<Option<Vec<Column>>, Failure> {
    match client.table(Method::GET, table, None).await {
        Ok(found) => Ok(Some(columns(&found))),
        Err(CallError::Refused(refused)) if refused.status == StatusCode::NOT_FOUND => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn columns(table: &Json) -> Vec<Column> {
    let schema = &table["properties"]["schema"];
    let lists = ["standardColumns", "columns"].iter().filter_map(|name| schema[name].as_array());
    let mut columns: Vec<Column> = Vec::new();
    for column in lists.flatten() {
        let ty = column["type"].as_str().and_then(Type::parse);
        if let (Some(name), Some(ty)) = (column["name"].as_str(), ty)
            && columns.iter().all(|there| there.name != name)
        {
            columns.push(Column::new(name, ty));
        }
    }
    columns
}

/// The columns with values in the files, with the types that the table would store.
fn present(rows: &InlineTable, known: Option<&[Column]>) -> Vec<Column> {
    let schema = &rows.schema.columns;
    let filled = |index: usize, column: &Column| {
        (known.is_none() && column.name != TIME)
            || rows
                .batches
                .iter()
                .any(|batch| (0..batch.num_rows()).any(|row| !empty(&Value::from_cell(batch.column(index).as_ref(), row, column.ty))))
    };
    schema.iter().enumerate().filter(|(index, column)| filled(*index, column)).map(|(_, column)| storable(column)).collect()
}

/// A valid column name, with invalid characters replaced by `_`.
fn column_name(name: &str) -> String {
    const LONGEST: usize = 45;
    let mut made: String = name.trim().chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '_' }).take(LONGEST).collect();
    if !made.starts_with(|c: char| c.is_ascii_alphabetic()) {
        made = format!("c_{made}").chars().take(LONGEST).collect();
    }
    made
}

fn empty(value: &Value) -> bool {
    value.is_null() || matches!(value, Value::String(text) if text.is_empty())
}

/// A column with a type that Log Analytics can store.
fn storable(column: &Column) -> Column {
    let ty = match column.ty {
        Type::Decimal => Type::Real,
        Type::Timespan => Type::String,
        ty => ty,
    };
    Column::new(column.name.clone(), ty)
}

/// Creates the table or adds columns if requested; returns its columns.
async fn settle(client: &Client, args: &Args, table: Option<Vec<Column>>, present: &[Column]) -> Result<Vec<Column>, Failure> {
    let Some(known) = table else {
        let mut columns = present.to_vec();
        if columns.iter().all(|column| column.name != TIME) {
            columns.insert(0, Column::new(TIME, Type::Datetime));
        }
        let made = client.table(Method::PUT, &args.table, Some(&definition(&args.table, &columns))).await?;
        eprintln!("table `{}` created with {} columns", args.table, columns.len());
        return Ok(self::columns(&made));
    };
    let unknown: Vec<Column> = present.iter().filter(|column| known.iter().all(|there| there.name != column.name)).cloned().collect();
    if unknown.is_empty() || args.ignore_unknown {
        return Ok(known);
    }
    if args.add_columns {
        let every: Vec<Column> = known.into_iter().chain(unknown).collect();
        let made = client.table(Method::PUT, &args.table, Some(&definition(&args.table, &every))).await?;
        return Ok(self::columns(&made));
    }
    let names = unknown.iter().map(|column| format!("`{}`", column.name)).collect::<Vec<_>>().join(", ");
    Err(Failure::Wrong(format!(
        "error: table `{}` has no column {names}: --add-columns adds what the files have more, --ignore-unknown leaves it out",
        args.table
    )))
}

fn definition(table: &str, columns: &[Column]) -> Json {
    let columns: Vec<Json> = columns.iter().map(|column| json!({ "name": column.name, "type": column.ty.name() })).collect();
    // Files may have columns with names reserved by Azure (`id`, `Type`); portability to Azure is not needed here.
    json!({ "properties": { "lenient": true, "schema": { "name": table, "columns": columns } } })
}

/// The immutable id of the table's data collection rule, with a stream of exactly these columns.
async fn rule_of(client: &Client, table: &str, columns: &[Column]) -> Result<String, Failure> {
    let declared: Vec<Json> = columns
        .iter()
        .map(|column| json!({ "name": column.name, "type": if column.ty == Type::Guid { "string" } else { column.ty.name() } }))
        .collect();
    let mut transform = "source".to_owned();
    if columns.iter().all(|column| column.name != TIME) {
        transform += " | extend TimeGenerated = now()";
    }
    for column in columns.iter().filter(|column| column.ty == Type::Guid) {
        transform += &format!(" | extend ['{0}'] = toguid(['{0}'])", column.name);
    }
    let stream = stream(table);
    let mut streams = Map::new();
    streams.insert(stream.clone(), json!({ "columns": declared }));
    let output = if table.ends_with("_CL") { format!("Custom-{table}") } else { format!("Microsoft-{table}") };
    let body = json!({
        "location": "local",
        "properties": {
            "lenient": true,
            "streamDeclarations": streams,
            "destinations": { "logAnalytics": [{ "name": "workspace", "workspaceResourceId": client.workspace() }] },
            "dataFlows": [{ "streams": [stream], "destinations": ["workspace"], "transformKql": transform, "outputStream": output }],
        },
    });
    let name: String = format!("bartizan-ingest-{table}").chars().take(64).collect();
    let made = client.data_collection_rule(Method::PUT, &name, Some(&body)).await?;
    Ok(made["properties"]["immutableId"].as_str().context("the service gave its data collection rule no id")?.to_owned())
}

fn stream(table: &str) -> String {
    format!("Custom-Ingest-{table}")
}

/// Sends all rows in concurrent batches; returns their number.
async fn upload(
    client: &Client,
    rule: &str,
    table: &str,
    file: &std::path::Path,
    run: &str,
    rows: &InlineTable,
    sent: &[Column],
) -> Result<u64, Failure> {
    let count: usize = rows.batches.iter().map(|batch| batch.num_rows()).sum();
    let bar = ProgressBar::new(count as u64);
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {human_pos}/{human_len} rows, {per_sec}") {
        bar.set_style(style);
    }
    bar.set_message(file.display().to_string());
    let (stream, name) = (stream(table), file.display().to_string());
    let batches = batches(rows, sent).enumerate().map(|(number, batch)| {
        // A request id has no blanks and at most 128 characters.
        let key = uuid::Uuid::new_v5(&uuid::Uuid::NAMESPACE_OID, format!("ingest {name} {number} {run}").as_bytes()).to_string();
        let (stream, bar) = (&stream, &bar);
        async move {
            let (records, body) = batch;
            client.upload(rule, stream, &key, body).await?;
            bar.inc(records);
            Ok::<u64, Failure>(records)
        }
    });
    let done: u64 =
        futures::stream::iter(batches).buffered(CONCURRENCY).try_fold(0, |sum, records| async move { Ok(sum + records) }).await?;
    bar.finish_and_clear();
    Ok(done)
}

/// JSON arrays of at most [`MAX_BATCH`] bytes, each with its number of records. A larger record is a batch of its own.
fn batches<'a>(rows: &'a InlineTable, sent: &'a [Column]) -> impl Iterator<Item = (u64, Vec<u8>)> + 'a {
    let schema = &rows.schema.columns;
    let mut records = cells(schema, &rows.batches).map(move |row| {
        let members = schema.iter().zip(&row).filter(|(column, value)| !empty(value) && sent.iter().any(|there| there.name == column.name));
        Json::Object(members.map(|(column, value)| (column.name.clone(), value.to_json())).collect()).to_string()
    });
    let mut waiting: Option<String> = None;
    std::iter::from_fn(move || {
        let mut body = b"[".to_vec();
        let mut count = 0u64;
        while let Some(record) = waiting.take().or_else(|| records.next()) {
            if count > 0 && body.len() + record.len() + 2 > MAX_BATCH {
                waiting = Some(record);
                break;
            }
            if count > 0 {
                body.push(b',');
            }
            body.extend_from_slice(record.as_bytes());
            count += 1;
        }
        body.push(b']');
        (count > 0).then_some((count, body))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(text: &str) -> InlineTable {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.ndjson");
        std::fs::write(&path, text).unwrap();
        engine::read_all("T_CL", &[Input::File(path)], None, &Progress::default()).unwrap()
    }

    #[test]
    fn batches_are_arrays_below_the_limit_that_hold_every_record_once() {
        let long = "x".repeat(400_000);
        let rows =
            table(&format!("{{\"A\":1,\"B\":\"{long}\"}}\n{{\"A\":2,\"B\":\"{long}\"}}\n{{\"A\":3,\"B\":\"{long}\"}}\n{{\"B\":\"\"}}\n"));
        let sent = rows.schema.columns.clone();
        let made: Vec<(u64, Vec<u8>)> = batches(&rows, &sent).collect();
        assert_eq!(made.iter().map(|(count, _)| *count).collect::<Vec<_>>(), [2, 2]);
        let read: Vec<Vec<Json>> = made.iter().map(|(_, body)| serde_json::from_slice(body).unwrap()).collect();
        assert_eq!(read[1][0]["A"], json!(3));
        assert_eq!(read[1][1], json!({}));
        assert!(made.iter().all(|(_, body)| body.len() <= MAX_BATCH));
    }

    #[test]
    fn names_of_files_become_names_of_columns() {
        let names = ["TimeGenerated", "source.ip", "2fa", "é"].map(column_name);
        assert_eq!(names, ["TimeGenerated", "source_ip", "c_2fa", "c__"]);
    }

    #[test]
    fn only_columns_with_values_are_sent() {
        let rows = table("{\"A\":1,\"B\":\"\"}\n");
        let known = rows.schema.columns.clone();
        assert_eq!(present(&rows, Some(&known)).iter().map(|column| column.name.as_str()).collect::<Vec<_>>(), ["A"]);
    }
}
