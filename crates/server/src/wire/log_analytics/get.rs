//! `GET [/v1]/workspaces/{workspace}/query` — run a query given in the URL.

use http::Method;

use super::post::prefer;
use super::run::{self, Ask};
use crate::call::Call;
use crate::context::Context;
use crate::dialect::LOG_ANALYTICS;
use crate::endpoint::{Endpoint, Role, as_specified, nothing};
use crate::error::ApiError;
use crate::reply::Reply;

pub static ENDPOINT: Endpoint = Endpoint {
    method: Method::GET,
    path: "[/v1]/workspaces/{id}/query",
    summary: "Run a query given in the URL over the workspace",
    dialect: &LOG_ANALYTICS,
    role: Role::Reader,
    action: "Microsoft.OperationalInsights/workspaces/query/read",
    query: as_specified,
    takes: nothing,
    returns: as_specified,
    run: |cx, call| Box::pin(query(cx, call)),
};

async fn query(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    run::check_workspace(cx, call.param("id"))?;
    ask(cx, &call).await
}

pub(super) async fn ask(cx: &Context, call: &Call) -> Result<Reply, ApiError> {
    let workspaces = call.query.filled("workspaces").map(|list| list.split(',').map(str::to_owned).collect());
    let ask = Ask { query: call.query.get("query").map(str::to_owned), workspaces, ..Ask::default() };
    run::run(cx, call, ask, call.query.get("timespan"), prefer(call)).await
}
