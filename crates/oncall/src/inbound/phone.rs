//! Webhooks of providers with Twilio's API and their responses: text messages, pressed digits, delivery receipts.
//!
//! Every request is signed (`X-Twilio-Signature`, <https://www.twilio.com/docs/usage/security#validating-requests>): HMAC-SHA1 with the
//! account's token over the requested URL and the form fields. Unsigned requests are rejected.

use std::fmt::Write;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac};
use sha1::Sha1;
use uuid::Uuid;

use super::News;
use super::command::{self, Verb};
use crate::answer::{Action, Answer, Subject, Via};
use crate::channels::MAX_SMS;

/// Form fields, in request order.
pub type Form = [(String, String)];

/// Parses a form body.
pub fn form(body: &[u8]) -> Vec<(String, String)> {
    url::form_urlencoded::parse(body).into_owned().collect()
}

fn field<'a>(form: &'a Form, name: &str) -> &'a str {
    form.iter().find(|(key, _)| key == name).map_or("", |(_, value)| value.trim())
}

/// Whether `signature` was made with `token` for this URL, as known to the provider, and this form.
///
/// Providers differ in whether they include the default port; both forms are accepted, as in their own libraries.
pub fn verify(token: &str, url: &str, form: &Form, signature: &str) -> bool {
    let Ok(given) = STANDARD.decode(signature.trim()) else { return false };
    let mut fields: Vec<(&str, &str)> = form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    fields.sort_unstable();
    fields.dedup();
    spellings(url).iter().any(|url| {
        let Ok(mut mac) = Hmac::<Sha1>::new_from_slice(token.as_bytes()) else { return false };
        mac.update(url.as_bytes());
        for (name, value) in &fields {
            mac.update(name.as_bytes());
            mac.update(value.as_bytes());
        }
        mac.verify_slice(&given).is_ok()
    })
}

/// The URL as it is, with its default port, and without.
fn spellings(text: &str) -> Vec<String> {
    let mut all = vec![text.to_owned()];
    let Some((scheme, rest)) = text.split_once("://") else { return all };
    let port = match scheme {
        "https" => ":443",
        "http" => ":80",
        _ => return all,
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (host, path) = rest.split_at(end);
    match host.strip_suffix(port) {
        Some(bare) => all.push(format!("{scheme}://{bare}{path}")),
        None if !host.rsplit(']').next().unwrap_or_default().contains(':') => all.push(format!("{scheme}://{host}{port}{path}")),
        None => {}
    }
    all
}

/// A parsed text message.
#[derive(Clone, Debug, PartialEq)]
pub enum Inbound {
    /// In order; the result of the first determines the reply.
    Answers(Vec<Answer>),
    /// Closes without naming a page: the reply is [`NEEDS_CODE`].
    NeedsCode,
    /// Asks for help or is not understood: the reply is [`HELP`].
    Help,
    /// The number opted out: the provider rejects our messages to it from now on.
    OptedOut { address: String },
    /// The number opted in again.
    OptedIn { address: String },
    /// No action and no reply.
    Nothing,
}

/// Reply to a message that is not understood.
pub const HELP: &str = "Reply with the page's code: 4821 acknowledges, 4821 T takes, 4821 E escalates, 4821 C FP closes. Other words after the code \
become a comment.";

/// Reply to a closing message without a code.
pub const NEEDS_CODE: &str = "Closing needs the page's code: 4821 C FP closes as a false positive.";

/// Keywords with which providers stop and start messages to a number (Twilio's defaults).
const STOP: [&str; 8] = ["stop", "stopall", "unsubscribe", "cancel", "end", "quit", "revoke", "optout"];
const START: [&str; 3] = ["start", "yes", "unstop"];

/// Parses a text message: `4821`, `4821 t`, `ack 4821`, `ack`, `stop`. A code without a verb acknowledges.
pub fn sms(form: &Form) -> Inbound {
    let address = field(form, "From").to_owned();
    if address.is_empty() {
        return Inbound::Nothing;
    }
    let body = field(form, "Body");
    let only: String = body.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    let opted = field(form, "OptOutType").to_ascii_uppercase();
    if opted == "STOP" || STOP.contains(&only.as_str()) {
        return Inbound::OptedOut { address };
    }
    if opted == "START" || START.contains(&only.as_str()) {
        return Inbound::OptedIn { address };
    }
    let (subject, actions) = match command::coded(body) {
        Some(coded) => (Subject::ReplyCode { code: coded.code, address: address.clone() }, coded.actions),
        None => {
            let (first, rest) = command::word(body);
            let full = match command::by_letter(first) {
                None => return Inbound::Help,
                // Numbers can be forged: closing requires the code that was sent to the phone.
                Some(Verb::Close) => return Inbound::NeedsCode,
                Some(Verb::Escalate) => format!("escalate {rest}"),
                Some(Verb::Acknowledge) => format!("ack {rest}"),
                Some(Verb::Take) => format!("take {rest}"),
            };
            (Subject::Newest { address: address.clone() }, command::actions(&full))
        }
    };
    let answer = |action| Answer { subject: subject.clone(), action, user: None, via: Via::Sms, from: Some(address.clone()) };
    Inbound::Answers(actions.into_iter().map(answer).collect())
}

/// The action of a digit pressed in a call; `None` if it has none.
pub fn voice(form: &Form, page: Uuid) -> Option<Answer> {
    let action = match field(form, "Digits") {
        "4" => Action::Acknowledge,
        "5" => Action::Take,
        "6" => Action::Escalate { step: None },
        _ => return None,
    };
    let from = Some(field(form, "To")).filter(|to| !to.is_empty()).map(str::to_owned);
    Some(Answer { subject: Subject::Page(page), action, user: None, via: Via::Voice, from })
}

/// The receipt in a status callback; `None` while the message or call is in transit.
///
/// Values are Twilio's `MessageStatus` and `CallStatus`. An unanswered call is a failure; an answered one reached *something*, perhaps
/// voicemail, so it counts as delivered but never as acknowledged.
pub fn status(form: &Form) -> Option<News> {
    let (message, call) = (field(form, "MessageStatus"), field(form, "CallStatus"));
    let status = if message.is_empty() { call } else { message };
    let code: String = field(form, "ErrorCode").chars().filter(char::is_ascii_digit).take(8).collect();
    match status {
        "delivered" | "read" | "completed" => Some(News::Delivered),
        "failed" | "undelivered" | "busy" | "no-answer" | "canceled" => {
            let because = if code.is_empty() { String::new() } else { format!(" (error {code})") };
            Some(News::Failed { reason: format!("the provider says `{status}`{because}") })
        }
        _ => None,
    }
}

const XML: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>";

/// The TwiML of a call. With a callback for digits, the text is repeated up to three times until a digit is pressed.
pub(crate) fn call(text: &str, digits: Option<&str>) -> String {
    let words = escape(&speakable(text));
    let mut twiml = format!("{XML}<Response>");
    match digits {
        None => {
            let _ = write!(twiml, "<Say>{words}</Say><Pause length=\"1\"/><Say>{words}</Say>");
        }
        Some(url) => {
            let url = escape(url);
            for _ in 0..3 {
                let _ = write!(
                    twiml,
                    "<Gather input=\"dtmf\" numDigits=\"1\" timeout=\"6\" method=\"POST\" action=\"{url}\"><Say>{words}. Press 4 to acknowledge, \
                     5 to take it, 6 to escalate.</Say></Gather>"
                );
            }
            twiml.push_str("<Say>Nothing was pressed. Goodbye.</Say>");
        }
    }
    twiml.push_str("<Hangup/></Response>");
    twiml
}

/// Removes characters that are not spoken and would grow when escaped: the parameter is limited to 4000 characters.
fn speakable(text: &str) -> String {
    let mut words = String::new();
    for c in text.chars().take(MAX_SMS) {
        match c {
            '&' => words.push_str(" and "),
            '\'' => words.push('\u{2019}'),
            '<' | '>' | '"' => words.push(' '),
            c => words.push(c),
        }
    }
    words.chars().take(MAX_SMS).collect::<String>().trim().trim_end_matches('.').to_owned()
}

/// TwiML that ends a call after a digit.
pub fn say(text: &str) -> String {
    format!("{XML}<Response><Say>{}</Say><Hangup/></Response>", escape(text))
}

/// TwiML of a reply to a text message; no message for an empty text.
pub fn message(text: &str) -> String {
    if text.is_empty() {
        return format!("{XML}<Response/>");
    }
    let text: String = text.chars().take(MAX_SMS).collect();
    format!("{XML}<Response><Message>{}</Message></Response>", escape(&text))
}

/// Escapes text for XML 1.0 and drops characters that it cannot represent.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&apos;"),
            '\n' | '\t' => escaped.push(' '),
            '\u{fffe}' | '\u{ffff}' => {}
            c if c.is_control() => {}
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use model::Classification;

    use super::*;

    fn fields(all: &[(&str, &str)]) -> Vec<(String, String)> {
        all.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    /// The example of Twilio's security documentation, and the one of its libraries' own tests (token `12345`).
    #[test]
    fn signatures_are_those_of_the_provider() {
        let url = "https://mycompany.com/myapp.php?foo=1&bar=2";
        let form = fields(&[
            ("CallSid", "CA1234567890ABCDE"),
            ("Digits", "1234"),
            ("From", "+14158675309"),
            ("To", "+18005551212"),
            ("Caller", "+14158675309"),
        ]);
        let signature = "RSOYDt4T1cUTdK1PDd93/VVr8B8=";
        assert!(verify("12345", url, &form, signature));
        assert!(!verify("12346", url, &form, signature));
        assert!(!verify("12345", "https://mycompany.com/myapp.php?foo=1&bar=3", &form, signature));
        assert!(!verify("12345", url, &form[1..], signature));
        for broken in ["", "=", "RSOYDt4T1cUTdK1PDd93/VVr8B9=", "RSOYDt4T1cUTdK1PDd93"] {
            assert!(!verify("12345", url, &form, broken), "{broken}");
        }
    }

    #[test]
    fn a_port_that_goes_without_saying_may_be_said() {
        assert_eq!(spellings("https://a.example/x"), ["https://a.example/x", "https://a.example:443/x"]);
        assert_eq!(spellings("https://a.example:443/x"), ["https://a.example:443/x", "https://a.example/x"]);
        assert_eq!(spellings("https://a.example:8443/x"), ["https://a.example:8443/x"]);
        assert_eq!(spellings("http://[::1]/x"), ["http://[::1]/x", "http://[::1]:80/x"]);
    }

    #[test]
    fn text_messages_are_read_as_people_type_them() {
        let code = || Subject::ReplyCode { code: "4821".to_owned(), address: "+4790000001".to_owned() };
        let newest = || Subject::Newest { address: "+4790000001".to_owned() };
        let close = |classification, comment: Option<&str>| Action::Close { classification, comment: comment.map(str::to_owned) };
        for (body, subject, action) in [
            ("4821", code(), Action::Acknowledge),
            (" 4821. ", code(), Action::Acknowledge),
            ("4821 a", code(), Action::Acknowledge),
            ("4821 T", code(), Action::Take),
            ("4821 take", code(), Action::Take),
            ("4821 e", code(), Action::Escalate { step: None }),
            ("4821 E 2", code(), Action::Escalate { step: Some(2) }),
            ("4821 c fp scanner", code(), close(Some(Classification::FalsePositive), Some("scanner"))),
            ("4821 on my way", code(), Action::Comment { text: "on my way".to_owned() }),
            ("ack 4821", code(), Action::Acknowledge),
            ("Take 4821", code(), Action::Take),
            ("escalate 4821 2", code(), Action::Escalate { step: Some(2) }),
            ("4821t", code(), Action::Take),
            ("4821 \u{1f44d}", code(), Action::Acknowledge),
            ("ack", newest(), Action::Acknowledge),
            ("OK", newest(), Action::Acknowledge),
            ("t", newest(), Action::Take),
            ("escalate 2", newest(), Action::Escalate { step: Some(2) }),
        ] {
            let form = fields(&[("From", "+4790000001"), ("Body", body)]);
            let Inbound::Answers(answers) = sms(&form) else { panic!("{body}: {:?}", sms(&form)) };
            assert_eq!((&answers[0].subject, &answers[0].action), (&subject, &action), "{body}");
            assert_eq!(answers[0].via, Via::Sms);
        }
        for (body, expected) in [
            ("hello there", Inbound::Help),
            ("", Inbound::Help),
            ("help", Inbound::Help),
            ("STOP", Inbound::OptedOut { address: "+4790000001".to_owned() }),
            ("Stop.", Inbound::OptedOut { address: "+4790000001".to_owned() }),
            ("OPTOUT", Inbound::OptedOut { address: "+4790000001".to_owned() }),
            ("Opt-out", Inbound::OptedOut { address: "+4790000001".to_owned() }),
            ("close fp", Inbound::NeedsCode),
            ("c", Inbound::NeedsCode),
            ("START", Inbound::OptedIn { address: "+4790000001".to_owned() }),
        ] {
            assert_eq!(sms(&fields(&[("From", "+4790000001"), ("Body", body)])), expected, "{body}");
        }
        assert_eq!(sms(&fields(&[("Body", "4821")])), Inbound::Nothing);
    }

    #[test]
    fn digits_are_answers_and_silence_is_none() {
        let page = Uuid::from_u128(1);
        let pressed = |digit| voice(&fields(&[("Digits", digit), ("To", "+4790000001")]), page).map(|answer| answer.action);
        assert_eq!(pressed("4"), Some(Action::Acknowledge));
        assert_eq!(pressed("5"), Some(Action::Take));
        assert_eq!(pressed("6"), Some(Action::Escalate { step: None }));
        for nothing in ["", "1", "44", "#"] {
            assert_eq!(pressed(nothing), None, "{nothing}");
        }
    }

    #[test]
    fn news_are_delivered_failed_or_none_yet() {
        let news = |name, status| status_of(name, status);
        fn status_of(name: &str, value: &str) -> Option<bool> {
            status(&fields(&[(name, value), ("ErrorCode", "30003")])).map(|news| news == News::Delivered)
        }
        for (value, expected) in
            [("queued", None), ("sent", None), ("delivered", Some(true)), ("undelivered", Some(false)), ("failed", Some(false))]
        {
            assert_eq!(news("MessageStatus", value), expected, "{value}");
        }
        for (value, expected) in
            [("ringing", None), ("in-progress", None), ("completed", Some(true)), ("busy", Some(false)), ("no-answer", Some(false))]
        {
            assert_eq!(news("CallStatus", value), expected, "{value}");
        }
    }

    #[test]
    fn what_is_said_stays_text() {
        assert_eq!(message("a < b & \"c\"\u{0}"), format!("{XML}<Response><Message>a &lt; b &amp; &quot;c&quot;</Message></Response>"));
        assert_eq!(message(""), format!("{XML}<Response/>"));
        let dialled = call("</Say><Dial>+1", Some("https://x/?a=1&b=2"));
        assert!(!dialled.contains("<Dial>") && dialled.contains("?a=1&amp;b=2"), "{dialled}");
        // The longest text with a long URL stays below the parameter's documented 4000 characters.
        for filler in ["x", "&", "'", "\""] {
            let longest = call(&filler.repeat(5000), Some(&format!("https://{}.example.org/?page={}", "y".repeat(60), Uuid::nil())));
            assert!(longest.chars().count() < 4000, "{filler}: {}", longest.len());
        }
    }
}
