//! `identity()` — returns the input unchanged. Known to Microsoft's parser; the public KQL reference has no page for it.

use arrow::record_batch::RecordBatch;

use super::{Bound, Call, Plugin, PluginError};
use crate::ops::layout::Layout;
use crate::ops::{EvalError, OpState, Runtime, TableOp};
use crate::plan::{ColumnId, Expr, Field};

pub static PLUGIN: Plugin = Plugin {
    name: "identity",
    summary: "The input as it is",
    args: &[],
    required: 0,
    repeats: false,
    needs_rows: false,
    bind,
    examples: &[("print a = 1, b = 'x' | evaluate identity()", "x")],
};

fn bind(call: Call) -> Result<Bound, PluginError> {
    Ok(Bound { op: Box::new(Identity), fields: call.input.to_vec() })
}

#[derive(Clone, Debug)]
struct Identity;

impl TableOp for Identity {
    fn name(&self) -> &'static str {
        PLUGIN.name
    }

    fn exprs(&self) -> Vec<&Expr> {
        Vec::new()
    }

    fn map_exprs(&self, _: &mut dyn FnMut(&Expr) -> Expr) -> Box<dyn TableOp> {
        Box::new(Self)
    }

    fn passes(&self, _: ColumnId) -> bool {
        true
    }

    fn per_row(&self) -> bool {
        true
    }

    fn start(&self, inputs: &[Vec<Field>], outputs: &[Field], _: &Runtime) -> Result<Box<dyn OpState>, EvalError> {
        Ok(Box::new(Running(Layout::new(&inputs[0], outputs, &[])?)))
    }
}

struct Running(Layout);

impl OpState for Running {
    fn push(&mut self, _: usize, batch: &RecordBatch, out: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        out.push(self.0.batch(batch, None, &[], batch.num_rows())?);
        Ok(())
    }

    fn finish(&mut self, _: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        Ok(())
    }
}
