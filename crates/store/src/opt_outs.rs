//! Addresses whose users opted out of messages.

use model::Timestamp;

use crate::error::StoreError;
use crate::{Change, Store};

/// Reads opt-outs.
pub struct OptOuts<'s> {
    pub(crate) store: &'s Store,
}

impl OptOuts<'_> {
    /// When an address opted out. `None` if it did not.
    pub async fn since(&self, channel: &str, address: &str) -> Result<Option<Timestamp>, StoreError> {
        let mut connection = self.store.reader().await?;
        let since: Option<i64> = sqlx::query_scalar("SELECT since FROM oncall_opt_outs WHERE channel = ? AND address = ?")
            .bind(channel)
            .bind(address)
            .fetch_optional(&mut *connection)
            .await?;
        Ok(since.map(Timestamp::clamp_ticks))
    }
}

impl Change {
    /// Records an opt-out.
    pub async fn opt_out(&mut self, channel: &str, address: &str, now: Timestamp) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO oncall_opt_outs (channel, address, since) VALUES (?, ?, ?) ON CONFLICT (channel, address) DO NOTHING")
            .bind(channel)
            .bind(address)
            .bind(now.ticks())
            .execute(self.connection())
            .await?;
        Ok(())
    }

    /// Records an opt-in.
    pub async fn opt_in(&mut self, channel: &str, address: &str) -> Result<(), StoreError> {
        sqlx::query("DELETE FROM oncall_opt_outs WHERE channel = ? AND address = ?")
            .bind(channel)
            .bind(address)
            .execute(self.connection())
            .await?;
        Ok(())
    }
}
