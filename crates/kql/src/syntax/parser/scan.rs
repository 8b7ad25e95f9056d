//! `scan [properties] [order by …] [partition by …] [declare (…)] with (step …; …)`

use super::Parser;
use super::lists::Use;
use crate::syntax::Want;
use crate::syntax::ast::{OperatorKind, ScanStep};

impl Parser<'_> {
    pub(super) fn scan(&mut self) -> OperatorKind {
        let properties = self.properties(&["with_match_id", "with_step_name", "kind"]);
        let mut order = Vec::new();
        if self.eat_word("order") {
            self.expect_word("by");
            order = self.list(Self::sort_key);
        }
        let mut partition = Vec::new();
        if self.eat_word("partition") {
            self.expect_word("by");
            partition = self.list(Self::expr);
        }
        let declare = if self.eat_word("declare") { self.bracketed("(", ")", Self::parameter) } else { Vec::new() };
        self.expect_word("with");
        let open = self.at;
        let mut steps = Vec::new();
        if self.expect("(") {
            while self.is_word("step") {
                steps.push(self.step());
            }
            self.expect_closing(")", open);
        }
        OperatorKind::Scan { properties, declare, order, partition, steps }
    }

    /// `step name [optional] [output = all|last|none]: condition [=> name = expr, …];`
    fn step(&mut self) -> ScanStep {
        self.advance();
        let name = self.name(Use::Declare);
        let optional = self.eat_word("optional");
        let output = (self.is_word("output") && self.ahead_is(1, "=")).then(|| {
            self.at += 2;
            ["all", "last", "none"].iter().for_each(|word| self.want(Want::Word(*word)));
            self.any_word("`all`, `last` or `none`")
        });
        self.expect(":");
        let condition = self.expr();
        let mut assignments = Vec::new();
        if self.eat("=>") {
            assignments = self.list(|p| {
                let name = p.name(Use::Declare);
                p.expect("=");
                (name, p.expr())
            });
        }
        self.expect(";");
        ScanStep { name, optional, output, condition, assignments }
    }
}
