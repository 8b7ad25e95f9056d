//! The loop over a real store, with an engine that answers what the test put into it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, StringViewArray};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use detection::Detection;
use futures::stream::BoxStream;
use model::{
    Answer, Arrival, Catalog, CatalogError, Clock, Column, Query, QueryEngine, QueryError, Span, TableName, TableSchema, Timestamp, Type,
    Window, arrow_schema,
};
use serde_json::json;
use store::{AnalyticsRuleRecord, Store};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Rows that arrived, by when; answers a query with those inside its window, and can be told to fail.
#[derive(Default)]
struct World {
    rows: Mutex<Vec<(Timestamp, String)>>,
    asked: Mutex<Vec<Window>>,
    failures_left: Mutex<u32>,
    now: Mutex<Option<Timestamp>>,
}

impl World {
    fn set_now(&self, now: Timestamp) {
        *self.now.lock().unwrap() = Some(now);
    }
}

#[async_trait]
impl QueryEngine for World {
    async fn query(&self, query: Query) -> Result<Answer, QueryError> {
        let window = query.scope.ingested.expect("detection always says which rows it wants");
        let mut left = self.failures_left.lock().unwrap();
        if *left > 0 {
            *left -= 1;
            return Err(QueryError::Time(Span::SECOND));
        }
        self.asked.lock().unwrap().push(window);
        let rows = self.rows.lock().unwrap();
        let inside: Vec<_> = rows.iter().filter(|(at, _)| *at > window.from && *at <= window.until).collect();
        let columns = vec![Column::new("TimeGenerated", Type::Datetime), Column::new("User", Type::String)];
        let arrays: Vec<ArrayRef> = vec![
            Arc::new(Int64Array::from_iter_values(inside.iter().map(|(at, _)| at.ticks()))),
            Arc::new(StringViewArray::from_iter_values(inside.iter().map(|(_, user)| user))),
        ];
        let batch = RecordBatch::try_new(arrow_schema(&columns), arrays).expect("columns fit the schema");
        Ok(Answer { columns, batches: vec![batch], ..Answer::default() })
    }

    async fn check(&self, _: &Query) -> Result<Option<Vec<Column>>, QueryError> {
        Ok(None)
    }

    async fn tables_read(&self, _: &Query) -> Result<Vec<TableName>, QueryError> {
        Ok(vec![TableName::new("T")])
    }
}

#[async_trait]
impl Clock for World {
    fn now(&self) -> Timestamp {
        self.now.lock().unwrap().unwrap_or(Timestamp::UNIX_EPOCH)
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    /// Time moves by hand; the loop only has to come round again.
    async fn sleep(&self, _: Span) {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[async_trait]
impl Catalog for World {
    fn table(&self, _: &str) -> Option<Arc<TableSchema>> {
        None
    }
    fn tables(&self) -> Vec<Arc<TableSchema>> {
        Vec::new()
    }
    async fn define(&self, name: &TableName, _: Vec<Column>) -> Result<Arc<TableSchema>, CatalogError> {
        Err(CatalogError::NoTable(name.clone()))
    }
    async fn drop_table(&self, name: &TableName) -> Result<(), CatalogError> {
        Err(CatalogError::NoTable(name.clone()))
    }
    async fn set_retention(&self, name: &TableName, _: Option<Span>) -> Result<(), CatalogError> {
        Err(CatalogError::NoTable(name.clone()))
    }
    fn retention(&self, _: &str) -> Option<Span> {
        None
    }
    fn arrivals(&self) -> BoxStream<'static, Arrival> {
        Box::pin(futures::stream::pending())
    }
    fn complete_until(&self) -> Timestamp {
        self.now()
    }
}

fn minute(n: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + Span(n * model::TICKS_PER_MINUTE)
}

async fn put_rule(store: &Store, properties: serde_json::Value) {
    let record = AnalyticsRuleRecord {
        id: "rule".to_owned(),
        kind: "Scheduled".to_owned(),
        enabled: true,
        etag: Uuid::new_v4(),
        created: minute(0),
        modified: minute(0),
        properties: properties.as_object().expect("an object").clone(),
    };
    let mut change = store.begin().await.unwrap();
    change.put_analytics_rule(&record).await.unwrap();
    change.commit().await.unwrap();
}

fn rule() -> serde_json::Value {
    json!({"displayName": "Seen", "query": "T", "severity": "High", "queryFrequency": "PT5M", "queryPeriod": "PT5M",
           "triggerOperator": "GreaterThan", "triggerThreshold": 0,
           "eventGroupingSettings": {"aggregationKind": "AlertPerResult"},
           "alertDetailsOverride": {"alertDisplayNameFormat": "Saw {{User}}"},
           "entityMappings": [{"entityType": "Account", "fieldMappings": [{"identifier": "FullName", "columnName": "User"}]}]})
}

/// Runs the loop until `done` says so; the level is looked at again and again, nothing is timed.
async fn run_until(world: &Arc<World>, store: &Store, done: impl AsyncFn() -> bool) {
    let stop = CancellationToken::new();
    let detection = Detection { store: store.clone(), engine: world.clone(), catalog: world.clone(), clock: world.clone() };
    let running = tokio::spawn(detection.run(stop.clone()));
    let patience = tokio::time::timeout(Duration::from_secs(60), async {
        while !done().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    });
    patience.await.expect("the loop gets there within a minute");
    stop.cancel();
    running.await.expect("the loop ends when told to");
}

async fn titles(store: &Store) -> Vec<String> {
    let mut titles: Vec<String> =
        store.alerts().pending(1000).await.unwrap().into_iter().map(|(_, alert)| alert.unwrap().display_name).collect();
    titles.sort();
    titles
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_row_is_alerted_once_however_late_the_loop_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("state.db")).await.unwrap();
    let world = Arc::new(World::default());
    world.set_now(minute(0));
    put_rule(&store, rule()).await;
    // The rule begins now; what arrived before is not its business.
    run_until(&world, &store, async || store.analytics_rules().run_state::<serde_json::Value>("rule").await.unwrap().is_some()).await;
    for (at, user) in [(1, "ann"), (4, "bo"), (5, "carla"), (9, "deniz")] {
        world.rows.lock().unwrap().push((minute(at), user.to_owned()));
    }
    world.set_now(minute(11));
    run_until(&world, &store, async || titles(&store).await.len() == 4).await;
    // A new loop over the same store, a day later: nothing doubles, nothing is missing.
    world.rows.lock().unwrap().push((minute(700), "eve".to_owned()));
    world.set_now(minute(1440));
    run_until(&world, &store, async || titles(&store).await.len() == 5).await;
    assert_eq!(titles(&store).await, ["Saw ann", "Saw bo", "Saw carla", "Saw deniz", "Saw eve"]);
    let alerts = store.alerts().pending(10).await.unwrap();
    assert_eq!(alerts[0].1.as_ref().unwrap().entities[0].get("Name"), Some("ann"));
    let mut asked = world.asked.lock().unwrap().clone();
    asked.sort_by_key(|window| window.from);
    assert!(asked.windows(2).all(|pair| pair[0].until == pair[1].from), "{asked:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_query_backs_off_and_its_window_stays_due() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("state.db")).await.unwrap();
    let world = Arc::new(World::default());
    world.set_now(minute(0));
    put_rule(&store, rule()).await;
    run_until(&world, &store, async || store.analytics_rules().run_state::<serde_json::Value>("rule").await.unwrap().is_some()).await;
    world.rows.lock().unwrap().push((minute(2), "ann".to_owned()));
    *world.failures_left.lock().unwrap() = 1;
    world.set_now(minute(6));
    let failures =
        async || store.analytics_rules().run_state::<serde_json::Value>("rule").await.unwrap().map(|state| state["failures"].clone());
    run_until(&world, &store, async || failures().await == Some(json!(1))).await;
    let state = store.analytics_rules().run_state::<serde_json::Value>("rule").await.unwrap().unwrap();
    assert!(state["last_error"].as_str().unwrap().contains("limit of time"), "{state}");
    world.set_now(minute(8));
    run_until(&world, &store, async || titles(&store).await.len() == 1).await;
    assert_eq!(failures().await, Some(json!(0)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn suppression_is_silent_and_skips_nothing_afterwards() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("state.db")).await.unwrap();
    let world = Arc::new(World::default());
    world.set_now(minute(0));
    let mut properties = rule();
    properties["suppressionEnabled"] = json!(true);
    properties["suppressionDuration"] = json!("PT10M");
    put_rule(&store, properties).await;
    run_until(&world, &store, async || store.analytics_rules().run_state::<serde_json::Value>("rule").await.unwrap().is_some()).await;
    for (at, user) in [(2, "first"), (7, "silent"), (12, "silent"), (17, "second")] {
        world.rows.lock().unwrap().push((minute(at), user.to_owned()));
    }
    world.set_now(minute(21));
    run_until(&world, &store, async || titles(&store).await.len() == 2).await;
    assert_eq!(titles(&store).await, ["Saw first", "Saw second"]);
}
