//! Permissions that people and administrators consented to, per application, and the last answer of an administrator.

use model::Timestamp;
use sqlx::Row;

use crate::error::StoreError;
use crate::{Change, Store, Topic};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConsentKind {
    /// A scope, used together with a person.
    Delegated,
    /// An app role, used by the application itself.
    Application,
}

/// One permission of one resource, granted to an application.
#[derive(Clone, Debug, PartialEq)]
pub struct Consent {
    pub app_id: String,
    /// The resource's application id.
    pub resource: String,
    pub kind: ConsentKind,
    /// `ActivityFeed.Read`.
    pub value: String,
    /// Object id of the person it holds for; `None` for everyone.
    pub principal: Option<String>,
    /// Identifies the row in Graph.
    pub id: String,
    pub granted: Timestamp,
    pub granted_by: String,
}

/// The last answer of an administrator to a request for consent.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsentAnswer {
    pub granted: bool,
    pub at: Timestamp,
    pub by: String,
}

/// Reads consents.
pub struct Consents<'s> {
    pub(crate) store: &'s Store,
}

impl Consents<'_> {
    /// Consents of one application, or of all.
    pub async fn list(&self, app_id: Option<&str>) -> Result<Vec<Consent>, StoreError> {
        let mut connection = self.store.reader().await?;
        let query = match app_id {
            Some(app_id) => sqlx::query("SELECT * FROM consents WHERE app_id = ? ORDER BY resource, kind, value, principal").bind(app_id),
            None => sqlx::query("SELECT * FROM consents ORDER BY app_id, resource, kind, value, principal"),
        };
        query.fetch_all(&mut *connection).await?.iter().map(read).collect()
    }

    pub async fn answer(&self, app_id: &str) -> Result<Option<ConsentAnswer>, StoreError> {
        let mut connection = self.store.reader().await?;
        let row = sqlx::query("SELECT * FROM consent_answers WHERE app_id = ?").bind(app_id).fetch_optional(&mut *connection).await?;
        row.map(|row| {
            Ok(ConsentAnswer {
                granted: row.try_get::<String, _>("answer")? == "granted",
                at: Timestamp::clamp_ticks(row.try_get("answered")?),
                by: row.try_get("answered_by")?,
            })
        })
        .transpose()
    }
}

impl Change {
    /// Adds the consent; an existing one is kept.
    pub async fn put_consent(&mut self, consent: &Consent) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO consents (app_id, resource, kind, value, principal, id, granted, granted_by) VALUES (?, ?, ?, ?, ?, ?, ?, ?) \
             ON CONFLICT (app_id, resource, kind, value, principal) DO NOTHING",
        )
        .bind(&consent.app_id)
        .bind(&consent.resource)
        .bind(kind_name(consent.kind))
        .bind(&consent.value)
        .bind(consent.principal.as_deref().unwrap_or_default())
        .bind(&consent.id)
        .bind(consent.granted.ticks())
        .bind(&consent.granted_by)
        .execute(self.connection())
        .await?;
        self.touch(Topic::AppRegistrations);
        Ok(())
    }

    /// Removes the consents with that id; returns how many.
    pub async fn delete_consents(&mut self, id: &str) -> Result<u64, StoreError> {
        let done = sqlx::query("DELETE FROM consents WHERE id = ?").bind(id).execute(self.connection()).await?;
        self.touch(Topic::AppRegistrations);
        Ok(done.rows_affected())
    }

    pub async fn put_consent_answer(&mut self, app_id: &str, answer: &ConsentAnswer) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO consent_answers (app_id, answer, answered, answered_by) VALUES (?, ?, ?, ?) \
             ON CONFLICT (app_id) DO UPDATE SET answer = excluded.answer, answered = excluded.answered, answered_by = excluded.answered_by",
        )
        .bind(app_id)
        .bind(if answer.granted { "granted" } else { "denied" })
        .bind(answer.at.ticks())
        .bind(&answer.by)
        .execute(self.connection())
        .await?;
        self.touch(Topic::AppRegistrations);
        Ok(())
    }
}

fn kind_name(kind: ConsentKind) -> &'static str {
    match kind {
        ConsentKind::Delegated => "delegated",
        ConsentKind::Application => "application",
    }
}

fn read(row: &sqlx::sqlite::SqliteRow) -> Result<Consent, StoreError> {
    let (kind, principal): (String, String) = (row.try_get("kind")?, row.try_get("principal")?);
    Ok(Consent {
        app_id: row.try_get("app_id")?,
        resource: row.try_get("resource")?,
        kind: if kind == "application" { ConsentKind::Application } else { ConsentKind::Delegated },
        value: row.try_get("value")?,
        principal: (!principal.is_empty()).then_some(principal),
        id: row.try_get("id")?,
        granted: Timestamp::clamp_ticks(row.try_get("granted")?),
        granted_by: row.try_get("granted_by")?,
    })
}
