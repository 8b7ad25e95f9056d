//! `mv-apply` and `partition`: a subquery that runs once per group of rows.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use arrow::array::UInt32Array;
use arrow::compute::take_record_batch;
use arrow::record_batch::RecordBatch;
use kql::eval::{EvalError, Runtime};
use kql::ops::held::Held;
use kql::ops::{OpState, TableOp};
use kql::plan::{Expr, Field, Rel};
use kql::watch;
use model::QueryError;

use crate::interpret::Body;
use crate::lower::Tables;
use crate::together::together;
use crate::unique::{Keys, arrow_error};

/// Number of rows between cancellation checks.
const SOME: usize = 16 << 10;
/// Rows per output batch.
const BATCH: usize = 8192;

/// Collects its input, groups it by `keys` in order of first appearance, and runs the subquery on each group.
#[derive(Clone)]
pub(crate) struct GroupOp {
    keys: Vec<Expr>,
    body: Arc<Body>,
}

impl GroupOp {
    pub(crate) fn new(input: &[Field], keys: Vec<Expr>, body: &Rel, tables: &dyn Tables, runtime: &Runtime) -> Result<Self, QueryError> {
        Ok(Self { keys, body: Arc::new(Body::compile(body, input, tables, runtime)?) })
    }
}

impl fmt::Debug for GroupOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "by {:?}", self.keys)
    }
}

impl TableOp for GroupOp {
    fn name(&self) -> &'static str {
        "partition"
    }

    fn exprs(&self) -> Vec<&Expr> {
        self.keys.iter().chain(self.body.reads()).collect()
    }

    fn map_exprs(&self, _: &mut dyn FnMut(&Expr) -> Expr) -> Box<dyn TableOp> {
        // Already compiled; nothing is left to replace.
        Box::new(self.clone())
    }

    fn per_row(&self) -> bool {
        false
    }

    fn ordered(&self) -> bool {
        true
    }

    fn start(&self, inputs: &[Vec<Field>], _: &[Field], runtime: &Runtime) -> Result<Box<dyn OpState>, EvalError> {
        let fields = inputs.first().map(Vec::as_slice).unwrap_or_default();
        Ok(Box::new(Collect {
            keys: Keys::new(&self.keys, fields, runtime)?,
            body: self.body.clone(),
            batches: Vec::new(),
            held: Held::default(),
        }))
    }
}

struct Collect {
    keys: Keys,
    body: Arc<Body>,
    batches: Vec<RecordBatch>,
    held: Held,
}

impl OpState for Collect {
    fn push(&mut self, _: usize, batch: &RecordBatch, _: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        self.held.add(batch);
        self.batches.push(batch.clone());
        Ok(())
    }

    fn finish(&mut self, out: &mut Vec<RecordBatch>) -> Result<(), EvalError> {
        if let Some(whole) = together(&std::mem::take(&mut self.batches))? {
            // Groups are often tiny, so their results are emitted together.
            let mut answers = Vec::new();
            let mut rows = 0;
            for group in groups(&mut self.keys, &whole)? {
                watch::check()?;
                let answer = self.body.run(&group)?;
                rows += answer.num_rows();
                answers.push(answer);
                if rows >= BATCH {
                    out.extend(together(&std::mem::take(&mut answers))?);
                    rows = 0;
                }
            }
            out.extend(together(&answers)?);
        }
        Ok(())
    }

    fn size(&self) -> usize {
        self.held.bytes()
    }

    fn peak(&self) -> usize {
        // The concatenated rows, plus copies for groups that are not contiguous.
        2 * self.size()
    }
}

/// Returns the rows of each group. Contiguous groups, such as those of `mv-apply`, are slices.
pub(crate) fn groups(keys: &mut Keys, whole: &RecordBatch) -> Result<Vec<RecordBatch>, EvalError> {
    if keys.is_empty() {
        return Ok(vec![whole.clone()]);
    }
    let (_, rows) = keys.rows(whole)?;
    let mut index: HashMap<arrow::row::Row<'_>, usize> = HashMap::new();
    let mut members: Vec<Vec<u32>> = Vec::new();
    for (at, row) in rows.iter().enumerate() {
        if at % SOME == 0 {
            watch::check()?;
        }
        let group = *index.entry(row).or_insert_with(|| {
            members.push(Vec::new());
            members.len() - 1
        });
        members[group].push(u32::try_from(at).map_err(|_| EvalError::Limit("more than 4 billion rows in one operator".to_owned()))?);
    }
    members
        .into_iter()
        .map(|rows| {
            let (first, last) = (rows[0] as usize, rows[rows.len() - 1] as usize);
            if last - first + 1 == rows.len() {
                Ok(whole.slice(first, rows.len()))
            } else {
                take_record_batch(whole, &UInt32Array::from(rows)).map_err(arrow_error)
            }
        })
        .collect()
}
