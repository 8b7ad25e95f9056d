//! Outbox of rows for the workspace's tables: written in the transaction of a change, appended by a task.
//!
//! `seq` increases monotonically. The sender stores the last appended `seq` as its position in the same log frame as the rows, so that a
//! crash between appending and clearing neither repeats nor skips a row.

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

    /// Number of pending rows.
    pub async fn len(&self) -> Result<u64, StoreError> {
        let mut connection = self.store.reader().await?;
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM outbox").fetch_one(&mut *connection).await?;
        Ok(count.unsigned_abs())
    }

    /// The highest `seq` ever assigned; 0 if there was none.
    pub async fn newest(&self) -> Result<i64, StoreError> {
        let mut connection = self.store.reader().await?;
        let newest = sqlx::query_scalar("SELECT seq FROM sqlite_sequence WHERE name = 'outbox'").fetch_optional(&mut *connection).await?;
        Ok(newest.unwrap_or(0))
    }

    pub async fn is_empty(&self) -> Result<bool, StoreError> {
        Ok(self.len().await? == 0)
    }
}

impl Change {
    /// Adds a row for `table`, effective once this change is committed.
    pub async fn send_row(&mut self, table: &str, row: &Map<String, Value>) -> Result<(), StoreError> {
        let text = encode("outbox row", row)?;
        sqlx::query("INSERT INTO outbox (table_name, row) VALUES (?, ?)").bind(table).bind(text).execute(self.connection()).await?;
        self.touch(Topic::Outbox);
        Ok(())
    }

    /// Makes the next row's `seq` greater than `seq`.
    pub async fn advance_outbox(&mut self, seq: i64) -> Result<(), StoreError> {
        let known =
            sqlx::query("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = 'outbox'").bind(seq).execute(self.connection()).await?;
        if known.rows_affected() == 0 {
            sqlx::query("INSERT INTO sqlite_sequence (name, seq) VALUES ('outbox', ?)").bind(seq).execute(self.connection()).await?;
        }
        Ok(())
    }

    /// Removes the rows up to `seq`, which have been appended to their tables.
    pub async fn clear_outbox(&mut self, seq: i64) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM outbox WHERE seq <= ?").bind(seq).execute(self.connection()).await?;
        Ok(())
    }
}
