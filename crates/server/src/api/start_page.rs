//! `GET /` — the page at `portal_url`: what this service is and how to go on. There is no portal yet.

use http::{Method, StatusCode};

use crate::api::oncall::page_html::{View, reply};
use crate::dialect::OURS;
use crate::endpoint::{Endpoint, NO_ACTION, Role, nothing};

pub static ENDPOINT: Endpoint = Endpoint {
    method: Method::GET,
    path: "/",
    summary: "Show what this service is and how to go on",
    dialect: &OURS,
    role: Role::Open("people open the address of the service before they have a token; the page is the same for everyone"),
    action: NO_ACTION,
    query: nothing,
    takes: nothing,
    returns: nothing,
    run: |_, _| Box::pin(async { Ok(reply(StatusCode::OK, &view())) }),
};

fn view() -> View {
    View {
        heading: "Bartizan".to_owned(),
        says: "The service runs. It is used with the command line, with the API, and with clients made for Microsoft Sentinel.".to_owned(),
        facts: vec![
            ("Incidents", "bartizan incidents list".to_owned()),
            ("Queries", "bartizan query".to_owned()),
            ("Clients", "connect.json in the data directory has addresses and credentials".to_owned()),
            ("More", "docs/guide/first-day.md, docs/reference/api.md".to_owned()),
        ],
        others: vec![("Health", "/healthz".to_owned()), ("Ready", "/readyz".to_owned())],
        ..View::default()
    }
}
