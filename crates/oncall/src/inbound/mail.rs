//! An answering mail: from whom it is, which page it answers, what it says.
//!
//! Which page it answers stands in up to three places, from the surest to the weakest: the tag in the address it was sent to, our
//! `Message-ID` in its `References`, and the code in its subject or text. The first two name the page itself, by a number that only its
//! receiver has; a bare code is four digits, so that wrong ones are counted ([`WrongCodes`]).
//!
//! Never an answer (RFC 3834 2, 5.2): mail without a sender, absence notes, delivery reports, anything that says it was sent automatically or to
//! a list. Such mail is taken and dropped; refusing it would make the other side write once more.

use std::collections::HashMap;
use std::sync::LazyLock;

use mail_parser::{Address, HeaderValue, MessageParser, MimeHeaders};
use model::{Span, Timestamp};
use regex::Regex;
use uuid::Uuid;

use super::{Book, SentTo, command, reply};
use crate::answer::{Action, Answer, AnswerError, Answers, Subject, Via};
use crate::channels::{ReplyTag, page_of_message_id};

/// What SMTP said before the content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// Empty: `<>`, which is who sends reports about mail.
    pub from: String,
    pub to: Vec<String>,
}

/// What a mail is.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    Reply(Reply),
    /// No answer, and nobody to tell so.
    Ignore {
        because: &'static str,
    },
    /// Its sender is told why.
    Refuse {
        reason: String,
    },
}

/// An answer by mail.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// Whom it claims to come from, in lower case.
    pub sender: String,
    pub page: Option<Uuid>,
    pub code: Option<String>,
    pub actions: Vec<Action>,
}

/// Reads a mail. Never fails: what cannot be read is refused with the reason.
pub fn read(envelope: &Envelope, raw: &[u8]) -> Reading {
    let Some(mail) = MessageParser::default().parse(raw) else {
        return Reading::Refuse { reason: "this is no mail that can be read".to_owned() };
    };
    if let Some(because) = automatic(envelope, &mail) {
        return Reading::Ignore { because };
    }
    let Some(sender) = only_sender(&mail) else {
        return Reading::Refuse { reason: "the mail must be from one sender".to_owned() };
    };
    let (page, code) = answered_page(envelope, &mail);
    let text = typed(&mail);
    let actions = command::actions(&text);
    if actions.is_empty() {
        return Reading::Refuse { reason: "the answer is empty; write ack, take, escalate, close or a comment".to_owned() };
    }
    let code = code.or_else(|| code_in_quote(&mail));
    if page.is_none() && code.is_none() {
        return Reading::Refuse {
            reason: "the mail names no page; answer the mail that you got, or write its reply code into the subject".to_owned(),
        };
    }
    Reading::Reply(Reply { sender, page, code, actions })
}

fn automatic(envelope: &Envelope, mail: &mail_parser::Message<'_>) -> Option<&'static str> {
    if envelope.from.is_empty() {
        return Some("it has no sender, as delivery reports have");
    }
    let value = |name: &'static str| mail.header_raw(name).map(|value| value.trim().to_ascii_lowercase());
    let local = envelope.from.split('@').next().unwrap_or_default().to_ascii_lowercase();
    if matches!(local.as_str(), "mailer-daemon" | "postmaster" | "noreply" | "no-reply") {
        return Some("it comes from a mail system");
    }
    // `no` may be followed by a comment or parameters.
    if value("Auto-Submitted").is_some_and(|value| !(value == "no" || value.starts_with("no ") || value.starts_with("no;"))) {
        return Some("it was sent automatically");
    }
    if value("Precedence").is_some_and(|value| matches!(value.as_str(), "bulk" | "junk" | "list" | "auto_reply")) {
        return Some("it was sent in bulk");
    }
    if ["X-Autoreply", "X-Autorespond", "X-Auto-Reply-From", "List-Id", "List-Unsubscribe", "X-Loop", "X-Failed-Recipients"]
        .into_iter()
        .any(|name| value(name).is_some())
    {
        return Some("it is an automatic or a list's mail");
    }
    // Exchange marks what it sends by itself so; people's mail asks for other values.
    if value("X-Auto-Response-Suppress").is_some_and(|value| value.split(',').any(|part| part.trim() == "all")) {
        return Some("it was sent automatically");
    }
    let kind = mail.content_type().map(|kind| (kind.ctype().to_ascii_lowercase(), kind.subtype().unwrap_or_default().to_ascii_lowercase()));
    match kind.as_ref().map(|(kind, sub)| (kind.as_str(), sub.as_str())) {
        Some(("multipart", "report")) => Some("it is a report"),
        Some(("text", "calendar")) => Some("it is an invitation"),
        _ => None,
    }
}

fn only_sender(mail: &mail_parser::Message<'_>) -> Option<String> {
    if mail.header_values("From").count() != 1 {
        return None;
    }
    let mut senders = match mail.from()? {
        Address::List(list) => list.iter(),
        Address::Group(_) => return None,
    };
    let sender = senders.next()?.address()?.trim().to_lowercase();
    (senders.next().is_none() && sender.contains('@')).then_some(sender)
}

fn answered_page(envelope: &Envelope, mail: &mail_parser::Message<'_>) -> (Option<Uuid>, Option<String>) {
    let tags = envelope.to.iter().filter_map(|to| ReplyTag::parse(to.rsplit_once('@')?.0.split_once('+')?.1));
    if let Some(tag) = tags.into_iter().next() {
        return (Some(tag.page), Some(tag.code));
    }
    let named = |value: &HeaderValue<'_>| -> Option<Uuid> {
        match value {
            HeaderValue::Text(id) => page_of_message_id(id),
            // The last is the nearest (RFC 5322 3.6.4).
            HeaderValue::TextList(ids) => ids.iter().rev().find_map(|id| page_of_message_id(id)),
            _ => None,
        }
    };
    let page = named(mail.in_reply_to()).or_else(|| named(mail.references()));
    let code = envelope
        .to
        .iter()
        .filter_map(|to| to.rsplit_once('@')?.0.split_once('+').map(|(_, tag)| tag))
        .find(|tag| is_code(tag))
        .map(str::to_owned)
        .or_else(|| SUBJECT_CODE.captures(mail.subject().unwrap_or_default()).map(|found| found[1].to_owned()));
    (page, code)
}

fn is_code(text: &str) -> bool {
    (4..=8).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

/// A subject that is nothing but the code, or has it in brackets or after `code`.
static SUBJECT_CODE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?i)^(?:\w{1,4}:\s*)*(?:code\s+|\[)?([0-9]{4,8})\]?\s*$").expect("the pattern is ours"));

/// As our mails write it at their end.
static QUOTED_CODE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\bReply code ([0-9]{4,8})\b").expect("the pattern is ours"));

fn code_in_quote(mail: &mail_parser::Message<'_>) -> Option<String> {
    QUOTED_CODE.captures(&mail.body_text(0)?).map(|found| found[1].to_owned())
}

/// What the sender typed, from the text part or, where there is none, from HTML.
fn typed(mail: &mail_parser::Message<'_>) -> String {
    let plain = mail.text_bodies().find(|part| !part.is_text_html()).and_then(|part| part.text_contents());
    if let Some(plain) = plain {
        let written = reply::written(plain);
        if !written.is_empty() {
            return written;
        }
    }
    let Some(html) = mail.body_html(0) else { return String::new() };
    let above = mail_parser::decoders::html::html_to_text(reply::above_quote(&html));
    reply::written(&above)
}

/// Wrong codes of a sender, so that nobody finds one by trying.
#[derive(Debug, Default)]
pub struct WrongCodes(HashMap<String, Vec<Timestamp>>);

impl WrongCodes {
    /// So many in an hour; of 10,000 codes.
    const LIMIT: usize = 5;
    /// Senders that are remembered; more are as good as an attack, and the oldest make room.
    const SENDERS: usize = 10_000;

    pub fn may_try(&mut self, sender: &str, now: Timestamp) -> bool {
        let Some(times) = self.0.get_mut(sender) else { return true };
        times.retain(|at| now.ticks().saturating_sub(at.ticks()) < Span::HOUR.ticks());
        times.len() < Self::LIMIT
    }

    pub fn note(&mut self, sender: &str, now: Timestamp) {
        if self.0.len() >= Self::SENDERS
            && let Some(oldest) = self.0.iter().min_by_key(|(_, times)| times.last().copied()).map(|(sender, _)| sender.clone())
        {
            self.0.remove(&oldest);
        }
        self.0.entry(sender.to_owned()).or_default().push(now);
    }
}

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

/// Acts on an answer. Returns after it is stored.
pub async fn answer(reply: Reply, answers: &dyn Answers, book: &dyn Book, wrong: &std::sync::Mutex<WrongCodes>, now: Timestamp) -> Outcome {
    let by_code = match subject(&reply, book, wrong, now).await {
        Ok(found) => found,
        Err(outcome) => return outcome,
    };
    let (subject, user) = by_code;
    let is_code = matches!(subject, Subject::ReplyCode { .. });
    let mut says = Vec::new();
    for action in reply.actions {
        let answer = Answer { subject: subject.clone(), action, user: user.clone(), via: Via::Email, from: Some(reply.sender.clone()) };
        match answers.answer(answer).await {
            Ok(answered) => says.push(answered.says),
            Err(AnswerError::Store(cause)) => return Outcome::Later(cause.to_string()),
            Err(error @ AnswerError::Desk(_)) => return Outcome::Later(error.to_string()),
            Err(error) => {
                if is_code {
                    wrong.lock().unwrap_or_else(std::sync::PoisonError::into_inner).note(&reply.sender, now);
                }
                return Outcome::Refused(error.to_string());
            }
        }
    }
    Outcome::Answered(says.join(" "))
}

/// What the answer is about and who gives it; checks that the sender is whom the page went to.
async fn subject(
    reply: &Reply,
    book: &dyn Book,
    wrong: &std::sync::Mutex<WrongCodes>,
    now: Timestamp,
) -> Result<(Subject, Option<String>), Outcome> {
    let later = |cause: store::StoreError| Outcome::Later(cause.to_string());
    if let Some(id) = reply.page
        && let Some(sent) = book.page(id).await.map_err(later)?
    {
        if sent.channel != "email" || !sent.address.eq_ignore_ascii_case(&reply.sender) {
            return Err(Outcome::Refused("this page went to another address; answer from the one that was paged".to_owned()));
        }
        return Ok((Subject::Page(id), Some(sent.user)));
    }
    let Some(SentTo { user, address, .. }) = book.holder("email", &reply.sender).await.map_err(later)? else {
        return Err(Outcome::Refused("your address is nobody's contact here".to_owned()));
    };
    let Some(code) = reply.code.clone() else {
        return Err(Outcome::Refused("there is no page that this mail answers".to_owned()));
    };
    if !wrong.lock().unwrap_or_else(std::sync::PoisonError::into_inner).may_try(&reply.sender, now) {
        return Err(Outcome::Refused("too many wrong codes; use the link in the mail, or try again in an hour".to_owned()));
    }
    Ok((Subject::ReplyCode { code, address }, Some(user)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(to: &str) -> Envelope {
        Envelope { from: "ann@example.org".to_owned(), to: vec![to.to_owned()] }
    }

    const PAGE: &str = "123456789abcdef0123456789abcdef0";

    fn reply(to: &str, raw: &str) -> Reply {
        match read(&envelope(to), raw.replace('\n', "\r\n").as_bytes()) {
            Reading::Reply(reply) => reply,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_address_names_the_page() {
        let found = reply(&format!("oncall+4821-{PAGE}@soc.example.org"), "From: Ann <Ann@Example.org>\nSubject: Re: x\n\nack\n");
        assert_eq!(found.sender, "ann@example.org");
        assert_eq!(found.page, Uuid::try_parse(PAGE).ok());
        assert_eq!(found.code.as_deref(), Some("4821"));
        assert_eq!(found.actions, [Action::Acknowledge]);
    }

    #[test]
    fn references_name_the_page_where_the_address_lost_its_tag() {
        let raw =
            format!("From: ann@example.org\nReferences: <incident.1@example.org>\n <page.{PAGE}@example.org>\nSubject: Re: x\n\nack\n");
        assert_eq!(reply("oncall@soc.example.org", &raw).page, Uuid::try_parse(PAGE).ok());
        let raw = format!("From: ann@example.org\nIn-Reply-To: <page.{PAGE}@example.org>\nSubject: Re: x\n\nack\n");
        assert_eq!(reply("oncall@soc.example.org", &raw).page, Uuid::try_parse(PAGE).ok());
    }

    #[test]
    fn a_code_is_found_in_the_address_the_subject_and_the_quote() {
        for (to, raw) in [
            ("oncall+4821@soc.example.org", "From: ann@example.org\n\nack\n"),
            ("oncall@soc.example.org", "From: ann@example.org\nSubject: 4821\n\nack\n"),
            ("oncall@soc.example.org", "From: ann@example.org\nSubject: SV: [4821]\n\nack\n"),
            ("oncall@soc.example.org", "From: ann@example.org\nSubject: Re: x\n\nack\n\n> Reply code 4821\n"),
        ] {
            let found = reply(to, raw);
            assert_eq!((found.page, found.code.as_deref()), (None, Some("4821")), "{raw}");
        }
        let found = read(&envelope("oncall@soc.example.org"), b"From: ann@example.org\r\nSubject: Incident 4821 again\r\n\r\nack\r\n");
        assert!(matches!(found, Reading::Refuse { .. }), "a number in a sentence is no code: {found:?}");
    }

    /// The forms of RFC 3834 5, RFC 3462 and what Exchange, Gmail and vacation(1) send.
    #[test]
    fn automatic_mail_is_never_an_answer() {
        let to = format!("oncall+4821-{PAGE}@soc.example.org");
        for header in [
            "Auto-Submitted: auto-replied",
            "Auto-Submitted: auto-generated",
            "Auto-Submitted: auto-replied (vacation)",
            "Precedence: bulk",
            "Precedence: auto_reply",
            "X-Autoreply: yes",
            "X-Auto-Response-Suppress: All",
            "List-Id: <x.example.org>",
            "Content-Type: multipart/report; report-type=delivery-status; boundary=b",
        ] {
            let raw = format!("From: ann@example.org\r\nSubject: x\r\n{header}\r\n\r\nack\r\n");
            assert!(matches!(read(&envelope(&to), raw.as_bytes()), Reading::Ignore { .. }), "{header}");
        }
        let null = Envelope { from: String::new(), to: vec![to.clone()] };
        assert!(matches!(read(&null, b"From: ann@example.org\r\n\r\nack\r\n"), Reading::Ignore { .. }));
        let raw = b"From: ann@example.org\r\nAuto-Submitted: no\r\n\r\nack\r\n";
        assert!(matches!(read(&envelope(&to), raw), Reading::Reply(_)));
    }

    #[test]
    fn a_mail_of_several_or_no_senders_is_nobodys_answer() {
        let to = format!("oncall+4821-{PAGE}@soc.example.org");
        for head in
            ["From: a@example.org, b@example.org\r\n", "", "From: a@example.org\r\nFrom: b@example.org\r\n", "From: undisclosed:;\r\n"]
        {
            let raw = format!("{head}Subject: x\r\n\r\nack\r\n");
            assert!(matches!(read(&envelope(&to), raw.as_bytes()), Reading::Refuse { .. }), "{head:?}");
        }
    }

    #[test]
    fn html_without_text_is_read_up_to_its_quote() {
        let raw = "From: ann@example.org\nContent-Type: text/html; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n\
                   <html><head><style>p {margin:0}</style></head><body><p>close fp</p><p>bl=C3=A5b=C3=A6r</p>\
                   <div id=3D\"appendonsend\"></div><hr><div id=3D\"divRplyFwdMsg\"><b>From:</b> x</div></body></html>\n";
        let found = reply(&format!("oncall+4821-{PAGE}@soc.example.org"), raw);
        let [Action::Close { classification, comment }] = &found.actions[..] else { panic!("{found:?}") };
        assert_eq!(*classification, Some(model::Classification::FalsePositive));
        assert_eq!(comment.as_deref(), Some("blåbær"));
    }

    #[test]
    fn codes_cannot_be_tried() {
        let mut wrong = WrongCodes::default();
        let now = Timestamp::UNIX_EPOCH;
        for _ in 0..WrongCodes::LIMIT {
            assert!(wrong.may_try("eve", now));
            wrong.note("eve", now);
        }
        assert!(!wrong.may_try("eve", now));
        assert!(wrong.may_try("ann", now));
        let later = Timestamp::from_ticks(now.ticks() + Span::HOUR.ticks()).unwrap();
        assert!(wrong.may_try("eve", later));
    }

    /// Bytes that are no mail at all, from a generator with a fixed beginning.
    #[test]
    fn any_bytes_are_read_without_a_panic() {
        let mut state = 1u64;
        for length in 0..600 {
            let bytes: Vec<u8> = (0..length)
                .map(|_| {
                    state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                    (state >> 33) as u8
                })
                .collect();
            let mut mail = b"From: a@b.c\r\nSubject: x\r\nContent-Type: multipart/mixed; boundary=\"".to_vec();
            mail.extend(&bytes);
            let _ = read(&envelope("a+1@b.c"), &bytes);
            let _ = read(&envelope("a+1@b.c"), &mail);
        }
    }
}
