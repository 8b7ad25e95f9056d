//! Authorization codes, refresh tokens and device codes. Only hashes of their texts are stored, so that a copy of the database redeems nothing.
//!
//! Redeemed rows are kept until they expire: presenting one again is how theft is detected, and revokes the family.

use model::Timestamp;
use serde_json::Value;
use sqlx::{Row, SqliteConnection};

use crate::error::{StoreError, decode, encode};
use crate::{Change, Store};

const AGGREGATE: &str = "oauth grant";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantKind {
    AuthorizationCode,
    RefreshToken,
    DeviceCode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantState {
    /// May be redeemed.
    Live,
    /// Waits for a person (device codes).
    Pending,
    /// The person refused.
    Denied,
    Redeemed,
    /// One of its family was presented twice, or the person revoked it.
    Revoked,
}

/// A code or token.
#[derive(Clone, Debug, PartialEq)]
pub struct OAuthGrant {
    /// SHA-256 of the text, in hexadecimal.
    pub hash: String,
    pub kind: GrantKind,
    pub family: String,
    /// The client that it was issued to.
    pub app_id: String,
    pub state: GrantState,
    /// What it grants, to whom, and under which conditions.
    pub body: Value,
    pub expires: Timestamp,
}

/// Reads grants.
pub struct OAuthGrants<'s> {
    pub(crate) store: &'s Store,
}

impl OAuthGrants<'_> {
    pub async fn get(&self, hash: &str) -> Result<Option<OAuthGrant>, StoreError> {
        get(&mut *self.store.reader().await?, "hash", hash).await
    }

    /// The device code whose user code has this hash.
    pub async fn by_user_code(&self, hash: &str) -> Result<Option<OAuthGrant>, StoreError> {
        get(&mut *self.store.reader().await?, "family", hash).await
    }
}

impl Change {
    pub async fn oauth_grant(&mut self, hash: &str) -> Result<Option<OAuthGrant>, StoreError> {
        get(self.connection(), "hash", hash).await
    }

    /// Adds or replaces the grant.
    pub async fn put_oauth_grant(&mut self, grant: &OAuthGrant) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO oauth_grants (hash, kind, family, app_id, state, body, expires) VALUES (?, ?, ?, ?, ?, ?, ?) \
             ON CONFLICT (hash) DO UPDATE SET state = excluded.state, body = excluded.body, expires = excluded.expires",
        )
        .bind(&grant.hash)
        .bind(kind_name(grant.kind))
        .bind(&grant.family)
        .bind(&grant.app_id)
        .bind(state_name(grant.state))
        .bind(encode(AGGREGATE, &grant.body)?)
        .bind(grant.expires.ticks())
        .execute(self.connection())
        .await?;
        Ok(())
    }

    /// Revokes every code and token of the family; returns how many.
    pub async fn revoke_oauth_family(&mut self, family: &str) -> Result<u64, StoreError> {
        let done = sqlx::query("UPDATE oauth_grants SET state = ? WHERE family = ? AND state <> ?")
            .bind(state_name(GrantState::Revoked))
            .bind(family)
            .bind(state_name(GrantState::Revoked))
            .execute(self.connection())
            .await?;
        Ok(done.rows_affected())
    }

    /// Number of unexpired grants of a kind that an application has; a bound for what callers without a token can store.
    pub async fn count_oauth_grants(&mut self, kind: GrantKind, app_id: &str, state: GrantState) -> Result<u64, StoreError> {
        let count: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM oauth_grants WHERE kind = ? AND app_id = ? AND state = ?")
            .bind(kind_name(kind))
            .bind(app_id)
            .bind(state_name(state))
            .fetch_one(self.connection())
            .await?;
        Ok(count.unsigned_abs())
    }

    /// Deletes what expired before `now`.
    pub async fn delete_expired_oauth_grants(&mut self, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM oauth_grants WHERE expires < ?").bind(now.ticks()).execute(self.connection()).await?;
        Ok(())
    }
}

fn kind_name(kind: GrantKind) -> &'static str {
    match kind {
        GrantKind::AuthorizationCode => "code",
        GrantKind::RefreshToken => "refresh",
        GrantKind::DeviceCode => "device",
    }
}

fn state_name(state: GrantState) -> &'static str {
    match state {
        GrantState::Live => "live",
        GrantState::Pending => "pending",
        GrantState::Denied => "denied",
        GrantState::Redeemed => "redeemed",
        GrantState::Revoked => "revoked",
    }
}

async fn get(connection: &mut SqliteConnection, column: &str, value: &str) -> Result<Option<OAuthGrant>, StoreError> {
    let text = match column {
        "hash" => "SELECT * FROM oauth_grants WHERE hash = ?",
        _ => "SELECT * FROM oauth_grants WHERE kind = 'device' AND family = ? ORDER BY expires DESC LIMIT 1",
    };
    let Some(row) = sqlx::query(text).bind(value).fetch_optional(connection).await? else { return Ok(None) };
    let [hash, kind, state, body]: [String; 4] = [row.try_get("hash")?, row.try_get("kind")?, row.try_get("state")?, row.try_get("body")?];
    Ok(Some(OAuthGrant {
        body: decode(AGGREGATE, &hash, &body)?,
        hash,
        kind: match kind.as_str() {
            "code" => GrantKind::AuthorizationCode,
            "refresh" => GrantKind::RefreshToken,
            _ => GrantKind::DeviceCode,
        },
        family: row.try_get("family")?,
        app_id: row.try_get("app_id")?,
        // An unknown state grants nothing.
        state: match state.as_str() {
            "live" => GrantState::Live,
            "pending" => GrantState::Pending,
            "denied" => GrantState::Denied,
            "redeemed" => GrantState::Redeemed,
            _ => GrantState::Revoked,
        },
        expires: Timestamp::clamp_ticks(row.try_get("expires")?),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Span;
    use serde_json::json;

    #[tokio::test]
    async fn a_family_is_revoked_as_a_whole_and_expired_rows_go() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("state.db")).await.unwrap();
        let now = Timestamp::UNIX_EPOCH;
        let grant = |hash: &str, family: &str, expires: Timestamp| OAuthGrant {
            hash: hash.to_owned(),
            kind: GrantKind::RefreshToken,
            family: family.to_owned(),
            app_id: "app".to_owned(),
            state: GrantState::Live,
            body: json!({ "scopes": ["a"] }),
            expires,
        };
        let mut change = store.begin().await.unwrap();
        for (hash, family) in [("1", "f"), ("2", "f"), ("3", "g")] {
            change.put_oauth_grant(&grant(hash, family, now + Span::DAY)).await.unwrap();
        }
        change.put_oauth_grant(&grant("4", "h", now - Span::SECOND)).await.unwrap();
        change.delete_expired_oauth_grants(now).await.unwrap();
        assert_eq!(change.revoke_oauth_family("f").await.unwrap(), 2);
        change.commit().await.unwrap();
        let state = async |hash: &str| store.oauth_grants().get(hash).await.unwrap().map(|grant| grant.state);
        assert_eq!(state("2").await, Some(GrantState::Revoked));
        assert_eq!(state("3").await, Some(GrantState::Live));
        assert_eq!(state("4").await, None);
    }
}
