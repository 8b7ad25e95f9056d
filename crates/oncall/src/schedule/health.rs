//! Schedule quality, for `oncall check`.
//!
//! Quality is the mean of coverage and balance (as in Grafana OnCall), in percent. Balance is the mean over all pairs of users of the
//! smaller share divided by the larger; from 95 % it counts as even, since calendars do not divide exactly.

use std::collections::{BTreeMap, BTreeSet};

use model::{Span, Timestamp};
use schemars::JsonSchema;
use serde::Serialize;

use super::cover::{Origin, Piece};
use super::interval::{Interval, outside, union, within};
use super::{Overrides, Plan, ScheduleError, hours};
use crate::directory::{Hours, Schedule, User, Weekday};

/// Night hours, local time.
const NIGHT: (i8, i8) = (22, 7);
/// Balance from which the shares count as even, in percent.
const EVEN: f64 = 95.0;

/// A schedule over a stretch of time.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Health {
    #[schemars(with = "String")]
    pub from: Timestamp,
    #[schemars(with = "String")]
    pub to: Timestamp,
    /// When nobody is on call.
    pub gaps: Vec<Gap>,
    /// When several people are on call and nobody wrote that they should be: not in one turn, not one more by an override, not in fixed
    /// shifts of equal times.
    pub doubled: Vec<Doubled>,
    /// Each person who is on call at all, by name.
    pub shares: Vec<Share>,
    /// The shortest anybody rests between two turns.
    pub shortest_rest: Option<Rest>,
    /// Per cent of the time in which somebody is on call.
    pub coverage: f64,
    /// Per cent; 100 when everybody has the same share.
    pub balance: f64,
    /// Mean of coverage and balance, per cent.
    pub quality: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Gap {
    #[schemars(with = "String")]
    pub from: Timestamp,
    #[schemars(with = "String")]
    pub to: Timestamp,
}

#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Doubled {
    #[schemars(with = "String")]
    pub from: Timestamp,
    #[schemars(with = "String")]
    pub to: Timestamp,
    pub users: Vec<String>,
}

/// How much of it one person carries.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Share {
    pub user: String,
    #[schemars(with = "String")]
    pub time: Span,
    /// Per cent of all time on call.
    pub percent: f64,
    /// Of it between 22:00 and 07:00 where they are (their `time_zone`; without one, the schedule's).
    #[schemars(with = "String")]
    pub nights: Span,
    /// Of it on Saturdays and Sundays where they are.
    #[schemars(with = "String")]
    pub weekends: Span,
    /// The longest without a break.
    #[schemars(with = "String")]
    pub longest: Span,
    /// The shortest break. None: at most one stretch on call.
    #[schemars(with = "Option<String>")]
    pub shortest_rest: Option<Span>,
}

/// A break between two turns of one person.
#[derive(Clone, Debug, PartialEq, Serialize, JsonSchema)]
pub struct Rest {
    pub user: String,
    #[schemars(with = "String")]
    pub from: Timestamp,
    #[schemars(with = "String")]
    pub to: Timestamp,
}

/// Evaluates the range from `from` to `to` only: users with later shifts have no share. `people` are the directory's users, for their
/// zones.
pub fn health(
    schedule: &Schedule,
    name: &str,
    overrides: &Overrides,
    people: &BTreeMap<String, User>,
    from: Timestamp,
    to: Timestamp,
) -> Result<Health, ScheduleError> {
    let plan = Plan::new(schedule, name, overrides)?;
    let window = Interval::new(from, to);
    let pieces = plan.pieces(window)?;
    let gaps: Vec<Gap> = match window.is_empty() {
        true => Vec::new(),
        false => outside(window, &union(pieces.iter().map(|piece| piece.time)))
            .into_iter()
            .map(|gap| Gap { from: gap.from, to: gap.to })
            .collect(),
    };

    let clock = |hour| jiff::civil::time(hour, 0, 0, 0);
    let night = [Hours { days: Vec::new(), from: clock(NIGHT.0), to: clock(NIGHT.1) }];
    let weekend = [Hours { days: vec![Weekday::Saturday, Weekday::Sunday], from: clock(0), to: clock(0) }];
    // Nights are counted in each user's zone, which in follow-the-sun schedules differs from the schedule's. One pair of sets per zone.
    let mut by_zone: BTreeMap<&str, (Vec<Interval>, Vec<Interval>)> = BTreeMap::new();
    let zone_of = |user: &str| people.get(user).and_then(|user| user.time_zone.as_deref()).unwrap_or(&schedule.time_zone);
    for user in pieces.iter().map(|piece| piece.user).collect::<BTreeSet<_>>() {
        let name = zone_of(user);
        if !by_zone.contains_key(name) {
            let zone = model::time_zone(name).unwrap_or_else(|| plan.zone.clone());
            by_zone.insert(name, (hours::windows(&zone, &night, window)?, hours::windows(&zone, &weekend, window)?));
        }
    }

    let mut by_user: BTreeMap<&str, Vec<Interval>> = BTreeMap::new();
    for piece in &pieces {
        by_user.entry(piece.user).or_default().push(piece.time);
    }
    let mut shares = Vec::with_capacity(by_user.len());
    let mut shortest_rest: Option<Rest> = None;
    for (user, times) in by_user {
        let stretches = union(times);
        let inside = |set: &[Interval]| total(stretches.iter().flat_map(|stretch| within(*stretch, set)));
        let rests = stretches.windows(2).map(|pair| Interval::new(pair[0].to, pair[1].from));
        let rest = rests.min_by_key(|rest| rest.to - rest.from);
        if let Some(rest) = rest
            && shortest_rest.as_ref().is_none_or(|shortest| rest.to - rest.from < shortest.to - shortest.from)
        {
            shortest_rest = Some(Rest { user: user.to_owned(), from: rest.from, to: rest.to });
        }
        shares.push(Share {
            user: user.to_owned(),
            time: total(stretches.iter().copied()),
            percent: 0.0,
            nights: by_zone.get(zone_of(user)).map(|(nights, _)| inside(nights)).unwrap_or_default(),
            weekends: by_zone.get(zone_of(user)).map(|(_, weekends)| inside(weekends)).unwrap_or_default(),
            longest: stretches.iter().map(|stretch| stretch.to - stretch.from).max().unwrap_or_default(),
            shortest_rest: rest.map(|rest| rest.to - rest.from),
        });
    }
    let all: f64 = shares.iter().map(|share| share.time.0 as f64).sum();
    for share in &mut shares {
        share.percent = percent(share.time.0 as f64, all);
    }

    let length = (to.max(from) - from).0 as f64;
    let missing: i64 = gaps.iter().map(|gap| (gap.to - gap.from).0).sum();
    let coverage = percent(length - missing as f64, length);
    let balance = balance(&shares);
    Ok(Health { from, to, gaps, doubled: doubled(&pieces), shares, shortest_rest, coverage, balance, quality: (coverage + balance) / 2.0 })
}

fn total(times: impl Iterator<Item = Interval>) -> Span {
    Span(times.map(|time| (time.to - time.from).0).sum())
}

/// Rounded to a hundredth of a percent.
fn percent(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { (part / whole * 10_000.0).round() / 100.0 } else { 0.0 }
}

fn balance(shares: &[Share]) -> f64 {
    let times: Vec<f64> = shares.iter().map(|share| share.time.0 as f64).collect();
    if times.is_empty() {
        return 0.0;
    }
    let (mut sum, mut pairs) = (0.0, 0.0);
    for (n, one) in times.iter().enumerate() {
        for other in &times[..n] {
            sum += one.min(*other) / one.max(*other);
            pairs += 1.0;
        }
    }
    let score = if pairs == 0.0 { 100.0 } else { percent(sum, pairs) };
    if score >= EVEN { 100.0 } else { score }
}

/// Sweep line over starts and ends; between two of them the set of users is constant.
fn doubled(pieces: &[Piece<'_>]) -> Vec<Doubled> {
    // Ends sort before starts at the same instant.
    let mut edges: Vec<(Timestamp, bool, usize)> =
        pieces.iter().enumerate().flat_map(|(n, piece)| [(piece.time.from, true, n), (piece.time.to, false, n)]).collect();
    edges.sort_unstable();
    let mut on: Vec<usize> = Vec::new();
    let mut found: Vec<Doubled> = Vec::new();
    for (n, &(at, begins, piece)) in edges.iter().enumerate() {
        match begins {
            true => on.push(piece),
            false => on.retain(|other| *other != piece),
        }
        let Some(&(next, ..)) = edges.get(n + 1) else { break };
        if next == at || !undeclared(pieces, &on) {
            continue;
        }
        let mut users: Vec<String> = on.iter().map(|n| pieces[*n].user.to_owned()).collect();
        users.sort_unstable();
        match found.last_mut() {
            Some(last) if last.to == at && last.users == users => last.to = next,
            _ => found.push(Doubled { from: at, to: next, users }),
        }
    }
    found
}

fn undeclared(pieces: &[Piece<'_>], on: &[usize]) -> bool {
    let mut origins = on.iter().map(|n| pieces[*n].origin).filter(|origin| *origin != Origin::Added);
    origins.next().is_some_and(|first| origins.any(|other| other != first))
}
