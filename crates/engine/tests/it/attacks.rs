//! Queries designed to exhaust stack, planner or memory: each is either answered correctly or rejected with a specific limit error, in
//! bounded time, and stops promptly when cancelled. Expected results are computed arithmetically.
//!
//! Queries that used to abort the process run in a separate process in `tests/kql/attacks.py`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::{Engine, Options, QueryConfig, SystemClock};
use model::{ByteSize, Limits, Query, QueryClass, QueryEngine, QueryError, Span};

use super::{ask, block_on, measuring, printed, ways};

/// An expression over `x` nested `depth` operators deep, and its value for `x = 1`.
fn nested(depth: usize) -> (String, i64) {
    let (mut text, mut value) = ("x".to_owned(), 1_i64);
    for n in 0..depth {
        text = format!("({text}+{n})");
        value += n as i64;
    }
    (text, value)
}

/// True if the query was rejected by a limit on the text, on planning or on memory.
fn is_limit(why: &QueryError) -> bool {
    match why {
        QueryError::Wrong(found) => found.iter().any(|one| matches!(one.code, "KQL0011" | "KQL0113" | "KQL0114")),
        QueryError::Run(message) => message.contains("nested more than"),
        QueryError::Memory(_) | QueryError::SharedMemory(_) | QueryError::Planning(_) => true,
        _ => false,
    }
}

#[test]
fn long_operator_chains_succeed() {
    let numbers = |op: &str, sign: &str, from: usize, count: usize| {
        let tests: Vec<String> = (from..from + count).map(|n| format!("N{sign}{n}")).collect();
        format!("range N from 1 to 10 step 1 | where {} | count", tests.join(op))
    };
    let list: Vec<String> = (1..=100_000).map(|n| n.to_string()).collect();
    let arms: Vec<String> = (0..2_000).map(|n| format!("(print x = {n})")).collect();
    let lets: String = (0..5_000).map(|n| format!("let a{n} = {n}; ")).collect();
    let texts = [
        (numbers(" and ", "!=", 100, 3_000), "10"),
        (numbers(" or ", "==", 1, 3_000), "10"),
        (format!("range N from 1 to 10 step 1 | where N in ({}) | count", list.join(",")), "10"),
        (format!("union {} | count", arms.join(",")), "2000"),
        (format!("{lets} print a4999"), "4999"),
    ];
    for (kql, wanted) in texts {
        let started = Instant::now();
        let answer = ask(&ways()[0], Query::new(&kql)).unwrap_or_else(|why| panic!("{}…: {why}", &kql[..60]));
        assert_eq!(printed(&answer), [wanted], "{}…", &kql[..60]);
        // A generous limit: it detects superlinear growth even on a busy machine.
        assert!(started.elapsed() < Duration::from_secs(30), "{:?} for {}…", started.elapsed(), &kql[..60]);
    }
}

#[test]
fn deep_arithmetic_in_many_steps_is_planned_in_bounded_time() {
    let (text, value) = nested(50);
    let kql = format!("range x from 1 to 1 step 1 {}| project x", format!("| extend x = {text} ").repeat(50));
    let started = Instant::now();
    let answer = ask(&ways()[3], Query::new(&kql)).unwrap();
    // Each step adds the same amount.
    assert_eq!(printed(&answer), [(1 + 50 * (value - 1)).to_string()]);
    assert!(started.elapsed() < Duration::from_secs(30), "{:?}", started.elapsed());
}

#[test]
fn too_deep_or_large_queries_hit_a_limit() {
    let (sixty, _) = nested(60);
    let lets: String = (1..3_000).map(|n| format!("let a{n} = a{} + 1; ", n - 1)).collect();
    let terms: Vec<String> = (0..10_000).map(|n| format!("'term{n}'")).collect();
    let columns: Vec<String> = (0..30_000).map(|n| format!("a{n} = x + {n}")).collect();
    let texts = [
        format!("let f = (x: long) {{ {sixty} }}; range y from 1 to 3 step 1 | extend z = {}y{}", "f(".repeat(60), ")".repeat(60)),
        format!("let a0 = toscalar(print 1); {lets} print a2999"),
        format!("range x from 1 to 3 step 1 | project {}", columns.join(",")),
        format!(
            "range x from 1 to 3 step 1 | extend {} | search {}",
            (0..20).map(|n| format!("s{n} = tostring(x + {n})")).collect::<Vec<_>>().join(","),
            terms.join(" or ")
        ),
        format!("print {}1{}", "pack('a', ".repeat(300), ")".repeat(300)),
        format!("range x from 1 to 3 step 1 {}| count", "| where x > 0 ".repeat(500)),
    ];
    for kql in texts {
        let started = Instant::now();
        let ended = ask(&ways()[0], Query::new(&kql)).map(|answer| answer.rows());
        assert!(ended.as_ref().is_err_and(is_limit), "{}…: {ended:?}", &kql[..80]);
        assert!(started.elapsed() < Duration::from_secs(20), "{:?} for {}…", started.elapsed(), &kql[..80]);
    }
    assert_eq!(printed(&ask(&ways()[0], Query::new("print 1 + 1")).unwrap()), ["2"]);
}

#[test]
fn kernels_reserve_memory_before_building() {
    let pack = "| extend p = pack('a', p, 'b', p, 'c', p, 'd', p) ";
    let concat = "| extend a = array_concat(a, a, a, a) ";
    let texts = [
        // Eight characters expand to eight terabytes, already during constant folding.
        "print strlen(strrep(strrep(strrep(strrep('aaaaaaaa', 1000), 1000), 1000), 1000))".to_owned(),
        "range x from 1 to 100 step 1 | extend s = strrep(strrep(strrep(strcat('a', x), 1000), 1000), 1000) | summarize max(strlen(s))"
            .to_owned(),
        format!(
            "range x from 1 to 100 step 1 | extend p = pack('a', strrep('x', 1000)) {}| summarize max(strlen(tostring(p)))",
            pack.repeat(12)
        ),
        format!("range x from 1 to 100 step 1 | extend a = range(1, 10000) {}| summarize max(array_length(a))", concat.repeat(9)),
        format!("print s = strrep('a', 1000) {}| project strlen(s)", "| extend s = replace_string(s, 'a', s) ".repeat(4)),
    ];
    for kql in texts {
        let limits = Limits { memory: Some(ByteSize(128 << 20)), ..Limits::default() };
        let ended = ask(&ways()[0], Query { limits, ..Query::new(&kql) }).map(|answer| printed(&answer));
        assert!(matches!(ended, Err(QueryError::Memory(_))), "{}…: {ended:?}", &kql[..80]);
    }
}

#[test]
fn running_queries_share_a_memory_limit() {
    let config = QueryConfig { memory: ByteSize(256 << 20), total_memory: Some(ByteSize(64 << 20)), ..QueryConfig::default() };
    let options = Options { partitions: 2, ..Options::default() };
    let engine = Engine::new(None, Arc::new(SystemClock::default()), options).unwrap().with_config(config, None).unwrap();
    let rows = "range x from 1 to 3000000 step 1 | extend s = strcat('a text that does not lie in its view ', x)";
    let ended = ask(&engine, Query::new(format!("let m = materialize({rows}); union m, m | count")));
    assert!(matches!(ended, Err(QueryError::SharedMemory(_))), "{:?}", ended.map(|answer| printed(&answer)));
    assert_eq!(printed(&ask(&engine, Query::new("print 1")).unwrap()), ["1"]);
    let since = Instant::now();
    while engine.load().memory > 0 && since.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(engine.load().memory, 0);
}

#[test]
fn planning_time_is_limited() {
    let _measuring = measuring();
    let config = QueryConfig { planning: Span::seconds(2), ..QueryConfig::default() };
    let options = Options { partitions: 1, ..Options::default() };
    let engine = Engine::new(None, Arc::new(SystemClock::default()), options).unwrap().with_config(config, None).unwrap();
    let kql = "print f = array_length(series_fir(range(1, 500000), range(1, 500000)))";
    let ended = ask(&engine, Query::new(kql));
    assert!(matches!(ended, Err(QueryError::Planning(_))), "{ended:?}");
    // Execution time does not count as planning time.
    let kql = "range x from 1 to 3000000 step 1 | where strcat('a', x) has 'b' | count";
    assert_eq!(printed(&ask(&engine, Query::new(kql)).unwrap()), ["0"]);
}

/// Each spends its time before the first row is read, or in a single function call.
fn slow_to_plan() -> Vec<(&'static str, String)> {
    let (sixty, _) = nested(60);
    let columns: Vec<String> = (0..9_000).map(|n| format!("a{n} = x + {n}")).collect();
    vec![
        ("arithmetic", format!("range x from 1 to 10 step 1 {}| summarize max(x)", format!("| extend x = {sixty} ").repeat(300))),
        ("columns", format!("range x from 1 to 10 step 1 | project {}", columns.join(","))),
        ("folded", "print f = array_length(series_fir(range(1, 900000), range(1, 900000)))".to_owned()),
        ("filter of a series", "print s = range(1, 300000) | extend f = series_fir(s, s) | project array_length(f)".to_owned()),
        ("packs", format!("range x from 1 to 1000 step 1 {}| count", "| extend x = tolong(pack('a', pack('b', x)).a.b) ".repeat(300))),
    ]
}

#[test]
fn planning_can_be_cancelled() {
    let _measuring = measuring();
    let engine = Arc::new(Engine::new(None, Arc::new(SystemClock::default()), Options { partitions: 2, ..Options::default() }).unwrap());
    let mut freed = Vec::new();
    for (name, kql) in slow_to_plan() {
        for after in [30, 100, 200] {
            let query = Query::new(&kql);
            let cancel = query.cancel.clone();
            let stopper = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(after));
                cancel.cancel();
                Instant::now()
            });
            let ended = block_on(engine.query(query));
            let at = stopper.join().unwrap();
            // A fast machine may have completed the query.
            assert!(matches!(ended, Ok(_) | Err(QueryError::Cancelled)), "{name}: {:?}", ended.map(|answer| answer.rows()));
            while engine.load().queries > 0 && at.elapsed() < Duration::from_secs(30) {
                std::thread::sleep(Duration::from_millis(1));
            }
            let elapsed = at.elapsed();
            println!("{name:>20} after {after} ms: freed {elapsed:.0?}");
            // A generous limit: it detects planning that cannot be interrupted even on a busy machine.
            assert!(elapsed < Duration::from_secs(3), "{name} goes on for {elapsed:?} after it was cancelled");
            freed.push(elapsed);
        }
    }
    freed.sort();
    assert!(freed[freed.len() / 2] <= Duration::from_millis(100), "half of the queries go on for more than 100 ms: {freed:?}");
}

#[test]
fn small_queries_complete_next_to_heavy_ones() {
    let _measuring = measuring();
    let engine = Arc::new(Engine::new(None, Arc::new(SystemClock::default()), Options { partitions: 2, ..Options::default() }).unwrap());
    let heavy = "range x from 1 to 10000000 step 1 | extend k = 1 \
                 | join kind=inner (range y from 1 to 100000 step 1 | extend k = 1) on k | count";
    let (sixty, _) = nested(60);
    let planned = format!("range x from 1 to 10 step 1 {}| summarize max(x)", format!("| extend x = {sixty} ").repeat(300));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let cancel = Query::new("").cancel;
    for n in 0..30 {
        let query = Query { cancel: cancel.clone(), ..Query::new(if n % 10 == 0 { planned.as_str() } else { heavy }) };
        let engine = engine.clone();
        runtime.spawn(async move { engine.query(query).await.map(|answer| answer.rows()) });
    }
    let since = Instant::now();
    while engine.load().queries < 30 && since.elapsed() < Duration::from_secs(10) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let mut worst = Duration::ZERO;
    for class in [QueryClass::Interactive, QueryClass::Rule, QueryClass::Transform].into_iter().cycle().take(9) {
        let started = Instant::now();
        let kql = "range x from 1 to 1000 step 1 | where x % 2 == 0 | summarize count()";
        let answer = ask(&engine, Query::new(kql).with_class(class)).unwrap();
        assert_eq!(printed(&answer), ["500"]);
        worst = worst.max(started.elapsed());
    }
    cancel.cancel();
    println!("a small query beside 30 heavy ones: at most {worst:.0?}");
    // About a second on an idle machine; tests run concurrently.
    assert!(worst < Duration::from_secs(10), "{worst:?}");
    runtime.shutdown_background();
}
