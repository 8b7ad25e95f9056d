//! Microsoft's API dialects, as unmodified clients use them. Each route is one file in its dialect's folder and one line in the dialect's
//! table.

mod entra;
mod graph;
mod log_analytics;
mod logs_ingestion;
pub(crate) mod resource_manager;
mod security_insights;

use crate::endpoint::Endpoint;

/// The tables of the dialects.
static DIALECT_ENDPOINTS: &[&[&Endpoint]] = &[
    entra::ENDPOINTS,
    graph::ENDPOINTS,
    log_analytics::ENDPOINTS,
    logs_ingestion::ENDPOINTS,
    resource_manager::ENDPOINTS,
    security_insights::ENDPOINTS,
];

/// The routes of all dialects.
pub fn endpoints() -> impl Iterator<Item = &'static Endpoint> {
    DIALECT_ENDPOINTS.iter().flat_map(|table| table.iter().copied())
}
