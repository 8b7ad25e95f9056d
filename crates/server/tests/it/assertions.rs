//! Certificates of applications and the assertions signed with them: S1-56 … S1-59, S1-66, S1-67 and WIRE §1.

use base64::Engine as _;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use model::{Span, Timestamp};
use reqwest::Method;
use serde_json::{Value, json};
use server::identity::{NewCertificate, self_signed};

use crate::browser::{GRAPH, claims, register, token};
use crate::house::{House, answer, noon};

const KIND: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

pub fn certificate(days: i64) -> NewCertificate {
    self_signed("MyCompanyName MyAppName Cert", 2048, Span(days * Span::DAY.ticks()), noon()).unwrap()
}

/// An assertion with the header and claims of S1's sample, changed by `header` and `payload`.
pub fn assertion(made: &NewCertificate, app: &str, audience: &str, now: Timestamp, header: Value, payload: Value) -> String {
    let mut head = json!({ "alg": "RS256", "x5t": made.certificate.x5t() });
    let mut body = json!({
        "aud": audience, "iss": app, "sub": app, "jti": uuid::Uuid::new_v4().to_string(),
        "nbf": now.unix_seconds(), "exp": now.unix_seconds() + 600,
    });
    for (into, from) in [(&mut head, &header), (&mut body, &payload)] {
        for (name, value) in from.as_object().unwrap() {
            into[name] = value.clone();
        }
    }
    let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let message = format!("{}.{}", part(&head), part(&body));
    let key = EncodingKey::from_rsa_pem(made.key_pem.reveal().as_bytes()).unwrap();
    let algorithm = if head["alg"] == "PS256" { Algorithm::PS256 } else { Algorithm::RS256 };
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, algorithm).unwrap();
    format!("{message}.{signature}")
}

/// Registers the certificate beside those that the application has; returns the response.
pub async fn add(house: &House, app: &Value, keys: Vec<Value>) -> (u16, Value) {
    let path = format!("/v1.0/applications/{}", app["id"].as_str().unwrap());
    let (status, body) = answer(house.call(GRAPH, Method::PATCH, &path).await.json(&json!({ "keyCredentials": keys }))).await;
    (status.as_u16(), body)
}

async fn ask(house: &House, app: &Value, version: &str, assertion: &str) -> (u16, Value) {
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", app["appId"].as_str().unwrap()),
        ("client_assertion_type", KIND),
        ("client_assertion", assertion),
        if version.is_empty() { ("resource", "https://manage.office.com") } else { ("scope", "https://manage.office.com/.default") },
    ];
    token(house, &house.boot.tenant, version, &form).await
}

#[tokio::test]
async fn every_header_and_audience_of_real_clients_gives_a_token() {
    let house = House::new().await;
    let (app, _) = register(&house, json!({ "displayName": "Daemon" })).await;
    let id = app["appId"].as_str().unwrap();
    let made = certificate(365);
    let key_id = uuid::Uuid::new_v4().to_string();
    let (status, body) = add(&house, &app, vec![made.certificate.key_credential(&key_id)]).await;
    assert_eq!(status, 204, "{body}");
    let (tenant, base) = (house.boot.tenant.as_str(), house.base.as_str());
    let sha256 = BASE64_URL_SAFE_NO_PAD.encode(made.certificate.sha256());
    let headers = [
        json!({}),
        json!({ "x5t": format!("{}=", made.certificate.x5t()) }),
        json!({ "alg": "PS256", "x5t": null, "x5t#S256": sha256 }),
        json!({ "alg": "PS256", "x5t": null, "x5c": [BASE64_STANDARD.encode(&made.certificate.der)] }),
        json!({ "x5t": null, "kid": key_id }),
        json!({ "kid": made.certificate.thumbprint() }),
    ];
    for header in headers {
        for (version, audience) in [
            ("", format!("{base}/{tenant}/oauth2/token")),
            ("/v2.0", format!("{base}/{tenant}/oauth2/v2.0/token")),
            ("/v2.0", format!("{base}/{tenant}/v2.0")),
        ] {
            let signed = assertion(&made, id, &audience, noon(), header.clone(), json!({}));
            let (status, body) = ask(&house, &app, version, &signed).await;
            assert_eq!(status, 200, "{header} {audience}: {body}");
            assert_eq!(claims(&body["access_token"])["appidacr"], "2");
        }
    }
}

#[tokio::test]
async fn a_captured_assertion_is_worth_nothing_elsewhere() {
    let house = House::new().await;
    let (app, _) = register(&house, json!({ "displayName": "Daemon" })).await;
    let id = app["appId"].as_str().unwrap();
    let made = certificate(365);
    add(&house, &app, vec![made.certificate.key_credential(&uuid::Uuid::new_v4().to_string())]).await;
    let audience = format!("{}/{}/oauth2/v2.0/token", house.base, house.boot.tenant);
    let signed = assertion(&made, id, &audience, noon(), json!({}), json!({ "jti": "one" }));
    // MSAL reuses an assertion until it expires (`create_regenerative_assertion`).
    assert_eq!(ask(&house, &app, "/v2.0", &signed).await.0, 200);
    assert_eq!(ask(&house, &app, "/v2.0", &signed).await.0, 200);
    // Another assertion with the same `jti`.
    let other = assertion(&made, id, &audience, noon(), json!({}), json!({ "jti": "one", "exp": noon().unix_seconds() + 500 }));
    let (status, body) = ask(&house, &app, "/v2.0", &other).await;
    assert_eq!((status, &body["error"], &body["error_codes"]), (401, &json!("invalid_client"), &json!([700_027])), "{body}");
    // The same one from another address, as the store sees it.
    let used = store::ClientAssertion { id: "i".into(), digest: "d".into(), address: "192.0.2.1".into(), expires: noon() + Span::MINUTE };
    let mut change = house.pipeline.store().begin().await.unwrap();
    assert_eq!(change.use_client_assertion(&used, noon()).await.unwrap(), store::AssertionUse::First);
    let elsewhere = store::ClientAssertion { address: "192.0.2.2".into(), ..used.clone() };
    assert_eq!(change.use_client_assertion(&elsewhere, noon()).await.unwrap(), store::AssertionUse::Elsewhere);
    assert_eq!(change.use_client_assertion(&used, noon()).await.unwrap(), store::AssertionUse::Again);
    // Forgotten when it has expired.
    assert_eq!(change.use_client_assertion(&elsewhere, noon() + Span::HOUR).await.unwrap(), store::AssertionUse::First);
    change.commit().await.unwrap();
}

/// S1-59: several certificates are active at once; a withdrawn one is refused at once. learn.microsoft.com/graph/api/application-addkey.
#[tokio::test]
async fn certificates_roll_over_with_a_proof() {
    let house = House::new().await;
    let (app, _) = register(&house, json!({ "displayName": "Daemon" })).await;
    let (id, object) = (app["appId"].as_str().unwrap(), app["id"].as_str().unwrap());
    let (old, new) = (certificate(365), certificate(365));
    let old_id = uuid::Uuid::new_v4().to_string();
    add(&house, &app, vec![old.certificate.key_credential(&old_id)]).await;
    let audience = format!("{}/{}/oauth2/v2.0/token", house.base, house.boot.tenant);
    let proof = |made: &NewCertificate, payload: Value| {
        let mut claims = json!({ "iss": object, "aud": "00000002-0000-0000-c000-000000000000" });
        for (name, value) in payload.as_object().unwrap() {
            claims[name] = value.clone();
        }
        assertion(made, id, "x", noon(), json!({}), claims)
    };
    let key = json!({ "type": "AsymmetricX509Cert", "usage": "Verify", "key": BASE64_STANDARD.encode(&new.certificate.der) });
    let call = async |action: &str, body: Value| {
        let path = format!("/v1.0/applications/{object}/{action}");
        let (status, body) = answer(house.call(GRAPH, Method::POST, &path).await.json(&body)).await;
        (status.as_u16(), body)
    };
    for (made, payload) in [
        (&new, json!({})),
        (&old, json!({ "aud": audience })),
        (&old, json!({ "iss": id })),
        (&old, json!({ "exp": noon().unix_seconds() + 3_600 })),
    ] {
        let (status, body) =
            call("addKey", json!({ "keyCredential": key, "passwordCredential": null, "proof": proof(made, payload) })).await;
        assert_eq!((status, &body["error"]["code"]), (403, &json!("Authentication_MissingOrMalformed")), "{body}");
    }
    let (status, added) =
        call("addKey", json!({ "keyCredential": key, "passwordCredential": null, "proof": proof(&old, json!({})) })).await;
    assert_eq!((status, &added["customKeyIdentifier"]), (200, &json!(new.certificate.thumbprint())), "{added}");
    let works = async |made: &NewCertificate| {
        let signed = assertion(made, id, &audience, noon(), json!({}), json!({}));
        ask(&house, &app, "/v2.0", &signed).await.0 == 200
    };
    assert!(works(&old).await && works(&new).await);
    let (status, body) = call("removeKey", json!({ "keyId": old_id, "proof": proof(&new, json!({})) })).await;
    assert_eq!(status, 204, "{body}");
    assert!(!works(&old).await && works(&new).await);
}

/// S1-55, S0-13: the validity is chosen, the text is shown once, and an expired secret has its own error.
#[tokio::test]
async fn secrets_have_a_validity_and_are_written_only() {
    let house = House::new().await;
    let (app, first) = register(&house, json!({ "displayName": "Daemon" })).await;
    let (id, object) = (app["appId"].as_str().unwrap(), app["id"].as_str().unwrap());
    let path = format!("/v1.0/applications/{object}/addPassword");
    let end = noon() + Span(2 * Span::DAY.ticks());
    let body = json!({ "passwordCredential": { "displayName": "short", "endDateTime": end } });
    let (_, added) = answer(house.call(GRAPH, Method::POST, &path).await.json(&body)).await;
    let second = added["secretText"].as_str().unwrap().to_owned();
    let past = json!({ "passwordCredential": { "endDateTime": noon() - Span::DAY } });
    assert_eq!(answer(house.call(GRAPH, Method::POST, &path).await.json(&past)).await.0, 400);
    let (_, shown) = answer(house.call(GRAPH, Method::GET, &format!("/v1.0/applications/{object}")).await).await;
    assert_eq!(shown["passwordCredentials"].as_array().unwrap().len(), 2);
    assert!(!shown.to_string().contains(&first) && !shown.to_string().contains(&second));
    assert!(second.contains(shown["passwordCredentials"][1]["hint"].as_str().unwrap()));
    let number = async |secret: &str| {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", id),
            ("client_secret", secret),
            ("scope", "https://monitor.azure.com/.default"),
        ];
        token(&house, &house.boot.tenant, "/v2.0", &form).await.1["error_codes"][0].clone()
    };
    assert_eq!((number(&first).await, number(&second).await), (Value::Null, Value::Null));
    house.clock.advance(Span(3 * Span::DAY.ticks()));
    assert_eq!((number(&first).await, number(&second).await), (Value::Null, json!(7_000_222)));
}
