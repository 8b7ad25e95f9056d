//! Web Push: a notification in the recipient's browser or installed web app, through the browser's own push service.
//!
//! Specification: RFC 8030 (`TTL`, `Urgency`, `Topic`, 404 and 410), RFC 8291 (end-to-end encryption), RFC 8292 (VAPID: sender
//! identification, signed per push service). An address is the JSON of a browser's `PushSubscription`. A push service accepts at least
//! 4,096 bytes of ciphertext (RFC 8030 §7.2), so texts are truncated until the message fits. `Topic` is the incident: a newer message
//! replaces one still queued for an offline device. A delivered one cannot be replaced, hence not `idempotent`; with the payload's `tag`
//! the service worker replaces the notification of a repeat.

use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::HeaderValue;
use http::header::{AUTHORIZATION, CONTENT_ENCODING, LOCATION};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use model::{Clock, Http, SecretRef, Severity, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use web_push_native::p256::elliptic_curve::rand_core::OsRng;
use web_push_native::p256::elliptic_curve::sec1::ToEncodedPoint;
use web_push_native::p256::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use web_push_native::p256::{PublicKey, SecretKey};
use web_push_native::{Auth, encrypt};

use crate::channel::{Channel, ChannelType, Ports, Receipt, SendError, SettingsError};
use crate::guard;
use crate::message::{Message, MessageKind};
use crate::post::{self, Receiver, shorten_bytes};

pub static CHANNEL: ChannelType = ChannelType {
    name: "web_push",
    summary: "A notification in the browser or the installed web app",
    address: r#"{"endpoint":"https://…","keys":{"p256dh":"…","auth":"…"}}"#,
    // The endpoint is a capability URL, but only this service's key can use it (RFC 8292 §4): it may be stored in the directory in plain
    // text.
    secret_address: false,
    idempotent: false,
    settings: || schemars::schema_for!(Settings),
    check_address: |address| Subscription::read(address).map(drop),
    build: |settings, ports| Ok(Box::new(WebPush::new(super::settings(settings)?, ports)?)),
};

/// Web Push.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The service's private key on P-256, in URL-safe base64: 32 bytes, or PKCS #8 in DER. Default: one that the
    /// service makes, `keys/vapid` in its data directory. Example: `file:/etc/bartizan/vapid`.
    pub key: SecretRef,
    /// Whom a push service may ask about us: a mail address or a page. Example: `mailto:soc@example.org`.
    pub contact: String,
    /// How long a push service keeps a page for a phone that is off. Default: `1h`.
    #[serde(default = "one_hour")]
    pub keep: Span,
    /// Hosts inside your network that are push services, also without TLS. Example: `[push.corp.example]`.
    #[serde(default)]
    pub internal_hosts: Vec<String>,
}

fn one_hour() -> Span {
    Span::HOUR
}

/// Generates a private key in the format of the settings.
pub fn generate_vapid_key() -> String {
    URL_SAFE_NO_PAD.encode(SecretKey::random(&mut OsRng).to_bytes())
}

/// The `applicationServerKey` of a private key for the browser; `None` if `key` is invalid.
pub fn vapid_public_key(key: &str) -> Option<String> {
    Some(public_text(&read_key(key)?))
}

fn read_key(key: &str) -> Option<SecretKey> {
    let bytes = decode(key)?;
    if bytes.len() == 32 { SecretKey::from_slice(&bytes).ok() } else { SecretKey::from_pkcs8_der(&bytes).ok() }
}

fn public_text(key: &SecretKey) -> String {
    URL_SAFE_NO_PAD.encode(key.public_key().to_encoded_point(false).as_bytes())
}

/// Decodes base64 of either alphabet, padded or not: browsers and tools differ.
fn decode(text: &str) -> Option<Vec<u8>> {
    let text: String = text
        .trim()
        .trim_end_matches('=')
        .chars()
        .map(|c| {
            if c == '+' {
                '-'
            } else if c == '/' {
                '_'
            } else {
                c
            }
        })
        .collect();
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// The format of `PushSubscription.toJSON()`.
struct Subscription {
    endpoint: String,
    /// Scheme, host and port of the push service.
    origin: String,
    public: PublicKey,
    auth: Auth,
}

impl Subscription {
    fn read(address: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Wire {
            endpoint: String,
            keys: Keys,
        }
        #[derive(Deserialize)]
        struct Keys {
            p256dh: String,
            auth: String,
        }
        let wire: Wire = serde_json::from_str(address)
            .map_err(|_| "it is not what `PushSubscription.toJSON()` gives: `endpoint` and `keys`".to_owned())?;
        let target = guard::target(&wire.endpoint).map_err(|error| format!("`endpoint`: {error}"))?;
        let public = decode(&wire.keys.p256dh).and_then(|bytes| PublicKey::from_sec1_bytes(&bytes).ok());
        let auth = decode(&wire.keys.auth).filter(|auth| auth.len() == 16);
        Ok(Self {
            origin: target.url.origin().ascii_serialization(),
            public: public.ok_or("`keys.p256dh` is no public key on P-256")?,
            auth: Auth::clone_from_slice(&auth.ok_or("`keys.auth` is not 16 bytes in base64")?),
            endpoint: wire.endpoint,
        })
    }
}

struct WebPush {
    http: Arc<dyn Http>,
    clock: Arc<dyn Clock>,
    signer: EncodingKey,
    public: String,
    contact: String,
    keep: Span,
    internal_hosts: Vec<String>,
}

impl WebPush {
    fn new(settings: Settings, ports: &Ports) -> Result<Self, SettingsError> {
        let wrong = |field: &str, reason: &str| SettingsError::Field { field: field.to_owned(), reason: reason.to_owned() };
        let secret = ports.secrets.resolve(&settings.key).map_err(|cause| SettingsError::Secret { field: "key", cause })?;
        let no_key = || wrong("key", "it is no private key on P-256 in URL-safe base64");
        let key = read_key(secret.reveal()).ok_or_else(no_key)?;
        let der = key.to_pkcs8_der().map_err(|_| no_key())?;
        // RFC 8292 §2.1; Apple's push service rejects anything else.
        if !settings.contact.starts_with("mailto:") && !settings.contact.starts_with("https:") {
            return Err(wrong("contact", "write `mailto:` and an address, or `https:` and a page"));
        }
        Ok(Self {
            http: ports.http.clone(),
            clock: ports.clock.clone(),
            signer: EncodingKey::from_ec_der(der.as_bytes()),
            public: public_text(&key),
            contact: settings.contact,
            keep: settings.keep,
            internal_hosts: settings.internal_hosts,
        })
    }

    /// `Authorization` for one push service. Valid for 12 hours: services reject more than 24, and this leaves room for clock skew.
    fn authorization(&self, origin: &str) -> Result<String, SendError> {
        #[derive(Serialize)]
        struct Claims<'a> {
            aud: &'a str,
            exp: i64,
            sub: &'a str,
        }
        let claims = Claims { aud: origin, exp: self.clock.now().unix_seconds() + 12 * 3600, sub: &self.contact };
        let token = jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims, &self.signer)
            .map_err(|error| post::refused(format!("it cannot be signed: {error}")))?;
        // RFC 9110 §5.6.1 allows a space after the comma, but some verifiers do not.
        Ok(format!("vapid t={token},k={}", self.public))
    }
}

#[async_trait]
impl Channel for WebPush {
    async fn send(&self, message: &Message) -> Result<Receipt, SendError> {
        let subscription = Subscription::read(&message.address).map_err(post::refused)?;
        let reach = post::reach(&subscription.endpoint, &self.internal_hosts)?;
        let sealed = encrypt(payload(message), &subscription.public, &subscription.auth)
            .map_err(|error| post::refused(format!("it cannot be encrypted: {error}")))?;
        let mut request = post::bytes(&subscription.endpoint, reach, "application/octet-stream", Bytes::from(sealed));
        let text = |text: String| HeaderValue::from_str(&text).map_err(|_| post::refused("it cannot be sent"));
        let headers = &mut request.headers;
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("aes128gcm"));
        headers.insert(AUTHORIZATION, post::secret_header(&self.authorization(&subscription.origin)?)?);
        headers.insert("ttl", text((self.keep.ticks().max(0) / Span::SECOND.ticks()).to_string())?);
        headers.insert("urgency", HeaderValue::from_static(urgency(message)));
        headers.insert("topic", text(topic(message))?);
        let receiver = Receiver { name: "the push service", knows_repeats: false };
        let answer = match self.http.send(request).await {
            // RFC 8030 §7.3: the subscription expired or was revoked; a retry cannot succeed.
            Ok(answer) if matches!(answer.status, 404 | 410) => {
                return Err(post::refused("the subscription is gone: the browser must subscribe again"));
            }
            answer => post::judge_all(answer, &receiver)?,
        };
        let place = answer.headers.get(LOCATION).and_then(|place| place.to_str().ok()).map(str::to_owned);
        Ok(Receipt { provider_id: place, delivered: false })
    }
}

/// Ciphertext of 4,096 bytes includes a header of 86 (RFC 8188 §2.1 with a key of 65), a tag of 16 and a delimiter.
const MAX_PLAIN: usize = 4096 - 86 - 16 - 1;

fn payload(message: &Message) -> Vec<u8> {
    let mut texts = 1500;
    loop {
        let bytes = payload_of(message, texts).to_string().into_bytes();
        if bytes.len() <= MAX_PLAIN {
            return bytes;
        }
        if texts < 16 {
            break;
        }
        texts /= 2;
    }
    // For links of unusual length, drop the buttons.
    json!({ "version": 1, "tag": message.key.to_string(), "title": shorten_bytes(&message.subject, 300), "body": "" })
        .to_string()
        .into_bytes()
}

fn payload_of(message: &Message, texts: usize) -> Value {
    let actions: Vec<Value> = message
        .links
        .named()
        .into_iter()
        .filter(|(label, _)| *label != "Open")
        .map(|(label, url)| json!({ "action": label.to_lowercase(), "title": label, "url": url }))
        .collect();
    json!({
        "version": 1,
        "kind": message.kind,
        // The same tag as the page, so that the notification is replaced.
        "tag": message.key.to_string(),
        "title": shorten_bytes(&message.subject, texts.min(300)),
        "body": shorten_bytes(&message.long, texts),
        "severity": message.incident.as_ref().map(|incident| incident.severity.name()),
        "incident": message.incident.as_ref().map(|incident| incident.number),
        "url": message.links.open,
        "actions": actions,
    })
}

/// RFC 8030 §5.3: `high` wakes a device in battery saver mode.
fn urgency(message: &Message) -> &'static str {
    match (message.kind, message.incident.as_ref().map(|incident| incident.severity)) {
        (MessageKind::Page, Some(Severity::High | Severity::Medium) | None) | (MessageKind::Test, _) => "high",
        (MessageKind::Closed, _) => "low",
        _ => "normal",
    }
}

/// RFC 8030 §5.4: at most 32 characters of URL-safe base64, which includes the 32 hexadecimal digits of a UUID.
fn topic(message: &Message) -> String {
    let id = match message.kind {
        MessageKind::Page | MessageKind::Acknowledged | MessageKind::Closed => {
            message.incident.as_ref().map_or(message.key, |incident| incident.id)
        }
        MessageKind::Mention | MessageKind::Test => message.key,
    };
    id.simple().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys of RFC 8291 §5 (appendix A): a matching private and public key.
    #[test]
    fn keys_are_read_in_each_form() {
        let private = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94";
        let public = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
        assert_eq!(vapid_public_key(private).as_deref(), Some(public));
        let der = URL_SAFE_NO_PAD.encode(read_key(private).unwrap().to_pkcs8_der().unwrap().as_bytes());
        assert_eq!(vapid_public_key(&der).as_deref(), Some(public));
        assert_eq!(vapid_public_key(&private.replace('_', "/").replace('-', "+")).as_deref(), Some(public));
        assert!(vapid_public_key(&generate_vapid_key()).is_some());
        for wrong in ["", "x", "%%%", &URL_SAFE_NO_PAD.encode([0; 32]), &URL_SAFE_NO_PAD.encode([0xff; 32])] {
            assert_eq!(vapid_public_key(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_subscription_that_cannot_work_is_refused_by_field() {
        let with = |endpoint: &str, p256dh: &str, auth: &str| {
            Subscription::read(
                &json!({ "endpoint": endpoint, "expirationTime": null, "keys": { "p256dh": p256dh, "auth": auth } }).to_string(),
            )
        };
        let public = "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
        let auth = "BTBZMqHH6r4Tts7J_aSIgg";
        assert_eq!(with("https://push.example:8443/x/y", public, auth).ok().unwrap().origin, "https://push.example:8443");
        assert_eq!(with("https://push.example:443/x/y", public, auth).ok().unwrap().origin, "https://push.example");
        for (found, field) in [
            (with("nowhere", public, auth), "endpoint"),
            (with("https://push.example/", "AAAA", auth), "p256dh"),
            (with("https://push.example/", public, "AAAA"), "auth"),
            (Subscription::read("{}"), "endpoint"),
        ] {
            assert!(found.err().unwrap().contains(field), "{field}");
        }
    }
}
