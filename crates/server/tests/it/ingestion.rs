//! Logs Ingestion as used by stock clients. Statuses, codes and texts: WIRE §2.

use std::io::Write;
use std::sync::atomic::Ordering;

use reqwest::Method;
use serde_json::json;
use store::{AppRegistration, ClientSecret};

use crate::house::{ARM, House, MONITOR, answer};

/// Creates a table and a rule; returns the upload path.
pub async fn rule(house: &House) -> String {
    let table = format!("{}/tables/T_CL?api-version=2022-10-01", house.workspace());
    let body = json!({ "properties": { "schema": { "name": "T_CL", "columns": [{ "name": "TimeGenerated", "type": "datetime" }, { "name": "Number", "type": "int" }] } } });
    assert_eq!(answer(house.call(ARM, Method::PUT, &table).await.json(&body)).await.0, 200);
    let path = format!("{}/providers/Microsoft.Insights/dataCollectionRules/r?api-version=2023-03-11", house.group());
    let body = json!({ "location": "local", "kind": "Direct", "properties": {
        "streamDeclarations": { "Custom-T_CL": { "columns": [{ "name": "TimeGenerated", "type": "datetime" }] } },
        "destinations": { "logAnalytics": [{ "workspaceResourceId": house.workspace(), "name": "la" }] },
        "dataFlows": [{ "streams": ["Custom-T_CL"], "destinations": ["la"], "transformKql": "source", "outputStream": "Custom-T_CL" }],
    } });
    let (status, rule) = answer(house.call(ARM, Method::PUT, &path).await.json(&body)).await;
    assert_eq!(status, 201, "{rule}");
    assert_eq!(rule["properties"]["endpoints"]["logsIngestion"], house.base);
    format!("/dataCollectionRules/{}/streams/Custom-T_CL", rule["properties"]["immutableId"].as_str().unwrap())
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[tokio::test]
async fn batches_are_acknowledged_with_an_empty_204() {
    let house = House::new().await;
    let path = rule(&house).await;
    // JavaScript escapes the parameter's name; Vector's health check sends an empty array.
    let mut correlations = Vec::new();
    for (query, body, id) in [("?api%2Dversion=2023-01-01", "[{\"a\":1}]", "one"), ("?api-version=2021-11-01-preview", "[]", "two")] {
        let request = house.call(MONITOR, Method::POST, &format!("{path}{query}")).await;
        let response = request
            .header("content-type", "application/json")
            .header("content-encoding", "gzip")
            .header("x-ms-client-request-id", id)
            .body(gzip(body.as_bytes()))
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 204);
        assert!(response.headers().contains_key("x-ms-request-id"));
        correlations.push(response.headers()["x-ms-correlation-request-id"].to_str().unwrap().to_owned());
        assert!(response.bytes().await.unwrap().is_empty());
    }
    let uploads = house.pipeline.uploads.lock().unwrap();
    assert_eq!((&uploads[0].body[..], uploads[0].stream.as_str()), (&b"[{\"a\":1}]"[..], "Custom-T_CL"));
    // The id in the response equals the one in dead letters.
    assert_eq!(uploads.iter().map(|upload| upload.correlation_id.to_string()).collect::<Vec<_>>(), correlations);
    assert!(uploads[0].key.is_some() && uploads[0].key != uploads[1].key);
}

#[tokio::test]
async fn refusals_carry_their_code_in_a_header() {
    let house = House::new().await;
    let path = rule(&house).await;
    let send = async |path: &str, body: Vec<u8>| {
        let request = house.call(MONITOR, Method::POST, &format!("{path}?api-version=2023-01-01")).await;
        let response = request.header("content-type", "application/json").body(body).send().await.unwrap();
        let code = response.headers().get("x-ms-error-code").map(|value| value.to_str().unwrap().to_owned());
        let retry = response.headers().get("retry-after").map(|value| value.to_str().unwrap().to_owned());
        (response.status().as_u16(), code.unwrap_or_default(), retry)
    };
    assert_eq!(send("/dataCollectionRules/dcr-0/streams/Custom-T_CL", b"[]".to_vec()).await, (404, "NotFound".into(), None));
    assert_eq!(send(&path, b"{}".to_vec()).await, (400, "InvalidRequestBody".into(), None));
    house.pipeline.busy.store(true, Ordering::SeqCst);
    assert_eq!(send(&path, b"[]".to_vec()).await, (429, "TooManyRequests".into(), Some("7".into())));
    let no_version = house.call(MONITOR, Method::POST, &path).await.json(&json!([]));
    assert_eq!(answer(no_version).await.1["error"]["code"], "MissingApiVersionParameter");
}

#[tokio::test]
async fn only_publishers_of_the_rule_may_send() {
    let house = House::new().await;
    let path = rule(&house).await;
    // A second application without roles.
    let secret = model::Secret::new("a secret that a person chose".to_owned());
    let app = AppRegistration {
        app_id: "22222222-0000-0000-0000-000000000000".into(),
        object_id: "33333333-0000-0000-0000-000000000000".into(),
        display_name: "shipper".into(),
        created: crate::house::noon(),
        secrets: vec![ClientSecret {
            key_id: "1".into(),
            hash: server::identity::SecretHash::of_chosen(&secret).unwrap().as_stored().into(),
            expires: None,
        }],
        certificates: vec![],
    };
    let mut change = house.pipeline.store().begin().await.unwrap();
    change.put_app_registration(&app).await.unwrap();
    change.commit().await.unwrap();
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", app.app_id.as_str()),
        ("client_secret", secret.reveal()),
        ("scope", "https://monitor.azure.com/.default"),
    ];
    let (_, token) = answer(house.http.post(format!("{}/adfs/oauth2/token", house.base)).form(&form)).await;
    let upload = || {
        house
            .http
            .post(format!("{}{path}?api-version=2023-01-01", house.base))
            .bearer_auth(token["access_token"].as_str().unwrap())
            .json(&json!([]))
    };
    let (status, body) = answer(upload()).await;
    assert_eq!((status.as_u16(), &body["error"]["code"]), (403, &json!("OperationFailed")), "{body}");
    let message = body["error"]["message"].as_str().unwrap();
    assert!(
        message.starts_with(
            "The authentication token provided does not have access to ingest data for the data collection rule with immutable Id 'dcr-"
        ),
        "{message}"
    );

    // A role assigned at the rule through the resource manager takes effect at once, and so does its removal.
    let assignment = format!(
        "{}/providers/Microsoft.Insights/dataCollectionRules/R/providers/Microsoft.Authorization/roleAssignments/{}?api-version=2022-04-01",
        house.group(),
        uuid::Uuid::new_v4()
    );
    let body = json!({ "properties": { "roleDefinitionId": "/x/roleDefinitions/3913510d-42f4-4e42-8a64-420c390055eb", "principalId": app.object_id } });
    let (status, given) = answer(house.call(ARM, Method::PUT, &assignment).await.json(&body)).await;
    assert_eq!(status, 201, "{given}");
    assert_eq!(answer(upload()).await.0, 204);
    assert_eq!(answer(house.call(ARM, Method::DELETE, &assignment).await).await.0, 200);
    assert_eq!(answer(upload()).await.0, 403);
}
