//! What a channel is. Each is one file in `channels/` and one line in its table.

use std::sync::Arc;

use async_trait::async_trait;
use model::{Clock, Http, Secrets, Span};
use schemars::Schema;
use serde_json::Value;

use crate::message::Message;

/// A kind of channel, before it is set up.
pub struct ChannelType {
    /// In contacts and configuration. Example: `email`.
    pub name: &'static str,
    pub summary: &'static str,
    /// What an address on it looks like, for forms and errors. Example: `ann@example.org`.
    pub address: &'static str,
    /// Whether an address is a secret, and therefore stands by reference in contacts.
    pub secret_address: bool,
    /// Whether the provider honours our key, so that sending twice reaches the person once.
    pub idempotent: bool,
    /// The shape of its settings under `oncall.channels.<name>`.
    pub settings: fn() -> Schema,
    /// Refuses an address that cannot be right, and says why.
    pub check_address: fn(&str) -> Result<(), String>,
    pub build: fn(Value, &Ports) -> Result<Box<dyn Channel>, SettingsError>,
}

/// What channels may use of the world.
#[derive(Clone)]
pub struct Ports {
    pub http: Arc<dyn Http>,
    pub clock: Arc<dyn Clock>,
    pub secrets: Arc<dyn Secrets>,
}

/// Why settings are refused.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    #[error("`{field}`: {reason}")]
    Field { field: String, reason: String },
    #[error("`{field}`")]
    Secret {
        field: &'static str,
        #[source]
        cause: model::SecretError,
    },
}

/// A channel, ready to send.
#[async_trait]
pub trait Channel: Send + Sync {
    /// Sends once. Returns when the provider has taken it; tries nothing again by itself.
    async fn send(&self, message: &Message) -> Result<Receipt, SendError>;

    /// Whether sending twice under one key reaches the person once, where that depends on the settings; none: as the type says.
    fn idempotent(&self) -> Option<bool> {
        None
    }
}

/// What the provider said when it took a message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// The provider's name for it, by which later news (delivered, failed) arrive.
    pub provider_id: Option<String>,
    /// The provider says that it reached the device already.
    pub delivered: bool,
}

/// Why a message was not taken, as far as we know.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// It was certainly not sent, and will not be if tried again: a wrong address, a refused key.
    #[error("{reason}")]
    Refused { reason: String },
    /// It was certainly not sent; trying again may help.
    #[error("{reason}")]
    Later { reason: String, after: Option<Span> },
    /// It may have been sent: the answer was lost.
    #[error("{reason}")]
    Ambiguous { reason: String },
}
