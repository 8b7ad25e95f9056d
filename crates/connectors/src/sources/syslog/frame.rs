//! Splits a byte stream into messages.
//!
//! RFC 6587: a frame is either counted (`LEN SP MSG`) or ends with LF or NUL; this is detected for every frame, because senders mix them.
//! Beyond the RFC: Sophos firewalls send messages without delimiter, so a new `<PRI>device="` ends a message too; and a sender that
//! truncates a message after counting it sends a count that is too large (journalpump#193), which is detected by the data after it.
//!
//! Memory is bounded: at most one message of maximum length and one read are buffered.

use memchr::{memchr2, memmem};

/// Maximum digits of a count.
const MAX_DIGITS: usize = 9;
/// Bytes needed to detect a message in Sophos format: `<191>device_name="`.
const SOPHOS_START: usize = 18;

/// A message, or bytes that are not one.
#[derive(Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    Message {
        bytes: &'a [u8],
        /// The sender's message was longer.
        cut: bool,
    },
    /// Bytes skipped to resynchronise, and why.
    Lost { bytes: &'a [u8], reason: &'static str },
}

/// Incremental frame parser.
#[derive(Debug)]
pub struct Framer {
    buffer: Vec<u8>,
    /// Bytes before this have been returned.
    start: usize,
    /// No message ends between `start` and here, so it is not searched again.
    searched: usize,
    max: usize,
    skip: Skip,
    /// The last frame was counted: another frame should follow.
    counted: bool,
}

/// Skipping the rest of a message that was too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Skip {
    Nothing,
    Bytes(usize),
    ToTrailer,
    /// Or to the next message in Sophos format.
    ToSophos,
}

/// The next item, as offsets from the start of the buffer.
enum Next {
    /// A message of `len` bytes after `from`; the next frame starts at `end`.
    Message {
        from: usize,
        len: usize,
        end: usize,
        skip: Skip,
        cut: bool,
    },
    Lost {
        len: usize,
        reason: &'static str,
    },
    More,
}

impl Framer {
    pub fn new(max: usize) -> Self {
        Self { buffer: Vec::new(), start: 0, searched: 0, max, skip: Skip::Nothing, counted: false }
    }

    /// The buffer to read into; bytes are appended to it.
    pub fn space(&mut self) -> &mut Vec<u8> {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.searched -= self.start;
            self.start = 0;
        }
        &mut self.buffer
    }

    #[cfg(test)]
    pub fn push(&mut self, bytes: &[u8]) {
        self.space().extend_from_slice(bytes);
    }

    /// Bytes of an incomplete message.
    pub fn pending(&self) -> usize {
        self.buffer.len() - self.start
    }

    /// Whether the stream starts with a TLS handshake, sent to a plain listener by mistake.
    pub fn is_tls(&self) -> bool {
        self.buffer[self.start..].starts_with(&[0x16, 0x03])
    }

    /// The next complete message.
    pub fn next(&mut self) -> Option<Frame<'_>> {
        self.skip_rest();
        if self.skip != Skip::Nothing {
            return None;
        }
        self.skip_blanks();
        let next = self.look();
        self.give(next)
    }

    /// The rest at the end of the connection: a message ended by it, or a partial counted one.
    pub fn finish(&mut self) -> Option<Frame<'_>> {
        self.skip_rest();
        self.skip_blanks();
        let rest = &self.buffer[self.start..];
        if rest.is_empty() {
            return None;
        }
        let len = rest.len();
        let next = match count(rest) {
            Count::Is { .. } => Next::Lost { len, reason: "the connection ended within a counted message" },
            _ => Next::Message { from: 0, len: len.min(self.max), end: len, skip: Skip::Nothing, cut: len > self.max },
        };
        self.give(next)
    }

    /// A complete message in Sophos format without a following one. Called when the sender has been silent for a while.
    ///
    /// An odd number of quotes means that more is to come, or that the firewall truncated its last value or wrote a quote in one: after a
    /// `long` silence, the latter is assumed.
    pub fn quiet(&mut self, long: bool) -> Option<Frame<'_>> {
        let rest = &self.buffer[self.start..];
        let whole = sophos_start(rest) && (long || memchr::memchr_iter(b'"', rest).count().is_multiple_of(2));
        let len = rest.len();
        whole.then_some(())?;
        self.give(Next::Message { from: 0, len, end: len, skip: Skip::Nothing, cut: false })
    }

    fn give(&mut self, next: Next) -> Option<Frame<'_>> {
        let at = self.start;
        match next {
            Next::More => {
                // A Sophos boundary may be split across two reads, so its lines are searched again; they are short.
                if !sophos_start(&self.buffer[at..]) {
                    self.searched = self.buffer.len();
                }
                None
            }
            Next::Message { from, len, end, skip, cut } => {
                self.start = at + end;
                self.searched = self.start;
                self.skip = skip;
                Some(Frame::Message { bytes: &self.buffer[at + from..at + from + len], cut })
            }
            Next::Lost { len, reason } => {
                self.start = at + len;
                self.searched = self.start;
                Some(Frame::Lost { bytes: &self.buffer[at..at + len], reason })
            }
        }
    }

    fn skip_rest(&mut self) {
        let rest = &self.buffer[self.start..];
        let (skipped, left) = match self.skip {
            Skip::Nothing => return,
            Skip::Bytes(bytes) if bytes > rest.len() => (rest.len(), Skip::Bytes(bytes - rest.len())),
            Skip::Bytes(bytes) => (bytes, Skip::Nothing),
            Skip::ToTrailer => match memchr2(b'\n', 0, rest) {
                Some(at) => (at + 1, Skip::Nothing),
                None => (rest.len(), Skip::ToTrailer),
            },
            Skip::ToSophos => match (memchr2(b'\n', 0, rest), sophos_next(rest)) {
                (Some(trailer), next) => (next.map_or(trailer + 1, |at| at.min(trailer + 1)), Skip::Nothing),
                (None, Some(at)) => (at, Skip::Nothing),
                (None, None) => (rest.len().saturating_sub(SOPHOS_START), Skip::ToSophos),
            },
        };
        self.start += skipped;
        self.searched = self.start;
        self.skip = left;
    }

    /// Skips empty frames: keep-alives, and the LF that some senders append to a counted message.
    fn skip_blanks(&mut self) {
        while let Some(b'\n' | b'\r' | 0 | b' ') = self.buffer.get(self.start) {
            self.start += 1;
        }
        self.searched = self.searched.max(self.start);
    }

    fn look(&mut self) -> Next {
        let rest = &self.buffer[self.start..];
        match count(rest) {
            Count::Is { digits, len } => {
                let next = self.counted(rest, digits + 1, len);
                self.counted = true;
                next
            }
            Count::Unknown => Next::More,
            Count::No => {
                let next = self.trailed(rest);
                self.counted &= matches!(next, Next::More | Next::Lost { .. });
                next
            }
        }
    }

    fn counted(&self, rest: &[u8], from: usize, len: usize) -> Next {
        let have = &rest[from..];
        let Some(whole) = have.get(..len) else {
            // Too long to be buffered: returned truncated as soon as enough has arrived.
            return if len > self.max && have.len() >= self.max {
                Next::Message { from, len: self.max, end: from + self.max, skip: Skip::Bytes(len - self.max), cut: true }
            } else {
                Next::More
            };
        };
        // Bytes after the frame that cannot start another: the count was too large, and the excess is a frame of its own.
        if !have[len..].is_empty() && !can_start(&have[len..]) {
            if let Some(at) = next_counted(&have[1..]).map(|at| at + 1).filter(|at| *at <= len) {
                return Next::Message { from, len: at.min(self.max), end: from + at, skip: Skip::Nothing, cut: true };
            }
        }
        let kept = whole.len().min(self.max);
        Next::Message { from, len: kept, end: from + len, skip: Skip::Nothing, cut: kept < len }
    }

    fn trailed(&self, rest: &[u8]) -> Next {
        // After a wrong count: skip to a recognisable frame on the same line.
        if self.counted && rest[0] != b'<' {
            if let Some(at) = next_counted(rest).filter(|at| memchr2(b'\n', 0, &rest[..*at]).is_none()) {
                return Next::Lost { len: at, reason: "bytes between two counted messages" };
            }
        }
        let searched = (self.searched - self.start).min(rest.len());
        let trailer = memchr2(b'\n', 0, &rest[searched..]).map(|at| at + searched);
        let line = &rest[..trailer.unwrap_or(rest.len())];
        if sophos_start(line) {
            if let Some(at) = sophos_next(line) {
                return Next::Message { from: 0, len: at.min(self.max), end: at, skip: Skip::Nothing, cut: at > self.max };
            }
        }
        match trailer {
            Some(end) => {
                let len = if end > 0 && rest[end - 1] == b'\r' { end - 1 } else { end };
                Next::Message { from: 0, len: len.min(self.max), end: end + 1, skip: Skip::Nothing, cut: len > self.max }
            }
            None if rest.len() > self.max => {
                let skip = if sophos_start(rest) { Skip::ToSophos } else { Skip::ToTrailer };
                Next::Message { from: 0, len: self.max, end: self.max, skip, cut: true }
            }
            None => Next::More,
        }
    }
}

enum Count {
    /// `digits` digits and a space precede a message of `len` bytes.
    Is {
        digits: usize,
        len: usize,
    },
    No,
    /// More bytes are needed.
    Unknown,
}

/// A count must be followed by a space and a `<`, so that text that starts with a number is not taken for one.
fn count(bytes: &[u8]) -> Count {
    if !matches!(bytes.first(), Some(b'1'..=b'9')) {
        return if bytes.is_empty() { Count::Unknown } else { Count::No };
    }
    let digits = bytes.iter().take(MAX_DIGITS + 1).take_while(|byte| byte.is_ascii_digit()).count();
    if digits > MAX_DIGITS {
        return Count::No;
    }
    match (bytes.get(digits), bytes.get(digits + 1)) {
        (Some(b' '), Some(b'<')) => {
            let len = bytes[..digits].iter().fold(0, |number, digit| number * 10 + usize::from(digit - b'0'));
            Count::Is { digits, len }
        }
        (None, _) | (Some(b' '), None) => Count::Unknown,
        _ => Count::No,
    }
}

/// Strips the count that some senders prepend to a datagram, if it equals its length.
pub fn uncounted(datagram: &[u8]) -> &[u8] {
    match count(datagram) {
        Count::Is { digits, len } if digits + 1 + len == datagram.len() => &datagram[digits + 1..],
        _ => datagram,
    }
}

/// Whether a frame can start with these bytes.
fn can_start(bytes: &[u8]) -> bool {
    match bytes.first() {
        Some(b'<' | b'\n' | b'\r' | 0 | b' ') => true,
        _ => !matches!(count(bytes), Count::No),
    }
}

/// Start of a counted frame with a PRI: `95 <13>`.
fn next_counted(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = memmem::find(&bytes[from..], b" <").map(|at| at + from) {
        let digits = bytes[..at].iter().rev().take(MAX_DIGITS).take_while(|byte| byte.is_ascii_digit()).count();
        let start = at - digits;
        if digits > 0 && bytes[start] != b'0' && pri(&bytes[at + 1..]).is_some() {
            return Some(start);
        }
        from = at + 2;
    }
    None
}

/// Length of `<PRI>` at the start.
fn pri(bytes: &[u8]) -> Option<usize> {
    let digits = bytes.get(1..)?.iter().take(4).take_while(|byte| byte.is_ascii_digit()).count();
    (bytes[0] == b'<' && (1..=3).contains(&digits) && bytes.get(digits + 1) == Some(&b'>')).then_some(digits + 2)
}

fn sophos_start(bytes: &[u8]) -> bool {
    pri(bytes).is_some_and(|len| {
        let rest = &bytes[len..];
        rest.starts_with(b"device=\"") || rest.starts_with(b"device_name=\"")
    })
}

/// Start of the next message in Sophos format, after the first.
fn sophos_next(line: &[u8]) -> Option<usize> {
    memmem::find_iter(&line[1..], b"<").map(|at| at + 1).find(|at| sophos_start(&line[*at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All frames of `input`, fed in chunks of `step` bytes: `=` marks a complete message, `~` a truncated one, `!` skipped bytes.
    fn frames(input: &[u8], step: usize, max: usize) -> Vec<String> {
        let mut framer = Framer::new(max);
        let mut found = Vec::new();
        let mut note = |frame: Frame<'_>| {
            let (sign, bytes) = match frame {
                Frame::Message { bytes, cut: false } => ('=', bytes),
                Frame::Message { bytes, cut: true } => ('~', bytes),
                Frame::Lost { bytes, .. } => ('!', bytes),
            };
            found.push(format!("{sign}{}", String::from_utf8_lossy(bytes)));
        };
        for piece in input.chunks(step) {
            framer.push(piece);
            while let Some(frame) = framer.next() {
                note(frame);
            }
        }
        if let Some(frame) = framer.finish() {
            note(frame);
        }
        found
    }

    #[test]
    fn counted_and_trailed_frames_mix() {
        // RFC 6587 §3.4; the first count is as sent by `logger --octet-count`, without a LF.
        let input = b"6 <13>ab7 <13>a\nb<13>line\r\n<13>nul\0\n\n5 <13>c\n<13>end";
        let expected = ["=<13>ab", "=<13>a\nb", "=<13>line", "=<13>nul", "=<13>c", "=<13>end"];
        for step in [1, 2, 3, 7, 100] {
            assert_eq!(frames(input, step, 100), expected, "in pieces of {step}");
        }
    }

    #[test]
    fn text_that_starts_with_a_number_is_a_line() {
        assert_eq!(frames(b"2026-11-20 up\n5 men\n1234567890123 <13>x\n", 4, 100), ["=2026-11-20 up", "=5 men", "=1234567890123 <13>x"]);
    }

    #[test]
    fn messages_of_sophos_need_nothing_between_them() {
        let input = br#"<30>device="SFW" a="<1>"<30>device="SFW" b="2"<14>device_name="SFW" c=3"#;
        let expected = [r#"=<30>device="SFW" a="<1>""#, r#"=<30>device="SFW" b="2""#, r#"=<14>device_name="SFW" c=3"#];
        for step in [1, 5, 1000] {
            assert_eq!(frames(input, step, 1000), expected, "in pieces of {step}");
        }
    }

    #[test]
    fn a_silent_sender_of_sophos_is_done_when_its_quotes_are() {
        let mut framer = Framer::new(1000);
        framer.push(br#"<30>device="SFW" a="1"#);
        assert_eq!(framer.next(), None);
        assert_eq!(framer.quiet(false), None);
        let mut cut = Framer::new(1000);
        cut.push(br#"<30>device="SFW" a="1"#);
        assert!(cut.quiet(true).is_some(), "a last value that is cut");
        framer.push(b"\"");
        assert!(framer.quiet(false).is_some());
        assert_eq!(framer.pending(), 0);
        framer.push(b"<30>plain");
        assert_eq!(framer.quiet(false), None, "a line of anything else needs its end");
    }

    #[test]
    fn a_message_too_long_is_cut_and_its_rest_skipped() {
        assert_eq!(frames(b"<13>0123456789\n<13>b\n", 3, 8), ["~<13>0123", "=<13>b"]);
        assert_eq!(frames(b"14 <13>0123456789<13>b\n", 3, 8), ["~<13>0123", "=<13>b"]);
        assert_eq!(frames(b"14 <13>0123456789<13>b\n", 100, 8), ["~<13>0123", "=<13>b"]);
    }

    #[test]
    fn a_count_that_is_too_large_costs_one_message_at_most() {
        // The sender counted 20 and truncated its message to 8 bytes; "6 <13>ok" follows three times.
        let input = b"20 <13>abcd6 <13>ok6 <13>ok6 <13>ok";
        assert_eq!(frames(input, 1000, 100), ["~<13>abcd", "=<13>ok", "=<13>ok", "=<13>ok"]);
        // Fed byte by byte, this is detected too late: the first frame includes its neighbours, and the rest is recovered.
        assert_eq!(frames(input, 1, 100), ["=<13>abcd6 <13>ok6 <1", "!3>ok", "=<13>ok"]);
    }

    #[test]
    fn half_a_counted_message_is_no_message() {
        assert_eq!(frames(b"30 <13>half", 4, 100), ["!30 <13>half"]);
    }

    #[test]
    fn no_bytes_panic_or_grow() {
        // A linear congruential generator; the alphabet consists of the bytes relevant to framing.
        let alphabet = b"<>0123456789 \n\0\rde\"=v";
        let mut state = 7_u64;
        for _ in 0..300 {
            let mut framer = Framer::new(16);
            for _ in 0..60 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                let len = (state >> 59) as usize;
                let piece: Vec<u8> =
                    (0..len).map(|n| alphabet[(state.rotate_left(n as u32 * 3) % alphabet.len() as u64) as usize]).collect();
                framer.push(&piece);
                while framer.next().is_some() {}
                assert!(framer.pending() <= 16 + 32 + MAX_DIGITS, "{}", framer.pending());
            }
            while framer.finish().is_some() {}
        }
    }
}
