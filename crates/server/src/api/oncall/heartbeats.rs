//! Heartbeats: monitored systems that stop sending them cause a page. A heartbeat is sent with a token, or to a signed URL that fits into a
//! cron line.

use http::Method;
use model::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::calendars::Address;
use super::common::{directory, nothing_named};
use crate::call::Call;
use crate::context::Context;
use crate::dialect::OURS;
use crate::endpoint::{Endpoint, NO_ACTION, Role, nothing, schema};
use crate::error::ApiError;
use crate::reply::Reply;

pub static STATE: Endpoint = Endpoint {
    method: Method::GET,
    path: "/api/v1/oncall/heartbeats/{name}/state",
    summary: "Say when a heartbeat was last heard of, and whether its silence opened an incident",
    dialect: &OURS,
    role: Role::Reader,
    action: "Bartizan/oncall/read",
    query: nothing,
    takes: nothing,
    returns: schema::<State>,
    run: |cx, call| Box::pin(state(cx, call)),
};
pub static BEAT: Endpoint = Endpoint {
    method: Method::POST,
    path: "/api/v1/oncall/heartbeats/{name}",
    summary: "Say that something is alive",
    dialect: &OURS,
    role: Role::Responder,
    action: "Bartizan/oncall/heartbeats/beat/action",
    query: nothing,
    takes: nothing,
    returns: schema::<Heard>,
    run: |cx, call| Box::pin(async move { beat(cx, call.param("name")).await }),
};
pub static ADDRESS: Endpoint = Endpoint {
    method: Method::GET,
    path: "/api/v1/oncall/heartbeats/{name}/address",
    summary: "Read the address at which a heartbeat is kept alive without signing in",
    dialect: &OURS,
    role: Role::Responder,
    action: "Bartizan/oncall/heartbeats/address/action",
    query: nothing,
    takes: nothing,
    returns: schema::<Address>,
    run: |cx, call| Box::pin(address(cx, call)),
};
pub static SIGNED_BEAT: Endpoint = Endpoint {
    method: Method::POST,
    path: "/oncall/heartbeats/{name}/{token}",
    summary: "Say that something is alive, at its signed address",
    dialect: &OURS,
    role: Role::Open("the address carries a signature over the heartbeat's name that nobody can guess; it can say that one thing is alive"),
    action: NO_ACTION,
    query: nothing,
    takes: nothing,
    returns: schema::<Heard>,
    run: |cx, call| {
        Box::pin(async move {
            if !cx.oncall.signer.is_name_token("heartbeat", call.param("name"), call.param("token")) {
                return Err(ApiError::not_found("NotFound", "There is no heartbeat at this address. Was it copied whole?"));
            }
            beat(cx, call.param("name")).await
        })
    },
};

#[derive(Serialize, JsonSchema)]
struct Heard {
    heartbeat: String,
    #[schemars(with = "String")]
    heard: Timestamp,
}

#[derive(Serialize, JsonSchema)]
struct State {
    heartbeat: String,
    /// None: never.
    #[schemars(with = "Option<String>")]
    heard: Option<Timestamp>,
    /// The incident of its silence.
    incident: Option<String>,
}

async fn known(cx: &Context, name: &str) -> Result<(), ApiError> {
    let directory = directory(cx).await?;
    if directory.heartbeats.contains_key(name) { Ok(()) } else { Err(nothing_named("heartbeat", name, directory.heartbeats.keys())) }
}

async fn beat(cx: &Context, name: &str) -> Result<Reply, ApiError> {
    if !cx.oncall.beat(name).await? {
        return Err(nothing_named("heartbeat", name, directory(cx).await?.heartbeats.keys()));
    }
    Reply::json(Heard { heartbeat: name.to_owned(), heard: cx.clock.now() })
}

async fn state(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let name = call.param("name");
    known(cx, name).await?;
    let row = cx.store.heartbeats().get(name).await?;
    Reply::json(State {
        heartbeat: name.to_owned(),
        heard: row.as_ref().map(|row| row.heard),
        incident: row.and_then(|row| row.incident).map(|id| id.to_string()),
    })
}

async fn address(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let name = call.param("name");
    known(cx, name).await?;
    let token = cx.oncall.signer.name_token("heartbeat", name);
    let segment = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
    Reply::json(Address { url: format!("{}/oncall/heartbeats/{segment}/{token}", call.origin) })
}
