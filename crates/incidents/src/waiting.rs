//! Wait loop of background tasks: a notification, a timer, or cancellation.

use std::sync::Arc;

use model::{Clock, Span, TICKS_PER_SECOND};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Maximum wait, in case a change came without notification.
const IDLE: Span = Span(30 * TICKS_PER_SECOND);
const FIRST_RETRY: Span = Span(TICKS_PER_SECOND / 4);
const LAST_RETRY: Span = Span(30 * TICKS_PER_SECOND);

/// Waits for notifications after success, with exponential back-off after failures.
pub(crate) struct Waiting {
    bell: watch::Receiver<u64>,
    clock: Arc<dyn Clock>,
    cancel: CancellationToken,
    failures: u32,
}

impl Waiting {
    pub(crate) fn new(bell: watch::Receiver<u64>, clock: Arc<dyn Clock>, cancel: CancellationToken) -> Self {
        Self { bell, clock, cancel, failures: 0 }
    }

    pub(crate) fn cancelled(&self) -> bool {
        self.cancel.is_cancelled()
    }

    /// After success: returns at a notification, at the latest after half a minute. Returns false when cancelled.
    pub(crate) async fn idle(&mut self) -> bool {
        self.failures = 0;
        tokio::select! {
            () = self.cancel.cancelled() => false,
            // The store holds the sender as long as the task lives.
            _ = self.bell.changed() => true,
            () = self.clock.sleep(IDLE) => true,
        }
    }

    /// After a failure: waits longer each time, or as long as requested. Returns false when cancelled.
    pub(crate) async fn retry(&mut self, asked: Option<Span>) -> bool {
        let doubled = Span(FIRST_RETRY.ticks() << self.failures.min(7)).min(LAST_RETRY);
        self.failures += 1;
        tokio::select! {
            () = self.cancel.cancelled() => false,
            () = self.clock.sleep(asked.unwrap_or(doubled)) => true,
        }
    }
}
