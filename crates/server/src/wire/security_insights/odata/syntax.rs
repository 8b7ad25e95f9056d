//! Parser for `$filter`: the subset of OData 4 that Sentinel clients use.
//!
//! Grammar: `or` of `and` of `not` of comparisons, searches (`contains`, `startswith`, `endswith`), `in` lists, lambdas (`any`, `all`) and
//! parentheses; values are paths, `tolower`, `toupper`, `trim`, `length` and `indexof`. Source: OData 4.01 Part 2, 5.1.1.

use store::Comparison;

use crate::error::ApiError;

/// Maximum nesting and comparisons of a filter, below the limits of the database.
const MAX_DEPTH: usize = 32;
const MAX_TERMS: usize = 100;

const COMPARISONS: &[(&str, Comparison)] = &[
    ("eq", Comparison::Equal),
    ("ne", Comparison::NotEqual),
    ("gt", Comparison::Greater),
    ("ge", Comparison::GreaterOrEqual),
    ("lt", Comparison::Less),
    ("le", Comparison::LessOrEqual),
];

/// A condition. Positions are character offsets, for errors.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Expr {
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Not(Box<Expr>),
    Compare {
        left: Operand,
        comparison: Comparison,
        right: Literal,
        at: usize,
    },
    Search {
        search: Search,
        of: Operand,
        text: String,
    },
    /// `path/any(variable: inner)` or, with `every`, `path/all(…)`.
    Lambda {
        path: String,
        at: usize,
        variable: String,
        inner: Option<Box<Expr>>,
        every: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Search {
    Contains,
    StartsWith,
    EndsWith,
}

/// The left side of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Operand {
    Path(String, usize),
    Lower(Box<Operand>),
    Upper(Box<Operand>),
    Trim(Box<Operand>),
    Length(Box<Operand>),
    IndexOf(Box<Operand>, String),
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    Null,
    Text(String),
    /// A number, time or boolean, as written.
    Word(String),
}

/// Parses a `$filter`.
pub(super) fn parse(text: &str) -> Result<Expr, Wrong> {
    let mut parser = Parser { tokens: lex(text)?, at: 0, depth: 0, terms: 0, end: text.chars().count() };
    parser.whole()
}

/// A syntax error and its character offset.
#[derive(Debug)]
pub(super) struct Wrong {
    pub at: usize,
    pub message: String,
}

impl Wrong {
    pub fn refuse(self, parameter: &str) -> ApiError {
        ApiError::bad_request("BadRequest", format!("Invalid {parameter} at character {}: {}", self.at + 1, self.message)).target(parameter)
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Open,
    Close,
    Comma,
}

fn lex(text: &str) -> Result<Vec<(usize, Token)>, Wrong> {
    let chars: Vec<char> = text.chars().collect();
    let (mut tokens, mut at) = (Vec::new(), 0);
    while let Some(&c) = chars.get(at) {
        let start = at;
        match c {
            _ if c.is_whitespace() => at += 1,
            '(' | ')' | ',' => {
                tokens.push((
                    start,
                    if c == '(' {
                        Token::Open
                    } else if c == ')' {
                        Token::Close
                    } else {
                        Token::Comma
                    },
                ));
                at += 1;
            }
            '\'' => {
                let (text, end) = quoted(&chars, at)?;
                tokens.push((start, Token::Text(text)));
                at = end;
            }
            _ => {
                while chars.get(at).is_some_and(|c| !c.is_whitespace() && !matches!(c, '(' | ')' | ',' | '\'')) {
                    at += 1;
                }
                let word: String = chars[start..at].iter().collect();
                // OData 3 wrote `datetime'2026-01-01T00:00:00Z'`.
                if chars.get(at) == Some(&'\'') && ["datetime", "datetimeoffset", "guid"].iter().any(|kind| word.eq_ignore_ascii_case(kind))
                {
                    let (text, end) = quoted(&chars, at)?;
                    tokens.push((start, Token::Text(text)));
                    at = end;
                } else {
                    tokens.push((start, Token::Word(word)));
                }
            }
        }
    }
    Ok(tokens)
}

/// The quoted text that starts at `start`, where a doubled quote is an escaped one, and the position after it.
fn quoted(chars: &[char], start: usize) -> Result<(String, usize), Wrong> {
    let (mut text, mut at) = (String::new(), start + 1);
    loop {
        match (chars.get(at), chars.get(at + 1)) {
            (Some('\''), Some('\'')) => {
                text.push('\'');
                at += 2;
            }
            (Some('\''), _) => return Ok((text, at + 1)),
            (Some(c), _) => {
                text.push(*c);
                at += 1;
            }
            (None, _) => return Err(Wrong { at: start, message: "the text has no closing quotation mark.".to_owned() }),
        }
    }
}

struct Parser {
    tokens: Vec<(usize, Token)>,
    at: usize,
    depth: usize,
    terms: usize,
    end: usize,
}

type Parsed<T> = Result<T, Wrong>;

impl Parser {
    fn whole(&mut self) -> Parsed<Expr> {
        let filter = self.any()?;
        if self.at < self.tokens.len() {
            return Err(self.wrong("'and', 'or' or the end is expected."));
        }
        Ok(filter)
    }

    fn any(&mut self) -> Parsed<Expr> {
        let mut parts = vec![self.every()?];
        while self.take_word("or") {
            parts.push(self.every()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expr::Or(parts) })
    }

    fn every(&mut self) -> Parsed<Expr> {
        let mut parts = vec![self.one()?];
        while self.take_word("and") {
            parts.push(self.one()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { Expr::And(parts) })
    }

    fn one(&mut self) -> Parsed<Expr> {
        self.deeper()?;
        let filter = if self.take_word("not") {
            Expr::Not(Box::new(self.one()?))
        } else if self.take(&Token::Open) {
            let inner = self.any()?;
            self.expect(&Token::Close, "a closing parenthesis is expected.")?;
            inner
        } else {
            self.term()?
        };
        self.depth -= 1;
        Ok(filter)
    }

    fn deeper(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.wrong(&format!("more than {MAX_DEPTH} levels of parentheses and 'not'.")));
        }
        Ok(())
    }

    fn counted(&mut self) -> Parsed<()> {
        self.terms += 1;
        if self.terms > MAX_TERMS { Err(self.wrong(&format!("more than {MAX_TERMS} comparisons."))) } else { Ok(()) }
    }

    fn term(&mut self) -> Parsed<Expr> {
        self.counted()?;
        let start = self.at;
        let Some(Token::Word(word)) = self.token() else {
            return Err(self.wrong("a property, a function or a parenthesis is expected."));
        };
        if matches!(self.tokens.get(self.at + 1), Some((_, Token::Open))) {
            let name = word.to_ascii_lowercase();
            let search = match name.as_str() {
                "contains" => Some(Search::Contains),
                "startswith" => Some(Search::StartsWith),
                "endswith" => Some(Search::EndsWith),
                _ => None,
            };
            if let Some(search) = search {
                self.at += 2;
                return self.search(search);
            }
            if let Some((path, every)) = lambda(&word) {
                self.at += 2;
                return self.lambda(path, self.place(start), every);
            }
        }
        let left = self.operand()?;
        let at = self.place(start);
        if self.take_word("in") {
            return self.list(&left, at);
        }
        let comparison = match self.token() {
            Some(Token::Word(word)) => {
                COMPARISONS.iter().find(|(name, _)| name.eq_ignore_ascii_case(&word)).map(|(_, comparison)| *comparison)
            }
            _ => None,
        };
        let comparison = comparison.ok_or_else(|| self.wrong("one of 'eq', 'ne', 'gt', 'ge', 'lt', 'le', 'in' is expected."))?;
        self.at += 1;
        let at = self.place(self.at);
        let right = self.literal()?;
        Ok(Expr::Compare { left, comparison, right, at })
    }

    /// A path or a function of one.
    fn operand(&mut self) -> Parsed<Operand> {
        let start = self.at;
        let Some(Token::Word(word)) = self.token() else { return Err(self.wrong("a property is expected.")) };
        self.at += 1;
        if !self.take(&Token::Open) {
            return Ok(Operand::Path(word, self.place(start)));
        }
        self.deeper()?;
        let made = match word.to_ascii_lowercase().as_str() {
            "tolower" => Operand::Lower(Box::new(self.operand()?)),
            "toupper" => Operand::Upper(Box::new(self.operand()?)),
            "trim" => Operand::Trim(Box::new(self.operand()?)),
            "length" => Operand::Length(Box::new(self.operand()?)),
            "indexof" => {
                let of = Box::new(self.operand()?);
                self.expect(&Token::Comma, "a comma is expected.")?;
                Operand::IndexOf(of, self.text()?)
            }
            _ => {
                let known = "'contains', 'startswith', 'endswith', 'indexof', 'length', 'tolower', 'toupper' or 'trim'";
                return Err(self.wrong_at(start, &format!("'{word}' is not a function here; use {known}.")));
            }
        };
        self.depth -= 1;
        self.expect(&Token::Close, "a closing parenthesis is expected.")?;
        Ok(made)
    }

    /// `contains(path,'text')`, with or without `eq true`.
    fn search(&mut self, search: Search) -> Parsed<Expr> {
        let of = self.operand()?;
        self.expect(&Token::Comma, "a comma is expected.")?;
        let text = self.text()?;
        self.expect(&Token::Close, "a closing parenthesis is expected.")?;
        let filter = Expr::Search { search, of, text };
        let unequal = self.take_word("ne");
        if unequal || self.take_word("eq") {
            let wanted = self.take_word("true");
            if !wanted && !self.take_word("false") {
                return Err(self.wrong("'true' or 'false' is expected."));
            }
            if wanted == unequal {
                return Ok(Expr::Not(Box::new(filter)));
            }
        }
        Ok(filter)
    }

    /// What follows `path/any(`.
    fn lambda(&mut self, path: &str, at: usize, every: bool) -> Parsed<Expr> {
        if !every && self.take(&Token::Close) {
            return Ok(Expr::Lambda { path: path.to_owned(), at, variable: String::new(), inner: None, every });
        }
        let Some(Token::Word(word)) = self.token() else {
            return Err(self.wrong("a variable and a colon are expected, as in 'any(l: …)'."));
        };
        let variable = match word.split_once(':') {
            Some((variable, rest)) if !variable.is_empty() => {
                if rest.is_empty() {
                    self.at += 1;
                } else {
                    let place = self.tokens[self.at].0 + variable.chars().count() + 1;
                    self.tokens[self.at] = (place, Token::Word(rest.to_owned()));
                }
                variable.to_owned()
            }
            None if matches!(self.tokens.get(self.at + 1), Some((_, Token::Word(next))) if next.starts_with(':')) => {
                self.at += 1;
                let (place, rest) = match &self.tokens[self.at] {
                    (place, Token::Word(next)) => (place + 1, next[1..].to_owned()),
                    (place, _) => (*place, String::new()),
                };
                if rest.is_empty() {
                    self.at += 1;
                } else {
                    self.tokens[self.at] = (place, Token::Word(rest));
                }
                word
            }
            _ => return Err(self.wrong("a variable and a colon are expected, as in 'any(l: …)'.")),
        };
        self.deeper()?;
        let inner = self.any()?;
        self.depth -= 1;
        self.expect(&Token::Close, "a closing parenthesis is expected.")?;
        Ok(Expr::Lambda { path: path.to_owned(), at, variable, inner: Some(Box::new(inner)), every })
    }

    fn list(&mut self, left: &Operand, at: usize) -> Parsed<Expr> {
        self.expect(&Token::Open, "a list in parentheses is expected.")?;
        let mut parts = Vec::new();
        loop {
            let place = self.place(self.at);
            let right = self.literal()?;
            parts.push(Expr::Compare { left: left.clone(), comparison: Comparison::Equal, right, at: place.max(at) });
            if !self.take(&Token::Comma) {
                break;
            }
            self.counted()?;
        }
        self.expect(&Token::Close, "a closing parenthesis is expected.")?;
        Ok(Expr::Or(parts))
    }

    fn literal(&mut self) -> Parsed<Literal> {
        match self.token() {
            Some(Token::Text(text)) => {
                self.at += 1;
                Ok(Literal::Text(text))
            }
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("null") => {
                self.at += 1;
                Ok(Literal::Null)
            }
            // `tolower('Text')`.
            Some(Token::Word(_)) if matches!(self.tokens.get(self.at + 1), Some((_, Token::Open))) => self.text().map(Literal::Text),
            Some(Token::Word(word)) => {
                self.at += 1;
                Ok(Literal::Word(word))
            }
            _ => Err(self.wrong("a value is expected.")),
        }
    }

    /// A text literal, or `tolower('Text')` and `toupper('Text')`.
    fn text(&mut self) -> Parsed<String> {
        let folded: Option<fn(&str) -> String> = match self.token() {
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("tolower") => Some(str::to_lowercase),
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("toupper") => Some(str::to_uppercase),
            _ => None,
        };
        if let Some(folded) = folded {
            self.at += 1;
            self.expect(&Token::Open, "an opening parenthesis is expected.")?;
            let Some(Token::Text(text)) = self.token() else { return Err(self.wrong("a text in quotation marks is expected.")) };
            self.at += 1;
            self.expect(&Token::Close, "a closing parenthesis is expected.")?;
            return Ok(folded(&text));
        }
        let Some(Token::Text(text)) = self.token() else { return Err(self.wrong("a text in quotation marks is expected.")) };
        self.at += 1;
        Ok(text)
    }

    fn token(&self) -> Option<Token> {
        self.tokens.get(self.at).map(|(_, token)| token.clone())
    }

    fn take(&mut self, token: &Token) -> bool {
        let found = self.tokens.get(self.at).is_some_and(|(_, next)| next == token);
        self.at += usize::from(found);
        found
    }

    fn take_word(&mut self, word: &str) -> bool {
        let found = matches!(self.tokens.get(self.at), Some((_, Token::Word(next))) if next.eq_ignore_ascii_case(word));
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, token: &Token, message: &str) -> Parsed<()> {
        if self.take(token) { Ok(()) } else { Err(self.wrong(message)) }
    }

    /// The character offset of a token.
    fn place(&self, token: usize) -> usize {
        self.tokens.get(token).map_or(self.end, |(at, _)| *at)
    }

    fn wrong(&self, message: &str) -> Wrong {
        self.wrong_at(self.at, message)
    }

    fn wrong_at(&self, token: usize, message: &str) -> Wrong {
        Wrong { at: self.place(token), message: message.to_owned() }
    }
}

/// Splits `path/any` and `path/all` into the path and whether it is `all`.
fn lambda(word: &str) -> Option<(&str, bool)> {
    let (path, last) = word.rsplit_once('/')?;
    match last.to_ascii_lowercase().as_str() {
        "any" => Some((path, false)),
        "all" => Some((path, true)),
        _ => None,
    }
}
