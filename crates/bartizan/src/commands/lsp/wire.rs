//! Message framing: a header with the length, and JSON.

use std::io::{self, BufRead, Write};

use serde_json::Value as Json;

/// Maximum length of a message.
const LONGEST: usize = 64 << 20;

#[derive(Debug, thiserror::Error)]
pub enum WireError {
    #[error("cannot read from the editor: {0}")]
    Read(#[from] io::Error),
    #[error("a message has no `Content-Length`")]
    Length,
    #[error("a message of {0} bytes is longer than {LONGEST}")]
    TooLong(usize),
    #[error("a message is no JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// The next message; `None` at the end of the input.
pub fn read(input: &mut impl BufRead) -> Result<Option<Json>, WireError> {
    let mut length = None;
    loop {
        let mut line = String::new();
        if input.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let line = line.trim_end();
        if line.is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse::<usize>().ok();
        }
    }
    let length = length.ok_or(WireError::Length)?;
    if length > LONGEST {
        return Err(WireError::TooLong(length));
    }
    let mut body = vec![0; length];
    input.read_exact(&mut body)?;
    Ok(Some(serde_json::from_slice(&body)?))
}

pub fn write(message: &Json) -> io::Result<()> {
    let body = message.to_string();
    let mut output = io::stdout().lock();
    write!(output, "Content-Length: {}\r\n\r\n{body}", body.len())?;
    output.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_by_their_length() {
        let mut input = "Content-Length: 7\r\nContent-Type: x\r\n\r\n{\"a\":1}content-length: 2\r\n\r\n{}".as_bytes();
        assert_eq!(read(&mut input).unwrap().unwrap()["a"], 1);
        assert!(read(&mut input).unwrap().unwrap().is_object());
        assert!(read(&mut input).unwrap().is_none());
        assert!(matches!(read(&mut "x: 1\r\n\r\n".as_bytes()), Err(WireError::Length)));
    }
}
