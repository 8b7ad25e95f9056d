//! Builds the mail: headers and parts (RFC 5322, 2046).
//!
//! - `Message-ID` is derived from the message's key, so that mail readers drop duplicates.
//! - `In-Reply-To` and `References` name an id derived from the incident, so that all its mails form one thread (RFC 5322 3.6.4).
//! - `Auto-Submitted` (RFC 3834), `X-Auto-Response-Suppress` (MS-OXCMAIL 2.2.3.2.14) and `List-Id` (RFC 2919) suppress automatic replies.
//! - `Reply-To` carries the page in its sub-address (RFC 5233), so that a reply identifies the page even if the mail reader alters the
//!   rest.

use lettre::message::header::{HeaderName, HeaderValue};
use lettre::message::{Mailbox, MultiPart};
use lettre::{Address, Message as Mail};
use model::Severity;
use std::time::{Duration, SystemTime};

use super::html;
use crate::links::ReplyToken;
use crate::message::{Links, Message, MessageKind};

/// Identity of the sender in mails.
#[derive(Clone, Debug)]
pub(crate) struct MailIds {
    pub from: Mailbox,
    pub reply_to: Option<Address>,
    pub plus_addressing: bool,
}

/// `<page.TOKEN@domain>`, or `<page.KEY@domain>` if the message cannot be answered; [`token_of_message_id`] parses it from the `References`
/// of a reply.
pub(crate) fn message_id(message: &Message, ids: &MailIds) -> String {
    let name = message.reply_token.clone().unwrap_or_else(|| message.key.simple().to_string());
    format!("<page.{name}@{}>", ids.from.email.domain())
}

/// As [`message_id`], without the token that authenticates a reply: for the list of pages.
pub(crate) fn shown_id(message: &Message, ids: &MailIds) -> String {
    format!("<page.{}@{}>", message.key.simple(), ids.from.email.domain())
}

/// The token in a `Message-ID` of ours.
pub(crate) fn token_of_message_id(id: &str) -> Option<ReplyToken> {
    let id = id.trim().trim_start_matches('<');
    ReplyToken::parse(id.strip_prefix("page.")?.split_once('@')?.0)
}

/// Builds the mail of a message. The error is one sentence.
pub(crate) fn compose(message: &Message, ids: &MailIds) -> Result<Mail, String> {
    let to: Address = message.address.parse().map_err(|cause| format!("the contact is no mail address: {cause}"))?;
    let to = Mailbox::new(Some(one_line(&message.user_name, 80)).filter(|name| !name.is_empty()), to);
    let domain = ids.from.email.domain();
    let mut mail = Mail::builder()
        .from(ids.from.clone())
        .to(to)
        .subject(one_line(&message.subject, 160))
        .message_id(Some(message_id(message, ids)))
        .date(SystemTime::UNIX_EPOCH + Duration::from_secs(u64::try_from(message.at.unix_seconds()).unwrap_or_default()));
    if let Some(incident) = &message.incident {
        let thread = format!("<incident.{}@{domain}>", incident.id.simple());
        mail = mail.in_reply_to(thread.clone()).references(thread);
    }
    if let Some(reply_to) = &ids.reply_to {
        mail = mail.reply_to(Mailbox::new(None, reply_address(reply_to, message, ids.plus_addressing)));
    }
    let urgent = message.kind == MessageKind::Page && message.incident.as_ref().is_some_and(|incident| incident.severity == Severity::High);
    let mut headers = vec![
        ("Auto-Submitted", "auto-generated".to_owned()),
        ("X-Auto-Response-Suppress", "OOF, AutoReply".to_owned()),
        ("List-Id", format!("<oncall.{domain}>")),
    ];
    if urgent {
        headers.extend([("Importance", "high".to_owned()), ("X-Priority", "1".to_owned())]);
    }
    for (name, value) in headers {
        mail = mail.raw_header(HeaderValue::new(HeaderName::new_from_ascii_str(name), value));
    }
    let answerable = ids.reply_to.is_some() && message.reply_code.is_some();
    mail.multipart(MultiPart::alternative_plain_html(plain(message, answerable), html::render(message, answerable)))
        .map_err(|cause| cause.to_string())
}

/// `oncall@example.org` → `oncall+TOKEN@example.org`, if the page has a token and the local part has room for it (RFC 5321 4.5.3.1.1).
fn reply_address(reply_to: &Address, message: &Message, plus_addressing: bool) -> Address {
    let tagged = message.reply_token.as_ref().filter(|_| plus_addressing).and_then(|token| {
        let local = format!("{}+{token}", reply_to.user());
        (local.len() <= 64).then(|| Address::new(local, reply_to.domain()).ok()).flatten()
    });
    tagged.unwrap_or_else(|| reply_to.clone())
}

/// Links with labels, in order of importance.
pub(super) fn labelled(links: &Links) -> Vec<(&'static str, &str)> {
    let all = [
        ("Acknowledge", &links.acknowledge),
        ("Take", &links.take),
        ("Escalate", &links.escalate),
        ("Close", &links.close),
        ("Open", &links.open),
    ];
    all.into_iter().filter_map(|(label, link)| Some((label, link.as_deref()?))).filter(|(_, link)| is_web(link)).collect()
}

/// Whether the link is HTTP(S): other schemes (`javascript:`) would be an injection.
fn is_web(link: &str) -> bool {
    url::Url::parse(link).is_ok_and(|url| matches!(url.scheme(), "http" | "https"))
}

pub(super) const HOW_TO_ANSWER: &str = "Or answer this mail. First word: ack, take, escalate, or close (close fp, tp or bp, then a comment). \
Anything else becomes a comment.";

fn plain(message: &Message, answerable: bool) -> String {
    let mut text = message.long.trim_end().replace("\r\n", "\n");
    let links = labelled(&message.links);
    if !links.is_empty() {
        text += "\n";
        for (label, link) in links {
            text += &format!("\n{label}: {link}");
        }
    }
    if answerable {
        text += &format!("\n\n{HOW_TO_ANSWER}");
    }
    // If the reply address loses its tag, the code in the quoted text or the subject still identifies the page.
    if let Some(code) = &message.reply_code {
        text += &format!("\n\nReply code {code}");
    }
    text.push('\n');
    text
}

/// For headers: no control characters, and at most `limit` characters.
fn one_line(text: &str, limit: usize) -> String {
    let line: String = text.chars().map(|c| if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') { ' ' } else { c }).collect();
    let words: Vec<&str> = line.split_whitespace().collect();
    words.join(" ").chars().take(limit).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use mail_parser::MessageParser;
    use model::{IncidentStatus, Timestamp};
    use uuid::Uuid;

    use super::*;
    use crate::message::IncidentFacts;

    pub(crate) fn message() -> Message {
        Message {
            key: Uuid::from_u128(0x1234_5678_9abc_def0_1234_5678_9abc_def0),
            kind: MessageKind::Page,
            user: "ann".to_owned(),
            user_name: "Ann Bjørk".to_owned(),
            address: "ann@example.org".to_owned(),
            at: Timestamp::parse_iso("2026-11-20T08:00:00Z").unwrap(),
            incident: Some(IncidentFacts {
                id: Uuid::from_u128(7),
                number: 12,
                title: "Password <leaked>".to_owned(),
                description: "A password of an employee was leaked".to_owned(),
                severity: Severity::High,
                status: IncidentStatus::New,
                owner: None,
                created: Timestamp::parse_iso("2026-11-20T07:59:00Z").unwrap(),
                tactics: vec!["CredentialAccess".to_owned()],
                alerts: 2,
                entities: vec!["ann@example.com".to_owned()],
                evidence: vec!["source: <script>alert(1)</script>".to_owned(), "no column".to_owned()],
                dedup_key: "k".to_owned(),
            }),
            subject: "[High] #12 Password leaked – æøå".to_owned(),
            short: "High: password leaked".to_owned(),
            long: "Incident 12\nsource: stealer_logs".to_owned(),
            links: Links { acknowledge: Some("https://soc.example.org/a?x=1&y=2".to_owned()), ..Links::default() },
            reply_code: Some("4821".to_owned()),
            reply_token: Some(token().write()),
            time_zone: Some("Europe/Oslo".to_owned()),
        }
    }

    pub(crate) fn token() -> ReplyToken {
        let signer = crate::links::Signer::new(model::Secret::new(vec![7; 32]));
        signer.reply_token(Uuid::from_u128(0x1234_5678_9abc_def0_1234_5678_9abc_def0), "ann@example.org")
    }

    pub(crate) fn ids() -> MailIds {
        let reply_to = Some("oncall@soc.example.org".parse().unwrap());
        MailIds { from: "On call <oncall@example.org>".parse().unwrap(), reply_to, plus_addressing: true }
    }

    /// The mail is parsed by a different crate than the one that builds it.
    #[test]
    fn a_mail_names_its_page_its_thread_and_that_it_is_automatic() {
        let raw = compose(&message(), &ids()).unwrap().formatted();
        let mail = MessageParser::default().parse(&raw).unwrap();
        assert_eq!(mail.message_id().and_then(token_of_message_id), Some(token()));
        assert_eq!(shown_id(&message(), &ids()), "<page.123456789abcdef0123456789abcdef0@example.org>");
        assert_eq!(mail.references().as_text(), Some("incident.00000000000000000000000000000007@example.org"));
        assert_eq!(mail.in_reply_to().as_text(), mail.references().as_text());
        assert_eq!(mail.subject(), Some("[High] #12 Password leaked – æøå"));
        assert_eq!(mail.to().unwrap().first().unwrap().name(), Some("Ann Bjørk"));
        let reply_to = mail.reply_to().unwrap().first().unwrap().address().unwrap().to_owned();
        assert_eq!(reply_to, format!("oncall+{}@soc.example.org", token().write()));
        for (name, value) in [("Auto-Submitted", "auto-generated"), ("X-Auto-Response-Suppress", "OOF, AutoReply"), ("Importance", "high")]
        {
            assert_eq!(mail.header_raw(name).map(str::trim), Some(value), "{name}");
        }
        let text = mail.body_text(0).unwrap();
        assert!(text.contains("Acknowledge: https://soc.example.org/a?x=1&y=2"), "{text}");
        assert!(text.contains("Reply code 4821"), "{text}");
    }

    #[test]
    fn the_same_message_has_the_same_id_and_another_key_another() {
        let (one, mut other) = (message(), message());
        (other.key, other.reply_token) = (Uuid::from_u128(9), None);
        assert_eq!(message_id(&one, &ids()), message_id(&message(), &ids()));
        assert_ne!(message_id(&one, &ids()), message_id(&other, &ids()));
    }

    #[test]
    fn nothing_in_a_message_adds_a_header() {
        let mut evil = message();
        evil.subject = "x\r\nBcc: eve@example.net\r\n\r\nbody".to_owned();
        evil.user_name = "Ann\"\r\nCc: eve@example.net\r\nX: \"".to_owned();
        let raw = compose(&evil, &ids()).unwrap().formatted();
        let mail = MessageParser::default().parse(&raw).unwrap();
        assert!(mail.cc().is_none() && mail.bcc().is_none(), "{}", String::from_utf8_lossy(&raw));
        let head = String::from_utf8_lossy(&raw).split("\r\n\r\n").next().unwrap().to_owned();
        assert!(
            !head.lines().any(|line| line.to_ascii_lowercase().starts_with("cc:") || line.to_ascii_lowercase().starts_with("bcc:")),
            "{head}"
        );
        evil.address = "ann@example.org\r\nRCPT TO:<eve@example.net>".to_owned();
        assert!(compose(&evil, &ids()).is_err());
    }

    #[test]
    fn every_line_is_at_most_998_bytes_however_long_the_text() {
        let mut long = message();
        long.long = "ø".repeat(5000);
        long.subject = "å".repeat(500);
        let raw = compose(&long, &ids()).unwrap().formatted();
        assert!(raw.split(|b| *b == b'\n').all(|line| line.len() <= 999));
        assert!(raw.is_ascii(), "8BITMIME is not asked for, so it must not be needed");
    }

    #[test]
    fn only_web_links_become_links() {
        let links = Links { open: Some("javascript:alert(1)".to_owned()), take: Some("https://a.example/".to_owned()), ..Links::default() };
        assert_eq!(labelled(&links), [("Take", "https://a.example/")]);
    }
}
