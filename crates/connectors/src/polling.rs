//! Sources that ask: one page after the other, from the position that was stored with the last one.
//!
//! A page's records and the position behind them are one delivery, so a crash at any moment fetches a page again and stores it once:
//! records that were stored are behind the stored position. What a vendor sends twice by itself is the source's to recognise, by the key
//! of its page.

use std::time::Duration;

use async_trait::async_trait;
use model::{DeadLetter, Delivery, DeliveryError, HttpError, Route, SecretError, Span, StreamRecords, chain};

use crate::{Source, SourceContext, SourceError};

/// The first pause after an error, and the longest.
const FIRST_PAUSE: Span = Span(model::TICKS_PER_SECOND);
const LONGEST_PAUSE: Span = Span(5 * 60 * model::TICKS_PER_SECOND);
/// The longest `Retry-After` that is honoured as it is.
const LONGEST_WAIT: Span = Span::HOUR;
/// After wrong credentials: a person must act, and vendors lock accounts that try often.
const DENIED_PAUSE: Span = Span(5 * 60 * model::TICKS_PER_SECOND);

/// A source that asks for pages.
#[async_trait]
pub trait PollSource: Send {
    /// Its name in the configuration.
    fn name(&self) -> &str;

    fn route(&self) -> &Route;

    /// Asks for what follows `position`; none where nothing was stored yet. Stores nothing and remembers nothing that a restart would lose.
    async fn poll(&mut self, position: Option<&[u8]>, cx: &SourceContext) -> Result<Page, PollError>;
}

/// An answer of a vendor.
#[derive(Clone, Debug)]
pub struct Page {
    pub records: Vec<StreamRecords>,
    /// Records that could not be read.
    pub dead_letters: Vec<DeadLetter>,
    /// Where the source stands once the records are stored; none where it stands as before.
    pub position: Option<Vec<u8>>,
    /// A vendor's key for this page, where the vendor may send it again although its position was stored.
    pub key: Option<String>,
    pub next: Next,
}

/// When to ask again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// There is more.
    Now,
    After(Span),
}

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum PollError {
    /// Credentials or permissions: a person must act.
    #[error("access was denied: {0}")]
    Denied(String),
    #[error("the vendor asks to wait")]
    Throttled(Option<Span>),
    #[error("the vendor answered with status {status}: {text}")]
    Status { status: u16, text: String },
    #[error(transparent)]
    Http(#[from] HttpError),
    #[error("the answer cannot be read: {0}")]
    Format(String),
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("the service is stopping")]
    Stopped,
}

/// Makes a [`Source`] of a source that asks for pages.
pub struct Polling<P>(pub P);

#[async_trait]
impl<P: PollSource> Source for Polling<P> {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn route(&self) -> &Route {
        self.0.route()
    }

    async fn run(&mut self, cx: &SourceContext) -> Result<(), SourceError> {
        let mut position = stored_position(cx);
        let mut failures = 0;
        while !cx.stop.is_cancelled() {
            let polled = tokio::select! {
                polled = self.0.poll(position.as_deref(), cx) => polled,
                () = cx.stop.cancelled() => return Ok(()),
            };
            let wait = match polled {
                Ok(page) => {
                    let next = page.next;
                    let Some(stored) = store(self.0.route(), page, cx).await? else { return Ok(()) };
                    position = stored.or(position);
                    failures = 0;
                    cx.report.well();
                    metrics::gauge!("bartizan_source_last_poll_seconds", "source" => cx.id.clone())
                        .set(cx.clock.now().unix_seconds() as f64);
                    match next {
                        Next::Now => continue,
                        Next::After(span) => span,
                    }
                }
                Err(error) => {
                    failures += 1;
                    let wait = pause(&error, failures, &cx.id);
                    tracing::warn!(source = cx.id, error = %chain(&error), failures, wait = %wait, "A poll failed; it is tried again.");
                    metrics::counter!("bartizan_source_poll_errors_total", "source" => cx.id.clone(), "reason" => reason(&error))
                        .increment(1);
                    cx.report.failed(&error, failures);
                    wait
                }
            };
            tokio::select! {
                () = cx.clock.sleep(wait) => {}
                () = cx.stop.cancelled() => return Ok(()),
            }
        }
        Ok(())
    }

    async fn test(&mut self, cx: &SourceContext) -> Result<String, SourceError> {
        let page = self.0.poll(stored_position(cx).as_deref(), cx).await?;
        let bytes: usize = page
            .records
            .iter()
            .map(|part| match &part.records {
                model::Records::Json(body) => body.len(),
                model::Records::Rows(_, batch) => batch.get_array_memory_size(),
            })
            .sum();
        Ok(format!("the vendor answered with {bytes} bytes of records; nothing was stored"))
    }
}

/// The position stored last; none at the beginning and after a person moved it there.
fn stored_position(cx: &SourceContext) -> Option<Vec<u8>> {
    cx.sink.position(&cx.id).filter(|position| !position.is_empty())
}

/// Stores a page, as often as it takes. None: the service stops. Otherwise the position that was stored.
async fn store(route: &Route, page: Page, cx: &SourceContext) -> Result<Option<Option<Vec<u8>>>, SourceError> {
    let Page { records, dead_letters, position, key, .. } = page;
    if records.is_empty() && dead_letters.is_empty() && position.is_none() {
        return Ok(Some(None));
    }
    let delivery = Delivery { source: cx.id.clone(), route: route.clone(), records, dead_letters, key, position: position.clone() };
    loop {
        let wait = match cx.sink.deliver(delivery.clone()).await {
            Ok(_) => return Ok(Some(position)),
            Err(DeliveryError::Closed) => return Ok(None),
            Err(DeliveryError::Busy { reason, retry_after_seconds }) => {
                tracing::warn!(source = cx.id, reason, "Records are not taken now; the source waits.");
                metrics::counter!("bartizan_source_waits_total").increment(1);
                Span::seconds(i64::try_from(retry_after_seconds).unwrap_or(1).clamp(1, 30))
            }
            Err(error @ DeliveryError::Store(_)) => {
                tracing::error!(source = cx.id, error = %chain(&error), "Records are not stored yet; it is tried again.");
                FIRST_PAUSE
            }
            Err(error @ DeliveryError::Refused(_)) => {
                // A rule that is gone, for instance. The position stays where it is, so nothing is lost while a person corrects it.
                return Err(SourceError::Route { name: cx.id.clone(), problem: chain(&error) });
            }
        };
        tokio::select! {
            () = cx.clock.sleep(wait) => {}
            () = cx.stop.cancelled() => return Ok(None),
        }
    }
}

/// How long to wait after an error, with jitter so that many sources do not ask at the same moment.
fn pause(error: &PollError, failures: u32, id: &str) -> Span {
    let doubled = FIRST_PAUSE.ticks().saturating_mul(1_i64 << failures.saturating_sub(1).min(20)).min(LONGEST_PAUSE.ticks());
    let base = match error {
        PollError::Throttled(Some(wait)) => return Span(wait.ticks().clamp(FIRST_PAUSE.ticks(), LONGEST_WAIT.ticks())),
        PollError::Denied(_) | PollError::Secret(_) => doubled.max(DENIED_PAUSE.ticks()),
        _ => doubled,
    };
    Span(base - base / 4 + (base / 2) / 1_000 * i64::from(spread(id, failures)))
}

/// A number below 1,000 that differs between sources and between failures.
fn spread(id: &str, failures: u32) -> u16 {
    let hash = id.bytes().fold(failures.wrapping_mul(0x9E37_79B1), |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    (hash % 1_000) as u16
}

fn reason(error: &PollError) -> &'static str {
    match error {
        PollError::Denied(_) => "denied",
        PollError::Throttled(_) => "throttled",
        PollError::Status { .. } => "status",
        PollError::Http(_) => "http",
        PollError::Format(_) => "format",
        PollError::Secret(_) => "secret",
        PollError::Stopped => "stopped",
    }
}

/// Judges a reply's status: wrong credentials, throttling, and what else is no success. `Ok` for 200 to 299.
pub fn checked(reply: model::HttpResponse) -> Result<model::HttpResponse, PollError> {
    let text = || String::from_utf8_lossy(&reply.body).chars().take(300).collect::<String>();
    match reply.status {
        200..=299 => Ok(reply),
        401 | 403 => Err(PollError::Denied(format!("status {}: {}", reply.status, text()))),
        429 | 503 => Err(PollError::Throttled(reply.retry_after())),
        status => Err(PollError::Status { status, text: text() }),
    }
}

/// Time that a request to a vendor may take where the source does not say otherwise.
pub const REQUEST_TIME: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_differ_between_sources() {
        let status = PollError::Status { status: 500, text: String::new() };
        let pauses: Vec<i64> = (1..15).map(|failures| pause(&status, failures, "a").ticks()).collect();
        assert!(pauses[0] >= FIRST_PAUSE.ticks() * 3 / 4 && pauses[0] <= FIRST_PAUSE.ticks() * 5 / 4, "{pauses:?}");
        assert!(pauses.iter().all(|pause| *pause <= LONGEST_PAUSE.ticks() * 5 / 4), "{pauses:?}");
        assert_ne!(pause(&status, 5, "a"), pause(&status, 5, "b"));
        assert_eq!(pause(&PollError::Throttled(Some(Span::seconds(77))), 1, "a"), Span::seconds(77));
        assert!(pause(&PollError::Denied(String::new()), 1, "a").ticks() >= DENIED_PAUSE.ticks() * 3 / 4);
    }
}
