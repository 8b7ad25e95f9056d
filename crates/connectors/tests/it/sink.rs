//! A sink that keeps what it was given, and takes nothing while it is told to be busy.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow::array::{Array, AsArray};
use async_trait::async_trait;
use connectors::{Report, SourceContext};
use model::{
    Ack, Clock, ConnectorRole, Delivered, Delivery, DeliveryError, HealthRegister, Http, HttpError, HttpRequest, HttpResponse, Records,
    Route, Secret, SecretError, SecretRef, Secrets, Span, StreamName, StreamSink, Timestamp,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

pub struct Recorder {
    pub deliveries: Mutex<Vec<Delivery>>,
    positions: Mutex<HashMap<String, Vec<u8>>>,
    pub busy: AtomicBool,
    sequence: AtomicU64,
    rows: watch::Sender<usize>,
}

impl Recorder {
    pub fn new() -> Self {
        Self {
            deliveries: Mutex::default(),
            positions: Mutex::default(),
            busy: AtomicBool::new(false),
            sequence: AtomicU64::new(0),
            rows: watch::Sender::new(0),
        }
    }

    /// Values of a text column of a table, in the order in which they were stored.
    pub fn texts(&self, table: &str, column: &str) -> Vec<String> {
        let mut texts = Vec::new();
        for part in self.deliveries.lock().unwrap().iter().flat_map(|delivery| &delivery.records) {
            let Records::Rows(_, batch) = &part.records else { continue };
            if part.stream.as_str().strip_prefix("Microsoft-") != Some(table) {
                continue;
            }
            let Some(array) = batch.column_by_name(column) else { continue };
            let array = array.as_string_view();
            texts.extend((0..array.len()).map(|row| if array.is_null(row) { String::new() } else { array.value(row).to_owned() }));
        }
        texts
    }

    pub fn count(&self) -> usize {
        *self.rows.borrow()
    }

    /// Waits until so many rows were stored; a test that waits in vain fails after a minute.
    pub async fn wait_for(&self, rows: usize) {
        let mut seen = self.rows.subscribe();
        let arrived = tokio::time::timeout(Duration::from_secs(60), seen.wait_for(|count| *count >= rows)).await;
        assert!(arrived.is_ok(), "only {} of {rows} rows were stored", self.count());
    }
}

#[async_trait]
impl StreamSink for Recorder {
    async fn deliver(&self, delivery: Delivery) -> Result<Delivered, DeliveryError> {
        if self.busy.load(Ordering::SeqCst) {
            return Err(DeliveryError::Busy { reason: "the test says so".to_owned(), retry_after_seconds: 1 });
        }
        let rows = delivery.records.iter().map(|part| match &part.records {
            Records::Rows(_, batch) => batch.num_rows(),
            Records::Json(body) => serde_json::from_slice::<Vec<serde_json::Value>>(body).unwrap().len(),
        });
        let rows = rows.sum::<usize>();
        if let Some(position) = &delivery.position {
            self.positions.lock().unwrap().insert(delivery.source.clone(), position.clone());
        }
        self.deliveries.lock().unwrap().push(delivery);
        self.rows.send_modify(|count| *count += rows);
        let ack = Ack { sequence: self.sequence.fetch_add(1, Ordering::SeqCst), ingested: Timestamp::UNIX_EPOCH, duplicate: false };
        Ok(Delivered { ack, rows, dead: 0 })
    }

    fn position(&self, source: &str) -> Option<Vec<u8>> {
        self.positions.lock().unwrap().get(source).cloned()
    }

    async fn check(&self, _: &Route, _: &[StreamName]) -> Vec<String> {
        Vec::new()
    }
}

/// No way out, and no secrets.
struct Nothing;

#[async_trait]
impl Http for Nothing {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        panic!("the test calls {}", request.url)
    }
}

impl Secrets for Nothing {
    fn resolve(&self, _: &SecretRef) -> Result<Secret<String>, SecretError> {
        Err(SecretError::NotAReference)
    }
}

/// What a source is given here.
pub fn context(id: &str, sink: Arc<Recorder>, stop: CancellationToken) -> SourceContext {
    SourceContext {
        id: id.to_owned(),
        sink,
        clock: Arc::new(Hasty::new()),
        http: Arc::new(Nothing),
        secrets: Arc::new(Nothing),
        host: "collector".to_owned(),
        certificate: None,
        report: Report::new(ConnectorRole::Source, id, HealthRegister::default()),
        stop,
    }
}

/// The real clock, but a pause after which a busy workspace is asked again takes a hundredth of its time.
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
