//! `print`: one row.

use std::sync::Arc;

use crate::bind::naming::Names;
use crate::bind::scope::{Cx, Env, Relation};
use crate::bind::{Binder, diagnostics as code};
use crate::plan::{Rel, RelOp};
use crate::syntax::ast::Expr;

use super::extend::{Item, item};

impl Binder<'_> {
    /// Unnamed columns are `print_0`, `print_1`, … by position.
    pub(super) fn print(&mut self, items: &[Expr], env: &Env) -> Relation {
        let row = Rel { op: RelOp::Values { rows: Arc::new(vec![Vec::new()]) }, fields: Vec::new(), order: Vec::new(), serialized: true };
        let row = Relation { rel: row, open: false };
        let mut names = Names::default();
        let mut outputs = Vec::with_capacity(items.len());
        for (index, expr) in items.iter().enumerate() {
            let Item { names: written, value } = item(expr);
            for part in self.parts(written, value, &mut Cx::constant(env)) {
                let name = match part.written {
                    // Recorded: columns are numbered even if the expression is a variable.
                    None => match part.name.filter(|_| part.several) {
                        Some(name) => names.unique(&name),
                        None => names.unique(&format!("print_{index}")),
                    },
                    Some(name) => {
                        if !names.take(&name.text) {
                            self.report(code::DUPLICATE_NAME, &name.place, format!("there are two columns `{}`", name.text));
                        }
                        name.text.clone()
                    }
                };
                outputs.push((name.into(), part.value));
            }
        }
        let row = self.with_staged(row);
        self.project(row, outputs)
    }
}
