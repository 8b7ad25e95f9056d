//! `top-nested` — the top values of a column, and within each the top values of another. Source: the public KQL reference,
//! `top-nested-operator`.

use crate::plan::{AggregateCall, ColumnId, Expr};

/// A bound `top-nested`: outputs are `of_id` and `by_id` of each level.
#[derive(Clone, Debug)]
pub struct TopNested {
    pub levels: Vec<NestedLevel>,
}

#[derive(Clone, Debug)]
pub struct NestedLevel {
    /// A long, constant; all values where absent.
    pub count: Option<Expr>,
    pub of: Expr,
    pub of_id: ColumnId,
    pub by: AggregateCall,
    pub by_id: ColumnId,
    pub ascending: bool,
    /// Stands for all other values together; of `of`'s type.
    pub others: Option<Expr>,
}
