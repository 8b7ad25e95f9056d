//! `active_users_count(id, timeline, start, end, lookback, period, active periods, bin, dimensions…)` — for each bin, the ids that were
//! active in at least the given number of periods within the lookback before one of their rows. Source: the public KQL reference,
//! `active-users-count-plugin`; as in its example, the lookback includes the row itself and excludes the instant exactly its length
//! earlier.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use arrow::array::ArrayRef;
use model::Type;

use super::timeline::{Arguments, Events, Rows, Steps, constant, expr, field, length};
use super::{Bound, Call, Plugin, PluginError};
use crate::ops::EvalError;
use crate::ops::whole::Table;

pub static PLUGIN: Plugin = Plugin {
    name: "active_users_count",
    summary: "Ids that were there in several periods before, for each bin of a timeline",
    args: &[
        expr("IdColumn"),
        expr("TimelineColumn"),
        expr("Start"),
        expr("End"),
        expr("LookbackWindow"),
        expr("Period"),
        expr("ActivePeriods"),
        expr("Bin"),
        expr("Dimension"),
    ],
    required: 8,
    repeats: true,
    needs_rows: false,
    bind,
    examples: &[("datatable(u:string, t:long)['a',1, 'a',2, 'b',2] | evaluate active_users_count(u, t, 1, 9, 5, 1, 2, 10)", "1")],
};

fn bind(mut call: Call) -> Result<Bound, PluginError> {
    let args = Arguments::of(&call)?;
    let timeline = args.timeline(1)?;
    args.moments(timeline, &[2, 3])?;
    args.lengths(timeline, &[4, 5], false)?;
    args.lengths(timeline, &[7], true)?;
    if !args.ty(6).is_numeric() {
        return Err(PluginError::Argument { index: 6, message: "must be a number".to_owned() });
    }
    let mut fields = vec![field(&mut call, &args.names[1], timeline)];
    fields.extend(args.dimensions(8, &mut call));
    fields.push(field(&mut call, "dcount", Type::Long));
    let types = args.types();
    Ok(args.bound(PLUGIN.name, fields, Arc::new(move |table| answer(table, &types))))
}

fn answer(table: &Table, types: &[Type]) -> Result<Vec<ArrayRef>, EvalError> {
    let name = PLUGIN.name;
    let (start, end) = (constant(table, 2, name)?, constant(table, 3, name)?);
    let lookback = length(table, 4, name)?;
    let periods = Steps::Fixed { size: length(table, 5, name)?, origin: start };
    let needed = constant(table, 6, name)?;
    let bins = Steps::of(table, 7, start, name)?;
    let events = Events::new(table, types, 8)?;
    let mut active: BTreeMap<(usize, i64), HashSet<usize>> = BTreeMap::new();
    for visits in events.visits() {
        // The cumulative number of periods with a visit.
        let mut seen: Vec<i64> = Vec::with_capacity(visits.len());
        let mut first = 0;
        for (index, visit) in visits.iter().enumerate() {
            let fresh = index == 0 || periods.number(visit.at) != periods.number(visits[index - 1].at);
            seen.push(seen.last().copied().unwrap_or(0) + i64::from(fresh));
            while visits[first].at <= visit.at.saturating_sub(lookback) {
                first += 1;
            }
            let there = seen[index] - seen[first] + 1;
            if (start..=end).contains(&visit.at) && there >= needed {
                active.entry((visit.slice, bins.number(visit.at))).or_default().insert(visit.id);
            }
        }
    }
    let mut rows = Rows::new(1, 1, 0);
    for ((slice, bin), ids) in active {
        rows.push(&[bins.start(bin)], slice, &[ids.len() as i64], &[]);
    }
    rows.finish(types[1], &events)
}
