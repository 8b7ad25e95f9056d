//! Our own API under `/api/v1`, plus health and metrics endpoints. Each route is one file here and one line in the table below.

use crate::endpoint::Endpoint;

mod connectors;
pub mod documents;
mod kql;
pub mod oncall;
pub mod people;
mod phone;

model::register! { ENDPOINTS: Endpoint = ENDPOINT;
    audit,
    conditions,
    destination_action,
    destinations,
    health,
    incident_page,
    kql_completion,
    kql_diagnostics,
    kql_format,
    kql_hover,
    kql_schema,
    kql_signature,
    metrics,
    oncall_sms,
    oncall_status,
    oncall_voice,
    ready,
    rules,
    source_action,
    sources,
    start_page,
    tables,
    version,
}
