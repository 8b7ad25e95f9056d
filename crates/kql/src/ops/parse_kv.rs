//! `parse-kv` — columns out of a text of keys and values. Source: the public KQL reference, `parse-kv-operator`.

use crate::plan::{ColumnId, Expr};
use model::Type;

/// A bound `parse-kv`. All other output fields are passed on.
#[derive(Clone, Debug)]
pub struct ParseKv {
    /// A string.
    pub source: Expr,
    pub columns: Vec<KvColumn>,
    pub form: KvForm,
}

#[derive(Clone, Debug)]
pub struct KvColumn {
    pub key: String,
    pub id: ColumnId,
    pub ty: Type,
}

/// How keys and values are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KvForm {
    Delimited {
        pair_delimiter: String,
        kv_delimiter: String,
        /// Opening and closing quotes; one character of `quote=` is both.
        quote: Option<(char, char)>,
        escape: Option<char>,
        greedy: bool,
    },
    /// `regex=`: the first group is the key, the second the value.
    Regex(String),
}
