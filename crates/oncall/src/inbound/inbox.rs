//! Processes requests of telephone providers after HTTP: authentication, answers, replies.

use std::collections::BTreeMap;
use std::sync::Arc;

use model::{Clock, Secret, Secrets};
use serde_json::Value;
use store::StoreError;
use uuid::Uuid;

use super::attempts::{Allowed, Attempts};
use super::phone::{self, Form, Inbound};
use super::{Book, SentTo};
use crate::answer::{Action, Answer, AnswerError, Answers, Subject};
use crate::channels::PhoneSettings;

/// Requests of telephone providers.
pub struct Inbox {
    accounts: Vec<Account>,
    answers: Arc<dyn Answers>,
    book: Arc<dyn Book>,
    clock: Arc<dyn Clock>,
    attempts: Attempts,
}

struct Account {
    token: Secret<String>,
    /// Our base URL as known to the provider, without trailing slash.
    base: String,
}

/// The relevant parts of a request.
pub struct Request<'r> {
    /// Path and query string, as sent.
    pub path: &'r str,
    /// The header `X-Twilio-Signature`.
    pub signature: &'r str,
    pub form: &'r Form,
}

/// Why a request is rejected.
#[derive(Debug, thiserror::Error)]
pub enum PhoneError {
    #[error("the request is not signed by an account that is set up here, for the address that it was sent to")]
    Unsigned,
    #[error("the answer was not saved")]
    Store(#[from] StoreError),
    #[error("the answer was not followed")]
    Answer(#[source] AnswerError),
}

impl Inbox {
    /// Takes the accounts from the settings of the channels `sms` and `voice`. Skips accounts without our public URL and those with invalid
    /// settings, which the channel itself reports.
    pub fn new(
        channels: &BTreeMap<String, Value>,
        public_url: Option<&str>,
        secrets: &dyn Secrets,
        answers: Arc<dyn Answers>,
        book: Arc<dyn Book>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let accounts = ["sms", "voice"].iter().filter_map(|name| account(channels.get(*name)?.clone(), public_url, secrets)).collect();
        Self { accounts, answers, book, clock, attempts: Attempts::default() }
    }

    fn check(&self, request: &Request<'_>) -> Result<(), PhoneError> {
        let signed = self.accounts.iter().any(|account| {
            phone::verify(account.token.reveal(), &format!("{}{}", account.base, request.path), request.form, request.signature)
        });
        if signed { Ok(()) } else { Err(PhoneError::Unsigned) }
    }

    /// Handles a text message; returns the TwiML of the reply. Unknown senders get no reply.
    pub async fn sms(&self, request: &Request<'_>) -> Result<String, PhoneError> {
        self.check(request)?;
        let inbound = phone::sms(request.form);
        let sender = match &inbound {
            Inbound::Nothing => return Ok(phone::message("")),
            Inbound::OptedOut { address } | Inbound::OptedIn { address } => address.clone(),
            Inbound::Help | Inbound::NeedsCode => {
                request.form.iter().find(|(name, _)| name == "From").map(|(_, from)| from.trim().to_owned()).unwrap_or_default()
            }
            Inbound::Answers(answers) => answers.first().and_then(|answer| answer.from.clone()).unwrap_or_default(),
        };
        let Some(SentTo { user, address, .. }) = self.book.holder("sms", &sender).await? else {
            tracing::info!("a text message came from a number that is nobody's contact");
            return Ok(phone::message(""));
        };
        Ok(match inbound {
            Inbound::Nothing => phone::message(""),
            Inbound::Help => phone::message(phone::HELP),
            Inbound::NeedsCode => phone::message(phone::NEEDS_CODE),
            Inbound::OptedOut { .. } => {
                self.book.opted("sms", &address, true).await?;
                tracing::warn!(user, "a contact said stop: no text messages are sent to it until it says start");
                phone::message("")
            }
            Inbound::OptedIn { .. } => {
                self.book.opted("sms", &address, false).await?;
                tracing::info!(user, "a contact takes text messages again");
                phone::message("")
            }
            Inbound::Answers(answers) => phone::message(&self.answer_all(answers, &user, &sender).await?),
        })
    }

    /// Handles a digit pressed in a call; returns the TwiML to be spoken.
    pub async fn voice(&self, request: &Request<'_>, page: Uuid) -> Result<String, PhoneError> {
        self.check(request)?;
        let Some(answer) = phone::voice(request.form, page) else { return Ok(phone::say("That digit means nothing here. Goodbye.")) };
        let sent = self.book.page(page).await?.filter(|sent| sent.channel == "voice" && Some(&sent.address) == answer.from.as_ref());
        let Some(SentTo { user, .. }) = sent else { return Ok(phone::say("This call is about a page that is not known. Goodbye.")) };
        Ok(phone::say(&match self.answers.answer(Answer { user: Some(user), ..answer }).await {
            Ok(answered) => answered.says,
            Err(error) => said(error)?,
        }))
    }

    /// Handles a delivery receipt.
    pub async fn status(&self, request: &Request<'_>, page: Uuid) -> Result<(), PhoneError> {
        self.check(request)?;
        match phone::status(request.form) {
            Some(news) => Ok(self.book.news(page, news).await?),
            None => Ok(()),
        }
    }

    async fn answer_all(&self, answers: Vec<Answer>, user: &str, sender: &str) -> Result<String, PhoneError> {
        let now = self.clock.now();
        let by_code = |answer: &Answer| matches!(answer.subject, Subject::ReplyCode { .. });
        let closes = answers.iter().any(|answer| matches!(answer.action, Action::Close { .. }));
        // Numbers can be forged, so wrong codes from a number must not prevent its owner from acknowledging.
        match self.attempts.allowed(sender, None, now) {
            Allowed::Nothing if answers.iter().any(by_code) => {
                return Ok("Too many wrong codes came from this number; use a link, or try again in an hour.".to_owned());
            }
            Allowed::NotClosing if closes => {
                return Ok("Too many wrong codes came from this number: it cannot close for an hour. Use a link.".to_owned());
            }
            _ => {}
        }
        let mut says = Vec::new();
        for answer in answers {
            let is_code = by_code(&answer);
            match self.answers.answer(Answer { user: Some(user.to_owned()), ..answer }).await {
                Ok(answered) => says.push(answered.says),
                Err(error) => {
                    if is_code && matches!(error, AnswerError::NoSuchCode(_)) {
                        self.attempts.note(sender, None, now);
                    }
                    return said(error);
                }
            }
        }
        Ok(says.join(" "))
    }
}

fn account(settings: Value, public_url: Option<&str>, secrets: &dyn Secrets) -> Option<Account> {
    let settings: PhoneSettings = crate::channels::settings(settings).ok()?;
    let base = settings.public_url.as_deref().or(public_url)?.trim_end_matches('/').to_owned();
    Some(Account { token: secrets.resolve(&settings.auth_token).ok()?, base })
}

/// The reply for a rejected answer; internal errors are returned for logging instead.
fn said(error: AnswerError) -> Result<String, PhoneError> {
    match error {
        AnswerError::Store(cause) => Err(PhoneError::Store(cause)),
        error @ AnswerError::Desk(_) => Err(PhoneError::Answer(error)),
        error => {
            let text = error.to_string();
            let mut characters = text.chars();
            Ok(characters.next().map(|first| first.to_uppercase().chain(characters).chain(['.']).collect()).unwrap_or_default())
        }
    }
}
