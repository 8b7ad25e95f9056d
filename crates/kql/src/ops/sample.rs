//! `sample`, `sample-distinct` — random rows, and distinct values. Source: the public KQL reference, `sample-operator`,
//! `sample-distinct-operator`. A sample is uniform (reservoir sampling); distinct values are the first ones, as in Microsoft's engine
//! (recorded).

use std::sync::Arc;

use arrow::array::UInt64Array;
use arrow::compute::{concat_batches, take_record_batch};
use arrow::record_batch::RecordBatch;
use xxhash_rust::xxh64::xxh64;

use super::keys::Keys;
use super::layout::{Layout, constant_count, run};
use super::whole::{self, Table};
use super::{EvalError, OpState, Runtime, TableOp};
use crate::plan::{ColumnId, Expr, Field};

/// A bound `sample`: outputs are inputs.
#[derive(Clone, Debug)]
pub struct Sample {
    /// A long, constant.
    pub count: Expr,
}

/// A bound `sample-distinct`: the only output is `id`.
#[derive(Clone, Debug)]
pub struct SampleDistinct {
    /// A long, constant.
    pub count: Expr,
    pub of: Expr,
    pub id: ColumnId,
}

impl TableOp for Sample {
    fn name(&self) -> &'static str {
        "sample"
    }

    fn exprs(&self) -> Vec<&Expr> {
        vec![&self.count]
    }

    fn map_exprs(&self, f: &mut dyn FnMut(&Expr) -> Expr) -> Box<dyn TableOp> {
        Box::new(Self { count: f(&self.count) })
    }

    fn per_row(&self) -> bool {
        false
    }

    fn start(&self, inputs: &[Vec<Field>], outputs: &[Field], runtime: &Runtime) -> Result<Box<dyn OpState>, EvalError> {
        Ok(Box::new(Reservoir {
            layout: Layout::new(&inputs[0], outputs, &[])?,
            size: constant_count(&self.count, runtime)?,
            seed: runtime.now.ticks() as u64,
            seen: 0,
            kept: None,
        }))
    }
}

/// Algorithm R, a batch at a time.
struct Reservoir {
    layout: Layout,
    size: usize,
    seed: u64,
    seen: u64,
    kept: Option<RecordBatch>,
}

impl OpState for Reservoir {
    fn push(&mut self, _: usize, batch: &RecordBatch, _: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        let batch = self.layout.batch(batch, None, &[], batch.num_rows())?;
        let both = match &self.kept {
            Some(kept) => concat_batches(&batch.schema(), [kept, &batch]).map_err(run)?,
            None => batch.clone(),
        };
        let held = both.num_rows() - batch.num_rows();
        let mut places: Vec<u64> = (0..held as u64).collect();
        for row in held..both.num_rows() {
            if places.len() < self.size {
                places.push(row as u64);
            } else {
                let draw = xxh64(&self.seen.to_le_bytes(), self.seed) % (self.seen + 1);
                if let Some(place) = usize::try_from(draw).ok().and_then(|draw| places.get_mut(draw)) {
                    *place = row as u64;
                }
            }
            self.seen += 1;
        }
        self.kept = Some(take_record_batch(&both, &UInt64Array::from(places)).map_err(run)?);
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        out.extend(self.kept.take().filter(|kept| kept.num_rows() > 0));
        Ok(())
    }

    fn size(&self) -> usize {
        self.kept.as_ref().map_or(0, RecordBatch::get_array_memory_size)
    }
}

impl TableOp for SampleDistinct {
    fn name(&self) -> &'static str {
        "sample-distinct"
    }

    fn exprs(&self) -> Vec<&Expr> {
        vec![&self.count, &self.of]
    }

    fn map_exprs(&self, f: &mut dyn FnMut(&Expr) -> Expr) -> Box<dyn TableOp> {
        Box::new(Self { count: f(&self.count), of: f(&self.of), id: self.id })
    }

    fn per_row(&self) -> bool {
        false
    }

    fn start(&self, inputs: &[Vec<Field>], outputs: &[Field], runtime: &Runtime) -> Result<Box<dyn OpState>, EvalError> {
        let ty = self.of.ty;
        let answer = move |table: &Table| {
            let mut keys = Keys::new([ty])?;
            keys.groups(&table.columns[1..], table.rows)?;
            keys.columns(&(0..keys.len().min(table.count(0))).collect::<Vec<_>>())
        };
        whole::start(self.exprs(), &[self.id], Arc::new(answer), inputs, outputs, runtime)
    }
}
