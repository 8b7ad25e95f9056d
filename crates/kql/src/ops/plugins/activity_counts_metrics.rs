//! `activity_counts_metrics(id, timeline, start, end, step, dimensions…)` — for each step of the timeline that has rows: how many, how many
//! ids, how many of them new, and how many so far. Source: the public KQL reference, `activity-counts-metrics-plugin`; both ends belong to
//! the timeline. Ids are counted exactly.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use hashbrown::HashSet;
use model::Type;

use super::{Argument, Bound, Call, Plugin, PluginArg, PluginError, Shape};
use crate::Value;
use crate::ops::EvalError;
use crate::ops::keys::Keys;
use crate::ops::whole::{Table, Whole};
use crate::plan::{Expr, Field};

pub static PLUGIN: Plugin = Plugin {
    name: "activity_counts_metrics",
    summary: "Rows, ids, new ids and ids so far, for each step of a timeline",
    args: &[
        PluginArg { name: "IdColumn", shape: Shape::Expr },
        PluginArg { name: "TimelineColumn", shape: Shape::Expr },
        PluginArg { name: "Start", shape: Shape::Expr },
        PluginArg { name: "End", shape: Shape::Expr },
        PluginArg { name: "Step", shape: Shape::Expr },
        PluginArg { name: "Dimension", shape: Shape::Expr },
    ],
    required: 5,
    repeats: true,
    needs_rows: false,
    bind,
    examples: &[("datatable(u:string, t:long)['a',1, 'b',1, 'a',2] | evaluate activity_counts_metrics(u, t, 1, 2, 1)", "2")],
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
    let timeline = exprs[1].ty;
    if !matches!(timeline, Type::Int | Type::Long | Type::Datetime | Type::Timespan) {
        return Err(PluginError::Argument { index: 1, message: "must be a datetime, a timespan or a whole number".to_owned() });
    }
    let mut fields = vec![Field { id: (call.fresh)(), name: names[1].as_str().into(), ty: timeline }];
    for (expr, name) in exprs.iter().zip(&names).skip(5) {
        fields.push(Field { id: (call.fresh)(), name: name.as_str().into(), ty: expr.ty });
    }
    for name in ["count", "dcount", "new_dcount", "aggregated_dcount"] {
        fields.push(Field { id: (call.fresh)(), name: name.into(), ty: Type::Long });
    }
    let types: Vec<Type> = exprs.iter().map(|expr: &Expr| expr.ty).collect();
    let own = fields.iter().map(|field| field.id).collect();
    let op = Whole { name: PLUGIN.name, exprs, own, answer: Arc::new(move |table| answer(table, &types)) };
    Ok(Bound { op: Box::new(op), fields })
}

/// The rows and ids of one step.
#[derive(Default)]
struct Activity {
    count: i64,
    ids: HashSet<usize>,
}

fn answer(table: &Table, types: &[Type]) -> Result<Vec<ArrayRef>, EvalError> {
    let bound = |index: usize| {
        let value = table.constants[index].as_ref().and_then(Value::as_i64);
        value.ok_or_else(|| EvalError::Prepare { function: PLUGIN.name, message: "start, end and step must be constant".to_owned() })
    };
    let (start, end, step) = (bound(2)?, bound(3)?, bound(4)?);
    if step <= 0 {
        return Err(EvalError::Prepare { function: PLUGIN.name, message: "the step must be greater than 0".to_owned() });
    }
    let mut ids = Keys::new([types[0]])?;
    let id = ids.groups(&table.columns[..1], table.rows)?;
    let mut dimensions = Keys::new(types[5..].iter().copied())?;
    let slice = dimensions.groups(&table.columns[5..], table.rows)?;
    let mut slices: BTreeMap<usize, BTreeMap<i64, Activity>> = BTreeMap::new();
    for row in 0..table.rows {
        if let Some(at) = table.value(1, row, types[1]).as_i64().filter(|at| (start..=end).contains(at)) {
            let activity = slices.entry(slice[row]).or_default().entry((at - start) / step).or_default();
            activity.count += 1;
            activity.ids.insert(id[row]);
        }
    }
    let (mut times, mut owners, mut numbers) = (Vec::new(), Vec::new(), vec![Vec::new(); 4]);
    for (slice, steps) in slices {
        let mut seen: HashSet<usize> = HashSet::new();
        for (number, activity) in steps {
            times.push(start.saturating_add(number.saturating_mul(step)));
            owners.push(slice);
            let new = activity.ids.iter().filter(|id| seen.insert(**id)).count();
            let row = [activity.count, activity.ids.len() as i64, new as i64, seen.len() as i64];
            numbers.iter_mut().zip(row).for_each(|(column, number)| column.push(number));
        }
    }
    let times: Vec<Value> = times.into_iter().map(|at| Value::Long(at).cast(types[1])).collect();
    let mut own = vec![Value::array(&times, types[1])];
    own.extend(dimensions.columns(&owners)?);
    own.extend(numbers.into_iter().map(|column| Arc::new(Int64Array::from(column)) as ArrayRef));
    Ok(own)
}
