//! ntfy, hosted or self-hosted.
//!
//! Wire: <https://docs.ntfy.sh/publish/#publish-as-json>, read 2026-11: JSON to the server's root; priority 1 to 5; at most three action
//! buttons; a message beyond 4,096 bytes would become an attachment, so it is truncated. On a server without accounts the topic name is the
//! only protection, so an address is a secret. Buttons are of kind `view`: they open the confirmation page; `http` buttons would act on an
//! accidental touch. ntfy has no idempotency key.

use std::sync::Arc;

use async_trait::async_trait;
use http::header::AUTHORIZATION;
use model::{Http, Secret, SecretRef, Severity};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::channel::{Channel, ChannelType, Ports, Receipt, SendError, SettingsError};
use crate::guard;
use crate::message::{Message, MessageKind};
use crate::post::{self, Receiver, shorten_bytes};

pub static CHANNEL: ChannelType = ChannelType {
    name: "ntfy",
    summary: "ntfy push notifications, from ntfy.sh or your own server",
    address: "a topic, or https://ntfy.example.org/TOPIC",
    secret_address: true,
    idempotent: false,
    settings: || schemars::schema_for!(Settings),
    check_address: |address| place(address, DEFAULT_SERVER).map(drop),
    build: |settings, ports| Ok(Box::new(Ntfy::new(super::settings(settings)?, ports)?)),
};

const DEFAULT_SERVER: &str = "https://ntfy.sh";

/// ntfy.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// For addresses that are a topic alone. Default: `https://ntfy.sh`. Example: `https://ntfy.example.org`.
    pub server: Option<String>,
    /// Access token of `server`; sent to no other. Example: `env:NTFY_TOKEN`.
    pub token: Option<SecretRef>,
    /// Hosts inside your network that may be called, also without TLS. Example: `[ntfy.corp.example]`.
    pub internal_hosts: Vec<String>,
}

/// Splits an address into server (an origin) and topic.
fn place(address: &str, server: &str) -> Result<(String, String), String> {
    let (server, topic) = if address.contains(':') {
        let target = guard::target(address).map_err(|error| error.to_string())?;
        let topic = target.url.path().trim_matches('/').to_owned();
        (target.url.origin().ascii_serialization(), topic)
    } else {
        (guard::target(server).map_err(|error| error.to_string())?.url.origin().ascii_serialization(), address.to_owned())
    };
    // ntfy's own rule: ^[-_A-Za-z0-9]{1,64}$.
    let fits = (1..=64).contains(&topic.len()) && topic.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
    if fits { Ok((server, topic)) } else { Err("a topic has 1 to 64 letters, digits, `-` and `_`".to_owned()) }
}

struct Ntfy {
    http: Arc<dyn Http>,
    server: String,
    token: Option<Secret<String>>,
    internal_hosts: Vec<String>,
}

impl Ntfy {
    fn new(settings: Settings, ports: &Ports) -> Result<Self, SettingsError> {
        let server = settings.server.unwrap_or_else(|| DEFAULT_SERVER.to_owned());
        post::check_setting("server", &server)?;
        let token = settings
            .token
            .map(|token| ports.secrets.resolve(&token).map_err(|cause| SettingsError::Secret { field: "token", cause }))
            .transpose()?;
        Ok(Self { http: ports.http.clone(), server, token, internal_hosts: settings.internal_hosts })
    }
}

#[async_trait]
impl Channel for Ntfy {
    async fn send(&self, message: &Message) -> Result<Receipt, SendError> {
        let (server, topic) = place(&message.address, &self.server).map_err(post::refused)?;
        let reach = post::reach(&server, &self.internal_hosts)?;
        let mut request = post::json(format!("{server}/"), reach, &body(message, &topic));
        let own = guard::target(&self.server).is_ok_and(|own| own.url.origin().ascii_serialization() == server);
        if let Some(token) = self.token.as_ref().filter(|_| own) {
            request.headers.insert(AUTHORIZATION, post::secret_header(&format!("Bearer {}", token.reveal()))?);
        }
        let answer = post::post(self.http.as_ref(), request, &Receiver { name: "ntfy", knows_repeats: false }).await?;
        let id = serde_json::from_slice::<Value>(&answer.body).ok().and_then(|answer| answer["id"].as_str().map(str::to_owned));
        Ok(Receipt { provider_id: id, delivered: false })
    }
}

fn body(message: &Message, topic: &str) -> Value {
    let (priority, tag) = urgency(message);
    // The three most important actions; the title opens the page.
    let actions: Vec<Value> = message
        .links
        .named()
        .into_iter()
        .filter(|(label, _)| *label != "Open")
        .take(3)
        .map(|(label, url)| json!({ "action": "view", "label": label, "url": url }))
        .collect();
    let mut body = json!({
        "topic": topic,
        "title": shorten_bytes(&message.subject, 250),
        "message": shorten_bytes(&message.long, 4000),
        "priority": priority,
        "tags": [tag],
        "actions": actions,
    });
    if let Some(open) = &message.links.open {
        body["click"] = open.as_str().into();
    }
    body
}

/// ntfy's priority (5 overrides "do not disturb" if the phone allows it) and emoji tag.
fn urgency(message: &Message) -> (u8, &'static str) {
    match (message.kind, message.incident.as_ref().map(|incident| incident.severity)) {
        (MessageKind::Page, Some(Severity::High) | None) => (5, "rotating_light"),
        (MessageKind::Page, Some(Severity::Medium)) => (4, "warning"),
        (MessageKind::Page, Some(Severity::Low)) => (3, "warning"),
        (MessageKind::Page, Some(Severity::Informational)) => (2, "information_source"),
        (MessageKind::Acknowledged, _) => (2, "eyes"),
        (MessageKind::Closed, _) => (2, "white_check_mark"),
        (MessageKind::Mention, _) => (3, "speech_balloon"),
        (MessageKind::Test, _) => (3, "test_tube"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_topic_or_a_url() {
        let at = |address: &str| place(address, "https://ntfy.example.org/").ok();
        let is = |server: &str, topic: &str| Some((server.to_owned(), topic.to_owned()));
        assert_eq!(at("soc_night-1"), is("https://ntfy.example.org", "soc_night-1"));
        assert_eq!(at("https://ntfy.sh/abc"), is("https://ntfy.sh", "abc"));
        assert_eq!(at("http://10.0.0.1:8080/abc/"), is("http://10.0.0.1:8080", "abc"));
        for wrong in ["", "a b", "a/b", "https://ntfy.sh/", "https://ntfy.sh/a/b", &"x".repeat(65), "ftp://ntfy.sh/a"] {
            assert_eq!(at(wrong), None, "{wrong}");
        }
    }
}
