//! The response of a handler.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::error::ApiError;

/// A status, headers and a complete body.
#[derive(Debug)]
pub struct Reply {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

pub const JSON: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");

impl Reply {
    pub fn empty(status: StatusCode) -> Self {
        Self { status, headers: HeaderMap::new(), body: Bytes::new() }
    }

    /// 204.
    pub fn no_content() -> Self {
        Self::empty(StatusCode::NO_CONTENT)
    }

    /// 200 with `value` as JSON.
    pub fn json(value: impl Serialize) -> Result<Self, ApiError> {
        Self::json_with(StatusCode::OK, value)
    }

    /// 201 where `created`, otherwise 200.
    pub fn put(created: bool, value: impl Serialize) -> Result<Self, ApiError> {
        Self::json_with(if created { StatusCode::CREATED } else { StatusCode::OK }, value)
    }

    pub fn json_with(status: StatusCode, value: impl Serialize) -> Result<Self, ApiError> {
        let body = serde_json::to_vec(&value).map_err(|error| ApiError::internal(&error))?;
        Ok(Self::bytes(status, JSON, body))
    }

    pub fn bytes(status: StatusCode, content_type: HeaderValue, body: impl Into<Bytes>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, content_type);
        Self { status, headers, body: body.into() }
    }

    pub fn text(body: impl Into<String>) -> Self {
        Self::bytes(StatusCode::OK, HeaderValue::from_static("text/plain; charset=utf-8"), body.into())
    }

    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}
