//! `scan` — a state machine over ordered rows. Source: the public KQL reference, `scan-operator`.

use crate::plan::{ColumnId, Expr};
use model::Type;

/// A bound `scan`. Outputs are the input's fields (passed on), the declared columns, and `match_id`.
#[derive(Clone, Debug)]
pub struct Scan {
    pub declared: Vec<Declared>,
    pub steps: Vec<Step>,
    /// The column of `with_match_id`, a long from 0.
    pub match_id: Option<ColumnId>,
    /// One machine for each value of these.
    pub partition: Vec<Expr>,
}

/// A column of `declare`.
#[derive(Clone, Debug)]
pub struct Declared {
    pub id: ColumnId,
    pub ty: Type,
    /// Constant; null (`""`) where absent.
    pub default: Option<Expr>,
}

/// Expressions see the row (input ids), the declared columns at their defaults (their ids), and the columns of every step's last row by
/// the ids in that step's `state`: `s.cum` is the id of `cum` in the state of `s`.
#[derive(Clone, Debug)]
pub struct Step {
    pub optional: bool,
    pub output: StepOutput,
    pub condition: Expr,
    /// A declared column (by index) and its new value, already of its type.
    pub assignments: Vec<(usize, Expr)>,
    /// Which id stands for which column in the state of this step; only those that are used need be here.
    pub state: Vec<(ColumnId, StateColumn)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateColumn {
    Input(ColumnId),
    Declared(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum StepOutput {
    #[default]
    All,
    Last,
    None,
}
