//! Why an object is rejected, in the words and with the codes of Azure's APIs. A dialect of the server encodes it.

use std::borrow::Cow;

use serde_json::Value;

/// Who has to act on a [`Refusal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The caller: something is wrong with the object.
    Invalid,
    /// The caller: something that the object names does not exist.
    NotFound,
    /// Us: a bug.
    Internal,
}

/// Why an object is rejected. The code is for programs, the message for people and says what to do.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{code}: {message}")]
pub struct Refusal {
    pub reason: Reason,
    pub code: Cow<'static, str>,
    pub message: String,
    /// The invalid property.
    pub target: Option<String>,
    /// All errors, if there are several.
    pub details: Vec<Detail>,
    /// Azure's `innererror`.
    pub inner: Option<Value>,
}

/// One of several errors.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Detail {
    pub code: Cow<'static, str>,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
}

impl Refusal {
    fn new(reason: Reason, code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self { reason, code: code.into(), message: message.into(), target: None, details: Vec::new(), inner: None }
    }

    pub fn bad_request(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(Reason::Invalid, code, message)
    }

    pub fn not_found(code: impl Into<Cow<'static, str>>, message: impl Into<String>) -> Self {
        Self::new(Reason::NotFound, code, message)
    }

    pub fn internal(error: &dyn std::error::Error) -> Self {
        Self::new(Reason::Internal, "InternalServerError", model::chain(error))
    }

    pub fn target(mut self, target: impl Into<String>) -> Self {
        self.target = Some(target.into());
        self
    }
}
