//! Combines layers (later ones over earlier ones), temporary schedules (over layers) and overrides (over everything, in order of start).
//! Each piece records its origin.

use jiff::tz::TimeZone;

use super::check::{MAX_SHIFTS, MAX_WORK, ScheduleError};
use super::hours;
use super::interval::{Interval, outside, union, within};
use super::rotation::Turns;
use crate::directory::{Layer, Override, Schedule};

/// One user on call for one reason.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'a> {
    pub time: Interval,
    pub user: &'a str,
    pub origin: Origin,
    pub stand_in: Option<StandIn<'a>>,
}

/// What put a user on call before any override. Pieces with equal origins are intentionally on call together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    Turn { layer: usize, n: i64 },
    Fixed { temporary: usize, written: Interval },
    Added,
}

/// The last override that assigned this piece.
#[derive(Clone, Copy, Debug)]
pub(super) struct StandIn<'a> {
    pub name: &'a str,
    pub for_user: Option<&'a str>,
}

impl Piece<'_> {
    /// `layer primary`, `temporary schedule from 2026-12-24T08:00`, `override christmas: for bo`.
    pub fn because(&self, schedule: &Schedule) -> String {
        match (self.stand_in, self.origin) {
            (Some(StandIn { name, for_user: Some(user) }), _) => format!("override {name}: for {user}"),
            (Some(StandIn { name, for_user: None }), _) => format!("override {name}"),
            (None, Origin::Turn { layer, .. }) => match schedule.layers.get(layer).map(|layer| layer.name.as_str()) {
                Some(name) if !name.is_empty() => format!("layer {name}"),
                _ => format!("layer {}", layer + 1),
            },
            (None, Origin::Fixed { temporary, .. }) => {
                let from = schedule.temporary.get(temporary).map(|temporary| temporary.from.minute()).unwrap_or_default();
                format!("temporary schedule from {from}")
            }
            (None, Origin::Added) => "override".to_owned(),
        }
    }
}

/// All pieces within `window`, clipped, in order of start and user. `overrides` are this schedule's, in order of application.
pub(super) fn cover<'a>(
    zone: &TimeZone,
    schedule: &'a Schedule,
    overrides: &[(&'a str, &'a Override, Interval)],
    window: Interval,
) -> Result<Vec<Piece<'a>>, ScheduleError> {
    let mut on = Vec::new();
    let mut work = Work(0);
    for (index, layer) in schedule.layers.iter().enumerate() {
        let room = MAX_SHIFTS.saturating_sub(on.len());
        let pieces = layer_cover(zone, layer, index, window, room)?;
        work.add(on.len() + pieces.len())?;
        hide(&mut on, &union(pieces.iter().map(|piece| piece.time)));
        on.extend(pieces);
    }
    for (index, temporary) in schedule.temporary.iter().enumerate() {
        let span = Interval::new(temporary.from.instant(zone), temporary.to.instant(zone)).intersect(window);
        if span.is_empty() {
            continue;
        }
        work.add(on.len())?;
        hide(&mut on, &[span]);
        let below = on.len();
        for shift in &temporary.shifts {
            work.add(on.len() - below)?;
            let written = Interval::new(shift.from.instant(zone), shift.to.instant(zone));
            let already = times_of(&on[below..], &shift.user);
            let origin = Origin::Fixed { temporary: index, written };
            let free = outside(written.intersect(span), &already);
            on.extend(free.into_iter().map(|time| Piece { time, user: &shift.user, origin, stand_in: None }));
        }
    }
    for &(name, change, time) in overrides {
        let span = time.intersect(window);
        if !span.is_empty() {
            work.add(on.len())?;
            apply(&mut on, name, change, span);
        }
    }
    if on.len() > MAX_SHIFTS {
        return Err(ScheduleError::TooManyShifts { max: MAX_SHIFTS });
    }
    on.sort_unstable_by_key(|piece| (piece.time, piece.user));
    Ok(on)
}

/// Counts processed pieces.
struct Work(usize);

impl Work {
    fn add(&mut self, pieces: usize) -> Result<(), ScheduleError> {
        self.0 = self.0.saturating_add(pieces);
        if self.0 > MAX_WORK { Err(ScheduleError::TooMuchWork) } else { Ok(()) }
    }
}

fn layer_cover<'a>(
    zone: &TimeZone,
    layer: &'a Layer,
    index: usize,
    window: Interval,
    room: usize,
) -> Result<Vec<Piece<'a>>, ScheduleError> {
    let turns = Turns::new(zone, &layer.rotation);
    let hours = match layer.hours.as_slice() {
        [] => None,
        hours => Some(hours::windows(zone, hours, window)?),
    };
    let mut pieces = Vec::new();
    for (n, turn) in turns.within(window) {
        let turn = turn.intersect(window);
        let origin = Origin::Turn { layer: index, n };
        let mut put = |time| pieces.extend(turns.users(n).iter().map(|user| Piece { time, user, origin, stand_in: None }));
        match &hours {
            None => put(turn),
            Some(hours) => within(turn, hours).for_each(put),
        }
        if pieces.len() > room {
            return Err(ScheduleError::TooManyShifts { max: MAX_SHIFTS });
        }
    }
    Ok(pieces)
}

/// Removes pieces within `set`.
fn hide(on: &mut Vec<Piece<'_>>, set: &[Interval]) {
    if set.is_empty() {
        return;
    }
    *on = on.iter().flat_map(|piece| outside(piece.time, set).into_iter().map(|time| Piece { time, ..*piece })).collect();
}

fn times_of(on: &[Piece<'_>], user: &str) -> Vec<Interval> {
    union(on.iter().filter(|piece| piece.user == user).map(|piece| piece.time))
}

fn apply<'a>(on: &mut Vec<Piece<'a>>, name: &'a str, change: &'a Override, span: Interval) {
    let mut freed = Vec::new();
    if let Some(removed) = &change.remove {
        let mut kept = Vec::with_capacity(on.len());
        for piece in on.drain(..) {
            if piece.user == removed && piece.time.meets(span) {
                kept.extend(outside(piece.time, &[span]).into_iter().map(|time| Piece { time, ..piece }));
                freed.push(Piece { time: piece.time.intersect(span), ..piece });
            } else {
                kept.push(piece);
            }
        }
        *on = kept;
    } else {
        freed.push(Piece { time: span, user: "", origin: Origin::Added, stand_in: None });
    }
    if let Some(added) = &change.add {
        // A user who is already on call is not added twice.
        let already = times_of(on, added);
        let stand_in = Some(StandIn { name, for_user: change.remove.as_deref() });
        for piece in freed {
            let free = outside(piece.time, &already);
            on.extend(free.into_iter().map(|time| Piece { time, user: added, origin: piece.origin, stand_in }));
        }
    }
}
