//! Plans of texts that run again over other rows, such as transforms: bound once, with the time of each run.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::record_batch::RecordBatch;
use engine::{Engine, Options, Store, SystemClock};
use model::{
    Catalog, Column, InlineTable, Query, Scope, StoredFunction, TableName, TableSchema, Timestamp, Type, WorkspaceName, arrow_schema,
};
use workspace::{SystemDisk, Workspace, WorkspaceConfig};

use super::{ask, block_on, printed};

fn engine() -> Engine {
    Engine::new(None, Arc::new(SystemClock::default()), Options::default()).unwrap()
}

/// A transform's scope: a `source` with one column and one row.
fn scope(column: &str, value: i64, now: &str) -> Scope {
    let columns = vec![Column::new(column, Type::Long)];
    let array: ArrayRef = Arc::new(Int64Array::from(vec![value]));
    let batch = RecordBatch::try_new(arrow_schema(&columns), vec![array]).unwrap();
    let source = InlineTable { schema: TableSchema::new("source", columns), batches: vec![batch] };
    Scope { now: Timestamp::parse_iso(now), tables: vec![Arc::new(source)], inline_only: true, ..Scope::default() }
}

/// The rows, and how many texts were bound.
fn run(engine: &Engine, kql: &str, scope: Scope) -> (Vec<String>, u64) {
    let before = engine.texts_bound();
    let rows = printed(&ask(engine, Query::new(kql).with_scope(scope)).unwrap_or_else(|why| panic!("{kql}: {why}")));
    (rows, engine.texts_bound() - before)
}

#[test]
fn a_transform_is_bound_once_and_runs_over_the_rows_and_the_time_of_each_upload() {
    let engine = engine();
    let transform = "source | where n > 0 | extend TimeGenerated = now(), Day = startofday(ago(1h)), m = n + 1";
    let (first, second) = (scope("n", 1, "2026-01-01T00:30:00Z"), scope("n", 7, "2026-01-02T12:00:00Z"));
    let one = "1|2026-01-01T00:30:00.0000000Z|2025-12-31T00:00:00.0000000Z|2";
    let two = "7|2026-01-02T12:00:00.0000000Z|2026-01-02T00:00:00.0000000Z|8";
    assert_eq!(run(&engine, transform, first), (vec![one.to_owned()], 1));
    assert_eq!(run(&engine, transform, second), (vec![two.to_owned()], 0));
    // Another table is bound again.
    assert_eq!(run(&engine, "source | project n", scope("n", 1, "2026-01-01")), (vec!["1".to_owned()], 1));
    assert_eq!(run(&engine, "source | project n", scope("n", 2, "2026-01-01")), (vec!["2".to_owned()], 0));
    let other = ask(&engine, Query::new("source | project n").with_scope(scope("m", 2, "2026-01-01")));
    assert!(matches!(other, Err(model::QueryError::Wrong(_))), "{other:?}");
}

#[test]
fn a_plan_with_the_time_in_it_is_bound_for_each_run() {
    let engine = engine();
    for transform in [
        "let t = now(); source | where n > 0 | project t",
        "source | summarize by t = now()",
        "source | extend t = toscalar(print now()) | project t",
    ] {
        for now in ["2026-01-01T00:00:00.0000000Z", "2026-01-02T00:00:00.0000000Z"] {
            assert_eq!(run(&engine, transform, scope("n", 1, now)), (vec![now.to_owned()], 1), "{transform}");
        }
    }
}

#[test]
fn columns_that_depend_on_rows_are_bound_for_each_run() {
    let engine = engine();
    let kql = "source | extend b = bag_pack(strcat('k', n), n) | evaluate bag_unpack(b)";
    for (value, row) in [(1, "1|1"), (2, "2|2")] {
        let query = Query::new(kql).with_scope(scope("n", value, "2026-01-01"));
        let answer = ask(&engine, query).unwrap();
        assert_eq!((printed(&answer), answer.columns[1].name.as_str()), (vec![row.to_owned()], format!("k{value}").as_str()));
    }
}

#[test]
fn a_changed_function_is_bound_again() {
    let engine = engine();
    let with = |body: &str| {
        let function = StoredFunction { name: "F".to_owned(), parameters: "x:long".to_owned(), body: body.to_owned() };
        Scope { functions: vec![Arc::new(function)], ..scope("n", 5, "2026-01-01") }
    };
    assert_eq!(run(&engine, "source | project F(n)", with("x + 1")), (vec!["6".to_owned()], 1));
    assert_eq!(run(&engine, "source | project F(n)", with("x + 1")), (vec!["6".to_owned()], 0));
    assert_eq!(run(&engine, "source | project F(n)", with("x + 2")), (vec!["7".to_owned()], 1));
}

#[test]
fn a_changed_table_of_the_workspace_is_bound_again() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(SystemClock::default());
    let options = workspace::Options {
        name: WorkspaceName::new("w"),
        config: WorkspaceConfig::default(),
        id: None,
        disk: Arc::new(SystemDisk),
        clock: clock.clone(),
        health: model::HealthRegister::default(),
    };
    let workspace = Arc::new(Workspace::open(folder.path(), options).unwrap());
    let store = Store { catalog: workspace.clone(), snapshots: workspace.clone() };
    let engine = Engine::new(Some(store), clock, Options::default()).unwrap();
    let scope = || Scope { inline_only: false, ..scope("n", 5, "2026-01-01") };
    let define = |columns: &[&str]| {
        let time = Column::new("TimeGenerated", Type::Datetime);
        let columns = std::iter::once(time).chain(columns.iter().map(|name| Column::new(*name, Type::Long))).collect();
        block_on(workspace.define(&TableName::new("T_CL"), columns)).unwrap();
    };
    define(&["a"]);
    let kql = "union source, T_CL | getschema | where ColumnName in ('a', 'b', 'n') | summarize count()";
    assert_eq!(run(&engine, kql, scope()), (vec!["2".to_owned()], 1));
    assert_eq!(run(&engine, kql, scope()), (vec!["2".to_owned()], 0));
    define(&["a", "b"]);
    assert_eq!(run(&engine, kql, scope()), (vec!["3".to_owned()], 1));
}
