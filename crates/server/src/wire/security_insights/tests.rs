//! The dialect through the dispatcher, with a real store, real tokens and a canned engine.
//!
//! Expected responses: the wire facts on SecurityInsights (statuses, property names, the text of the 409), Microsoft's specification
//! 2025-09-01, and what `azure-mgmt-securityinsight` 2.0.0b4 parses.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::{BoxStream, StreamExt};
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use incidents::{Correlation, Incidents, WorkspaceFacts};
use model::*;
use serde_json::{Value, json};
use store::Store;
use uuid::Uuid;

use crate::context::{Cloud, Context, Ingest, Upload};
use crate::dispatch::Dispatcher;
use crate::error::ApiError;
use crate::identity::{Identity, IdentityConfig, People};
use crate::rights::{Grant, OWNER};

/// Returns the same columns for every query, except that `broken` fails and `open` has unknown columns.
struct Canned;

#[async_trait]
impl QueryEngine for Canned {
    async fn query(&self, _: Query) -> Result<Answer, QueryError> {
        Err(QueryError::Cancelled)
    }

    async fn check(&self, query: &Query) -> Result<Option<Vec<Column>>, QueryError> {
        match query.kql.as_str() {
            "open" => Ok(None),
            broken if broken.contains("broken") => Err(QueryError::Wrong(vec![Diagnostic {
                code: "KQL0031",
                kind: DiagnosticKind::Semantic,
                message: "there is no table `broken`".to_owned(),
                help: None,
                start: broken.find("broken").unwrap_or(0),
                end: broken.len(),
            }])),
            _ => Ok(Some(vec![Column::new("User", Type::String), Column::new("Source", Type::String)])),
        }
    }

    async fn tables_read(&self, _: &Query) -> Result<Vec<TableName>, QueryError> {
        Ok(Vec::new())
    }
}

struct Nothing;

#[async_trait]
impl TableWriter for Nothing {
    async fn append(&self, _: Append) -> Result<Ack, AppendError> {
        Err(AppendError::Closed)
    }

    fn position(&self, _: &str) -> Option<Vec<u8>> {
        None
    }
}

#[async_trait]
impl Catalog for Nothing {
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

#[async_trait]
impl Ingest for Nothing {
    async fn ingest(&self, _: Upload) -> Result<(), ApiError> {
        Ok(())
    }

    fn rule_scope(&self, _: &str) -> Option<String> {
        None
    }

    async fn rules_changed(&self) -> Result<(), ApiError> {
        Ok(())
    }
}

#[async_trait]
impl Clock for Nothing {
    fn now(&self) -> Timestamp {
        now()
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    async fn sleep(&self, _: Span) {
        std::future::pending::<()>().await;
    }
}

fn now() -> Timestamp {
    Timestamp::UNIX_EPOCH + Span::seconds(1_767_261_600)
}

const SUBSCRIPTION: &str = "66666666-2222-3333-4444-555555555555";
const WORKSPACE: &str = "11111111-2222-3333-4444-555555555555";

struct Served {
    _folder: tempfile::TempDir,
    dispatcher: Dispatcher,
    token: String,
    store: Store,
    correlation: Correlation,
}

impl Served {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("state.db")).await.unwrap();
        let identity =
            Identity::open(&folder.path().join("keys"), WORKSPACE, "lab.local", [crate::identity::HostName::parse("localhost").unwrap()])
                .unwrap();
        identity.set_grants(vec![Grant { principal: "ann".to_owned(), definition: OWNER.to_owned(), scope: "/".to_owned() }]);
        let origin = "https://localhost:8443";
        let token = identity.issue("app", "ann", "https://management.azure.com", origin, now()).unwrap();
        let facts = Arc::new(WorkspaceFacts {
            workspace_id: WORKSPACE.to_owned(),
            workspace_name: "main".to_owned(),
            subscription_id: SUBSCRIPTION.to_owned(),
            resource_group: "soc".to_owned(),
            portal_url: origin.to_owned(),
        });
        let clock: Arc<dyn Clock> = Arc::new(Nothing);
        let people = People::open(folder.path(), store.clone(), clock.clone(), &identity, IdentityConfig::default()).unwrap();
        let context = Context {
            engine: Arc::new(Canned),
            writer: Arc::new(Nothing),
            catalog: Arc::new(Nothing),
            clock: clock.clone(),
            store: store.clone(),
            incidents: Incidents { store: store.clone(), clock: clock.clone(), facts: facts.clone() },
            ingest: Arc::new(Nothing),
            identity: Arc::new(identity),
            people,
            sign_ins: Arc::default(),
            oncall: oncall::OnCall::alone(store.clone(), clock.clone()),
            cloud: Cloud {
                subscription_id: SUBSCRIPTION.to_owned(),
                resource_group: "soc".to_owned(),
                workspace_name: "main".to_owned(),
                workspace_id: WORKSPACE.to_owned(),
                location: "local".to_owned(),
            },
            connectors: Arc::new(model::NoConnectors),
            health: model::HealthRegister::default(),
            metrics: Box::new(String::new),
        };
        let correlation = Correlation { store: store.clone(), clock, facts };
        Self { _folder: folder, dispatcher: Dispatcher::new(Arc::new(context)), token, store, correlation }
    }

    async fn send(&self, method: &str, url: &str, body: Value) -> (StatusCode, Value) {
        let bytes = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let request = Request::builder()
            .method(method)
            .uri(url)
            .header("host", "localhost:8443")
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/json")
            .body(Full::new(bytes).map_err(|never| match never {}).boxed())
            .unwrap();
        let reply = self.dispatcher.answer(request, ([127, 0, 0, 1], 1).into()).await;
        let status = reply.status();
        let bytes = reply.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
    }

    /// Calls the provider; `tail` may contain a query string.
    async fn call(&self, method: &str, tail: &str, body: Value) -> (StatusCode, Value) {
        let separator = if tail.contains('?') { '&' } else { '?' };
        self.send(method, &format!("{}/{tail}{separator}api-version=2025-10-01-preview", base()), body).await
    }

    async fn alert(&self, id: u128) {
        let alert: Alert = serde_json::from_value(json!({
            "id": Uuid::from_u128(id), "rule_id": "r", "alert_name": "Guessing", "display_name": "Guessing", "severity": "High",
            "tactics": ["CredentialAccess"], "start": now(), "end": now(), "generated": now(), "query": "T", "query_start": now(),
            "query_end": now(), "result_rows": 1,
            "entities": [
                {"kind": "Account", "identifiers": {"Name": "mallory", "UPNSuffix": "example.com"}},
                {"kind": "IP", "identifiers": {"Address": "203.0.113.9"}},
            ],
        }))
        .unwrap();
        let mut change = self.store.begin().await.unwrap();
        change.add_alert(&alert).await.unwrap();
        change.commit().await.unwrap();
        self.correlation.activate().await.unwrap();
    }
}

fn base() -> String {
    format!(
        "/subscriptions/{SUBSCRIPTION}/resourceGroups/soc/providers/Microsoft.OperationalInsights/workspaces/main/providers/Microsoft.SecurityInsights"
    )
}

fn guid(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn body(etag: Option<&str>, properties: Value) -> Value {
    json!({ "etag": etag, "properties": properties })
}

#[tokio::test]
async fn an_incident_is_found_read_taken_and_closed() {
    let served = Served::new().await;
    served.alert(1).await;
    let (status, list) = served.call("GET", "incidents?%24filter=properties%2Fstatus%20eq%20%27New%27&%24top=50", Value::Null).await;
    assert_eq!(status, 200);
    let incident = &list["value"][0];
    let (name, etag) = (incident["name"].as_str().unwrap(), incident["etag"].as_str().unwrap());
    assert!(etag.starts_with('"') && etag.ends_with('"'), "{etag}");
    assert_eq!(incident["type"], "Microsoft.SecurityInsights/incidents");
    assert_eq!(incident["id"], format!("{}/Incidents/{name}", base()));
    let properties = &incident["properties"];
    assert_eq!(
        (&properties["title"], &properties["severity"], &properties["incidentNumber"]),
        (&json!("Guessing"), &json!("High"), &json!(1))
    );
    assert_eq!(properties["additionalData"]["alertsCount"], 1);
    assert_eq!(properties["owner"], json!({"objectId": null, "email": null, "userPrincipalName": null, "assignedTo": null}));
    assert_eq!(properties["relatedAnalyticRuleIds"], json!([format!("{}/alertRules/r", base())]));

    let (_, alerts) = served.call("POST", &format!("incidents/{name}/alerts"), Value::Null).await;
    assert_eq!(
        (&alerts["value"][0]["kind"], &alerts["value"][0]["properties"]["systemAlertId"]),
        (&json!("SecurityAlert"), &json!(guid(1)))
    );
    let (_, entities) = served.call("POST", &format!("incidents/{name}/entities"), Value::Null).await;
    assert_eq!(entities["metaData"], json!([{"entityKind": "Account", "count": 1}, {"entityKind": "Ip", "count": 1}]));
    assert_eq!(entities["entities"][0]["properties"]["accountName"], "mallory");
    assert_eq!(entities["entities"][1]["properties"]["address"], "203.0.113.9");
    let (_, bookmarks) = served.call("POST", &format!("incidents/{name}/bookmarks"), Value::Null).await;
    assert_eq!(bookmarks, json!({"value": []}));

    // A comment changes the incident's etag, so the previous one is stale.
    let (status, comment) =
        served.call("PUT", &format!("incidents/{name}/comments/{}", guid(9)), body(None, json!({"message": "seen"}))).await;
    assert_eq!((status, &comment["properties"]["author"]["objectId"]), (StatusCode::CREATED, &json!("ann")));
    let taken =
        json!({"title": "Guessing", "severity": "High", "status": "Active", "owner": {"email": "ann@example.com", "assignedTo": "Ann"}});
    let (status, error) = served.call("PUT", &format!("incidents/{name}"), body(Some(etag), taken.clone())).await;
    let expected = json!({"code": "Conflict", "message": format!("Newer version of resource '{name}' exists. Data was not saved")});
    assert_eq!((status, &error["error"]), (StatusCode::CONFLICT, &expected));
    // Without an etag the change is accepted: a maintainer in github.com/Azure/azure-rest-api-specs/issues/13203.
    let (status, _) = served.call("PUT", &format!("incidents/{name}"), body(None, taken.clone())).await;
    assert_eq!(status, StatusCode::OK);
    let (_, fresh) = served.call("GET", &format!("incidents/{name}"), Value::Null).await;
    let (status, active) = served.call("PUT", &format!("incidents/{name}"), body(fresh["etag"].as_str(), taken)).await;
    assert_eq!((status, &active["properties"]["owner"]["assignedTo"]), (StatusCode::OK, &json!("Ann")));
    let closing = json!({"title": "Guessing", "severity": "High", "status": "Closed", "classification": "TruePositive",
        "classificationReason": "SuspiciousActivity", "classificationComment": "test"});
    let (status, closed) = served.call("PUT", &format!("incidents/{name}"), body(active["etag"].as_str(), closing)).await;
    assert_eq!(
        (status, &closed["properties"]["status"], &closed["properties"]["classification"]),
        (StatusCode::OK, &json!("Closed"), &json!("TruePositive"))
    );
    let (_, none) = served.call("GET", "incidents?$filter=properties/status%20ne%20'Closed'", Value::Null).await;
    assert_eq!(none, json!({"value": []}));

    let (status, error) = served.call("POST", &format!("incidents/{name}/runPlaybook"), json!({})).await;
    assert_eq!((status, &error["error"]["code"]), (StatusCode::NOT_FOUND, &json!("NotFound")));
    assert_eq!(served.call("DELETE", &format!("incidents/{name}"), Value::Null).await.0, 200);
    assert_eq!(served.call("DELETE", &format!("incidents/{name}"), Value::Null).await.0, 204);
    assert_eq!(served.call("GET", &format!("incidents/{name}"), Value::Null).await.0, 404);
}

/// The specification's parameters of comments and relations: `$filter`, `$orderby`, `$top`, `$skipToken`.
#[tokio::test]
async fn comments_are_filtered_sorted_and_paged() {
    let served = Served::new().await;
    let incident = format!("incidents/{}", guid(1));
    let opened = json!({"title": "t", "severity": "Low", "status": "New", "labels": [{"labelName": "drill"}]});
    assert_eq!(served.call("PUT", &incident, body(None, opened)).await.0, 201);
    for n in 1..=5 {
        let comment = body(None, json!({ "message": format!("Comment {n}") }));
        assert_eq!(served.call("PUT", &format!("{incident}/comments/{}", guid(n)), comment).await.0, 201);
    }
    let messages = |page: &Value| -> Vec<String> {
        let all = page["value"].as_array().unwrap().iter();
        all.map(|one| one["properties"]["message"].as_str().unwrap().trim_start_matches("Comment ").to_owned()).collect()
    };
    let (_, page) = served.call("GET", &format!("{incident}/comments?$orderby=properties/message%20desc&$top=2"), Value::Null).await;
    assert_eq!(messages(&page), ["5", "4"]);
    let next = page["nextLink"].as_str().unwrap().strip_prefix("https://localhost:8443").unwrap().to_owned();
    let (_, page) = served.send("GET", &next, Value::Null).await;
    assert_eq!(messages(&page), ["3", "2"]);
    let filtered = format!("{incident}/comments?$filter=contains(tolower(properties/message),%20'comment%203')");
    assert_eq!(messages(&served.call("GET", &filtered, Value::Null).await.1), ["3"]);
    assert_eq!(served.call("GET", &format!("{incident}/comments?$filter=nonsense"), Value::Null).await.0, 400);
    assert_eq!(served.call("GET", &format!("{incident}/relations?$top=x"), Value::Null).await.0, 400);
    for (n, kind) in [(1, "bookmarks"), (2, "entities"), (3, "bookmarks")] {
        let related = body(None, json!({ "relatedResourceId": format!("{}/{kind}/b{n}", base()) }));
        assert_eq!(served.call("PUT", &format!("{incident}/relations/r{n}"), related).await.0, 201);
    }
    let relations = |query: &'static str| {
        let (served, incident) = (&served, &incident);
        async move {
            let (status, page) = served.call("GET", &format!("{incident}/relations?{query}"), Value::Null).await;
            assert_eq!(status, 200, "{page}");
            let all = page["value"].as_array().unwrap().iter();
            all.map(|one| one["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
        }
    };
    assert_eq!(relations("$orderby=properties/relatedResourceName%20desc").await, ["r3", "r2", "r1"]);
    assert_eq!(relations("$filter=properties/relatedResourceName%20eq%20'b2'").await, ["r2"]);
    assert_eq!(relations("$filter=contains(properties/relatedResourceId,'/bookmarks/')&$orderby=name%20desc&$top=1").await, ["r3"]);
    assert_eq!(served.call("GET", &format!("{incident}/relations?$filter=nonsense"), Value::Null).await.0, 400);

    let found = |filter: &'static str| {
        let served = &served;
        async move {
            let (status, page) = served.call("GET", &format!("incidents?$filter={filter}"), Value::Null).await;
            assert_eq!(status, 200, "{page}");
            page["value"].as_array().unwrap().len()
        }
    };
    assert_eq!(found("properties/labels/any(l:l/labelName%20eq%20'drill')").await, 1);
    assert_eq!(found("properties/labels/any(l:%20tolower(l/labelName)%20eq%20'none')").await, 0);
    assert_eq!(found("properties/labels/all(l:%20l/labelType%20eq%20'User')").await, 1);
    assert_eq!(found("properties/additionalData/tactics/any()").await, 0);
    assert_eq!(found("tolower(properties/title)%20eq%20'T'").await, 0);
    assert_eq!(found("toupper(properties/title)%20eq%20'T'").await, 1);
    assert_eq!(found("indexof(properties/title,'t')%20eq%200%20and%20length(title)%20le%201").await, 1);
}

#[tokio::test]
async fn pages_follow_their_links() {
    let served = Served::new().await;
    for n in 0..7 {
        served.alert(n).await;
    }
    let mut url = format!("{}/incidents?api-version=2021-10-01&$top=3&$orderby=properties/incidentNumber%20desc", base().to_uppercase());
    let mut numbers = Vec::new();
    for _ in 0..3 {
        let (status, page) = served.send("GET", &url, Value::Null).await;
        assert_eq!(status, 200, "{page}");
        numbers.extend(page["value"].as_array().unwrap().iter().map(|one| one["properties"]["incidentNumber"].as_i64().unwrap()));
        match page["nextLink"].as_str() {
            Some(link) => url = link.strip_prefix("https://localhost:8443").expect("absolute, on the host that was asked").to_owned(),
            None => break,
        }
    }
    assert_eq!(numbers, [7, 6, 5, 4, 3, 2, 1]);
    for bad in ["$top=0", "$top=x", "$skipToken=x", "$filter=nonsense%20eq%201", "$orderby=nonsense"] {
        let (status, error) = served.call("GET", &format!("incidents?{bad}"), Value::Null).await;
        assert_eq!((status, error["error"]["target"].as_str()), (StatusCode::BAD_REQUEST, bad.split('=').next()), "{error}");
    }
}

#[tokio::test]
async fn wrong_incidents_are_told_what_is_wrong() {
    let served = Served::new().await;
    let whole = json!({"title": "t", "severity": "Low", "status": "New"});
    let table = [
        (json!({"title": "t", "status": "New"}), "properties.severity"),
        (json!({"severity": "Low", "status": "New"}), "properties.title"),
        (json!({"title": "t", "severity": "Low"}), "properties.status"),
        (json!({"title": "t", "severity": "Huge", "status": "New"}), "properties.severity"),
        (json!({"title": "t", "severity": "Low", "status": "Closed", "classification": "Maybe"}), "properties.classification"),
        (json!({"title": 7, "severity": "Low", "status": "New"}), "properties.title"),
        // github.com/demisto/content/pull/34306.
        (json!({"title": "t", "severity": "Low", "status": "Closed"}), "properties.classification"),
        (
            json!({"title": "t", "severity": "Low", "status": "Closed", "classification": "BenignPositive"}),
            "properties.classificationReason",
        ),
    ];
    for (properties, target) in table {
        let (status, error) = served.call("PUT", &format!("incidents/{}", guid(1)), body(None, properties)).await;
        assert_eq!((status, error["error"]["target"].as_str()), (StatusCode::BAD_REQUEST, Some(target)), "{error}");
    }
    let pair = json!({"title": "t", "severity": "Low", "status": "Closed", "classification": "TruePositive", "classificationReason": "InaccurateData"});
    assert_eq!(served.call("PUT", &format!("incidents/{}", guid(1)), body(None, pair)).await.0, 400);
    assert_eq!(served.call("PUT", "incidents/not-a-guid", body(None, whole.clone())).await.0, 400);
    let (status, created) = served.call("PUT", &format!("incidents/{}", guid(1)), body(None, whole)).await;
    assert_eq!((status, &created["properties"]["incidentNumber"]), (StatusCode::CREATED, &json!(1)));
    for collection in ["comments", "tasks", "relations"] {
        let (status, list) = served.call("GET", &format!("incidents/{}/{collection}", guid(1)), Value::Null).await;
        assert_eq!((status, list), (StatusCode::OK, json!({"value": []})));
        assert_eq!(served.call("GET", &format!("incidents/{}/{collection}", guid(2)), Value::Null).await.0, 404);
        assert_eq!(served.call("GET", &format!("incidents/{}/{collection}/x", guid(1)), Value::Null).await.0, 404);
    }
    let task = body(None, json!({"title": "Call", "status": "New"}));
    let (status, task) = served.call("PUT", &format!("incidents/{}/tasks/t1", guid(1)), task).await;
    assert_eq!(
        (status, &task["properties"]["status"], &task["properties"]["createdBy"]["objectId"]),
        (StatusCode::CREATED, &json!("New"), &json!("ann"))
    );
}

fn scheduled() -> Value {
    json!({
        "displayName": "Guessing", "enabled": true, "severity": "High", "query": "T", "queryFrequency": "PT1H", "queryPeriod": "PT1H",
        "triggerOperator": "GreaterThan", "triggerThreshold": 0, "suppressionEnabled": false, "suppressionDuration": "PT1H",
        "tactics": ["CredentialAccess"], "techniques": ["T1110"],
        "entityMappings": [{"entityType": "Account", "fieldMappings": [{"identifier": "FullName", "columnName": "User"}]}],
    })
}

#[tokio::test]
async fn rules_are_kept_and_changed_under_their_etags() {
    let served = Served::new().await;
    let path = format!("alertRules/{}", guid(5));
    let put = |etag: Option<String>, kind: &'static str, properties: Value| json!({"kind": kind, "etag": etag, "properties": properties});
    let (status, created) = served.call("PUT", &path, put(None, "Scheduled", scheduled())).await;
    assert_eq!((status, &created["kind"]), (StatusCode::CREATED, &json!("Scheduled")), "{created}");
    assert_eq!(created["properties"]["queryFrequency"], "PT1H");
    let etag = created["etag"].as_str().map(str::to_owned);
    let mut other = scheduled();
    other["enabled"] = json!(false);
    let (status, changed) = served.call("PUT", &path, put(etag.clone(), "Scheduled", other.clone())).await;
    assert_eq!((status, &changed["properties"]["enabled"]), (StatusCode::OK, &json!(false)));
    assert_eq!(served.call("PUT", &path, put(etag, "Scheduled", other.clone())).await.0, 409);
    assert_eq!(served.call("PUT", &path, put(None, "NRT", other)).await.0, 400);
    let (_, list) = served.call("GET", "alertRules", Value::Null).await;
    assert_eq!(list["value"], json!([changed]));
    let trail = served.store.audit().of("analytics rule", &guid(5).to_string()).await.unwrap();
    assert_eq!(trail[1].changes, json!({"enabled": [true, false]}));
    assert_eq!(trail[1].actor.via, "SecurityInsights");
    assert_eq!(served.call("GET", &format!("{path}/actions"), Value::Null).await.1, json!({"value": []}));
    assert_eq!(served.call("DELETE", &path, Value::Null).await.0, 200);
    assert_eq!(served.call("DELETE", &path, Value::Null).await.0, 204);
    assert_eq!(served.call("GET", &path, Value::Null).await.0, 404);

    let nrt = json!({"displayName": "Now", "enabled": true, "severity": "High", "query": "T", "suppressionEnabled": false, "suppressionDuration": "PT1H"});
    assert_eq!(served.call("PUT", &path, put(None, "NRT", nrt)).await.0, 201);
    assert_eq!(served.call("GET", "onboardingStates/default", Value::Null).await.0, 200);
    assert_eq!(served.call("GET", "alertRuleTemplates", Value::Null).await.1, json!({"value": []}));
}

#[tokio::test]
async fn wrong_rules_are_told_what_is_wrong() {
    let served = Served::new().await;
    // (property, value, error path)
    let table = [
        ("displayName", json!(""), "displayName"),
        ("severity", json!("Huge"), "severity"),
        ("enabled", json!("yes"), "enabled"),
        ("queryFrequency", json!("1h"), "queryFrequency"),
        ("queryFrequency", json!("PT4M"), "queryFrequency"),
        ("queryPeriod", json!("P15D"), "queryPeriod"),
        ("queryPeriod", json!("PT30M"), "queryPeriod"),
        ("triggerOperator", json!("gt"), "triggerOperator"),
        ("triggerThreshold", json!(-1), "triggerThreshold"),
        ("suppressionDuration", json!("P2D"), "suppressionDuration"),
        ("tactics", json!(["Guessing"]), "tactics"),
        ("techniques", json!(["1110"]), "techniques"),
        ("query", json!("T\n| join broken"), "query"),
        ("query", json!(" "), "query"),
        ("eventGroupingSettings", json!({"aggregationKind": "Both"}), "eventGroupingSettings.aggregationKind"),
        ("customDetails", json!({"Who": "Usr"}), "customDetails.Who"),
        ("alertDetailsOverride", json!({"alertDisplayNameFormat": "{{Usr}}"}), "alertDetailsOverride.alertDisplayNameFormat"),
        ("entityMappings", json!([{"entityType": "Person", "fieldMappings": []}]), "entityMappings[0].entityType"),
        (
            "entityMappings",
            json!([{"entityType": "IP", "fieldMappings": [{"identifier": "Adress", "columnName": "Source"}]}]),
            "entityMappings[0].fieldMappings[0].identifier",
        ),
        (
            "entityMappings",
            json!([{"entityType": "IP", "fieldMappings": [{"identifier": "Address", "columnName": "Sauce"}]}]),
            "entityMappings[0].fieldMappings[0].columnName",
        ),
        (
            "incidentConfiguration",
            json!({"createIncident": true, "groupingConfiguration": {"enabled": true, "lookbackDuration": "P8D", "matchingMethod": "AnyAlert"}}),
            "incidentConfiguration.groupingConfiguration.lookbackDuration",
        ),
        (
            "incidentConfiguration",
            json!({"groupingConfiguration": {"matchingMethod": "Sometimes"}}),
            "incidentConfiguration.groupingConfiguration.matchingMethod",
        ),
    ];
    for (property, value, target) in table {
        let mut properties = scheduled();
        properties[property] = value;
        let (status, error) = served.call("PUT", "alertRules/r", json!({"kind": "Scheduled", "properties": properties})).await;
        let expected = format!("properties.{target}");
        assert_eq!((status, error["error"]["target"].as_str()), (StatusCode::BAD_REQUEST, Some(expected.as_str())), "{property}: {error}");
    }
    let mut several = scheduled();
    (several["severity"], several["query"]) = (json!("Huge"), json!("T\n| join broken"));
    let (_, error) = served.call("PUT", "alertRules/r", json!({"kind": "Scheduled", "properties": several})).await;
    assert_eq!(error["error"]["details"].as_array().map(Vec::len), Some(2), "{error}");
    assert!(error["error"]["details"][1]["message"].as_str().is_some_and(|message| message.contains("line 2, column 8")), "{error}");
    let mut unknown_columns = scheduled();
    unknown_columns["query"] = json!("open");
    unknown_columns["customDetails"] = json!({"Who": "Anything"});
    assert_eq!(served.call("PUT", "alertRules/r", json!({"kind": "Scheduled", "properties": unknown_columns})).await.0, 201);
    assert_eq!(served.call("PUT", "alertRules/f", json!({"kind": "Fusion", "properties": {}})).await.0, 400);
    assert_eq!(served.call("PUT", "alertRules/f", json!({"properties": {}})).await.0, 400);
    // A suppression that ends before the next run suppresses nothing.
    for (enabled, duration, expected) in [(true, "PT30M", 400), (true, "PT1H", 201), (false, "PT30M", 201)] {
        let mut properties = scheduled();
        (properties["suppressionEnabled"], properties["suppressionDuration"]) = (json!(enabled), json!(duration));
        let path = format!("alertRules/s{enabled}{duration}");
        let (status, error) = served.call("PUT", &path, json!({"kind": "Scheduled", "properties": properties})).await;
        assert_eq!(status, expected, "{enabled} {duration}: {error}");
        assert!(status != 400 || error["error"]["target"] == "properties.suppressionDuration", "{error}");
    }
}
