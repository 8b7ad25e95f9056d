//! A telephone provider's requests, from the signed form to the answer and the reply.
//!
//! Signatures are computed here as in Twilio's documentation: HMAC-SHA1 over the URL and the sorted fields.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use hmac::{Hmac, Mac};
use oncall::answer::{Action, Subject, Via};
use oncall::inbound::{Inbox, PhoneError, Request, SentTo};
use serde_json::json;

use crate::fakes::{Kept, OnePage, PAGE, World};

const NUMBER: &str = "+4790000001";

fn inbox(kept: Arc<Kept>) -> Inbox {
    let settings = json!({ "account_sid": "AC1", "auth_token": "env:12345", "from": "+4759440000" });
    let channels = BTreeMap::from([("sms".to_owned(), settings.clone()), ("voice".to_owned(), settings)]);
    let mut book = OnePage::new();
    let ann = SentTo { user: "ann".to_owned(), channel: "voice".to_owned(), address: NUMBER.to_owned(), reply_code: "4821".to_owned() };
    book.0.insert(NUMBER.to_owned(), ann.clone());
    book.0.insert("ann@example.org".to_owned(), ann);
    Inbox::new(&channels, Some("https://soc.example.org/"), &World, kept, Arc::new(book), Arc::new(World))
}

fn sign(token: &str, path: &str, form: &[(String, String)]) -> String {
    let mut fields = form.to_vec();
    fields.sort();
    let text = fields.iter().fold(format!("https://soc.example.org{path}"), |text, (name, value)| text + name + value);
    let mut mac = Hmac::<sha1::Sha1>::new_from_slice(token.as_bytes()).unwrap();
    mac.update(text.as_bytes());
    base64::engine::general_purpose::STANDARD.encode(mac.finalize().into_bytes())
}

fn form(fields: &[(&str, &str)]) -> Vec<(String, String)> {
    fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

async fn sms(inbox: &Inbox, from: &str, body: &str) -> String {
    let (path, form) = ("/api/v1/oncall/inbound/sms", form(&[("From", from), ("Body", body), ("To", "+4759440000")]));
    let signature = sign("12345", path, &form);
    inbox.sms(&Request { path, signature: &signature, form: &form }).await.unwrap()
}

#[tokio::test]
async fn a_text_message_is_answered_in_words() {
    let kept = Arc::new(Kept::default());
    let inbox = inbox(kept.clone());
    assert!(sms(&inbox, NUMBER, "4821 t").await.contains("<Message>Acknowledged: incident 12.</Message>"));
    {
        let answers = kept.answers.lock().unwrap();
        let code = Subject::ReplyCode { code: "4821".to_owned(), address: NUMBER.to_owned() };
        assert_eq!((&answers[0].subject, &answers[0].action, answers[0].via), (&code, &Action::Take, Via::Sms));
        assert_eq!(answers[0].user.as_deref(), Some("ann"));
    }
    assert!(sms(&inbox, NUMBER, "what?").await.contains("Reply with the page"));
    assert!(sms(&inbox, NUMBER, "0000").await.contains("No open page has the code `0000`."));
    assert!(sms(&inbox, "+4790000009", "4821").await.ends_with("<Response/>"), "strangers are told nothing");
    assert_eq!(kept.answers.lock().unwrap().len(), 1);
    for _ in 0..4 {
        sms(&inbox, NUMBER, "0000").await;
    }
    // Five wrong codes in her name prevent closing by text, but not acknowledging.
    assert!(sms(&inbox, NUMBER, "4821").await.contains("Acknowledged: incident 12."));
    assert!(sms(&inbox, NUMBER, "4821 c fp").await.contains("cannot close for an hour"));
    for _ in 5..50 {
        sms(&inbox, NUMBER, "0000").await;
    }
    assert!(sms(&inbox, NUMBER, "4821").await.contains("Too many wrong codes"));
    assert_eq!(kept.answers.lock().unwrap().len(), 2);
}

/// Numbers can be forged: closing requires the code that was sent to the phone.
#[tokio::test]
async fn a_text_message_closes_with_a_code_only() {
    let kept = Arc::new(Kept::default());
    let inbox = inbox(kept.clone());
    for body in ["close fp", "C", "close", "resolved tp"] {
        assert!(sms(&inbox, NUMBER, body).await.contains("Closing needs the page"), "{body}");
    }
    assert!(kept.answers.lock().unwrap().is_empty());
    assert!(sms(&inbox, NUMBER, "4821 close fp").await.contains("Acknowledged: incident 12."));
}

#[tokio::test]
async fn unsigned_requests_are_rejected() {
    let kept = Arc::new(Kept::default());
    let inbox = inbox(kept.clone());
    let (path, form) = ("/api/v1/oncall/inbound/sms", form(&[("From", NUMBER), ("Body", "4821")]));
    for signature in [String::new(), sign("54321", path, &form), sign("12345", "/api/v1/oncall/inbound/voice", &form)] {
        let refused = inbox.sms(&Request { path, signature: &signature, form: &form }).await;
        assert!(matches!(refused, Err(PhoneError::Unsigned)), "{signature}");
    }
    assert!(kept.answers.lock().unwrap().is_empty());
}

#[tokio::test]
async fn digits_answer_the_page_that_called() {
    let kept = Arc::new(Kept::default());
    let inbox = inbox(kept.clone());
    let path = format!("/api/v1/oncall/inbound/voice?page={PAGE}");
    let press = async |to: &str, digits: &str| {
        let form = form(&[("To", to), ("Digits", digits)]);
        let signature = sign("12345", &path, &form);
        inbox.voice(&Request { path: &path, signature: &signature, form: &form }, PAGE).await.unwrap()
    };
    assert!(press(NUMBER, "4").await.contains("<Say>Acknowledged: incident 12.</Say>"));
    assert!(press(NUMBER, "9").await.contains("means nothing"));
    assert!(press("+4790000009", "4").await.contains("not known"), "the call went to another number");
    let answers = kept.answers.lock().unwrap();
    assert_eq!(answers.len(), 1);
    assert_eq!((&answers[0].subject, &answers[0].action, answers[0].via), (&Subject::Page(PAGE), &Action::Acknowledge, Via::Voice));
}
