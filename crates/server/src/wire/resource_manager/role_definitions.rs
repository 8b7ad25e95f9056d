//! `Microsoft.Authorization/roleDefinitions` — the built-in roles that can be assigned.

use documents::scopes;
use http::Method;
use serde_json::{Value, json};

use super::page;
use crate::call::Call;
use crate::context::Context;
use crate::dialect::RESOURCE_MANAGER;
use crate::endpoint::{Endpoint, Role, as_specified, nothing};
use crate::error::ApiError;
use crate::reply::Reply;
use crate::rights::{ROLE_DEFINITIONS, RoleDefinition};

pub static LIST: Endpoint = Endpoint {
    method: Method::GET,
    path: "/{scope*}/providers/Microsoft.Authorization/roleDefinitions",
    summary: "List the roles that can be assigned",
    dialect: &RESOURCE_MANAGER,
    role: Role::Reader,
    query: as_specified,
    takes: nothing,
    returns: as_specified,
    run: |cx, call| Box::pin(list(cx, call)),
};

async fn list(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    scopes::canonical(&cx.cloud, call.param("scope"))?;
    let wanted = match call.query.filled("$filter") {
        None => None,
        Some(filter) => Some(role_name(filter).ok_or_else(|| {
            ApiError::bad_request("UnsupportedFilter", "Role definitions can be filtered with \"roleName eq 'Reader'\".").target("$filter")
        })?),
    };
    let views: Vec<Value> = ROLE_DEFINITIONS
        .iter()
        .filter(|definition| wanted.is_none_or(|name| definition.name.eq_ignore_ascii_case(name)))
        .map(|definition| view(cx, definition))
        .collect();
    page(&call, &views)
}

/// The name in `roleName eq '…'`.
fn role_name(filter: &str) -> Option<&str> {
    let mut words = filter.trim().splitn(3, ' ');
    let (field, operator, value) = (words.next()?, words.next()?, words.next()?.trim());
    let value = value.strip_prefix('\'')?.strip_suffix('\'')?;
    (field.eq_ignore_ascii_case("roleName") && operator.eq_ignore_ascii_case("eq")).then_some(value)
}

fn view(cx: &Context, definition: &RoleDefinition) -> Value {
    json!({
        "id": definition_path(cx, definition.id), "name": definition.id, "type": "Microsoft.Authorization/roleDefinitions",
        "properties": { "roleName": definition.name, "type": "BuiltInRole", "assignableScopes": ["/"] },
    })
}

/// The resource id of a definition.
pub fn definition_path(cx: &Context, id: &str) -> String {
    format!("/subscriptions/{}/providers/Microsoft.Authorization/roleDefinitions/{id}", cx.cloud.subscription_id)
}

#[cfg(test)]
mod tests {
    #[test]
    fn filters_by_name() {
        assert_eq!(super::role_name("roleName eq 'Monitoring Metrics Publisher'"), Some("Monitoring Metrics Publisher"));
        assert_eq!(super::role_name("type eq 'BuiltInRole'"), None);
    }
}
