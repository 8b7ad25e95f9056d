//! `bartizan query` — runs one KQL query, over a workspace or directly over files.

mod chart;
mod explain;
mod output;
mod progress;
mod sources;

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use anyhow::Context;
use engine::{FileFormat, Options};
use model::Query;

use super::{Failure, Outcome};

pub use explain::explain;
pub use output::{Format, cells, print};
pub use progress::Shown;
pub use sources::{LimitArgs, Opened, Sources, matching};

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  bartizan query 'print 1 + 1'\n  bartizan query --file signins.csv 'signins | summarize count() by User'\n  bartizan query --file 'logs/*.parquet' 'union * | count'              one table a file\n  bartizan query --file 'Logs=logs/*.ndjson.gz' 'Logs | take 10'        one table for all files\n  bartizan query --data-dir /var/lib/bartizan hunt.kql                 the question in a file; `-` for standard input\n  zcat events.gz | bartizan query --file - --input-format ndjson 'stdin | summarize count() by Level'\n  bartizan query --format chart 'SecurityIncident | summarize count() by Severity | render barchart'\n  bartizan query --data-dir ~/.local/share/bartizan --format ndjson 'SecurityIncident | take 10'\n  bartizan query --file signins.csv                                     without a question: the shell"
)]
pub struct Args {
    #[command(flatten)]
    pub reads: Reads,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// The question; `-` reads it from standard input, and the path of a `.kql` or `.csl` file from that file. On a terminal it may be left
    /// out: then questions are asked one after the other.
    #[arg(value_name = "KQL", allow_hyphen_values = true)]
    kql: Option<String>,
}

/// The text of a question as it was given on the command line.
fn text_of(kql: String) -> anyhow::Result<String> {
    if kql == "-" {
        return std::io::read_to_string(std::io::stdin()).context("cannot read the question from standard input");
    }
    let path = Path::new(&kql);
    let is_file = path.extension().is_some_and(|extension| extension == "kql" || extension == "csl") && path.exists();
    if is_file { std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display())) } else { Ok(kql) }
}

/// Where rows come from.
#[derive(clap::Args)]
pub struct Reads {
    /// A workspace to ask, through its service while that runs. Default: the one under $XDG_DATA_HOME/bartizan.
    #[arg(long, value_name = "D", conflicts_with = "files")]
    data_dir: Option<PathBuf>,
    /// Tables to ask: CSV, TSV, JSON, NDJSON or Parquet, plain or as .gz or .zst, each named after its file; a pattern (`'logs/*.csv'`);
    /// `name=pattern` for one table of all its files; or `-` for standard input. May be given several times.
    #[arg(long = "file", value_name = "F")]
    files: Vec<String>,
    /// A folder that `externaldata` may read; without this it reads nothing.
    #[arg(long = "external", value_name = "FOLDER")]
    external: Vec<PathBuf>,
    /// What standard input holds.
    #[arg(long, value_enum, value_name = "FORMAT")]
    input_format: Option<InputFormat>,
    #[command(flatten)]
    limits: LimitArgs,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum InputFormat {
    Csv,
    Tsv,
    Ndjson,
    Json,
    Parquet,
}

impl Reads {
    /// Without files, the query runs over this user's own workspace, if there is one; `print 1` needs none.
    pub fn sources(self) -> Sources {
        let own = || {
            crate::config::default_data_dir(|name| std::env::var(name).ok()).ok().filter(|path| path.join("lock").exists() || has_session())
        };
        let data_dir = self.data_dir.or_else(|| if self.files.is_empty() { own() } else { None });
        let input_format = self.input_format.map(|format| match format {
            InputFormat::Csv => FileFormat::Csv,
            InputFormat::Tsv => FileFormat::Tsv,
            InputFormat::Ndjson | InputFormat::Json => FileFormat::Json,
            InputFormat::Parquet => FileFormat::Parquet,
        });
        Sources { files: self.files, data_dir, external: self.external, input_format, limits: self.limits, seen: None }
    }
}

pub fn run(args: Args) -> Outcome {
    let Some(kql) = args.kql else {
        if std::io::stdin().is_terminal() {
            return super::shell::run(super::shell::Args { reads: args.reads, format: args.format });
        }
        return Err(Failure::Wrong("there is no question: `bartizan query '…'` asks one, `bartizan shell` reads several".to_owned()));
    };
    let kql = text_of(kql)?;
    let sources = args.reads.sources();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    runtime.block_on(async {
        let shown = Shown::start();
        let opened = sources.open(Options::default(), shown.progress()).await?;
        let query = Query::new(kql.clone());
        let cancel = query.cancel.clone();
        tokio::spawn(async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                cancel.cancel();
            }
        });
        let answer = opened.engine.query(query).await;
        drop(shown);
        match answer {
            Ok(answer) => {
                print(&answer, args.format).context("cannot write the answer")?;
                if let Some(why) = &answer.partial {
                    eprintln!("warning: rows are missing: {why}");
                }
                Ok(())
            }
            Err(why) => Err(Failure::Wrong(explain(&kql, &why))),
        }
    })
}
/// Whether a person has logged in.
fn has_session() -> bool {
    matches!(super::session_file::SessionFile::read(), Ok(Some(_)))
}
