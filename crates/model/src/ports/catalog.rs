use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;

use crate::{Column, Span, TableName, TableSchema, Timestamp};

/// Why the catalog did not change.
#[derive(Debug, thiserror::Error)]
pub enum CatalogError {
    #[error("`{name}` is no table name: letters, digits and `_`, starting with a letter, at most 63")]
    BadTableName { name: String },
    #[error("`{name}` is no column name: letters, digits and `_`, starting with a letter, at most 45")]
    BadColumnName { name: String },
    #[error("column `{column}` of table `{table}` is a {old} and cannot become a {new}")]
    TypeChange { table: TableName, column: String, old: crate::Type, new: crate::Type },
    #[error("there is no table `{0}`")]
    NoTable(TableName),
    #[error("table `{0}` belongs to the workspace and cannot be dropped")]
    BuiltIn(TableName),
    #[error("cannot write the catalog")]
    Write(#[source] std::io::Error),
}

/// Rows have arrived in a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    pub table: TableName,
    /// `$IngestionTime` of the newest row.
    pub ingested: Timestamp,
}

/// The tables of the workspace: names, columns, retention; and a bell that rings when rows arrive.
#[async_trait]
pub trait Catalog: Send + Sync {
    fn table(&self, name: &str) -> Option<Arc<TableSchema>>;

    /// All tables, by name.
    fn tables(&self) -> Vec<Arc<TableSchema>>;

    /// Creates the table or adds the columns it lacks. Durable when it returns.
    async fn define(&self, name: &TableName, columns: Vec<Column>) -> Result<Arc<TableSchema>, CatalogError>;

    /// Removes a custom table with its rows.
    async fn drop_table(&self, name: &TableName) -> Result<(), CatalogError>;

    async fn set_retention(&self, name: &TableName, retention: Option<Span>) -> Result<(), CatalogError>;

    fn retention(&self, name: &str) -> Option<Span>;

    /// One item per append and table, from now on. A slow listener misses items but always sees the newest of each table.
    fn arrivals(&self) -> BoxStream<'static, Arrival>;

    /// No append acknowledged from now on will get an `$IngestionTime` at or below this instant: windows that end here are complete.
    fn complete_until(&self) -> Timestamp;
}
