//! Expands functions with several result columns: `extend (slope, fit) = series_fit_line(y)` names the first ones; without names all are
//! added.
//!
//! Each has an internal function that returns one dynamic, computed once in a hidden column below; each column extracts a part of it, with
//! its own type. Internal functions named `$…` cannot be called in a query, and are marked as non-deterministic so that the optimizer does
//! not evaluate them per part. Source of truth: the public KQL reference, one page each (`series-stats-function`, `array-sort-asc-function`
//! …), and the columns in Microsoft's parser: order, types, names.

use model::Type;

use super::judge::Nature;
use super::naming::name_of;
use super::scope::{Binding, Cx, Scalar};
use super::{Binder, diagnostics as code, shapes};
use crate::Value;
use crate::plan::{Expr as Bound, Field};
use crate::syntax::ast::{Call, Expr, ExprKind, Name};

struct Several {
    name: &'static str,
    /// The internal function that returns a bag with the columns.
    twin: &'static str,
    /// In column order. `right_slope` is the part `slope` of the part `right`.
    parts: &'static [(&'static str, Type)],
}

/// An internal function whose parts are all series.
const fn of_series(name: &'static str, twin: &'static str, parts: &'static [(&'static str, Type)]) -> Several {
    Several { name, twin, parts }
}

const DECOMPOSED: &[(&str, Type)] =
    &[("baseline", Type::Dynamic), ("seasonal", Type::Dynamic), ("trend", Type::Dynamic), ("residual", Type::Dynamic)];
const COMPLEX: &[(&str, Type)] = &[("real", Type::Dynamic), ("imag", Type::Dynamic)];
const PERIODS: &[(&str, Type)] = &[("periods", Type::Dynamic), ("scores", Type::Dynamic)];

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
    Several {
        name: "series_fit_2lines",
        twin: "series_fit_2lines_dynamic",
        parts: &[
            ("rsquare", Type::Real),
            ("split_idx", Type::Long),
            ("variance", Type::Real),
            ("rvariance", Type::Real),
            ("line_fit", Type::Dynamic),
            ("right_rsquare", Type::Real),
            ("right_slope", Type::Real),
            ("right_interception", Type::Real),
            ("right_variance", Type::Real),
            ("right_rvariance", Type::Real),
            ("left_rsquare", Type::Real),
            ("left_slope", Type::Real),
            ("left_interception", Type::Real),
            ("left_variance", Type::Real),
            ("left_rvariance", Type::Real),
        ],
    },
    Several {
        name: "series_fit_poly",
        twin: "$series_fit_poly",
        parts: &[
            ("rsquare", Type::Real),
            ("coefficients", Type::Dynamic),
            ("variance", Type::Real),
            ("rvariance", Type::Real),
            ("poly_fit", Type::Dynamic),
        ],
    },
    of_series("series_decompose", "$series_decompose", DECOMPOSED),
    of_series("series_decompose_forecast", "$series_decompose_forecast", DECOMPOSED),
    of_series(
        "series_decompose_anomalies",
        "$series_decompose_anomalies",
        &[("ad_flag", Type::Dynamic), ("ad_score", Type::Dynamic), ("baseline", Type::Dynamic)],
    ),
    of_series("series_fft", "$series_fft", COMPLEX),
    of_series("series_ifft", "$series_ifft", COMPLEX),
    of_series("series_periods_detect", "$series_periods_detect", PERIODS),
    of_series("series_periods_validate", "$series_periods_validate", PERIODS),
];

fn several(name: &str) -> Option<&'static Several> {
    SEVERAL.iter().find(|several| several.name == name)
}

/// The functions with several result columns.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    SEVERAL.iter().map(|several| several.name)
}

/// A computed column before its final name is chosen.
pub(super) struct Part<'a> {
    /// The name given in the query.
    pub written: Option<&'a Name>,
    /// The default name, unless it is named by position.
    pub name: Option<String>,
    /// True for a column of a function with several result columns.
    pub several: bool,
    pub value: Scalar,
}

impl Binder<'_> {
    /// The columns of an expression of `extend`, `project` or `print`: one, except for functions with several result columns. For those,
    /// names in the query select the first ones.
    pub(super) fn parts<'a>(&mut self, written: &'a [Name], expr: &Expr, cx: &mut Cx) -> Vec<Part<'a>> {
        let call = match &expr.kind {
            ExprKind::Paren(inner) => return self.parts(written, inner, cx),
            ExprKind::Call(call) if !matches!(cx.env.get(&call.name.text), Some(Binding::Function(_))) => call,
            _ => return vec![self.one(written, expr, cx)],
        };
        let name = call.name.text.as_str();
        if self.strict && (several(name).is_some() || matches!(name, "array_sort_asc" | "array_sort_desc")) {
            return self.judged_parts(written, call, expr, cx);
        }
        let several = several(name);
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
                // The last argument may specify where nulls go.
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
        let twin = match twin.expr.as_const() {
            None if twin.known => {
                let field = Field { id: self.fresh(), name: "".into(), ty: twin.ty() };
                let column = Bound::column(&field);
                self.staged.push((twin.expr, field));
                Scalar::known(column)
            }
            _ => twin,
        };
        let wanted = if written.is_empty() { parts.len() } else { written.len() };
        let places = [expr.place.clone(), expr.place.clone()];
        let take = |(at, (key, ty, name)): (usize, (Value, Type, String))| {
            let keys = match key.as_str().and_then(|key| key.split_once('_')) {
                Some((side @ ("left" | "right"), inner)) => vec![Value::String(side.to_owned()), Value::String(inner.to_owned())],
                _ => vec![key],
            };
            let part = keys.into_iter().fold(twin.clone(), |whole, key| {
                let key = Scalar::known(Bound::constant(key));
                self.operator("[]", vec![whole, key], &places, &expr.place)
            });
            Part { written: written.get(at), name: Some(name), several: true, value: self.cast(part, ty) }
        };
        parts.into_iter().take(wanted).enumerate().map(take).collect()
    }

    /// The columns of a function with several results, as in the checker: all of them, the first ones with the given names.
    fn judged_parts<'a>(&mut self, written: &'a [Name], call: &Call, expr: &Expr, cx: &mut Cx) -> Vec<Part<'a>> {
        let name = call.name.text.as_str();
        let (_, _, seen) = self.seen_arguments(&call.args, cx);
        let verdict = shapes::scalar(name).and_then(|known| self.judge(name, known, &seen, &call.name.place));
        if verdict.is_none() {
            return vec![Part { written: written.first(), name: None, several: true, value: Self::unknown_scalar() }];
        }
        let columns: Vec<(String, Type)> = match several(name) {
            Some(several) => {
                let of = call.args.first().and_then(name_of).unwrap_or_default();
                several.parts.iter().map(|(part, ty)| (format!("{name}_{of}_{part}"), *ty)).collect()
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
