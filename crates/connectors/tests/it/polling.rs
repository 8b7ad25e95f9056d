//! Sources that ask for pages, over a vendor made for the test: every event has a number, a page has ten.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use bytes::Bytes;
use connectors::{Next, Page, PollError, PollSource, Polling, Source, SourceContext};
use model::{ConnectorState, Records, Route, Span, StreamName, StreamRecords};
use tokio_util::sync::CancellationToken;

use super::sink::{Recorder, context};

const EVENTS: u64 = 95;

/// Answers the pages in order of the cursor, and each of `trouble` once before that.
struct Vendor {
    route: Route,
    /// Events there are so far.
    events: u64,
    trouble: Arc<Mutex<VecDeque<PollError>>>,
    asked: Arc<Mutex<Vec<Option<String>>>>,
}

impl Vendor {
    fn new(trouble: impl IntoIterator<Item = PollError>) -> Self {
        Self {
            route: Route::default(),
            events: EVENTS,
            trouble: Arc::new(Mutex::new(trouble.into_iter().collect())),
            asked: Arc::default(),
        }
    }
}

#[async_trait]
impl PollSource for Vendor {
    fn name(&self) -> &str {
        "vendor"
    }

    fn route(&self) -> &Route {
        &self.route
    }

    async fn poll(&mut self, position: Option<&[u8]>, _: &SourceContext) -> Result<Page, PollError> {
        let position = position.map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
        self.asked.lock().unwrap().push(position.clone());
        if let Some(error) = self.trouble.lock().unwrap().pop_front() {
            return Err(error);
        }
        let from: u64 = position.map_or(0, |text| text.parse().unwrap());
        let until = (from + 10).min(self.events);
        let events: Vec<_> = (from..until).map(|n| serde_json::json!({ "n": n })).collect();
        let records = match events.is_empty() {
            true => Vec::new(),
            false => vec![StreamRecords {
                stream: StreamName::new("Custom-Vendor_CL"),
                records: Records::Json(Bytes::from(serde_json::to_vec(&events).unwrap())),
            }],
        };
        let next = if until == self.events { Next::After(Span::HOUR) } else { Next::Now };
        Ok(Page { records, dead_letters: Vec::new(), position: Some(until.to_string().into_bytes()), key: None, next })
    }
}

fn numbers(sink: &Recorder) -> Vec<u64> {
    let deliveries = sink.deliveries.lock().unwrap();
    let parts = deliveries.iter().flat_map(|delivery| &delivery.records);
    let events = parts.flat_map(|part| match &part.records {
        Records::Json(body) => serde_json::from_slice::<Vec<serde_json::Value>>(body).unwrap(),
        Records::Rows(..) => panic!("the vendor gives JSON"),
    });
    events.map(|event| event["n"].as_u64().unwrap()).collect()
}

/// S1-96: what is polled is stored once and in order, with the position in the same delivery.
#[tokio::test]
async fn pages_are_stored_once_over_errors_and_restarts() {
    let sink = Arc::new(Recorder::new());
    let stop = CancellationToken::new();
    let throttled = PollError::Throttled(Some(Span::seconds(1)));
    let status = || PollError::Status { status: 502, text: "bad gateway".to_owned() };
    let vendor = Vendor { events: 50, ..Vendor::new([throttled, status()]) };
    let cx = context("vendor/vendor", sink.clone(), stop.clone());
    let report = cx.report.clone();
    let first = tokio::spawn(async move { Polling(vendor).run(&cx).await });
    sink.wait_for(50).await;
    stop.cancel();
    first.await.unwrap().unwrap();
    assert_eq!(report.status().state, ConnectorState::Running);
    assert!(report.status().last_error.unwrap().contains("502"));

    // A second run begins where the first one's position was stored, not where it was asked last.
    let stop = CancellationToken::new();
    let vendor = Vendor::new([]);
    let asked = vendor.asked.clone();
    let cx = context("vendor/vendor", sink.clone(), stop.clone());
    let second = tokio::spawn(async move { Polling(vendor).run(&cx).await });
    sink.wait_for(EVENTS as usize).await;
    stop.cancel();
    second.await.unwrap().unwrap();
    assert_eq!(asked.lock().unwrap()[0].as_deref(), Some("50"));
    assert_eq!(numbers(&sink), (0..EVENTS).collect::<Vec<_>>());
    for delivery in sink.deliveries.lock().unwrap().iter() {
        assert!(delivery.position.is_some(), "records without a position are stored again after a crash");
    }
}

#[tokio::test]
async fn a_busy_workspace_holds_the_page_and_asks_for_no_other() {
    let sink = Arc::new(Recorder::new());
    sink.busy.store(true, Ordering::SeqCst);
    let stop = CancellationToken::new();
    let vendor = Vendor::new([]);
    let asked = vendor.asked.clone();
    let cx = context("vendor/vendor", sink.clone(), stop.clone());
    let run = tokio::spawn(async move { Polling(vendor).run(&cx).await });
    while asked.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    assert_eq!(asked.lock().unwrap().len(), 1);
    sink.busy.store(false, Ordering::SeqCst);
    sink.wait_for(EVENTS as usize).await;
    stop.cancel();
    run.await.unwrap().unwrap();
    assert_eq!(numbers(&sink), (0..EVENTS).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_vendor_that_refuses_is_reported_and_a_test_stores_nothing() {
    let sink = Arc::new(Recorder::new());
    let stop = CancellationToken::new();
    let errors = (0..3).map(|_| PollError::Status { status: 500, text: "no".to_owned() });
    let cx = context("vendor/vendor", sink.clone(), stop.clone());
    let report = cx.report.clone();
    let run = tokio::spawn(async move { Polling(Vendor::new(errors)).run(&cx).await });
    let failing = async {
        while report.status().state != ConnectorState::Failing {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_secs(60), failing).await.expect("three errors in a row are reported");
    sink.wait_for(EVENTS as usize).await;
    assert_eq!(report.status().state, ConnectorState::Running);
    stop.cancel();
    run.await.unwrap().unwrap();
    let stored = sink.deliveries.lock().unwrap().len();
    let tested = Polling(Vendor::new([])).test(&context("vendor/other", sink.clone(), CancellationToken::new())).await.unwrap();
    assert!(tested.contains("nothing was stored"), "{tested}");
    assert_eq!(sink.deliveries.lock().unwrap().len(), stored);
    assert!(
        Polling(Vendor::new([PollError::Denied("key".to_owned())])).test(&context("v/x", sink, CancellationToken::new())).await.is_err()
    );
}
