//! Documents over the API: all or nothing, etags, pruning, and the rights that each kind needs.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use store::{AppRegistration, ClientSecret, RoleAssignment};

use crate::house::{ARM, House, answer, noon};

const CONFIGURATION: &str = "\
tables:
  Doors_CL:
    columns:
      - { name: TimeGenerated, type: datetime }
      - { name: Door, type: string }
data_collection_rules:
  doors:
    streamDeclarations:
      Custom-Doors: { columns: [{ name: TimeGenerated, type: datetime }, { name: Door, type: string }] }
    dataFlows: [{ streams: [Custom-Doors], outputStream: Custom-Doors_CL }]
analytics_rules:
  open-door: { name: A door is open, severity: Low, kind: NRT, query: Doors_CL }
applications:
  door collector: {}
role_assignments:
  sends: { role: monitoring metrics publisher, principal: door collector, scope: data_collection_rules.doors }
users:
  ann: { name: Ann, contacts: { mail: { email: ann@example.org } } }
";

async fn ours(house: &House, method: Method, path: &str) -> reqwest::RequestBuilder {
    house.call(&house.base.clone(), method, &format!("/api/v1/documents{path}")).await
}

async fn post(house: &House, verb: &str, document: &str) -> (StatusCode, Value) {
    answer(ours(house, Method::POST, &format!("/{verb}")).await.header("content-type", "application/yaml").body(document.to_owned())).await
}

fn changes(body: &Value) -> Vec<String> {
    let list = body["changes"].as_array().unwrap_or_else(|| panic!("{body}"));
    let text = |change: &Value, field: &str| change[field].as_str().unwrap().to_owned();
    list.iter().map(|change| format!("{} {}/{}", text(change, "verb"), text(change, "kind"), text(change, "name"))).collect()
}

#[tokio::test]
async fn a_document_is_applied_whole_and_read_back() {
    let house = House::new().await;
    // One wrong object: nothing is there afterwards.
    let wrong = CONFIGURATION.replace("query: Doors_CL", "query: Nope");
    let (status, body) = post(&house, "apply", &wrong).await;
    assert_eq!((status.as_u16(), body["error"]["target"].as_str()), (400, Some("analytics_rules.open-door.query")), "{body}");
    assert_eq!(answer(ours(&house, Method::GET, "").await).await.1, json!({}));
    assert!(house.pipeline.store().audit().of("table", "Doors_CL").await.unwrap().is_empty());

    let (status, body) = post(&house, "check", CONFIGURATION).await;
    assert_eq!((status.as_u16(), &body["problems"]), (200, &json!([])), "{body}");
    let (status, body) = post(&house, "apply", CONFIGURATION).await;
    assert_eq!(status, 200, "{body}");
    let made = [
        "create tables/Doors_CL",
        "create data_collection_rules/doors",
        "create analytics_rules/open-door",
        "create applications/door collector",
        "create role_assignments/sends",
        "create users/ann",
    ];
    assert_eq!(changes(&body), made);
    assert_eq!(changes(&post(&house, "apply", CONFIGURATION).await.1), [""; 0]);

    // Azure's APIs see the same objects, uploads see the rule, and each change is in the audit trail.
    let rule = format!("{}/providers/Microsoft.Insights/dataCollectionRules/doors?api-version=2023-03-11", house.group());
    let (_, rule) = answer(house.call(ARM, Method::GET, &rule).await).await;
    assert_eq!(rule["properties"]["dataFlows"][0]["destinations"], json!(["workspace"]), "{rule}");
    let id = rule["properties"]["immutableId"].as_str().unwrap().to_owned();
    assert!(server::Ingest::rule_scope(&*house.pipeline, &id).is_some());
    for (aggregate, id) in
        [("table", "Doors_CL"), ("data collection rule", &id), ("analytics rule", "open-door"), ("role assignment", "sends")]
    {
        let entries = house.pipeline.store().audit().of(aggregate, id).await.unwrap();
        assert_eq!(entries.iter().map(|entry| entry.action.as_str()).collect::<Vec<_>>(), ["created"], "{aggregate}");
        assert_eq!(entries[0].actor.via, "documents/api");
    }

    // The export is the document, in its canonical form, without the service's own application.
    let exported = ours(&house, Method::GET, "?format=yaml").await.send().await.unwrap().text().await.unwrap();
    assert!(
        exported.contains("scope: data_collection_rules.doors") && exported.contains("role: Monitoring Metrics Publisher"),
        "{exported}"
    );
    assert!(!exported.contains("First application") && !exported.contains("secret"), "{exported}");
    assert_eq!(changes(&post(&house, "diff?prune=true", &exported).await.1), [""; 0]);
    let part = answer(ours(&house, Method::GET, "?kind=users,tables").await).await.1;
    assert_eq!(part.as_object().unwrap().keys().collect::<Vec<_>>(), ["tables", "users"]);
}

#[tokio::test]
async fn pruning_concerns_the_kinds_that_are_named() {
    let house = House::new().await;
    assert_eq!(post(&house, "apply", CONFIGURATION).await.0, 200);
    // A table that a rule writes to cannot go alone.
    let (status, body) = post(&house, "apply?prune=true", "tables: {}").await;
    assert_eq!((status.as_u16(), body["error"]["target"].as_str()), (400, Some("tables.Doors_CL")), "{body}");
    let (_, body) = post(&house, "diff?prune=true", "analytics_rules: {}\nusers:").await;
    assert_eq!(changes(&body), ["delete analytics_rules/open-door"]);
    let all = "tables: {}\ndata_collection_rules: {}\napplications: {}\nrole_assignments: {}\n";
    let (status, body) = post(&house, "apply?prune=true", all).await;
    assert_eq!(status, 200, "{body}");
    let left = answer(ours(&house, Method::GET, "").await).await.1;
    assert_eq!(left.as_object().unwrap().keys().collect::<Vec<_>>(), ["analytics_rules", "users"], "{left}");
    // The application and the administrator that the service made still have their roles.
    assert_eq!(house.pipeline.store().role_assignments().list().await.unwrap().len(), 3);
}

#[tokio::test]
async fn objects_are_changed_one_by_one_under_their_etags() {
    let house = House::new().await;
    let rule = json!({ "name": "A rule", "severity": "Low", "kind": "NRT", "query": "T" });
    let made = ours(&house, Method::PUT, "/analytics_rules/r").await.json(&rule).send().await.unwrap();
    assert_eq!(made.status(), 201);
    let etag = made.headers()["etag"].to_str().unwrap().to_owned();
    for (name, value) in [("if-match", "\"00000000-0000-0000-0000-000000000000\""), ("if-none-match", "*")] {
        let (status, body) = answer(ours(&house, Method::PUT, "/analytics_rules/r").await.header(name, value).json(&rule)).await;
        assert_eq!((status.as_u16(), body["error"]["code"].as_str()), (412, Some("PreconditionFailed")), "{name}: {body}");
    }
    let mut changed = rule.clone();
    changed["severity"] = json!("High");
    let (status, body) = answer(ours(&house, Method::PUT, "/analytics_rules/r").await.header("if-match", &etag).json(&changed)).await;
    assert_eq!((status.as_u16(), &body["severity"]), (200, &json!("High")), "{body}");
    let gone = answer(ours(&house, Method::DELETE, "/analytics_rules/r").await.header("if-match", &etag)).await;
    assert_eq!(gone.0, 412);
    assert_eq!(answer(ours(&house, Method::DELETE, "/analytics_rules/r").await).await.0, 204);
    assert_eq!(answer(ours(&house, Method::DELETE, "/analytics_rules/r").await).await.0, 404);
    for (path, near) in [("/analytics_rule/r", "analytics_rules"), ("/users/x", "")] {
        let (status, body) = answer(ours(&house, Method::GET, path).await).await;
        assert_eq!(status, 404);
        assert!(body["error"]["message"].as_str().unwrap().contains(near), "{body}");
    }
    let kinds = answer(ours(&house, Method::GET, "/kinds").await).await.1;
    assert!(kinds["kinds"].as_array().unwrap().iter().all(|kind| kind["schema"].is_object()), "{kinds}");
}

/// A token of an application that has one role on the workspace's subscription.
async fn with_role(house: &House, role: &str) -> String {
    let secret = model::Secret::new("a secret that a person chose".to_owned());
    let app = AppRegistration {
        app_id: uuid::Uuid::new_v4().to_string(),
        object_id: uuid::Uuid::new_v4().to_string(),
        display_name: role.to_owned(),
        created: noon(),
        secrets: vec![ClientSecret {
            key_id: "1".into(),
            hash: server::identity::SecretHash::of_chosen(&secret).unwrap().as_stored().into(),
            expires: None,
        }],
        certificates: vec![],
    };
    let definition = server::ROLE_DEFINITIONS.iter().find(|definition| definition.name == role).unwrap();
    let mut change = house.pipeline.store().begin().await.unwrap();
    change.put_app_registration(&app).await.unwrap();
    let assignment = RoleAssignment {
        name: uuid::Uuid::new_v4().to_string(),
        scope: format!("/subscriptions/{}", house.boot.cloud.subscription_id),
        definition_id: definition.id.to_owned(),
        principal_id: app.object_id.clone(),
        created: noon(),
        created_by: "test".to_owned(),
    };
    change.add_role_assignment(&assignment).await.unwrap();
    change.commit().await.unwrap();
    // A change of grants through the API reloads all of them.
    let other = json!({ "role": "Reader", "principal": role, "scope": "workspace" });
    assert_eq!(answer(ours(house, Method::PUT, &format!("/role_assignments/{}", app.app_id)).await.json(&other)).await.0, 201);
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", app.app_id.as_str()),
        ("client_secret", secret.reveal()),
        ("scope", &format!("{}/.default", house.base)),
    ];
    let (_, token) = answer(house.http.post(format!("{}/adfs/oauth2/token", house.base)).form(&form)).await;
    token["access_token"].as_str().unwrap_or_else(|| panic!("{token}")).to_owned()
}

#[tokio::test]
async fn a_kind_needs_the_role_that_its_resources_need() {
    let house = House::new().await;
    let apply = async |token: &str, document: &str| {
        let request = house.http.post(format!("{}/api/v1/documents/apply", house.base)).bearer_auth(token).body(document.to_owned());
        answer(request).await
    };
    let kinds = ["analytics_rules", "tables", "data_collection_rules", "applications", "role_assignments", "users"];
    for (role, may) in [
        ("Contributor", ["analytics_rules", "tables", "data_collection_rules", "users"].as_slice()),
        ("Microsoft Sentinel Contributor", &["analytics_rules", "users"]),
    ] {
        let token = with_role(&house, role).await;
        for kind in kinds {
            let (status, body) = apply(&token, &format!("{kind}: {{}}")).await;
            assert_eq!(status.as_u16(), if may.contains(&kind) { 200 } else { 403 }, "{role}, {kind}: {body}");
        }
    }
}
