//! Reads SMTP lines and mail content from a stream, with limits. Only CRLF ends a line (RFC 5321 2.3.8).

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// RFC 5321 4.5.3.1.4 requires 512; extensions add to that.
const MAX_COMMAND: usize = 1024;
/// RFC 5321 4.5.3.1.6 requires 1000 bytes; real senders exceed it.
const MAX_LINE: usize = 64 * 1024;

#[derive(Debug)]
pub(super) enum LineError {
    TooLong,
    BareLineFeed,
    Io(io::Error),
}

/// The data after `DATA`.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Content {
    Whole(Vec<u8>),
    TooLarge,
    BareLineFeed,
    LineTooLong,
    /// The stream ended before the final dot.
    Ended,
}

pub(super) struct Lines<S> {
    stream: S,
    buffer: Vec<u8>,
    /// Consumed bytes of the buffer.
    at: usize,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Lines<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, buffer: Vec::new(), at: 0 }
    }

    /// One command without its line ending; `None` at the end of the stream. Cancel-safe.
    pub async fn command(&mut self) -> Result<Option<Vec<u8>>, LineError> {
        let mut too_long = false;
        loop {
            let rest = &self.buffer[self.at..];
            if let Some(end) = rest.iter().position(|b| *b == b'\n') {
                let line = &rest[..end];
                let result = match line.strip_suffix(b"\r") {
                    _ if too_long || line.len() > MAX_COMMAND => Err(LineError::TooLong),
                    Some(line) if !line.contains(&b'\r') => Ok(Some(line.to_vec())),
                    _ => Err(LineError::BareLineFeed),
                };
                self.at += end + 1;
                return result;
            }
            if rest.len() > MAX_COMMAND {
                too_long = true;
                self.at = self.buffer.len();
            }
            if self.fill().await.map_err(LineError::Io)? == 0 {
                return Ok(None);
            }
        }
    }

    /// The content up to the final dot, without dot-stuffing (RFC 5321 4.5.2). Reads to the dot even beyond the limit, so that the next
    /// command is in sync, but at most ten times the limit.
    pub async fn content(&mut self, max_size: usize) -> io::Result<Content> {
        let (mut content, mut problem, mut seen) = (Vec::new(), None, 0usize);
        // A dot ends the mail only if the previous line ended with CRLF.
        let mut after_crlf = true;
        loop {
            let rest = &self.buffer[self.at..];
            let Some(end) = rest.iter().position(|b| *b == b'\n') else {
                if rest.len() > MAX_LINE {
                    problem.get_or_insert(Content::LineTooLong);
                    // The last byte may be the CR of a line ending.
                    seen += rest.len() - 1;
                    self.at = self.buffer.len() - 1;
                }
                if seen > max_size.saturating_mul(10) || self.fill().await? == 0 {
                    return Ok(Content::Ended);
                }
                continue;
            };
            let line = &rest[..end];
            seen += end + 1;
            let whole = line.strip_suffix(b"\r").filter(|line| !line.contains(&b'\r'));
            let done = after_crlf && whole == Some(b".".as_slice());
            after_crlf = line.ends_with(b"\r");
            match whole {
                Some(_) if done || problem.is_some() => {}
                Some(line) => {
                    let line = line.strip_prefix(b".").unwrap_or(line);
                    if content.len() + line.len() + 2 > max_size {
                        problem = Some(Content::TooLarge);
                        content = Vec::new();
                    } else {
                        content.extend_from_slice(line);
                        content.extend_from_slice(b"\r\n");
                    }
                }
                None => {
                    problem.get_or_insert(Content::BareLineFeed);
                }
            }
            self.at += end + 1;
            if done {
                return Ok(problem.unwrap_or(Content::Whole(content)));
            }
        }
    }

    async fn fill(&mut self) -> io::Result<usize> {
        self.buffer.drain(..self.at);
        self.at = 0;
        self.buffer.reserve(8 * 1024);
        self.stream.read_buf(&mut self.buffer).await
    }

    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await?;
        self.stream.flush().await
    }

    /// The stream, if the buffer is empty.
    pub fn into_inner_if_drained(self) -> Option<S> {
        (self.at == self.buffer.len()).then_some(self.stream)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn content_of(bytes: &[u8]) -> (Content, Vec<u8>) {
        let (mut ours, theirs) = tokio::io::duplex(1 << 20);
        ours.write_all(bytes).await.unwrap();
        drop(ours);
        let mut lines = Lines::new(theirs);
        let content = lines.content(200).await.unwrap();
        let rest = lines.command().await.ok().flatten().unwrap_or_default();
        (content, rest)
    }

    fn whole(text: &str) -> Content {
        Content::Whole(text.as_bytes().to_vec())
    }

    /// RFC 5321 4.5.2.
    #[tokio::test]
    async fn dots_are_taken_off_again() {
        assert_eq!(content_of(b"a\r\n..\r\n..b\r\n.\r\nQUIT\r\n").await, (whole("a\r\n.\r\n.b\r\n"), b"QUIT".to_vec()));
        assert_eq!(content_of(b".\r\nQUIT\r\n").await, (whole(""), b"QUIT".to_vec()));
    }

    /// Line endings of the SMTP smuggling attacks of 2023 (CVE-2023-51764, -51765, -51766): none of them ends a mail.
    #[tokio::test]
    async fn only_crlf_dot_crlf_ends_a_mail() {
        for ending in ["\n.\n", "\n.\r\n", "\r.\r", "\r\n.\n", "\r\n.\r", "\r.\r\n"] {
            let text = format!("a{ending}MAIL FROM:<x@y.z>\r\n.\r\nNOOP\r\n");
            let (content, rest) = content_of(text.as_bytes()).await;
            assert_eq!((content, rest.as_slice()), (Content::BareLineFeed, b"NOOP".as_slice()), "{ending:?}");
        }
    }

    #[tokio::test]
    async fn what_is_too_large_is_read_to_its_end_and_refused() {
        let text = format!("{}.\r\nNOOP\r\n", "0123456789\r\n".repeat(50));
        assert_eq!(content_of(text.as_bytes()).await, (Content::TooLarge, b"NOOP".to_vec()));
        assert_eq!(content_of(b"cut off").await.0, Content::Ended);
        assert_eq!(content_of(&vec![b'x'; 500_000]).await.0, Content::Ended);
    }

    #[tokio::test]
    async fn commands_end_with_crlf_and_have_a_longest() {
        let (mut ours, theirs) = tokio::io::duplex(1 << 20);
        let long = "x".repeat(100_000);
        ours.write_all(format!("NOOP\r\nNOOP\n{long}\r\nQUIT\r\npart").as_bytes()).await.unwrap();
        drop(ours);
        let mut lines = Lines::new(theirs);
        assert_eq!(lines.command().await.unwrap().as_deref(), Some(b"NOOP".as_slice()));
        assert!(matches!(lines.command().await, Err(LineError::BareLineFeed)));
        assert!(matches!(lines.command().await, Err(LineError::TooLong)));
        assert_eq!(lines.command().await.unwrap().as_deref(), Some(b"QUIT".as_slice()));
        assert_eq!(lines.command().await.unwrap(), None);
    }
}
