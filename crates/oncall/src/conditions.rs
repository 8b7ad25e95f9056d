//! Conditions on incidents (S2-18): fields of the incident, its alerts, their entities and custom details. Pure functions.
//!
//! Field names are those of the `SecurityIncident` and `SecurityAlert` tables and of entity mappings, case-insensitively. A field may have
//! several values: a positive operator holds if any of them matches, a negative one if none does. A missing field has no values.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{LazyLock, Mutex, PoisonError};

use model::{EntityKind, Severity};
use regex::RegexBuilder;
use serde_json::Value;

use crate::directory::{Condition, Operator};
use crate::escalation::IncidentView;

/// Maximum size of a compiled regular expression.
const REGEX_SIZE: usize = 1 << 20;
/// Maximum length of a regular expression, in bytes.
pub const MAX_PATTERN: usize = 1_000;

/// Fields of incidents.
pub const INCIDENT_FIELDS: &[&str] = &[
    "id",
    "number",
    "title",
    "description",
    "severity",
    "status",
    "owner",
    "labels",
    "tactics",
    "techniques",
    "rules",
    "products",
    "provider",
    "alerts",
];

/// Fields of alerts, written `alert.ProductName`.
pub const ALERT_FIELDS: &[&str] = &[
    "AlertName",
    "DisplayName",
    "Description",
    "AlertSeverity",
    "ProductName",
    "ProductComponentName",
    "ProviderName",
    "VendorName",
    "RuleId",
    "Tactics",
    "Techniques",
    "SubTechniques",
    "ConfidenceLevel",
    "ConfidenceScore",
    "ResultRows",
    "SystemAlertId",
];

/// Why a condition is invalid.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum ConditionError {
    #[error("`{field}` is no field of an incident")]
    Field { field: String, help: Option<String> },
    #[error("`{kind}` is no kind of entity")]
    Kind { kind: String, help: Option<String> },
    #[error("`{kind}` has no property `{property}`")]
    Property { kind: String, property: String, help: Option<String> },
    #[error("the value is missing")]
    NoValue,
    #[error("`{0}` is neither a number nor a severity")]
    NotOrdered(String),
    #[error("`{0}` is no network in prefix notation, such as `10.0.0.0/8`")]
    Network(String),
    #[error("the regular expression has {0} characters; at most {MAX_PATTERN} are allowed")]
    LongRegex(usize),
    #[error("`{pattern}` is no regular expression: {reason}")]
    Regex { pattern: String, reason: String },
}

impl ConditionError {
    /// What to write instead.
    pub fn help(&self) -> Option<&str> {
        match self {
            Self::Field { help, .. } | Self::Kind { help, .. } | Self::Property { help, .. } => help.as_deref(),
            _ => None,
        }
    }
}

/// Whether all conditions hold; true for none.
pub fn all_hold(conditions: &[Condition], view: &IncidentView) -> bool {
    conditions.iter().all(|condition| holds(condition, view))
}

/// Whether one condition holds. An invalid one does not.
pub fn holds(condition: &Condition, view: &IncidentView) -> bool {
    let values = values(&condition.field, view);
    let wanted = texts(&condition.value);
    let any = |fits: &dyn Fn(&str, &str) -> bool| values.iter().any(|value| wanted.iter().any(|want| fits(value, want)));
    match condition.op {
        Operator::Equals => any(&equal),
        Operator::NotEquals => !any(&equal),
        Operator::Contains => any(&|value, want| value.to_lowercase().contains(&want.to_lowercase())),
        Operator::NotContains => !any(&|value, want| value.to_lowercase().contains(&want.to_lowercase())),
        Operator::StartsWith => any(&|value, want| value.to_lowercase().starts_with(&want.to_lowercase())),
        Operator::EndsWith => any(&|value, want| value.to_lowercase().ends_with(&want.to_lowercase())),
        Operator::Matches => {
            let patterns: Vec<_> = wanted.iter().filter_map(|want| compiled(want)).collect();
            values.iter().any(|value| patterns.iter().any(|pattern| pattern.is_match(value)))
        }
        Operator::AtLeast => any(&|value, want| order(value, want).is_some_and(|order| order.is_ge())),
        Operator::AtMost => any(&|value, want| order(value, want).is_some_and(|order| order.is_le())),
        Operator::InNetwork => {
            let networks: Vec<_> = wanted.iter().filter_map(|want| network(want)).collect();
            values.iter().filter_map(|value| value.trim().parse().ok()).any(|address| networks.iter().any(|n| within(address, *n)))
        }
        Operator::Exists => values.is_empty() == (condition.value == Value::Bool(false)),
    }
}

/// Values of a field, in order, without empty ones.
pub fn values(field: &str, view: &IncidentView) -> Vec<String> {
    let mut found = match field.split_once('.') {
        Some((first, rest)) if first.eq_ignore_ascii_case("alert") => of_alerts(rest, view),
        Some((first, rest)) if first.eq_ignore_ascii_case("entity") => of_entities(rest, view),
        Some((first, rest)) if first.eq_ignore_ascii_case("custom") => {
            let details = view.alerts.iter().flat_map(|alert| &alert.custom_details);
            details.filter(|(name, _)| name.eq_ignore_ascii_case(rest)).flat_map(|(_, values)| values.clone()).collect()
        }
        _ => of_incident(field, view),
    };
    found.retain(|value| !value.trim().is_empty());
    found
}

fn of_incident(field: &str, view: &IncidentView) -> Vec<String> {
    let incident = &view.incident;
    match plain(field).as_str() {
        "id" => vec![incident.id.to_string()],
        "number" => vec![incident.number.to_string()],
        "title" => vec![incident.title.clone()],
        "description" => vec![incident.description.clone()],
        "severity" => vec![incident.severity.to_string()],
        "status" => vec![incident.status.to_string()],
        "owner" => {
            let owner = &incident.owner;
            [&owner.assigned_to, &owner.email, &owner.user_principal_name, &owner.object_id].into_iter().flatten().cloned().collect()
        }
        "labels" | "label" => incident.labels.iter().map(|label| label.label_name.clone()).collect(),
        "tactics" | "tactic" => incident.tactics.clone(),
        "techniques" | "technique" => incident.techniques.clone(),
        // Rules can be given by name or by id.
        "rules" | "rule" => {
            let mut rules = incident.rule_ids.clone();
            rules.extend(view.alerts.iter().map(|alert| alert.alert_name.clone()));
            rules
        }
        "products" | "product" => incident.alert_products.clone(),
        "provider" | "providername" => vec![incident.provider_name.clone()],
        "alerts" => vec![incident.alert_ids.len().to_string()],
        _ => Vec::new(),
    }
}

fn of_alerts(field: &str, view: &IncidentView) -> Vec<String> {
    if let Some((first, name)) = field.split_once('.')
        && plain(first) == "extendedproperties"
    {
        let properties = view.alerts.iter().flat_map(|alert| &alert.extended_properties);
        return properties.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.clone()).collect();
    }
    let field = plain(field);
    let each = |alert: &model::Alert| -> Vec<String> {
        match field.as_str() {
            "alertname" | "name" => vec![alert.alert_name.clone()],
            "displayname" => vec![alert.display_name.clone()],
            "description" => vec![alert.description.clone()],
            "alertseverity" | "severity" => vec![alert.severity.to_string()],
            "productname" => vec![alert.product_name.clone()],
            "productcomponentname" => vec![alert.product_component_name.clone()],
            "providername" => vec![alert.provider_name.clone()],
            "vendorname" => vec![alert.vendor_name.clone()],
            "ruleid" | "alerttype" => vec![alert.rule_id.clone()],
            "tactics" => alert.tactics.clone(),
            "techniques" => alert.techniques.clone(),
            "subtechniques" => alert.sub_techniques.clone(),
            "confidencelevel" => vec![alert.confidence_level.clone()],
            "confidencescore" => alert.confidence_score.iter().map(f64::to_string).collect(),
            "resultrows" => vec![alert.result_rows.to_string()],
            "systemalertid" | "id" => vec![alert.id.to_string()],
            _ => Vec::new(),
        }
    };
    view.alerts.iter().flat_map(each).collect()
}

fn of_entities(path: &str, view: &IncidentView) -> Vec<String> {
    let (kind, property) = path.split_once('.').map_or((path, None), |(kind, property)| (kind, Some(property)));
    let Some(kind) = EntityKind::parse(kind) else { return Vec::new() };
    let entities = view.alerts.iter().flat_map(|alert| &alert.entities).filter(|entity| entity.kind == kind);
    match property.map(|property| identifier(kind, property)) {
        None => entities.map(|entity| entity.friendly_name().to_owned()).collect(),
        Some(None) => Vec::new(),
        Some(Some(name)) => entities.filter_map(|entity| entity.get(name)).map(str::to_owned).collect(),
    }
}

/// An identifier by its name in mappings or in the REST API.
fn identifier(kind: EntityKind, name: &str) -> Option<&'static str> {
    let known = kind.info().identifiers.iter();
    known.filter(|known| [known.name, known.property].iter().any(|known| known.eq_ignore_ascii_case(name))).map(|known| known.name).next()
}

/// A name without case and underscores: `ProductName`, `product_name` and `productName` are equal.
fn plain(name: &str) -> String {
    name.chars().filter(|c| *c != '_').flat_map(char::to_lowercase).collect()
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Null => Vec::new(),
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().flat_map(texts).collect(),
        other => vec![other.to_string()],
    }
}

fn equal(value: &str, want: &str) -> bool {
    value.to_lowercase() == want.to_lowercase()
}

/// Compares as severities if both are, else as numbers.
fn order(value: &str, want: &str) -> Option<std::cmp::Ordering> {
    match (Severity::parse(value), Severity::parse(want)) {
        (Some(value), Some(want)) => Some(value.cmp(&want)),
        _ => value.trim().parse::<f64>().ok()?.partial_cmp(&want.trim().parse::<f64>().ok()?),
    }
}

/// Size of the cache of compiled patterns; it is cleared when full.
const KEPT_PATTERNS: usize = 1_000;
static PATTERNS: LazyLock<Mutex<HashMap<String, Option<regex::Regex>>>> = LazyLock::new(Mutex::default);

/// A compiled pattern from the cache, since policies are evaluated for every incident. `None` if invalid.
fn compiled(text: &str) -> Option<regex::Regex> {
    let lock = || PATTERNS.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(known) = lock().get(text) {
        return known.clone();
    }
    let compiled = pattern(text).ok();
    let mut patterns = lock();
    if patterns.len() >= KEPT_PATTERNS {
        patterns.clear();
    }
    patterns.insert(text.to_owned(), compiled.clone());
    compiled
}

fn pattern(text: &str) -> Result<regex::Regex, regex::Error> {
    RegexBuilder::new(text).case_insensitive(true).size_limit(REGEX_SIZE).dfa_size_limit(REGEX_SIZE).build()
}

fn network(text: &str) -> Option<(IpAddr, u8)> {
    let (address, length) = text.trim().split_once('/').map_or((text.trim(), None), |(address, length)| (address, Some(length)));
    let address: IpAddr = address.parse().ok()?;
    let whole = if address.is_ipv4() { 32 } else { 128 };
    let length = length.map_or(Some(whole), |length| length.parse().ok())?;
    (length <= whole).then_some((address, length))
}

fn within(address: IpAddr, (network, length): (IpAddr, u8)) -> bool {
    // `::ffff:10.0.0.1` equals 10.0.0.1.
    match (address.to_canonical(), network) {
        (IpAddr::V4(address), IpAddr::V4(network)) => shift32(address.to_bits(), length) == shift32(network.to_bits(), length),
        (IpAddr::V6(address), IpAddr::V6(network)) => shift128(address.to_bits(), length) == shift128(network.to_bits(), length),
        _ => false,
    }
}

fn shift32(bits: u32, length: u8) -> u32 {
    bits.checked_shr(32 - u32::from(length)).unwrap_or(0)
}

fn shift128(bits: u128, length: u8) -> u128 {
    bits.checked_shr(128 - u32::from(length)).unwrap_or(0)
}

/// Rejects an invalid condition.
pub fn check(condition: &Condition) -> Result<(), ConditionError> {
    check_field(&condition.field)?;
    let wanted = texts(&condition.value);
    if wanted.is_empty() && condition.op != Operator::Exists {
        return Err(ConditionError::NoValue);
    }
    for want in wanted {
        match condition.op {
            Operator::AtLeast | Operator::AtMost if order(&want, &want).is_none() => return Err(ConditionError::NotOrdered(want)),
            Operator::InNetwork if network(&want).is_none() => return Err(ConditionError::Network(want)),
            Operator::Matches if want.len() > MAX_PATTERN => return Err(ConditionError::LongRegex(want.chars().count())),
            Operator::Matches => {
                if let Err(error) = pattern(&want) {
                    let reason = error.to_string().lines().last().unwrap_or_default().trim().trim_start_matches("error: ").to_owned();
                    return Err(ConditionError::Regex { pattern: want, reason });
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// Rejects an unknown field.
pub fn check_field(field: &str) -> Result<(), ConditionError> {
    let unknown = |known: &mut dyn Iterator<Item = String>| ConditionError::Field { field: field.to_owned(), help: nearest(field, known) };
    match field.split_once('.') {
        Some((first, rest)) if first.eq_ignore_ascii_case("custom") && !rest.is_empty() => Ok(()),
        Some((first, rest)) if first.eq_ignore_ascii_case("alert") => {
            let name = plain(rest);
            let other = ["name", "severity", "alerttype", "id"].contains(&name.as_str()) || name.starts_with("extendedproperties.");
            let known = other || ALERT_FIELDS.iter().any(|known| plain(known) == name);
            known.then_some(()).ok_or_else(|| unknown(&mut ALERT_FIELDS.iter().map(|name| format!("alert.{name}"))))
        }
        Some((first, rest)) if first.eq_ignore_ascii_case("entity") => {
            let (kind, property) = rest.split_once('.').map_or((rest, None), |(kind, property)| (kind, Some(property)));
            let Some(known) = EntityKind::parse(kind) else {
                let help = nearest(kind, &mut model::KINDS.iter().map(|info| info.mapping.to_owned()));
                return Err(ConditionError::Kind { kind: kind.to_owned(), help });
            };
            match property {
                Some(property) if identifier(known, property).is_none() => {
                    let help = nearest(property, &mut known.info().identifiers.iter().map(|known| known.name.to_owned()));
                    Err(ConditionError::Property { kind: known.to_string(), property: property.to_owned(), help })
                }
                _ => Ok(()),
            }
        }
        _ => {
            let name = plain(field);
            let other = ["label", "tactic", "technique", "rule", "product", "providername"].contains(&name.as_str());
            let known = other || INCIDENT_FIELDS.contains(&name.as_str());
            known.then_some(()).ok_or_else(|| unknown(&mut INCIDENT_FIELDS.iter().map(|name| (*name).to_owned())))
        }
    }
}

fn nearest(name: &str, known: &mut dyn Iterator<Item = String>) -> Option<String> {
    if name.len() > 64 {
        return None;
    }
    let scored = known.map(|known| (strsim::jaro_winkler(&name.to_lowercase(), &known.to_lowercase()), known));
    let best = scored.filter(|(score, _)| *score > 0.8).max_by(|a, b| a.0.total_cmp(&b.0));
    best.map(|(_, known)| format!("did you mean `{known}`?"))
}
