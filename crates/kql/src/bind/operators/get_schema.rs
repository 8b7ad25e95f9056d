//! `getschema`, `assert-schema`.

use std::sync::Arc;

use model::Type;

use crate::bind::scope::Relation;
use crate::bind::{Binder, diagnostics as code};
use crate::ops::get_schema;
use crate::plan::{Rel, RelOp};
use crate::syntax::ast::{Name, Place};

impl Binder<'_> {
    pub(super) fn get_schema(&mut self, input: Relation, place: &Place) -> Relation {
        if input.open || input.visible().any(|field| self.unknown.contains(&field.id)) {
            self.postpone(code::RUN, place, "the columns are known only when it runs");
        }
        let columns: Vec<_> = input.visible().cloned().collect();
        let rows = get_schema::rows(&columns);
        let fields = get_schema::COLUMNS.iter().map(|(name, ty)| self.typed(name, *ty)).collect();
        Relation { rel: Rel { op: RelOp::Values { rows: Arc::new(rows) }, fields, order: Vec::new(), serialized: true }, open: false }
    }

    pub(super) fn assert_schema(&mut self, columns: &[(Name, Type)], input: Relation, place: &Place) -> Relation {
        let same = input.visible().count() == columns.len()
            && input
                .visible()
                .zip(columns)
                .all(|(field, (name, ty))| *field.name == name.text && (field.ty == *ty || self.unknown.contains(&field.id)));
        if !same && !input.open {
            let help = Some(code::columns_here(&input.rel.fields));
            self.report_with(code::WRONG_TYPE, place, "the columns are not those that `assert-schema` wants", help);
        }
        input
    }
}
