//! The `query` section of the configuration: default limits of queries, and the spill limit.

use model::{ByteSize, Limits, QueryClass, Span};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::lanes::Width;

/// Queries of rules at the same time.
const RULES: usize = 16;
/// Transforms at the same time.
const TRANSFORMS: usize = 16;

/// Limits of every query. Each has an error of its own.
#[derive(Clone, Debug, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QueryConfig {
    /// How long a query may run; a client's `Prefer: wait=` may ask for less. Default: `10m`, as in Log Analytics. Example: `3m`.
    pub time: Span,
    /// Rows of an answer; what is more is cut off, and the answer says so. Default: `500000`, as in Log Analytics.
    pub rows: usize,
    /// Bytes of the values of an answer; what is more is cut off, and the answer says so. Default: `64MB`, as in Log Analytics.
    pub bytes: ByteSize,
    /// Memory of one query. Sorts, aggregations and joins that need more go on on disk; whatever cannot stops with an error of its own.
    /// Default: `1GiB`. Example: `4GiB`.
    pub memory: ByteSize,
    /// Memory of all running queries together; a query that would need more goes on on disk or stops. Default: twice `memory`. Example: `8GiB`.
    pub total_memory: Option<ByteSize>,
    /// How long a query may take before it runs: to be parsed, bound and planned. Default: `30s`.
    pub planning: Span,
    /// Interactive queries that run at the same time; further ones wait. Default: `64`.
    pub concurrent: usize,
    /// Interactive queries of one caller that run at the same time. Default: `16`.
    pub concurrent_of_caller: usize,
    /// Disk that all running queries together may use for what memory cannot hold, under `tmp` in the data directory. Default: `10GiB`.
    pub disk: ByteSize,
}

impl Default for QueryConfig {
    fn default() -> Self {
        Self {
            time: Span::seconds(600),
            rows: 500_000,
            bytes: ByteSize(64_000_000),
            memory: ByteSize(1 << 30),
            total_memory: None,
            planning: Span::seconds(30),
            concurrent: 64,
            concurrent_of_caller: 16,
            disk: ByteSize(10 << 30),
        }
    }
}

/// Resolved limits of one query.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settled {
    pub time: Span,
    pub rows: usize,
    pub bytes: ByteSize,
    pub memory: ByteSize,
}

impl QueryConfig {
    /// Memory limit of all queries together.
    pub(crate) fn total_memory(&self) -> ByteSize {
        self.total_memory.unwrap_or(ByteSize(self.memory.0.saturating_mul(2)))
    }

    /// Concurrency limits of a query class. Rules and transforms have their own threads.
    pub(crate) fn width(&self, class: QueryClass) -> Width {
        match class {
            QueryClass::Interactive => Width { lanes: self.concurrent.max(1), of_caller: self.concurrent_of_caller.max(1) },
            QueryClass::Rule => Width { lanes: RULES, of_caller: RULES },
            QueryClass::Transform => Width { lanes: TRANSFORMS, of_caller: TRANSFORMS },
        }
    }

    pub(crate) fn settle(&self, limits: &Limits) -> Settled {
        Settled {
            time: limits.time.map_or(self.time, |time| time.min(self.time)),
            rows: limits.rows.unwrap_or(self.rows),
            bytes: limits.bytes.unwrap_or(self.bytes),
            memory: limits.memory.unwrap_or(self.memory),
        }
    }
}
