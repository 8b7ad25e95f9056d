//! `/applications` — app registrations: create, list, add secrets, delete.
//!
//! A secret's text is returned by `addPassword` only. An application is created together with its service principal, since there is only
//! one tenant.

use http::{Method, StatusCode};
use model::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};
use store::{AppRegistration, ClientSecret, StoreError};
use uuid::Uuid;

use crate::call::Call;
use crate::context::Context;
use crate::dialect::GRAPH;
use crate::endpoint::{Endpoint, Role, as_specified, nothing};
use crate::error::ApiError;
use crate::identity::{SecretHash, generate_secret};
use crate::reply::Reply;
use crate::trail::{self, Changed};
use crate::wire::resource_manager::role_assignments;

const ALL: &str = "/{version}/applications";
const ONE: &str = "/{version}/applications/{id}";

pub static LIST: Endpoint = Endpoint {
    method: Method::GET,
    path: ALL,
    summary: "List app registrations",
    dialect: &GRAPH,
    role: Role::Reader,
    action: "microsoft.directory/applications/standard/read",
    query: as_specified,
    takes: nothing,
    returns: as_specified,
    run: |cx, call| Box::pin(list(cx, call)),
};

pub static GET: Endpoint = Endpoint {
    method: Method::GET,
    path: ONE,
    summary: "Read an app registration",
    dialect: &GRAPH,
    role: Role::Reader,
    action: "microsoft.directory/applications/standard/read",
    query: nothing,
    takes: nothing,
    returns: as_specified,
    run: |cx, call| Box::pin(get(cx, call)),
};

pub static CREATE: Endpoint = Endpoint {
    method: Method::POST,
    path: ALL,
    summary: "Register an application",
    dialect: &GRAPH,
    role: Role::Owner,
    action: "microsoft.directory/applications/create",
    query: nothing,
    takes: as_specified,
    returns: as_specified,
    run: |cx, call| Box::pin(create(cx, call)),
};

pub static ADD_PASSWORD: Endpoint = Endpoint {
    method: Method::POST,
    path: "/{version}/applications/{id}/addPassword",
    summary: "Give an application a client secret, shown in this answer only",
    dialect: &GRAPH,
    role: Role::Owner,
    action: "microsoft.directory/applications/credentials/update",
    query: nothing,
    takes: as_specified,
    returns: as_specified,
    run: |cx, call| Box::pin(add_password(cx, call)),
};

pub static REMOVE_PASSWORD: Endpoint = Endpoint {
    method: Method::POST,
    path: "/{version}/applications/{id}/removePassword",
    summary: "Take a client secret from an application",
    dialect: &GRAPH,
    role: Role::Owner,
    action: "microsoft.directory/applications/credentials/update",
    query: nothing,
    takes: as_specified,
    returns: nothing,
    run: |cx, call| Box::pin(remove_password(cx, call)),
};

pub static DELETE: Endpoint = Endpoint {
    method: Method::DELETE,
    path: ONE,
    summary: "Delete an app registration; its secrets stop working at once",
    dialect: &GRAPH,
    role: Role::Owner,
    action: "microsoft.directory/applications/delete",
    query: nothing,
    takes: nothing,
    returns: nothing,
    run: |cx, call| Box::pin(delete(cx, call)),
};

/// Maximum secrets of an application.
const MAX_SECRETS: usize = 20;
/// Maximum applications of a tenant: more than there are connectors, and a bound for a list without paging.
const MAX_APPLICATIONS: usize = 1_000;
/// Maximum characters of a display name, as in Entra.
const MAX_NAME: usize = 256;

/// UUID namespace for object ids of applications, which are derived from their client ids.
const APPLICATIONS: Uuid = Uuid::from_u128(0x7c39_2c4f_1f3f_4f39_8c9e_5a0f_0e3b_61d7);

/// The object id of an application, distinct from its service principal's.
pub(super) fn object_id(app: &AppRegistration) -> String {
    Uuid::new_v5(&APPLICATIONS, app.app_id.as_bytes()).to_string()
}

pub(super) fn failed(error: StoreError) -> ApiError {
    ApiError::internal(&error)
}

pub(super) fn check_version(call: &Call) -> Result<(), ApiError> {
    match call.param("version") {
        "v1.0" | "beta" => Ok(()),
        other => Err(ApiError::bad_request("BadRequest", format!("Invalid version: {other}. Use v1.0 or beta."))),
    }
}

/// The application that the path names: its object id, or `appId=<client id>` in Graph's alternate key form.
async fn find(cx: &Context, call: &Call) -> Result<AppRegistration, ApiError> {
    check_version(call)?;
    let id = call.param("id");
    let all = cx.store.app_registrations().list().await.map_err(failed)?;
    all.into_iter().find(|app| object_id(app).eq_ignore_ascii_case(id)).ok_or_else(|| {
        let message = format!("Resource '{id}' does not exist or one of its queried reference-property objects are not present. An application is named by its object id, not by its appId.");
        ApiError::not_found("Request_ResourceNotFound", message)
    })
}

async fn list(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    check_version(&call)?;
    let all = cx.store.app_registrations().list().await.map_err(failed)?;
    let wanted = call.query.filled("$filter").map(equality).transpose()?;
    let values: Vec<Value> = all
        .iter()
        .filter(|app| match &wanted {
            Some(("appId", value)) => app.app_id.eq_ignore_ascii_case(value),
            Some(("displayName", value)) => app.display_name == *value,
            _ => true,
        })
        .map(view)
        .collect();
    Reply::json(json!({ "@odata.context": format!("{}/v1.0/$metadata#applications", call.origin), "value": values }))
}

/// `appId eq '…'` or `displayName eq '…'`.
pub(super) fn equality(filter: &str) -> Result<(&'static str, &str), ApiError> {
    let parts = filter.trim().split_once(" eq ").and_then(|(field, value)| {
        let value = value.trim().strip_prefix('\'')?.strip_suffix('\'')?;
        let field = ["appId", "displayName"].into_iter().find(|known| known.eq_ignore_ascii_case(field.trim()))?;
        Some((field, value))
    });
    parts.ok_or_else(|| {
        let message = "Lists here can be filtered with \"appId eq '<id>'\" or \"displayName eq '<name>'\".";
        ApiError::bad_request("Request_UnsupportedQuery", message)
    })
}

async fn get(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    Reply::json(view(&find(cx, &call).await?))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewApplication {
    display_name: String,
}

async fn create(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    check_version(&call)?;
    let wanted: NewApplication = call.json().await?;
    let name = wanted.display_name.trim();
    if name.is_empty() || name.chars().count() > MAX_NAME {
        let message = format!("'displayName' has between 1 and {MAX_NAME} characters.");
        return Err(ApiError::bad_request("Request_BadRequest", message).target("displayName"));
    }
    if cx.store.app_registrations().list().await.map_err(failed)?.len() >= MAX_APPLICATIONS {
        let message = format!("The directory holds {MAX_APPLICATIONS} applications, its limit; delete some first.");
        return Err(ApiError::bad_request("Directory_QuotaExceeded", message));
    }
    let app = AppRegistration {
        app_id: Uuid::new_v4().to_string(),
        object_id: Uuid::new_v4().to_string(),
        display_name: name.to_owned(),
        created: cx.clock.now(),
        secrets: Vec::new(),
        certificates: Vec::new(),
    };
    let mut change = cx.store.begin().await.map_err(failed)?;
    change.put_app_registration(&app).await.map_err(failed)?;
    record(cx, &call, &mut change, &app, "created", json!({ "displayName": [null, app.display_name] })).await?;
    change.commit().await.map_err(failed)?;
    Reply::json_with(StatusCode::CREATED, view(&app))
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct AddPassword {
    password_credential: Credential,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Credential {
    display_name: Option<String>,
    end_date_time: Option<Timestamp>,
}

async fn add_password(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    let mut app = find(cx, &call).await?;
    let wanted: AddPassword = call.json().await?;
    if app.secrets.len() >= MAX_SECRETS {
        let message = format!("The application has {MAX_SECRETS} secrets, its limit; remove one first.");
        return Err(ApiError::bad_request("Directory_QuotaExceeded", message));
    }
    let internal = |error: crate::identity::SecretError| ApiError::internal(&error);
    let secret = generate_secret().map_err(internal)?;
    let key_id = Uuid::new_v4().to_string();
    let hash = SecretHash::of_generated(&secret).map_err(internal)?.as_stored().to_owned();
    app.secrets.push(ClientSecret { key_id: key_id.clone(), hash, expires: wanted.password_credential.end_date_time });
    let mut change = cx.store.begin().await.map_err(failed)?;
    change.put_app_registration(&app).await.map_err(failed)?;
    record(cx, &call, &mut change, &app, "secret added", json!({ "keyId": [null, key_id] })).await?;
    change.commit().await.map_err(failed)?;
    Reply::json(json!({
        "@odata.context": format!("{}/v1.0/$metadata#microsoft.graph.passwordCredential", call.origin),
        "keyId": key_id,
        "displayName": wanted.password_credential.display_name,
        "startDateTime": cx.clock.now(),
        "endDateTime": wanted.password_credential.end_date_time,
        "hint": &secret.reveal()[..3],
        "secretText": secret.reveal(),
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RemovePassword {
    key_id: String,
}

async fn remove_password(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    let mut app = find(cx, &call).await?;
    let wanted: RemovePassword = call.json().await?;
    let before = app.secrets.len();
    app.secrets.retain(|secret| !secret.key_id.eq_ignore_ascii_case(&wanted.key_id));
    if app.secrets.len() == before {
        let message = format!("No credentials found to be removed: the application has no secret '{}'.", wanted.key_id);
        return Err(ApiError::bad_request("Request_BadRequest", message).target("keyId"));
    }
    let mut change = cx.store.begin().await.map_err(failed)?;
    change.put_app_registration(&app).await.map_err(failed)?;
    record(cx, &call, &mut change, &app, "secret removed", json!({ "keyId": [wanted.key_id, null] })).await?;
    change.commit().await.map_err(failed)?;
    Ok(Reply::no_content())
}

async fn delete(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let app = find(cx, &call).await?;
    let mut change = cx.store.begin().await.map_err(failed)?;
    role_assignments::remove_of(cx, &call, "Graph", &mut change, &app.object_id).await?;
    change.delete_app_registration(&app.app_id).await.map_err(failed)?;
    record(cx, &call, &mut change, &app, "deleted", json!({ "displayName": [app.display_name, null] })).await?;
    change.commit().await.map_err(failed)?;
    cx.identity.reload(&cx.store).await.map_err(failed)?;
    Ok(Reply::no_content())
}

/// Records a change of an application in the audit trail, without credentials.
async fn record(
    cx: &Context,
    call: &Call,
    change: &mut store::Change,
    app: &AppRegistration,
    action: &'static str,
    changes: Value,
) -> Result<(), ApiError> {
    let what = Changed { aggregate: "app registration", id: &app.app_id, action, changes };
    trail::record(cx, call, "Graph", change, what).await
}

fn view(app: &AppRegistration) -> Value {
    let passwords: Vec<Value> = app
        .secrets
        .iter()
        .map(|secret| json!({ "keyId": secret.key_id, "displayName": null, "endDateTime": secret.expires, "secretText": null }))
        .collect();
    json!({
        "id": object_id(app),
        "appId": app.app_id,
        "displayName": app.display_name,
        "createdDateTime": app.created,
        "signInAudience": "AzureADMyOrg",
        "passwordCredentials": passwords,
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn lists_can_be_asked_for_one() {
        // Graph's reference of `list applications`: `$filter=appId eq '{appId}'`.
        assert_eq!(super::equality("appId eq 'a-b'").unwrap(), ("appId", "a-b"));
        assert_eq!(super::equality("displayName eq 'Flare'").unwrap(), ("displayName", "Flare"));
        assert!(super::equality("startswith(displayName,'F')").is_err());
    }
}
