//! `/subscriptions/{subscription}/resourceGroups` — the one resource group. Creating it again is allowed, creating another is not.

use http::Method;
use serde_json::{Value, json};

use crate::call::Call;
use crate::context::Context;
use crate::dialect::RESOURCE_MANAGER;
use crate::endpoint::{Endpoint, Role, as_specified, nothing};
use crate::error::ApiError;
use crate::reply::Reply;

pub static LIST: Endpoint = Endpoint {
    method: Method::GET,
    path: "/subscriptions/{subscription}/resourceGroups",
    summary: "List resource groups",
    dialect: &RESOURCE_MANAGER,
    role: Role::Reader,
    action: "Microsoft.Resources/subscriptions/resourceGroups/read",
    query: nothing,
    takes: nothing,
    returns: as_specified,
    run: |cx, _| Box::pin(async { Reply::json(json!({ "value": [view(cx)] })) }),
};

pub static GET: Endpoint = Endpoint {
    method: Method::GET,
    path: "/subscriptions/{subscription}/resourceGroups/{group}",
    summary: "Read a resource group",
    dialect: &RESOURCE_MANAGER,
    role: Role::Reader,
    action: "Microsoft.Resources/subscriptions/resourceGroups/read",
    query: nothing,
    takes: nothing,
    returns: as_specified,
    run: |cx, _| Box::pin(async { Reply::json(view(cx)) }),
};

pub static PUT: Endpoint = Endpoint {
    method: Method::PUT,
    path: "/subscriptions/{subscription}/resourceGroups/{name}",
    summary: "Create the resource group, which is there already",
    dialect: &RESOURCE_MANAGER,
    role: Role::Contributor,
    action: "Microsoft.Resources/subscriptions/resourceGroups/write",
    query: nothing,
    takes: as_specified,
    returns: as_specified,
    run: |cx, call| Box::pin(put(cx, call)),
};

async fn put(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let name = call.param("name");
    if !name.eq_ignore_ascii_case(&cx.cloud.resource_group) {
        let message = format!("This server has one resource group, '{}'; '{name}' cannot be created.", cx.cloud.resource_group);
        return Err(ApiError::conflict("ResourceGroupQuotaExceeded", message));
    }
    Reply::json(view(cx))
}

fn view(cx: &Context) -> Value {
    json!({
        "id": cx.cloud.group_path(), "name": cx.cloud.resource_group, "type": "Microsoft.Resources/resourceGroups",
        "location": cx.cloud.location, "tags": {}, "properties": { "provisioningState": "Succeeded" },
    })
}
