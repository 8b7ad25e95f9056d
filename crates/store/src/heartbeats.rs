//! When each heartbeat was last received, and the incident opened for a missed one.

use model::Timestamp;
use sqlx::{Row, SqliteConnection};
use uuid::Uuid;

use crate::error::StoreError;
use crate::{Change, Store, Topic};

/// State of a heartbeat.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeartbeatRow {
    pub name: String,
    /// When it was last received, or else when it was first watched.
    pub heard: Timestamp,
    /// The open incident of a missed heartbeat.
    pub incident: Option<Uuid>,
}

/// Reads heartbeats.
pub struct Heartbeats<'s> {
    pub(crate) store: &'s Store,
}

impl Heartbeats<'_> {
    pub async fn get(&self, name: &str) -> Result<Option<HeartbeatRow>, StoreError> {
        get(&mut *self.store.reader().await?, name).await
    }

    pub async fn list(&self) -> Result<Vec<HeartbeatRow>, StoreError> {
        let mut connection = self.store.reader().await?;
        let rows = sqlx::query("SELECT * FROM heartbeats ORDER BY name").fetch_all(&mut *connection).await?;
        rows.iter().map(read).collect()
    }
}

impl Change {
    pub async fn heartbeat(&mut self, name: &str) -> Result<Option<HeartbeatRow>, StoreError> {
        get(self.connection(), name).await
    }

    pub async fn put_heartbeat(&mut self, row: &HeartbeatRow) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO heartbeats (name, heard, incident) VALUES (?, ?, ?) \
             ON CONFLICT (name) DO UPDATE SET heard = excluded.heard, incident = excluded.incident",
        )
        .bind(&row.name)
        .bind(row.heard.ticks())
        .bind(row.incident.map(|id| id.to_string()))
        .execute(self.connection())
        .await?;
        self.touch(Topic::Heartbeats);
        Ok(())
    }

    /// Removes a heartbeat that is not watched any more.
    pub async fn delete_heartbeat(&mut self, name: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM heartbeats WHERE name = ?").bind(name).execute(self.connection()).await?;
        Ok(())
    }
}

async fn get(connection: &mut SqliteConnection, name: &str) -> Result<Option<HeartbeatRow>, StoreError> {
    let row = sqlx::query("SELECT * FROM heartbeats WHERE name = ?").bind(name).fetch_optional(connection).await?;
    row.map(|row| read(&row)).transpose()
}

fn read(row: &sqlx::sqlite::SqliteRow) -> Result<HeartbeatRow, StoreError> {
    Ok(HeartbeatRow {
        name: row.try_get("name")?,
        heard: Timestamp::clamp_ticks(row.try_get("heard")?),
        incident: row.try_get::<Option<String>, _>("incident")?.and_then(|id| id.parse().ok()),
    })
}
