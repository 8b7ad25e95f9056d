//! `session_count(id, timeline, start, end, bin, lookback, dimensions…)` — number of sessions starting in each bin: a row starts a session
//! if its id did not occur within the preceding lookback. Source: the public KQL reference, `session-count-plugin`. According to its chart,
//! bins are those of `bin()`, not aligned to the start, and an occurrence exactly the lookback ago continues a session; all of its hundred
//! points but the first match this implementation (57 in the chart, 58 here).

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::ArrayRef;
use model::Type;

use super::timeline::{Arguments, Events, Rows, Steps, constant, expr, field, length};
use super::{Bound, Call, Plugin, PluginError};
use crate::ops::EvalError;
use crate::ops::whole::Table;

pub static PLUGIN: Plugin = Plugin {
    name: "session_count",
    summary: "Sessions that begin in each bin of a timeline",
    args: &[expr("IdColumn"), expr("TimelineColumn"), expr("Start"), expr("End"), expr("Bin"), expr("LookBackWindow"), expr("Dimension")],
    required: 6,
    repeats: true,
    needs_rows: false,
    bind,
    examples: &[("datatable(u:string, t:long)['a',1, 'a',2, 'a',9] | evaluate session_count(u, t, 1, 9, 10, 3)", "2")],
};

fn bind(mut call: Call) -> Result<Bound, PluginError> {
    let args = Arguments::of(&call)?;
    let timeline = args.timeline(1)?;
    args.moments(timeline, &[2, 3])?;
    args.lengths(timeline, &[4, 5], false)?;
    let mut fields = vec![field(&mut call, &args.names[1], timeline)];
    fields.extend(args.dimensions(6, &mut call));
    fields.push(field(&mut call, "count_sessions", Type::Long));
    let types = args.types();
    Ok(args.bound(PLUGIN.name, fields, Arc::new(move |table| answer(table, &types))))
}

fn answer(table: &Table, types: &[Type]) -> Result<Vec<ArrayRef>, EvalError> {
    let name = PLUGIN.name;
    let (start, end) = (constant(table, 2, name)?, constant(table, 3, name)?);
    let bins = Steps::Fixed { size: length(table, 4, name)?, origin: 0 };
    let lookback = length(table, 5, name)?;
    let events = Events::new(table, types, 6)?;
    let mut sessions: BTreeMap<(usize, i64), i64> = BTreeMap::new();
    for visits in events.visits() {
        let mut before: Option<i64> = None;
        for visit in visits {
            let goes_on = before.is_some_and(|before| visit.at.saturating_sub(before) <= lookback);
            before = Some(visit.at);
            if !goes_on && (start..=end).contains(&visit.at) {
                *sessions.entry((visit.slice, bins.number(visit.at))).or_insert(0) += 1;
            }
        }
    }
    let mut rows = Rows::new(1, 1, 0);
    for ((slice, bin), count) in sessions {
        rows.push(&[bins.start(bin)], slice, &[count], &[]);
    }
    rows.finish(types[1], &events)
}
