//! Parses what Cisco devices write before `%FACILITY-SEVERITY-MNEMONIC:`.
//!
//! `[sequence: ][host: ][*|.]time[ zone]: %…` on IOS ("System Message Logging", service sequence-numbers, timestamps, origin-id), with an
//! uptime in place of the time (`00:00:46`, `1d02h`, `3w4d`, `1y12w`); a leading colon with the year first on NX-OS; the node directly
//! before the time on IOS-XR (`RP/0/RSP0/CPU0:Nov 20 …`). `*` means that the clock was never set, `.` that it lost synchronisation.

use std::net::IpAddr;

use super::time::{self, Reference};

/// Maximum digits of a sequence number.
const SEQUENCE: usize = 10;
/// Maximum bytes of an IOS-XR node with its host.
const NODE: usize = 128;

/// Start of the time, and the parts before it.
pub struct Lead<'a> {
    pub host: &'a str,
    pub rest: &'a str,
}

/// Strips what precedes the time or the mnemonic; nothing if the text does not look like Cisco's. `numbered`: the sequence number was
/// already stripped.
pub fn lead<'a>(text: &'a str, numbered: bool, reference: &Reference<'_>) -> Lead<'a> {
    let (mut numbered, mut rest) = (numbered, text);
    // The message counter and, with `service sequence-numbers`, the device's sequence number.
    for _ in 0..2 {
        if let Some(after) = without_sequence(rest) {
            (numbered, rest) = (true, after);
        }
    }
    let rest = rest.strip_prefix(':').unwrap_or(rest).trim_start_matches(' ');
    let found = |host: &'a str, rest: &'a str| Lead { host, rest: without_mark(rest) };
    if is_next(without_mark(rest), numbered, reference) {
        return found("", rest);
    }
    if let Some((name, after)) = rest.split_once(": ").filter(|(name, _)| is_host(name)) {
        let after = after.trim_start_matches(' ');
        let next = without_mark(after);
        // An application may write its name and a time too: without a number, a mnemonic is required.
        if is_next(next, numbered, reference) && (numbered || next.contains(": %")) {
            return found(name, after);
        }
    }
    if let Some((node, after)) = rest.split_once(':').filter(|(node, _)| node.len() <= NODE && node.contains('/')) {
        if has_time(without_mark(after), reference) {
            let host = node.split_once(' ').map_or("", |(host, _)| host);
            return found(if is_host(host) { host } else { "" }, after);
        }
    }
    Lead { host: "", rest: text }
}

/// The origin after the time, `host: %…`, and the rest.
pub fn origin(text: &str) -> Option<(&str, &str)> {
    let (name, rest) = text.split_once(": ")?;
    let rest = rest.trim_start_matches(' ');
    (rest.starts_with('%') && is_host(name)).then_some((name, rest))
}

/// Whether a time follows; after a number, also an uptime or a mnemonic.
fn is_next(text: &str, numbered: bool, reference: &Reference<'_>) -> bool {
    has_time(text, reference) || (numbered && text.starts_with('%')) || uptime(text).is_some()
}

fn has_time(text: &str, reference: &Reference<'_>) -> bool {
    time::bsd(text).is_some() || time::iso(text, reference).is_some()
}

fn without_mark(text: &str) -> &str {
    text.strip_prefix(['*', '.']).unwrap_or(text)
}

/// Strips `123: `; `None` if the text does not start with a number and a colon.
fn without_sequence(text: &str) -> Option<&str> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if !(1..=SEQUENCE).contains(&digits) {
        return None;
    }
    text.get(digits..)?.strip_prefix(": ").map(|rest| rest.trim_start_matches(' '))
}

/// The text after an uptime and its colon, if a mnemonic follows.
pub fn uptime(text: &str) -> Option<&str> {
    let (word, rest) = text.split_once(": ")?;
    let rest = rest.trim_start_matches(' ');
    (rest.starts_with('%') && (is_clock(word) || is_span(word))).then_some(rest)
}

/// `00:00:46`, `123:59:59`, with optional fraction.
fn is_clock(word: &str) -> bool {
    let mut parts = word.split(':');
    let digits = |part: Option<&str>, most: usize| {
        part.is_some_and(|part| (1..=most).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit()))
    };
    digits(parts.next(), 4)
        && digits(parts.next(), 2)
        && digits(parts.next().map(|part| part.split('.').next().unwrap_or(part)), 2)
        && parts.next().is_none()
}

/// `1d02h`, `3w4d`, `1y12w`.
fn is_span(word: &str) -> bool {
    let mut rest = word;
    let mut units = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 || !matches!(rest.as_bytes().get(digits), Some(b'y' | b'w' | b'd' | b'h')) {
            return false;
        }
        rest = &rest[digits + 1..];
        units += 1;
    }
    (1..=2).contains(&units)
}

/// A host name or address.
pub fn is_host(word: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'/') || byte >= 0x80;
    let name = !word.is_empty() && word.len() <= 255 && word.bytes().all(plain);
    name || is_address(word)
}

/// An address, optionally in brackets or with a zone: `fe80::1%eth0`.
pub fn is_address(word: &str) -> bool {
    if !word.bytes().any(|byte| matches!(byte, b':' | b'.')) {
        return false;
    }
    let word = word.trim_matches(['[', ']']);
    word.split_once('%').map_or(word, |(address, _)| address).parse::<IpAddr>().is_ok()
}
