//! `funnel_sequence(id, timeline, start, end, window, step, state, sequence)` — states before and after a sequence of states. Source: the
//! public KQL reference, `funnel-sequence-plugin`; returns the first of its three tables, like Microsoft's parser.
//!
//! Consecutive equal states count as one (the published tables have no state that follows itself); two states are consecutive if at most
//! the window lies between them. The state before the first and after the last is empty.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use model::Type;

use super::funnel_sequence_completion::elements;
use super::timeline::{Arguments, Event, Events, Steps, constant, expr, field, length};
use super::{Bound, Call, Plugin, PluginError};
use crate::Value;
use crate::dynamic;
use crate::ops::EvalError;
use crate::ops::whole::Table;

pub static PLUGIN: Plugin = Plugin {
    name: "funnel_sequence",
    summary: "The states before and after a sequence of states, with the number of ids",
    args: &[
        expr("IdColumn"),
        expr("TimelineColumn"),
        expr("Start"),
        expr("End"),
        expr("MaxSequenceStepWindow"),
        expr("Step"),
        expr("StateColumn"),
        expr("Sequence"),
    ],
    required: 8,
    repeats: false,
    needs_rows: false,
    bind,
    examples: &[(
        "datatable(u:string, t:long, s:string)['a',1,'w', 'a',2,'x', 'a',3,'y'] \
         | evaluate funnel_sequence(u, t, 0, 9, 5, 10, s, dynamic(['x']))",
        r#"["a"]"#,
    )],
};

/// Maximum number of sample ids per row.
const SAMPLES: usize = 128;

fn bind(mut call: Call) -> Result<Bound, PluginError> {
    let args = Arguments::of(&call)?;
    let timeline = args.timeline(1)?;
    args.moments(timeline, &[2, 3])?;
    args.lengths(timeline, &[4, 5], false)?;
    if args.ty(7) != Type::Dynamic {
        return Err(PluginError::Argument { index: 7, message: "must be a dynamic array".to_owned() });
    }
    let fields = vec![
        field(&mut call, &args.names[1], timeline),
        field(&mut call, "prev", args.ty(6)),
        field(&mut call, "next", args.ty(6)),
        field(&mut call, "dcount", Type::Long),
        field(&mut call, "samples", Type::Dynamic),
    ];
    let types = args.types();
    Ok(args.bound(PLUGIN.name, fields, Arc::new(move |table| answer(table, &types))))
}

/// Consecutive equal states.
struct Run {
    state: Value,
    first: i64,
    last: i64,
}

fn answer(table: &Table, types: &[Type]) -> Result<Vec<ArrayRef>, EvalError> {
    let name = PLUGIN.name;
    let (start, end) = (constant(table, 2, name)?, constant(table, 3, name)?);
    let window = length(table, 4, name)?;
    let bins = Steps::Fixed { size: length(table, 5, name)?, origin: start };
    let ty = types[6];
    let sequence = elements(table, 7, ty, name)?;
    let events = Events::new(table, types, types.len())?;
    // Keyed by bin and both neighbours; the texts are only for sorting.
    let mut found: BTreeMap<(i64, String, String), (Value, Value, i64, Vec<usize>)> = BTreeMap::new();
    for visits in events.visits() {
        let visits: Vec<Event> = visits.into_iter().filter(|visit| (start..=end).contains(&visit.at)).collect();
        for part in visits.chunk_by(|a, b| bins.number(a.at) == bins.number(b.at)) {
            let Some(one) = part.first() else { continue };
            let runs = runs(table, part, ty);
            let mut seen: BTreeSet<(String, String)> = BTreeSet::new();
            for from in 0..runs.len() {
                let to = from + sequence.len();
                let close = |at: usize| runs[at + 1].first.saturating_sub(runs[at].last) <= window;
                if sequence.is_empty()
                    || to > runs.len()
                    || !runs[from..to].iter().zip(&sequence).all(|(run, state)| run.state == *state)
                    || !(from..to - 1).all(close)
                {
                    continue;
                }
                let state = |at: Option<usize>| at.map_or(Value::null(ty), |at| runs[at].state.clone());
                let before = state(from.checked_sub(1).filter(|at| close(*at)));
                let after = state((to < runs.len() && close(to - 1)).then_some(to));
                let key = (before.to_text(), after.to_text());
                if seen.insert(key.clone()) {
                    let row = found.entry((bins.number(one.at), key.0, key.1)).or_insert((before, after, 0, Vec::new()));
                    row.2 += 1;
                    if row.3.len() < SAMPLES {
                        row.3.push(one.row);
                    }
                }
            }
        }
    }
    let (mut times, mut before, mut after, mut counts, mut samples) = (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for ((bin, _, _), (prev, next, count, rows)) in found {
        times.push(Value::Long(bins.start(bin)).cast(types[1]));
        before.push(prev);
        after.push(next);
        counts.push(count);
        let mut json = String::from("[");
        for (index, row) in rows.into_iter().enumerate() {
            if index > 0 {
                json.push(',');
            }
            dynamic::push_value(&mut json, &table.value(0, row, types[0]));
        }
        json.push(']');
        samples.push(Value::Dynamic(json));
    }
    Ok(vec![
        Value::array(&times, types[1]),
        Value::array(&before, ty),
        Value::array(&after, ty),
        Arc::new(Int64Array::from(counts)) as ArrayRef,
        Value::array(&samples, Type::Dynamic),
    ])
}

fn runs(table: &Table, visits: &[Event], ty: Type) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for visit in visits {
        let state = table.value(6, visit.row, ty);
        match runs.last_mut() {
            Some(run) if run.state == state => run.last = visit.at,
            _ => runs.push(Run { state, first: visit.at, last: visit.at }),
        }
    }
    runs
}
