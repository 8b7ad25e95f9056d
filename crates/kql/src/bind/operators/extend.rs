//! `extend`, `serialize`, `project`: columns computed from a row.

use std::sync::Arc;

use hashbrown::HashMap;
use model::Type;

use crate::bind::naming::{Names, Source};
use crate::bind::relation::Output;
use crate::bind::scope::{Cx, Env, Relation, Scalar, Windows};
use crate::bind::spread::Part;
use crate::bind::{Binder, diagnostics as code};
use crate::syntax::ast::{Expr, ExprKind, Name};

/// A computed column before its final name is chosen.
pub(super) struct Item<'a> {
    /// Names given in the query; empty if the name is derived from the expression.
    pub names: &'a [Name],
    pub value: &'a Expr,
}

pub(super) fn item(expr: &Expr) -> Item<'_> {
    match &expr.kind {
        ExprKind::Named { names, value } => Item { names, value },
        _ => Item { names: &[], value: expr },
    }
}

impl Binder<'_> {
    /// New columns read only the input, not each other. A new column replaces an existing one of the same name.
    pub(super) fn extend(&mut self, items: &[Expr], input: Relation, env: &Env) -> Relation {
        let mut windows = Self::windows_over(&input);
        let mut outputs = self.outputs(&input);
        // Names of all columns, collected once a generated name is needed.
        let mut names: Option<Names> = None;
        let mut given = Names::default();
        let mut computed: Vec<Output> = Vec::with_capacity(items.len());
        for expr in items {
            let Item { names: written, value } = item(expr);
            for part in self.parts(written, value, &mut Cx { windows: windows.as_mut(), ..Cx::row(env, &input) }) {
                let name = match (self.part_source(&part, value), &mut given) {
                    (Source::Unnamed, _) => {
                        let known = || Names::of(outputs.iter().chain(&computed).map(|(name, _)| &**name));
                        names.get_or_insert_with(known).numbered()
                    }
                    // `extend tostring(x)` changes `x`.
                    (source, given) => self.take_name(given, source, &expr.place),
                };
                if let Some(names) = &mut names {
                    names.take(&name);
                }
                computed.push((name.into(), part.value));
            }
        }
        // The first of equal names is meant.
        let mut places: HashMap<Arc<str>, usize> = HashMap::with_capacity(outputs.len());
        outputs.iter().enumerate().for_each(|(at, (name, _))| {
            places.entry(name.clone()).or_insert(at);
        });
        for (name, bound) in computed {
            match places.get(&name) {
                Some(at) => outputs[*at].1 = bound,
                None => {
                    places.insert(name.clone(), outputs.len());
                    outputs.push((name, bound));
                }
            }
        }
        self.project_with(input, outputs, windows)
    }

    pub(super) fn serialize(&mut self, items: &[Expr], mut input: Relation, env: &Env) -> Relation {
        input.rel.serialized = true;
        self.extend(items, input, env)
    }

    pub(super) fn project_items(&mut self, items: &[Expr], input: Relation, env: &Env) -> Relation {
        let mut windows = Self::windows_over(&input);
        let mut outputs: Vec<Output> = Vec::with_capacity(items.len());
        let mut names = Names::default();
        let mut open = false;
        for expr in items {
            if matches!(expr.kind, ExprKind::Star) && !self.strict {
                open |= input.open;
                let all = self.outputs(&input);
                outputs.extend(all.into_iter().filter(|(name, _)| names.take(name)));
                continue;
            }
            let Item { names: written, value } = item(expr);
            for part in self.parts(written, value, &mut Cx { windows: windows.as_mut(), ..Cx::row(env, &input) }) {
                let source = self.part_source(&part, value);
                let name = self.take_name(&mut names, source, &expr.place);
                outputs.push((name.into(), part.value));
            }
        }
        let mut projected = self.project_with(input, outputs, windows);
        projected.open = open;
        projected
    }

    /// Where the name of a part comes from.
    fn part_source<'n>(&self, part: &Part<'n>, expr: &'n Expr) -> Source<'n> {
        match (part.written, &part.name) {
            (None, Some(name)) if part.several => Source::Derived(name.clone()),
            (None, None) if part.several => Source::Unnamed,
            (written, _) => self.name_source(written, expr, &part.value),
        }
    }

    pub(super) fn project_with(&mut self, input: Relation, outputs: Vec<Output>, windows: Option<Windows>) -> Relation {
        let input = match windows {
            Some(windows) => self.with_windows(input, windows),
            None => input,
        };
        let input = self.with_staged(input);
        self.project(input, outputs)
    }

    pub(in crate::bind) fn refuse_dynamic(&mut self, value: &Scalar, place: &crate::syntax::ast::Place, what: &str) {
        if value.known && value.ty() == Type::Dynamic {
            let help = "make it a scalar first, as with `tostring(…)`".to_owned();
            self.report_with(code::WRONG_TYPE, place, format!("{what} cannot be a dynamic"), Some(help));
        }
    }
}
