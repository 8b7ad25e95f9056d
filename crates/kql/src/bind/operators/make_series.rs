//! `make-series`.

use std::sync::Arc;

use model::Type;

use crate::bind::casts::fits;
use crate::bind::naming::{Names, name_of};
use crate::bind::scope::{Aggregates, Cx, Env, Relation, Scalar};
use crate::bind::{Binder, diagnostics as code};
use crate::ops::make_series::{MakeSeries, SeriesAggregate};
use crate::plan::{AggregateCall, ExprKind as BoundKind, Field, Rel, RelOp};
use crate::syntax::ast::{Expr, MakeSeriesAggregate, Place};

use super::extend::{Item, item};

/// The clauses of `make-series`.
pub(super) struct Clauses<'a> {
    pub aggregates: &'a [MakeSeriesAggregate],
    pub on: &'a Expr,
    pub from: Option<&'a Expr>,
    pub to: Option<&'a Expr>,
    pub step: Option<&'a Expr>,
    pub in_range: bool,
    pub nonempty: bool,
    pub by: &'a [Expr],
}

impl Binder<'_> {
    /// The output columns are the keys, the series, then the axis.
    pub(super) fn make_series(&mut self, clauses: &Clauses, input: Relation, env: &Env, place: &Place) -> Relation {
        let mut names = Names::default();
        let mut fields: Vec<Field> = Vec::new();
        let mut by = Vec::new();
        for (index, expr) in clauses.by.iter().enumerate() {
            let Item { names: written, value } = item(expr);
            let bound = self.scalar(value, &mut Cx::row(env, &input));
            self.refuse_dynamic(&bound, &value.place, "a key of `make-series`");
            let name =
                written.first().map(|name| name.text.clone()).or_else(|| name_of(value)).unwrap_or_else(|| format!("Column{}", index + 1));
            let field = self.field(&names.unique(&name), &bound);
            by.push((bound.expr, field.id));
            fields.push(field);
        }
        let mut aggregates = Vec::with_capacity(clauses.aggregates.len());
        for (index, aggregate) in clauses.aggregates.iter().enumerate() {
            let Item { names: written, value } = item(&aggregate.expr);
            let call = self.lone_aggregate(value, &input, env);
            let name =
                written.first().map(|name| name.text.clone()).or_else(|| name_of(value)).unwrap_or_else(|| format!("Column{}", index + 1));
            let field = self.typed(&names.unique(&name), Type::Dynamic);
            let default = match (&aggregate.default, &call) {
                (Some(default), Some(call)) => {
                    let bound = self.scalar(default, &mut Cx::constant(env));
                    let bound = if fits(bound.ty(), call.ty) { self.cast(bound, call.ty) } else { bound };
                    match bound.expr.as_const() {
                        Some(value) => Some(value.clone()),
                        None => {
                            if bound.known {
                                self.report(code::NOT_CONSTANT, &default.place, "`default` must be a constant");
                            }
                            None
                        }
                    }
                }
                _ => None,
            };
            if let Some(call) = call {
                aggregates.push(SeriesAggregate { call, default, id: field.id });
            }
            fields.push(field);
        }
        let Item { names: written, value: on } = item(clauses.on);
        let axis = self.scalar(on, &mut Cx::row(env, &input));
        if axis.known && !(axis.ty().is_numeric() || matches!(axis.ty(), Type::Datetime | Type::Timespan)) {
            self.report(code::WRONG_TYPE, &on.place, format!("the axis of `make-series` is a number or a time, not a {}", axis.ty()));
        }
        let name = written.first().map(|name| name.text.clone()).or_else(|| name_of(on)).unwrap_or_else(|| "Column1".to_owned());
        let axis_field = self.typed(&names.unique(&name), Type::Dynamic);
        let axis_id = axis_field.id;
        fields.push(axis_field);
        let step_type = if axis.ty() == Type::Datetime { Type::Timespan } else { axis.ty() };
        let edge = |binder: &mut Self, expr: &Expr, ty: Type, what: &str| {
            let bound = binder.scalar(expr, &mut Cx::constant(env));
            if axis.known { binder.constant_as(bound, ty, what, &expr.place).expr } else { bound.expr }
        };
        let from = clauses.from.map(|expr| edge(self, expr, axis.ty(), "`from`"));
        let to = clauses.to.map(|expr| edge(self, expr, axis.ty(), "`to`"));
        let step = match clauses.step {
            Some(expr) => edge(self, expr, step_type, "`step`"),
            None => {
                self.report(code::ARGUMENT_COUNT, place, "`make-series` wants a `step`");
                Self::null(step_type)
            }
        };
        let op =
            MakeSeries { aggregates, axis: axis.expr, axis_id, from, to, step, in_range: clauses.in_range, nonempty: clauses.nonempty, by };
        let rel = Rel { op: RelOp::Op { op: Arc::new(op), inputs: vec![input.rel] }, fields, order: Vec::new(), serialized: false };
        Relation { rel, open: false }
    }

    /// Binds an expression that must be a single aggregate call.
    pub(super) fn lone_aggregate(&mut self, expr: &Expr, input: &Relation, env: &Env) -> Option<AggregateCall> {
        let mut collected = Aggregates::default();
        let bound: Scalar = self.scalar(expr, &mut Cx { aggregates: Some(&mut collected), ..Cx::row(env, input) });
        match (collected.calls.pop(), &bound.expr.kind) {
            (Some((call, field)), BoundKind::Column(id)) if *id == field.id && collected.calls.is_empty() => Some(call),
            _ if !bound.known => None,
            (Some(_), _) => {
                self.unsupported(&expr.place, "an expression around an aggregate here");
                None
            }
            (None, _) => {
                self.report(code::MISPLACED_AGGREGATE, &expr.place, "an aggregate is wanted here");
                None
            }
        }
    }
}
