//! `sliding_window_counts(id, timeline, start, end, lookback, bin, dimensions…)` — for each bin, the rows and distinct ids of all bins
//! within the lookback, including this one. Source: the public KQL reference, `sliding-window-counts-plugin`; a lookback that is not a
//! multiple of the bin is rounded down to one. Bins without rows in their lookback are omitted; column names are as in Microsoft's parser.

use std::sync::Arc;

use arrow::array::ArrayRef;
use hashbrown::HashMap;
use model::Type;

use super::timeline::{Arguments, Events, MOST_STEPS, Rows, Steps, constant, expr, field, length};
use super::{Bound, Call, Plugin, PluginError};
use crate::ops::EvalError;
use crate::ops::whole::Table;

pub static PLUGIN: Plugin = Plugin {
    name: "sliding_window_counts",
    summary: "Rows and ids of the bins before and with each bin of a timeline",
    args: &[expr("IdColumn"), expr("TimelineColumn"), expr("Start"), expr("End"), expr("LookBackWindow"), expr("Bin"), expr("Dimension")],
    required: 6,
    repeats: true,
    needs_rows: false,
    bind,
    examples: &[("datatable(u:string, t:long)['a',1, 'b',2, 'a',2] | evaluate sliding_window_counts(u, t, 1, 3, 2, 1)", "2")],
};

fn bind(mut call: Call) -> Result<Bound, PluginError> {
    let args = Arguments::of(&call)?;
    let timeline = args.timeline(1)?;
    args.moments(timeline, &[2, 3])?;
    args.lengths(timeline, &[4], false)?;
    args.lengths(timeline, &[5], true)?;
    let mut fields = vec![field(&mut call, &args.names[1], timeline)];
    fields.extend(args.dimensions(6, &mut call));
    fields.push(field(&mut call, "Count", Type::Long));
    fields.push(field(&mut call, "Dcount", Type::Long));
    let types = args.types();
    Ok(args.bound(PLUGIN.name, fields, Arc::new(move |table| answer(table, &types))))
}

fn answer(table: &Table, types: &[Type]) -> Result<Vec<ArrayRef>, EvalError> {
    let name = PLUGIN.name;
    let (start, end) = (constant(table, 2, name)?, constant(table, 3, name)?);
    let lookback = length(table, 4, name)?;
    let bins = Steps::of(table, 5, start, name)?;
    let span = bins.span(start, end, MOST_STEPS, name)?;
    let events = Events::new(table, types, 6)?;
    let mut rows = Rows::new(1, 2, 0);
    for (slice, visits) in events.slices().into_iter().enumerate() {
        let mut known: HashMap<usize, i64> = HashMap::new();
        let (mut first, mut next) = (0, 0);
        for bin in span.clone() {
            let reaches = |at: i64| match bins {
                Steps::Fixed { size, .. } => bin - bins.number(at) < (lookback / size).max(1),
                _ => bins.number(at) == bin || bins.start(bins.number(at)) > bins.start(bin).saturating_sub(lookback),
            };
            while next < visits.len() && visits[next].at <= end && bins.number(visits[next].at) <= bin {
                *known.entry(visits[next].id).or_insert(0) += 1;
                next += 1;
            }
            while first < next && !reaches(visits[first].at) {
                if let Some(count) = known.get_mut(&visits[first].id) {
                    *count -= 1;
                    if *count == 0 {
                        known.remove(&visits[first].id);
                    }
                }
                first += 1;
            }
            if first < next {
                rows.push(&[bins.start(bin)], slice, &[(next - first) as i64, known.len() as i64], &[]);
            }
        }
    }
    rows.finish(types[1], &events)
}
