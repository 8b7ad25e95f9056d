//! Changes of incidents by users and APIs. Each call is one transaction: read, decide, write the incident, its row and its audit entry.

use std::sync::Arc;

use model::{Actor, Clock, Comment, Incident, IncidentTask, Timestamp};
use serde_json::{Map, Value, json};
use store::{AuditEntry, Change, Store, StoreError};
use uuid::Uuid;

use crate::changes::{ChangeError, Draft, replace};
use crate::opening::later;
use crate::tables::{WorkspaceFacts, security_incident_row};

/// Changes incidents.
#[derive(Clone)]
pub struct Incidents {
    pub store: Store,
    pub clock: Arc<dyn Clock>,
    pub facts: Arc<WorkspaceFacts>,
}

impl Incidents {
    /// Creates or replaces the incident. Returns true if created.
    pub async fn put(&self, id: Uuid, draft: &Draft, etag: Option<&str>, actor: &Actor) -> Result<(Incident, bool), ChangeError> {
        let mut change = self.store.begin().await?;
        let before = change.incident(id).await?;
        // The number of a rejected draft is released by the rollback.
        let number = match &before {
            Some(before) => before.number,
            None => change.next_incident_number().await?,
        };
        let after = replace(before.as_ref(), draft, etag, actor, self.clock.now(), (id, number, Uuid::new_v4()))?;
        change.put_incident(&after).await?;
        send_incident(&mut change, &after, &self.facts).await?;
        let action = if before.is_some() { "changed" } else { "created" };
        let changes = differences(before.as_ref(), &after);
        change.record(&entry(&after, action, actor, changes)).await?;
        change.commit().await?;
        Ok((after, before.is_none()))
    }

    /// Creates the incident unless it exists. Returns true if created.
    pub async fn create(&self, id: Uuid, draft: &Draft, actor: &Actor) -> Result<bool, ChangeError> {
        let mut change = self.store.begin().await?;
        if change.incident(id).await?.is_some() {
            change.abandon().await?;
            return Ok(false);
        }
        let number = change.next_incident_number().await?;
        let after = replace(None, draft, None, actor, self.clock.now(), (id, number, Uuid::new_v4()))?;
        change.put_incident(&after).await?;
        send_incident(&mut change, &after, &self.facts).await?;
        change.record(&entry(&after, "created", actor, differences(None, &after))).await?;
        change.commit().await?;
        Ok(true)
    }

    /// Removes the incident with its comments and tasks; its alerts and table rows stay. Returns false if there was none.
    pub async fn delete(&self, id: Uuid, actor: &Actor) -> Result<bool, ChangeError> {
        let mut change = self.store.begin().await?;
        let Some(before) = change.incident(id).await? else { return Ok(false) };
        change.delete_incident(id).await?;
        let mut last = entry(&before, "deleted", actor, json!({ "title": [before.title, null], "number": [before.number, null] }));
        last.at = later(&before, self.clock.now());
        change.record(&last).await?;
        change.commit().await?;
        Ok(true)
    }

    /// Loads the incident for a change of one of its parts.
    pub(crate) async fn incident_in(&self, change: &mut Change, id: Uuid) -> Result<Incident, ChangeError> {
        change.incident(id).await?.ok_or(ChangeError::NoIncident(id))
    }

    /// Writes the incident after a change of one of its parts: new etag, row and audit entry.
    pub(crate) async fn finish(
        &self,
        mut change: Change,
        mut incident: Incident,
        now: Timestamp,
        action: &str,
        actor: &Actor,
        changes: Value,
    ) -> Result<Incident, ChangeError> {
        incident.modified = later(&incident, now);
        incident.first_modified = incident.first_modified.or(Some(incident.modified));
        incident.modified_by = actor.clone();
        incident.etag = Uuid::new_v4();
        change.put_incident(&incident).await?;
        send_incident(&mut change, &incident, &self.facts).await?;
        change.record(&entry(&incident, action, actor, changes)).await?;
        change.commit().await?;
        Ok(incident)
    }
}

/// Adds the row with the incident's current state to the outbox.
pub(crate) async fn send_incident(change: &mut Change, incident: &Incident, facts: &WorkspaceFacts) -> Result<(), StoreError> {
    let comments: Vec<Comment> = if incident.comments_count > 0 { change.parts(incident.id).await? } else { Vec::new() };
    let tasks: Vec<IncidentTask> = if incident.tasks_count > 0 { change.parts(incident.id).await? } else { Vec::new() };
    change.send_row("SecurityIncident", &security_incident_row(incident, &comments, &tasks, facts)).await
}

fn entry(incident: &Incident, action: &str, actor: &Actor, changes: Value) -> AuditEntry {
    AuditEntry {
        at: incident.modified,
        aggregate: "incident".to_owned(),
        id: incident.id.to_string(),
        action: action.to_owned(),
        actor: actor.clone(),
        changes,
    }
}

/// User-writable fields that differ: `{"status": ["New", "Closed"]}`.
fn differences(before: Option<&Incident>, after: &Incident) -> Value {
    let written = |incident: &Incident| {
        json!({
            "title": incident.title,
            "description": incident.description,
            "severity": incident.severity,
            "status": incident.status,
            "classification": incident.classification,
            "classificationReason": incident.classification_reason,
            "classificationComment": incident.classification_comment,
            "owner": incident.owner,
            "labels": incident.labels,
            "firstActivityTimeUtc": incident.first_activity,
            "lastActivityTimeUtc": incident.last_activity,
        })
    };
    let (old, new) = (before.map(written), written(after));
    let mut changes = Map::new();
    for (name, value) in new.as_object().into_iter().flatten() {
        let previous = old.as_ref().map_or(&Value::Null, |old| &old[name]);
        if previous != value {
            changes.insert(name.clone(), json!([previous, value]));
        }
    }
    Value::Object(changes)
}
