//! Hover: a column and its type, a table and its columns, a `let`, a function, an operator, a type.

use std::fmt::Write;

use model::{Timestamp, Type};

use super::names::{Resolved, SymbolKind, Target};
use super::{boundary, context, reference};
use crate::bind::Schema;
use crate::bind::trace::Meaning;
use crate::functions;
use crate::ops::plugins;
use crate::syntax::ast::Place;
use crate::syntax::charts::CHARTS;
use crate::syntax::lexer::TokenKind;

/// Hover information.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hover {
    pub place: Place,
    pub markdown: String,
}

/// Maximum number of table columns shown.
const SHOWN: usize = 60;

/// Hover information at `offset`, if any.
pub fn hover(text: &str, offset: usize, schema: &dyn Schema, now: Timestamp) -> Option<Hover> {
    let offset = boundary(text, offset);
    let token = context::token_at(text, offset)?;
    if let Some((place, markdown)) = operator_at(text, token.start) {
        return Some(Hover { place, markdown });
    }
    let resolved = Resolved::of(text, schema, now);
    if let Some((name, target)) = resolved.at(offset) {
        let place = name.place.clone();
        let column = resolved.trace.columns.get(&place.start).and_then(|columns| columns.last());
        let markdown = match (&target, column) {
            (_, Some(column)) => Some(code(&format!("{}: {}", name.text, column.ty.map_or("unknown", Type::name)), "column")),
            (Some(Target::Variable(index)), None) => resolved.names.definitions.get(*index).map(|definition| {
                let what = match definition.kind {
                    SymbolKind::Parameter => "parameter",
                    SymbolKind::QueryParameter => "parameter of the query",
                    SymbolKind::As => "table named by `as`",
                    _ => "let",
                };
                match resolved.trace.definitions.get(&definition.place.start) {
                    Some(Meaning::Scalar(ty)) => code(&format!("{}: {}", name.text, ty.map_or("unknown", Type::name)), what),
                    Some(Meaning::Function { parameters, tabular }) => code(
                        &format!("{}{parameters}", name.text),
                        if *tabular { "function that gives a table" } else { "function that gives a value" },
                    ),
                    Some(Meaning::Table(columns)) => {
                        let known = columns.columns.iter().map(|column| (column.name.as_str(), column.ty));
                        table(&name.text, what, known, columns.open)
                    }
                    None => code(&name.text, what),
                }
            }),
            (Some(Target::Column(_)), None) => {
                let made = resolved.names.made.iter().find(|made| made.name.place == place)?;
                let out = made.by.and_then(|by| resolved.trace.steps.get(&by)).map(|step| &step.output);
                let into = made.next.and_then(|next| resolved.trace.steps.get(&next)).map(|step| &step.input);
                let mut columns = out.into_iter().chain(into).flat_map(|columns| &columns.columns);
                let ty = columns.find(|column| column.name == name.text).and_then(|column| column.ty);
                Some(code(&format!("{}: {}", name.text, ty.map_or("unknown", Type::name)), "column"))
            }
            (None, None) => outside(&name.text, schema),
        };
        if let Some(markdown) = markdown {
            return Some(Hover { place, markdown });
        }
    }
    let word = &text[token.start..token.end];
    let place = token.start..token.end;
    if token.kind != TokenKind::Word && !matches!(token.kind, TokenKind::Sign(_)) {
        // A literal: its type.
        let ty = resolved.trace.types.get(&(token.start, token.end)).copied().flatten()?;
        return Some(Hover { place, markdown: code(&format!("{}", ty), "literal") });
    }
    let name = if word == "matches" || word == "regex" { "matches regex" } else { word };
    let entry = functions::find(name)
        .map(reference::Entry::Function)
        .or_else(|| reference::callable(name))
        .or_else(|| plugins::find(name).map(reference::Entry::Plugin));
    if let Some(entry) = entry {
        return Some(Hover { place, markdown: entry.markdown() });
    }
    if let Some((name, summary)) = CHARTS.iter().find(|(name, _)| *name == word) {
        return Some(Hover { place, markdown: format!("`{name}` — {summary}.") });
    }
    Type::parse(word).filter(|ty| ty.name() == word).map(|ty| Hover { place, markdown: code(ty.name(), "type") })
}

/// Describes a name not defined in the text: a table, a stored function, a built-in function.
fn outside(name: &str, schema: &dyn Schema) -> Option<String> {
    if let Some(columns) = schema.table(name) {
        return Some(table(name, "table", columns.iter().map(|column| (column.name.as_str(), Some(column.ty))), false));
    }
    if let Some(stored) = schema.function(name) {
        return Some(code(&format!("{}({})", stored.name, stored.parameters), "function of the workspace"));
    }
    reference::callable(name).map(reference::Entry::markdown)
}

/// The tabular operator whose keyword is at `start`, possibly of several words.
fn operator_at(text: &str, start: usize) -> Option<(Place, String)> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let from = text[..start].trim_end_matches(is_word).len();
    let to = start + text[start..].find(|c: char| !is_word(c)).unwrap_or(text.len() - start);
    let before = text[..from].trim_end();
    // After a bar, or at the start of the text or of brackets.
    if !(before.is_empty() || before.ends_with(['|', '(', ';', '{', '='])) {
        return None;
    }
    let operator = reference::operator(&text[from..to])?;
    // A function or a column of the same name.
    if text[to..].trim_start().starts_with(['(', '='])
        && !matches!(operator.name, "union" | "search" | "find" | "where" | "project" | "print")
    {
        return None;
    }
    Some((from..to, reference::Entry::Operator(operator).markdown()))
}

fn code(line: &str, what: &str) -> String {
    format!("```kql\n{line}\n```\n{what}")
}

fn table<'c>(name: &str, what: &str, columns: impl Iterator<Item = (&'c str, Option<Type>)>, open: bool) -> String {
    let mut text = format!("```kql\n{name}\n```\n{what}\n\n| column | type |\n|---|---|\n");
    let mut rest = 0;
    for (index, (column, ty)) in columns.enumerate() {
        if index < SHOWN {
            let _ = writeln!(text, "| {} | {} |", column.replace('|', "\\|"), ty.map_or("unknown", Type::name));
        } else {
            rest += 1;
        }
    }
    if rest > 0 {
        let _ = writeln!(text, "\n… and {rest} more");
    }
    if open {
        text.push_str("\nMore columns are known only when it runs.\n");
    }
    text
}
