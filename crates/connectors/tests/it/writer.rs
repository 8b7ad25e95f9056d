//! A workspace that records rows, and accepts none while set to busy.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use arrow::array::{Array, AsArray};
use async_trait::async_trait;
use model::{Ack, Append, AppendError, Clock, Span, TableWriter, Timestamp};
use tokio::sync::watch;

pub struct Recorder {
    appends: Mutex<Vec<Append>>,
    pub busy: AtomicBool,
    sequence: AtomicU64,
    rows: watch::Sender<usize>,
}

impl Recorder {
    pub fn new() -> Self {
        Self { appends: Mutex::default(), busy: AtomicBool::new(false), sequence: AtomicU64::new(0), rows: watch::Sender::new(0) }
    }

    /// Values of a text column of a table, in storage order.
    pub fn texts(&self, table: &str, column: &str) -> Vec<String> {
        let mut texts = Vec::new();
        for rows in self.appends.lock().unwrap().iter().flat_map(|append| &append.rows) {
            if rows.table.to_string() != table {
                continue;
            }
            let Some(array) = rows.batch.column_by_name(column) else { continue };
            let array = array.as_string_view();
            texts.extend((0..array.len()).map(|row| if array.is_null(row) { String::new() } else { array.value(row).to_owned() }));
        }
        texts
    }

    pub fn count(&self) -> usize {
        *self.rows.borrow()
    }

    /// Waits until that many rows were stored; fails after a minute.
    pub async fn wait_for(&self, rows: usize) {
        let mut seen = self.rows.subscribe();
        let arrived = tokio::time::timeout(Duration::from_secs(60), seen.wait_for(|count| *count >= rows)).await;
        assert!(arrived.is_ok(), "only {} of {rows} rows were stored", self.count());
    }
}

#[async_trait]
impl TableWriter for Recorder {
    async fn append(&self, append: Append) -> Result<Ack, AppendError> {
        if self.busy.load(Ordering::SeqCst) {
            return Err(AppendError::Busy { reason: "the test says so", retry_after_seconds: 1 });
        }
        let rows = append.rows.iter().filter(|rows| rows.table.to_string() != "Heartbeat").map(|rows| rows.batch.num_rows()).sum::<usize>();
        self.appends.lock().unwrap().push(append);
        self.rows.send_modify(|count| *count += rows);
        Ok(Ack { sequence: self.sequence.fetch_add(1, Ordering::SeqCst), ingested: Timestamp::UNIX_EPOCH, duplicate: false })
    }

    fn position(&self, _: &str) -> Option<Vec<u8>> {
        None
    }
}

/// The real clock, with pauses shortened to a hundredth.
pub struct Hasty(Instant);

impl Hasty {
    pub fn new() -> Self {
        Self(Instant::now())
    }
}

#[async_trait]
impl Clock for Hasty {
    fn now(&self) -> Timestamp {
        Timestamp::from_system(std::time::SystemTime::now())
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }

    async fn sleep(&self, span: Span) {
        let pause = if span >= Span::seconds(1) && span <= Span::seconds(5) { span.to_std() / 100 } else { span.to_std() };
        tokio::time::sleep(pause).await;
    }
}
