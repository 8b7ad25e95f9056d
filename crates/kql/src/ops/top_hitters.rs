//! `top-hitters` — the most frequent values, or those with the largest sum. Source: the public KQL reference, `top-hitters-operator`.

use crate::plan::{ColumnId, Expr};

/// A bound `top-hitters`: outputs are `of_id` and `value_id`.
#[derive(Clone, Debug)]
pub struct TopHitters {
    /// A long, constant.
    pub count: Expr,
    pub of: Expr,
    pub of_id: ColumnId,
    /// A number; rows are counted where absent.
    pub by: Option<Expr>,
    /// `approximate_count_x` (long) or `approximate_sum_x`: of type long for int and long, otherwise of `by`'s type.
    pub value_id: ColumnId,
}
