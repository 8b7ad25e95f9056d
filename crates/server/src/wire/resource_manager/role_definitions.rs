//! `Microsoft.Authorization/roleDefinitions` — the built-in roles that can be assigned, as Azure lists them.

use documents::scopes;
use http::Method;
use serde_json::{Value, json};

use super::page;
use super::role_filters::{self, DefinitionFilter};
use crate::call::Call;
use crate::context::Context;
use crate::dialect::RESOURCE_MANAGER;
use crate::endpoint::{Endpoint, Role, as_specified, nothing};
use crate::error::ApiError;
use crate::reply::Reply;
use crate::roles::{ROLE_DEFINITIONS, RoleDefinition, definition};

pub static LIST: Endpoint = Endpoint {
    method: Method::GET,
    path: "[/{scope*}]/providers/Microsoft.Authorization/roleDefinitions",
    summary: "List the roles that can be assigned",
    dialect: &RESOURCE_MANAGER,
    role: Role::Reader,
    action: "Microsoft.Authorization/roleDefinitions/read",
    query: as_specified,
    takes: nothing,
    returns: as_specified,
    run: |cx, call| Box::pin(list(cx, call)),
};

pub static GET: Endpoint = Endpoint {
    method: Method::GET,
    path: "[/{scope*}]/providers/Microsoft.Authorization/roleDefinitions/{name}",
    summary: "Read a role with the actions it permits",
    dialect: &RESOURCE_MANAGER,
    role: Role::Reader,
    action: "Microsoft.Authorization/roleDefinitions/read",
    query: nothing,
    takes: nothing,
    returns: as_specified,
    run: |cx, call| Box::pin(get(cx, call)),
};

async fn list(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    scopes::of_roles(&cx.cloud, call.param("scope"))?;
    let filter = call.query.filled("$filter").map_or(Ok(DefinitionFilter::default()), role_filters::definitions)?;
    let views: Vec<Value> =
        ROLE_DEFINITIONS.iter().filter(|definition| filter.holds(definition.name)).map(|definition| view(cx, definition)).collect();
    page(&call, &views)
}

async fn get(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    scopes::of_roles(&cx.cloud, call.param("scope"))?;
    let name = call.param("name");
    let found = definition(name).ok_or_else(|| {
        let shown: String = name.chars().filter(|c| !c.is_control()).take(100).collect();
        let message = format!("The specified role definition with ID '{shown}' does not exist.");
        ApiError::not_found("RoleDefinitionDoesNotExist", message).target("name")
    })?;
    Reply::json(view(cx, found))
}

fn view(cx: &Context, definition: &RoleDefinition) -> Value {
    json!({
        "id": definition_path(cx, definition.id), "name": definition.id, "type": "Microsoft.Authorization/roleDefinitions",
        "properties": {
            "roleName": definition.name, "type": "BuiltInRole", "description": definition.description, "assignableScopes": ["/"],
            "permissions": permissions(definition),
        },
    })
}

/// Azure's permissions of the role; those of our own actions follow as a second element, if there are any.
pub(super) fn permissions(definition: &RoleDefinition) -> Vec<Value> {
    let azure = json!({
        "actions": definition.actions, "notActions": definition.not_actions,
        "dataActions": definition.data_actions, "notDataActions": definition.not_data_actions,
    });
    let own = (!definition.own.is_empty())
        .then(|| json!({ "actions": definition.own, "notActions": definition.not_own, "dataActions": [], "notDataActions": [] }));
    std::iter::once(azure).chain(own).collect()
}

/// The resource id of a definition.
pub fn definition_path(cx: &Context, id: &str) -> String {
    format!("/subscriptions/{}/providers/Microsoft.Authorization/roleDefinitions/{id}", cx.cloud.subscription_id)
}
