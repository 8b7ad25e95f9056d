//! Answers to pages, independent of the channel.

use std::fmt;

use model::Classification;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The requested action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Stop paging: the incident is being looked at.
    Acknowledge,
    /// As `Acknowledge`, and assign the incident to the user.
    Take,
    /// Go to the next step now, or to the given one (counted from 1).
    Escalate { step: Option<u32> },
    /// Resolve the alerts.
    Close { classification: Option<Classification>, comment: Option<String> },
    /// Add a comment to the incident.
    Comment { text: String },
    /// Mark the page as seen.
    Seen,
}

/// For people: `escalate to step 2`, `close (FalsePositive): the scanner`.
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

/// What an answer refers to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// A page: all alerts of its incident at the time of sending.
    Page(Uuid),
    /// All alerts of the incident.
    Incident(Uuid),
    /// As above, by incident number.
    IncidentNumber(i64),
    /// One alert.
    Alert(Uuid),
    /// The page with this reply code that went to this address.
    ReplyCode { code: String, address: String },
    /// The newest open page to this address, for replies without a code.
    Newest { address: String },
}

/// Channel of the answer.
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

/// An answer. `user` is a name in the directory; `None` if the subject implies the user (a page goes to one person).
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub subject: Subject,
    pub action: Action,
    pub user: Option<String>,
    pub via: Via,
    /// Origin: a network address, phone number or email address.
    pub from: Option<String>,
}

/// Result of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    pub incident: Uuid,
    pub number: i64,
    pub title: String,
    /// False if the action had been done before.
    pub changed: bool,
    /// One sentence for the user. Example: `Acknowledged: incident 12 is yours.`
    pub says: String,
}

/// Why an answer was rejected.
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
    /// The answered page is from before the incident was reopened.
    #[error("the incident was closed and opened again since that message; answer the newest one, or the incident itself")]
    Reopened,
    #[error("the answer was not saved")]
    Store(#[from] store::StoreError),
    #[error("the incident was not changed")]
    Desk(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Processes answers; implemented by the paging engine.
#[async_trait::async_trait]
pub trait Answers: Send + Sync {
    async fn answer(&self, answer: Answer) -> Result<Answered, AnswerError>;
}
