//! Endpoints of the portal's query editor. Positions are in UTF-16 units, as in JavaScript: `'😀'.length` is 2.

use reqwest::Method;
use serde_json::{Value, json};

use crate::house::{ARM, House, answer};

async fn ask(house: &House, question: &str, body: Value) -> Value {
    let path = format!("/api/v1/kql/{question}");
    let (status, body) = answer(house.call(&house.base.clone(), Method::POST, &path).await.json(&body)).await;
    assert_eq!(status, 200, "{question}: {body}");
    body
}

async fn with_a_table() -> House {
    let house = House::new().await;
    let columns = json!([{ "name": "TimeGenerated", "type": "datetime" }, { "name": "Colour", "type": "string" }]);
    let body = json!({ "properties": { "schema": { "name": "Fire_CL", "columns": columns } } });
    let path = format!("{}/tables/Fire_CL?api-version=2022-10-01", house.workspace());
    let (status, body) = answer(house.call(ARM, Method::PUT, &path).await.json(&body)).await;
    assert!(status.is_success(), "{body}");
    house
}

#[tokio::test]
async fn the_query_editor_is_answered() {
    let house = with_a_table().await;
    let query = "Fire_CL | where Colour == '😀' and Colur != ''";
    let found = ask(&house, "diagnostics", json!({ "query": query })).await;
    let wrong = &found["diagnostics"][0];
    assert_eq!((wrong["code"].as_str(), &wrong["range"]), (Some("KQL0102"), &json!({ "start": 35, "end": 40 })), "{found}");
    assert!(wrong["help"].as_str().is_some_and(|help| help.contains("`Colour`")), "{found}");
    let found = ask(&house, "diagnostics", json!({ "query": "Fire_CL | project Colour" })).await;
    assert_eq!(found, json!({ "diagnostics": [], "columns": [{ "name": "Colour", "type": "string" }] }));

    let query = "print '😀'; Fire_CL | where Col";
    let found = ask(&house, "completion", json!({ "query": query, "position": query.encode_utf16().count() })).await;
    assert_eq!(found["replaces"], json!({ "start": 28, "end": 31 }));
    assert_eq!((&found["items"][0]["label"], &found["items"][0]["kind"]), (&json!("Colour"), &json!("column")), "{found}");

    let found = ask(&house, "hover", json!({ "query": "Fire_CL | take 1", "position": 3 })).await;
    assert!(found["markdown"].as_str().is_some_and(|text| text.contains("| Colour | string |")), "{found}");
    assert_eq!(ask(&house, "hover", json!({ "query": "", "position": 9 })).await, json!({ "range": null, "markdown": null }));

    let found = ask(&house, "signature", json!({ "query": "print datetime_add('day', ", "position": 26 })).await;
    assert_eq!((&found["activeParameter"], found["signatures"][0]["label"].is_string()), (&json!(1), true), "{found}");

    let found = ask(&house, "format", json!({ "query": "Fire_CL|take 1" })).await;
    assert_eq!(found, json!({ "query": "Fire_CL\n| take 1", "changed": true }));
    let open = json!({ "query": "print 'x" });
    assert_eq!(ask(&house, "format", open.clone()).await, json!({ "query": "print 'x", "changed": false }));

    let (status, schema) = answer(house.call(&house.base.clone(), Method::GET, "/api/v1/kql/schema").await).await;
    assert_eq!((status.as_u16(), &schema["Fire_CL"][1]), (200, &json!(["Colour", "string"])), "{schema}");
}

#[tokio::test]
async fn what_is_no_question_is_refused() {
    let house = House::new().await;
    for body in [json!({}), json!({ "query": "print 1" }), json!({ "query": 1, "position": 1 }), json!({ "query": "", "position": -1 })] {
        let (status, answered) = answer(house.call(&house.base.clone(), Method::POST, "/api/v1/kql/hover").await.json(&body)).await;
        assert_eq!(status, 400, "{body}: {answered}");
    }
    let long = json!({ "query": "x".repeat(2 << 20) });
    let (status, answered) = answer(house.call(&house.base.clone(), Method::POST, "/api/v1/kql/format").await.json(&long)).await;
    assert_eq!((status.as_u16(), answered["error"]["code"].as_str()), (400, Some("QueryTooLong")), "{answered}");
}
