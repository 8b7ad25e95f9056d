//! `POST /api/v1/kql/format` — a query, formatted with one operator per line.

use http::Method;
use kql::editor;
use schemars::JsonSchema;
use serde::Serialize;

use super::kql::{Text, answer};
use crate::dialect::OURS;
use crate::endpoint::{Endpoint, Role, nothing, schema};
use crate::reply::Reply;

pub static ENDPOINT: Endpoint = Endpoint {
    method: Method::POST,
    path: "/api/v1/kql/format",
    summary: "Lay a query out, one step of a pipe a line, without changing what it means",
    dialect: &OURS,
    role: Role::Reader,
    action: "Bartizan/kql/read",
    query: nothing,
    takes: schema::<Text>,
    returns: schema::<Formatted>,
    run: |cx, call| {
        Box::pin(async move {
            Reply::json(
                answer(cx, call, |request: Text, _, _| {
                    let tidy = editor::format(&request.query);
                    Formatted { changed: tidy.as_ref().is_some_and(|tidy| *tidy != request.query), query: tidy.unwrap_or(request.query) }
                })
                .await?,
            )
        })
    },
};

#[derive(Serialize, JsonSchema)]
struct Formatted {
    query: String,
    /// False also where a string is not closed: such a text stays as it is.
    changed: bool,
}
