//! What people answer, however they do it.

use std::fmt;

use model::Classification;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// What somebody wants done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It is being looked at: stop paging.
    Acknowledge,
    /// As `Acknowledge`, and the incident is theirs.
    Take,
    /// Go to the next step now, or to the one named (counted from 1).
    Escalate { step: Option<u32> },
    /// The alerts are dealt with.
    Close { classification: Option<Classification>, comment: Option<String> },
    /// A remark in the incident's thread.
    Comment { text: String },
    /// The page was looked at.
    Seen,
}

/// As people say it: `escalate to step 2`, `close (FalsePositive): the scanner`.
impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Acknowledge => f.write_str("acknowledge"),
            Self::Take => f.write_str("take"),
            Self::Escalate { step: None } => f.write_str("escalate"),
            Self::Escalate { step: Some(step) } => write!(f, "escalate to step {step}"),
            Self::Close { classification, comment } => {
                f.write_str("close")?;
                if let Some(classification) = classification {
                    write!(f, " ({})", classification.name())?;
                }
                comment.as_ref().map_or(Ok(()), |comment| write!(f, ": {comment}"))
            }
            Self::Comment { text } => write!(f, "comment: {text}"),
            Self::Seen => f.write_str("seen"),
        }
    }
}

/// What it is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// The page itself: all alerts that its incident held when it was sent.
    Page(Uuid),
    /// All alerts that the incident holds.
    Incident(Uuid),
    /// By the number that people see.
    IncidentNumber(i64),
    /// One alert.
    Alert(Uuid),
    /// The page that has this reply code and went to this address.
    ReplyCode { code: String, address: String },
    /// The newest open page that went to this address, when a reply names none.
    Newest { address: String },
}

/// How it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Via {
    Link,
    Cli,
    Api,
    Portal,
    Email,
    Sms,
    Voice,
}

impl Via {
    pub fn name(self) -> &'static str {
        match self {
            Via::Link => "link",
            Via::Cli => "cli",
            Via::Api => "api",
            Via::Portal => "portal",
            Via::Email => "email",
            Via::Sms => "sms",
            Via::Voice => "voice",
        }
    }
}

/// An answer. `user` is a name of the directory; none where the subject says who it is (a page goes to one person).
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub subject: Subject,
    pub action: Action,
    pub user: Option<String>,
    pub via: Via,
    /// Where it came from: a network address, a phone number, a mail address.
    pub from: Option<String>,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    pub incident: Uuid,
    pub number: i64,
    pub title: String,
    /// False: it had been done before; nothing changed.
    pub changed: bool,
    /// One sentence for the person. Example: `Acknowledged: incident 12 is yours.`
    pub says: String,
}

/// Why an answer changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum AnswerError {
    #[error("no open page has the code `{0}`")]
    NoSuchCode(String),
    #[error("there is no page `{0}`")]
    NoPage(Uuid),
    #[error("there is no incident {0}")]
    NoIncident(String),
    #[error("there is no user `{0}` on call's directory")]
    NoUser(String),
    #[error("the policy has no step {0}")]
    NoStep(u32),
    #[error("the incident is closed; reopen it first")]
    Closed,
    /// What was answered is a page of before.
    #[error("the incident was closed and opened again since that message; answer the newest one, or the incident itself")]
    Reopened,
    #[error("the answer was not saved")]
    Store(#[from] store::StoreError),
    #[error("the incident was not changed")]
    Desk(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Takes answers; implemented by the paging engine.
#[async_trait::async_trait]
pub trait Answers: Send + Sync {
    async fn answer(&self, answer: Answer) -> Result<Answered, AnswerError>;
}
