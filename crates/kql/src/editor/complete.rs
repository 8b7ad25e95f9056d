//! Completion. The parser determines the kinds of items expected at a position, the binder the visible columns and variables, and the
//! language tables provide the rest.

use std::collections::HashSet;

use model::{Timestamp, Type};

use super::context::{self, Before};
use super::names::{Names, SymbolKind};
use super::{boundary, options, reference, written};
use crate::bind::casts;
use crate::bind::forms::FORMS;
use crate::bind::trace::{Columns, Meaning, Step, Trace};
use crate::bind::{Schema, bind_traced};
use crate::functions::{self, Arg};
use crate::ops::plugins::PLUGINS;
use crate::syntax::ast::Place;
use crate::syntax::charts::CHARTS;
use crate::syntax::lexer::TokenKind;
use crate::syntax::parser::{SOURCE_OPERATORS, tabular_operators, text_operators};
use crate::syntax::{Want, parse_wanting};
use crate::{aggregates, windows};

/// Completion items at a position.
#[derive(Clone, Debug, Default)]
pub struct Completions {
    /// The span that an item replaces: the partial word before the position.
    pub replaces: Place,
    /// Best match first.
    pub items: Vec<Item>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// The displayed text.
    pub label: String,
    pub kind: ItemKind,
    /// A type or a signature.
    pub detail: String,
    /// Markdown; may be empty.
    pub documentation: String,
    /// The text to insert.
    pub insert: String,
    /// True if arguments in parentheses follow.
    pub call: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemKind {
    Column,
    Variable,
    Table,
    Function,
    Aggregate,
    Window,
    Plugin,
    /// A tabular operator, after `|`.
    Operator,
    Keyword,
    /// An option name, before `=`.
    Option,
    Value,
    Type,
}

/// Maximum number of tables offered: some workspaces have thousands.
const TABLES: usize = 2000;

/// Completions at `offset`.
pub fn complete(text: &str, offset: usize, schema: &dyn Schema, now: Timestamp) -> Completions {
    let offset = boundary(text, offset);
    let prefix = &text[..offset];
    if context::is_opaque(prefix) {
        return Completions { replaces: offset..offset, items: Vec::new() };
    }
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let word = prefix.trim_end_matches(is_word);
    // Operator names contain hyphens, negated ones start with `!`, sides of a join with `$`.
    let hyphened = prefix.trim_end_matches(|c| is_word(c) || c == '-');
    let mut start = match word.chars().next_back() {
        Some('!' | '$') => word.len() - 1,
        _ => word.len(),
    };
    let mut wants = parse_wanting(&prefix[..start]).1;
    if hyphened.len() < start && prefix[hyphened.len()..].starts_with(|c: char| c.is_ascii_alphabetic()) {
        let (_, others) = parse_wanting(&prefix[..hyphened.len()]);
        if others.contains(&Want::Operator) {
            (start, wants) = (hyphened.len(), others);
        }
    }
    let typed = &prefix[start..];
    if typed.starts_with(|c: char| c.is_ascii_digit()) {
        return Completions { replaces: start..offset, items: Vec::new() };
    }
    let head = &prefix[..start];
    let (parsed, _) = parse_wanting(head);
    let (_, trace) = bind_traced(&parsed, schema, now);
    let before = context::before(head);
    let end = before.tokens.last().map_or(0, |token| token.end);
    let names = Names::of(&parsed.script, end);
    let mut offered = Offered { head, schema, trace: &trace, before: &before, names: &names, items: Vec::new() };
    offered.collect(&wants);
    Completions { replaces: start..offset, items: ranked(offered.items, typed) }
}

/// Items starting with the typed text first, then those containing it; each group in its original order.
fn ranked(items: Vec<(u32, Item)>, typed: &str) -> Vec<Item> {
    let typed = typed.to_ascii_lowercase();
    let mut kept: Vec<(u32, u32, Item)> = items
        .into_iter()
        .filter_map(|(rank, item)| {
            let label = item.label.to_ascii_lowercase();
            let fit = if label.starts_with(&typed) {
                0
            } else if label.contains(&typed) {
                1
            } else {
                return None;
            };
            Some((fit, rank, item))
        })
        .collect();
    kept.sort_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)).then_with(|| a.2.label.to_ascii_lowercase().cmp(&b.2.label.to_ascii_lowercase())));
    let mut items: Vec<Item> = Vec::with_capacity(kept.len());
    for (_, _, item) in kept {
        if !items.iter().any(|known| known.label == item.label && (known.kind == item.kind || item.kind == ItemKind::Keyword)) {
            items.push(item);
        }
    }
    items
}

struct Offered<'a> {
    /// The text before the partial word.
    head: &'a str,
    schema: &'a dyn Schema,
    trace: &'a Trace,
    before: &'a Before,
    names: &'a Names,
    items: Vec<(u32, Item)>,
}

impl<'a> Offered<'a> {
    fn add(&mut self, rank: u32, label: &str, kind: ItemKind, detail: impl Into<String>, documentation: impl Into<String>) {
        let item = Item {
            label: label.to_owned(),
            kind,
            detail: detail.into(),
            documentation: documentation.into(),
            insert: label.to_owned(),
            call: false,
        };
        self.items.push((rank, item));
    }

    fn add_call(&mut self, rank: u32, label: &str, kind: ItemKind, entry: reference::Entry) {
        let (detail, documentation) = reference::card(entry);
        self.add(rank, label, kind, detail, documentation);
        self.last_is_call();
    }

    fn last_is_call(&mut self) {
        if let Some((_, item)) = self.items.last_mut() {
            item.call = true;
        }
    }

    fn collect(&mut self, wants: &[Want]) {
        if self.member() {
            return;
        }
        let step = self.step();
        let has = |want: Want| wants.contains(&want);
        for want in wants {
            match want {
                Want::Word(word) => self.add(20, word, ItemKind::Keyword, "keyword", ""),
                Want::Option(option) => {
                    let operator = self.keyword();
                    let values = options::values(operator, option);
                    self.add(15, option, ItemKind::Option, values.join(", "), "");
                    if let Some((_, item)) = self.items.last_mut() {
                        item.insert = format!("{option}=");
                    }
                }
                Want::Value { operator, option } => {
                    for value in options::values(operator, option) {
                        self.add(0, value, ItemKind::Value, format!("{option} of {operator}"), "");
                    }
                }
                Want::Statement => {
                    for word in ["let", "set", "declare"] {
                        self.add(30, word, ItemKind::Keyword, "statement", "");
                    }
                }
                Want::Query => {
                    self.tables(if step.is_some() { 50 } else { 0 });
                    for name in SOURCE_OPERATORS {
                        self.operator(10, name);
                    }
                }
                Want::Table => self.tables(0),
                Want::Operator => {
                    for known in tabular_operators().map(|operator| operator.name) {
                        self.operator(0, known);
                    }
                }
                Want::Expression if has(Want::Table) && !has(Want::Query) => {}
                Want::Expression if has(Want::Statement) => {}
                Want::Expression => self.expression(step, wants),
                Want::Aggregate => {
                    for aggregate in aggregates::all().filter(|aggregate| aggregate.name != aggregates::RECORD) {
                        self.add_call(5, aggregate.name, ItemKind::Aggregate, reference::Entry::Aggregate(aggregate));
                    }
                }
                Want::Column => self.columns(step.map(|step| &step.input), 0),
                Want::Binary => self.binary(),
                Want::Type => {
                    for ty in Type::ALL {
                        self.add(0, ty.name(), ItemKind::Type, "type", "");
                    }
                }
                Want::Plugin => {
                    for plugin in PLUGINS.iter().copied() {
                        self.add_call(0, plugin.name, ItemKind::Plugin, reference::Entry::Plugin(plugin));
                    }
                }
                Want::Chart => {
                    for (name, summary) in CHARTS {
                        self.add(0, name, ItemKind::Value, *summary, "");
                    }
                }
            }
        }
    }

    fn operator_start(&self) -> Option<usize> {
        self.before.operator_of(|start| self.trace.steps.contains_key(&start))
    }

    /// The trace of the operator at the position.
    fn step(&self) -> Option<&'a Step> {
        let trace: &'a Trace = self.trace;
        self.operator_start().and_then(|start| trace.steps.get(&start))
    }

    /// The name of the operator at the position.
    fn keyword(&self) -> &'static str {
        let at = self.operator_start().unwrap_or_else(|| self.before.tokens.first().map_or(0, |token| token.start));
        let rest = &self.head[at.min(self.head.len())..];
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_')).unwrap_or(rest.len());
        reference::operator(&rest[..end]).map_or("", |operator| operator.name)
    }

    fn operator(&mut self, rank: u32, name: &str) {
        if let Some(operator) = reference::operator(name) {
            let (detail, documentation) = reference::card(reference::Entry::Operator(operator));
            self.add(rank, operator.name, ItemKind::Operator, detail, documentation);
        }
    }

    /// After `$left.`, `$right.` or the name of a `scan` step: columns; after any other `.`: nothing. Returns true if a member is expected.
    fn member(&mut self) -> bool {
        let [.., object, dot] = &self.before.tokens[..] else { return false };
        if dot.kind != TokenKind::Sign(".") || dot.end != self.head.len() || object.kind != TokenKind::Word {
            return matches!(self.before.tokens.last(), Some(dot) if dot.kind == TokenKind::Sign(".") && dot.end == self.head.len());
        }
        let step = self.step();
        match (&self.head[object.start..object.end], step) {
            ("$left", Some(step)) => self.columns(Some(&step.input), 0),
            ("$right", Some(step)) => self.columns(step.right.as_ref(), 0),
            (_, Some(step)) if self.keyword() == "scan" => self.columns(Some(&step.output), 0),
            _ => {}
        }
        true
    }

    fn columns(&mut self, columns: Option<&Columns>, rank: u32) {
        for column in columns.into_iter().flat_map(|columns| &columns.columns) {
            let ty = column.ty.map_or("unknown", Type::name);
            self.add(rank, &column.name, ItemKind::Column, ty, "");
            if let Some((_, item)) = self.items.last_mut() {
                item.insert = written(&column.name);
            }
        }
    }

    fn table(&mut self, rank: u32, name: &str, detail: &str) {
        self.add(rank, name, ItemKind::Table, detail, "");
        if let Some((_, item)) = self.items.last_mut() {
            item.insert = written(&item.label);
        }
    }

    fn tables(&mut self, rank: u32) {
        self.variables(rank, true);
        let listed = self.schema.tables();
        for name in listed.iter().take(TABLES) {
            self.table(rank + 1, name, "table");
        }
        let schema = self.schema;
        let listed: HashSet<&str> = listed.iter().map(String::as_str).collect();
        schema.each_unlisted_table(&mut |name| {
            if !listed.contains(name) {
                self.table(rank + 2, name, "table without rows");
            }
        });
        for name in self.schema.functions() {
            self.add(rank + 2, &name, ItemKind::Function, "function of the workspace", "");
            self.last_is_call();
        }
        for form in FORMS.iter().filter(|form| form.tabular) {
            self.add_call(rank + 3, form.name, ItemKind::Function, reference::Entry::Form(form));
        }
    }

    /// Visible `let`s and parameters: tables, or values and scalar functions.
    fn variables(&mut self, rank: u32, tables: bool) {
        for index in self.names.in_sight.iter().rev().copied() {
            let Some(definition) = self.names.definitions.get(index) else { continue };
            let meaning = self.trace.definitions.get(&definition.place.start);
            let name = definition.name.clone();
            let (tabular, kind, detail) = match meaning {
                Some(Meaning::Table(columns)) => (true, ItemKind::Table, described(columns)),
                Some(Meaning::Function { parameters, tabular }) => (*tabular, ItemKind::Function, format!("{name}{parameters}")),
                Some(Meaning::Scalar(ty)) => (false, ItemKind::Variable, ty.map_or("unknown", Type::name).to_owned()),
                None => (matches!(definition.kind, SymbolKind::Table | SymbolKind::As), ItemKind::Variable, String::new()),
            };
            if tabular == tables {
                self.add(rank, &name, kind, detail, "");
                if kind == ItemKind::Function {
                    self.last_is_call();
                }
            }
        }
    }

    fn expression(&mut self, step: Option<&Step>, wants: &[Want]) {
        if let Some(right) = step.and_then(|step| step.right.as_ref()) {
            // A join key: columns of both sides come first.
            let left = step.map(|step| step.input.clone()).unwrap_or_default();
            let both = left.columns.iter().filter(|column| right.columns.iter().any(|other| other.name == column.name)).cloned().collect();
            self.columns(Some(&Columns { columns: both, open: false }), 0);
            self.add(1, "$left", ItemKind::Keyword, "the table before the join", "");
            self.add(1, "$right", ItemKind::Keyword, "the table in the join", "");
            return;
        }
        self.columns(step.map(|step| &step.input), 0);
        self.variables(2, false);
        for function in reference::scalar_functions() {
            self.add_call(10, function.name, ItemKind::Function, reference::Entry::Function(function));
            for alias in function.aliases {
                self.add_call(12, alias, ItemKind::Function, reference::Entry::Function(function));
            }
        }
        for form in FORMS.iter().filter(|form| !form.tabular) {
            self.add_call(10, form.name, ItemKind::Function, reference::Entry::Form(form));
        }
        if step.is_some_and(|step| step.serialized) && !wants.contains(&Want::Aggregate) {
            for window in windows::all() {
                self.add_call(8, window.name, ItemKind::Window, reference::Entry::Window(window));
            }
        }
        for literal in ["true", "false"] {
            self.add(25, literal, ItemKind::Keyword, "bool", "");
        }
    }

    /// Binary operators that accept the preceding operand.
    fn binary(&mut self) {
        let Some(end) = self.before.tokens.last().map(|token| token.end) else { return };
        // All expressions that end here: for `a == 1`, the number and the comparison.
        let types: Vec<Option<Type>> = self.trace.types.iter().filter(|((_, to), _)| *to == end).map(|(_, ty)| *ty).collect();
        for operator in text_operators() {
            if types.iter().any(|ty| ty.is_none_or(|ty| takes(operator, ty))) {
                let rank = if matches!(operator, "and" | "or") != types.contains(&Some(Type::Bool)) { 5 } else { 2 };
                let entry = functions::find(operator).map(reference::Entry::Function);
                let summary = entry.map_or("", |entry| entry.summary());
                self.add(rank, operator, ItemKind::Keyword, summary, entry.map_or(String::new(), |entry| entry.markdown()));
            }
        }
    }
}

/// True if `ty operator …` is meaningful.
fn takes(operator: &str, ty: Type) -> bool {
    let Some(function) = functions::find(operator) else { return false };
    let types: &[Type] = match operator {
        "between" | "!between" => &[ty, ty, ty],
        "has_any" | "has_all" => &[ty, Type::Dynamic],
        _ => &[ty, ty],
    };
    let args: Vec<Arg> = types.iter().map(|ty| Arg { ty: *ty, constant: None }).collect();
    let textual = !matches!(operator, "in" | "!in" | "and" | "or" | "between" | "!between");
    casts::resolve(&function.signature, &args).is_ok() && (!textual || matches!(ty, Type::String | Type::Dynamic))
}

/// The columns of a table on one line.
fn described(columns: &Columns) -> String {
    const SHOWN: usize = 6;
    let names: Vec<&str> = columns.columns.iter().take(SHOWN).map(|column| column.name.as_str()).collect();
    let more = if columns.columns.len() > SHOWN || columns.open { ", …" } else { "" };
    format!("table ({}{more})", names.join(", "))
}
