use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use futures::stream::BoxStream;

use serde::{Deserialize, Serialize};

use super::query::StoredFunction;
use crate::{Column, Span, TableName, TableSchema, Timestamp};

/// Why the catalog was not changed.
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
    #[error("the saved search `{of}` is the function `{alias}` already; a function has one definition")]
    AliasTaken { alias: String, of: String },
    #[error("saved searches are not kept here")]
    NoSearches,
    #[error("table `{0}` cannot be changed here: there is no workspace")]
    ReadOnly(TableName),
    #[error("cannot write the catalog")]
    Write(#[source] std::io::Error),
}

/// Rows were ingested into a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    pub table: TableName,
    /// `$IngestionTime` of the newest row.
    pub ingested: Timestamp,
}

/// Size of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSize {
    pub name: TableName,
    pub rows: u64,
    /// Files and in-memory rows.
    pub bytes: u64,
    pub files: u64,
    /// First and last `TimeGenerated`; `None` in an empty table.
    pub oldest: Option<Timestamp>,
    pub newest: Option<Timestamp>,
}

/// A saved query; one with an alias is a function that queries can call.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedSearch {
    /// Resource name, case-insensitive.
    pub name: String,
    pub category: String,
    pub display_name: String,
    pub query: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub function_alias: String,
    /// As declared, without parentheses: `disabled:bool=false`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub function_parameters: String,
    /// Names and values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<(String, String)>,
}

/// The tables of the workspace: names, columns, retention; its saved searches; and notifications of ingested rows.
#[async_trait]
pub trait Catalog: Send + Sync {
    /// A table by its exact name: a created one, or a published one, which the first append creates.
    fn table(&self, name: &str) -> Option<Arc<TableSchema>>;

    /// True for a created table, false for a published one that has never had rows.
    fn is_created(&self, name: &str) -> bool {
        self.table(name).is_some()
    }

    /// Names of the published tables, created or not.
    fn published_tables(&self) -> BTreeSet<&'static str> {
        BTreeSet::new()
    }

    /// Increases with every change of tables, columns and saved searches, to invalidate cached results.
    fn version(&self) -> u64 {
        0
    }

    /// All created tables, by name.
    fn tables(&self) -> Vec<Arc<TableSchema>>;

    /// Current size of each table, by name.
    fn table_sizes(&self) -> Vec<TableSize> {
        Vec::new()
    }

    /// Creates the table or adds missing columns; a table that Azure provides has its published columns as well. Durable on return.
    async fn define(&self, name: &TableName, columns: Vec<Column>) -> Result<Arc<TableSchema>, CatalogError>;

    /// Deletes a custom table with its rows.
    async fn drop_table(&self, name: &TableName) -> Result<(), CatalogError>;

    async fn set_retention(&self, name: &TableName, retention: Option<Span>) -> Result<(), CatalogError>;

    fn retention(&self, name: &str) -> Option<Span>;

    /// The retention set for this table; `None` if the workspace's default applies.
    fn own_retention(&self, name: &str) -> Option<Span> {
        let _ = name;
        None
    }

    /// The published definition of a table that every workspace has; `None` for a custom table.
    fn published(&self, name: &str) -> Option<Arc<TableSchema>> {
        let _ = name;
        None
    }

    /// By name.
    fn saved_searches(&self) -> Vec<Arc<SavedSearch>> {
        Vec::new()
    }

    /// The function with this alias.
    fn function(&self, name: &str) -> Option<StoredFunction> {
        let saved = self.saved_searches().into_iter().find(|search| search.function_alias == name)?;
        let (parameters, body) = (saved.function_parameters.clone(), saved.query.clone());
        Some(StoredFunction { name: name.to_owned(), parameters, body })
    }

    /// Creates or replaces a saved search. Durable on return.
    async fn save_search(&self, search: SavedSearch) -> Result<(), CatalogError> {
        let _ = search;
        Err(CatalogError::NoSearches)
    }

    /// Returns false if there was none.
    async fn remove_search(&self, name: &str) -> Result<bool, CatalogError> {
        let _ = name;
        Err(CatalogError::NoSearches)
    }

    /// One item per append and table, from now on. A slow subscriber misses items, but always gets the newest of each table.
    fn arrivals(&self) -> BoxStream<'static, Arrival>;

    /// No later append gets an `$IngestionTime` at or below this instant, so windows that end here are complete.
    fn complete_until(&self) -> Timestamp;
}
