//! SMS through Twilio's `Messages` resource (<https://www.twilio.com/docs/messaging/api/message-resource#create-a-message-resource>).

use async_trait::async_trait;
use schemars::schema_for;
use serde_json::Value;

use super::twilio::{self, Account, MAX_SMS, Settings};
use crate::channel::{Channel, ChannelType, Ports, Receipt, SendError, SettingsError};
use crate::message::Message;

pub static CHANNEL: ChannelType = ChannelType {
    name: "sms",
    summary: "text messages through Twilio or a provider that speaks its API",
    address: "+4790000001",
    secret_address: false,
    idempotent: false,
    settings: || schema_for!(Settings),
    check_address: twilio::check_number,
    build,
};

fn build(settings: Value, ports: &Ports) -> Result<Box<dyn Channel>, SettingsError> {
    Ok(Box::new(Sms(Account::new(super::settings(settings)?, ports)?)))
}

struct Sms(Account);

#[async_trait]
impl Channel for Sms {
    async fn send(&self, message: &Message) -> Result<Receipt, SendError> {
        twilio::check_number(&message.address).map_err(|reason| SendError::Refused { reason })?;
        let body = text(&message.short);
        let callback = self.0.callback("status", message.key);
        let mut form = vec![("To", message.address.as_str()), ("From", self.0.from.as_str()), ("Body", body.as_str())];
        if let Some(callback) = &callback {
            form.push(("StatusCallback", callback));
        }
        self.0.create("Messages.json", &form).await
    }
}

/// The text of a message: typographic characters are mapped to the GSM alphabet (3GPP TS 23.038), because a single other character more
/// than halves the capacity of a segment; unsupported characters are dropped.
fn text(short: &str) -> String {
    let mut text = String::new();
    for c in short.trim().chars() {
        match c {
            '\u{2018}' | '\u{2019}' | '\u{201a}' | '`' | '\u{b4}' => text.push('\''),
            '\u{201c}' | '\u{201d}' | '\u{201e}' | '\u{ab}' | '\u{bb}' => text.push('"'),
            '\u{2010}'..='\u{2015}' | '\u{2212}' => text.push('-'),
            '\u{2026}' => text.push_str("..."),
            '\u{a0}' | '\u{202f}' | '\u{2009}' | '\t' => text.push(' '),
            '\u{2022}' | '\u{b7}' => text.push('*'),
            '\u{2192}' => text.push_str("->"),
            '\n' => text.push('\n'),
            c if c.is_control() => {}
            c => text.push(c),
        }
    }
    if text.chars().count() > MAX_SMS {
        text = text.chars().take(MAX_SMS - 3).collect();
        text = format!("{}...", text.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use serde_json::json;

    use super::super::twilio::tests::{Recorder, form, ports};
    use super::*;

    #[test]
    fn texts_stay_in_the_alphabet_that_fits_most() {
        assert_eq!(text("High – “leak”… 4821’s"), "High - \"leak\"... 4821's");
        assert_eq!(text("blåbærøl"), "blåbærøl");
        assert_eq!(text(&"x".repeat(1000)).len(), MAX_SMS);
        assert_eq!(text("a\u{0}b\u{1b}c"), "abc");
    }

    /// The expected request is from Twilio's documentation of the resource.
    #[tokio::test]
    async fn a_text_message_is_one_signed_in_form() {
        let recorder = Arc::new(Recorder { requests: Mutex::default(), status: 201, body: r#"{"sid": "SM123", "status": "queued"}"# });
        let settings =
            json!({ "account_sid": "AC1", "auth_token": "env:T", "from": "+4759440000", "public_url": "https://soc.example.org/x" });
        let channel = build(settings, &ports(recorder.clone())).unwrap();
        let mut message = crate::channels::email::message_for_tests();
        message.address = "+4790000001".to_owned();
        let receipt = channel.send(&message).await.unwrap();
        assert_eq!(receipt, Receipt { provider_id: Some("SM123".to_owned()), delivered: false });
        let requests = recorder.requests.lock().unwrap();
        assert_eq!(requests[0].url, "https://api.twilio.com/2010-04-01/Accounts/AC1/Messages.json");
        // base64 of `AC1:12345`, computed with coreutils.
        assert_eq!(requests[0].headers["authorization"], "Basic QUMxOjEyMzQ1");
        let callback = format!("https://soc.example.org/x/api/v1/oncall/inbound/status?page={}", message.key);
        let expected = [("To", "+4790000001"), ("From", "+4759440000"), ("Body", "High: password leaked"), ("StatusCallback", &callback)];
        assert_eq!(form(&requests[0]), expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
    }
}
