//! Incidents created from alerts. Pure functions.

use model::{Actor, Alert, Entity, Incident, IncidentStatus, Owner, Span, Timestamp};
use uuid::Uuid;

use crate::grouping::Placement;

/// UUID namespace of incidents created from alerts.
const INCIDENTS: Uuid = Uuid::from_u128(0xc2d8_1b6a_64ef_4f0e_a6c3_02a7_5b10_9d44);

/// Provider name of Sentinel's own incidents in the APIs.
pub(crate) const PROVIDER: &str = "Azure Sentinel";

/// A new incident for an alert. Its id is derived from the alert's, so that repeating creates one incident.
pub fn open(alert: &Alert, placement: &Placement, number: i64, now: Timestamp, etag: Uuid) -> Incident {
    let group = match placement {
        Placement::Open { group } => group.clone(),
        _ => None,
    };
    Incident {
        id: Uuid::new_v5(&INCIDENTS, alert.id.as_bytes()),
        number,
        etag,
        title: alert.display_name.clone(),
        description: alert.description.clone(),
        severity: alert.severity,
        severity_chosen: false,
        status: IncidentStatus::New,
        classification: None,
        classification_reason: None,
        classification_comment: None,
        owner: Owner::default(),
        labels: Vec::new(),
        first_activity: Some(alert.start),
        last_activity: Some(alert.end),
        created: now,
        modified: now,
        first_modified: None,
        closed: None,
        modified_by: Actor::task("Incident created from alert"),
        provider_name: PROVIDER.to_owned(),
        provider_incident_id: number.to_string(),
        rule_ids: vec![alert.rule_id.clone()],
        alert_ids: vec![alert.id],
        alert_products: vec![alert.product_name.clone()],
        tactics: alert.tactics.clone(),
        techniques: alert.techniques.clone(),
        comments_count: 0,
        tasks_count: 0,
        group,
    }
}

/// Adds an alert to the incident. Severity rises to the alert's unless a user set it; reopening clears the classification.
pub fn join(incident: &Incident, alert: &Alert, reopen: bool, now: Timestamp, etag: Uuid) -> Incident {
    let mut after = incident.clone();
    after.etag = etag;
    after.modified = later(incident, now);
    after.modified_by = Actor::task(if reopen { "Incident reopened by alert" } else { "Alert added to incident" });
    add(&mut after.alert_ids, &alert.id);
    add(&mut after.rule_ids, &alert.rule_id);
    add(&mut after.alert_products, &alert.product_name);
    alert.tactics.iter().for_each(|tactic| add(&mut after.tactics, tactic));
    alert.techniques.iter().for_each(|technique| add(&mut after.techniques, technique));
    after.first_activity = Some(after.first_activity.map_or(alert.start, |first| first.min(alert.start)));
    after.last_activity = Some(after.last_activity.map_or(alert.end, |last| last.max(alert.end)));
    if !after.severity_chosen {
        after.severity = after.severity.max(alert.severity);
    }
    if reopen {
        reopen_incident(&mut after);
    }
    after
}

/// Reopens an incident and clears its classification.
pub(crate) fn reopen_incident(incident: &mut Incident) {
    if incident.status == IncidentStatus::Closed {
        incident.status = IncidentStatus::Active;
    }
    incident.classification = None;
    incident.classification_reason = None;
    incident.classification_comment = None;
    incident.closed = None;
}

/// The time of a change: now, but later than the previous change even if the clock went back, so that `arg_max(TimeGenerated, *)` always
/// finds the last row.
pub(crate) fn later(incident: &Incident, now: Timestamp) -> Timestamp {
    now.max(incident.modified + Span(1))
}

fn add<T: PartialEq + Clone>(list: &mut Vec<T>, item: &T) {
    if !list.contains(item) {
        list.push(item.clone());
    }
}

/// The merged entities of alerts, without duplicates, in order of first appearance.
pub fn entities_of<'a>(alerts: impl IntoIterator<Item = &'a Alert>) -> Vec<(Uuid, Entity)> {
    let mut found: Vec<(Uuid, Entity)> = Vec::new();
    for entity in alerts.into_iter().flat_map(|alert| &alert.entities) {
        let key = entity.key();
        match found.iter_mut().find(|(known, _)| *known == key) {
            Some((_, known)) => {
                for (name, value) in &entity.identifiers {
                    known.identifiers.entry(name.clone()).or_insert_with(|| value.clone());
                }
            }
            None => found.push((key, entity.clone())),
        }
    }
    found
}
