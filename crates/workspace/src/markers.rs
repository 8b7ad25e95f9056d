//! `table.json` in each table's folder holds its name, columns and retention, so that the catalog can be rebuilt from the folders if both
//! of its copies are lost.

use std::path::{Path, PathBuf};

use model::{Condition, ConditionSeverity, Disk, HealthRegister, TableName};
use serde::{Deserialize, Serialize};

use crate::catalog::{CatalogDocument, StoredTable};
use crate::damage::inside;
use crate::manifest::{seal, unseal};
use crate::state_files::set_aside;

/// The contents of `table.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    pub name: TableName,
    pub table: StoredTable,
}

pub fn path(folder: &Path) -> PathBuf {
    folder.join("table.json")
}

/// Writes the marker of a table into its folder.
pub fn write(disk: &dyn Disk, folder: &Path, name: &TableName, table: &StoredTable) -> std::io::Result<()> {
    let marker = Marker { name: name.clone(), table: table.clone() };
    disk.replace(&path(folder), &seal(&marker)?)
}

/// Rewrites the marker of a table with files if it differs from the catalog. A missing or damaged marker is reported, unless it may never
/// have existed.
pub fn mend(disk: &dyn Disk, folder: &Path, table: &Marker, begun: bool, quarantine: &Path, health: &HealthRegister) {
    let marker = path(folder);
    let reason = match unseal::<Marker>(disk, &marker) {
        Ok(Some(found)) if found == *table => return,
        Ok(Some(_)) => None,
        Ok(None) => begun.then_some("is missing"),
        Err(_) => {
            set_aside(disk, &marker, quarantine, "it is damaged");
            Some("is damaged")
        }
    };
    if let Some(reason) = reason {
        let name = inside(&marker);
        tracing::error!(file = name, reason, "the description of a table in its folder is written anew");
        let condition = Condition::new("state-file-restored", name.as_str(), ConditionSeverity::Notice)
            .summary(format!("`{name}` {reason}; it is written anew, nothing is lost"))
            .action("watch the disk for more errors");
        health.report(condition);
    }
    if let Err(cause) = write(disk, folder, &table.name, &table.table) {
        tracing::warn!(error = %cause, folder = %folder.display(), "the description of a table cannot be written now");
    }
}

/// Rebuilds a catalog from all table folders with a marker; also returns the names of folders without one.
pub fn rebuild(disk: &dyn Disk, tables: &Path) -> (CatalogDocument, Vec<String>) {
    let (mut catalog, mut unknown) = (CatalogDocument::default(), Vec::new());
    for folder in disk.list(tables).unwrap_or_default() {
        let Some(name) = folder.file_name().and_then(|name| name.to_str()) else { continue };
        let Some(number) = name.rsplit_once('.').and_then(|(_, number)| number.parse::<u64>().ok()) else { continue };
        catalog.next = catalog.next.max(number + 1);
        match unseal::<Marker>(disk, &path(&folder)) {
            Ok(Some(marker)) if marker.table.folder == name => {
                // If a table was dropped and recreated, the newer folder wins.
                let older = catalog.tables.get(&marker.name).is_some_and(|known| number_of(&known.folder) > number);
                if !older {
                    catalog.tables.insert(marker.name, marker.table);
                }
            }
            _ => unknown.push(name.to_owned()),
        }
    }
    (catalog, unknown)
}

fn number_of(folder: &str) -> u64 {
    folder.rsplit_once('.').and_then(|(_, number)| number.parse().ok()).unwrap_or(0)
}
