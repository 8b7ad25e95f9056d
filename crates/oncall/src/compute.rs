//! CPU-bound work: checks of documents, long ranges of shifts, replays. It runs on blocking threads, so that other requests do not wait,
//! and with limited concurrency, so that queries and pages keep their share of the CPU.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

/// How long a caller waits for a slot.
const WAIT: Duration = Duration::from_secs(10);

/// A queue with limited concurrency.
pub struct Lane {
    places: Arc<Semaphore>,
}

impl Lane {
    fn of(places: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(places)) }
    }
}

/// The lanes of the service.
pub struct Lanes {
    /// Checks and schedule queries, each limited to about a second.
    pub short: Lane,
    /// Replays, each limited to [`REPLAY_TIME`].
    pub long: Lane,
}

impl Default for Lanes {
    fn default() -> Self {
        Self { short: Lane::of(2), long: Lane::of(1) }
    }
}

/// Maximum duration of a replay.
pub const REPLAY_TIME: Duration = Duration::from_secs(20);

/// Why the work was not run.
#[derive(Debug, thiserror::Error)]
pub enum ComputeError {
    #[error("too much is being computed; try again in {} s", WAIT.as_secs())]
    Busy,
    #[error("the computation broke off")]
    Broke(#[source] tokio::task::JoinError),
}

/// Runs `work` on a blocking thread. If the caller goes away, the work still completes and holds its slot until then.
pub async fn run<T: Send + 'static>(lane: &Lane, work: impl FnOnce() -> T + Send + 'static) -> Result<T, ComputeError> {
    let place = match tokio::time::timeout(WAIT, lane.places.clone().acquire_owned()).await {
        Ok(Ok(place)) => place,
        // The semaphore is never closed.
        Ok(Err(_)) | Err(_) => return Err(ComputeError::Busy),
    };
    let done = tokio::task::spawn_blocking(move || {
        let result = work();
        drop(place);
        result
    });
    done.await.map_err(ComputeError::Broke)
}
