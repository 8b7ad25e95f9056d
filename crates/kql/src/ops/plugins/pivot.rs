//! `pivot(column, aggregate, columns…)` — turn the values of a column into columns, with an aggregate per cell. Source: the public KQL
//! reference, `pivot-plugin`. Value columns are sorted by name; a cell without rows has the aggregate's value for no rows.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;
use hashbrown::HashMap;
use model::Type;

use super::{Argument, Bound, Call, Plugin, PluginArg, PluginError, Shape};
use crate::Value;
use crate::aggregates::{self, Emit, Start};
use crate::ops::keys::Keys;
use crate::ops::layout::run;
use crate::ops::whole::{Table, Whole};
use crate::ops::{EvalError, Evaluator};
use crate::plan::{AggregateCall, ColumnId, Expr, Field};
use crate::value::cast;

pub static PLUGIN: Plugin = Plugin {
    name: "pivot",
    summary: "The values of a column as columns, each cell an aggregate",
    args: &[
        PluginArg { name: "pivotColumn", shape: Shape::Expr },
        PluginArg { name: "aggregateFunction", shape: Shape::Aggregate },
        PluginArg { name: "columnName", shape: Shape::Expr },
    ],
    required: 1,
    repeats: true,
    needs_rows: true,
    bind,
    examples: &[("datatable(k:string, v:long)['a',1, 'b',2, 'a',3] | evaluate pivot(k, sum(v))", "2")],
};

const MOST_COLUMNS: usize = 10_000;

fn bind(call: Call) -> Result<Bound, PluginError> {
    let Some(Argument::Expr { expr: pivot, .. }) = call.arg(0) else {
        return Err(PluginError::Argument { index: 0, message: "must be a column".to_owned() });
    };
    let aggregate = match call.arg(1) {
        Some(Argument::Aggregate { call, .. }) => call.clone(),
        _ => {
            let function = aggregates::find("count").ok_or_else(|| PluginError::Columns("`count` is missing".to_owned()))?;
            AggregateCall { function, args: Vec::new(), ty: Type::Long }
        }
    };
    let mut keys: Vec<(Expr, String)> = Vec::new();
    for index in 2..call.args.len() {
        if let Some(Argument::Expr { expr, name }) = call.arg(index) {
            keys.push((expr.clone(), name.clone()));
        }
    }
    if keys.is_empty() {
        let used: Vec<ColumnId> = pivot.columns().into_iter().chain(aggregate.args.iter().flat_map(Expr::columns)).collect();
        keys.extend(call.input.iter().filter(|field| !used.contains(&field.id)).map(|field| (Expr::column(field), field.name.to_string())));
    }
    let mut names: Vec<String> = match call.schema {
        Some(schema) => {
            keys.retain(|(_, name)| call.schema_star || schema.iter().any(|(column, _)| column == name));
            schema.iter().map(|(name, _)| name.clone()).filter(|name| keys.iter().all(|(_, key)| key != name)).collect()
        }
        None => values(&call, pivot)?.into_iter().collect(),
    };
    names.dedup();

    let mut fields: Vec<Field> =
        keys.iter().map(|(expr, name)| Field { id: (call.fresh)(), name: name.as_str().into(), ty: expr.ty }).collect();
    for name in &names {
        let taken = fields.iter().any(|field| *field.name == **name);
        let shown = if taken { format!("{name}1") } else { name.clone() };
        fields.push(Field { id: (call.fresh)(), name: shown.into(), ty: aggregate.ty });
    }
    let shape = Shaped {
        keys: keys.iter().map(|(expr, _)| expr.ty).collect(),
        pivot: pivot.ty,
        function: aggregate.function,
        types: aggregate.args.iter().map(|arg| arg.ty).collect(),
        returns: aggregate.ty,
        columns: names.into_iter().enumerate().map(|(at, name)| (name, at)).collect(),
    };
    let exprs = keys.into_iter().map(|(expr, _)| expr).chain([pivot.clone()]).chain(aggregate.args).collect();
    let own = fields.iter().map(|field| field.id).collect();
    let op = Whole { name: "pivot", exprs, own, answer: Arc::new(move |table| shape.answer(table)) };
    Ok(Bound { op: Box::new(op), fields })
}

/// The names of the columns required by the rows.
fn values(call: &Call, pivot: &Expr) -> Result<BTreeSet<String>, PluginError> {
    let failed = |error: EvalError| PluginError::Columns(error.to_string());
    let evaluator = Evaluator::new(pivot, call.input, &call.runtime).map_err(failed)?;
    let mut names = BTreeSet::new();
    for batch in call.rows.unwrap_or_default() {
        let column = evaluator.eval(batch).map_err(failed)?;
        for row in 0..batch.num_rows() {
            names.insert(Value::from_cell(&column, row, pivot.ty).to_text());
        }
        if names.len() > MOST_COLUMNS {
            return Err(PluginError::Columns(format!("there are more than {MOST_COLUMNS} distinct values")));
        }
    }
    Ok(names)
}

struct Shaped {
    keys: Vec<Type>,
    pivot: Type,
    function: &'static aggregates::AggregateFn,
    types: Vec<Type>,
    returns: Type,
    columns: HashMap<String, usize>,
}

impl Shaped {
    fn answer(&self, table: &Table) -> Result<Vec<ArrayRef>, EvalError> {
        let mut keys = Keys::new(self.keys.iter().copied())?;
        let groups = keys.groups(&table.columns[..self.keys.len()], table.rows)?;
        let rows = if table.rows == 0 { 0 } else { keys.len() };
        // One group per cell, in row order of the result.
        let names = cast::array(&table.columns[self.keys.len()], self.pivot, Type::String);
        let width = self.columns.len();
        let mut cells = Vec::with_capacity(table.rows);
        let mut picked = Vec::with_capacity(table.rows);
        for (row, group) in groups.iter().enumerate() {
            if let Some(column) = Value::from_cell(&names, row, Type::String).as_str().and_then(|name| self.columns.get(name)) {
                cells.push(group * width + column);
                picked.push(row as u32);
            }
        }
        let from = self.keys.len() + 1;
        let start = Start { types: &self.types, constants: &table.constants[from..], returns: self.returns };
        let mut state = (self.function.start)(&start)
            .map_err(|error| EvalError::Prepare { function: self.function.name, message: error.to_string() })?;
        let picked = UInt32Array::from(picked);
        let args = table.columns[from..].iter().map(|column| take(column, &picked, None).map_err(run)).collect::<Result<Vec<_>, _>>()?;
        state.update(&args, &cells, None, rows * width);
        let values = state.evaluate(Emit::All);
        let mut own = keys.columns(&(0..rows).collect::<Vec<_>>())?;
        for column in 0..width {
            let indices = UInt32Array::from_iter_values((0..rows).map(|row| (row * width + column) as u32));
            own.push(take(&values, &indices, None).map_err(run)?);
        }
        Ok(own)
    }
}
