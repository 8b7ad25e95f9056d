//! `top-hitters` — the most frequent values, or those with the largest sum. Source: the public KQL reference, `top-hitters-operator`.
//!
//! Counts are exact. The result is sorted by ascending frequency, and of equal values the one seen later is kept, as in Microsoft's engine
//! (recorded).

use std::sync::Arc;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::{SortOptions, take};
use model::Type;

use super::keys::Keys;
use super::layout::run;
use super::whole::{self, Table};
use super::{EvalError, OpState, Runtime, TableOp};
use crate::aggregates::{self, Emit, Start};
use crate::plan::{ColumnId, Expr, Field};

/// A bound `top-hitters`: outputs are `of_id` and `value_id`.
#[derive(Clone, Debug)]
pub struct TopHitters {
    /// A long, constant.
    pub count: Expr,
    pub of: Expr,
    pub of_id: ColumnId,
    /// A number; if absent, rows are counted.
    pub by: Option<Expr>,
    /// `approximate_count_x` (long) or `approximate_sum_x`: long for int and long, otherwise of `by`'s type.
    pub value_id: ColumnId,
}

impl TableOp for TopHitters {
    fn name(&self) -> &'static str {
        "top-hitters"
    }

    fn exprs(&self) -> Vec<&Expr> {
        [&self.count, &self.of].into_iter().chain(&self.by).collect()
    }

    fn map_exprs(&self, f: &mut dyn FnMut(&Expr) -> Expr) -> Box<dyn TableOp> {
        Box::new(Self { count: f(&self.count), of: f(&self.of), by: self.by.as_ref().map(f), ..self.clone() })
    }

    fn per_row(&self) -> bool {
        false
    }

    fn start(&self, inputs: &[Vec<Field>], outputs: &[Field], runtime: &Runtime) -> Result<Box<dyn OpState>, EvalError> {
        let types = (self.of.ty, self.by.as_ref().map(|by| by.ty));
        let answer = move |table: &Table| answer(table, types.0, types.1);
        whole::start(self.exprs(), &[self.of_id, self.value_id], Arc::new(answer), inputs, outputs, runtime)
    }
}

const GREATEST: SortOptions = SortOptions { descending: true, nulls_first: false };
const LEAST: SortOptions = SortOptions { descending: false, nulls_first: false };

fn answer(table: &Table, of: Type, by: Option<Type>) -> Result<Vec<ArrayRef>, EvalError> {
    let mut keys = Keys::new([of])?;
    let groups = keys.groups(&table.columns[1..2], table.rows)?;
    let function = if by.is_some() { "sum" } else { "count" };
    let function = aggregates::find(function).ok_or_else(|| EvalError::Run(format!("`{function}` is missing")))?;
    let types: Vec<Type> = by.into_iter().collect();
    let start = Start { types: &types, constants: &[None], returns: by.unwrap_or(Type::Long) };
    let mut sums = (function.start)(&start).map_err(|error| EvalError::Run(error.to_string()))?;
    sums.update(&table.columns[2..], &groups, None, keys.len());
    let sums = sums.evaluate(Emit::All);
    let mut chosen = top(&sums, table.count(0), GREATEST)?;
    chosen.sort_unstable();
    let theirs = take(&sums, &UInt32Array::from_iter_values(chosen.iter().map(|group| *group as u32)), None).map_err(run)?;
    let picked: Vec<usize> = top(&theirs, usize::MAX, LEAST)?.into_iter().map(|at| chosen[at]).collect();
    let indices = UInt32Array::from_iter_values(picked.iter().map(|group| *group as u32));
    let mut own = keys.columns(&picked)?;
    own.push(take(&sums, &indices, None).map_err(run)?);
    Ok(own)
}

/// The indices of the first `count` of `values` in sort order; of equal ones the later.
pub fn top(values: &ArrayRef, count: usize, options: SortOptions) -> Result<Vec<usize>, EvalError> {
    let compare = arrow::array::make_comparator(values, values, options).map_err(run)?;
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| compare(*a, *b).then(b.cmp(a)));
    order.truncate(count);
    Ok(order)
}
