//! The task that applies pending changes from answers to incidents.

use std::sync::Arc;

use model::{Clock, chain};
use store::{Store, StoreError, Topic};
use tokio_util::sync::CancellationToken;

use crate::desk::{Deed, Desk, DeskError, Wish, left_of};
use crate::records;
use crate::waiting::Waiting;

/// Pending changes per batch.
const AT_ONCE: u32 = 200;
/// Immediate retries after conflicts.
const CONFLICTS: usize = 5;

/// Applies pending changes. Idempotent.
pub struct Wishes {
    pub store: Store,
    pub desk: Arc<dyn Desk>,
    pub clock: Arc<dyn Clock>,
    /// Concurrent runs would only conflict with each other.
    pub turn: tokio::sync::Mutex<()>,
}

/// Result of one attempt.
enum Outcome {
    Done,
    Later,
}

impl Wishes {
    pub fn new(store: Store, desk: Arc<dyn Desk>, clock: Arc<dyn Clock>) -> Self {
        Self { store, desk, clock, turn: tokio::sync::Mutex::new(()) }
    }

    /// Runs until cancelled, after each answer.
    pub async fn run(&self, cancel: CancellationToken) {
        let mut waiting = Waiting::new([self.store.listen(Topic::Pages)], self.clock.clone(), cancel);
        while !waiting.cancelled() {
            waiting.hear();
            let go_on = match self.activate().await {
                Ok(0) => waiting.idle(None).await,
                Ok(left) => {
                    tracing::warn!(left, "incidents do not take what was answered; trying again");
                    waiting.retry().await
                }
                Err(error) => {
                    tracing::error!(error = chain(&error), "what was answered is not carried out; trying again");
                    waiting.retry().await
                }
            };
            if !go_on {
                return;
            }
        }
    }

    /// Applies pending changes; returns how many are left for a retry.
    pub async fn activate(&self) -> Result<usize, StoreError> {
        let _turn = self.turn.lock().await;
        let mut left = 0;
        for row in self.store.escalations().wishes(AT_ONCE).await? {
            let id = row.id;
            let done = match records::wish(row) {
                Ok(wish) => self.carry_out(&wish).await?,
                Err(error) => {
                    tracing::error!(wish = %id, error = chain(&error), "a wish does not read back and is dropped");
                    Outcome::Done
                }
            };
            match done {
                Outcome::Done => {
                    let mut change = self.store.begin().await?;
                    change.strike_wish(id).await?;
                    change.commit().await?;
                }
                Outcome::Later => left += 1,
            }
        }
        Ok(left)
    }

    async fn carry_out(&self, wish: &Wish) -> Result<Outcome, StoreError> {
        for _ in 0..CONFLICTS {
            let done = match &wish.deed {
                Deed::Comment { text } => self.desk.comment(wish.incident, wish.id, text, &wish.actor).await,
                Deed::Change(change) => {
                    let Some(incident) = self.store.incidents().get(wish.incident).await? else { return Ok(Outcome::Done) };
                    let history = self.store.audit().of("incident", &wish.incident.to_string()).await?;
                    let Some(left) = left_of(wish, change, &incident, &history) else { return Ok(Outcome::Done) };
                    self.desk.change(&incident, &left, &wish.actor).await
                }
            };
            match done {
                Ok(()) | Err(DeskError::NoIncident(_)) => return Ok(Outcome::Done),
                Err(DeskError::Conflict(_)) => {}
                Err(error @ DeskError::Refused { .. }) => {
                    tracing::error!(error = chain(&error), ?wish, "an incident refuses what was answered");
                    return Ok(Outcome::Done);
                }
                Err(error @ DeskError::Later { .. }) => {
                    tracing::warn!(error = chain(&error), "an incident cannot be changed now");
                    return Ok(Outcome::Later);
                }
            }
        }
        Ok(Outcome::Later)
    }
}
