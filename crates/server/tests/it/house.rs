//! A running server on a free port, with a manual clock and canned engine, catalog and pipeline.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures::stream::{BoxStream, StreamExt};
use incidents::{Incidents, WorkspaceFacts};
use model::*;
use reqwest::{Method, RequestBuilder, StatusCode};
use serde_json::Value;
use server::identity::{Bootstrapped, IdentityConfig, People, Reached, bootstrap};
use server::{ApiError, Context, Dispatcher, Ingest, ServerConfig, Upload, serve};
use store::Store;
use testkit::HandClock;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub const MONITOR: &str = "https://monitor.azure.com";
pub const ARM: &str = "https://management.azure.com";
pub const LOGS: &str = "https://api.loganalytics.io";

/// Initial time of the manual clock.
pub fn noon() -> Timestamp {
    Timestamp::parse_iso("2026-11-20T12:00:00Z").unwrap()
}

pub struct House {
    pub people: Arc<People>,
    _folder: tempfile::TempDir,
    pub address: SocketAddr,
    pub base: String,
    pub http: reqwest::Client,
    pub boot: Booted,
    pub clock: Arc<HandClock>,
    pub engine: Arc<Canned>,
    pub pipeline: Arc<Pipe>,
    pub oncall: Arc<oncall::OnCall>,
    pub health: HealthRegister,
    pub ca_pem: Vec<u8>,
    pub stop: CancellationToken,
    pub served: tokio::task::JoinHandle<Result<(), server::TlsError>>,
}

/// The result of the first start, without the parts the server owns.
pub struct Booted {
    pub tenant: String,
    pub client_id: String,
    pub client_secret: String,
    pub object_id: String,
    pub admin_password: String,
    pub cloud: server::Cloud,
}

impl House {
    pub async fn new() -> Self {
        Self::with(ServerConfig::default()).await
    }

    pub async fn with(config: ServerConfig) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("state.db")).await.unwrap();
        let clock = HandClock::still(noon());
        let Bootstrapped { identity, certificate, cloud, tenant_id, client_id, client_secret, admin_password, .. } =
            // The HTTP client validates the certificate with the real clock.
            bootstrap(folder.path(), &store, &Reached::default(), Timestamp::from_system(std::time::SystemTime::now())).await.unwrap();
        let object_id = store.app_registrations().get(&client_id).await.unwrap().unwrap().object_id;
        let engine = Arc::new(Canned::default());
        let pipeline = Arc::new(Pipe::new(store.clone(), cloud.group_path()));
        let facts = Arc::new(WorkspaceFacts {
            workspace_id: cloud.workspace_id.clone(),
            workspace_name: cloud.workspace_name.clone(),
            subscription_id: cloud.subscription_id.clone(),
            resource_group: cloud.resource_group.clone(),
            portal_url: "https://localhost".to_owned(),
        });
        let ca_pem = std::fs::read(certificate.ca_path()).unwrap();
        let oncall = oncall::OnCall::alone(store.clone(), clock.clone());
        let health = HealthRegister::default();
        let people = People::open(folder.path(), store.clone(), clock.clone(), &identity, IdentityConfig::default()).unwrap();
        let context = Context {
            engine: engine.clone(),
            writer: Arc::new(NoWriter),
            catalog: Arc::new(Tables::default()),
            clock: clock.clone(),
            store: store.clone(),
            incidents: Incidents { store, clock: clock.clone(), facts },
            ingest: pipeline.clone(),
            identity: Arc::new(identity),
            people: people.clone(),
            sign_ins: Arc::default(),
            oncall: oncall.clone(),
            cloud: cloud.clone(),
            connectors: Arc::new(model::NoConnectors),
            health: health.clone(),
            metrics: Box::new(|| "bartizan_up 1\n".to_owned()),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        let dispatcher = Arc::new(Dispatcher::new(Arc::new(context)));
        let served = tokio::spawn(serve(config, dispatcher, certificate, listener, clock.clone(), stop.clone()));
        let authority = reqwest::Certificate::from_pem(&ca_pem).unwrap();
        let http = reqwest::Client::builder().tls_certs_only([authority]).no_proxy().build().unwrap();
        let boot = Booted {
            tenant: tenant_id,
            client_id,
            client_secret: client_secret.reveal().clone(),
            object_id,
            admin_password: admin_password.reveal().clone(),
            cloud,
        };
        let base = format!("https://localhost:{}", address.port());
        Self { people, _folder: folder, address, base, http, boot, clock, engine, pipeline, oncall, health, ca_pem, stop, served }
    }

    /// Requests a token as a stock client does.
    pub async fn token(&self, audience: &str) -> String {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", &self.boot.client_id),
            ("client_secret", &self.boot.client_secret),
            ("scope", &format!("{audience}/.default")),
        ];
        let (status, body) = answer(self.http.post(format!("{}/{}/oauth2/v2.0/token", self.base, self.boot.tenant)).form(&form)).await;
        assert_eq!(status, 200, "{body}");
        body["access_token"].as_str().unwrap().to_owned()
    }

    /// A request with a token for `audience`.
    pub async fn call(&self, audience: &str, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base)).bearer_auth(self.token(audience).await)
    }

    pub fn workspace(&self) -> String {
        self.boot.cloud.workspace_path()
    }

    pub fn group(&self) -> String {
        self.boot.cloud.group_path()
    }
}

/// Status and body; a body that is not JSON becomes a JSON string.
pub async fn answer(request: RequestBuilder) -> (StatusCode, Value) {
    let response = request.send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// An engine that answers four queries and records requests.
#[derive(Default)]
pub struct Canned {
    pub asked: Mutex<Vec<Query>>,
    pub cancelled: Arc<AtomicBool>,
}

fn wrong(kql: &str, token: &str, kind: DiagnosticKind) -> QueryError {
    let start = kql.find(token).unwrap();
    let message = format!("`{token}` is unknown");
    QueryError::Wrong(vec![Diagnostic {
        code: "KQL0031",
        kind,
        message,
        help: Some("did you mean another?".into()),
        start,
        end: start + token.len(),
    }])
}

#[async_trait]
impl QueryEngine for Canned {
    async fn query(&self, query: Query) -> Result<Answer, QueryError> {
        self.asked.lock().unwrap().push(query.clone());
        let columns = vec![Column::new("Name", Type::String), Column::new("n", Type::Long)];
        let batch = arrow::record_batch::RecordBatch::try_new(
            arrow_schema(&columns),
            vec![Arc::new(arrow::array::StringViewArray::from(vec!["é"])), Arc::new(arrow::array::Int64Array::from(vec![42]))],
        )
        .unwrap();
        let whole = Answer { columns, batches: vec![batch], ..Answer::default() };
        match query.kql.as_str() {
            "never" => {
                // Cancelled by its token, or dropped with the request: both count.
                struct Gone(Arc<AtomicBool>);
                impl Drop for Gone {
                    fn drop(&mut self) {
                        self.0.store(true, Ordering::SeqCst);
                    }
                }
                let _gone = Gone(self.cancelled.clone());
                query.cancel.cancelled().await;
                Err(QueryError::Cancelled)
            }
            "late" => Err(QueryError::Time(query.limits.time.unwrap())),
            "half" => Ok(Answer { partial: Some(QueryError::Bytes(ByteSize(64_000_000))), ..whole }),
            "panic" => panic!("boom"),
            kql if kql.contains("sumarize") => Err(wrong(kql, "sumarize", DiagnosticKind::Syntax)),
            kql if kql.contains("Nope") => Err(wrong(kql, "Nope", DiagnosticKind::Semantic)),
            _ => Ok(whole),
        }
    }

    async fn check(&self, query: &Query) -> Result<Option<Vec<Column>>, QueryError> {
        match query.kql.as_str() {
            kql if kql.contains("Nope") => Err(wrong(kql, "Nope", DiagnosticKind::Semantic)),
            kql if kql.contains("Number=text") => {
                Ok(Some(vec![Column::new("TimeGenerated", Type::Datetime), Column::new("Number", Type::String)]))
            }
            kql if kql.contains("Number=toint(1)") => Ok(Some(vec![Column::new("Number", Type::Int)])),
            kql if kql.contains("n=count()") => Ok(Some(vec![Column::new("n", Type::Long)])),
            _ => Ok(Some(vec![Column::new("TimeGenerated", Type::Datetime)])),
        }
    }

    async fn tables_read(&self, _: &Query) -> Result<Vec<TableName>, QueryError> {
        Ok(Vec::new())
    }
}

struct NoWriter;

#[async_trait]
impl TableWriter for NoWriter {
    async fn append(&self, _: Append) -> Result<Ack, AppendError> {
        Err(AppendError::Closed)
    }

    fn position(&self, _: &str) -> Option<Vec<u8>> {
        None
    }
}

#[derive(Default)]
struct Tables {
    tables: Mutex<BTreeMap<String, Arc<TableSchema>>>,
    retention: Mutex<BTreeMap<String, Span>>,
    searches: Mutex<BTreeMap<String, Arc<SavedSearch>>>,
}

#[async_trait]
impl Catalog for Tables {
    fn table(&self, name: &str) -> Option<Arc<TableSchema>> {
        let published = || Arc::new(TableSchema::new(name, vec![Column::new("TimeGenerated", Type::Datetime)]));
        let created = self.tables.lock().unwrap().get(name).cloned();
        created.or_else(|| self.published_tables().contains(name).then(published))
    }

    fn is_created(&self, name: &str) -> bool {
        self.tables.lock().unwrap().contains_key(name)
    }

    fn published_tables(&self) -> BTreeSet<&'static str> {
        BTreeSet::from(["Okta_CL", "StorageBlobLogs"])
    }

    fn tables(&self) -> Vec<Arc<TableSchema>> {
        self.tables.lock().unwrap().values().cloned().collect()
    }

    async fn define(&self, name: &TableName, columns: Vec<Column>) -> Result<Arc<TableSchema>, CatalogError> {
        if let Some(bad) = columns.iter().find(|column| column.name.contains(' ')) {
            return Err(CatalogError::BadColumnName { name: bad.name.clone() });
        }
        let table = Arc::new(TableSchema::new(name.as_str(), columns));
        self.tables.lock().unwrap().insert(name.as_str().to_owned(), table.clone());
        Ok(table)
    }

    async fn drop_table(&self, name: &TableName) -> Result<(), CatalogError> {
        self.tables.lock().unwrap().remove(name.as_str()).map(|_| ()).ok_or_else(|| CatalogError::NoTable(name.clone()))
    }

    async fn set_retention(&self, name: &TableName, retention: Option<Span>) -> Result<(), CatalogError> {
        let mut kept = self.retention.lock().unwrap();
        match retention {
            Some(span) => kept.insert(name.as_str().to_owned(), span),
            None => kept.remove(name.as_str()),
        };
        Ok(())
    }

    fn retention(&self, name: &str) -> Option<Span> {
        self.retention.lock().unwrap().get(name).copied()
    }

    fn saved_searches(&self) -> Vec<Arc<SavedSearch>> {
        self.searches.lock().unwrap().values().cloned().collect()
    }

    async fn save_search(&self, search: SavedSearch) -> Result<(), CatalogError> {
        self.searches.lock().unwrap().insert(search.name.clone(), Arc::new(search));
        Ok(())
    }

    async fn remove_search(&self, name: &str) -> Result<bool, CatalogError> {
        Ok(self.searches.lock().unwrap().remove(name).is_some())
    }

    fn arrivals(&self) -> BoxStream<'static, Arrival> {
        futures::stream::pending().boxed()
    }

    fn complete_until(&self) -> Timestamp {
        Timestamp::MIN
    }
}

/// A pipeline that records uploads.
pub struct Pipe {
    store: Store,
    group: String,
    rules: Mutex<BTreeMap<String, String>>,
    pub uploads: Mutex<Vec<Upload>>,
    pub busy: AtomicBool,
}

impl Pipe {
    pub fn store(&self) -> &Store {
        &self.store
    }

    fn new(store: Store, group: String) -> Self {
        Self { store, group, rules: Mutex::default(), uploads: Mutex::default(), busy: AtomicBool::new(false) }
    }
}

#[async_trait]
impl Ingest for Pipe {
    async fn ingest(&self, upload: Upload) -> Result<(), ApiError> {
        if self.busy.load(Ordering::SeqCst) {
            return Err(ApiError::too_many("the disk is full", 7));
        }
        self.uploads.lock().unwrap().push(upload);
        Ok(())
    }

    async fn rules_changed(&self) -> Result<(), ApiError> {
        let rules = self.store.data_collection_rules().list().await.unwrap();
        let scope = |name: &str| format!("{}/providers/Microsoft.Insights/dataCollectionRules/{name}", self.group);
        *self.rules.lock().unwrap() = rules.iter().map(|rule| (rule.immutable_id.clone(), scope(&rule.name))).collect();
        Ok(())
    }

    fn rule_scope(&self, immutable_id: &str) -> Option<String> {
        self.rules.lock().unwrap().get(immutable_id).cloned()
    }
}
