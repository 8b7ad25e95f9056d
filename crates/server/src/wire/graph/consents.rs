//! Consents in Graph: `appRoleAssignments` (app roles of applications) and `oauth2PermissionGrants` (scopes for people).
//!
//! Format: learn.microsoft.com/graph/api/resources/approleassignment and …/oauth2permissiongrant. An administrator may grant app roles here
//! instead of on the consent page; scopes are granted on pages only, and can be withdrawn here.

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use store::{AppRegistration, Consent, ConsentKind};
use uuid::Uuid;

use super::applications::{check_version, failed, record};
use super::service_principals::{object_id_of, resource_of};
use crate::call::Call;
use crate::context::Context;
use crate::dialect::GRAPH;
use crate::endpoint::{Endpoint, Role, as_specified, nothing};
use crate::error::ApiError;
use crate::reply::Reply;

const ASSIGNMENTS: &str = "/{version}/servicePrincipals/{id}/appRoleAssignments";

pub static LIST_ROLES: Endpoint = Endpoint {
    method: Method::GET,
    path: ASSIGNMENTS,
    summary: "List the app roles granted to an application",
    dialect: &GRAPH,
    role: Role::Reader,
    action: "microsoft.directory/servicePrincipals/appRoleAssignments/read",
    query: nothing,
    takes: nothing,
    returns: as_specified,
    run: |cx, call| Box::pin(list_roles(cx, call)),
};

pub static ADD_ROLE: Endpoint = Endpoint {
    method: Method::POST,
    path: ASSIGNMENTS,
    summary: "Grant an application an app role of a resource",
    dialect: &GRAPH,
    role: Role::Owner,
    action: "microsoft.directory/servicePrincipals/appRoleAssignments/update",
    query: nothing,
    takes: as_specified,
    returns: as_specified,
    run: |cx, call| Box::pin(add_role(cx, call)),
};

pub static REMOVE_ROLE: Endpoint = Endpoint {
    method: Method::DELETE,
    path: "/{version}/servicePrincipals/{id}/appRoleAssignments/{assignment}",
    summary: "Withdraw an app role from an application",
    dialect: &GRAPH,
    role: Role::Owner,
    action: "microsoft.directory/servicePrincipals/appRoleAssignments/update",
    query: nothing,
    takes: nothing,
    returns: nothing,
    run: |cx, call| Box::pin(remove_role(cx, call)),
};

pub static LIST_SCOPES: Endpoint = Endpoint {
    method: Method::GET,
    path: "/{version}/oauth2PermissionGrants",
    summary: "List the scopes that people consented to",
    dialect: &GRAPH,
    role: Role::Reader,
    action: "microsoft.directory/oAuth2PermissionGrants/allProperties/read",
    query: nothing,
    takes: nothing,
    returns: as_specified,
    run: |cx, call| Box::pin(list_scopes(cx, call)),
};

pub static REMOVE_SCOPES: Endpoint = Endpoint {
    method: Method::DELETE,
    path: "/{version}/oauth2PermissionGrants/{grant}",
    summary: "Withdraw consent to scopes",
    dialect: &GRAPH,
    role: Role::Owner,
    action: "microsoft.directory/oAuth2PermissionGrants/delete",
    query: nothing,
    takes: nothing,
    returns: nothing,
    run: |cx, call| Box::pin(remove_scopes(cx, call)),
};

fn not_found(id: &str) -> ApiError {
    let message = format!("Resource '{id}' does not exist or one of its queried reference-property objects are not present.");
    ApiError::not_found("Request_ResourceNotFound", message)
}

/// The application whose service principal is in the path.
async fn find(cx: &Context, call: &Call) -> Result<AppRegistration, ApiError> {
    check_version(call)?;
    let id = call.param("id");
    let all = cx.store.app_registrations().list().await.map_err(failed)?;
    all.into_iter().find(|app| app.object_id.eq_ignore_ascii_case(id)).ok_or_else(|| not_found(id))
}

async fn list_roles(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let app = find(cx, &call).await?;
    let consents = cx.store.consents().list(Some(&app.app_id)).await.map_err(failed)?;
    let mut values = Vec::new();
    for consent in consents.iter().filter(|consent| consent.kind == ConsentKind::Application) {
        values.push(view(cx, &app, consent).await?);
    }
    Reply::json(json!({ "@odata.context": format!("{}/v1.0/$metadata#appRoleAssignments", call.origin), "value": values }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewAssignment {
    principal_id: String,
    resource_id: String,
    app_role_id: String,
}

async fn add_role(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    let app = find(cx, &call).await?;
    let wanted: NewAssignment = call.json().await?;
    let refused = |target: &'static str, message: &str| ApiError::bad_request("Request_BadRequest", message).target(target);
    if !wanted.principal_id.eq_ignore_ascii_case(&app.object_id) {
        return Err(refused("principalId", "'principalId' must be the service principal in the path."));
    }
    let resource = resource_of(cx, &wanted.resource_id).await?.ok_or_else(|| not_found(&wanted.resource_id))?;
    let role = resource.roles.iter().find(|role| role.id.eq_ignore_ascii_case(&wanted.app_role_id));
    let role = role.ok_or_else(|| refused("appRoleId", "Permission being assigned was not found on application."))?;
    let consent = Consent {
        app_id: app.app_id.clone(),
        resource: resource.app_id.clone(),
        kind: ConsentKind::Application,
        value: role.value.clone(),
        principal: None,
        id: Uuid::new_v4().to_string(),
        granted: cx.clock.now(),
        granted_by: call.actor("Graph").name,
    };
    let given = cx.store.consents().list(Some(&app.app_id)).await.map_err(failed)?;
    let same = |known: &&Consent| known.kind == consent.kind && known.resource == consent.resource && known.value == consent.value;
    if given.iter().any(|known| same(&known)) {
        return Err(refused("appRoleId", "Permission being assigned already exists on the object."));
    }
    let mut change = cx.store.begin().await.map_err(failed)?;
    change.put_consent(&consent).await.map_err(failed)?;
    let changes = json!({ "permissions": [null, [format!("{}/{}", resource.name, role.value)]], "for": [null, "the application"] });
    record(cx, &call, &mut change, &app, "consent granted", changes).await?;
    change.commit().await.map_err(failed)?;
    Reply::json_with(StatusCode::CREATED, view(cx, &app, &consent).await?)
}

async fn remove_role(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let app = find(cx, &call).await?;
    remove(cx, &call, &app, call.param("assignment")).await
}

async fn remove(cx: &Context, call: &Call, app: &AppRegistration, id: &str) -> Result<Reply, ApiError> {
    let given = cx.store.consents().list(Some(&app.app_id)).await.map_err(failed)?;
    let values: Vec<String> =
        given.iter().filter(|consent| consent.id.eq_ignore_ascii_case(id)).map(|consent| consent.value.clone()).collect();
    if values.is_empty() {
        return Err(not_found(id));
    }
    let mut change = cx.store.begin().await.map_err(failed)?;
    change.delete_consents(id).await.map_err(failed)?;
    record(cx, call, &mut change, app, "consent withdrawn", json!({ "permissions": [values, null] })).await?;
    change.commit().await.map_err(failed)?;
    Ok(Reply::no_content())
}

async fn list_scopes(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    check_version(&call)?;
    let apps = cx.store.app_registrations().list().await.map_err(failed)?;
    let consents = cx.store.consents().list(None).await.map_err(failed)?;
    let mut values: Vec<Value> = Vec::new();
    for consent in consents.iter().filter(|consent| consent.kind == ConsentKind::Delegated) {
        let Some(app) = apps.iter().find(|app| app.app_id.eq_ignore_ascii_case(&consent.app_id)) else { continue };
        match values.iter_mut().find(|value| value["id"] == json!(consent.id)) {
            Some(value) => value["scope"] = json!(format!("{} {}", value["scope"].as_str().unwrap_or_default(), consent.value)),
            None => values.push(json!({
                "id": consent.id,
                "clientId": app.object_id,
                "consentType": if consent.principal.is_none() { "AllPrincipals" } else { "Principal" },
                "principalId": consent.principal,
                "resourceId": object_id_of(&consent.resource),
                "scope": consent.value,
            })),
        }
    }
    Reply::json(json!({ "@odata.context": format!("{}/v1.0/$metadata#oauth2PermissionGrants", call.origin), "value": values }))
}

async fn remove_scopes(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    check_version(&call)?;
    let id = call.param("grant");
    let consents = cx.store.consents().list(None).await.map_err(failed)?;
    let app_id = consents.into_iter().find(|consent| consent.id.eq_ignore_ascii_case(id)).map(|consent| consent.app_id);
    let app = match app_id {
        Some(app_id) => cx.store.app_registrations().get(&app_id).await.map_err(failed)?,
        None => None,
    };
    let app = app.ok_or_else(|| not_found(id))?;
    remove(cx, &call, &app, id).await
}

async fn view(cx: &Context, app: &AppRegistration, consent: &Consent) -> Result<Value, ApiError> {
    let resource = crate::wire::entra::resources::find(cx, &consent.resource).await?;
    let role = resource.as_ref().and_then(|resource| resource.roles.iter().find(|role| role.value == consent.value));
    Ok(json!({
        "id": consent.id,
        "createdDateTime": consent.granted,
        "appRoleId": role.map(|role| &role.id),
        "appRoleValue": consent.value,
        "principalId": app.object_id,
        "principalDisplayName": app.display_name,
        "principalType": "ServicePrincipal",
        "resourceId": object_id_of(&consent.resource),
        "resourceDisplayName": resource.as_ref().map(|resource| &resource.name),
    }))
}
