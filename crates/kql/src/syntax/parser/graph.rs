//! The graph operators.

use super::Parser;
use super::lists::Use;
use crate::syntax::ast::{Expr, GraphDirection, GraphElement, GraphTable, OperatorKind};

impl Parser<'_> {
    /// `make-graph source --> target [with table on key, …] [with_node_id = name] [partitioned-by column (…)]`
    pub(super) fn make_graph(&mut self) -> OperatorKind {
        let source = self.name(Use::Refer);
        if !(self.eat("-") && self.eat("-")) {
            self.expected("`-->`");
        } else {
            self.expect(">");
        }
        let target = self.name(Use::Refer);
        let (mut nodes, mut properties) = (Vec::new(), Vec::new());
        if self.eat_word("with") {
            nodes = self.list(|p| {
                let table = p.table();
                p.expect_word("on");
                (table, p.name(Use::Refer))
            });
        } else {
            properties = self.properties(&["with_node_id"]);
        }
        let mut partitioned_by = None;
        if self.is_word("partitioned") && self.ahead_is(1, "-") && self.ahead_word(2) == Some("by") {
            self.at += 3;
            let column = self.name(Use::Refer);
            partitioned_by = Some((column, self.sub_pipe()));
        }
        OperatorKind::MakeGraph { source, target, properties, nodes, partitioned_by }
    }

    pub(super) fn graph_match(&mut self) -> OperatorKind {
        self.patterns(false)
    }

    pub(super) fn graph_shortest_paths(&mut self) -> OperatorKind {
        self.patterns(true)
    }

    fn patterns(&mut self, shortest: bool) -> OperatorKind {
        let properties = self.properties(&["cycles", "output"]);
        let patterns = self.list(Self::pattern);
        let condition = self.eat_word("where").then(|| Box::new(self.expr()));
        let project = if self.eat_word("project") { self.named_list() } else { Vec::new() };
        OperatorKind::GraphMatch { properties, patterns, condition, project, shortest }
    }

    /// `(a)-[e]->(b)<--(c)`
    fn pattern(&mut self) -> Vec<GraphElement> {
        let mut elements = vec![self.node()];
        while self.is("-") || self.is("<") {
            elements.push(self.edge());
            elements.push(self.node());
        }
        elements
    }

    fn node(&mut self) -> GraphElement {
        let open = self.at;
        let mut name = None;
        if self.expect("(") {
            name = self.is_name().then(|| self.name(Use::Declare));
            self.expect_closing(")", open);
        }
        GraphElement::Node(name)
    }

    /// `-->`, `<--`, `--`, `-[name*least..most]->` and similar.
    fn edge(&mut self) -> GraphElement {
        let backward = self.eat("<");
        self.expect("-");
        let (mut name, mut range) = (None, None);
        let open = self.at;
        if self.eat("[") {
            name = self.is_name().then(|| self.name(Use::Declare));
            if self.eat("*") {
                range = Some(self.hops());
            }
            self.expect_closing("]", open);
        }
        self.expect("-");
        let forward = self.eat(">");
        let direction = match (backward, forward) {
            (false, true) => GraphDirection::Forward,
            (true, false) => GraphDirection::Backward,
            _ => GraphDirection::Any,
        };
        GraphElement::Edge { name, direction, range }
    }

    fn hops(&mut self) -> (Expr, Expr) {
        if !self.enter() {
            self.leave();
            return (self.error(), self.error());
        }
        let least = self.expr();
        self.expect("..");
        let most = self.expr();
        self.leave();
        (least, most)
    }

    /// `nodes [as name] [with_node_id = name], edges …`
    pub(super) fn graph_to_table(&mut self) -> OperatorKind {
        OperatorKind::GraphToTable(self.list(|p| {
            if !(p.is_word("nodes") || p.is_word("edges")) {
                p.expected("`nodes` or `edges`");
            }
            let what = p.any_word("`nodes` or `edges`");
            let alias = p.eat_word("as").then(|| p.name(Use::Bare));
            let properties = p.properties(&["with_node_id", "with_source_id", "with_target_id"]);
            GraphTable { what, alias, properties }
        }))
    }
}
