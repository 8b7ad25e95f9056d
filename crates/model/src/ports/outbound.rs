//! Outbound HTTP: webhooks, pagers, vendor APIs.

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt as _};

use crate::Span;

/// An HTTP request.
#[derive(Clone, Debug)]
pub struct HttpRequest {
    pub method: http::Method,
    pub url: String,
    pub headers: http::HeaderMap,
    pub body: Bytes,
    /// From connecting to the last byte of the response.
    pub timeout: Span,
    /// Allowed destinations.
    pub reach: Reach,
}

/// Allowed destinations. Redirects are never followed; a name is resolved once, and the checked address is the one used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// Public addresses only: not loopback, private, link-local, carrier-grade NAT, multicast or reserved, in any notation.
    #[default]
    Public,
    /// Any destination: the address comes from the configuration, which allows it.
    Anywhere,
}

/// An HTTP response; at most [`HttpResponse::MAX_BODY`] bytes of the body are read.
#[derive(Clone, Debug)]
pub struct HttpResponse {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: Bytes,
}

impl HttpResponse {
    /// The rest of the body is dropped: responses to notifications are short.
    pub const MAX_BODY: usize = 256 * 1024;

    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// `Retry-After` in seconds, if it is a number.
    pub fn retry_after(&self) -> Option<Span> {
        let seconds = self.headers.get(http::header::RETRY_AFTER)?.to_str().ok()?.trim().parse::<u32>().ok()?;
        Some(Span::seconds(i64::from(seconds)))
    }
}

/// An HTTP response whose body is read while it arrives. The connection is released when it is dropped.
pub struct HttpStream {
    pub status: u16,
    pub headers: http::HeaderMap,
    pub body: BoxStream<'static, Result<Bytes, HttpError>>,
}

impl HttpStream {
    /// The whole body, if it has at most `limit` bytes.
    pub async fn read(mut self, host: &str, limit: usize) -> Result<HttpResponse, HttpError> {
        let mut body = Vec::new();
        while let Some(chunk) = self.body.next().await {
            let chunk = chunk?;
            if body.len() + chunk.len() > limit {
                return Err(HttpError::TooLarge { host: host.to_owned(), limit });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(HttpResponse { status: self.status, headers: self.headers, body: body.into() })
    }
}

/// Why there is no response.
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
    #[error("the response of `{host}` has more than {limit} bytes")]
    TooLarge { host: String, limit: usize },
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
    /// Whether the receiver may have processed the request.
    pub fn may_have_arrived(&self) -> bool {
        matches!(self, HttpError::Timeout { .. } | HttpError::Broken { .. })
    }
}

/// Port for all outbound HTTP.
#[async_trait]
pub trait Http: Send + Sync {
    /// Sends a request and reads at most [`HttpResponse::MAX_BODY`] bytes of the response.
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError>;

    /// Sends a request and returns when the header of the response is there. `timeout` applies to the header and to each part of the body.
    async fn open(&self, request: HttpRequest) -> Result<HttpStream, HttpError> {
        let HttpResponse { status, headers, body } = self.send(request).await?;
        Ok(HttpStream { status, headers, body: futures::stream::once(async { Ok(body) }).boxed() })
    }
}
