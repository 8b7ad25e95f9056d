//! Operators that need all rows at once: the rows are buffered (only the columns used), and a function computes the result.

use std::fmt;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, new_empty_array};
use arrow::compute::concat;
use arrow::datatypes::Schema;
use arrow::record_batch::RecordBatch;
use model::Type;

use super::held::Held;
use super::layout::{Layout, compile, evaluate, run};
use super::{EvalError, Evaluator, OpState, Runtime, TableOp};
use crate::Value;
use crate::plan::{ColumnId, Expr, Field};

/// All rows of the input.
pub struct Table {
    /// One per expression.
    pub columns: Vec<ArrayRef>,
    /// Values of constant expressions.
    pub constants: Vec<Option<Value>>,
    pub rows: usize,
}

/// Computes the operator's own columns, all of equal length.
pub type Answer = dyn Fn(&Table) -> Result<Vec<ArrayRef>, EvalError> + Send + Sync;

/// A plug-in that processes all rows at once.
#[derive(Clone)]
pub struct Whole {
    pub name: &'static str,
    pub exprs: Vec<Expr>,
    /// The columns computed by `answer`.
    pub own: Vec<ColumnId>,
    pub answer: Arc<Answer>,
}

impl fmt::Debug for Whole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(self.name).field("exprs", &self.exprs).field("own", &self.own).finish()
    }
}

impl TableOp for Whole {
    fn name(&self) -> &'static str {
        self.name
    }

    fn exprs(&self) -> Vec<&Expr> {
        self.exprs.iter().collect()
    }

    fn map_exprs(&self, f: &mut dyn FnMut(&Expr) -> Expr) -> Box<dyn TableOp> {
        Box::new(Self { exprs: self.exprs.iter().map(f).collect(), ..self.clone() })
    }

    fn per_row(&self) -> bool {
        false
    }

    fn start(&self, inputs: &[Vec<Field>], outputs: &[Field], runtime: &Runtime) -> Result<Box<dyn OpState>, EvalError> {
        start(&self.exprs, &self.own, self.answer.clone(), inputs, outputs, runtime)
    }
}

/// The state of an operator that outputs the columns `own`, computed by `answer` from the values of `exprs`.
pub fn start<'a>(
    exprs: impl IntoIterator<Item = &'a Expr>,
    own: &[ColumnId],
    answer: Arc<Answer>,
    inputs: &[Vec<Field>],
    outputs: &[Field],
    runtime: &Runtime,
) -> Result<Box<dyn OpState>, EvalError> {
    let evaluators = compile(exprs, &inputs[0], runtime)?;
    Ok(Box::new(Running {
        held: Held::default(),
        parts: vec![Vec::new(); evaluators.len()],
        layout: Layout::new(&[], outputs, own)?,
        evaluators,
        answer,
        rows: 0,
    }))
}

struct Running {
    evaluators: Vec<Evaluator>,
    answer: Arc<Answer>,
    layout: Layout,
    /// Batches of each column.
    parts: Vec<Vec<ArrayRef>>,
    rows: usize,
    held: Held,
}

impl OpState for Running {
    fn push(&mut self, _: usize, batch: &RecordBatch, _: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        for (parts, column) in self.parts.iter_mut().zip(evaluate(&self.evaluators, batch)?) {
            self.held.add_array(&column);
            parts.push(column);
        }
        self.rows += batch.num_rows();
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        let columns = std::mem::take(&mut self.parts).into_iter().zip(&self.evaluators).map(|(parts, evaluator)| {
            let parts: Vec<&dyn Array> = parts.iter().map(|part| part.as_ref()).collect();
            if parts.is_empty() { Ok(new_empty_array(&evaluator.ty().arrow())) } else { concat(&parts).map_err(run) }
        });
        let table = Table {
            columns: columns.collect::<Result<_, EvalError>>()?,
            constants: self.evaluators.iter().map(Evaluator::constant).collect(),
            rows: self.rows,
        };
        let own = (self.answer)(&table)?;
        let rows = own.first().map_or(0, |column| column.len());
        if rows > 0 {
            out.push(self.layout.batch(&RecordBatch::new_empty(Arc::new(Schema::empty())), None, &own, rows)?);
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.held.bytes()
    }

    fn peak(&self) -> usize {
        // The concatenated rows, and a result of about the same size.
        2 * self.size()
    }
}

impl Table {
    /// The constant at `index`, as a row count.
    pub fn count(&self, index: usize) -> usize {
        self.constants[index].as_ref().and_then(Value::as_i64).map_or(0, |n| usize::try_from(n).unwrap_or(0))
    }

    /// A cell.
    pub fn value(&self, column: usize, row: usize, ty: Type) -> Value {
        Value::from_cell(&self.columns[column], row, ty)
    }
}
