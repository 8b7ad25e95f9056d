//! Queries over a real workspace: rows in the log, in files, and in both. Expected results: the rows that were appended.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringViewArray};
use arrow::record_batch::RecordBatch;
use engine::{Engine, Options, Store, SystemClock};
use model::{
    Append, Catalog, Column, Query, QueryEngine, Rows, Scope, Span, TableName, TableWriter, Timestamp, Type, Window, WorkspaceName,
    arrow_schema,
};
use workspace::{SystemDisk, Workspace, WorkspaceConfig};

use super::{block_on, printed};

/// 2026-01-01T00:00:00 plus ticks that are not a whole microsecond.
const BASE: i64 = 639_028_224_000_000_003;
const MINUTE: i64 = 600_000_000;

fn moment(minutes: i64) -> Timestamp {
    Timestamp::from_ticks(BASE + minutes * MINUTE).unwrap()
}

/// Appends rows with a minute and a name; `TimeGenerated` follows the minute.
async fn append(workspace: &Workspace, minutes: std::ops::Range<i64>) -> Timestamp {
    let columns = [Column::new("TimeGenerated", Type::Datetime), Column::new("Url", Type::String), Column::new("url", Type::Long)];
    let times: ArrayRef = Arc::new(Int64Array::from_iter_values(minutes.clone().map(|minute| BASE + minute * MINUTE)));
    let urls: ArrayRef = Arc::new(StringViewArray::from_iter_values(minutes.clone().map(|minute| format!("u{}", minute % 3))));
    let numbers: ArrayRef = Arc::new(Int64Array::from_iter(minutes.map(|minute| (minute % 5 != 0).then_some(minute))));
    let batch = RecordBatch::try_new(arrow_schema(&columns), vec![times, urls, numbers]).unwrap();
    workspace
        .append(Append { rows: vec![Rows { table: TableName::new("T_CL"), batch }], key: None, position: None })
        .await
        .unwrap()
        .ingested
}

#[test]
fn rows_in_files_and_in_the_log_are_one_table() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(SystemClock::default());
    let options = workspace::Options {
        name: WorkspaceName::new("w"),
        config: WorkspaceConfig { retention: Span(36_500 * Span::DAY.0), ..WorkspaceConfig::default() },
        id: None,
        disk: Arc::new(SystemDisk),
        clock: clock.clone(),
        health: model::HealthRegister::default(),
    };
    let workspace = Arc::new(Workspace::open(folder.path(), options).unwrap());
    let store = Store { catalog: workspace.clone(), snapshots: workspace.clone() };
    let engines = [true, false].map(|optimize| {
        Engine::new(Some(store.clone()), clock.clone(), Options { optimize, batch_size: 64, partitions: 2, ..Options::default() }).unwrap()
    });
    block_on(async {
        let columns = vec![
            Column::new("TimeGenerated", Type::Datetime),
            Column::new("Url", Type::String),
            Column::new("url", Type::Long),
            Column::new("Never", Type::String),
        ];
        workspace.define(&TableName::new("T_CL"), columns).await.unwrap();
        let first = append(&workspace, 0..100).await;
        workspace.flush().await.unwrap();
        let second = append(&workspace, 100..150).await;
        workspace.flush().await.unwrap();
        append(&workspace, 150..160).await;

        for (engine, optimized) in engines.iter().zip([true, false]) {
            let ask = async |kql: &str, scope: Scope| {
                printed(&engine.query(Query::new(kql).with_scope(scope)).await.unwrap_or_else(|why| panic!("{kql}: {why}")))
            };
            let all = async |kql: &str| ask(kql, Scope::default()).await;
            assert_eq!(all("T_CL | count").await, ["160"]);
            // Two columns whose names differ only in case; nulls are null, and a string that was never written is empty.
            assert_eq!(all("T_CL | summarize countif(isnull(url)), sum(url), dcount(Url), countif(Never == '')").await, ["32|10240|3|160"]);
            // Sub-microsecond ticks survive the file.
            assert_eq!(
                all("T_CL | summarize min(TimeGenerated), max(TimeGenerated)").await,
                ["2026-01-01T00:00:00.0000003Z|2026-01-01T02:39:00.0000003Z"]
            );
            // A bound within a microsecond is exact to the tick, in files as in memory.
            for minute in [50, 120, 155] {
                let at = format!("datetime({})", kql::Value::Datetime(moment(minute).ticks()).to_text());
                assert_eq!(all(&format!("T_CL | where TimeGenerated == {at} | count")).await, ["1"], "{minute}");
                assert_eq!(all(&format!("T_CL | where TimeGenerated >= {at} | count")).await, [(160 - minute).to_string()]);
                assert_eq!(all(&format!("T_CL | where TimeGenerated > {at} | count")).await, [(159 - minute).to_string()]);
                assert_eq!(all(&format!("T_CL | where {at} > TimeGenerated | count")).await, [minute.to_string()]);
            }
            assert_eq!(
                all("T_CL | where Url == 'u1' and url between (90 .. 110) | sort by url asc | project url | take 3").await,
                ["91", "94", "97"]
            );
            assert_eq!(all("T_CL | where Never == 'x' | count").await, ["0"]);
            assert_eq!(all("T_CL | sort by TimeGenerated desc | take 1 | project Url, url").await, ["u0|159"]);

            // The API's timespan is half-open; a rule's ingestion window is open at its start, so that windows tile.
            let window = Some(Window { from: moment(90), until: moment(110) });
            assert_eq!(ask("T_CL | count", Scope { window, ..Scope::default() }).await, ["20"]);
            let ingested = Some(Window { from: first, until: second });
            assert_eq!(ask("T_CL | summarize min(url), max(url), count()", Scope { ingested, ..Scope::default() }).await, ["101|149|50"]);
            assert_eq!(ask("T_CL | where ingestion_time() <= now() | count", Scope::default()).await, ["160"]);

            // Files outside the time range are not opened.
            let answer = engine
                .query(Query::new(format!(
                    "T_CL | where TimeGenerated > datetime({}) | count",
                    kql::Value::Datetime(moment(149).ticks()).to_text()
                )))
                .await
                .unwrap();
            assert_eq!(printed(&answer), ["10"]);
            assert!(
                !optimized || answer.stats.bytes_scanned == 0,
                "read {} bytes of files for rows that are in memory",
                answer.stats.bytes_scanned
            );
        }
        let read = engines[0].tables_read(&Query::new("T_CL | union (SecurityEvent)")).await.unwrap();
        assert_eq!(read, [TableName::new("SecurityEvent"), TableName::new("T_CL")]);
    });
}
