//! Findings and test results, as text and in CI formats.
//!
//! SARIF 2.1.0: docs.oasis-open.org/sarif/sarif/v2.1.0. JUnit: the subset supported by GitHub, GitLab, Azure DevOps and Jenkins.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// How findings are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Lines for people.
    Text,
    Json,
    /// For code scanning.
    Sarif,
    /// For reports of tests.
    Junit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Error,
    Warning,
}

impl Level {
    fn name(self) -> &'static str {
        match self {
            Level::Error => "error",
            Level::Warning => "warning",
        }
    }
}

/// A problem in a file, with its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    pub level: Level,
    pub code: String,
    pub file: String,
    /// From 1; `None` for the file as a whole.
    pub line: Option<usize>,
    /// From 1, in characters.
    pub column: Option<usize>,
    pub message: String,
    pub help: Option<String>,
}

/// A test or a checked file.
#[derive(Clone, Debug)]
pub struct Case {
    pub file: String,
    pub name: String,
    pub seconds: f64,
    /// Empty if it passed.
    pub findings: Vec<Finding>,
}

impl Case {
    fn failed(&self) -> bool {
        self.findings.iter().any(|finding| finding.level == Level::Error)
    }
}

pub fn render(format: Format, tool: &str, cases: &[Case]) -> String {
    match format {
        Format::Text => text(cases),
        Format::Json => {
            let cases: Vec<Value> = cases
                .iter()
                .map(|case| json!({ "file": case.file, "name": case.name, "ok": !case.failed(), "seconds": case.seconds, "findings": case.findings.iter().map(finding_json).collect::<Vec<_>>() }))
                .collect();
            format!("{}\n", pretty(&json!({ "tool": tool, "cases": cases })))
        }
        Format::Sarif => format!("{}\n", pretty(&sarif(tool, cases))),
        Format::Junit => junit(tool, cases),
    }
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string())
}

fn finding_json(finding: &Finding) -> Value {
    json!({
        "level": finding.level.name(), "code": finding.code, "file": finding.file, "line": finding.line, "column": finding.column,
        "message": finding.message, "help": finding.help,
    })
}

fn place(finding: &Finding) -> String {
    match (finding.line, finding.column) {
        (Some(line), Some(column)) => format!("{}:{line}:{column}", finding.file),
        (Some(line), None) => format!("{}:{line}", finding.file),
        _ => finding.file.clone(),
    }
}

fn text(cases: &[Case]) -> String {
    let mut out = String::new();
    for finding in cases.iter().flat_map(|case| &case.findings) {
        let help = finding.help.as_ref().map(|help| format!("\n  = {help}")).unwrap_or_default();
        let _ = writeln!(out, "{}: {}[{}]: {}{help}", place(finding), finding.level.name(), finding.code, finding.message);
    }
    out
}

fn sarif(tool: &str, cases: &[Case]) -> Value {
    let findings: Vec<&Finding> = cases.iter().flat_map(|case| &case.findings).collect();
    let mut codes: Vec<&str> = findings.iter().map(|finding| finding.code.as_str()).collect();
    codes.sort_unstable();
    codes.dedup();
    let results: Vec<Value> = findings
        .iter()
        .map(|finding| {
            let mut location = json!({ "artifactLocation": { "uri": finding.file.replace('\\', "/") } });
            if let Some(line) = finding.line {
                location["region"] = json!({ "startLine": line });
                if let Some(column) = finding.column {
                    location["region"]["startColumn"] = json!(column);
                }
            }
            let help = finding.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
            json!({
                "ruleId": finding.code, "level": finding.level.name(), "message": { "text": format!("{}{help}", finding.message) },
                "locations": [{ "physicalLocation": location }],
            })
        })
        .collect();
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": tool, "version": env!("CARGO_PKG_VERSION"),
                "rules": codes.iter().map(|code| json!({ "id": code })).collect::<Vec<_>>(),
            } },
            "results": results,
        }],
    })
}

fn junit(tool: &str, cases: &[Case]) -> String {
    let failed = cases.iter().filter(|case| case.failed()).count();
    let seconds: f64 = cases.iter().map(|case| case.seconds).sum();
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let head = format!("tests=\"{}\" failures=\"{failed}\" errors=\"0\" skipped=\"0\" time=\"{seconds:.3}\"", cases.len());
    let _ = writeln!(out, "<testsuites name=\"{}\" {head}>", escaped(tool));
    let _ = writeln!(out, "  <testsuite name=\"{}\" {head}>", escaped(tool));
    for case in cases {
        let open = format!(
            "    <testcase classname=\"{}\" name=\"{}\" file=\"{}\" time=\"{:.3}\"",
            escaped(&case.file),
            escaped(&case.name),
            escaped(&case.file),
            case.seconds
        );
        if case.findings.is_empty() {
            let _ = writeln!(out, "{open}/>");
            continue;
        }
        let lines = text(std::slice::from_ref(case));
        let first = case.findings.iter().find(|finding| finding.level == Level::Error).map_or("", |finding| finding.message.as_str());
        let _ = writeln!(out, "{open}>");
        let _ = if case.failed() {
            writeln!(out, "      <failure message=\"{}\">{}</failure>", escaped(first), escaped(&lines))
        } else {
            writeln!(out, "      <system-out>{}</system-out>", escaped(&lines))
        };
        let _ = writeln!(out, "    </testcase>");
    }
    out + "  </testsuite>\n</testsuites>\n"
}

/// Escapes text for XML 1.0; characters that XML cannot represent become U+FFFD.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push(c),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case(findings: Vec<Finding>) -> Case {
        Case { file: "a&b.yaml".to_owned(), name: "fires <once>".to_owned(), seconds: 0.25, findings }
    }

    fn finding(level: Level) -> Finding {
        Finding {
            level,
            code: "R010".to_owned(),
            file: "a&b.yaml".to_owned(),
            line: Some(3),
            column: Some(5),
            message: "no column `x`\u{1}".to_owned(),
            help: Some("did you mean `y`?".to_owned()),
        }
    }

    #[test]
    fn junit_counts_failures_and_is_well_formed() {
        let xml = junit("bartizan rules", &[case(vec![finding(Level::Error)]), case(vec![finding(Level::Warning)]), case(Vec::new())]);
        assert!(xml.contains("tests=\"3\" failures=\"1\""), "{xml}");
        let mut reader = quick_xml::Reader::from_str(&xml);
        loop {
            match reader.read_event().unwrap() {
                quick_xml::events::Event::Eof => break,
                _ => continue,
            }
        }
    }

    #[test]
    fn sarif_places_each_result() {
        let log = sarif("bartizan rules", &[case(vec![finding(Level::Warning)])]);
        let result = &log["runs"][0]["results"][0];
        assert_eq!((result["level"].as_str(), result["ruleId"].as_str()), (Some("warning"), Some("R010")));
        assert_eq!(result["locations"][0]["physicalLocation"]["region"], json!({ "startLine": 3, "startColumn": 5 }));
    }

    #[test]
    fn text_is_file_line_column_message_and_help() {
        let shown = text(&[case(vec![finding(Level::Error)])]);
        assert_eq!(shown, "a&b.yaml:3:5: error[R010]: no column `x`\u{1}\n  = did you mean `y`?\n");
    }
}
