//! Alerts from detection, in order of arrival, before and after they are grouped into incidents.

use model::Alert;
use sqlx::{Row, SqliteConnection};
use uuid::Uuid;

use crate::error::{StoreError, decode, encode};
use crate::{Change, Store, Topic};

const AGGREGATE: &str = "alert";

/// Reads alerts.
pub struct Alerts<'s> {
    pub(crate) store: &'s Store,
}

impl Alerts<'_> {
    pub async fn get(&self, id: Uuid) -> Result<Option<Alert>, StoreError> {
        let mut connection = self.store.reader().await?;
        let row = sqlx::query("SELECT id, body FROM alerts WHERE id = ?").bind(id.to_string()).fetch_optional(&mut *connection).await?;
        row.map(|row| read(&row)).transpose()
    }

    /// Alerts without an incident, oldest first; one that cannot be decoded is returned as its error.
    pub async fn pending(&self, limit: u32) -> Result<Vec<(Uuid, Result<Alert, StoreError>)>, StoreError> {
        let mut connection = self.store.reader().await?;
        let rows = sqlx::query("SELECT id, body FROM alerts WHERE handled = 0 ORDER BY seq LIMIT ?")
            .bind(limit)
            .fetch_all(&mut *connection)
            .await?;
        rows.iter().map(|row| Ok((row.try_get::<String, _>("id")?.parse().unwrap_or_default(), read(row)))).collect()
    }

    /// The alerts of an incident, oldest first.
    pub async fn of_incident(&self, incident: Uuid) -> Result<Vec<Alert>, StoreError> {
        of_incident(&mut *self.store.reader().await?, incident).await
    }

    /// Alerts of a rule, newest first.
    pub async fn of_rule(&self, rule_id: &str, limit: u32) -> Result<Vec<Alert>, StoreError> {
        let mut connection = self.store.reader().await?;
        let rows = sqlx::query("SELECT id, body FROM alerts WHERE rule_id = ? ORDER BY generated DESC, seq DESC LIMIT ?")
            .bind(rule_id)
            .bind(limit)
            .fetch_all(&mut *connection)
            .await?;
        rows.iter().map(read).collect()
    }
}

impl Change {
    /// Adds an alert for correlation. Returns false, and changes nothing, if the id exists.
    pub async fn add_alert(&mut self, alert: &Alert) -> Result<bool, StoreError> {
        let body = encode(AGGREGATE, alert)?;
        let done = sqlx::query("INSERT INTO alerts (id, rule_id, generated, body) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING")
            .bind(alert.id.to_string())
            .bind(&alert.rule_id)
            .bind(alert.generated.ticks())
            .bind(body)
            .execute(self.connection())
            .await?;
        let new = done.rows_affected() == 1;
        if new {
            self.touch(Topic::Alerts);
        }
        Ok(new)
    }

    /// Marks an alert as handled. Returns false if it was handled before or does not exist.
    pub async fn handle_alert(&mut self, id: Uuid) -> Result<bool, StoreError> {
        let done = sqlx::query("UPDATE alerts SET handled = 1 WHERE id = ? AND handled = 0")
            .bind(id.to_string())
            .execute(self.connection())
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Skips an alert that cannot be decoded: it stays in the store but is not pending any more.
    pub async fn set_alert_aside(&mut self, id: Uuid) -> Result<(), StoreError> {
        sqlx::query("UPDATE alerts SET handled = 2 WHERE id = ?").bind(id.to_string()).execute(self.connection()).await?;
        Ok(())
    }

    /// The alerts of an incident, oldest first.
    pub async fn alerts_of(&mut self, incident: Uuid) -> Result<Vec<Alert>, StoreError> {
        of_incident(self.connection(), incident).await
    }

    pub async fn alert(&mut self, id: Uuid) -> Result<Option<Alert>, StoreError> {
        let row = sqlx::query("SELECT id, body FROM alerts WHERE id = ?").bind(id.to_string()).fetch_optional(self.connection()).await?;
        row.map(|row| read(&row)).transpose()
    }
}

async fn of_incident(connection: &mut SqliteConnection, incident: Uuid) -> Result<Vec<Alert>, StoreError> {
    let rows = sqlx::query(
        "SELECT alerts.id, alerts.body FROM incident_alerts JOIN alerts ON alerts.id = incident_alerts.alert \
         WHERE incident_alerts.incident = ? ORDER BY incident_alerts.position",
    )
    .bind(incident.to_string())
    .fetch_all(connection)
    .await?;
    rows.iter().map(read).collect()
}

fn read(row: &sqlx::sqlite::SqliteRow) -> Result<Alert, StoreError> {
    let (id, body): (String, String) = (row.try_get("id")?, row.try_get("body")?);
    decode(AGGREGATE, &id, &body)
}
