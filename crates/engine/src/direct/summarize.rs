//! `summarize` during a scan: groups are numbered by [`Keys`], the aggregates are the ordinary ones, and most rows never reach them.
//!
//! - Aggregates that ignore repeated values (`dcount`, `make_set`, `min` …) receive each pair of group and text approximately once.
//! - `arg_max` and `arg_min` receive only the best row per group of each batch, and none that an earlier row already beat.

use std::cmp::Ordering;

use arrow::array::{Array, ArrayRef, AsArray, BooleanBufferBuilder, UInt32Array};
use arrow::datatypes::{DataType, Int32Type, Int64Type};
use arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::{DataFusionError, Result, exec_err};
use kql::Value;
use kql::aggregates::{AggregateFn, Emit, Groups, Start};
use model::Type;

use super::column::{Coded, Col, Memo, Program, Root, Rows, positional};
use super::keys::{Keys, Texts};
use crate::internal::fill;

/// Compiled keys and aggregates.
#[derive(Clone)]
pub(crate) struct Summarize {
    pub keys: Vec<Root>,
    pub key_types: Vec<Type>,
    pub calls: Vec<Call>,
    /// Sort keys of `arg_max` and `arg_min`, deduplicated.
    pub orders: Vec<(Root, Ordering)>,
}

#[derive(Clone)]
pub(crate) struct Call {
    pub function: &'static AggregateFn,
    pub args: Vec<Root>,
    pub types: Vec<Type>,
    pub constants: Vec<Option<Value>>,
    pub returns: Type,
    pub rows: Seen,
}

/// Which rows an aggregate call must receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    All,
    /// One row per distinct group and first argument.
    Distinct,
    /// Rows that may be the best by this order.
    Best(usize),
}

impl Seen {
    /// Returns which rows `function` must receive.
    pub(crate) fn by(function: &AggregateFn) -> Self {
        match function.name {
            "dcount" | "count_distinct" | "make_set" | "min" | "max" | "hll" => Seen::Distinct,
            _ => Seen::All,
        }
    }
}

/// The order of the first argument that `function` prefers, if it is `arg_max` or `arg_min`.
pub(crate) fn extreme(function: &AggregateFn) -> Option<Ordering> {
    match function.name {
        "arg_max" | "argmax" => Some(Ordering::Greater),
        "arg_min" | "argmin" => Some(Ordering::Less),
        _ => None,
    }
}

/// Groups so far.
pub(crate) struct Grouped {
    keys: Keys,
    groups: Vec<Box<dyn Groups>>,
    pairs: Vec<Pairs>,
    best: Vec<Best>,
}

impl Summarize {
    pub(crate) fn start(&self) -> Result<Grouped> {
        let groups = self.calls.iter().map(|call| {
            let start = Start { types: &call.types, constants: &call.constants, returns: call.returns };
            (call.function.start)(&start).map_err(|why| DataFusionError::Execution(format!("`{}`: {why}", call.function.name)))
        });
        Ok(Grouped {
            keys: Keys::new(&self.key_types),
            groups: groups.collect::<Result<_>>()?,
            pairs: self.calls.iter().map(|call| Pairs::new(call.types.first().copied())).collect(),
            best: self.orders.iter().map(|_| Best::default()).collect(),
        })
    }

    pub(crate) fn push(&self, state: &mut Grouped, program: &Program, rows: &Rows, memo: &mut Memo) -> Result<()> {
        let keys = self.keys.iter().map(|key| program.eval(key, rows, memo)).collect::<Result<Vec<_>>>()?;
        let members = state.keys.groups(&keys, rows.len)?;
        let total = state.keys.count();
        let mut winners: Vec<Option<UInt32Array>> = Vec::new();
        for ((order, want), best) in self.orders.iter().zip(&mut state.best) {
            let order = program.eval(order, rows, memo)?.array()?;
            winners.push(best.winners(&order, &members, total, *want));
        }
        for ((call, groups), pairs) in self.calls.iter().zip(&mut state.groups).zip(&mut state.pairs) {
            let args = call.args.iter().map(|arg| program.eval(arg, rows, memo)).collect::<Result<Vec<_>>>()?;
            let some = match (call.rows, args.first()) {
                (Seen::Best(order), _) => winners.get(order).cloned().flatten(),
                (Seen::Distinct, Some(Col::Coded(coded))) => pairs.fresh(coded, &members, total)?,
                _ => None,
            };
            match some {
                Some(some) => {
                    let arrays = args.iter().map(|arg| arg.array_at(&some)).collect::<Result<Vec<_>>>()?;
                    let members: Vec<usize> = some.values().iter().map(|row| members[*row as usize]).collect();
                    groups.update(&arrays, &members, None, total);
                }
                None => {
                    let arrays = args.iter().map(Col::array).collect::<Result<Vec<_>>>()?;
                    groups.update(&arrays, &members, None, total);
                }
            }
        }
        Ok(())
    }

    /// Merges the groups of later rows into `state`.
    pub(crate) fn merge(&self, state: &mut Grouped, mut other: Grouped) -> Result<()> {
        let count = other.keys.count();
        let keys: Vec<Col> = other.keys.arrays().into_iter().map(Col::Plain).collect();
        let members = state.keys.groups(&keys, count)?;
        let total = state.keys.count();
        for (mine, theirs) in state.groups.iter_mut().zip(&mut other.groups) {
            let columns = theirs.state(Emit::All);
            // A group without rows has no state.
            if columns.iter().all(|column| column.len() == members.len()) {
                mine.merge(&columns, &members, total);
            }
        }
        Ok(())
    }

    pub(crate) fn finish(&self, mut state: Grouped) -> Result<RecordBatch> {
        let total = state.keys.count();
        let mut columns: Vec<ArrayRef> = state.keys.arrays();
        for (call, groups) in self.calls.iter().zip(&mut state.groups) {
            if self.keys.is_empty() {
                // One group even without rows.
                let none: Vec<ArrayRef> = call.types.iter().map(|ty| arrow::array::new_empty_array(&ty.arrow())).collect();
                groups.update(&none, &[], None, total);
            }
            let answer = groups.evaluate(Emit::All);
            if answer.len() != total || answer.data_type() != &call.returns.arrow() {
                return exec_err!("`{}` gave {} values of {} for {total} groups", call.function.name, answer.len(), answer.data_type());
            }
            columns.push(if call.returns == Type::String { fill(answer) } else { answer });
        }
        let types: Vec<Type> = self.key_types.iter().copied().chain(self.calls.iter().map(|call| call.returns)).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(total));
        Ok(RecordBatch::try_new_with_options(positional(&types), columns, &options)?)
    }
}

impl Grouped {
    pub(crate) fn size(&self) -> usize {
        self.keys.size()
            + self.groups.iter().map(|groups| groups.size()).sum::<usize>()
            + self.pairs.iter().map(Pairs::size).sum::<usize>()
            + self.best.iter().map(|best| best.order.capacity() * 17).sum::<usize>()
    }
}

/// Maximum size of the bitmap of pairs.
const MOST_PAIRS: usize = 1 << 26;

/// Bitmap of seen pairs of group and text. Texts are numbered across dictionaries, like keys.
struct Pairs {
    texts: Texts,
    /// Allocated numbers of groups and of texts.
    room: (usize, usize),
    seen: BooleanBufferBuilder,
    /// Too many pairs: the aggregate receives all rows from now on.
    off: bool,
}

impl Pairs {
    fn new(ty: Option<Type>) -> Self {
        Self { texts: Texts::new(ty.unwrap_or(Type::String)), room: (0, 0), seen: BooleanBufferBuilder::new(0), off: ty.is_none() }
    }

    /// Returns the rows whose pair is new; `None` if tracking does not pay off.
    fn fresh(&mut self, coded: &Coded, groups: &[usize], total: usize) -> Result<Option<UInt32Array>> {
        if self.off || !coded.values.data_type().equals_datatype(&DataType::Utf8View) {
            return Ok(None);
        }
        let numbers = self.texts.coded(coded)?;
        let texts = self.texts.count();
        if total > self.room.0 || texts > self.room.1 {
            // Growing clears the bitmap: receiving a pair again does not change the result.
            let grown = |known: usize, now: usize| if now > known { now.max(known * 2) } else { known };
            self.room = (grown(self.room.0, total), grown(self.room.1, texts));
            match self.room.0.checked_mul(self.room.1).filter(|bits| *bits <= MOST_PAIRS) {
                Some(bits) => {
                    self.seen = BooleanBufferBuilder::new(bits);
                    self.seen.append_n(bits, false);
                }
                None => {
                    (self.off, self.seen) = (true, BooleanBufferBuilder::new(0));
                    return Ok(None);
                }
            }
        }
        let mut fresh = Vec::new();
        let room = self.room.0;
        for (row, (number, group)) in numbers.iter().zip(groups).enumerate() {
            let pair = *number as usize * room + group;
            if !self.seen.get_bit(pair) {
                self.seen.set_bit(pair, true);
                fresh.push(row as u32);
            }
        }
        Ok(Some(UInt32Array::from(fresh)))
    }

    fn size(&self) -> usize {
        self.seen.capacity() / 8 + self.texts.size()
    }
}

/// The best value per group so far.
#[derive(Default)]
struct Best {
    order: Vec<i64>,
    seen: Vec<bool>,
    winner: Vec<u32>,
    /// A row with an incomparable value was seen: the aggregates receive all rows from now on.
    off: bool,
}

const NO_ROW: u32 = u32::MAX;

impl Best {
    /// Returns the rows that may beat the best row of their group; `None` if all rows must be examined.
    fn winners(&mut self, order: &ArrayRef, groups: &[usize], total: usize, want: Ordering) -> Option<UInt32Array> {
        if self.off || order.null_count() > 0 {
            self.off = true;
            return None;
        }
        self.order.resize(total, 0);
        self.seen.resize(total, false);
        self.winner.resize(total, NO_ROW);
        if let Some(order) = order.as_primitive_opt::<Int64Type>() {
            return Some(self.best(|row| order.value(row), groups, want));
        }
        if let Some(order) = order.as_primitive_opt::<Int32Type>() {
            return Some(self.best(|row| i64::from(order.value(row)), groups, want));
        }
        self.off = true;
        None
    }

    fn best(&mut self, order: impl Fn(usize) -> i64, groups: &[usize], want: Ordering) -> UInt32Array {
        let mut touched = Vec::new();
        for (row, group) in groups.iter().enumerate() {
            let (group, order) = (*group, order(row));
            if !self.seen[group] || order.cmp(&self.order[group]) == want {
                self.seen[group] = true;
                self.order[group] = order;
                if std::mem::replace(&mut self.winner[group], row as u32) == NO_ROW {
                    touched.push(group);
                }
            }
        }
        touched.into_iter().map(|group| std::mem::replace(&mut self.winner[group], NO_ROW)).collect()
    }
}
