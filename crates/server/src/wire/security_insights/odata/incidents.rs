//! `$filter` and `$orderby` of incidents, translated to conditions and orders of the store. Errors name the column and what is expected
//! there.

use model::{Severity, Timestamp};
use store::{Comparison, Fold, IncidentField, IncidentFilter, IncidentList, IncidentOrder, Operand as Kind};

use super::syntax::{Expr, Literal, Operand, Search, Wrong, parse};
use crate::error::ApiError;

/// Properties by path, as in `$filter` and `$orderby`.
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

/// Collections by path, for `any` and `all`.
const LISTS: &[(&str, IncidentList)] = &[
    ("properties/labels", IncidentList::Labels),
    ("properties/additionalData/tactics", IncidentList::Tactics),
    ("properties/additionalData/techniques", IncidentList::Techniques),
    ("properties/additionalData/alertProductNames", IncidentList::AlertProductNames),
];

/// Parses a `$filter`.
pub(in crate::wire::security_insights) fn filter(text: &str) -> Result<IncidentFilter, ApiError> {
    let expr = parse(text).map_err(|error| error.refuse("$filter"))?;
    Scope { element: None }.condition(&expr).map_err(|error| error.refuse("$filter"))
}

/// Parses an `$orderby`: properties with optional `asc` or `desc`, separated by commas.
pub(in crate::wire::security_insights) fn order(text: &str) -> Result<Vec<IncidentOrder>, ApiError> {
    let mut order: Vec<IncidentOrder> = Vec::new();
    for part in text.split(',') {
        let mut words = part.split_whitespace();
        let refuse = |message: String| ApiError::bad_request("BadRequest", message).target("$orderby");
        let path = words.next().ok_or_else(|| refuse("`$orderby` has an empty part.".to_owned()))?;
        let field = entry(PROPERTIES, path).ok_or_else(|| refuse(unknown_property(path)))?;
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

fn unknown_property(path: &str) -> String {
    let known: Vec<&str> = PROPERTIES.iter().map(|(known, _)| *known).collect();
    format!("Incidents cannot be searched or sorted by '{path}', only by {}.", known.join(", "))
}

/// Looks up a path, with or without `properties/`, case-insensitively.
fn entry<T: Copy>(table: &[(&str, T)], path: &str) -> Option<T> {
    let is = |known: &str| {
        known.eq_ignore_ascii_case(path) || known.strip_prefix("properties/").is_some_and(|bare| bare.eq_ignore_ascii_case(path))
    };
    table.iter().find(|(known, _)| is(known)).map(|(_, value)| *value)
}

/// Scope of name resolution: the incident, or an element of a collection bound to a lambda variable.
struct Scope<'e> {
    element: Option<(&'e str, IncidentList)>,
}

impl Scope<'_> {
    fn condition(&self, expr: &Expr) -> Result<IncidentFilter, Wrong> {
        Ok(match expr {
            Expr::And(parts) => IncidentFilter::And(parts.iter().map(|part| self.condition(part)).collect::<Result<_, _>>()?),
            Expr::Or(parts) => IncidentFilter::Or(parts.iter().map(|part| self.condition(part)).collect::<Result<_, _>>()?),
            Expr::Not(inner) => IncidentFilter::Not(Box::new(self.condition(inner)?)),
            Expr::Search { search, of, text } => {
                let (field, fold) = self.text_field(of)?;
                if field.operand() != Kind::Text {
                    let message = "one of a fixed set of names is compared with 'eq' or 'in', not searched.".to_owned();
                    return Err(Wrong { at: place_of(of), message });
                }
                let make = match search {
                    Search::Contains => IncidentFilter::Contains,
                    Search::StartsWith => IncidentFilter::StartsWith,
                    Search::EndsWith => IncidentFilter::EndsWith,
                };
                folded(fold, make(field, text.clone()))
            }
            Expr::Lambda { path, at, variable, inner, every } => {
                let unknown = || {
                    let known: Vec<&str> = LISTS.iter().map(|(known, _)| *known).collect();
                    Wrong { at: *at, message: format!("'{path}' is not a list of an incident; lists are {}.", known.join(", ")) }
                };
                let list = entry(LISTS, path).filter(|_| self.element.is_none()).ok_or_else(unknown)?;
                let scope = Scope { element: Some((variable, list)) };
                let inner = inner.as_ref().map(|inner| scope.condition(inner)).transpose()?.map(Box::new);
                match inner {
                    Some(inner) if *every => IncidentFilter::All(list, inner),
                    inner => IncidentFilter::Any(list, inner),
                }
            }
            Expr::Compare { left: Operand::Length(of), comparison, right, at } => {
                let (field, fold) = self.text_field(of)?;
                folded(fold, IncidentFilter::Length(field, *comparison, whole(right, *at)?))
            }
            Expr::Compare { left: Operand::IndexOf(of, text), comparison, right, at } => {
                let (field, fold) = self.text_field(of)?;
                folded(fold, IncidentFilter::IndexOf(field, text.clone(), *comparison, whole(right, *at)?))
            }
            Expr::Compare { left: Operand::Path(path, place), comparison, right, at } => {
                let field = self.field(path, *place)?;
                compare(field, *comparison, right, *at)?
            }
            Expr::Compare { left, comparison, right, at } => {
                let (field, fold) = self.text_field(left)?;
                let Literal::Text(text) = right else {
                    return Err(Wrong { at: *at, message: "a text in quotation marks is expected.".to_owned() });
                };
                folded(fold, IncidentFilter::Text(field, *comparison, text.clone()))
            }
        })
    }

    fn field(&self, path: &str, at: usize) -> Result<IncidentField, Wrong> {
        let Some((variable, list)) = self.element else {
            return entry(PROPERTIES, path).ok_or_else(|| Wrong { at, message: unknown_property(path) });
        };
        let within = path.strip_prefix(variable).map(|rest| rest.trim_start_matches('/').to_ascii_lowercase());
        match (list, within.as_deref()) {
            (IncidentList::Labels, Some("labelname")) => Ok(IncidentField::ElementLabelName),
            (IncidentList::Labels, Some("labeltype")) => Ok(IncidentField::ElementLabelType),
            (IncidentList::Labels, _) => {
                Err(Wrong { at, message: format!("a label has '{variable}/labelName' and '{variable}/labelType', not '{path}'.") })
            }
            (_, Some("")) => Ok(IncidentField::Element),
            _ => Err(Wrong { at, message: format!("the element of the list is '{variable}', not '{path}'.") }),
        }
    }

    /// A text property and how it is case-folded for comparison.
    fn text_field(&self, operand: &Operand) -> Result<(IncidentField, Fold), Wrong> {
        match operand {
            Operand::Path(path, at) => {
                let field = self.field(path, *at)?;
                match field.operand() {
                    Kind::Text | Kind::Name => Ok((field, Fold::AsWritten)),
                    _ => Err(Wrong { at: *at, message: format!("'{path}' holds no text that could be searched.") }),
                }
            }
            Operand::Lower(of) => Ok((self.text_field(of)?.0, Fold::Lower)),
            Operand::Upper(of) => Ok((self.text_field(of)?.0, Fold::Upper)),
            // Texts are stored trimmed.
            Operand::Trim(of) => self.text_field(of),
            Operand::Length(of) | Operand::IndexOf(of, _) => {
                let at = place_of(of);
                Err(Wrong { at, message: "a text is expected, not the number that 'length' or 'indexof' gives.".to_owned() })
            }
        }
    }
}

fn place_of(operand: &Operand) -> usize {
    match operand {
        Operand::Path(_, at) => *at,
        Operand::Lower(of) | Operand::Upper(of) | Operand::Trim(of) | Operand::Length(of) | Operand::IndexOf(of, _) => place_of(of),
    }
}

fn folded(fold: Fold, filter: IncidentFilter) -> IncidentFilter {
    if fold == Fold::AsWritten { filter } else { IncidentFilter::Folded(fold, Box::new(filter)) }
}

fn whole(literal: &Literal, at: usize) -> Result<i64, Wrong> {
    match literal {
        Literal::Word(word) => word.parse().ok(),
        _ => None,
    }
    .ok_or_else(|| Wrong { at, message: "a whole number is expected.".to_owned() })
}

/// Compares `field` with a literal of matching type.
fn compare(field: IncidentField, comparison: Comparison, literal: &Literal, at: usize) -> Result<IncidentFilter, Wrong> {
    let wrong = |message: &str| Wrong { at, message: message.to_owned() };
    let (text, is_text) = match literal {
        Literal::Null => {
            return match comparison {
                Comparison::Equal => Ok(IncidentFilter::IsNull(field)),
                Comparison::NotEqual => Ok(IncidentFilter::Not(Box::new(IncidentFilter::IsNull(field)))),
                _ => Err(wrong("null is neither greater nor less than anything.")),
            };
        }
        Literal::Text(text) => (text.as_str(), true),
        Literal::Word(word) => (word.as_str(), false),
    };
    match field.operand() {
        Kind::Text | Kind::Name if is_text => Ok(IncidentFilter::Text(field, comparison, text.to_owned())),
        Kind::Text | Kind::Name => Err(wrong("a text in quotation marks is expected.")),
        Kind::Severity => Severity::parse(text)
            .map(|severity| IncidentFilter::Severity(comparison, severity))
            .ok_or_else(|| wrong("one of 'High', 'Medium', 'Low', 'Informational' is expected.")),
        Kind::Time => Timestamp::parse_iso(text)
            .map(|time| IncidentFilter::Time(field, comparison, time))
            .ok_or_else(|| wrong("a time such as 2026-01-01T00:00:00Z is expected.")),
        Kind::Number => {
            text.parse().map(|number| IncidentFilter::Number(field, comparison, number)).map_err(|_| wrong("a whole number is expected."))
        }
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
        // The first two: WIRE §5, from stock clients. The others: the examples of OData 4.01 Part 2, 5.1.1, with our properties.
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
            // OData 4.01 Part 2, 5.1.1.7 and 5.1.1.13.
            (
                "tolower(properties/title) eq 'brute force'",
                Folded(Fold::Lower, Box::new(Text(IncidentField::Title, Comparison::Equal, "brute force".into()))),
            ),
            ("contains(tolower(title), tolower('BRUTE'))", Folded(Fold::Lower, Box::new(Contains(IncidentField::Title, "brute".into())))),
            ("indexof(title, 'x') ne -1", IndexOf(IncidentField::Title, "x".into(), Comparison::NotEqual, -1)),
            (
                "properties/labels/any(l: l/labelName eq 'drill')",
                Any(IncidentList::Labels, Some(Box::new(Text(IncidentField::ElementLabelName, Comparison::Equal, "drill".into())))),
            ),
            (
                "properties/additionalData/tactics/all(t:t ne 'Impact')",
                All(IncidentList::Tactics, Box::new(Text(IncidentField::Element, Comparison::NotEqual, "Impact".into()))),
            ),
            ("labels/any()", Any(IncidentList::Labels, None)),
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
            ("substringof(title, 'a') eq true", "character 1: 'substringof'"),
            ("properties/labels/any(l: l/colour eq 'red')", "character 26: a label has"),
            ("properties/title/any(l: l eq 'red')", "character 1: 'properties/title' is not a list"),
            ("length(title) gt 'x'", "character 18: a whole number"),
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
