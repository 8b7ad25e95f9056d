//! API dialects: accepted token audiences, the scope of authorisation, and the format of errors.

use http::{HeaderValue, header};
use model::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::error::ApiError;
use crate::reply::{JSON, Reply};

/// A family of endpoints with the same conventions.
pub struct Dialect {
    pub name: &'static str,
    /// Accepted values of `aud` in bearer tokens, without trailing slash. The server's own origin is always accepted too.
    pub audiences: &'static [&'static str],
    pub scope: ScopeOf,
    /// Whether `api-version` is required.
    pub api_version: bool,
    /// Log Analytics rejects a token with another audience with 403, all others with 401.
    pub wrong_audience_is_forbidden: bool,
    pub refuse: fn(&ApiError, &RequestIds, Timestamp) -> Value,
    /// Logs Ingestion repeats the code in a header.
    pub code_header: Option<&'static str>,
}

/// The scope at which roles are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScopeOf {
    /// The path itself, up to the named resource.
    Path,
    /// The workspace.
    Workspace,
    /// The root scope: permission here applies everywhere.
    Tenant,
    /// The data collection rule whose immutable id is in parameter `rule`.
    Rule,
}

/// Identifiers of a request, for logs, responses and errors.
#[derive(Clone, Debug)]
pub struct RequestIds {
    pub request: Uuid,
    /// The client's id of the request (`x-ms-client-request-id`), if it is printable and short.
    pub client: Option<String>,
}

/// Our own API under `/api/v1`.
pub static OURS: Dialect = Dialect {
    name: "api",
    audiences: &[],
    scope: ScopeOf::Workspace,
    api_version: false,
    wrong_audience_is_forbidden: false,
    refuse: |error, ids, _| {
        let mut body = cloud_error(error);
        body["error"]["requestId"] = json!(ids.request);
        body
    },
    code_header: None,
};

/// Token endpoints and discovery.
pub static ENTRA: Dialect = Dialect {
    name: "entra",
    audiences: &[],
    scope: ScopeOf::Workspace,
    api_version: false,
    wrong_audience_is_forbidden: false,
    refuse: entra_error,
    code_header: None,
};

/// Azure Resource Manager with its providers.
pub static RESOURCE_MANAGER: Dialect = Dialect {
    name: "resource_manager",
    audiences: &["https://management.azure.com", "https://management.core.windows.net"],
    scope: ScopeOf::Path,
    api_version: true,
    wrong_audience_is_forbidden: false,
    refuse: |error, _, _| cloud_error(error),
    code_header: None,
};

/// `Microsoft.SecurityInsights`, with the conventions of the resource manager.
pub static SECURITY_INSIGHTS: Dialect = Dialect { name: "security_insights", ..RESOURCE_MANAGER };

/// Azure Monitor's Logs Ingestion API.
pub static LOGS_INGESTION: Dialect = Dialect {
    name: "logs_ingestion",
    audiences: &["https://monitor.azure.com"],
    scope: ScopeOf::Rule,
    api_version: true,
    wrong_audience_is_forbidden: false,
    refuse: |error, _, _| cloud_error(error),
    code_header: Some("x-ms-error-code"),
};

/// The Log Analytics query API.
pub static LOG_ANALYTICS: Dialect = Dialect {
    name: "log_analytics",
    audiences: &["https://api.loganalytics.io", "https://api.loganalytics.azure.com"],
    scope: ScopeOf::Workspace,
    api_version: false,
    wrong_audience_is_forbidden: true,
    refuse: |error, ids, _| {
        let mut body = cloud_error(error);
        body["error"]["correlationId"] = json!(ids.request);
        body
    },
    code_header: None,
};

/// Microsoft Graph.
pub static GRAPH: Dialect = Dialect {
    name: "graph",
    audiences: &["https://graph.microsoft.com"],
    scope: ScopeOf::Tenant,
    api_version: false,
    wrong_audience_is_forbidden: false,
    refuse: |error, ids, now| {
        let mut body = cloud_error(error);
        let iso = now.to_string();
        body["error"]["innerError"] = json!({ "date": iso[..19], "request-id": ids.request, "client-request-id": ids.client });
        body
    },
    code_header: None,
};

/// Resources for which tokens are issued although no dialect serves them yet.
pub static OTHER_RESOURCES: &[&str] = &[
    "https://api.securitycenter.microsoft.com",
    "https://api.security.microsoft.com",
    "https://manage.office.com",
    "https://vault.azure.net",
    "https://storage.azure.com",
    "https://eventhubs.azure.net",
];

/// All dialects, for the token endpoint and the reference documentation.
pub static DIALECTS: &[&Dialect] = &[&OURS, &ENTRA, &GRAPH, &RESOURCE_MANAGER, &SECURITY_INSIGHTS, &LOGS_INGESTION, &LOG_ANALYTICS];

impl Dialect {
    /// The error response in this dialect, with the headers common to all.
    pub fn reply(&self, error: &ApiError, ids: &RequestIds, now: Timestamp, origin: &str) -> Reply {
        let body = (self.refuse)(error, ids, now).to_string();
        let mut reply = Reply::bytes(error.status, JSON, body);
        if let (Some(name), Ok(code)) = (self.code_header, HeaderValue::from_str(&error.code)) {
            reply.headers.insert(name, code);
        }
        if let Some(seconds) = error.retry_after {
            reply.headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if let Some(methods) = error.allow.as_deref().and_then(|methods| HeaderValue::from_str(methods).ok()) {
            reply.headers.insert(header::ALLOW, methods);
        }
        if error.status == http::StatusCode::UNAUTHORIZED && error.entra.is_none() {
            let quoted: String =
                error.message.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').filter(|c| !matches!(c, '"' | '\\')).collect();
            let challenge = format!(r#"Bearer authorization_uri="{origin}/", error="invalid_token", error_description="{quoted}""#);
            if let Ok(challenge) = HeaderValue::from_str(&challenge) {
                reply.headers.insert(header::WWW_AUTHENTICATE, challenge);
            }
        }
        reply
    }
}

/// `{"error":{"code","message","target"?,"details"?,"innererror"?}}`, the envelope of the resource manager and of Azure Monitor.
fn cloud_error(error: &ApiError) -> Value {
    let mut body = json!({ "error": { "code": error.code, "message": error.message } });
    if let Some(target) = &error.target {
        body["error"]["target"] = json!(target);
    }
    if !error.details.is_empty() {
        body["error"]["details"] = json!(error.details);
    }
    if let Some(inner) = &error.inner {
        body["error"]["innererror"] = inner.clone();
    }
    body
}

/// OAuth 2.0's `error` and `error_description`, with the fields Entra adds.
fn entra_error(error: &ApiError, ids: &RequestIds, now: Timestamp) -> Value {
    let number = error.entra.unwrap_or(90_000);
    let iso = now.to_string();
    let stamp = format!("{} {}Z", &iso[..10], &iso[11..19]);
    let correlation = ids.client.clone().unwrap_or_else(|| ids.request.to_string());
    let trace = ids.request;
    json!({
        "error": error.code,
        "error_description": format!("AADSTS{number}: {} Trace ID: {trace} Correlation ID: {correlation} Timestamp: {stamp}", error.message),
        "error_codes": [number],
        "timestamp": stamp,
        "trace_id": trace,
        "correlation_id": correlation,
        "error_uri": format!("https://login.microsoftonline.com/error?code={number}"),
    })
}

/// Normal form for comparison: no trailing slashes, scheme and host in lower case.
pub fn normal_audience(audience: &str) -> String {
    let trimmed = audience.trim().trim_end_matches('/');
    match url::Url::parse(trimmed) {
        Ok(url) if url.has_host() => url.as_str().trim_end_matches('/').to_owned(),
        _ => trimmed.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn audiences_compare_without_slashes_and_default_ports() {
        // WIRE: clients request `https://monitor.azure.com//.default`; RFC 3986 §6.2 for case and default port.
        for written in
            ["https://Monitor.Azure.com", "https://monitor.azure.com/", "https://monitor.azure.com//", "https://monitor.azure.com:443"]
        {
            assert_eq!(normal_audience(written), "https://monitor.azure.com");
        }
        assert_eq!(normal_audience("https://localhost:8443/"), "https://localhost:8443");
    }
}
