//! `/alertRuleTemplates`: there is no rule gallery, so the list is always empty.

use http::Method;
use serde_json::json;

use super::route::{provider_path, route};
use crate::call::Call;
use crate::context::Context;
use crate::endpoint::{Endpoint, Role};
use crate::error::ApiError;
use crate::reply::Reply;

pub static LIST: Endpoint = route(
    Method::GET,
    provider_path!("/alertRuleTemplates"),
    "List the templates of analytics rules",
    Role::Reader,
    "Microsoft.SecurityInsights/alertRuleTemplates/read",
    |cx, call| Box::pin(list(cx, call)),
);
pub static GET: Endpoint = route(
    Method::GET,
    provider_path!("/alertRuleTemplates/{template}"),
    "Read a template of an analytics rule",
    Role::Reader,
    "Microsoft.SecurityInsights/alertRuleTemplates/read",
    |cx, call| Box::pin(get(cx, call)),
);

async fn list(_: &Context, _: Call) -> Result<Reply, ApiError> {
    Reply::json(json!({ "value": [] }))
}

async fn get(_: &Context, call: Call) -> Result<Reply, ApiError> {
    let shown: String = call.param("template").chars().take(100).collect();
    Err(ApiError::not_found("NotFound", format!("Template '{shown}' does not exist: this server has no gallery of rules.")))
}
