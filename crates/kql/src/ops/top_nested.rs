//! `top-nested` — the top values of a column, and within each the top values of another. Source: the public KQL reference,
//! `top-nested-operator`. Of equal values the one seen later comes first (recorded from Microsoft's engine).
//!
//! A row of `others` aggregates all values not in the top. Below it, levels with their own `others` repeat it for all their rows; other
//! levels are null.

use std::sync::Arc;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::{SortOptions, take};
use model::Type;

use super::keys::Keys;
use super::layout::run;
use super::top_hitters::top;
use super::whole::{self, Table};
use super::{EvalError, OpState, Runtime, TableOp};
use crate::Value;
use crate::aggregates::{AggregateFn, Emit, Start};
use crate::plan::{AggregateCall, ColumnId, Expr, Field};

/// A bound `top-nested`: outputs are `of_id` and `by_id` of each level.
#[derive(Clone, Debug)]
pub struct TopNested {
    pub levels: Vec<NestedLevel>,
}

#[derive(Clone, Debug)]
pub struct NestedLevel {
    /// A long, constant; if absent, all values.
    pub count: Option<Expr>,
    pub of: Expr,
    pub of_id: ColumnId,
    pub by: AggregateCall,
    pub by_id: ColumnId,
    pub ascending: bool,
    pub nulls_first: bool,
    /// The value that represents all other values; constant, of `of`'s type.
    pub others: Option<Expr>,
}

impl NestedLevel {
    fn exprs(&self) -> impl Iterator<Item = &Expr> {
        std::iter::once(&self.of).chain(&self.by.args).chain(&self.count).chain(&self.others)
    }
}

impl TableOp for TopNested {
    fn name(&self) -> &'static str {
        "top-nested"
    }

    fn exprs(&self) -> Vec<&Expr> {
        self.levels.iter().flat_map(NestedLevel::exprs).collect()
    }

    fn map_exprs(&self, f: &mut dyn FnMut(&Expr) -> Expr) -> Box<dyn TableOp> {
        let mut mapped = self.clone();
        for level in &mut mapped.levels {
            level.of = f(&level.of);
            level.by.args.iter_mut().for_each(|arg| *arg = f(arg));
            level.count = level.count.as_ref().map(&mut *f);
            level.others = level.others.as_ref().map(&mut *f);
        }
        Box::new(mapped)
    }

    fn per_row(&self) -> bool {
        false
    }

    fn start(&self, inputs: &[Vec<Field>], outputs: &[Field], runtime: &Runtime) -> Result<Box<dyn OpState>, EvalError> {
        let own: Vec<ColumnId> = self.levels.iter().flat_map(|level| [level.of_id, level.by_id]).collect();
        let mut at = 0;
        let levels: Vec<Level> = self
            .levels
            .iter()
            .map(|level| {
                let of = at;
                let count = of + 1 + level.by.args.len();
                let others = count + usize::from(level.count.is_some());
                at = others + usize::from(level.others.is_some());
                Level {
                    of,
                    ty: level.of.ty,
                    function: level.by.function,
                    types: level.by.args.iter().map(|arg| arg.ty).collect(),
                    returns: level.by.ty,
                    options: SortOptions { descending: !level.ascending, nulls_first: level.nulls_first },
                    count: level.count.is_some().then_some(count),
                    others: level.others.is_some().then_some(others),
                }
            })
            .collect();
        let answer = move |table: &Table| {
            let mut nested = Nested { table, levels: &levels, columns: vec![Vec::new(); 2 * levels.len()], row: Vec::new() };
            nested.level(0, &UInt32Array::from_iter_values(0..table.rows as u32))?;
            let types = levels.iter().flat_map(|level| [level.ty, level.returns]);
            Ok(nested.columns.iter().zip(types).map(|(values, ty)| Value::array(values, ty)).collect())
        };
        whole::start(self.exprs(), &own, Arc::new(answer), inputs, outputs, runtime)
    }
}

/// Positions of a level's columns in the table.
struct Level {
    of: usize,
    ty: Type,
    function: &'static AggregateFn,
    types: Vec<Type>,
    returns: Type,
    options: SortOptions,
    count: Option<usize>,
    others: Option<usize>,
}

struct Nested<'a> {
    table: &'a Table,
    levels: &'a [Level],
    columns: Vec<Vec<Value>>,
    /// Values of the levels above.
    row: Vec<Value>,
}

impl Nested<'_> {
    /// The aggregate of a level over some rows, in `total` groups.
    fn aggregate(&self, level: &Level, rows: &UInt32Array, groups: &[usize], total: usize) -> Result<ArrayRef, EvalError> {
        let args = level.of + 1..level.of + 1 + level.types.len();
        let start = Start { types: &level.types, constants: &self.table.constants[args.clone()], returns: level.returns };
        let mut state = (level.function.start)(&start)
            .map_err(|error| EvalError::Prepare { function: level.function.name, message: error.to_string() })?;
        let columns = self.table.columns[args].iter().map(|column| take(column, rows, None).map_err(run));
        state.update(&columns.collect::<Result<Vec<_>, _>>()?, groups, None, total);
        Ok(state.evaluate(Emit::All))
    }

    fn level(&mut self, depth: usize, rows: &UInt32Array) -> Result<(), EvalError> {
        let Some(level) = self.levels.get(depth) else {
            self.columns.iter_mut().zip(&self.row).for_each(|(column, value)| column.push(value.clone()));
            return Ok(());
        };
        if rows.is_empty() {
            return Ok(());
        }
        let mut keys = Keys::new([level.ty])?;
        let of = take(&self.table.columns[level.of], rows, None).map_err(run)?;
        let groups = keys.groups(&[of], rows.len())?;
        let values = self.aggregate(level, rows, &groups, keys.len())?;
        let chosen = top(&values, level.count.map_or(usize::MAX, |at| self.table.count(at)), level.options)?;
        let names = keys.columns(&chosen)?;
        // Rows of each group, and of all groups not selected.
        let mut place = vec![chosen.len(); keys.len()];
        chosen.iter().enumerate().for_each(|(at, group)| place[*group] = at);
        let mut members: Vec<Vec<u32>> = vec![Vec::new(); chosen.len() + 1];
        groups.iter().zip(rows.values()).for_each(|(group, row)| members[place[*group]].push(*row));
        for (at, group) in chosen.iter().enumerate() {
            self.row.push(Value::from_cell(&names[0], at, level.ty));
            self.row.push(Value::from_cell(&values, *group, level.returns));
            self.level(depth + 1, &UInt32Array::from(std::mem::take(&mut members[at])))?;
            self.row.truncate(2 * depth);
        }
        if level.others.is_some() && !members[chosen.len()].is_empty() {
            self.others(depth, &UInt32Array::from(std::mem::take(&mut members[chosen.len()])))?;
        }
        Ok(())
    }

    fn others(&mut self, depth: usize, rows: &UInt32Array) -> Result<(), EvalError> {
        for level in &self.levels[depth..] {
            match level.others {
                Some(others) => {
                    let name = self.table.constants[others].clone().unwrap_or(Value::null(level.ty));
                    let value = self.aggregate(level, rows, &vec![0; rows.len()], 1)?;
                    self.row.push(name.cast(level.ty));
                    self.row.push(Value::from_cell(&value, 0, level.returns));
                }
                None => self.row.extend([Value::null(level.ty), Value::null(level.returns)]),
            }
        }
        self.columns.iter_mut().zip(&self.row).for_each(|(column, value)| column.push(value.clone()));
        self.row.truncate(2 * depth);
        Ok(())
    }
}
