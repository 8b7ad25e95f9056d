//! Every published rule and query that can be planned runs, over made rows of its tables: whatever the answer is, it is one. An error that is
//! not about what is missing here (a table, a watchlist, another workspace) fails the test beyond its ceiling.
//!
//! Rows are made from the names and types of the columns, so that filters and parsers find something: addresses, URLs, JSON, times of the
//! last days. The same each time.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use arrow::array::ArrayRef;
use arrow::record_batch::RecordBatch;
use engine::{Engine, Options, SystemClock};
use kql::Value;
use kql::bind::Schema;
use kql::check::{TableSchemas, check};
use model::{Column, InlineTable, Query, QueryEngine, QueryError, Scope, TableSchema, Timestamp, Type, arrow_schema};

use super::block_on;

/// Of the queries that a check accepts and says could run, so many must, in tenths of a percent. It only rises.
const RUN: usize = 700;

const ROWS: i64 = 50;

/// Of the published queries, one in so many: all of them with `BARTIZAN_EVERY=1`.
const EVERY: usize = 4;

const MINUTE: i64 = 600_000_000;

fn shared(path: &str) -> Option<String> {
    let root = std::env::var_os("BARTIZAN_SHARED")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let text = std::fs::read_to_string(root.join(path)).ok();
    if text.is_none() {
        println!("skipped: there is no {path}");
    }
    text
}

/// A text that a column of this name may hold.
fn text(column: &str, row: i64) -> String {
    let lower = column.to_ascii_lowercase();
    let has = |parts: &[&str]| parts.iter().any(|part| lower.contains(part));
    match () {
        () if row % 11 == 10 => String::new(),
        () if has(&["ipaddr", "_ip", "ip_", "clientip", "sourceip", "destinationip", "remoteip", "srcip", "dstip"])
            || lower.ends_with("ip") =>
        {
            if row % 7 == 0 {
                format!("2001:db8::{row:x}")
            } else {
                format!("{}.0.{}.{}", 10 + row % 3 * 40, row % 5, 1 + row)
            }
        }
        () if has(&["url", "uri"]) => format!("https://host{}.example.org:8443/path/{row}?q={row}&user=u{}", row % 4, row % 3),
        () if has(&["details", "properties", "dynamic", "entities", "extended", "resources", "eventdata", "_json", "parsed", "claims"]) => {
            format!(
                r#"[{{"type":"{}","name":"n{row}","id":"{row}","displayName":"User {row}","modifiedProperties":[{{"displayName":"Role","newValue":"\"Admin{}\""}}],"ipAddress":"10.0.0.{row}"}}]"#,
                ["ip", "account", "host"][(row % 3) as usize],
                row % 2
            )
        }
        () if has(&["userprincipalname", "upn", "email", "sender", "recipient", "mail"]) => format!("user{}@contoso.com", row % 6),
        () if has(&["account", "user", "caller", "identity", "initiat"]) => format!("CONTOSO\\user{}", row % 6),
        () if has(&["commandline", "process", "image", "path", "file"]) => {
            format!(r"C:\Windows\System32\{}.exe -enc ZWNobyA={row}", ["cmd", "powershell", "rundll32", "svchost"][(row % 4) as usize])
        }
        () if has(&["computer", "host", "device", "machine"]) => format!("host{}.contoso.com", row % 5),
        () if has(&["sha256", "hash", "md5"]) => format!("{:064x}", row * 7919),
        () if has(&["domain", "dns", "fqdn"]) => format!("sub{}.example{}.com", row, row % 3),
        () if has(&["guid", "tenantid", "objectid", "correlationid"]) => format!("00000000-0000-0000-0000-{row:012}"),
        () if has(&["time", "date"]) => format!("2026-01-{:02}T10:{:02}:00Z", 1 + row % 28, row % 60),
        () if has(&["resulttype", "code", "status", "port"]) => ["0", "50126", "Failure", "Success", "443"][(row % 5) as usize].to_owned(),
        () if has(&["message", "rawdata", "raw", "payload"]) => {
            format!(
                "Jan  1 10:00:00 host{} sshd[{row}]: Failed password for user{} from 10.0.0.{row} port 22 key=value{row}",
                row % 3,
                row % 6
            )
        }
        () => format!("{}{}", ["value", "Add member to role", "Allow", "Deny", "Success"][(row % 5) as usize], row % 9),
    }
}

fn value(column: &Column, row: i64, now: Timestamp) -> Value {
    if column.ty != Type::String && row % 13 == 12 && column.name != "TimeGenerated" {
        return Value::null(column.ty);
    }
    match column.ty {
        Type::String => Value::String(text(&column.name, row)),
        Type::Bool => Value::Bool(row % 2 == 0),
        Type::Int => Value::Int((row * 37 % 5000) as i32),
        Type::Long => Value::Long(row * 7919 % 100_000),
        Type::Real => Value::Real(row as f64 * 1.25 - 3.0),
        Type::Datetime => Value::Datetime(now.ticks() - row * row * 7 * MINUTE),
        Type::Timespan => Value::Timespan(row * MINUTE),
        Type::Dynamic => Value::Dynamic(match row % 3 {
            0 => format!(r#"{{"id":"{row}","name":"n{row}","city":"Oslo","state":"x","type":"User","value":{row},"list":[1,2]}}"#),
            1 => text("Properties", row.max(1)),
            _ => format!(r#"["a{row}","b",{row}]"#),
        }),
        Type::Guid => Value::String(format!("00000000-0000-0000-0000-{row:012}")).cast(Type::Guid),
        Type::Decimal => Value::Long(row).cast(Type::Decimal),
    }
}

/// Some rows of a table.
fn table(name: &str, columns: Vec<Column>, now: Timestamp) -> Arc<InlineTable> {
    let mut schema = columns;
    schema.dedup_by(|a, b| a.name == b.name);
    let arrays: Vec<ArrayRef> =
        schema.iter().map(|column| Value::array(&(0..ROWS).map(|row| value(column, row, now)).collect::<Vec<_>>(), column.ty)).collect();
    let batch = RecordBatch::try_new(arrow_schema(&schema), arrays).expect("arrays are laid out as their types are");
    Arc::new(InlineTable { schema: TableSchema::new(name, schema), batches: vec![batch] })
}

/// Words of a query, among which are the names of its tables.
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
    let plain = Options { optimize: true, batch_size: 8192, partitions: 1 };
    let (next, ran, failures) = (Mutex::new(0usize), Mutex::new((0usize, 0usize)), Mutex::new(BTreeMap::<String, Vec<String>>::new()));
    let worker = || {
        let engine = Engine::new(None, Arc::new(SystemClock::default()), plain).expect("an engine");
        let mut made: HashMap<String, Arc<InlineTable>> = HashMap::new();
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
            for word in words(text) {
                if let (Some(name), false) = (names.get(word), scope.tables.iter().any(|table| table.schema.name.as_str() == word)) {
                    let columns = || schemas.table(name).unwrap_or_default();
                    scope.tables.push(made.entry(name.clone()).or_insert_with(|| table(name, columns(), now)).clone());
                }
            }
            let outcome = block_on(engine.query(Query::new(text.as_str()).with_scope(scope)));
            let why = match outcome {
                Ok(_) => None,
                // What is not here is not here.
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

/// Is the query stopped by what only another place has?
fn is_elsewhere(code: &str, message: &str) -> bool {
    matches!(code, "KQL0101" | "KQL0116")
        || message.contains("is not supported here yet")
        || message.contains("not here")
        || message.contains("there is no function")
}
