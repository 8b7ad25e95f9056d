//! Sessions of people.

use model::Timestamp;
use sqlx::{Row, SqliteConnection};

use crate::accounts::{self, Account};
use crate::error::StoreError;
use crate::{Change, Store};

/// A session. Its secret is not stored, only the secret's hash.
#[derive(Clone, Debug, PartialEq)]
pub struct Session {
    /// Names the session without opening it.
    pub id: String,
    /// SHA-256 of the secret in the cookie.
    pub secret_hash: String,
    pub account_id: String,
    pub created: Timestamp,
    pub last_seen: Timestamp,
    /// Absolute end, regardless of use.
    pub expires: Timestamp,
    /// Network address at sign-in.
    pub address: String,
    pub user_agent: String,
    /// Whether a second factor was given.
    pub second_factor: bool,
    pub revoked: Option<Timestamp>,
}

/// Reads sessions.
pub struct Sessions<'s> {
    pub(crate) store: &'s Store,
}

impl Sessions<'_> {
    /// The session with that secret and its account.
    pub async fn by_secret(&self, secret_hash: &str) -> Result<Option<(Session, Account)>, StoreError> {
        let mut connection = self.store.reader().await?;
        let row = sqlx::query("SELECT * FROM sessions WHERE secret_hash = ?").bind(secret_hash).fetch_optional(&mut *connection).await?;
        let Some(session) = row.map(|row| read(&row)).transpose()? else { return Ok(None) };
        let row =
            sqlx::query("SELECT * FROM accounts WHERE object_id = ?").bind(&session.account_id).fetch_optional(&mut *connection).await?;
        Ok(row.map(|row| accounts::read(&row)).transpose()?.map(|account| (session, account)))
    }

    /// Sessions of an account that are neither revoked nor past their end, newest first.
    pub async fn of(&self, account_id: &str, now: Timestamp) -> Result<Vec<Session>, StoreError> {
        open(&mut *self.store.reader().await?, account_id, now).await
    }
}

impl Change {
    /// Adds a session.
    pub async fn add_session(&mut self, session: &Session) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO sessions (id, secret_hash, account_id, created, last_seen, expires, address, user_agent, second_factor, revoked) \
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(&session.id)
        .bind(&session.secret_hash)
        .bind(&session.account_id)
        .bind(session.created.ticks())
        .bind(session.last_seen.ticks())
        .bind(session.expires.ticks())
        .bind(&session.address)
        .bind(&session.user_agent)
        .bind(session.second_factor)
        .bind(session.revoked.map(Timestamp::ticks))
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Sessions of an account that are neither revoked nor past their end, newest first.
    pub async fn open_sessions(&mut self, account_id: &str, now: Timestamp) -> Result<Vec<Session>, StoreError> {
        open(self.connection(), account_id, now).await
    }

    /// Records that the session was used.
    pub async fn touch_session(&mut self, id: &str, now: Timestamp) -> Result<(), StoreError> {
        let update = sqlx::query("UPDATE sessions SET last_seen = max(last_seen, ?) WHERE id = ? AND revoked IS NULL");
        update.bind(now.ticks()).bind(id).execute(self.connection()).await?;
        Ok(())
    }

    /// Replaces the secret of a session. Returns false if there is no such session or it is revoked.
    pub async fn rotate_session(&mut self, id: &str, secret_hash: &str, second_factor: bool) -> Result<bool, StoreError> {
        let done = sqlx::query("UPDATE sessions SET secret_hash = ?, second_factor = ? WHERE id = ? AND revoked IS NULL")
            .bind(secret_hash)
            .bind(second_factor)
            .bind(id)
            .execute(self.connection())
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Revokes one session of the account. Returns false if there was no such session, or it was revoked already.
    pub async fn revoke_session(&mut self, account_id: &str, id: &str, now: Timestamp) -> Result<bool, StoreError> {
        let done = sqlx::query("UPDATE sessions SET revoked = ? WHERE account_id = ? AND id = ? AND revoked IS NULL")
            .bind(now.ticks())
            .bind(account_id)
            .bind(id)
            .execute(self.connection())
            .await?;
        Ok(done.rows_affected() == 1)
    }

    /// Revokes all sessions of the account except `keep`. Returns how many.
    pub async fn revoke_sessions(&mut self, account_id: &str, keep: Option<&str>, now: Timestamp) -> Result<u64, StoreError> {
        let done = sqlx::query("UPDATE sessions SET revoked = ? WHERE account_id = ? AND id <> ? AND revoked IS NULL")
            .bind(now.ticks())
            .bind(account_id)
            .bind(keep.unwrap_or_default())
            .execute(self.connection())
            .await?;
        Ok(done.rows_affected())
    }

    /// Removes sessions that ended before `before`.
    pub async fn prune_sessions(&mut self, before: Timestamp) -> Result<(), StoreError> {
        let delete = sqlx::query("DELETE FROM sessions WHERE expires < ? OR revoked < ?");
        delete.bind(before.ticks()).bind(before.ticks()).execute(self.connection()).await?;
        Ok(())
    }
}

async fn open(connection: &mut SqliteConnection, account_id: &str, now: Timestamp) -> Result<Vec<Session>, StoreError> {
    let rows = sqlx::query("SELECT * FROM sessions WHERE account_id = ? AND revoked IS NULL AND expires > ? ORDER BY created DESC, id")
        .bind(account_id)
        .bind(now.ticks())
        .fetch_all(connection)
        .await?;
    rows.iter().map(read).collect()
}

fn read(row: &sqlx::sqlite::SqliteRow) -> Result<Session, StoreError> {
    Ok(Session {
        id: row.try_get("id")?,
        secret_hash: row.try_get("secret_hash")?,
        account_id: row.try_get("account_id")?,
        created: Timestamp::clamp_ticks(row.try_get("created")?),
        last_seen: Timestamp::clamp_ticks(row.try_get("last_seen")?),
        expires: Timestamp::clamp_ticks(row.try_get("expires")?),
        address: row.try_get("address")?,
        user_agent: row.try_get("user_agent")?,
        second_factor: row.try_get("second_factor")?,
        revoked: row.try_get::<Option<i64>, _>("revoked")?.map(Timestamp::clamp_ticks),
    })
}

#[cfg(test)]
mod tests {
    use model::Span;

    use super::*;
    use crate::accounts::tests::account;

    #[tokio::test]
    async fn a_session_is_found_until_it_is_replaced_revoked_or_over() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("state.db")).await.unwrap();
        let now = Timestamp::UNIX_EPOCH + Span::DAY;
        let session = |id: &str| Session {
            id: id.to_owned(),
            secret_hash: format!("hash of {id}"),
            account_id: "1".to_owned(),
            created: now,
            last_seen: now,
            expires: now + Span::HOUR,
            address: "192.0.2.1".to_owned(),
            user_agent: "curl".to_owned(),
            second_factor: false,
            revoked: None,
        };
        let mut change = store.begin().await.unwrap();
        change.put_account(&account("1", "ann")).await.unwrap();
        for id in ["a", "b", "c"] {
            change.add_session(&session(id)).await.unwrap();
        }
        change.touch_session("a", now + Span::MINUTE).await.unwrap();
        assert!(change.rotate_session("a", "new", true).await.unwrap());
        assert!(change.revoke_session("1", "b", now).await.unwrap() && !change.revoke_session("1", "b", now).await.unwrap());
        assert!(!change.revoke_session("2", "a", now).await.unwrap(), "a session of somebody else");
        change.commit().await.unwrap();
        assert_eq!(store.sessions().by_secret("hash of a").await.unwrap(), None);
        let (found, owner) = store.sessions().by_secret("new").await.unwrap().unwrap();
        assert_eq!((found.last_seen, found.second_factor, owner.name.as_str()), (now + Span::MINUTE, true, "ann"));
        let ids = |all: Vec<Session>| all.into_iter().map(|each| each.id).collect::<Vec<_>>();
        assert_eq!(ids(store.sessions().of("1", now).await.unwrap()), ["a", "c"]);
        assert!(store.sessions().of("1", now + Span::HOUR).await.unwrap().is_empty());
        let mut change = store.begin().await.unwrap();
        assert_eq!(change.revoke_sessions("1", Some("c"), now).await.unwrap(), 1);
        assert_eq!(ids(change.open_sessions("1", now).await.unwrap()), ["c"]);
        change.prune_sessions(now + Span::MINUTE).await.unwrap();
        change.commit().await.unwrap();
        assert!(store.sessions().by_secret("hash of b").await.unwrap().is_none());
    }
}
