//! `mv-apply`, `partition`: a subquery per group of rows.
//!
//! A subquery that processes each row independently needs no groups: it runs over all rows at once, as does a `summarize` directly after
//! the expansion, with the input row as an additional key. Everything else becomes an `Apply`.

use crate::Value;
use crate::bind::naming::{Names, name_of};
use crate::bind::relation::Output;
use crate::bind::scope::{Binding, Cx, Env, Relation, Scalar, WindowCall, Windows};
use crate::bind::{Binder, diagnostics as code};
use crate::plan::{ColumnId, Expr as Bound, ExprKind as BoundKind, Field, JoinKind, Rel, RelOp};
use crate::syntax::ast::{Expr, ExprKind, MvItem, Operator, OperatorKind, PartitionBody, Place, Property, SubPipe};
use crate::windows;

use super::union::Leg;

/// Maximum number of values of a `partition` whose parts are separate tables, as in the public KQL reference.
const MOST_PARTS: usize = 64;

/// The columns that an `mv-apply` expands in place: `mv-apply l on …`, but not `l = l` or items after a named one.
fn expanded_in_place(items: &[MvItem]) -> Vec<&str> {
    let mut names = Vec::new();
    for item in items {
        match item {
            MvItem { name: None, expr: Expr { kind: ExprKind::Name(name), .. }, .. } => names.push(name.text.as_str()),
            _ => break,
        }
    }
    names
}

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
        // All columns of the input are in the output, except those expanded in place, which the subquery replaces.
        let replaced = expanded_in_place(items);
        let kept: Vec<Field> = input.visible().filter(|field| !replaced.contains(&&*field.name)).cloned().collect();
        let open = input.open;
        let Some((numbered, row)) = self.number_rows(input) else {
            self.unsupported(place, "`mv-apply`");
            return Relation::unknown();
        };
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

    /// Runs `body` for each group of rows with equal `row`; adds the columns `kept`, which are constant within a group.
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
            // Take one row of the group, for columns dropped by the subquery.
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

    /// `kept`, followed by the other columns of `answer`, without their carried copies.
    fn with_kept(&mut self, answer: Relation, kept: &[Field]) -> Relation {
        let mut names = Names::default();
        let mut outputs: Vec<Output> = Vec::new();
        for field in kept {
            if answer.rel.fields.iter().any(|other| other.id == field.id) {
                // If the subquery renamed or replaced the column, the old name refers to the input's column.
                let replaced = answer.visible().find(|other| other.name == field.name && other.id != field.id).cloned();
                names.take(&field.name);
                let value = self.column(replaced.as_ref().unwrap_or(field));
                outputs.push((field.name.clone(), value));
            }
        }
        let rest: Vec<Field> = answer.visible().filter(|field| !kept.iter().any(|kept| kept.id == field.id)).cloned().collect();
        for field in rest {
            if names.take(&field.name) {
                let value = self.column(&field);
                outputs.push((field.name.clone(), value));
            }
        }
        self.project(answer, outputs)
    }

    /// A hidden column that identifies rows.
    fn number_rows(&mut self, input: Relation) -> Option<(Relation, Field)> {
        let function = windows::find("row_number")?;
        let field = Field { id: self.fresh(), name: "".into(), ty: model::Type::Long };
        let expr = Bound { kind: BoundKind::Window { function, args: vec![Bound::constant(Value::Long(1))] }, ty: model::Type::Long };
        let windows = Windows { calls: vec![WindowCall { expr, field: field.clone(), level: 0 }] };
        Some((self.with_windows(input, windows), field))
    }

    pub(super) fn partition(
        &mut self,
        properties: &[Property],
        by: &Expr,
        body: &PartitionBody,
        input: Relation,
        env: &Env,
        place: &Place,
    ) -> Relation {
        let mut legacy = true;
        for property in properties {
            match (property.name.text.to_ascii_lowercase().as_str(), name_of(&property.value).as_deref()) {
                ("hint.strategy", Some("native" | "shuffle")) => legacy = false,
                ("hint.strategy", Some("legacy")) => {}
                ("hint.strategy", _) => {
                    self.report(
                        code::BAD_OPTION,
                        &property.value.place,
                        "`hint.strategy` of `partition` is `native`, `shuffle` or `legacy`",
                    );
                }
                (name, _) if name.starts_with("hint.") => {}
                (name, _) => self.report(code::BAD_OPTION, &property.name.place, format!("`partition` has no option `{name}`")),
            }
        }
        let key = self.scalar(by, &mut Cx::row(env, &input));
        self.refuse_dynamic(&key, &by.place, "the key of `partition`");
        let body = match body {
            PartitionBody::Query(query) => {
                let query = |binder: &mut Self, value: Scalar, _: Relation| {
                    let name = name_of(by).unwrap_or_default();
                    binder.table(query, &env.with(&name, Binding::Scalar(value)))
                };
                return self.each_value(key, input, place, query);
            }
            // A named part may be referenced as a whole, so each part becomes a separate table.
            PartitionBody::Pipe(body)
                if legacy && body.operators.iter().any(|operator| matches!(operator.kind, OperatorKind::As { .. })) =>
            {
                return self.each_value(key, input, place, |binder, _, part| binder.pipe(&body.operators, part, &mut env.clone()));
            }
            PartitionBody::Pipe(body) => body,
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

impl Binder<'_> {
    /// Concatenates the rows that `body` returns for each value of `key`. It receives the value and the rows with that value.
    fn each_value(
        &mut self,
        key: Scalar,
        input: Relation,
        place: &Place,
        body: impl Fn(&mut Self, Scalar, Relation) -> Relation,
    ) -> Relation {
        let (ty, known) = (key.ty(), key.known);
        let shared = self.share(input);
        let rename = |expr: &Bound, part: &Relation| {
            let mut expr = expr.clone();
            expr.map_columns(&|id| shared.rel.fields.iter().position(|field| field.id == id).map_or(id, |at| part.rel.fields[at].id));
            Scalar { expr, known }
        };
        let values = self.reuse(&shared);
        let field = self.typed("", ty);
        let op = RelOp::Aggregate { keys: vec![rename(&key.expr, &values).expr], aggregates: Vec::new(), input: Box::new(values.rel) };
        let distinct =
            Relation { rel: Rel { op, fields: vec![field.clone()], order: Vec::new(), serialized: false }, open: values.open || !known };
        let Some((_, batches)) = self.rows_of(&distinct, place) else {
            // The values are known only at run time; the columns are the same for all.
            let value = Scalar { expr: Self::null(ty), known: false };
            let part = self.reuse(&shared);
            let one = body(self, value, part);
            self.postpone(code::RUN, place, "the parts of `partition` are known only when it runs");
            return one;
        };
        let mut values: Vec<Value> = Vec::new();
        for batch in &batches {
            let Some(column) = batch.column_by_name(&field.id.to_string()) else { continue };
            values.extend((0..batch.num_rows()).map(|row| Value::from_cell(column, row, ty)));
        }
        if values.len() > MOST_PARTS {
            let help = "use `hint.strategy=native` with a body in parentheses, which has no such limit".to_owned();
            let message = format!("`partition` of this kind takes at most {MOST_PARTS} values of its column, there are {}", values.len());
            self.report_with(code::TOO_LARGE, place, message, Some(help));
            return Relation::unknown();
        }
        values.sort_by_cached_key(|value| (value.is_null(), value.to_text()));
        let mut legs: Vec<Leg> = Vec::with_capacity(values.len().max(1));
        let places = [place.clone(), place.clone()];
        for value in &values {
            if !self.count(place) {
                return Relation::unknown();
            }
            let part = self.reuse(&shared);
            let here = rename(&key.expr, &part);
            let constant = Scalar::known(Bound::constant(value.clone()));
            let condition = match value.is_null() {
                true => self.operator("isnull", vec![here], &places, place),
                false => self.operator("==", vec![here, constant.clone()], &places, place),
            };
            let part = self.filter(part, condition);
            legs.push(Leg { relation: body(self, constant, part), source: String::new() });
        }
        if legs.is_empty() {
            // Without any rows: the columns of the subquery, and no rows.
            let part = self.reuse(&shared);
            let none = body(self, Scalar::known(Self::null(ty)), part);
            return self.filter(none, Scalar::known(Bound::constant(Value::Bool(false)))).unordered();
        }
        self.unite(legs, false, None)
    }
}

impl Relation {
    /// Visible columns only, unordered: the subquery of an `Apply`.
    fn unordered_fields(self, binder: &mut Binder, outputs: Vec<Output>) -> Relation {
        // The order is kept below, where `take` has used it.
        let mut projected = binder.project(self, outputs);
        projected.rel.order.clear();
        projected.rel.serialized = false;
        projected
    }
}

/// True if a subquery returns the same when run over all groups at once. A `summarize` without keys must see every group, so it is allowed
/// only if no earlier operator can empty one.
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
