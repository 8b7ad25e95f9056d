//! `where`.

use crate::bind::Binder;
use crate::bind::scope::{Cx, Env, Relation};
use crate::syntax::ast::Expr;

impl Binder<'_> {
    pub(super) fn filter_by(&mut self, predicate: &Expr, input: Relation, env: &Env) -> Relation {
        let mut windows = Self::windows_over(&input);
        let condition = self.condition(predicate, &mut Cx { windows: windows.as_mut(), ..Cx::row(env, &input) });
        let windows = windows.filter(|windows| !windows.calls.is_empty());
        match windows {
            None => self.filter(input, condition),
            Some(windows) => {
                let outputs = self.outputs(&input);
                let input = self.with_windows(input, windows);
                let filtered = self.filter(input, condition);
                self.project(filtered, outputs)
            }
        }
    }
}
