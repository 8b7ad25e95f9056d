//! Answers that come in from outside: mail, text messages, pressed digits, and providers' news about what became of a message.
//!
//! Reading is pure ([`reply`], [`command`], [`mail::read`], [`phone`]); [`receiver`] speaks SMTP and [`mail::Judge`] acts.

mod attempts;
mod book;
pub mod command;
mod inbox;
pub mod mail;
pub mod phone;
pub mod receiver;
pub mod reply;

pub use attempts::{Allowed, Attempts};
pub use book::StoreBook;
pub use inbox::{Inbox, PhoneError, Request};

use async_trait::async_trait;
use store::StoreError;
use uuid::Uuid;

/// To whom a page went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentTo {
    /// Name in the directory.
    pub user: String,
    pub channel: String,
    pub address: String,
    /// Of the page; empty where it is about a contact.
    pub reply_code: String,
}

/// What a provider says became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// It reached the device.
    Delivered,
    /// It will not.
    Failed { reason: String },
}

/// What must be known to judge an answer from outside; implemented over the store.
#[async_trait]
pub trait Book: Send + Sync {
    /// None: there is no such page.
    async fn page(&self, id: Uuid) -> Result<Option<SentTo>, StoreError>;

    /// The user who has this address (in any case of letters) as a contact on this channel, with the address as it stands there.
    async fn holder(&self, channel: &str, address: &str) -> Result<Option<SentTo>, StoreError>;

    /// Notes that an address takes no more messages of the channel, or takes them again.
    async fn opted(&self, channel: &str, address: &str, out: bool) -> Result<(), StoreError>;

    /// Notes what became of a page. News that come late or twice change nothing.
    async fn news(&self, page: Uuid, news: News) -> Result<(), StoreError>;
}
