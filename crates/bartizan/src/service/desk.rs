//! Implements on-call's port to incidents: answers become changes through the same service as those of the API.

use async_trait::async_trait;
use incidents::{ChangeError, Draft, Incidents};
use model::{Actor, Classification, Incident, IncidentStatus};
use oncall::desk::{Desk, DeskChange, DeskError, NewIncident};
use store::StoreError;
use uuid::Uuid;

/// [`Desk`] implemented by [`Incidents`].
pub struct IncidentDesk(pub Incidents);

#[async_trait]
impl Desk for IncidentDesk {
    async fn change(&self, before: &Incident, change: &DeskChange, actor: &Actor) -> Result<(), DeskError> {
        let draft = draft(before, change);
        let etag = before.etag.to_string();
        self.0.put(before.id, &draft, Some(&etag), actor).await.map(drop).map_err(|error| refusal(before.id, error))
    }

    async fn comment(&self, incident: Uuid, id: Uuid, text: &str, actor: &Actor) -> Result<(), DeskError> {
        self.0.put_comment(incident, &id.to_string(), text, None, actor).await.map(drop).map_err(|error| refusal(incident, error))
    }

    async fn open(&self, incident: &NewIncident, actor: &Actor) -> Result<(), DeskError> {
        let draft = Draft {
            title: Some(incident.title.clone()),
            description: Some(incident.description.clone()),
            severity: Some(incident.severity),
            status: Some(IncidentStatus::New),
            ..Draft::default()
        };
        self.0.create(incident.id, &draft, actor).await.map(drop).map_err(|error| refusal(incident.id, error))
    }
}

/// The incident with the change applied.
fn draft(before: &Incident, change: &DeskChange) -> Draft {
    let status = change.status.unwrap_or(before.status);
    let classification = change.classification.or(before.classification);
    // An answer from a phone has no reason, and often no classification; the API requires both.
    let classification =
        if status == IncidentStatus::Closed { classification.or(Some(Classification::Undetermined)) } else { classification };
    // A reason belongs to the classification it was given with.
    let reason = before.classification_reason.filter(|_| change.classification.is_none());
    let usual = || classification.filter(|_| status == IncidentStatus::Closed).and_then(|class| class.reasons().first().copied());
    Draft {
        title: Some(before.title.clone()),
        description: Some(before.description.clone()),
        severity: Some(change.severity.unwrap_or(before.severity)),
        status: Some(status),
        classification,
        classification_reason: reason.or_else(usual),
        classification_comment: change.comment.clone().or_else(|| before.classification_comment.clone()),
        owner: Some(change.owner.clone().unwrap_or_else(|| before.owner.clone())),
        labels: before.labels.clone(),
        first_activity: before.first_activity,
        last_activity: before.last_activity,
    }
}

fn refusal(incident: Uuid, error: ChangeError) -> DeskError {
    match error {
        ChangeError::Conflict { .. } => DeskError::Conflict(incident),
        ChangeError::NoIncident(id) => DeskError::NoIncident(id),
        error @ ChangeError::Store(StoreError::DiskFull(_) | StoreError::Unavailable(_) | StoreError::Database(_)) => {
            DeskError::Later { incident, cause: Box::new(error) }
        }
        error => DeskError::Refused { incident, cause: Box::new(error) },
    }
}
