//! `/servicePrincipals` — referenced by role assignments. Each application has one.

use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use store::AppRegistration;

use super::applications::{check_version, equality, failed};
use crate::call::Call;
use crate::context::Context;
use crate::dialect::GRAPH;
use crate::endpoint::{Endpoint, Role, as_specified, nothing};
use crate::error::ApiError;
use crate::reply::Reply;

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
        .collect();
    Reply::json(json!({ "@odata.context": format!("{}/v1.0/$metadata#servicePrincipals", call.origin), "value": values }))
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
