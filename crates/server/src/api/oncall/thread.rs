//! `/incidents/{incident}/thread` — the discussion of an incident (S2-14).
//!
//! The thread consists of the incident's comments, so it is shared with Sentinel. `@name` notifies a user.

use http::Method;
use model::{Comment, Timestamp};
use oncall::answer::{Action, Subject, Via};
use oncall::directory::Directory;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::answers::{Reported, answer};
use super::common::{directory, incident};
use crate::call::Call;
use crate::context::Context;
use crate::dialect::OURS;
use crate::endpoint::{Endpoint, Role, nothing, schema};
use crate::error::ApiError;
use crate::reply::Reply;

pub static LIST: Endpoint = Endpoint {
    method: Method::GET,
    path: "/api/v1/oncall/incidents/{incident}/thread",
    summary: "Read an incident's thread, oldest first",
    dialect: &OURS,
    role: Role::Reader,
    action: "Bartizan/oncall/thread/read",
    query: nothing,
    takes: nothing,
    returns: schema::<Thread>,
    run: |cx, call| Box::pin(list(cx, call)),
};
pub static POST: Endpoint = Endpoint {
    method: Method::POST,
    path: "/api/v1/oncall/incidents/{incident}/thread",
    summary: "Say something in an incident's thread; `@name` calls somebody",
    dialect: &OURS,
    role: Role::Responder,
    action: "Bartizan/oncall/thread/write",
    query: nothing,
    takes: schema::<Remark>,
    returns: schema::<Reported>,
    run: |cx, call| Box::pin(post(cx, call)),
};

/// Maximum length of a message: that of a comment in Sentinel.
const MAX_TEXT: usize = incidents::MAX_MESSAGE;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Remark {
    /// Example: `@bo can you look at the firewall?`.
    text: String,
    /// Who says it, by their name in the directory. Default: the user whose object id the caller has.
    #[serde(default)]
    user: Option<String>,
    /// `api` or `cli`; `portal` is reserved for a portal. Default: `api`.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    via: Option<Via>,
}

#[derive(Serialize, JsonSchema)]
struct Thread {
    incident: String,
    number: i64,
    messages: Vec<Message>,
}

#[derive(Serialize, JsonSchema)]
struct Message {
    id: String,
    author: String,
    /// How it came in: `oncall/sms`, `SecurityInsights` …
    via: String,
    #[schemars(with = "String")]
    at: Timestamp,
    /// The text was changed since.
    edited: bool,
    text: String,
    /// Names of the directory that it calls.
    mentions: Vec<String>,
}

async fn list(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let incident = incident(cx, call.param("incident")).await?;
    let directory = directory(cx).await?;
    let mut comments: Vec<Comment> = cx.store.incident_parts().list(incident.id).await?;
    comments.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
    let messages = comments
        .into_iter()
        .map(|comment| Message {
            mentions: mentions(&directory, &comment.message),
            edited: comment.modified != comment.created,
            id: comment.id,
            author: comment.author.name,
            via: comment.author.via,
            at: comment.created,
            text: comment.message,
        })
        .collect();
    Reply::json(Thread { incident: incident.id.to_string(), number: incident.number, messages })
}

async fn post(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    let remark: Remark = call.json().await?;
    if remark.text.trim().is_empty() {
        return Err(ApiError::bad_request("InvalidRequestContent", "The text is empty.").target("text"));
    }
    let length = remark.text.chars().count();
    if length > MAX_TEXT {
        let message = format!("The text has {length} characters; at most {MAX_TEXT} are taken.");
        return Err(ApiError::bad_request("InvalidRequestContent", message).target("text"));
    }
    let subject = Subject::Incident(incident(cx, call.param("incident")).await?.id);
    answer(cx, &call, subject, Action::Comment { text: remark.text }, remark.user, remark.via).await
}

/// Users mentioned with `@`, in order and without duplicates. An `@` within a word (an email address) is not a mention.
fn mentions(directory: &Directory, text: &str) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for (at, _) in text.match_indices('@') {
        if text[..at].chars().next_back().is_some_and(|before| before.is_alphanumeric() || before == '.') {
            continue;
        }
        let name: String = text[at + 1..].chars().take_while(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '.')).collect();
        let name = name.trim_end_matches('.');
        if directory.users.contains_key(name) && !found.iter().any(|known| known == name) {
            found.push(name.to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mentions_match_users_in_the_directory() {
        let directory = oncall::document::parse("x", "users: {bo: {name: Bo}, ann.b: {name: Ann}}").unwrap();
        assert_eq!(mentions(&directory, "@bo, please ask (@ann.b). Not @cy, not me@bo, and @bo again."), ["bo", "ann.b"]);
        assert!(mentions(&directory, "@ @@ @é").is_empty());
    }
}
