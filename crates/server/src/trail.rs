//! Audit entries written by endpoints.

use model::Actor;
use serde_json::Value;
use store::{AuditEntry, Change};

use crate::call::Call;
use crate::context::Context;
use crate::error::ApiError;
use crate::identity::Person;

/// A change for the audit trail.
pub struct Changed<'a> {
    /// `table`, `role assignment`.
    pub aggregate: &'static str,
    pub id: &'a str,
    /// `created`, `changed`, `deleted`.
    pub action: &'static str,
    /// `{"field": [before, after]}`.
    pub changes: Value,
}

fn failed(error: store::StoreError) -> ApiError {
    ApiError::internal(&error)
}

/// Records the caller and the change in the transaction of the change itself.
pub async fn record(cx: &Context, call: &Call, via: &'static str, change: &mut Change, what: Changed<'_>) -> Result<(), ApiError> {
    let entry = AuditEntry {
        at: cx.clock.now(),
        aggregate: what.aggregate.to_owned(),
        id: what.id.to_owned(),
        action: what.action.to_owned(),
        actor: call.actor(via),
        changes: what.changes,
    };
    change.record(&entry).await.map_err(failed)
}

/// As [`record`], for a person who signed in on a page: the request itself has no token.
pub async fn record_as(
    cx: &Context,
    call: &Call,
    via: &'static str,
    change: &mut Change,
    person: &Person,
    what: Changed<'_>,
) -> Result<(), ApiError> {
    let actor =
        Actor { name: person.name.clone(), object_id: Some(person.object_id.clone()), email: person.email.clone(), ..call.actor(via) };
    let entry = AuditEntry {
        at: cx.clock.now(),
        aggregate: what.aggregate.to_owned(),
        id: what.id.to_owned(),
        action: what.action.to_owned(),
        actor,
        changes: what.changes,
    };
    change.record(&entry).await.map_err(failed)
}

/// Records a change to something kept outside the store, after the change.
pub async fn record_alone(cx: &Context, call: &Call, via: &'static str, what: Changed<'_>) -> Result<(), ApiError> {
    let mut change = cx.store.begin().await.map_err(failed)?;
    record(cx, call, via, &mut change, what).await?;
    change.commit().await.map_err(failed)
}
