//! Recursive descent parser. Parsing never fails: missing or superfluous text gives a diagnostic and an
//! [`ExprKind::Error`](super::ast::ExprKind::Error) node, and parsing continues after it.
//!
//! | part | where |
//! |---|---|
//! | statements, functions, parameters | [`statements`] |
//! | expressions | [`expressions`] |
//! | names, argument lists, columns with types | [`lists`] |
//! | `dynamic(…)` | [`json`] |
//! | the table of operators, and the simple ones | [`operators`] |
//! | operators with their own grammar | [`joins`], [`shapes`], [`sources`], [`scan`], [`graph`] |
//!
//! Invariants: every loop consumes a token or ends; nesting is limited ([`MAX_DEPTH`]), counted in levels of the resulting tree, so that
//! recursive traversals are safe, too; each token gets at most one diagnostic.

mod expressions;
mod graph;
mod joins;
mod json;
mod lists;
mod operators;
mod scan;
mod shapes;
mod sources;
mod statements;

use model::{Diagnostic, DiagnosticKind};

use super::ast::{Name, Place, Script};
use super::codes::{self, Code};
use super::lexer::{Token, TokenKind, lex};
use super::wants::{Want, Wants};
use crate::watch;

pub use expressions::text_operators;
pub use operators::{OperatorDef, tabular_operators};
pub use sources::SOURCE_OPERATORS;

/// Maximum nesting depth of a text. A nested query counts [`QUERY_LEVELS`], because binding one needs that much more stack, and threads
/// have 2 MiB.
pub const MAX_DEPTH: usize = 200;

const QUERY_LEVELS: usize = 4;

/// Maximum number of diagnostics kept.
const MAX_DIAGNOSTICS: usize = 100;

/// Result of parsing: the syntax tree and diagnostics.
#[derive(Clone, Debug)]
pub struct Parsed {
    pub script: Script,
    pub diagnostics: Vec<Diagnostic>,
}

/// Parses a whole query text. Never fails and never panics. Diagnostics are in source order.
pub fn parse(text: &str) -> Parsed {
    parse_noting(text, Wants::default()).0
}

/// Like [`parse`]; also returns what the parser expected at the end of the text.
pub fn parse_wanting(text: &str) -> (Parsed, Vec<Want>) {
    let (parsed, wants) = parse_noting(text, Wants::asked());
    (parsed, wants.into_vec())
}

fn parse_noting(text: &str, wants: Wants) -> (Parsed, Wants) {
    let (tokens, diagnostics) = lex(text);
    let mut parser = Parser { text, tokens, at: 0, depth: 0, peak: 0, last: None, aggregating: false, operator: "", wants, diagnostics };
    let mut script = parser.script(None);
    if parser.peak > MAX_DEPTH {
        // Do not return a tree that is too deep to traverse.
        script = Script::default();
    }
    let mut diagnostics = parser.diagnostics;
    diagnostics.sort_by_key(|d| d.start);
    if diagnostics.len() > MAX_DIAGNOSTICS {
        diagnostics.truncate(MAX_DIAGNOSTICS);
        let Diagnostic { start, end, .. } = diagnostics[MAX_DIAGNOSTICS - 1];
        let message = format!("more than {MAX_DIAGNOSTICS} mistakes: the rest are not shown");
        diagnostics.push(Diagnostic { code: codes::TOO_MANY.code, kind: DiagnosticKind::Syntax, message, help: None, start, end });
    }
    (Parsed { script, diagnostics }, parser.wants)
}

struct Parser<'t> {
    text: &'t str,
    /// Terminated by one of kind `End`.
    tokens: Vec<Token>,
    at: usize,
    /// Current nesting depth.
    depth: usize,
    /// Maximum depth of the tree so far; see [`Parser::taller`].
    peak: usize,
    /// The token of the last diagnostic.
    last: Option<usize>,
    /// Expressions here may contain aggregate calls.
    aggregating: bool,
    /// The operator being parsed.
    operator: &'static str,
    wants: Wants,
    diagnostics: Vec<Diagnostic>,
}

impl<'t> Parser<'t> {
    fn peek(&self) -> Token {
        self.ahead(0)
    }

    fn ahead(&self, n: usize) -> Token {
        self.tokens[(self.at + n).min(self.tokens.len() - 1)]
    }

    fn advance(&mut self) -> Token {
        let token = self.peek();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    fn slice(&self, token: Token) -> &'t str {
        &self.text[token.start..token.end]
    }

    fn at_end(&self) -> bool {
        self.peek().kind == TokenKind::End
    }

    fn is(&self, sign: &str) -> bool {
        self.ahead_is(0, sign)
    }

    fn ahead_is(&self, n: usize, sign: &str) -> bool {
        matches!(self.ahead(n).kind, TokenKind::Sign(s) if s == sign)
    }

    fn eat(&mut self, sign: &str) -> bool {
        let found = self.is(sign);
        if found {
            self.advance();
        }
        found
    }

    /// The current word, if any.
    fn word(&self) -> Option<&'t str> {
        self.ahead_word(0)
    }

    fn ahead_word(&self, n: usize) -> Option<&'t str> {
        let token = self.ahead(n);
        (token.kind == TokenKind::Word).then(|| self.slice(token))
    }

    fn is_word(&self, word: &'static str) -> bool {
        self.want(Want::Word(word));
        self.word() == Some(word)
    }

    /// Records what is expected here if the text ends here. After a missing element, later elements are not recorded.
    fn want(&self, want: Want) {
        if self.at_end() && self.last != Some(self.at) {
            self.wants.note(want);
        }
    }

    fn eat_word(&mut self, word: &'static str) -> bool {
        let found = self.is_word(word);
        if found {
            self.advance();
        }
        found
    }

    /// True if token `n` starts where the previous one ends.
    fn touches(&self, n: usize) -> bool {
        let index = self.at + n;
        index > 0 && index < self.tokens.len() && self.tokens[index - 1].end == self.tokens[index].start
    }

    /// The end of the last consumed token.
    fn end(&self) -> usize {
        if self.at == 0 { 0 } else { self.tokens[self.at - 1].end }
    }

    fn place_from(&self, start: usize) -> Place {
        start..self.end().max(start)
    }

    fn expect(&mut self, sign: &str) -> bool {
        let found = self.eat(sign);
        if !found {
            self.expected(&format!("`{sign}`"));
        }
        found
    }

    fn expect_word(&mut self, word: &'static str) -> bool {
        let found = self.eat_word(word);
        if !found {
            if self.word().is_some_and(|found| found.eq_ignore_ascii_case(word)) {
                let message = format!("`{}` is written `{word}`", self.slice(self.peek()));
                self.report(codes::CASE, message, None);
                self.advance();
                return true;
            }
            self.expected(&format!("`{word}`"));
        }
        found
    }

    /// Expects the bracket that closes the one at token `open`.
    fn expect_closing(&mut self, sign: &str, open: usize) {
        if self.eat(sign) {
            return;
        }
        let opener = self.tokens[open.min(self.tokens.len() - 1)];
        let message = format!("`{}` is not closed: expected `{sign}`, found {}", self.slice(opener), self.found());
        self.report(codes::CLOSING, message, None);
        // Skip invalid text inside the brackets, if the closing one is within this operator.
        if let Some(closing) = self.find_closing(sign) {
            self.at = closing + 1;
        }
    }

    /// The index of the closing `sign` of the current brackets, unless the operator or statement ends first.
    fn find_closing(&self, sign: &str) -> Option<usize> {
        let mut open = 0usize;
        for (index, token) in self.tokens.iter().enumerate().skip(self.at) {
            match token.kind {
                TokenKind::Sign("(" | "[" | "{") => open += 1,
                TokenKind::Sign(s) if open == 0 && s == sign => return Some(index),
                TokenKind::Sign(")" | "]" | "}") if open == 0 => return None,
                TokenKind::Sign(")" | "]" | "}") => open -= 1,
                TokenKind::Sign("|" | ";") if open == 0 => return None,
                _ => {}
            }
        }
        None
    }

    /// Describes the current token, for messages.
    fn found(&self) -> String {
        let token = self.peek();
        match token.kind {
            TokenKind::End => "the end of the text".to_owned(),
            TokenKind::String => "a string".to_owned(),
            _ => format!("`{}`", self.slice(token).chars().take(40).collect::<String>()),
        }
    }

    fn expected(&mut self, what: &str) {
        let message = format!("expected {what}, found {}", self.found());
        self.report(codes::EXPECTED, message, None);
    }

    /// Reports a diagnostic at the current token.
    fn report(&mut self, code: Code, message: String, help: Option<String>) {
        let token = self.peek();
        if self.last == Some(self.at) {
            return;
        }
        self.last = Some(self.at);
        // The lexer has already reported it.
        if token.kind != TokenKind::Bad {
            self.report_at(code, token.start..token.end, message, help);
        }
    }

    fn report_at(&mut self, code: Code, place: Place, message: String, help: Option<String>) {
        let help = help.or_else(|| code.help.map(str::to_owned));
        self.diagnostics.push(Diagnostic {
            code: code.code,
            kind: DiagnosticKind::Syntax,
            message,
            help,
            start: place.start,
            end: place.end,
        });
    }

    /// Increases the nesting depth; if it is too deep, reports it, abandons the rest of the text and returns false.
    fn enter(&mut self) -> bool {
        self.enter_by(1)
    }

    fn enter_by(&mut self, levels: usize) -> bool {
        self.depth += levels;
        self.peak = self.peak.max(self.depth);
        if self.peak <= MAX_DEPTH && !watch::stopped() {
            return true;
        }
        self.give_up();
        false
    }

    fn leave(&mut self) {
        self.leave_by(1);
    }

    fn leave_by(&mut self, levels: usize) {
        self.depth -= levels;
    }

    /// Makes the tree built so far the child of another node. A chain such as `a + b + c` grows that way without recursion, so the height
    /// is counted here: `peak` is the maximum depth of any node. Returns false if it is too deep.
    fn taller(&mut self) -> bool {
        self.peak += 1;
        if self.peak <= MAX_DEPTH {
            return true;
        }
        self.give_up();
        false
    }

    fn give_up(&mut self) {
        if !self.at_end() {
            let token = self.peek();
            // Diagnostics of a cancelled query are not read.
            let message = format!("the text is nested more than {MAX_DEPTH} levels deep here");
            self.report_at(codes::DEPTH, token.start..token.end, message, None);
            self.at = self.tokens.len() - 1;
        }
        // Suppress follow-up errors at the end of the text.
        self.last = Some(self.at);
    }

    /// Reports unexpected text and skips it up to the end of the operator or statement.
    fn leftover(&mut self) {
        let message = format!("unexpected {}", self.found());
        self.report(codes::LEFTOVER, message, None);
        self.skip_operator();
    }

    /// Skips to the next `|`, `;` or closing bracket, ignoring those in brackets opened from here on.
    fn skip_operator(&mut self) {
        let mut open = 0usize;
        while !self.at_end() {
            match self.peek().kind {
                TokenKind::Sign("(" | "[" | "{") => open += 1,
                TokenKind::Sign(")" | "]" | "}") if open == 0 => return,
                TokenKind::Sign(")" | "]" | "}") => open -= 1,
                TokenKind::Sign("|" | ";") if open == 0 => return,
                _ => {}
            }
            self.advance();
        }
    }

    /// Placeholder for a missing name.
    fn no_name(&self) -> Name {
        let at = self.peek().start;
        Name { text: String::new(), place: at..at, quoted: false }
    }
}
