//! Every operator over empty inputs: no row matches, only rows of one part match, the table is empty. Expected results: those over a
//! literal table with the same rows (covered by the cases), and what the KQL reference documents for empty inputs.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use engine::{Engine, Options, Store, SystemClock};
use kql::Value;
use model::{Append, Catalog, Column, Query, QueryEngine, Rows, Span, TableName, TableWriter, Type, WorkspaceName, arrow_schema};
use workspace::{SystemDisk, Workspace, WorkspaceConfig};

use super::{block_on, printed};

/// Operators to run on the rows `K: string, N: long, R: real, D: dynamic, TimeGenerated: datetime`. Their results do not depend on an
/// unspecified order.
const OPERATORS: &[&str] = &[
    "top 1 by N",
    "sort by N asc, K desc | take 1 | project N",
    "top 3 by R asc nulls first | project R",
    "top 0 by N",
    "top 2 by strcat(K, N)",
    "order by N asc | take 2",
    "order by N asc | take 0",
    "order by N asc | project K, N",
    "order by R desc | extend n = row_number(), p = prev(N), q = next(K), s = row_cumsum(N)",
    "order by N asc | scan declare (t: long = 0) with (step a: true => t = a.t + N;)",
    "take 0",
    "sample 0",
    "count",
    "extend X = strcat(K, '-', N) | where X has 'zz' | count",
    "where N > 1000000 | project N, K",
    "distinct K",
    "distinct K, N | order by K asc, N asc",
    "summarize count() by K | order by K asc",
    "summarize count(), sum(N), avg(R), min(N), max(K), dcount(K), make_list(N), make_set(K), countif(N > 1), take_any(K)",
    "summarize arg_max(N, *) by K | order by K asc",
    "summarize arg_min(N, K), arg_max(R, N)",
    "summarize percentile(N, 50), stdev(R), make_bag(D), hll(K), buildschema(D) by bin(TimeGenerated, 1h) | order by TimeGenerated asc",
    "summarize by K | count",
    "mv-expand D to typeof(long) | summarize count(), sum(D)",
    "mv-apply D to typeof(long) on (summarize s = sum(D)) | summarize sum(s)",
    "partition hint.strategy=native by K (top 1 by N | project N) | order by N asc",
    "parse K with a 'x' b:long | project a, b | distinct a, b | order by a asc, b asc",
    "parse-where K with a 'x' b:long | count",
    "parse-kv K as (a: long) with (pair_delimiter=';', kv_delimiter='=') | summarize sum(a)",
    "make-series n = count() default=0 on TimeGenerated from datetime(2026-01-01) to datetime(2026-01-02) step 12h by K | order by K asc",
    "make-series n = count() default=0 on TimeGenerated from datetime(2026-01-01) to datetime(2026-01-02) step 12h",
    "top-nested 2 of K by sum(N) | order by K asc",
    "top-hitters 2 of K by N | order by K asc",
    "sample-distinct 1 of K | count",
    "join kind=inner (T | project K, M = N) on K | summarize count(), sum(M)",
    "join kind=leftouter (T | project K, M = N) on K | summarize count(), sum(M)",
    "join kind=rightouter (T | project K, M = N) on K | summarize count(), sum(M)",
    "join kind=fullouter (T | project K, M = N) on K | summarize count(), sum(M)",
    "join kind=leftanti (T | project K, M = N) on K | summarize count(), sum(N)",
    "join kind=rightanti (T | project K, M = N) on K | summarize count(), sum(M)",
    "join kind=leftsemi (T | project K, M = N) on K | summarize count(), sum(N)",
    "join (T | project K, M = N) on K | summarize count(), sum(M)",
    "lookup (T | project K, M = N) on K | summarize count(), sum(M)",
    "union (T | project K, M = N) | summarize count(), sum(M), sum(N)",
    "union T | top 2 by N | project N",
    "as X | union X | count",
    "project B = bag_pack('a', N) | evaluate bag_unpack(B) | count",
    "evaluate pivot(K, count()) | count",
    "project K, N | evaluate autocluster() | count",
    "evaluate narrow() | count",
    "reduce by K | summarize sum(Count)",
    "getschema | count",
    "where N in ((T | where K == 'none' | project N)) | count",
    "where N == toscalar(T | where K == 'none' | summarize max(N)) | count",
    "extend m = toscalar(T | where K == 'none' | top 1 by N | project N) | summarize max(m)",
    "make-graph K --> K with_node_id=id | graph-to-table edges | count",
    "project-away D | project-rename Z = K | project-reorder Z | top 1 by Z | project Z",
    "serialize n = row_number() | summarize max(n)",
    "search 'nothing like it' | count",
];

/// Filters that keep no rows, rows of a single part, and all rows.
const FILTERS: &[&str] = &["where K == 'none'", "where N >= 1000", "where N == 10 or N > 300", "where K has 'alpha'", "where true"];

const PARTS: i64 = 4;
const ROWS_OF_PART: i64 = 3;

fn columns() -> Vec<Column> {
    let columns = [("TimeGenerated", Type::Datetime), ("K", Type::String), ("N", Type::Long), ("R", Type::Real), ("D", Type::Dynamic)];
    columns.map(|(name, ty)| Column::new(name, ty)).to_vec()
}

/// The rows of a part; `N` is unique over all parts.
fn cells(part: i64) -> Vec<Vec<Value>> {
    let row = |row: i64| {
        let number = part * 100 + row * 10;
        vec![
            Value::Datetime(639_028_224_000_000_000 + number * 36_000_000_000),
            Value::String(["alpha", "beta x7", ""][(part + row) as usize % 3].to_owned()),
            Value::Long(number),
            if row == 1 { Value::Null(Type::Real) } else { Value::Real(number as f64 / 4.0) },
            if row == 2 { Value::Null(Type::Dynamic) } else { Value::Dynamic(format!("[{part},{row}]")) },
        ]
    };
    (0..ROWS_OF_PART).map(row).collect()
}

fn batch(part: i64) -> RecordBatch {
    let (columns, rows) = (columns(), cells(part));
    let column = |(at, column): (usize, &Column)| Value::array(&rows.iter().map(|row| row[at].clone()).collect::<Vec<_>>(), column.ty);
    RecordBatch::try_new(arrow_schema(&columns), columns.iter().enumerate().map(column).collect()).unwrap()
}

/// The same rows as a `datatable` literal.
fn literal(parts: i64) -> String {
    let columns: Vec<String> = columns().iter().map(|column| format!("{}: {}", column.name, column.ty.name())).collect();
    let cell = |value: &Value| match value {
        Value::Null(ty) => format!("{}(null)", ty.name()),
        Value::String(text) => format!("'{text}'"),
        other => format!("{}({})", other.ty().name(), other.to_text()),
    };
    let rows: Vec<String> = (0..parts).flat_map(cells).map(|row| row.iter().map(cell).collect::<Vec<_>>().join(", ")).collect();
    format!("let T = datatable({})[{}];", columns.join(", "), rows.join(", "))
}

#[test]
fn operators_over_no_rows_of_a_stored_table() {
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
    let engines =
        [1, 3, 8].map(|partitions| Engine::new(Some(store.clone()), clock.clone(), Options { partitions, ..Options::default() }).unwrap());
    block_on(async {
        // A table with three files and a batch in memory, an empty table, and a table in memory only.
        for (table, parts, flushed) in [("Stored", PARTS, PARTS - 1), ("Empty", 0, 0), ("Memory", PARTS, 0)] {
            let table = TableName::new(table);
            workspace.define(&table, columns()).await.unwrap();
            for part in 0..parts {
                let rows = vec![Rows { table: table.clone(), batch: batch(part) }];
                workspace.append(Append { rows, key: None, position: None }).await.unwrap();
                if part < flushed {
                    workspace.flush().await.unwrap();
                }
            }
        }
        let mut wrong = Vec::new();
        for filter in FILTERS {
            for operator in OPERATORS {
                for (table, parts) in [("Stored", PARTS), ("Empty", 0), ("Memory", PARTS)] {
                    let answer = async |engine: &Engine, given: &str| {
                        let kql = format!("{given} T | {filter} | {operator}");
                        engine.query(Query::new(kql)).await.map(|answer| printed(&answer)).map_err(|why| why.to_string())
                    };
                    let expected = answer(&engines[0], &literal(parts)).await;
                    if let (Err(why), "where true") = (&expected, *filter) {
                        wrong.push(format!("{operator}: {why}"));
                    }
                    for (threads, engine) in ["three threads", "eight threads"].iter().zip(&engines[1..]) {
                        let stored = answer(engine, &format!("let T = {table} | project TimeGenerated, K, N, R, D;")).await;
                        if stored != expected {
                            wrong.push(format!("{table}, {threads} | {filter} | {operator}:\n  {stored:?}\n  {expected:?}"));
                        }
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
    });
}

#[test]
fn sorting_no_rows_succeeds() {
    // take-operator: `take 0` returns no rows, including on sorted input.
    for kql in [
        "range x from 1 to 3 step 1 | sort by x asc | take 0",
        "range x from 1 to 3 step 1 | top 0 by x",
        "range x from 1 to 3 step 1 | sort by x asc | sample 0",
        "range x from 1 to 3 step 1 | sort by x asc | take 0 | extend n = row_number()",
        "datatable(x: long)[] | sort by x asc | take 5",
        "datatable(x: long)[] | top 5 by x",
        "let T = range x from 1 to 3 step 1; union (T | top 0 by x), (T | take 0)",
    ] {
        assert_eq!(super::rows(kql), Vec::<String>::new(), "{kql}");
    }
    assert_eq!(super::rows("range x from 1 to 3 step 1 | sort by x asc | take 0 | count"), ["0"]);
    assert_eq!(super::rows("range x from 1 to 3 step 1 | top 0 by x | summarize sum(x)"), ["0"]);
}
