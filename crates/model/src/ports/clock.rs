use std::time::Duration;

use async_trait::async_trait;

use crate::{Span, Timestamp};

/// The wall clock and waiting. Tests move it by hand.
#[async_trait]
pub trait Clock: Send + Sync {
    fn now(&self) -> Timestamp;

    /// A clock that never goes back, for measuring.
    fn monotonic(&self) -> Duration;

    async fn sleep(&self, span: Span);
}
