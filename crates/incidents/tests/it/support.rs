//! A manual clock, an in-memory workspace with failure injection, and sample alerts.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use arrow::array::{Array, AsArray};
use arrow::datatypes::Int64Type;
use async_trait::async_trait;
use futures::stream::{BoxStream, StreamExt};
use incidents::{Correlation, Incidents, OutboxSender, WorkspaceFacts};
use model::{
    Ack, Actor, Alert, Append, AppendError, Arrival, Catalog, CatalogError, Column, Entity, EntityKind, GroupingConfiguration,
    IncidentConfiguration, MatchingMethod, Severity, Span, TableName, TableSchema, TableWriter, Timestamp,
};
use store::Store;
use testkit::HandClock;
use uuid::Uuid;

/// In-memory tables. Rows and position are stored atomically, as the port requires.
#[derive(Default)]
pub struct MemoryWorkspace {
    schemas: Mutex<HashMap<String, Arc<TableSchema>>>,
    stored: Mutex<Vec<Append>>,
    /// Number of appends that fail before storing …
    pub fail_before: AtomicU32,
    /// … and after storing, as in a crash or a lost response.
    pub fail_after: AtomicU32,
}

impl MemoryWorkspace {
    /// The texts of a column over all stored rows, in order.
    pub fn column(&self, table: &str, column: &str) -> Vec<String> {
        let stored = self.stored.lock().unwrap();
        let mut values = Vec::new();
        for rows in stored.iter().flat_map(|append| &append.rows).filter(|rows| rows.table.as_str() == table) {
            let array = rows.batch.column_by_name(column).unwrap();
            for row in 0..rows.batch.num_rows() {
                values.push(match array.data_type() {
                    _ if array.is_null(row) => "null".to_owned(),
                    arrow::datatypes::DataType::Utf8View => array.as_string_view().value(row).to_owned(),
                    arrow::datatypes::DataType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
                    arrow::datatypes::DataType::Int32 => array.as_primitive::<arrow::datatypes::Int32Type>().value(row).to_string(),
                    other => panic!("no test reads {other}"),
                });
            }
        }
        values
    }
}

fn strike(counter: &AtomicU32) -> bool {
    counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1)).is_ok()
}

#[async_trait]
impl TableWriter for MemoryWorkspace {
    async fn append(&self, append: Append) -> Result<Ack, AppendError> {
        if strike(&self.fail_before) {
            return Err(AppendError::Busy { reason: "the test said so", retry_after_seconds: 1 });
        }
        let mut stored = self.stored.lock().unwrap();
        stored.push(append);
        let sequence = stored.len() as u64;
        drop(stored);
        if strike(&self.fail_after) {
            return Err(AppendError::Closed);
        }
        Ok(Ack { sequence, ingested: Timestamp::UNIX_EPOCH, duplicate: false })
    }

    fn position(&self, source: &str) -> Option<Vec<u8>> {
        let stored = self.stored.lock().unwrap();
        stored.iter().rev().filter_map(|append| append.position.as_ref()).find(|(name, _)| name == source).map(|(_, cursor)| cursor.clone())
    }
}

#[async_trait]
impl Catalog for MemoryWorkspace {
    fn table(&self, name: &str) -> Option<Arc<TableSchema>> {
        self.schemas.lock().unwrap().get(name).cloned()
    }

    fn tables(&self) -> Vec<Arc<TableSchema>> {
        self.schemas.lock().unwrap().values().cloned().collect()
    }

    async fn define(&self, name: &TableName, columns: Vec<Column>) -> Result<Arc<TableSchema>, CatalogError> {
        let schema = Arc::new(TableSchema::new(name.as_str(), columns));
        self.schemas.lock().unwrap().insert(name.to_string(), schema.clone());
        Ok(schema)
    }

    async fn drop_table(&self, name: &TableName) -> Result<(), CatalogError> {
        Err(CatalogError::BuiltIn(name.clone()))
    }

    async fn set_retention(&self, _: &TableName, _: Option<Span>) -> Result<(), CatalogError> {
        Ok(())
    }

    fn retention(&self, _: &str) -> Option<Span> {
        None
    }

    fn arrivals(&self) -> BoxStream<'static, Arrival> {
        futures::stream::pending().boxed()
    }

    fn complete_until(&self) -> Timestamp {
        Timestamp::MIN
    }
}

/// All components between the store and the tables.
pub struct House {
    folder: tempfile::TempDir,
    pub store: Store,
    pub clock: Arc<HandClock>,
    pub workspace: Arc<MemoryWorkspace>,
    pub correlation: Correlation,
    pub sender: OutboxSender,
    pub incidents: Incidents,
}

pub fn facts() -> WorkspaceFacts {
    WorkspaceFacts {
        workspace_id: "11111111-2222-3333-4444-555555555555".to_owned(),
        workspace_name: "main".to_owned(),
        subscription_id: "66666666-2222-3333-4444-555555555555".to_owned(),
        resource_group: "soc".to_owned(),
        portal_url: "https://localhost:8443".to_owned(),
    }
}

impl House {
    pub async fn new() -> Self {
        Self::build(tempfile::tempdir().unwrap(), Arc::new(MemoryWorkspace::default())).await
    }

    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// The service after a crash: a new process over the same files and tables.
    pub async fn restart(self) -> Self {
        let (folder, workspace) = (self.folder, self.workspace);
        self.store.close().await;
        Self::build(folder, workspace).await
    }

    /// The service with its state database replaced by an older copy, over the same tables.
    pub async fn restored(self, copy: &std::path::Path) -> Self {
        let (folder, workspace) = (self.folder, self.workspace);
        self.store.close().await;
        std::fs::copy(copy, folder.path().join("state.db")).unwrap();
        Self::build(folder, workspace).await
    }

    async fn build(folder: tempfile::TempDir, workspace: Arc<MemoryWorkspace>) -> Self {
        let path: PathBuf = folder.path().join("state.db");
        let store = Store::open(&path).await.unwrap();
        let clock = HandClock::still(start());
        let facts = Arc::new(facts());
        Self {
            correlation: Correlation { store: store.clone(), clock: clock.clone(), facts: facts.clone() },
            sender: OutboxSender { store: store.clone(), writer: workspace.clone(), catalog: workspace.clone(), clock: clock.clone() },
            incidents: Incidents { store: store.clone(), clock: clock.clone(), facts },
            folder,
            store,
            clock,
            workspace,
        }
    }

    pub async fn add(&self, alerts: &[Alert]) {
        let mut change = self.store.begin().await.unwrap();
        for alert in alerts {
            change.add_alert(alert).await.unwrap();
        }
        change.commit().await.unwrap();
    }

    /// All incidents, by number.
    pub async fn all(&self) -> Vec<model::Incident> {
        let order = [store::IncidentOrder { field: store::IncidentField::Number, descending: false }];
        self.store.incidents().list(None, &order, 1_000, None).await.unwrap().unwrap().incidents
    }
}

pub fn start() -> Timestamp {
    Timestamp::parse_iso("2026-01-01T10:00:00Z").unwrap()
}

pub fn ann() -> Actor {
    Actor {
        name: "Ann".to_owned(),
        object_id: Some("aaaaaaaa-0000-0000-0000-000000000001".to_owned()),
        email: Some("ann@example.com".to_owned()),
        user_principal_name: None,
        via: "test".to_owned(),
        address: None,
    }
}

/// An alert of rule `guessing` about `who` from `address`, generated `after` the start.
pub fn alert(id: u128, who: &str, address: &str, after: Span) -> Alert {
    let entities = [Entity::new(EntityKind::Account, [("FullName", who)]), Entity::new(EntityKind::Ip, [("Address", address)])];
    Alert {
        id: Uuid::from_u128(id),
        rule_id: "guessing".to_owned(),
        alert_name: "Guessing".to_owned(),
        display_name: "Guessing".to_owned(),
        description: "Somebody guesses".to_owned(),
        severity: Severity::Medium,
        tactics: vec!["CredentialAccess".to_owned()],
        techniques: vec!["T1110".to_owned()],
        sub_techniques: Vec::new(),
        start: start() + after - Span::MINUTE,
        end: start() + after,
        generated: start() + after,
        entities: entities.into_iter().flatten().collect(),
        custom_details: BTreeMap::from([("Realm".to_owned(), vec!["lab".to_owned()])]),
        extended_properties: BTreeMap::new(),
        product_name: "Azure Sentinel".to_owned(),
        product_component_name: "Scheduled Alerts".to_owned(),
        provider_name: "ASI Scheduled Alerts".to_owned(),
        vendor_name: "Microsoft".to_owned(),
        alert_link: String::new(),
        remediation_steps: String::new(),
        confidence_level: String::new(),
        confidence_score: None,
        extended_links: String::new(),
        query: "SigninLogs".to_owned(),
        query_start: start() + after - Span::HOUR,
        query_end: start() + after,
        result_rows: 1,
        results: Vec::new(),
        incident: IncidentConfiguration::default(),
    }
}

pub fn grouping(method: MatchingMethod) -> GroupingConfiguration {
    GroupingConfiguration {
        enabled: true,
        reopen_closed_incident: false,
        lookback_duration: Span(5 * Span::HOUR.ticks()),
        matching_method: method,
        group_by_entities: Vec::new(),
        group_by_alert_details: Vec::new(),
        group_by_custom_details: Vec::new(),
    }
}

pub fn grouped(mut alert: Alert, grouping: &GroupingConfiguration) -> Alert {
    alert.incident.grouping_configuration = Some(grouping.clone());
    alert
}
