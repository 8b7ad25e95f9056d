//! Interprets a small plan over rows in memory, without DataFusion: the subquery of `mv-apply` and `partition`, possibly thousands of times
//! per query.
//!
//! The subquery is compiled once; relations it reads besides the group's rows have been computed before ([`crate::prepare`]). Operators
//! process whole batches. Each has the same semantics and kernels as in [`crate::lower`].

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, UInt32Array, new_null_array};
use arrow::compute::{SortColumn, SortOptions, concat_batches, filter_record_batch, lexsort_to_indices, take, take_record_batch};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use arrow::row::OwnedRow;
use kql::Value;
use kql::eval::{EvalError, Evaluator, Runtime};
use kql::ops::TableOp;
use kql::plan::{Expr, ExprKind, Field, JoinKind, OrderKey, Rel, RelOp};
use kql::watch;
use model::{QueryError, Type};

use crate::expr::constant;
use crate::group::groups;
use crate::grouping::Grouping;
use crate::internal::{fill, rank};
use crate::lower::{Tables, broken, total_order};
use crate::range::Bounds;
use crate::unique::{Keys, arrow_error};
use crate::values::{rows_to_batch, schema_of};
use crate::window::{Compiled, WindowOp};

/// A compiled subquery.
pub(crate) struct Body {
    root: Node,
    fields: Vec<Field>,
    reads: Vec<Expr>,
}

type Ran = Result<RecordBatch, EvalError>;

impl Body {
    pub(crate) fn compile(rel: &Rel, group: &[Field], tables: &dyn Tables, runtime: &Runtime) -> Result<Self, QueryError> {
        let compiler = Compiler { group, tables, runtime };
        Ok(Self { root: compiler.node(rel)?, fields: rel.fields.clone(), reads: group.iter().map(Expr::column).collect() })
    }

    /// The columns of the group's rows that the subquery reads.
    pub(crate) fn reads(&self) -> impl Iterator<Item = &Expr> {
        self.reads.iter()
    }

    /// Runs the subquery on one group; the result has exactly its fields.
    pub(crate) fn run(&self, group: &RecordBatch) -> Ran {
        select(&self.root.run(group)?, &self.fields)
    }
}

enum Node {
    Group,
    Rows(RecordBatch),
    Filter {
        input: Box<Node>,
        predicate: Evaluator,
    },
    Project {
        input: Box<Node>,
        exprs: Vec<Evaluator>,
        fields: Vec<Field>,
    },
    Aggregate {
        input: Box<Node>,
        grouping: Grouping,
    },
    Join {
        kind: JoinKind,
        left: Box<Node>,
        right: Box<Node>,
        on: Vec<(Expr, Expr)>,
        sides: (Vec<Field>, Vec<Field>),
        fields: Vec<Field>,
        runtime: Runtime,
    },
    Union {
        inputs: Vec<(Node, Vec<Evaluator>)>,
        fields: Vec<Field>,
    },
    Sort {
        input: Box<Node>,
        keys: Vec<(Evaluator, Type, SortOptions)>,
    },
    Take {
        input: Box<Node>,
        count: usize,
    },
    Window {
        input: Box<Node>,
        window: Compiled,
    },
    Op {
        op: Arc<dyn TableOp>,
        inputs: Vec<(Node, Vec<Field>)>,
        fields: Vec<Field>,
        runtime: Runtime,
    },
    Apply {
        input: Box<Node>,
        keys: Vec<Expr>,
        inputs: Vec<Field>,
        body: Box<Body>,
        runtime: Runtime,
    },
    Rename {
        input: Box<Node>,
        from: Vec<Field>,
        to: Vec<Field>,
    },
}

struct Compiler<'a> {
    group: &'a [Field],
    tables: &'a dyn Tables,
    runtime: &'a Runtime,
}

/// Converts an evaluator error to a query error.
fn run(why: EvalError) -> QueryError {
    QueryError::Run(why.to_string())
}

impl Compiler<'_> {
    fn evaluator(&self, source: &Expr, fields: &[Field]) -> Result<Evaluator, QueryError> {
        Evaluator::new(source, fields, self.runtime).map_err(run)
    }

    fn boxed(&self, rel: &Rel) -> Result<Box<Node>, QueryError> {
        Ok(Box::new(self.node(rel)?))
    }

    fn node(&self, rel: &Rel) -> Result<Node, QueryError> {
        let fields = rel.fields.clone();
        let runtime = *self.runtime;
        Ok(match &rel.op {
            RelOp::Group => {
                let same = rel.fields.iter().all(|field| self.group.iter().any(|given| given.id == field.id));
                if same { Node::Group } else { Node::Rename { input: Box::new(Node::Group), from: self.group.to_vec(), to: fields } }
            }
            RelOp::Values { rows } => Node::Rows(rows_to_batch(&fields, rows).map_err(broken)?),
            RelOp::Range { from, to, step } => {
                let ty = fields.first().map_or(Type::Long, |field| field.ty);
                let values = Bounds::new(ty, from, to, step, self.runtime)?.chunk(0, MAX_RANGE, ty);
                Node::Rows(RecordBatch::try_new(schema_of(&fields), vec![values]).map_err(|why| QueryError::Internal(why.to_string()))?)
            }
            RelOp::Scan { table, columns } => match self.tables.rows(table, &fields, columns)? {
                Some(rows) => Node::Rows(rows),
                None => return Err(QueryError::Internal(format!("table `{}` has not been read before its group", table.name))),
            },
            RelOp::Filter { input, predicate } => {
                Node::Filter { predicate: self.evaluator(predicate, &input.fields)?, input: self.boxed(input)? }
            }
            RelOp::Project { input, exprs } => {
                let exprs = exprs.iter().map(|source| self.evaluator(source, &input.fields)).collect::<Result<_, _>>()?;
                Node::Project { input: self.boxed(input)?, exprs, fields }
            }
            RelOp::Aggregate { input, keys, aggregates } => {
                let grouping = Grouping::compile(keys, aggregates, &input.fields, &fields, self.runtime).map_err(run)?;
                Node::Aggregate { input: self.boxed(input)?, grouping }
            }
            RelOp::Join { kind, left, right, on } => Node::Join {
                kind: *kind,
                sides: (left.fields.clone(), right.fields.clone()),
                left: self.boxed(left)?,
                right: self.boxed(right)?,
                on: on.clone(),
                fields,
                runtime,
            },
            RelOp::Union { inputs, columns } => {
                let inputs = inputs
                    .iter()
                    .zip(columns)
                    .map(|(input, exprs)| {
                        let exprs = exprs.iter().zip(&fields).map(|(source, field)| match &source.kind {
                            ExprKind::Const(Value::Null(_)) => self.evaluator(&Expr::constant(empty(field.ty)), &input.fields),
                            _ => self.evaluator(source, &input.fields),
                        });
                        Ok((self.node(input)?, exprs.collect::<Result<_, _>>()?))
                    })
                    .collect::<Result<_, QueryError>>()?;
                Node::Union { inputs, fields }
            }
            RelOp::Sort { input, keys } => {
                Node::Sort { keys: self.sort_keys(&total_order(input, keys), &input.fields)?, input: self.boxed(input)? }
            }
            RelOp::Take { input, count } => {
                let count = constant(count, self.runtime).as_ref().and_then(Value::as_i64);
                let count = count.ok_or_else(|| QueryError::Run("the number of rows to take is no constant".to_owned()))?;
                Node::Take { input: self.boxed(input)?, count: usize::try_from(count).unwrap_or(0) }
            }
            RelOp::Window { input, exprs } => {
                let op = WindowOp::new(&input.fields, &fields, exprs.clone());
                Node::Window { window: op.compile(&input.fields, &fields, self.runtime).map_err(run)?, input: self.boxed(input)? }
            }
            RelOp::Op { op, inputs } => {
                let inputs = inputs.iter().map(|input| Ok((self.node(input)?, input.fields.clone()))).collect::<Result<_, QueryError>>()?;
                Node::Op { op: op.clone(), inputs, fields, runtime }
            }
            RelOp::Apply { input, keys, body } => Node::Apply {
                keys: keys.clone(),
                inputs: input.fields.clone(),
                body: Box::new(Body::compile(body, &input.fields, self.tables, self.runtime)?),
                input: self.boxed(input)?,
                runtime,
            },
            RelOp::Shared { input, .. } => Node::Rename { from: input.fields.clone(), to: fields, input: self.boxed(input)? },
        })
    }

    fn sort_keys(&self, keys: &[OrderKey], fields: &[Field]) -> Result<Vec<(Evaluator, Type, SortOptions)>, QueryError> {
        keys.iter()
            .map(|key| {
                let options = SortOptions { descending: !key.ascending, nulls_first: key.nulls_first };
                Ok((self.evaluator(&key.expr, fields)?, key.expr.ty, options))
            })
            .collect()
    }
}

/// Bytes of a pair of matching rows with its indices.
const PAIR: usize = 24;

/// Inside a subquery, a range is materialised; longer ranges are truncated, far beyond practical use.
const MAX_RANGE: usize = 1_000_000;

fn empty(ty: Type) -> Value {
    if ty == Type::String { Value::String(String::new()) } else { Value::Null(ty) }
}

impl Node {
    fn run(&self, group: &RecordBatch) -> Ran {
        watch::check()?;
        match self {
            Node::Group => Ok(group.clone()),
            Node::Rows(rows) => Ok(rows.clone()),
            Node::Rename { input, from, to } => {
                let batch = select(&input.run(group)?, from)?;
                batch_of(to, batch.columns().to_vec(), batch.num_rows())
            }
            Node::Filter { input, predicate } => {
                let batch = input.run(group)?;
                let keep = predicate.eval(&batch)?;
                filter_record_batch(&batch, keep.as_boolean()).map_err(arrow_error)
            }
            Node::Project { input, exprs, fields } => evaluate(&input.run(group)?, exprs, fields),
            Node::Aggregate { input, grouping } => {
                let mut state = grouping.start()?;
                grouping.push(&mut state, &input.run(group)?)?;
                grouping.finish(state)
            }
            Node::Join { kind, left, right, on, sides, fields, runtime } => {
                join(*kind, &left.run(group)?, &right.run(group)?, on, sides, fields, runtime)
            }
            Node::Union { inputs, fields } => {
                let parts =
                    inputs.iter().map(|(input, exprs)| evaluate(&input.run(group)?, exprs, fields)).collect::<Result<Vec<_>, _>>()?;
                concat_batches(&schema_of(fields), &parts).map_err(arrow_error)
            }
            Node::Sort { input, keys } => sort(&input.run(group)?, keys),
            Node::Take { input, count } => {
                let batch = input.run(group)?;
                Ok(batch.slice(0, (*count).min(batch.num_rows())))
            }
            Node::Window { input, window } => window.run(&input.run(group)?),
            Node::Op { op, inputs, fields, runtime } => {
                let takes: Vec<Vec<Field>> = inputs.iter().map(|(_, fields)| fields.clone()).collect();
                let mut state = op.start(&takes, fields, runtime)?;
                let mut out = Vec::new();
                for (index, (input, _)) in inputs.iter().enumerate().rev() {
                    state.push(index, &input.run(group)?, &mut out)?;
                }
                state.finish(&mut out)?;
                let out = out.iter().map(|batch| select(batch, fields)).collect::<Result<Vec<_>, _>>()?;
                all(&out, fields)
            }
            Node::Apply { input, keys, inputs, body, runtime } => {
                let whole = input.run(group)?;
                let mut keys = Keys::new(keys, inputs, runtime)?;
                let parts = groups(&mut keys, &whole)?.iter().map(|part| body.run(part)).collect::<Result<Vec<_>, _>>()?;
                all(&parts, &body.fields)
            }
        }
    }
}

fn batch_of(fields: &[Field], columns: Vec<ArrayRef>, rows: usize) -> Ran {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(schema_of(fields), columns, &options).map_err(arrow_error)
}

fn select(batch: &RecordBatch, fields: &[Field]) -> Ran {
    let column =
        |field: &Field| batch.column_by_name(&field.id.to_string()).cloned().ok_or_else(|| EvalError::MissingColumn(field.id.to_string()));
    batch_of(fields, fields.iter().map(column).collect::<Result<_, _>>()?, batch.num_rows())
}

fn all(parts: &[RecordBatch], fields: &[Field]) -> Ran {
    match parts {
        [one] => Ok(one.clone()),
        _ => concat_batches(&schema_of(fields), parts).map_err(arrow_error),
    }
}

fn evaluate(batch: &RecordBatch, exprs: &[Evaluator], fields: &[Field]) -> Ran {
    let columns = exprs.iter().map(|source| source.eval(batch)).collect::<Result<_, _>>()?;
    batch_of(fields, columns, batch.num_rows())
}

fn sort(batch: &RecordBatch, keys: &[(Evaluator, Type, SortOptions)]) -> Ran {
    if batch.num_rows() < 2 || keys.is_empty() {
        return Ok(batch.clone());
    }
    let mut columns = Vec::new();
    for (key, ty, options) in keys {
        let values = key.eval(batch)?;
        let values = if *ty == Type::String { fill(values) } else { values };
        if *ty == Type::Real {
            columns.push(SortColumn {
                values: rank(&values, options.nulls_first),
                options: Some(SortOptions { descending: false, nulls_first: true }),
            });
        }
        columns.push(SortColumn { values, options: Some(*options) });
    }
    // The position in the input is the last sort key, so that the sort is stable.
    let places: ArrayRef = Arc::new(UInt32Array::from_iter_values(0..batch.num_rows() as u32));
    columns.push(SortColumn { values: places, options: None });
    let indices = lexsort_to_indices(&columns, None).map_err(arrow_error)?;
    take_record_batch(batch, &indices).map_err(arrow_error)
}

fn join(
    kind: JoinKind,
    left: &RecordBatch,
    right: &RecordBatch,
    on: &[(Expr, Expr)],
    sides: &(Vec<Field>, Vec<Field>),
    fields: &[Field],
    runtime: &Runtime,
) -> Ran {
    let (left_keys, right_keys): (Vec<Expr>, Vec<Expr>) = on.iter().cloned().unzip();
    let lefts = key_rows(left, &left_keys, &sides.0, runtime)?;
    let rights = key_rows(right, &right_keys, &sides.1, runtime)?;
    let mut index: HashMap<&OwnedRow, Vec<u32>> = HashMap::new();
    for (at, row) in rights.iter().enumerate() {
        index.entry(row).or_default().push(at as u32);
    }
    let mut seen = HashSet::new();
    let mut pairs: Vec<(Option<u32>, Option<u32>)> = Vec::new();
    let mut matched_right = vec![false; right.num_rows()];
    for (at, row) in lefts.iter().enumerate() {
        watch::check()?;
        // The pairs, their indices and the resulting rows.
        if pairs.len().saturating_mul(PAIR + 16 * fields.len()) > watch::memory() {
            return Err(EvalError::Memory("join"));
        }
        let at = at as u32;
        let found: &[u32] = index.get(row).map_or(&[], Vec::as_slice);
        for &other in found {
            matched_right[other as usize] = true;
        }
        match kind {
            JoinKind::InnerUnique if !on.is_empty() && !seen.insert(row) => {}
            JoinKind::LeftSemi if !found.is_empty() => pairs.push((Some(at), None)),
            JoinKind::LeftAnti if found.is_empty() => pairs.push((Some(at), None)),
            JoinKind::LeftSemi | JoinKind::LeftAnti | JoinKind::RightSemi | JoinKind::RightAnti => {}
            JoinKind::LeftOuter | JoinKind::FullOuter if found.is_empty() => pairs.push((Some(at), None)),
            _ => pairs.extend(found.iter().map(|&other| (Some(at), Some(other)))),
        }
    }
    let of_right = |wanted: bool| {
        matched_right.iter().enumerate().filter(move |(_, matched)| **matched == wanted).map(|(at, _)| (None, Some(at as u32)))
    };
    match kind {
        JoinKind::RightOuter | JoinKind::FullOuter | JoinKind::RightAnti => pairs.extend(of_right(false)),
        JoinKind::RightSemi => pairs.extend(of_right(true)),
        _ => {}
    }
    let left_indices: UInt32Array = pairs.iter().map(|pair| pair.0).collect();
    let right_indices: UInt32Array = pairs.iter().map(|pair| pair.1).collect();
    let columns = fields
        .iter()
        .map(|field| {
            let name = field.id.to_string();
            let (column, indices) = match (left.column_by_name(&name), right.column_by_name(&name)) {
                (Some(column), _) => (column, &left_indices),
                (None, Some(column)) => (column, &right_indices),
                (None, None) => return Err(EvalError::MissingColumn(name)),
            };
            let taken = if column.is_empty() {
                new_null_array(column.data_type(), indices.len())
            } else {
                take(column, indices, None).map_err(arrow_error)?
            };
            Ok(if field.ty == Type::String { fill(taken) } else { taken })
        })
        .collect::<Result<Vec<_>, _>>()?;
    batch_of(fields, columns, pairs.len())
}

/// The key of each row. Without keys all rows have the same key.
fn key_rows(batch: &RecordBatch, keys: &[Expr], fields: &[Field], runtime: &Runtime) -> Result<Vec<OwnedRow>, EvalError> {
    let everywhere = [Expr::constant(Value::Bool(true))];
    let mut keys = Keys::new(if keys.is_empty() { &everywhere } else { keys }, fields, runtime)?;
    let (_, rows) = keys.rows(batch)?;
    Ok(rows.iter().map(|row| row.owned()).collect())
}
