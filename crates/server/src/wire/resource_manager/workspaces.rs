//! `Microsoft.OperationalInsights/workspaces` — the one workspace. Creating it again is allowed, creating another is not.

use http::Method;
use serde_json::{Value, json};

use crate::call::Call;
use crate::context::Context;
use crate::dialect::RESOURCE_MANAGER;
use crate::endpoint::{Endpoint, Role, as_specified, nothing};
use crate::error::ApiError;
use crate::reply::Reply;

pub static LIST: Endpoint = list("/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.OperationalInsights/workspaces");
pub static LIST_ALL: Endpoint = list("/subscriptions/{subscription}/providers/Microsoft.OperationalInsights/workspaces");

const fn list(path: &'static str) -> Endpoint {
    Endpoint {
        method: Method::GET,
        path,
        summary: "List workspaces",
        dialect: &RESOURCE_MANAGER,
        role: Role::Reader,
        action: "Microsoft.OperationalInsights/workspaces/read",
        query: nothing,
        takes: nothing,
        returns: as_specified,
        run: |cx, _| Box::pin(async { Reply::json(json!({ "value": [view(cx)] })) }),
    }
}

pub static GET: Endpoint = Endpoint {
    method: Method::GET,
    path: "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.OperationalInsights/workspaces/{workspace}",
    summary: "Read a workspace",
    dialect: &RESOURCE_MANAGER,
    role: Role::Reader,
    action: "Microsoft.OperationalInsights/workspaces/read",
    query: nothing,
    takes: nothing,
    returns: as_specified,
    run: |cx, _| Box::pin(async { Reply::json(view(cx)) }),
};

pub static PUT: Endpoint = Endpoint {
    method: Method::PUT,
    path: "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.OperationalInsights/workspaces/{name}",
    summary: "Create the workspace, which is there already",
    dialect: &RESOURCE_MANAGER,
    role: Role::Contributor,
    action: "Microsoft.OperationalInsights/workspaces/write",
    query: nothing,
    takes: as_specified,
    returns: as_specified,
    run: |cx, call| Box::pin(put(cx, call)),
};

async fn put(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    let _: Value = call.json().await?;
    let name = call.param("name");
    if !name.eq_ignore_ascii_case(&cx.cloud.workspace_name) {
        let message = format!(
            "This server has one workspace, '{}'; '{name}' cannot be created. Run another service for it.",
            cx.cloud.workspace_name
        );
        return Err(ApiError::conflict("WorkspaceQuotaExceeded", message));
    }
    Reply::json(view(cx))
}

fn view(cx: &Context) -> Value {
    json!({
        "id": cx.cloud.workspace_path(), "name": cx.cloud.workspace_name, "type": "Microsoft.OperationalInsights/workspaces",
        "location": cx.cloud.location, "tags": {},
        "properties": {
            "customerId": cx.cloud.workspace_id, "provisioningState": "Succeeded",
            "sku": { "name": "PerGB2018" }, "features": { "enableLogAccessUsingOnlyResourcePermissions": true },
            "publicNetworkAccessForIngestion": "Enabled", "publicNetworkAccessForQuery": "Enabled",
        },
    })
}
