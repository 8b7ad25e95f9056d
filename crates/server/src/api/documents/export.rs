//! `GET /api/v1/documents`

use http::Method;

use documents::{Kind, kinds};
use http::{HeaderValue, StatusCode};
use schemars::JsonSchema;
use serde::Deserialize;

use super::common::{apply_error, document, known, may, of, require};
use crate::call::Call;
use crate::context::Context;
use crate::dialect::OURS;
use crate::endpoint::{Endpoint, Role, nothing, schema};
use crate::error::ApiError;
use crate::reply::Reply;

pub static ENDPOINT: Endpoint = Endpoint {
    method: Method::GET,
    path: "/api/v1/documents",
    summary: "Read the configuration as a document that can be applied again",
    dialect: &OURS,
    role: Role::Reader,
    action: "Bartizan/documents/read",
    query: schema::<Exported>,
    takes: nothing,
    returns: document,
    run: |cx, call| Box::pin(run(cx, call)),
};

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Exported {
    /// Only these kinds, separated by commas. Default: all that the caller may read. Example: `tables,functions`.
    kind: Option<String>,
    /// `yaml` or `json`. Default: `json`.
    format: Option<String>,
}

async fn run(cx: &Context, call: Call) -> Result<Reply, ApiError> {
    let Exported { kind, format } = call.query()?;
    let mut wanted: Vec<&'static dyn Kind> = Vec::new();
    match kind.as_deref() {
        None => wanted.extend(kinds::all().filter(|kind| may(cx, &call, *kind, kind.access().read))),
        Some(names) => {
            for name in names.split(',') {
                let kind = known(name.trim())?;
                require(cx, &call, kind, kind.access().read)?;
                wanted.push(kind);
            }
        }
    }
    let exported = of(cx).export(&wanted).await.map_err(apply_error)?;
    match format.as_deref() {
        None | Some("json") => Reply::json(exported.to_json()),
        Some("yaml") => {
            let text = exported.to_yaml().map_err(|error| ApiError::internal(&error))?;
            Ok(Reply::bytes(StatusCode::OK, HeaderValue::from_static("application/yaml; charset=utf-8"), text))
        }
        Some(other) => {
            Err(ApiError::bad_request("InvalidQueryParameter", format!("'{other}' is no format; write 'yaml' or 'json'.")).target("format"))
        }
    }
}
