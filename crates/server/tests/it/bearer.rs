//! Bearer tokens: each kind of invalid token has its own response, and the service continues.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use model::Span;
use reqwest::Method;
use serde_json::Value;

use crate::house::{ARM, House, LOGS, MONITOR, answer};

async fn with_token(house: &House, path: &str, token: &str) -> (u16, Value, bool) {
    let response = house.http.get(format!("{}{path}", house.base)).bearer_auth(token).send().await.unwrap();
    let challenged = response.headers().get("www-authenticate").is_some_and(|value| value.to_str().unwrap().starts_with("Bearer "));
    let status = response.status().as_u16();
    (status, response.json().await.unwrap(), challenged)
}

#[tokio::test]
async fn every_wrong_token_has_its_own_answer() {
    let house = House::new().await;
    let good = house.token(ARM).await;
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (_, payload) = message.split_once('.').unwrap();
    let none = format!("{}.{payload}.", BASE64_URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#));
    // A changed first character: still base64, but an invalid signature.
    let forged = format!("{message}.{}{}", if signature.starts_with('A') { 'B' } else { 'A' }, &signature[1..]);
    let cases = [
        (house.token(MONITOR).await, "InvalidAuthenticationTokenAudience", "meant for 'https://monitor.azure.com'"),
        (none, "InvalidAuthenticationToken", "'none'"),
        (forged, "InvalidAuthenticationToken", "signature"),
        ("rubbish".to_owned(), "InvalidAuthenticationToken", "three parts"),
    ];
    let path = format!("{}?api-version=2022-10-01", house.workspace());
    for (token, code, word) in cases {
        let (status, body, challenged) = with_token(&house, &path, &token).await;
        assert_eq!((status, body["error"]["code"].as_str(), challenged), (401, Some(code), true), "{body}");
        assert!(body["error"]["message"].as_str().unwrap().contains(word), "{body}");
    }
    assert_eq!(with_token(&house, &path, &good).await.0, 200);
    house.clock.advance(Span::HOUR);
    let (status, body, challenged) = with_token(&house, &path, &good).await;
    assert_eq!((status, body["error"]["code"].as_str(), challenged), (401, Some("ExpiredAuthenticationToken"), true), "{body}");
    assert_eq!(with_token(&house, &path, &house.token(ARM).await).await.0, 200);
}

#[tokio::test]
async fn audiences_are_those_of_the_dialect_and_our_own() {
    let house = House::new().await;
    let query = format!("/v1/workspaces/{}/query?query=T", house.boot.cloud.workspace_id);
    // WIRE §0: some stock clients request a token for the endpoint they were given.
    let own = house.base.clone();
    for (audience, path, status) in [
        (LOGS, query.as_str(), 200),
        ("https://api.loganalytics.azure.com", &query, 200),
        (&own, &query, 200),
        // WIRE §4: Log Analytics responds with 403, not 401, to a token for another audience.
        (ARM, &query, 403),
        ("https://management.core.windows.net/", "/subscriptions?api-version=2022-12-01", 200),
        (&own, "/subscriptions?api-version=2022-12-01", 200),
        (&own, "/api/v1/version", 200),
        (ARM, "/api/v1/version", 401),
    ] {
        let (found, body) = answer(house.call(audience, Method::GET, path).await).await;
        assert_eq!(found.as_u16(), status, "{audience} {path}: {body}");
    }
}
