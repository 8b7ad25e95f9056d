//! Shared by the routes of this dialect.

use futures::future::BoxFuture;
use http::Method;

use crate::call::Call;
use crate::context::Context;
use crate::dialect::SECURITY_INSIGHTS;
use crate::endpoint::{Endpoint, Role, as_specified, nothing};
use crate::error::ApiError;
use crate::reply::Reply;

/// The path of a resource under the provider.
macro_rules! provider_path {
    ($tail:literal) => {
        concat!(
            "/subscriptions/{subscription}/resourceGroups/{group}/providers/Microsoft.OperationalInsights/workspaces/{workspace}",
            "/providers/Microsoft.SecurityInsights",
            $tail
        )
    };
}
pub(super) use provider_path;

type Run = for<'a> fn(&'a Context, Call) -> BoxFuture<'a, Result<Reply, ApiError>>;

/// A route of this dialect; bodies follow Microsoft's specification.
pub(super) const fn route(
    method: Method,
    path: &'static str,
    summary: &'static str,
    role: Role,
    action: &'static str,
    run: Run,
) -> Endpoint {
    Endpoint {
        method,
        path,
        summary,
        dialect: &SECURITY_INSIGHTS,
        role,
        action,
        query: nothing,
        takes: as_specified,
        returns: as_specified,
        run,
    }
}

/// The interface recorded in the audit trail.
pub(super) const VIA: &str = "SecurityInsights";
