//! `bartizan rules test` — runs rule tests: given rows, expected alerts. The format is that of [`super::test_file`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use detection::AnalyticsRule;
use engine::{Engine, FileTable, Options, SystemClock};
use model::{Column, QueryError, TableSchema, Timestamp};

use super::super::published;
use super::super::query::explain;
use super::super::report::{Case, Finding, Format, Level, render};
use super::super::{Failure, Outcome};
use super::evaluate::{evaluate, seen_in_tests};
use super::files::{Kind, Known, KnownArgs, of_kind, read};
use super::fixtures::{absent, table};
use super::test_file::{Test, TestFile, TestFileError};

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  bartizan rules test rules/\n  bartizan rules test rules/brute-force.test.yaml --functions parsers/\n  bartizan rules test rules/ --format junit > rules.xml\n\nA test file:\n  rule: brute-force.yaml\n  tests:\n    - name: fires on one failure\n      at: 2026-01-01T10:00:00Z\n      given: { SigninLogs: [{ TimeGenerated: now-5m, ResultType: '50126', UserPrincipalName: ann@example.com }] }\n      expect: { alerts: 1, severity: Medium, entities: [{ type: Account, FullName: ann@example.com }] }\n\nExits with 1 when a test fails."
)]
pub struct Args {
    /// Test files (`*.test.yaml`), rule files with `tests` in them, or folders of both.
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    /// Only tests whose name contains this.
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    #[command(flatten)]
    known: KnownArgs,
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// A test file with its rule.
struct Suite {
    file: PathBuf,
    rule: AnalyticsRule,
    columns: BTreeMap<String, Vec<Column>>,
    tests: Vec<Test>,
}

pub async fn run(args: Args) -> Outcome {
    let known = args.known.read()?;
    let now = Timestamp::from_system(SystemTime::now());
    let mut cases = Vec::new();
    for file in of_kind(&args.paths, Kind::Test)? {
        let text = read(&file)?;
        match TestFile::parse(&text).and_then(|tests| Ok((tests.rule_path(&file)?, tests))) {
            Ok((rule, tests)) => run_file(&file, &rule, tests, &known, &args, now, &mut cases).await?,
            Err(error) => cases.push(broken(&file, &error)),
        }
    }
    for file in of_kind(&args.paths, Kind::Rule)? {
        match TestFile::in_rule(&read(&file)?) {
            Ok(Some(tests)) => run_file(&file, &file, tests, &known, &args, now, &mut cases).await?,
            Ok(None) => {}
            Err(error) => cases.push(broken(&file, &error)),
        }
    }
    if cases.is_empty() {
        return Err(Failure::Wrong("error: there are no tests here: files that end in .test.yaml, or rules with `tests`".to_owned()));
    }
    print!("{}", render(args.format, "bartizan rules test", &cases));
    let failed = cases.iter().filter(|case| !case.findings.is_empty()).count();
    let summary = format!("{} passed, {failed} failed", cases.len() - failed);
    if failed > 0 {
        return Err(Failure::Wrong(summary));
    }
    eprintln!("{summary}");
    Ok(())
}

async fn run_file(
    file: &Path,
    rule: &Path,
    tests: TestFile,
    known: &Known,
    args: &Args,
    now: Timestamp,
    cases: &mut Vec<Case>,
) -> Result<(), Failure> {
    if !rule.exists() {
        let finding = failure(file, None, format!("there is no rule `{}`", rule.display()));
        cases.push(Case { file: file.display().to_string(), name: "rule".to_owned(), seconds: 0.0, findings: vec![finding] });
        return Ok(());
    }
    let columns = match tests.columns() {
        Ok(columns) => columns,
        Err(error) => {
            cases.push(broken(file, &error));
            return Ok(());
        }
    };
    let rule = match detection::yaml::parse(&rule.display().to_string(), &read(rule)?) {
        Ok(loaded) => loaded.rule,
        Err(error) => {
            let finding = failure(file, None, model::chain(&error));
            cases.push(Case { file: file.display().to_string(), name: "rule".to_owned(), seconds: 0.0, findings: vec![finding] });
            return Ok(());
        }
    };
    let suite = Suite { file: file.to_owned(), rule, columns, tests: tests.tests };
    let text = read(file)?;
    for test in &suite.tests {
        if args.name.as_ref().is_some_and(|part| !test.name.contains(part)) {
            continue;
        }
        let began = Instant::now();
        let line = text.lines().position(|line| line.contains("name:") && line.contains(&test.name)).map(|index| index + 1);
        let misses = match misses(&suite, test, known, now).await {
            Ok(misses) => misses,
            Err(error) => vec![format!("{error:#}")],
        };
        let findings = misses.into_iter().map(|miss| failure(file, line, format!("{}: {miss}", test.name))).collect();
        cases.push(Case { file: file.display().to_string(), name: test.name.clone(), seconds: began.elapsed().as_secs_f64(), findings });
    }
    Ok(())
}

async fn misses(suite: &Suite, test: &Test, known: &Known, now: Timestamp) -> anyhow::Result<Vec<String>> {
    let at = test.time(now)?;
    let seen = seen_in_tests(&suite.rule, at);
    let folder = suite.file.parent().unwrap_or(Path::new("."));
    let mut tables: Vec<FileTable> = Vec::new();
    for (name, given) in &test.given {
        let columns = suite.columns.get(name).cloned().or_else(|| known.table(name));
        tables.push(table(name, given, folder, columns.as_deref(), at, seen).await?);
    }
    for (name, columns) in &suite.columns {
        if !test.given.contains_key(name) {
            tables.push(FileTable::empty(TableSchema::new(name, columns.clone())));
        }
    }
    let empty: Vec<FileTable> = absent(known, &tables).collect();
    tables.extend(empty);
    let engine = Engine::new(Some(published::store()), Arc::new(SystemClock::default()), Options::default())?.with_files(tables);
    let answer = evaluate(&engine, &suite.rule, &known.functions, at, None).await;
    Ok(match (answer, &test.expect.error) {
        (Ok((alerts, rows)), None) => test.expect.misses(&alerts, rows),
        (Ok(_), Some(expected)) => vec![format!("expected the query to fail with `{expected}`; it ran")],
        (Err(error), Some(expected)) if said(&suite.rule, &error).contains(expected.as_str()) => Vec::new(),
        (Err(error), _) => vec![said(&suite.rule, &error)],
    })
}

fn said(rule: &AnalyticsRule, error: &QueryError) -> String {
    explain(&rule.properties.query, error)
}

fn failure(file: &Path, line: Option<usize>, message: String) -> Finding {
    Finding { level: Level::Error, code: "test".to_owned(), file: file.display().to_string(), line, column: None, message, help: None }
}

fn broken(file: &Path, error: &TestFileError) -> Case {
    let line = match error {
        TestFileError::Shape { line, .. } => *line,
        _ => None,
    };
    let finding = failure(file, line, model::chain(error));
    Case { file: file.display().to_string(), name: "test file".to_owned(), seconds: 0.0, findings: vec![finding] }
}
