//! Literate conformance cases: Markdown files whose headings are test names, whose fenced blocks are queries, and whose tables are expected
//! results.
//!
//! ````markdown
//! # strlen
//!
//! ## Counts code points, not bytes
//! from: learn.microsoft.com/kusto/query/strlen-function
//!
//! ```kql
//! print a = strlen("hello"), b = strlen("é")
//! ```
//! | a: long | b: long |
//! |--------:|--------:|
//! |       5 |       1 |
//! ````
//!
//! Instead of a table, an ```` ```error ```` block has text that the error must contain. A ```` ```rows Name ```` block (CSV, header
//! `column:type`) defines an input table. `from: ours` marks a regression test whose result has no external source; `wrong:` describes the
//! correct result of a known deviation.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// One case: a second-level heading and its content.
#[derive(Clone, Debug, PartialEq)]
pub struct Case {
    /// `strlen > Counts code points, not bytes`
    pub name: String,
    /// Source of the expected result.
    pub from: String,
    pub query: String,
    /// Input tables: name and CSV text.
    pub tables: Vec<(String, String)>,
    pub expected: Expected,
    /// Lines of the expected result in the file, half-open, for `bless`.
    pub answer_lines: (usize, usize),
}

#[derive(Clone, Debug, PartialEq)]
pub enum Expected {
    Table(Table),
    Error(String),
    /// Not written yet: `bless` adds it.
    Missing,
}

/// A result as text: columns with types, cells as formatted by Kusto.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Table {
    pub columns: Vec<(String, String)>,
    pub rows: Vec<Vec<String>>,
}

/// Result of running a case.
pub type Outcome = Result<Table, String>;

/// Why a file is not a valid case file.
#[derive(Debug, thiserror::Error)]
pub enum CaseError {
    #[error("cannot read `{0}`")]
    Read(PathBuf, #[source] std::io::Error),
    #[error("{file}:{line}: {what}")]
    Format { file: String, line: usize, what: &'static str },
}

impl Case {
    pub fn is_ours(&self) -> bool {
        self.from == "ours"
    }

    /// Whether `filter` (`strlen`, `strlen > refuses`) selects this case, case-insensitively.
    pub fn matches(&self, filter: &str) -> bool {
        self.name.to_lowercase().contains(&filter.to_lowercase())
    }

    /// `None` if the outcome is the expected one, otherwise the difference.
    pub fn judge(&self, outcome: &Outcome) -> Option<String> {
        match (&self.expected, outcome) {
            (Expected::Missing, _) => Some("the case has no answer yet; `make bless` writes it".to_owned()),
            (Expected::Error(want), Err(got)) if got.contains(want.as_str()) => None,
            (Expected::Error(want), Err(got)) => Some(format!("refused with\n  {got}\nexpected\n  {want}")),
            (Expected::Error(want), Ok(table)) => Some(format!("answered\n{}expected the refusal\n  {want}", table.to_markdown())),
            (Expected::Table(_), Err(got)) => Some(format!("refused with\n  {got}")),
            (Expected::Table(want), Ok(got)) if want == got => None,
            (Expected::Table(want), Ok(got)) => Some(format!("answered\n{}expected\n{}", got.to_markdown(), want.to_markdown())),
        }
    }
}

impl Table {
    /// A Markdown table with aligned columns; `|` and line ends in cells are escaped.
    pub fn to_markdown(&self) -> String {
        let header: Vec<String> = self.columns.iter().map(|(name, ty)| format!("{}: {ty}", escape(name))).collect();
        let rows: Vec<Vec<String>> = self.rows.iter().map(|row| row.iter().map(|cell| escape(cell)).collect()).collect();
        let widths: Vec<usize> = (0..header.len())
            .map(|i| rows.iter().map(|row| row[i].chars().count()).chain([header[i].chars().count(), 3]).max().unwrap_or(3))
            .collect();
        let mut text = String::new();
        let mut line = |cells: &[String]| {
            for (cell, width) in cells.iter().zip(&widths) {
                let _ = write!(text, "| {cell:width$} ");
            }
            text.push_str("|\n");
        };
        line(&header);
        line(&widths.iter().map(|width| "-".repeat(*width)).collect::<Vec<_>>());
        for row in &rows {
            line(row);
        }
        text
    }
}

fn escape(cell: &str) -> String {
    cell.replace('\\', "\\\\").replace('|', "\\|").replace('\n', "\\n").replace('\r', "\\r")
}

/// Cells of a Markdown table line, unescaped and trimmed.
fn cells(line: &str) -> Vec<String> {
    let mut cells = Vec::new();
    let mut cell = String::new();
    let mut chars = line.trim().trim_start_matches('|').chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('n') => cell.push('\n'),
                Some('r') => cell.push('\r'),
                Some(other) => cell.push(other),
                None => cell.push('\\'),
            },
            '|' => cells.push(std::mem::take(&mut cell).trim().to_owned()),
            _ => cell.push(c),
        }
    }
    cells
}

/// Parses the cases of one file, in order. `file` is for messages only.
pub fn parse(file: &str, text: &str) -> Result<Vec<Case>, CaseError> {
    let lines: Vec<&str> = text.lines().collect();
    let error = |line: usize, what| CaseError::Format { file: file.to_owned(), line: line + 1, what };
    let mut cases: Vec<Case> = Vec::new();
    let mut title = String::new();
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        if let Some(heading) = line.strip_prefix("# ") {
            title = heading.trim().to_owned();
        } else if let Some(heading) = line.strip_prefix("## ") {
            cases.push(Case {
                name: format!("{title} > {}", heading.trim()),
                from: String::new(),
                query: String::new(),
                tables: Vec::new(),
                expected: Expected::Missing,
                answer_lines: (0, 0),
            });
        } else if let Some(fence) = line.strip_prefix("```") {
            let start = at + 1;
            at = (start..lines.len()).find(|i| lines[*i].trim_end() == "```").ok_or_else(|| error(at, "this block has no end"))?;
            let body = lines[start..at].join("\n");
            let case = cases.last_mut().ok_or_else(|| error(start - 1, "a block before the first `## ` heading"))?;
            match fence.trim() {
                "kql" => {
                    if !case.query.is_empty() {
                        return Err(error(start - 1, "a second query under one heading"));
                    }
                    case.query = body;
                    case.answer_lines = (at + 1, at + 1);
                }
                "error" => {
                    case.expected = Expected::Error(body.trim().to_owned());
                    case.answer_lines = (start - 1, at + 1);
                }
                other => match other.strip_prefix("rows ") {
                    Some(name) => case.tables.push((name.trim().to_owned(), body)),
                    None => return Err(error(start - 1, "an unknown kind of block: `kql`, `error` or `rows Name`")),
                },
            }
        } else if let Some(from) = line.strip_prefix("from:") {
            cases.last_mut().ok_or_else(|| error(at, "`from:` before the first `## ` heading"))?.from = from.trim().to_owned();
        } else if line.starts_with('|')
            && let Some(case) = cases.last_mut().filter(|case| !case.query.is_empty())
        {
            let start = at;
            while at + 1 < lines.len() && lines[at + 1].starts_with('|') {
                at += 1;
            }
            let columns = cells(lines[start])
                .into_iter()
                .map(|cell| {
                    cell.rsplit_once(": ")
                        .map(|(name, ty)| (name.to_owned(), ty.to_owned()))
                        .ok_or_else(|| error(start, "a column needs its type: `name: type`"))
                })
                .collect::<Result<Vec<_>, _>>()?;
            let rows: Vec<Vec<String>> = lines[(start + 2).min(at + 1)..=at].iter().map(|line| cells(line)).collect();
            if rows.iter().any(|row| row.len() != columns.len()) {
                return Err(error(start, "a row of this table has another number of cells than its head"));
            }
            case.expected = Expected::Table(Table { columns, rows });
            case.answer_lines = (start, at + 1);
        }
        at += 1;
    }
    for case in &cases {
        if case.query.is_empty() || case.from.is_empty() {
            return Err(CaseError::Format {
                file: format!("{file} ({})", case.name),
                line: 0,
                what: "a case needs a query and a `from:` line",
            });
        }
    }
    Ok(cases)
}

/// Replaces the expected results of the given cases; those with an external source are left unchanged.
pub fn bless(text: &str, answers: &[(&Case, &Outcome)]) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for (case, outcome) in answers.iter().rev() {
        if !case.is_ours() && case.expected != Expected::Missing {
            continue;
        }
        let block = match outcome {
            Ok(table) => table.to_markdown(),
            Err(message) => format!("```error\n{message}\n```\n"),
        };
        lines.splice(case.answer_lines.0..case.answer_lines.1, block.lines().map(str::to_owned));
    }
    lines.join("\n") + "\n"
}

/// All `*.md` files below `folder`, sorted.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>, CaseError> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).map_err(|cause| CaseError::Read(folder.clone(), cause))?;
        for entry in entries {
            let path = entry.map_err(|cause| CaseError::Read(folder.clone(), cause))?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# strlen\n\n## Counts\nfrom: ours\n\n```kql\nprint a = strlen(\"x|y\"), b = \"p|q\"\n```\n| a: long | b: string |\n|---|---|\n| 3 | p\\|q |\n\n## Refuses\nfrom: ours\n```kql\nprint strlen()\n```\n```error\nKQL\n```\n";

    #[test]
    fn a_file_reads_and_blesses_to_itself() {
        let cases = parse("strlen.md", TEXT).unwrap();
        assert_eq!(cases.len(), 2);
        assert_eq!(cases[0].name, "strlen > Counts");
        let answer =
            Table { columns: vec![("a".into(), "long".into()), ("b".into(), "string".into())], rows: vec![vec!["3".into(), "p|q".into()]] };
        assert_eq!(cases[0].judge(&Ok(answer.clone())), None);
        assert!(cases[0].judge(&Err("no".into())).is_some());
        assert_eq!(cases[1].judge(&Err("KQL0007: no".into())), None);
        let blessed = bless(TEXT, &[(&cases[0], &Ok(answer)), (&cases[1], &Err("KQL".into()))]);
        assert_eq!(
            parse("strlen.md", &blessed).unwrap().iter().map(|c| c.expected.clone()).collect::<Vec<_>>(),
            cases.iter().map(|c| c.expected.clone()).collect::<Vec<_>>()
        );
    }

    #[test]
    fn an_answer_from_outside_is_never_rewritten() {
        let text = TEXT.replace("from: ours", "from: a public page");
        let cases = parse("strlen.md", &text).unwrap();
        assert_eq!(bless(&text, &[(&cases[0], &Err("changed".into()))]), text);
    }

    #[test]
    fn a_broken_file_says_where() {
        let error = parse("x.md", "# x\n\n## y\nfrom: ours\n```kql\nprint 1\n").unwrap_err();
        assert_eq!(error.to_string(), "x.md:5: this block has no end");
    }
}
