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

/// A table that exists for one query only, such as `source` in a transform or a watchlist.
#[derive(Clone, Debug)]
pub struct InlineTable {
    pub schema: TableSchema,
    pub batches: Vec<RecordBatch>,
}

/// A named piece of KQL that queries may call: a parser or a saved function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFunction {
    pub name: String,
    /// As declared, without parentheses: `disabled:bool=false, T:(*)`. Empty when it takes none.
    pub parameters: String,
    pub body: String,
}

/// What a query sees.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// What `now()` answers; the engine's clock where not given.
    pub now: Option<Timestamp>,
    /// Only rows with `TimeGenerated` inside (the API's `timespan`).
    pub window: Option<Window>,
    /// Only rows stored inside: `from < $IngestionTime <= until`, so that the windows of a rule tile.
    pub ingested: Option<Window>,
    /// Tables that hide those of the workspace.
    pub tables: Vec<Arc<InlineTable>>,
    pub functions: Vec<Arc<StoredFunction>>,
    /// Do not look into the workspace at all (transforms, files).
    pub inline_only: bool,
}

/// When a query must stop. Each limit has an error of its own; those not given are the engine's.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// At most the engine's own.
    pub time: Option<Span>,
    /// Of the answer.
    pub rows: Option<usize>,
    /// Of the answer's values.
    pub bytes: Option<ByteSize>,
    /// While it runs.
    pub memory: Option<ByteSize>,
}

/// Whose threads a query runs on: one class never takes those of another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum QueryClass {
    /// People and scripts that wait for the answer.
    #[default]
    Interactive,
    /// Analytics rules, heartbeats and what else runs by itself.
    Rule,
    /// Transforms of data collection rules: a sender waits.
    Transform,
}

#[derive(Clone, Debug)]
pub struct Query {
    pub kql: String,
    pub scope: Scope,
    pub limits: Limits,
    pub class: QueryClass,
    /// Who asks: queries of one caller wait for each other before they make others wait. Empty where that is not known.
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

/// What a `render` operator asked for, as written: the visualization and its properties.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Render {
    pub visualization: String,
    pub properties: Vec<(String, String)>,
}

/// A whole answer. Batches have one field a column, in order, with [`crate::Type::arrow`].
#[derive(Clone, Debug, Default)]
pub struct Answer {
    pub columns: Vec<Column>,
    pub batches: Vec<RecordBatch>,
    pub render: Option<Render>,
    /// What the query calls this table, where it gives several and names it.
    pub name: Option<String>,
    /// The other tables of `fork`, `facet` and `preview`, in order.
    pub more: Vec<AnswerTable>,
    /// Why rows are missing, when they are: a limit was met after the first rows, or what holds them cannot be read.
    pub partial: Option<QueryError>,
    pub stats: QueryStats,
}

impl Answer {
    pub fn rows(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }
}

/// A further table of an answer.
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

/// What is wrong with a text of KQL, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// `KQL0031`.
    pub code: &'static str,
    pub kind: DiagnosticKind,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What to do: the nearest right name, the columns here.
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

/// Why there is no answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum QueryError {
    /// The text is wrong; all that was found, in order.
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
    /// Parsing, binding and planning together.
    #[error("the query was not planned after {0}, the limit of planning: it is too complex")]
    Planning(Span),
    /// Ask again later.
    #[error("{0} queries are waiting already, the limit of the queue")]
    Busy(usize),
    #[error("the query needs more than {0} of disk for what memory cannot hold, the limit of all queries together")]
    Disk(ByteSize),
    /// Of a partial answer: what holds these rows cannot be read.
    #[error("{}{}", .0.first().map_or_else(String::new, ToString::to_string), and_more(.0.len()))]
    Missing(Vec<crate::MissingRows>),
    #[error("the query was cancelled")]
    Cancelled,
    /// It was running when the process ended, twice.
    #[error("this query ended the service before, and is not run until {0}")]
    EndedProcess(Timestamp),
    /// Something that KQL allows only while it runs, such as an argument that turned out to be out of range.
    #[error("{0}")]
    Run(String),
    /// A defect of ours.
    #[error("the engine broke: {0}")]
    Internal(String),
}

fn and_more(files: usize) -> String {
    if files > 1 { format!("; {} more files of the tables read cannot be read", files - 1) } else { String::new() }
}

/// Runs KQL. The stages hold this, never the engine itself.
#[async_trait]
pub trait QueryEngine: Send + Sync {
    /// Runs the query to its end and collects the answer.
    async fn query(&self, query: Query) -> Result<Answer, QueryError>;

    /// Binds the text without running it: the columns it would answer, or what is wrong. `None` where the schema is open.
    async fn check(&self, query: &Query) -> Result<Option<Vec<Column>>, QueryError>;

    /// The tables of the workspace that the query reads, for waking rules when rows arrive.
    async fn tables_read(&self, query: &Query) -> Result<Vec<crate::TableName>, QueryError>;
}
