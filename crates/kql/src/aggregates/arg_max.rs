//! `arg_max(order, value)`, `arg_min` — the value in the row where `order` is greatest or least.
//!
//! The first of equal rows wins; rows with a null `order` are used only if there are no others, and then the first of them. Both recorded
//! from Microsoft's engine.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, BooleanArray};
use arrow::datatypes::DataType;

use super::cells::Cells;
use super::predicate::selected;
use super::{AggregateFn, Columns, Emit, Family, Groups, Naming, Start, argument};
use crate::functions::{Arg, PrepareError, Resolved, Signature, SignatureError};

pub static FAMILY: Family = &[&ARG_MAX, &ARG_MIN, &ARGMAX, &ARGMIN];

const ARG_MAX: AggregateFn = AggregateFn {
    name: "arg_max",
    summary: "Columns of the row in which an expression is greatest",
    parameters: &["ExprToMaximize", "ExprToReturn"],
    signature: Signature::Custom(resolve),
    naming: Naming::Argument,
    columns: Columns::Extreme,
    state,
    start: start_max,
    examples: &[("datatable(x:long, s:string)[1,'a', 2,'b'] | summarize arg_max(x, s)", "b")],
    ..AggregateFn::DEFAULT
};

const ARG_MIN: AggregateFn = AggregateFn {
    name: "arg_min",
    summary: "Columns of the row in which an expression is least",
    parameters: &["ExprToMinimize", "ExprToReturn"],
    signature: Signature::Custom(resolve),
    naming: Naming::Argument,
    columns: Columns::Extreme,
    state,
    start: start_min,
    examples: &[("datatable(x:long, s:string)[1,'a', 2,'b'] | summarize arg_min(x, s)", "a")],
    ..AggregateFn::DEFAULT
};

/// Deprecated name; its columns are called `max_order` and `max_order_value`.
static ARGMAX: AggregateFn = AggregateFn { name: "argmax", naming: Naming::Prefix("max"), examples: &[], ..ARG_MAX };

static ARGMIN: AggregateFn = AggregateFn { name: "argmin", naming: Naming::Prefix("min"), examples: &[], ..ARG_MIN };

fn resolve(args: &[Arg]) -> Result<Resolved, SignatureError> {
    argument::count(args, 2, 2)?;
    let order = argument::orderable(args, 0)?;
    Ok(Resolved { args: vec![order, args[1].ty], returns: args[1].ty })
}

fn state(start: &Start) -> Vec<DataType> {
    vec![start.types[0].arrow(), start.types[1].arrow(), DataType::Boolean]
}

fn start_max(start: &Start) -> Result<Box<dyn Groups>, PrepareError> {
    Ok(Box::new(BestRow::new(start, Ordering::Greater)))
}

fn start_min(start: &Start) -> Result<Box<dyn Groups>, PrepareError> {
    Ok(Box::new(BestRow::new(start, Ordering::Less)))
}

struct BestRow {
    want: Ordering,
    order: Cells,
    value: Cells,
    /// True if the group has had a row, even with a null order.
    seen: Vec<bool>,
    /// Best row of the current batch per group, so that each group's value is copied once per batch.
    winner: Vec<u32>,
}

const NO_ROW: u32 = u32::MAX;

impl BestRow {
    fn new(start: &Start, want: Ordering) -> Self {
        Self { want, order: Cells::new(start.types[0]), value: Cells::new(start.types[1]), seen: Vec::new(), winner: Vec::new() }
    }
}

impl Groups for BestRow {
    fn update(&mut self, args: &[ArrayRef], groups: &[usize], filter: Option<&BooleanArray>, total: usize) {
        self.order.resize(total);
        self.value.resize(total);
        self.seen.resize(total, false);
        self.winner.resize(total, NO_ROW);
        let mut touched = Vec::new();
        for (row, group) in selected(groups, filter) {
            if !self.seen[group] {
                self.seen[group] = true;
                self.winner[group] = row as u32;
                touched.push(group);
            }
        }
        let winner = &mut self.winner;
        self.order.keep(self.want, &args[0], selected(groups, filter), |row, group| {
            if winner[group] == NO_ROW {
                touched.push(group);
            }
            winner[group] = row as u32;
        });
        for group in touched {
            let row = std::mem::replace(&mut self.winner[group], NO_ROW);
            self.value.set(group, &args[1], row as usize);
        }
    }

    fn merge(&mut self, state: &[ArrayRef], groups: &[usize], total: usize) {
        self.update(&state[..2], groups, Some(state[2].as_boolean()), total);
    }

    fn state(&mut self, which: Emit) -> Vec<ArrayRef> {
        let (order, value) = (self.order.take(which), self.value.take(which));
        which.take(&mut self.winner);
        vec![order, value, Arc::new(BooleanArray::from(which.take(&mut self.seen)))]
    }

    fn evaluate(&mut self, which: Emit) -> ArrayRef {
        self.state(which).swap_remove(1)
    }

    fn size(&self) -> usize {
        self.order.size() + self.value.size() + self.seen.capacity() + self.winner.capacity() * size_of::<u32>()
    }
}
