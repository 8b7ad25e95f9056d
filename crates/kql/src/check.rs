//! Checks a text without running it: against table schemas only, with positions as counted by editors.

use std::collections::HashMap;

use model::{Column, StoredFunction, Timestamp, Type};
use serde::Deserialize;

use crate::bind::{self, Bound, Schema};
use crate::plan::Rel;
use crate::syntax;

/// Tables without rows, found by name: [`Schema::table`] returns them, wildcards skip them, and functions of the same name hide them.
#[derive(Clone, Copy, Debug)]
pub struct UnlistedTables {
    pub columns: fn(&str) -> Option<Vec<Column>>,
    pub names: fn() -> Vec<&'static str>,
}

/// Tables known only by name and columns: `{"Table": [["Column", "type"], …]}`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct TableSchemas {
    tables: HashMap<String, Vec<(String, ColumnType)>>,
    #[serde(skip)]
    functions: HashMap<String, StoredFunction>,
    #[serde(skip)]
    unlisted: Option<UnlistedTables>,
}

impl TableSchemas {
    /// Every table with its columns.
    pub fn columns(&self) -> impl Iterator<Item = (&str, Vec<Column>)> {
        let columns = |columns: &[(String, ColumnType)]| columns.iter().map(|(name, ty)| Column::new(name.clone(), ty.0)).collect();
        self.tables.iter().map(move |(name, table)| (name.as_str(), columns(table)))
    }

    /// Adds tables that texts may name.
    pub fn with_unlisted(mut self, unlisted: UnlistedTables) -> Self {
        self.unlisted = Some(unlisted);
        self
    }

    /// Adds functions that texts may call; of several with the same name, the last wins.
    pub fn with_functions(mut self, functions: impl IntoIterator<Item = StoredFunction>) -> Self {
        self.functions.extend(functions.into_iter().map(|function| (function.name.clone(), function)));
        self
    }
}

/// A type by any of its names, including those used in storage and documentation.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(from = "String")]
struct ColumnType(Type);

impl From<String> for ColumnType {
    /// Published schemas contain typos (`Date/time`, `...`): such a column becomes `dynamic`, which converts to most types, so that the
    /// rest can be checked.
    fn from(name: String) -> Self {
        let name = name.trim();
        ColumnType(match name.to_ascii_lowercase().as_str() {
            "sbyte" => Type::Bool,
            "integer" => Type::Int,
            "bigint" => Type::Long,
            _ => Type::parse(name).unwrap_or(Type::Dynamic),
        })
    }
}

impl FromIterator<(String, Vec<Column>)> for TableSchemas {
    fn from_iter<I: IntoIterator<Item = (String, Vec<Column>)>>(tables: I) -> Self {
        let table = |(name, columns): (String, Vec<Column>)| {
            (name, columns.into_iter().map(|column| (column.name, ColumnType(column.ty))).collect())
        };
        Self { tables: tables.into_iter().map(table).collect(), functions: HashMap::new(), unlisted: None }
    }
}

impl Schema for TableSchemas {
    fn table(&self, name: &str) -> Option<Vec<Column>> {
        let Some(columns) = self.tables.get(name) else {
            let unlisted = self.unlisted.filter(|_| !self.functions.contains_key(name))?;
            return (unlisted.columns)(name);
        };
        Some(columns.iter().map(|(name, ty)| Column::new(name.clone(), ty.0)).collect())
    }

    fn tables(&self) -> Vec<String> {
        let mut names: Vec<String> = self.tables.keys().cloned().collect();
        names.sort_unstable();
        names
    }

    fn has_table(&self, name: &str) -> bool {
        self.tables.contains_key(name) || self.table(name).is_some()
    }

    fn each_table(&self, f: &mut dyn FnMut(&str)) {
        self.tables.keys().for_each(|name| f(name));
    }

    fn each_unlisted_table(&self, f: &mut dyn FnMut(&str)) {
        self.unlisted.iter().flat_map(|unlisted| (unlisted.names)()).for_each(f);
    }

    fn function(&self, name: &str) -> Option<StoredFunction> {
        self.functions.get(name).cloned()
    }

    fn functions(&self) -> Vec<String> {
        let mut names: Vec<String> = self.functions.keys().cloned().collect();
        names.sort_unstable();
        names
    }

    fn run(
        &self,
        _rel: &Rel,
        _subqueries: &[crate::plan::Subquery],
    ) -> Result<Option<(u32, Vec<arrow::record_batch::RecordBatch>)>, String> {
        Ok(None)
    }
}

/// Parses and binds `text`: all errors in source order, and the result columns.
pub fn check(text: &str, schema: &dyn Schema, now: Timestamp) -> Bound {
    let mut bound = bind::judge(&syntax::parse(text), schema, now);
    bound.diagnostics.sort_by_key(|diagnostic| diagnostic.start);
    bound
}

/// The number of UTF-16 code units before byte `offset`, as used by editors and JavaScript. An offset within a character or beyond the text
/// is rounded to the next boundary.
pub fn utf16_offset(text: &str, offset: usize) -> usize {
    let mut end = offset.min(text.len());
    while !text.is_char_boundary(end) {
        end += 1;
    }
    text[..end].encode_utf16().count()
}

/// The byte offset after `units` UTF-16 code units, the inverse of [`utf16_offset`]. Within a character it is the character's start; beyond
/// the text, its end.
pub fn byte_offset(text: &str, units: usize) -> usize {
    let mut seen = 0;
    for (at, c) in text.char_indices() {
        seen += c.len_utf16();
        if seen > units {
            return at;
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_convert_to_utf16() {
        // `é` is two bytes and one unit, `😀` four bytes and two units.
        let text = "é😀x";
        assert_eq!([0, 1, 2, 6, 7, 99].map(|offset| utf16_offset(text, offset)), [0, 1, 1, 3, 4, 4]);
        assert_eq!([0, 1, 2, 3, 4, 99].map(|units| byte_offset(text, units)), [0, 2, 2, 6, 7, 7]);
    }

    #[test]
    fn schemas_name_types_in_every_spelling() {
        let schemas: TableSchemas =
            serde_json::from_str(r#"{"T": [["a", "long"], ["b", "SByte"], ["c", " string "], ["d", "..."]]}"#).unwrap();
        let types: Vec<Type> = schemas.table("T").unwrap().iter().map(|column| column.ty).collect();
        assert_eq!(types, [Type::Long, Type::Bool, Type::String, Type::Dynamic]);
        assert!(schemas.table("U").is_none());
    }

    #[test]
    fn unlisted_tables_are_found_by_name_unless_a_function_hides_them() {
        fn columns(name: &str) -> Option<Vec<Column>> {
            (name == "Big").then(|| vec![Column::new("a", Type::Long)])
        }
        let function = |name: &str| StoredFunction { name: name.to_owned(), parameters: String::new(), body: "print b = 1".to_owned() };
        let schemas: TableSchemas = serde_json::from_str(r#"{"T": [["a", "string"]]}"#).unwrap();
        let schemas = schemas.with_unlisted(UnlistedTables { columns, names: || vec!["Big"] });
        let names = |text: &str, schemas: &TableSchemas| {
            let bound = check(text, schemas, Timestamp::MIN);
            let columns = bound.columns.unwrap_or_default();
            columns.iter().map(|(name, ty)| format!("{name}:{}", ty.map_or("unknown", Type::name))).collect::<Vec<_>>()
        };
        assert_eq!(names("Big", &schemas), ["a:long"]);
        assert_eq!(names("union *", &schemas), ["a:string"], "wildcards skip it");
        assert!(schemas.has_table("Big") && !schemas.has_table("big") && !schemas.tables().contains(&"Big".to_owned()));
        let wrong = check("Bgi", &schemas, Timestamp::MIN).diagnostics;
        assert_eq!(wrong[0].help.as_deref(), Some("did you mean `Big`?"));
        assert_eq!(names("Big", &schemas.with_functions([function("Big")])), ["b:long"]);
    }
}
