//! Properties of all routes.

use std::collections::HashSet;

use reqwest::Method;
use server::{Role, endpoints};

use crate::house::House;

/// A path that matches the pattern and names existing resources, so that only the missing token can cause the rejection.
fn sample(house: &House, pattern: &str) -> String {
    let cloud = &house.boot.cloud;
    let mut path = pattern.replace(['[', ']'], "");
    for (parameter, value) in [
        ("{subscription}", cloud.subscription_id.as_str()),
        ("{group}", &cloud.resource_group),
        ("{workspace}", &cloud.workspace_name),
        ("{tenant}", &house.boot.tenant),
        ("{scope*}", "subscriptions/x"),
        ("{resource*}", "x/y"),
    ] {
        path = path.replace(parameter, value);
    }
    while let (Some(from), Some(until)) = (path.find('{'), path.find('}')) {
        path.replace_range(from..=until, "x");
    }
    path
}

#[tokio::test]
async fn every_route_rejects_requests_without_a_token() {
    let house = House::new().await;
    let mut open = Vec::new();
    for endpoint in endpoints() {
        if let Role::Open(why) = endpoint.role {
            open.push(format!("{} {}: {why}", endpoint.method, endpoint.path));
            continue;
        }
        let method = Method::from_bytes(endpoint.method.as_str().as_bytes()).unwrap();
        let url = format!("{}{}?api-version=2023-01-01", house.base, sample(&house, endpoint.path));
        for header in [None, Some("Basic eDp5"), Some("Bearer "), Some("Bearer x.y.z")] {
            let mut request = house.http.request(method.clone(), &url).body("{}");
            if let Some(value) = header {
                request = request.header("authorization", value);
            }
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), 401, "{method} {url} with {header:?} must be refused");
            assert!(response.headers().contains_key("www-authenticate"), "{method} {url}");
        }
    }
    // The list is part of the test, so that opening another route is a deliberate change.
    let paths: Vec<&str> = open.iter().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(
        paths,
        [
            "GET /healthz",
            "GET /incidents/{id}",
            "GET /metrics",
            "POST /api/v1/oncall/inbound/sms",
            "POST /api/v1/oncall/inbound/status",
            "POST /api/v1/oncall/inbound/voice",
            "GET /readyz",
            "GET /",
            "GET /oncall/calendars/schedules/{token}/{file}",
            "GET /oncall/calendars/users/{token}/{file}",
            "POST /oncall/heartbeats/{name}/{token}",
            "GET /oncall/answer/{token}",
            "POST /oncall/answer/{token}",
            "POST /api/v1/session",
            "GET /{tenant}/oauth2[/v2.0]/authorize",
            "POST /{tenant}/oauth2[/v2.0]/token",
            "GET /{tenant}[/v2.0]/.well-known/openid-configuration",
            "GET /{tenant}/discovery[/v2.0]/keys",
            "GET /common/discovery/instance",
        ],
        "open routes: {open:#?}"
    );
}

#[test]
fn routes_are_unique_and_described() {
    let mut seen = HashSet::new();
    for endpoint in endpoints() {
        assert!(
            seen.insert((endpoint.method.clone(), endpoint.path.to_ascii_lowercase())),
            "{} {} is there twice",
            endpoint.method,
            endpoint.path
        );
        let summary = endpoint.summary;
        assert!(summary.len() > 10 && summary.starts_with(char::is_uppercase) && !summary.ends_with('.'), "{}: `{summary}`", endpoint.path);
    }
    assert!(seen.len() > 20);
}

#[tokio::test]
async fn unknown_paths_and_methods_are_told_apart() {
    let house = House::new().await;
    assert_eq!(house.http.get(format!("{}/nothing/here", house.base)).send().await.unwrap().status(), 404);
    let other = house.http.delete(format!("{}/healthz", house.base)).send().await.unwrap();
    assert_eq!((other.status().as_u16(), other.headers()["allow"].to_str().unwrap()), (405, "GET"));
    let health = house.http.get(format!("{}/healthz", house.base)).header("x-ms-client-request-id", "abc").send().await.unwrap();
    assert_eq!((health.status().as_u16(), health.headers()["x-ms-client-request-id"].to_str().unwrap()), (200, "abc"));
    assert!(house.http.get(format!("{}/metrics", house.base)).send().await.unwrap().text().await.unwrap().contains("bartizan_up"));
}
