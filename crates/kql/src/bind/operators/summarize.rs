//! `summarize`.
//!
//! Expressions are bound with their aggregate calls extracted into columns of the `Aggregate` node; the remaining expressions are projected
//! above it, over those columns and the keys.

use crate::Value;
use crate::aggregates::{self, AggregateFn, Columns};
use crate::bind::judge;
use crate::bind::naming::{Names, Source, name_of};
use crate::bind::relation::Output;
use crate::bind::scope::{Aggregates, Cx, Env, Relation, Scalar};
use crate::bind::{Binder, diagnostics as code, shapes};
use crate::plan::{AggregateCall, Expr as Bound, ExprKind as BoundKind, Field, Rel, RelOp};
use crate::syntax::ast::{Call, Expr, ExprKind, Name, Place};

use super::extend::{Item, item};

/// A grouping key: the expression below, the column above.
struct Key {
    expr: Bound,
    field: Field,
}

impl Binder<'_> {
    pub(super) fn summarize(&mut self, aggregates: &[Expr], by: &[Expr], input: Relation, env: &Env, place: &Place) -> Relation {
        let mut names = Names::default();
        let mut keys: Vec<Key> = Vec::with_capacity(by.len());
        for expr in by {
            let Item { names: written, value } = item(expr);
            let bound = self.scalar(value, &mut Cx::row(env, &input));
            self.refuse_dynamic(&bound, &value.place, "a key of `summarize`");
            // Recorded: a variable does not name a key.
            let source = match (written.first(), bound.expr.as_const()) {
                (None, Some(_)) if bound.known => Source::Unnamed,
                (written, _) => self.name_source(written, value, &bound),
            };
            let name = self.take_name(&mut names, source, &expr.place);
            let field = self.field(&name, &bound);
            keys.push(Key { expr: bound.expr, field });
        }
        let mut collected = Aggregates::default();
        let mut outputs: Vec<Output> = keys.iter().map(|key| (key.field.name.clone(), self.column(&key.field))).collect();
        for expr in aggregates {
            let Item { names: written, value } = item(expr);
            let many = match &unwrapped(value).kind {
                ExprKind::Call(call) => {
                    aggregates::find(&call.name.text).filter(|aggregate| gives_several(aggregate, call)).map(|found| (found, call))
                }
                _ => None,
            };
            if let Some((aggregate, call)) = many {
                self.several(aggregate, call, written, &value.place, &input, env, &keys, &mut collected, &mut names, &mut outputs);
                continue;
            }
            let mut cx = Cx { aggregates: Some(&mut collected), ..Cx::row(env, &input) };
            let bound = self.scalar(value, &mut cx);
            self.check_grouped(&bound, &collected, &keys, &input, &value.place);
            self.check_aggregates(&bound, &value.place);
            if written.len() > 1 && bound.known {
                self.unsupported(&value.place, "giving one aggregate several names");
            }
            let source = self.name_source(written.first(), value, &bound);
            let name = self.take_name(&mut names, source, &expr.place);
            outputs.push((name.into(), bound));
        }
        if aggregates.is_empty() && by.is_empty() && !self.strict {
            self.report(code::ARGUMENT_COUNT, place, "`summarize` wants an aggregate or a key");
        }
        for id in self.carried.clone() {
            if let Some(field) = input.rel.fields.iter().find(|field| field.id == id) {
                keys.push(Key { expr: Bound::column(field), field: Field { name: "".into(), ..field.clone() } });
            }
        }
        let input_open = input.open;
        let mut fields: Vec<Field> = keys.iter().map(|key| key.field.clone()).collect();
        let mut calls = Vec::with_capacity(collected.calls.len());
        for (call, field) in collected.calls {
            fields.push(field);
            calls.push(call);
        }
        let op = RelOp::Aggregate { input: Box::new(input.rel), keys: keys.into_iter().map(|key| key.expr).collect(), aggregates: calls };
        // A star also expands to unknown columns.
        let star = |expr: &Expr| matches!(&unwrapped(item(expr).value).kind, ExprKind::Call(call) if call.args.iter().any(|arg| matches!(arg.kind, ExprKind::Star)));
        let open = input_open && aggregates.iter().any(star);
        let grouped = Relation { rel: Rel { op, fields, order: Vec::new(), serialized: false }, open };
        self.project(grouped, outputs)
    }

    /// An expression beside the keys may read columns only inside aggregates, even columns that are keys (recorded).
    fn check_grouped(&mut self, value: &Scalar, collected: &Aggregates, keys: &[Key], input: &Relation, place: &Place) {
        for id in value.expr.columns() {
            let grouped = collected.calls.iter().any(|(_, field)| field.id == id);
            if let (false, Some(field)) = (grouped, input.rel.fields.iter().find(|field| field.id == id)) {
                let is_key = keys.iter().any(|key| matches!(key.expr.kind, BoundKind::Column(key) if key == id));
                let (message, help) = match is_key {
                    true => (
                        format!("`{}` is outside an aggregate, where a key cannot be read either", field.name),
                        "keys are columns of the answer: `extend` behind `summarize` computes with them".to_owned(),
                    ),
                    false => (
                        format!("`{}` is neither a key nor inside an aggregate", field.name),
                        format!("put it behind `by`, or take one value with `take_any({})`", field.name),
                    ),
                };
                self.report_with(code::NOT_A_KEY, place, message, Some(help));
            }
        }
    }

    /// An expression without an aggregate, such as a constant, is rejected (recorded).
    fn check_aggregates(&mut self, value: &Scalar, place: &Place) {
        if value.known && value.expr.columns().is_empty() {
            let help = "`extend` behind `summarize` adds a constant".to_owned();
            self.report_with(code::NOT_A_KEY, place, "there is no aggregate here", Some(help));
        }
    }

    /// Aggregates that produce several columns: `arg_max(a, b, *)`, `percentiles(x, 5, 50)`.
    #[allow(clippy::too_many_arguments)]
    fn several(
        &mut self,
        aggregate: &'static AggregateFn,
        call: &Call,
        written: &[Name],
        place: &Place,
        input: &Relation,
        env: &Env,
        keys: &[Key],
        collected: &mut Aggregates,
        names: &mut Names,
        outputs: &mut Vec<Output>,
    ) {
        let Some(columns) = self.several_columns(aggregate, call, place, input, env, keys) else { return };
        if written.len() > columns.len() {
            self.report(
                code::ARGUMENT_COUNT,
                &written[columns.len()].place,
                format!("`{}` gives only {} columns here", call.name.text, columns.len()),
            );
        }
        for (index, (name, bound, known)) in columns.into_iter().enumerate() {
            let name = match written.get(index) {
                Some(name) => self.take_name(names, Source::Declared(&name.text), &name.place),
                None => names.unique(&name),
            };
            let mut cx = Cx { aggregates: Some(&mut *collected), ..Cx::row(env, input) };
            let value = self.collect_aggregate(bound, known, &mut cx);
            outputs.push((name.into(), value));
        }
    }

    /// The calls of an aggregate with several columns, with default column names.
    fn several_columns(
        &mut self,
        aggregate: &'static AggregateFn,
        call: &Call,
        place: &Place,
        input: &Relation,
        env: &Env,
        keys: &[Key],
    ) -> Option<Vec<(String, AggregateCall, bool)>> {
        if self.strict
            && let Some(known) = shapes::aggregate(&call.name.text)
        {
            let (_, _, seen) = self.seen_arguments(&call.args, &mut Cx::row(env, input));
            self.judge(&call.name.text, known, &seen, &call.name.place)?;
        }
        let mut args: Vec<(String, Scalar, Place)> = Vec::new();
        for (index, arg) in call.args.iter().enumerate() {
            if matches!(arg.kind, ExprKind::Star) {
                for field in input.visible() {
                    let taken = |expr: &Bound| matches!(expr.kind, BoundKind::Column(id) if id == field.id);
                    if !keys.iter().any(|key| taken(&key.expr)) && !args.iter().any(|(_, value, _)| taken(&value.expr)) {
                        args.push((field.name.to_string(), self.column(field), arg.place.clone()));
                    }
                }
                continue;
            }
            let value = self.scalar(arg, &mut Cx::row(env, input));
            let kind = call.name.text.trim_start_matches("arg_").trim_start_matches("arg");
            let unnamed = match (aggregate.columns, index) {
                (Columns::Record, _) if call.name.text == "any" => format!("arg{index}"),
                (Columns::Record, _) => format!("any_arg{index}"),
                (_, 0) => format!("{kind}_"),
                _ => format!("{kind}__arg{index}"),
            };
            args.push((name_of(arg).unwrap_or(unnamed), value, arg.place.clone()));
        }
        let mut columns = Vec::with_capacity(args.len());
        match aggregate.columns {
            Columns::One => return None,
            Columns::Extreme => {
                let Some((_, order, _)) = args.first().cloned() else {
                    self.report(code::ARGUMENT_COUNT, place, format!("`{}` wants at least 1 argument, got 0", call.name.text));
                    return None;
                };
                let order_name = args.first().map(|(name, ..)| name.clone()).unwrap_or_default();
                for (index, (name, value, at)) in args.into_iter().enumerate() {
                    // Deprecated function names have different column names.
                    let name = match (call.name.text.as_str(), index) {
                        ("argmax", 0) => format!("max_{name}"),
                        ("argmin", 0) => format!("min_{name}"),
                        ("argmax", _) => format!("max_{order_name}_{name}"),
                        ("argmin", _) => format!("min_{order_name}_{name}"),
                        _ => name,
                    };
                    let ty = value.known.then(|| value.ty());
                    let (mut call, known) = self.aggregate_of(aggregate, vec![order.clone(), value], &[place.clone(), at], place)?;
                    if let (true, Some(ty)) = (self.strict, ty) {
                        call.ty = ty;
                    }
                    columns.push((name, call, known));
                }
            }
            Columns::Record => {
                let record = if args.len() > 1 { aggregates::find(aggregates::RECORD).unwrap_or(aggregate) } else { aggregate };
                for (name, value, at) in args {
                    let ty = value.known.then(|| value.ty());
                    let (mut bound, known) = self.aggregate_of(record, vec![value], &[at], place)?;
                    if let (true, Some(ty)) = (self.strict, ty) {
                        bound.ty = ty;
                    }
                    let name = if call.name.text == "any" { format!("any_{name}") } else { name };
                    columns.push((name, bound, known));
                }
            }
            Columns::Percentiles { values, each } => {
                let Some(each) = aggregates::find(each) else {
                    self.unsupported(place, &format!("`{}`", call.name.text));
                    return None;
                };
                if args.len() <= values {
                    self.report(
                        code::ARGUMENT_COUNT,
                        place,
                        format!("`{}` wants at least {} arguments, got {}", call.name.text, values + 1, args.len()),
                    );
                    return None;
                }
                let first = call.args.first().and_then(name_of).unwrap_or_default();
                let percents = args.split_off(values);
                for (_, percent, at) in percents {
                    let shown = percent_name(percent.expr.as_const());
                    let mut all: Vec<Scalar> = args.iter().map(|(_, value, _)| value.clone()).collect();
                    let mut places: Vec<Place> = args.iter().map(|(_, _, at)| at.clone()).collect();
                    all.push(percent);
                    places.push(at);
                    let ty = all.first().filter(|value| value.known).map(Scalar::ty);
                    let (mut call, known) = self.aggregate_of(each, all, &places, place)?;
                    if let (true, Some(ty)) = (self.strict, ty) {
                        call.ty = judge::percentile(ty);
                    }
                    columns.push((format!("percentile_{first}_{shown}"), call, known));
                }
            }
        }
        Some(columns)
    }
}

/// `99_9` for 99.9, as in Kusto's column names.
fn percent_name(value: Option<&Value>) -> String {
    match value {
        Some(Value::Int(n)) => n.to_string(),
        Some(Value::Long(n)) => n.to_string(),
        Some(Value::Real(n)) => n.to_string().replace('.', "_"),
        _ => String::new(),
    }
}

fn gives_several(aggregate: &AggregateFn, call: &Call) -> bool {
    match aggregate.columns {
        Columns::One => false,
        Columns::Extreme | Columns::Percentiles { .. } => true,
        Columns::Record => call.args.len() != 1 || matches!(call.args[0].kind, ExprKind::Star),
    }
}

fn unwrapped(expr: &Expr) -> &Expr {
    match &expr.kind {
        ExprKind::Paren(inner) => unwrapped(inner),
        _ => expr,
    }
}
