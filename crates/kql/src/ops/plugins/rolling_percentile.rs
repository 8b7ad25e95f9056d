//! `rolling_percentile(value, percentile, index, bin size, bins, dimensions…)` — for each bin of the index, the percentile of the values in
//! it and the preceding bins. Source: the public KQL reference, `rolling-percentile-plugin`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, UInt32Array};
use arrow::compute::take;
use model::Type;

use super::{Argument, Bound, Call, Plugin, PluginArg, PluginError, Shape};
use crate::Value;
use crate::aggregates::{self, Emit, Start};
use crate::ops::EvalError;
use crate::ops::keys::Keys;
use crate::ops::layout::run;
use crate::ops::whole::{Table, Whole};
use crate::plan::Field;

pub static PLUGIN: Plugin = Plugin {
    name: "rolling_percentile",
    summary: "The percentile of the values in each bin and the bins before",
    args: &[
        PluginArg { name: "ValueColumn", shape: Shape::Expr },
        PluginArg { name: "Percentile", shape: Shape::Expr },
        PluginArg { name: "IndexColumn", shape: Shape::Expr },
        PluginArg { name: "BinSize", shape: Shape::Expr },
        PluginArg { name: "BinsPerWindow", shape: Shape::Expr },
        PluginArg { name: "Dimension", shape: Shape::Expr },
    ],
    required: 5,
    repeats: true,
    needs_rows: false,
    bind,
    examples: &[("range i from 0 to 9 step 1 | extend v = i * 10 | evaluate rolling_percentile(v, 50, i, 5, 2)", "40")],
};

fn bind(call: Call) -> Result<Bound, PluginError> {
    let mut exprs = Vec::new();
    let mut names = Vec::new();
    for index in 0..call.args.len() {
        let Some(Argument::Expr { expr, name }) = call.arg(index) else {
            return Err(PluginError::Argument { index, message: "must be given".to_owned() });
        };
        exprs.push(expr.clone());
        names.push(name.clone());
    }
    let whole = |index: usize| {
        if matches!(exprs[index].ty, Type::Int | Type::Long | Type::Datetime | Type::Timespan) {
            Ok(exprs[index].ty)
        } else {
            Err(PluginError::Argument { index, message: "must be a datetime, a timespan or a whole number".to_owned() })
        }
    };
    let index_type = whole(2)?;
    whole(3)?;
    let constant = |index: usize| {
        exprs[index].as_const().cloned().ok_or_else(|| PluginError::Argument { index, message: "must be a constant".to_owned() })
    };
    let (percentile, bins) = (constant(1)?, constant(4)?);
    if !matches!(bins.as_i64(), Some(1..)) {
        return Err(PluginError::Argument { index: 4, message: "must be at least 1".to_owned() });
    }
    if !exprs[0].ty.is_numeric() {
        return Err(PluginError::Argument { index: 0, message: "must be a number".to_owned() });
    }
    let mut fields = vec![Field { id: (call.fresh)(), name: names[2].as_str().into(), ty: index_type }];
    for (expr, name) in exprs.iter().zip(&names).skip(5) {
        fields.push(Field { id: (call.fresh)(), name: name.as_str().into(), ty: expr.ty });
    }
    let name = format!("rolling_{}_percentile_{}_{}", bins.to_text(), names[0], percentile.to_text());
    fields.push(Field { id: (call.fresh)(), name: name.into(), ty: exprs[0].ty });
    let types: Vec<Type> = exprs.iter().map(|expr| expr.ty).collect();
    let own = fields.iter().map(|field| field.id).collect();
    let op = Whole { name: PLUGIN.name, exprs, own, answer: Arc::new(move |table| answer(table, &types)) };
    Ok(Bound { op: Box::new(op), fields })
}

fn answer(table: &Table, types: &[Type]) -> Result<Vec<ArrayRef>, EvalError> {
    let wrong = |message: &str| EvalError::Prepare { function: PLUGIN.name, message: message.to_owned() };
    let number = |index: usize| table.constants[index].as_ref().and_then(Value::as_i64).filter(|n| *n > 0);
    let size = number(3).ok_or_else(|| wrong("the bin size must be a constant greater than 0"))?;
    let bins = number(4).ok_or_else(|| wrong("the number of bins must be a constant greater than 0"))?;
    let mut dimensions = Keys::new(types[5..].iter().copied())?;
    let slice = dimensions.groups(&table.columns[5..], table.rows)?;
    let mut places: BTreeMap<(usize, i64), Vec<u32>> = BTreeMap::new();
    for row in 0..table.rows {
        if let Some(at) = table.value(2, row, types[2]).as_i64() {
            places.entry((slice[row], at.div_euclid(size))).or_default().push(row as u32);
        }
    }
    // Each row belongs to its own bin and to the next `bins - 1` bins with rows.
    let mut windows: Vec<(i64, usize)> = places.keys().map(|(slice, bin)| (*bin, *slice)).collect();
    windows.sort_unstable();
    let (mut rows, mut groups) = (Vec::new(), Vec::new());
    for (number, (bin, slice)) in windows.iter().enumerate() {
        let first = bin.saturating_sub(bins - 1);
        for row in places.range((*slice, first)..=(*slice, *bin)).flat_map(|(_, rows)| rows) {
            rows.push(*row);
            groups.push(number);
        }
    }
    let percentile = aggregates::find("percentile").ok_or_else(|| wrong("`percentile` is missing"))?;
    let start = Start { types: &types[..2], constants: &[None, table.constants[1].clone()], returns: types[0] };
    let mut state = (percentile.start)(&start).map_err(|error| wrong(&error.to_string()))?;
    let rows = UInt32Array::from(rows);
    let args = table.columns[..2].iter().map(|column| take(column, &rows, None).map_err(run)).collect::<Result<Vec<_>, _>>()?;
    state.update(&args, &groups, None, windows.len());
    let times: Vec<Value> = windows.iter().map(|(bin, _)| Value::Long(bin.saturating_mul(size)).cast(types[2])).collect();
    let mut own = vec![Value::array(&times, types[2])];
    own.extend(dimensions.columns(&windows.iter().map(|(_, slice)| *slice).collect::<Vec<_>>())?);
    own.push(state.evaluate(Emit::All));
    Ok(own)
}
