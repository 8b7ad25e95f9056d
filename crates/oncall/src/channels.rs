//! The channels. To add one, add a file here and a line below.

mod twilio;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::channel::{ChannelType, SettingsError};

pub(crate) use email::token_of_message_id;
pub(crate) use twilio::MAX_SMS;
pub use twilio::Settings as PhoneSettings;
pub use web_push::{generate_vapid_key, vapid_public_key};

model::register! { CHANNELS: ChannelType = CHANNEL;   // alphabetical
    email, ntfy, opsgenie, pagerduty, slack, sms, teams, voice, web_push, webhook,
}

/// The channel type with the given name.
pub fn find(name: &str) -> Option<&'static ChannelType> {
    CHANNELS.iter().copied().find(|channel| channel.name == name)
}

/// A channel's settings with values derived from the service's own: the callback URL for a telephone provider.
pub fn with_public_url(channel: &str, mut settings: Value, public_url: Option<&str>) -> Value {
    if let ("sms" | "voice", Some(url), Some(fields)) = (channel, public_url, settings.as_object_mut()) {
        fields.entry("public_url").or_insert_with(|| url.into());
    }
    settings
}

/// Parses a channel's settings; the error names the field.
pub(crate) fn settings<T: DeserializeOwned>(value: Value) -> Result<T, SettingsError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let field = error.path().to_string();
        let field = if field == "." { "settings".to_owned() } else { field };
        SettingsError::Field { field, reason: error.into_inner().to_string() }
    })
}

/// The JSON schema of a webhook's body, for the reference documentation and receivers.
pub fn webhook_schema() -> schemars::Schema {
    schemars::schema_for!(webhook::Payload)
}
