//! HTTP server: Bartizan's own API and the Microsoft API dialects.
//!
//! Every route is an [`Endpoint`] in a table. [`Dispatcher`] routes, authenticates and authorises requests; handlers parse the request,
//! query the ports and build the response. Handlers contain no policy, SQL or KQL: they use the ports and the store in [`Context`].

mod api;
mod body;
mod budgets;
mod call;
mod certificate_end;
mod context;
mod dialect;
mod dispatch;
mod endpoint;
mod error;
pub mod identity;
mod reply;
mod rights;
pub mod roles;
mod router;
mod serve;
mod shares;
pub mod signins;
mod tls;
mod trail;
mod wire;

pub use body::{Body, BodyLimits, MAX_JSON_DEPTH};
pub use call::{Call, Query, from_json};
pub use certificate_end::certificate_end;
pub use context::{Cloud, Context, Ingest, Upload};
pub use dialect::{DIALECTS, Dialect, LOG_ANALYTICS, LOGS_INGESTION, OURS, RESOURCE_MANAGER, SECURITY_INSIGHTS};
pub use dispatch::Dispatcher;
pub use endpoint::{Endpoint, NO_ACTION, Role, Shape, as_specified, nothing, schema};
pub use error::{ApiError, Detail};
pub use reply::Reply;
pub use rights::{Grant, METRICS_PUBLISHER, OWNER, covers};
pub use roles::{ROLE_DEFINITIONS, RoleDefinition};
pub use router::{Params, Router};
pub use serve::{ServerConfig, serve};
pub use tls::{ServerCertificate, TlsError, TlsFiles};

/// All routes: our own first, then Microsoft's.
pub fn endpoints() -> impl Iterator<Item = &'static Endpoint> {
    let own = api::ENDPOINTS.iter().chain(api::documents::ENDPOINTS).chain(api::oncall::ENDPOINTS).chain(api::people::ENDPOINTS);
    own.copied().chain(wire::endpoints())
}
