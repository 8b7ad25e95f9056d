//! Microsoft's documented tables for commands that run without a workspace: each can be named, has no rows and is skipped by wildcards.

use std::sync::Arc;

use kql::check::UnlistedTables;
use model::Column;
use workspace::PublishedTables;

/// For binding.
pub const UNLISTED: UnlistedTables = UnlistedTables { columns, names };

/// For queries.
pub fn store() -> engine::Store {
    let tables = Arc::new(PublishedTables);
    engine::Store { catalog: tables.clone(), snapshots: tables }
}

pub fn columns(table: &str) -> Option<Vec<Column>> {
    workspace::published_table(table).map(|table| table.columns.clone())
}

/// The name of a published table as Microsoft writes it; the case of letters does not matter, as in names of files.
pub fn spelling(name: &str) -> Option<&'static str> {
    let names = workspace::published_names();
    names.get(name).copied().or_else(|| names.iter().find(|known| known.eq_ignore_ascii_case(name)).copied())
}

fn names() -> Vec<&'static str> {
    workspace::published_names().into_iter().collect()
}
