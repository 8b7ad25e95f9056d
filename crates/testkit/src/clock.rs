//! A clock that tests move by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use model::{Clock, Span, Timestamp};

/// Changes only when a test says so.
pub struct HandClock {
    ticks: AtomicI64,
    /// Whether a sleep moves the clock and returns; otherwise it never returns, and the monotonic time stands still.
    skips: bool,
}

impl HandClock {
    /// Begins at noon of 1 March 2026; a sleep moves the clock by its length and returns at once.
    pub fn new() -> Arc<Self> {
        let start = Timestamp::parse_iso("2026-03-01T12:00:00Z").expect("a timestamp");
        Arc::new(Self { ticks: AtomicI64::new(start.ticks()), skips: true })
    }

    /// Begins at `start`; a sleep never returns, so that tasks which repeat after a pause run once.
    pub fn still(start: Timestamp) -> Arc<Self> {
        Arc::new(Self { ticks: AtomicI64::new(start.ticks()), skips: false })
    }

    pub fn advance(&self, span: Span) {
        self.ticks.fetch_add(span.ticks(), Ordering::SeqCst);
    }
}

#[async_trait]
impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        Timestamp::clamp_ticks(self.ticks.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        if self.skips { Span(self.ticks.load(Ordering::SeqCst)).to_std() } else { Duration::ZERO }
    }

    async fn sleep(&self, span: Span) {
        if !self.skips {
            std::future::pending::<()>().await;
        }
        self.advance(span);
    }
}
