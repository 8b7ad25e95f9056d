//! On-call objects: users, schedules, policies … by kind and name, as JSON defined by on-call.

use model::Timestamp;
use serde_json::Value;
use sqlx::{Row, SqliteConnection};
use uuid::Uuid;

use crate::error::{StoreError, decode, encode};
use crate::{Change, Store, Topic};

const AGGREGATE: &str = "on-call object";

/// One user, schedule, policy …
#[derive(Clone, Debug, PartialEq)]
pub struct OnCallObject {
    /// As in a document: `users`, `schedules` …
    pub kind: String,
    pub name: String,
    pub etag: Uuid,
    pub modified: Timestamp,
    pub body: Value,
}

/// Reads on-call objects.
pub struct OnCallObjects<'s> {
    pub(crate) store: &'s Store,
}

impl OnCallObjects<'_> {
    pub async fn get(&self, kind: &str, name: &str) -> Result<Option<OnCallObject>, StoreError> {
        get(&mut *self.store.reader().await?, kind, name).await
    }

    /// All objects, by kind and name.
    pub async fn list(&self) -> Result<Vec<OnCallObject>, StoreError> {
        list(&mut *self.store.reader().await?).await
    }
}

impl Change {
    pub async fn oncall_object(&mut self, kind: &str, name: &str) -> Result<Option<OnCallObject>, StoreError> {
        get(self.connection(), kind, name).await
    }

    pub async fn oncall_objects(&mut self) -> Result<Vec<OnCallObject>, StoreError> {
        list(self.connection()).await
    }

    pub async fn put_oncall_object(&mut self, object: &OnCallObject) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO oncall_objects (kind, name, etag, modified, body) VALUES (?, ?, ?, ?, ?) \
             ON CONFLICT (kind, name) DO UPDATE SET etag = excluded.etag, modified = excluded.modified, body = excluded.body",
        )
        .bind(&object.kind)
        .bind(&object.name)
        .bind(object.etag.to_string())
        .bind(object.modified.ticks())
        .bind(encode(AGGREGATE, &object.body)?)
        .execute(self.connection())
        .await?;
        self.touch(Topic::OnCall);
        Ok(())
    }

    /// Returns false if there was none.
    pub async fn delete_oncall_object(&mut self, kind: &str, name: &str) -> Result<bool, StoreError> {
        let done =
            sqlx::query("DELETE FROM oncall_objects WHERE kind = ? AND name = ?").bind(kind).bind(name).execute(self.connection()).await?;
        self.touch(Topic::OnCall);
        Ok(done.rows_affected() == 1)
    }
}

async fn get(connection: &mut SqliteConnection, kind: &str, name: &str) -> Result<Option<OnCallObject>, StoreError> {
    let row =
        sqlx::query("SELECT * FROM oncall_objects WHERE kind = ? AND name = ?").bind(kind).bind(name).fetch_optional(connection).await?;
    row.map(|row| read(&row)).transpose()
}

async fn list(connection: &mut SqliteConnection) -> Result<Vec<OnCallObject>, StoreError> {
    let rows = sqlx::query("SELECT * FROM oncall_objects ORDER BY kind, name").fetch_all(connection).await?;
    rows.iter().map(read).collect()
}

fn read(row: &sqlx::sqlite::SqliteRow) -> Result<OnCallObject, StoreError> {
    let (name, etag, body): (String, String, String) = (row.try_get("name")?, row.try_get("etag")?, row.try_get("body")?);
    Ok(OnCallObject {
        kind: row.try_get("kind")?,
        etag: etag.parse().unwrap_or_default(),
        modified: Timestamp::clamp_ticks(row.try_get("modified")?),
        body: decode(AGGREGATE, &name, &body)?,
        name,
    })
}
