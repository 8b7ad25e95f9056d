//! The task that appends rows from the outbox to the workspace's tables.
//!
//! The append stores the outbox's position in the same log frame as the rows: a crash after appending and before clearing repeats nothing,
//! and one before appending skips nothing.

use std::sync::Arc;

use model::{Append, AppendError, Catalog, CatalogError, Clock, Rows, Span, TableName, TableSchema, TableWriter};
use store::{OutboxRow, Store, StoreError, Topic};
use tokio_util::sync::CancellationToken;

use crate::rows::{RowError, batch};
use crate::tables::{security_alert_columns, security_incident_columns};
use crate::waiting::Waiting;

/// Rows per append.
const AT_ONCE: u32 = 500;

/// Why rows are still in the outbox. They stay there until the next activation.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    #[error("cannot read or clear the outbox")]
    Store(#[from] StoreError),
    #[error("the workspace did not store the outbox's rows")]
    Append(#[from] AppendError),
    #[error("the outbox's rows fit no table")]
    Rows(#[from] RowError),
    #[error("cannot define the outbox's table")]
    Define(#[from] CatalogError),
}

/// Sends the outbox. Idempotent, but must not run concurrently.
pub struct OutboxSender {
    pub store: Store,
    pub writer: Arc<dyn TableWriter>,
    pub catalog: Arc<dyn Catalog>,
    pub clock: Arc<dyn Clock>,
}

impl OutboxSender {
    /// Runs until cancelled, whenever rows are added.
    pub async fn run(&self, cancel: CancellationToken) {
        let mut waiting = Waiting::new(self.store.listen(Topic::Outbox), self.clock.clone(), cancel);
        while !waiting.cancelled() {
            let go_on = match self.activate().await {
                Ok(_) => waiting.idle().await,
                Err(error) => {
                    tracing::error!(error = model::chain(&error), "rows stay in the outbox; trying again");
                    waiting.retry(retry_after(&error)).await
                }
            };
            if !go_on {
                return;
            }
        }
    }

    /// Makes new rows follow the position in the tables. Call before anything else writes: a state database from a copy or a backup is older
    /// than the tables, and rows that it numbered anew would be taken for rows that were sent.
    pub async fn align(&self) -> Result<(), StoreError> {
        let position = self.writer.position(&self.source()).map_or(0, |bytes| read_position(&bytes));
        if position <= self.store.outbox().newest().await? {
            return Ok(());
        }
        tracing::warn!(
            position,
            "the state database is older than the tables; new alerts and incidents are numbered behind those in the tables"
        );
        let mut change = self.store.begin().await?;
        change.advance_outbox(position).await?;
        change.commit().await
    }

    /// Includes the database's identity: the position of a deleted database must not hide rows of its successor.
    fn source(&self) -> String {
        format!("outbox/{}", self.store.id())
    }

    /// Sends all pending rows in order; returns their number.
    pub async fn activate(&self) -> Result<usize, SendError> {
        let source = self.source();
        let mut sent = 0;
        loop {
            let position = self.writer.position(&source).map_or(0, |bytes| read_position(&bytes));
            let rows = self.store.outbox().after(position, AT_ONCE).await?;
            let Some(last) = rows.last().map(|row| row.seq) else {
                self.clear(position).await?;
                return Ok(sent);
            };
            let append = Append {
                rows: self.by_table(&rows).await?,
                key: Some(format!("{source}/{position}-{last}")),
                position: Some((source.clone(), last.to_string().into_bytes())),
            };
            self.writer.append(append).await?;
            self.clear(last).await?;
            sent += rows.len();
            metrics::counter!("bartizan_outbox_rows_total").increment(rows.len() as u64);
        }
    }

    async fn clear(&self, position: i64) -> Result<(), StoreError> {
        if position == 0 || self.store.outbox().is_empty().await? {
            return Ok(());
        }
        let mut change = self.store.begin().await?;
        change.clear_outbox(position).await?;
        change.commit().await
    }

    /// One batch per table, with rows in order.
    async fn by_table(&self, rows: &[OutboxRow]) -> Result<Vec<Rows>, SendError> {
        let mut tables: Vec<&str> = Vec::new();
        for row in rows {
            if !tables.contains(&row.table.as_str()) {
                tables.push(&row.table);
            }
        }
        let mut batches = Vec::with_capacity(tables.len());
        for table in tables {
            let schema = self.schema(table).await?;
            let of_table: Vec<_> = rows.iter().filter(|row| row.table == table).map(|row| &row.row).collect();
            batches.push(Rows { table: schema.name.clone(), batch: batch(&schema, &of_table)? });
        }
        Ok(batches)
    }

    async fn schema(&self, table: &str) -> Result<Arc<TableSchema>, SendError> {
        if let Some(schema) = self.catalog.table(table) {
            return Ok(schema);
        }
        let columns = match table {
            "SecurityAlert" => security_alert_columns(),
            "SecurityIncident" => security_incident_columns(),
            _ => return Err(AppendError::NoTable(TableName::new(table)).into()),
        };
        Ok(self.catalog.define(&TableName::new(table), columns).await?)
    }
}

fn read_position(bytes: &[u8]) -> i64 {
    std::str::from_utf8(bytes).ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn retry_after(error: &SendError) -> Option<Span> {
    match error {
        SendError::Append(AppendError::Busy { retry_after_seconds, .. }) => {
            Some(Span::seconds(i64::try_from(*retry_after_seconds).unwrap_or(60).min(60)))
        }
        _ => None,
    }
}
