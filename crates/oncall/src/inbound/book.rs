//! [`Book`] over the store.

use async_trait::async_trait;
use model::{Clock, Timestamp};
use std::sync::Arc;
use store::{Store, StoreError};
use uuid::Uuid;

use super::{Book, News, SentTo};
use crate::directory::User;
use crate::escalation::{Page, PageStatus};

/// Pages and users as the store holds them.
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
        Ok(Some(SentTo { user: page.user, channel: page.channel, address: page.address }))
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
                return Ok(Some(SentTo { user: object.name, channel: contact.channel, address: contact.address }));
            }
        }
        Ok(None)
    }

    async fn news(&self, page: Uuid, news: News) -> Result<(), StoreError> {
        let mut change = self.store.begin().await?;
        let Some(mut row) = change.page(page).await? else { return Ok(()) };
        let mut page: Page = read("page", row.id.to_string(), row.body)?;
        let Some(status) = after(&page.status, &news, self.clock.now()) else { return Ok(()) };
        row.status = match status {
            PageStatus::Failed { .. } => "failed",
            _ => "delivered",
        }
        .to_owned();
        page.status = status;
        row.body = serde_json::to_value(&page).map_err(|cause| StoreError::Encode { aggregate: "page", cause })?;
        change.update_page(&row).await?;
        change.commit().await
    }
}

/// Where a page stands after the news; none: they change nothing. What was seen stays seen, and what failed was said to have failed by
/// the same provider.
fn after(status: &PageStatus, news: &News, now: Timestamp) -> Option<PageStatus> {
    let provider_id = match status {
        PageStatus::Sent { provider_id, .. } => provider_id.clone(),
        // The news of a message whose answer was lost settle the doubt; they may even overtake the answer.
        PageStatus::Doubtful { .. } => None,
        _ => return None,
    };
    Some(match news {
        News::Delivered => PageStatus::Delivered { at: now, provider_id },
        News::Failed { reason } => PageStatus::Failed { at: now, reason: reason.clone() },
    })
}

fn read<T: serde::de::DeserializeOwned>(aggregate: &'static str, id: String, body: serde_json::Value) -> Result<T, StoreError> {
    serde_json::from_value(body).map_err(|cause| StoreError::Corrupt { aggregate, id, cause })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn news_that_come_late_or_twice_change_nothing() {
        let now = Timestamp::UNIX_EPOCH;
        let failed = News::Failed { reason: "x".to_owned() };
        let sent = PageStatus::Sent { at: now, provider_id: Some("SM1".to_owned()) };
        let delivered = PageStatus::Delivered { at: now, provider_id: Some("SM1".to_owned()) };
        assert_eq!(after(&sent, &News::Delivered, now), Some(delivered.clone()));
        assert_eq!(after(&sent, &failed, now), Some(PageStatus::Failed { at: now, reason: "x".to_owned() }));
        for settled in [delivered, PageStatus::Seen { at: now }, PageStatus::Failed { at: now, reason: String::new() }] {
            assert_eq!(after(&settled, &News::Delivered, now), None);
            assert_eq!(after(&settled, &failed, now), None);
        }
        assert!(after(&PageStatus::Doubtful { at: now, reason: String::new() }, &News::Delivered, now).is_some());
    }
}
