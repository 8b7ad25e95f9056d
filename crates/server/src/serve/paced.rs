//! A response body in chunks, so that a client that reads nothing is detected.
//!
//! hyper's HTTP/2 flow control accepts a whole body at once and does not report whether the client opens its window. With chunks, the next
//! one is requested only after the previous one was sent.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};

use super::session::{Answering, Running, Session};

/// Chunk size in bytes.
const PIECE: usize = 64 << 10;

/// Reports progress of the response to the session, and the end of the request when dropped.
pub struct Paced {
    whole: Full<Bytes>,
    rest: Bytes,
    answering: Answering,
    _running: Running,
}

impl Paced {
    pub fn new(whole: Full<Bytes>, session: &Arc<Session>, running: Running) -> Self {
        Self { whole, rest: Bytes::new(), answering: session.answering(), _running: running }
    }
}

impl Body for Paced {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.answering.progress();
        if self.rest.is_empty() {
            match Pin::new(&mut self.whole).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                other => return other,
            }
        }
        let piece = self.rest.len().min(PIECE);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.whole.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let whole = self.whole.size_hint().exact().unwrap_or(0);
        SizeHint::with_exact(whole + self.rest.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::super::session::Worth;
    use super::*;

    #[tokio::test]
    async fn pieces_make_the_whole() {
        let session = Session::new(([127, 0, 0, 1], 1).into(), tokio::time::Instant::now());
        let whole: Bytes = (0..200_000u32).map(|n| n as u8).collect::<Vec<u8>>().into();
        let mut paced = Paced::new(Full::new(whole.clone()), &session, session.begin());
        assert_eq!(paced.size_hint().exact(), Some(200_000));
        let mut sizes = Vec::new();
        let mut together = Vec::new();
        while let Some(frame) = paced.frame().await {
            let data = frame.unwrap().into_data().unwrap();
            sizes.push(data.len());
            together.extend_from_slice(&data);
        }
        assert_eq!((sizes, together), (vec![PIECE, PIECE, PIECE, 200_000 - 3 * PIECE], whole.to_vec()));
        session.prove();
        assert!(paced.is_end_stream());
        assert_eq!(session.worth(), Worth::Working);
        drop(paced);
        assert_eq!(session.worth(), Worth::Idle);
        assert!(Paced::new(Full::new(Bytes::new()), &session, session.begin()).is_end_stream());
    }
}
