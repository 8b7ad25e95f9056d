//! Wait loop of background tasks: a notification, a due time, or cancellation.

use std::sync::Arc;

use model::{Clock, Span, TICKS_PER_SECOND, Timestamp};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Maximum wait: sleeping does not notice jumps of the wall clock.
const IDLE: Span = Span(TICKS_PER_SECOND);
const FIRST_RETRY: Span = Span(TICKS_PER_SECOND / 4);
const LAST_RETRY: Span = Span(30 * TICKS_PER_SECOND);

/// Waits for notifications and due times after success, with exponential back-off after failures.
pub(crate) struct Waiting<const N: usize> {
    bells: [watch::Receiver<u64>; N],
    clock: Arc<dyn Clock>,
    cancel: CancellationToken,
    failures: u32,
}

impl<const N: usize> Waiting<N> {
    pub fn new(bells: [watch::Receiver<u64>; N], clock: Arc<dyn Clock>, cancel: CancellationToken) -> Self {
        Self { bells, clock, cancel, failures: 0 }
    }

    pub fn cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// Marks pending notifications as seen. Call before processing, so that later ones are not lost.
    pub fn hear(&mut self) {
        self.bells.iter_mut().for_each(|bell| bell.mark_unchanged());
    }

    /// After success: returns at a notification or at `until`, at the latest after [`IDLE`]. Returns false when cancelled.
    pub async fn idle(&mut self, until: Option<Timestamp>) -> bool {
        self.failures = 0;
        let pause = until.map_or(IDLE, |until| (until - self.clock.now()).max(Span::ZERO).min(IDLE));
        let bells = self.bells.iter_mut().map(|bell| Box::pin(bell.changed()));
        tokio::select! {
            () = self.cancel.cancelled() => false,
            () = any(bells.collect()) => true,
            () = self.clock.sleep(pause) => true,
        }
    }

    /// After a failure: waits longer each time. Returns false when cancelled.
    pub async fn retry(&mut self) -> bool {
        let doubled = Span(FIRST_RETRY.ticks() << self.failures.min(7)).min(LAST_RETRY);
        self.failures += 1;
        tokio::select! {
            () = self.cancel.cancelled() => false,
            () = self.clock.sleep(doubled) => true,
        }
    }
}

/// Completes when any of them does.
async fn any<F: Future<Output = Result<(), watch::error::RecvError>> + Unpin>(mut bells: Vec<F>) {
    std::future::poll_fn(|cx| {
        let rung = bells.iter_mut().any(|bell| std::pin::Pin::new(bell).poll(cx).is_ready());
        if rung { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
}
