//! What becomes of an answer by mail: who gives it, whether that is proven well enough for what it asks, and what it changes.

use model::Timestamp;

use super::Reply;
use crate::answer::{Action, Answer, AnswerError, Answers, Subject, Via};
use crate::inbound::attempts::{Allowed, Attempts};
use crate::inbound::{Book, SentTo};
use crate::links::Signer;

/// What becomes of a mail, and what its sender's server is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Stored.
    Answered(String),
    /// Taken, and nothing done.
    Dropped(&'static str),
    /// Certainly not: the sender's server tells them why.
    Refused(String),
    /// Not now: the sender's server tries again.
    Later(String),
}

/// What answers are judged with.
pub struct Judge<'a> {
    pub answers: &'a dyn Answers,
    pub book: &'a dyn Book,
    pub signer: &'a Signer,
    pub attempts: &'a Attempts,
}

/// An answer whose sender and page are known.
struct Resolved {
    subject: Subject,
    user: String,
    actions: Vec<Action>,
    /// The code is all that proves it.
    by_code: bool,
}

impl Judge<'_> {
    /// Acts on an answer. Returns after it is stored.
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

    /// What the answer is about, who gives it and what it says.
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
                // The code of another page of theirs, in answer to this one's mail.
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
