//! `POST [/v1]/workspaces/{workspace}/query` — run a query.

use http::Method;

use super::prefer::Prefer;
use super::run::{self, Ask};
use crate::call::Call;
use crate::context::Context;
use crate::dialect::LOG_ANALYTICS;
use crate::endpoint::{Endpoint, Role, as_specified};
use crate::error::ApiError;
use crate::reply::Reply;

pub static ENDPOINT: Endpoint = Endpoint {
    method: Method::POST,
    path: "[/v1]/workspaces/{id}/query",
    summary: "Run a query over the workspace",
    dialect: &LOG_ANALYTICS,
    role: Role::Reader,
    action: "Microsoft.OperationalInsights/workspaces/query/read",
    query: as_specified,
    takes: as_specified,
    returns: as_specified,
    run: |cx, call| Box::pin(query(cx, call)),
};

async fn query(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    run::check_workspace(cx, call.param("id"))?;
    ask(cx, call).await
}

/// Shared by the POST routes. The service returns an empty 200 for a body without JSON content type; we parse the body regardless, because
/// an empty response is not useful.
pub(super) async fn ask(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    let ask: Ask = call.json().await.map_err(|error| ApiError { code: "BadArgumentError".into(), ..error })?;
    let prefer = prefer(&call);
    run::run(cx, &call, ask, call.query.get("timespan"), prefer).await
}

pub(super) fn prefer(call: &Call) -> Prefer {
    Prefer::parse(call.headers.get_all("prefer").iter().filter_map(|value| value.to_str().ok()))
}
