//! Links, issuers and audiences use the server's own names, not those of the request.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::house::{ARM, House, answer};
use crate::listener::connect;

#[tokio::test]
async fn a_foreign_host_header_changes_no_link() {
    let house = House::new().await;
    let tenant = house.boot.tenant.clone();
    for host in ["evil.example", "evil.example:8443", "localhost:1", "localhost", "user@localhost"] {
        let ask = |path: String| house.http.get(format!("{}{path}", house.base)).header("host", host);
        let (status, configuration) = answer(ask(format!("/{tenant}/v2.0/.well-known/openid-configuration"))).await;
        assert_eq!(status, 200, "{host}");
        for (name, value) in configuration.as_object().unwrap() {
            assert!(
                !value.as_str().is_some_and(|text| text.starts_with("https://") && !text.starts_with(&house.base)),
                "{host}: {name} {value}"
            );
        }
        assert_eq!(configuration["issuer"], format!("{}/{tenant}/v2.0", house.base));
        let (_, instance) = answer(ask("/common/discovery/instance?api-version=1.1".to_owned())).await;
        assert!(!instance.to_string().contains("evil") && !instance.to_string().contains("user@"), "{instance}");
        let refused = ask("/api/v1/version".to_owned()).send().await.unwrap();
        let challenge = refused.headers()["www-authenticate"].to_str().unwrap();
        assert!(challenge.contains(&format!("authorization_uri=\"{}/\"", house.base)), "{challenge}");
    }
    // A page of a list.
    let path = "/subscriptions/{s}/resourceGroups/{g}/providers/Microsoft.Authorization/roleDefinitions";
    let path = path.replace("{s}", &house.boot.cloud.subscription_id).replace("{g}", &house.boot.cloud.resource_group);
    let page = house.call(ARM, Method::GET, &format!("{path}?api-version=2022-04-01&$top=1")).await.header("host", "evil.example");
    let (_, page) = answer(page).await;
    assert!(page["nextLink"].as_str().unwrap().starts_with(&house.base), "{page}");
    // A token requested under a foreign host name has our issuer and is valid.
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", house.boot.client_id.as_str()),
        ("client_secret", house.boot.client_secret.as_str()),
        ("scope", "https://api.loganalytics.io/.default"),
    ];
    let asked = house.http.post(format!("{}/{tenant}/oauth2/v2.0/token", house.base)).header("host", "evil.example").form(&form);
    let (_, token) = answer(asked).await;
    let query = house.http.get(format!("{}/v1/workspaces/{}/query?query=T", house.base, house.boot.cloud.workspace_id));
    assert_eq!(answer(query.bearer_auth(token["access_token"].as_str().unwrap())).await.0, 200);
}

/// Sends a request whose path an HTTP client library would normalise.
async fn raw(house: &House, method: &str, path: &str, token: &str, body: &Value) -> (u16, Value) {
    let mut stream = connect(house, "localhost", b"http/1.1").await.unwrap();
    let body = body.to_string();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let status = answer[9..12].parse().unwrap();
    (status, serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap_or_default())
}

#[tokio::test]
async fn a_scope_is_what_it_says() {
    let house = House::new().await;
    let token = house.token(ARM).await;
    let (subscription, group) = (&house.boot.cloud.subscription_id, house.group());
    let role = json!({ "properties": { "roleDefinitionId": "/x/roleDefinitions/acdd72a7-3385-48ef-bd42-f606fba81ae7", "principalId": house.boot.object_id } });
    let tail =
        |name: u128| format!("/providers/Microsoft.Authorization/roleAssignments/{}?api-version=2022-04-01", uuid::Uuid::from_u128(name));
    let wrong = [
        format!("{group}/.."),
        format!("{group}/../.."),
        format!("{group}/%2e%2E/x"),
        format!("{group}/."),
        format!("/subscriptions/{subscription}%2FresourceGroups"),
        format!("{group}%2F..%2F.."),
        format!("{group}%5C..%5Cx"),
        format!("{group}/providers/Microsoft.Insights"),
        format!("{group}/providers/Microsoft.Insights/dataCollectionRules"),
        format!("{group}/things/t"),
        "/x/y".to_owned(),
    ];
    for (n, scope) in wrong.iter().enumerate() {
        let (status, body) = raw(&house, "PUT", &format!("{scope}{}", tail(n as u128)), &token, &role).await;
        assert_eq!(status, 400, "{scope}: {body}");
    }
    let other = format!("/subscriptions/{}{}", uuid::Uuid::nil(), tail(90));
    assert_eq!(raw(&house, "PUT", &other, &token, &role).await.0, 404);
    // Case, double slashes and escaped letters are spellings of the same scope and stored as one.
    let spellings =
        [group.clone(), group.to_ascii_uppercase(), group.replace('/', "//"), group.replace("resourceGroups", "resource%47roups")];
    for (n, scope) in spellings.iter().enumerate() {
        let (status, body) = raw(&house, "PUT", &format!("{scope}{}", tail(100 + n as u128)), &token, &role).await;
        assert_eq!((status, body["properties"]["scope"].as_str()), (201, Some(group.as_str())), "{scope}: {body}");
    }
}
