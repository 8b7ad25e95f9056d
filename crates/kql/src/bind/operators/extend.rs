//! `extend`, `serialize`, `project`: columns computed from a row.

use model::Type;

use crate::bind::naming::Names;
use crate::bind::scope::{Cx, Env, Relation, Scalar, Windows};
use crate::bind::{Binder, diagnostics as code};
use crate::syntax::ast::{Expr, ExprKind, Name};

/// A computed column before it has its final name.
pub(super) struct Item<'a> {
    /// As the query says; nothing where the expression gives the name.
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
    /// New columns see the input only, not each other. One that has the name of a column takes its place.
    pub(super) fn extend(&mut self, items: &[Expr], input: Relation, env: &Env) -> Relation {
        let mut windows = Self::windows_over(&input);
        let mut outputs = self.outputs(&input);
        // Names of all columns, once a column wants a made-up one.
        let mut names: Option<Names> = None;
        let mut given = Names::default();
        let mut computed: Vec<(String, Scalar)> = Vec::with_capacity(items.len());
        for (index, expr) in items.iter().enumerate() {
            let Item { names: written, value } = item(expr);
            for part in self.parts(written, value, &mut Cx { windows: windows.as_mut(), ..Cx::row(env, &input) }) {
                let name = match (part.written, part.name) {
                    (Some(name), _) => {
                        if !given.take(&name.text) {
                            self.report(code::DUPLICATE_NAME, &name.place, format!("there are two new columns `{}`", name.text));
                        }
                        name.text.clone()
                    }
                    // `extend tostring(x)` changes `x`.
                    (None, Some(name)) => given.unique(&name),
                    (None, None) => {
                        let known = || Names::of(outputs.iter().chain(&computed).map(|(name, _)| name.as_str()));
                        names.get_or_insert_with(known).unique(&format!("Column{}", index + 1))
                    }
                };
                if let Some(names) = &mut names {
                    names.take(&name);
                }
                computed.push((name, part.value));
            }
        }
        for (name, bound) in computed {
            match outputs.iter_mut().find(|(existing, _)| *existing == name) {
                Some((_, old)) => *old = bound,
                None => outputs.push((name, bound)),
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
        let mut outputs: Vec<(String, Scalar)> = Vec::with_capacity(items.len());
        // Names that are written come first: an unnamed column gives way to them.
        let mut names = Names::default();
        for expr in items {
            for name in item(expr).names {
                if !names.take(&name.text) {
                    self.report(code::DUPLICATE_NAME, &name.place, format!("there are two columns `{}`", name.text));
                }
            }
        }
        let mut open = false;
        for (index, expr) in items.iter().enumerate() {
            if matches!(expr.kind, ExprKind::Star) {
                open |= input.open;
                let all = self.outputs(&input);
                outputs.extend(all.into_iter().filter(|(name, _)| names.take(name)));
                continue;
            }
            let Item { names: written, value } = item(expr);
            for part in self.parts(written, value, &mut Cx { windows: windows.as_mut(), ..Cx::row(env, &input) }) {
                let name = match (part.written, part.name) {
                    (Some(name), _) => name.text.clone(),
                    (None, Some(name)) if matches!(value.kind, ExprKind::Name(_)) && outputs.iter().any(|(other, _)| *other == name) => {
                        continue;
                    }
                    (None, Some(name)) => names.unique(&name),
                    (None, None) => names.unique(&format!("Column{}", index + 1)),
                };
                outputs.push((name, part.value));
            }
        }
        let mut projected = self.project_with(input, outputs, windows);
        projected.open = open;
        projected
    }

    pub(super) fn project_with(&mut self, input: Relation, outputs: Vec<(String, Scalar)>, windows: Option<Windows>) -> Relation {
        let input = match windows {
            Some(windows) => self.with_windows(input, windows),
            None => input,
        };
        self.project(input, outputs)
    }

    pub(in crate::bind) fn refuse_dynamic(&mut self, value: &Scalar, place: &crate::syntax::ast::Place, what: &str) {
        if value.known && value.ty() == Type::Dynamic {
            let help = "make it a scalar first, as with `tostring(…)`".to_owned();
            self.report_with(code::WRONG_TYPE, place, format!("{what} cannot be a dynamic"), Some(help));
        }
    }
}
