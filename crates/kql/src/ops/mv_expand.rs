//! `mv-expand` — one row for each element of an array or property of a bag. Source: the public KQL reference, `mv-expand-operator`.

use crate::plan::{ColumnId, Expr};
use model::Type;

/// A bound `mv-expand`. All other output fields are passed on.
#[derive(Clone, Debug)]
pub struct MvExpand {
    /// Expanded side by side; the shorter are filled with null.
    pub items: Vec<MvItem>,
    pub kind: MvKind,
    /// The column of `with_itemindex`, a long from 0.
    pub index: Option<ColumnId>,
    /// At most so many rows for each input row; a long.
    pub limit: Option<Expr>,
}

#[derive(Clone, Debug)]
pub struct MvItem {
    /// A dynamic.
    pub expr: Expr,
    /// The new column, of type `ty`.
    pub id: ColumnId,
    /// `dynamic`, or what `to typeof()` says.
    pub ty: Type,
}

/// What a bag expands to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum MvKind {
    /// Bags of one property.
    #[default]
    Bag,
    /// Arrays of name and value.
    Array,
}
