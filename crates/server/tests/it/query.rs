//! The query API as used by stock clients. Formats: WIRE §4.

use std::sync::atomic::Ordering;

use model::{Span, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};

use crate::house::{House, LOGS, answer, noon};

fn path(house: &House) -> String {
    format!("/workspaces/{}/query", house.boot.cloud.workspace_id)
}

async fn post(house: &House, path: &str, body: Value) -> (u16, Value) {
    let (status, body) = answer(house.call(LOGS, Method::POST, path).await.json(&body)).await;
    (status.as_u16(), body)
}

#[tokio::test]
async fn tables_come_back_on_every_route() {
    let house = House::new().await;
    let path = path(&house);
    let tables = json!([{ "name": "PrimaryResult", "columns": [{ "name": "Name", "type": "string" }, { "name": "n", "type": "long" }], "rows": [["é", 42]] }]);
    // Python sends explicit nulls and an empty Prefer header.
    let python = json!({ "query": "T", "timespan": null, "workspaces": null });
    for path in [
        path.clone(),
        format!("/v1{path}"),
        format!("/v1{}/query", house.workspace()),
        format!("{}/query", house.workspace().to_uppercase()),
    ] {
        let (status, body) = answer(house.call(LOGS, Method::POST, &path).await.header("prefer", "").json(&python)).await;
        assert_eq!((status.as_u16(), &body["tables"]), (200, &tables), "{path}: {body}");
        assert!(body.get("statistics").is_none() && body.get("render").is_none() && body.get("error").is_none());
        let (status, body) = answer(house.call(LOGS, Method::GET, &format!("{path}?query=T%20%7C%20take%201")).await).await;
        assert_eq!((status.as_u16(), &body["tables"]), (200, &tables), "{path}");
    }
    let more =
        house.call(LOGS, Method::POST, &path).await.header("prefer", "wait=30,include-statistics=true,include-render=true").json(&python);
    let (_, body) = answer(more).await;
    assert!(body["statistics"]["query"]["executionTime"].is_number() && body["render"].is_object(), "{body}");
    assert_eq!(house.engine.asked.lock().unwrap().last().unwrap().limits.time, Some(Span::seconds(30)));
}

#[tokio::test]
async fn timespans_become_windows() {
    let house = House::new().await;
    let path = path(&house);
    let window = || house.engine.asked.lock().unwrap().last().unwrap().scope.window;
    assert_eq!(post(&house, &path, json!({ "query": "T" })).await.0, 200);
    assert_eq!(window(), None);
    assert_eq!(post(&house, &path, json!({ "query": "T", "timespan": "PT86400.0S" })).await.0, 200);
    assert_eq!(window().unwrap().from, noon() - Span::DAY);
    // Timespans of URL and body are intersected.
    assert_eq!(post(&house, &format!("{path}?timespan=PT1H"), json!({ "query": "T", "timespan": "P1D" })).await.0, 200);
    assert_eq!(window().unwrap().from, noon() - Span::HOUR);
    let interval = json!({ "query": "T", "timespan": "2026-01-01T00:00:00.000Z/2026-01-02T00:00:00.000Z" });
    assert_eq!(post(&house, &path, interval).await.0, 200);
    assert_eq!(window().unwrap().from, Timestamp::parse_iso("2026-01-01").unwrap());
    let (status, body) = post(&house, &path, json!({ "query": "T", "timespan": "one day" })).await;
    assert_eq!((status, body["error"]["code"].as_str()), (400, Some("BadArgumentError")), "{body}");
}

#[tokio::test]
async fn a_query_may_be_asked_at_another_time() {
    // Our own addition for `bartizan rules run --at`: the time of `now()`, to which a timespan is relative too.
    let house = House::new().await;
    let path = path(&house);
    let asked = || house.engine.asked.lock().unwrap().last().unwrap().scope.clone();
    let (status, body) = post(&house, &path, json!({ "query": "T", "timespan": "P1D", "now": "2026-01-02T00:00:00Z" })).await;
    assert_eq!(status, 200, "{body}");
    assert_eq!(asked().now, Timestamp::parse_iso("2026-01-02"));
    assert_eq!(asked().window.unwrap().from, Timestamp::parse_iso("2026-01-01").unwrap());
    for unset in [json!({ "query": "T" }), json!({ "query": "T", "now": null }), json!({ "query": "T", "now": "" })] {
        assert_eq!(post(&house, &path, unset).await.0, 200);
        assert_eq!(asked().now, None);
    }
    let (status, body) = post(&house, &path, json!({ "query": "T", "now": "yesterday" })).await;
    assert_eq!((status, body["error"]["code"].as_str()), (400, Some("BadArgumentError")), "{body}");
}

#[tokio::test]
async fn mistakes_are_told_with_their_place() {
    let house = House::new().await;
    let path = path(&house);
    let (status, body) = post(&house, &path, json!({ "query": "T\n| sumarize count()" })).await;
    assert_eq!((status, body["error"]["code"].as_str()), (400, Some("BadArgumentError")), "{body}");
    let inner = &body["error"]["innererror"];
    assert_eq!(
        (&inner["code"], &inner["line"], &inner["pos"], &inner["token"]),
        (&json!("SyntaxError"), &json!(2), &json!(2), &json!("sumarize")),
        "{body}"
    );
    assert!(body["error"]["correlationId"].is_string());
    let (_, body) = post(&house, &path, json!({ "query": "T | where Nope == 1" })).await;
    assert_eq!(body["error"]["innererror"]["code"], "SemanticError");
    assert!(body["error"]["innererror"]["innererror"]["message"].as_str().unwrap().contains("did you mean"), "{body}");
    for wrong in [json!({}), json!({ "query": " " }), json!({ "query": 5 }), json!({ "query": "T", "workspaces": ["other"] })] {
        let (status, body) = post(&house, &path, wrong).await;
        assert_eq!((status, body["error"]["code"].as_str()), (400, Some("BadArgumentError")), "{body}");
    }
    assert_eq!(post(&house, "/v1/workspaces/other/query", json!({ "query": "T" })).await.0, 404);
    assert_eq!(post(&house, &path, json!({ "query": "late" })).await.0, 504);
}

#[tokio::test]
async fn a_part_of_an_answer_says_so() {
    let house = House::new().await;
    let (status, body) = post(&house, &path(&house), json!({ "query": "half" })).await;
    assert_eq!(
        (status, body["error"]["code"].as_str(), body["tables"][0]["rows"].as_array().unwrap().len()),
        (200, Some("PartialError"), 1)
    );
    // The message of azure-sdk-for-python#32282.
    let text = body["error"]["details"][0]["innererror"]["message"].as_str().unwrap();
    assert_eq!(text, "The results of this query exceed the set limit of 64000000 bytes, so not all records were returned.");
}

#[tokio::test]
async fn a_batch_answers_each_query() {
    let house = House::new().await;
    let workspace = &house.boot.cloud.workspace_id;
    let item = |id: &str, query: &str, workspace: &str| json!({ "id": id, "headers": { "Prefer": "" }, "body": { "query": query, "timespan": null }, "method": "POST", "path": "/query", "workspace": workspace });
    let requests = json!({ "requests": [item("query-0", "T", workspace), item("query-1", "T | where Nope", workspace), item("query-2", "T", "other")] });
    for path in ["/v1/$batch", "/%24batch"] {
        let (status, body) = post(&house, path, requests.clone()).await;
        assert_eq!(status, 200, "{body}");
        let found: Vec<(&str, i64)> = body["responses"]
            .as_array()
            .unwrap()
            .iter()
            .map(|each| (each["id"].as_str().unwrap(), each["status"].as_i64().unwrap()))
            .collect();
        assert_eq!(found, [("query-0", 200), ("query-1", 400), ("query-2", 404)]);
        assert_eq!(body["responses"][0]["body"]["tables"][0]["rows"][0][1], 42);
        assert_eq!(body["responses"][1]["body"]["error"]["code"], "BadArgumentError");
    }
}

#[tokio::test]
async fn a_client_that_goes_away_stops_its_query() {
    let house = House::new().await;
    let request = house.call(LOGS, Method::POST, &path(&house)).await.json(&json!({ "query": "never" }));
    let running = tokio::spawn(request.send());
    while house.engine.asked.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    running.abort();
    while !house.engine.cancelled.load(Ordering::SeqCst) {
        tokio::task::yield_now().await;
    }
}
