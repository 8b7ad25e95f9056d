//! Azure Resource Manager for an embedded cloud with one subscription, one resource group and one workspace.
//!
//! Any api-version is accepted; responses are supersets. Names are case-insensitive and keep the case of their creation. Errors have the
//! resource manager's `CloudError` format.

mod data_collection_rules;
mod permissions;
mod resource_groups;
pub(crate) mod role_assignments;
mod role_definitions;
mod role_filters;
mod saved_searches;
mod subscriptions;
mod tables;
mod workspaces;

use std::ops::Range;

use serde::Serialize;
use serde_json::{Value, json};

use crate::call::Call;
use crate::endpoint::Endpoint;
use crate::error::ApiError;
use crate::reply::Reply;

pub static ENDPOINTS: &[&Endpoint] = &[
    &subscriptions::LIST,
    &subscriptions::GET,
    &resource_groups::LIST,
    &resource_groups::GET,
    &resource_groups::PUT,
    &workspaces::LIST,
    &workspaces::LIST_ALL,
    &workspaces::GET,
    &workspaces::PUT,
    &tables::LIST,
    &tables::GET,
    &tables::PUT,
    &tables::PATCH,
    &tables::DELETE,
    &saved_searches::LIST,
    &saved_searches::GET,
    &saved_searches::PUT,
    &saved_searches::DELETE,
    &data_collection_rules::LIST,
    &data_collection_rules::LIST_ALL,
    &data_collection_rules::GET,
    &data_collection_rules::PUT,
    &data_collection_rules::DELETE,
    &role_definitions::LIST,
    &role_definitions::GET,
    &permissions::LIST,
    &role_assignments::LIST,
    &role_assignments::GET,
    &role_assignments::PUT,
    &role_assignments::DELETE,
];

/// Page size.
const PAGE: usize = 100;

/// One page of `all`, with an absolute link to the next.
fn page<T: Serialize>(call: &Call, all: &[T]) -> Result<Reply, ApiError> {
    page_of(call, all.len(), |range| json!(all.get(range).unwrap_or_default()))
}

/// One page of `count` resources, of which `views` makes the JSON of a range.
fn page_of(call: &Call, count: usize, views: impl FnOnce(Range<usize>) -> Value) -> Result<Reply, ApiError> {
    let size = match call.query.filled("$top") {
        None => PAGE,
        Some(text) => text
            .parse::<usize>()
            .ok()
            .filter(|top| (1..=1_000).contains(top))
            .ok_or_else(|| ApiError::bad_request("InvalidQueryParameter", "'$top' must be a number from 1 to 1000.").target("$top"))?,
    };
    let from = match call.query.filled("$skipToken") {
        None => 0,
        Some(token) => token.parse::<usize>().map_err(|_| {
            ApiError::bad_request("InvalidSkipToken", "'$skipToken' must be taken from the 'nextLink' of an earlier answer.")
                .target("$skipToken")
        })?,
    };
    let from = from.min(count);
    let until = from.saturating_add(size).min(count);
    let mut body = json!({ "value": views(from..until) });
    if until < count {
        let next = until.to_string();
        let mut pairs: Vec<(&str, &str)> = call
            .query
            .pairs
            .iter()
            .filter(|(name, _)| !name.eq_ignore_ascii_case("$skipToken"))
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        pairs.push(("$skipToken", &next));
        body["nextLink"] = json!(call.link(&pairs));
    }
    Reply::json(body)
}

/// The `properties` of a resource in a request body.
fn properties(body: &Value) -> Result<&serde_json::Map<String, Value>, ApiError> {
    body.get("properties").and_then(Value::as_object).ok_or_else(|| {
        ApiError::bad_request("InvalidRequestContent", "The resource must be a JSON object with an object 'properties'.")
            .target("properties")
    })
}
