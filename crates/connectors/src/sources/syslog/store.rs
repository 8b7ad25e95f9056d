//! Stores the rows of many senders together.
//!
//! Senders submit batches and are notified when these are synced. Batches within [`GATHER`] share one append. If the workspace accepts no
//! rows, all senders wait (back-pressure).

use std::sync::Arc;

use arrow::compute::concat_batches;
use metrics::Label;
use model::{Delivery, DeliveryError, Records, Route, Span, StreamName, StreamRecords, Timestamp, chain};
use tokio::sync::{mpsc, oneshot};

use super::batch::Taken;
use super::rows::Rows;
use crate::SourceContext;

/// How long a batch waits for others; adds to the latency of alerts.
const GATHER: Span = Span(10 * model::TICKS_PER_MILLISECOND);
/// A batch of this size is stored at once.
pub const WINDOW: usize = 256 * 1024;
/// Maximum size of an append.
const LARGEST: usize = 4 << 20;
/// Retry delay after a log error.
const AGAIN: Span = Span(model::TICKS_PER_SECOND);
/// How long to retry storing while the service stops.
const LAST: Span = Span(20 * model::TICKS_PER_SECOND);
const OFTEN: Span = Span(model::TICKS_PER_SECOND / 10);

/// A batch, and the sender to notify when it is synced.
pub struct Work {
    taken: Taken,
    done: oneshot::Sender<()>,
}

/// Queue of batches.
pub type Door = mpsc::Sender<Work>;

/// Submits a batch. The receiver is notified when it is synced; an error means that the service is stopping.
pub async fn submit(door: &Door, taken: Taken) -> oneshot::Receiver<()> {
    let (done, heard) = oneshot::channel();
    // A closed channel drops `done`, which the receiver detects.
    let _ = door.send(Work { taken, done }).await;
    heard
}

/// Stores until all doors are dropped.
pub async fn run(mut work: mpsc::Receiver<Work>, cx: SourceContext, route: Route, labels: Vec<Label>) {
    let stored = metrics::counter!("bartizan_source_stored_total", labels.clone());
    let refused = metrics::counter!("bartizan_source_dropped_total", [labels, vec![Label::new("reason", "refused")]].concat());
    let mut deadline = None;
    while let Some(first) = work.recv().await {
        let mut bytes = first.taken.bytes;
        let mut parts = vec![first];
        if bytes < WINDOW {
            let enough = cx.clock.sleep(GATHER);
            tokio::pin!(enough);
            while bytes < WINDOW {
                tokio::select! {
                    biased;
                    next = work.recv() => match next {
                        Some(next) => { bytes += next.taken.bytes; parts.push(next); }
                        None => break,
                    },
                    () = &mut enough => break,
                }
            }
        }
        while bytes < LARGEST {
            let Ok(next) = work.try_recv() else { break };
            bytes += next.taken.bytes;
            parts.push(next);
        }
        let messages: usize = parts.iter().map(|part| part.taken.messages).sum();
        let rows = merge(parts.iter_mut().flat_map(|part| std::mem::take(&mut part.taken.rows)).collect());
        match deliver(&cx, &route, rows, &mut deadline).await {
            Ok(()) => stored.increment(messages as u64),
            Err(error) => {
                tracing::error!(error = %chain(&error), messages, "Syslog messages were not stored.");
                refused.increment(messages as u64);
                if matches!(error, DeliveryError::Closed) {
                    continue; // their senders hear that nobody stores them
                }
            }
        }
        for part in parts {
            // The sender may have disconnected.
            let _ = part.done.send(());
        }
    }
}

/// Appends with retries. Fails only with a permanent error.
///
/// What was read is worth a wait even when the service ends, but not for ever: `deadline` is set by the first try after that.
async fn deliver(cx: &SourceContext, route: &Route, rows: Vec<Rows>, deadline: &mut Option<Timestamp>) -> Result<(), DeliveryError> {
    if rows.is_empty() {
        return Ok(());
    }
    let records = rows.into_iter().map(records).collect();
    let delivery = Delivery { source: cx.id.clone(), route: route.clone(), records, ..Delivery::default() };
    loop {
        let wait = match cx.sink.deliver(delivery.clone()).await {
            Ok(_) => {
                cx.report.well();
                return Ok(());
            }
            Err(DeliveryError::Busy { reason, retry_after_seconds }) => {
                tracing::warn!(reason, "The workspace takes no rows; syslog senders wait.");
                metrics::counter!("bartizan_source_waits_total").increment(1);
                Span::seconds(i64::try_from(retry_after_seconds).unwrap_or(1).clamp(1, 5))
            }
            Err(error @ DeliveryError::Refused(_)) => {
                // The rule of the route is missing or does not take the stream: messages wait until a person corrects it.
                cx.report.broken(&error);
                AGAIN
            }
            Err(error @ DeliveryError::Store(_)) => {
                tracing::error!(error = %chain(&error), "Syslog messages are not stored yet; will try again.");
                AGAIN
            }
            Err(error) => return Err(error),
        };
        if cx.stop.is_cancelled() {
            let now = cx.clock.now();
            if now >= *deadline.get_or_insert(now + LAST) {
                return Err(DeliveryError::Closed);
            }
            cx.clock.sleep(OFTEN).await;
        } else {
            tokio::select! {
                () = cx.clock.sleep(wait) => {}
                () = cx.stop.cancelled() => {}
            }
        }
    }
}

/// The rows of a table as records of its stream.
fn records(rows: Rows) -> StreamRecords {
    StreamRecords { stream: StreamName::new(format!("Microsoft-{}", rows.table)), records: Records::Rows(rows.columns, rows.batch) }
}

/// Batches with the same columns of one table become one.
fn merge(rows: Vec<Rows>) -> Vec<Rows> {
    let mut groups: Vec<Vec<Rows>> = Vec::new();
    for part in rows {
        match groups.iter_mut().find(|group| group[0].table == part.table && group[0].batch.schema_ref() == part.batch.schema_ref()) {
            Some(group) => group.push(part),
            None => groups.push(vec![part]),
        }
    }
    let mut merged = Vec::with_capacity(groups.len());
    for group in groups {
        let joined = concat_batches(group[0].batch.schema_ref(), group.iter().map(|part| &part.batch));
        match joined {
            Ok(batch) if group.len() > 1 => merged.push(Rows { batch, ..group[0].clone() }),
            _ => merged.extend(group),
        }
    }
    merged
}

/// Counters of one listener and protocol.
#[derive(Clone)]
pub struct Counts {
    labels: Vec<Label>,
    received: metrics::Counter,
    last: metrics::Gauge,
    pub connections: metrics::Gauge,
    clock: Arc<dyn model::Clock>,
}

impl Counts {
    pub fn new(labels: &[Label], protocol: &'static str, clock: Arc<dyn model::Clock>) -> Self {
        let labels = [labels, &[Label::new("protocol", protocol)]].concat();
        Self {
            received: metrics::counter!("bartizan_source_received_total", labels.clone()),
            last: metrics::gauge!("bartizan_source_last_message_seconds", labels.clone()),
            connections: metrics::gauge!("bartizan_source_connections", labels.clone()),
            labels,
            clock,
        }
    }

    pub fn received(&self, messages: usize) {
        if messages > 0 {
            self.received.increment(messages as u64);
            self.last.set(self.clock.now().unix_seconds() as f64);
        }
    }

    pub fn dropped(&self, reason: &'static str, messages: usize) {
        let labels = [self.labels.clone(), vec![Label::new("reason", reason)]].concat();
        metrics::counter!("bartizan_source_dropped_total", labels).increment(messages as u64);
    }
}
