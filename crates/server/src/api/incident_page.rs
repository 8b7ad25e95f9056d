//! `GET /incidents/{id}` — the page behind `IncidentUrl`.
//!
//! There is no portal yet; the page says how to read the incident without one. Anyone may open it, so it shows nothing but the id in its own
//! address, and does not tell whether there is such an incident.

use http::{Method, StatusCode};
use uuid::Uuid;

use crate::api::oncall::page_html::{View, reply};
use crate::call::Call;
use crate::dialect::OURS;
use crate::endpoint::{Endpoint, NO_ACTION, Role, nothing};
use crate::error::ApiError;
use crate::reply::Reply;

pub static ENDPOINT: Endpoint = Endpoint {
    method: Method::GET,
    path: "/incidents/{id}",
    summary: "Show how to read the incident that a link names",
    dialect: &OURS,
    role: Role::Open("people follow links before they have a token; the page shows no data, only the id in its address"),
    action: NO_ACTION,
    query: nothing,
    takes: nothing,
    returns: nothing,
    run: |_, call| Box::pin(async move { incident(&call) }),
};

fn incident(call: &Call) -> Result<Reply, ApiError> {
    let id = Uuid::parse_str(call.param("id"))
        .map_err(|_| ApiError::not_found("NotFound", "An incident's address ends with its id, a UUID; its number is not enough."))?;
    let view = View {
        heading: "Incident".to_owned(),
        says: "Incidents are read with the command line, the API or a query; this page shows nothing of them.".to_owned(),
        facts: vec![
            ("Id", id.to_string()),
            ("Command", format!("bartizan incidents show {id}")),
            ("API", format!("GET …/providers/Microsoft.SecurityInsights/incidents/{id}")),
            ("Query", format!("SecurityIncident | where IncidentName == \"{id}\" | summarize arg_max(TimeGenerated, *)")),
            ("More", "docs/guide/first-day.md, docs/reference/api.md".to_owned()),
        ],
        ..View::default()
    };
    Ok(reply(StatusCode::OK, &view))
}
