//! [`Book`] implemented by the store.

use async_trait::async_trait;
use model::{Actor, Clock};
use std::sync::Arc;
use store::{AuditEntry, Store, StoreError};
use uuid::Uuid;

use super::{Book, News, SentTo};
use crate::directory::User;
use crate::escalation::Page;

/// Looks up pages and users in the store.
pub struct StoreBook {
    store: Store,
    clock: Arc<dyn Clock>,
}

impl StoreBook {
    pub fn new(store: Store, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock }
    }
}

#[async_trait]
impl Book for StoreBook {
    async fn page(&self, id: Uuid) -> Result<Option<SentTo>, StoreError> {
        let Some(row) = self.store.pages().get(id).await? else { return Ok(None) };
        let page: Page = read("page", row.id.to_string(), row.body)?;
        Ok(Some(SentTo { user: page.user, channel: page.channel, address: page.address, reply_code: page.reply_code }))
    }

    async fn holder(&self, channel: &str, address: &str) -> Result<Option<SentTo>, StoreError> {
        for object in self.store.oncall_objects().list().await? {
            if object.kind != "users" {
                continue;
            }
            let user: User = read("user", object.name.clone(), object.body)?;
            let contact =
                user.contacts.into_values().find(|contact| contact.channel == channel && contact.address.eq_ignore_ascii_case(address));
            if let Some(contact) = contact {
                return Ok(Some(SentTo {
                    user: object.name,
                    channel: contact.channel,
                    address: contact.address,
                    reply_code: String::new(),
                }));
            }
        }
        Ok(None)
    }

    async fn opted(&self, channel: &str, address: &str, out: bool) -> Result<(), StoreError> {
        let mut change = self.store.begin().await?;
        let now = self.clock.now();
        if out {
            change.opt_out(channel, address, now).await?;
        } else {
            change.opt_in(channel, address).await?;
        }
        let entry = AuditEntry {
            at: now,
            aggregate: "opt-out".to_owned(),
            id: format!("{channel}/{address}"),
            action: if out { "created" } else { "deleted" }.to_owned(),
            // The holder of the address, who is proved by the provider's signature.
            actor: Actor { via: format!("oncall/{channel}"), ..Actor::task(address) },
            changes: serde_json::json!({ "optedOut": [!out, out] }),
        };
        change.record(&entry).await?;
        change.commit().await
    }

    async fn news(&self, page: Uuid, news: News) -> Result<(), StoreError> {
        let mut change = self.store.begin().await?;
        crate::sending::receive(&mut change, page, &news, self.clock.now()).await?;
        change.commit().await
    }
}

fn read<T: serde::de::DeserializeOwned>(aggregate: &'static str, id: String, body: serde_json::Value) -> Result<T, StoreError> {
    serde_json::from_value(body).map_err(|cause| StoreError::Corrupt { aggregate, id, cause })
}
