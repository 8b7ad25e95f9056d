//! `…/answer` — acknowledge, take, escalate or close an incident. Requires the right to work on incidents.

use http::Method;
use oncall::answer::{Action, Answer, Answered, Subject, Via};
use oncall::directory::Directory;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::common::{answer_error, directory, incident};
use crate::call::Call;
use crate::context::Context;
use crate::dialect::OURS;
use crate::endpoint::{Endpoint, Role, nothing, schema};
use crate::error::ApiError;
use crate::reply::Reply;

pub static INCIDENT: Endpoint = Endpoint {
    method: Method::POST,
    path: "/api/v1/oncall/incidents/{incident}/answer",
    summary: "Answer for an incident: acknowledge, take, escalate or close it",
    dialect: &OURS,
    role: Role::Responder,
    action: "Bartizan/oncall/answer/action",
    query: nothing,
    takes: shape,
    returns: schema::<Reported>,
    run: |cx, call| Box::pin(of_incident(cx, call)),
};
pub static ALERT: Endpoint = Endpoint {
    method: Method::POST,
    path: "/api/v1/oncall/alerts/{alert}/answer",
    summary: "Answer for one alert of an incident",
    dialect: &OURS,
    role: Role::Responder,
    action: "Bartizan/oncall/answer/action",
    query: nothing,
    takes: shape,
    returns: schema::<Reported>,
    run: |cx, call| Box::pin(of_alert(cx, call)),
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    /// `acknowledge`, `take`, `seen`, or an object: `{"escalate": {"step": 2}}`, `{"close": {"classification": …, "comment": …}}`.
    action: Action,
    /// Who answers, by their name in the directory. Default: the user whose object id the caller has.
    #[serde(default)]
    user: Option<String>,
    /// `api` or `cli`; `portal` is reserved for a portal. Default: `api`.
    #[serde(default)]
    via: Option<Via>,
}

fn shape(_: &mut SchemaGenerator) -> Option<Schema> {
    Some(schemars::json_schema!({
        "type": "object",
        "required": ["action"],
        "additionalProperties": false,
        "properties": {
            "action": { "anyOf": [
                { "enum": ["acknowledge", "take", "seen"] },
                { "type": "object", "properties": { "escalate": { "type": "object", "properties": { "step": { "type": ["integer", "null"], "minimum": 1 } } } } },
                { "type": "object", "properties": { "close": { "type": "object", "properties": { "classification": { "type": ["string", "null"] }, "comment": { "type": ["string", "null"] } } } } },
                { "type": "object", "properties": { "comment": { "type": "object", "properties": { "text": { "type": "string" } } } } },
            ] },
            "user": { "type": ["string", "null"], "description": "A name of the directory. Default: the user whose object id the caller has." },
            "via": { "enum": ["api", "cli", "portal"] },
        },
    }))
}

/// What became of it.
#[derive(Serialize, JsonSchema)]
pub(super) struct Reported {
    incident: String,
    number: i64,
    title: String,
    /// False: it had been done before; nothing changed.
    changed: bool,
    /// One sentence for the person.
    says: String,
}

impl From<Answered> for Reported {
    fn from(done: Answered) -> Self {
        Self { incident: done.incident.to_string(), number: done.number, title: done.title, changed: done.changed, says: done.says }
    }
}

async fn of_incident(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    let body: Body = call.json().await?;
    let subject = Subject::Incident(incident(cx, call.param("incident")).await?.id);
    answer(cx, &call, subject, body.action, body.user, body.via).await
}

async fn of_alert(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    let body: Body = call.json().await?;
    let name = call.param("alert");
    let id = Uuid::parse_str(name).map_err(|_| {
        let shown: String = name.chars().take(60).collect();
        ApiError::not_found("NotFound", format!("There is no alert '{shown}'."))
    })?;
    answer(cx, &call, Subject::Alert(id), body.action, body.user, body.via).await
}

/// Applies an answer on behalf of the calling user.
pub(super) async fn answer(
    cx: &Context,
    call: &Call,
    subject: Subject,
    action: Action,
    user: Option<String>,
    via: Option<Via>,
) -> Result<Reply, ApiError> {
    // Callers of the API cannot claim link, mail, SMS or voice as the channel: that would falsify the audit trail.
    let via = match via {
        None | Some(Via::Api) => Via::Api,
        Some(Via::Cli) => Via::Cli,
        Some(Via::Portal) => Via::Portal,
        Some(other) => {
            let message = format!("An answer through this API is no answer by {}; write 'api', 'cli' or 'portal'.", other.name());
            return Err(ApiError::bad_request("InvalidRequestContent", message).target("via"));
        }
    };
    let directory = directory(cx).await?;
    let user = who(&directory, user, call)?;
    let from = Some(call.peer.ip().to_string());
    let done = cx.oncall.answers.answer(Answer { subject, action, user: Some(user), via, from }).await.map_err(answer_error)?;
    Reply::json(Reported::from(done))
}

/// The answering user: the one named in the request, or else the owner of the caller's token.
fn who(directory: &Directory, named: Option<String>, call: &Call) -> Result<String, ApiError> {
    if let Some(name) = named {
        return match directory.users.contains_key(&name) {
            true => Ok(name),
            false => Err(ApiError {
                status: http::StatusCode::BAD_REQUEST,
                ..super::common::nothing_named("user", &name, directory.users.keys()).target("user")
            }),
        };
    }
    let object_id = call.principal.as_ref().map(|principal| principal.object_id.as_str()).unwrap_or_default();
    let mine = directory.users.iter().find(|(_, user)| user.object_id.as_deref().is_some_and(|id| id.eq_ignore_ascii_case(object_id)));
    mine.map(|(name, _)| name.clone()).ok_or_else(|| {
        let message = "Say who answers: give 'user', a name of on call's directory; no user there has the object id of the caller.";
        ApiError::bad_request("UnknownUser", message).target("user")
    })
}
