//! Budgets shared by all requests: body bytes, inflated bytes, concurrent uploads, slow hashes. They are divided fairly between callers
//! (see [`crate::shares`]); a request that waits too long is rejected with `Retry-After`.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use crate::error::ApiError;
use crate::shares::{Share, Shares};

/// Body bytes on the wire held concurrently by all callers with a token.
pub const WIRE_BYTES: u64 = 128 << 20;
/// Inflated body bytes held concurrently by all callers. One body has at most 64 MiB.
pub const INFLATED_BYTES: u64 = 256 << 20;
/// Body bytes of callers without a token: token requests, replies to pages.
pub const OPEN_BYTES: u64 = 16 << 20;
/// Bodies up to this size are not counted; the limits on connections and streams bound their number.
pub const FREE_BYTES: u64 = 4 << 10;
/// Concurrent checks of user-chosen secrets (Argon2: 19 MiB and tens of milliseconds each).
pub const SLOW_HASHES: u64 = 4;
/// How long a request waits for its share.
pub const PATIENCE: Duration = Duration::from_secs(10);
/// `Retry-After`, in seconds.
const RETRY: u64 = 5;

/// The budgets of a server.
#[derive(Debug)]
pub struct Budgets {
    pub wire: Arc<Shares>,
    pub inflated: Arc<Shares>,
    pub open: Arc<Shares>,
    /// Uploads that are decoded, transformed and stored concurrently.
    pub turns: Arc<Shares>,
    pub hashes: Arc<Shares>,
}

impl Default for Budgets {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(2, |cores| cores.get() as u64);
        let turns = (cores * 2).clamp(4, 32);
        Self {
            wire: Shares::new(WIRE_BYTES, WIRE_BYTES / 2),
            inflated: Shares::new(INFLATED_BYTES, INFLATED_BYTES / 2),
            open: Shares::new(OPEN_BYTES, OPEN_BYTES / 2),
            // A single caller gets at most three quarters, so that others need not wait.
            turns: Shares::new(turns, turns * 3 / 4),
            hashes: Shares::new(SLOW_HASHES, SLOW_HASHES / 2),
        }
    }
}

/// Waits for a share; 503 with `Retry-After` if none becomes free in time.
pub async fn wait(shares: &Arc<Shares>, holder: &str, amount: u64) -> Result<Share, ApiError> {
    shares.get(holder, amount, PATIENCE).await.map_err(|_| busy())
}

/// The error for an overloaded server.
pub fn busy() -> ApiError {
    metrics::counter!("bartizan_http_requests_refused_total", "reason" => "busy").increment(1);
    ApiError {
        retry_after: Some(RETRY),
        ..ApiError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "ServerBusy",
            "The server holds as many bytes of requests as it takes. Send this again later, and fewer requests at the same time.",
        )
    }
}
