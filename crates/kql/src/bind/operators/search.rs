//! `search`: a term in any column of tables.

use model::Type;

use crate::Value;
use crate::bind::scope::{Cx, Env, Relation, Scalar};
use crate::bind::{Binder, diagnostics as code};
use crate::plan::{Expr as Bound, Field, RelOp};
use crate::syntax::ast::{Expr, ExprKind, Place, Property};

use super::union::Leg;

/// Maximum product of columns and tables of a search.
const WIDEST: usize = 2_000_000;

impl Binder<'_> {
    pub(super) fn search(
        &mut self,
        properties: &[Property],
        tables: &[Expr],
        predicate: &Expr,
        input: Option<Relation>,
        env: &Env,
        place: &Place,
    ) -> Relation {
        let exact = match self.kind_of(properties, env).as_deref() {
            None | Some("default" | "case_insensitive") => false,
            Some("case_sensitive") => true,
            Some(other) => {
                self.report(
                    code::BAD_OPTION,
                    place,
                    format!("`kind` of a search is `case_sensitive` or `case_insensitive`, not `{other}`"),
                );
                false
            }
        };
        let mut legs: Vec<Leg> = Vec::new();
        if let Some(relation) = input {
            let source = match &relation.rel.op {
                RelOp::Scan { table, .. } => table.name.clone(),
                _ => "search_arg0".to_owned(),
            };
            legs.push(Leg { relation, source });
        } else if tables.is_empty() {
            let star = Expr { kind: ExprKind::Star, place: place.clone() };
            self.union_leg(&star, true, "search_arg", env, &mut legs);
        }
        for table in tables {
            self.union_leg(table, false, "search_arg", env, &mut legs);
        }
        if legs.is_empty() {
            // An empty result would be misleading: no table was searched.
            self.report(code::UNKNOWN_TABLE, place, "there are no tables here to search".to_owned());
            return Relation::unknown();
        }
        let columns: usize = legs.iter().map(|leg| leg.relation.rel.fields.len()).sum();
        if columns.saturating_mul(legs.len()) > WIDEST {
            let help = "name the tables: `search in (T1, T2) …`".to_owned();
            self.report_with(code::TOO_LARGE, place, format!("a search over {} tables is too wide", legs.len()), Some(help));
            return Relation::unknown();
        }
        let united = self.unite(legs, false, Some("$table"));
        let condition = self.search_predicate(predicate, exact, &united, env);
        self.filter(united, condition)
    }

    pub(super) fn search_predicate(&mut self, expr: &Expr, exact: bool, input: &Relation, env: &Env) -> Scalar {
        if !self.enter(&expr.place) {
            return Self::unknown_scalar();
        }
        let places = [expr.place.clone(), expr.place.clone()];
        let bound = match &expr.kind {
            ExprKind::Paren(inner) => self.search_predicate(inner, exact, input, env),
            ExprKind::Star => Scalar::known(Bound::constant(Value::Bool(true))),
            ExprKind::Binary { op: op @ ("and" | "or"), left, right, .. } => {
                let left = self.search_predicate(left, exact, input, env);
                let right = self.search_predicate(right, exact, input, env);
                self.operator(op, vec![left, right], &places, &expr.place)
            }
            ExprKind::Call(call) if call.name.text == "not" && call.args.len() == 1 => {
                let inner = self.search_predicate(&call.args[0], exact, input, env);
                self.operator("not", vec![inner], &places, &expr.place)
            }
            ExprKind::Literal(Value::String(text)) => self.anywhere(text, exact, input, &expr.place),
            ExprKind::Literal(Value::Long(n)) => self.anywhere(&n.to_string(), exact, input, &expr.place),
            ExprKind::Binary { op: ":", left, right, .. } => {
                let value = self.scalar(left, &mut Cx::row(env, input));
                let term = self.scalar(right, &mut Cx::constant(env));
                match term.expr.as_const() {
                    Some(Value::String(text)) => {
                        let text = text.clone();
                        self.matching(value, &text, exact, &expr.place)
                    }
                    _ if !term.known => Self::unknown_scalar(),
                    _ => self.operator("==", vec![value, term], &places, &expr.place),
                }
            }
            _ => {
                let value = self.scalar(expr, &mut Cx::row(env, input));
                match value.expr.as_const() {
                    Some(Value::String(text)) => {
                        let text = text.clone();
                        self.anywhere(&text, exact, input, &expr.place)
                    }
                    _ => self.as_condition(value, &expr.place),
                }
            }
        };
        self.leave();
        bound
    }

    /// True if some column contains the term.
    fn anywhere(&mut self, text: &str, exact: bool, input: &Relation, place: &Place) -> Scalar {
        let columns: Vec<Field> = input.visible().filter(|field| &*field.name != "$table").cloned().collect();
        let mut tests: Vec<Scalar> = Vec::with_capacity(columns.len());
        for field in &columns {
            let value = self.column(field);
            if value.known {
                tests.push(self.matching(value, text, exact, place));
            }
        }
        self.some_of(tests, place)
    }

    /// Disjunction of `tests`; false if there are none.
    fn some_of(&mut self, mut tests: Vec<Scalar>, place: &Place) -> Scalar {
        let places = [place.clone(), place.clone()];
        while tests.len() > 1 {
            let mut paired = Vec::with_capacity(tests.len().div_ceil(2));
            let mut rest = tests.into_iter();
            while let Some(left) = rest.next() {
                paired.push(match rest.next() {
                    Some(right) => self.operator("or", vec![left, right], &places, place),
                    None => left,
                });
            }
            tests = paired;
        }
        tests.pop().unwrap_or_else(|| Scalar::known(Bound::constant(Value::Bool(false))))
    }

    /// `* has "x"`, `* == 5`: true if it holds for some comparable column. Text operators are applied to all columns as text, `==` only to
    /// columns of the value's kind.
    pub(in crate::bind) fn in_some_column(&mut self, op: &'static str, right: &Expr, place: &Place, cx: &mut Cx) -> Scalar {
        let term = self.scalar(right, cx);
        if op.starts_with('!') || op == "<>" {
            let help = "say it the other way round: `not(* has …)` is true where no column has it".to_owned();
            self.report_with(code::UNSUPPORTED, place, format!("`* {op}` may mean all columns or one"), Some(help));
            return Self::unknown_scalar();
        }
        if cx.open {
            return Scalar { expr: Self::null(Type::Bool), known: true }.unplanned(self);
        }
        let places = [place.clone(), right.place.clone()];
        let columns: Vec<Field> = cx.fields.iter().filter(|field| !field.is_hidden() && &*field.name != "$table").cloned().collect();
        let mut tests: Vec<Scalar> = Vec::with_capacity(columns.len());
        for field in &columns {
            let value = self.column(field);
            let alike = value.ty() == term.ty() || value.ty().is_numeric() && term.ty().is_numeric();
            let text = match value.ty() {
                _ if op == "==" && alike => value,
                Type::String => value,
                _ if op == "==" && !(value.ty() == Type::Dynamic && term.ty() == Type::String) => continue,
                _ => self.operator("tostring", vec![value], &places, place),
            };
            match (op, term.expr.as_const()) {
                (":", Some(Value::String(wanted))) => {
                    let wanted = wanted.clone();
                    tests.push(self.matching(text, &wanted, false, place));
                }
                ("==", _) if text.ty() == Type::String && term.ty() != Type::String => {}
                _ => tests.push(self.operator(op, vec![text, term.clone()], &places, place)),
            }
        }
        self.some_of(tests, place)
    }

    /// True if `value` contains the term `text`, in which `*` is a wildcard.
    fn matching(&mut self, value: Scalar, text: &str, exact: bool, place: &Place) -> Scalar {
        let value = match value.ty() {
            Type::String => value,
            _ => self.operator("tostring", vec![value], std::slice::from_ref(place), place),
        };
        let inner = text.trim_matches('*');
        let (operator, text) = match (text.starts_with('*'), text.ends_with('*')) {
            _ if inner.contains('*') => {
                let parts: Vec<String> = text.split('*').map(regex::escape).collect();
                let flags = if exact { "" } else { "(?i)" };
                ("matches regex", format!(r"{flags}\b{}\b", parts.join(".*")))
            }
            (false, false) => (if exact { "has_cs" } else { "has" }, inner.to_owned()),
            (false, true) => (if exact { "hasprefix_cs" } else { "hasprefix" }, inner.to_owned()),
            (true, false) => (if exact { "hassuffix_cs" } else { "hassuffix" }, inner.to_owned()),
            (true, true) => (if exact { "contains_cs" } else { "contains" }, inner.to_owned()),
        };
        let term = Scalar::known(Bound::constant(Value::String(text)));
        self.operator(operator, vec![value, term], &[place.clone(), place.clone()], place)
    }
}
