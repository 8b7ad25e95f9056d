//! `POST /api/v1/sources/{id}` — pause, resume, rewind or test a source.

use http::Method;
use model::ConnectorRole;

use super::connectors::{Action, Done, act};
use crate::dialect::OURS;
use crate::endpoint::{Endpoint, Role, nothing, schema};

pub static ENDPOINT: Endpoint = Endpoint {
    method: Method::POST,
    path: "/api/v1/sources/{id*}",
    summary: "Pause, resume, rewind or test the source of that kind and name, such as `syslog/firewalls`",
    dialect: &OURS,
    role: Role::Contributor,
    action: "Bartizan/sources/manage/action",
    query: nothing,
    takes: schema::<Action>,
    returns: schema::<Done>,
    run: |cx, call| Box::pin(act(cx, call, ConnectorRole::Source)),
};
