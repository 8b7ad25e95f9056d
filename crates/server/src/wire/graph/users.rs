//! `/users` — people, read only. Accounts are administered under `/api/v1/users`.

use http::Method;
use serde_json::{Value, json};
use store::Account;

use super::applications::{check_version, failed};
use super::filter::equality;
use crate::call::Call;
use crate::context::Context;
use crate::dialect::GRAPH;
use crate::endpoint::{Endpoint, Role, as_specified, nothing};
use crate::error::ApiError;
use crate::identity::AccountError;
use crate::reply::Reply;

pub static LIST: Endpoint = Endpoint {
    method: Method::GET,
    path: "/{version}/users",
    summary: "List people",
    dialect: &GRAPH,
    role: Role::Reader,
    action: "microsoft.directory/users/standard/read",
    query: as_specified,
    takes: nothing,
    returns: as_specified,
    run: |cx, call| Box::pin(list(cx, call)),
};

pub static GET: Endpoint = Endpoint {
    method: Method::GET,
    path: "/{version}/users/{user}",
    summary: "Read a person, by object id or user principal name",
    dialect: &GRAPH,
    role: Role::Reader,
    action: "microsoft.directory/users/standard/read",
    query: nothing,
    takes: nothing,
    returns: as_specified,
    run: |cx, call| Box::pin(get(cx, call)),
};

async fn list(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    check_version(&call)?;
    let wanted = call.query.filled("$filter").map(|filter| equality(filter, &["userPrincipalName", "displayName"])).transpose()?;
    let is_wanted = |account: &&Account| match &wanted {
        // Entra compares strings without regard to case.
        Some(("userPrincipalName", value)) => store::name_key(&cx.identity.user_principal_name(&account.name)) == store::name_key(value),
        Some((_, value)) => store::name_key(&account.display_name) == store::name_key(value),
        None => true,
    };
    let all = cx.store.accounts().list().await.map_err(failed)?;
    let values: Vec<Value> = all.iter().filter(is_wanted).map(|account| view(cx, account)).collect();
    Reply::json(json!({ "@odata.context": format!("{}/v1.0/$metadata#users", call.origin), "value": values }))
}

async fn get(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    check_version(&call)?;
    let id = call.param("user");
    let account = cx.people.find_account(id).await.map_err(|error| match error {
        AccountError::Store(error) => failed(error),
        _ => {
            let message = format!("Resource '{id}' does not exist or one of its queried reference-property objects are not present.");
            ApiError::not_found("Request_ResourceNotFound", message)
        }
    })?;
    Reply::json(view(cx, &account))
}

fn view(cx: &Context, account: &Account) -> Value {
    json!({
        "id": account.object_id,
        "userPrincipalName": cx.identity.user_principal_name(&account.name),
        "displayName": account.display_name,
        "mail": account.email,
        "accountEnabled": !account.disabled,
        "createdDateTime": account.created,
    })
}
