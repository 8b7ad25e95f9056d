//! The end of binding: builds the plan, or returns the diagnostics.

use std::collections::HashMap;
use std::sync::Arc;

use model::Diagnostic;

use super::scope::Relation;
use super::{Binder, Bound};
use crate::plan::{Expr, Field, OrderKey, Plan, Rel, RelOp};
use crate::syntax::codes::is_tolerated;

impl Binder<'_> {
    pub(super) fn finish(self, answer: Relation, syntax: Vec<Diagnostic>) -> Bound {
        let columns = (!answer.open || self.is_listed(&answer)).then(|| {
            answer.visible().map(|field| (field.name.to_string(), (!self.unknown.contains(&field.id)).then_some(field.ty))).collect()
        });
        let mut diagnostics = syntax;
        let wrong_syntax = diagnostics.iter().any(|diagnostic| !is_tolerated(diagnostic.code));
        let held = self.held.into_iter().filter(|(use_of, _)| !use_of.is_set()).flat_map(|(_, found)| found);
        // After a syntax error, binding errors are mostly follow-up errors.
        diagnostics.extend(self.diagnostics.into_iter().chain(held).filter(|_| !wrong_syntax));
        let planned = diagnostics.iter().all(|diagnostic| is_tolerated(diagnostic.code)) && self.open.is_none() && !answer.open;
        let more = self.more.into_iter().map(|(name, rel)| (name, visible_only(rel))).collect();
        let mut plan = planned.then(|| Plan {
            root: visible_only(answer.rel),
            subqueries: self.subqueries,
            render: self.render,
            name: self.answer_name,
            more,
        });
        if let Some(plan) = &mut plan {
            inline_lone_shares(plan);
        }
        Bound { plan, columns, diagnostics, open: self.open }
    }
}

/// Projects the requested columns. Columns that the row order depends on may be dropped: the order is kept below.
fn visible_only(rel: Rel) -> Rel {
    if !rel.fields.iter().any(Field::is_hidden) {
        return rel;
    }
    let fields: Vec<Field> = rel.fields.iter().filter(|field| !field.is_hidden()).cloned().collect();
    let exprs = fields.iter().map(Expr::column).collect();
    let there = |key: &OrderKey| key.expr.columns().iter().all(|id| fields.iter().any(|field| field.id == *id));
    let order = rel.order.iter().take_while(|key| there(key)).cloned().collect();
    let serialized = rel.serialized;
    Rel { op: RelOp::Project { input: Box::new(rel), exprs }, fields, order, serialized }
}

/// Inlines shared tables with a single use.
fn inline_lone_shares(plan: &mut Plan) {
    let mut uses = HashMap::new();
    let mut roots: Vec<&mut Rel> = std::iter::once(&mut plan.root)
        .chain(plan.subqueries.iter_mut().map(|subquery| &mut subquery.rel))
        .chain(plan.more.iter_mut().map(|(_, rel)| rel))
        .collect();
    for root in &roots {
        count(root, &mut uses);
    }
    if uses.values().any(|count| *count == 1) {
        for root in &mut roots {
            inline(root, &uses);
        }
    }
}

fn count(rel: &Rel, uses: &mut HashMap<u32, u32>) {
    if let RelOp::Shared { id, input } = &rel.op {
        let times = uses.entry(*id).or_insert(0);
        *times += 1;
        if *times == 1 {
            count(input, uses);
        }
        return;
    }
    for input in rel.inputs() {
        count(input, uses);
    }
}

fn inline(rel: &mut Rel, uses: &HashMap<u32, u32>) {
    if let RelOp::Shared { id, input } = &rel.op
        && uses.get(id) == Some(&1)
    {
        let mut input = Arc::unwrap_or_clone(input.clone());
        inline(&mut input, uses);
        let exprs = input.fields.iter().map(Expr::column).collect();
        rel.op = RelOp::Project { input: Box::new(input), exprs };
        return;
    }
    for input in rel.inputs_mut() {
        inline(input, uses);
    }
}
