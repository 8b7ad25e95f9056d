//! Every route with every built-in role, by real requests; assignments and their limits. Sources: Azure's role definitions, and the REST
//! references of `Microsoft.Authorization`.

use std::collections::HashMap;

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use server::{Endpoint, ROLE_DEFINITIONS, RoleDefinition, endpoints};
use uuid::Uuid;

use crate::house::{ARM, House, answer};

const GRAPH: &str = "https://graph.microsoft.com";
const ASSIGNMENTS: &str = "/providers/Microsoft.Authorization/roleAssignments";

/// An application with one role at the root.
struct Holder {
    client_id: String,
    secret: String,
    object_id: String,
}

async fn call(house: &House, audience: &str, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
    let separator = if path.contains('?') { '&' } else { '?' };
    let mut request = house.call(audience, method, &format!("{path}{separator}api-version=2022-04-01")).await;
    if let Some(body) = body {
        request = request.json(&body);
    }
    let (status, body) = answer(request).await;
    (status.as_u16(), body)
}

async fn register(house: &House, name: &str) -> Holder {
    let (status, app) = call(house, GRAPH, Method::POST, "/v1.0/applications", Some(json!({ "displayName": name }))).await;
    assert_eq!(status, 201, "{app}");
    let (client_id, id) = (app["appId"].as_str().unwrap().to_owned(), app["id"].as_str().unwrap());
    let (_, secret) = call(house, GRAPH, Method::POST, &format!("/v1.0/applications/{id}/addPassword"), Some(json!({}))).await;
    let object_id = house.pipeline.store().app_registrations().get(&client_id).await.unwrap().unwrap().object_id;
    Holder { client_id, secret: secret["secretText"].as_str().unwrap().to_owned(), object_id }
}

async fn assign(house: &House, scope: &str, role: &str, principal: &str) -> (u16, Value, String) {
    let path = format!("{}{ASSIGNMENTS}/{}", scope.trim_end_matches('/'), Uuid::new_v4());
    let body = json!({ "properties": { "roleDefinitionId": role, "principalId": principal } });
    let (status, found) = call(house, ARM, Method::PUT, &path, Some(body)).await;
    (status, found, path)
}

async fn holder(house: &House, role: &RoleDefinition) -> Holder {
    let holder = register(house, role.name).await;
    let (status, body, _) = assign(house, "/", role.id, &holder.object_id).await;
    assert_eq!(status, 201, "{body}");
    holder
}

async fn token(house: &House, holder: &Holder, audience: &str) -> String {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", &holder.client_id),
        ("client_secret", &holder.secret),
        ("scope", &format!("{audience}/.default")),
    ];
    let (status, body) = answer(house.http.post(format!("{}/{}/oauth2/v2.0/token", house.base, house.boot.tenant)).form(&form)).await;
    assert_eq!(status, 200, "{body}");
    body["access_token"].as_str().unwrap().to_owned()
}

/// A path that matches the pattern. Containers exist, objects do not.
fn sample(house: &House, rule: &str, pattern: &str) -> String {
    let cloud = &house.boot.cloud;
    let mut path = pattern.replace(['[', ']'], "");
    let subscription = format!("subscriptions/{}", cloud.subscription_id);
    let workspace = cloud.workspace_path();
    let immutable = pattern.starts_with("/dataCollectionRules/");
    for (parameter, value) in [
        ("{scope*}", subscription.as_str()),
        ("{subscription}", &cloud.subscription_id),
        ("{group}", &cloud.resource_group),
        ("{workspace}", &cloud.workspace_name),
        ("{tenant}", &house.boot.tenant),
        ("{version}", "v1.0"),
        ("{resource*}", workspace.trim_start_matches("/subscriptions/")),
        ("{id}", &cloud.workspace_id),
        ("{id*}", "x/y"),
        ("{rule}", if immutable { rule } else { "x" }),
    ] {
        path = path.replace(parameter, value);
    }
    while let (Some(from), Some(until)) = (path.find('{'), path.find('}')) {
        path.replace_range(from..=until, "x");
    }
    path
}

/// Whether the answer is that of a missing permission.
fn is_refused(status: StatusCode, body: &Value) -> bool {
    let code = body["error"]["code"].as_str().unwrap_or_default();
    status == StatusCode::FORBIDDEN && ["AuthorizationFailed", "InsufficientAccessError", "OperationFailed"].contains(&code)
}

fn audience(house: &House, endpoint: &Endpoint) -> String {
    endpoint.dialect.audiences.first().map_or_else(|| house.base.clone(), |audience| (*audience).to_owned())
}

#[tokio::test]
async fn each_route_answers_each_role_as_the_table_says() {
    let house = House::new().await;
    let upload = crate::ingestion::rule(&house).await;
    let rule = upload.split('/').nth(2).unwrap();
    let (mut wrong, mut checked) = (Vec::new(), 0);
    for role in ROLE_DEFINITIONS {
        let holder = holder(&house, role).await;
        let mut tokens: HashMap<String, String> = HashMap::new();
        for endpoint in endpoints().filter(|endpoint| endpoint.role.is_assigned()) {
            let audience = audience(&house, endpoint);
            if !tokens.contains_key(&audience) {
                tokens.insert(audience.clone(), token(&house, &holder, &audience).await);
            }
            // Nothing of a real request succeeds here that later ones depend on: the objects do not exist, and bodies are empty.
            let method = Method::from_bytes(endpoint.method.as_str().as_bytes()).unwrap();
            let url = format!("{}{}?api-version=2023-01-01&query=print%201", house.base, sample(&house, rule, endpoint.path));
            let request = house.http.request(method, url).bearer_auth(&tokens[&audience]).json(&json!({}));
            let (status, body) = answer(request).await;
            let refused = is_refused(status, &body);
            checked += 1;
            if status == StatusCode::UNAUTHORIZED || refused == role.permits(endpoint.action) {
                wrong.push(format!("{}: {} {}: {status} {body}", role.name, endpoint.method, endpoint.path));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {checked}: {:#?}", wrong.len(), wrong);
    assert!(checked > 14 * 90, "{checked}");
}

#[tokio::test]
async fn a_role_holds_at_its_scope_and_below() {
    let house = House::new().await;
    let reader = register(&house, "scoped").await;
    let get = async |path: &str| {
        let token = token(&house, &reader, ARM).await;
        let url = format!("{}{path}?api-version=2022-10-01", house.base);
        answer(house.http.get(url).bearer_auth(token)).await.0.as_u16()
    };
    let tables = format!("{}/tables", house.workspace());
    assert_eq!(get(&tables).await, 403);
    let other = format!("{}/providers/Microsoft.Insights/dataCollectionRules/r", house.group());
    let acts = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
    assert_eq!(assign(&house, &other, acts, &reader.object_id).await.0, 201);
    assert_eq!(get(&tables).await, 403, "a neighbour's role does not help");
    assert_eq!(assign(&house, &house.workspace(), acts, &reader.object_id).await.0, 201);
    assert_eq!(get(&tables).await, 200);
    assert_eq!(get(&house.group()).await, 403, "above it");
}

#[tokio::test]
async fn definitions_permissions_and_filters_are_azures() {
    let house = House::new().await;
    let definitions = "/providers/Microsoft.Authorization/roleDefinitions";
    let get = async |path: String| call(&house, ARM, Method::GET, &path, None).await;
    let (_, all) = get(format!("{}{definitions}", house.group())).await;
    assert_eq!(all["value"].as_array().unwrap().len(), ROLE_DEFINITIONS.len());
    let (_, one) = get(format!("{definitions}?$filter=roleName%20eq%20'Microsoft%20Sentinel%20Responder'")).await;
    let found = &one["value"][0]["properties"];
    assert!(found["permissions"][0]["notActions"].as_array().unwrap().contains(&json!("Microsoft.SecurityInsights/incidents/*/Delete")));
    let id = one["value"][0]["name"].as_str().unwrap();
    let (status, same) = get(format!("{}{definitions}/{id}", house.group())).await;
    assert_eq!((status, &same), (200, &one["value"][0]));
    let (status, missing) = get(format!("{definitions}/{}", Uuid::nil())).await;
    assert_eq!((status, missing["error"]["code"].as_str()), (404, Some("RoleDefinitionDoesNotExist")));

    // The first application is Owner and Metrics Publisher at the root: two roles, of which one has actions of ours.
    let (_, mine) = get(format!("{}/providers/Microsoft.Authorization/permissions", house.workspace())).await;
    let mine = mine["value"].as_array().unwrap();
    assert!(mine.len() == 3 && mine.iter().any(|one| one["actions"] == json!(["*"])), "{mine:?}");

    let holder = register(&house, "flare").await;
    let publisher = server::METRICS_PUBLISHER;
    let (status, made, path) = assign(&house, &house.workspace(), publisher, &holder.object_id).await;
    assert_eq!(status, 201, "{made}");
    let list = async |scope: &str, filter: &str| {
        let (status, body) = get(format!("{scope}{ASSIGNMENTS}?$filter={filter}")).await;
        assert_eq!(status, 200, "{body}");
        body["value"].as_array().unwrap().len()
    };
    let of = format!("assignedTo('{}')", holder.object_id);
    assert_eq!(list(&house.group(), &of).await, 1, "below the scope");
    assert_eq!(list(&house.group(), &format!("atScope()%20and%20{of}")).await, 0);
    assert_eq!(list(&house.workspace(), &format!("atScope()%20and%20{of}")).await, 1);
    assert_eq!(list("", &format!("principalId%20eq%20'{}'", house.boot.object_id)).await, 2);
    let (status, body) = get(format!("{}{ASSIGNMENTS}?$filter=createdOn%20gt%20'x'", house.group())).await;
    assert_eq!((status, body["error"]["code"].as_str()), (400, Some("UnsupportedFilter")));

    // A condition would be ignored, so it is refused.
    let body = json!({ "properties": {
        "roleDefinitionId": publisher, "principalId": holder.object_id, "condition": "@Resource[x] StringEquals 'y'", "conditionVersion": "2.0",
    } });
    let other = format!("{}{ASSIGNMENTS}/{}", house.group(), Uuid::new_v4());
    let (status, found) = call(&house, ARM, Method::PUT, &other, Some(body)).await;
    assert_eq!((status, found["error"]["code"].as_str()), (400, Some("RoleAssignmentConditionNotSupported")), "{found}");
    assert_eq!(call(&house, ARM, Method::DELETE, &path, None).await.0, 200);
    assert_eq!(call(&house, ARM, Method::DELETE, &path, None).await.0, 204);
}

#[tokio::test]
async fn the_last_owner_stays() {
    let house = House::new().await;
    let (_, all) = call(&house, ARM, Method::GET, ASSIGNMENTS, None).await;
    let owner = all["value"]
        .as_array()
        .unwrap()
        .iter()
        // The administrator is Owner of the workspace only.
        .find(|each| {
            each["properties"]["roleDefinitionId"].as_str().unwrap().ends_with(server::OWNER) && each["properties"]["scope"] == "/"
        });
    let first = format!("{ASSIGNMENTS}/{}", owner.unwrap()["name"].as_str().unwrap());
    let (status, body) = call(&house, ARM, Method::DELETE, &first, None).await;
    assert_eq!((status, body["error"]["code"].as_str()), (409, Some("LastRbacAdminAssignment")), "{body}");
    let (_, apps) = call(&house, GRAPH, Method::GET, "/v1.0/applications", None).await;
    let app = format!("/v1.0/applications/{}", apps["value"][0]["id"].as_str().unwrap());
    assert_eq!(call(&house, GRAPH, Method::DELETE, &app, None).await.0, 409);

    let second = register(&house, "second").await;
    assert_eq!(assign(&house, &house.group(), server::OWNER, &second.object_id).await.0, 201);
    assert_eq!(call(&house, ARM, Method::DELETE, &first, None).await.0, 409, "an owner of a part is not enough");
    assert_eq!(assign(&house, "/", server::OWNER, &second.object_id).await.0, 201);
    assert_eq!(call(&house, ARM, Method::DELETE, &first, None).await.0, 200);

    // Removing an application removes its assignments, each with an entry in the audit trail.
    let entries = house.pipeline.store().audit().list(&store::AuditFilter::default(), None, 100).await.unwrap();
    let kinds: Vec<(&str, &str)> = entries.iter().map(|row| (row.entry.aggregate.as_str(), row.entry.action.as_str())).collect();
    assert_eq!(kinds[..3], [("role assignment", "deleted"), ("role assignment", "created"), ("role assignment", "created")], "{kinds:?}");
    house.pipeline.store().audit().verify().await.unwrap();
}

#[tokio::test]
async fn the_audit_trail_is_read_in_pages() {
    let house = House::new().await;
    for name in ["a", "b", "c"] {
        register(&house, name).await;
    }
    let get = async |query: &str| {
        let request = house.call(&house.base, Method::GET, &format!("/api/v1/audit?{query}")).await;
        let (status, body) = answer(request).await;
        (status.as_u16(), body)
    };
    let (_, created) = get("kind=app%20registration&action=created&limit=2").await;
    let names = |body: &Value| -> Vec<Value> {
        body["entries"].as_array().unwrap().iter().map(|entry| entry["changes"]["displayName"][1].clone()).collect()
    };
    assert_eq!(names(&created), ["c", "b"]);
    let (_, rest) = get(&format!("kind=app%20registration&action=created&limit=2&before={}", created["next"])).await;
    assert_eq!((names(&rest), &rest["next"]), (vec![json!("a"), json!("First application")], &Value::Null), "{rest}");
    let entry = &created["entries"][0];
    assert_eq!((&entry["actor"], &entry["address"]), (&json!(house.boot.client_id), &json!("127.0.0.1")));
    let (_, mine) = get(&format!("actor={}&limit=1000", house.boot.object_id)).await;
    assert_eq!(mine["entries"].as_array().unwrap().len(), 6, "{mine}");
    let (_, text) = get("limit=1000").await;
    assert!(!text.to_string().contains(&house.boot.client_secret), "a secret is in the trail");
    for (query, target) in [("limit=0", "limit"), ("from=yesterday", "from"), ("until=x", "until")] {
        let (status, body) = get(query).await;
        assert_eq!((status, body["error"]["target"].as_str()), (400, Some(target)), "{body}");
    }
    assert_eq!(get("whom=x").await.0, 400);
}
