//! Tables that Microsoft documents and that need not be created: a query on one binds and returns no rows, and the first append creates it.
//!
//! `content/published-tables.txt` has one table a line, sorted by name: its name, then `column:type`. It is made by
//! `scripts/published-tables` and parsed one table at a time; a lookup is a binary search over its lines. The built-in tables of
//! `content/tables` take precedence.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use async_trait::async_trait;
use futures::StreamExt;
use futures::stream::BoxStream;
use model::{Arrival, Catalog, CatalogError, Column, Span, TableName, TableSchema, Timestamp, Type};

use crate::builtin;
use crate::catalog::StoredTable;
use crate::snapshot::{Snapshot, Snapshots};

const TEXT: &str = include_str!("../../../content/published-tables.txt");

/// The lines of [`TEXT`], 16 bytes each.
fn lines() -> &'static [&'static str] {
    static LINES: OnceLock<Vec<&'static str>> = OnceLock::new();
    LINES.get_or_init(|| TEXT.lines().collect())
}

fn name_of(line: &str) -> &str {
    line.split(' ').next().unwrap_or(line)
}

/// The definition of a built-in or published table. Names are case-sensitive.
///
/// Parses one line of text at each call: some 10 µs.
pub fn table(name: &str) -> Option<Arc<TableSchema>> {
    if let Some(table) = builtin::tables().iter().find(|table| table.name.as_str() == name) {
        return Some(Arc::new(table.clone()));
    }
    let lines = lines();
    let index = lines.binary_search_by(|line| compare(line, name)).ok()?;
    read(lines[index]).map(Arc::new)
}

/// The definition of a table that Azure provides. A custom table belongs to the user, who may define it with other columns.
pub fn azure_table(name: &str) -> Option<Arc<TableSchema>> {
    if is_custom(name) { None } else { table(name) }
}

/// True if `name` is that of a custom table.
pub fn is_custom(name: &str) -> bool {
    name.ends_with("_CL")
}

/// Names of all built-in and published tables, sorted.
pub fn names() -> BTreeSet<&'static str> {
    let built_in = builtin::tables().iter().map(|table| table.name.as_str());
    lines().iter().map(|line| name_of(line)).chain(built_in).collect()
}

fn compare(line: &str, name: &str) -> Ordering {
    name_of(line).cmp(name)
}

fn read(line: &str) -> Option<TableSchema> {
    let mut words = line.split(' ');
    let name = words.next()?;
    let column = |word: &str| {
        let (name, ty) = word.split_once(':')?;
        Some(Column::new(name, Type::parse(ty)?))
    };
    Some(TableSchema { name: TableName::new(name), columns: words.map(column).collect::<Option<Vec<_>>>()? })
}

/// A snapshot without rows of a published table that has not been created.
pub fn empty_snapshot(name: &str) -> Option<Snapshot> {
    let schema = table(name)?;
    let physical = StoredTable::of(&schema.name, schema.columns.clone()).physical();
    Some(Snapshot { schema, physical, files: Vec::new(), memory: Vec::new() })
}

/// All published tables without rows, for engines without a workspace. Lists no tables: each is accessible by its name.
#[derive(Clone, Copy, Debug, Default)]
pub struct PublishedTables;

#[async_trait]
impl Catalog for PublishedTables {
    fn table(&self, name: &str) -> Option<Arc<TableSchema>> {
        table(name)
    }

    fn is_created(&self, _: &str) -> bool {
        false
    }

    fn published_tables(&self) -> BTreeSet<&'static str> {
        names()
    }

    fn tables(&self) -> Vec<Arc<TableSchema>> {
        Vec::new()
    }

    async fn define(&self, name: &TableName, _: Vec<Column>) -> Result<Arc<TableSchema>, CatalogError> {
        Err(CatalogError::ReadOnly(name.clone()))
    }

    async fn drop_table(&self, name: &TableName) -> Result<(), CatalogError> {
        Err(CatalogError::ReadOnly(name.clone()))
    }

    async fn set_retention(&self, name: &TableName, _: Option<Span>) -> Result<(), CatalogError> {
        Err(CatalogError::ReadOnly(name.clone()))
    }

    fn retention(&self, _: &str) -> Option<Span> {
        None
    }

    fn arrivals(&self) -> BoxStream<'static, Arrival> {
        futures::stream::empty().boxed()
    }

    fn complete_until(&self) -> Timestamp {
        Timestamp::MIN
    }
}

impl Snapshots for PublishedTables {
    fn snapshot(&self, table: &str) -> Option<Snapshot> {
        empty_snapshot(table)
    }

    fn snapshots(&self, tables: &[&str]) -> Vec<Option<Snapshot>> {
        tables.iter().map(|table| empty_snapshot(table)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_is_a_table_and_lines_are_sorted() {
        assert!(lines().is_sorted_by(|one, next| name_of(one) < name_of(next)));
        assert!(lines().len() > 900, "{}", lines().len());
        for line in lines() {
            let table = read(line).unwrap_or_else(|| panic!("{line}"));
            for (name, ty) in [("TimeGenerated", Type::Datetime), ("_BilledSize", Type::Real), ("_IsBillable", Type::String)] {
                assert_eq!(table.column(name).map(|column| column.ty), Some(ty), "{} {name}", table.name);
            }
        }
    }

    #[test]
    fn names_are_found_exactly() {
        for name in [name_of(lines()[0]), name_of(lines()[lines().len() - 1]), "StorageBlobLogs", "Okta_CL"] {
            assert_eq!(table(name).unwrap().name.as_str(), name);
        }
        for name in ["storagebloblogs", "StorageBlobLog", "StorageBlobLogs ", "", "Corelight", "imDns"] {
            assert!(table(name).is_none(), "{name}");
        }
        assert!(azure_table("StorageBlobLogs").is_some() && azure_table("Okta_CL").is_none());
        assert!(names().contains("FireworkV2_CL") && names().contains("StorageBlobLogs"));
    }

    #[test]
    fn built_in_definitions_take_precedence() {
        assert!(table("DCRLogErrors").unwrap().column("Record_CF").is_some());
    }

    #[test]
    fn names_that_differ_in_case_are_columns_of_their_own() {
        // `stacktrace` and `StackTrace`.
        let snapshot = empty_snapshot("AppServiceAppLogs").unwrap();
        let mut physical: Vec<String> = snapshot.physical.iter().map(|name| name.to_lowercase()).collect();
        physical.sort();
        physical.dedup();
        assert_eq!(physical.len(), snapshot.schema.columns.len());
    }
}
