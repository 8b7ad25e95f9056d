//! Rule files, test files and related command-line options.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use kql::check::TableSchemas;
use model::{Column, StoredFunction, TableSchema};

use super::super::Failure;
use super::super::kql_check::definitions;
use super::super::published;

/// What queries may read besides the published tables.
#[derive(clap::Args)]
pub struct KnownArgs {
    /// Columns of further tables: `{"Table":[["Column","type"], …]}`.
    #[arg(long, value_name = "F")]
    pub schema: Option<PathBuf>,
    /// Functions that queries may call: a JSON or YAML file, or a folder of them such as Microsoft's parsers.
    #[arg(long, value_name = "F")]
    pub functions: Option<PathBuf>,
}

/// Known tables and functions by name.
pub struct Known {
    /// The built-in tables and those of the schema file; other published tables are found by name.
    pub tables: Vec<TableSchema>,
    pub functions: Vec<Arc<StoredFunction>>,
}

impl KnownArgs {
    pub fn read(&self) -> Result<Known, Failure> {
        let mut tables = workspace::built_in_tables().to_vec();
        if let Some(path) = &self.schema {
            let text = std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))?;
            let schemas: TableSchemas = serde_json::from_str(&text)
                .map_err(|error| Failure::Wrong(format!("error: `{}` is not a table schema: {error}", path.display())))?;
            for (name, columns) in schemas.columns() {
                tables.retain(|table| table.name.as_str() != name);
                tables.push(TableSchema::new(name, columns));
            }
        }
        let functions = match &self.functions {
            Some(path) => definitions::read(path)?.into_iter().map(Arc::new).collect(),
            None => Vec::new(),
        };
        Ok(Known { tables, functions })
    }
}

impl Known {
    pub fn table(&self, name: &str) -> Option<Vec<Column>> {
        let known = self.tables.iter().find(|table| table.name.as_str() == name);
        known.map(|table| table.columns.clone()).or_else(|| published::columns(name))
    }

    /// Schemas for binding without rows.
    pub fn schemas(&self) -> TableSchemas {
        let tables: TableSchemas = self.tables.iter().map(|table| (table.name.as_str().to_owned(), table.columns.clone())).collect();
        tables.with_functions(self.functions.iter().map(|function| function.as_ref().clone())).with_unlisted(published::UNLISTED)
    }
}

/// The kind of a file in a folder of rules.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Rule,
    Test,
}

fn kind(path: &Path) -> Option<Kind> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    let stem = name.strip_suffix(".yaml").or_else(|| name.strip_suffix(".yml"))?;
    Some(if stem.ends_with(".test") { Kind::Test } else { Kind::Rule })
}

/// The files of this kind in `paths`, including folders recursively, sorted. A file given explicitly is included regardless of its name.
pub fn of_kind(paths: &[PathBuf], wanted: Kind) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            below(path, wanted, &mut found)?;
        } else {
            anyhow::ensure!(path.exists(), "there is no file `{}`", path.display());
            if kind(path).is_none_or(|kind| kind == wanted) {
                found.push(path.clone());
            }
        }
    }
    found.sort();
    found.dedup();
    Ok(found)
}

fn below(folder: &Path, wanted: Kind, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder).with_context(|| format!("cannot read `{}`", folder.display()))? {
        let entry = entry.with_context(|| format!("cannot read `{}`", folder.display()))?;
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if entry.file_type()?.is_dir() && !hidden {
            below(&path, wanted, found)?;
        } else if kind(&path) == Some(wanted) {
            found.push(path);
        }
    }
    Ok(())
}

pub fn read(path: &Path) -> anyhow::Result<String> {
    std::fs::read_to_string(path).with_context(|| format!("cannot read `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_searched_for_files_of_a_kind() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(folder.path().join("a/.git")).unwrap();
        for name in ["a/x.yaml", "a/x.test.yaml", "a/readme.md", "a/.git/y.yaml", "z.YML"] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let names = |wanted| -> Vec<String> {
            let files = of_kind(&[folder.path().to_owned()], wanted).unwrap();
            files.iter().map(|path| path.strip_prefix(folder.path()).unwrap().display().to_string()).collect()
        };
        assert_eq!(names(Kind::Rule), ["a/x.yaml", "z.YML"]);
        assert_eq!(names(Kind::Test), ["a/x.test.yaml"]);
        assert!(of_kind(&[folder.path().join("none.yaml")], Kind::Rule).is_err());
    }
}
