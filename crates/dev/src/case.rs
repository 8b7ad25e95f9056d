//! `bartizan-dev case` — runs the literate conformance cases: queries, each in several ways that must agree, and stories of on call.

use std::path::PathBuf;
use std::sync::Arc;

use engine::{Engine, Options, SystemClock, TablesAs};
use model::{InlineTable, Query, QueryEngine, QueryError};
use testkit::cases::{self, Case, Outcome as Answered, Table};

use bartizan::{Failure, Outcome};

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  bartizan-dev case                         all of them\n  bartizan-dev case 'strlen > refuses'      those whose heading contains it\n  bartizan-dev case --bless strlen          rewrite the answers that are ours"
)]
pub struct Args {
    /// Only cases whose heading contains this; case does not count.
    #[arg(default_value = "")]
    filter: String,
    /// Write the answers we gave into cases that say `from: ours` or have none yet.
    #[arg(long)]
    bless: bool,
    /// Where the cases lie.
    #[arg(long, default_value = "cases")]
    folder: PathBuf,
}

/// Execution options that must not change a result.
fn variants() -> [(&'static str, Options); 8] {
    let plain = Options::default();
    [
        ("as users run it", plain),
        ("unoptimised", Options { optimize: false, ..plain }),
        ("batches of one row", Options { batch_size: 1, ..plain }),
        ("four partitions", Options { partitions: 4, ..plain }),
        ("tables in files", Options { tables: TablesAs::Parquet, partitions: 4, ..plain }),
        ("tables in memory", Options { tables: TablesAs::Memory, partitions: 4, ..plain }),
        ("tables in files and in memory", Options { tables: TablesAs::Mixed, batch_size: 1, partitions: 1, ..plain }),
        ("interpreted", Options { interpret: true, ..plain }),
    ]
}

pub fn run(args: Args) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    runtime.block_on(async {
        let (mut passed, mut failed, mut ours) = (0, 0, 0);
        for path in cases::files(&args.folder)? {
            let text = std::fs::read_to_string(&path)?;
            // On-call stories are not queries and have their own runner.
            if path.parent().is_some_and(|folder| folder.ends_with("oncall")) {
                let filter = args.filter.to_lowercase();
                for story in oncall::story::run(&text).into_iter().filter(|story| story.name.to_lowercase().contains(&filter)) {
                    match story.wrong {
                        None => passed += 1,
                        Some(why) => {
                            failed += 1;
                            println!("FAIL  {} ({})\n{why}\n", story.name, path.display());
                        }
                    }
                }
                continue;
            }
            let all = cases::parse(&path.display().to_string(), &text)?;
            let chosen: Vec<&Case> = all.iter().filter(|case| case.matches(&args.filter)).collect();
            let mut answers = Vec::new();
            for case in &chosen {
                let mut wrong = None;
                let mut first = None;
                for (variant, options) in variants() {
                    let answered = answer(case, options).await?;
                    // A case being blessed is compared with itself: the variants must still agree.
                    let why = match (&first, args.bless && case.is_ours()) {
                        (Some(first), true) => (answered != *first).then(|| format!("{answered:?} instead of {first:?}")),
                        (None, true) => None,
                        (_, false) => case.judge(&answered),
                    };
                    wrong = wrong.or(why.map(|why| format!("{variant}: {why}")));
                    first.get_or_insert(answered);
                }
                answers.extend(first);
                ours += usize::from(case.is_ours());
                match wrong {
                    None => passed += 1,
                    Some(why) => {
                        failed += 1;
                        println!("FAIL  {} ({})\n{why}\n", case.name, path.display());
                    }
                }
            }
            if args.bless {
                let pairs: Vec<(&Case, &Answered)> = chosen.iter().copied().zip(&answers).collect();
                let blessed = cases::bless(&text, &pairs);
                if blessed != text {
                    std::fs::write(&path, blessed)?;
                    println!("blessed {}", path.display());
                }
            }
        }
        println!("{passed} cases passed, {failed} failed; the answers of {ours} are our own");
        if passed + failed == 0 {
            return Err(Failure::Wrong(format!("no case matches `{}`", args.filter)));
        }
        if failed > 0 { Err(Failure::Wrong(String::new())) } else { Ok(()) }
    })
}

async fn answer(case: &Case, options: Options) -> anyhow::Result<Answered> {
    let tables = case.tables.iter().map(|(name, csv)| given(name, csv)).collect::<anyhow::Result<Vec<_>>>()?;
    let engine = Engine::new(None, Arc::new(SystemClock::default()), options)?.with_files(tables);
    Ok(match engine.query(Query::new(&case.query)).await {
        Ok(answer) => Ok(Table {
            columns: answer.columns.iter().map(|column| (column.name.clone(), column.ty.name().to_owned())).collect(),
            rows: bartizan::cells(&answer.columns, &answer.batches).map(|row| row.iter().map(kql::Value::to_text).collect()).collect(),
        }),
        Err(QueryError::Wrong(diagnostics)) => Err(diagnostics
            .iter()
            .map(|diagnostic| match &diagnostic.help {
                Some(help) => format!("{}: {} ({help})", diagnostic.code, diagnostic.message),
                None => format!("{}: {}", diagnostic.code, diagnostic.message),
            })
            .collect::<Vec<_>>()
            .join("\n")),
        Err(error) => Err(model::chain(&error)),
    })
}

/// A table from the CSV of a case, whose header has `column:type`.
fn given(name: &str, csv: &str) -> anyhow::Result<InlineTable> {
    let mut lines = csv.lines();
    let header = lines.next().unwrap_or_default();
    let mut columns = Vec::new();
    for cell in header.split(',') {
        let (column, ty) = cell.split_once(':').unwrap_or((cell, "string"));
        let ty = model::Type::parse(ty.trim()).ok_or_else(|| anyhow::anyhow!("`{ty}` is no type, in table `{name}`"))?;
        columns.push(model::Column::new(column.trim(), ty));
    }
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split(',').map(str::trim).collect()).collect();
    let arrays = columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let cell = |row: &Vec<&str>| kql::Value::String((*row.get(index).unwrap_or(&"")).to_owned()).cast(column.ty);
            kql::Value::array(&rows.iter().map(cell).collect::<Vec<_>>(), column.ty)
        })
        .collect();
    let schema = model::TableSchema::new(name, columns);
    let batch = arrow::record_batch::RecordBatch::try_new(schema.arrow(), arrays)?;
    Ok(InlineTable { schema, batches: vec![batch] })
}
