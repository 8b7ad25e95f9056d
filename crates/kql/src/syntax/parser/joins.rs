//! `join`, `lookup`, `union`: operators with additional tables.

use super::Parser;
use crate::syntax::Want;
use crate::syntax::ast::{Expr, ExprKind, JoinOn, OperatorKind};
use crate::syntax::codes;

impl Parser<'_> {
    pub(super) fn join(&mut self) -> OperatorKind {
        let properties = self.properties(&["kind"]);
        let right = Box::new(self.table());
        let on = if self.eat_word("on") {
            JoinOn::Conditions(self.list(Self::expr))
        } else if self.word() == Some("where") {
            self.advance();
            JoinOn::Conditions(vec![self.expr()])
        } else {
            JoinOn::Nothing
        };
        OperatorKind::Join { properties, right, on }
    }

    pub(super) fn lookup(&mut self) -> OperatorKind {
        let properties = self.properties(&["kind"]);
        let right = Box::new(self.table());
        let on = if self.expect_word("on") { JoinOn::Conditions(self.list(Self::expr)) } else { JoinOn::Nothing };
        OperatorKind::Lookup { properties, right, on }
    }

    pub(super) fn union(&mut self) -> OperatorKind {
        let properties = self.properties(&["kind", "withsource", "with_source", "isfuzzy"]);
        let tables = self.list(Self::table_or_wildcard);
        OperatorKind::Union { properties, tables }
    }

    /// A table operand: a name, a path, a call, a literal table, or a query in parentheses.
    pub(super) fn table(&mut self) -> Expr {
        self.want(Want::Table);
        if let Some(word @ ("materialize" | "toscalar" | "totable")) = self.word() {
            let message = format!("`{word}` stands in parentheses here");
            self.report(codes::EXPECTED, message, Some(format!("write `({word}(…))`, or give it a name with `let`")));
        }
        self.postfix()
    }

    /// Like [`Self::table`], or a wildcard name, qualified or not.
    pub(super) fn table_or_wildcard(&mut self) -> Expr {
        self.want(Want::Table);
        let start = self.peek().start;
        if self.is("*") || self.name_length(0) == 1 && self.ahead_is(1, "*") && self.touches(1) {
            return self.name_or_wildcard();
        }
        let mut table = self.table();
        // The last name of a path may continue with `*`.
        if self.is("*")
            && self.touches(0)
            && let ExprKind::Member { name, .. } = &mut table.kind
        {
            self.at -= self.name_length_back();
            let pattern = self.name_or_wildcard();
            if let ExprKind::Wildcard(wild) = pattern.kind {
                *name = wild;
            }
            table.place = self.place_from(start);
        }
        table
    }

    /// Number of tokens of the plain name that ends here.
    fn name_length_back(&self) -> usize {
        usize::from(self.at > 0 && self.tokens[self.at - 1].kind == crate::syntax::lexer::TokenKind::Word)
    }

    /// `(table, pattern*, database("x").table)` of `find in` and `search in`: no queries.
    pub(super) fn table_names(&mut self) -> Vec<Expr> {
        self.bracketed("(", ")", |p| {
            if p.is("(") {
                p.expected("the name of a table");
                return p.error();
            }
            p.table_or_wildcard()
        })
    }
}
