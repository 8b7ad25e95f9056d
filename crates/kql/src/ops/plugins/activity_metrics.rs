//! `activity_metrics(id, timeline, [start, end,] window, dimensions…)` — for each window the number of ids, the number not in the previous
//! window, and the retention and churn rates relative to the previous window. Source: the public KQL reference, `activity-metrics-plugin`;
//! columns in the order of Microsoft's parser. Both ends are inclusive.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::ArrayRef;
use hashbrown::HashSet;
use model::Type;

use super::timeline::{Arguments, Events, Rows, Steps, constant, expr, field, rate};
use super::{Bound, Call, Plugin, PluginError};
use crate::ops::EvalError;
use crate::ops::whole::Table;

pub static PLUGIN: Plugin = Plugin {
    name: "activity_metrics",
    summary: "Ids, new ids, retention and churn, for each step of a timeline",
    args: &[expr("IdColumn"), expr("TimelineColumn"), expr("Start"), expr("End"), expr("Step"), expr("Dimension")],
    required: 3,
    repeats: true,
    needs_rows: false,
    bind,
    examples: &[("datatable(u:string, t:long)['a',1, 'b',1, 'a',2] | evaluate activity_metrics(u, t, 1, 2, 1)", "0.5")],
};

fn bind(mut call: Call) -> Result<Bound, PluginError> {
    let args = Arguments::of(&call)?;
    let timeline = args.timeline(1)?;
    let window = match args.exprs.len() {
        3 => 2,
        4 => return Err(PluginError::Columns("give the window alone, or start and end before it".to_owned())),
        _ => 4,
    };
    if window == 4 {
        args.moments(timeline, &[2, 3])?;
    }
    args.lengths(timeline, &[window], true)?;
    let mut fields = vec![field(&mut call, &args.names[1], timeline)];
    fields.extend(args.dimensions(window + 1, &mut call));
    for name in ["dcount_values", "dcount_newvalues"] {
        fields.push(field(&mut call, name, Type::Long));
    }
    for name in ["retention_rate", "churn_rate"] {
        fields.push(field(&mut call, name, Type::Real));
    }
    let types = args.types();
    Ok(args.bound(PLUGIN.name, fields, Arc::new(move |table| answer(table, &types, window))))
}

fn answer(table: &Table, types: &[Type], window: usize) -> Result<Vec<ArrayRef>, EvalError> {
    let name = PLUGIN.name;
    let (start, end) = if window == 4 { (constant(table, 2, name)?, constant(table, 3, name)?) } else { (i64::MIN, i64::MAX) };
    let steps = Steps::of(table, window, if window == 4 { start } else { 0 }, name)?;
    let events = Events::new(table, types, window + 1)?;
    let mut rows = Rows::new(1, 2, 2);
    for (slice, visits) in events.slices().into_iter().enumerate() {
        let mut there: BTreeMap<i64, HashSet<usize>> = BTreeMap::new();
        for visit in visits.iter().filter(|visit| (start..=end).contains(&visit.at)) {
            there.entry(steps.number(visit.at)).or_default().insert(visit.id);
        }
        let none = HashSet::new();
        for (step, ids) in &there {
            let before = there.get(&(step - 1)).unwrap_or(&none);
            let back = ids.intersection(before).count();
            let lost = before.len() - back;
            let rates = [rate(back, before.len()), rate(lost, before.len())];
            rows.push(&[steps.start(*step)], slice, &[ids.len() as i64, (ids.len() - back) as i64], &rates);
        }
    }
    rows.finish(types[1], &events)
}
