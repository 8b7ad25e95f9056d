//! Documents: the configuration of the service as text that can be checked, compared, applied and exported.
//!
//! ```text
//! files ─► parse (shape, line) ─► plan: stored + wanted ─► check every kind ─► differences ─► apply: catalog, one transaction, caches
//! ```
//!
//! A kind of document is one file in `kinds/` and one line in `kinds.rs`. Objects keep the stores they have; a kind only says how they are
//! listed, checked and written. On call is a family of seven kinds whose own code decides.
//!
//! Invariants: nothing is written before everything is checked; what SQLite holds changes in one transaction, with an audit entry for each
//! object; what is exported can be applied to an empty service and is then exported unchanged; no secret is exported.

mod apply;
pub mod check;
pub mod checks;
mod cloud;
mod document;
mod error;
mod kind;
pub mod kinds;
pub mod kql_errors;
mod plan;
mod refusal;
mod schema;
pub mod scopes;
mod stored;
pub mod writes;

pub use apply::Documents;
pub use cloud::Cloud;
pub use document::{Document, MAX_BYTES, Place, Places, parse, parse_all};
pub use error::ApplyError;
pub use kind::{Access, Cache, Kind, Level, Outside, Removal, Stored, Writing};
pub use oncall::check::Problem;
pub use oncall::document::DocumentError;
pub use oncall::objects::{Difference, Verb};
pub use plan::Plan;
pub use refusal::{Detail, Reason, Refusal};
pub use schema::{Description, describe, document_schema};
pub use stored::{RoleName, State, World};
