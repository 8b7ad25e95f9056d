//! `Microsoft.Authorization/permissions` — what the caller may do at a scope: the permissions of each role it holds there or above.

use documents::scopes;
use http::Method;
use serde_json::{Value, json};

use super::role_definitions::permissions;
use crate::call::Call;
use crate::context::Context;
use crate::dialect::RESOURCE_MANAGER;
use crate::endpoint::{Endpoint, Role, as_specified, nothing};
use crate::error::ApiError;
use crate::reply::Reply;
use crate::rights::covers;
use crate::roles::definition;

pub static LIST: Endpoint = Endpoint {
    method: Method::GET,
    path: "[/{scope*}]/providers/Microsoft.Authorization/permissions",
    summary: "List the permissions of the caller at a scope",
    dialect: &RESOURCE_MANAGER,
    role: Role::Reader,
    action: "Microsoft.Authorization/permissions/read",
    query: nothing,
    takes: nothing,
    returns: as_specified,
    run: |cx, call| Box::pin(async move { list(cx, &call) }),
};

/// Azure's list is not paged in practice either: a principal holds few roles.
fn list(cx: &Context, call: &Call) -> Result<Reply, ApiError> {
    let scope = scopes::of_roles(&cx.cloud, call.param("scope"))?;
    let caller = call.principal.as_ref().map(|principal| principal.object_id.as_str()).unwrap_or_default();
    let directory = cx.identity.directory();
    let held: Vec<Value> = cx
        .identity
        .grants()
        .iter()
        .filter(|grant| directory.acting_as(caller).any(|id| id.eq_ignore_ascii_case(&grant.principal)) && covers(&grant.scope, &scope))
        .filter_map(|grant| definition(&grant.definition))
        .flat_map(permissions)
        .collect();
    Reply::json(json!({ "value": held }))
}
