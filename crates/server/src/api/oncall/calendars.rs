//! On-call shifts as iCalendar feeds (S2-16), authorised by a bearer token or by a signed URL, because calendar clients cannot sign in.

use http::{HeaderValue, Method, StatusCode};
use model::{Span, Timestamp};
use oncall::schedule;
use schemars::JsonSchema;
use serde::Serialize;

use super::common::{computed, directory, nothing_named, schedule_error};
use crate::call::Call;
use crate::context::Context;
use crate::dialect::OURS;
use crate::endpoint::{Endpoint, NO_ACTION, Role, Shape, nothing, schema};
use crate::error::ApiError;
use crate::reply::Reply;

/// Access through a signed URL: read-only, for the shifts and names of one schedule or one person.
const SIGNED: Role = Role::Open("the address carries a signature over the calendar's name that nobody can guess; it reads one calendar");

const fn feed(
    path: &'static str,
    summary: &'static str,
    role: Role,
    action: &'static str,
    returns: Shape,
    run: for<'a> fn(&'a Context, Call) -> futures::future::BoxFuture<'a, Result<Reply, ApiError>>,
) -> Endpoint {
    Endpoint { method: Method::GET, path, summary, dialect: &OURS, role, action, query: nothing, takes: nothing, returns, run }
}

pub static OF_SCHEDULE: Endpoint = feed(
    "/api/v1/oncall/schedules/{name}/calendar.ics",
    "Read a schedule's turns as an iCalendar feed",
    Role::Reader,
    "Bartizan/oncall/read",
    nothing,
    |cx, call| Box::pin(async move { of_schedule(cx, call.param("name")).await }),
);
pub static OF_USER: Endpoint = feed(
    "/api/v1/oncall/users/{name}/calendar.ics",
    "Read a user's own turns as an iCalendar feed",
    Role::Reader,
    "Bartizan/oncall/read",
    nothing,
    |cx, call| Box::pin(async move { of_user(cx, call.param("name")).await }),
);
pub static ADDRESS_OF_SCHEDULE: Endpoint = feed(
    "/api/v1/oncall/schedules/{name}/address",
    "Read the address at which calendars subscribe to a schedule; who knows it reads the schedule",
    Role::Responder,
    "Bartizan/oncall/calendars/address/action",
    schema::<Address>,
    |cx, call| Box::pin(async move { address(cx, &call, "schedules").await }),
);
pub static ADDRESS_OF_USER: Endpoint = feed(
    "/api/v1/oncall/users/{name}/address",
    "Read the address at which calendars subscribe to a user's turns; who knows it reads them",
    Role::Responder,
    "Bartizan/oncall/calendars/address/action",
    schema::<Address>,
    |cx, call| Box::pin(async move { address(cx, &call, "users").await }),
);
pub static FEED_OF_SCHEDULE: Endpoint = feed(
    "/oncall/calendars/schedules/{token}/{file}",
    "Read a schedule's turns under its signed address",
    SIGNED,
    NO_ACTION,
    nothing,
    |cx, call| Box::pin(async move { of_schedule(cx, signed(cx, &call, "schedules")?).await }),
);
pub static FEED_OF_USER: Endpoint = feed(
    "/oncall/calendars/users/{token}/{file}",
    "Read a user's turns under their signed address",
    SIGNED,
    NO_ACTION,
    nothing,
    |cx, call| Box::pin(async move { of_user(cx, signed(cx, &call, "users")?).await }),
);

/// Where something is reached without signing in.
#[derive(Serialize, JsonSchema)]
pub(super) struct Address {
    /// Who knows it needs nothing else.
    pub(super) url: String,
}

/// Range of a feed: days in the past and days ahead.
const PAST_DAYS: i64 = 92;
const AHEAD_DAYS: i64 = 400;

async fn address(cx: &Context, call: &Call, kind: &'static str) -> Result<Reply, ApiError> {
    let name = call.param("name");
    let directory = directory(cx).await?;
    let there = if kind == "users" { directory.users.contains_key(name) } else { directory.schedules.contains_key(name) };
    if !there {
        return Err(nothing_named(kind.trim_end_matches('s'), name, directory.users.keys().chain(directory.schedules.keys())));
    }
    let token = cx.oncall.signer.name_token(&format!("calendar/{kind}"), name);
    let file = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
    Reply::json(Address { url: format!("{}/oncall/calendars/{kind}/{token}/{file}.ics", call.origin) })
}

/// The name in the URL, if its signature is valid.
fn signed<'a>(cx: &Context, call: &'a Call, kind: &str) -> Result<&'a str, ApiError> {
    let file = call.param("file");
    let name = file.strip_suffix(".ics").unwrap_or(file);
    if cx.oncall.signer.is_name_token(&format!("calendar/{kind}"), name, call.param("token")) {
        return Ok(name);
    }
    Err(ApiError::not_found("NotFound", "There is no calendar at this address. Was it copied whole?"))
}

async fn of_schedule(cx: &Context, name: &str) -> Result<Reply, ApiError> {
    let (directory, name) = (directory(cx).await?, name.to_owned());
    let (from, to, now) = window(cx);
    let work = move || {
        let plan = directory.schedules.get(&name).ok_or_else(|| nothing_named("schedule", &name, directory.schedules.keys()))?;
        let feed = schedule::calendar_of_schedule(plan, &name, &directory.overrides, from, to, now);
        Ok(calendar(feed.map_err(|error| schedule_error(&name, &error))?))
    };
    computed(&cx.oncall.objects.lanes.short, work).await
}

async fn of_user(cx: &Context, name: &str) -> Result<Reply, ApiError> {
    let (directory, name) = (directory(cx).await?, name.to_owned());
    let (from, to, now) = window(cx);
    let work = move || {
        if !directory.users.contains_key(&name) {
            return Err(nothing_named("user", &name, directory.users.keys()));
        }
        Ok(calendar(schedule::calendar_of_user(&directory, &name, from, to, now)))
    };
    computed(&cx.oncall.objects.lanes.short, work).await
}

/// The range of a feed, in whole days, so that the feed of an unchanged schedule stays the same within a day; and the current time.
fn window(cx: &Context) -> (Timestamp, Timestamp, Timestamp) {
    let now = cx.clock.now();
    let day = Timestamp::clamp_ticks(now.ticks() - now.ticks().rem_euclid(Span::DAY.ticks()));
    let at = |days: i64| Timestamp::clamp_ticks(day.ticks().saturating_add(days * Span::DAY.ticks()));
    (at(-PAST_DAYS), at(AHEAD_DAYS), now)
}

fn calendar(feed: String) -> Reply {
    Reply::bytes(StatusCode::OK, HeaderValue::from_static("text/calendar; charset=utf-8"), feed)
}
