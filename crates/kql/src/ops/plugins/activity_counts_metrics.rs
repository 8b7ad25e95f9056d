//! `activity_counts_metrics(id, timeline, start, end, step, dimensions…)` — for each step of the timeline with rows: the number of rows,
//! distinct ids, new ids, and distinct ids so far. Source: the public KQL reference, `activity-counts-metrics-plugin`; both ends are
//! inclusive. Ids are counted exactly.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::ArrayRef;
use hashbrown::HashSet;
use model::Type;

use super::timeline::{Arguments, Events, Rows, Steps, constant, expr, field};
use super::{Bound, Call, Plugin, PluginError};
use crate::ops::EvalError;
use crate::ops::whole::Table;

pub static PLUGIN: Plugin = Plugin {
    name: "activity_counts_metrics",
    summary: "Rows, ids, new ids and ids so far, for each step of a timeline",
    args: &[expr("IdColumn"), expr("TimelineColumn"), expr("Start"), expr("End"), expr("Step"), expr("Dimension")],
    required: 5,
    repeats: true,
    needs_rows: false,
    bind,
    examples: &[("datatable(u:string, t:long)['a',1, 'b',1, 'a',2] | evaluate activity_counts_metrics(u, t, 1, 2, 1)", "2")],
};

fn bind(mut call: Call) -> Result<Bound, PluginError> {
    let args = Arguments::of(&call)?;
    let timeline = args.timeline(1)?;
    args.moments(timeline, &[2, 3])?;
    args.lengths(timeline, &[4], true)?;
    let mut fields = vec![field(&mut call, &args.names[1], timeline)];
    fields.extend(args.dimensions(5, &mut call));
    for name in ["count", "dcount", "new_dcount", "aggregated_dcount"] {
        fields.push(field(&mut call, name, Type::Long));
    }
    let types = args.types();
    Ok(args.bound(PLUGIN.name, fields, Arc::new(move |table| answer(table, &types))))
}

/// The rows and ids of one step.
#[derive(Default)]
struct Activity {
    count: i64,
    ids: HashSet<usize>,
}

fn answer(table: &Table, types: &[Type]) -> Result<Vec<ArrayRef>, EvalError> {
    let name = PLUGIN.name;
    let (start, end) = (constant(table, 2, name)?, constant(table, 3, name)?);
    let steps = Steps::of(table, 4, start, name)?;
    let events = Events::new(table, types, 5)?;
    let mut rows = Rows::new(1, 4, 0);
    for (slice, visits) in events.slices().into_iter().enumerate() {
        let mut activities: BTreeMap<i64, Activity> = BTreeMap::new();
        for visit in visits.iter().filter(|visit| (start..=end).contains(&visit.at)) {
            let activity = activities.entry(steps.number(visit.at)).or_default();
            activity.count += 1;
            activity.ids.insert(visit.id);
        }
        let mut seen: HashSet<usize> = HashSet::new();
        for (number, activity) in activities {
            let new = activity.ids.iter().filter(|id| seen.insert(**id)).count();
            let counts = [activity.count, activity.ids.len() as i64, new as i64, seen.len() as i64];
            rows.push(&[steps.start(number)], slice, &counts, &[]);
        }
    }
    rows.finish(types[1], &events)
}
