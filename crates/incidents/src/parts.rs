//! Comments, tasks and relations of an incident. Changing one also updates the incident's etag and adds a row.

use model::{Actor, Comment, Incident, IncidentTask, Relation};
use serde_json::json;
use store::Part;
use uuid::Uuid;

use crate::changes::{ChangeError, check_etag, within};
use crate::service::Incidents;

/// Maximum comments of an incident, and characters of a comment.
pub const MAX_COMMENTS: usize = 100;
pub const MAX_MESSAGE: usize = 30_000;
const MAX_TASKS: usize = 100;
const MAX_RELATIONS: usize = 500;
const MAX_TITLE: usize = 150;
const MAX_DESCRIPTION: usize = 3_000;

/// Requested state of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskDraft {
    pub title: String,
    pub description: String,
    pub completed: bool,
}

fn check_part(current: Option<Uuid>, etag: Option<&str>, id: &str) -> Result<(), ChangeError> {
    current.map_or(Ok(()), |current| check_etag(current, etag, id))
}

/// Named parts of an incident: comments, tasks, relations.
pub trait IncidentPart: Part {
    /// Name of the deletion in the audit trail.
    const DELETED: &'static str;

    /// Text for the audit trail.
    fn told(&self) -> &str;

    /// Decrements the incident's count.
    fn leave(incident: &mut Incident) {
        let _ = incident;
    }
}

impl IncidentPart for Comment {
    const DELETED: &'static str = "comment deleted";

    fn told(&self) -> &str {
        &self.message
    }

    fn leave(incident: &mut Incident) {
        incident.comments_count = incident.comments_count.saturating_sub(1);
    }
}

impl IncidentPart for IncidentTask {
    const DELETED: &'static str = "task deleted";

    fn told(&self) -> &str {
        &self.title
    }

    fn leave(incident: &mut Incident) {
        incident.tasks_count = incident.tasks_count.saturating_sub(1);
    }
}

impl IncidentPart for Relation {
    const DELETED: &'static str = "unrelated";

    fn told(&self) -> &str {
        &self.related_resource_id
    }
}

impl Incidents {
    /// Removes a part. Returns false if there was none.
    pub async fn delete_part<P: IncidentPart>(&self, incident: Uuid, id: &str, actor: &Actor) -> Result<bool, ChangeError> {
        let mut change = self.store.begin().await?;
        let mut parent = self.incident_in(&mut change, incident).await?;
        let Some(before) = change.part::<P>(incident, id).await? else { return Ok(false) };
        change.delete_part::<P>(incident, id).await?;
        P::leave(&mut parent);
        let changes = json!({ format!("{} {id}", P::KIND): [before.told(), null] });
        self.finish(change, parent, self.clock.now(), P::DELETED, actor, changes).await?;
        Ok(true)
    }

    /// Adds or replaces a comment. Returns true if added.
    pub async fn put_comment(
        &self,
        incident: Uuid,
        id: &str,
        message: &str,
        etag: Option<&str>,
        actor: &Actor,
    ) -> Result<(Comment, bool), ChangeError> {
        if message.trim().is_empty() {
            return Err(ChangeError::Missing { property: "properties.message" });
        }
        within("properties.message", message, MAX_MESSAGE)?;
        let mut change = self.store.begin().await?;
        let mut parent = self.incident_in(&mut change, incident).await?;
        let before: Option<Comment> = change.part(incident, id).await?;
        check_part(before.as_ref().map(|before| before.etag), etag, id)?;
        if before.is_none() && parent.comments_count as usize >= MAX_COMMENTS {
            return Err(ChangeError::TooMany { what: "comments", limit: MAX_COMMENTS });
        }
        let now = self.clock.now();
        let comment = match &before {
            Some(before) => Comment { etag: Uuid::new_v4(), message: message.to_owned(), modified: now, ..before.clone() },
            None => Comment {
                id: id.to_owned(),
                incident,
                etag: Uuid::new_v4(),
                message: message.to_owned(),
                author: actor.clone(),
                created: now,
                modified: now,
            },
        };
        change.put_part(&comment).await?;
        parent.comments_count += u32::from(before.is_none());
        let action = if before.is_none() { "commented" } else { "comment changed" };
        let changes = json!({ format!("comment {id}"): [before.as_ref().map(|before| &before.message), comment.message] });
        self.finish(change, parent, now, action, actor, changes).await?;
        Ok((comment, before.is_none()))
    }

    /// Adds or replaces a task. Returns true if added.
    pub async fn put_task(
        &self,
        incident: Uuid,
        id: &str,
        draft: &TaskDraft,
        etag: Option<&str>,
        actor: &Actor,
    ) -> Result<(IncidentTask, bool), ChangeError> {
        if draft.title.trim().is_empty() {
            return Err(ChangeError::Missing { property: "properties.title" });
        }
        within("properties.title", &draft.title, MAX_TITLE)?;
        within("properties.description", &draft.description, MAX_DESCRIPTION)?;
        let mut change = self.store.begin().await?;
        let mut parent = self.incident_in(&mut change, incident).await?;
        let before: Option<IncidentTask> = change.part(incident, id).await?;
        check_part(before.as_ref().map(|before| before.etag), etag, id)?;
        if before.is_none() && parent.tasks_count as usize >= MAX_TASKS {
            return Err(ChangeError::TooMany { what: "tasks", limit: MAX_TASKS });
        }
        let now = self.clock.now();
        let task = IncidentTask {
            id: before.as_ref().map_or_else(|| id.to_owned(), |before| before.id.clone()),
            incident,
            etag: Uuid::new_v4(),
            title: draft.title.clone(),
            description: draft.description.clone(),
            completed: draft.completed,
            created: before.as_ref().map_or(now, |before| before.created),
            modified: now,
            created_by: before.as_ref().map_or_else(|| actor.clone(), |before| before.created_by.clone()),
            modified_by: actor.clone(),
        };
        change.put_part(&task).await?;
        parent.tasks_count += u32::from(before.is_none());
        let action = if before.is_none() { "task added" } else { "task changed" };
        let state = |task: &IncidentTask| json!({ "title": task.title, "completed": task.completed });
        let changes = json!({ format!("task {id}"): [before.as_ref().map(state), state(&task)] });
        self.finish(change, parent, now, action, actor, changes).await?;
        Ok((task, before.is_none()))
    }

    /// Adds or replaces a relation. Returns true if added.
    pub async fn put_relation(
        &self,
        incident: Uuid,
        id: &str,
        related: &str,
        etag: Option<&str>,
        actor: &Actor,
    ) -> Result<(Relation, bool), ChangeError> {
        if related.trim().is_empty() {
            return Err(ChangeError::Missing { property: "properties.relatedResourceId" });
        }
        within("properties.relatedResourceId", related, 2_048)?;
        let mut change = self.store.begin().await?;
        let parent = self.incident_in(&mut change, incident).await?;
        let before: Option<Relation> = change.part(incident, id).await?;
        check_part(before.as_ref().map(|before| before.etag), etag, id)?;
        if before.is_none() && change.parts::<Relation>(incident).await?.len() >= MAX_RELATIONS {
            return Err(ChangeError::TooMany { what: "relations", limit: MAX_RELATIONS });
        }
        let relation = Relation { id: id.to_owned(), incident, etag: Uuid::new_v4(), related_resource_id: related.trim().to_owned() };
        change.put_part(&relation).await?;
        let changes =
            json!({ format!("relation {id}"): [before.as_ref().map(|before| &before.related_resource_id), relation.related_resource_id] });
        self.finish(change, parent, self.clock.now(), "related", actor, changes).await?;
        Ok((relation, before.is_none()))
    }
}
