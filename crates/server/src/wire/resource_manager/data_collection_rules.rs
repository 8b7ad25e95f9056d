//! `Microsoft.Insights/dataCollectionRules` — map streams to tables.
//!
//! Wire: learn.microsoft.com/azure/azure-monitor/essentials/data-collection-rule-structure. The service adds `immutableId`, and endpoints
//! for rules of kind `Direct`; both are computed on read, so that they use the host of the request.

use documents::checks::data_collection_rules as checks;
use documents::writes::{By, NewDataCollectionRule, delete_data_collection_rule, put_data_collection_rule};
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};
use store::DataCollectionRuleRecord;

use super::{page, properties};
use crate::call::Call;
use crate::context::Context;
use crate::dialect::RESOURCE_MANAGER;
use crate::endpoint::{Endpoint, Role, as_specified, nothing};
use crate::error::ApiError;
use crate::reply::Reply;

const ONE: &str = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Insights/dataCollectionRules/{rule}";

pub static LIST: Endpoint =
    list_at("/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.Insights/dataCollectionRules");
pub static LIST_ALL: Endpoint = list_at("/subscriptions/{subscription}/providers/Microsoft.Insights/dataCollectionRules");

const fn list_at(path: &'static str) -> Endpoint {
    Endpoint {
        method: Method::GET,
        path,
        summary: "List data collection rules, by name",
        dialect: &RESOURCE_MANAGER,
        role: Role::Reader,
        action: "Microsoft.Insights/dataCollectionRules/read",
        query: as_specified,
        takes: nothing,
        returns: as_specified,
        run: |cx, call| Box::pin(list(cx, call)),
    }
}

pub static GET: Endpoint = Endpoint {
    method: Method::GET,
    path: ONE,
    summary: "Read a data collection rule",
    dialect: &RESOURCE_MANAGER,
    role: Role::Reader,
    action: "Microsoft.Insights/dataCollectionRules/read",
    query: nothing,
    takes: nothing,
    returns: as_specified,
    run: |cx, call| Box::pin(get(cx, call)),
};

pub static PUT: Endpoint = Endpoint {
    method: Method::PUT,
    path: ONE,
    summary: "Create or replace a data collection rule",
    dialect: &RESOURCE_MANAGER,
    role: Role::Contributor,
    action: "Microsoft.Insights/dataCollectionRules/write",
    query: nothing,
    takes: as_specified,
    returns: as_specified,
    run: |cx, call| Box::pin(put(cx, call)),
};

pub static DELETE: Endpoint = Endpoint {
    method: Method::DELETE,
    path: ONE,
    summary: "Remove a data collection rule",
    dialect: &RESOURCE_MANAGER,
    role: Role::Contributor,
    action: "Microsoft.Insights/dataCollectionRules/delete",
    query: nothing,
    takes: nothing,
    returns: nothing,
    run: |cx, call| Box::pin(delete(cx, call)),
};

async fn list(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let rules = cx.store.data_collection_rules().list().await.map_err(|error| ApiError::internal(&error))?;
    let views: Vec<Value> = rules.iter().map(|rule| view(cx, &call.origin, rule)).collect();
    page(&call, &views)
}

async fn get(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let name = call.param("rule");
    let found = cx.store.data_collection_rules().get(&cx.cloud.resource_group, name).await.map_err(|error| ApiError::internal(&error))?;
    let rule = found.ok_or_else(|| {
        let message = format!(
            "The Resource 'Microsoft.Insights/dataCollectionRules/{name}' under resource group '{}' was not found.",
            cx.cloud.resource_group
        );
        ApiError::not_found("ResourceNotFound", message).target(name)
    })?;
    Reply::json(view(cx, &call.origin, &rule))
}

async fn put(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    let body: Value = call.json().await?;
    let name = checks::name(call.param("rule"))?;
    let wanted = properties(&body)?;
    let (table, workspace) = (|name: &str| cx.catalog.table(name), cx.cloud.workspace_path());
    checks::check(checks::Known { table: &table, engine: cx.engine.as_ref(), workspace: &workspace }, wanted).await?;
    let text = |key: &str| body.get(key).and_then(Value::as_str).map(str::to_owned);

    let failed = |error: store::StoreError| ApiError::internal(&error);
    let mut change = cx.store.begin().await.map_err(failed)?;
    let wanted = NewDataCollectionRule {
        resource_group: cx.cloud.resource_group.clone(),
        name,
        kind: text("kind"),
        location: text("location").unwrap_or_else(|| cx.cloud.location.clone()),
        tags: body.get("tags").and_then(Value::as_object).cloned().unwrap_or_default(),
        properties: without_computed(wanted),
    };
    let actor = call.actor("ResourceManager");
    let (rule, created) = put_data_collection_rule(&mut change, wanted, By { actor: &actor, at: cx.clock.now() }).await.map_err(failed)?;
    change.commit().await.map_err(failed)?;
    // An upload after this response must see the rule, even if the listeners have not been notified yet.
    cx.ingest.rules_changed().await?;
    tracing::info!(
        rule = rule.name,
        immutable_id = rule.immutable_id,
        by = call.actor("ResourceManager").name,
        "data collection rule stored"
    );
    Reply::put(created, view(cx, &call.origin, &rule))
}

async fn delete(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let failed = |error: store::StoreError| ApiError::internal(&error);
    let mut change = cx.store.begin().await.map_err(failed)?;
    let name = call.param("rule");
    let (actor, at) = (call.actor("ResourceManager"), cx.clock.now());
    let removed =
        delete_data_collection_rule(&mut change, &cx.cloud.resource_group, name, By { actor: &actor, at }).await.map_err(failed)?;
    change.commit().await.map_err(failed)?;
    cx.ingest.rules_changed().await?;
    Ok(Reply::empty(if removed { StatusCode::OK } else { StatusCode::NO_CONTENT }))
}

/// Clients send back what they read: computed properties must not be stored.
fn without_computed(properties: &Map<String, Value>) -> Map<String, Value> {
    const COMPUTED: [&str; 3] = ["immutableId", "endpoints", "provisioningState"];
    properties.iter().filter(|(key, _)| !COMPUTED.contains(&key.as_str())).map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn view(cx: &Context, origin: &str, rule: &DataCollectionRuleRecord) -> Value {
    let mut properties = rule.properties.clone();
    properties.insert("immutableId".into(), json!(rule.immutable_id));
    properties.insert("provisioningState".into(), json!("Succeeded"));
    if rule.kind.as_deref().is_some_and(|kind| kind.eq_ignore_ascii_case("Direct")) {
        properties.insert("endpoints".into(), json!({ "logsIngestion": origin, "metricsIngestion": origin }));
    }
    let mut view = json!({
        "id": format!("{}/providers/Microsoft.Insights/dataCollectionRules/{}", cx.cloud.group_path(), rule.name),
        "name": rule.name, "type": "Microsoft.Insights/dataCollectionRules", "location": rule.location, "tags": rule.tags,
        "etag": format!("\"{}\"", rule.etag), "properties": properties,
        "systemData": { "createdAt": rule.created, "lastModifiedAt": rule.modified },
    });
    if let Some(kind) = &rule.kind {
        view["kind"] = json!(kind);
    }
    view
}
