//! Computes who is on call: rotations, layers, temporary schedules and overrides, as intervals of time. Pure functions.
//!
//! ```text
//! layers (later ones hide earlier ones) ─► temporary schedules (hide all layers) ─► overrides (in the order they begin) ─► shifts
//! ```
//!
//! Everything is computed in the wall-clock time of the schedule's zone and converted to instants last (ADR 0006); the zones are those
//! compiled in. Hand-overs are computed in closed form, so the cost does not depend on the distance from `start`. [`who`] and [`shifts`]
//! use the same computation over different windows.

mod calendar;
mod check;
mod cover;
mod health;
mod hours;
mod interval;
mod lines;
mod rotation;
mod zone;

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use model::TICKS_PER_DAY;
use model::{Span, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;

use crate::directory::{Override, Schedule};
use cover::{Piece, cover};
use interval::Interval;

pub use calendar::{Turns, calendar, calendar_of_schedule, calendar_of_user};
pub use check::{
    MAX_FIXED_SHIFTS, MAX_HOURS, MAX_LAYERS, MAX_LENGTH, MAX_SHIFTS, MAX_TEMPORARY, MAX_USERS, MAX_WORK, MAX_YEARS, ScheduleError, YEARS,
    check, check_override,
};
pub use health::{Doubled, Gap, Health, Rest, Share, health};
pub use lines::answer_line;
pub(crate) use zone::{instant, wall_clock};

/// The overrides of a directory. Those of other schedules are ignored.
pub type Overrides = BTreeMap<String, Override>;

/// A person's time on call, for one reason. Half-open.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Shift {
    pub user: String,
    #[schemars(with = "String")]
    pub from: Timestamp,
    #[schemars(with = "String")]
    pub to: Timestamp,
    /// What put them on call: `layer primary`, `override christmas: for bo`.
    pub because: String,
}

/// A person who is on call at an instant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct OnDuty {
    pub user: String,
    /// As in [`Shift::because`].
    pub because: String,
    /// When this shift ends; the next one may be theirs again.
    #[schemars(with = "String")]
    pub until: Timestamp,
}

/// The shifts within `from`–`to`, clipped to the range, in order of start.
pub fn shifts(schedule: &Schedule, name: &str, overrides: &Overrides, from: Timestamp, to: Timestamp) -> Result<Vec<Shift>, ScheduleError> {
    let plan = Plan::new(schedule, name, overrides)?;
    Ok(plan.pieces(Interval::new(from, to))?.iter().map(|piece| plan.shift(piece)).collect())
}

/// The shifts that overlap `from`–`to`, not clipped.
pub fn whole_shifts(
    schedule: &Schedule,
    name: &str,
    overrides: &Overrides,
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<Shift>, ScheduleError> {
    let plan = Plan::new(schedule, name, overrides)?;
    Ok(plan.whole_pieces(Interval::new(from, to))?.iter().map(|piece| plan.shift(piece)).collect())
}

/// Who is on call at `at`, by name. May be empty.
pub fn who(schedule: &Schedule, name: &str, overrides: &Overrides, at: Timestamp) -> Result<Vec<OnDuty>, ScheduleError> {
    let plan = Plan::new(schedule, name, overrides)?;
    let at = at.min(Timestamp::MAX - Span(1));
    let pieces = plan.whole_pieces(Interval::new(at, at + Span(1)))?;
    let mut on: Vec<OnDuty> =
        pieces.iter().map(|piece| OnDuty { user: piece.user.to_owned(), because: piece.because(schedule), until: piece.time.to }).collect();
    on.sort_unstable_by(|a, b| a.user.cmp(&b.user));
    Ok(on)
}

/// A validated schedule with its overrides.
struct Plan<'a> {
    schedule: &'a Schedule,
    zone: TimeZone,
    overrides: Vec<(&'a str, &'a Override, Interval)>,
}

impl<'a> Plan<'a> {
    fn new(schedule: &'a Schedule, name: &str, overrides: &'a Overrides) -> Result<Self, ScheduleError> {
        if let Some(error) = check(schedule).into_iter().next() {
            return Err(error);
        }
        let zone = model::time_zone(&schedule.time_zone).ok_or(ScheduleError::NoZone)?;
        let mut mine: Vec<(&str, &Override, Interval)> = overrides
            .iter()
            .filter(|(_, change)| change.schedule == name && !change.requested)
            .map(|(name, change)| (name.as_str(), change, Interval::new(change.from.instant(&zone), change.to.instant(&zone))))
            .collect();
        // A later override was made in view of the earlier ones, so a substitute can be substituted.
        mine.sort_by_key(|(_, _, time)| time.from);
        Ok(Self { schedule, zone, overrides: mine })
    }

    fn shift(&self, piece: &Piece<'_>) -> Shift {
        Shift { user: piece.user.to_owned(), from: piece.time.from, to: piece.time.to, because: piece.because(self.schedule) }
    }

    fn pieces(&self, window: Interval) -> Result<Vec<Piece<'a>>, ScheduleError> {
        if window.is_empty() {
            return Ok(Vec::new());
        }
        if (window.to - window.from).0 > MAX_YEARS * 366 * TICKS_PER_DAY {
            return Err(ScheduleError::TooLong);
        }
        cover(&self.zone, self.schedule, &self.overrides, window)
    }

    /// As [`Self::pieces`], not clipped: extends the window until no overlapping piece exceeds it.
    fn whole_pieces(&self, window: Interval) -> Result<Vec<Piece<'a>>, ScheduleError> {
        if window.is_empty() {
            return Ok(Vec::new());
        }
        if (window.to - window.from).0 > MAX_YEARS * 366 * TICKS_PER_DAY {
            return Err(ScheduleError::TooLong);
        }
        // Beyond this only a manually entered shift continues, and it is clipped there.
        let most = 2 * MAX_YEARS * 366 * TICKS_PER_DAY;
        let mut found = self.meeting(window, 0)?.0;
        let mut margin = 2 * TICKS_PER_DAY;
        loop {
            match self.meeting(window, margin) {
                Ok((pieces, false)) => return Ok(pieces),
                Ok((pieces, true)) if margin >= most => return Ok(pieces),
                Ok((pieces, true)) => found = pieces,
                // Too many shifts around a very long one: return it as far as computed.
                Err(ScheduleError::TooManyShifts { .. } | ScheduleError::TooMuchWork) => return Ok(found),
                Err(error) => return Err(error),
            }
            margin = margin.saturating_mul(4).min(most);
        }
    }

    /// The pieces that overlap the window, computed with `margin` around it, and whether any of them extends beyond.
    fn meeting(&self, window: Interval, margin: i64) -> Result<(Vec<Piece<'a>>, bool), ScheduleError> {
        let wide = Interval::new(window.from - Span(margin), window.to + Span(margin));
        let mut pieces = cover(&self.zone, self.schedule, &self.overrides, wide)?;
        pieces.retain(|piece| piece.time.meets(window));
        let beyond = |piece: &Piece<'_>| {
            (piece.time.from == wide.from && wide.from > Timestamp::MIN) || (piece.time.to == wide.to && wide.to < Timestamp::MAX)
        };
        let cut = pieces.iter().any(beyond);
        Ok((pieces, cut))
    }
}

#[cfg(test)]
mod tests;
