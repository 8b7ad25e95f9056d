//! `mv-apply`, `partition`: a sub-query for each group of rows.
//!
//! A body that looks at each row by itself needs no groups: it runs over all rows at once, and so does a `summarize` right behind the
//! expansion, with the input row as a further key. Everything else becomes an `Apply`.

use crate::Value;
use crate::bind::naming::Names;
use crate::bind::scope::{Cx, Env, Relation, Scalar, WindowCall, Windows};
use crate::bind::{Binder, diagnostics as code};
use crate::plan::{ColumnId, Expr as Bound, ExprKind as BoundKind, Field, JoinKind, Rel, RelOp};
use crate::syntax::ast::{Expr, MvItem, Operator, OperatorKind, PartitionBody, Place, Property, SubPipe};
use crate::windows;

impl Binder<'_> {
    pub(super) fn mv_apply(
        &mut self,
        properties: &[Property],
        items: &[MvItem],
        limit: Option<&Expr>,
        body: &SubPipe,
        input: Relation,
        env: &Env,
        place: &Place,
    ) -> Relation {
        let before: Vec<Field> = input.visible().cloned().collect();
        let open = input.open;
        let Some((numbered, row)) = self.number_rows(input) else {
            self.unsupported(place, "`mv-apply`");
            return Relation::unknown();
        };
        // All columns of the input come out again; those that the expansion replaces are hidden meanwhile.
        let kept = before;
        let ids: Vec<ColumnId> = kept.iter().map(|field| field.id).chain([row.id]).collect();
        let outer = std::mem::replace(&mut self.carried, ids.clone());
        let expanded = self.mv_expand(properties, items, limit, numbered, env);
        self.carried = outer;
        let flat = is_flat(&body.operators);
        let answer = if flat {
            let outer = std::mem::replace(&mut self.carried, ids.clone());
            let answer = self.pipe(&body.operators, expanded, &mut env.clone());
            self.carried = outer;
            self.with_kept(answer, &kept)
        } else {
            self.applied(expanded, &row, &kept, &body.operators, env)
        };
        Relation { open: open || answer.open, ..answer }
    }

    /// `body` for each group of rows that agree on `row`, with the columns `kept`, which are the same all over a group.
    fn applied(&mut self, input: Relation, row: &Field, kept: &[Field], body: &[Operator], env: &Env) -> Relation {
        let outer = std::mem::take(&mut self.carried);
        let group = |fields: &[Field]| Rel { op: RelOp::Group, fields: fields.to_vec(), order: Vec::new(), serialized: true };
        let inner = Relation { rel: group(&input.rel.fields), open: input.open };
        let answer = self.pipe(body, inner, &mut env.clone());
        self.carried = outer;
        let still_there = kept.iter().all(|field| answer.rel.fields.iter().any(|other| other.id == field.id));
        let (mut body, renamed) = if still_there {
            (answer, kept.to_vec())
        } else {
            // One row of the group, for what the body dropped.
            let mut one = Vec::with_capacity(kept.len());
            let mut exprs = Vec::with_capacity(kept.len());
            for field in kept {
                let value = self.column(field);
                one.push(self.field(&field.name, &value));
                exprs.push(value.expr);
            }
            let first = group(&input.rel.fields);
            let fields = first.fields.clone();
            let count = Bound::constant(Value::Long(1));
            let first = Rel { op: RelOp::Take { input: Box::new(first), count }, fields, order: Vec::new(), serialized: false };
            let first =
                Rel { op: RelOp::Project { input: Box::new(first), exprs }, fields: one.clone(), order: Vec::new(), serialized: false };
            let mut fields = one.clone();
            fields.extend(answer.visible().filter(|field| !kept.iter().any(|kept| kept.id == field.id)).cloned());
            let key = || Bound::constant(Value::Long(1));
            let op = RelOp::Join { kind: JoinKind::Inner, left: Box::new(first), right: Box::new(answer.rel), on: vec![(key(), key())] };
            (Relation { rel: Rel { op, fields, order: Vec::new(), serialized: false }, open: answer.open }, one)
        };
        body = self.with_kept(body, &renamed);
        let fields = body.rel.fields.clone();
        let op = RelOp::Apply { input: Box::new(input.rel), keys: vec![Bound::column(row)], body: Box::new(body.rel) };
        Relation { rel: Rel { op, fields, order: Vec::new(), serialized: false }, open: body.open }
    }

    /// `kept`, then the other columns of `answer`; what carried them along is gone.
    fn with_kept(&mut self, answer: Relation, kept: &[Field]) -> Relation {
        let mut names = Names::default();
        let mut outputs: Vec<(String, Scalar)> = Vec::new();
        for field in kept {
            if answer.rel.fields.iter().any(|other| other.id == field.id) {
                // The body may have renamed or replaced it: under its old name it is the input's.
                let replaced = answer.visible().find(|other| other.name == field.name && other.id != field.id).cloned();
                names.take(&field.name);
                let value = self.column(replaced.as_ref().unwrap_or(field));
                outputs.push((field.name.to_string(), value));
            }
        }
        let rest: Vec<Field> = answer.visible().filter(|field| !kept.iter().any(|kept| kept.id == field.id)).cloned().collect();
        for field in rest {
            if names.take(&field.name) {
                let value = self.column(&field);
                outputs.push((field.name.to_string(), value));
            }
        }
        self.project(answer, outputs)
    }

    /// A hidden column that tells rows apart.
    fn number_rows(&mut self, input: Relation) -> Option<(Relation, Field)> {
        let function = windows::find("row_number")?;
        let field = Field { id: self.fresh(), name: "".into(), ty: model::Type::Long };
        let expr = Bound { kind: BoundKind::Window { function, args: vec![Bound::constant(Value::Long(1))] }, ty: model::Type::Long };
        let windows = Windows { calls: vec![WindowCall { expr, field: field.clone(), level: 0 }] };
        Some((self.with_windows(input, windows), field))
    }

    pub(super) fn partition(&mut self, by: &Expr, body: &PartitionBody, input: Relation, env: &Env, place: &Place) -> Relation {
        let key = self.scalar(by, &mut Cx::row(env, &input));
        self.refuse_dynamic(&key, &by.place, "the key of `partition`");
        let PartitionBody::Pipe(body) = body else {
            self.unsupported(place, "`partition` over a query in braces");
            return Relation::unknown();
        };
        let outer = std::mem::take(&mut self.carried);
        let group =
            Rel { op: RelOp::Group, fields: input.rel.fields.clone(), order: input.rel.order.clone(), serialized: input.rel.serialized };
        let answer = self.pipe(&body.operators, Relation { rel: group, open: input.open }, &mut env.clone());
        self.carried = outer;
        let outputs = self.outputs(&answer);
        let mut answer = answer.unordered_fields(self, outputs);
        if answer.rel.fields.is_empty() && !answer.open {
            self.report(code::TABLE_WANTED, place, "the body of `partition` gives no columns");
            answer.open = true;
        }
        let fields = answer.rel.fields.clone();
        let op = RelOp::Apply { input: Box::new(input.rel), keys: vec![key.expr], body: Box::new(answer.rel) };
        Relation { rel: Rel { op, fields, order: Vec::new(), serialized: false }, open: answer.open }
    }
}

impl Relation {
    /// Visible columns only, in no order: the body of an `Apply`.
    fn unordered_fields(self, binder: &mut Binder, outputs: Vec<(String, Scalar)>) -> Relation {
        // The order stays below, where `take` has used it.
        let mut projected = binder.project(self, outputs);
        projected.rel.order.clear();
        projected.rel.serialized = false;
        projected
    }
}

/// Does a body give the same when it runs over all groups at once? A `summarize` without keys must see every group: it may stand only where
/// no operator before it can have emptied one.
fn is_flat(operators: &[Operator]) -> bool {
    let mut may_be_empty = false;
    for operator in operators {
        match &operator.kind {
            OperatorKind::Where(_) => may_be_empty = true,
            OperatorKind::Extend(_)
            | OperatorKind::Project(_)
            | OperatorKind::ProjectAway(_)
            | OperatorKind::ProjectKeep(_)
            | OperatorKind::ProjectRename(_)
            | OperatorKind::ProjectReorder(_)
            | OperatorKind::ParseKv { .. }
            | OperatorKind::Parse { where_: false, .. } => {}
            OperatorKind::Parse { .. } | OperatorKind::MvExpand { .. } => may_be_empty = true,
            OperatorKind::Summarize { by, .. } if !by.is_empty() || !may_be_empty => {}
            _ => return false,
        }
    }
    true
}
