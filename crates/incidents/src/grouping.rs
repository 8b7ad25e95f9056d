//! Selects the incident of an alert. Pure functions.
//!
//! Behaviour: learn.microsoft.com/azure/sentinel/create-incidents-from-alerts and the `groupingConfiguration` of scheduled rules. Where
//! these are unspecified: an alert without the values to match opens its own incident; the lookback counts from the first alert of the
//! incident, in both directions, since alerts of a catch-up may arrive out of order.

use model::{Alert, AlertDetail, EntityKind, GroupingConfiguration, Incident, IncidentStatus, MatchingMethod, Timestamp};
use uuid::Uuid;

/// Maximum alerts of an incident; the next one opens another incident.
pub const MAX_ALERTS: usize = 150;

/// UUID namespace of group keys.
const GROUPS: Uuid = Uuid::from_u128(0x3f7d_5a0e_91b2_4c0c_8d31_7c64_90fb_a2e5);

/// Decision for an alert.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// The rule creates no incidents.
    Nowhere,
    /// Open an incident, which later alerts with this key may join.
    Open { group: Option<String> },
    /// Join an incident, and reopen it if it was closed.
    Join { incident: Uuid, reopen: bool },
}

/// An incident with the alert's group key.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    pub incident: &'a Incident,
    /// When its first alert was generated.
    pub first_alert: Timestamp,
}

/// Alerts with equal keys are grouped. `None` if the alert is not grouped.
///
/// The key includes the rule and the matching method, so that editing a rule's grouping starts new groups.
pub fn group_key(alert: &Alert) -> Option<String> {
    let grouping = enabled_grouping(alert)?;
    let mut parts = vec![alert.rule_id.to_lowercase()];
    match grouping.matching_method {
        MatchingMethod::AnyAlert => parts.push("any".to_owned()),
        MatchingMethod::AllEntities => {
            let keys = entity_keys(alert, |_| true);
            if keys.is_empty() {
                return None;
            }
            parts.push("all".to_owned());
            parts.extend(keys);
        }
        MatchingMethod::Selected => {
            parts.push("selected".to_owned());
            select(alert, grouping, &mut parts)?;
        }
    }
    Some(Uuid::new_v5(&GROUPS, parts.join("\u{1f}").as_bytes()).to_string())
}

fn enabled_grouping(alert: &Alert) -> Option<&GroupingConfiguration> {
    alert.incident.grouping_configuration.as_ref().filter(|grouping| grouping.enabled && alert.incident.create_incident)
}

/// The selected values, each after its name; `None` if one is missing or none is selected.
fn select(alert: &Alert, grouping: &GroupingConfiguration, parts: &mut Vec<String>) -> Option<()> {
    let before = parts.len();
    for kind in &grouping.group_by_entities {
        let keys = entity_keys(alert, |other| other == *kind);
        if keys.is_empty() {
            return None;
        }
        parts.push(format!("entity {kind}"));
        parts.extend(keys);
    }
    for detail in &grouping.group_by_alert_details {
        parts.push(match detail {
            AlertDetail::DisplayName => format!("name {}", alert.display_name),
            AlertDetail::Severity => format!("severity {}", alert.severity),
        });
    }
    for name in &grouping.group_by_custom_details {
        let values = alert.custom_details.get(name).filter(|values| !values.is_empty())?;
        let mut values = values.clone();
        values.sort();
        parts.push(format!("detail {name}"));
        parts.extend(values);
    }
    (parts.len() > before).then_some(())
}

fn entity_keys(alert: &Alert, wanted: impl Fn(EntityKind) -> bool) -> Vec<String> {
    let mut keys: Vec<String> = alert.entities.iter().filter(|entity| wanted(entity.kind)).map(|entity| entity.key().to_string()).collect();
    keys.sort();
    keys.dedup();
    keys
}

/// Decides for one alert. `candidates` are the incidents with its [`group_key`], newest first.
pub fn place(alert: &Alert, candidates: &[Candidate<'_>]) -> Placement {
    if !alert.incident.create_incident {
        return Placement::Nowhere;
    }
    let Some(grouping) = enabled_grouping(alert) else { return Placement::Open { group: None } };
    let Some(group) = group_key(alert) else { return Placement::Open { group: None } };
    let joinable = candidates.iter().find(|candidate| {
        let apart = (alert.generated - candidate.first_alert).ticks().abs();
        (candidate.incident.status != IncidentStatus::Closed || grouping.reopen_closed_incident)
            && candidate.incident.alert_ids.len() < MAX_ALERTS
            && apart <= grouping.lookback_duration.ticks()
    });
    match joinable {
        Some(candidate) => Placement::Join { incident: candidate.incident.id, reopen: candidate.incident.status == IncidentStatus::Closed },
        None => Placement::Open { group: Some(group) },
    }
}
