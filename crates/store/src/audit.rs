//! The audit trail: who changed what, from where, and which fields went from what to what.

use model::{Actor, Timestamp};
use serde_json::Value;
use sqlx::Row;

use crate::error::{StoreError, decode, encode};
use crate::{Change, Store};

const AGGREGATE: &str = "audit entry";

/// One change of one thing.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditEntry {
    pub at: Timestamp,
    /// `incident`, `analytics rule`.
    pub aggregate: String,
    pub id: String,
    /// `created`, `changed`, `deleted`, `commented`.
    pub action: String,
    pub actor: Actor,
    /// `{"field": [before, after]}`.
    pub changes: Value,
}

/// Reads the audit trail.
pub struct Audit<'s> {
    pub(crate) store: &'s Store,
}

impl Audit<'_> {
    /// What happened to one thing, oldest first.
    pub async fn of(&self, aggregate: &str, id: &str) -> Result<Vec<AuditEntry>, StoreError> {
        let mut connection = self.store.reader().await?;
        let rows = sqlx::query("SELECT at, aggregate, id, action, actor, changes FROM audit WHERE aggregate = ? AND id = ? ORDER BY seq")
            .bind(aggregate)
            .bind(id)
            .fetch_all(&mut *connection)
            .await?;
        rows.iter()
            .map(|row| {
                let (actor, changes): (String, String) = (row.try_get("actor")?, row.try_get("changes")?);
                Ok(AuditEntry {
                    at: Timestamp::clamp_ticks(row.try_get("at")?),
                    aggregate: row.try_get("aggregate")?,
                    id: row.try_get("id")?,
                    action: row.try_get("action")?,
                    actor: decode(AGGREGATE, id, &actor)?,
                    changes: decode(AGGREGATE, id, &changes)?,
                })
            })
            .collect()
    }
}

impl Change {
    /// Records who did it. Belongs into every change that a person or an API made.
    pub async fn record(&mut self, entry: &AuditEntry) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO audit (at, aggregate, id, action, actor, changes) VALUES (?, ?, ?, ?, ?, ?)")
            .bind(entry.at.ticks())
            .bind(&entry.aggregate)
            .bind(&entry.id)
            .bind(&entry.action)
            .bind(encode(AGGREGATE, &entry.actor)?)
            .bind(encode(AGGREGATE, &entry.changes)?)
            .execute(self.connection())
            .await?;
        Ok(())
    }
}
