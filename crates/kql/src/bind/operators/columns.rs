//! `project-away`, `project-keep`, `project-rename`, `project-reorder`, `project-by-names`: select, rename and reorder columns.

use crate::Value;
use crate::bind::naming::{Names, wildcard};
use crate::bind::scope::{Cx, Env, Relation};
use crate::bind::{Binder, diagnostics as code};
use crate::syntax::ast::{Expr, ExprKind, SortKey};

impl Binder<'_> {
    pub(super) fn project_away(&mut self, names: &[Expr], input: Relation) -> Relation {
        let dropped = self.selected(names, &input);
        let mut outputs = self.outputs(&input);
        outputs.retain(|(name, _)| !dropped.iter().any(|dropped| **dropped == **name));
        self.project(input, outputs)
    }

    pub(super) fn project_keep(&mut self, names: &[Expr], input: Relation) -> Relation {
        let kept = self.selected(names, &input);
        let mut outputs = self.outputs(&input);
        outputs.retain(|(name, _)| kept.iter().any(|kept| **kept == **name));
        self.project(input, outputs)
    }

    /// The columns matched by names and wildcards, in the order written.
    fn selected(&mut self, names: &[Expr], input: &Relation) -> Vec<String> {
        let mut selected: Vec<String> = Vec::new();
        for expr in names {
            match &expr.kind {
                ExprKind::Name(name) => {
                    if let Some(field) = input.find(&name.text) {
                        self.saw_column(&name.place, field);
                    }
                    if input.find(&name.text).is_none() {
                        self.no_column(&name.text, expr, input);
                    } else if !selected.contains(&name.text) {
                        selected.push(name.text.clone());
                    }
                }
                ExprKind::Wildcard(name) => {
                    if self.strict && !input.open && !input.visible().any(|field| wildcard(&name.text, &field.name)) {
                        self.no_column(&name.text, expr, input);
                    }
                    for field in input.visible() {
                        if wildcard(&name.text, &field.name) && !selected.iter().any(|known| **known == *field.name) {
                            selected.push(field.name.to_string());
                        }
                    }
                }
                ExprKind::Star => selected.extend(input.visible().map(|field| field.name.to_string())),
                ExprKind::Error => {}
                _ => self.report(code::UNKNOWN_NAME, &expr.place, "a column's name is wanted here"),
            }
        }
        selected
    }

    fn no_column(&mut self, name: &str, expr: &Expr, input: &Relation) {
        if !input.open {
            let near = code::did_you_mean(name, input.visible().map(|field| &*field.name));
            let help = near.unwrap_or_else(|| code::columns_here(&input.rel.fields));
            self.report_with(code::UNKNOWN_NAME, &expr.place, format!("there is no column `{name}`"), Some(help));
        }
    }

    pub(super) fn project_rename(&mut self, items: &[Expr], input: Relation) -> Relation {
        let mut outputs = self.outputs(&input);
        for expr in items {
            let ExprKind::Named { names, value } = &expr.kind else {
                if !matches!(expr.kind, ExprKind::Error) {
                    self.report(code::UNKNOWN_NAME, &expr.place, "`project-rename` wants `new = old`");
                }
                continue;
            };
            let (Some(new), ExprKind::Name(old)) = (names.first(), &value.kind) else {
                self.report(code::UNKNOWN_NAME, &value.place, "a column's name is wanted here");
                continue;
            };
            if let Some(field) = input.find(&old.text) {
                self.saw_column(&old.place, field);
            }
            let index = input.visible().position(|field| *field.name == old.text);
            match index {
                Some(index) => outputs[index].0 = new.text.as_str().into(),
                None if input.open => outputs.push((new.text.as_str().into(), Self::unknown_scalar())),
                None => self.no_column(&old.text, value, &input),
            }
        }
        let mut names = Names::default();
        if let Some((twice, _)) = outputs.iter().find(|(name, _)| !names.take(name))
            && let Some(first) = items.first()
        {
            self.report(code::DUPLICATE_NAME, &first.place, format!("there would be two columns `{twice}`"));
        }
        self.project(input, outputs)
    }

    /// Named columns first, in the order written; wildcards match the columns not named elsewhere, sorted if `asc` or `desc` is given.
    pub(super) fn project_reorder(&mut self, keys: &[SortKey], input: Relation) -> Relation {
        let named: Vec<&str> = keys
            .iter()
            .filter_map(|key| match &key.expr.kind {
                ExprKind::Name(name) => Some(name.text.as_str()),
                _ => None,
            })
            .collect();
        if self.strict {
            let mut names = Names::default();
            for key in keys {
                if let ExprKind::Name(name) = &key.expr.kind
                    && !names.take(&name.text)
                {
                    self.report(code::DUPLICATE_NAME, &name.place, format!("`{}` stands here twice", name.text));
                }
            }
        }
        let mut order: Vec<String> = Vec::new();
        for key in keys {
            let mut matched = self.selected(std::slice::from_ref(&key.expr), &input);
            if !matches!(key.expr.kind, ExprKind::Name(_)) {
                matched.retain(|name| !named.contains(&name.as_str()));
                match (key.ascending, key.natural) {
                    (Some(ascending), natural) => {
                        if natural {
                            matched.sort_by_key(|name| natural_key(name));
                        } else {
                            matched.sort();
                        }
                        if !ascending {
                            matched.reverse();
                        }
                    }
                    (None, _) => {}
                }
            }
            for name in matched {
                if !order.contains(&name) {
                    order.push(name);
                }
            }
        }
        let mut outputs = self.outputs(&input);
        outputs.sort_by_key(|(name, _)| order.iter().position(|known| **known == **name).unwrap_or(order.len()));
        self.project(input, outputs)
    }

    /// `project-by-names`: column names from constants.
    pub(super) fn project_by_names(&mut self, names: &[Expr], input: Relation, env: &Env) -> Relation {
        let mut kept: Vec<String> = Vec::new();
        for expr in names {
            let value = self.scalar(expr, &mut Cx::constant(env));
            let patterns: Vec<String> = match value.expr.as_const() {
                Some(Value::String(name)) => vec![name.clone()],
                Some(Value::Dynamic(array)) => serde_json::from_str(array).unwrap_or_default(),
                _ => {
                    self.report(code::NOT_CONSTANT, &expr.place, "names must be constant strings or arrays of strings");
                    continue;
                }
            };
            for field in input.visible() {
                if patterns.iter().any(|pattern| wildcard(pattern, &field.name)) && !kept.iter().any(|known| **known == *field.name) {
                    kept.push(field.name.to_string());
                }
            }
        }
        let mut outputs = self.outputs(&input);
        outputs.retain(|(name, _)| kept.iter().any(|kept| **kept == **name));
        outputs.sort_by_key(|(name, _)| kept.iter().position(|known| **known == **name));
        self.project(input, outputs)
    }
}

/// Natural sort order: `a2` before `a10`.
fn natural_key(name: &str) -> Vec<(String, u64)> {
    let mut key = Vec::new();
    let mut rest = name;
    while !rest.is_empty() {
        let digits_at = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (text, tail) = rest.split_at(digits_at);
        let digits_end = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
        let (digits, tail) = tail.split_at(digits_end);
        key.push((text.to_owned(), digits.parse().unwrap_or(u64::MAX)));
        rest = tail;
    }
    key
}
