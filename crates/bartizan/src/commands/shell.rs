//! `bartizan shell` — an interactive shell with line editing, history, completion and highlighting.
//!
//! Completion, highlighting and detection of complete input come from the `kql` crate. A query may span lines: input continues while a
//! bracket or a string is open, after `|`, and while there are only `let`s; an empty line submits it as it is. If standard input is not a
//! terminal, lines are read from it, so that scripts can be piped in.

mod line;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::Context;
use clap::ValueEnum;
use engine::Options;
use kql::bind::Schema;
use kql::check::TableSchemas;
use kql::editor::{self, Paint};
use kql::syntax::ast::StatementKind;
use kql::syntax::lexer::{TokenKind, lex};
use model::{Query, Timestamp};

use line::{Help, History, Lines, Read};

use super::query::{Format, Opened, Reads, Shown, explain, print};
use super::{Failure, Outcome};

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  bartizan shell                                  the workspace of this user\n  bartizan shell --file signins.csv --file 'logs/*.parquet'\n  bartizan shell --format chart --file 'Logs=logs/*.ndjson.gz'\n\nIn the shell: .tables, .schema T, .format table|json|csv|ndjson|chart, .help, .exit; Tab completes."
)]
pub struct Args {
    #[command(flatten)]
    pub reads: Reads,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
}

const HELP: &str = "\
.tables            the tables there are
.schema T          the columns of a table
.format F          how answers are printed: table, json, csv, ndjson or chart
.help              this
.exit              leave (so does Ctrl-D)

A question ends with its line; it goes on while a bracket is open, behind `|`, and while there are only `let`s.
An empty line sends it as it is. Tab completes, Ctrl-R looks in the history, Ctrl-C drops the line.";

pub fn run(args: Args) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
    let shown = Shown::start();
    let opened = runtime.block_on(args.reads.sources().open(Options::default(), shown.progress()))?;
    drop(shown);
    let color = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let help = Kql { tables: opened.tables.clone(), color };
    let path = history_file();
    let mut history = path.as_deref().map(History::load).unwrap_or_default();
    let mut lines = Lines::new();
    if lines.is_terminal() {
        println!("bartizan {} · .help tells what there is", env!("CARGO_PKG_VERSION"));
    }
    let mut format = args.format;
    let mut failed = false;
    loop {
        let text = match lines.read(&history, &help)? {
            Read::Text(text) => text,
            Read::Dropped => continue,
            Read::End => break,
        };
        let text = text.trim();
        if text.is_empty() {
            continue;
        }
        history.add(text);
        match text.strip_prefix('.') {
            Some(command) => {
                if !meta(command, &opened, &mut format) {
                    break;
                }
            }
            None => failed |= !ask(&runtime, &opened, text, format)?,
        }
    }
    // Failing to save the history is not an error.
    if let Some(path) = &path
        && let Err(error) = history.save(path)
    {
        eprintln!("warning: the history cannot be kept in `{}`: {error}", path.display());
    }
    // For scripts; a terminal's user has seen it.
    if failed && !lines.is_terminal() { Err(Failure::Wrong(String::new())) } else { Ok(()) }
}

/// Runs a query and prints the result; returns false on error.
fn ask(runtime: &tokio::runtime::Runtime, opened: &Opened, text: &str, format: Format) -> anyhow::Result<bool> {
    let answer = runtime.block_on(async {
        let shown = Shown::start();
        let query = Query::new(text);
        let cancel = query.cancel.clone();
        let answering = opened.engine.query(query);
        tokio::pin!(answering);
        let answer = tokio::select! {
            answer = &mut answering => answer,
            _ = tokio::signal::ctrl_c() => {
                cancel.cancel();
                answering.await
            }
        };
        drop(shown);
        answer
    });
    match answer {
        Ok(answer) => {
            print(&answer, format).context("cannot write the answer")?;
            if let Some(why) = &answer.partial {
                eprintln!("warning: rows are missing: {why}");
            }
            Ok(true)
        }
        Err(why) => {
            eprintln!("{}", explain(text, &why));
            Ok(false)
        }
    }
}

/// Runs a command that starts with a dot; returns false to exit.
fn meta(command: &str, opened: &Opened, format: &mut Format) -> bool {
    let (name, argument) = command.split_once(char::is_whitespace).map_or((command, ""), |(name, rest)| (name, rest.trim()));
    match name {
        "exit" | "quit" => return false,
        "help" => println!("{HELP}"),
        "tables" => {
            let tables = opened.tables.tables();
            if tables.is_empty() {
                println!("there are no tables here");
            }
            tables.iter().for_each(|table| println!("{table}"));
        }
        "schema" => match opened.tables.table(argument) {
            Some(columns) => {
                let width = columns.iter().map(|column| column.name.chars().count()).max().unwrap_or(0);
                columns.iter().for_each(|column| println!("{:width$}  {}", column.name, column.ty));
            }
            None => eprintln!("there is no table `{argument}`: `.tables` lists them"),
        },
        "format" => match Format::from_str(argument, true) {
            Ok(wanted) => *format = wanted,
            Err(_) => eprintln!("there is no format `{argument}`: table, json, csv, ndjson or chart"),
        },
        _ => eprintln!("there is no command `.{name}`: `.help` lists them"),
    }
    true
}

/// `$XDG_STATE_HOME/bartizan/history`, or the same under `~/.local/state` (XDG base directories).
fn history_file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let state = state.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state")))?;
    Some(state.join("bartizan/history"))
}

/// Callbacks of the line editor.
struct Kql {
    tables: TableSchemas,
    color: bool,
}

impl Help for Kql {
    fn is_whole(&self, text: &str) -> bool {
        is_whole(text)
    }

    fn candidates(&self, text: &str, at: usize) -> (usize, Vec<(String, String)>) {
        candidates(text, at, &self.tables)
    }

    fn painted(&self, text: &str) -> String {
        if self.color && !text.starts_with('.') { painted(text) } else { text.to_owned() }
    }
}

/// Maximum items listed; typing more narrows the list.
const LISTED: usize = 100;

fn candidates(line: &str, pos: usize, tables: &TableSchemas) -> (usize, Vec<(String, String)>) {
    let pair = |text: &str, display: String| (display, text.to_owned());
    if line.trim_start().starts_with('.') {
        let words = [".tables", ".schema ", ".format ", ".help", ".exit"];
        let start = line.len() - line.trim_start().len();
        let typed = &line[start..pos.max(start)];
        if let Some(typed) = typed.strip_prefix(".schema ") {
            let found = tables.tables().into_iter().filter(|table| table.starts_with(typed)).take(LISTED);
            return (start + ".schema ".len(), found.map(|table| pair(&table, table.clone())).collect());
        }
        return (start, words.iter().filter(|word| word.starts_with(typed)).map(|word| pair(word, (*word).trim().to_owned())).collect());
    }
    let found = editor::complete(line, pos, tables, Timestamp::from_system(SystemTime::now()));
    let typed = line[found.replaces.clone()].to_ascii_lowercase();
    // The list editor inserts the common prefix of all candidates, so they must start with what was typed.
    let fits = |item: &&editor::Item| item.insert.to_ascii_lowercase().starts_with(&typed);
    let show = |item: &editor::Item| {
        let text = if item.call { format!("{}(", item.insert) } else { item.insert.clone() };
        let detail: String = item.detail.chars().take(60).collect();
        pair(&text, if detail.is_empty() { item.label.clone() } else { format!("{}  ({detail})", item.label) })
    };
    (found.replaces.start, found.items.iter().filter(fits).take(LISTED).map(show).collect())
}

fn painted(line: &str) -> String {
    let mut text = String::with_capacity(line.len() * 2);
    let mut at = 0;
    for (place, paint) in editor::highlight(line) {
        let code = match paint {
            Paint::Comment => "90",
            Paint::Text => "32",
            Paint::Number => "33",
            Paint::Keyword => "1;34",
            Paint::Function => "36",
            Paint::Wrong => "31",
            Paint::Sign => continue,
        };
        text.push_str(&line[at..place.start]);
        text.push_str(&format!("\x1b[{code}m{}\x1b[0m", &line[place.clone()]));
        at = place.end;
    }
    text.push_str(&line[at..]);
    text
}

/// Whether Enter submits the text.
fn is_whole(text: &str) -> bool {
    if text.trim_start().starts_with('.') || text.trim().is_empty() || text.ends_with("\n\n") || text.ends_with('\n') {
        return true;
    }
    let (tokens, _) = lex(text);
    let mut open = 0i64;
    let mut last = None;
    for token in tokens.iter().filter(|token| token.kind != TokenKind::End) {
        match token.kind {
            TokenKind::Sign("(" | "[" | "{") => open += 1,
            TokenKind::Sign(")" | "]" | "}") => open -= 1,
            _ => {}
        }
        last = Some(token);
    }
    // A multi-line string without a closing fence extends to the end.
    let fence = last.is_some_and(|token| {
        let text = &text[token.start..token.end];
        token.kind == TokenKind::String && (text.starts_with("```") && (text.len() < 6 || !text.ends_with("```")))
    });
    let goes_on = last.is_some_and(|token| matches!(token.kind, TokenKind::Sign("|" | "," | "=")));
    if open > 0 || goes_on || fence {
        return false;
    }
    // `let`s alone are not a query.
    let parsed = kql::syntax::parse(text);
    let lets = parsed.script.statements.last().is_some_and(|statement| !matches!(statement.kind, StatementKind::Query(_)));
    !(lets && parsed.diagnostics.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_go_on_until_they_are_whole() {
        for (text, whole) in [
            ("T | take 1", true),
            ("T |", false),
            ("T | where x in (1,", false),
            ("T | where x in (1)", true),
            ("let a = 1;", false),
            ("let a = 1; print a", true),
            ("T |\n", true),
            ("print ```a", false),
            ("print ```a```", true),
            (".tables", true),
            ("", true),
        ] {
            assert_eq!(is_whole(text), whole, "{text:?}");
        }
    }

    #[test]
    fn commands_and_columns_are_completed() {
        let tables: TableSchemas = serde_json::from_str(r#"{"Logs": [["Level", "string"]], "Other": []}"#).unwrap();
        let replacements = |line: &str| {
            let (start, pairs) = candidates(line, line.len(), &tables);
            (start, pairs.into_iter().map(|pair| pair.1).collect::<Vec<_>>())
        };
        assert_eq!(replacements(".ta"), (0, vec![".tables".to_owned()]));
        assert_eq!(replacements(".schema L"), (8, vec!["Logs".to_owned()]));
        assert_eq!(replacements("Logs | where Lev"), (13, vec!["Level".to_owned()]));
        assert_eq!(replacements("Logs | where strle").1, ["strlen("]);
    }

    #[test]
    fn colours_change_nothing_but_the_colour() {
        let line = "T | where a == 'x' // why";
        let painted = painted(line);
        assert!(painted.contains("\x1b["));
        assert_eq!(console::strip_ansi_codes(&painted), line);
    }
}
