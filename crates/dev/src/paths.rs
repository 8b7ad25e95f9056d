//! `bartizan-dev paths` — runs queries made at random through every way of running a plan and compares the answers: planned over literal rows,
//! over Parquet files with several threads, over files and rows in memory a row at a time, and interpreted as the body of a group is.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use engine::{Engine, Options, SystemClock, TablesAs};
use kql::Value;
use model::{Answer, Limits, Query, QueryEngine, QueryError, Scope, Span};
use testkit::plans::{Generator, NOW, bound, is_ordered, simpler};

use bartizan::{Failure, Outcome};

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  bartizan-dev paths --seconds 900 --least 100\n  bartizan-dev paths --query 'range x from 1 to 3 step 1 | top 1 by x'"
)]
pub struct Args {
    /// How long to go on.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// How many queries at most.
    #[arg(long, default_value_t = u64::MAX)]
    queries: u64,
    /// The same seed makes the same queries in the same order.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How often every operator and function must have been used at least.
    #[arg(long, default_value_t = 1)]
    least: u64,
    /// Stop after so many differences.
    #[arg(long, default_value_t = 10)]
    most: usize,
    /// Queries over `Events` and `Users` to take apart, a file each.
    #[arg(long, default_value = "fuzz/seeds")]
    seeds: PathBuf,
    /// Print how often each operator and function was used.
    #[arg(long)]
    counts: bool,
    /// Compare this query and no other.
    #[arg(long)]
    query: Option<String>,
}

/// The tables of the seed queries.
const TABLES: &str = "let Events = datatable(TimeGenerated: datetime, User: string, IP: string, Port: int, Bytes: long, Score: real, Ok: bool, Id: guid, Took: timespan, Price: decimal, More: dynamic)[]; let Users = datatable(User: string, Team: string, Since: datetime)[]; ";

/// Queries that take longer are not compared.
const LONGEST: Span = Span(10 * Span::SECOND.0);

struct Way {
    name: &'static str,
    engine: Engine,
}

fn ways() -> anyhow::Result<Vec<Way>> {
    let plain = Options { partitions: 1, ..Options::default() };
    let options = [
        ("planned", plain),
        ("files, four threads", Options { tables: TablesAs::Parquet, partitions: 4, ..plain }),
        ("files and memory, a row at a time", Options { tables: TablesAs::Mixed, batch_size: 1, partitions: 2, ..plain }),
        ("interpreted", Options { interpret: true, ..plain }),
    ];
    let way = |(name, options)| Ok(Way { name, engine: Engine::new(None, Arc::new(SystemClock::default()), options)? });
    options.into_iter().map(way).collect()
}

pub fn run(args: Args) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let ways = ways()?;
    if let Some(query) = &args.query {
        let ordered = bound(query).is_some_and(|plan| is_ordered(&plan));
        return match runtime.block_on(difference(&ways, query, ordered)).0 {
            Some(why) => Err(Failure::Wrong(why)),
            None => Ok(()),
        };
    }
    let mut seeds = Vec::new();
    if let Ok(files) = std::fs::read_dir(&args.seeds) {
        let mut files: Vec<PathBuf> = files.filter_map(|file| Some(file.ok()?.path())).collect();
        files.sort();
        for file in files {
            let text = format!("{TABLES}{}", std::fs::read_to_string(&file)?.trim());
            seeds.extend(Some(text).filter(|text| bound(text).is_some()));
        }
    }
    let mut generator = Generator::new(args.seed, &seeds);
    let (mut queries, mut answered, mut rows, mut found) = (0u64, 0u64, 0usize, 0);
    let mut slowest = (Duration::ZERO, String::new());
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(args.seconds) && found < args.most && queries < args.queries {
        let query = generator.next();
        let started = Instant::now();
        let (different, given) = runtime.block_on(difference(&ways, &query.text, query.ordered));
        if started.elapsed() > slowest.0 {
            slowest = (started.elapsed(), query.text.clone());
        }
        queries += 1;
        if let Some(given) = given {
            answered += 1;
            rows += given;
            generator.answered(&query);
        }
        if different.is_some() {
            found += 1;
            let (text, why) = runtime.block_on(shrunk(&ways, query.text));
            println!("DIFFERENT\n{text}\n{why}\n");
        }
    }
    let hits = generator.hits();
    let rarest = hits.values().copied().min().unwrap_or(0);
    if args.counts {
        for ((part, name), count) in hits {
            println!("{count:>8}  {part:?} {name}");
        }
    }
    let without: Vec<String> = generator.without_example().iter().map(|(part, name)| format!("{part:?} {name}")).collect();
    println!("without an example: {}", without.join(", "));
    println!("slowest, {:?}: {}", slowest.0, slowest.1);
    let rare: Vec<String> =
        hits.iter().filter(|(_, count)| **count < args.least).map(|((part, name), count)| format!("{part:?} {name}: {count}")).collect();
    println!(
        "{queries} queries in {} ways, {answered} answered with {rows} rows, {found} different; {} operators and functions, each used {rarest} times or more",
        ways.len(),
        hits.len(),
    );
    if found > 0 {
        return Err(Failure::Wrong(format!("{found} queries answer differently")));
    }
    if !rare.is_empty() {
        return Err(Failure::Wrong(format!("used less than {} times: {}", args.least, rare.join(", "))));
    }
    Ok(())
}

/// The simplest query that still differs, and how.
async fn shrunk(ways: &[Way], text: String) -> (String, String) {
    let mut text = text;
    let different = async |text: &str| {
        let ordered = bound(text).is_some_and(|plan| is_ordered(&plan));
        difference(ways, text, ordered).await.0
    };
    let mut why = different(&text).await.unwrap_or_else(|| "not different the second time".to_owned());
    'simpler: loop {
        for candidate in simpler(&text) {
            // Invalid candidates are skipped.
            if bound(&candidate).is_none() {
                continue;
            }
            if let Some(still) = different(&candidate).await {
                (text, why) = (candidate, still);
                continue 'simpler;
            }
        }
        return (text, why);
    }
}

/// A result in comparable form.
#[derive(PartialEq)]
enum Answered {
    Rows { columns: Vec<String>, rows: Vec<Vec<String>> },
    Error(&'static str, String),
}

/// How the paths differ, if they do, and the number of result rows, if any.
async fn difference(ways: &[Way], text: &str, ordered: bool) -> (Option<String>, Option<usize>) {
    let scope = || Scope { now: Some(NOW), ..Scope::default() };
    let limits = || Limits { time: Some(LONGEST), ..Limits::default() };
    let asked = ways.iter().map(|way| way.engine.query(Query { limits: limits(), ..Query::new(text).with_scope(scope()) }));
    let answers: Vec<Answered> = futures::future::join_all(asked).await.into_iter().map(|answer| outcome(answer, ordered)).collect();
    if answers.iter().any(|answer| matches!(answer, Answered::Error("Time", _))) {
        return (None, Some(0));
    }
    let given = match &answers[0] {
        Answered::Rows { rows, .. } => Some(rows.len()),
        Answered::Error(..) => None,
    };
    for (way, answer) in ways.iter().zip(&answers).skip(1) {
        let same = match (&answers[0], answer) {
            (Answered::Error(code, _), Answered::Error(other, _)) => code == other && *code != "Internal",
            (one, other) => one == other,
        };
        if !same {
            let shown = |outcome: &Answered| match outcome {
                Answered::Rows { columns, rows } => {
                    let rows: Vec<String> = rows.iter().map(|row| row.join(" | ")).collect();
                    format!("  {}\n  {}", columns.join(" | "), rows.join("\n  "))
                }
                Answered::Error(code, message) => format!("  {code}: {message}"),
            };
            return (Some(format!("{}:\n{}\n{}:\n{}", ways[0].name, shown(&answers[0]), way.name, shown(answer))), given);
        }
    }
    (None, given)
}

fn outcome(answer: Result<Answer, QueryError>, ordered: bool) -> Answered {
    match answer {
        Ok(answer) => {
            let columns = answer.columns.iter().map(|column| format!("{}: {}", column.name, column.ty.name())).collect();
            let mut rows: Vec<Vec<String>> =
                bartizan::cells(&answer.columns, &answer.batches).map(|row| row.iter().map(printed).collect()).collect();
            if !ordered {
                rows.sort_unstable();
            }
            for table in &answer.more {
                let mut more: Vec<Vec<String>> =
                    bartizan::cells(&table.columns, &table.batches).map(|row| row.iter().map(printed).collect()).collect();
                more.sort_unstable();
                rows.extend(more);
            }
            Answered::Rows { columns, rows }
        }
        Err(why) => Answered::Error(bartizan::error_code(&why), why.to_string()),
    }
}

/// A cell, with null distinct from empty; reals rounded to twelve digits, because the order of summation differs.
fn printed(value: &Value) -> String {
    match value {
        Value::Null(_) => "null".to_owned(),
        Value::Real(number) => rounded(*number),
        Value::String(text) => format!("{text:?}"),
        Value::Dynamic(text) => match serde_json::from_str::<serde_json::Value>(text) {
            Ok(json) if text.contains('.') || text.contains('e') => json_text(&json),
            _ => text.clone(),
        },
        other => other.to_text(),
    }
}

fn rounded(number: f64) -> String {
    format!("{number:.11e}")
}

fn json_text(json: &serde_json::Value) -> String {
    match json {
        serde_json::Value::Number(number) if number.is_f64() => rounded(number.as_f64().unwrap_or_default()),
        serde_json::Value::Array(items) => format!("[{}]", items.iter().map(json_text).collect::<Vec<_>>().join(",")),
        serde_json::Value::Object(members) => {
            let members: Vec<String> = members.iter().map(|(key, value)| format!("{key:?}:{}", json_text(value))).collect();
            format!("{{{}}}", members.join(","))
        }
        other => other.to_string(),
    }
}
