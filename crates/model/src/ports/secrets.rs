//! Secrets by reference: configuration contains the location of a secret, not the secret.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Secret;

/// Where a secret lies: `env:NAME`, `file:/path` (its first line), or `exec:command` (the first line it prints).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct SecretRef(String);

impl SecretRef {
    pub fn new(reference: impl Into<String>) -> Self {
        Self(reference.into())
    }

    /// Kind and location; `None` if this is not a reference.
    pub fn parts(&self) -> Option<(SecretKind, &str)> {
        let (kind, place) = self.0.split_once(':')?;
        let kind = match kind {
            "env" => SecretKind::Env,
            "file" => SecretKind::File,
            "exec" => SecretKind::Exec,
            _ => return None,
        };
        (!place.is_empty()).then_some((kind, place))
    }
}

/// Not printed: a user may have written the secret itself instead of a reference.
impl std::fmt::Debug for SecretRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.parts().is_some() { &self.0 } else { "***" })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretKind {
    Env,
    File,
    Exec,
}

/// Why a secret was not found. Never contains the secret.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    #[error("a secret stands here by reference: write `env:NAME`, `file:/path` or `exec:command`, not the secret itself")]
    NotAReference,
    #[error("the environment has no variable `{0}`")]
    NoVariable(String),
    #[error("cannot read the secret from `{place}`")]
    Unreadable {
        place: String,
        #[source]
        cause: std::io::Error,
    },
    #[error("`{0}` gave no secret")]
    Empty(String),
}

/// Resolves secret references.
pub trait Secrets: Send + Sync {
    fn resolve(&self, reference: &SecretRef) -> Result<Secret<String>, SecretError>;
}
