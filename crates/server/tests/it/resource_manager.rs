//! The resource manager. Formats and codes: WIRE §2, §5 and the REST references of the providers.

use reqwest::Method;
use serde_json::{Value, json};

use crate::house::{ARM, House, answer};

async fn arm(house: &House, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
    let separator = if path.contains('?') { '&' } else { '?' };
    let mut request = house.call(ARM, method, &format!("{path}{separator}api-version=2023-03-11")).await;
    if let Some(body) = body {
        request = request.json(&body);
    }
    let (status, body) = answer(request).await;
    (status.as_u16(), body)
}

fn table(columns: Value) -> Option<Value> {
    Some(json!({ "properties": { "schema": { "name": "T_CL", "columns": columns }, "retentionInDays": 30 } }))
}

#[tokio::test]
async fn the_one_workspace_is_found_in_any_case() {
    let house = House::new().await;
    let (status, workspace) = arm(&house, Method::GET, &house.workspace().to_uppercase(), None).await;
    assert_eq!((status, &workspace["properties"]["customerId"]), (200, &json!(house.boot.cloud.workspace_id)), "{workspace}");
    let (_, list) = arm(&house, Method::GET, &format!("{}/providers/Microsoft.OperationalInsights/workspaces/", house.group()), None).await;
    assert_eq!(list["value"][0]["id"], house.workspace());
    for (path, code) in [
        ("/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups", "SubscriptionNotFound"),
        (&format!("/subscriptions/{}/resourceGroups/other", house.boot.cloud.subscription_id), "ResourceGroupNotFound"),
        (&format!("{}/providers/Microsoft.OperationalInsights/workspaces/other/tables", house.group()), "ResourceNotFound"),
    ] {
        let (status, body) = arm(&house, Method::GET, path, None).await;
        assert_eq!((status, body["error"]["code"].as_str()), (404, Some(code)), "{body}");
    }
    let (status, body) = answer(house.call(ARM, Method::GET, &house.workspace()).await).await;
    assert_eq!((status.as_u16(), &body["error"]["code"]), (400, &json!("MissingApiVersionParameter")));
}

#[tokio::test]
async fn changes_of_tables_are_in_the_audit_trail() {
    let house = House::new().await;
    let path = format!("{}/tables/T_CL", house.workspace());
    let made = table(json!([{ "name": "TimeGenerated", "type": "datetime" }]));
    assert_eq!(arm(&house, Method::PUT, &path, made).await.0, 200);
    let longer = json!({ "properties": { "retentionInDays": 90 } });
    assert_eq!(arm(&house, Method::PATCH, &path, Some(longer)).await.0, 200);
    assert_eq!(arm(&house, Method::DELETE, &path, None).await.0, 200);
    let store = house.pipeline.store();
    let kept: Vec<_> =
        store.audit().of("table", "T_CL").await.unwrap().into_iter().map(|entry| entry.changes["retention"].clone()).collect();
    assert_eq!(kept, [json!([null, "P30D"]), json!(["P30D", "P90D"]), Value::Null]);
    let actions = |aggregate: &'static str, id: &'static str| async move {
        let trail = store.audit().of(aggregate, id).await.unwrap();
        trail.into_iter().map(|entry| entry.action).collect::<Vec<_>>()
    };
    assert_eq!(actions("table", "T_CL").await, ["created", "changed", "deleted"]);
    store.audit().verify().await.unwrap();
}

/// Who changed what, for everything that the resource manager and Graph change.
#[tokio::test]
async fn changes_of_roles_searches_rules_and_applications_are_in_the_audit_trail() {
    let house = House::new().await;
    let store = house.pipeline.store();
    let entries = |aggregate: &'static str, id: String| async move { store.audit().of(aggregate, &id).await.unwrap() };

    let name = uuid::Uuid::new_v4().to_string();
    let role = format!("{}/providers/Microsoft.Authorization/roleAssignments/{name}", house.group());
    let reader = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
    let body = json!({ "properties": { "roleDefinitionId": reader, "principalId": house.boot.object_id } });
    assert_eq!(arm(&house, Method::PUT, &role, Some(body)).await.0, 201);
    assert_eq!(arm(&house, Method::DELETE, &role, None).await.0, 200);
    let trail = entries("role assignment", name).await;
    assert_eq!(trail.iter().map(|entry| entry.action.as_str()).collect::<Vec<_>>(), ["created", "deleted"]);
    assert_eq!(trail[0].changes["principalId"], json!([null, house.boot.object_id]));
    assert_eq!(trail[1].changes["principalId"], json!([house.boot.object_id, null]));

    let search = format!("{}/savedSearches/hunt", house.workspace());
    let body = json!({ "properties": { "category": "Hunting", "displayName": "Hunt", "query": "T" } });
    let (status, made) = arm(&house, Method::PUT, &search, Some(body)).await;
    assert_eq!(status, 200, "{made}");
    assert_eq!(arm(&house, Method::DELETE, &search, None).await.0, 200);
    let trail = entries("saved search", "hunt".to_owned()).await;
    assert_eq!(trail.iter().map(|entry| entry.action.as_str()).collect::<Vec<_>>(), ["created", "deleted"]);
    assert_eq!(trail[0].changes["query"], json!([null, "T"]));

    crate::ingestion::rule(&house).await;
    let rule = format!("{}/providers/Microsoft.Insights/dataCollectionRules/r", house.group());
    let (_, made) = arm(&house, Method::GET, &rule, None).await;
    let id = made["properties"]["immutableId"].as_str().unwrap().to_owned();
    assert_eq!(arm(&house, Method::DELETE, &rule, None).await.0, 200);
    let trail = entries("data collection rule", id).await;
    assert_eq!(trail.iter().map(|entry| entry.action.as_str()).collect::<Vec<_>>(), ["created", "deleted"], "under one id");

    const GRAPH: &str = "https://graph.microsoft.com";
    let (status, app) = answer(house.call(GRAPH, Method::POST, "/v1.0/applications").await.json(&json!({ "displayName": "Flare" }))).await;
    assert_eq!(status, 201, "{app}");
    let path = format!("/v1.0/applications/{}", app["id"].as_str().unwrap());
    let (status, added) = answer(house.call(GRAPH, Method::POST, &format!("{path}/addPassword")).await.json(&json!({}))).await;
    assert_eq!(status, 200, "{added}");
    let removal = json!({ "keyId": added["keyId"] });
    assert_eq!(answer(house.call(GRAPH, Method::POST, &format!("{path}/removePassword")).await.json(&removal)).await.0, 204);
    assert_eq!(answer(house.call(GRAPH, Method::DELETE, &path).await).await.0, 204);
    let trail = entries("app registration", app["appId"].as_str().unwrap().to_owned()).await;
    assert_eq!(
        trail.iter().map(|entry| entry.action.as_str()).collect::<Vec<_>>(),
        ["created", "secret added", "secret removed", "deleted"]
    );
    let secret = added["secretText"].as_str().unwrap();
    assert!(trail.iter().all(|entry| !entry.changes.to_string().contains(secret)), "no entry holds the secret");
    assert!(trail.iter().all(|entry| entry.actor.via == "Graph"));
    store.audit().verify().await.unwrap();
}

#[tokio::test]
async fn a_change_that_the_audit_trail_lacks_is_a_condition() {
    let house = House::new().await;
    let token = house.token(ARM).await;
    house.pipeline.store().close().await;
    let url = format!("{}{}/tables/T_CL?api-version=2023-03-11", house.base, house.workspace());
    let body = table(json!([{ "name": "TimeGenerated", "type": "datetime" }]));
    let (status, answered) = answer(house.http.put(url).bearer_auth(token).json(&body)).await;
    assert!(status.is_server_error(), "{status} {answered}");
    let conditions = house.health.conditions();
    let condition = conditions.iter().find(|condition| condition.name == "audit-entry-missing").unwrap();
    assert_eq!(condition.subject, "table T_CL");
    assert!(condition.detail.contains("created") && !condition.open, "{condition:?}");
}

#[tokio::test]
async fn tables_are_made_read_listed_and_removed() {
    let house = House::new().await;
    let path = format!("{}/tables/T_CL", house.workspace());
    for wrong in [
        json!([]),
        json!([{ "name": "A", "type": "string" }]),
        json!([{ "name": "TimeGenerated", "type": "datetime" }, { "name": "a b", "type": "int" }]),
    ] {
        let (status, body) = arm(&house, Method::PUT, &path, table(wrong)).await;
        assert_eq!((status, body["error"]["code"].as_str()), (400, Some("InvalidParameter")), "{body}");
    }
    let (status, made) = arm(
        &house,
        Method::PUT,
        &path,
        table(json!([{ "name": "TimeGenerated", "type": "datetime" }, { "name": "Url", "type": "string" }])),
    )
    .await;
    assert_eq!((status, made["name"].as_str(), &made["properties"]["retentionInDays"]), (200, Some("T_CL"), &json!(30)), "{made}");
    assert_eq!(
        made["properties"]["schema"]["columns"][0],
        json!({ "name": "TimeGenerated", "type": "dateTime", "isHidden": false, "isDefaultDisplay": false })
    );
    for name in ["A_CL", "B_CL"] {
        let schema = json!({ "properties": { "schema": { "name": name, "columns": [{ "name": "TimeGenerated", "type": "datetime" }] } } });
        assert_eq!(arm(&house, Method::PUT, &format!("{}/tables/{name}", house.workspace()), Some(schema)).await.0, 200);
    }
    // Paging: the link is absolute, and the last page has none.
    let mut next = format!("{}/tables?$top=2", house.workspace());
    let mut names = Vec::new();
    loop {
        let (status, page) = arm(&house, Method::GET, &next, None).await;
        assert_eq!(status, 200, "{page}");
        names.extend(page["value"].as_array().unwrap().iter().map(|table| table["name"].as_str().unwrap().to_owned()));
        match page["nextLink"].as_str() {
            Some(link) => next = link.strip_prefix(&house.base).unwrap().to_owned(),
            None => break,
        }
    }
    // A table of Azure is there before it has rows; a custom one is not, though its columns are published.
    assert_eq!(names, ["A_CL", "B_CL", "StorageBlobLogs", "T_CL"]);
    let one = |name: &str| format!("{}/tables/{name}", house.workspace());
    let (status, view) = arm(&house, Method::GET, &one("StorageBlobLogs"), None).await;
    assert_eq!((status, &view["properties"]["schema"]["tableType"]), (200, &json!("Microsoft")), "{view}");
    assert_eq!(arm(&house, Method::GET, &one("storagebloblogs"), None).await.0, 404);
    assert_eq!(arm(&house, Method::GET, &one("Okta_CL"), None).await.0, 404);
    let bare = json!({ "properties": { "retentionInDays": 30 } });
    assert_eq!(arm(&house, Method::PUT, &one("Okta_CL"), Some(bare)).await.0, 400, "a new table needs columns");
    assert_eq!(arm(&house, Method::DELETE, &path, None).await.0, 200);
    assert_eq!(arm(&house, Method::DELETE, &path, None).await.0, 204);
    assert_eq!(arm(&house, Method::GET, &path, None).await.0, 404);
}

#[tokio::test]
async fn rules_keep_their_immutable_id_and_wrong_ones_are_explained() {
    let house = House::new().await;
    crate::ingestion::rule(&house).await;
    let path = format!("{}/providers/Microsoft.Insights/dataCollectionRules/r", house.group());
    let (_, first) = arm(&house, Method::GET, &path, None).await;
    let id = first["properties"]["immutableId"].as_str().unwrap();
    assert!(id.len() == 36 && id.starts_with("dcr-"), "{id}");
    // Clients send back what they read.
    let (status, again) = arm(&house, Method::PUT, &path.to_uppercase(), Some(first.clone())).await;
    assert_eq!(
        (status, &again["properties"]["immutableId"], &again["name"]),
        (200, &first["properties"]["immutableId"], &json!("r")),
        "{again}"
    );
    let (_, list) = arm(
        &house,
        Method::GET,
        &format!("/subscriptions/{}/providers/Microsoft.Insights/dataCollectionRules", house.boot.cloud.subscription_id),
        None,
    )
    .await;
    assert_eq!(list["value"].as_array().unwrap().len(), 1);

    let with = |pointer: &str, value: Value| {
        let mut body = first.clone();
        *body.pointer_mut(pointer).unwrap() = value;
        Some(body)
    };
    // Format from Azure/Azure-Sentinel#12073: `InvalidPayload` around the code, the flow as its target.
    let kql = "/properties/dataFlows/0/transformKql";
    let flow = "properties.dataFlows[0]";
    for (pointer, value, code, target) in [
        (kql, json!("source | where Nope == 1"), "InvalidTransformQuery", flow),
        (kql, json!("source | project TimeGenerated, Number=text"), "InvalidTransformOutput", flow),
        (kql, json!("source | project Number=toint(1)"), "InvalidTransformOutput", flow),
        (kql, json!("source | summarize TimeGenerated=max(TimeGenerated)"), "InvalidTransformQuery", flow),
        (kql, json!("source | extend Number = coalesce(1, 2)"), "InvalidTransformQuery", flow),
        ("/properties/dataFlows/0/outputStream", json!("Custom-Missing_CL"), "InvalidOutputTable", flow),
        ("/properties/dataFlows/0/streams", json!(["Custom-Other"]), "InvalidProperty", "properties.dataFlows[0].streams"),
        (
            "/properties/streamDeclarations/Custom-T_CL/columns/0/type",
            json!("date"),
            "InvalidProperty",
            "properties.streamDeclarations.Custom-T_CL.columns[0].type",
        ),
        (
            "/properties/destinations/logAnalytics/0/workspaceResourceId",
            json!("/x"),
            "InvalidProperty",
            "properties.destinations.logAnalytics[0].workspaceResourceId",
        ),
    ] {
        let (status, body) = arm(&house, Method::PUT, &path, with(pointer, value)).await;
        let (error, detail) = (&body["error"], &body["error"]["details"][0]);
        assert_eq!((status, error["code"].as_str(), error["target"].as_str()), (400, Some("InvalidPayload"), Some(target)), "{body}");
        assert_eq!((detail["code"].as_str(), detail["target"].as_str()), (Some(code), Some(target)), "{body}");
    }
    // `lenient` accepts what can run, and is returned on read.
    for (pointer, value, status) in [
        (kql, json!("source | summarize TimeGenerated=max(TimeGenerated)"), 200),
        (kql, json!("source | project Number=toint(1)"), 200),
        (kql, json!("source | summarize n=count()"), 400),
        (kql, json!("source | where Nope == 1"), 400),
    ] {
        let mut body = with(pointer, value).unwrap();
        body["properties"]["lenient"] = json!(true);
        let (found, answer) = arm(&house, Method::PUT, &path, Some(body)).await;
        assert_eq!(found, status, "{answer}");
        assert!(status != 200 || answer["properties"]["lenient"] == json!(true), "{answer}");
    }
    let (_, body) = arm(&house, Method::PUT, &path, with("/properties/dataFlows/0/transformKql", json!("source\n| where Nope == 1"))).await;
    assert_eq!((&body["error"]["innererror"]["line"], &body["error"]["innererror"]["pos"]), (&json!(2), &json!(8)), "{body}");
    assert_eq!(arm(&house, Method::DELETE, &path, None).await.0, 200);
    assert_eq!(arm(&house, Method::DELETE, &path, None).await.0, 204);
}

#[tokio::test]
async fn roles_are_given_to_principals_that_exist() {
    let house = House::new().await;
    let path = |name: &str| format!("{}/providers/Microsoft.Authorization/roleAssignments/{name}", house.group());
    let body = |role: &str, principal: &str| Some(json!({ "properties": { "roleDefinitionId": role, "principalId": principal } }));
    let reader = "acdd72a7-3385-48ef-bd42-f606fba81ae7";
    let name = uuid::Uuid::new_v4().to_string();
    assert_eq!(arm(&house, Method::PUT, &path(&name), body(reader, &house.boot.object_id)).await.0, 201);
    assert_eq!(arm(&house, Method::PUT, &path(&name), body(reader, &house.boot.object_id)).await.0, 200);
    for (name, role, principal, status, code) in [
        (name.as_str(), server::OWNER, house.boot.object_id.as_str(), 409, "RoleAssignmentUpdateNotPermitted"),
        ("not-a-guid", reader, &house.boot.object_id, 400, "InvalidRoleAssignmentId"),
        (&uuid::Uuid::new_v4().to_string(), reader, &house.boot.client_id, 400, "PrincipalNotFound"),
        (&uuid::Uuid::new_v4().to_string(), "nonsense", &house.boot.object_id, 400, "RoleDefinitionDoesNotExist"),
    ] {
        let (found, answer) = arm(&house, Method::PUT, &path(name), body(role, principal)).await;
        assert_eq!((found, answer["error"]["code"].as_str()), (status, Some(code)), "{answer}");
    }
    let all = format!(
        "{}/providers/Microsoft.Authorization/roleAssignments?$filter=principalId%20eq%20'{}'",
        house.group(),
        house.boot.object_id
    );
    assert_eq!(arm(&house, Method::GET, &all, None).await.1["value"].as_array().unwrap().len(), 3);
    assert_eq!(arm(&house, Method::GET, &path(&name), None).await.1["properties"]["principalId"], house.boot.object_id);
}
