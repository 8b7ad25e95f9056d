//! Prepares a plan for lowering: runs the relations whose results other parts need.
//!
//! Subqueries become constants. A shared relation with several uses is run once and becomes a table in memory, as do relations that the
//! subquery of a group reads besides the group's rows.

use std::collections::HashMap;
use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use kql::Value;
use kql::eval::Runtime;
use kql::plan::{AggregateCall, Expr, ExprKind, Field, OrderKey, Plan, Rel, RelOp, SubqueryKind, TableRef};
use model::{QueryError, Type};

use crate::prune::prune;
use crate::run::Run;

/// The plan's relations with all prerequisites computed: the main result, then the additional results.
pub(crate) async fn prepare(run: &Run, mut plan: Plan) -> Result<(Rel, Vec<Rel>), QueryError> {
    let mut uses = HashMap::new();
    let relations = plan.subqueries.iter_mut().map(|subquery| &mut subquery.rel).chain([&mut plan.root]);
    for rel in relations.chain(plan.more.iter_mut().map(|(_, rel)| rel)) {
        run.literals.rewrite(run, rel)?;
    }
    let plan = {
        let _entered = run.watch.enter();
        pruned(plan, &run.runtime)
    };
    cancelled(run)?;
    let further = plan.more.iter().map(|(_, rel)| rel);
    let relations = plan.subqueries.iter().map(|subquery| &subquery.rel).chain([&plan.root]).chain(further);
    for rel in relations {
        count(rel, 1, &mut uses);
    }
    let mut preparing = Preparing { run, uses, shared: HashMap::new(), subqueries: Vec::new() };
    for subquery in plan.subqueries {
        let rel = preparing.rel(subquery.rel).await?;
        let batches = run.collect(&rel, if subquery.kind == SubqueryKind::Scalar { 1 } else { usize::MAX }).await?;
        preparing.subqueries.push(answer(&batches, &rel.fields, subquery.kind, subquery.ty));
    }
    let root = preparing.rel(plan.root).await?;
    let more = preparing.rels(plan.more.into_iter().map(|(_, rel)| rel).collect()).await?;
    Ok((root, more))
}

fn cancelled(run: &Run) -> Result<(), QueryError> {
    if run.watch.is_stopped() { Err(QueryError::Cancelled) } else { Ok(()) }
}

/// Removes unused columns from the plan.
fn pruned(mut plan: Plan, runtime: &Runtime) -> Plan {
    let relations = plan.subqueries.iter_mut().map(|subquery| &mut subquery.rel).chain([&mut plan.root]);
    for rel in relations.chain(plan.more.iter_mut().map(|(_, rel)| rel)) {
        *rel = prune(rel, rel.fields.iter().map(|field| field.id).collect(), runtime);
    }
    plan
}

/// Counts the uses of each shared relation. A use inside a group's subquery counts as many.
fn count(rel: &Rel, times: usize, uses: &mut HashMap<u32, usize>) {
    if let RelOp::Shared { id, .. } = rel.op {
        let seen = uses.entry(id).or_insert(0);
        *seen += times;
        if *seen > times {
            return;
        }
    }
    for input in inputs(rel) {
        count(input, times, uses);
    }
    if let RelOp::Apply { body, .. } = &rel.op {
        count(body, 2, uses);
    }
}

fn inputs(rel: &Rel) -> Vec<&Rel> {
    match &rel.op {
        RelOp::Scan { .. } | RelOp::Values { .. } | RelOp::Range { .. } | RelOp::Group => vec![],
        RelOp::Filter { input, .. }
        | RelOp::Project { input, .. }
        | RelOp::Aggregate { input, .. }
        | RelOp::Sort { input, .. }
        | RelOp::Take { input, .. }
        | RelOp::Window { input, .. }
        | RelOp::Apply { input, .. } => vec![input],
        RelOp::Join { left, right, .. } => vec![left, right],
        RelOp::Union { inputs, .. } | RelOp::Op { inputs, .. } => inputs.iter().collect(),
        RelOp::Shared { input, .. } => vec![input],
    }
}

/// The first cell, or all values of the first column.
fn answer(batches: &[arrow::record_batch::RecordBatch], fields: &[Field], kind: SubqueryKind, ty: Type) -> Value {
    let from = fields.first().map_or(ty, |field| field.ty);
    let mut cells = batches.iter().flat_map(|batch| (0..batch.num_rows()).filter(|_| batch.num_columns() > 0).map(move |row| (batch, row)));
    match kind {
        SubqueryKind::Scalar => match cells.next() {
            Some((batch, row)) => Value::from_cell(batch.column(0), row, from),
            None => Value::null(ty),
        },
        SubqueryKind::Set => {
            let mut json = String::from("[");
            for (index, (batch, row)) in cells.enumerate() {
                if index > 0 {
                    json.push(',');
                }
                kql::dynamic::push_value(&mut json, &Value::from_cell(batch.column(0), row, from));
            }
            json.push(']');
            Value::Dynamic(json)
        }
    }
}

struct Preparing<'a> {
    run: &'a Run,
    uses: HashMap<u32, usize>,
    /// Table number of each shared relation.
    shared: HashMap<u32, (u32, Vec<Field>)>,
    /// Results so far.
    subqueries: Vec<Value>,
}

impl Preparing<'_> {
    fn rel(&mut self, rel: Rel) -> BoxFuture<'_, Result<Rel, QueryError>> {
        async move {
            cancelled(self.run)?;
            let Rel { op, fields, order, serialized } = rel;
            let op = match op {
                RelOp::Shared { id, input } => return self.share(id, input, fields, order, serialized).await,
                RelOp::Scan { .. } | RelOp::Values { .. } | RelOp::Group => op,
                RelOp::Range { from, to, step } => RelOp::Range { from: self.expr(&from), to: self.expr(&to), step: self.expr(&step) },
                RelOp::Filter { input, predicate } => RelOp::Filter { predicate: self.expr(&predicate), input: self.boxed(input).await? },
                RelOp::Project { input, exprs } => RelOp::Project { exprs: self.exprs(&exprs), input: self.boxed(input).await? },
                RelOp::Aggregate { input, keys, aggregates } => RelOp::Aggregate {
                    keys: self.exprs(&keys),
                    aggregates: aggregates.iter().map(|call| AggregateCall { args: self.exprs(&call.args), ..call.clone() }).collect(),
                    input: self.boxed(input).await?,
                },
                RelOp::Join { kind, left, right, on } => RelOp::Join {
                    kind,
                    on: on.iter().map(|(l, r)| (self.expr(l), self.expr(r))).collect(),
                    left: self.boxed(left).await?,
                    right: self.boxed(right).await?,
                },
                RelOp::Union { inputs, columns } => {
                    RelOp::Union { columns: columns.iter().map(|exprs| self.exprs(exprs)).collect(), inputs: self.rels(inputs).await? }
                }
                RelOp::Sort { input, keys } => RelOp::Sort { keys: self.keys(&keys), input: self.boxed(input).await? },
                RelOp::Take { input, count } => RelOp::Take { count: self.expr(&count), input: self.boxed(input).await? },
                RelOp::Window { input, exprs } => RelOp::Window { exprs: self.exprs(&exprs), input: self.boxed(input).await? },
                RelOp::Op { op, inputs } => {
                    RelOp::Op { op: op.map_exprs(&mut |source| self.expr(source)).into(), inputs: self.rels(inputs).await? }
                }
                RelOp::Apply { input, keys, body } => RelOp::Apply {
                    keys: self.exprs(&keys),
                    input: self.boxed(input).await?,
                    body: {
                        let body = self.rel(*body).await?;
                        Box::new(self.settle(body).await?)
                    },
                },
            };
            Ok(Rel { op, fields, order: self.keys(&order), serialized })
        }
        .boxed()
    }

    async fn boxed(&mut self, rel: Box<Rel>) -> Result<Box<Rel>, QueryError> {
        Ok(Box::new(self.rel(*rel).await?))
    }

    async fn rels(&mut self, rels: Vec<Rel>) -> Result<Vec<Rel>, QueryError> {
        let mut ready = Vec::with_capacity(rels.len());
        for rel in rels {
            ready.push(self.rel(rel).await?);
        }
        Ok(ready)
    }

    async fn share(
        &mut self,
        id: u32,
        input: Arc<Rel>,
        fields: Vec<Field>,
        order: Vec<OrderKey>,
        serialized: bool,
    ) -> Result<Rel, QueryError> {
        if self.uses.get(&id).copied().unwrap_or(1) < 2 {
            let input = Arc::new(self.rel(input.as_ref().clone()).await?);
            return Ok(Rel { op: RelOp::Shared { id, input }, order: self.keys(&order), fields, serialized });
        }
        let (number, from) = match self.shared.get(&id) {
            Some(known) => known.clone(),
            None => {
                let rel = self.rel(input.as_ref().clone()).await?;
                let kept = (self.run.keep(&rel).await?, rel.fields);
                self.shared.insert(id, kept.clone());
                kept
            }
        };
        let columns = from.iter().map(|field| field.id.to_string()).collect();
        let op = RelOp::Scan { table: TableRef { name: format!("shared_{id}"), computed: Some(number) }, columns };
        // The rows in memory are already in order and need no second sort.
        Ok(Rel { op, order: self.keys(&order), fields, serialized })
    }

    /// Runs the relations that a group's subquery reads besides the group's rows.
    fn settle(&mut self, rel: Rel) -> BoxFuture<'_, Result<Rel, QueryError>> {
        async move {
            if matches!(rel.op, RelOp::Values { .. } | RelOp::Range { .. } | RelOp::Group) {
                return Ok(rel);
            }
            if !reads_group(&rel) {
                let number = self.run.keep(&rel).await?;
                let columns = rel.fields.iter().map(|field| field.id.to_string()).collect();
                let op = RelOp::Scan { table: TableRef { name: "settled".to_owned(), computed: Some(number) }, columns };
                return Ok(Rel { op, ..rel });
            }
            let Rel { op, fields, order, serialized } = rel;
            let op = match op {
                RelOp::Filter { input, predicate } => RelOp::Filter { input: self.settled(input).await?, predicate },
                RelOp::Project { input, exprs } => RelOp::Project { input: self.settled(input).await?, exprs },
                RelOp::Aggregate { input, keys, aggregates } => RelOp::Aggregate { input: self.settled(input).await?, keys, aggregates },
                RelOp::Join { kind, left, right, on } => {
                    RelOp::Join { kind, left: self.settled(left).await?, right: self.settled(right).await?, on }
                }
                RelOp::Sort { input, keys } => RelOp::Sort { input: self.settled(input).await?, keys },
                RelOp::Take { input, count } => RelOp::Take { input: self.settled(input).await?, count },
                RelOp::Window { input, exprs } => RelOp::Window { input: self.settled(input).await?, exprs },
                RelOp::Apply { input, keys, body } => {
                    RelOp::Apply { input: self.settled(input).await?, keys, body: self.settled(body).await? }
                }
                RelOp::Shared { id, input } => RelOp::Shared { id, input: Arc::new(self.settle(input.as_ref().clone()).await?) },
                RelOp::Union { inputs, columns } => RelOp::Union { inputs: self.settled_all(inputs).await?, columns },
                RelOp::Op { op, inputs } => RelOp::Op { op, inputs: self.settled_all(inputs).await? },
                leaf => leaf,
            };
            Ok(Rel { op, fields, order, serialized })
        }
        .boxed()
    }

    async fn settled(&mut self, rel: Box<Rel>) -> Result<Box<Rel>, QueryError> {
        Ok(Box::new(self.settle(*rel).await?))
    }

    async fn settled_all(&mut self, rels: Vec<Rel>) -> Result<Vec<Rel>, QueryError> {
        let mut ready = Vec::with_capacity(rels.len());
        for rel in rels {
            ready.push(self.settle(rel).await?);
        }
        Ok(ready)
    }

    fn expr(&self, source: &Expr) -> Expr {
        let kind = match &source.kind {
            ExprKind::Subquery(index) => match self.subqueries.get(*index) {
                Some(value) => ExprKind::Const(value.clone()),
                None => ExprKind::Subquery(*index),
            },
            ExprKind::Call { function, args } => ExprKind::Call { function, args: self.exprs(args) },
            ExprKind::Window { function, args } => ExprKind::Window { function, args: self.exprs(args) },
            other => other.clone(),
        };
        Expr { kind, ty: source.ty }
    }

    fn exprs(&self, sources: &[Expr]) -> Vec<Expr> {
        sources.iter().map(|source| self.expr(source)).collect()
    }

    fn keys(&self, keys: &[OrderKey]) -> Vec<OrderKey> {
        keys.iter().map(|key| OrderKey { expr: self.expr(&key.expr), ..key.clone() }).collect()
    }
}

fn reads_group(rel: &Rel) -> bool {
    matches!(rel.op, RelOp::Group) || inputs(rel).into_iter().any(reads_group)
}
