use std::collections::BTreeMap;

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Ack, Column, StreamName};

/// Records of a stream, as a source hands them over.
#[derive(Clone, Debug)]
pub enum Records {
    /// A JSON array of objects.
    Json(Bytes),
    /// Rows with these columns, laid out as [`crate::Type::arrow`].
    Rows(Vec<Column>, RecordBatch),
}

/// Records of one stream of a delivery.
#[derive(Clone, Debug)]
pub struct StreamRecords {
    /// `Microsoft-Syslog` for the table `Syslog`, `Custom-Orders_CL` for `Orders_CL`, or a stream that the rule declares.
    pub stream: StreamName,
    pub records: Records,
}

/// A record that a source could not read; it is kept in `DCRLogErrors`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    pub stream: String,
    /// The record, or what is known of it.
    pub record: String,
    pub reason: String,
}

/// How the records of a source reach their tables. By default each stream goes unchanged into the table of its name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Route {
    /// A data collection rule of the workspace, by name or immutable id. Its data flows decide on transforms and tables. Example: `firewalls`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_collection_rule: Option<String>,
    /// Where no rule is named: a transform in KQL over `source` for each stream that needs one. Example:
    /// `{Microsoft-Syslog: "source | where SeverityLevel != 'debug'"}`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub transforms: BTreeMap<StreamName, String>,
}

/// What a source hands over at once: stored whole, with its position, or not at all.
#[derive(Clone, Debug, Default)]
pub struct Delivery {
    /// Kind and name of the source, such as `syslog/firewalls`: in dead letters and metrics.
    pub source: String,
    pub route: Route,
    pub records: Vec<StreamRecords>,
    pub dead_letters: Vec<DeadLetter>,
    /// A second delivery with the same key within the deduplication window stores nothing and is acknowledged.
    pub key: Option<String>,
    /// Where the source stands after these records; kept in the same log frame.
    pub position: Option<Vec<u8>>,
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    pub ack: Ack,
    /// Rows stored in tables.
    pub rows: usize,
    /// Records kept in `DCRLogErrors`.
    pub dead: usize,
}

/// Why a delivery was not stored. Nothing of it is visible.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// Ask again later: the disk is full, the log is behind, a transform met its limit.
    #[error("records are not taken now: {reason}; try again in {retry_after_seconds} s")]
    Busy { reason: String, retry_after_seconds: u64 },
    /// Another try does not help until a person changes something.
    #[error("{0}")]
    Refused(String),
    #[error("the records cannot be stored")]
    Store(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the workspace is closed")]
    Closed,
}

/// Takes the records of sources through data collection rules into tables.
#[async_trait]
pub trait StreamSink: Send + Sync {
    /// Returns after the rows and the position are synced and visible to queries.
    async fn deliver(&self, delivery: Delivery) -> Result<Delivered, DeliveryError>;

    /// The position last stored for a source.
    fn position(&self, source: &str) -> Option<Vec<u8>>;

    /// What is wrong with a route for a source of these streams: rules and tables that do not exist, transforms that are wrong.
    async fn check(&self, route: &Route, streams: &[StreamName]) -> Vec<String>;
}
