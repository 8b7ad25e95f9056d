//! Name resolution for the binder: tables of the query's scope, of files and of the workspace, and stored functions.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use kql::bind::{External, Schema};
use kql::plan::{Plan, Rel, Subquery};
use model::{Column, QueryError, StoredFunction, TableSchema};
use tokio::runtime::Handle;

use crate::prepare::prepare;
use crate::run::Run;

pub(crate) struct Names {
    pub run: Arc<Run>,
    /// Runs relations whose rows the binder needs; `None` if a query is only checked.
    pub handle: Option<Handle>,
}

impl Names {
    /// A table of the workspace. A function given with the query hides a published table that has not been created.
    fn stored_table(&self, name: &str) -> Option<Arc<TableSchema>> {
        let catalog = &self.run.store.as_ref()?.catalog;
        let is_hidden = self.run.scope.functions.iter().any(|function| function.name == name) && !catalog.is_created(name);
        catalog.table(name).filter(|_| !is_hidden)
    }
}

impl Schema for Names {
    fn table(&self, name: &str) -> Option<Vec<Column>> {
        if let Some(inline) = self.run.inline(name) {
            return Some(inline.schema.columns.clone());
        }
        let table = self.stored_table(name)?;
        self.run.names(&table.name);
        Some(table.columns.clone())
    }

    fn has_table(&self, name: &str) -> bool {
        if self.run.inline(name).is_some() {
            return true;
        }
        let Some(table) = self.stored_table(name) else { return false };
        self.run.names(&table.name);
        true
    }

    fn tables(&self) -> Vec<String> {
        let files = self.run.files.iter().filter(|file| file.listed).map(|file| &file.table);
        let mut names: Vec<String> = self.run.scope.tables.iter().chain(files).map(|table| table.schema.name.as_str().to_owned()).collect();
        if let Some(store) = &self.run.store {
            names.extend(store.catalog.tables().iter().map(|table| table.name.as_str().to_owned()));
        }
        names.sort();
        names.dedup();
        names
    }

    fn each_unlisted_table(&self, f: &mut dyn FnMut(&str)) {
        if let Some(store) = &self.run.store {
            store.catalog.published_tables().into_iter().for_each(f);
        }
    }

    fn function(&self, name: &str) -> Option<StoredFunction> {
        let given = self.run.scope.functions.iter().find(|function| function.name == name);
        given.map(|function| function.as_ref().clone()).or_else(|| self.run.store.as_ref()?.catalog.function(name))
    }

    fn is_transformation(&self) -> bool {
        self.run.scope.inline_only
    }

    fn external(&self, wanted: &External) -> Result<Option<u32>, String> {
        let (Some(handle), Some(outside)) = (&self.handle, &self.run.outside) else { return Ok(None) };
        let _paused = self.run.planning.pause();
        // Safe: binding runs on a thread that may block.
        handle.block_on(self.run.external(outside.as_ref(), wanted)).map(Some)
    }

    fn run(&self, rel: &Rel, subqueries: &[Subquery]) -> Result<Option<(u32, Vec<RecordBatch>)>, String> {
        let Some(handle) = &self.handle else { return Ok(None) };
        let _paused = self.run.planning.pause();
        // Safe: binding runs on a thread that may block.
        handle.block_on(async {
            let plan = Plan { root: rel.clone(), subqueries: subqueries.to_vec(), render: None, name: None, more: Vec::new() };
            let rows = async {
                let (prepared, _) = prepare(&self.run, plan).await?;
                self.run.keep(&prepared).await
            };
            let number = tokio::select! {
                biased;
                () = self.run.stop.cancelled() => Err(QueryError::Cancelled),
                number = rows => number,
            };
            let number = number.map_err(|why| {
                self.run.fail(why.clone());
                why.to_string()
            })?;
            let (_, batches) = self.run.kept(number).unwrap_or_default();
            Ok(Some((number, batches)))
        })
    }
}
