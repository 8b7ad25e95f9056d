//! A connection's byte stream that reports received bytes, enforces the write timeout, and drains input while closing.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use super::session::Session;

/// How long a closed connection continues to read input in transit: if closed at once, the system would answer those bytes with a reset,
/// which discards what the client has not read yet (RFC 9112 §9.6).
const LINGER_TIME: Duration = Duration::from_secs(5);
/// Maximum number of bytes drained.
const LINGER_BYTES: u64 = 64 << 20;

/// Wraps a stream; a write without progress for `patience` fails with [`io::ErrorKind::TimedOut`].
pub struct Guarded<S> {
    inner: S,
    session: Arc<Session>,
    patience: Duration,
    timer: Pin<Box<Sleep>>,
    waiting: bool,
    closing: Closing,
}

enum Closing {
    No,
    /// Our half is closed; number of bytes drained since.
    Lingering(u64),
    Done,
}

impl<S> Guarded<S> {
    pub fn new(inner: S, session: Arc<Session>, patience: Duration) -> Self {
        Self { inner, session, patience, timer: Box::pin(sleep(patience)), waiting: false, closing: Closing::No }
    }

    /// Tracks progress of writes.
    fn watch<T>(&mut self, cx: &mut Context<'_>, outcome: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.waiting = false;
            return outcome;
        }
        if !self.waiting {
            self.waiting = true;
            let deadline = Instant::now() + self.patience;
            self.timer.as_mut().reset(deadline);
        }
        match self.timer.as_mut().poll(cx) {
            Poll::Ready(()) => Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, "the peer takes nothing"))),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.inner).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            self.session.received();
        }
        outcome
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.watch(cx, outcome)
    }

    fn poll_write_vectored(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[io::IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write_vectored(cx, bytes);
        self.watch(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_flush(cx);
        self.watch(cx, outcome)
    }

    /// Closes our half; if the client is known to be still sending, drains its input within limits.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if matches!(self.closing, Closing::No) {
            let outcome = Pin::new(&mut self.inner).poll_shutdown(cx);
            ready!(self.watch(cx, outcome))?;
            self.closing = Closing::Done;
            if self.session.linger.load(Ordering::Acquire) {
                self.closing = Closing::Lingering(0);
                self.timer.as_mut().reset(Instant::now() + LINGER_TIME);
            }
        }
        let mut scratch = [0; 16 << 10];
        while let Closing::Lingering(seen) = self.closing {
            let mut buffer = ReadBuf::new(&mut scratch);
            let is_over = match Pin::new(&mut self.inner).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) => buffer.filled().is_empty(),
                Poll::Ready(Err(_)) => true,
                Poll::Pending => {
                    ready!(self.timer.as_mut().poll(cx));
                    true
                }
            };
            let seen = seen + buffer.filled().len() as u64;
            self.closing = if is_over || seen > LINGER_BYTES { Closing::Done } else { Closing::Lingering(seen) };
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    fn session() -> Arc<Session> {
        Session::new(([127, 0, 0, 1], 1).into(), Instant::now())
    }

    #[tokio::test]
    async fn a_peer_that_takes_nothing_is_given_up() {
        // A pipe of 4 bytes whose other end is never read.
        let (near, _far) = tokio::io::duplex(4);
        let error = Guarded::new(near, session(), Duration::from_millis(20)).write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    #[tokio::test]
    async fn a_closed_stream_reads_on_where_its_client_still_sends() {
        let (near, mut far) = tokio::io::duplex(16);
        let session = session();
        session.linger.store(true, Ordering::Release);
        let closing = tokio::spawn(async move { Guarded::new(near, session, Duration::from_secs(5)).shutdown().await });
        // Far more than the pipe's capacity: it is read although the near half is closed.
        far.write_all(&[7; 4096]).await.unwrap();
        drop(far);
        closing.await.unwrap().unwrap();
    }
}
