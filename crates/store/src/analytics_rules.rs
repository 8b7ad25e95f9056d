//! Analytics rules as stored by the API, and their run state.

use model::Timestamp;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use sqlx::{Row, SqliteConnection};
use uuid::Uuid;

use crate::error::{StoreError, decode, encode};
use crate::{Change, Store, Topic};

const AGGREGATE: &str = "analytics rule";

/// A rule: the REST API's `properties` as written, and columns extracted from them for queries.
#[derive(Clone, Debug, PartialEq)]
pub struct AnalyticsRuleRecord {
    /// The resource name, usually a GUID. Case-insensitive.
    pub id: String,
    /// `Scheduled` or `NRT`.
    pub kind: String,
    pub enabled: bool,
    pub etag: Uuid,
    pub created: Timestamp,
    pub modified: Timestamp,
    pub properties: Map<String, Value>,
}

impl AnalyticsRuleRecord {
    pub fn display_name(&self) -> &str {
        self.properties.get("displayName").and_then(Value::as_str).unwrap_or(&self.id)
    }
}

/// Reads rules.
pub struct AnalyticsRules<'s> {
    pub(crate) store: &'s Store,
}

impl AnalyticsRules<'_> {
    pub async fn get(&self, id: &str) -> Result<Option<AnalyticsRuleRecord>, StoreError> {
        get(&mut *self.store.reader().await?, id).await
    }

    /// All rules, by id.
    pub async fn list(&self) -> Result<Vec<AnalyticsRuleRecord>, StoreError> {
        let mut connection = self.store.reader().await?;
        let rows = sqlx::query("SELECT id, kind, enabled, etag, created, modified, properties FROM analytics_rules ORDER BY id")
            .fetch_all(&mut *connection)
            .await?;
        rows.iter().map(read).collect()
    }

    /// The run state of a rule, as written by detection.
    pub async fn run_state<T: DeserializeOwned>(&self, id: &str) -> Result<Option<T>, StoreError> {
        let mut connection = self.store.reader().await?;
        let text: Option<String> =
            sqlx::query_scalar("SELECT state FROM analytics_rule_runs WHERE rule_id = ?").bind(id).fetch_optional(&mut *connection).await?;
        text.map(|text| decode("rule run state", id, &text)).transpose()
    }
}

impl Change {
    pub async fn analytics_rule(&mut self, id: &str) -> Result<Option<AnalyticsRuleRecord>, StoreError> {
        get(self.connection(), id).await
    }

    /// Creates or replaces the rule; the id keeps the case of its creation.
    pub async fn put_analytics_rule(&mut self, rule: &AnalyticsRuleRecord) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO analytics_rules (id, kind, display_name, enabled, etag, created, modified, properties) VALUES (?, ?, ?, ?, ?, ?, ?, ?) \
             ON CONFLICT (id) DO UPDATE SET kind = excluded.kind, display_name = excluded.display_name, enabled = excluded.enabled, \
             etag = excluded.etag, modified = excluded.modified, properties = excluded.properties",
        )
        .bind(&rule.id)
        .bind(&rule.kind)
        .bind(rule.display_name())
        .bind(rule.enabled)
        .bind(rule.etag.to_string())
        .bind(rule.created.ticks())
        .bind(rule.modified.ticks())
        .bind(encode(AGGREGATE, &rule.properties)?)
        .execute(self.connection())
        .await?;
        self.touch(Topic::AnalyticsRules);
        Ok(())
    }

    /// Removes the rule and its run state. Its alerts stay. Returns false if there was none.
    pub async fn delete_analytics_rule(&mut self, id: &str) -> Result<bool, StoreError> {
        sqlx::query("DELETE FROM analytics_rule_runs WHERE rule_id = ?").bind(id).execute(self.connection()).await?;
        let done = sqlx::query("DELETE FROM analytics_rules WHERE id = ?").bind(id).execute(self.connection()).await?;
        self.touch(Topic::AnalyticsRules);
        Ok(done.rows_affected() == 1)
    }

    /// Stores the run state of a rule, in the same change as the run's alerts.
    pub async fn put_rule_run_state<T: Serialize>(&mut self, id: &str, state: &T) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO analytics_rule_runs (rule_id, state) VALUES (?, ?) ON CONFLICT (rule_id) DO UPDATE SET state = excluded.state",
        )
        .bind(id)
        .bind(encode("rule run state", state)?)
        .execute(self.connection())
        .await?;
        Ok(())
    }
}

async fn get(connection: &mut SqliteConnection, id: &str) -> Result<Option<AnalyticsRuleRecord>, StoreError> {
    let row = sqlx::query("SELECT id, kind, enabled, etag, created, modified, properties FROM analytics_rules WHERE id = ?")
        .bind(id)
        .fetch_optional(connection)
        .await?;
    row.map(|row| read(&row)).transpose()
}

fn read(row: &sqlx::sqlite::SqliteRow) -> Result<AnalyticsRuleRecord, StoreError> {
    let (id, properties, etag): (String, String, String) = (row.try_get("id")?, row.try_get("properties")?, row.try_get("etag")?);
    Ok(AnalyticsRuleRecord {
        kind: row.try_get("kind")?,
        enabled: row.try_get("enabled")?,
        etag: etag.parse().unwrap_or_default(),
        created: Timestamp::clamp_ticks(row.try_get("created")?),
        modified: Timestamp::clamp_ticks(row.try_get("modified")?),
        properties: decode(AGGREGATE, &id, &properties)?,
        id,
    })
}
