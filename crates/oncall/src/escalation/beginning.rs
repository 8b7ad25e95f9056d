//! Start of an escalation: selects the alert policy, applies maintenance and muting, and groups incidents.

use jiff::tz::TimeZone;
use model::{IncidentStatus, Severity, Timestamp};
use uuid::Uuid;

use super::{AlertResponse, Escalation, EscalationStatus, IncidentView, ResponseState, Scene};
use crate::conditions;
use crate::directory::{AlertPolicy, Directory, EscalationPolicy};

/// Result of the decision when an incident opens.
#[derive(Clone, Debug, PartialEq)]
pub struct Begun {
    pub escalation: Escalation,
    /// The severity to set.
    pub severity: Option<Severity>,
    /// One sentence for the log.
    pub because: String,
}

/// Decides how to escalate an incident that opened, or reopened for the `generation`th time. Takes no step yet.
pub fn begin(scene: &Scene, generation: u32, now: Timestamp) -> Begun {
    // Alerts reopen an incident as Active, which does not mean that it is worked on; a user who reopens it as Active does.
    let incident = &scene.view.incident;
    let reopened_by_alert = generation > 0 && incident.modified_by.via == "task";
    decide(scene, generation, incident.status == IncidentStatus::Active && !reopened_by_alert, now)
}

/// As [`begin`]; with `taken`, the incident is already being worked on, so that no page is needed.
pub(super) fn decide(scene: &Scene, generation: u32, taken: bool, now: Timestamp) -> Begun {
    let incident = &scene.view.incident;
    let policy = policy_for(scene.directory, scene.view);
    let chosen = policy.and_then(|(_, policy)| policy.severity);
    let severity = chosen.unwrap_or(incident.severity);
    let mut escalation = Escalation {
        id: Escalation::id_of(incident.id, generation),
        incident: incident.id,
        generation,
        policy: String::new(),
        plan: EscalationPolicy::default(),
        severity,
        began: now,
        round: 0,
        step: 0,
        next: None,
        status: EscalationStatus::Running,
        first_round: 0,
        reached: None,
        seen: incident.status,
        subjects: scene.view.subjects(),
        group: None,
        answered_by: None,
        taken_by: None,
        severity_chosen: chosen.is_some(),
    };
    let because = match plan(scene.directory, policy) {
        Err(because) => {
            escalation.status = EscalationStatus::Nobody { because: because.clone() };
            because
        }
        Ok((name, plan, by)) => {
            escalation.policy = name.to_owned();
            escalation.plan = plan.clone();
            let because = format!("escalation policy `{name}`, chosen by alert policy `{by}`");
            match policy.and_then(|(by, policy)| group_of(by, policy, scene.view)) {
                Some(group) => {
                    escalation.group = Some(group);
                    start(scene, policy.map(|(_, policy)| policy), &mut escalation, taken, now).unwrap_or(because)
                }
                None => start(scene, None, &mut escalation, taken, now).unwrap_or(because),
            }
        }
    };
    Begun { escalation, severity: chosen.filter(|severity| *severity != incident.severity), because }
}

/// Sets the initial state: running, held by maintenance, grouped, or already acknowledged.
fn start(scene: &Scene, policy: Option<&AlertPolicy>, escalation: &mut Escalation, taken: bool, now: Timestamp) -> Option<String> {
    let incident = &scene.view.incident;
    if taken {
        let by = who_changed(scene.view);
        let because = format!("{by} works on it already");
        escalation.next = escalation.plan.acknowledgement_expires.map(|after| now + after);
        escalation.status = EscalationStatus::Acknowledged { by, at: now };
        return Some(because);
    }
    if let Some((until, because)) = held(scene.directory, scene.view, now) {
        escalation.next = Some(until);
        escalation.status = EscalationStatus::Held { until, because: because.clone() };
        return Some(because);
    }
    if let (Some(group), Some(policy)) = (&escalation.group, policy)
        && let Some(leader) = leader(scene.others, group, policy, escalation.severity, now)
    {
        escalation.status = EscalationStatus::Grouped { into: leader };
        return Some("the same as an incident that pages already".to_owned());
    }
    // The first step counts from the opening of the incident, so that a service that starts late does not delay it further.
    let opened = if escalation.generation == 0 { incident.created.min(now) } else { now };
    let wait = escalation.plan.steps.first().map(|step| step.after).unwrap_or_default();
    escalation.next = Some(opened + wait);
    None
}

/// The first alert policy whose conditions hold, by `order`, then by name.
fn policy_for<'a>(directory: &'a Directory, view: &IncidentView) -> Option<(&'a str, &'a AlertPolicy)> {
    let mut policies: Vec<_> = directory.alert_policies.iter().map(|(name, policy)| (policy.order, name.as_str(), policy)).collect();
    policies.sort_by_key(|(order, name, _)| (*order, *name));
    policies.into_iter().find(|(_, _, policy)| conditions::all_hold(&policy.when, view)).map(|(_, name, policy)| (name, policy))
}

type Plan<'a> = (&'a str, &'a EscalationPolicy, &'a str);

fn plan<'a>(directory: &'a Directory, policy: Option<(&'a str, &'a AlertPolicy)>) -> Result<Plan<'a>, String> {
    let Some((by, policy)) = policy else { return Err("no alert policy matches".to_owned()) };
    if policy.mute {
        return Err(format!("alert policy `{by}` mutes it"));
    }
    let Some(name) = &policy.escalation_policy else { return Err(format!("alert policy `{by}` names no escalation policy")) };
    match directory.escalation_policies.get_key_value(name) {
        Some((name, plan)) => Ok((name, plan, by)),
        None => Err(format!("alert policy `{by}` names escalation policy `{name}`, which does not exist")),
    }
}

/// The maintenance window that holds an incident, and until when. Of several, the one that ends last.
pub(super) fn held(directory: &Directory, view: &IncidentView, now: Timestamp) -> Option<(Timestamp, String)> {
    let windows = directory.maintenance_windows.iter();
    let open = windows.filter_map(|(name, window)| {
        // A validated window has a zone.
        let zone = window.zone(directory).unwrap_or(TimeZone::UTC);
        let (from, to) = (window.from.instant(&zone), window.to.instant(&zone));
        (from <= now && now < to && conditions::all_hold(&window.when, view)).then_some((to, name, window))
    });
    open.max_by_key(|(to, ..)| *to).map(|(to, name, window)| {
        let because = match window.reason.as_str() {
            "" => format!("maintenance `{name}`"),
            reason => format!("maintenance `{name}`: {reason}"),
        };
        (to, because)
    })
}

/// The grouping key. `None` if the incident is not grouped.
fn group_of(name: &str, policy: &AlertPolicy, view: &IncidentView) -> Option<String> {
    policy.group_for?;
    if policy.group_by.is_empty() {
        return None;
    }
    let mut parts = vec![name.to_owned()];
    for field in &policy.group_by {
        let mut values: Vec<String> = conditions::values(field, view).into_iter().map(|value| value.to_lowercase()).collect();
        values.sort();
        values.dedup();
        parts.push(values.join("\u{1e}"));
    }
    // Incidents without any of the fields are not grouped.
    parts.iter().skip(1).any(|part| !part.is_empty()).then(|| parts.join("\u{1f}"))
}

/// The escalation to join: the oldest unanswered one of the group with at least the same severity.
fn leader(others: &[Escalation], group: &str, policy: &AlertPolicy, severity: Severity, now: Timestamp) -> Option<Uuid> {
    let within = policy.group_for?;
    let candidates = others.iter().filter(|other| {
        other.group.as_deref() == Some(group)
            && matches!(other.status, EscalationStatus::Running | EscalationStatus::Held { .. })
            && other.severity >= severity
            && other.began <= now
            && now - other.began <= within
    });
    candidates.min_by_key(|other| (other.began, other.id)).map(|leader| leader.id)
}

/// Display name of the user who last changed the incident: its owner, or else the author of the change.
pub(super) fn who_changed(view: &IncidentView) -> String {
    let owner = &view.incident.owner;
    let named = [&owner.assigned_to, &owner.user_principal_name, &owner.email].into_iter().flatten().find(|name| !name.is_empty());
    named.unwrap_or(&view.incident.modified_by.name).clone()
}

/// Responses that raise all `subjects` to at least `state`.
pub(super) fn raise(subjects: &[Uuid], responses: &[AlertResponse], state: ResponseState, by: &str, now: Timestamp) -> Vec<AlertResponse> {
    let below = subjects.iter().filter(|subject| super::responses::state_of(responses, **subject) < state);
    below.map(|subject| AlertResponse { alert: *subject, state, by: by.to_owned(), at: now, classification: None, comment: None }).collect()
}
