//! `$filter` and `$orderby` evaluated over resources as JSON, for the few resources that belong to an incident.

use std::cmp::Ordering;

use model::Timestamp;
use serde_json::Value;
use store::Comparison;

use super::syntax::{Expr, Literal, Operand, Search, parse};
use crate::error::ApiError;

/// A `$filter` over resources.
pub(in crate::wire::security_insights) struct Filter(Expr);

impl Filter {
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        parse(text).map(Filter).map_err(|error| error.refuse("$filter"))
    }

    /// Whether a resource matches. A missing property is null.
    pub fn holds(&self, resource: &Value) -> bool {
        holds(&self.0, &Names { resource, element: None })
    }
}

/// Resolves paths.
struct Names<'a> {
    resource: &'a Value,
    element: Option<(&'a str, &'a Value)>,
}

impl Names<'_> {
    /// The value at a path, with or without `properties/`, case-insensitively.
    fn value(&self, path: &str) -> Value {
        if let Some((variable, element)) = self.element
            && let Some(rest) = path.strip_prefix(variable)
            && (rest.is_empty() || rest.starts_with('/'))
        {
            return at(element, rest.trim_start_matches('/')).cloned().unwrap_or(Value::Null);
        }
        at(self.resource, path).or_else(|| at(&self.resource["properties"], path)).cloned().unwrap_or(Value::Null)
    }

    fn operand(&self, operand: &Operand) -> Value {
        let text = |of: &Operand, f: &dyn Fn(&str) -> Value| match self.operand(of) {
            Value::String(text) => f(&text),
            _ => Value::Null,
        };
        match operand {
            Operand::Path(path, _) => self.value(path),
            Operand::Lower(of) => text(of, &|text| text.to_lowercase().into()),
            Operand::Upper(of) => text(of, &|text| text.to_uppercase().into()),
            Operand::Trim(of) => text(of, &|text| text.trim().into()),
            Operand::Length(of) => text(of, &|text| text.chars().count().into()),
            Operand::IndexOf(of, part) => {
                text(of, &|text| text.find(part.as_str()).map_or(Value::from(-1), |at| text[..at].chars().count().into()))
            }
        }
    }
}

fn at<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    let mut found = value;
    for name in path.split('/').filter(|name| !name.is_empty()) {
        found = found.as_object()?.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value)?;
    }
    Some(found)
}

fn holds(expr: &Expr, names: &Names) -> bool {
    match expr {
        Expr::And(parts) => parts.iter().all(|part| holds(part, names)),
        Expr::Or(parts) => parts.iter().any(|part| holds(part, names)),
        Expr::Not(inner) => !holds(inner, names),
        Expr::Search { search, of, text } => match names.operand(of) {
            Value::String(whole) => match search {
                Search::Contains => whole.contains(text.as_str()),
                Search::StartsWith => whole.starts_with(text.as_str()),
                Search::EndsWith => whole.ends_with(text.as_str()),
            },
            _ => false,
        },
        Expr::Compare { left, comparison, right, .. } => {
            let right = match right {
                Literal::Null => Value::Null,
                Literal::Text(text) => Value::from(text.as_str()),
                Literal::Word(word) => serde_json::from_str(word).unwrap_or_else(|_| Value::from(word.as_str())),
            };
            compared(&names.operand(left), &right).map_or(*comparison == Comparison::NotEqual, |order| match comparison {
                Comparison::Equal => order.is_eq(),
                Comparison::NotEqual => order.is_ne(),
                Comparison::Greater => order.is_gt(),
                Comparison::GreaterOrEqual => order.is_ge(),
                Comparison::Less => order.is_lt(),
                Comparison::LessOrEqual => order.is_le(),
            })
        }
        Expr::Lambda { path, variable, inner, every, .. } => {
            let list = names.value(path);
            let elements = list.as_array().map(Vec::as_slice).unwrap_or_default();
            let met = |element: &Value| {
                inner.as_ref().is_none_or(|inner| holds(inner, &Names { resource: names.resource, element: Some((variable, element)) }))
            };
            if *every { elements.iter().all(met) } else { elements.iter().any(met) }
        }
    }
}

/// Texts that are both times compare as times. `None` if the values are not comparable.
fn compared(left: &Value, right: &Value) -> Option<Ordering> {
    match (left, right) {
        (Value::Null, Value::Null) => Some(Ordering::Equal),
        (Value::Bool(left), Value::Bool(right)) => Some(left.cmp(right)),
        (Value::Number(left), Value::Number(right)) => left.as_f64()?.partial_cmp(&right.as_f64()?),
        (Value::String(left), Value::String(right)) => match (Timestamp::parse_iso(left), Timestamp::parse_iso(right)) {
            (Some(left), Some(right)) => Some(left.cmp(&right)),
            _ => Some(left.cmp(right)),
        },
        _ => None,
    }
}

/// An `$orderby` over resources.
pub(in crate::wire::security_insights) struct Order(Vec<(String, bool)>);

impl Order {
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        let refuse = |message: String| ApiError::bad_request("BadRequest", message).target("$orderby");
        let mut order = Vec::new();
        for part in text.split(',') {
            let words: Vec<&str> = part.split_whitespace().collect();
            let descending = match words.as_slice() {
                [] => return Err(refuse("`$orderby` has an empty part.".to_owned())),
                [_] => false,
                [_, direction] if direction.eq_ignore_ascii_case("asc") => false,
                [_, direction] if direction.eq_ignore_ascii_case("desc") => true,
                [_, other] => return Err(refuse(format!("'{other}' is not a direction; write 'asc' or 'desc'."))),
                [path, more, ..] => return Err(refuse(format!("'{more}' is too much behind '{path}'; put commas between properties."))),
            };
            order.push((words[0].to_owned(), descending));
        }
        Ok(Self(order))
    }

    /// Stable sort. Null comes first.
    pub fn sort(&self, resources: &mut [Value]) {
        resources.sort_by(|left, right| {
            for (path, descending) in &self.0 {
                let value = |resource| Names { resource, element: None }.value(path);
                let (left, right) = (value(left), value(right));
                let order = match (left.is_null(), right.is_null()) {
                    (true, false) => Ordering::Less,
                    (false, true) => Ordering::Greater,
                    _ => compared(&left, &right).unwrap_or(Ordering::Equal),
                };
                if order.is_ne() {
                    return if *descending { order.reverse() } else { order };
                }
            }
            Ordering::Equal
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn comments() -> Vec<Value> {
        vec![
            json!({"name": "1", "properties": {"message": "First", "createdTimeUtc": "2026-01-01T00:00:00Z", "author": {"name": "Ann"}}}),
            json!({"name": "2", "properties": {"message": "second", "createdTimeUtc": "2026-01-01T10:00:00.5Z", "author": {"name": "Bo"}}}),
        ]
    }

    #[test]
    fn conditions_hold_over_what_is_shown() {
        // Conditions as OData 4.01 Part 2, 5.1.1 writes them, over the properties of IncidentComment.
        let names = |filter: &str| -> String {
            let filter = Filter::parse(filter).unwrap();
            comments().iter().filter(|comment| filter.holds(comment)).filter_map(|comment| comment["name"].as_str()).collect()
        };
        assert_eq!(names("properties/createdTimeUtc gt 2026-01-01T10:00:00Z"), "2");
        assert_eq!(names("properties/author/name eq 'Ann'"), "1");
        assert_eq!(names("contains(tolower(properties/message), 'first') or properties/message eq 'second'"), "12");
        assert_eq!(names("indexof(message, 'cond') eq 2"), "2");
        assert_eq!(names("not (properties/author/email eq null)"), "");
        assert!(Filter::parse("properties/message eq").is_err());
    }

    #[test]
    fn orders_are_stable_and_may_descend() {
        let mut all = comments();
        Order::parse("properties/createdTimeUtc desc").unwrap().sort(&mut all);
        assert_eq!(all[0]["name"], "2");
        Order::parse("properties/none, name asc").unwrap().sort(&mut all);
        assert_eq!(all[0]["name"], "1");
        assert!(Order::parse("name sideways").is_err());
    }
}
