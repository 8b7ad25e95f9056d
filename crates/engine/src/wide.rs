//! Unions of many tables with many columns: `search "x"`, `union * | take 10`.
//!
//! One projection of three thousand columns per table is a larger plan than DataFusion can process in reasonable time. Instead, a single
//! operator knows the column mapping, and a filter over the union is pushed down to each table and simplified for the columns it has.

use std::collections::HashMap;

use arrow::array::{ArrayRef, new_null_array};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use kql::eval::{EvalError, Evaluator, Runtime, fold};
use kql::ops::{OpState, TableOp};
use kql::plan::{ColumnId, Expr, ExprKind, Field, Rel, RelOp};
use kql::{Value, watch};
use model::Type;

use crate::internal::fill;
use crate::unique::arrow_error;
use crate::values::schema_of;

/// Minimum number of columns times tables for a union to be treated as wide.
const WIDE: usize = 10_000;

/// Target cells per output batch.
const CELLS: usize = 1 << 20;

pub(crate) fn is_wide(inputs: usize, fields: &[Field]) -> bool {
    inputs.saturating_mul(fields.len()) > WIDE
}

/// Union of its inputs; `columns[i][f]` is the source of field `f` in input `i`.
#[derive(Clone, Debug)]
pub(crate) struct WideUnion {
    pub columns: Vec<Vec<Expr>>,
}

impl TableOp for WideUnion {
    fn name(&self) -> &'static str {
        "union"
    }

    fn exprs(&self) -> Vec<&Expr> {
        self.columns.iter().flatten().collect()
    }

    fn map_exprs(&self, f: &mut dyn FnMut(&Expr) -> Expr) -> Box<dyn TableOp> {
        Box::new(Self { columns: self.columns.iter().map(|exprs| exprs.iter().map(&mut *f).collect()).collect() })
    }

    fn per_row(&self) -> bool {
        true
    }

    fn start(&self, inputs: &[Vec<Field>], outputs: &[Field], runtime: &Runtime) -> Result<Box<dyn OpState>, EvalError> {
        let rows = (CELLS / outputs.len().max(1)).max(1);
        let mut nulls: HashMap<Type, ArrayRef> = HashMap::new();
        let mut legs = Vec::with_capacity(inputs.len());
        for (fields, exprs) in inputs.iter().zip(&self.columns) {
            let sources = exprs.iter().zip(outputs).map(|(source, field)| match &source.kind {
                ExprKind::Const(value) if value.is_null() => {
                    let missing = || {
                        if field.ty == Type::String {
                            fill(new_null_array(&field.ty.arrow(), rows))
                        } else {
                            new_null_array(&field.ty.arrow(), rows)
                        }
                    };
                    Ok(Source::Missing(nulls.entry(field.ty).or_insert_with(missing).clone()))
                }
                _ => Ok(Source::Computed(Evaluator::new(source, fields, runtime)?)),
            });
            legs.push(sources.collect::<Result<Vec<_>, EvalError>>()?);
        }
        Ok(Box::new(Aligning { legs, outputs: outputs.to_vec(), rows }))
    }
}

enum Source {
    /// Nulls or empty texts, shared by all missing columns of a type.
    Missing(ArrayRef),
    Computed(Evaluator),
}

struct Aligning {
    legs: Vec<Vec<Source>>,
    outputs: Vec<Field>,
    rows: usize,
}

impl OpState for Aligning {
    fn push(&mut self, input: usize, batch: &RecordBatch, out: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        let mut start = 0;
        while start < batch.num_rows() {
            watch::check()?;
            let part = batch.slice(start, self.rows.min(batch.num_rows() - start));
            let count = part.num_rows();
            let column = |(source, field): (&Source, &Field)| match source {
                Source::Missing(nulls) => Ok(nulls.slice(0, count)),
                Source::Computed(evaluator) => {
                    let column = evaluator.eval(&part)?;
                    Ok(if field.ty == Type::String { fill(column) } else { column })
                }
            };
            let columns = self.legs[input].iter().zip(&self.outputs).map(column).collect::<Result<Vec<_>, EvalError>>()?;
            let options = RecordBatchOptions::new().with_row_count(Some(count));
            out.push(RecordBatch::try_new_with_options(schema_of(&self.outputs), columns, &options).map_err(arrow_error)?);
            start += count;
        }
        Ok(())
    }

    fn finish(&mut self, _: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        Ok(())
    }
}

/// Pushes `predicate` down into each input of a wide union; `None` if the union is not wide.
pub(crate) fn asked_below(union: &Rel, predicate: &Expr, runtime: &Runtime) -> Option<Rel> {
    let RelOp::Union { inputs, columns } = &union.op else { return None };
    if !is_wide(inputs.len(), &union.fields) {
        return None;
    }
    let inputs = inputs.iter().zip(columns).map(|(input, exprs)| {
        let values = union.fields.iter().map(|field| field.id).zip(exprs).collect();
        let predicate = Asking { values, runtime, answers: Vec::new() }.of(predicate);
        let (fields, order, serialized) = (input.fields.clone(), input.order.clone(), input.serialized);
        Rel { op: RelOp::Filter { input: Box::new(input.clone()), predicate }, fields, order, serialized }
    });
    let op = RelOp::Union { inputs: inputs.collect(), columns: columns.clone() };
    Some(Rel { op, fields: union.fields.clone(), order: union.order.clone(), serialized: union.serialized })
}

/// Rewrites a condition over the union for one input: subexpressions over missing columns are evaluated at once.
struct Asking<'a> {
    values: HashMap<ColumnId, &'a Expr>,
    runtime: &'a Runtime,
    /// Memoised results of constant subexpressions.
    answers: Vec<(Expr, Expr)>,
}

/// Maximum number of memoised results.
const ANSWERS: usize = 32;

impl Asking<'_> {
    fn of(&mut self, source: &Expr) -> Expr {
        let (function, args) = match &source.kind {
            ExprKind::Column(id) => return self.values.get(id).map_or_else(|| source.clone(), |value| (*value).clone()),
            ExprKind::Call { function, args } => (function, args.iter().map(|arg| self.of(arg)).collect::<Vec<_>>()),
            _ => return source.clone(),
        };
        if function.name == "or" {
            // Terms that are false can be dropped from a disjunction.
            let open: Vec<&Expr> = args.iter().filter(|arg| !matches!(arg.as_const(), Some(Value::Bool(false)))).collect();
            match open[..] {
                [] => return Expr::constant(Value::Bool(false)),
                [one] if args.len() == 2 && one.ty == Type::Bool => return one.clone(),
                _ => {}
            }
        }
        let asked = Expr::call(function, args, source.ty);
        let ExprKind::Call { args, .. } = &asked.kind else { return asked };
        if args.iter().any(|arg| arg.as_const().is_none()) {
            return asked;
        }
        if let Some((_, answer)) = self.answers.iter().find(|(known, _)| *known == asked) {
            return answer.clone();
        }
        let Some(value) = fold(&asked, self.runtime) else { return asked };
        let answer = Expr { kind: ExprKind::Const(value), ty: source.ty };
        if self.answers.len() < ANSWERS {
            self.answers.push((asked, answer.clone()));
        }
        answer
    }
}
