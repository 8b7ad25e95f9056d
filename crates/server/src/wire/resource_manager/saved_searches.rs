//! `Microsoft.OperationalInsights/workspaces/{workspace}/savedSearches` — stored queries. One with a `functionAlias` is a function that
//! queries and rules can call, as Microsoft's parsers are deployed.
//!
//! Format: learn.microsoft.com/rest/api/loganalytics/saved-searches. An `etag` in the request must be the current one or `*`; without one
//! the search is replaced.

use documents::checks::saved_searches::{MAX_SEARCHES, check, etag};
use http::{Method, StatusCode};
use model::{CatalogError, SavedSearch};
use serde::Deserialize;
use serde_json::{Value, json};

use super::properties;
use crate::call::Call;
use crate::context::Context;
use crate::dialect::RESOURCE_MANAGER;
use crate::endpoint::{Endpoint, Role, as_specified, nothing};
use crate::error::ApiError;
use crate::reply::Reply;
use crate::trail::{self, Changed};

const ALL: &str =
    "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.OperationalInsights/workspaces/{workspace}/savedSearches";
const ONE: &str = "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.OperationalInsights/workspaces/{workspace}/savedSearches/{search}";

pub static LIST: Endpoint = Endpoint {
    method: Method::GET,
    path: ALL,
    summary: "List saved searches and functions, by name",
    dialect: &RESOURCE_MANAGER,
    role: Role::Reader,
    action: "Microsoft.OperationalInsights/workspaces/savedSearches/read",
    query: nothing,
    takes: nothing,
    returns: as_specified,
    run: |cx, _| Box::pin(async { list(cx) }),
};

pub static GET: Endpoint = Endpoint {
    method: Method::GET,
    path: ONE,
    summary: "Read a saved search or function",
    dialect: &RESOURCE_MANAGER,
    role: Role::Reader,
    action: "Microsoft.OperationalInsights/workspaces/savedSearches/read",
    query: nothing,
    takes: nothing,
    returns: as_specified,
    run: |cx, call| Box::pin(async move { get(cx, &call) }),
};

pub static PUT: Endpoint = Endpoint {
    method: Method::PUT,
    path: ONE,
    summary: "Save a search; with a function alias, define a function",
    dialect: &RESOURCE_MANAGER,
    role: Role::Contributor,
    action: "Microsoft.OperationalInsights/workspaces/savedSearches/write",
    query: nothing,
    takes: as_specified,
    returns: as_specified,
    run: |cx, call| Box::pin(put(cx, call)),
};

pub static DELETE: Endpoint = Endpoint {
    method: Method::DELETE,
    path: ONE,
    summary: "Remove a saved search or function",
    dialect: &RESOURCE_MANAGER,
    role: Role::Contributor,
    action: "Microsoft.OperationalInsights/workspaces/savedSearches/delete",
    query: nothing,
    takes: nothing,
    returns: nothing,
    run: |cx, call| Box::pin(delete(cx, call)),
};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    category: String,
    display_name: String,
    query: String,
    function_alias: Option<String>,
    function_parameters: Option<String>,
    #[serde(default)]
    tags: Option<Vec<Tag>>,
}

#[derive(Deserialize)]
struct Tag {
    name: String,
    value: String,
}

/// Azure's list is not paged either.
fn list(cx: &Context) -> Result<Reply, ApiError> {
    let views: Vec<Value> = cx.catalog.saved_searches().iter().map(|search| view(cx, search)).collect();
    Reply::json(json!({ "value": views }))
}

fn get(cx: &Context, call: &Call) -> Result<Reply, ApiError> {
    let name = call.param("search");
    match cx.catalog.saved_searches().iter().find(|search| search.name.eq_ignore_ascii_case(name)) {
        Some(search) => Reply::json(view(cx, search)),
        None => Err(not_found(name)),
    }
}

async fn put(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    let body: Value = call.json().await?;
    let search = read(call.param("search"), &body)?;
    let known = cx.catalog.saved_searches();
    let old = known.iter().find(|other| other.name.eq_ignore_ascii_case(&search.name));
    let wanted = body.get("etag").and_then(Value::as_str).filter(|etag| !etag.is_empty() && *etag != "*");
    if wanted.is_some_and(|wanted| old.is_none_or(|old| etag(old) != wanted)) {
        let message = format!("The etag is not that of the saved search '{}'; read it again, or send '*' to replace it.", search.name);
        return Err(ApiError::conflict("EtagMismatch", message).target("etag"));
    }
    if known.len() >= MAX_SEARCHES && old.is_none() {
        return Err(ApiError::bad_request("QuotaExceeded", format!("A workspace keeps at most {MAX_SEARCHES} saved searches.")));
    }
    cx.catalog.save_search(search.clone()).await.map_err(refusal)?;
    let action = if old.is_some() { "changed" } else { "created" };
    let changes = differences(old.map(|old| &**old), Some(&search));
    let what = Changed { aggregate: "saved search", id: &search.name, action, changes };
    trail::record_alone(cx, &call, "ResourceManager", what).await?;
    tracing::info!(search = search.name, by = call.actor("ResourceManager").name, "search saved");
    Reply::json(view(cx, &search))
}

async fn delete(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let name = call.param("search");
    let known = cx.catalog.saved_searches();
    let old = known.iter().find(|search| search.name.eq_ignore_ascii_case(name));
    if cx.catalog.remove_search(name).await.map_err(refusal)? {
        let what = Changed { aggregate: "saved search", id: name, action: "deleted", changes: differences(old.map(|old| &**old), None) };
        trail::record_alone(cx, &call, "ResourceManager", what).await?;
        tracing::info!(search = name, by = call.actor("ResourceManager").name, "saved search removed");
    }
    // Deleting a missing resource is not an error in the resource manager; Microsoft's client accepts only 200 here.
    Ok(Reply::empty(StatusCode::OK))
}

/// The fields that differ, for the audit trail.
fn differences(before: Option<&SavedSearch>, after: Option<&SavedSearch>) -> Value {
    let fields = |search: Option<&SavedSearch>| {
        let value = search.and_then(|search| serde_json::to_value(search).ok()).unwrap_or_default();
        value.as_object().cloned().unwrap_or_default()
    };
    let (before, after) = (fields(before), fields(after));
    let mut changes = serde_json::Map::new();
    for name in before.keys().chain(after.keys()) {
        if before.get(name) != after.get(name) {
            changes.insert(name.clone(), json!([before.get(name), after.get(name)]));
        }
    }
    Value::Object(changes)
}

fn read(name: &str, body: &Value) -> Result<SavedSearch, ApiError> {
    let written = Value::Object(properties(body)?.clone());
    let written: Properties = serde_json::from_value(written).map_err(|why| {
        ApiError::bad_request("InvalidParameter", format!("The saved search cannot be read: {why}.")).target("properties")
    })?;
    let search = SavedSearch {
        name: name.to_owned(),
        category: written.category,
        display_name: written.display_name,
        query: written.query,
        function_alias: written.function_alias.unwrap_or_default(),
        function_parameters: written.function_parameters.unwrap_or_default(),
        tags: written.tags.unwrap_or_default().into_iter().map(|tag| (tag.name, tag.value)).collect(),
    };
    check(&search)?;
    Ok(search)
}

fn view(cx: &Context, search: &SavedSearch) -> Value {
    let tags: Vec<Value> = search.tags.iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
    let mut properties = json!({
        "category": search.category, "displayName": search.display_name, "query": search.query, "version": 2, "tags": tags,
    });
    if !search.function_alias.is_empty() {
        properties["functionAlias"] = json!(search.function_alias);
        properties["functionParameters"] = json!(search.function_parameters);
    }
    json!({
        "id": format!("{}/savedSearches/{}", cx.cloud.workspace_path(), search.name),
        "name": search.name,
        "type": "Microsoft.OperationalInsights/savedSearches",
        "etag": etag(search),
        "properties": properties,
    })
}

fn not_found(name: &str) -> ApiError {
    ApiError::not_found("NotFound", format!("There is no saved search '{name}' in this workspace."))
}

fn refusal(error: CatalogError) -> ApiError {
    match &error {
        CatalogError::AliasTaken { .. } => ApiError::conflict("FunctionAliasConflict", error.to_string()),
        _ => ApiError::internal(&error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_kept_is_refused_by_name() {
        let read = |properties: Value| read("s", &json!({ "properties": properties }));
        let plain = json!({ "category": "c", "displayName": "d", "query": "print 1" });
        let with = |key: &str, value: Value| {
            let mut changed = plain.clone();
            changed[key] = value;
            changed
        };
        assert_eq!(read(plain.clone()).unwrap().query, "print 1");
        assert_eq!(read(with("functionAlias", json!("F_1"))).unwrap().function_alias, "F_1");
        let target = |properties: Value| read(properties).unwrap_err().target.unwrap();
        assert_eq!(target(with("query", json!(" "))), "properties.query");
        assert_eq!(target(with("functionAlias", json!("1f"))), "properties.functionAlias");
        assert_eq!(target(with("functionParameters", json!("a:long"))), "properties.functionParameters");
        assert_eq!(target(json!({ "query": "print 1" })), "properties");
    }
}
