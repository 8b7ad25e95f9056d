//! `bartizan tables list` — sizes of the tables of a running service.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::Outcome;
use super::service::Connect;
use crate::config;

#[derive(clap::Subcommand)]
pub enum Command {
    /// Rows, bytes, and first and last time of each table.
    #[command(after_help = "Examples:\n  bartizan tables list\n  bartizan tables list --all --format json")]
    List(List),
}

#[derive(clap::Args)]
pub struct List {
    /// The data directory of the running service.
    #[arg(long, value_name = "D")]
    data_dir: Option<PathBuf>,
    /// Tables without rows as well.
    #[arg(long)]
    all: bool,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Table,
    Json,
}

#[derive(Deserialize)]
struct Tables {
    tables: Vec<Table>,
}

#[derive(Deserialize, Serialize)]
struct Table {
    name: String,
    rows: u64,
    bytes: u64,
    files: u64,
    oldest: Option<String>,
    newest: Option<String>,
    retention_days: Option<i64>,
}

pub fn run(command: Command) -> Outcome {
    let Command::List(args) = command;
    let data_dir = match args.data_dir {
        Some(path) => path,
        None => config::default_data_dir(|name| std::env::var(name).ok())?,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut tables = runtime.block_on(ask(&data_dir))?;
    tables.retain(|table| args.all || table.rows > 0);
    match args.format {
        Format::Json => println!("{}", serde_json::to_string_pretty(&tables)?),
        Format::Table => print(&tables),
    }
    Ok(())
}

async fn ask(data_dir: &std::path::Path) -> anyhow::Result<Vec<Table>> {
    let (connect, http) = Connect::read(data_dir)?;
    let base = connect.base_url.trim_end_matches('/').to_owned();
    let access = connect.access(&http, &format!("{base}/.default")).await?;
    let answer = access.apply(http.get(format!("{base}/api/v1/tables"))).send().await?.error_for_status()?;
    Ok(answer.json::<Tables>().await?.tables)
}

fn print(tables: &[Table]) {
    let time = |time: &Option<String>| time.as_ref().map_or_else(|| "-".to_owned(), |time| time.chars().take(19).collect());
    let width = tables.iter().map(|table| table.name.len()).max().unwrap_or(0).max("table".len());
    println!("{:<width$}  {:>12}  {:>12}  {:>6}  {:<19}  {:<19}", "table", "rows", "bytes", "files", "oldest", "newest");
    for table in tables {
        let (oldest, newest) = (time(&table.oldest), time(&table.newest));
        println!("{:<width$}  {:>12}  {:>12}  {:>6}  {oldest:<19}  {newest:<19}", table.name, table.rows, table.bytes, table.files);
    }
    let (rows, bytes): (u64, u64) = tables.iter().fold((0, 0), |(rows, bytes), table| (rows + table.rows, bytes + table.bytes));
    println!("{:<width$}  {rows:>12}  {bytes:>12}", "total");
}
