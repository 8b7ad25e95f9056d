//! `sample`, `sample-distinct` — some rows, some distinct values. Source: the public KQL reference, `sample-operator`,
//! `sample-distinct-operator`.

use crate::plan::{ColumnId, Expr};

/// A bound `sample`: outputs are inputs.
#[derive(Clone, Debug)]
pub struct Sample {
    /// A long, constant.
    pub count: Expr,
}

/// A bound `sample-distinct`: the only output is `id`.
#[derive(Clone, Debug)]
pub struct SampleDistinct {
    /// A long, constant.
    pub count: Expr,
    pub of: Expr,
    pub id: ColumnId,
}
