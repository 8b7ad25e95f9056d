//! Query failures and partial results in Log Analytics' format.

use documents::kql_errors;
use http::StatusCode;
use model::QueryError;
use serde_json::{Value, json};

use crate::error::ApiError;

/// The error for a query without results.
pub fn refusal(kql: &str, error: &QueryError) -> ApiError {
    match error {
        QueryError::Wrong(diagnostics) => {
            let mut refusal = bad("The request had some invalid properties");
            refusal.inner = diagnostics.first().map(|first| kql_errors::inner(kql, first));
            refusal.details = diagnostics.iter().map(|each| kql_errors::detail(kql, each)).collect();
            refusal
        }
        QueryError::Run(message) => bad("The request had some invalid properties").inner(json!({
            "code": "SemanticError", "message": "A semantic error occurred.", "innererror": { "code": "RuntimeError", "message": message },
        })),
        QueryError::Time(limit) => {
            let message = format!(
                "The query was stopped after {} s. Ask for less, or for more time with 'Prefer: wait=600'.",
                limit.ticks() / model::Span::SECOND.ticks()
            );
            ApiError::new(StatusCode::GATEWAY_TIMEOUT, "GatewayTimeout", message)
                .inner(json!({ "code": "GatewayTimeout", "message": error.to_string() }))
        }
        QueryError::Rows(_) | QueryError::Bytes(_) => bad("The query's answer is too large")
            .inner(json!({ "code": "ResultSetTooLarge", "message": format!("{error}. Add 'take', 'summarize' or a narrower filter.") })),
        QueryError::Memory(_) => bad("The query needs too much memory")
            .inner(json!({ "code": "LowMemoryCondition", "message": format!("{error}. Filter earlier or summarize fewer groups.") })),
        QueryError::SharedMemory(_) => bad("The query needs too much memory")
            .inner(json!({ "code": "LowMemoryCondition", "message": format!("{error}. Ask again when less runs.") })),
        QueryError::Planning(_) => bad("The query is too complex")
            .inner(json!({ "code": "QueryTooComplex", "message": format!("{error}. Split it, or put long lists into a watchlist.") })),
        QueryError::Busy(_) => ApiError::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", "Too many queries are waiting. Ask again later.")
            .inner(json!({ "code": "TooManyRequests", "message": error.to_string() })),
        QueryError::Disk(_) => bad("The query needs too much room on disk")
            .inner(json!({ "code": "LowMemoryCondition", "message": format!("{error}. Filter earlier, sort fewer columns or ask again when less runs.") })),
        QueryError::EndedProcess(_) => bad("The query cannot run").inner(json!({ "code": "QueryRefused", "message": error.to_string() })),
        QueryError::Missing(_) => ApiError::internal(error),
        QueryError::Cancelled => ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "QueryCancelled", "The query was cancelled."),
        QueryError::Internal(_) => ApiError::internal(error),
    }
}

/// The `error` next to the tables of a partial result. Always present: stock SDKs raise or flag it.
pub fn partial(reason: &QueryError) -> Value {
    let (code, message) = match reason {
        // The exact number and message that users of the service know and search for.
        QueryError::Rows(limit) => {
            ("-2133196797", format!("The results of this query exceed the set limit of {limit} records, so not all records were returned."))
        }
        QueryError::Bytes(limit) => (
            "-2133196797",
            format!("The results of this query exceed the set limit of {} bytes, so not all records were returned.", limit.0),
        ),
        other => ("EngineError", other.to_string()),
    };
    json!({
        "code": "PartialError", "message": "There were some errors when processing your query.",
        "details": [{ "code": "EngineError", "message": "Something went wrong processing your query on the server.", "innererror": { "code": code, "message": message } }],
    })
}

/// A bad request.
pub fn bad(message: impl Into<String>) -> ApiError {
    ApiError::bad_request("BadArgumentError", message)
}
