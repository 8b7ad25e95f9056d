//! Opsgenie, through its Alert API.
//!
//! Wire: <https://docs.opsgenie.com/docs/alert-api>, read 2026-11: requests are accepted with 202 and a `requestId` and processed
//! asynchronously; `alias` (at most 512 characters) identifies the open alert, so a repeat increments its count instead of paging again.
//! Limits: message 130, description 15,000, 20 tags of 50, details 8,000 characters in all. Atlassian stopped selling Opsgenie on
//! 2025-06-04 and shuts it down on 2027-04-05: this channel is for migration, and Jira Service Management keeps the same alert API.

use std::sync::Arc;

use async_trait::async_trait;
use http::header::AUTHORIZATION;
use model::{Http, Secret, SecretRef, Severity};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::channel::{Channel, ChannelType, Ports, Receipt, SendError, SettingsError};
use crate::message::{Message, MessageKind};
use crate::post::{self, Receiver, shorten};

pub static CHANNEL: ChannelType = ChannelType {
    name: "opsgenie",
    summary: "Opsgenie alerts (Opsgenie ends on 2027-04-05)",
    address: "team:NAME, user:MAIL, escalation:NAME or schedule:NAME",
    secret_address: false,
    idempotent: true,
    settings: || schemars::schema_for!(Settings),
    check_address: |address| responder(address).map(drop),
    build: |settings, ports| Ok(Box::new(Opsgenie::new(super::settings(settings)?, ports)?)),
};

/// Opsgenie.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Key of an API integration with the right to create and update. Example: `env:OPSGENIE_KEY`.
    pub key: SecretRef,
    /// Where the API is. Default: `https://api.opsgenie.com`. In the EU: `https://api.eu.opsgenie.com`.
    #[serde(default)]
    pub url: Option<String>,
    /// Hosts inside your network that speak this API, also without TLS. Example: `[opsgenie-relay.corp.example]`.
    #[serde(default)]
    pub internal_hosts: Vec<String>,
}

/// The responder in the API's format.
fn responder(address: &str) -> Result<Value, String> {
    match address.split_once(':') {
        Some((_, "")) => Err("the name is missing".to_owned()),
        Some((kind @ ("team" | "escalation" | "schedule"), name)) => Ok(json!({ "type": kind, "name": name })),
        Some(("user", name)) => Ok(json!({ "type": "user", "username": name })),
        _ => Err("write `team:`, `user:`, `escalation:` or `schedule:` and a name".to_owned()),
    }
}

struct Opsgenie {
    http: Arc<dyn Http>,
    url: String,
    key: Secret<String>,
    internal_hosts: Vec<String>,
}

impl Opsgenie {
    fn new(settings: Settings, ports: &Ports) -> Result<Self, SettingsError> {
        let url = settings.url.unwrap_or_else(|| "https://api.opsgenie.com".to_owned());
        post::check_setting("url", &url)?;
        let key = ports.secrets.resolve(&settings.key).map_err(|cause| SettingsError::Secret { field: "key", cause })?;
        let url = url.trim_end_matches('/').to_owned();
        Ok(Self { http: ports.http.clone(), url, key, internal_hosts: settings.internal_hosts })
    }
}

#[async_trait]
impl Channel for Opsgenie {
    async fn send(&self, message: &Message) -> Result<Receipt, SendError> {
        let reach = post::reach(&self.url, &self.internal_hosts)?;
        let (path, body) = call(message)?;
        let mut request = post::json(format!("{}{path}", self.url), reach, &body);
        request.headers.insert(AUTHORIZATION, post::secret_header(&format!("GenieKey {}", self.key.reveal()))?);
        let answer = post::post(self.http.as_ref(), request, &Receiver { name: "Opsgenie", knows_repeats: true }).await?;
        let id = serde_json::from_slice::<Value>(&answer.body).ok().and_then(|answer| answer["requestId"].as_str().map(str::to_owned));
        Ok(Receipt { provider_id: id, delivered: false })
    }
}

fn call(message: &Message) -> Result<(String, Value), SendError> {
    let incident = message.incident.as_ref();
    let alias = incident.map_or_else(|| message.key.to_string(), |incident| shorten(&incident.dedup_key, 512));
    let verb = match message.kind {
        MessageKind::Page | MessageKind::Test => None,
        MessageKind::Acknowledged => Some("acknowledge"),
        MessageKind::Closed => Some("close"),
        MessageKind::Mention => return Err(post::refused("Opsgenie takes alerts; it has no place for a note")),
    };
    if let Some(verb) = verb {
        let alias = utf8_percent_encode(&alias, NON_ALPHANUMERIC);
        let body = json!({ "source": "Bartizan", "note": shorten(&message.short, 1000) });
        return Ok((format!("/v2/alerts/{alias}/{verb}?identifierType=alias"), body));
    }
    let mut details = serde_json::Map::new();
    for (label, url) in message.links.named().into_iter().filter(|(_, url)| url.len() <= 1000) {
        details.insert(label.to_lowercase(), url.into());
    }
    let mut body = json!({
        "message": shorten(&message.subject, 130),
        "alias": alias,
        "description": shorten(&message.long, 15_000),
        "responders": [responder(&message.address).map_err(post::refused)?],
        "priority": priority(message),
        "source": "Bartizan",
    });
    if let Some(incident) = incident {
        details.insert("incident".to_owned(), incident.number.to_string().into());
        body["tags"] = incident.tactics.iter().take(20).map(|tactic| Value::from(shorten(tactic, 50))).collect();
        if let Some(entity) = incident.entities.first() {
            body["entity"] = shorten(entity, 512).into();
        }
    }
    body["details"] = details.into();
    Ok(("/v2/alerts".to_owned(), body))
}

fn priority(message: &Message) -> &'static str {
    match (message.kind, message.incident.as_ref().map(|incident| incident.severity)) {
        (MessageKind::Test, _) | (_, Some(Severity::Informational)) => "P5",
        (_, Some(Severity::High) | None) => "P1",
        (_, Some(Severity::Medium)) => "P2",
        (_, Some(Severity::Low)) => "P3",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responders_are_named_by_kind() {
        assert_eq!(responder("team:Night: SOC").unwrap(), json!({ "type": "team", "name": "Night: SOC" }));
        assert_eq!(responder("user:ann@example.org").unwrap(), json!({ "type": "user", "username": "ann@example.org" }));
        for wrong in ["", "team", "team:", "ann@example.org", "group:x"] {
            assert!(responder(wrong).is_err(), "{wrong}");
        }
    }
}
