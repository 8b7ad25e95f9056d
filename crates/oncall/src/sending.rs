//! The sending task: claims each page (recorded), sends it over its channel, and records the outcome.
//!
//! ```text
//! planned ─► claimed ─► sent ─► delivered ─► seen
//!    ▲          │├─► failed                          the next of the person's rules, or the next step, comes at once
//!    └──────────┘└─► doubtful                        the same, where the operator does not want it sent again
//!    later, or may have been sent
//! ```
//!
//! A page that was claimed when the service stopped may have been sent. If the provider honours our idempotency key it is sent again with
//! the same key, so it is delivered once; otherwise it is marked doubtful and the configuration decides (ADR 0007).
//!
//! Concurrency is limited per address and per channel, so that a slow provider or a broken address does not delay others.

mod lost;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use model::{Clock, Span, TICKS_PER_SECOND, Timestamp, chain};
use store::{Change, Store, StoreError, Topic};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

pub(crate) use lost::receive;
use lost::{hurry, will_not_arrive};

use crate::addresses::{AddressError, Addresses};
use crate::channel::{Channel, ChannelType, Ports, Receipt, SendError, SettingsError};
use crate::compose::{self, Composer};
use crate::escalation::{Page, PageStatus, Trouble};
use crate::message::MessageKind;
use crate::records;
use crate::settings::OnDoubt;
use crate::waiting::Waiting;

/// Maximum pages sent concurrently to one address.
const LANE: usize = 4;
/// Maximum pages sent concurrently over one channel.
const CHANNEL: usize = 32;
/// Maximum attempts to send a page: about twenty minutes including pauses.
pub const ATTEMPTS: u32 = 10;
/// Timeout for a channel; channels have shorter timeouts of their own.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a stopping service waits for pages being sent.
const FAREWELL: Span = Span(10 * TICKS_PER_SECOND);
const FIRST_PAUSE: Span = Span(TICKS_PER_SECOND);
const LAST_PAUSE: Span = Span(5 * 60 * TICKS_PER_SECOND);

/// The configured channels, by name.
#[derive(Default)]
pub struct Channels(HashMap<&'static str, Ready>);

struct Ready {
    kind: &'static ChannelType,
    channel: Arc<dyn Channel>,
}

impl Channels {
    /// Builds every configured channel. One with invalid settings is skipped and reported, so that the others work.
    pub fn build(
        settings: &BTreeMap<String, serde_json::Value>,
        public_url: Option<&str>,
        ports: &Ports,
    ) -> (Self, Vec<(String, SettingsError)>) {
        let (mut channels, mut wrong) = (Self::default(), Vec::new());
        for (name, settings) in settings {
            let settings = crate::channels::with_public_url(name, settings.clone(), public_url);
            let built = match crate::channels::find(name) {
                Some(kind) => (kind.build)(settings, ports).map(|channel| channels.add(kind, channel)),
                None => Err(SettingsError::Field { field: name.clone(), reason: "there is no such channel".to_owned() }),
            };
            if let Err(error) = built {
                wrong.push((name.clone(), error));
            }
        }
        (channels, wrong)
    }

    /// Adds a configured channel.
    pub fn add(&mut self, kind: &'static ChannelType, channel: Box<dyn Channel>) {
        self.0.insert(kind.name, Ready { kind, channel: channel.into() });
    }

    /// Names of the available channels.
    pub fn names(&self) -> Vec<&'static str> {
        let mut names: Vec<_> = self.0.keys().copied().collect();
        names.sort_unstable();
        names
    }
}

impl Ready {
    fn idempotent(&self) -> bool {
        self.channel.idempotent().unwrap_or(self.kind.idempotent)
    }
}

/// Sends pages. Only one instance may run at a time.
#[derive(Clone)]
pub struct Sending {
    pub store: Store,
    pub clock: Arc<dyn Clock>,
    pub channels: Arc<Channels>,
    pub composer: Arc<Composer>,
    pub addresses: Arc<Addresses>,
    pub on_doubt: OnDoubt,
}

impl Sending {
    /// Runs until cancelled, then waits for pages being sent.
    pub async fn run(&self, cancel: CancellationToken) {
        let mut waiting = Waiting::new([self.store.listen(Topic::Pages)], self.clock.clone(), cancel.clone());
        while let Err(error) = self.recover().await {
            tracing::error!(error = chain(&error), "pages of before cannot be read; trying again");
            if !waiting.retry().await {
                return;
            }
        }
        let mut busy: HashMap<Uuid, Lane> = HashMap::new();
        let mut sends: JoinSet<Uuid> = JoinSet::new();
        while !waiting.cancelled() {
            waiting.hear();
            let go_on = match self.start(&mut busy, &mut sends, &cancel).await {
                Ok(next) if sends.is_empty() => waiting.idle(next).await,
                Ok(next) => tokio::select! {
                    go_on = waiting.idle(next) => go_on,
                    Some(done) = sends.join_next() => {
                        free(&mut busy, &mut sends, done);
                        true
                    }
                },
                Err(error) => {
                    tracing::error!(error = chain(&error), "pages are not sent; trying again");
                    waiting.retry().await
                }
            };
            while let Some(done) = sends.try_join_next() {
                free(&mut busy, &mut sends, done);
            }
            if !go_on {
                break;
            }
        }
        let all = async { while sends.join_next().await.is_some() {} };
        tokio::select! {
            () = all => {}
            () = self.clock.sleep(FAREWELL) => tracing::warn!("pages are still being sent; they are looked at when the service starts again"),
        }
    }

    /// Starts due pages with a free lane; returns when the next is due.
    async fn start(
        &self,
        busy: &mut HashMap<Uuid, Lane>,
        sends: &mut JoinSet<Uuid>,
        cancel: &CancellationToken,
    ) -> Result<Option<Timestamp>, StoreError> {
        let now = self.clock.now();
        for row in self.store.pages().due(now, LANE as u32).await? {
            let (id, lane) = (row.id, (row.channel, row.address));
            let in_lane = busy.values().filter(|other| **other == lane).count();
            let in_channel = busy.values().filter(|other| other.0 == lane.0).count();
            if busy.contains_key(&id) || in_lane >= LANE || in_channel >= CHANNEL {
                continue;
            }
            busy.insert(id, lane);
            let (sending, cancel) = (self.clone(), cancel.clone());
            sends.spawn(async move {
                sending.send_recorded(id, &cancel).await;
                id
            });
        }
        self.store.pages().next_after(now).await
    }

    /// Handles pages that a crash left claimed.
    async fn recover(&self) -> Result<(), StoreError> {
        let now = self.clock.now();
        for row in self.store.pages().claimed().await? {
            let reason = "the service stopped while it was being sent".to_owned();
            let mut change = self.store.begin().await?;
            self.settle(&mut change, row.id, Err(SendError::Ambiguous { reason }), now).await?;
            change.commit().await?;
        }
        Ok(())
    }

    /// Claims, sends, records. Recording is retried until the store accepts it.
    async fn send_recorded(&self, id: Uuid, cancel: &CancellationToken) {
        let page = match self.claim(id).await {
            Ok(Some(page)) => page,
            Ok(None) => return,
            Err(error) => {
                tracing::error!(page = %id, error = chain(&error), "a page cannot be claimed and is not sent yet");
                self.clock.sleep(FIRST_PAUSE).await;
                return;
            }
        };
        let outcome = self.send(&page).await;
        let mut pause = FIRST_PAUSE;
        loop {
            let recorded = async {
                let mut change = self.store.begin().await?;
                self.settle(&mut change, id, copy(&outcome), self.clock.now()).await?;
                change.commit().await
            };
            match recorded.await {
                Ok(()) => return,
                Err(error) => tracing::error!(page = %id, error = chain(&error), "what became of a page cannot be recorded; trying again"),
            }
            tokio::select! {
                () = self.clock.sleep(pause) => pause = Span(pause.ticks() * 2).min(LAST_PAUSE),
                () = cancel.cancelled() => return,
            }
        }
    }

    /// Records that the page is about to be sent. `None` if it must not be sent any more.
    async fn claim(&self, id: Uuid) -> Result<Option<Page>, StoreError> {
        let mut change = self.store.begin().await?;
        let Some(row) = change.page(id).await? else { return Ok(None) };
        let mut page = records::page(row)?;
        let now = self.clock.now();
        if !matches!(page.status, PageStatus::Planned { not_before } if not_before <= now) {
            return Ok(None);
        }
        page.status = PageStatus::Claimed { at: now };
        page.attempts += 1;
        change.update_page_quietly(&records::page_row(&page)?).await?;
        change.commit().await?;
        Ok(Some(page))
    }

    async fn send(&self, page: &Page) -> Result<Receipt, SendError> {
        let refused = |reason: String| SendError::Refused { reason };
        let ready =
            self.channels.0.get(page.channel.as_str()).ok_or_else(|| {
                refused(format!("channel `{0}` is not set up: it has no settings under `oncall.channels.{0}`", page.channel))
            })?;
        match self.store.opt_outs().since(&page.channel, &page.address).await {
            Ok(None) => {}
            Ok(Some(since)) => return Err(refused(format!("the recipient said stop on {since}; they say start to get messages again"))),
            Err(error) => return Err(SendError::Later { reason: chain(&error), after: None }),
        }
        let address = if ready.kind.secret_address {
            let (addresses, channel, address) = (self.addresses.clone(), ready.kind.name, page.address.clone());
            // Resolving may run a command, so it must not block other pages.
            let resolved = tokio::task::spawn_blocking(move || addresses.resolve(channel, &address)).await;
            let secret = resolved.map_err(|_| refused("the address cannot be read".to_owned()))?;
            let secret = secret.map_err(|error| match error {
                AddressError::Secret(_) => SendError::Later { reason: chain(&error), after: None },
                error => refused(error.to_string()),
            });
            secret?.reveal().clone()
        } else {
            page.address.clone()
        };
        let message = self.composer.message(page, address).await.map_err(|error| match error {
            compose::ComposeError::Store(error) => SendError::Later { reason: chain(&error), after: None },
            compose::ComposeError::Gone(reason) => refused(reason),
        })?;
        let began = self.clock.monotonic();
        let outcome = match tokio::time::timeout(PATIENCE, ready.channel.send(&message)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(SendError::Ambiguous { reason: format!("the channel gave no answer within {} s", PATIENCE.as_secs()) }),
        };
        let result = match &outcome {
            Ok(_) => "sent",
            Err(SendError::Refused { .. }) => "refused",
            Err(SendError::Later { .. }) => "later",
            Err(SendError::Ambiguous { .. }) => "ambiguous",
        };
        metrics::counter!("bartizan_page_attempts_total", "channel" => ready.kind.name, "result" => result).increment(1);
        metrics::histogram!("bartizan_page_send_seconds").record((self.clock.monotonic() - began).as_secs_f64());
        outcome
    }

    /// Records the outcome of an attempt, and brings the next page or step forward if this one will not arrive.
    async fn settle(&self, change: &mut Change, id: Uuid, outcome: Result<Receipt, SendError>, now: Timestamp) -> Result<(), StoreError> {
        let Some(row) = change.page(id).await? else { return Ok(()) };
        let mut page = records::page(row)?;
        // It may have been answered, or a receipt may have arrived, in the meantime.
        if !matches!(page.status, PageStatus::Claimed { .. }) {
            return Ok(());
        }
        let idempotent = self.channels.0.get(page.channel.as_str()).is_some_and(Ready::idempotent);
        let jitter = f64::from(Uuid::new_v4().as_bytes()[0]) / 255.0;
        let after = after_attempt(&page, outcome, idempotent, self.on_doubt, now, jitter);
        let lost = will_not_arrive(&after.status);
        if let Some(trouble) = after.troubles.last().filter(|_| after.troubles.len() > page.troubles.len()) {
            let Trouble { reason, doubtful, .. } = trouble;
            tracing::warn!(page = %id, user = page.user, channel = page.channel, reason, doubtful, attempts = page.attempts, "A page did not go out.");
        }
        page = after;
        change.update_page(&records::page_row(&page)?).await?;
        if lost {
            hurry(change, &page, now).await?;
        }
        Ok(())
    }
}

/// Channel and address.
type Lane = (String, String);

fn free(busy: &mut HashMap<Uuid, Lane>, sends: &mut JoinSet<Uuid>, done: Result<Uuid, tokio::task::JoinError>) {
    match done {
        Ok(page) => _ = busy.remove(&page),
        Err(error) => {
            // After a panic the page's lane is unknown: once nothing is being sent, all lanes are free.
            tracing::error!(%error, "sending a page broke");
            if sends.is_empty() {
                busy.clear();
            }
        }
    }
}

fn copy(outcome: &Result<Receipt, SendError>) -> Result<Receipt, SendError> {
    match outcome {
        Ok(receipt) => Ok(receipt.clone()),
        Err(SendError::Refused { reason }) => Err(SendError::Refused { reason: reason.clone() }),
        Err(SendError::Later { reason, after }) => Err(SendError::Later { reason: reason.clone(), after: *after }),
        Err(SendError::Ambiguous { reason }) => Err(SendError::Ambiguous { reason: reason.clone() }),
    }
}

/// The status of a claimed page after an attempt. Pure. `jitter` is in 0..=1.
pub fn after_attempt(
    page: &Page,
    outcome: Result<Receipt, SendError>,
    idempotent: bool,
    on_doubt: OnDoubt,
    now: Timestamp,
    jitter: f64,
) -> Page {
    let mut after = page.clone();
    let again = |asked: Option<Span>| match page.attempts < ATTEMPTS {
        true => Some(PageStatus::Planned { not_before: now + asked.unwrap_or_default().max(pause(page.attempts, jitter)) }),
        false => None,
    };
    let (reason, status) = match outcome {
        Ok(Receipt { provider_id, delivered: false }) => {
            after.status = PageStatus::Sent { at: now, provider_id };
            return after;
        }
        Ok(Receipt { provider_id, delivered: true }) => {
            after.status = PageStatus::Delivered { at: now, provider_id };
            return after;
        }
        Err(SendError::Refused { reason }) => (reason, None),
        Err(SendError::Later { reason, after }) => (reason, again(after.map(|asked| asked.min(LAST_PAUSE)))),
        Err(SendError::Ambiguous { reason }) => {
            after.troubles.push(Trouble { at: now, reason: reason.clone(), doubtful: !idempotent });
            // A duplicate notification is worse than a missing one, since no answer depends on it.
            let wanted = idempotent || (on_doubt == OnDoubt::SendAgain && page.kind == MessageKind::Page);
            after.status = match again(None).filter(|_| wanted) {
                Some(status) => status,
                None if idempotent => PageStatus::Failed { at: now, reason },
                None => PageStatus::Doubtful { at: now, reason },
            };
            return after;
        }
    };
    after.troubles.push(Trouble { at: now, reason: reason.clone(), doubtful: false });
    after.status = status.unwrap_or(PageStatus::Failed { at: now, reason });
    after
}

/// Exponential back-off with jitter, so that pages that failed together are not retried together.
fn pause(attempts: u32, jitter: f64) -> Span {
    let doubled = Span(FIRST_PAUSE.ticks() << attempts.saturating_sub(1).min(12)).min(LAST_PAUSE);
    Span((doubled.ticks() as f64 * (0.5 + jitter.clamp(0.0, 1.0) / 2.0)) as i64)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(super) fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + Span::seconds(seconds)
    }

    pub(super) fn page(n: u128, user: &str, status: PageStatus) -> Page {
        Page {
            id: Uuid::from_u128(n),
            escalation: Uuid::from_u128(1),
            incident: Uuid::from_u128(2),
            kind: MessageKind::Page,
            round: 0,
            step: 0,
            user: user.to_owned(),
            contact: format!("c{n}"),
            channel: "sms".to_owned(),
            address: "+4790000001".to_owned(),
            because: String::new(),
            due: at(n as i64),
            wait: Span::ZERO,
            alerts: Vec::new(),
            reply_code: "4821".to_owned(),
            attempts: 0,
            status,
            troubles: Vec::new(),
        }
    }

    fn attempt(outcome: Result<Receipt, SendError>, idempotent: bool, on_doubt: OnDoubt, attempts: u32) -> Page {
        let claimed = Page { attempts, ..page(3, "ann", PageStatus::Claimed { at: at(0) }) };
        after_attempt(&claimed, outcome, idempotent, on_doubt, at(100), 0.0)
    }

    fn ambiguous() -> Result<Receipt, SendError> {
        Err(SendError::Ambiguous { reason: "lost".to_owned() })
    }

    fn later(after: Option<Span>) -> Result<Receipt, SendError> {
        Err(SendError::Later { reason: "busy".to_owned(), after })
    }

    /// ADR 0007: with an idempotency key there is no doubt; without one it is shown, and the configuration decides.
    #[test]
    fn a_doubt_is_shown_and_settled_as_the_operator_wants() {
        let keyed = attempt(ambiguous(), true, OnDoubt::Hold, 1);
        assert!(matches!(keyed.status, PageStatus::Planned { .. }) && !keyed.troubles[0].doubtful);
        let again = attempt(ambiguous(), false, OnDoubt::SendAgain, 1);
        assert!(matches!(again.status, PageStatus::Planned { .. }) && again.troubles[0].doubtful);
        let held = attempt(ambiguous(), false, OnDoubt::Hold, 1);
        assert!(matches!(held.status, PageStatus::Doubtful { .. }) && held.troubles[0].doubtful);
        let last = attempt(ambiguous(), false, OnDoubt::SendAgain, ATTEMPTS);
        assert!(matches!(last.status, PageStatus::Doubtful { .. }));
    }

    #[test]
    fn news_is_not_sent_twice() {
        let claimed = Page { kind: MessageKind::Closed, attempts: 1, ..page(3, "ann", PageStatus::Claimed { at: at(0) }) };
        let after = after_attempt(&claimed, ambiguous(), false, OnDoubt::SendAgain, at(100), 0.0);
        assert!(matches!(after.status, PageStatus::Doubtful { .. }));
    }

    #[test]
    fn pauses_double_are_as_long_as_asked_and_end() {
        let not_before = |page: &Page| match page.status {
            PageStatus::Planned { not_before } => not_before,
            ref other => panic!("{other:?}"),
        };
        assert_eq!(not_before(&attempt(later(None), true, OnDoubt::Hold, 1)), at(100) + Span::millis(500));
        assert_eq!(not_before(&attempt(later(None), true, OnDoubt::Hold, 4)), at(104));
        assert_eq!(not_before(&attempt(later(Some(Span::seconds(30))), true, OnDoubt::Hold, 1)), at(130));
        // A provider's `Retry-After` of a year is not honoured.
        assert_eq!(not_before(&attempt(later(Some(Span(365 * Span::DAY.ticks()))), true, OnDoubt::Hold, 1)), at(100) + LAST_PAUSE);
        assert!(matches!(attempt(later(None), true, OnDoubt::Hold, ATTEMPTS).status, PageStatus::Failed { .. }));
        assert!(matches!(
            attempt(Err(SendError::Refused { reason: "no".to_owned() }), true, OnDoubt::Hold, 1).status,
            PageStatus::Failed { .. }
        ));
    }
}
