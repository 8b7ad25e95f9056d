//! `Microsoft.SecurityInsights`, the resource provider of Microsoft Sentinel, for any api-version.
//!
//! Wire: the 2025-09-01 specification and the requests of the stock SDKs. The etag is in the body; PUT replaces; next links are absolute.
//! One file per resource, one line per route.

mod alert_rule_templates;
mod alert_rules;
mod comments;
mod etag;
mod incident_body;
mod incident_related;
mod incidents;
mod odata;
mod onboarding;
mod parts;
mod relations;
mod resources;
mod route;
mod tasks;
#[cfg(test)]
mod tests;

use crate::endpoint::Endpoint;

pub static ENDPOINTS: &[&Endpoint] = &[
    &incidents::LIST,
    &incidents::GET,
    &incidents::PUT,
    &incidents::DELETE,
    &incident_related::ALERTS,
    &incident_related::BOOKMARKS,
    &incident_related::ENTITIES,
    &incident_related::RUN_PLAYBOOK,
    &comments::LIST,
    &comments::GET,
    &comments::PUT,
    &comments::DELETE,
    &relations::LIST,
    &relations::GET,
    &relations::PUT,
    &relations::DELETE,
    &tasks::LIST,
    &tasks::GET,
    &tasks::PUT,
    &tasks::DELETE,
    &alert_rules::LIST,
    &alert_rules::GET,
    &alert_rules::PUT,
    &alert_rules::DELETE,
    &alert_rules::ACTIONS,
    &alert_rules::ACTION,
    &alert_rule_templates::LIST,
    &alert_rule_templates::GET,
    &onboarding::LIST,
    &onboarding::GET,
    &onboarding::PUT,
];
