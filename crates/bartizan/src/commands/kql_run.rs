//! `bartizan kql run --jsonl` — runs one query per line of standard input, in order.
//!
//! In: `{"id","query"}`. Out: `{"id","columns":[{"name","type"}],"rows":[[…]],"error":null|{"code","message"}}`. Numbers, booleans and
//! nulls are JSON's; `datetime`, `timespan`, `guid` and `decimal` are text as formatted by Kusto; `dynamic` is its JSON text. Additional
//! tables of `fork`, `facet` and `preview` are under `more`, each with its `name`.

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use engine::{Options, TablesAs};
use model::{Answer, Column, Query, QueryEngine, QueryError, Scope, StoredFunction};
use serde_json::{Value as Json, json};

use super::Outcome;
use super::query::{LimitArgs, Sources};

#[derive(clap::Args)]
#[command(after_help = "Example:\n  echo '{\"id\":\"1\",\"query\":\"print x = 1\"}' | bartizan kql run --jsonl")]
pub struct Args {
    /// One JSON object a line, in and out; the only form there is.
    #[arg(long, required = true)]
    jsonl: bool,
    /// Tables to ask, as in `bartizan query`.
    #[arg(long = "file", value_name = "F")]
    files: Vec<String>,
    /// A folder that `externaldata` may read; without this it reads nothing.
    #[arg(long = "external", value_name = "FOLDER")]
    external: Vec<PathBuf>,
    /// Functions that queries may call: a JSON or YAML file, or a folder of them such as Microsoft's parsers.
    #[arg(long, value_name = "F")]
    functions: Option<PathBuf>,
    /// A workspace to ask.
    #[arg(long, value_name = "D", conflicts_with = "files")]
    data_dir: Option<PathBuf>,
    #[command(flatten)]
    limits: LimitArgs,
    /// Plan without DataFusion's optimizer: every query must answer the same.
    #[arg(long, hide = true)]
    unoptimized: bool,
    /// Rows in a batch: every query must answer the same.
    #[arg(long, hide = true, default_value_t = 8192)]
    batch_size: usize,
    /// Partitions of a query: every query must answer the same.
    #[arg(long, hide = true)]
    partitions: Option<usize>,
    /// Where literal rows are kept: every query must answer the same.
    #[arg(long, hide = true, value_enum, default_value_t = Layout::Inline)]
    tables_as: Layout,
    /// Without DataFusion, where all rows are in memory: every query must answer the same.
    #[arg(long, hide = true)]
    interpret: bool,
}

/// [`TablesAs`] on the command line.
#[derive(Clone, Copy, clap::ValueEnum)]
enum Layout {
    Inline,
    Parquet,
    Memory,
    Mixed,
}

impl From<Layout> for TablesAs {
    fn from(layout: Layout) -> Self {
        match layout {
            Layout::Inline => TablesAs::Inline,
            Layout::Parquet => TablesAs::Parquet,
            Layout::Memory => TablesAs::Memory,
            Layout::Mixed => TablesAs::Mixed,
        }
    }
}

pub fn run(args: Args) -> Outcome {
    let defaults = Options::default();
    let options = Options {
        optimize: !args.unoptimized,
        batch_size: args.batch_size,
        partitions: args.partitions.unwrap_or(defaults.partitions),
        tables: args.tables_as.into(),
        interpret: args.interpret,
    };
    let functions = match &args.functions {
        Some(path) => super::kql_check::definitions::read(path)?.into_iter().map(Arc::new).collect(),
        None => Vec::new(),
    };
    let sources = Sources {
        files: args.files,
        data_dir: args.data_dir,
        external: args.external,
        input_format: None,
        limits: args.limits,
        seen: None,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let opened = sources.open(options, &engine::Progress::default()).await?;
        let mut out = std::io::stdout().lock();
        for line in std::io::stdin().lock().lines() {
            let line = line?;
            if line.trim().is_empty() {
                continue;
            }
            let answer = answer(opened.engine.as_ref(), &functions, &line).await;
            writeln!(out, "{answer}")?;
            out.flush()?;
        }
        Ok(())
    })
}

async fn answer(engine: &dyn QueryEngine, functions: &[Arc<StoredFunction>], line: &str) -> Json {
    #[derive(serde::Deserialize)]
    struct Asked {
        #[serde(default)]
        id: Json,
        query: String,
    }
    let asked: Asked = match serde_json::from_str(line) {
        Ok(asked) => asked,
        Err(why) => return failed(Json::Null, "BadLine", &why.to_string()),
    };
    let scope = Scope { functions: functions.to_vec(), ..Scope::default() };
    match engine.query(Query::new(asked.query).with_scope(scope)).await {
        Ok(Answer { partial: Some(why), .. }) | Err(why) => failed(asked.id, code(&why), &why.to_string()),
        Ok(answer) => {
            let rows = |columns: &[Column], batches: &[RecordBatch]| -> Vec<Json> {
                super::query::cells(columns, batches).map(|row| row.iter().map(cell).collect()).collect()
            };
            let mut out = json!({ "id": asked.id, "columns": described(&answer.columns), "rows": rows(&answer.columns, &answer.batches), "error": null });
            if !answer.more.is_empty() {
                let further = answer.more.iter().map(|table| {
                    json!({ "name": table.name, "columns": described(&table.columns), "rows": rows(&table.columns, &table.batches) })
                });
                out["more"] = further.collect();
            }
            out
        }
    }
}

fn described(columns: &[Column]) -> Vec<Json> {
    columns.iter().map(|column| json!({ "name": column.name, "type": column.ty.name() })).collect()
}

/// A dynamic is written as its JSON text, so that the string `"3"` and the number `3` stay distinct.
fn cell(value: &kql::Value) -> Json {
    match value {
        kql::Value::Dynamic(json) => json.as_str().into(),
        other => other.to_json(),
    }
}

fn failed(id: Json, code: &str, message: &str) -> Json {
    json!({ "id": id, "columns": [], "rows": [], "error": { "code": code, "message": message } })
}

/// An error code for scripts: that of the diagnostic, or the kind of limit.
pub fn code(why: &QueryError) -> &'static str {
    match why {
        QueryError::Wrong(diagnostics) => diagnostics.first().map_or("Wrong", |first| first.code),
        QueryError::Time(_) => "Time",
        QueryError::Rows(_) => "Rows",
        QueryError::Bytes(_) => "Bytes",
        QueryError::Memory(_) => "Memory",
        QueryError::SharedMemory(_) => "SharedMemory",
        QueryError::Planning(_) => "Planning",
        QueryError::Busy(_) => "Busy",
        QueryError::Disk(_) => "Disk",
        QueryError::Missing(_) => "Missing",
        QueryError::Cancelled => "Cancelled",
        QueryError::EndedProcess(_) => "EndedProcess",
        QueryError::Run(_) => "Run",
        QueryError::Internal(_) => "Internal",
    }
}
