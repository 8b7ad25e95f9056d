//! Client assertions in use, so that a captured one is refused. Survives restarts; rows go when the assertion expires.

use model::Timestamp;
use sqlx::Row;

use crate::Change;
use crate::error::StoreError;

/// The first use of an assertion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientAssertion {
    /// SHA-256 of the application's id and the `jti`.
    pub id: String,
    /// SHA-256 of the whole assertion.
    pub digest: String,
    /// The address it came from.
    pub address: String,
    pub expires: Timestamp,
}

/// How an assertion relates to its first use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssertionUse {
    First,
    /// The same assertion from the same address: stock clients reuse one until it expires.
    Again,
    /// The same assertion from another address.
    Elsewhere,
    /// Another assertion with the same `jti`.
    Different,
}

impl Change {
    /// Records the assertion unless it is known, and compares it with its first use. Deletes what expired before `now`.
    pub async fn use_client_assertion(&mut self, assertion: &ClientAssertion, now: Timestamp) -> Result<AssertionUse, StoreError> {
        sqlx::query("DELETE FROM client_assertions WHERE expires < ?").bind(now.ticks()).execute(self.connection()).await?;
        let known = sqlx::query("SELECT digest, address FROM client_assertions WHERE id = ?")
            .bind(&assertion.id)
            .fetch_optional(self.connection())
            .await?;
        if let Some(row) = known {
            let (digest, address): (String, String) = (row.try_get("digest")?, row.try_get("address")?);
            return Ok(match () {
                () if digest != assertion.digest => AssertionUse::Different,
                () if address != assertion.address => AssertionUse::Elsewhere,
                () => AssertionUse::Again,
            });
        }
        sqlx::query("INSERT INTO client_assertions (id, digest, address, expires) VALUES (?, ?, ?, ?)")
            .bind(&assertion.id)
            .bind(&assertion.digest)
            .bind(&assertion.address)
            .bind(assertion.expires.ticks())
            .execute(self.connection())
            .await?;
        Ok(AssertionUse::First)
    }
}
