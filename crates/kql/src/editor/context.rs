//! Where in the text a place is: inside a word, a string or a comment, in which operator, in which calls.

use crate::syntax::lexer::{Token, TokenKind, lex};

/// An opening bracket that is not closed before the place.
#[derive(Clone, Copy, Debug)]
pub struct Open {
    /// Index of its token.
    pub token: usize,
    /// Commas behind it, outside inner brackets.
    pub commas: usize,
}

/// What stands in front of a place.
pub struct Before {
    pub tokens: Vec<Token>,
    /// Where the keyword of the operator begins that the place is in; nothing in front of the first `|`.
    pub operator: Option<usize>,
    /// Brackets around the place within that operator, the innermost first.
    pub open: Vec<Open>,
}

impl Before {
    /// The operator that the place is in, among those whose keywords are `known` to begin: the first one of a pipe in parentheses has no
    /// bar in front.
    pub fn operator_of(&self, known: impl Fn(usize) -> bool) -> Option<usize> {
        let first = |open: &Open| self.tokens.get(open.token + 1).map(|token| token.start).filter(|start| known(*start));
        self.open.iter().find_map(first).or(self.operator)
    }
}

/// The tokens of `text`, which ends at the place, and what they are inside of.
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

/// True where the end of `text` is inside a string, a typed literal or a comment, in which nothing is completed.
pub fn is_opaque(text: &str) -> bool {
    let (tokens, wrong) = lex(text);
    let last = tokens.iter().rev().find(|token| token.kind != TokenKind::End);
    let gap = &text[last.map_or(0, |token| token.end)..];
    if gap.rsplit('\n').next().is_some_and(|line| line.contains("//")) {
        return true;
    }
    // A string or literal that the end of the text closes, because nothing else does.
    last.is_some_and(|last| {
        matches!(last.kind, TokenKind::String | TokenKind::Typed)
            && last.end == text.len()
            && wrong.iter().any(|wrong| wrong.start == last.start)
    })
}

/// The token that `offset` is in or right behind, words preferred.
pub fn token_at(text: &str, offset: usize) -> Option<Token> {
    let (tokens, _) = lex(text);
    let touching = || tokens.iter().filter(|token| token.kind != TokenKind::End && token.start <= offset && offset <= token.end);
    touching().find(|token| token.kind == TokenKind::Word).or_else(|| touching().find(|token| offset < token.end)).copied()
}
