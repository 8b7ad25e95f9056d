//! A table outside any workspace: rows in the workspace's layout, in Parquet files and in memory, behind a [`Snapshot`]. The engine reads
//! rows that are inline in a query through it, exactly as it reads stored ones; every conformance case also runs over such tables.
//!
//! Nothing here is durable: no log, no manifest, no sync. The caller owns the folder and removes it.

use std::path::Path;
use std::sync::Arc;

use arrow::array::RecordBatch;
use model::{AppendError, Column, TableName, Timestamp};
use uuid::Uuid;

use crate::catalog::StoredTable;
use crate::codec::{self, CodecError};
use crate::datafile::{self, DataFileError};
use crate::snapshot::{DataFile, Snapshot};

/// Part of a detached table; columns are named as in the table.
#[derive(Clone, Debug)]
pub enum DetachedPart {
    File(RecordBatch),
    Memory(RecordBatch),
}

/// Why a detached table cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum DetachedError {
    #[error("the rows do not fit the table")]
    Rows(#[from] AppendError),
    #[error("cannot lay out rows in memory")]
    Memory(#[from] CodecError),
    #[error("cannot encode a file")]
    Encode(#[from] DataFileError),
    #[error("cannot write a file")]
    Write(#[from] std::io::Error),
}

/// Builds a table from these parts, files first, with its files in `folder`. Column names may be any text.
pub fn detached(
    folder: &Path,
    name: &TableName,
    columns: Vec<Column>,
    parts: &[DetachedPart],
    ingested: Timestamp,
) -> Result<Snapshot, DetachedError> {
    let stored = StoredTable::of(name, columns);
    let schema = stored.schema(name);
    let (mut files, mut memory) = (Vec::new(), Vec::new());
    for part in parts {
        let (DetachedPart::File(rows) | DetachedPart::Memory(rows)) = part;
        let batch = Arc::new(codec::to_memory(&schema, &codec::compact(&schema, rows)?, ingested, &[])?);
        if matches!(part, DetachedPart::Memory(_)) {
            memory.push(batch);
            continue;
        }
        let (time, ingested) = (batch.time, batch.ingested);
        let encoded = datafile::encode(&stored.columns, &[batch])?;
        let path = folder.join(format!("{}.parquet", Uuid::new_v4().simple()));
        std::fs::write(&path, &encoded.bytes)?;
        let bytes = encoded.bytes.len() as u64;
        files.push(Arc::new(DataFile {
            path,
            bytes,
            rows: encoded.rows,
            time,
            ingested,
            columns: encoded.columns,
            proof: Some(encoded.proof),
        }));
    }
    Ok(Snapshot { schema, physical: stored.physical(), files, memory })
}
