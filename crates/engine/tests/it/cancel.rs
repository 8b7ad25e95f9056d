//! A query that is cancelled, dropped or timed out releases its threads and memory promptly, in every phase. Latencies are printed; the
//! assertions leave room for busy machines.

use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::{Engine, Options, SystemClock};
use model::{Limits, Query, QueryEngine, QueryError, Span};

use super::{block_on, measuring};

/// Each query runs for a very long time and spends it in a different component.
const SHAPES: [(&str, &str); 22] = [
    ("scan and count", "range x from 1 to 1000000000000 step 1 | summarize count()"),
    ("filter", "range x from 1 to 1000000000000 step 1 | where strcat('a', x) has 'nothing' | take 1"),
    ("regex", "range x from 1 to 1000000000000 step 1 | where strcat('abcdefgh ', x) matches regex '([a-z]+ )*[0-9]{30}' | take 1"),
    ("group", "range x from 1 to 1000000000000 step 1 | summarize count() by strcat('a', x % 1000000)"),
    ("list", "range x from 1 to 1000000000000 step 1 | summarize make_set(x, 1000000) by x % 7 | count"),
    ("sort", "range x from 1 to 1000000000000 step 1 | extend h = hash(x) | sort by h asc | project h, x | where x < 0"),
    ("top", "range x from 1 to 1000000000000 step 1 | top 10 by hash(x)"),
    ("hash join", "range x from 1 to 1000000000000 step 1 | join kind=inner (range x from 1 to 1000000000000 step 1) on x | count"),
    ("unique join", "range x from 1 to 1000000000000 step 1 | join (range x from 1 to 10 step 1) on x | count"),
    (
        "cross join",
        "range x from 1 to 10000000 step 1 | extend k = 1 | join kind=inner (range y from 1 to 100000 step 1 | extend k = 1) on k | count",
    ),
    (
        "windows",
        "range x from 1 to 5000000 step 1 | serialize a = row_cumsum(x), b = prev(x), c = row_number() | summarize max(a) by b | count",
    ),
    ("mv-expand", "range x from 1 to 1000000000 step 1 | mv-expand a = range(1, 1000) to typeof(long) | summarize sum(a)"),
    (
        "mv-apply",
        "range x from 1 to 3000000 step 1 | extend a = dynamic([1, 2]) | mv-apply a to typeof(long) on (summarize s = sum(a)) | summarize sum(s)",
    ),
    ("partition", "range x from 1 to 2000000 step 1 | partition by x (extend y = x * 2 | where y > 0) | summarize sum(y)"),
    (
        "partition with a join",
        "range x from 1 to 3000 step 1 | as T | partition by x (join kind=inner (T | extend k = 1 | project k, z = x) on $left.x == $right.z) | count",
    ),
    ("make-series", "range x from 1 to 1000000000000 step 1 | make-series count() on x from 1 to 1000 step 1 by g = x % 100"),
    (
        "series",
        "range x from 1 to 1000000 step 1 | extend s = range(x, x + 20000) | extend f = series_fir(s, repeat(1, 1000)) | summarize max(array_length(f))",
    ),
    (
        "scan",
        "range x from 1 to 100000000 step 1 | serialize | scan declare (n: long = 0) with (step s: true => n = s.n + x;) | summarize max(n)",
    ),
    ("plug-in", "range x from 1 to 5000000 step 1 | extend d = bag_pack(strcat('k', x % 100), x) | evaluate bag_unpack(d) | count"),
    ("toscalar", "let m = toscalar(range x from 1 to 1000000000000 step 1 | summarize max(hash(x))); print m"),
    (
        "parse",
        "range x from 1 to 1000000000000 step 1 | extend s = strcat('a=', x, ' b=', x) | parse kind=regex s with 'a=' a:long ' b=' b:long | where a < 0 | take 1",
    ),
    ("union", "union (range x from 1 to 1000000000000 step 1), (range x from 1 to 1000000000000 step 1) | summarize dcount(x)"),
];

fn engine() -> Arc<Engine> {
    let options = Options { partitions: 2, ..Options::default() };
    Arc::new(Engine::new(None, Arc::new(SystemClock::default()), options).unwrap())
}

/// Time until the query returned, and until its resources were released, both measured from the cancellation.
struct Ended {
    answered: Duration,
    freed: Duration,
}

/// Waits until the engine holds no resources.
fn freed(engine: &Engine, since: Instant) -> Duration {
    while engine.load().queries > 0 && since.elapsed() < Duration::from_secs(30) {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!((engine.load().queries, engine.load().disk), (0, 0));
    since.elapsed()
}

fn cancelled(engine: &Arc<Engine>, kql: &str, after: Duration) -> Ended {
    let query = Query::new(kql);
    let cancel = query.cancel.clone();
    let stopper = std::thread::spawn(move || {
        std::thread::sleep(after);
        cancel.cancel();
        Instant::now()
    });
    let ended = block_on(engine.query(query));
    let answered = Instant::now();
    assert!(matches!(ended, Err(QueryError::Cancelled)), "{kql}: {:?}", ended.map(|answer| answer.rows()));
    let at = stopper.join().unwrap();
    Ended { answered: answered.saturating_duration_since(at), freed: freed(engine, at) }
}

#[test]
fn cancelled_query_releases_resources() {
    let _measuring = measuring();
    let engine = engine();
    let mut all = Vec::new();
    for (round, after) in [20, 150].into_iter().enumerate() {
        for (index, (name, kql)) in SHAPES.iter().enumerate() {
            // The cancellation time varies by query, but is the same in every run.
            let after = Duration::from_millis(after + (index as u64 * 37 + round as u64 * 11) % 100);
            let ended = cancelled(&engine, kql, after);
            println!("{name:>22} after {after:>5.0?}: answered {:>6.1?}, freed {:>6.1?}", ended.answered, ended.freed);
            assert!(ended.answered < Duration::from_secs(1), "{name} answers {:?} after it was cancelled", ended.answered);
            assert!(ended.freed < Duration::from_secs(3), "{name} holds memory {:?} after it was cancelled", ended.freed);
            all.push(ended.freed);
        }
    }
    all.sort();
    println!(
        "freed: p50 {:.1?}, p90 {:.1?}, most {:.1?} of {}",
        all[all.len() / 2],
        all[all.len() * 9 / 10],
        all[all.len() - 1],
        all.len()
    );
    assert!(all[all.len() / 2] < Duration::from_millis(100), "half of the queries take longer than {:?}", all[all.len() / 2]);
}

#[test]
fn dropped_query_is_cancelled() {
    let _measuring = measuring();
    let engine = engine();
    for (name, kql) in SHAPES.iter().step_by(5) {
        let query = engine.query(Query::new(*kql));
        let gone = block_on(async { tokio::time::timeout(Duration::from_millis(60), query).await });
        let since = Instant::now();
        assert!(gone.is_err(), "{name} was over before anybody went away");
        let took = freed(&engine, since);
        assert!(took < Duration::from_secs(3), "{name} holds memory {took:?} after its client went away");
    }
}

#[test]
fn timed_out_query_is_cancelled() {
    let _measuring = measuring();
    let engine = engine();
    for (name, kql) in SHAPES.iter().skip(2).step_by(5) {
        let limits = Limits { time: Some(Span::millis(60)), ..Limits::default() };
        let started = Instant::now();
        let ended = block_on(engine.query(Query { limits, ..Query::new(*kql) }));
        assert!(matches!(ended, Err(QueryError::Time(_))), "{name}: {:?}", ended.map(|answer| answer.rows()));
        let took = freed(&engine, started);
        assert!(took < Duration::from_secs(3), "{name} holds memory {took:?} after it began");
    }
}
