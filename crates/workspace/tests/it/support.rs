//! Helpers: a workspace with one small table whose rows are numbers.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::Int64Type;
use model::{
    Ack, Append, AppendError, Catalog, Clock, Column, Disk, HealthRegister, Rows, TableName, TableWriter, Timestamp, Type, WorkspaceName,
};
pub use testkit::HandClock;
use workspace::{Options, Workspace, WorkspaceConfig};

pub const TABLE: &str = "Numbers_CL";

/// Small limits, so that small tests produce files, merges and new log files.
pub fn small() -> WorkspaceConfig {
    WorkspaceConfig { log_file_size: model::ByteSize(4096), small_files: 3, ..WorkspaceConfig::default() }
}

pub fn open(data: &Path, disk: Arc<dyn Disk>, clock: Arc<dyn Clock>, config: WorkspaceConfig) -> Result<Workspace, workspace::OpenError> {
    open_with(data, disk, clock, config, HealthRegister::default())
}

/// Like [`open`], reporting to `health`.
pub fn open_with(
    data: &Path,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    config: WorkspaceConfig,
    health: HealthRegister,
) -> Result<Workspace, workspace::OpenError> {
    Workspace::open(
        data,
        Options {
            name: WorkspaceName::new("main"),
            config,
            id: Some("00000000-0000-0000-0000-00000000000a".to_owned()),
            disk,
            clock,
            health,
        },
    )
}

pub async fn define(workspace: &Workspace) -> Result<(), model::CatalogError> {
    let columns = vec![Column::new("TimeGenerated", Type::Datetime), Column::new("N", Type::Long), Column::new("Text", Type::String)];
    workspace.define(&TableName::new(TABLE), columns).await.map(|_| ())
}

/// Rows with the numbers `first..first + count`.
pub fn batch(first: i64, count: i64, time: Timestamp) -> RecordBatch {
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter_values(first..first + count));
    let texts: ArrayRef =
        Arc::new(StringViewArray::from_iter_values((first..first + count).map(|n| format!("this is the row with number {n}"))));
    let times: ArrayRef = Arc::new(Int64Array::from_value(time.ticks(), count as usize));
    RecordBatch::try_from_iter([("N", numbers), ("Text", texts), ("TimeGenerated", times)]).unwrap()
}

pub fn numbers(first: i64, count: i64) -> Append {
    let time = Timestamp::parse_iso("2026-03-01").unwrap();
    Append {
        rows: vec![Rows { table: TableName::new(TABLE), batch: batch(first, count, time) }],
        key: Some(format!("key {first}")),
        position: None,
    }
}

pub async fn add(workspace: &Workspace, first: i64, count: i64) -> Result<Ack, AppendError> {
    workspace.append(numbers(first, count)).await
}

/// How often each number is stored. Also checks that each row's text matches its number.
pub fn stored(workspace: &Workspace) -> HashMap<i64, usize> {
    let mut counts = HashMap::new();
    for batch in workspace.rows(TABLE).unwrap() {
        let numbers = batch.column_by_name("N").unwrap().as_primitive::<Int64Type>().clone();
        let texts = batch.column_by_name("Text").unwrap().as_string_view().clone();
        for (number, text) in numbers.iter().zip(texts.iter()) {
            let number = number.unwrap();
            assert_eq!(text, Some(format!("this is the row with number {number}").as_str()));
            *counts.entry(number).or_default() += 1;
        }
    }
    counts
}

/// The seed of this run: `BARTIZAN_SEED`, or taken from the clock.
pub fn seed() -> u64 {
    let given = std::env::var("BARTIZAN_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given
        .unwrap_or_else(|| std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(1, |time| time.as_nanos() as u64));
    println!("BARTIZAN_SEED={seed}");
    seed
}

/// Number of trials: the environment variable `variable` if set, else `default`.
pub fn trials(variable: &str, default: u64) -> u64 {
    std::env::var(variable).ok().and_then(|count| count.parse().ok()).unwrap_or(default)
}
