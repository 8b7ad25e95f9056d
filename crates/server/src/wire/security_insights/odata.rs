//! `$filter` and `$orderby` of incidents: the subset of OData 4 that clients of Sentinel use, parsed properly.
//!
//! Grammar: `or` of `and` of `not` of comparisons, calls (`contains`, `startswith`, `endswith`), `in` lists and parentheses; see
//! OData 4.01 Part 2, 5.1.1. A refusal names the column and what would be right there.

use model::{Severity, Timestamp};
use store::{Comparison, IncidentField, IncidentFilter, IncidentOrder, Operand};

use crate::error::ApiError;

/// Nesting and comparisons of one filter; the database has a limit of its own behind them.
const MAX_DEPTH: usize = 32;
const MAX_TERMS: usize = 100;

/// Properties by their paths, as `$filter` and `$orderby` name them.
const PROPERTIES: &[(&str, IncidentField)] = &[
    ("name", IncidentField::Id),
    ("properties/title", IncidentField::Title),
    ("properties/description", IncidentField::Description),
    ("properties/severity", IncidentField::Severity),
    ("properties/status", IncidentField::Status),
    ("properties/classification", IncidentField::Classification),
    ("properties/incidentNumber", IncidentField::Number),
    ("properties/createdTimeUtc", IncidentField::Created),
    ("properties/lastModifiedTimeUtc", IncidentField::Modified),
    ("properties/firstActivityTimeUtc", IncidentField::FirstActivity),
    ("properties/lastActivityTimeUtc", IncidentField::LastActivity),
    ("properties/closedTimeUtc", IncidentField::Closed),
    ("properties/providerName", IncidentField::ProviderName),
    ("properties/providerIncidentId", IncidentField::ProviderIncidentId),
    ("properties/owner/assignedTo", IncidentField::OwnerName),
    ("properties/owner/email", IncidentField::OwnerEmail),
    ("properties/owner/userPrincipalName", IncidentField::OwnerUserPrincipalName),
    ("properties/owner/objectId", IncidentField::OwnerId),
    ("properties/additionalData/alertsCount", IncidentField::AlertsCount),
];

const COMPARISONS: &[(&str, Comparison)] = &[
    ("eq", Comparison::Equal),
    ("ne", Comparison::NotEqual),
    ("gt", Comparison::Greater),
    ("ge", Comparison::GreaterOrEqual),
    ("lt", Comparison::Less),
    ("le", Comparison::LessOrEqual),
];

/// Reads a `$filter`.
pub(super) fn filter(text: &str) -> Result<IncidentFilter, ApiError> {
    let tokens = lex(text).map_err(|error| error.refuse("$filter"))?;
    let mut parser = Parser { tokens, at: 0, depth: 0, terms: 0, end: text.chars().count() };
    parser.whole().map_err(|error| error.refuse("$filter"))
}

/// Reads an `$orderby`: properties, each with `asc` or `desc` or nothing, by commas.
pub(super) fn order(text: &str) -> Result<Vec<IncidentOrder>, ApiError> {
    let mut order: Vec<IncidentOrder> = Vec::new();
    for part in text.split(',') {
        let mut words = part.split_whitespace();
        let refuse = |message: String| ApiError::bad_request("BadRequest", message).target("$orderby");
        let path = words.next().ok_or_else(|| refuse("`$orderby` has an empty part.".to_owned()))?;
        let field = property(path).ok_or_else(|| refuse(unknown_property(path)))?;
        let descending = match words.next().map(str::to_ascii_lowercase).as_deref() {
            None | Some("asc") => false,
            Some("desc") => true,
            Some(other) => return Err(refuse(format!("'{other}' is no direction; write 'asc' or 'desc'."))),
        };
        if let Some(more) = words.next() {
            return Err(refuse(format!("'{more}' is too much behind '{path}'; put commas between properties.")));
        }
        if order.iter().all(|known| known.field != field) {
            order.push(IncidentOrder { field, descending });
        }
    }
    Ok(order)
}

fn property(path: &str) -> Option<IncidentField> {
    PROPERTIES
        .iter()
        .find(|(known, _)| {
            known.eq_ignore_ascii_case(path) || known.strip_prefix("properties/").is_some_and(|bare| bare.eq_ignore_ascii_case(path))
        })
        .map(|(_, field)| *field)
}

fn unknown_property(path: &str) -> String {
    let known: Vec<&str> = PROPERTIES.iter().map(|(known, _)| *known).collect();
    format!("Incidents cannot be searched or sorted by '{path}', only by {}.", known.join(", "))
}

/// What is wrong, and at which character.
#[derive(Debug)]
struct Wrong {
    at: usize,
    message: String,
}

impl Wrong {
    fn refuse(self, parameter: &str) -> ApiError {
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

/// The text in quotation marks that begins at `start`, two of which stand for one, and the place behind it.
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
    fn whole(&mut self) -> Parsed<IncidentFilter> {
        let filter = self.any()?;
        if self.at < self.tokens.len() {
            return Err(self.wrong("'and', 'or' or the end is expected."));
        }
        Ok(filter)
    }

    fn any(&mut self) -> Parsed<IncidentFilter> {
        let mut parts = vec![self.every()?];
        while self.take_word("or") {
            parts.push(self.every()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { IncidentFilter::Or(parts) })
    }

    fn every(&mut self) -> Parsed<IncidentFilter> {
        let mut parts = vec![self.one()?];
        while self.take_word("and") {
            parts.push(self.one()?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { IncidentFilter::And(parts) })
    }

    fn one(&mut self) -> Parsed<IncidentFilter> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(self.wrong(&format!("more than {MAX_DEPTH} levels of parentheses and 'not'.")));
        }
        let filter = if self.take_word("not") {
            IncidentFilter::Not(Box::new(self.one()?))
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

    fn term(&mut self) -> Parsed<IncidentFilter> {
        self.terms += 1;
        if self.terms > MAX_TERMS {
            return Err(self.wrong(&format!("more than {MAX_TERMS} comparisons.")));
        }
        let start = self.at;
        let Some((_, Token::Word(word))) = self.tokens.get(self.at).cloned() else {
            return Err(self.wrong("a property, a function or a parenthesis is expected."));
        };
        self.at += 1;
        if self.take(&Token::Open) {
            return self.call(&word, start);
        }
        let field = property(&word).ok_or_else(|| self.wrong_at(start, &unknown_property(&word)))?;
        if self.take_word("in") {
            return self.list(field);
        }
        let comparison = match self.tokens.get(self.at) {
            Some((_, Token::Word(word))) => {
                COMPARISONS.iter().find(|(name, _)| name.eq_ignore_ascii_case(word)).map(|(_, comparison)| *comparison)
            }
            _ => None,
        };
        let comparison = comparison.ok_or_else(|| self.wrong("one of 'eq', 'ne', 'gt', 'ge', 'lt', 'le', 'in' is expected."))?;
        self.at += 1;
        self.compare(field, comparison)
    }

    /// `contains(path,'text')`, with or without `eq true`.
    fn call(&mut self, name: &str, start: usize) -> Parsed<IncidentFilter> {
        let make: fn(IncidentField, String) -> IncidentFilter = match name.to_ascii_lowercase().as_str() {
            "contains" => IncidentFilter::Contains,
            "startswith" => IncidentFilter::StartsWith,
            "endswith" => IncidentFilter::EndsWith,
            _ => return Err(self.wrong_at(start, &format!("'{name}' is no function here; use 'contains', 'startswith' or 'endswith'."))),
        };
        let path_at = self.at;
        let Some((_, Token::Word(path))) = self.tokens.get(self.at).cloned() else { return Err(self.wrong("a property is expected.")) };
        self.at += 1;
        let field = property(&path).ok_or_else(|| self.wrong_at(path_at, &unknown_property(&path)))?;
        if field.operand() != Operand::Text {
            return Err(self.wrong_at(path_at, &format!("'{path}' holds no text that could be searched.")));
        }
        self.expect(&Token::Comma, "a comma is expected.")?;
        let Some((_, Token::Text(text))) = self.tokens.get(self.at).cloned() else {
            return Err(self.wrong("a text in quotation marks is expected."));
        };
        self.at += 1;
        self.expect(&Token::Close, "a closing parenthesis is expected.")?;
        let filter = make(field, text);
        if self.take_word("eq") {
            if self.take_word("false") {
                return Ok(IncidentFilter::Not(Box::new(filter)));
            }
            if !self.take_word("true") {
                return Err(self.wrong("'true' or 'false' is expected."));
            }
        }
        Ok(filter)
    }

    fn list(&mut self, field: IncidentField) -> Parsed<IncidentFilter> {
        self.expect(&Token::Open, "a list in parentheses is expected.")?;
        let mut parts = vec![self.compare(field, Comparison::Equal)?];
        while self.take(&Token::Comma) {
            self.terms += 1;
            if self.terms > MAX_TERMS {
                return Err(self.wrong(&format!("more than {MAX_TERMS} comparisons.")));
            }
            parts.push(self.compare(field, Comparison::Equal)?);
        }
        self.expect(&Token::Close, "a closing parenthesis is expected.")?;
        Ok(IncidentFilter::Or(parts))
    }

    /// The comparison of `field` with the literal that comes next, which must be of its kind.
    fn compare(&mut self, field: IncidentField, comparison: Comparison) -> Parsed<IncidentFilter> {
        let at = self.at;
        let literal = match self.tokens.get(self.at) {
            Some((_, token @ (Token::Word(_) | Token::Text(_)))) => token.clone(),
            _ => return Err(self.wrong("a value is expected.")),
        };
        self.at += 1;
        if matches!(&literal, Token::Word(word) if word.eq_ignore_ascii_case("null")) {
            return match comparison {
                Comparison::Equal => Ok(IncidentFilter::IsNull(field)),
                Comparison::NotEqual => Ok(IncidentFilter::Not(Box::new(IncidentFilter::IsNull(field)))),
                _ => Err(self.wrong_at(at, "null is neither greater nor less than anything.")),
            };
        }
        let (text, is_text) = match &literal {
            Token::Text(text) => (text.as_str(), true),
            Token::Word(word) => (word.as_str(), false),
            _ => ("", false),
        };
        match field.operand() {
            Operand::Text | Operand::Name if is_text => Ok(IncidentFilter::Text(field, comparison, text.to_owned())),
            Operand::Text | Operand::Name => Err(self.wrong_at(at, "a text in quotation marks is expected.")),
            Operand::Severity => Severity::parse(text)
                .map(|severity| IncidentFilter::Severity(comparison, severity))
                .ok_or_else(|| self.wrong_at(at, "one of 'High', 'Medium', 'Low', 'Informational' is expected.")),
            Operand::Time => Timestamp::parse_iso(text)
                .map(|time| IncidentFilter::Time(field, comparison, time))
                .ok_or_else(|| self.wrong_at(at, "a time such as 2026-01-01T00:00:00Z is expected.")),
            Operand::Number => text
                .parse()
                .map(|number| IncidentFilter::Number(field, comparison, number))
                .map_err(|_| self.wrong_at(at, "a whole number is expected.")),
        }
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

    fn wrong(&self, message: &str) -> Wrong {
        self.wrong_at(self.at, message)
    }

    fn wrong_at(&self, token: usize, message: &str) -> Wrong {
        Wrong { at: self.tokens.get(token).map_or(self.end, |(at, _)| *at), message: message.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> Timestamp {
        Timestamp::parse_iso(text).unwrap()
    }

    #[test]
    fn filters_that_clients_send() {
        use IncidentFilter::*;
        // The first two: WIRE §5, seen from stock clients. The others: the examples of OData 4.01 Part 2, 5.1.1, on our properties.
        let table = [
            ("properties/status eq 'New'", Text(IncidentField::Status, Comparison::Equal, "New".into())),
            (
                "properties/lastModifiedTimeUtc ge 2026-01-01T00:00:00Z",
                Time(IncidentField::Modified, Comparison::GreaterOrEqual, time("2026-01-01T00:00:00Z")),
            ),
            (
                "properties/createdTimeUtc lt '2026-01-01T00:00:00Z'",
                Time(IncidentField::Created, Comparison::Less, time("2026-01-01T00:00:00Z")),
            ),
            ("properties/severity ge 'medium'", IncidentFilter::Severity(Comparison::GreaterOrEqual, model::Severity::Medium)),
            ("properties/title eq 'O''Neil (x, y)'", Text(IncidentField::Title, Comparison::Equal, "O'Neil (x, y)".into())),
            ("properties/incidentNumber EQ 7", Number(IncidentField::Number, Comparison::Equal, 7)),
            ("properties/owner/email ne null", Not(Box::new(IsNull(IncidentField::OwnerEmail)))),
            ("contains(properties/title, 'brute')", Contains(IncidentField::Title, "brute".into())),
            ("not startswith(title,'a') ", Not(Box::new(StartsWith(IncidentField::Title, "a".into())))),
            ("contains(properties/title,'x') eq false", Not(Box::new(Contains(IncidentField::Title, "x".into())))),
            (
                "properties/status in ('New', 'Active')",
                Or(vec![
                    Text(IncidentField::Status, Comparison::Equal, "New".into()),
                    Text(IncidentField::Status, Comparison::Equal, "Active".into()),
                ]),
            ),
        ];
        for (text, expected) in table {
            assert_eq!(filter(text).unwrap(), expected, "{text}");
        }
        let bound = filter("title eq 'a' or title eq 'b' and (incidentNumber eq 1 or title ne 'c')").unwrap();
        let text = |comparison, text: &str| Text(IncidentField::Title, comparison, text.into());
        let inner = Or(vec![Number(IncidentField::Number, Comparison::Equal, 1), text(Comparison::NotEqual, "c")]);
        assert_eq!(bound, Or(vec![text(Comparison::Equal, "a"), And(vec![text(Comparison::Equal, "b"), inner])]));
    }

    #[test]
    fn refusals_name_the_place() {
        let deep = format!("{}title eq 'a'{}", "(".repeat(1_000), ")".repeat(1_000));
        let wide = vec!["title eq 'a'"; 1_000].join(" or ");
        let table = [
            ("", "character 1:"),
            ("properties/status", "character 18:"),
            ("properties/status eq New", "character 22: a text"),
            ("properties/status eq 'New", "character 22: the text"),
            ("properties/status eq 'New' properties/title eq 'a'", "character 28: 'and'"),
            ("properties/nonsense eq 1", "character 1: Incidents cannot"),
            ("properties/createdTimeUtc gt 'soon'", "character 30: a time"),
            ("tolower(title) eq 'a'", "character 1: 'tolower'"),
            ("contains(properties/status,'N')", "character 10:"),
            ("(title eq 'a'", "character 14: a closing"),
            ("title gt null", "character 10:"),
            (deep.as_str(), "more than 32"),
            (wide.as_str(), "more than 100"),
        ];
        for (text, expected) in table {
            let error = filter(text).unwrap_err();
            assert!(error.message.contains(expected), "{text:.60}: {}", error.message);
        }
    }

    #[test]
    fn orders_that_clients_send() {
        let created = IncidentOrder { field: IncidentField::Created, descending: true };
        assert_eq!(order("properties/createdTimeUtc desc").unwrap(), [created]);
        let title = IncidentOrder { field: IncidentField::Title, descending: false };
        assert_eq!(order("properties/createdTimeUtc DESC, properties/title").unwrap(), [created, title]);
        for bad in ["", "title,", "title sideways", "title asc desc", "nonsense"] {
            assert!(order(bad).is_err(), "{bad}");
        }
    }
}
