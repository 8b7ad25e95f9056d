//! `bartizan check` — whether documents are right: alone, or against what a service has. Exit code 1 if something is wrong.

use documents::{Documents, Places, Problem};
use serde_json::json;

use super::super::output::{Format, json as print_json};
use super::super::{Failure, Outcome};
use super::files::{Wanted, place};
use super::offline;

/// Room for binding, which recurses over queries to a limited depth.
const STACK: usize = 64 << 20;

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  bartizan check sentinel/                          shapes, and references within the files\n  bartizan check --service sentinel/                against what the running service has, too\n  bartizan check --data-dir /var/lib/bartizan a.yaml\n  bartizan check --strict sentinel/ || exit 1\n\nExit code 0: right; 1: something is wrong; 2: the files cannot be read."
)]
pub struct Args {
    #[command(flatten)]
    wanted: Wanted,
    /// Check against what the running service has. Implied by --data-dir.
    #[arg(long)]
    service: bool,
    /// Warnings count as mistakes.
    #[arg(long)]
    strict: bool,
}

pub async fn run(args: Args) -> Outcome {
    let (checked, places) = if args.service || args.wanted.common.data_dir.is_some() {
        let (answer, places) = args.wanted.post("check").await?;
        (Found { problems: problems(&answer["problems"])?, warnings: problems(&answer["warnings"])? }, places)
    } else {
        alone(&args.wanted)?
    };
    let Found { problems, warnings } = checked;
    let line = |problem: &Problem| format!("{}{problem}", place(&problem.path, &places));
    let wrong = !problems.is_empty() || (args.strict && !warnings.is_empty());
    if args.wanted.common.format == Format::Json {
        print_json(&json!({ "problems": problems, "warnings": warnings }))?;
        return if wrong { Err(Failure::Wrong(String::new())) } else { Ok(()) };
    }
    for warning in &warnings {
        println!("warning: {}", line(warning));
    }
    if !problems.is_empty() {
        return Err(Failure::Wrong(problems.iter().map(line).collect::<Vec<_>>().join("\n")));
    }
    if wrong {
        return Err(Failure::Wrong(format!("--strict: warnings count as mistakes (here: {})", warnings.len())));
    }
    println!("{}", summary(&args.wanted)?);
    Ok(())
}

struct Found {
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
}

/// Without a service: the files are the whole configuration, besides Microsoft's tables.
fn alone(wanted: &Wanted) -> Result<(Found, Places), Failure> {
    let (document, places) = wanted.read()?;
    let prune = wanted.prune;
    let check = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let checked = runtime.block_on(Documents::new(offline::world()).check(&document, prune))?;
        anyhow::Ok(Found { problems: checked.problems, warnings: checked.warnings })
    };
    let worker = std::thread::Builder::new().stack_size(STACK).spawn(check)?;
    let found = worker.join().map_err(|_| anyhow::anyhow!("checking broke"))?;
    Ok((found.map_err(|error| Failure::Wrong(error.to_string()))?, places))
}

fn problems(list: &serde_json::Value) -> Result<Vec<Problem>, Failure> {
    let text = |problem: &serde_json::Value, field: &str| problem[field].as_str().unwrap_or_default().to_owned();
    let list = list.as_array().ok_or_else(|| anyhow::anyhow!("the service's answer lists no problems"))?;
    let read = |one: &serde_json::Value| Problem { path: text(one, "path"), problem: text(one, "problem"), help: text(one, "help") };
    Ok(list.iter().map(read).collect())
}

fn summary(wanted: &Wanted) -> Result<String, Failure> {
    let (document, _) = wanted.read()?;
    let count = |kind: &'static dyn documents::Kind| {
        let count = document.of(kind.name()).count();
        (count > 0).then(|| format!("{count} {}", kind.name().replace('_', " ")))
    };
    let counts: Vec<String> = documents::kinds::all().filter_map(count).collect();
    Ok(format!("Nothing is wrong: {}.", if counts.is_empty() { "the document is empty".to_owned() } else { counts.join(", ") }))
}
