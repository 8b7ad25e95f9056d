//! What the grammar expects at the end of a text. The parser records everything it looks for at the end of the text, so that completion
//! needs no grammar of its own.

use std::cell::RefCell;

/// Something expected at the end of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Want {
    /// This word: `by`, `on`, `asc`.
    Word(&'static str),
    /// An option before `=`: `kind`, `isfuzzy`.
    Option(&'static str),
    /// The value of an option.
    Value {
        operator: &'static str,
        option: &'static str,
    },
    /// The start of a statement.
    Statement,
    /// The start of a query: a table, a source operator, or a value if allowed.
    Query,
    /// Only a table.
    Table,
    /// A tabular operator: the text ends after `|`.
    Operator,
    /// A scalar expression.
    Expression,
    /// An aggregate call, in addition to an expression.
    Aggregate,
    /// The name of an input column.
    Column,
    /// A binary operator: the preceding text is a complete expression.
    Binary,
    Type,
    /// The name of a plug-in.
    Plugin,
    /// A chart type.
    Chart,
}

/// Expectations recorded so far; `None` if not requested.
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
