//! What the grammar would take where a text ends. The parser notes it while it reads: whatever it looks for at the end of the text is what
//! could stand there, so that completion knows the grammar without having one of its own.

use std::cell::RefCell;

/// Something that could stand at the end of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// This word: `by`, `on`, `asc`.
    Word(&'static str),
    /// An option in front of `=`: `kind`, `isfuzzy`.
    Option(&'static str),
    /// The value of that option of that operator.
    Value {
        operator: &'static str,
        option: &'static str,
    },
    /// The beginning of a statement.
    Statement,
    /// The beginning of a query: a table, an operator that gives rows, or a value where a value may stand.
    Query,
    /// A table and nothing else.
    Table,
    /// A tabular operator: the text ends behind `|`.
    Operator,
    /// A scalar expression.
    Expression,
    /// An aggregate call, beside an expression.
    Aggregate,
    /// A column of the input by its name alone.
    Column,
    /// An operator between two operands: what stands before is a whole expression.
    Binary,
    Type,
    /// The name of a plug-in.
    Plugin,
    /// A kind of chart.
    Chart,
}

/// The wants noted so far; nothing where nobody asks.
#[derive(Default)]
pub(super) struct Wants(Option<RefCell<Vec<Want>>>);

impl Wants {
    pub fn asked() -> Self {
        Self(Some(RefCell::default()))
    }

    pub fn note(&self, want: Want) {
        if let Some(noted) = &self.0 {
            let mut noted = noted.borrow_mut();
            if !noted.contains(&want) {
                noted.push(want);
            }
        }
    }

    pub fn into_vec(self) -> Vec<Want> {
        self.0.map(RefCell::into_inner).unwrap_or_default()
    }
}
