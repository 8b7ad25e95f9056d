//! Escalations, the queue of incidents for on-call, and pending changes of incidents.
//!
//! The content is opaque JSON defined by on-call, next to indexed columns.

use model::Timestamp;
use serde_json::Value;
use sqlx::{Row, SqliteConnection};
use uuid::Uuid;

use crate::error::{StoreError, decode, encode};
use crate::{Change, Store, Topic};

const AGGREGATE: &str = "escalation";
const WISH: &str = "wish for an incident";

/// One run of an escalation policy.
#[derive(Clone, Debug, PartialEq)]
pub struct EscalationRow {
    pub id: Uuid,
    pub incident: Uuid,
    pub generation: u32,
    /// `running`, `held`, `closed` …
    pub status: String,
    /// When the next decision is due. `None` if none is due by time.
    pub due: Option<Timestamp>,
    /// Grouping key of escalations.
    pub group: Option<String>,
    pub body: Value,
}

/// A pending change of an incident.
#[derive(Clone, Debug, PartialEq)]
pub struct WishRow {
    pub seq: i64,
    pub id: Uuid,
    pub incident: Uuid,
    pub body: Value,
}

/// Reads escalations.
pub struct Escalations<'s> {
    pub(crate) store: &'s Store,
}

impl Escalations<'_> {
    pub async fn get(&self, id: Uuid) -> Result<Option<EscalationRow>, StoreError> {
        let mut connection = self.store.reader().await?;
        let row = sqlx::query("SELECT * FROM escalations WHERE id = ?").bind(id.to_string()).fetch_optional(&mut *connection).await?;
        row.map(|row| read(&row)).transpose()
    }

    /// All escalations of an incident, oldest first.
    pub async fn of_incident(&self, incident: Uuid) -> Result<Vec<EscalationRow>, StoreError> {
        of_incident(&mut *self.store.reader().await?, incident).await
    }

    /// Newest first.
    pub async fn list(&self, status: Option<&str>, limit: u32) -> Result<Vec<EscalationRow>, StoreError> {
        let mut connection = self.store.reader().await?;
        let rows = sqlx::query("SELECT * FROM escalations WHERE ?1 IS NULL OR status = ?1 ORDER BY seq DESC LIMIT ?2")
            .bind(status)
            .bind(limit)
            .fetch_all(&mut *connection)
            .await?;
        rows.iter().map(read).collect()
    }

    /// Escalations due by `now`, the longest overdue first.
    pub async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<EscalationRow>, StoreError> {
        let mut connection = self.store.reader().await?;
        let rows = sqlx::query("SELECT * FROM escalations WHERE due <= ? ORDER BY due, seq LIMIT ?")
            .bind(now.ticks())
            .bind(limit)
            .fetch_all(&mut *connection)
            .await?;
        rows.iter().map(read).collect()
    }

    /// When the next decision is due.
    pub async fn next_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let mut connection = self.store.reader().await?;
        let next: Option<i64> =
            sqlx::query_scalar("SELECT min(due) FROM escalations WHERE due IS NOT NULL").fetch_one(&mut *connection).await?;
        Ok(next.map(Timestamp::clamp_ticks))
    }

    /// Queue of changed incidents, oldest change first, each with its sequence number.
    pub async fn to_look_at(&self, limit: u32) -> Result<Vec<(i64, Uuid)>, StoreError> {
        let mut connection = self.store.reader().await?;
        let rows: Vec<(i64, String)> = sqlx::query_as("SELECT seq, incident FROM incidents_to_page ORDER BY seq LIMIT ?")
            .bind(limit)
            .fetch_all(&mut *connection)
            .await?;
        Ok(rows.into_iter().map(|(seq, incident)| (seq, incident.parse().unwrap_or_default())).collect())
    }

    /// Pending changes, oldest first.
    pub async fn wishes(&self, limit: u32) -> Result<Vec<WishRow>, StoreError> {
        let mut connection = self.store.reader().await?;
        let rows = sqlx::query("SELECT * FROM incident_wishes ORDER BY seq LIMIT ?").bind(limit).fetch_all(&mut *connection).await?;
        rows.iter().map(read_wish).collect()
    }
}

impl Change {
    /// The escalations of an incident, oldest first.
    pub async fn escalations_of(&mut self, incident: Uuid) -> Result<Vec<EscalationRow>, StoreError> {
        of_incident(self.connection(), incident).await
    }

    /// Escalations with a group: the newest `limit`.
    pub async fn grouped_escalations(&mut self, limit: u32) -> Result<Vec<EscalationRow>, StoreError> {
        let rows = sqlx::query("SELECT * FROM escalations WHERE group_key IS NOT NULL ORDER BY seq DESC LIMIT ?")
            .bind(limit)
            .fetch_all(self.connection())
            .await?;
        rows.iter().map(read).collect()
    }

    pub async fn put_escalation(&mut self, row: &EscalationRow) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO escalations (id, incident, generation, status, due, group_key, body) VALUES (?, ?, ?, ?, ?, ?, ?) \
             ON CONFLICT (id) DO UPDATE SET status = excluded.status, due = excluded.due, group_key = excluded.group_key, body = excluded.body",
        )
        .bind(row.id.to_string())
        .bind(row.incident.to_string())
        .bind(row.generation)
        .bind(&row.status)
        .bind(row.due.map(Timestamp::ticks))
        .bind(&row.group)
        .bind(encode(AGGREGATE, &row.body)?)
        .execute(self.connection())
        .await?;
        self.touch(Topic::Pages);
        Ok(())
    }

    /// Removes an incident from the queue, unless it changed again since.
    pub async fn looked_at(&mut self, seq: i64) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM incidents_to_page WHERE seq = ?").bind(seq).execute(self.connection()).await?;
        Ok(())
    }

    /// Returns false if it exists.
    pub async fn add_wish(&mut self, id: Uuid, incident: Uuid, body: &Value) -> Result<bool, StoreError> {
        let done = sqlx::query("INSERT INTO incident_wishes (id, incident, body) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING")
            .bind(id.to_string())
            .bind(incident.to_string())
            .bind(encode(WISH, body)?)
            .execute(self.connection())
            .await?;
        self.touch(Topic::Pages);
        Ok(done.rows_affected() == 1)
    }

    pub async fn strike_wish(&mut self, id: Uuid) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM incident_wishes WHERE id = ?").bind(id.to_string()).execute(self.connection()).await?;
        Ok(())
    }
}

async fn of_incident(connection: &mut SqliteConnection, incident: Uuid) -> Result<Vec<EscalationRow>, StoreError> {
    let rows = sqlx::query("SELECT * FROM escalations WHERE incident = ? ORDER BY generation")
        .bind(incident.to_string())
        .fetch_all(connection)
        .await?;
    rows.iter().map(read).collect()
}

fn read(row: &sqlx::sqlite::SqliteRow) -> Result<EscalationRow, StoreError> {
    let (id, incident, body): (String, String, String) = (row.try_get("id")?, row.try_get("incident")?, row.try_get("body")?);
    Ok(EscalationRow {
        incident: incident.parse().unwrap_or_default(),
        generation: row.try_get("generation")?,
        status: row.try_get("status")?,
        due: row.try_get::<Option<i64>, _>("due")?.map(Timestamp::clamp_ticks),
        group: row.try_get("group_key")?,
        body: decode(AGGREGATE, &id, &body)?,
        id: id.parse().unwrap_or_default(),
    })
}

fn read_wish(row: &sqlx::sqlite::SqliteRow) -> Result<WishRow, StoreError> {
    let (id, incident, body): (String, String, String) = (row.try_get("id")?, row.try_get("incident")?, row.try_get("body")?);
    Ok(WishRow {
        seq: row.try_get("seq")?,
        incident: incident.parse().unwrap_or_default(),
        body: decode(WISH, &id, &body)?,
        id: id.parse().unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use model::Actor;
    use serde_json::json;

    use super::*;

    fn incident(id: Uuid, number: i64) -> model::Incident {
        serde_json::from_value(json!({
            "id": id, "number": number, "etag": Uuid::new_v4(), "title": "t", "severity": "High", "status": "New",
            "created": Timestamp::UNIX_EPOCH, "modified": Timestamp::UNIX_EPOCH, "modified_by": Actor::task("test"),
            "provider_name": "p", "provider_incident_id": "1",
        }))
        .unwrap()
    }

    /// An incident that changes while it is processed must be processed again.
    #[tokio::test]
    async fn a_change_during_a_look_is_not_struck_out() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("state.db")).await.unwrap();
        let id = Uuid::new_v4();
        let put = async || {
            let mut change = store.begin().await.unwrap();
            change.put_incident(&incident(id, 1)).await.unwrap();
            change.commit().await.unwrap();
        };
        put().await;
        let seen = store.escalations().to_look_at(10).await.unwrap();
        assert_eq!(seen.len(), 1);
        put().await;
        let mut change = store.begin().await.unwrap();
        change.looked_at(seen[0].0).await.unwrap();
        change.commit().await.unwrap();
        let again = store.escalations().to_look_at(10).await.unwrap();
        assert_eq!(again.iter().map(|(_, incident)| *incident).collect::<Vec<_>>(), [id]);
        assert!(again[0].0 > seen[0].0);
        // Deleting it is a change as well.
        let mut change = store.begin().await.unwrap();
        change.looked_at(again[0].0).await.unwrap();
        change.delete_incident(id).await.unwrap();
        change.commit().await.unwrap();
        assert_eq!(store.escalations().to_look_at(10).await.unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_wish_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("state.db")).await.unwrap();
        let (id, incident) = (Uuid::new_v4(), Uuid::new_v4());
        let mut change = store.begin().await.unwrap();
        assert!(change.add_wish(id, incident, &json!({ "n": 1 })).await.unwrap());
        assert!(!change.add_wish(id, incident, &json!({ "n": 2 })).await.unwrap());
        change.commit().await.unwrap();
        let wishes = store.escalations().wishes(10).await.unwrap();
        assert_eq!((wishes.len(), &wishes[0].body), (1, &json!({ "n": 1 })));
    }
}
