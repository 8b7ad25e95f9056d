//! Who is on call, which turns there are, and how good a schedule is.

use http::Method;
use model::{Span, Timestamp};
use oncall::directory::Schedule;
use oncall::schedule::{self, Health, OnDuty, Shift};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::{directory, nothing_named, schedule_error, time};
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
    query: schema::<At>,
    takes: nothing,
    returns: schema::<Duties>,
    run: |cx, call| Box::pin(who(cx, call)),
};
pub static SHIFTS: Endpoint = Endpoint {
    method: Method::GET,
    path: "/api/v1/oncall/shifts",
    summary: "List the turns of a schedule",
    dialect: &OURS,
    role: Role::Reader,
    query: schema::<Between>,
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
    query: schema::<Between>,
    takes: nothing,
    returns: schema::<Health>,
    run: |cx, call| Box::pin(health(cx, call)),
};

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
    schedule: String,
    time_zone: String,
    #[schemars(with = "String")]
    from: Timestamp,
    #[schemars(with = "String")]
    to: Timestamp,
    shifts: Vec<Shift>,
}

async fn who(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let At { schedule: wanted, at } = call.query()?;
    let directory = directory(cx).await?;
    if let Some(name) = wanted.as_ref().filter(|name| !directory.schedules.contains_key(*name)) {
        return Err(nothing_named("schedule", name, directory.schedules.keys()));
    }
    let mut schedules = Vec::new();
    for (name, plan) in directory.schedules.iter().filter(|(name, _)| wanted.as_ref().is_none_or(|wanted| wanted == *name)) {
        let at = time(cx, "at", at.as_deref().unwrap_or("now"), &plan.time_zone)?;
        // One broken schedule must not hide who is on call on the others.
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
    let between: Between = call.query()?;
    let directory = directory(cx).await?;
    let plan = find(&directory, &between.schedule)?;
    let (from, to) = stretch(cx, &between, plan)?;
    let shifts = schedule::shifts(plan, &between.schedule, &directory.overrides, from, to)
        .map_err(|error| schedule_error(&between.schedule, &error))?;
    Reply::json(Shifts { schedule: between.schedule, time_zone: plan.time_zone.clone(), from, to, shifts })
}

async fn health(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let between: Between = call.query()?;
    let directory = directory(cx).await?;
    let plan = find(&directory, &between.schedule)?;
    let (from, to) = stretch(cx, &between, plan)?;
    let found = schedule::health(plan, &between.schedule, &directory.overrides, from, to)
        .map_err(|error| schedule_error(&between.schedule, &error))?;
    Reply::json(found)
}

fn find<'a>(directory: &'a oncall::directory::Directory, name: &str) -> Result<&'a Schedule, ApiError> {
    directory.schedules.get(name).ok_or_else(|| nothing_named("schedule", name, directory.schedules.keys()))
}

fn stretch(cx: &Context, between: &Between, plan: &Schedule) -> Result<(Timestamp, Timestamp), ApiError> {
    let from = time(cx, "from", between.from.as_deref().unwrap_or("now"), &plan.time_zone)?;
    let to = match &between.to {
        Some(text) => time(cx, "to", text, &plan.time_zone)?,
        None => Timestamp::clamp_ticks(from.ticks().saturating_add(28 * Span::DAY.ticks())),
    };
    if to <= from {
        return Err(ApiError::bad_request("InvalidQueryParameter", "The end is not after the start.").target("to"));
    }
    Ok((from, to))
}
