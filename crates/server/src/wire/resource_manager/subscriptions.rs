//! `/subscriptions` — the one subscription.

use http::Method;
use serde_json::{Value, json};

use crate::context::Context;
use crate::dialect::RESOURCE_MANAGER;
use crate::endpoint::{Endpoint, Role, as_specified, nothing};
use crate::reply::Reply;

pub static LIST: Endpoint = Endpoint {
    method: Method::GET,
    path: "/subscriptions",
    summary: "List subscriptions",
    dialect: &RESOURCE_MANAGER,
    role: Role::Reader,
    action: "Microsoft.Resources/subscriptions/read",
    query: nothing,
    takes: nothing,
    returns: as_specified,
    run: |cx, _| Box::pin(async { Reply::json(json!({ "value": [view(cx)] })) }),
};

pub static GET: Endpoint = Endpoint {
    method: Method::GET,
    path: "/subscriptions/{subscription}",
    summary: "Read a subscription",
    dialect: &RESOURCE_MANAGER,
    role: Role::Reader,
    action: "Microsoft.Resources/subscriptions/read",
    query: nothing,
    takes: nothing,
    returns: as_specified,
    run: |cx, _| Box::pin(async { Reply::json(view(cx)) }),
};

fn view(cx: &Context) -> Value {
    let id = &cx.cloud.subscription_id;
    json!({
        "id": format!("/subscriptions/{id}"), "subscriptionId": id, "tenantId": cx.identity.tenant_id,
        "displayName": "Bartizan", "state": "Enabled",
    })
}
