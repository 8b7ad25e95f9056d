//! Parses reply mails: sender, page, content, and how well the sender is authenticated.
//!
//! `From` is written by the sender and proves nothing. Authentication, from strongest:
//!
//! 1. The token in the recipient address or in the `Message-ID` replied to: only the recipient of the page's mail has it
//!    ([`crate::links::ReplyToken`]). Any action is allowed.
//! 2. The page's code from a sender authenticated by the operator's mail server (`Authentication-Results`, RFC 8601): any action.
//! 3. The page's code alone: acknowledge, take, escalate and comment, but not close; wrong codes are counted ([`super::Attempts`]).
//!
//! Ignored (RFC 3834 2, 5.2): mail without a sender, absence notes, delivery reports, and anything automatic or from a list. Such mail is
//! accepted and dropped; rejecting it would trigger another mail.

mod judge;

use std::net::IpAddr;
use std::sync::LazyLock;

use mail_parser::{Address, HeaderValue, MessageParser, MimeHeaders};
use regex::Regex;

use super::command::Coded;
use super::{command, reply};
use crate::answer::Action;
use crate::channels::token_of_message_id;
use crate::links::ReplyToken;

pub use judge::{Judge, Outcome};

/// The SMTP envelope.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Envelope {
    /// Empty for `<>`, the sender of delivery reports.
    pub from: String,
    pub to: Vec<String>,
    /// The connected peer. `None` if unknown.
    pub peer: Option<IpAddr>,
}

/// The operator's configuration of trusted mail servers.
#[derive(Clone, Debug, Default)]
pub struct Trust {
    /// The id of the operator's mail server in `Authentication-Results`. If set, mail that it did not authenticate is rejected.
    pub authserv_id: Option<String>,
    /// Mail relays in front of us, whose first `Received` line gives the origin of a mail. Loopback is always one.
    pub relays: Vec<IpAddr>,
}

/// Result of parsing a mail.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    Reply(Reply),
    /// Drop silently.
    Ignore {
        because: &'static str,
    },
    /// Reject with a reason.
    Refuse {
        reason: String,
    },
}

/// An answer by mail.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// The claimed sender, in lower case.
    pub sender: String,
    /// The operator's mail server authenticated the sender's domain.
    pub authenticated: bool,
    /// The network address of origin, if known.
    pub source: Option<String>,
    /// Not verified yet.
    pub token: Option<ReplyToken>,
    /// The code in the address, the subject or the quoted mail.
    pub code: Option<String>,
    /// The typed text, if it begins with a code.
    pub coded: Option<Coded>,
    /// Actions of the typed text, if it does not begin with the page's code. At least one.
    pub actions: Vec<Action>,
}

/// Parses a mail. Never fails: an unreadable one is rejected with the reason. May take a second for a large mail.
pub fn read(envelope: &Envelope, raw: &[u8], trust: &Trust) -> Reading {
    let Some(mail) = MessageParser::default().parse(raw) else {
        return Reading::Refuse { reason: "this is no mail that can be read".to_owned() };
    };
    if let Some(because) = automatic(envelope, &mail) {
        return Reading::Ignore { because };
    }
    let Some(sender) = only_sender(&mail) else {
        return Reading::Refuse { reason: "the mail must be from one sender".to_owned() };
    };
    let authenticated = match &trust.authserv_id {
        None => false,
        Some(id) if is_authenticated(&mail, id, &sender) => true,
        Some(_) => {
            return Reading::Refuse {
                reason: "the mail server did not authenticate the sender; answer by the link in the mail".to_owned(),
            };
        }
    };
    let (token, code) = answered_page(envelope, &mail);
    let text = typed(&mail);
    let actions = command::actions(&text);
    if actions.is_empty() {
        return Reading::Refuse { reason: "the answer is empty; write ack, take, escalate, close or a comment".to_owned() };
    }
    let code = code.or_else(|| code_in_quote(&mail));
    let coded = command::coded(&text);
    if token.is_none() && code.is_none() && coded.is_none() {
        return Reading::Refuse {
            reason: "the mail names no page; answer the mail that you got, or write its reply code into the subject".to_owned(),
        };
    }
    let source = source(envelope, &mail, trust);
    Reading::Reply(Reply { sender, authenticated, source, token, code, coded, actions })
}

/// The network address of origin: the peer, or the first `Received` line if the peer is a relay in front of us.
fn source(envelope: &Envelope, mail: &mail_parser::Message<'_>, trust: &Trust) -> Option<String> {
    let peer = envelope.peer?;
    let address = match peer.is_loopback() || trust.relays.contains(&peer) {
        // The newest line comes first (RFC 5321 4.4): it is the relay's own.
        true => mail.received_all().next()?.from_ip()?,
        false => peer,
    };
    Some(address.to_string())
}

/// Whether the newest `Authentication-Results` of the operator's mail server confirms the sender's domain (RFC 8601).
fn is_authenticated(mail: &mail_parser::Message<'_>, authserv_id: &str, sender: &str) -> bool {
    let Some((_, domain)) = sender.rsplit_once('@') else { return false };
    let results = mail.headers_raw().filter(|(name, _)| name.eq_ignore_ascii_case("Authentication-Results"));
    // Results of others may follow, and senders can forge them: only the first of our own server counts.
    let ours = results.filter_map(|(_, value)| {
        let plain = COMMENT.replace_all(value, " ");
        let (id, rest) = plain.split_once(';')?;
        id.split_whitespace().next()?.eq_ignore_ascii_case(authserv_id).then(|| rest.to_ascii_lowercase())
    });
    let Some(results) = ours.into_iter().next() else { return false };
    results.split(';').any(|result| {
        let mut words = result.split_whitespace();
        let method = words.next().unwrap_or_default();
        let named = |property: &str| {
            let found = result.split_whitespace().find_map(|word| word.strip_prefix(property)?.strip_prefix('='));
            found.map(|value| value.trim_matches('"').rsplit('@').next().unwrap_or_default().to_owned())
        };
        // The domain itself or a parent, as in DMARC's relaxed alignment, but never a bare top-level domain.
        let fits = |found: Option<String>| {
            found.is_some_and(|found| {
                let above = domain.strip_suffix(found.as_str()).is_some_and(|rest| rest.ends_with('.'));
                found.contains('.') && (found == domain || above)
            })
        };
        match method {
            "dmarc=pass" => fits(named("header.from")),
            "dkim=pass" => fits(named("header.d")) || fits(named("header.i")),
            _ => false,
        }
    })
}

/// Comments of structured fields (RFC 5322 3.2.2), one level deep.
static COMMENT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\([^()]*\)").expect("the pattern is ours"));

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
    // Exchange marks automatic mail this way; mail from people has other values.
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

fn answered_page(envelope: &Envelope, mail: &mail_parser::Message<'_>) -> (Option<ReplyToken>, Option<String>) {
    let tags = || envelope.to.iter().filter_map(|to| Some(to.rsplit_once('@')?.0.split_once('+')?.1));
    let named = |value: &HeaderValue<'_>| -> Option<ReplyToken> {
        match value {
            HeaderValue::Text(id) => token_of_message_id(id),
            // The last is the nearest (RFC 5322 3.6.4).
            HeaderValue::TextList(ids) => ids.iter().rev().find_map(|id| token_of_message_id(id)),
            _ => None,
        }
    };
    let token = tags().find_map(ReplyToken::parse).or_else(|| named(mail.in_reply_to())).or_else(|| named(mail.references()));
    let code = tags()
        // Earlier versions wrote the code and the page's id, which does not authenticate.
        .map(|tag| tag.split_once('-').map_or(tag, |(code, _)| code))
        .find(|tag| is_code(tag))
        .map(str::to_owned)
        .or_else(|| SUBJECT_CODE.captures(mail.subject().unwrap_or_default()).map(|found| found[1].to_owned()));
    (token, code)
}

fn is_code(text: &str) -> bool {
    (4..=8).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
}

/// A subject that consists of the code, or has it in brackets or after `code`.
static SUBJECT_CODE: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"(?i)^(?:\w{1,4}:\s*)*(?:code\s+|\[)?([0-9]{4,8})\]?\s*$").expect("the pattern is ours"));

/// The line at the end of our mails.
static QUOTED_CODE: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\bReply code ([0-9]{4,8})\b").expect("the pattern is ours"));

fn code_in_quote(mail: &mail_parser::Message<'_>) -> Option<String> {
    QUOTED_CODE.captures(&mail.body_text(0)?).map(|found| found[1].to_owned())
}

/// The text typed by the sender, from the text part or, without one, from HTML.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::links::Signer;

    fn envelope(to: &str) -> Envelope {
        Envelope { from: "ann@example.org".to_owned(), to: vec![to.to_owned()], peer: "192.0.2.1".parse().ok() }
    }

    fn read(envelope: &Envelope, raw: &[u8]) -> Reading {
        super::read(envelope, raw, &Trust::default())
    }

    fn token() -> ReplyToken {
        Signer::new(model::Secret::new(vec![7; 32])).reply_token(uuid::Uuid::from_u128(7), "ann@example.org")
    }

    fn tagged() -> String {
        format!("oncall+{}@soc.example.org", token().write())
    }

    fn reply(to: &str, raw: &str) -> Reply {
        match read(&envelope(to), raw.replace('\n', "\r\n").as_bytes()) {
            Reading::Reply(reply) => reply,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_address_names_the_page() {
        let found = reply(&tagged(), "From: Ann <Ann@Example.org>\nSubject: Re: x\n\nack\n");
        assert_eq!(found.sender, "ann@example.org");
        assert_eq!(found.token, Some(token()));
        assert_eq!(found.actions, [Action::Acknowledge]);
        assert_eq!(found.source.as_deref(), Some("192.0.2.1"));
        // A server that upper-cases local parts must not break it.
        assert_eq!(reply(&tagged().to_uppercase(), "From: ann@example.org\n\nack\n").token, Some(token()));
    }

    #[test]
    fn references_name_the_page_where_the_address_lost_its_tag() {
        let id = format!("<page.{}@example.org>", token().write());
        let raw = format!("From: ann@example.org\nReferences: <incident.1@example.org>\n {id}\nSubject: Re: x\n\nack\n");
        assert_eq!(reply("oncall@soc.example.org", &raw).token, Some(token()));
        let raw = format!("From: ann@example.org\nIn-Reply-To: {id}\nSubject: Re: x\n\nack\n");
        assert_eq!(reply("oncall@soc.example.org", &raw).token, Some(token()));
    }

    /// A page's id is visible to every reader, so it does not authenticate.
    #[test]
    fn a_page_id_is_no_token() {
        let id = uuid::Uuid::from_u128(7).simple();
        let found = reply(&format!("oncall+4821-{id}@soc.example.org"), "From: ann@example.org\n\nclose fp\n");
        assert_eq!((found.token, found.code.as_deref()), (None, Some("4821")));
        let raw = format!("From: ann@example.org\r\nIn-Reply-To: <page.{id}@example.org>\r\n\r\nclose fp\r\n");
        assert!(matches!(read(&envelope("oncall@soc.example.org"), raw.as_bytes()), Reading::Refuse { .. }));
    }

    #[test]
    fn a_code_is_found_in_the_address_the_subject_the_quote_and_the_text() {
        for (to, raw) in [
            ("oncall+4821@soc.example.org", "From: ann@example.org\n\nack\n"),
            ("oncall@soc.example.org", "From: ann@example.org\nSubject: 4821\n\nack\n"),
            ("oncall@soc.example.org", "From: ann@example.org\nSubject: SV: [4821]\n\nack\n"),
            ("oncall@soc.example.org", "From: ann@example.org\nSubject: Re: x\n\nack\n\n> Reply code 4821\n"),
        ] {
            let found = reply(to, raw);
            assert_eq!((found.token, found.code.as_deref()), (None, Some("4821")), "{raw}");
        }
        // As our messages suggest: `Reply 4430 to acknowledge, 4430 T to take`.
        for (text, action) in [("4430", Action::Acknowledge), ("4430 T", Action::Take), ("4430t\n\n-- \nAnn", Action::Take)] {
            let found = reply("oncall@soc.example.org", &format!("From: ann@example.org\nSubject: Re: x\n\n{text}\n"));
            assert_eq!(found.coded.map(|coded| (coded.code, coded.actions)), Some(("4430".to_owned(), vec![action])), "{text}");
        }
        let found = read(&envelope("oncall@soc.example.org"), b"From: ann@example.org\r\nSubject: Incident 4821 again\r\n\r\nack\r\n");
        assert!(matches!(found, Reading::Refuse { .. }), "a number in a sentence is no code: {found:?}");
    }

    /// RFC 8601: only results of the operator's own server count, and only its newest.
    #[test]
    fn a_sender_is_authenticated_by_the_operators_server_alone() {
        let trust = Trust { authserv_id: Some("mx.example.org".to_owned()), ..Trust::default() };
        let read = |headers: &str| {
            let raw = format!("{headers}From: Ann <ann@example.org>\r\nSubject: 4821\r\n\r\nack\r\n");
            super::read(&envelope("oncall@soc.example.org"), raw.as_bytes(), &trust)
        };
        for headers in [
            "Authentication-Results: mx.example.org; dkim=pass header.d=example.org header.s=x\r\n",
            "Authentication-Results: mx.example.org 1;\r\n spf=fail smtp.mailfrom=x.net;\r\n dmarc=pass (p=reject) header.from=example.org\r\n",
            "Authentication-Results: MX.example.org; dkim=fail header.d=x.net; dkim=pass header.i=@example.org\r\n",
        ] {
            assert!(matches!(read(headers), Reading::Reply(Reply { authenticated: true, .. })), "{headers}");
        }
        for headers in [
            "",
            "Authentication-Results: mx.example.net; dkim=pass header.d=example.org\r\n",
            "Authentication-Results: mx.example.org; none\r\n",
            "Authentication-Results: mx.example.org; dkim=pass header.d=evil.example\r\n",
            "Authentication-Results: mx.example.org; dkim=pass header.d=org\r\n",
            "Authentication-Results: mx.example.org; dkim=pass header.d=le.org\r\n",
            "Authentication-Results: mx.example.org; spf=pass smtp.mailfrom=example.org\r\n",
            "Authentication-Results: mx.example.org; dkim=fail (dkim=pass header.d=example.org)\r\n",
            "Authentication-Results: mx.example.org; dkim=fail\r\nAuthentication-Results: mx.example.org; dkim=pass header.d=example.org\r\n",
        ] {
            assert!(matches!(read(headers), Reading::Refuse { .. }), "{headers}");
        }
    }

    #[test]
    fn where_a_mail_came_from_a_mail_server_in_front_of_us_says() {
        let raw = b"Received: from x (x.example [203.0.113.5]) by mx.example.org\r\nReceived: from y ([10.0.0.1]) by x\r\nFrom: ann@example.org\r\nSubject: 4821\r\n\r\nack\r\n";
        let source = |peer: &str, relays: &[&str]| {
            let trust = Trust { relays: relays.iter().map(|relay| relay.parse().unwrap()).collect(), ..Trust::default() };
            let envelope = Envelope { peer: peer.parse().ok(), ..envelope("oncall@soc.example.org") };
            match super::read(&envelope, raw, &trust) {
                Reading::Reply(reply) => reply.source,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(source("127.0.0.1", &[]).as_deref(), Some("203.0.113.5"));
        assert_eq!(source("192.0.2.9", &["192.0.2.9"]).as_deref(), Some("203.0.113.5"));
        assert_eq!(source("192.0.2.9", &[]).as_deref(), Some("192.0.2.9"), "a stranger's lines say nothing");
    }

    /// The forms of RFC 3834 5, RFC 3462, and those sent by Exchange, Gmail and vacation(1).
    #[test]
    fn automatic_mail_is_never_an_answer() {
        let to = tagged();
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
        let null = Envelope { from: String::new(), ..envelope(&to) };
        assert!(matches!(read(&null, b"From: ann@example.org\r\n\r\nack\r\n"), Reading::Ignore { .. }));
        let raw = b"From: ann@example.org\r\nAuto-Submitted: no\r\n\r\nack\r\n";
        assert!(matches!(read(&envelope(&to), raw), Reading::Reply(_)));
    }

    #[test]
    fn a_mail_with_several_or_no_senders_is_not_an_answer() {
        let to = tagged();
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
        let found = reply(&tagged(), raw);
        let [Action::Close { classification, comment }] = &found.actions[..] else { panic!("{found:?}") };
        assert_eq!(*classification, Some(model::Classification::FalsePositive));
        assert_eq!(comment.as_deref(), Some("blåbær"));
    }

    /// Arbitrary bytes from a seeded generator.
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
