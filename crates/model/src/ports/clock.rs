use std::time::Duration;

use async_trait::async_trait;

use crate::{Span, Timestamp};

/// The wall clock and timers. Manual in tests.
#[async_trait]
pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;

    /// A monotonic clock, for measuring durations.
    fn monotonic(&self) -> Duration;

    async fn sleep(&self, span: Span);
}
