//! Syntax highlighting by tokens alone, so that it is immediate while typing.

use super::reference;
use crate::syntax::ast::Place;
use crate::syntax::keywords;
use crate::syntax::lexer::{TokenKind, lex};
use crate::syntax::parser::text_operators;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Paint {
    Comment,
    Text,
    Number,
    /// A tabular operator, `let`, `by`, a string operator.
    Keyword,
    Function,
    Sign,
    /// An invalid character.
    Wrong,
}

/// The highlighted spans, in order. Names have none.
pub fn highlight(text: &str) -> Vec<(Place, Paint)> {
    let (tokens, _) = lex(text);
    let mut parts = Vec::with_capacity(tokens.len());
    let mut end = 0;
    let slice = |index: usize| tokens.get(index).map_or("", |token| &text[token.start..token.end]);
    for (index, token) in tokens.iter().enumerate() {
        comments(text, end..token.start, &mut parts);
        end = token.end;
        let word = &text[token.start..token.end];
        let paint = match token.kind {
            TokenKind::String => Paint::Text,
            TokenKind::Long | TokenKind::Real | TokenKind::Timespan | TokenKind::Typed => Paint::Number,
            TokenKind::Sign(_) => Paint::Sign,
            TokenKind::Bad => Paint::Wrong,
            TokenKind::End => continue,
            TokenKind::Word => {
                let first = index == 0 || matches!(slice(index - 1), "|" | "(" | ";" | "{");
                let behind_bar = index > 0 && slice(index - 1) == "|";
                let hyphened = index > 0 && slice(index - 1) == "-" && tokens[index - 1].end == token.start;
                let spelled = || {
                    // The parts of `project-away` are one name.
                    let from = text[..token.start].trim_end_matches(|c: char| c.is_ascii_alphanumeric() || c == '-').len();
                    let to = token.end
                        + text[token.end..].find(|c: char| !(c.is_ascii_alphanumeric() || c == '-')).unwrap_or(text.len() - token.end);
                    reference::operator(&text[from..to]).is_some()
                };
                if slice(index + 1) == "(" && !behind_bar && reference::callable(word).is_some() {
                    Paint::Function
                } else if (first || hyphened) && spelled()
                    || text_operators().any(|operator| operator == word)
                    || matches!(
                        word,
                        "by" | "on" | "asc" | "desc" | "with" | "let" | "set" | "declare" | "true" | "false" | "matches" | "regex"
                    )
                    || !keywords::may_refer(word)
                {
                    Paint::Keyword
                } else {
                    continue;
                }
            }
        };
        parts.push((token.start..token.end, paint));
    }
    parts
}

/// Comments in the gap between two tokens.
fn comments(text: &str, gap: Place, parts: &mut Vec<(Place, Paint)>) {
    let mut at = gap.start;
    while let Some(from) = text[at..gap.end].find("//").map(|n| at + n) {
        let to = text[from..gap.end].find('\n').map_or(gap.end, |n| from + n);
        parts.push((from..to, Paint::Comment));
        at = to;
    }
}
