//! Runs KQL plans; the one door to DataFusion.
//!
//! | step | what | where |
//! |---|---|---|
//! | bind | text → typed plan, names settled by what the query sees | [`kql::bind`], `schema` |
//! | prune | columns that nobody reads are left out; conditions over wide unions move below them | `prune`, `wide` |
//! | prepare | subqueries run and become constants; what is used twice is run once | `prepare` |
//! | lower | typed plan → DataFusion's logical plan, operators of ours as nodes | `lower`, `expr`, `node`, `order` |
//! | read | tables in files, with what is filtered, computed and grouped right over them | `direct` |
//! | plan, run | DataFusion, with few rules, a memory limit and a folder for what exceeds it | `session`, `memory`, `run` |
//!
//! Invariants: no SQL; no DataFusion type leaves this crate; whatever the optimizer does, whatever the size of batches and the number of
//! partitions, a query answers the same.

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
pub use run::Store;
pub use session::Options;
pub use stored_literals::TablesAs;
