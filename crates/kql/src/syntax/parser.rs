//! Tokens to a syntax tree, by recursive descent. Parsing never fails: where something is missing or superfluous a diagnostic says so, the
//! tree gets [`ExprKind::Error`](super::ast::ExprKind::Error) in its place, and parsing goes on behind it.
//!
//! | part | where |
//! |---|---|
//! | statements, functions, parameters | [`statements`] |
//! | expressions | [`expressions`] |
//! | names, argument lists, columns with types | [`lists`] |
//! | `dynamic(…)` | [`json`] |
//! | the table of operators, and the simple ones | [`operators`] |
//! | operators with a grammar of their own | [`joins`], [`shapes`], [`sources`], [`scan`], [`graph`] |
//!
//! Invariants: every loop consumes a token or ends; nesting has a bound ([`MAX_DEPTH`]), counted in levels of the resulting tree, so that
//! whoever walks the tree by recursion is safe too; one token gets at most one diagnostic.

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

/// Levels of nesting that a text may have. A query within a query weighs [`QUERY_LEVELS`], because binding one takes that much more of the
/// stack, and threads have 2 MiB.
pub const MAX_DEPTH: usize = 200;

const QUERY_LEVELS: usize = 4;

/// Diagnostics that are kept; the rest only says the same.
const MAX_DIAGNOSTICS: usize = 100;

/// What was understood of a text, and what was wrong with it.
#[derive(Clone, Debug)]
pub struct Parsed {
    pub script: Script,
    pub diagnostics: Vec<Diagnostic>,
}

/// Parses a whole query text. Never fails and never panics, whatever the text. Diagnostics are in the order of their places.
pub fn parse(text: &str) -> Parsed {
    parse_noting(text, Wants::default()).0
}

/// As [`parse`], and what could stand where the text ends.
pub fn parse_wanting(text: &str) -> (Parsed, Vec<Want>) {
    let (parsed, wants) = parse_noting(text, Wants::asked());
    (parsed, wants.into_vec())
}

fn parse_noting(text: &str, wants: Wants) -> (Parsed, Wants) {
    let (tokens, diagnostics) = lex(text);
    let mut parser = Parser { text, tokens, at: 0, depth: 0, peak: 0, last: None, aggregating: false, operator: "", wants, diagnostics };
    let mut script = parser.script(None);
    if parser.peak > MAX_DEPTH {
        // Nobody shall walk half a tree that is too deep.
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
    /// Closed by one of kind `End`.
    tokens: Vec<Token>,
    at: usize,
    /// Levels open now.
    depth: usize,
    /// The deepest level of the tree so far; see [`Parser::taller`].
    peak: usize,
    /// The token that the last diagnostic was about.
    last: Option<usize>,
    /// Expressions here may hold aggregate calls.
    aggregating: bool,
    /// The operator that is being read.
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

    /// The word here, if there is one.
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

    /// Notes what could stand here, where the text ends here. Once something is missing, what would follow it is not asked for yet.
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

    /// True where token `n` begins where the one before it ends.
    fn touches(&self, n: usize) -> bool {
        let index = self.at + n;
        index > 0 && index < self.tokens.len() && self.tokens[index - 1].end == self.tokens[index].start
    }

    /// Where the last token that was consumed ends.
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

    /// The bracket that closes the one at token `open`.
    fn expect_closing(&mut self, sign: &str, open: usize) {
        if self.eat(sign) {
            return;
        }
        let opener = self.tokens[open.min(self.tokens.len() - 1)];
        let message = format!("`{}` is not closed: expected `{sign}`, found {}", self.slice(opener), self.found());
        self.report(codes::CLOSING, message, None);
        // What cannot be understood inside the brackets is passed over, if the closing one stands in this operator.
        if let Some(closing) = self.find_closing(sign) {
            self.at = closing + 1;
        }
    }

    /// The index of the closing `sign` of the brackets that we are in, unless the operator or statement ends before.
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

    /// What stands here, for messages.
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

    /// A diagnostic about the token here.
    fn report(&mut self, code: Code, message: String, help: Option<String>) {
        let token = self.peek();
        if self.last == Some(self.at) {
            return;
        }
        self.last = Some(self.at);
        // The lexer has already said what is wrong with it.
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

    /// Goes one level down; false, with a diagnostic and the rest of the text given up, where that is too deep.
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

    /// The tree built so far becomes the child of one more node. A chain such as `a + b + c` grows that way without going down a level, so
    /// the height is counted here: `peak` is the depth of the lowest node, wherever it stands. False where that is too deep.
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
            // Nobody reads what a stopped query finds.
            let message = format!("the text is nested more than {MAX_DEPTH} levels deep here");
            self.report_at(codes::DEPTH, token.start..token.end, message, None);
            self.at = self.tokens.len() - 1;
        }
        // What the end of the text would still give is noise.
        self.last = Some(self.at);
    }

    /// Says that what stands here does not belong, and passes over it up to the end of the operator or statement.
    fn leftover(&mut self) {
        let message = format!("unexpected {}", self.found());
        self.report(codes::LEFTOVER, message, None);
        self.skip_operator();
    }

    /// Up to the next `|`, `;` or closing bracket that is not within brackets opened from here on.
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

    /// A name that could not be read.
    fn no_name(&self) -> Name {
        let at = self.peek().start;
        Name { text: String::new(), place: at..at, quoted: false }
    }
}
