//! Which texts can be bound without a time.
//!
//! A call of `now` that is not folded is evaluated when the plan runs. Some operators need its value, or name their columns otherwise, when
//! they are bound; so only the operators of usual transformations are recognised here, which pass it on as a value of a row.

use crate::syntax::lexer::{TokenKind, lex};

/// First words of operators that compute rows one by one.
const ROW_WISE: &[&str] = &["extend", "filter", "parse", "project", "where"];

/// Words behind which constants are read when the query is bound.
const NEEDS_CONSTANTS: &[&str] = &["assert", "datatable", "externaldata", "find", "print", "range", "search", "union"];

/// True if the text is a table and operators that compute rows one by one.
pub(super) fn is_row_wise(text: &str) -> bool {
    let (tokens, diagnostics) = lex(text);
    if !diagnostics.is_empty() {
        return false;
    }
    let word = |at: usize| {
        let token = tokens.get(at)?;
        (token.kind == TokenKind::Word).then(|| &text[token.start..token.end])
    };
    let is_pipe = |at: usize| tokens.get(at).is_some_and(|token| token.kind == TokenKind::Sign("|"));
    word(0).is_some()
        && is_pipe(1)
        && (0..tokens.len()).all(|at| {
            let allowed = word(at).is_none_or(|word| !NEEDS_CONSTANTS.contains(&word)) && tokens[at].kind != TokenKind::Sign(";");
            allowed && (!is_pipe(at) || word(at + 1).is_some_and(|word| ROW_WISE.contains(&word)))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transformations_are_recognised() {
        for text in ["source | extend TimeGenerated = now()", "source\n| where a > ago(1h)\n| project-away b | parse x with * 'a' y:long *"]
        {
            assert!(is_row_wise(text), "{text}");
        }
        for text in [
            "source",
            "let t = now(); source | where a > t",
            "source | summarize count() by now()",
            "source | where a in ((datatable(t: long)[1]))",
            "print t = now() | extend b = t",
            "source | extend a = now();",
            "source | extend a = 'open",
        ] {
            assert!(!is_row_wise(text), "{text}");
        }
    }
}
