//! `POST /api/v1/kql/diagnostics` — errors and warnings of a query, and its result columns.

use http::Method;
use kql::check::check;
use model::DiagnosticKind;
use schemars::JsonSchema;
use serde::Serialize;

use super::kql::{Range, Text, answer};
use crate::dialect::OURS;
use crate::endpoint::{Endpoint, Role, nothing, schema};
use crate::reply::Reply;

pub static ENDPOINT: Endpoint = Endpoint {
    method: Method::POST,
    path: "/api/v1/kql/diagnostics",
    summary: "Say what is wrong with a query, and which columns it would answer, without running it",
    dialect: &OURS,
    role: Role::Reader,
    action: "Bartizan/kql/read",
    query: nothing,
    takes: schema::<Text>,
    returns: schema::<Diagnostics>,
    run: |cx, call| {
        Box::pin(async move {
            Reply::json(
                answer(cx, call, |request: Text, names, now| {
                    let bound = check(&request.query, names, now);
                    let wrong = bound.diagnostics.into_iter().map(|wrong| Diagnostic {
                        code: wrong.code,
                        kind: if wrong.kind == DiagnosticKind::Syntax { "syntax" } else { "semantic" },
                        message: wrong.message,
                        help: wrong.help,
                        range: Range::of(&request.query, &(wrong.start..wrong.end)),
                    });
                    let columns = bound.columns.map(|columns| {
                        columns.into_iter().map(|(name, ty)| Column { name, ty: ty.map_or("unknown", model::Type::name) }).collect()
                    });
                    Diagnostics { diagnostics: wrong.collect(), columns }
                })
                .await?,
            )
        })
    },
};

#[derive(Serialize, JsonSchema)]
struct Diagnostics {
    /// In the order of their places; empty when all is well.
    diagnostics: Vec<Diagnostic>,
    /// Nothing where only a run can tell.
    columns: Option<Vec<Column>>,
}

#[derive(Serialize, JsonSchema)]
struct Diagnostic {
    /// Example: `KQL0102`.
    code: &'static str,
    /// `syntax` or `semantic`.
    kind: &'static str,
    message: String,
    /// What to do.
    help: Option<String>,
    range: Range,
}

#[derive(Serialize, JsonSchema)]
struct Column {
    name: String,
    #[serde(rename = "type")]
    ty: &'static str,
}
