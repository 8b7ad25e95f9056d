//! Runs KQL plans on DataFusion. No other crate depends on DataFusion.
//!
//! | step | what | where |
//! |---|---|---|
//! | bind | text → typed plan; names resolved against the tables visible to the query | [`kql::bind`], `schema` |
//! | keep | plans of texts that run again over other rows are bound once | `plans` |
//! | prune | unused columns are removed; filters over wide unions are pushed down | `prune`, `wide` |
//! | prepare | subqueries run and become constants; shared relations run once | `prepare` |
//! | lower | typed plan → DataFusion logical plan, KQL operators as extension nodes | `lower`, `expr`, `node`, `order` |
//! | read | scans Parquet files, with filters, projections and aggregations over them | `direct` |
//! | plan, run | DataFusion, with few optimizer rules, a memory limit and a spill folder | `session`, `memory`, `run` |
//!
//! Invariants: no SQL; no DataFusion type in the public API; the result of a query does not depend on the optimizer, the batch size or the
//! number of partitions.

mod aggregate;
mod bounded;
mod config;
mod direct;
mod engine;
mod expr;
mod external;
mod files;
mod folders;
mod group;
mod grouping;
mod guarded;
mod internal;
mod interpret;
mod lanes;
mod lower;
mod memory;
mod node;
mod number;
mod opaque;
mod order;
mod planning;
mod plans;
mod prepare;
mod prune;
mod range;
mod run;
mod scalar;
mod scan;
mod schema;
mod session;
mod sorting;
mod stored_literals;
mod together;
mod unique;
mod values;
mod wide;
mod window;

pub use config::QueryConfig;
pub use engine::{Engine, EngineError, Load, SystemClock};
pub use files::{FileError, FileFormat, FileTable, Input, Progress, from_rows, open, open_all, read_all, table_name};
pub use folders::Folders;
pub use guarded::{FIRST_REFUSED, Guarded, LONGEST_REFUSED};
pub use memory::trim_memory;
pub use run::Store;
pub use session::Options;
pub use stored_literals::TablesAs;
