//! Shared by HTTP channels: allowed destinations, and the meaning of responses.
//!
//! For every status the question is whether the page may be sent again. RFC 9110 §15: 408, 425, 429 and 503 mean that the request was not
//! processed; other 5xx are ambiguous (a gateway's 502 and 504 follow a forwarded request), unless the receiver detects repeats. Redirects
//! are not followed, so that a page goes only to its configured address.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use model::{Http, HttpError, HttpRequest, HttpResponse, Reach, Span};
use serde_json::Value;

use crate::channel::{SendError, SettingsError};
use crate::guard;
use crate::message::Message;

/// Timeout of a request. A provider that takes longer is slower than the next step of most policies.
pub(crate) const TIMEOUT_SECONDS: i64 = 20;

/// The receiver of requests.
pub(crate) struct Receiver {
    /// Display name. Example: `PagerDuty`.
    pub name: &'static str,
    /// Repeats with the same key have no effect.
    pub knows_repeats: bool,
}

/// Rejects an invalid URL; the error does not contain it.
pub(crate) fn check_address(address: &str) -> Result<(), String> {
    guard::target(address).map(drop).map_err(|error| error.to_string())
}

/// As [`check_address`], for a settings field.
pub(crate) fn check_setting(field: &str, address: &str) -> Result<(), SettingsError> {
    check_address(address).map_err(|reason| SettingsError::Field { field: field.to_owned(), reason })
}

/// Allowed destinations for `address`. Hosts listed by the operator may be internal and use plain HTTP; all others must be public and use
/// TLS, because pages contain signed links.
pub(crate) fn reach(address: &str, internal_hosts: &[String]) -> Result<Reach, SendError> {
    let target = guard::target(address).map_err(|error| refused(format!("the address cannot be used: {error}")))?;
    if target.is_listed(internal_hosts) {
        return Ok(Reach::Anywhere);
    }
    if target.url.scheme() != "https" {
        let host = target.host();
        return Err(refused(format!("`{host}` would get a page unencrypted: use `https:`, or list it in `internal_hosts` if you mean it")));
    }
    Ok(Reach::Public)
}

pub(crate) fn json(url: impl Into<String>, reach: Reach, body: &Value) -> HttpRequest {
    json_bytes(url, reach, Bytes::from(body.to_string()))
}

pub(crate) fn json_bytes(url: impl Into<String>, reach: Reach, body: Bytes) -> HttpRequest {
    bytes(url, reach, "application/json", body)
}

pub(crate) fn bytes(url: impl Into<String>, reach: Reach, content_type: &'static str, body: Bytes) -> HttpRequest {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    HttpRequest { method: http::Method::POST, url: url.into(), headers, body, timeout: Span::seconds(TIMEOUT_SECONDS), reach }
}

/// A header with a secret value, which is never printed.
pub(crate) fn secret_header(text: &str) -> Result<HeaderValue, SendError> {
    let mut value = HeaderValue::from_str(text).map_err(|_| refused("the key holds characters that no header can"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Sends once; success means that the receiver accepted the page.
pub(crate) async fn post(http: &dyn Http, request: HttpRequest, receiver: &Receiver) -> Result<HttpResponse, SendError> {
    judge_all(http.send(request).await, receiver)
}

/// Interprets a response, for channels that handle some statuses themselves.
pub(crate) fn judge_all(outcome: Result<HttpResponse, HttpError>, receiver: &Receiver) -> Result<HttpResponse, SendError> {
    match outcome {
        Ok(answer) => judge(answer, receiver),
        Err(error) => Err(no_answer(error, receiver)),
    }
}

fn judge(answer: HttpResponse, receiver: &Receiver) -> Result<HttpResponse, SendError> {
    let (name, status) = (receiver.name, answer.status);
    let said = said(&answer);
    match status {
        200..=299 => Ok(answer),
        300..=399 => {
            let to = answer.headers.get(LOCATION).and_then(|to| to.to_str().ok()).and_then(|to| guard::target(to).ok());
            let to = to.map(|to| format!(" to `{}`", to.host())).unwrap_or_default();
            Err(refused(format!("{name} redirects{to} ({status}); redirects are not followed: use the address it leads to")))
        }
        408 | 425 | 429 | 503 => Err(SendError::Later { reason: format!("{name} is busy ({status}){said}"), after: answer.retry_after() }),
        500..=599 if receiver.knows_repeats => {
            Err(SendError::Later { reason: format!("{name} has an error ({status}){said}"), after: answer.retry_after() })
        }
        500..=599 => Err(SendError::Ambiguous { reason: format!("{name} has an error ({status}) and may have taken it{said}") }),
        _ => Err(refused(format!("{name} refuses it ({status}){said}"))),
    }
}

fn no_answer(error: HttpError, receiver: &Receiver) -> SendError {
    let name = receiver.name;
    match error {
        // The variant contains the URL, which may contain tokens.
        HttpError::Url { reason, .. } => refused(format!("the address cannot be used: {reason}")),
        error @ HttpError::Guarded { .. } => refused(error.to_string()),
        error @ HttpError::Connect { .. } => SendError::Later { reason: model::chain(&error).to_string(), after: None },
        error @ (HttpError::Timeout { .. } | HttpError::Broken { .. } | HttpError::TooLarge { .. }) => {
            SendError::Ambiguous { reason: format!("{name} may have taken it: {}", model::chain(&error)) }
        }
    }
}

/// A request body of at most `most` bytes: texts are truncated until the result of `write` fits, because its size is known only after JSON
/// encoding (a control character takes six bytes).
pub(crate) fn fitting(message: &Message, most: usize, write: impl Fn(&Message) -> Value) -> Bytes {
    let mut texts = 16 * 1024;
    loop {
        let body = write(&bounded(message, texts)).to_string();
        if body.len() <= most || texts < 16 {
            return body.into();
        }
        texts /= 2;
    }
}

fn bounded(message: &Message, texts: usize) -> Message {
    let mut message = message.clone();
    let cut = |text: &mut String| *text = shorten_bytes(text, texts);
    let cut_all = |list: &mut Vec<String>| {
        list.truncate(10);
        list.iter_mut().for_each(cut);
    };
    [&mut message.subject, &mut message.short, &mut message.long, &mut message.user, &mut message.user_name].into_iter().for_each(cut);
    if let Some(incident) = &mut message.incident {
        // The key identifies the incident at the receiver: truncated as little as possible, and deterministically.
        incident.dedup_key = shorten_bytes(&incident.dedup_key, 512);
        [&mut incident.title, &mut incident.description].into_iter().chain(&mut incident.owner).for_each(cut);
        [&mut incident.tactics, &mut incident.entities, &mut incident.evidence].into_iter().for_each(cut_all);
    }
    message
}

/// The response body as one short line for people.
fn said(answer: &HttpResponse) -> String {
    let text = String::from_utf8_lossy(&answer.body[..answer.body.len().min(2048)]);
    let line: String = text.split_whitespace().collect::<Vec<_>>().join(" ").chars().filter(|c| !c.is_control()).collect();
    // An HTML body comes from a proxy or load balancer and is not useful.
    if line.is_empty() || line.starts_with('<') { String::new() } else { format!(": {}", shorten(&line, 200)) }
}

pub(crate) fn refused(reason: impl Into<String>) -> SendError {
    SendError::Refused { reason: reason.into() }
}

/// Truncates to `most` characters, ending in `…`.
pub(crate) fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// Truncates to `most` bytes at a character boundary, ending in `…`.
pub(crate) fn shorten_bytes(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let mut end = most.saturating_sub('…'.len_utf8());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str, headers: &[(&'static str, &str)]) -> HttpResponse {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().unwrap());
        }
        HttpResponse { status, headers: map, body: Bytes::copy_from_slice(body.as_bytes()) }
    }

    /// Source: RFC 9110 §15.5.9, §15.6; RFC 6585 §4 (429); RFC 8470 (425).
    #[test]
    fn a_status_says_whether_to_try_again() {
        let forgetful = Receiver { name: "it", knows_repeats: false };
        let careful = Receiver { name: "it", knows_repeats: true };
        for status in [400, 401, 403, 404, 410, 413, 422, 301, 302, 307, 308, 304, 100] {
            assert!(matches!(judge(answer(status, "", &[]), &careful), Err(SendError::Refused { .. })), "{status}");
        }
        for status in [408, 425, 429, 503] {
            assert!(matches!(judge(answer(status, "", &[]), &forgetful), Err(SendError::Later { after: None, .. })), "{status}");
        }
        for status in [500, 502, 504, 599] {
            assert!(matches!(judge(answer(status, "", &[]), &forgetful), Err(SendError::Ambiguous { .. })), "{status}");
            assert!(matches!(judge(answer(status, "", &[]), &careful), Err(SendError::Later { .. })), "{status}");
        }
        let Err(SendError::Later { after, reason }) = judge(answer(429, "slow\r\n down", &[("retry-after", "30")]), &forgetful) else {
            panic!("429 is later")
        };
        assert_eq!((after, reason.as_str()), (Some(Span::seconds(30)), "it is busy (429): slow down"));
        assert!(judge(answer(202, "", &[]), &forgetful).is_ok());
    }

    #[test]
    fn a_redirect_names_the_host_and_not_the_token() {
        let to = [("location", "https://other.example/secret-token")];
        let error = judge(answer(302, "", &to), &Receiver { name: "it", knows_repeats: true }).unwrap_err().to_string();
        assert!(error.contains("`other.example`") && !error.contains("secret-token"), "{error}");
    }

    #[test]
    fn plain_http_is_for_listed_hosts() {
        assert_eq!(reach("https://hooks.example/x", &[]).unwrap(), Reach::Public);
        assert!(reach("http://hooks.example/x", &[]).is_err());
        assert_eq!(reach("http://hooks.example/x", &["hooks.example".to_owned()]).unwrap(), Reach::Anywhere);
    }

    #[test]
    fn cuts_fall_between_characters() {
        assert_eq!(shorten("åäö", 3), "åäö");
        assert_eq!(shorten("åäöü", 3), "åä…");
        assert_eq!(shorten_bytes("ååååå", 8), "åå…");
        assert!(shorten_bytes(&"å".repeat(100), 21).len() <= 21);
    }
}
