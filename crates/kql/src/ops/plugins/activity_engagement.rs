//! `activity_engagement(id, timeline, [start, end,] inner window, outer window, dimensions…)` — for each inner window the number of ids in
//! it, the number in the outer window ending with it, and their ratio, such as daily to monthly users. Source: the public KQL reference,
//! `activity-engagement-plugin`; columns in the order of Microsoft's parser.

use std::sync::Arc;

use arrow::array::ArrayRef;
use hashbrown::{HashMap, HashSet};
use model::Type;

use super::timeline::{Arguments, Events, Rows, Steps, constant, expr, field, length, rate};
use super::{Bound, Call, Plugin, PluginError};
use crate::ops::EvalError;
use crate::ops::whole::Table;

pub static PLUGIN: Plugin = Plugin {
    name: "activity_engagement",
    summary: "Ids of a short window by those of a long one, for each step of a timeline",
    args: &[
        expr("IdColumn"),
        expr("TimelineColumn"),
        expr("Start"),
        expr("End"),
        expr("InnerActivityWindow"),
        expr("OuterActivityWindow"),
        expr("Dimension"),
    ],
    required: 4,
    repeats: true,
    needs_rows: false,
    bind,
    examples: &[("datatable(u:string, t:long)['a',1, 'b',1, 'a',2] | evaluate activity_engagement(u, t, 1, 2, 1, 2)", "0.5")],
};

fn bind(mut call: Call) -> Result<Bound, PluginError> {
    let args = Arguments::of(&call)?;
    let timeline = args.timeline(1)?;
    // With four arguments, start and end are absent.
    let inner = match args.exprs.len() {
        4 => 2,
        5 => return Err(PluginError::Columns("give both windows alone, or start and end before them".to_owned())),
        _ => 4,
    };
    if inner == 4 {
        args.moments(timeline, &[2, 3])?;
    }
    args.lengths(timeline, &[inner, inner + 1], false)?;
    let mut fields = vec![field(&mut call, &args.names[1], timeline)];
    fields.extend(args.dimensions(inner + 2, &mut call));
    fields.push(field(&mut call, "dcount_activities_inner", Type::Long));
    fields.push(field(&mut call, "dcount_activities_outer", Type::Long));
    fields.push(field(&mut call, "activity_ratio", Type::Real));
    let types = args.types();
    Ok(args.bound(PLUGIN.name, fields, Arc::new(move |table| answer(table, &types, inner))))
}

fn answer(table: &Table, types: &[Type], inner: usize) -> Result<Vec<ArrayRef>, EvalError> {
    let name = PLUGIN.name;
    let (start, end) = if inner == 4 { (constant(table, 2, name)?, constant(table, 3, name)?) } else { (i64::MIN, i64::MAX) };
    let size = length(table, inner, name)?;
    let outer = length(table, inner + 1, name)?;
    let steps = Steps::Fixed { size, origin: if inner == 4 { start } else { 0 } };
    let events = Events::new(table, types, inner + 2)?;
    let mut rows = Rows::new(1, 2, 1);
    for visits in events.slices() {
        let mut known: HashMap<usize, usize> = HashMap::new();
        let (mut first, mut next) = (0, 0);
        while next < visits.len() {
            if !(start..=end).contains(&visits[next].at) {
                if visits[next].at < start {
                    *known.entry(visits[next].id).or_insert(0) += 1;
                }
                next += 1;
                continue;
            }
            let step = steps.number(visits[next].at);
            let mut ids: HashSet<usize> = HashSet::new();
            while next < visits.len() && visits[next].at <= end && steps.number(visits[next].at) == step {
                ids.insert(visits[next].id);
                *known.entry(visits[next].id).or_insert(0) += 1;
                next += 1;
            }
            let from = steps.start(step).saturating_add(size).saturating_sub(outer);
            while first < next && visits[first].at < from {
                if let Some(count) = known.get_mut(&visits[first].id) {
                    *count -= 1;
                    if *count == 0 {
                        known.remove(&visits[first].id);
                    }
                }
                first += 1;
            }
            let counts = [ids.len() as i64, known.len() as i64];
            rows.push(&[steps.start(step)], visits[next - 1].slice, &counts, &[rate(ids.len(), known.len())]);
        }
    }
    rows.finish(types[1], &events)
}
