//! Hostile requests and tokens: each is refused with Entra's own number, in Entra's format, and gives nothing.
//!
//! Sources: RFC 6749 §10, RFC 7636, RFC 8628 §5, RFC 8725, RFC 9700, and Entra's reference of error codes.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use model::Span;
use reqwest::Method;
use serde_json::{Value, json};

use crate::assertions::{add, assertion, certificate};
use crate::browser::{Browser, VERIFIER, challenge, register, sign_in, token};
use crate::house::{House, answer, noon};

const REPLY: &str = "https://app.example.org/cb";

fn url(house: &House, tenant: &str, pairs: &[(&str, &str)]) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    format!("{}/{tenant}/oauth2/v2.0/authorize?{query}", house.base)
}

/// Requests that must never be redirected: the page shows the number.
#[tokio::test]
async fn what_is_not_sent_back_to_an_application() {
    let house = House::new().await;
    let (app, _) = register(&house, json!({ "displayName": "App", "web": { "redirectUris": [REPLY, "https://two.example/"] } })).await;
    let id = app["appId"].as_str().unwrap();
    let challenge = challenge();
    let good = [
        ("client_id", id),
        ("response_type", "code"),
        ("redirect_uri", REPLY),
        ("scope", "openid"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    let with = |name: &str, value: &'static str| good.map(|(key, old)| if key == name { (key, value) } else { (key, old) }).to_vec();
    let twice = |name: &'static str, value: &'static str| [good.as_slice(), &[(name, value)]].concat();
    let tenant = house.boot.tenant.as_str();
    let mut cases: Vec<(&str, Vec<(&str, &str)>, u32)> = vec![
        ("99999999-0000-0000-0000-000000000000", good.to_vec(), 90_002),
        ("consumers", good.to_vec(), 90_002),
        ("common", good.to_vec(), 50_194),
        ("Organizations", good.to_vec(), 50_194),
        (tenant, with("client_id", "99999999-0000-0000-0000-000000000000"), 700_016),
        (tenant, with("client_id", ""), 900_144),
        (tenant, twice("client_id", "99999999-0000-0000-0000-000000000000"), 9_000_411),
        (tenant, twice("redirect_uri", "https://evil.example/"), 9_000_411),
        (tenant, twice("Redirect_URI", "https://evil.example/"), 9_000_411),
        // Two reply URLs are registered, so none is the default.
        (tenant, with("redirect_uri", ""), 500_113),
        (tenant, [good.as_slice(), &[("response_mode", "web_message")]].concat(), 70_007),
    ];
    for hostile in [
        "https://evil.example/",
        "https://app.example.org/cb/../evil",
        "https://app.example.org/cb%2f..%2fevil",
        "https://app.example.org/cb/below",
        "https://app.example.org/cb?x=1",
        "https://app.example.org/cb#x",
        "https://APP.example.org/cb2",
        "https://app.example.org.evil.example/cb",
        "https://app.example.org@evil.example/cb",
        "https://app.example.org:444/cb",
        "http://app.example.org/cb",
        "//app.example.org/cb",
        "javascript:alert(1)//https://app.example.org/cb",
        "https://app.example.org/cb\r\nSet-Cookie: x=y",
        "https://app.example.org\\@evil.example/cb",
    ] {
        cases.push((tenant, with("redirect_uri", hostile), 50_011));
    }
    let mut browser = Browser::new(&house);
    for (tenant, pairs, number) in cases {
        let shown = browser.get(&url(&house, tenant, &pairs)).await;
        assert!(shown.location.is_none() && shown.status == 400, "{pairs:?}: {shown:?}");
        assert!(shown.body.contains(&format!("AADSTS{number}:")), "{pairs:?}: {}", shown.body);
        // A client that is no browser gets OAuth's format.
        let (status, body) = answer(house.http.get(url(&house, tenant, &pairs))).await;
        assert_eq!((status.as_u16(), &body["error_codes"]), (400, &json!([number])), "{pairs:?}: {body}");
    }
}

/// Errors that the application is told, at its registered address.
#[tokio::test]
async fn what_is_sent_back_as_an_error() {
    let house = House::new().await;
    let (app, _) = register(
        &house,
        json!({ "displayName": "App", "web": { "redirectUris": [REPLY] }, "publicClient": { "redirectUris": ["http://localhost"] } }),
    )
    .await;
    let id = app["appId"].as_str().unwrap();
    let good = [("client_id", id), ("response_type", "code"), ("redirect_uri", REPLY), ("scope", "openid"), ("state", "s")];
    let with = |more: &[(&'static str, &'static str)]| {
        let mut pairs: Vec<(&str, &str)> = good.to_vec();
        for (name, value) in more {
            pairs.retain(|(known, _)| known != name);
            pairs.push((name, value));
        }
        pairs
    };
    let cases = [
        (with(&[("response_type", "token")]), 70_005),
        (with(&[("response_type", "id_token")]), 70_005),
        (with(&[("response_type", "")]), 900_144),
        (with(&[("code_challenge", VERIFIER), ("code_challenge_method", "plain")]), 501_491),
        // Without a method `plain` would be meant.
        (with(&[("code_challenge", VERIFIER)]), 501_491),
        (with(&[("code_challenge", "short"), ("code_challenge_method", "S256")]), 501_491),
        (with(&[("code_challenge_method", "S256")]), 501_491),
        (with(&[("redirect_uri", "http://localhost:4711")]), 9_002_325),
        (with(&[("prompt", "none")]), 50_058),
        (with(&[("scope", "https://elsewhere.example/x")]), 500_011),
        (with(&[("scope", "https://management.azure.com/everything")]), 650_053),
        (with(&[("scope", "https://management.azure.com/.default https://monitor.azure.com/.default")]), 28_000),
        (with(&[("scope", "")]), 900_144),
    ];
    let mut browser = Browser::new(&house);
    for (pairs, number) in cases {
        let back = browser.get(&url(&house, &house.boot.tenant, &pairs)).await;
        let answered = back.answer();
        assert!(answered["error_description"].starts_with(&format!("AADSTS{number}:")), "{pairs:?}: {answered:?}");
        assert_eq!(answered["state"], "s");
        assert!(!answered.contains_key("code"));
    }
}

/// Codes and tokens in the wrong hands.
#[tokio::test]
async fn codes_are_bound_to_client_address_and_key() {
    let house = House::new().await;
    let body = |name: &str| json!({ "displayName": name, "web": { "redirectUris": [REPLY, "https://two.example/"] } });
    let ((app, secret), (other, other_secret)) = (register(&house, body("A")).await, register(&house, body("B")).await);
    let (id, other_id) = (app["appId"].as_str().unwrap(), other["appId"].as_str().unwrap());
    let challenge = challenge();
    let pairs = [
        ("client_id", id),
        ("response_type", "code"),
        ("redirect_uri", REPLY),
        ("scope", "openid offline_access"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    let mut browser = Browser::new(&house);
    let page = sign_in(&house, &mut browser, &url(&house, &house.boot.tenant, &pairs)).await;
    let code = browser.submit(&page, &[("action", "accept")]).await.answer()["code"].clone();
    let good = [
        ("grant_type", "authorization_code"),
        ("client_id", id),
        ("client_secret", secret.as_str()),
        ("code", code.as_str()),
        ("redirect_uri", REPLY),
        ("code_verifier", VERIFIER),
    ];
    let tenant = house.boot.tenant.as_str();
    fn with<'a>(good: &[(&'a str, &'a str)], changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let mut form = good.to_vec();
        for (name, value) in changes {
            form.retain(|(known, _)| known != name);
            form.push((name, value));
        }
        form.retain(|(_, value)| !value.is_empty());
        form
    }
    let truncated = &code[..code.len() - 1];
    let cases = [
        (with(&good, &[("client_id", other_id), ("client_secret", &other_secret)]), 70_000),
        (with(&good, &[("client_secret", &other_secret)]), 7_000_215),
        (with(&good, &[("client_secret", "")]), 7_000_218),
        (with(&good, &[("redirect_uri", "https://two.example/")]), 50_112),
        (with(&good, &[("redirect_uri", "")]), 900_144),
        (with(&good, &[("code_verifier", "")]), 501_481),
        (with(&good, &[("code_verifier", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXl")]), 501_481),
        (with(&good, &[("code_verifier", &challenge)]), 501_481),
        (with(&good, &[("code", truncated)]), 9_002_313),
        (with(&good, &[("code", "")]), 900_144),
        (with(&good, &[("resource", "https://management.azure.com")]), 70_000),
        ([good.as_slice(), &[("client_id", other_id)]].concat(), 9_000_411),
        // A code is no refresh token and no device code.
        (with(&good, &[("grant_type", "refresh_token"), ("refresh_token", &code)]), 9_002_313),
        (with(&good, &[("grant_type", "password"), ("username", "admin"), ("password", &house.boot.admin_password)]), 70_003),
        (with(&good, &[("grant_type", "urn:ietf:params:oauth:grant-type:device_code")]), 70_018),
    ];
    for (form, number) in cases {
        let (status, body) = token(&house, tenant, "/v2.0", &form).await;
        assert!(matches!(status, 400 | 401), "{status}: {body}");
        assert_eq!(body["error_codes"], json!([number]), "{form:?}: {body}");
        assert!(
            body["error_description"].as_str().unwrap().starts_with(&format!("AADSTS{number}: ")) && body.get("access_token").is_none()
        );
    }
    // None of that spent the code.
    let (status, tokens) = token(&house, tenant, "/v2.0", &good).await;
    assert_eq!(status, 200, "{tokens}");
    let stolen = tokens["refresh_token"].as_str().unwrap();
    let form = [("grant_type", "refresh_token"), ("client_id", other_id), ("client_secret", &other_secret), ("refresh_token", stolen)];
    assert_eq!(token(&house, tenant, "/v2.0", &form).await.1["error_codes"], json!([70_000]));
    // `common` names no tenant for an application's own token.
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", id),
        ("client_secret", &secret),
        ("scope", "https://monitor.azure.com/.default"),
    ];
    assert_eq!(token(&house, "common", "/v2.0", &form).await.1["error_codes"], json!([50_059]));
    // An ID token is no access token.
    let arm = house.http.get(format!("{}/api/v1/version", house.base)).bearer_auth(tokens["id_token"].as_str().unwrap());
    assert_eq!(answer(arm).await.0, 401);
}

#[tokio::test]
async fn assertions_that_prove_nothing() {
    let house = House::new().await;
    let (app, _) = register(&house, json!({ "displayName": "A" })).await;
    let (other, _) = register(&house, json!({ "displayName": "B" })).await;
    let (id, other_id) = (app["appId"].as_str().unwrap(), other["appId"].as_str().unwrap());
    let (made, foreign) = (certificate(365), certificate(365));
    add(&house, &app, vec![made.certificate.key_credential(&uuid::Uuid::new_v4().to_string())]).await;
    let audience = format!("{}/{}/oauth2/v2.0/token", house.base, house.boot.tenant);
    let sign = |header: Value, payload: Value| assertion(&made, id, &audience, noon(), header, payload);
    let now = noon().unix_seconds();
    let good = sign(json!({}), json!({}));
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (_, payload) = message.split_once('.').unwrap();
    let head = |header: Value| BASE64_URL_SAFE_NO_PAD.encode(header.to_string());
    let none = format!("{}.{payload}.", head(json!({ "alg": "none", "x5t": made.certificate.x5t() })));
    let hmac = {
        let message = format!("{}.{payload}", head(json!({ "alg": "HS256", "x5t": made.certificate.x5t() })));
        let key = jsonwebtoken::EncodingKey::from_secret(&made.certificate.der);
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, jsonwebtoken::Algorithm::HS256).unwrap();
        format!("{message}.{signature}")
    };
    let changed = {
        let claims = json!({ "aud": audience, "iss": id, "sub": id, "jti": "x", "exp": now + 6_000 });
        format!("{}.{}.{signature}", message.split('.').next().unwrap(), BASE64_URL_SAFE_NO_PAD.encode(claims.to_string()))
    };
    let with_own_key = assertion(&foreign, id, &audience, noon(), json!({ "x5t": made.certificate.x5t() }), json!({}));
    let with_chain = {
        use base64::prelude::BASE64_STANDARD;
        let header = json!({ "x5t": null, "x5c": [BASE64_STANDARD.encode(&foreign.certificate.der)] });
        assertion(&foreign, id, &audience, noon(), header, json!({}))
    };
    let cases = [
        (none, 50_027),
        (hmac, 50_027),
        (changed, 700_027),
        (with_own_key, 700_027),
        (with_chain, 700_027),
        (sign(json!({ "x5t": null }), json!({})), 50_027),
        (sign(json!({ "x5t": null, "x5u": "https://evil.example/c.pem", "jku": "https://evil.example/" }), json!({})), 50_027),
        (sign(json!({ "alg": "RS512" }), json!({})), 50_027),
        (sign(json!({}), json!({ "iss": other_id })), 700_021),
        (sign(json!({}), json!({ "sub": other_id })), 700_021),
        (sign(json!({}), json!({ "aud": "https://login.microsoftonline.com/x/oauth2/v2.0/token" })), 700_023),
        (sign(json!({}), json!({ "aud": format!("{}.evil.example", house.base) })), 700_023),
        (sign(json!({}), json!({ "exp": now - 3_600 })), 700_024),
        (sign(json!({}), json!({ "nbf": now + 3_600 })), 700_024),
        (sign(json!({}), json!({ "exp": now + 30 * 86_400 })), 700_024),
        (sign(json!({}), json!({ "exp": null })), 50_027),
        ("a.b.c".to_owned(), 50_027),
        ("x".repeat(20_000), 50_027),
    ];
    for (index, (assertion, number)) in cases.iter().enumerate() {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", id),
            ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
            ("client_assertion", assertion),
            ("scope", "https://monitor.azure.com/.default"),
        ];
        let (status, body) = token(&house, &house.boot.tenant, "/v2.0", &form).await;
        assert!(matches!(status, 400 | 401), "{index}: {body}");
        assert_eq!(body["error_codes"], json!([number]), "{index}: {body}");
    }
}

/// Request forgery and fixation: a form counts only for the browser, the request and the step that it was made for.
#[tokio::test]
async fn forms_are_bound_to_browser_request_and_step() {
    let house = House::new().await;
    let (app, _) = register(&house, json!({ "displayName": "A", "web": { "redirectUris": [REPLY, "https://two.example/"] } })).await;
    let id = app["appId"].as_str().unwrap();
    let pairs = |redirect: &'static str| [("client_id", id), ("response_type", "code"), ("redirect_uri", redirect), ("scope", "openid")];
    let (one, two) = (url(&house, &house.boot.tenant, &pairs(REPLY)), url(&house, &house.boot.tenant, &pairs("https://two.example/")));
    let mut attacker = Browser::new(&house);
    let password = house.boot.admin_password.clone();
    let credentials = [("username", "admin"), ("password", password.as_str()), ("action", "sign-in")];
    let refused = |shown: &crate::browser::Shown| shown.status == 400 && shown.body.contains("AADSTS900561") && shown.location.is_none();

    // The attacker's page and form in the victim's browser, which has another cookie or none.
    let page = attacker.get(&one).await;
    let mut victim = Browser::new(&house);
    assert!(refused(&victim.submit(&page, &credentials).await));
    victim.get(&one).await;
    assert!(refused(&victim.submit(&page, &credentials).await));
    // The same browser, but a form of another request.
    let mut other = attacker.get(&one).await;
    other.body = other.body.replace("app.example.org%2Fcb", "two.example%2F");
    assert!(refused(&attacker.submit(&other, &credentials).await));
    // Without the step, with a changed one, and from another site.
    let page = attacker.get(&one).await;
    for step in ["", "x.y", "e30.AAAA"] {
        assert!(refused(&attacker.submit(&page, &[credentials.as_slice(), &[("step", step)]].concat()).await));
    }
    for (name, value) in [("origin", "https://evil.example"), ("origin", "null"), ("sec-fetch-site", "cross-site")] {
        let mut form = page.hidden();
        form.extend(credentials.map(|(name, value)| (name.to_owned(), value.to_owned())));
        let request = attacker.http.post(page.action()).header(name, value).form(&form);
        assert!(refused(&attacker.send(request).await), "{name}: {value}");
    }
    // Two cookies of the name: one was planted.
    let mut planted = attacker.clone();
    planted.cookie = attacker.cookie.as_ref().map(|cookie| format!("{cookie}; {cookie}"));
    assert!(refused(&planted.submit(&page, &credentials).await));
    // A cookie planted before the sign-in does not reach the consent.
    let mut victim = Browser::new(&house);
    victim.cookie = attacker.cookie.clone();
    let page = victim.get(&one).await;
    let consent = victim.submit(&page, &credentials).await;
    assert!(consent.body.contains("Permissions requested"), "{}", consent.body);
    assert!(refused(&attacker.submit(&consent, &[("action", "accept")]).await));
    // A sign-in form used as a consent form, and the other way round.
    let page = attacker.get(&one).await;
    assert!(refused(&attacker.submit(&page, &[("stage", "consent"), ("action", "accept")]).await));
    assert!(refused(&victim.clone().submit(&consent, &[("stage", "sign-in"), ("action", "sign-in")]).await));
    // A page that was open too long.
    let page = attacker.get(&two).await;
    house.clock.advance(Span::seconds(901));
    assert!(refused(&attacker.submit(&page, &credentials).await));
    // Nothing of this was consented to.
    assert!(house.pipeline.store().consents().list(Some(id)).await.unwrap().is_empty());
}

#[tokio::test]
async fn guessing_is_throttled_in_every_spelling() {
    let house = House::new().await;
    let (app, _) = register(&house, json!({ "displayName": "A", "web": { "redirectUris": [REPLY] } })).await;
    let pairs = [("client_id", app["appId"].as_str().unwrap()), ("response_type", "code"), ("redirect_uri", REPLY), ("scope", "openid")];
    let mut browser = Browser::new(&house);
    let page = browser.get(&url(&house, &house.boot.tenant, &pairs)).await;
    let spellings = ["admin", "Admin", "ADMIN", " admin", "admin@bartizan.local"];
    for name in spellings {
        let shown = browser.submit(&page, &[("username", name), ("password", "wrong"), ("action", "sign-in")]).await;
        assert_eq!(shown.status, 401);
        assert!(shown.body.contains("The user name or the password is wrong."), "{name}: {}", shown.body);
    }
    // Now the right password is refused too, in every spelling: full-width letters are the same letters (Unicode NFKC).
    for name in spellings.into_iter().chain(["admin ", "aDmIn@BARTIZAN.local", "\tadmin", "\u{ff41}dmin"]) {
        let fields = [("username", name), ("password", house.boot.admin_password.as_str()), ("action", "sign-in")];
        let shown = browser.submit(&page, &fields).await;
        assert!(shown.body.contains("Too many attempts"), "{name}: {}", shown.body);
    }
    house.clock.advance(Span::seconds(600));
    let fields = [("username", "admin"), ("password", house.boot.admin_password.as_str()), ("action", "sign-in")];
    assert!(browser.submit(&page, &fields).await.body.contains("Permissions requested"));
    // An unknown name gets the same answer as a wrong password.
    let page = browser.get(&url(&house, &house.boot.tenant, &pairs)).await;
    let shown = browser.submit(&page, &[("username", "nobody"), ("password", "x"), ("action", "sign-in")]).await;
    assert!(shown.body.contains("The user name or the password is wrong."), "{}", shown.body);
}

/// Somebody who may not administer applications cannot register one, add a credential, or see secrets.
#[tokio::test]
async fn applications_do_not_change_each_other() {
    let house = House::new().await;
    let (app, secret) = register(&house, json!({ "displayName": "A" })).await;
    let (other, _) = register(&house, json!({ "displayName": "B" })).await;
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", app["appId"].as_str().unwrap()),
        ("client_secret", &secret),
        ("scope", "https://graph.microsoft.com/.default"),
    ];
    let (_, tokens) = token(&house, &house.boot.tenant, "/v2.0", &form).await;
    let token = tokens["access_token"].as_str().unwrap();
    let object = other["id"].as_str().unwrap();
    for (method, path) in [
        (Method::POST, "/v1.0/applications".to_owned()),
        (Method::PATCH, format!("/v1.0/applications/{object}")),
        (Method::POST, format!("/v1.0/applications/{object}/addPassword")),
        (Method::POST, format!("/v1.0/applications/{object}/addKey")),
        (Method::DELETE, format!("/v1.0/applications/{object}")),
        (Method::GET, "/v1.0/oauth2PermissionGrants".to_owned()),
    ] {
        let request =
            house.http.request(method.clone(), format!("{}{path}", house.base)).bearer_auth(token).json(&json!({ "displayName": "x" }));
        assert_eq!(answer(request).await.0, 403, "{method} {path}");
    }
}
