//! Voice calls through Twilio's `Calls` resource (<https://www.twilio.com/docs/voice/api/call-resource#create-a-call-resource>).
//!
//! The spoken text is in the request itself (`Twiml`), so that a call works even if the service is unreachable; pressed digits are posted
//! to our signed callback, which [`crate::inbound::phone`] parses.

use async_trait::async_trait;
use schemars::schema_for;
use serde_json::Value;

use super::twilio::{self, Account, Settings};
use crate::channel::{Channel, ChannelType, Ports, Receipt, SendError, SettingsError};
use crate::inbound::phone;
use crate::message::{Message, MessageKind};

pub static CHANNEL: ChannelType = ChannelType {
    name: "voice",
    summary: "calls through Twilio or a provider that speaks its API",
    address: "+4790000001",
    secret_address: false,
    idempotent: false,
    settings: || schema_for!(Settings),
    check_address: twilio::check_number,
    build,
};

fn build(settings: Value, ports: &Ports) -> Result<Box<dyn Channel>, SettingsError> {
    Ok(Box::new(Voice(Account::new(super::settings(settings)?, ports)?)))
}

struct Voice(Account);

#[async_trait]
impl Channel for Voice {
    async fn send(&self, message: &Message) -> Result<Receipt, SendError> {
        twilio::check_number(&message.address).map_err(|reason| SendError::Refused { reason })?;
        let digits = self.0.callback("voice", message.key).filter(|_| message.kind == MessageKind::Page);
        let twiml = phone::call(&message.short, digits.as_deref());
        let status = self.0.callback("status", message.key);
        let mut form = vec![("To", message.address.as_str()), ("From", self.0.from.as_str()), ("Twiml", twiml.as_str())];
        if let Some(status) = &status {
            form.push(("StatusCallback", status));
        }
        self.0.create("Calls.json", &form).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::json;

    use super::super::twilio::tests::{Recorder, form, ports};
    use super::*;

    #[tokio::test]
    async fn a_call_brings_its_words_along_and_says_where_digits_go() {
        let recorder = Arc::new(Recorder { requests: Mutex::default(), status: 201, body: r#"{"sid": "CA123"}"# });
        let settings =
            json!({ "account_sid": "AC1", "auth_token": "env:T", "from": "+4759440000", "public_url": "https://soc.example.org" });
        let channel = build(settings, &ports(recorder.clone())).unwrap();
        let mut message = crate::channels::email::message_for_tests();
        message.address = "+4790000001".to_owned();
        channel.send(&message).await.unwrap();
        let requests = recorder.requests.lock().unwrap();
        let form = form(&requests[0]);
        assert_eq!(requests[0].url, "https://api.twilio.com/2010-04-01/Accounts/AC1/Calls.json");
        let twiml = &form.iter().find(|(name, _)| name == "Twiml").unwrap().1;
        let action = format!("action=\"https://soc.example.org/api/v1/oncall/inbound/voice?page={}\"", message.key);
        assert!(twiml.contains(&action), "{twiml}");
        // The documented limit of the parameter.
        assert!(twiml.len() <= 4000, "{}", twiml.len());
    }
}
