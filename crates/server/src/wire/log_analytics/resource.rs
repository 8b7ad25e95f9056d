//! `POST|GET [/v1]/{resource id}/query` — a query over the logs of a resource. The only resource here is the workspace.

use http::Method;

use super::{get, post, run};
use crate::call::Call;
use crate::context::Context;
use crate::dialect::LOG_ANALYTICS;
use crate::endpoint::{Endpoint, Role, as_specified, nothing};
use crate::error::ApiError;
use crate::reply::Reply;

const PATH: &str = "[/v1]/subscriptions/{resource*}/query";

pub static POST: Endpoint = Endpoint {
    method: Method::POST,
    path: PATH,
    summary: "Run a query over the workspace, named by its resource id",
    dialect: &LOG_ANALYTICS,
    role: Role::Reader,
    action: "Microsoft.OperationalInsights/workspaces/query/read",
    query: as_specified,
    takes: as_specified,
    returns: as_specified,
    run: |cx, call| Box::pin(by_post(cx, call)),
};

pub static GET: Endpoint = Endpoint {
    method: Method::GET,
    path: PATH,
    summary: "Run a query given in the URL over the workspace, named by its resource id",
    dialect: &LOG_ANALYTICS,
    role: Role::Reader,
    action: "Microsoft.OperationalInsights/workspaces/query/read",
    query: as_specified,
    takes: nothing,
    returns: as_specified,
    run: |cx, call| Box::pin(by_get(cx, call)),
};

fn check(cx: &Context, call: &Call) -> Result<(), ApiError> {
    run::check_workspace(cx, &format!("subscriptions/{}", call.param("resource")))
}

async fn by_post(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    check(cx, &call)?;
    post::ask(cx, call).await
}

async fn by_get(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    check(cx, &call)?;
    get::ask(cx, &call).await
}
