//! Who is on call, the shifts of a schedule, and schedule quality.

use http::Method;
use model::{Span, Timestamp};
use oncall::directory::{Directory, Schedule};
use oncall::schedule::{self, Health, OnDuty, ScheduleError, Shift};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::{computed, directory, nothing_named, schedule_error, time};
use crate::call::Call;
use crate::context::Context;
use crate::dialect::OURS;
use crate::endpoint::{Endpoint, Role, nothing, schema};
use crate::error::ApiError;
use crate::reply::Reply;

pub static WHO: Endpoint = Endpoint {
    method: Method::GET,
    path: "/api/v1/oncall/who",
    summary: "Say who is on call now or at another time, past or future",
    dialect: &OURS,
    role: Role::Reader,
    action: "Bartizan/oncall/read",
    query: schema::<At>,
    takes: nothing,
    returns: schema::<Duties>,
    run: |cx, call| Box::pin(who(cx, call)),
};
pub static SHIFTS: Endpoint = Endpoint {
    method: Method::GET,
    path: "/api/v1/oncall/shifts",
    summary: "List the turns of a schedule, or of a user on all schedules",
    dialect: &OURS,
    role: Role::Reader,
    action: "Bartizan/oncall/read",
    query: schema::<ShiftsOf>,
    takes: nothing,
    returns: schema::<Shifts>,
    run: |cx, call| Box::pin(shifts(cx, call)),
};
pub static HEALTH: Endpoint = Endpoint {
    method: Method::GET,
    path: "/api/v1/oncall/health",
    summary: "Find gaps, double cover and uneven shares in a schedule",
    dialect: &OURS,
    role: Role::Reader,
    action: "Bartizan/oncall/read",
    query: schema::<Between>,
    takes: nothing,
    returns: schema::<Health>,
    run: |cx, call| Box::pin(health(cx, call)),
};

/// Maximum number of shifts in a response: three years of hourly hand-overs, about 8 MB.
const MOST_SHIFTS: usize = 30_000;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct At {
    /// Default: all schedules.
    schedule: Option<String>,
    /// RFC 3339, or a wall time in the schedule's zone. Default: now.
    at: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Between {
    schedule: String,
    /// Default: now.
    from: Option<String>,
    /// Default: 28 days after `from`.
    to: Option<String>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ShiftsOf {
    /// May be left out where `user` is given: all schedules.
    schedule: Option<String>,
    /// Only this user's turns.
    user: Option<String>,
    /// Default: now.
    from: Option<String>,
    /// Default: 28 days after `from`.
    to: Option<String>,
    /// The zone of times without one, and that the answer names. Default: the schedule's; for a user without a schedule, theirs.
    zone: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Duties {
    schedules: Vec<Duty>,
}

#[derive(Serialize, JsonSchema)]
struct Duty {
    schedule: String,
    time_zone: String,
    #[schemars(with = "String")]
    at: Timestamp,
    /// Empty: nobody.
    on_call: Vec<OnDuty>,
    /// Why it cannot be told.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct Shifts {
    /// None: all schedules.
    schedule: Option<String>,
    /// Where times without an offset were read, and where the reader wants to see them; those here are UTC.
    time_zone: String,
    #[schemars(with = "String")]
    from: Timestamp,
    #[schemars(with = "String")]
    to: Timestamp,
    shifts: Vec<ShiftOn>,
}

/// A turn and its schedule.
#[derive(Serialize, JsonSchema)]
struct ShiftOn {
    schedule: String,
    #[serde(flatten)]
    shift: Shift,
}

async fn who(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let At { schedule: wanted, at } = call.query()?;
    let directory = directory(cx).await?;
    if let Some(name) = wanted.as_ref().filter(|name| !directory.schedules.contains_key(*name)) {
        return Err(nothing_named("schedule", name, directory.schedules.keys()));
    }
    let now = cx.clock.now();
    computed(&cx.oncall.objects.lanes.short, move || duties(&directory, wanted, at.as_deref(), now)).await
}

fn duties(directory: &Directory, wanted: Option<String>, at: Option<&str>, now: Timestamp) -> Result<Reply, ApiError> {
    let mut schedules = Vec::new();
    for (name, plan) in directory.schedules.iter().filter(|(name, _)| wanted.as_ref().is_none_or(|wanted| wanted == *name)) {
        let at = time(now, "at", at.unwrap_or("now"), &plan.time_zone)?;
        // An invalid schedule must not hide the on-call users of the others.
        let (on_call, error) = match schedule::who(plan, name, &directory.overrides, at) {
            Ok(on_call) => (on_call, None),
            Err(error) if wanted.is_some() => return Err(schedule_error(name, &error)),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        schedules.push(Duty { schedule: name.clone(), time_zone: plan.time_zone.clone(), at, on_call, error });
    }
    Reply::json(Duties { schedules })
}

async fn shifts(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let asked: ShiftsOf = call.query()?;
    let directory = directory(cx).await?;
    let now = cx.clock.now();
    computed(&cx.oncall.objects.lanes.short, move || shifts_of(&directory, asked, now)).await
}

fn shifts_of(directory: &Directory, asked: ShiftsOf, now: Timestamp) -> Result<Reply, ApiError> {
    let user = match &asked.user {
        Some(name) => Some(directory.users.get(name).ok_or_else(|| nothing_named("user", name, directory.users.keys()))?),
        None => None,
    };
    let plans: Vec<(&String, &Schedule)> = match &asked.schedule {
        Some(name) => vec![(name, find(directory, name)?)],
        None if user.is_some() => directory.schedules.iter().collect(),
        None => return Err(ApiError::bad_request("InvalidQueryParameter", "Name a 'schedule', a 'user', or both.").target("schedule")),
    };
    let zone = match (&asked.zone, plans.as_slice(), user) {
        (Some(zone), ..) => zone.clone(),
        (None, [(_, plan)], _) if asked.schedule.is_some() => plan.time_zone.clone(),
        (None, _, user) => user.and_then(|user| user.time_zone.clone()).unwrap_or_else(|| "UTC".to_owned()),
    };
    let between = Between { schedule: String::new(), from: asked.from, to: asked.to };
    let (from, to) = stretch(now, &between, &zone)?;
    let mut shifts = Vec::new();
    for (name, plan) in plans {
        let found = schedule::shifts(plan, name, &directory.overrides, from, to).map_err(|error| schedule_error(name, &error))?;
        let theirs = found.into_iter().filter(|shift| asked.user.as_ref().is_none_or(|user| *user == shift.user));
        shifts.extend(theirs.map(|shift| ShiftOn { schedule: name.clone(), shift }));
        if shifts.len() > MOST_SHIFTS {
            return Err(schedule_error(name, &ScheduleError::TooManyShifts { max: MOST_SHIFTS }));
        }
    }
    shifts.sort_by(|a, b| (a.shift.from, &a.schedule, &a.shift.user).cmp(&(b.shift.from, &b.schedule, &b.shift.user)));
    Reply::json(Shifts { schedule: asked.schedule, time_zone: zone, from, to, shifts })
}

async fn health(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let between: Between = call.query()?;
    let directory = directory(cx).await?;
    let now = cx.clock.now();
    let work = move || {
        let plan = find(&directory, &between.schedule)?;
        let (from, to) = stretch(now, &between, &plan.time_zone)?;
        let found = schedule::health(plan, &between.schedule, &directory.overrides, &directory.users, from, to)
            .map_err(|error| schedule_error(&between.schedule, &error))?;
        Reply::json(found)
    };
    computed(&cx.oncall.objects.lanes.short, work).await
}

fn find<'a>(directory: &'a oncall::directory::Directory, name: &str) -> Result<&'a Schedule, ApiError> {
    directory.schedules.get(name).ok_or_else(|| nothing_named("schedule", name, directory.schedules.keys()))
}

fn stretch(now: Timestamp, between: &Between, zone: &str) -> Result<(Timestamp, Timestamp), ApiError> {
    let from = time(now, "from", between.from.as_deref().unwrap_or("now"), zone)?;
    let to = match &between.to {
        Some(text) => time(now, "to", text, zone)?,
        None => Timestamp::clamp_ticks(from.ticks().saturating_add(28 * Span::DAY.ticks())),
    };
    if to <= from {
        return Err(ApiError::bad_request("InvalidQueryParameter", "The end is not after the start.").target("to"));
    }
    Ok((from, to))
}
