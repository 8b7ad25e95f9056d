//! `count`.

use model::Type;

use crate::aggregates;
use crate::bind::{Binder, scope::Relation};
use crate::plan::{AggregateCall, Rel, RelOp};

impl Binder<'_> {
    /// One row, one column `Count`.
    pub(super) fn count_rows(&mut self, input: Relation) -> Relation {
        let Some(function) = aggregates::find("count") else {
            self.unsupported(&(0..0), "`count`");
            return Relation::unknown();
        };
        let fields = vec![self.typed("Count", Type::Long)];
        let aggregates = vec![AggregateCall { function, args: Vec::new(), ty: Type::Long }];
        let op = RelOp::Aggregate { input: Box::new(input.rel), keys: Vec::new(), aggregates };
        Relation { rel: Rel { op, fields, order: Vec::new(), serialized: true }, open: false }
    }
}
