//! Statements: queries, `let` with functions, `declare`, `set` and the rest; and the pipe.

use super::lists::Use;
use super::{Parser, QUERY_LEVELS};
use crate::syntax::Want;
use crate::syntax::ast::{
    Expr, ExprKind, Function, LetValue, Parameter, ParameterType, Pattern, PatternCase, Script, Statement, StatementKind, SubPipe,
};

impl Parser<'_> {
    /// Statements up to the end of the text, or up to the bracket `close`, which is not consumed.
    pub(super) fn script(&mut self, close: Option<&str>) -> Script {
        let mut statements = Vec::new();
        let mut fresh = true;
        loop {
            if fresh {
                self.want(Want::Statement);
                self.want(Want::Query);
            }
            if self.at_end() || close.is_some_and(|sign| self.is(sign)) {
                return Script { statements };
            }
            let before = self.at;
            statements.push(self.statement());
            fresh = self.eat(";");
            if fresh {
                continue;
            }
            if !self.at_end() && !close.is_some_and(|sign| self.is(sign)) {
                self.leftover();
                // Skip text after a stray bracket or bar.
                while !self.at_end() && !self.eat(";") && !close.is_some_and(|sign| self.is(sign)) {
                    if self.is("|") || self.is(")") || self.is("]") || self.is("}") {
                        self.advance();
                    }
                    self.skip_operator();
                }
            }
            debug_assert!(self.at > before || self.at_end());
        }
    }

    fn statement(&mut self) -> Statement {
        let start = self.peek().start;
        let kind = match (self.word(), self.ahead_word(1)) {
            (Some("let"), _) if self.name_length(1) > 0 => self.let_statement(),
            (Some("set"), _) if self.name_length(1) > 0 => self.set_statement(),
            (Some("declare"), Some("query_parameters")) => {
                self.at += 2;
                StatementKind::QueryParameters(self.parameters(true))
            }
            (Some("declare"), Some("pattern")) => StatementKind::Pattern(self.declared_pattern()),
            (Some("alias"), Some("database")) => self.other("alias database"),
            (Some("restrict"), Some("access")) => self.other("restrict access"),
            _ => StatementKind::Query(self.query()),
        };
        Statement { kind, place: self.place_from(start) }
    }

    fn declared_pattern(&mut self) -> Pattern {
        self.at += 2;
        let mut pattern = Pattern { name: self.name(Use::Declare), parameters: Vec::new(), path: None, cases: Vec::new() };
        if !self.eat("=") {
            return pattern;
        }
        pattern.parameters = self.parameters(false);
        if self.is("[") {
            let open = self.at;
            self.advance();
            pattern.path = Some(self.parameter());
            self.expect_closing("]", open);
        }
        let open = self.at;
        if self.enter_by(QUERY_LEVELS) && self.expect("{") {
            while !self.at_end() && !self.is("}") {
                let before = self.at;
                pattern.cases.push(self.pattern_case());
                if !self.eat(";") && !self.is("}") {
                    self.leftover();
                    break;
                }
                if self.at == before {
                    break;
                }
            }
            self.expect_closing("}", open);
        }
        self.leave_by(QUERY_LEVELS);
        pattern
    }

    fn pattern_case(&mut self) -> PatternCase {
        let start = self.peek().start;
        let args = self.bracketed("(", ")", Self::literal_operand);
        let path = self.eat(".").then(|| self.name(Use::Refer));
        self.expect("=");
        let open = self.at;
        let body = if self.expect("{") {
            let body = self.script(Some("}"));
            self.expect_closing("}", open);
            body
        } else {
            Script::default()
        };
        PatternCase { args, path, body, place: self.place_from(start) }
    }

    /// A statement that is skipped.
    fn other(&mut self, what: &'static str) -> StatementKind {
        while !self.at_end() && !self.is(";") {
            if self.is("|") || self.is(")") || self.is("]") || self.is("}") {
                self.advance();
            }
            self.skip_operator();
        }
        StatementKind::Other { what }
    }

    fn set_statement(&mut self) -> StatementKind {
        self.advance();
        let name = self.name(Use::Declare);
        let value = self.eat("=").then(|| Box::new(self.property_value()));
        StatementKind::Set { name, value }
    }

    fn let_statement(&mut self) -> StatementKind {
        self.advance();
        let name = self.name(Use::Bare);
        self.expect("=");
        let view = self.is_word("view") && self.ahead_is(1, "(");
        let first = usize::from(view);
        let function = self.ahead_is(first, "(") && {
            let name = self.name_length(first + 1);
            self.ahead_is(first + 1, ")") || name > 0 && self.ahead_is(first + 1 + name, ":")
        };
        let value = if view || function { LetValue::Function(self.function(view)) } else { LetValue::Expr(self.query()) };
        StatementKind::Let { name, value }
    }

    fn function(&mut self, view: bool) -> Function {
        let start = self.peek().start;
        if view {
            self.advance();
        }
        let parameters = self.parameters(false);
        let open = self.at;
        let body = if self.enter_by(QUERY_LEVELS) && self.expect("{") {
            let body = self.script(Some("}"));
            self.expect_closing("}", open);
            body
        } else {
            Script::default()
        };
        self.leave_by(QUERY_LEVELS);
        Function { view, parameters, body, place: self.place_from(start) }
    }

    /// `(name: type = default, T: (column: type, …), U: (*))`
    fn parameters(&mut self, some: bool) -> Vec<Parameter> {
        if some && self.ahead_is(1, ")") {
            self.advance();
            self.expected("a parameter");
            self.advance();
            return Vec::new();
        }
        self.bracketed("(", ")", Self::parameter)
    }

    pub(super) fn parameter(&mut self) -> Parameter {
        let name = self.name(Use::Declare);
        self.expect(":");
        let ty = if self.is("(") {
            if self.ahead_is(1, "*") {
                let open = self.at;
                self.at += 2;
                self.expect_closing(")", open);
                ParameterType::Table(None)
            } else {
                ParameterType::Table(Some(self.columns()))
            }
        } else {
            ParameterType::Scalar(self.type_name())
        };
        let default = self.eat("=").then(|| self.literal_operand());
        Parameter { name, ty, default }
    }

    /// A tabular or scalar expression with its pipe.
    pub(super) fn query(&mut self) -> Expr {
        let source = self.source();
        self.pipe(source)
    }

    fn pipe(&mut self, source: Expr) -> Expr {
        if !self.at_operator_end() {
            self.leftover();
        }
        if !self.is("|") {
            return source;
        }
        let start = source.place.start;
        let operators = self.operators();
        Expr { kind: ExprKind::Pipe { source: Box::new(source), operators }, place: self.place_from(start) }
    }

    /// `| operator | operator …`
    fn operators(&mut self) -> Vec<crate::syntax::ast::Operator> {
        let mut operators = Vec::new();
        while self.is("|") {
            if self.enter_by(QUERY_LEVELS) {
                self.advance();
                operators.push(self.operator());
            }
            self.leave_by(QUERY_LEVELS);
            if !self.at_operator_end() {
                self.leftover();
            }
        }
        operators
    }

    /// True at the end of an operator.
    pub(super) fn at_operator_end(&self) -> bool {
        self.at_end() || ["|", ";", ")", "]", "}", ","].iter().any(|sign| self.is(sign))
    }

    /// `(operator | operator …)`: applied to rows of an outer operator.
    pub(super) fn sub_pipe(&mut self) -> SubPipe {
        let (open, start) = (self.at, self.peek().start);
        let mut operators = Vec::new();
        if self.enter() && self.expect("(") {
            operators.push(self.operator());
            if !self.at_operator_end() {
                self.leftover();
            }
            operators.extend(self.operators());
            self.expect_closing(")", open);
        }
        self.leave();
        SubPipe { operators, place: self.place_from(start) }
    }
}
