//! `funnel_sequence_completion(id, timeline, start, end, bin, state, sequence, periods)` — for each bin and period, how many ids completed
//! how many steps of a sequence of states within that period. Source: the public KQL reference, `funnel-sequence-completion-plugin`. Other
//! states may occur in between; a state that no id reached has no row.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use model::Type;

use super::timeline::{Arguments, Event, Events, Steps, constant, expr, field, length, wrong};
use super::{Bound, Call, Plugin, PluginError};
use crate::Value;
use crate::dynamic;
use crate::ops::EvalError;
use crate::ops::whole::Table;
use crate::value::cast;

pub static PLUGIN: Plugin = Plugin {
    name: "funnel_sequence_completion",
    summary: "How many ids came how far in a sequence of states, within several periods",
    args: &[
        expr("IdColumn"),
        expr("TimelineColumn"),
        expr("Start"),
        expr("End"),
        expr("BinSize"),
        expr("StateColumn"),
        expr("Sequence"),
        expr("MaxSequencePeriods"),
    ],
    required: 8,
    repeats: false,
    needs_rows: false,
    bind,
    examples: &[(
        "datatable(u:string, t:long, s:string)['a',1,'x', 'b',1,'x', 'a',2,'y'] \
         | evaluate funnel_sequence_completion(u, t, 0, 9, 10, s, dynamic(['x','y']), dynamic([5]))",
        "1",
    )],
};

fn bind(mut call: Call) -> Result<Bound, PluginError> {
    let args = Arguments::of(&call)?;
    let timeline = args.timeline(1)?;
    args.moments(timeline, &[2, 3])?;
    args.lengths(timeline, &[4], false)?;
    for index in [6, 7] {
        if args.ty(index) != Type::Dynamic {
            return Err(PluginError::Argument { index, message: "must be a dynamic array".to_owned() });
        }
    }
    let period = if timeline == Type::Datetime { Type::Timespan } else { timeline };
    let fields = vec![
        field(&mut call, &args.names[1], timeline),
        field(&mut call, &args.names[5], args.ty(5)),
        field(&mut call, "Period", period),
        field(&mut call, "dcount", Type::Long),
    ];
    let types = args.types();
    Ok(args.bound(PLUGIN.name, fields, Arc::new(move |table| answer(table, &types, period))))
}

/// The elements of the array argument `index`, as values of `ty`.
pub(super) fn elements(table: &Table, index: usize, ty: Type, function: &'static str) -> Result<Vec<Value>, EvalError> {
    let array = match table.constants.get(index).and_then(Option::as_ref) {
        Some(Value::Dynamic(json)) => dynamic::elements(json),
        _ => None,
    };
    let array = array.ok_or_else(|| wrong(function, format!("argument {} must be a constant array", index + 1)))?;
    Ok(array.map(|json| cast::from_dynamic(json, ty)).collect())
}

/// For each row, the positions of its state in the sequence.
pub(super) fn places(table: &Table, column: usize, ty: Type, sequence: &[Value]) -> Vec<Vec<usize>> {
    let place = |row: usize| {
        let state = table.value(column, row, ty);
        (0..sequence.len()).filter(|at| sequence[*at] == state).collect()
    };
    (0..table.rows).map(place).collect()
}

fn answer(table: &Table, types: &[Type], period: Type) -> Result<Vec<ArrayRef>, EvalError> {
    let name = PLUGIN.name;
    let (start, end) = (constant(table, 2, name)?, constant(table, 3, name)?);
    let bins = Steps::Fixed { size: length(table, 4, name)?, origin: start };
    let sequence = elements(table, 6, types[5], name)?;
    let periods = elements(table, 7, period, name)?;
    let places = places(table, 5, types[5], &sequence);
    let events = Events::new(table, types, types.len())?;
    let mut reached: BTreeMap<(i64, usize, usize), i64> = BTreeMap::new();
    for visits in events.visits() {
        let visits: Vec<Event> = visits.into_iter().filter(|visit| (start..=end).contains(&visit.at)).collect();
        for part in visits.chunk_by(|a, b| bins.number(a.at) == bins.number(b.at)) {
            let bin = part.first().map_or(0, |visit| bins.number(visit.at));
            for (number, period) in periods.iter().enumerate() {
                let steps = furthest(part, &places, sequence.len(), period.as_i64().unwrap_or(0));
                for step in 0..steps {
                    *reached.entry((bin, number, step)).or_insert(0) += 1;
                }
            }
        }
    }
    let (mut times, mut states, mut spans, mut counts) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for ((bin, number, step), count) in reached {
        times.push(Value::Long(bins.start(bin)).cast(types[1]));
        states.push(sequence[step].clone());
        spans.push(periods[number].clone());
        counts.push(count);
    }
    Ok(vec![
        Value::array(&times, types[1]),
        Value::array(&states, types[5]),
        Value::array(&spans, period),
        Arc::new(Int64Array::from(counts)) as ArrayRef,
    ])
}

/// The number of steps of the sequence completed within `period` of a first step: for each step it suffices to track the latest first step
/// leading to it.
fn furthest(visits: &[Event], places: &[Vec<usize>], steps: usize, period: i64) -> usize {
    let mut begun: Vec<Option<i64>> = vec![None; steps];
    let mut most = 0;
    for visit in visits {
        // Later steps first, so that one row is not used for two steps.
        for step in places[visit.row].iter().rev() {
            let from = if *step == 0 { Some(visit.at) } else { begun[*step - 1] };
            if let Some(from) = from.filter(|from| visit.at.saturating_sub(*from) <= period) {
                begun[*step] = begun[*step].max(Some(from));
                most = most.max(*step + 1);
            }
        }
    }
    most
}
