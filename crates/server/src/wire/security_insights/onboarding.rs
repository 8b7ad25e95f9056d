//! `/onboardingStates/default`: Sentinel is always enabled for the workspace.

use http::Method;
use serde_json::{Value, json};

use super::resources::{provider, resource};
use super::route::{provider_path, route};
use crate::call::Call;
use crate::context::Context;
use crate::endpoint::{Endpoint, Role};
use crate::error::ApiError;
use crate::reply::Reply;

pub static LIST: Endpoint = route(
    Method::GET,
    provider_path!("/onboardingStates"),
    "List the states of onboarding",
    Role::Reader,
    "Microsoft.SecurityInsights/onboardingStates/read",
    |cx, call| Box::pin(list(cx, call)),
);
pub static GET: Endpoint = route(
    Method::GET,
    provider_path!("/onboardingStates/{state}"),
    "Read the state of onboarding",
    Role::Reader,
    "Microsoft.SecurityInsights/onboardingStates/read",
    |cx, call| Box::pin(get(cx, call)),
);
pub static PUT: Endpoint = route(
    Method::PUT,
    provider_path!("/onboardingStates/{state}"),
    "Switch Sentinel on, as it always is",
    Role::Contributor,
    "Microsoft.SecurityInsights/onboardingStates/write",
    |cx, call| Box::pin(put(cx, call)),
);

fn state(cx: &Context) -> Value {
    resource(
        format!("{}/onboardingStates/default", provider(cx)),
        "default",
        "onboardingStates",
        None,
        json!({ "customerManagedKey": false }),
    )
}

async fn list(cx: &Context, _: Call) -> Result<Reply, ApiError> {
    Reply::json(json!({ "value": [state(cx)] }))
}

async fn get(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    known(&call)?;
    Reply::json(state(cx))
}

async fn put(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    known(&call)?;
    Reply::json(state(cx))
}

fn known(call: &Call) -> Result<(), ApiError> {
    if call.param("state").eq_ignore_ascii_case("default") {
        return Ok(());
    }
    Err(ApiError::not_found("NotFound", "The only state of onboarding is called 'default'."))
}
