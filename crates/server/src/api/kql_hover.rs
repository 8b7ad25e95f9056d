//! `POST /api/v1/kql/hover` — documentation of the symbol under the cursor.

use http::Method;
use kql::editor;
use schemars::JsonSchema;
use serde::Serialize;

use super::kql::{Range, TextAt, answer};
use crate::dialect::OURS;
use crate::endpoint::{Endpoint, Role, nothing, schema};
use crate::reply::Reply;

pub static ENDPOINT: Endpoint = Endpoint {
    method: Method::POST,
    path: "/api/v1/kql/hover",
    summary: "Say what stands at a place of a query: a column, a table, a function, an operator",
    dialect: &OURS,
    role: Role::Reader,
    action: "Bartizan/kql/read",
    query: nothing,
    takes: schema::<TextAt>,
    returns: schema::<Hovered>,
    run: |cx, call| {
        Box::pin(async move {
            Reply::json(
                answer(cx, call, |request: TextAt, names, now| {
                    let found = editor::hover(&request.query, request.offset(), names, now);
                    let range = found.as_ref().map(|found| Range::of(&request.query, &found.place));
                    Hovered { range, markdown: found.map(|found| found.markdown) }
                })
                .await?,
            )
        })
    },
};

#[derive(Serialize, JsonSchema)]
struct Hovered {
    /// Nothing where nothing is known of the place; so is `markdown`.
    range: Option<Range>,
    markdown: Option<String>,
}
