//! The loop with a real store and a fake engine.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow::array::{ArrayRef, Int64Array, StringViewArray};
use arrow::record_batch::RecordBatch;
use async_trait::async_trait;
use detection::Detection;
use futures::stream::BoxStream;
use model::{
    Answer, Arrival, Catalog, CatalogError, Clock, Column, HealthRegister, Query, QueryEngine, QueryError, Span, TableName, TableSchema,
    Timestamp, Type, Window, arrow_schema,
};
use serde_json::json;
use store::{AnalyticsRuleRecord, Store};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

/// Ingested rows by time; answers a query with those inside its window, with failure injection.
#[derive(Default)]
struct World {
    rows: Mutex<Vec<(Timestamp, String)>>,
    asked: Mutex<Vec<Window>>,
    failures_left: Mutex<u32>,
    now: Mutex<Option<Timestamp>>,
    health: HealthRegister,
    /// Tables that every query reads in this catalog version.
    catalog: Mutex<(u64, Vec<&'static str>)>,
    /// The notifier of the loop that is currently subscribed.
    bell: Mutex<Option<futures::channel::mpsc::UnboundedSender<Arrival>>>,
}

impl World {
    /// Ingests a row and advances the time by a minute.
    fn arrive(&self, table: &str, at: i64, user: &str) {
        self.rows.lock().unwrap().push((minute(at), user.to_owned()));
        self.set_now(minute(at + 1));
        let arrival = Arrival { table: TableName::new(table), ingested: minute(at) };
        self.bell.lock().unwrap().as_ref().expect("the loop listens").unbounded_send(arrival).unwrap();
    }

    fn set_now(&self, now: Timestamp) {
        *self.now.lock().unwrap() = Some(now);
    }
}

#[async_trait]
impl QueryEngine for World {
    async fn query(&self, query: Query) -> Result<Answer, QueryError> {
        let window = query.scope.ingested.expect("detection always says which rows it wants");
        match query.kql.as_str() {
            "SLOW" => {
                let limit = query.limits.time.expect("every run of a rule has a limit of time");
                tokio::time::sleep(limit.to_std()).await;
                return Err(QueryError::Time(limit));
            }
            "PANIC" => panic!("a defect"),
            "WRONG" => return Err(QueryError::Run("`T` has no rows of this kind".to_owned())),
            _ => {}
        }
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
        let catalog = self.catalog.lock().unwrap();
        Ok(if catalog.1.is_empty() { vec![TableName::new("T")] } else { catalog.1.iter().map(TableName::new).collect() })
    }
}

#[async_trait]
impl Clock for World {
    fn now(&self) -> Timestamp {
        self.now.lock().unwrap().unwrap_or(Timestamp::UNIX_EPOCH)
    }

    fn monotonic(&self) -> Duration {
        static STARTED: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
        STARTED.get_or_init(std::time::Instant::now).elapsed()
    }

    /// The clock is manual; the loop only has to be polled again.
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
        let (bell, heard) = futures::channel::mpsc::unbounded();
        *self.bell.lock().unwrap() = Some(bell);
        Box::pin(heard)
    }
    fn version(&self) -> u64 {
        self.catalog.lock().unwrap().0
    }
    fn complete_until(&self) -> Timestamp {
        self.now()
    }
}

fn minute(n: i64) -> Timestamp {
    Timestamp::UNIX_EPOCH + Span(n * model::TICKS_PER_MINUTE)
}

async fn put_rule(store: &Store, properties: serde_json::Value) {
    put_named(store, "rule", properties).await;
}

async fn put_named(store: &Store, id: &str, properties: serde_json::Value) {
    put_of_kind(store, id, "Scheduled", properties).await;
}

async fn put_of_kind(store: &Store, id: &str, kind: &str, properties: serde_json::Value) {
    let record = AnalyticsRuleRecord {
        id: id.to_owned(),
        kind: kind.to_owned(),
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

/// Runs the loop until `done`, polling the state without timing.
async fn run_until(world: &Arc<World>, store: &Store, done: impl AsyncFn() -> bool) {
    let stop = CancellationToken::new();
    let detection = Detection {
        store: store.clone(),
        engine: world.clone(),
        catalog: world.clone(),
        clock: world.clone(),
        config: detection::DetectionConfig { time: Span::seconds(2), ..Default::default() },
        ids: detection::WorkspaceIds::default(),
        health: world.health.clone(),
        guard: Arc::new(detection::NoGuard),
    };
    let running = tokio::spawn(Arc::new(detection).run(stop.clone()));
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
    // A row that was there before the rule, within its period, and one that was not.
    world.rows.lock().unwrap().extend([(minute(-3), "zoe".to_owned()), (minute(-6), "never".to_owned())]);
    run_until(&world, &store, async || store.analytics_rules().run_state::<serde_json::Value>("rule").await.unwrap().is_some()).await;
    for (at, user) in [(1, "ann"), (4, "bo"), (5, "carla"), (9, "deniz")] {
        world.rows.lock().unwrap().push((minute(at), user.to_owned()));
    }
    world.set_now(minute(11));
    run_until(&world, &store, async || titles(&store).await.len() == 5).await;
    // A new loop over the same store, a day later: nothing is repeated or missing.
    world.rows.lock().unwrap().push((minute(700), "eve".to_owned()));
    world.set_now(minute(1440));
    run_until(&world, &store, async || titles(&store).await.len() == 6).await;
    assert_eq!(titles(&store).await, ["Saw ann", "Saw bo", "Saw carla", "Saw deniz", "Saw eve", "Saw zoe"]);
    let alerts = store.alerts().pending(10).await.unwrap();
    assert_eq!(alerts[0].1.as_ref().unwrap().entities[0].get("Name"), Some("zoe"));
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rules_that_are_slow_fail_or_panic_delay_no_other_and_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("state.db")).await.unwrap();
    let world = Arc::new(World::default());
    world.set_now(minute(0));
    // Ten slow ones: more than may start at once.
    let broken = (0..10).map(|n| (format!("slow{n}"), "SLOW")).chain([("panics".to_owned(), "PANIC"), ("wrong".to_owned(), "WRONG")]);
    let broken: Vec<(String, &str)> = broken.collect();
    for (id, query) in &broken {
        let mut properties = rule();
        properties["displayName"] = json!(format!("Rule {id}"));
        properties["query"] = json!(query);
        put_named(&store, id, properties).await;
    }
    put_rule(&store, rule()).await;
    let all_loaded = async || {
        let state = async |id: &str| store.analytics_rules().run_state::<serde_json::Value>(id).await.unwrap().is_some();
        let mut loaded = state("rule").await;
        for (id, _) in &broken {
            loaded &= state(id).await;
        }
        loaded
    };
    run_until(&world, &store, all_loaded).await;
    world.rows.lock().unwrap().push((minute(2), "ann".to_owned()));
    world.set_now(minute(6));
    let began = std::time::Instant::now();
    let first_alert = Mutex::new(None);
    let conditions = || world.health.conditions().into_iter().map(|condition| condition.name).collect::<Vec<_>>();
    run_until(&world, &store, async || {
        if first_alert.lock().unwrap().is_none() && titles(&store).await.len() == 1 {
            *first_alert.lock().unwrap() = Some(began.elapsed());
        }
        conditions().len() == broken.len()
    })
    .await;
    let waited = first_alert.lock().unwrap().expect("the rule that is well fired");
    assert!(waited < Duration::from_millis(1_900), "it waited {waited:?} for rules whose limit of time is 2 s");
    let named: Vec<String> = broken.iter().map(|(id, _)| format!("rule.{id}")).collect();
    assert!(named.iter().all(|name| conditions().contains(name)), "{:?}", conditions());
    let summary = |id: &str| world.health.condition(&format!("rule.{id}")).unwrap().summary;
    assert_eq!(summary("slow3"), "the rule `Rule slow3` fails: The query execution timed out.");
    assert_eq!(summary("panics"), "the rule `Rule panics` fails: An internal server error occurred while running the query.");

    // Each is also reported in `SentinelHealth`, once per run.
    let rows: Vec<_> = store.outbox().after(0, 1_000).await.unwrap().into_iter().filter(|row| row.table == "SentinelHealth").collect();
    // The newest: each rule also ran when it was created.
    let told = |name: &str| rows.iter().rfind(|row| row.row["SentinelResourceName"] == *name).map(|row| row.row.clone()).unwrap();
    assert_eq!((&told("Rule wrong")["Status"], &told("Rule wrong")["Reason"]), (&json!("Failure"), &json!("QueryFailed")));
    assert_eq!(told("Rule panics")["Reason"], "InternalError");
    assert_eq!(told("Rule slow0")["Reason"], "QueryTimeout");
    assert_eq!((&told("Seen")["Status"], &told("Seen")["OperationName"]), (&json!("Success"), &json!("Scheduled analytics rule run")));
    assert_eq!(told("Seen")["ExtendedProperties"]["AlertsGeneratedAmount"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rule_that_was_repaired_is_tried_at_once_and_its_condition_ends() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("state.db")).await.unwrap();
    let world = Arc::new(World::default());
    world.set_now(minute(0));
    let mut properties = rule();
    properties["query"] = json!("WRONG");
    put_rule(&store, properties).await;
    run_until(&world, &store, async || store.analytics_rules().run_state::<serde_json::Value>("rule").await.unwrap().is_some()).await;
    // The second start is that of another process, which has no conditions yet.
    world.health.remove("rule.rule");
    world.rows.lock().unwrap().push((minute(2), "ann".to_owned()));
    world.set_now(minute(6));
    let repaired = Mutex::new(false);
    run_until(&world, &store, async || {
        let failing = world.health.condition("rule.rule").is_some();
        let done = *repaired.lock().unwrap();
        if failing && !done {
            *repaired.lock().unwrap() = true;
            put_rule(&store, rule()).await;
        }
        done && !failing && titles(&store).await == ["Saw ann"]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_near_real_time_rule_notices_that_it_reads_another_table_now() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&folder.path().join("state.db")).await.unwrap();
    let world = Arc::new(World::default());
    *world.catalog.lock().unwrap() = (1, vec!["A"]);
    world.set_now(minute(0));
    put_of_kind(&store, "nrt", "NRT", rule()).await;
    run_until(&world, &store, async || store.analytics_rules().run_state::<serde_json::Value>("nrt").await.unwrap().is_some()).await;
    let step = Mutex::new(0);
    run_until(&world, &store, async || {
        let found = titles(&store).await.len();
        let mut step = step.lock().unwrap();
        match (*step, found) {
            (0, 0) if world.bell.lock().unwrap().is_some() => {
                world.arrive("A", 1, "ann");
                *step = 1;
            }
            // A function called by the query was changed: rows of a new table may now be relevant.
            (1, 1) => {
                *world.catalog.lock().unwrap() = (2, vec!["B"]);
                world.arrive("B", 3, "bo");
                *step = 2;
            }
            // Now the tables are known.
            (2, 2) => {
                world.arrive("B", 5, "carla");
                *step = 3;
            }
            _ => {}
        }
        *step == 3 && found == 3
    })
    .await;
}
