//! PagerDuty, through Events API v2.
//!
//! Wire: `POST /v2/enqueue` (<https://developer.pagerduty.com/docs/events-api-v2-overview>, PagerDuty/api-schema `reference/events-v2`),
//! read 2026-11: 202 when accepted; 400 when invalid; 429 and 5xx to retry. `dedup_key` (at most 255 characters) identifies the incident: a
//! repeated trigger is merged into the open alert, so repeats are harmless. A page triggers, an acknowledgement acknowledges, a close
//! resolves; mentions and shifts have no event type and are rejected. Summary: at most 1,024 characters; event: at most 512 KB.

use std::sync::Arc;

use async_trait::async_trait;
use model::{Http, Severity};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::channel::{Channel, ChannelType, Receipt, SendError};
use crate::message::{Message, MessageKind};
use crate::post::{self, Receiver, shorten};

pub static CHANNEL: ChannelType = ChannelType {
    name: "pagerduty",
    summary: "A PagerDuty service, through Events API v2",
    address: "the service's integration key, 32 letters and digits",
    secret_address: true,
    idempotent: true,
    settings: || schemars::schema_for!(Settings),
    check_address,
    build: |settings, ports| {
        let settings: Settings = super::settings(settings)?;
        let url = settings.url.unwrap_or_else(|| "https://events.pagerduty.com/v2/enqueue".to_owned());
        post::check_setting("url", &url)?;
        Ok(Box::new(PagerDuty { http: ports.http.clone(), url, internal_hosts: settings.internal_hosts }))
    },
};

/// PagerDuty.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Where events go. Default: `https://events.pagerduty.com/v2/enqueue`. In the EU: `https://events.eu.pagerduty.com/v2/enqueue`.
    pub url: Option<String>,
    /// Hosts inside your network that take PagerDuty's format, also without TLS. Example: `[events.corp.example]`.
    pub internal_hosts: Vec<String>,
}

fn check_address(address: &str) -> Result<(), String> {
    let fits = address.len() == 32 && address.bytes().all(|b| b.is_ascii_alphanumeric());
    fits.then_some(()).ok_or_else(|| "an integration key of Events API v2 has 32 letters and digits".to_owned())
}

struct PagerDuty {
    http: Arc<dyn Http>,
    url: String,
    internal_hosts: Vec<String>,
}

#[async_trait]
impl Channel for PagerDuty {
    async fn send(&self, message: &Message) -> Result<Receipt, SendError> {
        check_address(&message.address).map_err(post::refused)?;
        let reach = post::reach(&self.url, &self.internal_hosts)?;
        let action = action(message)?;
        let body = post::fitting(message, MAX_BYTES, |message| event(message, action));
        let request = post::json_bytes(&self.url, reach, body);
        let answer = post::post(self.http.as_ref(), request, &Receiver { name: "PagerDuty", knows_repeats: true }).await?;
        let key = serde_json::from_slice::<Value>(&answer.body).ok().and_then(|answer| answer["dedup_key"].as_str().map(str::to_owned));
        Ok(Receipt { provider_id: key, delivered: false })
    }
}

/// The limit is 512 KB; people read far less.
const MAX_BYTES: usize = 256 * 1024;

fn action(message: &Message) -> Result<&'static str, SendError> {
    match message.kind {
        MessageKind::Page | MessageKind::Test => Ok("trigger"),
        MessageKind::Acknowledged => Ok("acknowledge"),
        MessageKind::Closed => Ok("resolve"),
        MessageKind::Mention => Err(post::refused("PagerDuty takes incidents; it has no place for a note")),
    }
}

fn event(message: &Message, action: &str) -> Value {
    let incident = message.incident.as_ref();
    // A page without an incident (a missed heartbeat) is an alert of its own.
    let dedup_key = incident.map_or_else(|| message.key.to_string(), |incident| shorten(&incident.dedup_key, 255));
    let mut event = json!({ "routing_key": message.address, "event_action": action, "dedup_key": dedup_key });
    if action != "trigger" {
        return event;
    }
    let mut details = json!({ "message": message.long, "paged": message.user_name });
    if let Some(incident) = incident {
        details["incident"] = incident.number.into();
        details["description"] = incident.description.as_str().into();
        details["owner"] = incident.owner.as_deref().into();
        details["alerts"] = incident.alerts.into();
        details["tactics"] = json!(incident.tactics);
        details["entities"] = json!(incident.entities);
        details["evidence"] = json!(incident.evidence);
    }
    let source = incident.and_then(|incident| incident.entities.first()).map_or("Bartizan", String::as_str);
    event["payload"] = json!({
        "summary": shorten(&message.subject, 1024),
        "source": shorten(source, 255),
        "severity": severity(message),
        "timestamp": message.at.to_string(),
        "class": "security incident",
        "custom_details": details,
    });
    event["client"] = "Bartizan".into();
    if let Some(open) = &message.links.open {
        event["client_url"] = open.as_str().into();
    }
    event["links"] = message.links.named().into_iter().map(|(label, url)| json!({ "href": url, "text": label })).collect();
    event
}

fn severity(message: &Message) -> &'static str {
    match (message.kind, message.incident.as_ref().map(|incident| incident.severity)) {
        (MessageKind::Test, _) | (_, Some(Severity::Informational)) => "info",
        (_, Some(Severity::High) | None) => "critical",
        (_, Some(Severity::Medium)) => "error",
        (_, Some(Severity::Low)) => "warning",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_32_letters_and_digits() {
        assert!(check_address("R0123456789ABCDEF0123456789ABCDE").is_ok());
        for wrong in ["", "R0123456789ABCDEF0123456789ABCD", "R0123456789ABCDEF0123456789ABCD\n", "R0123456789ABCDEF0123456789ABCDEF"] {
            assert!(check_address(wrong).is_err(), "{wrong:?}");
        }
    }
}
