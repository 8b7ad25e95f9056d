//! Row sources: `datatable`, `externaldata`, `print`, `range`, `union`, `search`, `find`, and operators that may start a query.

use super::Parser;
use super::lists::Use;
use crate::syntax::Want;
use crate::syntax::ast::{Call, Expr, ExprKind, Name, Operator, OperatorKind};
use crate::syntax::lexer::TokenKind;

/// Operators that may start a query.
pub const SOURCE_OPERATORS: &[&str] = &["find", "print", "range", "search", "union"];

impl Parser<'_> {
    /// The source before the first `|`.
    pub(super) fn source(&mut self) -> Expr {
        self.want(Want::Query);
        let start = self.peek().start;
        if !self.at_source_operator() {
            if self.is_word("macro") && self.ahead_is(1, "-") && self.ahead_word(2) == Some("expand") && self.touches(1) {
                return self.macro_expand();
            }
            return self.expr();
        }
        let operator: Operator = self.operator();
        Expr { kind: ExprKind::Source(Box::new(operator)), place: self.place_from(start) }
    }

    /// True at an operator that starts a query, as opposed to a column, table or function of that name.
    fn at_source_operator(&self) -> bool {
        let next = self.ahead(1);
        match self.word() {
            Some(word @ ("union" | "print" | "search" | "find")) => !self.ahead_is(1, "=") || word == "print",
            // `range(…)` is a function, `evaluate` and `range` may be tables.
            Some("range") => self.name_length(1) > 0 && self.ahead_word(1 + self.name_length(1)) == Some("from"),
            Some("evaluate" | "invoke") => next.kind == TokenKind::Word,
            _ => false,
        }
    }

    pub(super) fn range(&mut self) -> OperatorKind {
        let name = self.name(Use::Declare);
        self.expect_word("from");
        let from = Box::new(self.expr());
        self.expect_word("to");
        let to = Box::new(self.expr());
        self.expect_word("step");
        let step = Box::new(self.expr());
        OperatorKind::Range { name, from, to, step }
    }

    pub(super) fn search(&mut self) -> OperatorKind {
        let properties = self.properties(&["kind"]);
        let tables = if self.is_word("in") && self.ahead_is(1, "(") {
            self.advance();
            self.table_names()
        } else {
            Vec::new()
        };
        OperatorKind::Search { properties, tables, predicate: Box::new(self.search_expr()) }
    }

    pub(super) fn find(&mut self) -> OperatorKind {
        let properties = self.properties(&["withsource", "with_source", "datascope"]);
        let mut tables = Vec::new();
        let scoped = self.is_word("in") && self.ahead_is(1, "(");
        if scoped {
            self.advance();
            tables = self.table_names();
            self.expect_word("where");
        } else {
            self.eat_word("where");
        }
        let predicate = Some(Box::new(self.search_expr()));
        let (mut project, mut project_smart) = (None, false);
        let project_away = Vec::new();
        if self.is_word("project") {
            let smart = self.ahead_is(1, "-") && self.ahead_word(2) == Some("smart");
            if smart {
                self.at += 3;
                project_smart = true;
            } else if !self.ahead_is(1, "-") {
                self.advance();
                project = Some(self.list(Self::find_column));
            }
        }
        OperatorKind::Find { properties, tables, predicate, project, project_smart, project_away }
    }

    /// `column`, `column:type`, `*`, `pack(*)`. A type is a conversion: `a:long` means `a = tolong(a)`.
    fn find_column(&mut self) -> Expr {
        let start = self.peek().start;
        if self.eat("*") {
            return Expr { kind: ExprKind::Star, place: self.place_from(start) };
        }
        let length = self.name_length(0);
        if length == 0 || !self.ahead_is(length, ":") {
            return self.named();
        }
        let name = self.name(Use::Declare);
        self.advance();
        let type_start = self.peek().start;
        let ty = self.type_name();
        let place = self.place_from(type_start);
        let column = Expr { kind: ExprKind::Name(name.clone()), place: name.place.clone() };
        let function =
            Name { text: format!("to{}", if ty == model::Type::Real { "double" } else { ty.name() }), place: place.clone(), quoted: false };
        let value = Box::new(Expr { kind: ExprKind::Call(Call { name: function, args: vec![column] }), place });
        Expr { kind: ExprKind::Named { names: vec![name], value }, place: self.place_from(start) }
    }

    /// `datatable (a: long, …) [literal, …]`; a trailing comma is allowed.
    pub(super) fn datatable(&mut self) -> Expr {
        let start = self.advance().start;
        let columns = self.columns();
        let open = self.at;
        let mut values = Vec::new();
        if self.expect("[") {
            // Leading and trailing commas are accepted, as in Microsoft's parser.
            while self.eat(",") {}
            while !self.is("]") {
                values.push(self.literal_operand());
                if !self.eat(",") {
                    break;
                }
            }
            self.expect_closing("]", open);
        }
        Expr { kind: ExprKind::DataTable { columns, values }, place: self.place_from(start) }
    }

    /// `externaldata (a: long, …) [address, …] with (name = value, …)`
    pub(super) fn external_data(&mut self) -> Expr {
        let start = self.advance().start;
        let columns = self.columns();
        let locations = if self.enter() { self.bracketed_with_last_comma("[", "]", Self::expr) } else { Vec::new() };
        self.leave();
        let options = if self.is_word("with") && self.ahead_is(1, "(") {
            self.advance();
            self.options(None).into_iter().map(|property| (property.name, property.value)).collect()
        } else {
            Vec::new()
        };
        Expr { kind: ExprKind::ExternalData { columns, locations, options }, place: self.place_from(start) }
    }

    /// `inline_external_table [(a: long, …)] kind=… [partition by (…)] [pathformat=(…)] [dataformat=…] (address, …) [with (…)]`
    pub(super) fn inline_external_table(&mut self) -> Expr {
        let start = self.advance().start;
        let columns = if self.is("(") { self.columns() } else { Vec::new() };
        let mut properties = self.properties(&["kind", "dataformat"]);
        if self.is_word("partition") {
            self.advance();
            self.expect_word("by");
            self.skip_brackets();
        }
        if self.is_word("pathformat") {
            self.advance();
            self.expect("=");
            self.skip_brackets();
        }
        properties.extend(self.properties(&["kind", "dataformat"]));
        let locations = if self.enter() { self.bracketed_with_last_comma("(", ")", Self::expr) } else { Vec::new() };
        self.leave();
        if self.is_word("with") && self.ahead_is(1, "(") {
            self.advance();
            properties.extend(self.options(None));
        }
        let options = properties.into_iter().map(|property| (property.name, property.value)).collect();
        Expr { kind: ExprKind::ExternalData { columns, locations, options }, place: self.place_from(start) }
    }

    /// Skips brackets and their content.
    fn skip_brackets(&mut self) {
        let open = self.at;
        if self.expect("(") {
            match self.find_closing(")") {
                Some(closing) => self.at = closing + 1,
                None => self.expect_closing(")", open),
            }
        }
    }

    /// `macro-expand [properties] group as name (statements)`: parsed and discarded.
    fn macro_expand(&mut self) -> Expr {
        let start = self.peek().start;
        self.at += 3;
        let keyword = self.place_from(start);
        self.properties(&["isfuzzy", "kind"]);
        self.postfix();
        self.expect_word("as");
        self.name(Use::Bare);
        let open = self.at;
        if self.enter() && self.expect("(") {
            self.script(Some(")"));
            self.expect_closing(")", open);
        }
        self.leave();
        let place = self.place_from(start);
        let operator = Operator { kind: OperatorKind::MacroExpand, place: place.clone(), keyword };
        Expr { kind: ExprKind::Source(Box::new(operator)), place }
    }
}
