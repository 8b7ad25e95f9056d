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
    pub settings: AppSettings,
}

/// A client secret, as its hash.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClientSecret {
    /// Identifies the secret without revealing it.
    pub key_id: String,
    pub hash: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Not accepted before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Timestamp>,
    /// The first characters, by which a person recognises it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// A certificate whose key signs client assertions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClientCertificate {
    /// DER in base64.
    pub der: String,
    #[serde(default)]
    pub key_id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// Accepted from this time, if later than the certificate's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<Timestamp>,
    /// Accepted until this time, if earlier than the certificate's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<Timestamp>,
}

/// Everything about an application except its name and credentials.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AppSettings {
    /// Whether other tenants may use the application (`AzureADMultipleOrgs`).
    pub multi_tenant: bool,
    /// Reply URLs by platform.
    pub web: Vec<String>,
    pub spa: Vec<String>,
    pub public_client: Vec<String>,
    /// Whether it may get tokens without a credential (`isFallbackPublicClient`).
    pub is_public: bool,
    pub identifier_uris: Vec<String>,
    /// Version of access tokens that are meant for this application: 1 or 2; `None` is 1.
    pub token_version: Option<u8>,
    pub app_roles: Vec<AppRole>,
    pub scopes: Vec<DelegatedScope>,
    pub required: Vec<RequiredResource>,
}

/// A role that this application defines for applications that call it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AppRole {
    pub id: String,
    pub value: String,
    pub display_name: String,
}

/// A scope that this application defines for people who call it through other applications.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DelegatedScope {
    pub id: String,
    pub value: String,
    /// Whether only an administrator may consent.
    pub admin: bool,
}

/// Permissions of one resource that the application needs, as ids.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequiredResource {
    /// The resource's application id.
    pub resource: String,
    pub scopes: Vec<String>,
    pub roles: Vec<String>,
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
            "INSERT INTO app_registrations (app_id, object_id, display_name, created, secrets, certificates, settings) \
             VALUES (?, ?, ?, ?, ?, ?, ?) \
             ON CONFLICT (app_id) DO UPDATE SET display_name = excluded.display_name, secrets = excluded.secrets, \
             certificates = excluded.certificates, settings = excluded.settings",
        )
        .bind(&app.app_id)
        .bind(&app.object_id)
        .bind(&app.display_name)
        .bind(app.created.ticks())
        .bind(encode(AGGREGATE, &app.secrets)?)
        .bind(encode(AGGREGATE, &app.certificates)?)
        .bind(encode(AGGREGATE, &app.settings)?)
        .execute(self.connection())
        .await?;
        self.touch(Topic::AppRegistrations);
        Ok(())
    }

    /// Removes the application with its role assignments, consents, codes and refresh tokens. Returns false if there was none.
    pub async fn delete_app_registration(&mut self, app_id: &str) -> Result<bool, StoreError> {
        let Some(app) = get(self.connection(), app_id).await? else { return Ok(false) };
        sqlx::query("DELETE FROM role_assignments WHERE principal_id = ?").bind(&app.object_id).execute(self.connection()).await?;
        for statement in [
            "DELETE FROM consents WHERE app_id = ?",
            "DELETE FROM consent_answers WHERE app_id = ?",
            "DELETE FROM oauth_grants WHERE app_id = ?",
        ] {
            sqlx::query(statement).bind(app_id).execute(self.connection()).await?;
        }
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
    let [app_id, secrets, certificates, settings]: [String; 4] =
        [row.try_get("app_id")?, row.try_get("secrets")?, row.try_get("certificates")?, row.try_get("settings")?];
    Ok(AppRegistration {
        object_id: row.try_get("object_id")?,
        display_name: row.try_get("display_name")?,
        created: Timestamp::clamp_ticks(row.try_get("created")?),
        secrets: decode(AGGREGATE, &app_id, &secrets)?,
        certificates: decode(AGGREGATE, &app_id, &certificates)?,
        settings: decode(AGGREGATE, &app_id, &settings)?,
        app_id,
    })
}
