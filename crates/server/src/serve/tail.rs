//! Drains the unread rest of a request body once the response is ready.
//!
//! A client that writes before it reads must see the response: closing or resetting the connection would discard it (RFC 9112 §9.6, RFC
//! 9113 §8.1). So the response is sent at once and the rest of the body is read and dropped, within limits on bytes and time (as nginx's
//! lingering close). Within the limits the connection stays usable for the next request. Beyond them HTTP/2 resets the stream with
//! NO_ERROR, and HTTP/1.1 closes its half of the connection and lingers (see [`super::stream`]).

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};

use super::session::Session;

/// Maximum bytes drained of an unread body.
pub const TAIL_BYTES: u64 = 128 << 20;
/// Maximum time for draining (nginx: `lingering_time`).
pub const TAIL_TIME: Duration = Duration::from_secs(30);
/// Maximum idle time while draining (nginx: `lingering_timeout`).
pub const TAIL_SILENCE: Duration = Duration::from_secs(5);

/// A body whose unread rest is drained after the response.
pub struct Tail {
    inner: Option<Incoming>,
    is_over: bool,
    unread: Arc<AtomicBool>,
    session: Arc<Session>,
}

impl Tail {
    /// The body, and a flag that is set if the body is dropped before its end.
    pub fn new(inner: Incoming, session: Arc<Session>) -> (Self, Arc<AtomicBool>) {
        let unread = Arc::new(AtomicBool::new(false));
        (Self { inner: Some(inner), is_over: false, unread: Arc::clone(&unread), session }, unread)
    }
}

impl Body for Tail {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        let next = Pin::new(inner).poll_frame(cx);
        if matches!(next, Poll::Ready(None | Some(Err(_)))) {
            self.is_over = true;
        }
        next
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        let Some(inner) = self.inner.take().filter(|inner| !self.is_over && !inner.is_end_stream()) else { return };
        self.unread.store(true, Ordering::Release);
        // Without a runtime the connection is closed as well.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(read_on(inner, Arc::clone(&self.session)));
        }
    }
}

async fn read_on(mut body: Incoming, session: Arc<Session>) {
    let reading = async {
        let mut seen = 0;
        while seen < TAIL_BYTES {
            match tokio::time::timeout(TAIL_SILENCE, body.frame()).await {
                Ok(Some(Ok(frame))) => seen += frame.data_ref().map_or(0, |data| data.len() as u64),
                Ok(_) => return true,
                Err(_) => return false,
            }
        }
        false
    };
    let is_over = tokio::select! {
        is_over = tokio::time::timeout(TAIL_TIME, reading) => is_over.unwrap_or(false),
        () = session.cut.cancelled() => true,
    };
    if !is_over {
        session.linger.store(true, Ordering::Release);
    }
}
