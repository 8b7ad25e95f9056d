//! Role assignments: principal, role and scope.

use model::Timestamp;
use sqlx::{Row, SqliteConnection};

use crate::error::StoreError;
use crate::{Change, Store, Topic};

#[derive(Clone, Debug, PartialEq)]
pub struct RoleAssignment {
    /// A GUID, unique in the tenant. Case-insensitive.
    pub name: String,
    /// A resource id; `/` is the root scope.
    pub scope: String,
    /// Id of the role definition, without path.
    pub definition_id: String,
    /// Object id of the principal.
    pub principal_id: String,
    pub created: Timestamp,
    pub created_by: String,
}

/// Reads role assignments.
pub struct RoleAssignments<'s> {
    pub(crate) store: &'s Store,
}

impl RoleAssignments<'_> {
    pub async fn get(&self, name: &str) -> Result<Option<RoleAssignment>, StoreError> {
        get(&mut *self.store.reader().await?, name).await
    }

    /// All assignments, oldest first.
    pub async fn list(&self) -> Result<Vec<RoleAssignment>, StoreError> {
        let mut connection = self.store.reader().await?;
        let rows = sqlx::query("SELECT * FROM role_assignments ORDER BY created, name").fetch_all(&mut *connection).await?;
        rows.iter().map(read).collect()
    }
}

impl Change {
    pub async fn role_assignment(&mut self, name: &str) -> Result<Option<RoleAssignment>, StoreError> {
        get(self.connection(), name).await
    }

    /// All assignments, oldest first.
    pub async fn role_assignments(&mut self) -> Result<Vec<RoleAssignment>, StoreError> {
        let rows = sqlx::query("SELECT * FROM role_assignments ORDER BY created, name").fetch_all(self.connection()).await?;
        rows.iter().map(read).collect()
    }

    /// Adds the assignment. Assignments are immutable: the name must not exist.
    pub async fn add_role_assignment(&mut self, assignment: &RoleAssignment) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO role_assignments (name, scope, definition_id, principal_id, created, created_by) VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(&assignment.name)
        .bind(&assignment.scope)
        .bind(&assignment.definition_id)
        .bind(&assignment.principal_id)
        .bind(assignment.created.ticks())
        .bind(&assignment.created_by)
        .execute(self.connection())
        .await?;
        self.touch(Topic::RoleAssignments);
        Ok(())
    }

    /// Returns false if there was none.
    pub async fn delete_role_assignment(&mut self, name: &str) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM role_assignments WHERE name = ?").bind(name).execute(self.connection()).await?;
        self.touch(Topic::RoleAssignments);
        Ok(done.rows_affected() == 1)
    }
}

async fn get(connection: &mut SqliteConnection, name: &str) -> Result<Option<RoleAssignment>, StoreError> {
    let row = sqlx::query("SELECT * FROM role_assignments WHERE name = ?").bind(name).fetch_optional(connection).await?;
    row.map(|row| read(&row)).transpose()
}

fn read(row: &sqlx::sqlite::SqliteRow) -> Result<RoleAssignment, StoreError> {
    Ok(RoleAssignment {
        name: row.try_get("name")?,
        scope: row.try_get("scope")?,
        definition_id: row.try_get("definition_id")?,
        principal_id: row.try_get("principal_id")?,
        created: Timestamp::clamp_ticks(row.try_get("created")?),
        created_by: row.try_get("created_by")?,
    })
}
