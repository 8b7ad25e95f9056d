//! Fake ports.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use model::{Clock, Http, HttpError, HttpRequest, HttpResponse, Secret, SecretError, SecretRef, Secrets, Span, Timestamp};
use oncall::answer::{Answer, AnswerError, Answered, Answers};
use oncall::channel::Ports;
use oncall::inbound::{Book, News, SentTo};
use oncall::links::Signer;
use oncall::message::{Links, Message, MessageKind};
use store::StoreError;
use uuid::Uuid;

pub struct World;

impl World {
    pub fn ports() -> Ports {
        Ports { http: Arc::new(World), clock: Arc::new(World), secrets: Arc::new(World) }
    }
}

#[async_trait]
impl Http for World {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        Err(HttpError::Url { url: request.url, reason: "this test uses no HTTP".to_owned() })
    }
}

#[async_trait]
impl Clock for World {
    fn now(&self) -> Timestamp {
        Timestamp::parse_iso("2026-11-20T08:00:00Z").unwrap()
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    async fn sleep(&self, _: Span) {}
}

impl Secrets for World {
    /// The secret is the reference's own path: `env:geheim` is `geheim`.
    fn resolve(&self, reference: &SecretRef) -> Result<Secret<String>, SecretError> {
        let (_, place) = reference.parts().ok_or(SecretError::NotAReference)?;
        Ok(Secret::new(place.to_owned()))
    }
}

/// Stores answers; fails on request.
#[derive(Default)]
pub struct Kept {
    pub answers: Mutex<Vec<Answer>>,
    pub fail: Mutex<bool>,
}

#[async_trait]
impl Answers for Kept {
    async fn answer(&self, answer: Answer) -> Result<Answered, AnswerError> {
        if *self.fail.lock().unwrap() {
            return Err(AnswerError::Store(StoreError::Corrupt {
                aggregate: "page",
                id: String::new(),
                cause: serde_json::from_str::<i32>("x").unwrap_err(),
            }));
        }
        if let oncall::answer::Subject::ReplyCode { code, .. } = &answer.subject
            && code != "4821"
        {
            return Err(AnswerError::NoSuchCode(code.clone()));
        }
        self.answers.lock().unwrap().push(answer);
        Ok(Answered {
            incident: Uuid::nil(),
            number: 12,
            title: String::new(),
            changed: true,
            says: "Acknowledged: incident 12.".to_owned(),
        })
    }
}

/// Has one page and the users of addresses.
pub struct OnePage(pub HashMap<String, SentTo>);

pub const PAGE: Uuid = Uuid::from_u128(0x1234_5678_9abc_def0_1234_5678_9abc_def0);

impl OnePage {
    pub fn new() -> Self {
        let ann = SentTo {
            user: "ann".to_owned(),
            channel: "email".to_owned(),
            address: "Ann@example.org".to_owned(),
            reply_code: "4821".to_owned(),
        };
        Self(HashMap::from([("ann@example.org".to_owned(), ann)]))
    }
}

#[async_trait]
impl Book for OnePage {
    async fn page(&self, id: Uuid) -> Result<Option<SentTo>, StoreError> {
        Ok((id == PAGE).then(|| self.0["ann@example.org"].clone()))
    }

    async fn holder(&self, _: &str, address: &str) -> Result<Option<SentTo>, StoreError> {
        Ok(self.0.get(&address.to_lowercase()).cloned())
    }

    async fn opted(&self, _: &str, _: &str, _: bool) -> Result<(), StoreError> {
        Ok(())
    }

    async fn news(&self, _: Uuid, _: News) -> Result<(), StoreError> {
        Ok(())
    }
}

/// The signing key of links and reply addresses in these tests.
pub fn signer() -> Signer {
    Signer::new(Secret::new(vec![7; 32]))
}

/// The token in the reply address of the page's mail.
pub fn token() -> String {
    signer().reply_token(PAGE, "ann@example.org").write()
}

pub fn message(address: &str) -> Message {
    let incident = serde_json::json!({
        "id": Uuid::from_u128(7), "number": 12, "title": "A password was leaked <b>", "description": "Found on a forum: blåbær",
        "severity": "High", "status": "New", "owner": null, "created": "2026-11-20T07:59:00Z", "tactics": ["CredentialAccess"],
        "alerts": 2, "entities": ["ann@example.com"], "evidence": ["source: forum", "score: 5"], "dedup_key": "k",
    });
    Message {
        key: PAGE,
        kind: MessageKind::Page,
        user: "ann".to_owned(),
        user_name: "Ann Bjørk".to_owned(),
        address: address.to_owned(),
        at: Timestamp::parse_iso("2026-11-20T08:00:00Z").unwrap(),
        incident: serde_json::from_value(incident).ok(),
        subject: "[High] #12 A password was leaked – æøå".to_owned(),
        short: "High: a password was leaked. Reply 4821 to acknowledge.".to_owned(),
        long: "Incident 12: a password was leaked\n.a line that begins with a dot\nblåbær".to_owned(),
        links: Links { acknowledge: Some("https://soc.example.org/oncall/answer/abc".to_owned()), ..Links::default() },
        reply_code: Some("4821".to_owned()),
        reply_token: Some(token()),
        time_zone: None,
    }
}
