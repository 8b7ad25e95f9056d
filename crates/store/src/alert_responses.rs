//! Answers to the alerts of an incident.

use model::Timestamp;
use serde_json::Value;
use sqlx::{Row, SqliteConnection};
use uuid::Uuid;

use crate::error::{StoreError, decode, encode};
use crate::{Change, Store, Topic};

const AGGREGATE: &str = "alert response";

/// The last answer to one alert of one incident.
#[derive(Clone, Debug, PartialEq)]
pub struct AlertResponseRow {
    pub incident: Uuid,
    pub alert: Uuid,
    /// `acknowledged`, `resolved` …
    pub state: String,
    pub at: Timestamp,
    pub body: Value,
}

/// Reads answers to alerts.
pub struct AlertResponses<'s> {
    pub(crate) store: &'s Store,
}

impl AlertResponses<'_> {
    pub async fn of_incident(&self, incident: Uuid) -> Result<Vec<AlertResponseRow>, StoreError> {
        of_incident(&mut *self.store.reader().await?, incident).await
    }
}

impl Change {
    pub async fn alert_responses_of(&mut self, incident: Uuid) -> Result<Vec<AlertResponseRow>, StoreError> {
        of_incident(self.connection(), incident).await
    }

    pub async fn put_alert_response(&mut self, row: &AlertResponseRow) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO alert_responses (incident, alert, state, at, body) VALUES (?, ?, ?, ?, ?) \
             ON CONFLICT (incident, alert) DO UPDATE SET state = excluded.state, at = excluded.at, body = excluded.body",
        )
        .bind(row.incident.to_string())
        .bind(row.alert.to_string())
        .bind(&row.state)
        .bind(row.at.ticks())
        .bind(encode(AGGREGATE, &row.body)?)
        .execute(self.connection())
        .await?;
        self.touch(Topic::Pages);
        Ok(())
    }
}

async fn of_incident(connection: &mut SqliteConnection, incident: Uuid) -> Result<Vec<AlertResponseRow>, StoreError> {
    let rows = sqlx::query("SELECT * FROM alert_responses WHERE incident = ? ORDER BY alert")
        .bind(incident.to_string())
        .fetch_all(connection)
        .await?;
    rows.iter()
        .map(|row| {
            let (alert, body): (String, String) = (row.try_get("alert")?, row.try_get("body")?);
            Ok(AlertResponseRow {
                incident,
                state: row.try_get("state")?,
                at: Timestamp::clamp_ticks(row.try_get("at")?),
                body: decode(AGGREGATE, &alert, &body)?,
                alert: alert.parse().unwrap_or_default(),
            })
        })
        .collect()
}
