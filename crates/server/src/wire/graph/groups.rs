//! `/groups` — groups of people, read only. Groups are administered under `/api/v1/groups`.

use http::Method;
use serde_json::{Value, json};
use store::Group;

use super::applications::{check_version, failed};
use super::filter::equality;
use crate::call::Call;
use crate::context::Context;
use crate::dialect::GRAPH;
use crate::endpoint::{Endpoint, Role, as_specified, nothing};
use crate::error::ApiError;
use crate::identity::GroupError;
use crate::reply::Reply;

pub static LIST: Endpoint = Endpoint {
    method: Method::GET,
    path: "/{version}/groups",
    summary: "List groups of people",
    dialect: &GRAPH,
    role: Role::Reader,
    action: "microsoft.directory/groups/standard/read",
    query: as_specified,
    takes: nothing,
    returns: as_specified,
    run: |cx, call| Box::pin(list(cx, call)),
};

pub static GET: Endpoint = Endpoint {
    method: Method::GET,
    path: "/{version}/groups/{id}",
    summary: "Read a group of people",
    dialect: &GRAPH,
    role: Role::Reader,
    action: "microsoft.directory/groups/standard/read",
    query: nothing,
    takes: nothing,
    returns: as_specified,
    run: |cx, call| Box::pin(get(cx, call)),
};

async fn list(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    check_version(&call)?;
    let wanted = call.query.filled("$filter").map(|filter| equality(filter, &["displayName"])).transpose()?;
    let all = cx.store.groups().list().await.map_err(failed)?;
    let is_wanted = |group: &&Group| wanted.is_none_or(|(_, value)| store::name_key(&group.name) == store::name_key(value));
    let values: Vec<Value> = all.iter().filter(is_wanted).map(view).collect();
    Reply::json(json!({ "@odata.context": format!("{}/v1.0/$metadata#groups", call.origin), "value": values }))
}

async fn get(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    check_version(&call)?;
    let id = call.param("id");
    let group = cx.people.find_group(id).await.map_err(|error| match error {
        GroupError::Store(error) => failed(error),
        _ => {
            let message = format!("Resource '{id}' does not exist or one of its queried reference-property objects are not present.");
            ApiError::not_found("Request_ResourceNotFound", message)
        }
    })?;
    Reply::json(view(&group))
}

fn view(group: &Group) -> Value {
    json!({
        "id": group.object_id,
        "displayName": group.name,
        "description": group.description,
        "securityEnabled": true,
        "mailEnabled": false,
        "groupTypes": [],
        "createdDateTime": group.created,
    })
}
