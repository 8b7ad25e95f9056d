//! What a destination is: another system that gets the rows of tables, in order, at least once.
//!
//! A destination follows tables: it reads rows that are stored already, from its position on, and moves the position after the other side
//! has acknowledged them. So a sender is acknowledged by the tables alone, a destination that is down for a day costs no memory and slows
//! nothing down, and a crash sends the last rows again and loses none. How far it can fall behind is the retention of the table.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use model::{Clock, Column, Http, QueryEngine, Secrets, Span, TableName, TableWriter};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::Report;

/// A kind of destination: all that the product needs to know of it.
pub struct DestinationType {
    /// Its key in the section `destinations` of the configuration.
    pub name: &'static str,
    pub summary: &'static str,
    /// JSON schema of one entry of its settings.
    pub settings: fn() -> schemars::Schema,
    /// Checks the settings. Opens nothing.
    pub build: fn(serde_json::Value) -> Result<Box<dyn Destination>, DestinationError>,
}

/// A kind with the settings of one entry: makes the destination anew each time it starts.
#[derive(Clone)]
pub struct DestinationMaker {
    pub kind: &'static DestinationType,
    pub make: Arc<dyn Fn() -> Result<Box<dyn Destination>, DestinationError> + Send + Sync>,
}

/// Which rows a destination gets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Follow {
    /// Tables whose rows are sent. Example: `[CommonSecurityLog, Syslog]`.
    pub tables: Vec<TableName>,
    /// KQL over `source`, the new rows of one table: filters and shapes what is sent. Default: `source`. Example:
    /// `source | where DeviceVendor == "Fortinet" | project TimeGenerated, SourceIP, DeviceAction`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transform: Option<String>,
    /// Where to begin when there is no position yet. Default: `new`, with the rows that come from now on; `all` sends what is stored, too.
    #[serde(default)]
    pub from: From,
}

/// Where a destination begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum From {
    #[default]
    New,
    All,
}

/// Rows of one table for one call of [`Destination::deliver`].
#[derive(Clone, Debug)]
pub struct Outgoing {
    pub table: TableName,
    pub columns: Vec<Column>,
    pub batches: Vec<RecordBatch>,
    /// The same rows have the same key when they are sent again, for receivers that recognise what they have.
    pub key: String,
}

impl Outgoing {
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

/// One configured destination.
#[async_trait]
pub trait Destination: Send {
    /// Its name in the configuration.
    fn name(&self) -> &str;

    fn follow(&self) -> &Follow;

    /// Sends rows. Returns after the other side has acknowledged all of them; an error means that none counts as sent.
    async fn deliver(&mut self, rows: &Outgoing, cx: &DestinationContext) -> Result<(), DestinationError>;

    /// Asks the other side once, sends no rows, and says what came: for `bartizan destinations test`.
    async fn test(&mut self, cx: &DestinationContext) -> Result<String, DestinationError>;
}

/// The world, as a destination sees it.
#[derive(Clone)]
pub struct DestinationContext {
    /// Kind and name, such as `file/archive`: the key of its position.
    pub id: String,
    pub engine: Arc<dyn QueryEngine>,
    pub catalog: Arc<dyn model::Catalog>,
    pub writer: Arc<dyn TableWriter>,
    pub clock: Arc<dyn Clock>,
    pub http: Arc<dyn Http>,
    pub secrets: Arc<dyn Secrets>,
    /// Folders below which files may be written.
    pub roots: Arc<[std::path::PathBuf]>,
    pub report: Report,
    pub stop: CancellationToken,
}

/// Why rows were not sent.
#[derive(Debug, thiserror::Error)]
pub enum DestinationError {
    #[error("the settings of a `{kind}` destination are wrong: {problem}")]
    Settings { kind: &'static str, problem: String },
    #[error("cannot write `{path}`")]
    Write {
        path: std::path::PathBuf,
        #[source]
        cause: std::io::Error,
    },
    #[error(transparent)]
    Http(#[from] model::HttpError),
    #[error("the receiver asks to wait")]
    Throttled(Option<Span>),
    #[error("the receiver answered with status {status}: {text}")]
    Status { status: u16, text: String },
    #[error(transparent)]
    Secret(#[from] model::SecretError),
    #[error("the rows cannot be written as {format}: {problem}")]
    Format { format: &'static str, problem: String },
    #[error("the rows of table `{table}` cannot be read")]
    Query {
        table: TableName,
        #[source]
        cause: Box<model::QueryError>,
    },
    #[error("the position was not stored")]
    Position(#[source] Box<model::AppendError>),
}
