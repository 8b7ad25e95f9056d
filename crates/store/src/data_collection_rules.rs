//! Data collection rules as stored by the API.

use model::Timestamp;
use serde_json::{Map, Value};
use sqlx::{Row, SqliteConnection};
use uuid::Uuid;

use crate::error::{StoreError, decode, encode};
use crate::{Change, Store, Topic};

const AGGREGATE: &str = "data collection rule";

/// A rule: the REST API's `properties` as written, without computed properties.
#[derive(Clone, Debug, PartialEq)]
pub struct DataCollectionRuleRecord {
    /// `dcr-` and 32 hexadecimal digits; used in upload URLs. Never changes.
    pub immutable_id: String,
    pub resource_group: String,
    /// The resource name. Case-insensitive.
    pub name: String,
    /// `Direct`, or `None`.
    pub kind: Option<String>,
    pub location: String,
    pub tags: Map<String, Value>,
    pub etag: Uuid,
    pub created: Timestamp,
    pub modified: Timestamp,
    pub properties: Map<String, Value>,
}

/// Reads data collection rules.
pub struct DataCollectionRules<'s> {
    pub(crate) store: &'s Store,
}

impl DataCollectionRules<'_> {
    pub async fn get(&self, resource_group: &str, name: &str) -> Result<Option<DataCollectionRuleRecord>, StoreError> {
        get(&mut *self.store.reader().await?, resource_group, name).await
    }

    /// All rules, by name.
    pub async fn list(&self) -> Result<Vec<DataCollectionRuleRecord>, StoreError> {
        let mut connection = self.store.reader().await?;
        let rows = sqlx::query("SELECT * FROM data_collection_rules ORDER BY resource_group, name").fetch_all(&mut *connection).await?;
        rows.iter().map(read).collect()
    }
}

impl Change {
    pub async fn data_collection_rule(&mut self, resource_group: &str, name: &str) -> Result<Option<DataCollectionRuleRecord>, StoreError> {
        get(self.connection(), resource_group, name).await
    }

    /// Creates or replaces the rule with this immutable id.
    pub async fn put_data_collection_rule(&mut self, rule: &DataCollectionRuleRecord) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO data_collection_rules (immutable_id, resource_group, name, kind, location, tags, etag, created, modified, properties) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
             ON CONFLICT (immutable_id) DO UPDATE SET kind = excluded.kind, location = excluded.location, tags = excluded.tags, \
             etag = excluded.etag, modified = excluded.modified, properties = excluded.properties",
        )
        .bind(&rule.immutable_id)
        .bind(&rule.resource_group)
        .bind(&rule.name)
        .bind(&rule.kind)
        .bind(&rule.location)
        .bind(encode(AGGREGATE, &rule.tags)?)
        .bind(rule.etag.to_string())
        .bind(rule.created.ticks())
        .bind(rule.modified.ticks())
        .bind(encode(AGGREGATE, &rule.properties)?)
        .execute(self.connection())
        .await?;
        self.touch(Topic::DataCollectionRules);
        Ok(())
    }

    /// Returns false if there was none.
    pub async fn delete_data_collection_rule(&mut self, resource_group: &str, name: &str) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM data_collection_rules WHERE resource_group = ? AND name = ?")
            .bind(resource_group)
            .bind(name)
            .execute(self.connection())
            .await?;
        self.touch(Topic::DataCollectionRules);
        Ok(done.rows_affected() == 1)
    }
}

async fn get(connection: &mut SqliteConnection, resource_group: &str, name: &str) -> Result<Option<DataCollectionRuleRecord>, StoreError> {
    let row = sqlx::query("SELECT * FROM data_collection_rules WHERE resource_group = ? AND name = ?")
        .bind(resource_group)
        .bind(name)
        .fetch_optional(connection)
        .await?;
    row.map(|row| read(&row)).transpose()
}

fn read(row: &sqlx::sqlite::SqliteRow) -> Result<DataCollectionRuleRecord, StoreError> {
    let (immutable_id, tags, etag, properties): (String, String, String, String) =
        (row.try_get("immutable_id")?, row.try_get("tags")?, row.try_get("etag")?, row.try_get("properties")?);
    Ok(DataCollectionRuleRecord {
        resource_group: row.try_get("resource_group")?,
        name: row.try_get("name")?,
        kind: row.try_get("kind")?,
        location: row.try_get("location")?,
        tags: decode(AGGREGATE, &immutable_id, &tags)?,
        etag: etag.parse().unwrap_or_default(),
        created: Timestamp::clamp_ticks(row.try_get("created")?),
        modified: Timestamp::clamp_ticks(row.try_get("modified")?),
        properties: decode(AGGREGATE, &immutable_id, &properties)?,
        immutable_id,
    })
}
