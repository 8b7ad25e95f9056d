//! Names, lists, argument lists, columns with types, properties.

use model::Type;

use super::Parser;
use crate::syntax::ast::{Call, Expr, ExprKind, Name, Property};
use crate::syntax::lexer::TokenKind;
use crate::syntax::{Want, codes, keywords, literals};

/// Options accepted by every operator with options, possibly without effect.
const ANYWHERE: &[&str] = &[
    "bagexpansion",
    "bin_legacy",
    "cycles",
    "decodeblocks",
    "expandoutput",
    "flags",
    "force_remote",
    "isfuzzy",
    "kind",
    "with_itemindex",
    "with_match_id",
    "with_source",
    "withsource",
];

/// Names after `hint.`.
const HINTS: &[&str] = &[
    "concurrency",
    "distribution",
    "materialized",
    "num_partitions",
    "pass_filters",
    "pass_filters_column",
    "progressive_top",
    "remote",
    "shufflekey",
    "spread",
    "strategy",
];

/// The syntactic role of a name, which decides which keywords are allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    /// A reference.
    Refer,
    /// A declaration before `=` or `:`.
    Declare,
    /// A declaration that nothing follows: `as x`, `let x`.
    Bare,
}

impl Parser<'_> {
    /// True if `['…']` starts at token `n`.
    pub(super) fn is_quoted_name(&self, n: usize) -> bool {
        self.ahead_is(n, "[") && self.ahead(n + 1).kind == TokenKind::String && self.ahead_is(n + 2, "]")
    }

    /// True if a name starts here, including keywords.
    pub(super) fn is_name(&self) -> bool {
        self.word().is_some() || self.is_quoted_name(0)
    }

    /// Number of tokens of the name at `n`; 0 if there is none.
    pub(super) fn name_length(&self, n: usize) -> usize {
        match self.ahead(n).kind {
            TokenKind::Word if self.truth(n).is_none() => 1,
            _ if self.is_quoted_name(n) => 3,
            _ => 0,
        }
    }

    /// A name, plain or quoted. A keyword that is not allowed here is reported and accepted.
    pub(super) fn name(&mut self, usage: Use) -> Name {
        let start = self.peek().start;
        if self.is_quoted_name(0) {
            let text = literals::string(self.slice(self.ahead(1)));
            self.at += 3;
            return Name { text, place: start..self.end(), quoted: true };
        }
        let Some(word) = self.word() else {
            self.expected("a name");
            return self.no_name();
        };
        let allowed = match usage {
            Use::Refer => keywords::may_refer(word),
            Use::Declare => keywords::may_declare(word),
            Use::Bare => keywords::may_name(word),
        };
        if !allowed || word.starts_with('!') || word.ends_with('~') || self.truth(0).is_some() {
            let message = format!("`{word}` is a keyword and cannot be a plain name here");
            self.report(codes::KEYWORD, message, Some(format!("write `['{word}']`")));
        }
        self.advance();
        Name { text: word.to_owned(), place: start..self.end(), quoted: false }
    }

    /// Any word: values of properties, chart types.
    pub(super) fn any_word(&mut self, what: &str) -> Name {
        let token = self.peek();
        if token.kind != TokenKind::Word {
            self.expected(what);
            return self.no_name();
        }
        self.advance();
        Name { text: self.slice(token).to_owned(), place: token.start..token.end, quoted: false }
    }

    /// A wildcard name, a plain name, or a bare `*`.
    pub(super) fn name_or_wildcard(&mut self) -> Expr {
        self.want(Want::Column);
        let start = self.peek().start;
        let mut length = 0;
        while matches!(self.ahead(length).kind, TokenKind::Word | TokenKind::Long | TokenKind::Sign("*"))
            && (length == 0 || self.touches(length))
        {
            length += 1;
        }
        let star = (0..length).any(|n| self.ahead_is(n, "*"));
        if !star {
            let name = self.name(Use::Refer);
            let place = name.place.clone();
            return Expr { kind: ExprKind::Name(name), place };
        }
        self.at += length;
        let place = self.place_from(start);
        let text = self.text[place.clone()].to_owned();
        let kind = if text == "*" { ExprKind::Star } else { ExprKind::Wildcard(Name { text, place: place.clone(), quoted: false }) };
        Expr { kind, place }
    }

    /// One or more items, separated by commas.
    pub(super) fn list<T>(&mut self, mut item: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let mut items = vec![item(self)];
        while self.eat(",") {
            items.push(item(self));
        }
        items
    }

    /// Zero or more items in brackets.
    pub(super) fn bracketed<T>(&mut self, open: &str, close: &str, mut item: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let at = self.at;
        if !self.expect(open) {
            return Vec::new();
        }
        let items = if self.is(close) { Vec::new() } else { self.list(&mut item) };
        self.expect_closing(close, at);
        items
    }

    /// Items up to the closing bracket, none or more; a comma may follow the last one.
    pub(super) fn items_before<T>(&mut self, close: &str, mut item: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let mut items = Vec::new();
        while !self.is(close) {
            items.push(item(self));
            if !self.eat(",") {
                break;
            }
        }
        items
    }

    /// As [`Self::bracketed`]; a comma may follow the last item.
    pub(super) fn bracketed_with_last_comma<T>(&mut self, open: &str, close: &str, item: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let at = self.at;
        if !self.expect(open) {
            return Vec::new();
        }
        let items = self.items_before(close, item);
        self.expect_closing(close, at);
        items
    }

    /// `name(arguments)`; the name has already been read.
    pub(super) fn call(&mut self, name: Name) -> Call {
        // Aggregates do not nest.
        let outer = self.aggregating;
        self.aggregating &= crate::aggregates::find(&name.text).is_none();
        let args = if self.enter() { self.bracketed("(", ")", Self::argument) } else { Vec::new() };
        self.leave();
        self.aggregating = outer;
        Call { name, args }
    }

    /// `*`, `name = expr` or an expression.
    fn argument(&mut self) -> Expr {
        if self.is("*") && (self.ahead_is(1, ",") || self.ahead_is(1, ")")) {
            let token = self.advance();
            return Expr { kind: ExprKind::Star, place: token.start..token.end };
        }
        self.named()
    }

    /// `name = expr`, `(a, b) = expr` or an expression.
    pub(super) fn named(&mut self) -> Expr {
        let start = self.peek().start;
        let length = self.name_length(0);
        if length > 0 && self.ahead_is(length, "=") {
            let name = self.name(Use::Declare);
            self.advance();
            let value = Box::new(self.expr());
            return Expr { kind: ExprKind::Named { names: vec![name], value }, place: self.place_from(start) };
        }
        if self.is("(") && self.is_tuple() {
            self.advance();
            let names = self.list(|p| p.name(Use::Declare));
            self.advance();
            self.advance();
            let value = Box::new(self.expr());
            return Expr { kind: ExprKind::Named { names, value }, place: self.place_from(start) };
        }
        self.expr()
    }

    /// True at `(a, b, …) =`.
    fn is_tuple(&self) -> bool {
        let mut n = 1;
        loop {
            match self.name_length(n) {
                0 => return false,
                length => n += length,
            }
            if self.ahead_is(n, ")") {
                return self.ahead_is(n + 1, "=");
            }
            if !self.ahead_is(n, ",") {
                return false;
            }
            n += 1;
        }
    }

    /// Like [`Self::named`], with aggregate calls.
    pub(super) fn aggregate(&mut self) -> Expr {
        let outer = std::mem::replace(&mut self.aggregating, true);
        let item = self.named();
        self.aggregating = outer;
        item
    }

    pub(super) fn named_list(&mut self) -> Vec<Expr> {
        self.list(Self::named)
    }

    /// `name: type`
    pub(super) fn column(&mut self) -> (Name, Type) {
        let name = self.name(Use::Declare);
        self.expect(":");
        (name, self.type_name())
    }

    /// `(name: type, …)`
    pub(super) fn columns(&mut self) -> Vec<(Name, Type)> {
        self.bracketed_with_last_comma("(", ")", Self::column)
    }

    pub(super) fn type_name(&mut self) -> Type {
        self.want(Want::Type);
        let Some(word) = self.word() else {
            self.expected("a type");
            return Type::Dynamic;
        };
        let ty = Type::parse(word);
        if ty.is_none() {
            let nearest = nearest(word, Type::ALL.iter().map(|ty| ty.name()));
            self.report(codes::TYPE, format!("`{word}` is no type"), nearest.map(|name| format!("did you mean `{name}`?")));
        }
        if ty.is_some() && word.bytes().any(|b| b.is_ascii_uppercase()) {
            let lower = word.to_ascii_lowercase();
            self.report(codes::TYPE_CASE, format!("`{word}` is written `{lower}`"), None);
        }
        self.advance();
        ty.unwrap_or(Type::Dynamic)
    }

    /// `typeof(type)`, including the keyword.
    pub(super) fn type_of(&mut self) -> Option<Type> {
        if !self.expect_word("typeof") {
            return None;
        }
        let open = self.at;
        self.expect("(");
        let ty = self.type_name();
        self.expect_closing(")", open);
        Some(ty)
    }

    /// `kind=inner hint.strategy=shuffle …`: as long as names in `known` or [`ANYWHERE`], or hints, precede `=`.
    pub(super) fn properties(&mut self, known: &[&'static str]) -> Vec<Property> {
        let mut properties = Vec::new();
        while let Some(property) = self.property(known) {
            properties.push(property);
        }
        properties
    }

    /// Like [`Self::properties`], optionally separated by commas.
    pub(super) fn property(&mut self, known: &[&'static str]) -> Option<Property> {
        known.iter().for_each(|name| self.want(Want::Option(*name)));
        let word = self.word()?;
        let start = self.peek().start;
        let hint = word == "hint" && self.ahead_is(1, ".") && self.ahead_word(2).is_some_and(|name| HINTS.contains(&name));
        let hint = hint && self.ahead_is(3, "=");
        if !hint && !((known.contains(&word) || ANYWHERE.contains(&word)) && self.ahead_is(1, "=")) {
            return None;
        }
        self.at += if hint { 3 } else { 1 };
        let place = self.place_from(start);
        self.advance();
        let name = Name { text: self.text[place.clone()].split_whitespace().collect(), place, quoted: false };
        if let Some(option) = known.iter().copied().find(|option| *option == name.text) {
            self.want(Want::Value { operator: self.operator, option });
        }
        Some(Property { name, value: self.property_value() })
    }

    /// A word, a name, a literal, or names in parentheses.
    pub(super) fn property_value(&mut self) -> Expr {
        let start = self.peek().start;
        match self.peek().kind {
            TokenKind::Word if self.truth(0).is_none() => {
                let name = self.any_word("a value");
                Expr { place: name.place.clone(), kind: ExprKind::Name(name) }
            }
            _ if self.is_quoted_name(0) => {
                let name = self.name(Use::Refer);
                Expr { place: name.place.clone(), kind: ExprKind::Name(name) }
            }
            TokenKind::Sign("(") => {
                let items = self.bracketed("(", ")", Self::property_value);
                Expr { kind: ExprKind::List(items), place: self.place_from(start) }
            }
            _ => self.literal_operand(),
        }
    }
}

/// The most similar of `names`, for a suggestion.
pub(super) fn nearest<'n>(word: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let lower = word.to_ascii_lowercase();
    names
        .map(|name| (strsim::damerau_levenshtein(&lower, name), name))
        .filter(|(distance, name)| *distance <= name.len().max(3) / 3)
        .min_by_key(|found| found.0)
        .map(|found| found.1)
}
