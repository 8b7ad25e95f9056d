//! `fork`, `facet`, `evaluate preview(…)`: several result tables from one input. They must be the last operator, because a following
//! operator would be ambiguous.

use std::rc::Rc;

use crate::aggregates;
use crate::bind::scope::{Env, Relation};
use crate::bind::{Binder, diagnostics as code};
use crate::plan::{AggregateCall, Expr as Bound, Rel, RelOp};
use crate::syntax::ast::{Call, Expr, ExprKind, Name, Operator, OperatorKind, Place, SubPipe};

/// Default name of a table.
const UNNAMED: &str = "GenericResult";

/// The last operator of a query, ignoring those that only render or name.
pub(in crate::bind) fn last_operator(query: &Expr) -> Option<&Operator> {
    match &query.kind {
        ExprKind::Paren(inner) => last_operator(inner),
        ExprKind::Pipe { operators, .. } => operators.iter().rev().find(|operator| !matches!(operator.kind, OperatorKind::Render { .. })),
        _ => None,
    }
}

impl Binder<'_> {
    /// True if this operator is the last of the query; reports an error otherwise.
    fn ends_the_query(&mut self, what: &str, operator: &Place) -> bool {
        let ends = self.calling.is_empty() && self.trials == 0 && self.last_operator.as_ref() == Some(operator);
        if !ends {
            let help =
                "put it at the end of the query; to go on with one of the tables, name the input with `let` and write that part alone";
            let message = format!("`{what}` gives several tables and must be the last operator of the query");
            self.report_with(code::SEVERAL_TABLES, operator, message, Some(help.to_owned()));
        }
        ends
    }

    /// The first of `tables` is the main result, the others are additional results.
    fn tables(&mut self, tables: Vec<(Option<String>, Relation)>) -> Relation {
        let mut tables = tables.into_iter();
        let Some((name, mut first)) = tables.next() else { return Relation::unknown() };
        self.answer_name = name;
        for (name, relation) in tables {
            first.open |= relation.open;
            self.more.push((name.unwrap_or_else(|| UNNAMED.to_owned()), relation.rel));
        }
        first
    }

    pub(super) fn fork(&mut self, branches: &[(Option<Name>, SubPipe)], input: Relation, env: &Env, place: &Place) -> Relation {
        if !self.ends_the_query("fork", place) {
            return Relation::unknown();
        }
        let shared = Rc::new(self.share(input));
        let mut tables = Vec::with_capacity(branches.len());
        for (name, body) in branches {
            let branch = self.reuse(&shared);
            let answer = self.pipe(&body.operators, branch, &mut env.clone());
            let named = name.as_ref().or(match body.operators.last().map(|operator| &operator.kind) {
                Some(OperatorKind::As { name, .. }) => Some(name),
                _ => None,
            });
            tables.push((named.map(|name| name.text.clone()), answer));
        }
        self.tables(tables)
    }

    pub(super) fn facet(&mut self, by: &[Expr], with: Option<&SubPipe>, input: Relation, env: &Env, place: &Place) -> Relation {
        let Some(count) = aggregates::find("count").filter(|_| self.ends_the_query("facet", place)) else { return Relation::unknown() };
        let shared = Rc::new(self.share(input));
        let mut tables = Vec::with_capacity(by.len() + 1);
        if let Some(body) = with {
            let branch = self.reuse(&shared);
            tables.push((None, self.pipe(&body.operators, branch, &mut env.clone())));
        }
        for expr in by {
            let ExprKind::Name(name) = &expr.kind else {
                self.report(code::UNKNOWN_NAME, &expr.place, "`facet` takes the names of columns");
                continue;
            };
            let branch = self.reuse(&shared);
            let value = self.scalar(expr, &mut crate::bind::scope::Cx::row(env, &branch));
            self.refuse_dynamic(&value, &expr.place, "a column of `facet`");
            let fields = vec![self.field(&name.text, &value), self.typed(&format!("count_{}", name.text), model::Type::Long)];
            let aggregates = vec![AggregateCall { function: count, args: Vec::new(), ty: model::Type::Long }];
            let op = RelOp::Aggregate { input: Box::new(branch.rel), keys: vec![value.expr], aggregates };
            tables.push((None, Relation { rel: Rel { op, fields, order: Vec::new(), serialized: false }, open: false }));
        }
        self.tables(tables)
    }

    /// `evaluate preview(n)`: the first rows, and the row count.
    pub(super) fn preview(&mut self, call: &Call, input: Relation, env: &Env, place: &Place) -> Relation {
        if !self.ends_the_query("preview", place) {
            return Relation::unknown();
        }
        let [rows] = call.args.as_slice() else {
            self.report(code::ARGUMENT_COUNT, &call.name.place, format!("`preview` wants 1 argument, got {}", call.args.len()));
            return Relation::unknown();
        };
        let count: Bound = self.constant(rows, model::Type::Long, "the number of rows", env).expr;
        let shared = Rc::new(self.share(input));
        let first = self.reuse(&shared).wrap(|input| RelOp::Take { input, count });
        let all = self.reuse(&shared);
        let counted = self.count_rows(all);
        self.tables(vec![(None, first), (None, counted)])
    }
}
