//! Each limit has its own error, operators spill to disk, and the engine can run the next query.
//!
//! Expected results are computed arithmetically; `tests/kql/limits.py` measures whole processes from outside.

use std::sync::Arc;

use engine::{Engine, Options, QueryConfig, SystemClock};
use model::{ByteSize, Limits, Query, QueryError, Span};

use super::{ask, printed, ways};

fn limited(kql: &str, limits: Limits) -> Query {
    Query { limits, ..Query::new(kql) }
}

fn memory(kql: &str, mebibytes: u64) -> Query {
    limited(kql, Limits { memory: Some(ByteSize(mebibytes << 20)), ..Limits::default() })
}

#[test]
fn row_and_byte_limits_truncate_with_a_warning() {
    let engine = &ways()[0];
    let answer = ask(engine, limited("range x from 1 to 1000000 step 1", Limits { rows: Some(10), ..Limits::default() })).unwrap();
    assert_eq!(answer.rows(), 10);
    assert!(matches!(answer.partial, Some(QueryError::Rows(10))), "{:?}", answer.partial);
    let answer =
        ask(engine, limited("range x from 1 to 1000000 step 1", Limits { bytes: Some(ByteSize(100_000)), ..Limits::default() })).unwrap();
    assert!(matches!(answer.partial, Some(QueryError::Bytes(_))), "{:?}", answer.partial);
    assert!(answer.rows() <= 100_000 / 8);
}

#[test]
fn result_at_the_limit_is_complete() {
    let answer = ask(&ways()[0], limited("range x from 1 to 10 step 1", Limits { rows: Some(10), ..Limits::default() })).unwrap();
    assert_eq!((answer.rows(), answer.partial.is_none()), (10, true));
}

#[test]
fn time_memory_and_cancellation_end_a_query() {
    let engine = &ways()[0];
    let endless = "range x from 1 to 1000000000000 step 1 | summarize count()";
    let ended = ask(engine, limited(endless, Limits { time: Some(Span::millis(50)), ..Limits::default() }));
    assert!(matches!(ended, Err(QueryError::Time(_))), "{ended:?}");
    let query = limited(endless, Limits::default());
    query.cancel.cancel();
    assert!(matches!(ask(engine, query), Err(QueryError::Cancelled)));
    let ended = ask(engine, memory("range x from 1 to 1000000 step 1 | serialize n = prev(x) | summarize sum(n)", 1));
    assert!(matches!(ended, Err(QueryError::Memory(_))), "{ended:?}");
    assert_eq!(printed(&ask(engine, Query::new("print 1 + 1")).unwrap()), ["2"]);
}

/// A multi-threaded engine with a spill folder that the test inspects.
fn engine_in(folder: &std::path::Path, disk: u64) -> Engine {
    let options = Options { partitions: 2, ..Options::default() };
    let config = QueryConfig { disk: ByteSize(disk), ..QueryConfig::default() };
    Engine::new(None, Arc::new(SystemClock::default()), options).unwrap().with_config(config, Some(folder)).unwrap()
}

/// A million rows of some 60 bytes: several times the memory limit of the queries below.
const ROWS: &str = "range x from 1 to 1000000 step 1 | extend s = strcat('some text of a length that does not lie in a view ', hash(x), x)";

#[test]
fn operators_spill_to_disk() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine_in(folder.path(), 4 << 30);
    let answers = [
        // A sort whose order a window reads, so no top-N.
        (format!("{ROWS} | sort by hash(s) asc | summarize count(), sum(x)"), "1000000|500000500000"),
        (format!("{ROWS} | summarize c = count() by s | summarize count(), sum(c)"), "1000000|1000000"),
        (format!("{ROWS} | distinct s, x | count"), "1000000"),
        (
            format!("{ROWS} | summarize l = make_list(x) by k = x % 100000 | summarize sum(array_length(l)), sum(array_sum(l))"),
            "1000000|500000500000.0",
        ),
        (format!("{ROWS} | summarize dcount(s), max(s) by k = x % 200000 | count"), "200000"),
        (format!("{ROWS} | join kind=inner ({ROWS}) on s | summarize count(), sum(x1)"), "1000000|500000500000"),
        (format!("{ROWS} | join kind=leftanti ({ROWS} | where x % 2 == 0) on s | summarize count()"), "500000"),
    ];
    for (kql, wanted) in answers {
        let answer = ask(&engine, memory(&kql, 48)).unwrap_or_else(|why| panic!("{kql}: {why}"));
        assert_eq!(printed(&answer), [wanted], "{kql}");
        // Some DataFusion operators only register memory they already hold, for batches in flight.
        assert!(answer.stats.peak_memory <= 64 << 20, "{kql}: {} bytes", answer.stats.peak_memory);
    }
    drop(engine);
    assert!(!folder.path().exists(), "the folder stays behind");
}

#[test]
fn non_spilling_operators_fail_with_the_memory_error() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine_in(folder.path(), 4 << 30);
    let queries = [
        format!("{ROWS} | summarize l = make_list(s) | project array_length(l)"),
        format!("{ROWS} | summarize l = make_set(s, 10000000) | project array_length(l)"),
        format!("{ROWS} | sort by x desc | serialize n = prev(s) | summarize max(strlen(n))"),
        format!("{ROWS} | partition by x (top 1 by x) | count"),
        format!("{ROWS} | as T | join kind=inner T on s | count"),
        format!("let T = materialize({ROWS}); T | union T | count"),
        format!("{ROWS} | evaluate bag_unpack(d)").replace("extend s", "extend d = bag_pack('a', x), s"),
        // A thousand bytes that expand to a gigabyte.
        "range x from 1 to 10000 step 1 | extend s = strrep(strrep(strcat('a', x), 1000), 1000) | summarize max(strlen(s))".to_owned(),
        "range x from 1 to 10000 step 1 | extend a = range(x, x + 1000000) | summarize max(array_length(a))".to_owned(),
        "range x from 1 to 100000 step 1 | extend k = 1 | as T | partition by k (join kind=inner (T) on k) | count".to_owned(),
    ];
    for kql in queries {
        let ended = ask(&engine, memory(&kql, 48));
        assert!(matches!(ended, Err(QueryError::Memory(_))), "{kql}: {:?}", ended.map(|answer| printed(&answer)));
    }
    assert_eq!(printed(&ask(&engine, memory("print 1 + 1", 48)).unwrap()), ["2"]);
}

#[test]
fn expanding_rows_are_processed_in_small_steps() {
    // mvexpand-operator: one row per element.
    let folder = tempfile::tempdir().unwrap();
    let engine = engine_in(folder.path(), 1 << 30);
    let kql = "range x from 1 to 300 step 1 | extend a = range(1, 100000) | mv-expand a to typeof(long) | summarize count(), sum(a)";
    assert_eq!(printed(&ask(&engine, memory(kql, 64)).unwrap()), ["30000000|1500015000000"]);
}

#[test]
fn list_order_is_kept_with_little_memory() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine_in(folder.path(), 4 << 30);
    let kql = format!(
        "{ROWS} | sort by x desc | summarize l = make_list(x) by k = x % 50000 | extend a = tolong(l[0]), z = tolong(l[19]) | where a < z | count"
    );
    assert_eq!(printed(&ask(&engine, memory(&kql, 1024)).unwrap()), ["0"]);
    assert_eq!(printed(&ask(&engine, memory(&kql, 32)).unwrap()), ["0"]);
}

#[test]
fn exceeded_spill_limit_has_its_own_error() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engine_in(folder.path(), 8 << 20);
    let ended = ask(&engine, memory(&format!("{ROWS} | sort by hash(s) asc | summarize count()"), 48));
    // The order is not used, so there is no sort.
    assert!(ended.is_ok(), "{ended:?}");
    let ended = ask(&engine, memory(&format!("{ROWS} | sort by hash(s) asc | project s"), 48));
    assert!(matches!(ended, Err(QueryError::Disk(_))), "{:?}", ended.map(|answer| answer.rows()));
    assert_eq!(engine.load().disk, 0);
}

#[test]
fn invalid_query_returns_diagnostics() {
    let Err(QueryError::Wrong(diagnostics)) = ask(&ways()[0], Query::new("print x = 1 | where y == 2")) else { panic!("accepted") };
    assert!(diagnostics[0].message.contains('y'), "{}", diagnostics[0].message);
    assert_eq!(diagnostics[0].start, 20);
}

#[test]
fn long_texts_are_planned_in_bounded_time() {
    let list: Vec<String> = (0..20_000).map(|n| format!("'needle{n}'")).collect();
    let list = list.join(",");
    let over = "range x from 1 to 1000 step 1 | extend s = strcat('needle', x)";
    let extends: String = (1..390).map(|n| format!("| extend a{n} = a{} + 1 ", n - 1)).collect();
    let wheres: String = (0..390).map(|n| format!("| where x != {} ", n + 2000)).collect();
    // Each step reads the previous step's column twice.
    let doubled: String = (0..60).map(|n| format!("| extend a = iff(s contains 'needle{n}', array_concat(a, dynamic([1])), a) ")).collect();
    let texts = [
        (format!("{over} | extend a = dynamic([]) {doubled} | where array_length(a) > 0 | summarize by tostring(a) | count"), "2"),
        (format!("{over} | where s in ({list}) | count"), "1000"),
        (format!("{over} | where s has_any ({list}) | count"), "1000"),
        (format!("print a0 = 1 {extends} | project a389"), "390"),
        (format!("{over} {wheres} | count"), "1000"),
        (format!("print x = {}1{}", "(".repeat(60), ")".repeat(60)), "1"),
    ];
    for (kql, wanted) in texts {
        let started = std::time::Instant::now();
        assert_eq!(printed(&ask(&ways()[0], Query::new(&kql)).unwrap()), [wanted]);
        // A generous limit: it detects superlinear growth even on a busy machine.
        assert!(started.elapsed().as_secs() < 20, "{:?} for {}…", started.elapsed(), &kql[..60]);
    }
}
