//! What stands in for a service when documents are checked without one: Microsoft's tables, and binding without rows.

use std::sync::Arc;

use async_trait::async_trait;
use documents::{Cloud, RoleName, World};
use engine::SystemClock;
use futures::stream::{self, BoxStream, StreamExt};
use kql::check::TableSchemas;
use model::*;

/// A workspace with Microsoft's tables and nothing else.
pub fn world() -> World {
    let id = || "00000000-0000-0000-0000-000000000000".to_owned();
    World {
        catalog: Arc::new(Published),
        engine: Arc::new(Binder),
        clock: Arc::new(SystemClock::default()),
        cloud: Cloud {
            subscription_id: id(),
            resource_group: "bartizan".to_owned(),
            workspace_name: "bartizan".to_owned(),
            workspace_id: id(),
            location: "local".to_owned(),
        },
        roles: server::ROLE_DEFINITIONS.iter().map(|role| RoleName { id: role.id, name: role.name }).collect(),
        state: None,
    }
}

struct Published;

#[async_trait]
impl Catalog for Published {
    fn table(&self, name: &str) -> Option<Arc<TableSchema>> {
        self.published(name)
    }

    fn tables(&self) -> Vec<Arc<TableSchema>> {
        workspace::built_in_tables().iter().cloned().map(Arc::new).collect()
    }

    fn published(&self, name: &str) -> Option<Arc<TableSchema>> {
        workspace::published_table(name)
    }

    async fn define(&self, name: &TableName, _: Vec<Column>) -> Result<Arc<TableSchema>, CatalogError> {
        Err(CatalogError::NoTable(name.clone()))
    }

    async fn drop_table(&self, name: &TableName) -> Result<(), CatalogError> {
        Err(CatalogError::NoTable(name.clone()))
    }

    async fn set_retention(&self, name: &TableName, _: Option<Span>) -> Result<(), CatalogError> {
        Err(CatalogError::NoTable(name.clone()))
    }

    fn retention(&self, _: &str) -> Option<Span> {
        None
    }

    fn arrivals(&self) -> BoxStream<'static, Arrival> {
        stream::pending().boxed()
    }

    fn complete_until(&self) -> Timestamp {
        Timestamp::MIN
    }
}

/// Binds queries and runs none.
struct Binder;

#[async_trait]
impl QueryEngine for Binder {
    async fn query(&self, _: Query) -> Result<Answer, QueryError> {
        Err(QueryError::Run("there is no service that could run a query".to_owned()))
    }

    async fn check(&self, query: &Query) -> Result<Option<Vec<Column>>, QueryError> {
        let named = |table: &TableSchema| (table.name.as_str().to_owned(), table.columns.clone());
        let own: TableSchemas = query.scope.tables.iter().map(|table| named(&table.schema)).collect();
        let schemas = if query.scope.inline_only { own } else { own.with_unlisted(crate::commands::published::UNLISTED) };
        let schemas = schemas.with_functions(query.scope.functions.iter().map(|function| (**function).clone()));
        let now = query.scope.now.unwrap_or_else(|| Timestamp::from_system(std::time::SystemTime::now()));
        let bound = kql::check::check(&query.kql, &schemas, now);
        if !bound.diagnostics.is_empty() {
            return Err(QueryError::Wrong(bound.diagnostics));
        }
        let columns = bound.columns.into_iter().flatten();
        let known: Option<Vec<Column>> = columns.map(|(name, ty)| ty.map(|ty| Column::new(name, ty))).collect();
        Ok(known.filter(|columns| !columns.is_empty()))
    }

    async fn tables_read(&self, _: &Query) -> Result<Vec<TableName>, QueryError> {
        Ok(Vec::new())
    }
}
