use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Timestamp;

/// Which way records flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ConnectorRole {
    /// From a vendor or a sender into tables.
    Source,
    /// From tables to another system.
    Destination,
}

impl ConnectorRole {
    pub fn name(self) -> &'static str {
        match self {
            ConnectorRole::Source => "source",
            ConnectorRole::Destination => "destination",
        }
    }
}

/// What a source or destination does at this moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ConnectorState {
    #[default]
    Running,
    /// A person paused it; it keeps its position.
    Paused,
    /// It was refused several times in a row and goes on trying.
    Failing,
}

impl ConnectorState {
    pub fn name(self) -> &'static str {
        match self {
            ConnectorState::Running => "running",
            ConnectorState::Paused => "paused",
            ConnectorState::Failing => "failing",
        }
    }
}

/// How a source or destination fares since the service started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConnectorStatus {
    /// Kind and name, such as `syslog/firewalls`.
    pub id: String,
    pub state: ConnectorState,
    /// Rows stored (source) or acknowledged by the other side (destination).
    pub rows: u64,
    /// Records kept in `DCRLogErrors`.
    pub dead: u64,
    /// When rows were last stored or acknowledged.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub last_rows: Option<Timestamp>,
    /// Errors in a row.
    pub failures: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// The position stored last, where it is text; otherwise its length.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub position: Option<String>,
    /// Sockets of a listener: protocol and address.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listening: Vec<String>,
    /// Streams a source delivers, tables a destination follows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<String>,
}

/// Why a source or destination did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ConnectorError {
    #[error("there is no {} `{id}`; there are {known}", .role.name())]
    Unknown { role: ConnectorRole, id: String, known: String },
    #[error("`{0}` keeps no position that could be moved")]
    NoPosition(String),
    #[error("`{id}`: {problem}")]
    Failed { id: String, problem: String },
}

/// The sources and destinations of the service, for the API and the command line.
#[async_trait]
pub trait Connectors: Send + Sync {
    fn list(&self, role: ConnectorRole) -> Vec<ConnectorStatus>;

    /// Stops it until [`Connectors::resume`], also over restarts.
    async fn pause(&self, role: ConnectorRole, id: &str) -> Result<(), ConnectorError>;

    async fn resume(&self, role: ConnectorRole, id: &str) -> Result<(), ConnectorError>;

    /// Moves its position: to the beginning, or to a text that it wrote itself once.
    async fn rewind(&self, role: ConnectorRole, id: &str, position: Option<String>) -> Result<(), ConnectorError>;

    /// Asks the other side once and says what came. Stores and sends nothing.
    async fn test(&self, role: ConnectorRole, id: &str) -> Result<String, ConnectorError>;
}

/// A service without sources and destinations, for tests.
pub struct NoConnectors;

#[async_trait]
impl Connectors for NoConnectors {
    fn list(&self, _: ConnectorRole) -> Vec<ConnectorStatus> {
        Vec::new()
    }

    async fn pause(&self, role: ConnectorRole, id: &str) -> Result<(), ConnectorError> {
        unknown(role, id)
    }

    async fn resume(&self, role: ConnectorRole, id: &str) -> Result<(), ConnectorError> {
        unknown(role, id)
    }

    async fn rewind(&self, role: ConnectorRole, id: &str, _: Option<String>) -> Result<(), ConnectorError> {
        unknown(role, id)
    }

    async fn test(&self, role: ConnectorRole, id: &str) -> Result<String, ConnectorError> {
        unknown(role, id)
    }
}

fn unknown<T>(role: ConnectorRole, id: &str) -> Result<T, ConnectorError> {
    Err(ConnectorError::Unknown { role, id: id.to_owned(), known: "none".to_owned() })
}
