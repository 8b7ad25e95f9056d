//! `rows_near(condition, rows, rows after)` — rows that match a condition, with surrounding rows. Source: the public KQL reference,
//! `rows-near-plugin`. Buffers as many rows as may be needed before a later match.

use arrow::array::{Array, AsArray, BooleanArray, UInt32Array};
use arrow::compute::concat_batches;
use arrow::record_batch::RecordBatch;
use model::Type;

use super::{Argument, Bound, Call, Plugin, PluginArg, PluginError, Shape};
use crate::ops::layout::{Layout, run};
use crate::ops::{EvalError, Evaluator, OpState, Runtime, TableOp};
use crate::plan::{Expr, Field};

pub static PLUGIN: Plugin = Plugin {
    name: "rows_near",
    summary: "The rows around those that meet a condition",
    args: &[
        PluginArg { name: "Condition", shape: Shape::Expr },
        PluginArg { name: "NumRows", shape: Shape::Expr },
        PluginArg { name: "NumRowsAfter", shape: Shape::Expr },
    ],
    required: 2,
    repeats: false,
    needs_rows: false,
    bind,
    examples: &[("range x from 1 to 20 step 1 | evaluate rows_near(x == 7, 2) | summarize make_list(x)", "[5,6,7,8,9]")],
};

/// Maximum number of rows on either side.
const MOST: i64 = 1_000_000;

fn bind(call: Call) -> Result<Bound, PluginError> {
    let condition = match call.arg(0) {
        Some(Argument::Expr { expr, .. }) if expr.ty == Type::Bool => expr.clone(),
        _ => return Err(PluginError::Argument { index: 0, message: "must be a condition".to_owned() }),
    };
    let rows = |index: usize| match call.arg(index) {
        None => Ok(None),
        Some(Argument::Expr { expr, .. }) => match expr.as_const().and_then(crate::Value::as_i64) {
            Some(rows @ 0..=MOST) => Ok(Some(rows as usize)),
            _ => Err(PluginError::Argument { index, message: format!("must be a constant from 0 to {MOST}") }),
        },
        Some(_) => Err(PluginError::Argument { index, message: "must be a number".to_owned() }),
    };
    let before = rows(1)?.unwrap_or(0);
    let after = rows(2)?.unwrap_or(before);
    Ok(Bound { op: Box::new(RowsNear { condition, before, after }), fields: call.input.to_vec() })
}

#[derive(Clone, Debug)]
struct RowsNear {
    condition: Expr,
    before: usize,
    after: usize,
}

impl TableOp for RowsNear {
    fn name(&self) -> &'static str {
        PLUGIN.name
    }

    fn exprs(&self) -> Vec<&Expr> {
        vec![&self.condition]
    }

    fn map_exprs(&self, f: &mut dyn FnMut(&Expr) -> Expr) -> Box<dyn TableOp> {
        Box::new(Self { condition: f(&self.condition), ..self.clone() })
    }

    fn per_row(&self) -> bool {
        false
    }

    fn ordered(&self) -> bool {
        true
    }

    fn start(&self, inputs: &[Vec<Field>], outputs: &[Field], runtime: &Runtime) -> Result<Box<dyn OpState>, EvalError> {
        Ok(Box::new(Running {
            condition: Evaluator::new(&self.condition, &inputs[0], runtime)?,
            layout: Layout::new(&inputs[0], outputs, &[])?,
            before: self.before,
            after: self.after,
            waiting: None,
            wanted: 0,
        }))
    }
}

struct Running {
    condition: Evaluator,
    layout: Layout,
    before: usize,
    after: usize,
    /// The last rows, not selected so far.
    waiting: Option<RecordBatch>,
    /// Number of following rows already selected.
    wanted: usize,
}

impl OpState for Running {
    fn push(&mut self, _: usize, batch: &RecordBatch, out: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        let met = self.condition.eval(batch)?;
        let met: &BooleanArray = met.as_boolean();
        let rows = self.layout.batch(batch, None, &[], batch.num_rows())?;
        let both = match self.waiting.take() {
            Some(waiting) => concat_batches(&rows.schema(), [&waiting, &rows]).map_err(run)?,
            None => rows.clone(),
        };
        let held = both.num_rows() - rows.num_rows();
        let mut picked: Vec<u32> = Vec::new();
        // The first row that has neither been emitted nor is too far back.
        let mut next = 0usize;
        for row in 0..rows.num_rows() {
            let here = held + row;
            if met.is_valid(row) && met.value(row) {
                picked.extend((next.max(here.saturating_sub(self.before))..=here).map(|row| row as u32));
                next = here + 1;
                self.wanted = self.after;
            } else if self.wanted > 0 {
                picked.push(here as u32);
                next = here + 1;
                self.wanted -= 1;
            }
        }
        let from = next.max(both.num_rows().saturating_sub(self.before));
        self.waiting = (from < both.num_rows()).then(|| both.slice(from, both.num_rows() - from));
        if !picked.is_empty() {
            out.push(arrow::compute::take_record_batch(&both, &UInt32Array::from(picked)).map_err(run)?);
        }
        Ok(())
    }

    fn finish(&mut self, _: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        Ok(())
    }

    fn size(&self) -> usize {
        self.waiting.as_ref().map_or(0, RecordBatch::get_array_memory_size)
    }
}
