//! `POST /api/v1/kql/signature` — parameters of the call around the cursor.

use http::Method;
use kql::check::utf16_offset;
use kql::editor;
use schemars::JsonSchema;
use serde::Serialize;

use super::kql::{TextAt, answer};
use crate::dialect::OURS;
use crate::endpoint::{Endpoint, Role, nothing, schema};
use crate::reply::Reply;

pub static ENDPOINT: Endpoint = Endpoint {
    method: Method::POST,
    path: "/api/v1/kql/signature",
    summary: "Say what the call around a place of a query wants, and which argument the place is in",
    dialect: &OURS,
    role: Role::Reader,
    action: "Bartizan/kql/read",
    query: nothing,
    takes: schema::<TextAt>,
    returns: schema::<Signatures>,
    run: |cx, call| {
        Box::pin(async move {
            Reply::json(
                answer(cx, call, |request: TextAt, names, now| {
                    let Some(help) = editor::signature_help(&request.query, request.offset(), names, now) else {
                        return Signatures { signatures: Vec::new(), active_signature: 0, active_parameter: None };
                    };
                    let signatures = help.calls.iter().map(|call| {
                        let (label, places) = call.label(&help.name);
                        let parameters =
                            places.iter().map(|(start, end)| [utf16_offset(&label, *start), utf16_offset(&label, *end)]).collect();
                        Signature { documentation: help.summary.clone(), parameters, label }
                    });
                    Signatures { signatures: signatures.collect(), active_signature: help.active, active_parameter: help.parameter }
                })
                .await?,
            )
        })
    },
};

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Signatures {
    /// Ways to write the call; empty where the place is in none.
    signatures: Vec<Signature>,
    /// The way that fits the arguments so far.
    active_signature: usize,
    /// Its parameter that the place is in; nothing behind the last.
    active_parameter: Option<usize>,
}

#[derive(Serialize, JsonSchema)]
struct Signature {
    label: String,
    documentation: String,
    /// Where each parameter stands in the label, in UTF-16 units, half-open.
    parameters: Vec<[usize; 2]>,
}
