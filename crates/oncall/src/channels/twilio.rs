//! Shared by SMS and voice: the account at a provider with Twilio's REST API (2010-04-01), and the interpretation of its responses.
//!
//! The API has no idempotency key for creating messages or calls (the `I-Twilio-Idempotency-Token` header of its documentation is one that
//! Twilio sends with *its* requests to us), so a lost response is ambiguous.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, Method, header};
use model::{HttpRequest, Reach, Secret, SecretRef, Span};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;
use uuid::Uuid;

use crate::channel::{Ports, Receipt, SendError, SettingsError};

/// Twilio accepts 1600 characters per request; we limit messages to about three segments of GSM text or five of any other.
pub(crate) const MAX_SMS: usize = 320;

/// An account at Twilio or at a provider that speaks its API.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// Example: `AC…`, 34 characters.
    pub account_sid: String,
    /// The account's token, by reference; it also signs what the provider sends to us. Example: `file:/etc/bartizan/twilio`.
    pub auth_token: SecretRef,
    /// Our number in E.164, or a sender name where the country allows one. Example: `+4759440000`.
    pub from: String,
    /// Where the API lies. Default: Twilio's.
    #[serde(default = "twilio")]
    pub base_url: String,
    /// How the provider reaches this service: answers and delivery news come there. Default: no answers by SMS or digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_url: Option<String>,
    /// The API lies at an internal address, and that is meant.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub internal: bool,
    /// Default: 15 s.
    #[serde(default = "quarter_of_a_minute")]
    pub timeout: Span,
}

fn twilio() -> String {
    "https://api.twilio.com".to_owned()
}

fn quarter_of_a_minute() -> Span {
    Span::seconds(15)
}

/// The account, ready for requests.
pub(super) struct Account {
    ports: Ports,
    sid: String,
    authorization: Secret<String>,
    pub from: String,
    base: Url,
    public: Option<Url>,
    reach: Reach,
    timeout: Span,
}

impl Account {
    pub fn new(settings: Settings, ports: &Ports) -> Result<Self, SettingsError> {
        let field = |field: &str, reason: &str| SettingsError::Field { field: field.to_owned(), reason: reason.to_owned() };
        if settings.account_sid.is_empty() || !settings.account_sid.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(field("account_sid", "an account's id is letters and digits, such as `AC…`"));
        }
        if settings.from.is_empty() || settings.from.chars().any(char::is_control) {
            return Err(field("from", "name the number or sender that messages come from"));
        }
        let base = web_address("base_url", &settings.base_url)?;
        let public = settings.public_url.as_deref().map(|url| web_address("public_url", url)).transpose()?;
        let token = ports.secrets.resolve(&settings.auth_token).map_err(|cause| SettingsError::Secret { field: "auth_token", cause })?;
        let authorization = Secret::new(format!("Basic {}", STANDARD.encode(format!("{}:{}", settings.account_sid, token.reveal()))));
        let reach = if settings.internal { Reach::Anywhere } else { Reach::Public };
        let Settings { account_sid: sid, from, timeout, .. } = settings;
        Ok(Self { ports: ports.clone(), sid, authorization, from, base, public, reach, timeout })
    }

    /// Callback URL for receipts and answers to a page; `None` if the provider cannot reach us.
    pub fn callback(&self, what: &str, page: Uuid) -> Option<String> {
        let mut url = self.public.clone()?;
        let path = format!("{}/api/v1/oncall/inbound/{what}", url.path().trim_end_matches('/'));
        url.set_path(&path);
        url.set_query(Some(&format!("page={page}")));
        Some(url.to_string())
    }

    /// Creates a resource of the account: `Messages.json`, `Calls.json`.
    pub async fn create(&self, resource: &str, form: &[(&str, &str)]) -> Result<Receipt, SendError> {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/2010-04-01/Accounts/{}/{resource}", url.path().trim_end_matches('/'), self.sid));
        let body = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(form).finish();
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let mut authorization = HeaderValue::from_str(self.authorization.reveal())
            .map_err(|_| SendError::Refused { reason: "the account's token has characters that no header may have".to_owned() })?;
        authorization.set_sensitive(true);
        headers.insert(header::AUTHORIZATION, authorization);
        let request =
            HttpRequest { method: Method::POST, url: url.into(), headers, body: body.into(), timeout: self.timeout, reach: self.reach };
        match self.ports.http.send(request).await {
            Ok(response) => judge(response.status, response.retry_after(), &response.body),
            Err(error) if error.may_have_arrived() => Err(SendError::Ambiguous { reason: error.to_string() }),
            Err(error @ (model::HttpError::Url { .. } | model::HttpError::Guarded { .. })) => {
                Err(SendError::Refused { reason: error.to_string() })
            }
            Err(error) => Err(SendError::Later { reason: error.to_string(), after: None }),
        }
    }
}

fn web_address(field: &str, text: &str) -> Result<Url, SettingsError> {
    Url::parse(text)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host() && url.username().is_empty() && url.query().is_none())
        .ok_or_else(|| SettingsError::Field { field: field.to_owned(), reason: format!("`{text}` is no web address") })
}

/// Interprets a response of the API. 429 and 503 mean that the request was not processed (RFC 6585 4, RFC 9110 15.6.4); after any other 5xx
/// the message may have been sent.
fn judge(status: u16, after: Option<Span>, body: &[u8]) -> Result<Receipt, SendError> {
    #[derive(Deserialize)]
    struct Created {
        sid: String,
    }
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Problem {
        code: Option<i64>,
        message: String,
    }
    if (200..300).contains(&status) {
        // Accepted even if the body is not as expected: without the id we only miss later receipts.
        let provider_id = serde_json::from_slice::<Created>(body).ok().map(|created| created.sid).filter(|sid| is_sid(sid));
        return Ok(Receipt { provider_id, delivered: false });
    }
    let problem: Problem = serde_json::from_slice(body).unwrap_or_default();
    let code = problem.code.map(|code| format!(" (error {code})")).unwrap_or_default();
    let says: String = problem.message.chars().filter(|c| !c.is_control()).take(200).collect();
    let reason = format!("the provider answered {status}{code}{}{says}", if says.is_empty() { "" } else { ": " });
    Err(match status {
        429 | 503 => SendError::Later { reason, after },
        500.. => SendError::Ambiguous { reason },
        _ => SendError::Refused { reason },
    })
}

/// Whether the text is a provider id of a message or call.
fn is_sid(sid: &str) -> bool {
    !sid.is_empty() && sid.len() <= 64 && sid.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// E.164: a plus, a country code that does not begin with 0, at most 15 digits.
pub(crate) fn check_number(number: &str) -> Result<(), String> {
    let digits = number.strip_prefix('+').ok_or("write the number with its country code, such as `+4790000001`")?;
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err("only digits may follow the plus".to_owned());
    }
    if digits.starts_with('0') {
        return Err("a country code does not begin with 0".to_owned());
    }
    if !(7..=15).contains(&digits.len()) {
        return Err(format!("{} digits are no telephone number; E.164 has 7 to 15", digits.len()));
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::{Arc, Mutex};

    use async_trait::async_trait;
    use model::{Clock, Http, HttpError, HttpResponse, SecretError, Secrets, Timestamp};

    use super::*;

    /// Returns the same response to every request, and records requests.
    pub(crate) struct Recorder {
        pub requests: Mutex<Vec<HttpRequest>>,
        pub status: u16,
        pub body: &'static str,
    }

    #[async_trait]
    impl Http for Recorder {
        async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
            self.requests.lock().unwrap().push(request);
            Ok(HttpResponse { status: self.status, headers: HeaderMap::new(), body: self.body.into() })
        }
    }

    struct Fixed;

    #[async_trait]
    impl Clock for Fixed {
        fn now(&self) -> Timestamp {
            Timestamp::UNIX_EPOCH
        }

        fn monotonic(&self) -> std::time::Duration {
            std::time::Duration::ZERO
        }

        async fn sleep(&self, _: Span) {}
    }

    impl Secrets for Fixed {
        fn resolve(&self, _: &SecretRef) -> Result<Secret<String>, SecretError> {
            Ok(Secret::new("12345".to_owned()))
        }
    }

    pub(crate) fn ports(recorder: Arc<Recorder>) -> Ports {
        Ports { http: recorder, clock: Arc::new(Fixed), secrets: Arc::new(Fixed) }
    }

    pub(crate) fn form(request: &HttpRequest) -> Vec<(String, String)> {
        url::form_urlencoded::parse(&request.body).into_owned().collect()
    }

    #[test]
    fn numbers_are_those_of_e164() {
        for good in ["+4790000001", "+14158675310", "+442071838750", "+123456789012345"] {
            assert_eq!(check_number(good), Ok(()), "{good}");
        }
        for bad in ["", "+", "90000001", "+0790000001", "+47 900 00 001", "+1234567890123456", "+47900a", "00479000001", "+123456"] {
            assert!(check_number(bad).is_err(), "{bad}");
        }
    }

    /// The body is from Twilio's documentation of a rejected number.
    #[test]
    fn answers_mean_what_their_status_says() {
        let refusal = br#"{"code": 21211, "message": "The 'To' number is not a valid phone number.", "more_info": "https://www.twilio.com/docs/errors/21211", "status": 400}"#;
        let kind = |status| match judge(status, None, refusal) {
            Ok(_) => "taken",
            Err(SendError::Refused { .. }) => "refused",
            Err(SendError::Later { .. }) => "later",
            Err(SendError::Ambiguous { .. }) => "ambiguous",
        };
        for (status, expected) in [
            (201, "taken"),
            (200, "taken"),
            (302, "refused"),
            (400, "refused"),
            (401, "refused"),
            (404, "refused"),
            (429, "later"),
            (500, "ambiguous"),
            (502, "ambiguous"),
            (503, "later"),
            (504, "ambiguous"),
        ] {
            assert_eq!(kind(status), expected, "{status}");
        }
        let error = judge(400, None, refusal).unwrap_err().to_string();
        assert!(error.contains("21211") && error.contains("not a valid phone number"), "{error}");
    }
}
