//! Expressions. Precedence, loosest first: `or` · `and` · `==` `!=` `<>` `in` `between` `has_any` · `<` `<=` `>` `>=` · `=~` `has`
//! `contains` and other string operators · `+` `-` · `*` `/` `%` · one sign · paths. Comparisons within one group do not chain.

use model::Type;

use super::Parser;
use super::lists::{Use, nearest};
use crate::Value;
use crate::syntax::ast::{Call, Expr, ExprKind, Name};
use crate::syntax::lexer::TokenKind;
use crate::syntax::{Want, codes, keywords, literals};

/// Binding strength of a binary operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Or,
    And,
    Equality,
    Relation,
    Text,
    Sum,
    Product,
    /// Tightest: operands of products.
    Sign,
}

/// The node an operator creates.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    Plain,
    List,
    Range,
}

struct Operation {
    op: &'static str,
    level: Level,
    shape: Shape,
    tokens: usize,
}

/// Operators written as words.
const WORDS: &[(&str, Level, Shape)] = &[
    ("or", Level::Or, Shape::Plain),
    ("and", Level::And, Shape::Plain),
    ("in", Level::Equality, Shape::List),
    ("in~", Level::Equality, Shape::List),
    ("!in", Level::Equality, Shape::List),
    ("!in~", Level::Equality, Shape::List),
    ("has_any", Level::Equality, Shape::List),
    ("has_all", Level::Equality, Shape::List),
    ("between", Level::Equality, Shape::Range),
    ("!between", Level::Equality, Shape::Range),
    ("has", Level::Text, Shape::Plain),
    ("!has", Level::Text, Shape::Plain),
    ("has_cs", Level::Text, Shape::Plain),
    ("!has_cs", Level::Text, Shape::Plain),
    ("contains", Level::Text, Shape::Plain),
    ("!contains", Level::Text, Shape::Plain),
    ("contains_cs", Level::Text, Shape::Plain),
    ("!contains_cs", Level::Text, Shape::Plain),
    ("containscs", Level::Text, Shape::Plain),
    ("notcontains", Level::Text, Shape::Plain),
    ("notcontainscs", Level::Text, Shape::Plain),
    ("startswith", Level::Text, Shape::Plain),
    ("!startswith", Level::Text, Shape::Plain),
    ("startswith_cs", Level::Text, Shape::Plain),
    ("!startswith_cs", Level::Text, Shape::Plain),
    ("endswith", Level::Text, Shape::Plain),
    ("!endswith", Level::Text, Shape::Plain),
    ("endswith_cs", Level::Text, Shape::Plain),
    ("!endswith_cs", Level::Text, Shape::Plain),
    ("hasprefix", Level::Text, Shape::Plain),
    ("!hasprefix", Level::Text, Shape::Plain),
    ("hasprefix_cs", Level::Text, Shape::Plain),
    ("!hasprefix_cs", Level::Text, Shape::Plain),
    ("hassuffix", Level::Text, Shape::Plain),
    ("!hassuffix", Level::Text, Shape::Plain),
    ("hassuffix_cs", Level::Text, Shape::Plain),
    ("!hassuffix_cs", Level::Text, Shape::Plain),
    ("like", Level::Text, Shape::Plain),
    ("likecs", Level::Text, Shape::Plain),
    ("notlike", Level::Text, Shape::Plain),
    ("notlikecs", Level::Text, Shape::Plain),
];

/// Operators written as words, including `matches regex`.
pub fn text_operators() -> impl Iterator<Item = &'static str> {
    WORDS.iter().map(|(op, ..)| *op).chain(["matches regex"])
}

impl Parser<'_> {
    /// A scalar expression or a table name.
    pub(super) fn expr(&mut self) -> Expr {
        self.binary(Level::Or)
    }

    /// Like [`Self::expr`], or a bare `*`: the predicate of `search`.
    pub(super) fn search_expr(&mut self) -> Expr {
        let token = self.peek();
        if self.is("*") && !self.star_compares() {
            self.advance();
            return Expr { kind: ExprKind::Star, place: token.start..token.end };
        }
        self.expr()
    }

    pub(super) fn error(&self) -> Expr {
        let at = self.peek().start;
        Expr { kind: ExprKind::Error, place: at..at }
    }

    fn operation(&self) -> Option<Operation> {
        self.want(Want::Binary);
        let plain = |op, level| Some(Operation { op, level, shape: Shape::Plain, tokens: 1 });
        match self.peek().kind {
            TokenKind::Sign(op @ ("==" | "!=" | "<>")) => plain(op, Level::Equality),
            TokenKind::Sign(op @ ("<" | "<=" | ">" | ">=")) => plain(op, Level::Relation),
            TokenKind::Sign(op @ ("=~" | "!~")) => plain(op, Level::Text),
            TokenKind::Sign(":") => plain(":", Level::Text),
            TokenKind::Sign(op @ ("+" | "-")) => plain(op, Level::Sum),
            TokenKind::Sign(op @ ("*" | "/" | "%")) => plain(op, Level::Product),
            TokenKind::Word => match self.word()? {
                "matches" if self.ahead_word(1) == Some("regex") => {
                    Some(Operation { op: "matches regex", level: Level::Text, shape: Shape::Plain, tokens: 2 })
                }
                // `make-series … on t in range(…)`
                "in" if self.ahead_word(1) == Some("range") => None,
                word => {
                    let (op, level, shape) = *WORDS.iter().find(|(op, ..)| *op == word)?;
                    Some(Operation { op, level, shape, tokens: 1 })
                }
            },
            _ => None,
        }
    }

    /// Operands and operators that bind at least as tightly as `least`. All levels share one stack frame, so nesting is cheap.
    fn binary(&mut self, least: Level) -> Expr {
        let outer = std::mem::replace(&mut self.peak, self.depth);
        let mut left = self.unary();
        let mut previous = None;
        while let Some(operation) = self.operation().filter(|operation| operation.level >= least) {
            let Operation { op, level, shape, tokens } = operation;
            // An operator tighter than the previous one can only follow a list or a range, which cannot be compared further.
            let alone = matches!(level, Level::Equality | Level::Relation | Level::Text) && previous == Some(level);
            if alone || previous.is_some_and(|previous| level > previous) {
                self.report(codes::CHAIN, format!("`{op}` cannot follow another comparison of its kind"), None);
            }
            previous = Some(level);
            let start = left.place.start;
            if !self.taller() {
                break;
            }
            if matches!(level, Level::Or | Level::And) {
                left = self.chain(left, op, level);
                continue;
            }
            let op_start = self.peek().start;
            self.at += tokens;
            let op_place = op_start..self.end();
            left.place = start..left.place.end;
            let kind = match shape {
                Shape::Plain => {
                    let right = self.binary(next(level));
                    ExprKind::Binary { op, left: Box::new(left), right: Box::new(right), op_place }
                }
                Shape::List => ExprKind::In { op, left: Box::new(left), list: self.in_list() },
                Shape::Range => {
                    let (low, high) = self.between();
                    ExprKind::Between { negated: op == "!between", operand: Box::new(left), low: Box::new(low), high: Box::new(high) }
                }
            };
            left = Expr { kind, place: self.place_from(start) };
        }
        self.peak = self.peak.max(outer);
        left
    }

    /// All operands of a chain of `and` or `or`, as a balanced tree: rules list hundreds of alternatives, and a degenerate tree would be as
    /// deep. Both operators are associative in three-valued logic.
    fn chain(&mut self, first: Expr, op: &'static str, level: Level) -> Expr {
        let mut operands = vec![first];
        let mut places = Vec::new();
        while self.is_word(op) {
            let token = self.advance();
            places.push(token.start..token.end);
            operands.push(self.binary(next(level)));
        }
        // Each round joins adjacent trees; each right tree carries the operator before it.
        let mut trees: Vec<(Expr, Option<std::ops::Range<usize>>)> =
            operands.into_iter().zip(std::iter::once(None).chain(places.into_iter().map(Some))).collect();
        while trees.len() > 1 {
            let mut joined = Vec::with_capacity(trees.len().div_ceil(2));
            let mut rest = trees.into_iter();
            while let Some((left, before)) = rest.next() {
                match rest.next() {
                    Some((right, between)) => {
                        let place = left.place.start..right.place.end;
                        let op_place = between.unwrap_or_else(|| place.clone());
                        let kind = ExprKind::Binary { op, left: Box::new(left), right: Box::new(right), op_place };
                        joined.push((Expr { kind, place }, before));
                    }
                    None => joined.push((left, before)),
                }
            }
            trees = joined;
        }
        trees.pop().map_or_else(|| self.error(), |tree| tree.0)
    }

    /// `(a, b)`, or one query in parentheses.
    fn in_list(&mut self) -> Vec<Expr> {
        let open = self.at;
        if !self.is("(") {
            self.expected("`(` with the values");
            if self.peek().kind == TokenKind::Word || self.truth(0).is_some() || self.peek().kind == TokenKind::String {
                return vec![self.binary(Level::Sum)];
            }
            return Vec::new();
        }
        if !self.enter() {
            self.leave();
            return Vec::new();
        }
        self.advance();
        let mut list = vec![self.query()];
        while self.eat(",") {
            list.push(self.expr());
        }
        self.expect_closing(")", open);
        self.leave();
        list
    }

    /// `(low .. high)`
    fn between(&mut self) -> (Expr, Expr) {
        let open = self.at;
        let bracket = self.expect("(");
        if !self.enter() {
            self.leave();
            return (self.error(), self.error());
        }
        let low = self.expr();
        self.expect("..");
        let high = self.expr();
        if bracket {
            self.expect_closing(")", open);
        }
        self.leave();
        (low, high)
    }

    fn unary(&mut self) -> Expr {
        let start = self.peek().start;
        let op = match self.peek().kind {
            TokenKind::Sign("-") => "-",
            TokenKind::Sign("+") => "+",
            _ => return self.postfix(),
        };
        self.advance();
        let operand = Box::new(self.postfix());
        self.taller();
        Expr { kind: ExprKind::Unary { op, operand }, place: self.place_from(start) }
    }

    /// `-9223372036854775808` in a `datatable`: its digits alone overflow. Rejected elsewhere (recorded).
    fn least_long(&mut self, sign: &str) -> Option<Expr> {
        let (start, token) = (self.peek().start, self.ahead(1));
        let text = self.slice(token);
        if sign != "-" || token.kind != TokenKind::Long || literals::long(text).is_some() {
            return None;
        }
        let number = literals::long(&format!("-{text}"))?;
        self.at += 2;
        Some(Expr { kind: ExprKind::Literal(Value::Long(number)), place: self.place_from(start) })
    }

    /// A primary expression with member and index access.
    pub(super) fn postfix(&mut self) -> Expr {
        let mut expr = self.primary();
        let start = expr.place.start;
        loop {
            let dot = self.is(".");
            if !(dot || self.is("[")) {
                return expr;
            }
            if !self.taller() {
                return expr;
            }
            let open = self.at;
            if dot {
                self.advance();
            }
            let object = Box::new(expr);
            let kind = if self.is("[") && (!dot || !self.is_quoted_name(0)) {
                self.advance();
                let index = Box::new(if self.enter() { self.expr() } else { self.error() });
                self.leave();
                self.expect_closing("]", open);
                ExprKind::Index { object, index }
            } else {
                if !self.is_name() {
                    self.expected("a name behind `.`");
                    return *object;
                }
                let name = self.name(Use::Refer);
                match self.is("(") {
                    true => ExprKind::MemberCall { object, call: self.call(name) },
                    false => ExprKind::Member { object, name },
                }
            };
            expr = Expr { kind, place: self.place_from(start) };
        }
    }

    /// The value of token `n` if it is `true` or `false`.
    pub(super) fn truth(&self, n: usize) -> Option<bool> {
        match self.ahead_word(n)? {
            "true" | "True" | "TRUE" => Some(true),
            "false" | "False" | "FALSE" => Some(false),
            _ => None,
        }
    }

    /// A literal, except `dynamic(…)`.
    pub(super) fn literal(&mut self) -> Option<Value> {
        let token = self.peek();
        let text = self.slice(token);
        let value = match token.kind {
            TokenKind::Word => Value::Bool(self.truth(0)?),
            TokenKind::Long => match literals::long(text) {
                Some(number) => Value::Long(number),
                None => {
                    self.report(
                        codes::NUMBER,
                        format!("`{text}` does not fit in a long"),
                        Some("write `decimal(…)` or `real(…)`".to_owned()),
                    );
                    Value::Null(Type::Long)
                }
            },
            TokenKind::Real => Value::Real(literals::real(text)?),
            TokenKind::Timespan => match literals::timespan(text) {
                Some(span) => Value::Timespan(span.ticks()),
                None => {
                    self.report(codes::NUMBER, format!("`{text}` does not fit in a timespan"), None);
                    Value::Null(Type::Timespan)
                }
            },
            TokenKind::String => return Some(Value::String(self.string())),
            TokenKind::Typed => {
                let (word, inner) = text.split_once('(')?;
                let closed = inner.strip_suffix(')');
                literals::typed(word, closed.unwrap_or(inner)).unwrap_or_else(|| {
                    let ty = Type::parse(word).unwrap_or(Type::String);
                    // The lexer has already reported a missing closing parenthesis.
                    if let Some(inner) = closed {
                        let message = format!("`{}` cannot be read as a {ty}", inner.trim());
                        self.report(codes::LITERAL, message, None);
                    }
                    Value::Null(ty)
                })
            }
            _ => return None,
        };
        self.advance();
        Some(value)
    }

    /// Adjacent strings are concatenated.
    pub(super) fn string(&mut self) -> String {
        let mut text = String::new();
        while self.peek().kind == TokenKind::String {
            text += &literals::string(self.slice(self.peek()));
            self.advance();
        }
        text
    }

    /// A literal with optional sign, or `dynamic(…)`: used in `datatable` rows and default values.
    pub(super) fn literal_operand(&mut self) -> Expr {
        let start = self.peek().start;
        let sign = match self.peek().kind {
            TokenKind::Sign("-") if self.is_number(1) => "-",
            TokenKind::Sign("+") if self.is_number(1) => "+",
            _ => "",
        };
        if let Some(literal) = self.least_long(sign) {
            return literal;
        }
        if !sign.is_empty() {
            self.advance();
            let place = self.peek().start..self.peek().end;
            let value = self.literal().unwrap_or(Value::Null(Type::Long));
            let operand = Box::new(Expr { kind: ExprKind::Literal(value), place });
            let op = if sign == "-" { "-" } else { "+" };
            return Expr { kind: ExprKind::Unary { op, operand }, place: self.place_from(start) };
        }
        if self.is_word("dynamic") && self.ahead_is(1, "(") {
            return self.dynamic();
        }
        if let Some(value) = self.literal() {
            return Expr { kind: ExprKind::Literal(value), place: self.place_from(start) };
        }
        self.expected("a literal");
        self.error()
    }

    fn is_number(&self, n: usize) -> bool {
        matches!(self.ahead(n).kind, TokenKind::Long | TokenKind::Real | TokenKind::Timespan)
    }

    fn primary(&mut self) -> Expr {
        self.want(Want::Expression);
        if self.aggregating {
            self.want(Want::Aggregate);
        }
        let token = self.peek();
        let start = token.start;
        match token.kind {
            TokenKind::Sign("(") => return self.paren(),
            TokenKind::Sign("[") if self.is_quoted_name(0) => {
                let name = self.name(Use::Refer);
                return Expr { place: name.place.clone(), kind: ExprKind::Name(name) };
            }
            TokenKind::Sign("[") => {
                let open = self.at;
                self.advance();
                let item = if self.enter() { self.expr() } else { self.error() };
                self.leave();
                self.expect_closing("]", open);
                return Expr { kind: ExprKind::List(vec![item]), place: self.place_from(start) };
            }
            // `*` before a comparison means every column.
            TokenKind::Sign("*") if self.star_compares() => {
                self.advance();
                return Expr { kind: ExprKind::Star, place: token.start..token.end };
            }
            TokenKind::Word => {}
            TokenKind::Bad => {
                self.advance();
                return Expr { kind: ExprKind::Error, place: token.start..token.end };
            }
            TokenKind::Typed if is_now(self.slice(token)) => {
                self.advance();
                let place = token.start..token.end;
                let name = Name { text: "now".to_owned(), place: place.clone(), quoted: false };
                return Expr { kind: ExprKind::Call(Call { name, args: Vec::new() }), place };
            }
            _ => {
                return match self.literal() {
                    Some(value) => Expr { kind: ExprKind::Literal(value), place: self.place_from(start) },
                    None => self.missing(),
                };
            }
        }
        if let Some(value) = self.literal() {
            return Expr { kind: ExprKind::Literal(value), place: self.place_from(start) };
        }
        self.word_expr()
    }

    /// An expression that starts with a word that is not a literal.
    fn word_expr(&mut self) -> Expr {
        let start = self.peek().start;
        let word = self.word().unwrap_or_default();
        let call = self.ahead_is(1, "(");
        match word {
            "dynamic" if call => return self.dynamic(),
            "datatable" if call => return self.datatable(),
            "externaldata" | "external_data" if call => return self.external_data(),
            "inline_external_table" if call || self.ahead_word(1) == Some("kind") => return self.inline_external_table(),
            "typeof" if call => return self.type_literal(),
            "toscalar" | "totable" | "materialize" => return self.subquery(),
            "entity_group" if self.ahead_is(1, "[") => {
                let name = self.name(Use::Refer);
                let args = if self.enter() { self.bracketed("[", "]", Self::expr) } else { Vec::new() };
                self.leave();
                return Expr { kind: ExprKind::Call(Call { name, args }), place: self.place_from(start) };
            }
            _ => {}
        }
        if keywords::is_connective(word) && !call || word.starts_with('!') || word.ends_with('~') {
            return self.missing();
        }
        let name = self.name(Use::Refer);
        let kind = if self.is("(") { ExprKind::Call(self.call(name)) } else { ExprKind::Name(name) };
        Expr { kind, place: self.place_from(start) }
    }

    fn missing(&mut self) -> Expr {
        let message = format!("expected an expression, found {}", self.found());
        self.report(codes::EXPRESSION, message, None);
        self.error()
    }

    /// True at `*` followed by a comparison.
    fn star_compares(&self) -> bool {
        match self.ahead(1).kind {
            TokenKind::Sign(sign) => matches!(sign, "==" | "!=" | "=~" | "!~" | "<>" | ":"),
            TokenKind::Word => self
                .ahead_word(1)
                .is_some_and(|word| word == "matches" || WORDS.iter().any(|(op, level, _)| *op == word && *level >= Level::Equality)),
            _ => false,
        }
    }

    /// `(expr)` or `(query)`
    pub(super) fn paren(&mut self) -> Expr {
        let (open, start) = (self.at, self.peek().start);
        let inner = if self.enter() {
            self.expect("(");
            let inner = self.query();
            self.expect_closing(")", open);
            inner
        } else {
            self.error()
        };
        self.leave();
        Expr { kind: ExprKind::Paren(Box::new(inner)), place: self.place_from(start) }
    }

    /// `toscalar(query)`, `materialize(query)`, with an optional `kind=`.
    fn subquery(&mut self) -> Expr {
        let token = self.advance();
        let word = self.slice(token);
        self.properties(&["kind"]);
        let open = self.at;
        let inner = if self.enter() && self.expect("(") {
            let inner = self.query();
            self.expect_closing(")", open);
            inner
        } else {
            self.error()
        };
        self.leave();
        let kind = match word {
            "toscalar" => ExprKind::ToScalar(Box::new(inner)),
            "materialize" => ExprKind::Materialize(Box::new(inner)),
            _ => ExprKind::Paren(Box::new(inner)),
        };
        Expr { kind, place: self.place_from(token.start) }
    }

    /// `typeof(long)`, `typeof(*, a:long)`
    fn type_literal(&mut self) -> Expr {
        let start = self.peek().start;
        let name = self.name(Use::Refer);
        let args = self.bracketed("(", ")", |p| {
            let start = p.peek().start;
            if p.eat("*") {
                return Expr { kind: ExprKind::Star, place: p.place_from(start) };
            }
            let length = p.name_length(0);
            let names = if length > 0 && p.ahead_is(length, ":") {
                let name = p.name(Use::Declare);
                p.advance();
                vec![name]
            } else {
                Vec::new()
            };
            p.want(Want::Type);
            let ty = p.any_word("a type");
            if !ty.text.is_empty() && Type::parse(&ty.text).is_none() {
                let help = nearest(&ty.text, Type::ALL.iter().map(|ty| ty.name())).map(|name| format!("did you mean `{name}`?"));
                p.report_at(codes::TYPE, ty.place.clone(), format!("`{}` is no type", ty.text), help);
            }
            if names.is_empty() && p.is(",") {
                p.expected("`)`: several columns are written `name:type`");
            }
            let value = Expr { place: ty.place.clone(), kind: ExprKind::Name(ty) };
            if names.is_empty() {
                value
            } else {
                Expr { kind: ExprKind::Named { names, value: Box::new(value) }, place: p.place_from(start) }
            }
        });
        Expr { kind: ExprKind::Call(Call { name, args }), place: self.place_from(start) }
    }
}

fn next(level: Level) -> Level {
    match level {
        Level::Or => Level::And,
        Level::And => Level::Equality,
        Level::Equality => Level::Relation,
        Level::Relation => Level::Text,
        Level::Text => Level::Sum,
        Level::Sum => Level::Product,
        Level::Product | Level::Sign => Level::Sign,
    }
}

/// `datetime(now)`, as published rules write it.
fn is_now(literal: &str) -> bool {
    let inner = literal.strip_prefix("datetime(").or_else(|| literal.strip_prefix("date("));
    inner.and_then(|inner| inner.strip_suffix(')')).is_some_and(|inner| inner.trim() == "now")
}
