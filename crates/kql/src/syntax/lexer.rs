//! The lexer. Every byte of the text belongs to one token, to white space or to a comment; invalid text becomes a token of kind
//! [`TokenKind::Bad`] with a diagnostic, so that the parser always sees the whole text.
//!
//! Keywords are contextual and are recognised by the parser. Typed literals (`datetime(2020-01-01)`) are one token, because the text in
//! their parentheses has no token structure. The rules follow Microsoft's parser.

use model::{Diagnostic, DiagnosticKind};

use super::codes::{self, Code};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token {
    pub kind: TokenKind,
    pub start: usize,
    pub end: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// `Account`, `where`, `$left`, `in~`, `!has`.
    Word,
    /// `12`, `0x1F`
    Long,
    /// `1.5`, `1e3`
    Real,
    /// `1d`, `2.5h`
    Timespan,
    /// `"…"`, `'…'`, `@"…"`, `h"…"`, ` ```…``` `
    String,
    /// `datetime(…)` and similar, except dynamic.
    Typed,
    /// Punctuation, longest match.
    Sign(&'static str),
    /// Invalid text; a diagnostic gives the reason.
    Bad,
    End,
}

/// Longest first.
const SIGNS: &[&str] = &[
    "=>", "=~", "==", "!=", "!~", "<>", "<=", ">=", "..", "=", "<", ">", ".", ",", ";", ":", "(", ")", "[", "]", "{", "}", "|", "+", "-",
    "*", "/", "%",
];

/// Words that may be prefixed with `!`.
const NEGATABLE: &[&str] = &[
    "in~",
    "in",
    "between",
    "contains_cs",
    "contains",
    "endswith_cs",
    "endswith",
    "startswith_cs",
    "startswith",
    "hasprefix_cs",
    "hasprefix",
    "hassuffix_cs",
    "hassuffix",
    "has_cs",
    "has",
];

/// Words that form a literal with a directly following parenthesis.
const TYPED: &[&str] =
    &["bool", "date", "datetime", "decimal", "double", "guid", "int", "int32", "int64", "long", "real", "time", "timespan"];

const UNITS: &[&str] = &[
    "d",
    "day",
    "days",
    "h",
    "hour",
    "hours",
    "hr",
    "hrs",
    "m",
    "micro",
    "micros",
    "microsec",
    "microsecond",
    "microseconds",
    "milli",
    "millis",
    "millisec",
    "millisecond",
    "milliseconds",
    "min",
    "minute",
    "minutes",
    "ms",
    "nano",
    "nanos",
    "nanosec",
    "nanosecond",
    "nanoseconds",
    "s",
    "sec",
    "second",
    "seconds",
    "tick",
    "ticks",
];

/// Client directives before a query, one per line: `#save`, `#connect …`. Microsoft's parser skips them.
const DIRECTIVES: &[&str] = &[
    "automate",
    "browse",
    "connect",
    "crp",
    "database",
    "download",
    "qp",
    "query",
    "run",
    "save",
    "sqr",
    "truesight",
    "upload",
    "welcome",
];

const FENCES: [&[u8]; 2] = [b"```", b"~~~"];

/// The tokens of a text, terminated by one of kind [`TokenKind::End`], and diagnostics.
pub fn lex(text: &str) -> (Vec<Token>, Vec<Diagnostic>) {
    let mut lexer = Lexer { text, bytes: text.as_bytes(), at: 0, diagnostics: Vec::new() };
    let mut tokens = Vec::with_capacity(text.len() / 5 + 1);
    lexer.directives();
    loop {
        let token = lexer.next();
        tokens.push(token);
        if token.kind == TokenKind::End {
            return (tokens, lexer.diagnostics);
        }
    }
}

struct Lexer<'t> {
    text: &'t str,
    bytes: &'t [u8],
    at: usize,
    diagnostics: Vec<Diagnostic>,
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

impl Lexer<'_> {
    fn next(&mut self) -> Token {
        self.skip_blank();
        let start = self.at;
        let kind = self.token();
        debug_assert!(self.at > start || kind == TokenKind::End);
        Token { kind, start, end: self.at }
    }

    fn peek(&self, ahead: usize) -> u8 {
        self.bytes.get(self.at + ahead).copied().unwrap_or(0)
    }

    fn diagnose(&mut self, code: Code, start: usize, end: usize, message: String) {
        let help = code.help.map(str::to_owned);
        self.diagnostics.push(Diagnostic { code: code.code, kind: DiagnosticKind::Syntax, message, help, start, end });
    }

    /// Skips white space, including Unicode's (also a byte order mark and a zero-width space, which occur in pasted text), and `//`
    /// comments.
    fn skip_blank(&mut self) {
        while let Some(&byte) = self.bytes.get(self.at) {
            if byte.is_ascii_whitespace() || byte == 0x0b {
                self.at += 1;
            } else if byte == b'/' && self.peek(1) == b'/' {
                self.at += self.bytes[self.at..].iter().position(|b| *b == b'\n').unwrap_or(self.bytes.len() - self.at);
            } else if let Some(c) =
                self.text[self.at..].chars().next().filter(|c| !c.is_ascii() && (c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}')))
            {
                self.at += c.len_utf8();
            } else {
                return;
            }
        }
    }

    /// Skips directives at the start of the text, one per line.
    fn directives(&mut self) {
        loop {
            self.skip_blank();
            let start = self.at;
            if self.peek(0) != b'#' {
                return;
            }
            let line = self.text[start..].find(['\n', '\r']).map_or(self.text.len(), |length| start + length);
            let directive = self.text[start..line].trim_end();
            let name = directive[1..].split(|c: char| !c.is_ascii_alphanumeric()).next().unwrap_or("");
            let elsewhere = matches!(name, "connect" | "database") && directive.len() > name.len() + 1;
            if !DIRECTIVES.contains(&name) {
                self.diagnose(codes::DIRECTIVE, start, start + 1 + name.len(), format!("unknown directive `#{name}`"));
            } else if elsewhere {
                let message = format!("`#{name}` names another cluster or database, and queries here reach this workspace only");
                self.diagnose(codes::DIRECTIVE, start, start + directive.len(), message);
            }
            self.at = line;
        }
    }

    fn token(&mut self) -> TokenKind {
        let byte = self.peek(0);
        if self.at >= self.bytes.len() {
            return TokenKind::End;
        }
        if let Some(kind) = self.string() {
            return kind;
        }
        if byte.is_ascii_digit() {
            return self.number();
        }
        if is_word(byte) || (byte == b'$' && is_word(self.peek(1)) && !self.peek(1).is_ascii_digit()) {
            return self.word();
        }
        if byte == b'!' {
            let rest = &self.text[self.at + 1..];
            if let Some(word) =
                NEGATABLE.iter().find(|word| rest.starts_with(**word) && !rest.as_bytes().get(word.len()).copied().is_some_and(is_word))
            {
                self.at += 1 + word.len();
                return TokenKind::Word;
            }
        }
        let rest = &self.bytes[self.at..];
        if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(sign.as_bytes())) {
            self.at += sign.len();
            return TokenKind::Sign(sign);
        }
        let start = self.at;
        let c = self.text[start..].chars().next().unwrap_or('\0');
        self.at += c.len_utf8();
        let message = format!("`{}` means nothing here", c.escape_default());
        self.diagnose(codes::CHARACTER, start, self.at, message);
        if let Some(help) = mend(c)
            && let Some(last) = self.diagnostics.last_mut()
        {
            last.help = Some(help.to_owned());
        }
        TokenKind::Bad
    }

    fn word(&mut self) -> TokenKind {
        let start = self.at;
        self.at += 1;
        while is_word(self.peek(0)) {
            self.at += 1;
        }
        let word = &self.text[start..self.at];
        if word == "in" && self.peek(0) == b'~' {
            self.at += 1;
        } else if self.peek(0) == b'(' && TYPED.contains(&word) {
            return self.typed(start);
        }
        TokenKind::Word
    }

    /// From the parenthesis to the next closing one on the line. A string literal inside may contain anything.
    fn typed(&mut self, start: usize) -> TokenKind {
        let line = self.bytes[self.at..].iter().position(|b| matches!(b, b'\n' | b'\r')).map_or(self.bytes.len(), |n| self.at + n);
        match self.bytes[self.at..line].iter().position(|b| *b == b')') {
            Some(n) => self.at += n + 1,
            None => {
                self.at = line;
                let message = format!("`{}` has no closing parenthesis", &self.text[start..line].trim_end());
                self.diagnose(codes::OPEN_LITERAL, start, line, message);
            }
        }
        TokenKind::Typed
    }

    fn number(&mut self) -> TokenKind {
        let start = self.at;
        let digits = |lexer: &mut Self| {
            let from = lexer.at;
            while lexer.peek(0).is_ascii_digit() {
                lexer.at += 1;
            }
            lexer.at > from
        };
        if self.peek(0) == b'0' && matches!(self.peek(1), b'x' | b'X') && self.peek(2).is_ascii_hexdigit() {
            self.at += 2;
            while self.peek(0).is_ascii_hexdigit() {
                self.at += 1;
            }
            return TokenKind::Long;
        }
        digits(self);
        let mut kind = TokenKind::Long;
        if self.peek(0) == b'.' && self.peek(1) != b'.' {
            self.at += 1;
            digits(self);
            kind = TokenKind::Real;
        }
        let exponent = usize::from(matches!(self.peek(1), b'+' | b'-'));
        if matches!(self.peek(0), b'e' | b'E') && self.peek(1 + exponent).is_ascii_digit() {
            self.at += 1 + exponent;
            digits(self);
            kind = TokenKind::Real;
        }
        let number = self.at;
        while is_word(self.peek(0)) {
            self.at += 1;
        }
        if self.at == number {
            return kind;
        }
        if UNITS.contains(&&self.text[number..self.at]) {
            return TokenKind::Timespan;
        }
        if self.bytes[start..self.at].iter().all(|b| is_word(*b)) {
            // A name may start with a digit.
            return TokenKind::Word;
        }
        self.at = number;
        kind
    }

    /// A string of any form, or `None` if no string starts here.
    fn string(&mut self) -> Option<TokenKind> {
        let start = self.at;
        let mut open = self.at + usize::from(matches!(self.peek(0), b'h' | b'H'));
        for fence in FENCES {
            if self.bytes[open..].starts_with(fence) {
                self.at = open + 3;
                match self.bytes[self.at..].windows(3).position(|three| three == fence) {
                    Some(n) => self.at += n + 3,
                    None => {
                        self.at = self.bytes.len();
                        self.diagnose(codes::OPEN_STRING, start, open + 3, "this text has no closing ```".to_owned());
                    }
                }
                return Some(TokenKind::String);
            }
        }
        let verbatim = self.bytes.get(open) == Some(&b'@');
        open += usize::from(verbatim);
        let quote = self.bytes.get(open).copied().filter(|b| matches!(b, b'"' | b'\''))?;
        self.at = open + 1;
        loop {
            match self.peek(0) {
                b'\n' | b'\r' => break,
                0 if self.at >= self.bytes.len() => break,
                b if b == quote && verbatim && self.peek(1) == quote => self.at += 2,
                b if b == quote => {
                    self.at += 1;
                    return Some(TokenKind::String);
                }
                b'\\' if !verbatim => self.escape(),
                _ => self.at += 1,
            }
        }
        self.diagnose(codes::OPEN_STRING, start, self.at, "this string has no closing quote".to_owned());
        Some(TokenKind::String)
    }

    /// Skips a backslash escape.
    fn escape(&mut self) {
        let start = self.at;
        let hex = |lexer: &Self, n: usize| (2..2 + n).all(|i| lexer.peek(i).is_ascii_hexdigit());
        let length = match self.peek(1) {
            b'\\' | b'"' | b'\'' | b'a' | b'b' | b'f' | b'n' | b'r' | b't' | b'v' => 2,
            b'0'..=b'7' => 2 + (2..4).take_while(|i| matches!(self.peek(*i), b'0'..=b'7')).count(),
            b'x' if hex(self, 2) => 4,
            b'u' if hex(self, 4) => 6,
            b'U' if hex(self, 8) => 10,
            _ => 0,
        };
        if length > 0 {
            self.at += length;
            return;
        }
        self.at += 1;
        let what = self.text[self.at..].chars().next().filter(|c| !matches!(c, '\n' | '\r'));
        let end = self.at + what.map_or(0, char::len_utf8);
        let message = format!("strings know no escape `\\{}`", what.map_or(String::new(), String::from));
        self.diagnose(codes::ESCAPE, start, end, message);
        // After a backslash at the end of a line, the line break still terminates the string.
        self.at = end;
    }
}

/// The probably intended replacement of an invalid character.
fn mend(c: char) -> Option<&'static str> {
    Some(match c {
        '“' | '”' | '„' | '‘' | '’' => "use straight quotes: \" or '",
        '&' => "use `and`",
        '!' => "use `not(…)`, `!=`, `!in` or another negated operator",
        '–' | '—' => "use `-`",
        '#' => "a comment begins with `//`",
        c if c.is_alphabetic() => "a name with other letters is written `['…']`",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<(TokenKind, &str)> {
        lex(text).0.into_iter().filter(|t| t.kind != TokenKind::End).map(|t| (t.kind, &text[t.start..t.end])).collect()
    }

    #[test]
    fn numbers_timespans_and_names_starting_with_digits() {
        use TokenKind::*;
        let expected = vec![
            (Long, "12"),
            (Long, "0x1F"),
            (Real, "1.5"),
            (Real, "1e3"),
            (Real, "5."),
            (Timespan, "1d"),
            (Timespan, "2.5h"),
            (Timespan, "5.d"),
            (Word, "1x"),
            (Word, "1e"),
            (Long, "1"),
            (Sign(".."), ".."),
            (Long, "2"),
        ];
        assert_eq!(kinds("12 0x1F 1.5 1e3 5. 1d 2.5h 5.d 1x 1e 1..2"), expected);
    }

    #[test]
    fn strings_of_every_form() {
        for text in [r#""a\"b""#, r"'a\'b'", r#"@"a\""b""#, r"@'\'", "h\"x\"", "H@'x'", "```a\nb```", "~~~a\nb~~~", r#""\u0041\x41\101\0""#]
        {
            let (tokens, diagnostics) = lex(text);
            assert!(diagnostics.is_empty(), "{text}: {diagnostics:?}");
            assert_eq!((tokens.len(), tokens[0].end), (2, text.len()), "{text}");
        }
    }

    #[test]
    fn unterminated_strings_are_reported_and_end_with_the_line() {
        for (text, code) in [
            ("\"abc\nd", "KQL0002"),
            ("'a\\", "KQL0003"),
            (r#""\q""#, "KQL0003"),
            ("```abc", "KQL0002"),
            ("datetime(2020\n1", "KQL0004"),
            ("ß", "KQL0001"),
        ] {
            assert_eq!(lex(text).1[0].code, code, "{text}");
        }
    }

    #[test]
    fn typed_literals_need_an_adjacent_parenthesis() {
        use TokenKind::*;
        assert_eq!(kinds("datetime(2020-01-01 10:00)"), vec![(Typed, "datetime(2020-01-01 10:00)")]);
        assert_eq!(kinds("long (5)")[0], (Word, "long"));
        assert_eq!(
            kinds("a in~ b !in~ c !has_any"),
            vec![(Word, "a"), (Word, "in~"), (Word, "b"), (Word, "!in~"), (Word, "c"), (Bad, "!"), (Word, "has_any")]
        );
    }
}
