//! `POST /dataCollectionRules/{rule}/streams/{stream}` — ingest a batch of records; 204 once they are durable.
//!
//! Wire: learn.microsoft.com/azure/azure-monitor/logs/logs-ingestion-api-overview, any api-version. An empty array is accepted: Vector's
//! health check sends one.

use http::{Method, StatusCode, header};
use sha2::{Digest, Sha256};

use crate::body::{BodyLimits, MAX_JSON_DEPTH, deeper_than, too_deep};
use crate::budgets;
use crate::call::Call;
use crate::context::{Context, Upload};
use crate::dialect::LOGS_INGESTION;
use crate::endpoint::{Endpoint, Role, as_specified, nothing};
use crate::error::ApiError;
use crate::reply::Reply;

pub static ENDPOINT: Endpoint = Endpoint {
    method: Method::POST,
    path: "/dataCollectionRules/{rule}/streams/{stream}",
    summary: "Send a batch of records to a stream of a data collection rule",
    dialect: &LOGS_INGESTION,
    role: Role::Publisher,
    action: "Microsoft.Insights/Telemetry/Write",
    query: as_specified,
    takes: as_specified,
    returns: nothing,
    run: |cx, call| Box::pin(upload(cx, call)),
};

/// Bodies from this size on are processed on blocking threads.
const LARGE: usize = 256 << 10;

async fn upload(cx: &Context, mut call: Call) -> Result<Reply, ApiError> {
    if call.headers.contains_key(header::CONTENT_TYPE) && !call.is_json() {
        let message = "The Content-Type must be 'application/json'.";
        return Err(ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "UnsupportedMediaType", message).target("Content-Type"));
    }
    let body = call.bytes(BodyLimits::INGESTION).await?;
    // Limits concurrent uploads per caller: a caller with many uploads waits behind one with few.
    let holder = call.principal.as_ref().map_or("", |principal| principal.app_id.as_str());
    let _turn = budgets::wait(&call.budgets.turns, holder, 1).await?;
    let (rule, stream) = (call.param("rule").to_owned(), call.param("stream").to_owned());
    let look = {
        let (body, rule, stream, client) = (body.clone(), rule.clone(), stream.clone(), call.ids.client.clone());
        move || check_shape(&body).map(|()| client.as_deref().map(|id| key(&rule, &stream, id, &body)))
    };
    // Hashing megabytes takes a while, so it runs on a blocking thread.
    let key = match body.len() < LARGE {
        true => look()?,
        false => tokio::task::spawn_blocking(look).await.map_err(|error| ApiError::internal(&error))??,
    };
    cx.ingest
        .ingest(Upload { rule, stream, body, key, client_request_id: call.ids.client.clone(), correlation_id: call.ids.request })
        .await?;
    Ok(Reply::no_content())
}

/// Checks that need no parsing of the records: a JSON array of limited depth.
fn check_shape(body: &[u8]) -> Result<(), ApiError> {
    // Windows clients prefix UTF-8 with a byte order mark.
    let text = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    match text.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => return Err(ApiError::bad_request("InvalidRequestBody", "The request has no body; it must be a JSON array of objects.")),
        Some(b'[') => {}
        Some(b'{') => {
            let message = "The body is a JSON object; it must be an array of objects. Put the object into '[' and ']'.";
            return Err(ApiError::bad_request("InvalidRequestBody", message));
        }
        Some(_) => return Err(ApiError::bad_request("InvalidRequestBody", "The body is no JSON array of objects.")),
    }
    if deeper_than(text, MAX_JSON_DEPTH) { Err(too_deep()) } else { Ok(()) }
}

/// The deduplication key of a batch.
///
/// Clients keep `x-ms-client-request-id` on retries, but some use one id for all requests: the key includes the content, so that only the
/// same batch under the same id counts as a repetition.
fn key(rule: &str, stream: &str, id: &str, body: &[u8]) -> String {
    let mut hash = Sha256::new();
    for part in [rule.as_bytes(), stream.as_bytes(), id.as_bytes()] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.update(body);
    format!("dcr:{}", hex::encode(&hash.finalize()[..16]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_arrays_of_sane_depth_pass() {
        for good in [&b"[]"[..], b" \n[{\"a\":1}]", b"\xef\xbb\xbf[]"] {
            assert!(check_shape(good).is_ok());
        }
        let deep = [b"[".repeat(1000), b"]".repeat(1000)].concat();
        let code = |body: &[u8]| check_shape(body).unwrap_err().code;
        assert_eq!(
            (code(b"{}"), code(b""), code(b"1"), code(&deep)),
            ("InvalidRequestBody".into(), "InvalidRequestBody".into(), "InvalidRequestBody".into(), "JsonTooDeep".into())
        );
        assert!(check_shape(b"{\"a\":1}").unwrap_err().message.contains("must be an array"));
    }

    #[test]
    fn only_the_same_batch_under_the_same_id_is_a_repetition() {
        let first = key("r", "s", "id", b"[1]");
        assert_eq!(first, key("r", "s", "id", b"[1]"));
        for other in [key("r", "s", "id", b"[2]"), key("r", "s", "id2", b"[1]"), key("rs", "", "id", b"[1]")] {
            assert_ne!(first, other);
        }
    }
}
