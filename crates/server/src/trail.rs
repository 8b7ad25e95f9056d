//! Audit entries written by endpoints.

use model::{Condition, ConditionSeverity};
use serde_json::{Value, json};
use store::{AuditEntry, Change};

use crate::call::Call;
use crate::context::Context;
use crate::error::ApiError;

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
    Ok(change.record(&entry).await?)
}

/// Records a change to something kept outside the store, after the change. If that fails, the change is done and has no entry: a health
/// condition names it, with the entry for readers of the workspace, until the next start.
pub async fn record_alone(cx: &Context, call: &Call, via: &'static str, what: Changed<'_>) -> Result<(), ApiError> {
    let subject = format!("{} {}", what.aggregate, what.id);
    let entry = json!({ "at": cx.clock.now(), "action": what.action, "actor": call.actor(via), "changes": what.changes });
    let recorded = async {
        let mut change = cx.store.begin().await?;
        record(cx, call, via, &mut change, what).await?;
        Ok(change.commit().await?)
    };
    recorded.await.inspect_err(|_: &ApiError| {
        tracing::error!(subject, %entry, "a change was made and could not be recorded in the audit trail");
        let mut condition = Condition::new("audit-entry-missing", subject.as_str(), ConditionSeverity::Degraded)
            .summary(format!("the change of {subject} was made, and the audit trail has no entry of it: it could not be written"))
            .action("make room on the disk of the data directory, or repair it; the detail and the log of the service have the entry");
        condition.detail = entry.to_string().chars().take(MAX_DETAIL).collect();
        cx.health.report(condition);
    })
}

/// Maximum characters of an entry in a condition; the log has all of it.
const MAX_DETAIL: usize = 2_000;
