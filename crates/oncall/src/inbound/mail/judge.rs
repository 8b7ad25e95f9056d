//! Applies answers by mail: identifies the user, checks authentication for the action, and records the answer.

use model::Timestamp;

use super::Reply;
use crate::answer::{Action, Answer, AnswerError, Answers, Subject, Via};
use crate::inbound::attempts::{Allowed, Attempts};
use crate::inbound::{Book, SentTo};
use crate::links::Signer;

/// Result for a mail, and the SMTP reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Stored.
    Answered(String),
    /// Accepted and ignored.
    Dropped(&'static str),
    /// Permanently rejected: the sending server reports the reason.
    Refused(String),
    /// Temporarily rejected: the sending server retries.
    Later(String),
}

/// Dependencies.
pub struct Judge<'a> {
    pub answers: &'a dyn Answers,
    pub book: &'a dyn Book,
    pub signer: &'a Signer,
    pub attempts: &'a Attempts,
}

/// An answer with a known sender and page.
struct Resolved {
    subject: Subject,
    user: String,
    actions: Vec<Action>,
    /// Authenticated by the code only.
    by_code: bool,
}

impl Judge<'_> {
    /// Applies an answer. Returns after it is stored.
    pub async fn answer(&self, reply: Reply, now: Timestamp) -> Outcome {
        let resolved = match self.resolve(&reply, now).await {
            Ok(resolved) => resolved,
            Err(outcome) => return outcome,
        };
        let is_code = matches!(resolved.subject, Subject::ReplyCode { .. });
        let closes = resolved.actions.iter().any(|action| matches!(action, Action::Close { .. }));
        if closes && resolved.by_code {
            let reason = "a code alone closes nothing by mail; answer the mail that you got, whose address is its proof, or use its link";
            return Outcome::Refused(reason.to_owned());
        }
        let mut says = Vec::new();
        for action in resolved.actions {
            let (subject, user) = (resolved.subject.clone(), Some(resolved.user.clone()));
            let answer = Answer { subject, action, user, via: Via::Email, from: Some(reply.sender.clone()) };
            match self.answers.answer(answer).await {
                Ok(answered) => says.push(answered.says),
                Err(AnswerError::Store(cause)) => return Outcome::Later(cause.to_string()),
                Err(error @ AnswerError::Desk(_)) => return Outcome::Later(error.to_string()),
                Err(error) => {
                    if is_code && matches!(error, AnswerError::NoSuchCode(_)) {
                        self.attempts.note(&reply.sender, reply.source.as_deref(), now);
                    }
                    return Outcome::Refused(error.to_string());
                }
            }
        }
        Outcome::Answered(says.join(" "))
    }

    /// Determines the subject, user and actions of an answer.
    async fn resolve(&self, reply: &Reply, now: Timestamp) -> Result<Resolved, Outcome> {
        let later = |cause: store::StoreError| Outcome::Later(cause.to_string());
        let mut proven = None;
        if let Some(token) = &reply.token
            && let Some(sent) = self.book.page(token.page).await.map_err(later)?
            && self.signer.is_reply_token(token, &sent.address)
        {
            if sent.channel != "email" || !sent.address.eq_ignore_ascii_case(&reply.sender) {
                return Err(Outcome::Refused("this page went to another address; answer from the one that was paged".to_owned()));
            }
            let page = Subject::Page(token.page);
            match &reply.coded {
                Some(coded) if coded.code == sent.reply_code => {
                    return Ok(Resolved { subject: page, user: sent.user, actions: coded.actions.clone(), by_code: false });
                }
                // The code of another page of the user, in a reply to this page's mail.
                Some(coded) if coded.bare => proven = Some(sent),
                _ => return Ok(Resolved { subject: page, user: sent.user, actions: reply.actions.clone(), by_code: false }),
            }
        }
        let by_code = proven.is_none() && !reply.authenticated;
        let holder = match proven {
            Some(sent) => Some(sent),
            None => self.book.holder("email", &reply.sender).await.map_err(later)?,
        };
        let Some(SentTo { user, address, .. }) = holder else {
            return Err(Outcome::Refused("your address is not a contact here".to_owned()));
        };
        let (code, actions) = match (&reply.coded, &reply.code) {
            (Some(coded), named) if coded.bare || named.as_ref().is_none_or(|named| *named == coded.code) => {
                (coded.code.clone(), coded.actions.clone())
            }
            (_, Some(code)) => (code.clone(), reply.actions.clone()),
            (_, None) => return Err(Outcome::Refused("there is no page that this mail answers".to_owned())),
        };
        match self.attempts.allowed(&reply.sender, reply.source.as_deref(), now) {
            Allowed::Nothing if by_code => {
                return Err(Outcome::Refused("too many wrong codes; answer the mail that you got, or use its link".to_owned()));
            }
            _ => {}
        }
        Ok(Resolved { subject: Subject::ReplyCode { code, address }, user, actions, by_code })
    }
}
