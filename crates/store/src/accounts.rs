//! Accounts of people.

use model::Timestamp;
use sqlx::{Row, SqliteConnection};
use unicode_normalization::UnicodeNormalization;

use crate::error::{StoreError, decode, encode};
use crate::{Change, Store, Topic};

const AGGREGATE: &str = "account";

/// A person who may sign in.
#[derive(Clone, PartialEq)]
pub struct Account {
    pub object_id: String,
    pub tenant_id: String,
    /// As written. Unique in the tenant by [`name_key`].
    pub name: String,
    pub display_name: String,
    pub email: Option<String>,
    /// An argon2id PHC string. `None`: cannot sign in with a password.
    pub password_hash: Option<String>,
    /// The password was set by somebody else and must be changed first.
    pub must_change_password: bool,
    /// The password was generated at the first start and is repeated in `connect.json`.
    pub bootstrap_password: bool,
    /// The sealed key of the authenticator app; `None` without a second factor.
    pub totp: Option<String>,
    /// A sealed key that is not confirmed yet.
    pub totp_pending: Option<String>,
    /// The time step of the last accepted code.
    pub totp_step: i64,
    /// Hashes of unused recovery codes.
    pub recovery_codes: Vec<String>,
    pub disabled: bool,
    pub created: Timestamp,
    /// When a credential or attribute last changed.
    pub changed: Timestamp,
    pub last_sign_in: Option<Timestamp>,
}

/// Without credentials.
impl std::fmt::Debug for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Account")
            .field("object_id", &self.object_id)
            .field("name", &self.name)
            .field("disabled", &self.disabled)
            .finish_non_exhaustive()
    }
}

/// The form by which names are compared: Unicode normalisation form KC of the full case folding, so that neither case nor the choice of
/// composed, full-width or compatibility characters makes another name.
pub fn name_key(name: &str) -> String {
    // Upper case first: `ß` and `SS` have the same upper case, and all forms of sigma have one.
    let folded: String = name.trim().nfkc().flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect();
    folded.nfkc().collect()
}

/// Reads accounts.
pub struct Accounts<'s> {
    pub(crate) store: &'s Store,
}

impl Accounts<'_> {
    pub async fn get(&self, object_id: &str) -> Result<Option<Account>, StoreError> {
        get(&mut *self.store.reader().await?, object_id).await
    }

    /// The account of that name in any spelling with the same [`name_key`].
    pub async fn by_name(&self, tenant_id: &str, name: &str) -> Result<Option<Account>, StoreError> {
        by_name(&mut *self.store.reader().await?, tenant_id, name).await
    }

    /// The accounts of all tenants, by name.
    pub async fn list(&self) -> Result<Vec<Account>, StoreError> {
        let mut connection = self.store.reader().await?;
        let rows = sqlx::query("SELECT * FROM accounts ORDER BY name_key, object_id").fetch_all(&mut *connection).await?;
        rows.iter().map(read).collect()
    }
}

impl Change {
    pub async fn account(&mut self, object_id: &str) -> Result<Option<Account>, StoreError> {
        get(self.connection(), object_id).await
    }

    pub async fn account_by_name(&mut self, tenant_id: &str, name: &str) -> Result<Option<Account>, StoreError> {
        by_name(self.connection(), tenant_id, name).await
    }

    pub async fn count_accounts(&mut self) -> Result<usize, StoreError> {
        let count: i64 = sqlx::query_scalar("SELECT count(*) FROM accounts").fetch_one(self.connection()).await?;
        Ok(usize::try_from(count).unwrap_or(0))
    }

    /// Adds or replaces the account. Its name must not belong to another account of the tenant.
    pub async fn put_account(&mut self, account: &Account) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO accounts (object_id, tenant_id, name, name_key, display_name, email, password_hash, must_change_password, \
             bootstrap_password, totp, totp_pending, totp_step, recovery_codes, disabled, created, changed, last_sign_in) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) \
             ON CONFLICT (object_id) DO UPDATE SET name = excluded.name, name_key = excluded.name_key, \
             display_name = excluded.display_name, email = excluded.email, password_hash = excluded.password_hash, \
             must_change_password = excluded.must_change_password, bootstrap_password = excluded.bootstrap_password, \
             totp = excluded.totp, totp_pending = excluded.totp_pending, totp_step = excluded.totp_step, \
             recovery_codes = excluded.recovery_codes, disabled = excluded.disabled, changed = excluded.changed, \
             last_sign_in = excluded.last_sign_in",
        )
        .bind(&account.object_id)
        .bind(&account.tenant_id)
        .bind(&account.name)
        .bind(name_key(&account.name))
        .bind(&account.display_name)
        .bind(&account.email)
        .bind(&account.password_hash)
        .bind(account.must_change_password)
        .bind(account.bootstrap_password)
        .bind(&account.totp)
        .bind(&account.totp_pending)
        .bind(account.totp_step)
        .bind(encode(AGGREGATE, &account.recovery_codes)?)
        .bind(account.disabled)
        .bind(account.created.ticks())
        .bind(account.changed.ticks())
        .bind(account.last_sign_in.map(Timestamp::ticks))
        .execute(self.connection())
        .await?;
        self.touch(Topic::Accounts);
        Ok(())
    }

    /// Removes the account with its sessions, memberships and role assignments. Returns false if there was none.
    pub async fn delete_account(&mut self, object_id: &str) -> Result<bool, StoreError> {
        for statement in [
            "DELETE FROM role_assignments WHERE principal_id = ?",
            "DELETE FROM group_members WHERE account_id = ?",
            "DELETE FROM sessions WHERE account_id = ?",
        ] {
            sqlx::query(statement).bind(object_id).execute(self.connection()).await?;
        }
        let done = sqlx::query("DELETE FROM accounts WHERE object_id = ?").bind(object_id).execute(self.connection()).await?;
        self.touch(Topic::Accounts);
        self.touch(Topic::RoleAssignments);
        Ok(done.rows_affected() == 1)
    }
}

async fn get(connection: &mut SqliteConnection, object_id: &str) -> Result<Option<Account>, StoreError> {
    let row = sqlx::query("SELECT * FROM accounts WHERE object_id = ?").bind(object_id).fetch_optional(connection).await?;
    row.map(|row| read(&row)).transpose()
}

async fn by_name(connection: &mut SqliteConnection, tenant_id: &str, name: &str) -> Result<Option<Account>, StoreError> {
    let row = sqlx::query("SELECT * FROM accounts WHERE tenant_id = ? AND name_key = ?")
        .bind(tenant_id)
        .bind(name_key(name))
        .fetch_optional(connection)
        .await?;
    row.map(|row| read(&row)).transpose()
}

pub(crate) fn read(row: &sqlx::sqlite::SqliteRow) -> Result<Account, StoreError> {
    let (object_id, codes): (String, String) = (row.try_get("object_id")?, row.try_get("recovery_codes")?);
    Ok(Account {
        tenant_id: row.try_get("tenant_id")?,
        name: row.try_get("name")?,
        display_name: row.try_get("display_name")?,
        email: row.try_get("email")?,
        password_hash: row.try_get("password_hash")?,
        must_change_password: row.try_get("must_change_password")?,
        bootstrap_password: row.try_get("bootstrap_password")?,
        totp: row.try_get("totp")?,
        totp_pending: row.try_get("totp_pending")?,
        totp_step: row.try_get("totp_step")?,
        recovery_codes: decode(AGGREGATE, &object_id, &codes)?,
        disabled: row.try_get("disabled")?,
        created: Timestamp::clamp_ticks(row.try_get("created")?),
        changed: Timestamp::clamp_ticks(row.try_get("changed")?),
        last_sign_in: row.try_get::<Option<i64>, _>("last_sign_in")?.map(Timestamp::clamp_ticks),
        object_id,
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn account(object_id: &str, name: &str) -> Account {
        Account {
            object_id: object_id.to_owned(),
            tenant_id: "t".to_owned(),
            name: name.to_owned(),
            display_name: name.to_owned(),
            email: None,
            password_hash: None,
            must_change_password: false,
            bootstrap_password: false,
            totp: None,
            totp_pending: None,
            totp_step: 0,
            recovery_codes: vec!["a".to_owned()],
            disabled: false,
            created: Timestamp::UNIX_EPOCH,
            changed: Timestamp::UNIX_EPOCH,
            last_sign_in: None,
        }
    }

    #[test]
    fn spellings_of_a_name_have_one_key() {
        // Unicode Standard Annex 15: composed and decomposed é, full-width letters; Unicode case folding: ß and SS, the three sigmas.
        for (one, other) in [
            ("Ann", "aNN "),
            ("caf\u{e9}", "CAFE\u{301}"),
            ("\u{ff41}nn", "Ann"),
            ("stra\u{df}e", "STRASSE"),
            ("\u{3c3}\u{3c2}", "\u{3a3}\u{3a3}"),
            ("\u{fb01}n", "FIN"),
        ] {
            assert_eq!(name_key(one), name_key(other), "{one} {other}");
        }
        assert_ne!(name_key("ann"), name_key("anna"));
    }

    #[tokio::test]
    async fn an_account_reads_back_and_its_name_is_unique_in_its_tenant() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("state.db")).await.unwrap();
        let mut change = store.begin().await.unwrap();
        let full = Account {
            email: Some("ann@example.com".to_owned()),
            password_hash: Some("$argon2id$".to_owned()),
            totp: Some("sealed".to_owned()),
            totp_step: 7,
            last_sign_in: Some(Timestamp::UNIX_EPOCH),
            must_change_password: true,
            ..account("1", "Ann")
        };
        change.put_account(&full).await.unwrap();
        assert!(change.put_account(&account("2", "aNN")).await.is_err());
        change.put_account(&Account { tenant_id: "other".to_owned(), ..account("3", "ANN") }).await.unwrap();
        change.commit().await.unwrap();
        assert_eq!(store.accounts().by_name("t", "\u{ff21}nn").await.unwrap(), Some(full.clone()));
        assert_eq!(store.accounts().get("1").await.unwrap(), Some(full));
        let mut change = store.begin().await.unwrap();
        assert!(change.delete_account("1").await.unwrap() && !change.delete_account("1").await.unwrap());
        assert_eq!(change.count_accounts().await.unwrap(), 1);
    }
}
