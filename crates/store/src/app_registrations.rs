//! App registrations, and the identifiers of the embedded cloud.

use model::Timestamp;
use serde::{Deserialize, Serialize};
use sqlx::{Row, SqliteConnection};

use crate::error::{StoreError, decode, encode};
use crate::{Change, Store, Topic};

const AGGREGATE: &str = "app registration";

/// An application with its credentials.
#[derive(Clone, Debug, PartialEq)]
pub struct AppRegistration {
    /// The client id.
    pub app_id: String,
    /// The id of its service principal.
    pub object_id: String,
    pub display_name: String,
    pub created: Timestamp,
    pub secrets: Vec<ClientSecret>,
    pub certificates: Vec<ClientCertificate>,
}

/// A client secret, as its hash.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientSecret {
    /// Identifies the secret without revealing it.
    pub key_id: String,
    pub hash: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
}

/// A certificate whose key signs client assertions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClientCertificate {
    /// DER in base64.
    pub der: String,
}

/// Reads applications.
pub struct AppRegistrations<'s> {
    pub(crate) store: &'s Store,
}

impl AppRegistrations<'_> {
    pub async fn get(&self, app_id: &str) -> Result<Option<AppRegistration>, StoreError> {
        get(&mut *self.store.reader().await?, app_id).await
    }

    /// The id of the application that the service made at its first start.
    pub async fn first_id(&self) -> Result<Option<String>, StoreError> {
        let mut connection = self.store.reader().await?;
        Ok(sqlx::query_scalar("SELECT value FROM cloud_names WHERE name = 'first_app_id'").fetch_optional(&mut *connection).await?)
    }

    /// All applications, oldest first.
    pub async fn list(&self) -> Result<Vec<AppRegistration>, StoreError> {
        let mut connection = self.store.reader().await?;
        let rows = sqlx::query("SELECT * FROM app_registrations ORDER BY created, app_id").fetch_all(&mut *connection).await?;
        rows.iter().map(read).collect()
    }
}

impl Change {
    pub async fn app_registration(&mut self, app_id: &str) -> Result<Option<AppRegistration>, StoreError> {
        get(self.connection(), app_id).await
    }

    pub async fn put_app_registration(&mut self, app: &AppRegistration) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO app_registrations (app_id, object_id, display_name, created, secrets, certificates) VALUES (?, ?, ?, ?, ?, ?) \
             ON CONFLICT (app_id) DO UPDATE SET display_name = excluded.display_name, secrets = excluded.secrets, \
             certificates = excluded.certificates",
        )
        .bind(&app.app_id)
        .bind(&app.object_id)
        .bind(&app.display_name)
        .bind(app.created.ticks())
        .bind(encode(AGGREGATE, &app.secrets)?)
        .bind(encode(AGGREGATE, &app.certificates)?)
        .execute(self.connection())
        .await?;
        self.touch(Topic::AppRegistrations);
        Ok(())
    }

    /// Removes the application and its role assignments. Returns false if there was none.
    pub async fn delete_app_registration(&mut self, app_id: &str) -> Result<bool, StoreError> {
        let Some(app) = get(self.connection(), app_id).await? else { return Ok(false) };
        sqlx::query("DELETE FROM role_assignments WHERE principal_id = ?").bind(&app.object_id).execute(self.connection()).await?;
        sqlx::query("DELETE FROM app_registrations WHERE app_id = ?").bind(app_id).execute(self.connection()).await?;
        self.touch(Topic::AppRegistrations);
        self.touch(Topic::RoleAssignments);
        Ok(true)
    }

    /// Stores `value` under `name` unless there is one; returns the stored value.
    pub async fn keep_cloud_name(&mut self, name: &str, value: &str) -> Result<String, StoreError> {
        sqlx::query("INSERT INTO cloud_names (name, value) VALUES (?, ?) ON CONFLICT (name) DO NOTHING")
            .bind(name)
            .bind(value)
            .execute(self.connection())
            .await?;
        Ok(sqlx::query_scalar("SELECT value FROM cloud_names WHERE name = ?").bind(name).fetch_one(self.connection()).await?)
    }

    pub async fn cloud_name(&mut self, name: &str) -> Result<Option<String>, StoreError> {
        Ok(sqlx::query_scalar("SELECT value FROM cloud_names WHERE name = ?").bind(name).fetch_optional(self.connection()).await?)
    }

    /// Stores `value` under `name`, replacing any previous value.
    pub async fn set_cloud_name(&mut self, name: &str, value: &str) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO cloud_names (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value")
            .bind(name)
            .bind(value)
            .execute(self.connection())
            .await?;
        Ok(())
    }
}

async fn get(connection: &mut SqliteConnection, app_id: &str) -> Result<Option<AppRegistration>, StoreError> {
    let row = sqlx::query("SELECT * FROM app_registrations WHERE app_id = ?").bind(app_id).fetch_optional(connection).await?;
    row.map(|row| read(&row)).transpose()
}

fn read(row: &sqlx::sqlite::SqliteRow) -> Result<AppRegistration, StoreError> {
    let (app_id, secrets, certificates): (String, String, String) =
        (row.try_get("app_id")?, row.try_get("secrets")?, row.try_get("certificates")?);
    Ok(AppRegistration {
        object_id: row.try_get("object_id")?,
        display_name: row.try_get("display_name")?,
        created: Timestamp::clamp_ticks(row.try_get("created")?),
        secrets: decode(AGGREGATE, &app_id, &secrets)?,
        certificates: decode(AGGREGATE, &app_id, &certificates)?,
        app_id,
    })
}
