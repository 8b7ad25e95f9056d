//! The lexical context of a position: inside a word, string or comment, and the enclosing operator and calls.

use crate::syntax::lexer::{Token, TokenKind, lex};

/// An opening bracket that is not closed before the position.
#[derive(Clone, Copy, Debug)]
pub struct Open {
    /// Index of its token.
    pub token: usize,
    /// Commas after it, outside inner brackets.
    pub commas: usize,
}

/// The context before a position.
pub struct Before {
    pub tokens: Vec<Token>,
    /// Start of the enclosing operator's keyword; `None` before the first `|`.
    pub operator: Option<usize>,
    /// Enclosing brackets within that operator, innermost first.
    pub open: Vec<Open>,
}

impl Before {
    /// The enclosing operator, given where operators are `known` to start: the first operator of a parenthesised pipe has no bar before it.
    pub fn operator_of(&self, known: impl Fn(usize) -> bool) -> Option<usize> {
        let first = |open: &Open| self.tokens.get(open.token + 1).map(|token| token.start).filter(|start| known(*start));
        self.open.iter().find_map(first).or(self.operator)
    }
}

/// The tokens of `text`, which ends at the position, and their context.
pub fn before(text: &str) -> Before {
    let mut tokens = lex(text).0;
    tokens.retain(|token| token.kind != TokenKind::End);
    let mut open = Vec::new();
    let mut operator = None;
    let (mut closed, mut commas) = (0usize, 0usize);
    for (index, token) in tokens.iter().enumerate().rev() {
        match token.kind {
            TokenKind::Sign(")" | "]" | "}") => closed += 1,
            TokenKind::Sign("(" | "[" | "{") if closed > 0 => closed -= 1,
            TokenKind::Sign("(" | "[" | "{") => {
                open.push(Open { token: index, commas });
                commas = 0;
            }
            TokenKind::Sign(",") if closed == 0 => commas += 1,
            TokenKind::Sign("|") if closed == 0 => {
                operator = Some(tokens.get(index + 1).map_or(text.len(), |next| next.start));
                break;
            }
            TokenKind::Sign(";") if closed == 0 => break,
            _ => {}
        }
    }
    Before { tokens, operator, open }
}

/// True if the end of `text` is inside a string, a typed literal or a comment, where nothing is completed.
pub fn is_opaque(text: &str) -> bool {
    let (tokens, wrong) = lex(text);
    let last = tokens.iter().rev().find(|token| token.kind != TokenKind::End);
    let gap = &text[last.map_or(0, |token| token.end)..];
    if gap.rsplit('\n').next().is_some_and(|line| line.contains("//")) {
        return true;
    }
    // A string or literal terminated only by the end of the text.
    last.is_some_and(|last| {
        matches!(last.kind, TokenKind::String | TokenKind::Typed)
            && last.end == text.len()
            && wrong.iter().any(|wrong| wrong.start == last.start)
    })
}

/// The token that contains or ends at `offset`; words are preferred.
pub fn token_at(text: &str, offset: usize) -> Option<Token> {
    let (tokens, _) = lex(text);
    let touching = || tokens.iter().filter(|token| token.kind != TokenKind::End && token.start <= offset && offset <= token.end);
    touching().find(|token| token.kind == TokenKind::Word).or_else(|| touching().find(|token| offset < token.end)).copied()
}
