//! Lowers KQL's typed plan to a DataFusion logical plan. Columns are fields named by their id (`c17`), unique in the whole plan.
//!
//! The input has been prepared ([`crate::prepare`]): subqueries are constants; shared relations, and everything in a group's subquery that
//! does not depend on the group, are tables in memory. An operator becomes the DataFusion node with the same semantics if there is one,
//! otherwise an [`OpNode`].
//!
//! Order: `ordered` means that the consumer depends on the row order. Otherwise sorts are omitted. If it does, rows without a guaranteed
//! order still come in a reproducible order, as far as a single thread can ensure it.
//!
//! Null join keys match each other, unlike with `==`: measured on Microsoft's engine.

mod inlined;
mod ordered;
mod projections;

use std::sync::Arc;

use datafusion::arrow::record_batch::RecordBatch;
use datafusion::catalog::TableProvider;
use datafusion::common::{DFSchema, DataFusionError, JoinType, NullEquality};
use datafusion::datasource::provider_as_source;
use datafusion::logical_expr::{
    Aggregate, AggregateUDF, EmptyRelation, Expr, Filter, Join, JoinConstraint, LogicalPlan, Sort, SortExpr, TableScanBuilder, Union,
    expr::AggregateFunction, lit,
};
use kql::Value;
use kql::eval::Runtime;
use kql::ops::TableOp;
use kql::plan::{AggregateCall, ColumnId, Expr as KqlExpr, ExprKind, Field, JoinKind, Rel, RelOp, TableRef};
use kql::watch;
use model::{QueryError, Type};

use crate::direct::{self, Readable};
use crate::expr::{MOST_JUNCTIONS, column, constant, expr, named, predicate};
use crate::group::GroupOp;
use crate::grouping::SummarizeOp;
use crate::internal::text;
use crate::node::OpNode;
use crate::order::KeepOrder;
use crate::range::RangeTable;
use crate::unique::UniqueOp;
use crate::values::{BatchesTable, null, rows_to_batch, scalar, schema_of};
use crate::wide::{self, WideUnion};
use crate::window::WindowOp;
use inlined::Terms;
pub(crate) use projections::project;

pub(crate) use ordered::total_order;

/// Provides the rows of a `Scan`. `columns` are the table's column names of `fields`.
pub(crate) trait Tables {
    /// The table for direct execution; `None` if its rows are in memory.
    fn readable(&self, table: &TableRef, fields: &[Field], columns: &[String]) -> Result<Option<Readable>, QueryError>;

    /// A table with rows in memory: columns are named by the ids of the requested fields.
    fn source(&self, table: &TableRef, fields: &[Field], columns: &[String]) -> Result<Arc<dyn TableProvider>, QueryError>;

    /// True if the table is known to be empty.
    fn is_empty(&self, table: &TableRef) -> bool;

    /// The rows, if they are in memory.
    fn rows(&self, table: &TableRef, fields: &[Field], columns: &[String]) -> Result<Option<RecordBatch>, QueryError>;
}

pub(crate) struct Lowering<'a> {
    pub tables: &'a dyn Tables,
    pub runtime: Runtime,
    /// Use operators that need little memory and can spill: slower, and used only if memory is short. If the row order within a group
    /// matters, rows are then sorted by group first, so that no group state is spilled: merged states would be in arbitrary order.
    pub frugal: bool,
    /// Number of generated column names.
    temporaries: u32,
    /// Number of projections created.
    projections: u32,
    /// Sizes of computed columns.
    terms: Terms,
    /// Remaining number of native `and` and `or` nodes.
    junctions: usize,
}

/// Number of projections after which a chain is cut.
const CUT: u32 = 24;

/// Ids of row number columns count down from here; ids of the plan count up from 0, those of window steps down from the last one.
const PLACES: u32 = u32::MAX / 2;

type Lowered = Result<LogicalPlan, QueryError>;

/// A bug: DataFusion rejected our plan.
pub(crate) fn broken(why: DataFusionError) -> QueryError {
    QueryError::Internal(why.to_string())
}

impl<'a> Lowering<'a> {
    pub(crate) fn new(tables: &'a dyn Tables, runtime: Runtime) -> Self {
        Self { tables, runtime, frugal: false, temporaries: 0, projections: 0, terms: Terms::default(), junctions: MOST_JUNCTIONS }
    }

    /// Lowers `rel` completely: exactly `fields`, in order, and rows in the guaranteed order. Strings are not null.
    pub(crate) fn answer(&mut self, rel: &Rel, fields: &[Field]) -> Lowered {
        let input = self.lower(rel, promises(rel))?;
        let exprs = fields.iter().map(|field| match field.ty {
            Type::String => text(column(field.id)).alias(field.id.to_string()),
            _ => column(field.id),
        });
        project(input, exprs.collect())
    }

    /// Lowers `rel` to a plan that has at least its fields.
    pub(crate) fn lower(&mut self, rel: &Rel, ordered: bool) -> Lowered {
        if watch::stopped() {
            return Err(QueryError::Cancelled);
        }
        let tables = self.tables;
        let find = |table: &TableRef, fields: &[Field], columns: &[String]| tables.readable(table, fields, columns);
        if (!self.frugal || is_plain(rel))
            && let Some(provider) = direct::plan(rel, &self.runtime, &find)?
        {
            return scan("direct", provider);
        }
        match &rel.op {
            RelOp::Scan { table, columns } => scan(&table.name, self.tables.source(table, &rel.fields, columns)?),
            RelOp::Values { rows } if rel.fields.is_empty() && rows.len() == 1 => {
                Ok(LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: true, schema: Arc::new(DFSchema::empty()) }))
            }
            RelOp::Values { rows } => {
                let batch = rows_to_batch(&rel.fields, rows).map_err(broken)?;
                scan("values", Arc::new(BatchesTable::new(schema_of(&rel.fields), vec![batch])))
            }
            RelOp::Range { from, to, step } => scan("range", Arc::new(RangeTable::new(&rel.fields, from, to, step, &self.runtime)?)),
            RelOp::Filter { input, predicate: condition } => {
                let input = self.lower(input, ordered)?;
                let condition = predicate(condition, &self.runtime, &mut self.junctions)?;
                Ok(LogicalPlan::Filter(Filter::try_new(condition, Arc::new(input)).map_err(broken)?))
            }
            RelOp::Project { input, exprs } => {
                let mut input = self.lower(input, ordered)?;
                self.projections += 1;
                if self.projections.is_multiple_of(CUT) {
                    input = KeepOrder::plan(input, Vec::new());
                }
                let large = self.terms.project(exprs, &rel.fields);
                let exprs = exprs.iter().zip(&rel.fields).map(|(source, field)| Ok(named(expr(source, &self.runtime)?, field.id)));
                let projected = project(input, exprs.collect::<Result<_, QueryError>>()?)?;
                Ok(if large.is_empty() { projected } else { KeepOrder::fence(projected, large) })
            }
            RelOp::Aggregate { input, keys, aggregates } if ordered && !keys.is_empty() => {
                let lowered = self.lower(input, true)?;
                let op: Arc<dyn TableOp> = Arc::new(SummarizeOp { keys: keys.clone(), aggregates: aggregates.clone() });
                OpNode::plan(op, self.runtime, vec![lowered], vec![input.fields.clone()], rel.fields.clone()).map_err(broken)
            }
            RelOp::Aggregate { input, keys, aggregates } => self.aggregate(rel, input, keys, aggregates),
            RelOp::Join { kind, left, right, on } => self.join(rel, *kind, left, right, on),
            RelOp::Union { inputs, columns } => self.union(rel, inputs, columns, ordered),
            RelOp::Sort { input, .. } if !ordered => self.lower(input, false),
            RelOp::Sort { input, keys } if self.frugal => self.sort(input, keys, None),
            RelOp::Sort { input, keys } => self.sort_all(input, keys),
            RelOp::Take { input, count } => self.take(input, count),
            RelOp::Window { input, exprs } => {
                let op: Arc<dyn TableOp> = Arc::new(WindowOp::new(&input.fields, &rel.fields, exprs.clone()));
                let lowered = self.lower(input, true)?;
                OpNode::plan(op, self.runtime, vec![lowered], vec![input.fields.clone()], rel.fields.clone()).map_err(broken)
            }
            RelOp::Op { op, inputs } => {
                let keeps = |input: &Rel| ordered || op.ordered() || (!op.per_row() && promises(input));
                let lowered = inputs.iter().map(|input| self.lower(input, keeps(input))).collect::<Result<Vec<_>, _>>()?;
                let takes = inputs.iter().map(|input| input.fields.clone()).collect();
                OpNode::plan(op.clone(), self.runtime, lowered, takes, rel.fields.clone()).map_err(broken)
            }
            RelOp::Apply { input, keys, body } => {
                let op: Arc<dyn TableOp> = Arc::new(GroupOp::new(&input.fields, keys.clone(), body, self.tables, &self.runtime)?);
                let lowered = self.lower(input, true)?;
                OpNode::plan(op, self.runtime, vec![lowered], vec![input.fields.clone()], rel.fields.clone()).map_err(broken)
            }
            RelOp::Group => Err(QueryError::Internal("the rows of a group outside a group".to_owned())),
            RelOp::Shared { input, .. } => {
                // Used once: not cached.
                let lowered = self.lower(input, ordered)?;
                let exprs = rel.fields.iter().zip(&input.fields).map(|(field, from)| named(column(from.id), field.id));
                project(lowered, exprs.collect())
            }
        }
    }

    /// A column name unique in the plan.
    fn temporary(&mut self) -> String {
        self.temporaries += 1;
        format!("t{}", self.temporaries)
    }

    /// Keys and arguments are computed below the aggregation, so that it reads only columns and constants.
    fn aggregate(&mut self, rel: &Rel, input: &Rel, keys: &[KqlExpr], aggregates: &[AggregateCall]) -> Lowered {
        let ordered = aggregates.iter().any(|call| reads_order(call.function.name));
        let promised = promises(input);
        let mut lowered = self.lower(input, ordered)?;
        let sorted = self.frugal && promised && ordered && !keys.is_empty();
        let mut place = ColumnId(PLACES);
        if sorted {
            (lowered, place) = self.numbered(lowered, input)?;
        }
        let (key_fields, call_fields) = rel.fields.split_at(keys.len().min(rel.fields.len()));
        let mut computed: Vec<Expr> = Vec::new();
        for (key, field) in keys.iter().zip(key_fields) {
            let key_expr = expr(key, &self.runtime)?;
            computed.push(named(if key.ty == Type::String { text(key_expr) } else { key_expr }, field.id));
        }
        let mut names: Vec<(KqlExpr, String)> = Vec::new();
        let mut calls = Vec::new();
        for (call, field) in aggregates.iter().zip(call_fields) {
            let mut args = Vec::new();
            for arg in &call.args {
                args.push(match constant(arg, &self.runtime) {
                    Some(value) => lit(scalar(&value)),
                    None => {
                        let known = names.iter().find(|(other, _)| other == arg && is_deterministic(arg)).map(|(_, name)| name.clone());
                        let name = match known {
                            Some(name) => name,
                            None => {
                                let name = self.temporary();
                                computed.push(expr(arg, &self.runtime)?.alias(&name));
                                names.push((arg.clone(), name.clone()));
                                name
                            }
                        };
                        column(name)
                    }
                });
            }
            if args.is_empty() {
                args.push(lit(1i8));
            }
            calls.push(
                Expr::AggregateFunction(AggregateFunction::new_udf(
                    self.aggregate_function(call, promised),
                    args,
                    false,
                    None,
                    vec![],
                    None,
                ))
                .alias(field.id.to_string()),
            );
        }
        if sorted {
            computed.push(column(place));
        }
        let mut input = project(lowered, computed)?;
        if sorted {
            let keys = key_fields.iter().map(|field| field.id).chain([place]);
            let order: Vec<SortExpr> = keys.map(|id| SortExpr { expr: column(id), asc: true, nulls_first: true }).collect();
            let sort = LogicalPlan::Sort(Sort { expr: order.clone(), input: Arc::new(input), fetch: None });
            input = KeepOrder::plan(sort, order);
        }
        let keys: Vec<Expr> = key_fields.iter().map(|field| column(field.id)).collect();
        if keys.is_empty() && calls.is_empty() {
            // `summarize` without keys and aggregates: one empty row.
            return Ok(LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: true, schema: Arc::new(DFSchema::empty()) }));
        }
        Ok(LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(input), keys, calls).map_err(broken)?))
    }

    /// `promised`: the input order is guaranteed and affects the result.
    fn aggregate_function(&self, call: &AggregateCall, promised: bool) -> Arc<AggregateUDF> {
        let types: Vec<Type> = call.args.iter().map(|arg| arg.ty).collect();
        let constants: Vec<Option<Value>> = call.args.iter().map(|arg| constant(arg, &self.runtime)).collect();
        Arc::new(crate::aggregate::Call::udf(
            call.function,
            types,
            constants,
            call.ty,
            promised && !self.frugal && reads_order(call.function.name),
        ))
    }

    fn join(&mut self, rel: &Rel, kind: JoinKind, left: &Rel, right: &Rel, on: &[(KqlExpr, KqlExpr)]) -> Lowered {
        let mut left_plan = self.lower(left, kind == JoinKind::InnerUnique && promises(left))?;
        let right_plan = self.lower(right, false)?;
        if kind == JoinKind::InnerUnique && !on.is_empty() {
            let keys = on.iter().map(|(key, _)| key.clone()).collect();
            let op: Arc<dyn TableOp> = Arc::new(UniqueOp { keys });
            left_plan = OpNode::plan(op, self.runtime, vec![left_plan], vec![left.fields.clone()], left.fields.clone()).map_err(broken)?;
        }
        // Keys must be columns of either side; computed keys are added below.
        let mut lefts = Vec::new();
        let mut rights = Vec::new();
        for (l, r) in on {
            lefts.push(self.key(l, left)?);
            rights.push(self.key(r, right)?);
        }
        let (left_plan, left_keys) = self.with_computed(left_plan, lefts)?;
        let (right_plan, right_keys) = self.with_computed(right_plan, rights)?;
        let pairs = left_keys.into_iter().zip(right_keys).collect();
        let join_type = match kind {
            JoinKind::InnerUnique | JoinKind::Inner => JoinType::Inner,
            JoinKind::LeftOuter => JoinType::Left,
            JoinKind::RightOuter => JoinType::Right,
            JoinKind::FullOuter => JoinType::Full,
            JoinKind::LeftSemi => JoinType::LeftSemi,
            JoinKind::RightSemi => JoinType::RightSemi,
            JoinKind::LeftAnti => JoinType::LeftAnti,
            JoinKind::RightAnti => JoinType::RightAnti,
        };
        let join = Join::try_new(
            Arc::new(left_plan),
            Arc::new(right_plan),
            pairs,
            None,
            join_type,
            JoinConstraint::On,
            NullEquality::NullEqualsNull,
            false,
        );
        let joined = LogicalPlan::Join(join.map_err(broken)?);
        // Unmatched strings are `""`.
        let filled = |field: &Field| {
            let of_left = left.fields.iter().any(|other| other.id == field.id);
            let missing = match join_type {
                JoinType::Full => true,
                JoinType::Left => !of_left,
                JoinType::Right => of_left,
                _ => false,
            };
            if missing && field.ty == Type::String { text(column(field.id)).alias(field.id.to_string()) } else { column(field.id) }
        };
        project(joined, rel.fields.iter().map(filled).collect())
    }

    /// A key by which rows of `side` are matched or sorted: a null string is treated as empty, even if nulls go last.
    fn key(&self, key: &KqlExpr, side: &Rel) -> Result<Expr, QueryError> {
        let lowered = expr(key, &self.runtime)?;
        let filled = matches!(key.kind, ExprKind::Column(id) if is_filled(side, id));
        Ok(if key.ty == Type::String && !filled { text(lowered) } else { lowered })
    }

    /// Adds columns to `input` for those of `exprs` that are not columns; also returns the columns.
    fn with_computed(&mut self, input: LogicalPlan, exprs: Vec<Expr>) -> Result<(LogicalPlan, Vec<Expr>), QueryError> {
        let mut columns = Vec::new();
        let mut added = Vec::new();
        for source in exprs {
            match source {
                Expr::Column(_) => columns.push(source),
                _ => {
                    let name = self.temporary();
                    added.push(source.alias(&name));
                    columns.push(column(name));
                }
            }
        }
        if added.is_empty() {
            return Ok((input, columns));
        }
        let mut all: Vec<Expr> = input.schema().fields().iter().map(|field| column(field.name())).collect();
        all.extend(added);
        Ok((project(input, all)?, columns))
    }

    fn union(&mut self, rel: &Rel, inputs: &[Rel], columns: &[Vec<KqlExpr>], ordered: bool) -> Lowered {
        if wide::is_wide(inputs.len(), &rel.fields) {
            return self.wide_union(rel, inputs, columns);
        }
        let mut lowered = Vec::new();
        for (input, exprs) in inputs.iter().zip(columns) {
            // `union *` and `search` reference all tables, most of which are empty.
            if self.is_empty(input) {
                continue;
            }
            let plan = self.lower(input, ordered)?;
            let exprs = exprs.iter().zip(&rel.fields).map(|(source, field)| {
                // A null constant has no type of its own, so the field's is used.
                let value = match &source.kind {
                    ExprKind::Const(Value::Null(_)) => lit(null(field.ty)),
                    _ => expr(source, &self.runtime)?,
                };
                Ok(named(if field.ty == Type::String { text(value) } else { value }, field.id))
            });
            lowered.push(Arc::new(project(plan, exprs.collect::<Result<_, QueryError>>()?)?));
        }
        match lowered.len() {
            0 => no_rows(&rel.fields),
            1 => Ok(lowered.remove(0).as_ref().clone()),
            _ => {
                let schema = DFSchema::try_from(schema_of(&rel.fields).as_ref().clone()).map_err(broken)?;
                Ok(LogicalPlan::Union(Union { inputs: lowered, schema: Arc::new(schema) }))
            }
        }
    }

    fn wide_union(&mut self, rel: &Rel, inputs: &[Rel], columns: &[Vec<KqlExpr>]) -> Lowered {
        let mut op = WideUnion { columns: Vec::new() };
        let (mut lowered, mut takes) = (Vec::new(), Vec::new());
        for (input, exprs) in inputs.iter().zip(columns) {
            if !self.is_empty(input) {
                lowered.push(self.lower(input, false)?);
                takes.push(input.fields.clone());
                op.columns.push(exprs.clone());
            }
        }
        if lowered.is_empty() {
            return no_rows(&rel.fields);
        }
        OpNode::plan(Arc::new(op), self.runtime, lowered, takes, rel.fields.clone()).map_err(broken)
    }

    /// True if the relation is known to be empty.
    fn is_empty(&self, rel: &Rel) -> bool {
        match &rel.op {
            RelOp::Scan { table, .. } => self.tables.is_empty(table),
            RelOp::Filter { input, .. } | RelOp::Project { input, .. } | RelOp::Sort { input, .. } | RelOp::Take { input, .. } => {
                self.is_empty(input)
            }
            RelOp::Op { op, inputs } if op.per_row() => inputs.len() == 1 && self.is_empty(&inputs[0]),
            _ => false,
        }
    }

    /// True for a union whose inputs all support direct execution.
    fn is_union_of_files(&self, rel: &Rel) -> Result<bool, QueryError> {
        let inputs = match &rel.op {
            RelOp::Project { input, .. } => return self.is_union_of_files(input),
            RelOp::Union { inputs, .. } => inputs,
            _ => return Ok(false),
        };
        for input in inputs {
            let Some((table, fields, columns)) = direct::bottom(input) else { return Ok(false) };
            if self.tables.readable(table, fields, columns)?.is_none() {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// A relation of `fields` without rows.
fn no_rows(fields: &[Field]) -> Lowered {
    let schema = DFSchema::try_from(schema_of(fields).as_ref().clone()).map_err(broken)?;
    Ok(LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: false, schema: Arc::new(schema) }))
}

/// True for a table with only filters and computed columns above it: nothing grouped or sorted during the scan.
fn is_plain(rel: &Rel) -> bool {
    match &rel.op {
        RelOp::Scan { .. } => true,
        RelOp::Filter { input, .. } | RelOp::Project { input, .. } => is_plain(input),
        _ => false,
    }
}

/// True if a string column has no nulls: tables have none, functions may return some.
fn is_filled(rel: &Rel, id: ColumnId) -> bool {
    match &rel.op {
        RelOp::Scan { .. } => true,
        RelOp::Filter { input, .. } | RelOp::Sort { input, .. } | RelOp::Take { input, .. } => is_filled(input, id),
        RelOp::Project { input, exprs } => {
            let source = rel.fields.iter().position(|field| field.id == id).and_then(|at| exprs.get(at));
            matches!(source.map(|source| &source.kind), Some(ExprKind::Column(from)) if is_filled(input, *from))
        }
        _ => false,
    }
}

/// True if KQL guarantees an order of the rows.
fn promises(rel: &Rel) -> bool {
    rel.serialized || !rel.order.is_empty()
}

/// True for aggregates that depend on the order of their rows.
fn reads_order(name: &str) -> bool {
    matches!(name, "make_list" | "make_list_if" | "make_list_with_nulls" | "make_set" | "make_set_if" | "make_bag" | "make_bag_if")
        || name.starts_with("take_any")
        || name.starts_with("arg_")
}

fn is_deterministic(source: &KqlExpr) -> bool {
    let mut all = true;
    source.walk(&mut |part| {
        if let ExprKind::Call { function, .. } = &part.kind {
            all &= function.deterministic;
        }
    });
    all
}

fn scan(name: &str, provider: Arc<dyn TableProvider>) -> Lowered {
    // Quoted as a bare name: `TableScan` qualifies its columns with it, and a projection removes the qualifier.
    let source = provider_as_source(provider);
    let table = datafusion::common::TableReference::bare(name.to_owned());
    let scan = LogicalPlan::TableScan(TableScanBuilder::new(table, source).build().map_err(broken)?);
    let exprs = scan
        .schema()
        .iter()
        .map(|(qualifier, field)| Expr::Column(datafusion::common::Column::new(qualifier.cloned(), field.name())).alias(field.name()));
    let exprs = exprs.collect();
    project(scan, exprs)
}
