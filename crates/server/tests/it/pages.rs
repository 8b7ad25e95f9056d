//! The links in incidents lead somewhere: each `IncidentUrl`, and `portal_url`, answers 200 without a token and shows no data.

use reqwest::Method;
use serde_json::json;
use uuid::Uuid;

use crate::house::{ARM, House, answer};

/// Status, content security policy and text of a page, opened as a browser does.
async fn open(house: &House, path: &str) -> (u16, String, String) {
    let response = house.http.get(format!("{}{path}", house.base)).send().await.unwrap();
    let policy = response.headers().get("content-security-policy").map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    (response.status().as_u16(), policy, response.text().await.unwrap())
}

#[tokio::test]
async fn every_incident_url_answers() {
    let house = House::new().await;
    for title in ["Guessing passwords", "Another"] {
        let id = Uuid::new_v4();
        let path = format!("{}/providers/Microsoft.SecurityInsights/incidents/{id}?api-version=2024-03-01", house.workspace());
        let incident = json!({ "properties": { "title": title, "severity": "High", "status": "New" } });
        let (status, body) = answer(house.call(ARM, Method::PUT, &path).await.json(&incident)).await;
        assert_eq!(status, 201, "{body}");
        let url = body["properties"]["incidentUrl"].as_str().unwrap();
        let link = url.strip_prefix("https://localhost").expect("the `portal_url` of these tests");
        let (status, policy, page) = open(&house, link).await;
        assert_eq!(status, 200, "{url}");
        assert!(page.contains(&format!("bartizan incidents show {id}")) && !page.contains(title) && !page.contains("<script"), "{page}");
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("unsafe"), "{policy}");
        assert!(page.contains("prefers-color-scheme:dark") && page.contains("width=device-width"));
    }
    // The page does not tell which incidents there are.
    assert_eq!(open(&house, &format!("/incidents/{}", Uuid::new_v4())).await.0, 200);
    assert_eq!(open(&house, "/incidents/%3Cscript%3E").await.0, 404);
    let (status, policy, page) = open(&house, "/").await;
    assert!(status == 200 && policy.contains("default-src 'none'") && page.contains("bartizan incidents list"), "{page}");
}
