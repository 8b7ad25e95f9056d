//! `dcount_intersect(hll, hll, …)` — the sizes of the intersections of the first one, two, three … sets. Source: the public KQL reference,
//! `dcount-intersect-plugin`; the input's columns come first, as in Microsoft's parser.
//!
//! Exact if all sketches still hold hashes. Otherwise computed by inclusion–exclusion over unions, clamped to be non-increasing.

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::record_batch::RecordBatch;
use model::Type;

use super::{Argument, Bound, Call, Plugin, PluginArg, PluginError, Shape};
use crate::aggregates::sketch::Sketch;
use crate::ops::layout::{Layout, compile, evaluate};
use crate::ops::{EvalError, Evaluator, OpState, Runtime, TableOp};
use crate::plan::{ColumnId, Expr, Field};

pub static PLUGIN: Plugin = Plugin {
    name: "dcount_intersect",
    summary: "How many distinct values several results of `hll` have in common",
    args: &[PluginArg { name: "hll", shape: Shape::Expr }],
    required: 2,
    repeats: true,
    needs_rows: false,
    bind,
    examples: &[(
        "range x from 1 to 100 step 1 | summarize a = hll(iff(x % 2 == 0, x, 0)), b = hll(iff(x % 3 == 0, x, 0)) | evaluate dcount_intersect(a, b) | project s1 - 1",
        "16",
    )],
};

/// Maximum number of sets, as in the reference.
const MOST: usize = 16;

fn bind(call: Call) -> Result<Bound, PluginError> {
    if call.args.len() > MOST {
        return Err(PluginError::Columns(format!("at most {MOST} sets can be given")));
    }
    let mut sets = Vec::with_capacity(call.args.len());
    for index in 0..call.args.len() {
        match call.arg(index) {
            Some(Argument::Expr { expr, .. }) if expr.ty == Type::Dynamic => sets.push(expr.clone()),
            _ => return Err(PluginError::Argument { index, message: "must be a result of `hll`".to_owned() }),
        }
    }
    let mut fields: Vec<Field> = call.input.to_vec();
    let mut own = Vec::with_capacity(sets.len());
    for index in 0..sets.len() {
        let (id, name) = ((call.fresh)(), format!("s{index}"));
        own.push(id);
        let taken = fields.iter().any(|field| *field.name == *name);
        fields.push(Field { id, name: if taken { format!("{name}1") } else { name }.into(), ty: Type::Long });
    }
    Ok(Bound { op: Box::new(Intersect { sets, own }), fields })
}

#[derive(Clone, Debug)]
struct Intersect {
    sets: Vec<Expr>,
    own: Vec<ColumnId>,
}

impl TableOp for Intersect {
    fn name(&self) -> &'static str {
        PLUGIN.name
    }

    fn exprs(&self) -> Vec<&Expr> {
        self.sets.iter().collect()
    }

    fn map_exprs(&self, f: &mut dyn FnMut(&Expr) -> Expr) -> Box<dyn TableOp> {
        Box::new(Self { sets: self.sets.iter().map(f).collect(), own: self.own.clone() })
    }

    fn passes(&self, field: ColumnId) -> bool {
        !self.own.contains(&field)
    }

    fn per_row(&self) -> bool {
        true
    }

    fn start(&self, inputs: &[Vec<Field>], outputs: &[Field], runtime: &Runtime) -> Result<Box<dyn OpState>, EvalError> {
        let layout = Layout::new(&inputs[0], outputs, &self.own)?;
        Ok(Box::new(Running { sets: compile(&self.sets, &inputs[0], runtime)?, layout }))
    }
}

struct Running {
    sets: Vec<Evaluator>,
    layout: Layout,
}

impl OpState for Running {
    fn push(&mut self, _: usize, batch: &RecordBatch, out: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        let columns = evaluate(&self.sets, batch)?;
        let mut counts: Vec<Vec<Option<i64>>> = vec![Vec::with_capacity(batch.num_rows()); columns.len()];
        for row in 0..batch.num_rows() {
            let sketch = |column: &ArrayRef| if column.is_null(row) { None } else { Sketch::from_json(column.as_string_view().value(row)) };
            let sketches: Option<Vec<Sketch>> = columns.iter().map(sketch).collect();
            match sketches {
                Some(sketches) => counts.iter_mut().zip(Sketch::common(&sketches)).for_each(|(counts, count)| counts.push(Some(count))),
                None => counts.iter_mut().for_each(|counts| counts.push(None)),
            }
        }
        let own: Vec<ArrayRef> = counts.into_iter().map(|counts| std::sync::Arc::new(Int64Array::from(counts)) as ArrayRef).collect();
        out.push(self.layout.batch(batch, None, &own, batch.num_rows())?);
        Ok(())
    }

    fn finish(&mut self, _: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        Ok(())
    }
}
