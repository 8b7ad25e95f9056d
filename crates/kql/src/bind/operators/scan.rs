//! `scan`.

use std::sync::Arc;

use model::Type;

use crate::bind::casts::fits;
use crate::bind::scope::{Cx, Env, Relation, Steps};
use crate::bind::{Binder, diagnostics as code};
use crate::ops::scan::{Declared, Scan, StateColumn, Step, StepOutput};
use crate::plan::Field;
use crate::syntax::ast::{Expr, Parameter, ParameterType, Place, Property, ScanStep, SortKey};

use super::property;

/// The clauses of `scan`.
pub(super) struct Clauses<'a> {
    pub properties: &'a [Property],
    pub declare: &'a [Parameter],
    pub order: &'a [SortKey],
    pub partition: &'a [Expr],
    pub steps: &'a [ScanStep],
}

impl Binder<'_> {
    pub(super) fn scan_steps(&mut self, clauses: &Clauses, mut input: Relation, env: &Env, place: &Place) -> Relation {
        if !clauses.order.is_empty() {
            input = self.sort(clauses.order, input, env);
        }
        if !input.rel.serialized && !self.strict {
            let help = "put `sort by …` before".to_owned();
            self.report_with(code::NOT_SERIALIZED, place, "`scan` needs rows in an order", Some(help));
        }
        let mut declared = Vec::with_capacity(clauses.declare.len());
        let mut columns = Vec::with_capacity(clauses.declare.len() + 1);
        for parameter in clauses.declare {
            let ParameterType::Scalar(ty) = parameter.ty else {
                self.report(code::WRONG_TYPE, &parameter.name.place, "`scan` declares columns, not tables");
                continue;
            };
            if input.find(&parameter.name.text).is_some() {
                self.report(code::DUPLICATE_NAME, &parameter.name.place, format!("there is a column `{}` already", parameter.name.text));
            }
            let default = parameter.default.as_ref().map(|default| self.constant(default, ty, "a declared value", env).expr);
            let field = self.typed(&parameter.name.text, ty);
            declared.push(Declared { id: field.id, ty, default });
            columns.push(field);
        }
        let partition: Vec<_> = clauses.partition.iter().map(|expr| self.scalar(expr, &mut Cx::row(env, &input)).expr).collect();
        let visible: Vec<_> = input.visible().cloned().collect();
        let mut fields = visible.clone();
        fields.extend(columns.iter().cloned());
        let mut states =
            Steps { names: clauses.steps.iter().map(|step| step.name.text.clone()).collect(), fields: fields.clone(), used: Vec::new() };
        let mut steps = Vec::with_capacity(clauses.steps.len());
        for step in clauses.steps {
            let mut cx = Cx { fields: &fields, open: input.open, steps: Some(&mut states), ..Cx::constant(env) };
            let condition = self.condition(&step.condition, &mut cx).expr;
            let mut assignments = Vec::with_capacity(step.assignments.len());
            for (name, value) in &step.assignments {
                let bound = self.scalar(value, &mut cx);
                let Some(index) = columns.iter().position(|column| *column.name == name.text) else {
                    let help = code::did_you_mean(&name.text, columns.iter().map(|column| &*column.name));
                    self.report_with(code::UNKNOWN_NAME, &name.place, format!("`scan` declares no column `{}`", name.text), help);
                    continue;
                };
                let ty = columns[index].ty;
                if bound.known && !fits(bound.ty(), ty) {
                    self.report(code::WRONG_TYPE, &value.place, format!("`{}` is a {ty}, this is a {}", name.text, bound.ty()));
                    continue;
                }
                assignments.push((index, self.cast(bound, ty).expr));
            }
            let output = match step.output.as_ref().map(|output| output.text.as_str()) {
                None | Some("all") => StepOutput::All,
                Some("last") => StepOutput::Last,
                Some("none") => StepOutput::None,
                Some(other) => {
                    self.report(
                        code::BAD_OPTION,
                        &step.name.place,
                        format!("`output` of a step is `all`, `last` or `none`, not `{other}`"),
                    );
                    StepOutput::All
                }
            };
            steps.push(Step { optional: step.optional, output, condition, assignments, state: Vec::new() });
        }
        for (step, field, id) in states.used {
            let column = match field.checked_sub(visible.len()) {
                Some(index) => StateColumn::Declared(index),
                None => StateColumn::Input(visible[field].id),
            };
            let field = Field { id, name: "".into(), ty: fields[field].ty };
            steps[step].state.push((field, column));
        }
        let match_id = property(clauses.properties, "with_match_id")
            .and_then(|name| self.text(&name.value, "the name of the match column", env))
            .map(|name| {
                let field = self.typed(&name, Type::Long);
                let id = field.id;
                columns.push(field);
                id
            });
        if self.strict && match_id.is_none() {
            columns.push(self.typed("match_id", Type::Long));
        }
        self.extended_by(Arc::new(Scan { declared, steps, match_id, partition }), columns, input)
    }
}
