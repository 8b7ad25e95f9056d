//! `bartizan kql check FILE…` — reports errors of queries in files, as text, JSON, SARIF or JUnit; exit code 1 if there are any.
//!
//! `bartizan kql check --jsonl --schema tables.json` — checks one query per line of standard input, and returns its errors and result
//! columns without running it.
//!
//! In: `{"id","query"}`. Out: `{"id","errors":[{"kind","code","message","start","end","help"}],"columns":[[name,type]]|null}`. Positions
//! are in UTF-16 units, as in editors; `columns` is null if they depend on data. Exit code 0 if every line was processed.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use anyhow::Context;
use kql::bind::Bound;
use kql::check::{TableSchemas, check, utf16_offset};
use model::{DiagnosticKind, Timestamp};
use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::report::Format;
use super::rules::files::KnownArgs;
use super::{Failure, Outcome};

pub mod definitions;
mod files;

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  bartizan kql check hunts/*.kql\n  bartizan kql check hunt.kql --schema tables.json --format sarif\n  echo '{\"id\":\"1\",\"query\":\"T | where a\"}' | bartizan kql check --jsonl --schema tables.json"
)]
pub struct Args {
    /// Files with one query each; `-` for standard input. They may name every published table besides those of `--schema`.
    #[arg(value_name = "FILE", required_unless_present = "jsonl", conflicts_with = "jsonl")]
    files: Vec<PathBuf>,
    /// One JSON object a line, in and out, against the tables of `--schema` alone.
    #[arg(long)]
    jsonl: bool,
    /// How findings in files are printed.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Tables that queries may name: {"Table": [["Column", "type"], …]}.
    #[arg(long, value_name = "F")]
    schema: Option<PathBuf>,
    /// Say on standard error how long reading and binding took, the reading and writing of lines left out.
    #[arg(long, hide = true)]
    time: bool,
    /// Functions that queries may call: a JSON or YAML file, or a folder of them such as Microsoft's parsers.
    #[arg(long, value_name = "F")]
    functions: Option<PathBuf>,
}

#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    id: Json,
    query: String,
}

/// Binding recurses over the syntax tree, whose depth is limited; this stack is ample.
const STACK: usize = 64 << 20;

pub fn run(args: Args) -> Outcome {
    if !args.jsonl {
        let known = KnownArgs { schema: args.schema, functions: args.functions }.read()?;
        return files::run(&args.files, known.schemas(), args.format);
    }
    let schemas: TableSchemas = match &args.schema {
        Some(path) => {
            let file = File::open(path).with_context(|| format!("cannot open `{}`", path.display()))?;
            serde_json::from_reader(BufReader::new(file))
                .map_err(|error| Failure::Wrong(format!("`{}` is no table schema: {error}", path.display())))?
        }
        None => TableSchemas::default(),
    };
    let schemas = match &args.functions {
        Some(path) => schemas.with_functions(definitions::read(path)?),
        None => schemas,
    };
    let now = Timestamp::from_system(SystemTime::now());
    let worker = std::thread::Builder::new().stack_size(STACK).spawn(move || answer_lines(&schemas, now, args.time))?;
    worker.join().map_err(|_| anyhow::anyhow!("checking broke"))?
}

fn answer_lines(schemas: &TableSchemas, now: Timestamp, time: bool) -> Outcome {
    let mut times: Vec<Duration> = Vec::new();
    let (input, mut output) = (std::io::stdin().lock(), std::io::stdout().lock());
    let mut unread = 0usize;
    for line in input.lines() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let answer = match serde_json::from_str::<Request>(&line) {
            Ok(request) => {
                let started = Instant::now();
                let bound = check(&request.query, schemas, now);
                if time {
                    // Noise from other processes only makes it slower, so take the minimum.
                    let again = (0..4).map(|_| {
                        let started = Instant::now();
                        check(&request.query, schemas, now);
                        started.elapsed()
                    });
                    times.push(again.fold(started.elapsed(), Duration::min));
                }
                answer(&request, bound)
            }
            Err(error) => {
                unread += 1;
                let wrong =
                    json!({"kind": "syntax", "code": "JSON", "message": format!("the line is no request: {error}"), "start": 0, "end": 0});
                json!({"id": null, "errors": [wrong], "columns": null})
            }
        };
        writeln!(output, "{answer}")?;
        output.flush()?;
    }
    if time {
        times.sort_unstable();
        let total: Duration = times.iter().sum();
        let at = |share: usize| times.get(times.len() * share / 100).map_or(0.0, |time| time.as_secs_f64() * 1e3);
        let rate = times.len() as f64 / total.as_secs_f64().max(f64::MIN_POSITIVE);
        eprintln!(
            "{}",
            json!({"queries": times.len(), "per_second": rate, "p50_ms": at(50), "p99_ms": at(99), "most_ms": times.last().map_or(0.0, |time| time.as_secs_f64() * 1e3)})
        );
    }
    if unread > 0 {
        return Err(Failure::Wrong(format!("{unread} lines were no requests")));
    }
    Ok(())
}

fn answer(request: &Request, bound: Bound) -> Json {
    let text = &request.query;
    let errors: Vec<Json> = bound
        .diagnostics
        .iter()
        .map(|wrong| {
            let kind = match wrong.kind {
                DiagnosticKind::Syntax => "syntax",
                DiagnosticKind::Semantic => "semantic",
            };
            let (start, end) = (utf16_offset(text, wrong.start), utf16_offset(text, wrong.end));
            json!({"kind": kind, "code": wrong.code, "message": wrong.message, "start": start, "end": end, "help": wrong.help})
        })
        .collect();
    let columns = bound
        .columns
        .map(|columns| columns.into_iter().map(|(name, ty)| json!([name, ty.map_or("unknown", |ty| ty.name())])).collect::<Vec<_>>());
    json!({"id": request.id, "errors": errors, "columns": columns})
}
