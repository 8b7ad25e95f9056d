//! SMTP commands and replies (RFC 5321 4.1, 4.2; status codes of RFC 3463). Pure, without I/O.

use crate::inbound::mail::Envelope;

/// A reply and the next state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    /// One or more complete lines.
    pub text: String,
    pub next: Next,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    Command,
    /// Read the mail's content.
    Content,
    /// Start TLS.
    Tls,
    Close,
}

impl Said {
    pub fn closing(reason: &str) -> Self {
        Self { text: line("421 4.4.2", reason), next: Next::Close }
    }
}

/// Maximum recipients of a mail.
const MAX_RECIPIENTS: usize = 10;
const MAX_MAILS: u32 = 100;
const MAX_MISTAKES: u32 = 10;

/// State of one connection.
#[derive(Debug)]
pub(super) struct Dialogue {
    host: String,
    domains: Vec<String>,
    max_size: usize,
    offers_tls: bool,
    secured: bool,
    greeted: bool,
    from: Option<String>,
    to: Vec<String>,
    mails: u32,
    mistakes: u32,
}

impl Dialogue {
    pub fn new(host: &str, domains: &[String], max_size: usize, offers_tls: bool) -> Self {
        let domains = domains.iter().map(|domain| domain.trim_end_matches('.').to_ascii_lowercase()).collect();
        Self {
            host: host.to_owned(),
            domains,
            max_size,
            offers_tls,
            secured: false,
            greeted: false,
            from: None,
            to: Vec::new(),
            mails: 0,
            mistakes: 0,
        }
    }

    pub fn greeting(&self) -> Said {
        say(format!("220 {} ESMTP answers to pages\r\n", self.host))
    }

    /// TLS started: discards all previous state (RFC 3207 4.2).
    pub fn secured(&mut self) {
        self.secured = true;
        self.greeted = false;
        self.reset();
    }

    pub fn command(&mut self, bytes: &[u8]) -> Said {
        let Ok(text) = std::str::from_utf8(bytes) else { return self.mistake("500 5.5.2", "that is no command") };
        if text.chars().any(char::is_control) {
            return self.mistake("500 5.5.2", "that is no command");
        }
        let (verb, rest) = text.split_once(' ').unwrap_or((text, ""));
        match verb.to_ascii_uppercase().as_str() {
            "EHLO" => self.hello(rest, true),
            "HELO" => self.hello(rest, false),
            "MAIL" => self.mail(rest),
            "RCPT" => self.rcpt(rest),
            "DATA" => self.data(rest),
            "RSET" => {
                self.reset();
                say(line("250 2.0.0", "forgotten"))
            }
            "NOOP" => say(line("250 2.0.0", "still here")),
            "VRFY" | "EXPN" => say(line("252 2.5.2", "send mail and see")),
            "HELP" => say(line("214 2.0.0", "RFC 5321")),
            "QUIT" => Said { text: line("221 2.0.0", "goodbye"), next: Next::Close },
            "STARTTLS" if !self.offers_tls => self.mistake("502 5.5.1", "no TLS here"),
            "STARTTLS" if self.secured => self.mistake("503 5.5.1", "this is TLS already"),
            "STARTTLS" if !rest.is_empty() => self.mistake("501 5.5.4", "STARTTLS takes nothing"),
            "STARTTLS" => Said { text: line("220 2.0.0", "go ahead"), next: Next::Tls },
            _ => self.mistake("500 5.5.1", "unknown command"),
        }
    }

    /// Replies to an invalid command; too many of them end the connection.
    pub fn mistake(&mut self, code: &str, reason: &str) -> Said {
        self.mistakes += 1;
        if self.mistakes >= MAX_MISTAKES { Said::closing("too many mistakes") } else { say(line(code, reason)) }
    }

    /// Replies to a mail's content and resets the transaction.
    pub fn finish(&mut self, code: &str, says: &str) -> Said {
        self.reset();
        say(line(code, says))
    }

    pub fn take_envelope(&mut self) -> Envelope {
        Envelope { from: self.from.take().unwrap_or_default(), to: std::mem::take(&mut self.to), peer: None }
    }

    fn reset(&mut self) {
        self.from = None;
        self.to.clear();
    }

    fn hello(&mut self, who: &str, extended: bool) -> Said {
        if who.trim().is_empty() {
            return self.mistake("501 5.5.4", "say who you are");
        }
        self.reset();
        self.greeted = true;
        if !extended {
            return say(format!("250 {}\r\n", self.host));
        }
        let mut text = format!("250-{}\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-ENHANCEDSTATUSCODES\r\n", self.host);
        if self.offers_tls && !self.secured {
            text += "250-STARTTLS\r\n";
        }
        text += &format!("250 SIZE {}\r\n", self.max_size);
        say(text)
    }

    fn mail(&mut self, rest: &str) -> Said {
        if !self.greeted {
            return self.mistake("503 5.5.1", "say EHLO first");
        }
        if self.from.is_some() {
            return self.mistake("503 5.5.1", "one sender a mail");
        }
        let Some((from, parameters)) = path(rest, "FROM:") else { return self.mistake("501 5.5.4", "write MAIL FROM:<address>") };
        if !from.is_empty() && split(from).is_none() {
            return self.mistake("501 5.1.7", "that is no sender");
        }
        for parameter in parameters.split_ascii_whitespace() {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match name.to_ascii_uppercase().as_str() {
                "SIZE" => match value.parse::<u64>() {
                    Ok(size) if size > self.max_size as u64 => return say(line("552 5.3.4", "the mail is too large")),
                    Ok(_) => {}
                    Err(_) => return self.mistake("501 5.5.4", "SIZE is a number"),
                },
                "BODY" if value.eq_ignore_ascii_case("7BIT") || value.eq_ignore_ascii_case("8BITMIME") => {}
                _ => return self.mistake("555 5.5.4", "unknown parameter"),
            }
        }
        if self.mails >= MAX_MAILS {
            return Said::closing("enough for one connection");
        }
        self.mails += 1;
        self.from = Some(from.to_owned());
        say(line("250 2.1.0", "sender taken"))
    }

    fn rcpt(&mut self, rest: &str) -> Said {
        if self.from.is_none() {
            return self.mistake("503 5.5.1", "say MAIL first");
        }
        let Some((to, parameters)) = path(rest, "TO:") else { return self.mistake("501 5.5.4", "write RCPT TO:<address>") };
        if !parameters.trim().is_empty() {
            return self.mistake("555 5.5.4", "unknown parameter");
        }
        let Some((_, domain)) = split(to) else { return self.mistake("501 5.1.3", "that is no recipient") };
        // Not a relay: percent signs, bangs and source routes have no meaning in a local part.
        if !self.domains.contains(&domain.trim_end_matches('.').to_ascii_lowercase()) {
            return self.mistake("550 5.7.1", "this server takes mail for its own domains only");
        }
        if self.to.len() >= MAX_RECIPIENTS {
            return say(line("452 4.5.3", "too many recipients"));
        }
        self.to.push(to.to_owned());
        say(line("250 2.1.5", "recipient taken"))
    }

    fn data(&mut self, rest: &str) -> Said {
        if !rest.is_empty() {
            return self.mistake("501 5.5.4", "DATA takes nothing");
        }
        if self.to.is_empty() {
            return self.mistake("503 5.5.1", "say MAIL and RCPT first");
        }
        Said { text: "354 end with a line that is a dot\r\n".to_owned(), next: Next::Content }
    }
}

fn say(text: String) -> Said {
    Said { text, next: Next::Command }
}

/// One ASCII line of at most 512 bytes (RFC 5321 4.5.3.1.5).
fn line(code: &str, says: &str) -> String {
    let says: String = says.chars().map(|c| if c == ' ' || c.is_ascii_graphic() { c } else { '?' }).take(400).collect();
    format!("{code} {says}\r\n")
}

/// `FROM:<ann@example.org> SIZE=1` → the address and the parameters.
fn path<'a>(rest: &'a str, label: &str) -> Option<(&'a str, &'a str)> {
    let rest = rest.trim_start();
    let start = rest.get(..label.len()).filter(|start| start.eq_ignore_ascii_case(label))?;
    let rest = rest[start.len()..].trim_start().strip_prefix('<')?;
    let (address, parameters) = rest.split_once('>')?;
    // A source route is ignored (RFC 5321 4.1.1.3).
    let address = if address.starts_with('@') { address.split_once(':')?.1 } else { address };
    (address.len() <= 254 && (parameters.is_empty() || parameters.starts_with(' '))).then_some((address, parameters))
}

/// Local part and domain of a plausible address.
fn split(address: &str) -> Option<(&str, &str)> {
    let (local, domain) = address.rsplit_once('@')?;
    let fits = |text: &str| !text.is_empty() && !text.chars().any(|c| c.is_whitespace() || c.is_control() || matches!(c, '<' | '>'));
    (fits(local) && local.len() <= 64 && fits(domain) && !domain.contains(['[', ']', '@'])).then_some((local, domain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dialogue() -> Dialogue {
        Dialogue::new("soc.example.org", &["SOC.example.org".to_owned()], 1000, true)
    }

    fn code(dialogue: &mut Dialogue, line: &str) -> u16 {
        let said = dialogue.command(line.as_bytes());
        assert!(said.text.ends_with("\r\n") && said.text.lines().all(|line| line.len() <= 512), "{:?}", said.text);
        said.text[..3].parse().unwrap()
    }

    /// RFC 5321 4.1.4: the order of commands.
    #[test]
    fn commands_come_in_their_order() {
        let mut dialogue = dialogue();
        for (line, expected) in [
            ("MAIL FROM:<a@b.c>", 503),
            ("EHLO client", 250),
            ("RCPT TO:<x@soc.example.org>", 503),
            ("DATA", 503),
            ("mail from:<a@b.c> size=10 body=8bitmime", 250),
            ("MAIL FROM:<a@b.c>", 503),
            ("DATA", 503),
            ("RCPT TO:<oncall+4821@Soc.Example.Org>", 250),
            ("DATA", 354),
        ] {
            assert_eq!(code(&mut dialogue, line), expected, "{line}");
        }
        let envelope = dialogue.take_envelope();
        assert_eq!((envelope.from.as_str(), envelope.to.as_slice()), ("a@b.c", &["oncall+4821@Soc.Example.Org".to_owned()][..]));
    }

    #[test]
    fn nothing_is_relayed() {
        for to in [
            "x@example.net",
            "x%example.net@example.org",
            "x@soc.example.org.evil.example",
            "x@soc.example.org@evil.example",
            "x@[127.0.0.1]",
            "@soc.example.org:x@evil.example",
            "postmaster",
            "",
        ] {
            let mut dialogue = dialogue();
            code(&mut dialogue, "EHLO c");
            code(&mut dialogue, "MAIL FROM:<a@b.c>");
            let answer = code(&mut dialogue, &format!("RCPT TO:<{to}>"));
            assert!(answer >= 500, "{to}: {answer}");
            assert_eq!(code(&mut dialogue, "DATA"), 503, "{to}");
        }
    }

    #[test]
    fn what_is_too_large_is_refused_before_it_is_sent() {
        let mut dialogue = dialogue();
        code(&mut dialogue, "EHLO c");
        assert_eq!(code(&mut dialogue, "MAIL FROM:<a@b.c> SIZE=1001"), 552);
        assert_eq!(code(&mut dialogue, "MAIL FROM:<a@b.c> SIZE=x"), 501);
        assert_eq!(code(&mut dialogue, "MAIL FROM:<a@b.c> FOO=1"), 555);
        assert_eq!(code(&mut dialogue, "MAIL FROM:<> SIZE=1000"), 250);
    }

    #[test]
    fn tls_begins_once_and_forgets_what_was_said() {
        let mut dialogue = dialogue();
        assert!(dialogue.command(b"EHLO c").text.contains("250-STARTTLS"));
        code(&mut dialogue, "MAIL FROM:<a@b.c>");
        assert_eq!(dialogue.command(b"STARTTLS").next, Next::Tls);
        dialogue.secured();
        assert_eq!(code(&mut dialogue, "RCPT TO:<x@soc.example.org>"), 503);
        assert!(!dialogue.command(b"EHLO c").text.contains("STARTTLS"));
        assert_eq!(code(&mut dialogue, "STARTTLS"), 503);
    }

    #[test]
    fn mistakes_and_recipients_come_to_an_end() {
        let mut dialogue = dialogue();
        code(&mut dialogue, "EHLO c");
        code(&mut dialogue, "MAIL FROM:<a@b.c>");
        for _ in 0..MAX_RECIPIENTS {
            assert_eq!(code(&mut dialogue, "RCPT TO:<x@soc.example.org>"), 250);
        }
        assert_eq!(code(&mut dialogue, "RCPT TO:<x@soc.example.org>"), 452);
        let codes: Vec<u16> = (0..MAX_MISTAKES).map(|_| code(&mut dialogue, "\u{1b}[2J")).collect();
        assert_eq!(codes.last(), Some(&421));
    }

    #[test]
    fn what_is_said_back_is_one_line_of_ascii() {
        let said = dialogue().finish("550 5.7.1", "no\r\n250 OK \u{e6}");
        assert_eq!(said.text, "550 5.7.1 no??250 OK ?\r\n");
    }
}
