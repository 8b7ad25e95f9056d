//! Functions that give several columns, taken apart: `extend (slope, fit) = series_fit_line(y)` names the first of them, and one without
//! names gives them all.
//!
//! Each has a twin whose result is one dynamic; a column is a part of that, in the column's own type. Source of truth: the public KQL
//! reference, `series-stats-function`, `series-fit-line-function`, `array-sort-asc-function`: columns, their order, their types, their names.

use model::Type;

use super::judge::Nature;
use super::naming::name_of;
use super::scope::{Binding, Cx, Scalar};
use super::{Binder, diagnostics as code, shapes};
use crate::Value;
use crate::plan::Expr as Bound;
use crate::syntax::ast::{Call, Expr, ExprKind, Name};

struct Several {
    name: &'static str,
    /// The function whose bag has the columns.
    twin: &'static str,
    /// In the order of the columns.
    parts: &'static [(&'static str, Type)],
}

const SEVERAL: &[Several] = &[
    Several {
        name: "series_stats",
        twin: "series_stats_dynamic",
        parts: &[
            ("min", Type::Real),
            ("min_idx", Type::Long),
            ("max", Type::Real),
            ("max_idx", Type::Long),
            ("avg", Type::Real),
            ("stdev", Type::Real),
            ("variance", Type::Real),
        ],
    },
    Several {
        name: "series_fit_line",
        twin: "series_fit_line_dynamic",
        parts: &[
            ("rsquare", Type::Real),
            ("slope", Type::Real),
            ("variance", Type::Real),
            ("rvariance", Type::Real),
            ("interception", Type::Real),
            ("line_fit", Type::Dynamic),
        ],
    },
];

/// A computed column before it has its final name.
pub(super) struct Part<'a> {
    /// As the query says.
    pub written: Option<&'a Name>,
    /// Where the query says nothing, and more than its place names it.
    pub name: Option<String>,
    /// One of the columns of a function that gives several.
    pub several: bool,
    pub value: Scalar,
}

impl Binder<'_> {
    /// The columns that an expression of `extend`, `project` or `print` gives: one, but for the functions that give several. Of those, names
    /// that the query writes choose the first ones.
    pub(super) fn parts<'a>(&mut self, written: &'a [Name], expr: &Expr, cx: &mut Cx) -> Vec<Part<'a>> {
        let call = match &expr.kind {
            ExprKind::Paren(inner) => return self.parts(written, inner, cx),
            ExprKind::Call(call) if !matches!(cx.env.get(&call.name.text), Some(Binding::Function(_))) => call,
            _ => return vec![self.one(written, expr, cx)],
        };
        let name = call.name.text.as_str();
        if self.strict && (shapes::columns(name).is_some() || matches!(name, "array_sort_asc" | "array_sort_desc")) {
            return self.judged_parts(written, call, expr, cx);
        }
        let several = SEVERAL.iter().find(|several| several.name == name);
        let sorting = matches!(name, "array_sort_asc" | "array_sort_desc") && !call.args.is_empty();
        if several.is_none() && !sorting {
            return vec![self.one(written, expr, cx)];
        }
        let (args, places) = self.arguments(&call.args, cx);
        let parts: Vec<(Value, Type, String)> = match several {
            Some(several) => {
                let of = call.args.first().and_then(name_of).unwrap_or_default();
                several.parts.iter().map(|(part, ty)| (Value::String((*part).to_owned()), *ty, format!("{name}_{of}_{part}"))).collect()
            }
            None => {
                // The last argument may say where nulls go.
                let arrays = args.len() - usize::from(args.last().is_some_and(|last| last.ty() == Type::Bool));
                let part = |(at, arg): (usize, &Expr)| {
                    let of = name_of(arg).unwrap_or_else(|| format!("array{at}"));
                    (Value::Long(at as i64), Type::Dynamic, format!("{of}_sorted"))
                };
                call.args[..arrays].iter().enumerate().map(part).collect()
            }
        };
        let twin = self.operator(several.map_or(name, |several| several.twin), args, &places, &expr.place);
        if let Some(extra) = written.get(parts.len()) {
            self.report(code::ARGUMENT_COUNT, &extra.place, format!("`{name}` gives {} columns, not {}", parts.len(), written.len()));
        }
        if sorting && parts.len() == 1 {
            return vec![Part {
                written: written.first(),
                name: parts.into_iter().next().map(|(_, _, name)| name),
                several: true,
                value: twin,
            }];
        }
        let wanted = if written.is_empty() { parts.len() } else { written.len() };
        let places = [expr.place.clone(), expr.place.clone()];
        let take = |(at, (key, ty, name)): (usize, (Value, Type, String))| {
            let key = Scalar::known(Bound::constant(key));
            let part = self.operator("[]", vec![twin.clone(), key], &places, &expr.place);
            Part { written: written.get(at), name: Some(name), several: true, value: self.cast(part, ty) }
        };
        parts.into_iter().take(wanted).enumerate().map(take).collect()
    }

    /// The columns of a function that gives several, as the checker sees them: all of them, the first ones under the names that are written.
    fn judged_parts<'a>(&mut self, written: &'a [Name], call: &Call, expr: &Expr, cx: &mut Cx) -> Vec<Part<'a>> {
        let name = call.name.text.as_str();
        let (_, _, seen) = self.seen_arguments(&call.args, cx);
        let verdict = shapes::scalar(name).and_then(|known| self.judge(name, known, &seen, &call.name.place));
        if verdict.is_none() {
            return vec![Part { written: written.first(), name: None, several: true, value: Self::unknown_scalar() }];
        }
        let columns: Vec<(String, Type)> = match shapes::columns(name) {
            Some(columns) => {
                let of = call.args.first().and_then(name_of).unwrap_or_default();
                columns.iter().map(|(part, ty)| (format!("{name}_{of}_{part}"), *ty)).collect()
            }
            None => {
                let arrays = seen.iter().take_while(|arg| arg.ty != Type::Bool || !arg.known).count();
                let called = |(at, arg): (usize, &Expr)| (name_of(arg).unwrap_or_else(|| format!("array{at}")) + "_sorted", Type::Dynamic);
                call.args[..arrays].iter().enumerate().map(called).collect()
            }
        };
        if let Some(extra) = written.get(columns.len()) {
            self.report(code::ARGUMENT_COUNT, &extra.place, format!("`{name}` gives {} columns, not {}", columns.len(), written.len()));
        }
        let part = |(at, (name, ty)): (usize, (String, Type))| {
            let value = self.opaque(ty, Nature::Any, false);
            Part { written: written.get(at), name: Some(name), several: true, value }
        };
        let parts: Vec<Part> = columns.into_iter().enumerate().map(part).collect();
        self.postpone(code::UNSUPPORTED, &expr.place, "this call is judged only");
        parts
    }

    fn one<'a>(&mut self, written: &'a [Name], expr: &Expr, cx: &mut Cx) -> Part<'a> {
        let value = self.scalar(expr, cx);
        if written.len() > 1 && value.known {
            let list: Vec<&str> = written.iter().map(|name| name.text.as_str()).collect();
            self.unsupported(&expr.place, &format!("giving one value the names `({})`", list.join(", ")));
        }
        Part { written: written.first(), name: name_of(expr), several: false, value }
    }
}
