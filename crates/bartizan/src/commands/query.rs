//! `bartizan query` — one KQL question, of a workspace or straight of files.

use std::fs::{File, TryLockError};
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use arrow::record_batch::RecordBatch;
use engine::{Engine, Folders, Options, QueryConfig, Store, SystemClock};
use kql::Value;
use model::{Answer, ByteSize, Column, ExternalData, Query, QueryEngine, QueryError, Span, Type, WorkspaceName};
use serde_json::Value as Json;
use workspace::Workspace;

use super::service::Service;
use super::{Failure, Outcome};

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  bartizan query 'print 1 + 1'\n  bartizan query --file signins.csv 'signins | summarize count() by User'\n  bartizan query --data-dir ~/.local/share/bartizan --format ndjson 'SecurityIncident | take 10'"
)]
pub struct Args {
    /// A workspace to ask, through its service while that runs. Default: the one under $XDG_DATA_HOME/bartizan.
    #[arg(long, value_name = "D", conflicts_with = "files")]
    data_dir: Option<PathBuf>,
    /// Tables to ask: CSV, TSV, JSON, NDJSON or Parquet, each named after its file.
    #[arg(long = "file", value_name = "F")]
    files: Vec<PathBuf>,
    /// A folder that `externaldata` may read; without this it reads nothing.
    #[arg(long = "external", value_name = "FOLDER")]
    external: Vec<PathBuf>,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    #[command(flatten)]
    limits: LimitArgs,
    /// The question.
    #[arg(value_name = "KQL")]
    kql: String,
}

/// Other limits than the default ones, for engines outside the service.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct LimitArgs {
    /// How long the question may take, such as `90s`. Default: 10 minutes.
    #[arg(long, value_name = "SPAN")]
    time: Option<Span>,
    /// Memory it may hold before it goes on on disk, such as `4GiB`. Default: 1GiB.
    #[arg(long, value_name = "SIZE")]
    memory: Option<ByteSize>,
    /// Disk it may use for what memory cannot hold. Default: 10GiB.
    #[arg(long, value_name = "SIZE")]
    disk: Option<ByteSize>,
}

impl LimitArgs {
    fn config(&self) -> QueryConfig {
        let defaults = QueryConfig::default();
        QueryConfig {
            time: self.time.unwrap_or(defaults.time),
            memory: self.memory.unwrap_or(defaults.memory),
            disk: self.disk.unwrap_or(defaults.disk),
            ..defaults
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// Columns under each other.
    Table,
    /// One array of objects.
    Json,
    /// With a header line.
    Csv,
    /// One object a line.
    Ndjson,
}

/// What a query may read.
pub struct Sources {
    pub files: Vec<PathBuf>,
    pub data_dir: Option<PathBuf>,
    pub limits: LimitArgs,
    /// Folders that `externaldata` may read.
    pub external: Vec<PathBuf>,
}

/// An engine over what a query may read.
pub struct Opened {
    pub engine: Arc<dyn QueryEngine>,
    /// Of the data directory, as long as we read it.
    _lock: Option<File>,
}

impl Sources {
    pub async fn open(&self, options: Options) -> anyhow::Result<Opened> {
        let clock = Arc::new(SystemClock::default());
        let outside = self.external();
        let Some(data_dir) = &self.data_dir else {
            let tables = self.files.iter().map(|path| engine::open(path)).collect::<Result<Vec<_>, _>>()?;
            let engine = Engine::new(None, clock, options)?.with_files(tables).with_config(self.limits.config(), None)?;
            let engine = outside?.into_iter().fold(engine, Engine::with_external);
            return Ok(Opened { engine: Arc::new(engine), _lock: None });
        };
        let path = data_dir.join("lock");
        let lock = File::open(&path).with_context(|| format!("`{}` is no data directory of a service", data_dir.display()))?;
        match lock.try_lock() {
            // What may be read then is for the service to say.
            Err(TryLockError::WouldBlock) if !self.external.is_empty() => {
                bail!("a service holds `{}`: what `externaldata` may read stands in its configuration, `external`", data_dir.display())
            }
            Err(TryLockError::WouldBlock) => return Ok(Opened { engine: Arc::new(Service::connect(data_dir).await?), _lock: None }),
            Err(TryLockError::Error(cause)) => return Err(cause).with_context(|| format!("cannot lock `{}`", path.display())),
            Ok(()) => {}
        }
        let name = workspace_name(data_dir)?;
        let (config, disk) = (workspace::WorkspaceConfig::default(), Arc::new(workspace::SystemDisk));
        let opened = Arc::new(Workspace::open(data_dir, workspace::Options { name, config, id: None, disk, clock: clock.clone() })?);
        let engine = Engine::new(Some(Store { catalog: opened.clone(), snapshots: opened }), clock, options)?;
        let engine = engine.with_config(self.limits.config(), Some(&data_dir.join("tmp")))?;
        let engine = outside?.into_iter().fold(engine, Engine::with_external);
        Ok(Opened { engine: Arc::new(engine), _lock: Some(lock) })
    }
}

impl Sources {
    /// The port that `externaldata` reads through, where anything is allowed.
    fn external(&self) -> anyhow::Result<Option<Arc<dyn ExternalData>>> {
        if self.external.is_empty() { Ok(None) } else { Ok(Some(Arc::new(Folders::new(&self.external)?))) }
    }
}

/// The one workspace of a data directory.
fn workspace_name(data_dir: &Path) -> anyhow::Result<WorkspaceName> {
    let folder = data_dir.join("tables");
    let mut names = Vec::new();
    for entry in std::fs::read_dir(&folder).with_context(|| format!("cannot read `{}`", folder.display()))? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
    }
    match names.as_slice() {
        [name] => Ok(WorkspaceName::new(name)),
        [] => bail!("`{}` holds no workspace", data_dir.display()),
        _ => bail!("`{}` holds several workspaces: {}", data_dir.display(), names.join(", ")),
    }
}

pub fn run(args: Args) -> Outcome {
    // Without files the question is for this user's own workspace, if there is one; `print 1` needs none.
    let own = || crate::config::default_data_dir(|name| std::env::var(name).ok()).ok().filter(|path| path.join("lock").exists());
    let data_dir = args.data_dir.or_else(|| if args.files.is_empty() { own() } else { None });
    let sources = Sources { files: args.files, data_dir, external: args.external, limits: args.limits };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let opened = sources.open(Options::default()).await?;
        let query = Query::new(args.kql.clone());
        let cancel = query.cancel.clone();
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                cancel.cancel();
            }
        });
        match opened.engine.query(query).await {
            Ok(answer) => {
                print(&answer, args.format).context("cannot write the answer")?;
                if let Some(why) = &answer.partial {
                    eprintln!("warning: rows are missing: {why}");
                }
                Ok(())
            }
            Err(why) => Err(Failure::Wrong(explain(&args.kql, &why))),
        }
    })
}

/// Rows, cell by cell.
pub fn cells<'a>(columns: &'a [Column], batches: &'a [RecordBatch]) -> impl Iterator<Item = Vec<Value>> {
    let row = move |(batch, row): (&RecordBatch, usize)| {
        columns.iter().zip(batch.columns()).map(|(column, array)| Value::from_cell(array, row, column.ty)).collect()
    };
    batches.iter().flat_map(|batch| (0..batch.num_rows()).map(move |row| (batch, row))).map(row)
}

/// What is wrong, where, and what to do, as a person reads it.
fn explain(text: &str, why: &QueryError) -> String {
    let QueryError::Wrong(diagnostics) = why else { return format!("error: {why}") };
    let described = diagnostics.iter().map(|diagnostic| {
        let start = (0..=diagnostic.start.min(text.len())).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        let before = &text[..start];
        let line = before.rsplit('\n').next().unwrap_or_default();
        let whole = text[start - line.len()..].lines().next().unwrap_or_default();
        let wide = text.get(start..diagnostic.end).map_or(1, |part| part.lines().next().unwrap_or_default().chars().count().max(1));
        let help = diagnostic.help.as_ref().map(|help| format!("\n = {help}")).unwrap_or_default();
        format!(
            "error[{}]: {}\n ┌ line {}\n │ {whole}\n   {}{}{help}",
            diagnostic.code,
            diagnostic.message,
            before.matches('\n').count() + 1,
            " ".repeat(line.chars().count()),
            "^".repeat(wide),
        )
    });
    described.collect::<Vec<_>>().join("\n")
}

/// One table as it is; several under their names, which `ndjson` has in each line.
fn print(answer: &Answer, format: Format) -> io::Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let first = Shown { name: answer.name.as_deref().unwrap_or("PrimaryResult"), columns: &answer.columns, batches: &answer.batches };
    let further = answer.more.iter().map(|table| Shown { name: &table.name, columns: &table.columns, batches: &table.batches });
    let tables: Vec<Shown> = std::iter::once(first).chain(further).collect();
    let several = tables.len() > 1;
    if format == Format::Json {
        let objects = |shown: &Shown| -> Json { shown.rows().map(|row| shown.object(&row)).collect() };
        let json = match tables.as_slice() {
            [only] => objects(only),
            _ => tables.iter().map(|shown| serde_json::json!({ "name": shown.name, "rows": objects(shown) })).collect(),
        };
        writeln!(out, "{}", serde_json::to_string_pretty(&json)?)?;
        return out.flush();
    }
    for (index, shown) in tables.iter().enumerate() {
        if several && format != Format::Ndjson {
            writeln!(out, "{}{}", if index > 0 { "\n" } else { "" }, shown.name)?;
        }
        match format {
            Format::Ndjson => {
                for row in shown.rows() {
                    let object = shown.object(&row);
                    let line = if several { serde_json::json!({ "table": shown.name, "row": object }) } else { object };
                    writeln!(out, "{line}")?;
                }
            }
            Format::Csv => {
                let line = |cells: &mut dyn Iterator<Item = String>| cells.map(|cell| quoted(&cell)).collect::<Vec<_>>().join(",");
                writeln!(out, "{}", line(&mut shown.columns.iter().map(|column| column.name.clone())))?;
                for row in shown.rows() {
                    writeln!(out, "{}", line(&mut row.iter().map(Value::to_text)))?;
                }
            }
            Format::Table | Format::Json => table(shown, &mut out)?,
        }
    }
    out.flush()
}

/// A table of an answer.
struct Shown<'a> {
    name: &'a str,
    columns: &'a [Column],
    batches: &'a [RecordBatch],
}

impl Shown<'_> {
    fn rows(&self) -> impl Iterator<Item = Vec<Value>> {
        cells(self.columns, self.batches)
    }

    fn object(&self, row: &[Value]) -> Json {
        let members = self.columns.iter().zip(row).map(|(column, value)| (column.name.clone(), value.to_json()));
        members.collect::<serde_json::Map<_, _>>().into()
    }
}

/// A CSV cell (RFC 4180).
fn quoted(cell: &str) -> String {
    if cell.contains(['"', ',', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
}

/// Wider cells are cut on a terminal.
const WIDEST: usize = 60;

fn table(answer: &Shown, out: &mut dyn Write) -> io::Result<()> {
    let cut = io::stdout().is_terminal();
    let shown = |value: &Value| {
        let text = value.to_text().replace(['\n', '\r', '\t'], " ");
        if cut && text.chars().count() > WIDEST { text.chars().take(WIDEST - 1).chain(['…']).collect() } else { text }
    };
    let rows: Vec<Vec<String>> = answer.rows().map(|row| row.iter().map(shown).collect()).collect();
    let width =
        |index: usize, name: &str| rows.iter().map(|row| row[index].chars().count()).chain([name.chars().count()]).max().unwrap_or(0);
    let widths: Vec<usize> = answer.columns.iter().enumerate().map(|(index, column)| width(index, &column.name)).collect();
    let numeric = |ty: Type| ty.is_numeric();
    let line = |cells: Vec<&str>| {
        let padded = cells.iter().zip(&widths).zip(answer.columns).map(|((cell, &width), column)| {
            let fill = " ".repeat(width - cell.chars().count().min(width));
            if numeric(column.ty) { format!("{fill}{cell}") } else { format!("{cell}{fill}") }
        });
        padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    writeln!(out, "{}", line(answer.columns.iter().map(|column| column.name.as_str()).collect()))?;
    writeln!(out, "{}", widths.iter().map(|&width| "─".repeat(width)).collect::<Vec<_>>().join("  "))?;
    for row in &rows {
        writeln!(out, "{}", line(row.iter().map(String::as_str).collect()))?;
    }
    Ok(())
}
