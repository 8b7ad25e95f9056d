//! Work that takes the processor: checks of documents, long ranges of shifts, replays. It runs on blocking threads, so that no other request
//! waits behind it, and only a few at a time, so that queries and pages keep their share of the processor.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

/// How long a caller waits for a place.
const WAIT: Duration = Duration::from_secs(10);

/// Where work waits for its turn.
pub struct Lane {
    places: Arc<Semaphore>,
}

impl Lane {
    fn of(places: usize) -> Self {
        Self { places: Arc::new(Semaphore::new(places)) }
    }
}

/// The lanes of a service.
pub struct Lanes {
    /// Checks and questions about schedules: each is bounded to about a second.
    pub short: Lane,
    /// Replays: each may take as long as [`REPLAY_TIME`].
    pub long: Lane,
}

impl Default for Lanes {
    fn default() -> Self {
        Self { short: Lane::of(2), long: Lane::of(1) }
    }
}

/// The longest that a replay may take.
pub const REPLAY_TIME: Duration = Duration::from_secs(20);

/// Why nothing was computed.
#[derive(Debug, thiserror::Error)]
pub enum ComputeError {
    #[error("too much is being computed; try again in {} s", WAIT.as_secs())]
    Busy,
    #[error("the computation broke off")]
    Broke(#[source] tokio::task::JoinError),
}

/// Runs `work` on a blocking thread. A caller that goes away leaves the work to its end; its place is taken until then.
pub async fn run<T: Send + 'static>(lane: &Lane, work: impl FnOnce() -> T + Send + 'static) -> Result<T, ComputeError> {
    let place = match tokio::time::timeout(WAIT, lane.places.clone().acquire_owned()).await {
        Ok(Ok(place)) => place,
        // The places are never closed.
        Ok(Err(_)) | Err(_) => return Err(ComputeError::Busy),
    };
    let done = tokio::task::spawn_blocking(move || {
        let result = work();
        drop(place);
        result
    });
    done.await.map_err(ComputeError::Broke)
}
