//! Runs every published rule and query that can be planned, on generated rows of its tables: any result is accepted. An error not caused by
//! a missing dependency (a table, a watchlist, another workspace) fails the test if there are more than the allowed number.
//!
//! Rows are generated from column names and types and the literals in the query (`made_rows`).

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use engine::{Engine, Options, SystemClock};
use kql::bind::Schema;
use kql::check::{TableSchemas, check};
use model::{Query, QueryEngine, QueryError, Scope, Timestamp};

use super::block_on;
use super::made_rows::{Wanted, table};

/// Minimum share of runnable queries that must succeed, in tenths of a percent. Raise it when the actual share rises.
const RUN: usize = 985;

/// One in this many published queries is run; `BARTIZAN_EVERY=1` runs all.
const EVERY: usize = 4;

fn shared(path: &str) -> Option<String> {
    let root = std::env::var_os("BARTIZAN_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let text = std::fs::read_to_string(root.join(path)).ok();
    if text.is_none() {
        println!("skipped: there is no {path}");
    }
    text
}

/// The words of a query, which include the names of its tables.
fn words(query: &str) -> impl Iterator<Item = &str> {
    query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

#[test]
fn published_queries_run() {
    let (Some(rules), Some(queries), Some(tables)) =
        (shared("corpus/analytics_rules.jsonl"), shared("corpus/queries.jsonl"), shared("schemas/tables.json"))
    else {
        return;
    };
    let schemas: TableSchemas = serde_json::from_str(&tables).expect("a table schema");
    let names: HashMap<String, String> = schemas.tables().into_iter().map(|name| (name.clone(), name)).collect();
    let now = Timestamp::from_ticks(639_028_224_000_000_000).expect("an instant in 2026");
    let texts: Vec<String> = rules
        .lines()
        .chain(queries.lines())
        .filter(|line| !line.trim().is_empty())
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok()?["query"].as_str().map(str::to_owned))
        .collect();
    let every = std::env::var("BARTIZAN_EVERY").ok().and_then(|every| every.parse().ok()).unwrap_or(EVERY).max(1);
    let plain = Options { optimize: true, batch_size: 8192, partitions: 1, ..Options::default() };
    let (next, ran, failures) = (Mutex::new(0usize), Mutex::new((0usize, 0usize)), Mutex::new(BTreeMap::<String, Vec<String>>::new()));
    let worker = || {
        let engine = Engine::new(None, Arc::new(SystemClock::default()), plain).expect("an engine");
        loop {
            let at = {
                let mut next = next.lock().expect("no one panics with it");
                *next += 1;
                *next - 1
            };
            let Some(text) = texts.get(at * every) else { return };
            let checked = check(text, &schemas, now);
            if !checked.diagnostics.is_empty() {
                continue;
            }
            let mut scope = Scope { now: Some(now), inline_only: true, ..Scope::default() };
            let wanted = Wanted::of(text);
            for word in words(text) {
                if let (Some(name), false) = (names.get(word), scope.tables.iter().any(|table| table.schema.name.as_str() == word)) {
                    scope.tables.push(table(name, schemas.table(name).unwrap_or_default(), &wanted, now));
                }
            }
            let outcome = block_on(engine.query(Query::new(text.as_str()).with_scope(scope)));
            let why = match outcome {
                Ok(_) => None,
                // A dependency that this test does not provide.
                Err(QueryError::Wrong(found)) if found.iter().all(|one| is_elsewhere(one.code, &one.message)) => continue,
                Err(why) => Some(why.to_string()),
            };
            let mut ran = ran.lock().expect("no one panics with it");
            ran.1 += 1;
            match why {
                None => ran.0 += 1,
                Some(why) => failures.lock().expect("no one panics with it").entry(why).or_default().push(text.clone()),
            }
        }
    };
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(worker);
        }
    });
    let (ran, all) = *ran.lock().expect("the threads are done");
    println!("published: {ran} of {all} ran");
    for (why, texts) in failures.lock().expect("the threads are done").iter() {
        println!("{:4} {}\n       {}", texts.len(), why, texts[0].replace('\n', " ").chars().take(300).collect::<String>());
    }
    assert!(ran * 1000 >= all * RUN, "{ran} of {all} ran");
}

/// True if the query fails only for a dependency outside this test.
fn is_elsewhere(code: &str, message: &str) -> bool {
    matches!(code, "KQL0101" | "KQL0116")
        || message.contains("is not supported here yet")
        || message.contains("not here")
        || message.contains("there is no function")
        // Only definitions, no query.
        || message.contains("there is no query here")
}
