//! KQL diagnostics in the format of Microsoft's APIs: `SyntaxError` and `SemanticError` with line and position.

use model::{Diagnostic, DiagnosticKind};
use serde_json::{Value, json};

use crate::refusal::Detail;

/// Line (from 1) and column (from 0, in UTF-16 units, as in .NET) of a byte offset.
pub fn place(text: &str, offset: usize) -> (usize, usize) {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let before = &text[..end];
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    (before.matches('\n').count() + 1, before[line_start..].encode_utf16().count())
}

/// The name of a kind of diagnostic.
fn word(kind: DiagnosticKind) -> &'static str {
    match kind {
        DiagnosticKind::Syntax => "SyntaxError",
        DiagnosticKind::Semantic => "SemanticError",
    }
}

/// A diagnostic as a `details` entry: message, position and help.
pub fn detail(text: &str, diagnostic: &Diagnostic) -> Detail {
    let (line, position) = place(text, diagnostic.start);
    let help = diagnostic.help.as_deref().map_or_else(String::new, |help| format!("; {help}"));
    Detail {
        code: word(diagnostic.kind).into(),
        message: format!("{}: {} (line {line}, position {position}){help}", diagnostic.code, diagnostic.message),
        target: None,
    }
}

/// A diagnostic in Azure Monitor's format for transforms: `SemanticError:0x00000006 at 2:25 : …`.
pub fn numbered(text: &str, diagnostic: &Diagnostic) -> String {
    let help = diagnostic.help.as_deref().map_or_else(String::new, |help| format!("; {help}"));
    numbered_at(text, diagnostic.start, diagnostic.kind, &format!("{}{help}", diagnostic.message))
}

/// As [`numbered`], for a message.
pub fn numbered_at(text: &str, offset: usize, kind: DiagnosticKind, message: &str) -> String {
    let (line, position) = place(text, offset);
    let number = match kind {
        DiagnosticKind::Syntax => "0x00000001",
        DiagnosticKind::Semantic => "0x00000006",
    };
    format!("{}:{number} at {line}:{position} : {message}", word(kind))
}

/// A diagnostic as Log Analytics' nested `innererror`.
pub fn inner(text: &str, diagnostic: &Diagnostic) -> Value {
    let (line, position) = place(text, diagnostic.start);
    let token: String = text.get(diagnostic.start..diagnostic.end).unwrap_or_default().chars().take(200).collect();
    let help = diagnostic.help.as_deref().map_or_else(String::new, |help| format!("; {help}"));
    let sentence = match diagnostic.kind {
        DiagnosticKind::Syntax => "A recognition error occurred in the query.",
        DiagnosticKind::Semantic => "A semantic error occurred.",
    };
    json!({
        "code": word(diagnostic.kind), "message": sentence, "line": line, "pos": position, "token": token,
        "innererror": {
            "code": diagnostic.code, "message": format!("{}{help} (line {line}, position {position})", diagnostic.message),
            "line": line, "pos": position, "token": token,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_lines_and_utf16_positions() {
        let text = "T\n| where a == '😀' bad";
        assert_eq!(place(text, 0), (1, 0));
        // Expected: `| where a == '` is 14 units, the emoji 2, then the quote and a space.
        assert_eq!(place(text, text.find("bad").unwrap()), (2, 18));
        assert_eq!(place(text, 10_000), (2, 21));
    }
}
