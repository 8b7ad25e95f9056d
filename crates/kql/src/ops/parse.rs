//! `parse` and `parse-where` — columns out of a text by a pattern. Source: the public KQL reference, `parse-operator`.

use crate::plan::{ColumnId, Expr};
use model::Type;

/// A bound `parse`. All other output fields are passed on.
#[derive(Clone, Debug)]
pub struct Parse {
    /// A string.
    pub source: Expr,
    pub kind: ParseKind,
    pub parts: Vec<ParsePart>,
    /// `parse-where`: rows that do not match are dropped.
    pub filter: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParseKind {
    Simple,
    Relaxed,
    /// With the letters of `flags=`.
    Regex {
        flags: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParsePart {
    Star,
    Text(String),
    /// A new column of type `ty` (`string` where the query gives none).
    Column {
        id: ColumnId,
        ty: Type,
    },
}
