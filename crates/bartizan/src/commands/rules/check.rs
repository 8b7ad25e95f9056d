//! `bartizan rules check` — validates rule files, without a service.
//!
//! | code | level | what |
//! |---|---|---|
//! | `R001` | error | the file is not a rule: shape, ranges, names of entity identifiers |
//! | `R002` | error | two files have one id |
//! | `KQL…` | error | the query, as `bartizan kql check` judges it |
//! | `R010` | error | a mapping, detail or format names a column that the query does not give |
//! | `R011` | warning | a format has more columns than are filled in |
//! | `R020` | warning | a key that nothing reads |
//! | `R021` | warning | the query reads a table that Microsoft retired |
//! | `R022` | warning | the file names no `requiredDataConnectors` |

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use detection::AnalyticsRule;
use detection::rule::RuleError;
use kql::check::TableSchemas;
use model::Timestamp;

use super::super::report::{Case, Finding, Format, Level, render};
use super::super::{Failure, Outcome};
use super::files::{Kind, KnownArgs, of_kind, read};

/// Stack for binding, which recurses to a limited depth.
const STACK: usize = 64 << 20;

/// Retired tables of Microsoft, and their replacements.
const RETIRED: [(&str, &str); 1] = [("ThreatIntelligenceIndicator", "ThreatIntelIndicators")];

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  bartizan rules check rules/\n  bartizan rules check rules/ --schema tables.json --functions parsers/\n  bartizan rules check rules/ --format sarif > rules.sarif\n\nExits with 1 when there are errors (with --strict, also when there are warnings)."
)]
pub struct Args {
    /// Rule files in Microsoft's YAML format, or folders of them.
    #[arg(value_name = "PATH", required = true)]
    paths: Vec<PathBuf>,
    #[command(flatten)]
    known: KnownArgs,
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Warnings are errors.
    #[arg(long)]
    strict: bool,
}

pub fn run(args: Args) -> Outcome {
    let files = of_kind(&args.paths, Kind::Rule)?;
    let known = args.known.read()?;
    let mut texts = Vec::with_capacity(files.len());
    for file in &files {
        texts.push((file.display().to_string(), read(file)?));
    }
    let worker = std::thread::Builder::new().stack_size(STACK).spawn(move || cases(&texts, &known.schemas()))?;
    let mut cases = worker.join().map_err(|_| anyhow::anyhow!("checking broke"))?;
    if args.strict {
        cases.iter_mut().flat_map(|case| &mut case.findings).for_each(|finding| finding.level = Level::Error);
    }
    print!("{}", render(args.format, "bartizan rules check", &cases));
    let count = |level| cases.iter().flat_map(|case| &case.findings).filter(|finding| finding.level == level).count();
    let (errors, warnings) = (count(Level::Error), count(Level::Warning));
    let summary = format!("{} rules: {errors} errors, {warnings} warnings", cases.len());
    if errors > 0 {
        return Err(Failure::Wrong(summary));
    }
    eprintln!("{summary}");
    Ok(())
}

fn cases(texts: &[(String, String)], schemas: &TableSchemas) -> Vec<Case> {
    let now = Timestamp::from_system(SystemTime::now());
    let mut ids: HashMap<String, String> = HashMap::new();
    texts
        .iter()
        .map(|(file, text)| {
            let began = Instant::now();
            let mut findings = Vec::new();
            let name = match detection::yaml::parse(file, text) {
                Ok(loaded) => {
                    let id = loaded.rule.id.to_lowercase();
                    if let Some(other) = ids.insert(id.clone(), file.clone()) {
                        let help = Some("give each rule an id of its own".to_owned());
                        findings.push(at(file, text, "id", Level::Error, "R002", format!("`{other}` has the id `{id}` too"), help));
                    }
                    let mut judged = judge(file, text, &loaded.rule, schemas, now);
                    findings.append(&mut judged);
                    for warning in &loaded.warnings {
                        let message = warning.strip_prefix(&format!("{file}: ")).unwrap_or(warning);
                        let key = message.split('`').nth(1).unwrap_or_default();
                        findings.push(at(file, text, key, Level::Warning, "R020", message.to_owned(), None));
                    }
                    loaded.rule.properties.display_name.clone()
                }
                Err(error) => {
                    findings.push(unreadable(file, &error));
                    Path::new(file).file_stem().map_or_else(|| file.clone(), |stem| stem.to_string_lossy().into_owned())
                }
            };
            findings.sort_by_key(|finding| (finding.line, finding.column, finding.level));
            Case { file: file.clone(), name, seconds: began.elapsed().as_secs_f64(), findings }
        })
        .collect()
}

fn unreadable(file: &str, error: &RuleError) -> Finding {
    let (line, message) = match error {
        RuleError::Yaml { line, field, problem, .. } => (Some(*line), format!("field `{field}`: {problem}")),
        RuleError::File { field, problem, .. } => (None, format!("field `{field}`: {problem}")),
        other => (None, other.to_string()),
    };
    Finding { level: Level::Error, code: "R001".to_owned(), file: file.to_owned(), line, column: None, message, help: None }
}

/// A finding at the line of a top-level key.
fn at(file: &str, text: &str, key: &str, level: Level, code: &str, message: String, help: Option<String>) -> Finding {
    let line = text.lines().position(|line| line.starts_with(&format!("{key}:"))).map(|index| index + 1);
    Finding { level, code: code.to_owned(), file: file.to_owned(), line, column: None, message, help }
}

/// All findings of a parsed rule.
fn judge(file: &str, text: &str, rule: &AnalyticsRule, schemas: &TableSchemas, now: Timestamp) -> Vec<Finding> {
    let query = &rule.properties.query;
    let bound = kql::check::check(query, schemas, now);
    let place = QueryPlace::find(text);
    let mut findings: Vec<Finding> = bound
        .diagnostics
        .iter()
        .map(|wrong| {
            let (line, column) = place.of(query, wrong.start);
            let (message, help) = (wrong.message.clone(), wrong.help.clone());
            Finding { level: Level::Error, code: wrong.code.to_owned(), file: file.to_owned(), line, column, message, help }
        })
        .collect();
    // The columns are unknown if the query is invalid or its schema depends on data.
    if let (true, Some(columns)) = (findings.is_empty(), &bound.columns) {
        let names: Vec<&str> = columns.iter().map(|(name, _)| name.as_str()).collect();
        for (key, column, what) in columns_named(rule) {
            if !names.contains(&column.as_str()) {
                let near = names.iter().find(|name| name.eq_ignore_ascii_case(&column));
                let help = near.map_or_else(|| format!("it gives {}", listed(&names)), |near| format!("did you mean `{near}`?"));
                let message = format!("{what} reads column `{column}`, which the query does not give");
                findings.push(at(file, text, key, Level::Error, "R010", message, Some(help)));
            }
        }
    }
    let overrides = &rule.properties.alert_details_override;
    for format in [&overrides.alert_display_name_format, &overrides.alert_description_format].into_iter().flatten() {
        if format.matches("{{").count() > detection::MAX_FORMAT_COLUMNS {
            let message =
                format!("`{format}` has more than {} columns; the others stay as they are written", detection::MAX_FORMAT_COLUMNS);
            findings.push(at(file, text, "alertDetailsOverride", Level::Warning, "R011", message, None));
        }
    }
    for (table, instead) in RETIRED {
        if let Some(offset) = word(query, table) {
            let (line, column) = place.of(query, offset);
            let message = format!("`{table}` is retired: Microsoft no longer fills it");
            let (code, help) = ("R021".to_owned(), Some(format!("read `{instead}`")));
            findings.push(Finding { level: Level::Warning, code, file: file.to_owned(), line, column, message, help });
        }
    }
    if !text.lines().any(|line| line.starts_with("requiredDataConnectors:")) {
        let message = "`requiredDataConnectors` is missing: which connectors fill the tables that the rule reads".to_owned();
        findings.push(at(file, text, "id", Level::Warning, "R022", message, None));
    }
    findings
}

/// Key in the file, column, and where it is used.
fn columns_named(rule: &AnalyticsRule) -> Vec<(&'static str, String, String)> {
    let properties = &rule.properties;
    let mut named = Vec::new();
    for mapping in &properties.entity_mappings {
        for field in &mapping.field_mappings {
            let what = format!("the mapping of {} {}", mapping.entity_type, field.identifier);
            named.push(("entityMappings", field.column_name.clone(), what));
        }
    }
    for mapping in &properties.sentinel_entities_mappings {
        named.push(("sentinelEntitiesMappings", mapping.column_name.clone(), "the mapping of whole entities".to_owned()));
    }
    for (name, column) in &properties.custom_details {
        named.push(("customDetails", column.clone(), format!("custom detail `{name}`")));
    }
    let overrides = &properties.alert_details_override;
    let single = [
        (&overrides.alert_severity_column_name, "alertSeverityColumnName"),
        (&overrides.alert_tactics_column_name, "alertTacticsColumnName"),
    ];
    for (column, what) in single {
        if let Some(column) = column {
            named.push(("alertDetailsOverride", column.clone(), format!("`{what}`")));
        }
    }
    for (format, what) in
        [(&overrides.alert_display_name_format, "alertDisplayNameFormat"), (&overrides.alert_description_format, "alertDescriptionFormat")]
    {
        for column in placeholders(format.as_deref().unwrap_or_default()) {
            named.push(("alertDetailsOverride", column, format!("`{what}`")));
        }
    }
    for property in &overrides.alert_dynamic_properties {
        named.push(("alertDetailsOverride", property.value.clone(), format!("alert property `{}`", property.alert_property)));
    }
    named
}

/// The columns in `{{Column}}` placeholders.
fn placeholders(format: &str) -> Vec<String> {
    format.split("{{").skip(1).filter_map(|part| part.split_once("}}")).map(|(column, _)| column.trim().to_owned()).collect()
}

fn listed(names: &[&str]) -> String {
    const SHOWN: usize = 12;
    let more = names.len().saturating_sub(SHOWN);
    let list = names.iter().take(SHOWN).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if more > 0 { format!("{list} and {more} more") } else { list }
}

/// Start of a whole word.
fn word(text: &str, word: &str) -> Option<usize> {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).find(|(at, _)| !text[..*at].ends_with(part) && !text[at + word.len()..].starts_with(part)).map(|(at, _)| at)
}

/// Position of the query text in its file.
struct QueryPlace {
    /// Line of the key, from 1.
    line: Option<usize>,
    /// Indentation of a block; `None` if the query is on the key's line.
    indent: Option<usize>,
}

impl QueryPlace {
    fn find(text: &str) -> Self {
        let lines: Vec<&str> = text.lines().collect();
        let Some(index) = lines.iter().position(|line| line.starts_with("query:")) else { return Self { line: None, indent: None } };
        let style = lines[index]["query:".len()..].trim_start();
        // A folded block (`>`) joins lines, so positions in it are reported at the key.
        let indent = style
            .starts_with('|')
            .then(|| lines[index + 1..].iter().find(|line| !line.trim().is_empty()).map(|line| line.len() - line.trim_start().len()))
            .flatten();
        Self { line: Some(index + 1), indent }
    }

    fn of(&self, query: &str, offset: usize) -> (Option<usize>, Option<usize>) {
        let (Some(line), Some(indent)) = (self.line, self.indent) else { return (self.line, None) };
        let before = query.get(..offset).unwrap_or(query);
        let in_query = before.matches('\n').count();
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count();
        (Some(line + 1 + in_query), Some(indent + column + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: &str = "id: 6f8a4f3c-0000-4000-8000-000000000001\nname: Many tries\nkind: Scheduled\nseverity: High\nrequiredDataConnectors: []\nqueryFrequency: 1h\nqueryPeriod: 1d\ntriggerOperator: gt\ntriggerThreshold: 0\nquery: |\n  SigninLogs\n  | project UserPrincipalName\nentityMappings:\n  - entityType: Account\n    fieldMappings:\n      - identifier: FullName\n        columnName: UserPrincipalName\nversion: 1.0.0\n";

    fn check(texts: &[(&str, String)]) -> Vec<String> {
        let texts: Vec<(String, String)> = texts.iter().map(|(file, text)| ((*file).to_owned(), text.clone())).collect();
        let schemas: TableSchemas =
            workspace::built_in_tables().iter().map(|table| (table.name.as_str().to_owned(), table.columns.clone())).collect();
        let cases = cases(&texts, &schemas);
        cases
            .iter()
            .flat_map(|case| &case.findings)
            .map(|finding| format!("{}:{}:{} {}", finding.file, finding.line.unwrap_or(0), finding.column.unwrap_or(0), finding.code))
            .collect()
    }

    #[test]
    fn a_good_rule_has_no_findings() {
        assert_eq!(check(&[("a.yaml", RULE.to_owned())]), Vec::<String>::new());
    }

    #[test]
    fn mistakes_are_placed_in_the_file() {
        let changed = |from: &str, to: &str| check(&[("a.yaml", RULE.replace(from, to))]);
        assert_eq!(changed("| project", "| projekt"), ["a.yaml:12:5 KQL0008"]);
        assert_eq!(changed("columnName: UserPrincipalName", "columnName: userPrincipalName"), ["a.yaml:13:0 R010"]);
        assert_eq!(changed("severity: High", "severity: Dire"), ["a.yaml:4:0 R001"]);
        assert_eq!(changed("requiredDataConnectors: []\n", ""), ["a.yaml:1:0 R022"]);
        assert_eq!(changed("version:", "versoin:"), ["a.yaml:18:0 R020"]);
        assert_eq!(changed("SigninLogs", "ThreatIntelligenceIndicator | extend UserPrincipalName = ''"), ["a.yaml:11:3 R021"]);
        assert_eq!(check(&[("a.yaml", RULE.to_owned()), ("b.yaml", RULE.to_owned())]), ["b.yaml:1:0 R002"]);
    }

    #[test]
    fn columns_of_formats_are_found() {
        assert_eq!(placeholders("{{User}} from {{ IP }} {{open"), ["User", "IP"]);
        assert_eq!(word("union ThreatIntelligenceIndicators, ThreatIntelligenceIndicator", "ThreatIntelligenceIndicator"), Some(36));
    }
}
