//! Parses message headers: RFC 5424, RFC 3164 and vendor variants.
//!
//! Parsing does not fail, as RFC 3164 §4.3 requires: unrecognised text is content. Only a listener configured for a single format rejects
//! messages. All parts are slices of the message.

use memchr::memchr;

use super::cisco::{self, Lead};
use super::names::{self, Facility, Severity};
use super::time::{self, Reference};
use model::Timestamp;

/// The parsed header. Absent parts are empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Message<'a> {
    pub facility: Facility,
    pub severity: Severity,
    pub time: Option<Timestamp>,
    pub host: &'a str,
    pub process: &'a str,
    pub pid: &'a str,
    pub id: &'a str,
    /// Structured data as sent, with brackets.
    pub structured: &'a str,
    pub text: &'a str,
    /// It follows RFC 5424.
    pub is_5424: bool,
    pub has_pri: bool,
}

/// Parses the header of a message.
pub fn parse<'a>(message: &'a str, reference: &Reference<'_>) -> Message<'a> {
    let message = message.trim_end_matches(['\r', '\n', '\0']);
    let (pri, rest) = pri(message);
    let (facility, severity) = pri.unwrap_or((Facility::USER, Severity::NOTICE));
    let blank = Message {
        facility,
        severity,
        time: None,
        host: "",
        process: "",
        pid: "",
        id: "",
        structured: "",
        text: rest,
        is_5424: false,
        has_pri: pri.is_some(),
    };
    if pri.is_some() {
        if let Some(found) = rest.strip_prefix("1 ").and_then(|rest| rfc_5424(rest, reference, &blank)) {
            return found;
        }
    }
    rfc_3164(rest, reference, &blank)
}

/// The `<PRI>` at the start and the rest. An invalid PRI is content.
fn pri(message: &str) -> (Option<(Facility, Severity)>, &str) {
    let read = || {
        let (digits, rest) = message.strip_prefix('<')?.split_once('>')?;
        let valid = (1..=3).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        Some((names::split(digits.parse().ok().filter(|_| valid)?)?, rest))
    };
    read().map_or((None, message), |(pri, rest)| (Some(pri), rest))
}

/// The part after the version: `TIMESTAMP HOST APP PROCID MSGID SD[ MSG]`.
fn rfc_5424<'a>(rest: &'a str, reference: &Reference<'_>, blank: &Message<'a>) -> Option<Message<'a>> {
    let mut parts = rest.splitn(6, ' ');
    let stamp = parts.next()?;
    let time = if stamp == "-" { None } else { Some(reference.iso(stamp)?) };
    let mut part = || parts.next().map(|text| if text == "-" { "" } else { text });
    let (host, process, pid, id) = (part()?, part()?, part()?, part()?);
    let rest = parts.next().unwrap_or_default();
    let (structured, text) = match structured_len(rest) {
        Some(0) => ("", rest),
        Some(len) if &rest[..len] == "-" => ("", &rest[len..]),
        Some(len) => (&rest[..len], &rest[len..]),
        None => ("", rest),
    };
    let text = text.strip_prefix(' ').unwrap_or(text);
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    // Relays convert `tag: text` to RFC 5424 and keep the space before the text (rsyslog's `%msg%`).
    let text = text.strip_prefix(' ').unwrap_or(text);
    let message = Message { time, host, process, pid, id, structured, text, is_5424: true, ..*blank };
    // Relays treat a sequence number as the process name.
    let is_number = pid.is_empty() && !process.is_empty() && process.bytes().all(|byte| byte.is_ascii_digit());
    let inner = if is_number { relayed(text, true, reference) } else { None };
    let Some(inner) = inner else { return Some(message) };
    let host = if inner.host.is_empty() { host } else { inner.host };
    let (process, pid, text) = tag_or_uptime(inner.content);
    Some(Message { time: inner.time.or(time), host, process, pid, text, ..message })
}

/// Length of the structured data at the start; `None` if its brackets or quotes are not closed.
fn structured_len(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    if bytes.first() == Some(&b'-') {
        return matches!(bytes.get(1), None | Some(b' ')).then_some(1);
    }
    let mut at = 0;
    while bytes.get(at) == Some(&b'[') {
        let mut quoted = false;
        loop {
            at += 1;
            match bytes.get(at)? {
                b'\\' if quoted => at += 1,
                b'"' => quoted = !quoted,
                b']' if !quoted => break,
                _ => {}
            }
        }
        at += 1;
    }
    matches!(bytes.get(at), None | Some(b' ')).then_some(at)
}

/// The part after the PRI in RFC 3164 and its variants.
fn rfc_3164<'a>(rest: &'a str, reference: &Reference<'_>, blank: &Message<'a>) -> Message<'a> {
    let start = rest.trim_start_matches(' ');
    let (origin, content, found) = match stamped(start, reference) {
        Some(found) => ("", start, Some(found)),
        None => {
            let Lead { host, rest } = cisco::lead(start, false, reference);
            (host, rest, stamped(rest, reference))
        }
    };
    let Some((time, rest)) = found else {
        let (process, pid, text) = tag_or_uptime(content);
        return Message { host: origin, process, pid, text, ..*blank };
    };
    let mut host = origin;
    let rest = match rest.strip_prefix(':') {
        Some(after) => {
            let after = after.trim_start_matches(' ');
            match cisco::origin(after).filter(|_| host.is_empty()) {
                Some((name, after)) => {
                    host = name;
                    after
                }
                None => after,
            }
        }
        None => {
            let rest = rest.trim_start_matches(' ');
            let (first, after) = rest.split_once(' ').unwrap_or((rest, ""));
            let word = first.strip_suffix(':').filter(|word| cisco::is_address(word)).unwrap_or(first);
            if host.is_empty() && !after.is_empty() && cisco::is_host(word) {
                host = word;
                // `fw1 : %ASA-6-302013: …`
                after.strip_prefix(": ").unwrap_or(after).trim_start_matches(' ')
            } else {
                rest
            }
        }
    };
    if let Some(inner) = relayed(rest, false, reference) {
        let host = if inner.host.is_empty() { host } else { inner.host };
        let (process, pid, text) = tag_or_uptime(inner.content);
        return Message { time: inner.time.or(time), host, process, pid, text, ..*blank };
    }
    let (process, pid, text) = tag(rest);
    Message { time, host, process, pid, text, ..*blank }
}

/// A Cisco lead that a relay split into tag and text: `83` and `*Mar  1 18:46:11: %SYS-5-…`.
struct Relayed<'a> {
    host: &'a str,
    time: Option<Timestamp>,
    content: &'a str,
}

/// The Cisco lead behind a relay's header, if any.
fn relayed<'a>(text: &'a str, numbered: bool, reference: &Reference<'_>) -> Option<Relayed<'a>> {
    memchr(b'%', text.as_bytes())?;
    let Lead { host, rest } = cisco::lead(text, numbered, reference);
    if !numbered && rest.len() == text.len() {
        return None;
    }
    match stamped(rest, reference) {
        Some((time, after)) => Some(Relayed { host, time, content: after.strip_prefix(':')?.trim_start_matches(' ') }),
        None => (rest.starts_with('%') || cisco::uptime(rest).is_some()).then_some(Relayed { host, time: None, content: rest }),
    }
}

/// As [`tag`], after an uptime, which has no column and stays in the text.
fn tag_or_uptime(text: &str) -> (&str, &str, &str) {
    cisco::uptime(text).map_or_else(|| tag(text), |after| (tag(after).0, "", text))
}

/// A time at the start with its zone and year, and the rest. The time is `None` if no year has the day.
fn stamped<'a>(text: &'a str, reference: &Reference<'_>) -> Option<(Option<Timestamp>, &'a str)> {
    let Some(mut stamp) = time::bsd(text) else {
        let (time, len) = time::iso(text, reference)?;
        return Some((Some(time), &text[len..]));
    };
    let mut rest = &text[stamp.len..];
    let mut zone = None;
    if let Some(after) = time::behind(rest) {
        if let Some((found, len)) = time::zone(after) {
            (zone, rest) = (Some(found), &after[len..]);
            if let Some(year) = rest.strip_prefix(' ').filter(|_| !stamp.has_year()).and_then(|after| time::year_at(after.as_bytes(), 0)) {
                stamp = stamp.with_year(i32::try_from(year).ok()?);
                rest = &rest[5..];
            }
        } else if let Some((name, mnemonic)) = after.split_once(": ") {
            // Cisco's configured zone name, which may be arbitrary: `18:46:11.123 MEZ: %SYS-5-…`.
            if mnemonic.starts_with('%') && (2..=7).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_uppercase()) {
                rest = &after[name.len()..];
            }
        }
    }
    Some((reference.resolve(&stamp, zone), rest))
}

/// `name[pid]: text`, `name: text`, or text only. A tag that starts with `%` is Cisco's mnemonic: it stays in the text, where rules look
/// for it.
fn tag(text: &str) -> (&str, &str, &str) {
    let nothing = ("", "", text);
    let of_tag =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'/' | b'%' | b'@' | b'(' | b')' | b'#' | b'+');
    let len = text.bytes().take_while(of_tag).count();
    if len == 0 || len > 128 {
        return nothing;
    }
    let (name, rest) = text.split_at(len);
    let (pid, rest) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((pid, rest)) if pid.len() <= 128 && !pid.contains(' ') => (pid, rest),
        _ => ("", rest),
    };
    let content = match rest.strip_prefix(':') {
        // `C:\`, `http://…`, `fe80::1` and `CEF:0|` are not tags; after a tag's colon there is a space or nothing.
        Some(content) if content.is_empty() || content.starts_with([' ', '\t']) || !pid.is_empty() => content,
        Some(_) => return nothing,
        None if !pid.is_empty() && (rest.is_empty() || rest.starts_with(' ')) => rest,
        None => return nothing,
    };
    if name.starts_with('%') {
        return (name, "", text);
    }
    (name, pid, content.strip_prefix(' ').unwrap_or(content))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: &str = "2026-11-20T12:00:00Z";

    fn read(message: &str) -> String {
        let reference = Reference { zone: None, now: Timestamp::parse_iso(NOW).unwrap() };
        let m = parse(message, &reference);
        let time = m.time.map_or("-".to_owned(), |time| time.to_string()[..23].to_owned());
        format!("{}.{} {time} host={} process={} pid={} text={}", m.facility.name(), m.severity.name(), m.host, m.process, m.pid, m.text)
    }

    #[test]
    fn rfc_5424_is_read() {
        // The first two are the examples of RFC 5424 §6.5.
        assert_eq!(
            read("<34>1 2003-10-11T22:14:15.003Z mymachine.example.com su - ID47 - \u{feff}'su root' failed for lonvick on /dev/pts/8"),
            "auth.crit 2003-10-11T22:14:15.003 host=mymachine.example.com process=su pid= text='su root' failed for lonvick on /dev/pts/8"
        );
        let message = r#"<165>1 2003-08-24T05:14:15.000003-07:00 192.0.2.1 myproc 8710 - [a@1 k="x \" ] y"][b@2] %% It's time."#;
        assert_eq!(read(message), "local4.notice 2003-08-24T12:14:15.000 host=192.0.2.1 process=myproc pid=8710 text=%% It's time.");
        let reference = Reference { zone: None, now: Timestamp::parse_iso(NOW).unwrap() };
        assert_eq!(parse(message, &reference).structured, r#"[a@1 k="x \" ] y"][b@2]"#);
        assert_eq!(read("<13>1 - - - - - -"), "user.notice - host= process= pid= text=");
        assert_eq!(read("<13>1 - h a 1 - -  text of a relay"), "user.notice - host=h process=a pid=1 text=text of a relay");
        assert_eq!(read("<13>1 - h a 1 m [cut k=\"v"), "user.notice - host=h process=a pid=1 text=[cut k=\"v");
    }

    #[test]
    fn rfc_3164_and_its_variants_are_read() {
        let cases = [
            // RFC 3164 §5.4, example 1; the date is nearest to November 2026.
            (
                "<34>Oct 11 22:14:15 mymachine su: 'su root' failed",
                "auth.crit 2026-10-11T22:14:15.000 host=mymachine process=su pid= text='su root' failed",
            ),
            ("<13>Nov  2 01:02:03 h app[12]: hello", "user.notice 2026-11-02T01:02:03.000 host=h process=app pid=12 text=hello"),
            ("<13>Nov 20 01:02:03 app[12]: no host", "user.notice 2026-11-20T01:02:03.000 host= process=app pid=12 text=no host"),
            ("<13>Nov 20 01:02:03 fe80::1 app: x", "user.notice 2026-11-20T01:02:03.000 host=fe80::1 process=app pid= text=x"),
            ("<13>2026-11-20T10:00:00.5+01:00 h sshd[7]: in", "user.notice 2026-11-20T09:00:00.500 host=h process=sshd pid=7 text=in"),
            // Cisco's log guides: ASA with year, with and without host; IOS with sequence, star, zone.
            (
                "<166>Nov 20 2026 10:00:00: %ASA-6-302013: Built",
                "local4.info 2026-11-20T10:00:00.000 host= process=%ASA-6-302013 pid= text=%ASA-6-302013: Built",
            ),
            (
                "<166>Nov 20 2026 10:00:00 fw1 : %ASA-6-302013: Built",
                "local4.info 2026-11-20T10:00:00.000 host=fw1 process=%ASA-6-302013 pid= text=%ASA-6-302013: Built",
            ),
            (
                "<189>123: *Nov 20 18:46:11.123 UTC: %SYS-5-CONFIG_I: Configured",
                "local7.notice 2026-11-20T18:46:11.123 host= process=%SYS-5-CONFIG_I pid= text=%SYS-5-CONFIG_I: Configured",
            ),
            // github.com/syslog-ng/syslog-ng/pull/5410: an address is not a year.
            (
                "<30>Nov 20 01:02:03 2001:db8::1 named[16548]: x",
                "daemon.info 2026-11-20T01:02:03.000 host=2001:db8::1 process=named pid=16548 text=x",
            ),
            ("<30>Nov 20 01:02:03 2001:db8::1: named: x", "daemon.info 2026-11-20T01:02:03.000 host=2001:db8::1 process=named pid= text=x"),
            (
                "<30>Nov 20 01:02:03 fe80::1%eth0 named: x",
                "daemon.info 2026-11-20T01:02:03.000 host=fe80::1%eth0 process=named pid= text=x",
            ),
            (
                "<30>Nov 20 01:02:03 [2001:db8::1] named: x",
                "daemon.info 2026-11-20T01:02:03.000 host=[2001:db8::1] process=named pid= text=x",
            ),
            // A zone after the time, and the year after that; a host in capitals is a host.
            ("<13>Nov 20 10:48:57 EST host app: x", "user.notice 2026-11-20T15:48:57.000 host=host process=app pid= text=x"),
            ("<13>Nov 20 10:48:57 +0100 host app: x", "user.notice 2026-11-20T09:48:57.000 host=host process=app pid= text=x"),
            ("<13>Nov 20 10:48:57 CET 2025 host app: x", "user.notice 2025-11-20T09:48:57.000 host=host process=app pid= text=x"),
            ("<13>Nov 20 10:48:57 GMT+0100 host app: x", "user.notice 2026-11-20T09:48:57.000 host=host process=app pid= text=x"),
            ("<13>Fri Nov 20 10:48:57 2026 host app: x", "user.notice 2026-11-20T10:48:57.000 host=host process=app pid= text=x"),
            ("<13>2026-11-20 10:48:57.25 host app: x", "user.notice 2026-11-20T10:48:57.250 host=host process=app pid= text=x"),
            ("<13>2026-11-20 10:48:57+01:00 host app: x", "user.notice 2026-11-20T09:48:57.000 host=host process=app pid= text=x"),
            ("<13>2026-11-20 10:48:57 EST host app: x", "user.notice 2026-11-20T15:48:57.000 host=host process=app pid= text=x"),
            ("<13>Nov 20 10:48:57 MAIL sendmail[3]: x", "user.notice 2026-11-20T10:48:57.000 host=MAIL process=sendmail pid=3 text=x"),
            // Cisco's sequence numbers, origins, marks and uptimes ("System Message Logging", cisco.com; github.com/syslog-ng/syslog-ng/pull/3843).
            ("<189>83: %SYS-5-CONFIG_I: Configured", "local7.notice - host= process=%SYS-5-CONFIG_I pid= text=%SYS-5-CONFIG_I: Configured"),
            (
                "<189>29: foo: *Mar  1 18:46:11.123 UTC: %SYS-5-CONFIG_I: Configured",
                "local7.notice 2026-03-01T18:46:11.123 host=foo process=%SYS-5-CONFIG_I pid= text=%SYS-5-CONFIG_I: Configured",
            ),
            (
                "<189>000045: 10.0.0.1: .Nov 20 11:00:00.5 CEST: %SYS-5-CONFIG_I: x",
                "local7.notice 2026-11-20T09:00:00.500 host=10.0.0.1 process=%SYS-5-CONFIG_I pid= text=%SYS-5-CONFIG_I: x",
            ),
            ("<189>45: sw-1: %LINK-3-UPDOWN: down", "local7.notice - host=sw-1 process=%LINK-3-UPDOWN pid= text=%LINK-3-UPDOWN: down"),
            (
                "<189>46: 00:00:46: %LINK-3-UPDOWN: up",
                "local7.notice - host= process=%LINK-3-UPDOWN pid= text=00:00:46: %LINK-3-UPDOWN: up",
            ),
            (
                "<189>47: sw-1: 3w4d: %LINK-3-UPDOWN: up",
                "local7.notice - host=sw-1 process=%LINK-3-UPDOWN pid= text=3w4d: %LINK-3-UPDOWN: up",
            ),
            ("<189>1d02h: %LINK-3-UPDOWN: up", "local7.notice - host= process=%LINK-3-UPDOWN pid= text=1d02h: %LINK-3-UPDOWN: up"),
            (
                "<189>: 2026 Nov 20 10:00:00 UTC: %ETHPORT-5-IF_UP: up",
                "local7.notice 2026-11-20T10:00:00.000 host= process=%ETHPORT-5-IF_UP pid= text=%ETHPORT-5-IF_UP: up",
            ),
            (
                "<189>83: r1 RP/0/RSP0/CPU0:Nov 20 10:00:00.25 UTC: config[65710]: %MGBL-CONFIG-6-DB_COMMIT : done",
                "local7.notice 2026-11-20T10:00:00.250 host=r1 process=config pid=65710 text=%MGBL-CONFIG-6-DB_COMMIT : done",
            ),
            (
                "<166>:Nov 20 10:00:00 UTC: %ASA-6-302013: x",
                "local4.info 2026-11-20T10:00:00.000 host= process=%ASA-6-302013 pid= text=%ASA-6-302013: x",
            ),
            (
                "<189>83: 000084: sw-1: Nov 20 10:00:00 EST: %SYS-5-CONFIG_I: x",
                "local7.notice 2026-11-20T15:00:00.000 host=sw-1 process=%SYS-5-CONFIG_I pid= text=%SYS-5-CONFIG_I: x",
            ),
            (
                "<189>83: Nov 20 10:00:00: sw-1: %SYS-5-CONFIG_I: x",
                "local7.notice 2026-11-20T10:00:00.000 host=sw-1 process=%SYS-5-CONFIG_I pid= text=%SYS-5-CONFIG_I: x",
            ),
            // The same after the headers of rsyslog and syslog-ng.
            (
                "<189>Nov 20 10:00:00 relay 83: %SYS-5-CONFIG_I: x",
                "local7.notice 2026-11-20T10:00:00.000 host=relay process=%SYS-5-CONFIG_I pid= text=%SYS-5-CONFIG_I: x",
            ),
            (
                "<189>Nov 20 10:00:00 relay 000045: sw-1: *Nov 20 09:46:11.123 UTC: %SYS-5-CONFIG_I: x",
                "local7.notice 2026-11-20T09:46:11.123 host=sw-1 process=%SYS-5-CONFIG_I pid= text=%SYS-5-CONFIG_I: x",
            ),
            (
                "<189>1 2026-11-20T10:00:00+00:00 relay 000045 - - -  sw-1: *Nov 20 09:46:11.123 UTC: %SYS-5-CONFIG_I: x",
                "local7.notice 2026-11-20T09:46:11.123 host=sw-1 process=%SYS-5-CONFIG_I pid= text=%SYS-5-CONFIG_I: x",
            ),
            (
                "<189>1 2026-11-20T10:00:00+00:00 relay 83 - - -  %SYS-5-CONFIG_I: x",
                "local7.notice 2026-11-20T10:00:00.000 host=relay process=%SYS-5-CONFIG_I pid= text=%SYS-5-CONFIG_I: x",
            ),
            ("<13>83: not Cisco", "user.notice - host= process=83 pid= text=not Cisco"),
            ("<13>app: Nov 20 10:00:00 its own time", "user.notice - host= process=app pid= text=Nov 20 10:00:00 its own time"),
            // Two blanks, as in rsyslog's messages without a tag.
            ("<13>Nov 20 01:02:03 h  text of it", "user.notice 2026-11-20T01:02:03.000 host=h process= pid= text=text of it"),
            ("<13>just text", "user.notice - host= process= pid= text=just text"),
            ("<13>app[3]: x", "user.notice - host= process=app pid=3 text=x"),
            ("no pri at all", "user.notice - host= process= pid= text=no pri at all"),
            ("<999>odd", "user.notice - host= process= pid= text=<999>odd"),
            ("<13>CEF:0|a|b", "user.notice - host= process= pid= text=CEF:0|a|b"),
            ("<13>Nov 20 01:02:03 h CEF:0|a|b", "user.notice 2026-11-20T01:02:03.000 host=h process= pid= text=CEF:0|a|b"),
            (r#"<30>device="SFW" date=1"#, r#"daemon.info - host= process= pid= text=device="SFW" date=1"#),
            (r#"<30>Nov 16 00:25:00 xg device="SFW""#, r#"daemon.info 2026-11-16T00:25:00.000 host=xg process= pid= text=device="SFW""#),
            ("", "user.notice - host= process= pid= text="),
        ];
        for (message, expected) in cases {
            assert_eq!(read(message), expected, "{message}");
        }
    }
}
