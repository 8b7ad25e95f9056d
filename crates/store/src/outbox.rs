//! Rows on their way to the tables of the workspace: written in the transaction of the change they tell of, sent by a task.
//!
//! `seq` only grows. The sender keeps the last `seq` it appended as its position in the same frame as the rows, so that a crash
//! between appending and clearing neither repeats nor skips a row.

use serde_json::{Map, Value};
use sqlx::Row;

use crate::error::{StoreError, decode, encode};
use crate::{Change, Store, Topic};

/// A row to be sent.
#[derive(Clone, Debug, PartialEq)]
pub struct OutboxRow {
    pub seq: i64,
    pub table: String,
    /// Values by column name. Times are ISO text.
    pub row: Map<String, Value>,
}

/// Reads the outbox.
pub struct Outbox<'s> {
    pub(crate) store: &'s Store,
}

impl Outbox<'_> {
    /// Rows after `seq`, in order.
    pub async fn after(&self, seq: i64, limit: u32) -> Result<Vec<OutboxRow>, StoreError> {
        let mut connection = self.store.reader().await?;
        let rows = sqlx::query("SELECT seq, table_name, row FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?")
            .bind(seq)
            .bind(limit)
            .fetch_all(&mut *connection)
            .await?;
        rows.iter()
            .map(|row| {
                let (seq, text): (i64, String) = (row.try_get("seq")?, row.try_get("row")?);
                Ok(OutboxRow { seq, table: row.try_get("table_name")?, row: decode("outbox row", &seq.to_string(), &text)? })
            })
            .collect()
    }

    /// Rows that wait.
    pub async fn len(&self) -> Result<u64, StoreError> {
        let mut connection = self.store.reader().await?;
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM outbox").fetch_one(&mut *connection).await?;
        Ok(count.unsigned_abs())
    }

    pub async fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(self.len().await? == 0)
    }
}

impl Change {
    /// Sends a row to `table` once this change is committed.
    pub async fn send_row(&mut self, table: &str, row: &Map<String, Value>) -> Result<(), StoreError> {
        let text = encode("outbox row", row)?;
        sqlx::query("INSERT INTO outbox (table_name, row) VALUES (?, ?)").bind(table).bind(text).execute(self.connection()).await?;
        self.touch(Topic::Outbox);
        Ok(())
    }

    /// Forgets the rows up to `seq`, which are in their tables.
    pub async fn clear_outbox(&mut self, seq: i64) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM outbox WHERE seq <= ?").bind(seq).execute(self.connection()).await?;
        Ok(())
    }
}
