//! Inbound answers: mail, text messages, pressed digits, and providers' delivery receipts.
//!
//! Parsing is pure ([`reply`], [`command`], [`mail::read`], [`phone`]); [`receiver`] implements SMTP and [`mail::Judge`] applies answers.

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

/// The recipient of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SentTo {
    /// Name in the directory.
    pub user: String,
    pub channel: String,
    pub address: String,
    /// Of the page; empty if the lookup was for a contact.
    pub reply_code: String,
}

/// A delivery receipt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// Delivered to the device.
    Delivered,
    /// Not delivered.
    Failed { reason: String },
}

/// Lookups needed to authenticate inbound answers; implemented by the store.
#[async_trait]
pub trait Book: Send + Sync {
    /// `None` if the page does not exist.
    async fn page(&self, id: Uuid) -> Result<Option<SentTo>, StoreError>;

    /// The user with this address (case-insensitive) as a contact on this channel, and the address as configured.
    async fn holder(&self, channel: &str, address: &str) -> Result<Option<SentTo>, StoreError>;

    /// Records that an address opted out of or back into a channel.
    async fn opted(&self, channel: &str, address: &str, out: bool) -> Result<(), StoreError>;

    /// Records a delivery receipt. Late or repeated receipts change nothing.
    async fn news(&self, page: Uuid, news: News) -> Result<(), StoreError>;
}
