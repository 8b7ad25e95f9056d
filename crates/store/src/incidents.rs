//! Incidents: by id, by group, by filter; their numbers; their alerts.

use model::{Incident, Timestamp};
use serde_json::Value;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};
use uuid::Uuid;

use crate::error::{StoreError, decode, encode};
use crate::incident_filter::{IncidentField, IncidentFilter, IncidentOrder, place_value, push_after};
use crate::{Change, Store, Topic};

const AGGREGATE: &str = "incident";

/// Reads incidents.
pub struct Incidents<'s> {
    pub(crate) store: &'s Store,
}

/// A page of incidents and the position of the next page.
#[derive(Clone, Debug, PartialEq)]
pub struct IncidentPage {
    pub incidents: Vec<Incident>,
    /// `None` after the last page.
    pub next: Option<Vec<Value>>,
}

impl Incidents<'_> {
    pub async fn get(&self, id: Uuid) -> Result<Option<Incident>, StoreError> {
        get(&mut *self.store.reader().await?, id).await
    }

    pub async fn count(&self) -> Result<u64, StoreError> {
        let mut connection = self.store.reader().await?;
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM incidents").fetch_one(&mut *connection).await?;
        Ok(count.unsigned_abs())
    }

    /// By incident number.
    pub async fn numbered(&self, number: i64) -> Result<Option<Incident>, StoreError> {
        let mut connection = self.store.reader().await?;
        let row = sqlx::query("SELECT id, body FROM incidents WHERE number = ?").bind(number).fetch_optional(&mut *connection).await?;
        row.map(|row| read(&row)).transpose()
    }

    /// Incidents that contain an alert.
    pub async fn of_alert(&self, alert: Uuid) -> Result<Vec<Incident>, StoreError> {
        let mut connection = self.store.reader().await?;
        let rows = sqlx::query(
            "SELECT id, body FROM incidents WHERE id IN (SELECT incident FROM incident_alerts WHERE alert = ?) ORDER BY number",
        )
        .bind(alert.to_string())
        .fetch_all(&mut *connection)
        .await?;
        rows.iter().map(read).collect()
    }

    /// At most `limit` incidents that match `filter`, in this order, after `place` (from [`IncidentPage::next`]).
    ///
    /// Returns `None` if `place` does not belong to this order.
    pub async fn list(
        &self,
        filter: Option<&IncidentFilter>,
        order: &[IncidentOrder],
        limit: u32,
        place: Option<&[Value]>,
    ) -> Result<Option<IncidentPage>, StoreError> {
        let mut order: Vec<IncidentOrder> = order.to_vec();
        let descending = order.first().is_none_or(|first| first.descending);
        order.push(IncidentOrder { field: IncidentField::Number, descending });
        let mut sql: QueryBuilder<Sqlite> = QueryBuilder::new("SELECT id, body");
        for part in &order {
            sql.push(", ").push(part.expression());
        }
        sql.push(" FROM incidents WHERE ");
        match filter {
            Some(filter) => filter.push(&mut sql),
            None => _ = sql.push("1"),
        }
        if let Some(place) = place {
            sql.push(" AND ");
            if !push_after(&mut sql, &order, place) {
                return Ok(None);
            }
        }
        for (index, part) in order.iter().enumerate() {
            sql.push(if index == 0 { " ORDER BY " } else { ", " }).push(part.expression());
            sql.push(if part.descending { " DESC" } else { " ASC" });
        }
        // One extra row shows whether there is a next page.
        sql.push(" LIMIT ").push_bind(i64::from(limit) + 1);
        let mut connection = self.store.reader().await?;
        let mut rows = sql.build().fetch_all(&mut *connection).await?;
        let more = rows.len() > limit as usize;
        rows.truncate(limit as usize);
        let next = match rows.last().filter(|_| more) {
            Some(last) => {
                Some(order.iter().enumerate().map(|(index, part)| place_value(last, index + 2, *part)).collect::<Result<_, _>>()?)
            }
            None => None,
        };
        Ok(Some(IncidentPage { incidents: rows.iter().map(read).collect::<Result<_, _>>()?, next }))
    }
}

impl Change {
    pub async fn incident(&mut self, id: Uuid) -> Result<Option<Incident>, StoreError> {
        get(self.connection(), id).await
    }

    /// The next incident number.
    pub async fn next_incident_number(&mut self) -> Result<i64, StoreError> {
        Ok(sqlx::query_scalar("UPDATE incident_numbers SET last = last + 1 WHERE one = 1 RETURNING last")
            .fetch_one(self.connection())
            .await?)
    }

    /// Incidents that alerts with this group key may join, newest first.
    pub async fn incidents_of_group(&mut self, group: &str, limit: u32) -> Result<Vec<Incident>, StoreError> {
        let rows = sqlx::query("SELECT id, body FROM incidents WHERE group_key = ? ORDER BY number DESC LIMIT ?")
            .bind(group)
            .bind(limit)
            .fetch_all(self.connection())
            .await?;
        rows.iter().map(read).collect()
    }

    /// When the first alert of the incident was generated.
    pub async fn first_alert_of(&mut self, incident: Uuid) -> Result<Option<Timestamp>, StoreError> {
        let first: Option<i64> = sqlx::query_scalar(
            "SELECT min(alerts.generated) FROM incident_alerts JOIN alerts ON alerts.id = incident_alerts.alert WHERE incident_alerts.incident = ?",
        )
        .bind(incident.to_string())
        .fetch_one(self.connection())
        .await?;
        Ok(first.map(Timestamp::clamp_ticks))
    }

    /// Writes the incident and its list of alerts, which must exist in the store.
    pub async fn put_incident(&mut self, incident: &Incident) -> Result<(), StoreError> {
        let id = incident.id.to_string();
        sqlx::query(
            "INSERT INTO incidents (id, number, etag, title, description, severity, severity_rank, status, classification, owner_name, owner_email, \
             owner_upn, owner_id, provider_name, provider_id, created, modified, first_activity, last_activity, closed, group_key, alerts, body) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
             ON CONFLICT (id) DO UPDATE SET etag = excluded.etag, title = excluded.title, description = excluded.description, \
             severity = excluded.severity, severity_rank = excluded.severity_rank, status = excluded.status, classification = excluded.classification, \
             owner_name = excluded.owner_name, owner_email = excluded.owner_email, owner_upn = excluded.owner_upn, owner_id = excluded.owner_id, \
             modified = excluded.modified, first_activity = excluded.first_activity, last_activity = excluded.last_activity, \
             closed = excluded.closed, group_key = excluded.group_key, alerts = excluded.alerts, body = excluded.body",
        )
        .bind(&id)
        .bind(incident.number)
        .bind(incident.etag.to_string())
        .bind(&incident.title)
        .bind(&incident.description)
        .bind(incident.severity.name())
        .bind(incident.severity as i64)
        .bind(incident.status.name())
        .bind(incident.classification.map(|classification| classification.name()))
        .bind(&incident.owner.assigned_to)
        .bind(&incident.owner.email)
        .bind(&incident.owner.user_principal_name)
        .bind(&incident.owner.object_id)
        .bind(&incident.provider_name)
        .bind(&incident.provider_incident_id)
        .bind(incident.created.ticks())
        .bind(incident.modified.ticks())
        .bind(incident.first_activity.map(Timestamp::ticks))
        .bind(incident.last_activity.map(Timestamp::ticks))
        .bind(incident.closed.map(Timestamp::ticks))
        .bind(&incident.group)
        .bind(incident.alert_ids.len() as i64)
        .bind(encode(AGGREGATE, incident)?)
        .execute(self.connection())
        .await?;
        // Alerts are only appended, so existing ones need not be written again.
        let known: i64 =
            sqlx::query_scalar("SELECT count(*) FROM incident_alerts WHERE incident = ?").bind(&id).fetch_one(self.connection()).await?;
        for (position, alert) in incident.alert_ids.iter().enumerate().skip(known as usize) {
            sqlx::query(
                "INSERT INTO incident_alerts (incident, alert, position) VALUES (?, ?, ?) ON CONFLICT (incident, alert) DO NOTHING",
            )
            .bind(&id)
            .bind(alert.to_string())
            .bind(position as i64)
            .execute(self.connection())
            .await?;
        }
        self.touch(Topic::Incidents);
        Ok(())
    }

    /// Removes the incident with its comments, tasks and relations. Its alerts stay. Returns false if there was none.
    pub async fn delete_incident(&mut self, id: Uuid) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM incidents WHERE id = ?").bind(id.to_string()).execute(self.connection()).await?;
        self.touch(Topic::Incidents);
        Ok(done.rows_affected() == 1)
    }
}

async fn get(connection: &mut SqliteConnection, id: Uuid) -> Result<Option<Incident>, StoreError> {
    let row = sqlx::query("SELECT id, body FROM incidents WHERE id = ?").bind(id.to_string()).fetch_optional(connection).await?;
    row.map(|row| read(&row)).transpose()
}

fn read(row: &sqlx::sqlite::SqliteRow) -> Result<Incident, StoreError> {
    let (id, body): (String, String) = (row.try_get("id")?, row.try_get("body")?);
    decode(AGGREGATE, &id, &body)
}
