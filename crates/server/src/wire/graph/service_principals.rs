//! `/servicePrincipals` — referenced by role assignments. Each application has one, and so has each API of Microsoft that publishes
//! permissions.

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use store::AppRegistration;
use uuid::Uuid;

use super::applications::{check_version, equality, failed};
use crate::call::Call;
use crate::context::Context;
use crate::dialect::GRAPH;
use crate::endpoint::{Endpoint, Role, as_specified, nothing};
use crate::error::ApiError;
use crate::identity::permissions::{self, RESOURCES};
use crate::reply::Reply;
use crate::wire::entra;

const ALL: &str = "/{version}/servicePrincipals";

pub static LIST: Endpoint = Endpoint {
    method: Method::GET,
    path: ALL,
    summary: "List service principals",
    dialect: &GRAPH,
    role: Role::Reader,
    action: "microsoft.directory/servicePrincipals/standard/read",
    query: as_specified,
    takes: nothing,
    returns: as_specified,
    run: |cx, call| Box::pin(list(cx, call)),
};

pub static CREATE: Endpoint = Endpoint {
    method: Method::POST,
    path: ALL,
    summary: "Make the service principal of an application, or find it",
    dialect: &GRAPH,
    role: Role::Owner,
    action: "microsoft.directory/servicePrincipals/create",
    query: nothing,
    takes: as_specified,
    returns: as_specified,
    run: |cx, call| Box::pin(create(cx, call)),
};

async fn list(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    check_version(&call)?;
    let wanted = call.query.filled("$filter").map(equality).transpose()?;
    let all = cx.store.app_registrations().list().await.map_err(failed)?;
    let values: Vec<Value> = all
        .iter()
        .filter(|app| match &wanted {
            Some(("appId", value)) => app.app_id.eq_ignore_ascii_case(value),
            Some(("displayName", value)) => app.display_name == *value,
            _ => true,
        })
        .map(view)
        .chain(RESOURCES.iter().filter(|resource| matches_resource(resource, &wanted)).map(view_of_resource))
        .collect();
    Reply::json(json!({ "@odata.context": format!("{}/v1.0/$metadata#servicePrincipals", call.origin), "value": values }))
}

/// UUID namespace for object ids of the service principals of Microsoft's APIs, which are derived from their application ids.
const PRINCIPALS: Uuid = Uuid::from_u128(0x4a1f_0a86_6a0e_4c11_8f0b_52f7_59c3_0d11);

/// The object id of the service principal of one of Microsoft's APIs.
pub(super) fn object_id_of(resource: &str) -> String {
    Uuid::new_v5(&PRINCIPALS, resource.to_ascii_lowercase().as_bytes()).to_string()
}

/// The resource whose service principal has that object id.
pub(super) async fn resource_of(cx: &Context, object_id: &str) -> Result<Option<entra::resources::Resource>, ApiError> {
    if let Some(known) = RESOURCES.iter().find(|resource| object_id_of(resource.app_id).eq_ignore_ascii_case(object_id)) {
        return entra::resources::find(cx, known.app_id).await;
    }
    let all = cx.store.app_registrations().list().await.map_err(failed)?;
    match all.iter().find(|app| app.object_id.eq_ignore_ascii_case(object_id) || object_id_of(&app.app_id).eq_ignore_ascii_case(object_id))
    {
        Some(app) => entra::resources::find(cx, &app.app_id).await,
        None => Ok(None),
    }
}

fn matches_resource(resource: &permissions::Resource, wanted: &Option<(&'static str, &str)>) -> bool {
    match wanted {
        Some(("appId", value)) => resource.app_id.eq_ignore_ascii_case(value),
        Some(("displayName", value)) => resource.name == *value,
        // A list of everything has the tenant's own applications only.
        _ => false,
    }
}

fn view_of_resource(resource: &permissions::Resource) -> Value {
    let scopes: Vec<Value> = resource
        .scopes
        .iter()
        .filter(|scope| !scope.id.is_empty())
        .map(|scope| json!({ "id": scope.id, "value": scope.value, "type": if scope.admin { "Admin" } else { "User" }, "isEnabled": true }))
        .collect();
    let roles: Vec<Value> = resource
        .roles
        .iter()
        .map(|role| json!({ "id": role.id, "value": role.value, "displayName": role.says, "allowedMemberTypes": ["Application"] }))
        .collect();
    json!({
        "id": object_id_of(resource.app_id),
        "appId": resource.app_id,
        "displayName": resource.name,
        "servicePrincipalType": "Application",
        "accountEnabled": true,
        "appRoles": roles,
        "oauth2PermissionScopes": scopes,
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewPrincipal {
    app_id: String,
}

async fn create(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    check_version(&call)?;
    let wanted: NewPrincipal = call.json().await?;
    let app = cx.store.app_registrations().get(&wanted.app_id.to_ascii_lowercase()).await.map_err(failed)?.ok_or_else(|| {
        let message = format!("The appId '{}' of the service principal does not reference a valid application object.", wanted.app_id);
        ApiError::bad_request("Request_BadRequest", message).target("appId")
    })?;
    Reply::json_with(StatusCode::CREATED, view(&app))
}

fn view(app: &AppRegistration) -> Value {
    json!({
        "id": app.object_id,
        "appId": app.app_id,
        "displayName": app.display_name,
        "servicePrincipalType": "Application",
        "accountEnabled": true,
    })
}
