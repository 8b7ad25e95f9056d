//! Groups of people, and who is in them.

use model::Timestamp;
use sqlx::{Row, SqliteConnection};

use crate::accounts::name_key;
use crate::error::StoreError;
use crate::{Change, Store, Topic};

/// A group, a principal of role assignments like an account.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    pub object_id: String,
    pub tenant_id: String,
    /// Unique in the tenant by [`crate::name_key`].
    pub name: String,
    pub description: String,
    pub created: Timestamp,
}

/// Reads groups.
pub struct Groups<'s> {
    pub(crate) store: &'s Store,
}

impl Groups<'_> {
    pub async fn get(&self, object_id: &str) -> Result<Option<Group>, StoreError> {
        get(&mut *self.store.reader().await?, object_id).await
    }

    pub async fn by_name(&self, tenant_id: &str, name: &str) -> Result<Option<Group>, StoreError> {
        by_name(&mut *self.store.reader().await?, tenant_id, name).await
    }

    /// The groups of all tenants, by name.
    pub async fn list(&self) -> Result<Vec<Group>, StoreError> {
        let mut connection = self.store.reader().await?;
        let rows = sqlx::query("SELECT * FROM directory_groups ORDER BY name_key, object_id").fetch_all(&mut *connection).await?;
        rows.iter().map(read).collect()
    }

    /// All memberships as pairs of a group and an account.
    pub async fn memberships(&self) -> Result<Vec<(String, String)>, StoreError> {
        let mut connection = self.store.reader().await?;
        let rows =
            sqlx::query("SELECT group_id, account_id FROM group_members ORDER BY group_id, account_id").fetch_all(&mut *connection).await?;
        rows.iter().map(|row| Ok((row.try_get("group_id")?, row.try_get("account_id")?))).collect()
    }
}

impl Change {
    pub async fn group(&mut self, object_id: &str) -> Result<Option<Group>, StoreError> {
        get(self.connection(), object_id).await
    }

    pub async fn group_by_name(&mut self, tenant_id: &str, name: &str) -> Result<Option<Group>, StoreError> {
        by_name(self.connection(), tenant_id, name).await
    }

    pub async fn count_groups(&mut self) -> Result<usize, StoreError> {
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM directory_groups").fetch_one(self.connection()).await?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    /// Adds the group. Its name must not belong to another group of the tenant.
    pub async fn add_group(&mut self, group: &Group) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO directory_groups (object_id, tenant_id, name, name_key, description, created) VALUES (?, ?, ?, ?, ?, ?)")
            .bind(&group.object_id)
            .bind(&group.tenant_id)
            .bind(&group.name)
            .bind(name_key(&group.name))
            .bind(&group.description)
            .bind(group.created.ticks())
            .execute(self.connection())
            .await?;
        self.touch(Topic::Accounts);
        Ok(())
    }

    /// Removes the group with its memberships and role assignments. Returns false if there was none.
    pub async fn delete_group(&mut self, object_id: &str) -> Result<bool, StoreError> {
        sqlx::query("DELETE FROM role_assignments WHERE principal_id = ?").bind(object_id).execute(self.connection()).await?;
        sqlx::query("DELETE FROM group_members WHERE group_id = ?").bind(object_id).execute(self.connection()).await?;
        let done = sqlx::query("DELETE FROM directory_groups WHERE object_id = ?").bind(object_id).execute(self.connection()).await?;
        self.touch(Topic::Accounts);
        self.touch(Topic::RoleAssignments);
        Ok(done.rows_affected() == 1)
    }

    /// Adds a member; both must exist. Returns false if it was one already.
    pub async fn add_member(&mut self, group_id: &str, account_id: &str, now: Timestamp) -> Result<bool, StoreError> {
        let done = sqlx::query("INSERT INTO group_members (group_id, account_id, added) VALUES (?, ?, ?) ON CONFLICT DO NOTHING")
            .bind(group_id)
            .bind(account_id)
            .bind(now.ticks())
            .execute(self.connection())
            .await?;
        self.touch(Topic::Accounts);
        Ok(done.rows_affected() == 1)
    }

    /// Removes a member. Returns false if it was none.
    pub async fn remove_member(&mut self, group_id: &str, account_id: &str) -> Result<bool, StoreError> {
        let done = sqlx::query("DELETE FROM group_members WHERE group_id = ? AND account_id = ?")
            .bind(group_id)
            .bind(account_id)
            .execute(self.connection())
            .await?;
        self.touch(Topic::Accounts);
        Ok(done.rows_affected() == 1)
    }
}

async fn get(connection: &mut SqliteConnection, object_id: &str) -> Result<Option<Group>, StoreError> {
    let row = sqlx::query("SELECT * FROM directory_groups WHERE object_id = ?").bind(object_id).fetch_optional(connection).await?;
    row.map(|row| read(&row)).transpose()
}

async fn by_name(connection: &mut SqliteConnection, tenant_id: &str, name: &str) -> Result<Option<Group>, StoreError> {
    let row = sqlx::query("SELECT * FROM directory_groups WHERE tenant_id = ? AND name_key = ?")
        .bind(tenant_id)
        .bind(name_key(name))
        .fetch_optional(connection)
        .await?;
    row.map(|row| read(&row)).transpose()
}

fn read(row: &sqlx::sqlite::SqliteRow) -> Result<Group, StoreError> {
    Ok(Group {
        object_id: row.try_get("object_id")?,
        tenant_id: row.try_get("tenant_id")?,
        name: row.try_get("name")?,
        description: row.try_get("description")?,
        created: Timestamp::clamp_ticks(row.try_get("created")?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accounts::tests::account;

    #[tokio::test]
    async fn members_leave_with_their_account_and_their_group() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("state.db")).await.unwrap();
        let mut change = store.begin().await.unwrap();
        for id in ["1", "2"] {
            change.put_account(&account(id, id)).await.unwrap();
            let group = Group {
                object_id: format!("g{id}"),
                tenant_id: "t".to_owned(),
                name: format!("Group {id}"),
                description: String::new(),
                created: Timestamp::UNIX_EPOCH,
            };
            change.add_group(&group).await.unwrap();
        }
        for (group, member) in [("g1", "1"), ("g1", "2"), ("g2", "1")] {
            assert!(change.add_member(group, member, Timestamp::UNIX_EPOCH).await.unwrap());
        }
        assert!(!change.add_member("g1", "1", Timestamp::UNIX_EPOCH).await.unwrap());
        assert!(change.group_by_name("t", "GROUP 1").await.unwrap().is_some());
        change.delete_account("1").await.unwrap();
        change.commit().await.unwrap();
        assert_eq!(store.groups().memberships().await.unwrap(), [("g1".to_owned(), "2".to_owned())]);
        let mut change = store.begin().await.unwrap();
        assert!(change.delete_group("G1").await.unwrap() && !change.remove_member("g1", "2").await.unwrap());
        change.commit().await.unwrap();
        assert_eq!(store.groups().list().await.unwrap().len(), 1);
    }
}
