//! From a syntax tree to a typed plan: names, types, implicit casts, result column names; with diagnostics that name the thing, the place
//! and the next step.

use model::{Column, Diagnostic, StoredFunction, Timestamp, Type};

use crate::plan::{Plan, Rel};
use crate::syntax::Parsed;

/// What names mean outside the query.
pub trait Schema {
    /// Columns of a table of the workspace, or nothing.
    fn table(&self, name: &str) -> Option<Vec<Column>>;

    /// Names of all tables, for wildcards, `search`, `find` and "did you mean".
    fn tables(&self) -> Vec<String>;

    fn function(&self, name: &str) -> Option<StoredFunction>;

    /// Runs a relation now, because the columns of the next operator depend on its rows (`bag_unpack`, `pivot`). Gives a number by
    /// which [`crate::plan::TableRef::computed`] finds the rows again, and the rows. `None` when only checking: the schema stays open.
    fn run(&self, rel: &Rel) -> Result<Option<(u32, Vec<arrow::record_batch::RecordBatch>)>, String>;

    /// Columns and rows of a watchlist, when there is one of that alias.
    fn watchlist(&self, alias: &str) -> Option<Vec<Column>> {
        let _ = alias;
        None
    }
}

/// What came of binding.
#[derive(Debug)]
pub struct Bound {
    /// Nothing when there are errors.
    pub plan: Option<Plan>,
    /// Result columns; `None` as type where it is not known, `None` as a whole where the schema is open.
    pub columns: Option<Vec<(String, Option<Type>)>>,
    pub diagnostics: Vec<Diagnostic>,
}

/// Binds a parsed text. Never fails and never panics.
pub fn bind(parsed: &Parsed, _schema: &dyn Schema, _now: Timestamp) -> Bound {
    Bound { plan: None, columns: None, diagnostics: parsed.diagnostics.clone() }
}
