//! The token endpoints, as called by stock clients. Expected formats and numbers: WIRE §1 and Entra's reference of error codes.

use reqwest::Method;
use serde_json::{Value, json};

use crate::house::{ARM, House, answer};

async fn ask(house: &House, tenant: &str, version: &str, form: &[(&str, &str)]) -> (u16, Value) {
    let (status, body) =
        answer(house.http.post(format!("{}/{tenant}/oauth2{version}/token?client-request-id=x", house.base)).form(form)).await;
    (status.as_u16(), body)
}

#[tokio::test]
async fn every_spelling_of_the_tenant_and_both_versions_give_tokens() {
    let house = House::new().await;
    let (id, secret) = (house.boot.client_id.as_str(), house.boot.client_secret.as_str());
    let v2 = [
        ("grant_type", "client_credentials"),
        ("client_id", id),
        ("client_secret", secret),
        ("scope", "https://monitor.azure.com//.default"),
        ("client_info", "1"),
    ];
    for (tenant, version) in [(house.boot.tenant.as_str(), "/v2.0"), ("ADFS", ""), ("bartizan.local", "/v2.0")] {
        let (status, body) = ask(&house, tenant, version, &v2).await;
        assert_eq!((status, &body["token_type"], &body["expires_in"]), (200, &json!("Bearer"), &json!(3599)), "{tenant}{version}: {body}");
    }
    let v1 = [("grant_type", "client_credentials"), ("client_id", id), ("client_secret", secret), ("resource", ARM)];
    let (status, body) = ask(&house, &house.boot.tenant, "", &v1).await;
    assert_eq!((status, &body["expires_in"], &body["resource"]), (200, &json!("3599"), &json!(ARM)), "{body}");
    // RFC 6749 §2.3.1: HTTP Basic instead of form fields.
    let basic = house.http.post(format!("{}/{}/oauth2/v2.0/token", house.base, house.boot.tenant)).basic_auth(id, Some(secret));
    let (status, body) =
        answer(basic.form(&[("grant_type", "client_credentials"), ("scope", "https://graph.microsoft.com/.default")])).await;
    assert_eq!(status, 200, "{body}");
}

#[tokio::test]
async fn refusals_have_entras_numbers() {
    let house = House::new().await;
    let (id, secret, tenant) = (house.boot.client_id.as_str(), house.boot.client_secret.as_str(), house.boot.tenant.as_str());
    let good = [
        ("grant_type", "client_credentials"),
        ("client_id", id),
        ("client_secret", secret),
        ("scope", "https://monitor.azure.com/.default"),
    ];
    let with = |name: &str, value: &'static str| good.map(|(key, old)| if key == name { (key, value) } else { (key, old) });
    let without = |name: &str| good.into_iter().filter(|(key, _)| *key != name).collect::<Vec<_>>();
    let cases: Vec<(&str, Vec<(&str, &str)>, u16, &str, u32)> = vec![
        (tenant, with("client_secret", "wrong").to_vec(), 401, "invalid_client", 7_000_215),
        (tenant, without("client_secret"), 401, "invalid_client", 7_000_216),
        (tenant, with("client_id", "99999999-0000-0000-0000-000000000000").to_vec(), 400, "unauthorized_client", 700_016),
        ("99999999-0000-0000-0000-000000000000", good.to_vec(), 400, "invalid_request", 90_002),
        (tenant, without("grant_type"), 400, "invalid_request", 900_144),
        (tenant, without("scope"), 400, "invalid_request", 900_144),
        (tenant, with("grant_type", "password").to_vec(), 400, "unsupported_grant_type", 70_003),
        (tenant, with("scope", "a/.default b/.default").to_vec(), 400, "invalid_scope", 70_011),
        (tenant, with("scope", "https://monitor.azure.com/Read").to_vec(), 400, "invalid_scope", 1_002_012),
        (tenant, with("scope", "https://elsewhere.example/.default").to_vec(), 400, "invalid_resource", 500_011),
    ];
    for (tenant, form, status, word, number) in cases {
        let (found, body) = ask(&house, tenant, "/v2.0", &form).await;
        assert_eq!((found, body["error"].as_str(), &body["error_codes"]), (status, Some(word), &json!([number])), "{body}");
        let description = body["error_description"].as_str().unwrap();
        assert!(
            description.starts_with(&format!("AADSTS{number}: "))
                && description.contains(" Trace ID: ")
                && description.contains(" Timestamp: 2026-11-20 12:00:00Z"),
            "{description}"
        );
        assert!(!body.to_string().contains(secret));
        for key in ["timestamp", "trace_id", "correlation_id", "error_uri"] {
            assert!(body[key].is_string(), "{key}: {body}");
        }
    }
}

#[tokio::test]
async fn discovery_leads_back_to_the_host_that_was_asked() {
    let house = House::new().await;
    for (host, tenant, version) in [("localhost", house.boot.tenant.as_str(), "/v2.0"), ("127.0.0.1", "adfs", "")] {
        let base = format!("https://{host}:{}", house.address.port());
        let (_, configuration) = answer(house.http.get(format!("{base}/{tenant}{version}/.well-known/openid-configuration"))).await;
        assert_eq!(configuration["token_endpoint"], format!("{base}/{tenant}/oauth2{version}/token"));
        // The announced endpoint exists: RFC 6749 §4.1.2.1 for its response without interactive sign-in.
        let authorize = format!("{}?response_type=code&client_id=x", configuration["authorization_endpoint"].as_str().unwrap());
        let (status, refused) = answer(house.http.get(authorize)).await;
        assert_eq!((status.as_u16(), &refused["error"]), (400, &json!("unsupported_response_type")));
        assert_eq!(configuration["issuer"], format!("{base}/{}/v2.0", house.boot.tenant));
        let (_, keys) = answer(house.http.get(configuration["jwks_uri"].as_str().unwrap())).await;
        assert_eq!((&keys["keys"][0]["kty"], &keys["keys"][0]["e"]), (&json!("RSA"), &json!("AQAB")));
    }
    let (status, instance) =
        answer(house.http.request(Method::GET, format!("{}/common/discovery/instance?api-version=1.1", house.base))).await;
    assert_eq!((status.as_u16(), &instance["metadata"][0]["preferred_network"]), (200, &json!(house.base.trim_start_matches("https://"))));
}
