//! Calls to other people's HTTP services: webhooks, pagers, vendors.

use async_trait::async_trait;
use bytes::Bytes;

use crate::Span;

/// A request, whole.
#[derive(Clone, Debug)]
pub struct HttpRequest {
    pub method: http::Method,
    pub url: String,
    pub headers: http::HeaderMap,
    pub body: Bytes,
    /// From the start of connecting to the last byte of the answer.
    pub timeout: Span,
    /// Where the request may go.
    pub reach: Reach,
}

/// Where a request may go. Redirects are never followed; a name is resolved once and the address that was judged is the one called.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// Public addresses only: neither loopback, private, link-local, carrier-grade, multicast nor reserved ones, however written.
    #[default]
    Public,
    /// Wherever the operator pointed: the address stands in the configuration, and the configuration allows it.
    Anywhere,
}

/// An answer, whole; at most [`HttpResponse::MAX_BODY`] bytes are read of it.
#[derive(Clone, Debug)]
pub struct HttpResponse {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: Bytes,
}

impl HttpResponse {
    /// What follows is dropped: answers to notifications are short.
    pub const MAX_BODY: usize = 256 * 1024;

    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Seconds that `Retry-After` asks for, where it is a number.
    pub fn retry_after(&self) -> Option<Span> {
        let seconds = self.headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim().parse::<u32>().ok()?;
        Some(Span::seconds(i64::from(seconds)))
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    #[error("`{url}` is no address of a web service: {reason}")]
    Url { url: String, reason: String },
    #[error("`{host}` leads to `{address}`, which is not a public address; allow it in the configuration if you mean it")]
    Guarded { host: String, address: String },
    #[error("cannot reach `{host}`")]
    Connect {
        host: String,
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    #[error("`{host}` did not answer within {seconds} s")]
    Timeout { host: String, seconds: i64 },
    #[error("the connection to `{host}` broke before the answer was complete")]
    Broken {
        host: String,
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl HttpError {
    /// Whether the other side may have acted on the request although we have no answer.
    pub fn may_have_arrived(&self) -> bool {
        matches!(self, HttpError::Timeout { .. } | HttpError::Broken { .. })
    }
}

/// The one way out over HTTP.
#[async_trait]
pub trait Http: Send + Sync {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError>;
}
