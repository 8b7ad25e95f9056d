//! Parts of incidents: comments, tasks, relations. Stored alike with different types.

use model::{Comment, IncidentTask, Relation};
use serde::{Serialize, de::DeserializeOwned};
use sqlx::{Row, SqliteConnection};
use uuid::Uuid;

use crate::error::{StoreError, decode, encode};
use crate::{Change, Store, Topic};

/// A part of an incident.
pub trait Part: Serialize + DeserializeOwned + Send + Sync {
    const KIND: &'static str;

    fn incident(&self) -> Uuid;

    /// Its resource name; case-insensitive.
    fn id(&self) -> &str;
}

macro_rules! part {
    ($type:ident $kind:literal) => {
        impl Part for $type {
            const KIND: &'static str = $kind;

            fn incident(&self) -> Uuid {
                self.incident
            }

            fn id(&self) -> &str {
                &self.id
            }
        }
    };
}

part!(Comment "comment");
part!(IncidentTask "task");
part!(Relation "relation");

/// Reads parts.
pub struct IncidentParts<'s> {
    pub(crate) store: &'s Store,
}

impl IncidentParts<'_> {
    pub async fn get<P: Part>(&self, incident: Uuid, id: &str) -> Result<Option<P>, StoreError> {
        get(&mut *self.store.reader().await?, incident, id).await
    }

    /// All parts of one kind of an incident, in order of creation.
    pub async fn list<P: Part>(&self, incident: Uuid) -> Result<Vec<P>, StoreError> {
        list(&mut *self.store.reader().await?, incident).await
    }
}

impl Change {
    pub async fn part<P: Part>(&mut self, incident: Uuid, id: &str) -> Result<Option<P>, StoreError> {
        get(self.connection(), incident, id).await
    }

    pub async fn parts<P: Part>(&mut self, incident: Uuid) -> Result<Vec<P>, StoreError> {
        list(self.connection(), incident).await
    }

    /// Creates or replaces a part.
    pub async fn put_part<P: Part>(&mut self, part: &P) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO incident_parts (incident, kind, id, body) VALUES (?, ?, ?, ?) ON CONFLICT (incident, kind, id) DO UPDATE SET body = excluded.body",
        )
        .bind(part.incident().to_string())
        .bind(P::KIND)
        .bind(part.id().to_lowercase())
        .bind(encode(P::KIND, part)?)
        .execute(self.connection())
        .await?;
        self.touch(Topic::Incidents);
        Ok(())
    }

    /// Removes a part. Returns false if there was none.
    pub async fn delete_part<P: Part>(&mut self, incident: Uuid, id: &str) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM incident_parts WHERE incident = ? AND kind = ? AND id = ?")
            .bind(incident.to_string())
            .bind(P::KIND)
            .bind(id.to_lowercase())
            .execute(self.connection())
            .await?;
        self.touch(Topic::Incidents);
        Ok(done.rows_affected() == 1)
    }
}

async fn get<P: Part>(connection: &mut SqliteConnection, incident: Uuid, id: &str) -> Result<Option<P>, StoreError> {
    let text: Option<String> = sqlx::query_scalar("SELECT body FROM incident_parts WHERE incident = ? AND kind = ? AND id = ?")
        .bind(incident.to_string())
        .bind(P::KIND)
        .bind(id.to_lowercase())
        .fetch_optional(connection)
        .await?;
    text.map(|text| decode(P::KIND, id, &text)).transpose()
}

async fn list<P: Part>(connection: &mut SqliteConnection, incident: Uuid) -> Result<Vec<P>, StoreError> {
    let rows = sqlx::query("SELECT id, body FROM incident_parts WHERE incident = ? AND kind = ? ORDER BY seq")
        .bind(incident.to_string())
        .bind(P::KIND)
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| {
            let (id, body): (String, String) = (row.try_get("id")?, row.try_get("body")?);
            decode(P::KIND, &id, &body)
        })
        .collect()
}
