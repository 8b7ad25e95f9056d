//! The audit trail: who changed what, from where, and the fields before and after.
//!
//! Every entry has a seal, the SHA-256 of the previous seal and of the entry's content, so that changing, removing or inserting an entry
//! breaks the chain from there on ([`chain`]). The last seal is also kept in a file beside the database ([`head`]), so that entries removed
//! from the end, or a database replaced by an older copy, are found as well. Whoever can write both can rewrite the whole chain; to detect
//! that, keep the last seal elsewhere (`bartizan audit verify` prints it).

mod chain;
mod files;
mod filter;
mod head;
mod rechain;
mod sentinel;

use model::{Actor, Timestamp};
use serde_json::Value;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

pub use chain::{Chain, Fault};
pub use files::verify_in;
pub use filter::AuditFilter;
pub(crate) use head::{HEAD, HeadFile};
pub(crate) use rechain::{prepare, seal_again};

use crate::error::{StoreError, decode, encode};
use crate::{Change, Store};

const AGGREGATE: &str = "audit entry";

/// One change of one object.
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

/// An entry as stored.
#[derive(Clone, Debug, PartialEq)]
pub struct AuditRow {
    /// Its number, without gaps from 1.
    pub number: i64,
    pub seal: String,
    pub entry: AuditEntry,
}

/// Reads the audit trail.
pub struct Audit<'s> {
    pub(crate) store: &'s Store,
}

impl Audit<'_> {
    /// Changes of one object, oldest first.
    pub async fn of(&self, aggregate: &str, id: &str) -> Result<Vec<AuditEntry>, StoreError> {
        let mut connection = self.store.reader().await?;
        let rows = sqlx::query("SELECT * FROM audit WHERE aggregate = ? AND id = ? ORDER BY seq")
            .bind(aggregate)
            .bind(id)
            .fetch_all(&mut *connection)
            .await?;
        rows.iter().map(|row| Ok(read(row)?.entry)).collect()
    }

    /// Entries that match the filter, newest first, at most `limit`, only those before number `before` if it is given.
    pub async fn list(&self, filter: &AuditFilter, before: Option<i64>, limit: u32) -> Result<Vec<AuditRow>, StoreError> {
        let mut connection = self.store.reader().await?;
        filter::list(&mut connection, filter, before, limit).await
    }

    /// Verifies the chain from the first entry, and the file with its head. Reads the whole trail.
    pub async fn verify(&self) -> Result<Chain, StoreError> {
        // The head first: an entry is committed before its seal reaches the file.
        let head = self.store.audit_head().read();
        let mut connection = self.store.reader().await?;
        chain::verify(&mut connection, 0, head.as_ref().map(|head| (head.entry, head.seal.as_str()))).await
    }
}

fn read(row: &SqliteRow) -> Result<AuditRow, StoreError> {
    let number: i64 = row.try_get("seq")?;
    let (actor, changes): (String, String) = (row.try_get("actor")?, row.try_get("changes")?);
    let name = number.to_string();
    let entry = AuditEntry {
        at: Timestamp::clamp_ticks(row.try_get("at")?),
        aggregate: row.try_get("aggregate")?,
        id: row.try_get("id")?,
        action: row.try_get("action")?,
        actor: decode(AGGREGATE, &name, &actor)?,
        changes: decode(AGGREGATE, &name, &changes)?,
    };
    Ok(AuditRow { number, seal: row.try_get("seal")?, entry })
}

impl Change {
    /// Records a change. Required in every change made by a user or through an API.
    ///
    /// Adds the row of `SentinelAudit` as well, if Sentinel audits objects of that kind.
    pub async fn record(&mut self, entry: &AuditEntry) -> Result<(), StoreError> {
        let last: Option<(i64, String)> =
            sqlx::query_as("SELECT seq, seal FROM audit ORDER BY seq DESC LIMIT 1").fetch_optional(self.connection()).await?;
        let (last, previous) = last.unwrap_or_default();
        let number = last + 1;
        let (actor, changes) = (encode(AGGREGATE, &entry.actor)?, encode(AGGREGATE, &entry.changes)?);
        let texts = [entry.aggregate.as_str(), &entry.id, &entry.action, &actor, &changes];
        let seal = chain::seal_of(&previous, number, entry.at.ticks(), texts);
        sqlx::query("INSERT INTO audit (seq, at, aggregate, id, action, actor, changes, seal) VALUES (?, ?, ?, ?, ?, ?, ?, ?)")
            .bind(number)
            .bind(entry.at.ticks())
            .bind(&entry.aggregate)
            .bind(&entry.id)
            .bind(&entry.action)
            .bind(&actor)
            .bind(&changes)
            .bind(&seal)
            .execute(self.connection())
            .await?;
        self.sealed(number, seal);
        if let Some(row) = sentinel::row(self.connection(), number, entry).await? {
            self.send_row("SentinelAudit", &row).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
