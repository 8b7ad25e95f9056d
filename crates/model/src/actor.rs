//! Authors of changes.

use serde::{Deserialize, Serialize};

/// The author of a change: a person, an application, or the service itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// The display name or user principal name.
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub object_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_principal_name: Option<String>,
    /// The interface used: `SecurityInsights`, `portal`, `task`.
    pub via: String,
    /// The peer's network address, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

impl Actor {
    /// The service itself, acting through a background task.
    pub fn task(name: &str) -> Self {
        Self { name: name.to_owned(), object_id: None, email: None, user_principal_name: None, via: "task".to_owned(), address: None }
    }
}
