//! Rules for changes of incidents by users: etags, status and classification. Pure functions.
//!
//! PUT replaces: omitted properties are cleared, as in the REST API (see the wire facts on SecurityInsights).

use model::{Actor, Classification, ClassificationReason, Incident, IncidentStatus, Label, Owner, Severity, Timestamp};
use store::StoreError;
use uuid::Uuid;

use crate::opening::{PROVIDER, later, reopen_incident};

/// Why an incident, comment, task or relation was not changed.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The etag is stale: the resource changed since it was read.
    #[error("Newer version of resource '{id}' exists. Data was not saved")]
    Conflict { id: String },
    #[error("there is no incident `{0}`")]
    NoIncident(Uuid),
    #[error("`{property}` is required")]
    Missing { property: &'static str },
    #[error("`{property}` has {length} characters; at most {limit} are allowed")]
    TooLong { property: &'static str, length: usize, limit: usize },
    #[error("an incident has at most {limit} {what}")]
    TooMany { what: &'static str, limit: usize },
    #[error("classification reason `{reason}` does not go with classification `{classification}`; use {}", list(.classification.reasons()))]
    Pair { classification: Classification, reason: ClassificationReason },
    #[error("a classification reason needs a classification")]
    ReasonAlone,
    #[error("an incident is closed with a classification")]
    NoClassification,
    #[error("classification `{classification}` needs a reason: {}", list(.classification.reasons()))]
    NoReason { classification: Classification },
    #[error("the first activity `{first}` is after the last one `{last}`")]
    Activity { first: Timestamp, last: Timestamp },
    #[error("the incident was not saved")]
    Store(#[from] StoreError),
}

fn list(reasons: &[ClassificationReason]) -> String {
    match reasons {
        [] => "no reason".to_owned(),
        _ => reasons.iter().map(|reason| format!("`{reason}`")).collect::<Vec<_>>().join(" or "),
    }
}

/// Maximum length of title, description and classification comment.
const MAX_TITLE: usize = 500;
const MAX_DESCRIPTION: usize = 5_000;
const MAX_LABELS: usize = 100;

/// Requested state of an incident.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Draft {
    pub title: Option<String>,
    pub description: Option<String>,
    pub severity: Option<Severity>,
    pub status: Option<IncidentStatus>,
    pub classification: Option<Classification>,
    pub classification_reason: Option<ClassificationReason>,
    pub classification_comment: Option<String>,
    pub owner: Option<Owner>,
    pub labels: Vec<Label>,
    pub first_activity: Option<Timestamp>,
    pub last_activity: Option<Timestamp>,
}

/// Checks an etag, with or without quotation marks. It is optional: without one the service accepts the change (a maintainer in
/// github.com/Azure/azure-rest-api-specs/issues/13203).
pub(crate) fn check_etag(current: Uuid, etag: Option<&str>, id: &str) -> Result<(), ChangeError> {
    let Some(etag) = etag.map(str::trim).filter(|etag| !etag.is_empty() && *etag != "*") else { return Ok(()) };
    let given = Uuid::parse_str(etag.trim_start_matches("W/").trim_matches('"'));
    if given == Ok(current) { Ok(()) } else { Err(ChangeError::Conflict { id: id.to_owned() }) }
}

/// Applies `draft` to `before`, or creates an incident with `id` and `number`.
///
/// A given etag must be the current one. An open incident has no classification: one in the draft is dropped, since clients send back what
/// they read when reopening. Closing requires a classification, and a reason if the classification has any
/// (github.com/demisto/content/pull/34306).
pub fn replace(
    before: Option<&Incident>,
    draft: &Draft,
    etag: Option<&str>,
    actor: &Actor,
    now: Timestamp,
    fresh: (Uuid, i64, Uuid),
) -> Result<Incident, ChangeError> {
    let (id, number, new_etag) = fresh;
    if let Some(before) = before {
        check_etag(before.etag, etag, &before.id.to_string())?;
    }
    let title = draft
        .title
        .as_deref()
        .map(str::trim)
        .filter(|title| !title.is_empty())
        .ok_or(ChangeError::Missing { property: "properties.title" })?;
    let severity = draft.severity.ok_or(ChangeError::Missing { property: "properties.severity" })?;
    let status = draft.status.ok_or(ChangeError::Missing { property: "properties.status" })?;
    within("properties.title", title, MAX_TITLE)?;
    within("properties.description", draft.description.as_deref().unwrap_or_default(), MAX_DESCRIPTION)?;
    within("properties.classificationComment", draft.classification_comment.as_deref().unwrap_or_default(), MAX_DESCRIPTION)?;
    if draft.labels.len() > MAX_LABELS {
        return Err(ChangeError::TooMany { what: "labels", limit: MAX_LABELS });
    }
    match (draft.classification, draft.classification_reason) {
        (None, Some(_)) => return Err(ChangeError::ReasonAlone),
        (Some(classification), Some(reason)) if !classification.reasons().contains(&reason) => {
            return Err(ChangeError::Pair { classification, reason });
        }
        (None, None) if status == IncidentStatus::Closed => return Err(ChangeError::NoClassification),
        (Some(classification), None) if status == IncidentStatus::Closed && !classification.reasons().is_empty() => {
            return Err(ChangeError::NoReason { classification });
        }
        _ => {}
    }
    if let (Some(first), Some(last)) = (draft.first_activity, draft.last_activity)
        && first > last
    {
        return Err(ChangeError::Activity { first, last });
    }
    let mut after = before.cloned().unwrap_or_else(|| blank(id, number, now, actor));
    after.etag = new_etag;
    after.modified = before.map_or(now, |before| later(before, now));
    after.modified_by = actor.clone();
    after.title = title.to_owned();
    after.description = draft.description.clone().unwrap_or_default();
    after.severity_chosen |= before.is_none_or(|before| before.severity != severity);
    after.severity = severity;
    after.owner = draft.owner.clone().unwrap_or_default();
    after.labels = labels(&draft.labels, before);
    // Activity times of an incident with alerts follow its alerts; a draft may omit them.
    after.first_activity = draft.first_activity.or(after.first_activity);
    after.last_activity = draft.last_activity.or(after.last_activity);
    if let Some(before) = before {
        after.first_modified = before.first_modified.or(Some(after.modified));
    }
    if status == IncidentStatus::Closed {
        after.closed = before.and_then(|before| before.closed).or(Some(after.modified));
        after.classification = draft.classification;
        after.classification_reason = draft.classification_reason;
        after.classification_comment = draft.classification_comment.clone();
    } else {
        reopen_incident(&mut after);
    }
    after.status = status;
    Ok(after)
}

/// A new incident created by a user.
fn blank(id: Uuid, number: i64, now: Timestamp, actor: &Actor) -> Incident {
    Incident {
        id,
        number,
        etag: Uuid::nil(),
        title: String::new(),
        description: String::new(),
        severity: Severity::default(),
        severity_chosen: true,
        status: IncidentStatus::New,
        classification: None,
        classification_reason: None,
        classification_comment: None,
        owner: Owner::default(),
        labels: Vec::new(),
        first_activity: None,
        last_activity: None,
        created: now,
        modified: now,
        first_modified: None,
        closed: None,
        modified_by: actor.clone(),
        provider_name: PROVIDER.to_owned(),
        provider_incident_id: number.to_string(),
        rule_ids: Vec::new(),
        alert_ids: Vec::new(),
        alert_products: Vec::new(),
        tactics: Vec::new(),
        techniques: Vec::new(),
        comments_count: 0,
        tasks_count: 0,
        group: None,
    }
}

/// Labels, deduplicated case-insensitively. The label type is read-only: labels set by automation keep their type.
fn labels(wanted: &[Label], before: Option<&Incident>) -> Vec<Label> {
    let mut labels: Vec<Label> = Vec::new();
    for label in wanted {
        let same = |other: &&Label| other.label_name.eq_ignore_ascii_case(label.label_name.trim());
        if label.label_name.trim().is_empty() || labels.iter().any(|other| same(&other)) {
            continue;
        }
        let known = before.and_then(|before| before.labels.iter().find(same));
        labels.push(Label {
            label_name: label.label_name.trim().to_owned(),
            label_type: known.map_or_else(|| "User".to_owned(), |known| known.label_type.clone()),
        });
    }
    labels
}

pub(crate) fn within(property: &'static str, text: &str, limit: usize) -> Result<(), ChangeError> {
    let length = text.chars().count();
    if length > limit { Err(ChangeError::TooLong { property, length, limit }) } else { Ok(()) }
}
