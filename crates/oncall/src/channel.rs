//! The channel interface. Each channel is one file in `channels/` and one line in its table.

use std::sync::Arc;

use async_trait::async_trait;
use model::{Clock, Http, Secrets, Span};
use schemars::Schema;
use serde_json::Value;

use crate::message::Message;

/// A channel type and its metadata.
pub struct ChannelType {
    /// Name in contacts and configuration. Example: `email`.
    pub name: &'static str,
    pub summary: &'static str,
    /// Example address, for forms and errors. Example: `ann@example.org`.
    pub address: &'static str,
    /// Whether addresses are secrets, and therefore given by reference in contacts.
    pub secret_address: bool,
    /// Whether the provider honours our idempotency key, so that a message sent twice is delivered once.
    pub idempotent: bool,
    /// JSON schema of its settings under `oncall.channels.<name>`.
    pub settings: fn() -> Schema,
    /// Rejects an invalid address with a reason.
    pub check_address: fn(&str) -> Result<(), String>,
    pub build: fn(Value, &Ports) -> Result<Box<dyn Channel>, SettingsError>,
}

/// Ports available to channels.
#[derive(Clone)]
pub struct Ports {
    pub http: Arc<dyn Http>,
    pub clock: Arc<dyn Clock>,
    pub secrets: Arc<dyn Secrets>,
}

/// Why settings are rejected.
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

/// A configured channel.
#[async_trait]
pub trait Channel: Send + Sync {
    /// Sends once, without retries. Returns when the provider has accepted the message.
    async fn send(&self, message: &Message) -> Result<Receipt, SendError>;

    /// Whether the receiver honours idempotency keys, if that depends on the settings; `None`: as the type says.
    fn idempotent(&self) -> Option<bool> {
        None
    }
}

/// The provider's response to an accepted message.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// The provider's id of the message, used in delivery receipts.
    pub provider_id: Option<String>,
    /// The provider reports that it was already delivered to the device.
    pub delivered: bool,
}

/// Why a message was not accepted, as far as known.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Certainly not sent, and a retry would fail too: an invalid address, a rejected key.
    #[error("{reason}")]
    Refused { reason: String },
    /// Certainly not sent; a retry may succeed.
    #[error("{reason}")]
    Later { reason: String, after: Option<Span> },
    /// Possibly sent: the response was lost.
    #[error("{reason}")]
    Ambiguous { reason: String },
}
