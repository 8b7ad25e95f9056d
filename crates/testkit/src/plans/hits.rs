//! Which parts of the language a query uses: operators as written, functions as bound.

use std::collections::BTreeSet;

use kql::ops::plugins::PLUGINS;
use kql::plan::{Expr, ExprKind, Plan, Rel, RelOp};
use kql::syntax::lexer::{TokenKind, lex};
use kql::syntax::parser::{SOURCE_OPERATORS, tabular_operators};
use kql::{aggregates, functions, windows};

use super::templates::is_random;

/// A table of the language.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    Operator,
    Plugin,
    Aggregate,
    Window,
    Function,
}

/// An entry of a table.
pub type Used = (Part, &'static str);

/// All deterministic parts that queries can use.
pub fn all_parts() -> Vec<Used> {
    let operators = tabular_operators().map(|operator| operator.name).chain(SOURCE_OPERATORS.iter().copied());
    let operators: BTreeSet<&str> = operators.collect();
    let mut all: Vec<Used> = operators.into_iter().map(|name| (Part::Operator, name)).collect();
    all.extend(PLUGINS.iter().map(|plugin| (Part::Plugin, plugin.name)));
    all.extend(aggregates::all().map(|function| (Part::Aggregate, function.name)));
    all.extend(windows::all().map(|function| (Part::Window, function.name)));
    all.extend(functions::all().filter(|function| !is_random(function.name)).map(|function| (Part::Function, function.name)));
    all
}

/// Whether the language defines the order of the result.
pub fn is_ordered(plan: &Plan) -> bool {
    !plan.root.order.is_empty() || plan.root.serialized
}

/// Parts used by `text` with `plan`.
pub fn used(text: &str, plan: &Plan) -> Vec<Used> {
    let mut found: BTreeSet<Used> = used_by_text(text).into_iter().collect();
    let relations = plan.subqueries.iter().map(|subquery| &subquery.rel).chain([&plan.root]).chain(plan.more.iter().map(|(_, rel)| rel));
    let mut waiting: Vec<&Rel> = relations.collect();
    while let Some(rel) = waiting.pop() {
        if let RelOp::Shared { input, .. } = &rel.op {
            waiting.push(input);
        }
        waiting.extend(rel.inputs());
        let mut note = |expr: &Expr| {
            expr.walk(&mut |part| {
                match &part.kind {
                    // A call with constant arguments is one value for all rows.
                    ExprKind::Call { function, args } if args.is_empty() || !part.columns().is_empty() => {
                        found.insert((Part::Function, function.name));
                    }
                    ExprKind::Window { function, .. } => {
                        found.insert((Part::Window, function.name));
                    }
                    _ => {}
                }
            });
        };
        match &rel.op {
            RelOp::Filter { predicate, .. } => note(predicate),
            RelOp::Project { exprs, .. } | RelOp::Window { exprs, .. } => exprs.iter().for_each(note),
            RelOp::Sort { keys, .. } => keys.iter().for_each(|key| note(&key.expr)),
            RelOp::Join { on, .. } => on.iter().for_each(|(left, right)| {
                note(left);
                note(right);
            }),
            RelOp::Union { columns, .. } => columns.iter().flatten().for_each(note),
            RelOp::Op { op, .. } => op.exprs().into_iter().for_each(note),
            RelOp::Apply { keys, .. } => keys.iter().for_each(note),
            RelOp::Aggregate { keys, aggregates, .. } => {
                keys.iter().chain(aggregates.iter().flat_map(|call| &call.args)).for_each(note);
                found.extend(aggregates.iter().map(|call| (Part::Aggregate, call.function.name)));
            }
            _ => {}
        }
    }
    found.into_iter().collect()
}

/// Operators, plug-ins, aggregates and windows by name in the text.
pub fn used_by_text(text: &str) -> Vec<Used> {
    let tokens = lex(text).0;
    let mut found = BTreeSet::new();
    let mut begins = true;
    for (at, token) in tokens.iter().enumerate() {
        let rest = &text[token.start..];
        if begins && token.kind == TokenKind::Word {
            let names = tabular_operators().map(|operator| operator.name).chain(SOURCE_OPERATORS.iter().copied());
            let is_here = |name: &&str| {
                rest.starts_with(*name) && !rest[name.len()..].starts_with(|c: char| c.is_alphanumeric() || c == '_' || c == '-')
            };
            found.extend(names.filter(|name| is_here(&name)).max_by_key(|name| name.len()).map(|name| (Part::Operator, name)));
        }
        let calls = tokens.get(at + 1).is_some_and(|next| next.kind == TokenKind::Sign("("));
        if calls && token.kind == TokenKind::Word {
            let word = &text[token.start..token.end];
            found.extend(PLUGINS.iter().find(|plugin| plugin.name == word).map(|plugin| (Part::Plugin, plugin.name)));
            let aggregate = aggregates::all().find(|function| function.name == word);
            found.extend(aggregate.map(|function| (Part::Aggregate, function.name)));
            // Without arguments it is a constant, which does not appear in the plan.
            let empty = tokens.get(at + 2).is_some_and(|next| next.kind == TokenKind::Sign(")"));
            found.extend(functions::find(word).filter(|_| empty).map(|function| (Part::Function, function.name)));
            found.extend(windows::find(word).map(|window| (Part::Window, window.name)));
        }
        begins = matches!(token.kind, TokenKind::Sign("|" | "(" | ";" | "=" | "{"));
    }
    let first = text.trim_start();
    found.extend(SOURCE_OPERATORS.iter().find(|name| first.starts_with(**name)).map(|name| (Part::Operator, *name)));
    found.into_iter().collect()
}
