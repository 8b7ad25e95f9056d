//! `/alertRules`: analytics rules of kind `Scheduled` and `NRT`.
//!
//! Rules are stored as written, validated and with defaults filled in; detection reads them from the store.

use documents::checks::analytics_rules::{Kind, check};
use documents::writes::{By, delete_analytics_rule, put_analytics_rule};
use http::Method;
use model::Scope;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use store::AnalyticsRuleRecord;

use super::etag;
use super::resources::{provider, resource};
use super::route::{VIA, provider_path, route};
use crate::call::Call;
use crate::context::Context;
use crate::endpoint::{Endpoint, Role};
use crate::error::ApiError;
use crate::reply::Reply;

pub static LIST: Endpoint = route(
    Method::GET,
    provider_path!("/alertRules"),
    "List the analytics rules",
    Role::Reader,
    "Microsoft.SecurityInsights/alertRules/read",
    |cx, call| Box::pin(list(cx, call)),
);
pub static GET: Endpoint = route(
    Method::GET,
    provider_path!("/alertRules/{rule}"),
    "Read an analytics rule",
    Role::Reader,
    "Microsoft.SecurityInsights/alertRules/read",
    |cx, call| Box::pin(get(cx, call)),
);
pub static PUT: Endpoint = route(
    Method::PUT,
    provider_path!("/alertRules/{rule}"),
    "Create or replace an analytics rule",
    Role::Contributor,
    "Microsoft.SecurityInsights/alertRules/write",
    |cx, call| Box::pin(put(cx, call)),
);
pub static DELETE: Endpoint = route(
    Method::DELETE,
    provider_path!("/alertRules/{rule}"),
    "Delete an analytics rule",
    Role::Contributor,
    "Microsoft.SecurityInsights/alertRules/delete",
    |cx, call| Box::pin(delete(cx, call)),
);
pub static ACTIONS: Endpoint = route(
    Method::GET,
    provider_path!("/alertRules/{rule}/actions"),
    "List the actions of an analytics rule",
    Role::Reader,
    "Microsoft.SecurityInsights/alertRules/actions/read",
    |cx, call| Box::pin(actions(cx, call)),
);
pub static ACTION: Endpoint = route(
    Method::GET,
    provider_path!("/alertRules/{rule}/actions/{action}"),
    "Read an action of an analytics rule",
    Role::Reader,
    "Microsoft.SecurityInsights/alertRules/actions/read",
    |cx, call| Box::pin(action(cx, call)),
);

fn view(cx: &Context, rule: &AnalyticsRuleRecord) -> Value {
    let mut properties = rule.properties.clone();
    properties.insert("lastModifiedUtc".to_owned(), json!(rule.modified));
    properties.entry("alertRuleTemplateName").or_insert(Value::Null);
    let mut object =
        resource(format!("{}/alertRules/{}", provider(cx), rule.id), &rule.id, "alertRules", Some(rule.etag), Value::Object(properties));
    object["kind"] = json!(rule.kind);
    object
}

async fn list(cx: &Context, _: Call) -> Result<Reply, ApiError> {
    let rules = cx.store.analytics_rules().list().await?;
    Reply::json(json!({ "value": rules.iter().map(|rule| view(cx, rule)).collect::<Vec<_>>() }))
}

async fn find(cx: &Context, name: &str) -> Result<AnalyticsRuleRecord, ApiError> {
    cx.store.analytics_rules().get(name).await?.ok_or_else(|| {
        let shown: String = name.chars().take(100).collect();
        ApiError::not_found("NotFound", format!("Analytics rule '{shown}' does not exist."))
    })
}

async fn get(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    Reply::json(view(cx, &find(cx, call.param("rule")).await?))
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    etag: Option<String>,
    #[serde(default)]
    properties: Option<Map<String, Value>>,
}

async fn put(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    let id = call.param("rule").to_owned();
    if id.len() > 260 || !id.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')) {
        return Err(
            ApiError::bad_request("BadRequest", "The name of a rule has letters, digits, '-', '_' and '.', at most 260.").target("ruleId")
        );
    }
    let body: Body = call.json().await?;
    let kind = body.kind.as_deref().ok_or_else(|| ApiError::bad_request("BadRequest", "`kind` is required.").target("kind"))?;
    let kind = Kind::parse(kind)?;
    let properties =
        body.properties.ok_or_else(|| ApiError::bad_request("BadRequest", "`properties` is required.").target("properties"))?;
    // Validated before the transaction, because binding may be slow.
    let checked = check(cx.engine.as_ref(), Scope::default(), kind, properties).await?;
    let actor = call.actor(VIA);

    let mut change = cx.store.begin().await?;
    let before = change.analytics_rule(&id).await?;
    if let Some(before) = &before {
        if body.etag.as_deref().filter(|etag| !etag.is_empty()).is_some_and(|written| !etag::matches(written, before.etag)) {
            let message = format!("Newer version of resource '{}' exists. Data was not saved", before.id);
            return Err(ApiError::conflict("Conflict", message));
        }
        if before.kind != kind.name() {
            let message = format!("The rule is of kind '{}', which cannot be changed. Delete it and create another.", before.kind);
            return Err(ApiError::bad_request("BadRequest", message).target("kind"));
        }
    }
    let by = By { actor: &actor, at: cx.clock.now() };
    let rule = put_analytics_rule(&mut change, before.as_ref(), &id, kind.name(), checked.properties, by).await?;
    change.commit().await?;
    Reply::put(before.is_none(), view(cx, &rule))
}

async fn delete(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let mut change = cx.store.begin().await?;
    let (actor, at) = (call.actor(VIA), cx.clock.now());
    if !delete_analytics_rule(&mut change, call.param("rule"), By { actor: &actor, at }).await? {
        return Ok(Reply::no_content());
    }
    change.commit().await?;
    Ok(Reply::empty(http::StatusCode::OK))
}

/// Actions start playbooks, which are not supported.
async fn actions(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    find(cx, call.param("rule")).await?;
    Reply::json(json!({ "value": [] }))
}

async fn action(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    find(cx, call.param("rule")).await?;
    Err(ApiError::not_found("NotFound", "Rules have no actions here: this server runs no playbooks."))
}
