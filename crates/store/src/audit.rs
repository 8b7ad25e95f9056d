//! The audit trail: who changed what, from where, and the fields before and after.
//!
//! Every entry has a seal, the SHA-256 of the previous seal and of the entry's content, so that changing, removing or inserting an entry
//! breaks the chain from there on. An attacker who can rewrite the whole file can rewrite the chain; to detect that, store the last seal
//! elsewhere.

use model::{Actor, Timestamp};
use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::Row;

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

/// Result of [`Audit::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chain {
    /// All entries are intact; `last` is the seal of the last one.
    Whole { entries: u64, last: String },
    /// This entry was changed, or one before it is missing.
    Broken { entry: i64 },
}

/// Reads the audit trail.
pub struct Audit<'s> {
    pub(crate) store: &'s Store,
}

impl Audit<'_> {
    /// Changes of one object, oldest first.
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

impl Audit<'_> {
    /// Verifies the chain from the first entry. Reads the whole trail.
    pub async fn verify(&self) -> Result<Chain, StoreError> {
        /// Entries per query.
        const PAGE: i64 = 1_000;
        let (mut last, mut seal, mut entries) = (0, String::new(), 0);
        loop {
            let mut connection = self.store.reader().await?;
            let rows =
                sqlx::query("SELECT seq, at, aggregate, id, action, actor, changes, seal FROM audit WHERE seq > ? ORDER BY seq LIMIT ?")
                    .bind(last)
                    .bind(PAGE)
                    .fetch_all(&mut *connection)
                    .await?;
            drop(connection);
            if rows.is_empty() {
                return Ok(Chain::Whole { entries, last: seal });
            }
            for row in rows {
                let seq: i64 = row.try_get("seq")?;
                let at: i64 = row.try_get("at")?;
                let texts: [String; 5] =
                    [row.try_get("aggregate")?, row.try_get("id")?, row.try_get("action")?, row.try_get("actor")?, row.try_get("changes")?];
                let expected = seal_of(&seal, at, texts.each_ref().map(String::as_str));
                seal = row.try_get("seal")?;
                if seal != expected {
                    return Ok(Chain::Broken { entry: seq });
                }
                (last, entries) = (seq, entries + 1);
            }
        }
    }
}

/// The seal of an entry. Texts are length-prefixed, so the encoding is unambiguous.
fn seal_of(previous: &str, at: i64, texts: [&str; 5]) -> String {
    let mut hash = Sha256::new();
    hash.update(at.to_le_bytes());
    for text in std::iter::once(previous).chain(texts) {
        hash.update((text.len() as u64).to_le_bytes());
        hash.update(text.as_bytes());
    }
    hex::encode(hash.finalize())
}

impl Change {
    /// Records a change. Required in every change made by a user or through an API.
    pub async fn record(&mut self, entry: &AuditEntry) -> Result<(), StoreError> {
        let previous: Option<String> =
            sqlx::query_scalar("SELECT seal FROM audit ORDER BY seq DESC LIMIT 1").fetch_optional(self.connection()).await?;
        let (actor, changes) = (encode(AGGREGATE, &entry.actor)?, encode(AGGREGATE, &entry.changes)?);
        let texts = [entry.aggregate.as_str(), &entry.id, &entry.action, &actor, &changes];
        let seal = seal_of(previous.as_deref().unwrap_or_default(), entry.at.ticks(), texts);
        sqlx::query("INSERT INTO audit (at, aggregate, id, action, actor, changes, seal) VALUES (?, ?, ?, ?, ?, ?, ?)")
            .bind(entry.at.ticks())
            .bind(&entry.aggregate)
            .bind(&entry.id)
            .bind(&entry.action)
            .bind(&actor)
            .bind(&changes)
            .bind(seal)
            .execute(self.connection())
            .await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[tokio::test]
    async fn an_entry_that_was_altered_or_removed_is_found_out() {
        for (damage, expected) in [
            ("UPDATE audit SET changes = '{}' WHERE seq = 3", Chain::Broken { entry: 3 }),
            ("UPDATE audit SET at = at + 1 WHERE seq = 1", Chain::Broken { entry: 1 }),
            ("DELETE FROM audit WHERE seq = 2", Chain::Broken { entry: 3 }),
            (
                "INSERT INTO audit (at, aggregate, id, action, actor, changes) VALUES (1, 'a', 'b', 'c', '{}', '{}')",
                Chain::Broken { entry: 6 },
            ),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(&folder.path().join("state.db")).await.unwrap();
            for n in 0..5 {
                let mut change = store.begin().await.unwrap();
                let entry = AuditEntry {
                    at: Timestamp::UNIX_EPOCH,
                    aggregate: "incident".to_owned(),
                    id: "1".to_owned(),
                    action: "changed".to_owned(),
                    actor: Actor::task("test"),
                    changes: json!({ "n": [n, n + 1] }),
                };
                change.record(&entry).await.unwrap();
                change.commit().await.unwrap();
            }
            assert!(matches!(store.audit().verify().await.unwrap(), Chain::Whole { entries: 5, .. }));
            let mut change = store.begin().await.unwrap();
            sqlx::query(damage).execute(change.connection()).await.unwrap();
            change.commit().await.unwrap();
            assert_eq!(store.audit().verify().await.unwrap(), expected, "{damage}");
        }
    }
}
