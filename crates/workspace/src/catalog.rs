//! The table catalog: tables, columns, physical column names, retention. Stored in `catalog.json`, which is replaced atomically.
//!
//! A table is identified by its `folder`, which is never reused: rows of a dropped table that are still in the log cannot reappear in a new
//! table of the same name. Every function here is a pure function of the old catalog; `Workspace` writes the file.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{CatalogError, Column, SavedSearch, Span, TableName, TableSchema, Type};
use serde::{Deserialize, Serialize};

use crate::billing::{BILLED_SIZE, IS_BILLABLE};
use crate::{builtin, published};

/// Columns filled or reserved by the workspace, appended to every custom table.
const STANDARD: [(&str, Type); 5] = [
    ("TenantId", Type::String),
    ("Type", Type::String),
    ("_ResourceId", Type::String),
    (BILLED_SIZE, Type::Real),
    (IS_BILLABLE, Type::String),
];

/// Standard columns whose names start with `_`, a prefix reserved for Azure Monitor.
const UNDERSCORED: [&str; 5] = ["_ResourceId", "_SubscriptionId", "_ItemId", BILLED_SIZE, IS_BILLABLE];

const MAX_TABLE_NAME: usize = 63;
const MAX_COLUMN_NAME: usize = 45;

/// A column and its physical name in the data files.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredColumn {
    pub name: String,
    #[serde(rename = "type")]
    pub ty: Type,
    /// Unique in the table ignoring case; absent if equal to the column name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub physical: Option<String>,
}

impl StoredColumn {
    pub fn physical(&self) -> &str {
        self.physical.as_deref().unwrap_or(&self.name)
    }
}

/// A table as stored in the catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredTable {
    /// The folder of its data files; identifies the table in the log and the manifest.
    pub folder: String,
    pub columns: Vec<StoredColumn>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Span>,
}

impl StoredTable {
    /// A custom table with exactly these columns.
    pub fn of(name: &TableName, columns: Vec<Column>) -> Self {
        let mut table = Self { folder: name.as_str().to_owned(), columns: Vec::new(), retention: None };
        columns.into_iter().for_each(|column| table.add(column));
        table
    }

    /// Adds a column unless the table already has one of that name.
    fn add(&mut self, column: Column) {
        if self.columns.iter().any(|old| old.name == column.name) {
            return;
        }
        let physical = physical_name(&column.name, &self.columns);
        let physical = (physical != column.name).then_some(physical);
        self.columns.push(StoredColumn { name: column.name, ty: column.ty, physical });
    }

    pub fn schema(&self, name: &TableName) -> Arc<TableSchema> {
        let columns = self.columns.iter().map(|column| Column::new(&column.name, column.ty)).collect();
        Arc::new(TableSchema { name: name.clone(), columns })
    }

    pub fn physical(&self) -> Arc<[String]> {
        self.columns.iter().map(|column| column.physical().to_owned()).collect()
    }
}

/// The contents of `catalog.json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CatalogDocument {
    pub version: u32,
    /// The number of the next folder.
    pub next: u64,
    pub tables: BTreeMap<TableName, StoredTable>,
    /// Keyed by lower-case name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub searches: BTreeMap<String, Arc<SavedSearch>>,
}

impl CatalogDocument {
    /// Adds the built-in tables, and columns added by newer versions to them, to created tables of Azure and to custom tables.
    pub fn with_built_in(mut self) -> Self {
        self.version = 1;
        let created = self.tables.keys().filter(|name| !builtin::is_built_in(name.as_str()));
        let published: Vec<TableSchema> =
            created.filter_map(|name| published::azure_table(name.as_str())).map(|table| table.as_ref().clone()).collect();
        for table in builtin::tables().iter().cloned().chain(published) {
            let columns = match self.tables.get(&table.name) {
                // If both added a column of the same name, the user's type wins.
                Some(known) => {
                    let fresh = |column: &Column| !known.columns.iter().any(|old| old.name == column.name);
                    table.columns.into_iter().filter(|column| fresh(column)).collect()
                }
                None => table.columns,
            };
            self.merge(&table.name, columns, &[]);
        }
        let custom: Vec<TableName> = self.tables.keys().filter(|name| published::is_custom(name.as_str())).cloned().collect();
        custom.iter().for_each(|name| self.merge(name, Vec::new(), &STANDARD));
        self
    }

    /// Returns the catalog in which `name` has at least these columns.
    pub fn define(&self, name: &TableName, columns: Vec<Column>) -> Result<Self, CatalogError> {
        if !is_table_name(name.as_str()) {
            return Err(CatalogError::BadTableName { name: name.as_str().to_owned() });
        }
        let known = self.tables.get(name);
        if known.is_none()
            && let Some(table) = published::azure_table(name.as_str())
        {
            return self.create(&table).define(name, columns);
        }
        for (index, column) in columns.iter().enumerate() {
            let earlier = columns[..index].iter().find(|earlier| earlier.name == column.name).map(|earlier| earlier.ty);
            let old = known.and_then(|table| table.columns.iter().find(|old| old.name == column.name)).map(|old| old.ty);
            match old.or(earlier) {
                Some(old) if old != column.ty => {
                    return Err(CatalogError::TypeChange { table: name.clone(), column: column.name.clone(), old, new: column.ty });
                }
                Some(_) => {}
                None if !is_column_name(&column.name) => return Err(CatalogError::BadColumnName { name: column.name.clone() }),
                None => {}
            }
        }
        let mut next = self.clone();
        let standard: &[_] = if name.as_str().ends_with("_CL") && known.is_none() { &STANDARD } else { &[] };
        let mut columns = columns;
        if known.is_none() && !columns.iter().any(|column| column.name == "TimeGenerated") {
            columns.insert(0, Column::new("TimeGenerated", Type::Datetime));
        }
        next.merge(name, columns, standard);
        Ok(next)
    }

    /// Returns the catalog with a published table.
    pub fn create(&self, table: &TableSchema) -> Self {
        let mut next = self.clone();
        next.merge(&table.name, table.columns.clone(), &[]);
        next
    }

    pub fn drop_table(&self, name: &TableName) -> Result<Self, CatalogError> {
        if builtin::is_built_in(name.as_str()) || published::azure_table(name.as_str()).is_some() {
            return Err(CatalogError::BuiltIn(name.clone()));
        }
        let mut next = self.clone();
        next.tables.remove(name).map(|_| next).ok_or_else(|| CatalogError::NoTable(name.clone()))
    }

    pub fn set_retention(&self, name: &TableName, retention: Option<Span>) -> Result<Self, CatalogError> {
        let mut next = match published::azure_table(name.as_str()).filter(|_| !self.tables.contains_key(name)) {
            Some(table) => self.create(&table),
            None => self.clone(),
        };
        next.tables.get_mut(name).ok_or_else(|| CatalogError::NoTable(name.clone()))?.retention = retention;
        Ok(next)
    }

    pub fn save_search(&self, search: SavedSearch) -> Result<Self, CatalogError> {
        let key = search.name.to_lowercase();
        let alias = &search.function_alias;
        let taken = self.searches.iter().find(|(other, known)| **other != key && !alias.is_empty() && known.function_alias == *alias);
        if let Some((_, other)) = taken {
            return Err(CatalogError::AliasTaken { alias: alias.clone(), of: other.name.clone() });
        }
        let mut next = self.clone();
        next.searches.insert(key, Arc::new(search));
        Ok(next)
    }

    pub fn remove_search(&self, name: &str) -> Self {
        let mut next = self.clone();
        next.searches.remove(&name.to_lowercase());
        next
    }

    fn merge(&mut self, name: &TableName, columns: Vec<Column>, standard: &[(&str, Type)]) {
        let number = self.next;
        let table = self.tables.entry(name.clone()).or_insert_with(|| StoredTable {
            folder: format!("{name}.{number}"),
            columns: Vec::new(),
            retention: None,
        });
        if table.columns.is_empty() {
            self.next += 1;
        }
        let wanted = columns.into_iter().chain(standard.iter().map(|(name, ty)| Column::new(*name, *ty)));
        wanted.for_each(|column| table.add(column));
    }
}

/// Returns `name`, or `name$2`, `name$3` … if another column's name differs only in case. Column names never contain `$`.
fn physical_name(name: &str, taken: &[StoredColumn]) -> String {
    let free = |candidate: &str| !taken.iter().any(|column| column.physical().eq_ignore_ascii_case(candidate));
    if free(name) {
        return name.to_owned();
    }
    (2..).map(|n| format!("{name}${n}")).find(|candidate| free(candidate)).unwrap_or_default()
}

fn is_table_name(name: &str) -> bool {
    is_word(name, MAX_TABLE_NAME)
}

fn is_column_name(name: &str) -> bool {
    is_word(name, MAX_COLUMN_NAME) || UNDERSCORED.contains(&name)
}

fn is_word(name: &str, longest: usize) -> bool {
    name.len() <= longest
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(list: &[(&str, Type)]) -> Vec<Column> {
        list.iter().map(|(name, ty)| Column::new(*name, *ty)).collect()
    }

    #[test]
    fn names_that_differ_in_case_get_their_own_file_columns() {
        let name = TableName::new("Case_CL");
        let wanted = columns(&[("Url", Type::String), ("url", Type::String), ("URL", Type::Dynamic)]);
        let catalog = CatalogDocument::default().define(&name, wanted).unwrap();
        assert_eq!(
            catalog.tables[&name].physical().to_vec(),
            ["TimeGenerated", "Url", "url$2", "URL$3", "TenantId", "Type", "_ResourceId", "_BilledSize", "_IsBillable"]
        );
        let again = catalog.define(&name, columns(&[("uRL", Type::Int)])).unwrap();
        assert_eq!(again.tables[&name].physical().last().unwrap(), "uRL$4");
    }

    #[test]
    fn columns_are_added_and_never_change_type() {
        let name = TableName::new("T_CL");
        let first = CatalogDocument::default().define(&name, columns(&[("A", Type::Int)])).unwrap();
        assert_eq!(first.define(&name, columns(&[("A", Type::Int)])).unwrap(), first);
        assert!(matches!(first.define(&name, columns(&[("A", Type::Long)])), Err(CatalogError::TypeChange { .. })));
        assert!(matches!(first.define(&name, columns(&[("B", Type::Int), ("B", Type::Long)])), Err(CatalogError::TypeChange { .. })));
        assert!(matches!(first.define(&name, columns(&[("a b", Type::Int)])), Err(CatalogError::BadColumnName { .. })));
        assert!(matches!(first.define(&TableName::new("../etc"), vec![]), Err(CatalogError::BadTableName { .. })));
    }

    #[test]
    fn published_tables_are_created_with_their_columns() {
        let (azure, custom) = (TableName::new("StorageBlobLogs"), TableName::new("Okta_CL"));
        let empty = CatalogDocument::default();
        let published = published::table(azure.as_str()).unwrap();
        let created = empty.create(&published);
        assert_eq!(*created.tables[&azure].schema(&azure), *published);
        assert_eq!(created.create(&published), created);
        // A column of the user's comes after Microsoft's; a type of Microsoft's is not changed.
        let more = empty.define(&azure, columns(&[("Mine_CF", Type::Int)])).unwrap();
        assert_eq!(more.tables[&azure].columns.len(), published.columns.len() + 1);
        assert!(matches!(empty.define(&azure, columns(&[("Type", Type::Int)])), Err(CatalogError::TypeChange { .. })));
        assert_eq!(empty.set_retention(&azure, Some(Span::DAY)).unwrap().tables[&azure].retention, Some(Span::DAY));
        assert!(matches!(empty.drop_table(&azure), Err(CatalogError::BuiltIn(_))));
        assert!(matches!(created.drop_table(&azure), Err(CatalogError::BuiltIn(_))));
        // A custom table has the columns that the user gives it.
        let own = empty.define(&custom, columns(&[("actor", Type::Dynamic)])).unwrap();
        assert_eq!(own.tables[&custom].columns.len(), 7);
        assert_eq!(own.clone().with_built_in().tables[&custom], own.tables[&custom]);
        assert!(matches!(empty.set_retention(&custom, None), Err(CatalogError::NoTable(_))));
        assert_eq!(own.drop_table(&custom).unwrap().tables, empty.tables);
    }

    #[test]
    fn columns_published_later_are_added() {
        let name = TableName::new("StorageBlobLogs");
        let mut old = CatalogDocument::default().create(&published::table(name.as_str()).unwrap());
        let last = old.tables.get_mut(&name).and_then(|table| table.columns.pop()).unwrap();
        let new = old.with_built_in();
        assert_eq!(new.tables[&name].columns.last(), Some(&last));
    }

    #[test]
    fn dropped_table_folder_is_not_reused() {
        let name = TableName::new("T_CL");
        let first = CatalogDocument::default().define(&name, vec![]).unwrap();
        let second = first.drop_table(&name).unwrap().define(&name, vec![]).unwrap();
        assert_ne!(first.tables[&name].folder, second.tables[&name].folder);
        let built_in = CatalogDocument::default().with_built_in();
        assert!(matches!(built_in.drop_table(&TableName::new("Syslog")), Err(CatalogError::BuiltIn(_))));
        assert_eq!(built_in.clone().with_built_in(), built_in);
    }
}
