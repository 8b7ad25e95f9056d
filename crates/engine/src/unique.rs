//! Deduplicates the left side of `join kind=innerunique`: keeps the first row of each key.

use std::collections::HashSet;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::compute::filter_record_batch;
use arrow::record_batch::RecordBatch;
use arrow::row::{OwnedRow, RowConverter, SortField};
use kql::eval::{EvalError, Evaluator, Runtime};
use kql::ops::{OpState, TableOp};
use kql::plan::{ColumnId, Expr, Field};
use kql::watch;
use model::Type;

use crate::internal::{fill, one_zero};

#[derive(Clone, Debug)]
pub(crate) struct UniqueOp {
    pub keys: Vec<Expr>,
}

impl TableOp for UniqueOp {
    fn name(&self) -> &'static str {
        "innerunique"
    }

    fn exprs(&self) -> Vec<&Expr> {
        self.keys.iter().collect()
    }

    fn map_exprs(&self, f: &mut dyn FnMut(&Expr) -> Expr) -> Box<dyn TableOp> {
        Box::new(Self { keys: self.keys.iter().map(f).collect() })
    }

    fn passes(&self, field: ColumnId) -> bool {
        // A filter on a key drops all rows of a key or none; any other filter could drop the first row and keep a later one.
        self.keys.iter().any(|key| matches!(key.kind, kql::plan::ExprKind::Column(id) if id == field))
    }

    fn per_row(&self) -> bool {
        false
    }

    fn start(&self, inputs: &[Vec<Field>], _: &[Field], runtime: &Runtime) -> Result<Box<dyn OpState>, EvalError> {
        let fields = inputs.first().map(Vec::as_slice).unwrap_or_default();
        Ok(Box::new(Seen { keys: Keys::new(&self.keys, fields, runtime)?, rows: HashSet::new(), bytes: 0 }))
    }
}

/// Overhead of a small allocation in bytes.
pub(crate) const ALLOCATED: usize = 16;

struct Seen {
    keys: Keys,
    rows: HashSet<OwnedRow>,
    bytes: usize,
}

impl OpState for Seen {
    fn push(&mut self, _: usize, batch: &RecordBatch, out: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        watch::check()?;
        let (_, rows) = self.keys.rows(batch)?;
        let keep: BooleanArray = (0..batch.num_rows())
            .map(|index| {
                let fresh = self.rows.insert(rows.row(index).owned());
                if fresh {
                    self.bytes += rows.row(index).data().len() + ALLOCATED;
                }
                Some(fresh)
            })
            .collect();
        out.push(filter_record_batch(batch, &keep).map_err(arrow_error)?);
        Ok(())
    }

    fn finish(&mut self, _: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        Ok(())
    }

    fn size(&self) -> usize {
        // The hash table grows at a load of 7/8, and exists twice while it does.
        self.bytes + self.rows.capacity() * (size_of::<OwnedRow>() + 1) * 12 / 7
    }
}

/// Key expressions, and their values as comparable bytes.
pub(crate) struct Keys {
    exprs: Vec<(Evaluator, Type)>,
    converter: RowConverter,
}

impl Keys {
    pub(crate) fn new(exprs: &[Expr], fields: &[Field], runtime: &Runtime) -> Result<Self, EvalError> {
        let converter = RowConverter::new(exprs.iter().map(|key| SortField::new(key.ty.arrow())).collect()).map_err(arrow_error)?;
        let exprs = exprs.iter().map(|key| Ok((Evaluator::new(key, fields, runtime)?, key.ty))).collect::<Result<_, EvalError>>()?;
        Ok(Self { exprs, converter })
    }

    /// The key values, with `""` for null strings and normalised zero and NaN, and their comparable rows.
    pub(crate) fn rows(&mut self, batch: &RecordBatch) -> Result<(Vec<ArrayRef>, arrow::row::Rows), EvalError> {
        let columns = self.columns(batch)?;
        let rows = self.converter.convert_columns(&columns).map_err(arrow_error)?;
        Ok((columns, rows))
    }

    fn columns(&self, batch: &RecordBatch) -> Result<Vec<ArrayRef>, EvalError> {
        self.exprs
            .iter()
            .map(|(key, ty)| {
                let column = key.eval(batch)?;
                Ok(match ty {
                    Type::String => fill(column),
                    Type::Real => one_zero(column),
                    _ => column,
                })
            })
            .collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.exprs.is_empty()
    }
}

/// An Arrow kernel rejected our input: a bug, reported as such.
pub(crate) fn arrow_error(why: arrow::error::ArrowError) -> EvalError {
    EvalError::Run(why.to_string())
}
