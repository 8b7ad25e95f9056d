//! API errors, independent of the dialect that encodes them.

use std::borrow::Cow;

pub use documents::Detail;
use documents::{Reason, Refusal};
use http::StatusCode;
use serde_json::Value;
use store::StoreError;

/// Why a request is rejected. The code is for programs, the message for people and says what to do.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    pub status: StatusCode,
    pub code: Cow<'static, str>,
    pub message: String,
    /// The invalid parameter, property or header.
    pub target: Option<String>,
    pub details: Vec<Detail>,
    /// Azure's `innererror`.
    pub inner: Option<Value>,
    /// `Retry-After`, in whole seconds.
    pub retry_after: Option<u64>,
    /// Methods in the `Allow` header.
    pub allow: Option<String>,
    /// Entra's error number (`AADSTS…`), for errors of Entra.
    pub entra: Option<u32>,
}

impl ApiError {
    pub fn new(status: StatusCode, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.into(),
            message: message.into(),
            target: None,
            details: Vec::new(),
            inner: None,
            retry_after: None,
            allow: None,
            entra: None,
        }
    }

    pub fn bad_request(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub fn unauthorized(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, code, message)
    }

    pub fn forbidden(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, code, message)
    }

    pub fn not_found(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    pub fn conflict(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, message)
    }

    /// Too many requests; retry after that many seconds.
    pub fn too_many(message: impl Into<String>, retry_after: u64) -> Self {
        Self { retry_after: Some(retry_after.max(1)), ..Self::new(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message) }
    }

    /// A bug or a disk error: the cause is logged with the request id and not shown to the caller.
    pub fn internal(error: &dyn std::error::Error) -> Self {
        tracing::error!(error = model::chain(error), "a request met an internal error");
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalServerError",
            "The server met an internal error. The log of the service has the cause under this request's id.",
        )
    }

    pub fn target(mut self, target: impl Into<String>) -> Self {
        self.target = Some(target.into());
        self
    }

    pub fn inner(mut self, inner: Value) -> Self {
        self.inner = Some(inner);
        self
    }

    pub fn detail(mut self, code: impl Into<Cow<'static, str>>, message: impl Into<String>, target: Option<String>) -> Self {
        self.details.push(Detail { code: code.into(), message: message.into(), target });
        self
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal.reason {
            Reason::Invalid => StatusCode::BAD_REQUEST,
            Reason::NotFound => StatusCode::NOT_FOUND,
            Reason::Internal => return Self::internal(&refusal),
        };
        let Refusal { code, message, target, details, inner, .. } = refusal;
        Self { target, details, inner, ..Self::new(status, code, message) }
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::DiskFull(_) => Self {
                retry_after: Some(10),
                ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", "The server's disk is full. Try again later.")
            },
            StoreError::Unavailable(_) => {
                tracing::error!(error = model::chain(&error), "a change was refused: the disk does not take it");
                Self {
                    retry_after: Some(10),
                    ..Self::new(
                        StatusCode::SERVICE_UNAVAILABLE,
                        "ServiceUnavailable",
                        "The server's disk does not take writes now. Try again later.",
                    )
                }
            }
            other => Self::internal(&other),
        }
    }
}

/// Formats an error as a sentence: capital letter first, full stop last.
pub fn sentence(error: &str) -> String {
    let mut chars = error.chars();
    let first = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
    let end = if error.ends_with(['.', '?', '!']) { "" } else { "." };
    format!("{first}{}{end}", chars.as_str())
}
