//! A signed POST of JSON to a receiver of the operator.
//!
//! The body is [`Payload`], version 1; its schema is in the reference. Its first five fields are the ones that Apprise's `json://` sends
//! (apprise 2.2.0, `plugins/custom_json.py`: `version`, `title`, `message`, `attachments`, `type`), so receivers of Apprise's JSON can
//! parse ours; an Apprise API server accepts it at `/notify/KEY?:message=body`. Our own fields are under `bartizan`.
//!
//! Signed twice with one secret: `Bartizan-Signature: t=SECONDS,v1=HEX` over `SECONDS.BODY`, Stripe's scheme, and `webhook-id`,
//! `webhook-timestamp`, `webhook-signature: v1,BASE64` over `ID.SECONDS.BODY` (standardwebhooks.com), which has verifier libraries in most
//! languages. `Idempotency-Key` is the page's key and the same at each attempt.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, Mac};
use http::HeaderValue;
use model::{Clock, Http, Secret, SecretRef, Severity};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::channel::{Channel, ChannelType, Ports, Receipt, SendError, SettingsError};
use crate::message::{Message, MessageKind};
use crate::post::{self, Receiver};

pub static CHANNEL: ChannelType = ChannelType {
    name: "webhook",
    summary: "A signed POST of JSON to your own service",
    address: "https://hooks.example.org/page/TOKEN",
    secret_address: true,
    // Depends on the receiver: see `Channel::idempotent` below.
    idempotent: false,
    settings: || schemars::schema_for!(Settings),
    check_address: post::check_address,
    build: |settings, ports| Ok(Box::new(Webhook::new(super::settings(settings)?, ports)?)),
};

/// Signed webhooks.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The secret that both sides know: `whsec_` and base64 as of Standard Webhooks, or any text of at least 24 characters.
    pub secret: SecretRef,
    /// The secret before this one. While it stands here, requests carry signatures of both, so receivers can change in their own time.
    #[serde(default)]
    pub previous_secret: Option<SecretRef>,
    /// The receivers keep `Idempotency-Key` and do nothing twice. Then a page whose answer was lost is simply sent again. Default: `false`.
    #[serde(default)]
    pub honours_idempotency_key: bool,
    /// Hosts inside your network that may be called, also without TLS; `host` or `host:port`. Example: `[hooks.corp.example, 10.1.2.3:8080]`.
    #[serde(default)]
    pub internal_hosts: Vec<String>,
}

/// The body of a webhook.
#[derive(Serialize, JsonSchema)]
pub struct Payload<'a> {
    /// Of the five fields that Apprise knows. Always `1.0`.
    pub version: &'static str,
    pub title: &'a str,
    pub message: &'a str,
    #[serde(rename = "type")]
    pub kind: Mood,
    /// Always empty.
    pub attachments: [&'static str; 0],
    pub bartizan: Facts<'a>,
}

/// Apprise's types of notifications.
#[derive(Clone, Copy, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Mood {
    Info,
    Success,
    Warning,
    Failure,
}

/// What we know. Fields may be added within a version; none changes its meaning or goes.
#[derive(Serialize, JsonSchema)]
pub struct Facts<'a> {
    /// Of this object. `1`.
    pub version: u32,
    /// The same at each attempt: do nothing twice for one key.
    pub key: String,
    /// `page`, `acknowledged`, `closed`, `mention` or `test`.
    pub event: &'static str,
    /// RFC 3339, UTC.
    pub at: String,
    pub user: User<'a>,
    /// For small screens: at most 300 characters.
    pub short: &'a str,
    /// Digits that name the page in a reply.
    pub reply_code: Option<&'a str>,
    /// Signed; each asks before it acts.
    pub links: Links<'a>,
    pub incident: Option<Incident<'a>>,
}

#[derive(Serialize, JsonSchema)]
pub struct User<'a> {
    pub name: &'a str,
    pub display_name: &'a str,
}

#[derive(Serialize, JsonSchema)]
pub struct Links<'a> {
    pub acknowledge: Option<&'a str>,
    pub take: Option<&'a str>,
    pub escalate: Option<&'a str>,
    pub close: Option<&'a str>,
    pub open: Option<&'a str>,
}

#[derive(Serialize, JsonSchema)]
pub struct Incident<'a> {
    pub id: String,
    pub number: i64,
    pub title: &'a str,
    pub description: &'a str,
    /// `High`, `Medium`, `Low` or `Informational`.
    pub severity: &'static str,
    /// `New`, `Active` or `Closed`.
    pub status: String,
    pub owner: Option<&'a str>,
    pub created: String,
    pub tactics: &'a [String],
    pub alerts: usize,
    pub entities: &'a [String],
    pub evidence: &'a [String],
    /// The same in every message about this incident.
    pub dedup_key: &'a str,
}

impl<'a> Payload<'a> {
    pub fn of(message: &'a Message) -> Self {
        Payload {
            version: "1.0",
            title: &message.subject,
            message: &message.long,
            kind: mood(message),
            attachments: [],
            bartizan: Facts {
                version: 1,
                key: message.key.to_string(),
                event: event(message.kind),
                at: message.at.to_string(),
                user: User { name: &message.user, display_name: &message.user_name },
                short: &message.short,
                reply_code: message.reply_code.as_deref(),
                links: Links {
                    acknowledge: message.links.acknowledge.as_deref(),
                    take: message.links.take.as_deref(),
                    escalate: message.links.escalate.as_deref(),
                    close: message.links.close.as_deref(),
                    open: message.links.open.as_deref(),
                },
                incident: message.incident.as_ref().map(|incident| Incident {
                    id: incident.id.to_string(),
                    number: incident.number,
                    title: &incident.title,
                    description: &incident.description,
                    severity: incident.severity.name(),
                    status: incident.status.name().to_owned(),
                    owner: incident.owner.as_deref(),
                    created: incident.created.to_string(),
                    tactics: &incident.tactics,
                    alerts: incident.alerts,
                    entities: &incident.entities,
                    evidence: &incident.evidence,
                    dedup_key: &incident.dedup_key,
                }),
            },
        }
    }
}

fn event(kind: MessageKind) -> &'static str {
    match kind {
        MessageKind::Page => "page",
        MessageKind::Acknowledged => "acknowledged",
        MessageKind::Closed => "closed",
        MessageKind::Mention => "mention",
        MessageKind::Test => "test",
    }
}

fn mood(message: &Message) -> Mood {
    match (message.kind, message.incident.as_ref().map(|incident| incident.severity)) {
        (MessageKind::Closed, _) => Mood::Success,
        (MessageKind::Page, Some(Severity::High) | None) => Mood::Failure,
        (MessageKind::Page, Some(Severity::Medium)) => Mood::Warning,
        _ => Mood::Info,
    }
}

/// Receivers have limits; the lowest of the common ones is Express's 100 KB.
const MAX_BYTES: usize = 96 * 1024;

struct Webhook {
    http: Arc<dyn Http>,
    clock: Arc<dyn Clock>,
    /// The current secret first.
    keys: Vec<Secret<Vec<u8>>>,
    honours_key: bool,
    internal_hosts: Vec<String>,
}

impl Webhook {
    fn new(settings: Settings, ports: &Ports) -> Result<Self, SettingsError> {
        let key = |field: &'static str, reference: &SecretRef| {
            let secret = ports.secrets.resolve(reference).map_err(|cause| SettingsError::Secret { field, cause })?;
            key_of(secret.reveal()).map_err(|reason| SettingsError::Field { field: field.to_owned(), reason: reason.to_owned() })
        };
        let mut keys = vec![key("secret", &settings.secret)?];
        if let Some(previous) = &settings.previous_secret {
            keys.push(key("previous_secret", previous)?);
        }
        Ok(Self {
            http: ports.http.clone(),
            clock: ports.clock.clone(),
            keys,
            honours_key: settings.honours_idempotency_key,
            internal_hosts: settings.internal_hosts,
        })
    }
}

/// The bytes of a secret. Standard Webhooks requires 24 to 64 of them.
fn key_of(secret: &str) -> Result<Secret<Vec<u8>>, &'static str> {
    let bytes = match secret.strip_prefix("whsec_") {
        Some(encoded) => BASE64.decode(encoded).map_err(|_| "what follows `whsec_` is no base64")?,
        None => secret.as_bytes().to_vec(),
    };
    if bytes.len() < 24 {
        return Err("the secret is shorter than 24 bytes; make one with `openssl rand -base64 32`");
    }
    Ok(Secret::new(bytes))
}

fn mac(key: &Secret<Vec<u8>>, parts: &[&[u8]]) -> Vec<u8> {
    // HMAC accepts keys of any length (RFC 2104 §3), so this cannot fail; an empty signature would not verify.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key.reveal()) else { return Vec::new() };
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().to_vec()
}

/// `Bartizan-Signature` and `webhook-signature` of a body.
fn signatures(keys: &[Secret<Vec<u8>>], id: &str, seconds: &str, body: &[u8]) -> (String, String) {
    let ours = keys.iter().map(|key| format!(",v1={}", hex::encode(mac(key, &[seconds.as_bytes(), b".", body])))).collect::<String>();
    let standard: Vec<_> =
        keys.iter().map(|key| format!("v1,{}", BASE64.encode(mac(key, &[id.as_bytes(), b".", seconds.as_bytes(), b".", body])))).collect();
    (format!("t={seconds}{ours}"), standard.join(" "))
}

#[async_trait]
impl Channel for Webhook {
    async fn send(&self, message: &Message) -> Result<Receipt, SendError> {
        let reach = post::reach(&message.address, &self.internal_hosts)?;
        // All fields are text and integers, so serialisation cannot fail.
        let body = post::fitting(message, MAX_BYTES, |message| serde_json::to_value(Payload::of(message)).unwrap_or_default());
        // The time of this attempt, not of the page: receivers reject old timestamps as replays.
        let seconds = self.clock.now().unix_seconds().to_string();
        let key = message.key.to_string();
        let (ours, standard) = signatures(&self.keys, &key, &seconds, &body);
        let mut request = post::json_bytes(&message.address, reach, body);
        for (name, value) in [
            ("idempotency-key", &key),
            ("webhook-id", &key),
            ("webhook-timestamp", &seconds),
            ("webhook-signature", &standard),
            ("bartizan-signature", &ours),
        ] {
            let value = HeaderValue::from_str(value).map_err(|_| post::refused("it cannot be signed"))?;
            request.headers.insert(name, value);
        }
        post::post(self.http.as_ref(), request, &Receiver { name: "the webhook", knows_repeats: self.honours_key }).await?;
        Ok(Receipt::default())
    }

    fn idempotent(&self) -> Option<bool> {
        Some(self.honours_key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Source: RFC 4231 test case 2 for the code; its data is our `SECONDS.BODY` split at the dot.
    #[test]
    fn the_code_is_hmac_sha256() {
        let key = Secret::new(b"Jefe".to_vec());
        let code = mac(&key, &[b"what do ya want ", b"for nothing?"]);
        assert_eq!(hex::encode(code), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }

    /// Source: the example in the reference implementation's tests (standardwebhooks: secret, id, time and payload below).
    #[test]
    fn the_standard_signature_is_the_reference_one() {
        let key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let (_, standard) = signatures(&[key], "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", br#"{"test": 2432232314}"#);
        assert_eq!(standard, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn both_secrets_sign_while_they_change() {
        let keys = [key_of("the new secret of 24 bytes").unwrap(), key_of("the old secret of 24 bytes").unwrap()];
        let (ours, standard) = signatures(&keys, "id", "1", b"{}");
        assert_eq!((ours.matches("v1=").count(), standard.split(' ').count()), (2, 2));
    }

    #[test]
    fn weak_secrets_are_refused() {
        assert!(key_of("short").is_err());
        assert!(key_of("whsec_%%%").is_err());
        assert!(key_of("whsec_c2hvcnQ=").is_err());
    }
}
