//! `dynamic(…)`: JSON extended by KQL strings and typed literals, converted to JSON text as printed by Kusto.

use model::Type;

use super::Parser;
use crate::Value;
use crate::syntax::ast::{Expr, ExprKind};
use crate::syntax::codes;
use crate::syntax::lexer::TokenKind;

impl Parser<'_> {
    /// `dynamic(json)`
    pub(super) fn dynamic(&mut self) -> Expr {
        let start = self.advance().start;
        let open = self.at;
        self.expect("(");
        let mut json = String::new();
        self.json(&mut json);
        self.expect_closing(")", open);
        Expr { kind: ExprKind::Dynamic(json), place: self.place_from(start) }
    }

    fn json(&mut self, out: &mut String) {
        let deep = self.enter();
        let open = self.at;
        match self.peek().kind {
            _ if !deep => out.push_str("null"),
            TokenKind::Sign("[") => {
                self.advance();
                out.push('[');
                if !self.is("]") {
                    self.json(out);
                    while self.eat(",") {
                        out.push(',');
                        self.json(out);
                    }
                }
                self.expect_closing("]", open);
                out.push(']');
            }
            TokenKind::Sign("{") => {
                self.advance();
                out.push('{');
                if !self.is("}") {
                    self.json_pair(out);
                    while self.eat(",") {
                        out.push(',');
                        self.json_pair(out);
                    }
                }
                self.expect_closing("}", open);
                out.push('}');
            }
            _ => self.json_scalar(out),
        }
        self.leave();
    }

    fn json_pair(&mut self, out: &mut String) {
        if self.peek().kind != TokenKind::String {
            self.no_json("a key in quotes");
            out.push_str("\"\":null");
            return;
        }
        quote(&self.string(), out);
        out.push(':');
        if !self.eat(":") {
            self.no_json("`:`");
            out.push_str("null");
            return;
        }
        self.json(out);
    }

    fn json_scalar(&mut self, out: &mut String) {
        if self.is_word("null") {
            self.advance();
            out.push_str("null");
            return;
        }
        let negative = self.is("-") && matches!(self.ahead(1).kind, TokenKind::Long | TokenKind::Real);
        if negative {
            self.advance();
            out.push('-');
        }
        let token = self.peek();
        let text = self.slice(token);
        if token.kind == TokenKind::Word && self.is_word("dynamic") && self.ahead_is(1, "(") {
            if let ExprKind::Dynamic(json) = self.dynamic().kind {
                out.push_str(&json);
            }
            return;
        }
        // Digits are kept as written if they are valid JSON: a number may be longer than a long.
        let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
            && !text.ends_with('.')
            && (text.len() == 1 || !text.starts_with('0') || text.starts_with("0."));
        if plain && matches!(token.kind, TokenKind::Long | TokenKind::Real) {
            self.advance();
            out.push_str(text);
            return;
        }
        let at = token.start..token.end;
        match self.literal() {
            Some(value) => {
                let typed = token.kind == TokenKind::Typed;
                match value {
                    Value::Int(_) | Value::Decimal(_) => {
                        self.report_at(codes::JSON_LITERAL, at, format!("`{text}` is no JSON value"), None);
                    }
                    // Recorded: the engine accepts `long(null)` and rejects `bool(true)` and `datetime(null)`.
                    Value::Bool(_) | Value::Null(Type::Bool | Type::Datetime | Type::Timespan | Type::Guid) if typed => {
                        let help = Some("write `true`, `false` or `null`".to_owned());
                        self.report_at(codes::JSON, at, format!("`{text}` is no JSON value"), help);
                    }
                    _ => {}
                }
                write(&value, out);
            }
            None => {
                self.no_json("a JSON value");
                out.push_str("null");
            }
        }
    }

    fn no_json(&mut self, what: &str) {
        let message = format!("expected {what}, found {}", self.found());
        self.report(codes::JSON, message, None);
    }
}

fn quote(text: &str, out: &mut String) {
    out.push_str(&serde_json::Value::from(text).to_string());
}

/// Writes a literal as JSON. Values without a JSON form are strings, formatted as by `tostring`.
fn write(value: &Value, out: &mut String) {
    match value {
        Value::Null(_) => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Int(n) => out.push_str(&n.to_string()),
        Value::Long(n) => out.push_str(&n.to_string()),
        Value::Real(x) if x.is_finite() => out.push_str(&format!("{x:?}")),
        Value::Real(x) => quote(
            if x.is_nan() {
                "NaN"
            } else if *x > 0.0 {
                "Infinity"
            } else {
                "-Infinity"
            },
            out,
        ),
        Value::Decimal(scaled) => {
            let digits = scaled.to_string();
            let (sign, digits) = digits.strip_prefix('-').map_or(("", digits.as_str()), |rest| ("-", rest));
            let digits = format!("{digits:0>35}");
            let (whole, fraction) = digits.split_at(digits.len() - 34);
            let number = format!("{sign}{whole}.{fraction}");
            quote(number.trim_end_matches('0').trim_end_matches('.'), out);
        }
        Value::String(text) | Value::Guid(text) => quote(text, out),
        Value::Datetime(ticks) => quote(&model::Timestamp::clamp_ticks(*ticks).to_string(), out),
        // Recorded: a literal inside `dynamic(…)` is its number of ticks.
        Value::Timespan(ticks) => out.push_str(&ticks.to_string()),
        Value::Dynamic(json) => out.push_str(json),
    }
}
