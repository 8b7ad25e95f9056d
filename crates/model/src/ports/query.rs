use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use crate::{ByteSize, Column, Span, TableSchema, Timestamp};

/// A half-open interval of time: `from <= t < until`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    pub from: Timestamp,
    pub until: Timestamp,
}

/// A table that exists for one query only, such as `source` in a transform, or a watchlist.
#[derive(Clone, Debug)]
pub struct InlineTable {
    pub schema: TableSchema,
    pub batches: Vec<RecordBatch>,
}

/// A named KQL function: a parser or a saved function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFunction {
    pub name: String,
    /// As declared, without parentheses: `disabled:bool=false, T:(*)`. Empty if it has none.
    pub parameters: String,
    pub body: String,
}

/// The data visible to a query.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Value of `now()`; the engine's clock if `None`.
    pub now: Option<Timestamp>,
    /// Only rows whose `TimeGenerated` is within (the API's `timespan`).
    pub window: Option<Window>,
    /// Only rows ingested within: `from < $IngestionTime <= until`, so that the windows of a rule tile.
    pub ingested: Option<Window>,
    /// Tables that shadow those of the workspace.
    pub tables: Vec<Arc<InlineTable>>,
    pub functions: Vec<Arc<StoredFunction>>,
    /// Do not access the workspace (transforms, files).
    pub inline_only: bool,
}

/// Limits of a query. Each has its own error; unset ones are the engine's.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// At most the engine's own.
    pub time: Option<Span>,
    /// Result rows.
    pub rows: Option<usize>,
    /// Size of the result's values.
    pub bytes: Option<ByteSize>,
    /// Memory during execution.
    pub memory: Option<ByteSize>,
}

/// Thread pool of a query: each class has its own threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum QueryClass {
    /// Users and scripts that wait for the result.
    #[default]
    Interactive,
    /// Analytics rules, heartbeats and other background queries.
    Rule,
    /// Transforms of data collection rules, for which a sender waits.
    Transform,
}

#[derive(Clone, Debug)]
pub struct Query {
    pub kql: String,
    pub scope: Scope,
    pub limits: Limits,
    pub class: QueryClass,
    /// The caller, for fair queueing: many queries of one caller do not delay those of others. Empty if unknown.
    pub caller: String,
    pub cancel: CancellationToken,
}

impl Query {
    pub fn new(kql: impl Into<String>) -> Self {
        Self {
            kql: kql.into(),
            scope: Scope::default(),
            limits: Limits::default(),
            class: QueryClass::default(),
            caller: String::new(),
            cancel: CancellationToken::new(),
        }
    }

    pub fn with_class(mut self, class: QueryClass) -> Self {
        self.class = class;
        self
    }

    pub fn with_scope(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }
}

/// The options of a `render` operator, as written: the visualization and its properties.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Render {
    pub visualization: String,
    pub properties: Vec<(String, String)>,
}

/// A complete result. Batches have one field per column, in order, with [`crate::Type::arrow`].
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub columns: Vec<Column>,
    pub batches: Vec<RecordBatch>,
    pub render: Option<Render>,
    /// The table's name in the query, if it has several named ones.
    pub name: Option<String>,
    /// Additional tables of `fork`, `facet` and `preview`, in order.
    pub more: Vec<AnswerTable>,
    /// Why the result is partial, if it is: a limit was reached after the first rows, or data cannot be read.
    pub partial: Option<QueryError>,
    pub stats: QueryStats,
}

impl Answer {
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

/// An additional table of a result.
#[derive(Clone, Debug)]
pub struct AnswerTable {
    pub name: String,
    pub columns: Vec<Column>,
    pub batches: Vec<RecordBatch>,
}

#[derive(Clone, Copy, Debug, Default)]
pub struct QueryStats {
    pub elapsed: Span,
    pub rows_scanned: u64,
    pub bytes_scanned: u64,
    pub peak_memory: u64,
}

/// An error in a KQL text, with its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// `KQL0031`.
    pub code: &'static str,
    pub kind: DiagnosticKind,
    /// The problem in one sentence.
    pub message: String,
    /// How to fix it: the most similar name, the available columns.
    pub help: Option<String>,
    /// Byte offsets into the text, half-open.
    pub start: usize,
    pub end: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiagnosticKind {
    Syntax,
    Semantic,
}

/// Why a query failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum QueryError {
    /// The text is invalid; all diagnostics, in order.
    #[error("{}", .0.first().map_or("the query is wrong", |first| first.message.as_str()))]
    Wrong(Vec<Diagnostic>),
    #[error("the query was stopped after {0}, its limit of time")]
    Time(Span),
    #[error("the answer has more than {0} rows, its limit")]
    Rows(usize),
    #[error("the answer has more than {0}, its limit of size")]
    Bytes(ByteSize),
    #[error("the query needs more than {0} of memory, its limit")]
    Memory(ByteSize),
    #[error("all running queries together need more than {0} of memory, their limit")]
    SharedMemory(ByteSize),
    /// Time limit of parsing, binding and planning together.
    #[error("the query was not planned after {0}, the limit of planning: it is too complex")]
    Planning(Span),
    /// Retry later.
    #[error("{0} queries are waiting already, the limit of the queue")]
    Busy(usize),
    #[error("the query needs more than {0} of disk for what memory cannot hold, the limit of all queries together")]
    Disk(ByteSize),
    /// For a partial result: the files of these rows cannot be read.
    #[error("{}{}", .0.first().map_or_else(String::new, ToString::to_string), and_more(.0.len()))]
    Missing(Vec<crate::MissingRows>),
    #[error("the query was cancelled")]
    Cancelled,
    /// It was running twice when the process died.
    #[error("this query ended the service before, and is not run until {0}")]
    EndedProcess(Timestamp),
    /// A run-time error, such as an argument out of range.
    #[error("{0}")]
    Run(String),
    /// A bug.
    #[error("the engine broke: {0}")]
    Internal(String),
}

fn and_more(files: usize) -> String {
    if files > 1 { format!("; {} more files of the tables read cannot be read", files - 1) } else { String::new() }
}

/// Runs KQL. Other crates depend on this port, not on the engine.
#[async_trait]
pub trait QueryEngine: Send + Sync {
    /// Runs the query to completion and collects the result.
    async fn query(&self, query: Query) -> Result<Answer, QueryError>;

    /// Binds the text without running it: returns its columns or the errors. `None` if the schema depends on data.
    async fn check(&self, query: &Query) -> Result<Option<Vec<Column>>, QueryError>;

    /// The tables that the query reads, for running rules when rows arrive.
    async fn tables_read(&self, query: &Query) -> Result<Vec<crate::TableName>, QueryError>;
}
