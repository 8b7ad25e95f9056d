//! `row_window_session(time, from first, between neighbours, restart)` — the start of a row's session. Source of truth: the public KQL
//! reference, page `row-window-session-function`.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::datatypes::Int64Type;
use model::Type;

use super::row_number::starts;
use super::{Family, WindowFn, closure};
use crate::functions::{Args, Resolved, Signature, SignatureError};

pub static FAMILY: Family = &[&ROW_WINDOW_SESSION];

static ROW_WINDOW_SESSION: WindowFn = WindowFn {
    name: "row_window_session",
    summary: "When the session of a row began",
    parameters: &["expression", "max_distance_from_first", "max_distance_between_neighbors", "restart"],
    signature: Signature::Custom(|args| {
        let wanted = [Type::Datetime, Type::Timespan, Type::Timespan, Type::Bool];
        if !(3..=4).contains(&args.len()) {
            return Err(SignatureError::Count { least: 3, most: Some(4) });
        }
        for (index, (arg, want)) in args.iter().zip(wanted).enumerate() {
            if arg.ty != want && arg.ty != Type::Dynamic {
                return Err(SignatureError::Type { index, wants: want.name().into() });
            }
        }
        Ok(Resolved { args: wanted[..args.len()].to_vec(), returns: Type::Datetime })
    }),
    prepare: |_| Ok(closure(sessions)),
    // The public KQL reference, page `row-window-session-function`.
    examples: &[(
        "datatable(t:datetime)[datetime(2024-04-11 10:16), datetime(2024-04-11 10:18)] | sort by t asc | extend s = row_window_session(t, 1h, 5m)",
        "2024-04-11T10:16:00.0000000Z",
    )],
};

fn sessions(args: &Args) -> ArrayRef {
    let restart = starts(args, 3);
    let columns = [args.array(0), args.array(1), args.array(2)];
    let [times, from_first, between] = columns.each_ref().map(|column| column.as_primitive::<Int64Type>());
    // A null distance never ends a session.
    let reached = |time: i64, since: i64, distance: &Int64Array, row: usize| {
        distance.is_valid(row) && time >= since.saturating_add(distance.value(row))
    };
    let mut session: Option<i64> = None;
    let mut before: Option<i64> = None;
    let begun = (0..args.rows).map(|row| {
        let time = times.is_valid(row).then(|| times.value(row));
        session = match (time, session, before) {
            (Some(time), Some(start), Some(last))
                if !restart(row) && !reached(time, start, from_first, row) && !reached(time, last, between, row) =>
            {
                Some(start)
            }
            (time, _, _) => time,
        };
        before = time;
        session
    });
    Arc::new(begun.collect::<Int64Array>())
}
