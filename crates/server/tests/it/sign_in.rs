//! People sign in to applications: authorization code, consent, refresh, device code. Formats: learn.microsoft.com/entra/identity-platform
//! and document S1 of the requirements.

use model::Span;
use reqwest::Method;
use serde_json::{Value, json};

use crate::browser::{Browser, GRAPH, VERIFIER, challenge, claims, register, sign_in, token};
use crate::house::{House, answer};

const REPLY: &str = "https://app.example.org/cb";

fn authorize(house: &House, app: &Value, more: &[(&str, &str)]) -> String {
    let challenge = challenge();
    let mut pairs = vec![
        ("client_id", app["appId"].as_str().unwrap()),
        ("response_type", "code"),
        ("redirect_uri", REPLY),
        ("scope", "openid profile offline_access https://management.azure.com/user_impersonation"),
        ("state", "12345 &=\u{e9}"),
        ("nonce", "n-1"),
        ("code_challenge", &challenge),
        ("code_challenge_method", "S256"),
    ];
    for (name, value) in more {
        pairs.retain(|(known, _)| known != name);
        pairs.push((name, value));
    }
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    format!("{}/{}/oauth2/v2.0/authorize?{query}", house.base, house.boot.tenant)
}

async fn web_app(house: &House) -> (Value, String) {
    register(house, json!({ "displayName": "Web <app>", "web": { "redirectUris": [REPLY] } })).await
}

#[tokio::test]
async fn a_person_signs_in_consents_once_and_the_application_gets_tokens() {
    let house = House::new().await;
    let (app, secret) = web_app(&house).await;
    let id = app["appId"].as_str().unwrap();
    let mut browser = Browser::new(&house);
    let page = browser.get(&authorize(&house, &app, &[])).await;
    assert!(page.body.contains("Web &lt;app&gt;") && !page.body.contains("<script"), "{}", page.body);
    assert!(page.policy.contains("default-src 'none'") && page.policy.contains("form-action 'self' https://app.example.org"));
    // A wrong password stays on the page.
    let again = browser.submit(&page, &[("username", "admin"), ("password", "wrong"), ("action", "sign-in")]).await;
    assert!(again.status == 401 && again.body.contains("role=\"alert\""), "{}", again.body);
    let planted = browser.cookie.clone();
    let page = browser.submit(&again, &[("username", "Admin"), ("password", &house.boot.admin_password), ("action", "sign-in")]).await;
    assert!(page.status == 200 && page.body.contains("Permissions requested") && page.body.contains("user_impersonation"), "{}", page.body);
    assert_ne!(browser.cookie, planted, "the cookie is replaced at the sign-in");
    let back = browser.submit(&page, &[("action", "accept")]).await;
    let answered = back.answer();
    assert!(back.status == 303 && back.location.as_ref().unwrap().starts_with(REPLY), "{back:?}");
    assert_eq!(answered["state"], "12345 &=\u{e9}");
    assert_eq!(browser.cookie, None, "no session is kept");

    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", id),
        ("client_secret", &secret),
        ("code", &answered["code"]),
        ("redirect_uri", REPLY),
        ("code_verifier", VERIFIER),
        ("client_info", "1"),
    ];
    let (status, tokens) = token(&house, &house.boot.tenant, "/v2.0", &form).await;
    assert_eq!(status, 200, "{tokens}");
    let (access, identity) = (claims(&tokens["access_token"]), claims(&tokens["id_token"]));
    assert_eq!((&access["scp"], &access["tid"], &access["appid"]), (&json!("user_impersonation"), &json!(house.boot.tenant), &json!(id)));
    assert_eq!((&identity["nonce"], &identity["aud"], &identity["name"]), (&json!("n-1"), &json!(id), &json!("Administrator")));
    assert_eq!(identity["oid"], access["oid"]);
    assert!(
        tokens["client_info"].is_string() && tokens["scope"].as_str().unwrap().contains("https://management.azure.com/user_impersonation")
    );
    // The token acts for the person, who owns the workspace.
    let arm = house.http.get(format!("{}{}?api-version=2022-10-01", house.base, house.workspace()));
    assert_eq!(answer(arm.bearer_auth(tokens["access_token"].as_str().unwrap())).await.0, 200);

    // Consent is asked for once; the second sign-in goes straight back.
    let mut other = Browser::new(&house);
    let back = sign_in(&house, &mut other, &authorize(&house, &app, &[])).await;
    assert!(back.answer().contains_key("code"));
    // Other response modes.
    let back = sign_in(&house, &mut other, &authorize(&house, &app, &[("response_mode", "fragment")])).await;
    assert!(back.location.as_ref().unwrap().starts_with(&format!("{REPLY}#code=")), "{back:?}");
    let page = sign_in(&house, &mut other, &authorize(&house, &app, &[("response_mode", "form_post")])).await;
    assert!(page.action() == REPLY && page.hidden().contains_key("code"), "{}", page.body);
    // `prompt=consent` asks again, and refusing is told to the application.
    let page = sign_in(&house, &mut other, &authorize(&house, &app, &[("prompt", "consent")])).await;
    let back = other.submit(&page, &[("action", "cancel")]).await;
    let answered = back.answer();
    assert_eq!((answered["error"].as_str(), answered["error_subcode"].as_str()), ("access_denied", "cancel"));
    assert!(answered["error_description"].starts_with("AADSTS65004") && answered["state"].starts_with("12345"));
}

#[tokio::test]
async fn refresh_tokens_rotate_and_reuse_revokes_the_family() {
    let house = House::new().await;
    let (app, secret) = web_app(&house).await;
    let id = app["appId"].as_str().unwrap();
    let mut browser = Browser::new(&house);
    let page = sign_in(&house, &mut browser, &authorize(&house, &app, &[])).await;
    let code = browser.submit(&page, &[("action", "accept")]).await.answer()["code"].clone();
    let credentials = [("client_id", id), ("client_secret", secret.as_str())];
    let redeem = [("grant_type", "authorization_code"), ("code", code.as_str()), ("redirect_uri", REPLY), ("code_verifier", VERIFIER)];
    let redeem = [redeem.as_slice(), credentials.as_slice()].concat();
    let (_, tokens) = token(&house, &house.boot.tenant, "/v2.0", &redeem).await;
    let first = tokens["refresh_token"].as_str().unwrap().to_owned();
    let refresh = async |text: &str, more: &[(&str, &str)]| {
        let form = [[("grant_type", "refresh_token"), ("refresh_token", text)].as_slice(), &credentials, more].concat();
        token(&house, &house.boot.tenant, "/v2.0", &form).await
    };
    let (status, second) = refresh(&first, &[]).await;
    assert_eq!(status, 200, "{second}");
    assert_eq!(claims(&second["access_token"])["scp"], "user_impersonation");
    let second = second["refresh_token"].as_str().unwrap().to_owned();
    assert_ne!(first, second);
    // Another resource needs consent of its own.
    let (status, refused) = refresh(&second, &[("scope", "https://api.loganalytics.io/Data.Read")]).await;
    assert_eq!((status, &refused["error_codes"]), (400, &json!([65_001])), "{refused}");
    let (status, third) = refresh(&second, &[("scope", "https://management.azure.com/.default")]).await;
    assert_eq!(status, 200, "{third}");
    let third = third["refresh_token"].as_str().unwrap().to_owned();
    // The first one again: stolen or replayed. Everything that followed from it ends.
    let (status, refused) = refresh(&first, &[]).await;
    assert_eq!((status, &refused["error"], &refused["error_codes"]), (400, &json!("invalid_grant"), &json!([50_173])));
    assert_eq!(refresh(&third, &[]).await.1["error_codes"], json!([50_173]));

    // A code used twice also revokes what it gave (RFC 6749 §4.1.2).
    let mut browser = Browser::new(&house);
    let code = sign_in(&house, &mut browser, &authorize(&house, &app, &[])).await.answer()["code"].clone();
    let mut redeem = redeem;
    redeem[1].1 = &code;
    let (_, tokens) = token(&house, &house.boot.tenant, "/v2.0", &redeem).await;
    assert_eq!(token(&house, &house.boot.tenant, "/v2.0", &redeem).await.1["error_codes"], json!([54_005]));
    assert_eq!(refresh(tokens["refresh_token"].as_str().unwrap(), &[]).await.1["error_codes"], json!([50_173]));
    // Codes expire.
    let code = sign_in(&house, &mut browser, &authorize(&house, &app, &[])).await.answer()["code"].clone();
    redeem[1].1 = &code;
    house.clock.advance(Span::seconds(601));
    assert_eq!(token(&house, &house.boot.tenant, "/v2.0", &redeem).await.1["error_codes"], json!([70_008]));
}

/// S1-46 … S1-49, S1-54, S1-61, S1-62, S1-65: the consent URL, the code exchange and both answers of the document, as it writes them.
#[tokio::test]
async fn the_requests_of_document_s1_are_served_as_written() {
    let house = House::named(Default::default(), &["localhost", "login.windows.net:443"]).await;
    let manage = "c5393580-f805-4401-95e8-94b7a6ef2fc2";
    let [feed, health] = ["594c1fb6-4f81-4475-ae41-0c394909246c", "e2cea78f-e743-4d8f-a16a-75b629a038ae"];
    let access: Vec<Value> = ["Scope", "Role"].iter().flat_map(|kind| [feed, health].map(|id| json!({ "id": id, "type": kind }))).collect();
    let (app, secret) = register(
        &house,
        json!({
            "displayName": "Office collector", "signInAudience": "AzureADMultipleOrgs",
            "web": { "redirectUris": ["http://www.mycompany.com/myapp/"] },
            "requiredResourceAccess": [{ "resourceAppId": manage, "resourceAccess": access }],
        }),
    )
    .await;
    let id = app["appId"].as_str().unwrap();
    // "HTTP https://login.windows.net/common/oauth2/authorize?response_type=code&resource=…", with this application's id.
    let consent = format!(
        "https://login.windows.net/common/oauth2/authorize?response_type=code&resource=https%3A%2F%2Fmanage.office.com&client_id={id}&redirect_uri=http%3A%2F%2Fwww.mycompany.com%2Fmyapp%2F"
    );
    let mut browser = Browser::with(&house, &["login.windows.net"]);
    let page = sign_in(&house, &mut browser, &consent).await;
    assert!(page.body.contains("ActivityFeed.Read") && page.body.contains("for everyone in this organization"), "{}", page.body);
    let denied = browser.clone().submit(&page, &[("action", "cancel")]).await;
    assert_eq!(denied.answer()["error"], "access_denied");
    let back = browser.submit(&page, &[("action", "accept")]).await;
    assert!(back.location.as_ref().unwrap().starts_with("http://www.mycompany.com/myapp/?code="), "{back:?}");
    let code = back.answer()["code"].clone();
    // The body as written, with the spaces of the document.
    let body = format!(
        "resource=https%3A%2F%2Fmanage.office.com&client_id={id} &redirect_uri= http%3A%2F%2Fwww.mycompany.com%2Fmyapp%2F &client_secret={secret}&grant_type=authorization_code&code= {code}"
    );
    let request = browser.http.post("https://login.windows.net/common/oauth2/token");
    let (status, tokens) = answer(request.header("content-type", "application/x-www-form-urlencoded").body(body)).await;
    assert_eq!(status, 200, "{tokens}");
    assert_eq!((&tokens["expires_in"], &tokens["resource"]), (&json!("3599"), &json!("https://manage.office.com")));
    assert_eq!((&tokens["scope"], &tokens["token_type"]), (&json!("ActivityFeed.Read ServiceHealth.Read"), &json!("Bearer")));
    for field in ["expires_on", "not_before", "access_token", "refresh_token", "id_token"] {
        assert!(tokens[field].is_string(), "{field}: {tokens}");
    }
    let access = claims(&tokens["access_token"]);
    assert_eq!((&access["aud"], &access["ver"], &access["appidacr"]), (&json!("https://manage.office.com"), &json!("1.0"), &json!("1")));
    assert_eq!((&access["appid"], &access["tid"], &access["acr"]), (&json!(id), &json!(house.boot.tenant), &json!("1")));
    assert_eq!(access["scp"], "ActivityFeed.Read ServiceHealth.Read");
    for field in ["oid", "upn", "unique_name", "sub", "name", "iat", "nbf", "exp"] {
        assert!(!access[field].is_null(), "{field}: {access}");
    }
    assert_eq!(access["iss"], format!("https://login.windows.net/{}/", house.boot.tenant));
    // Afterwards the application's own tokens have the roles, and nothing of the person (S1-52).
    let form =
        [("grant_type", "client_credentials"), ("client_id", id), ("client_secret", &secret), ("resource", "https://manage.office.com")];
    let (_, own) = token(&house, &house.boot.tenant, "", &form).await;
    let own = claims(&own["access_token"]);
    assert_eq!(own["roles"], json!(["ActivityFeed.Read", "ServiceHealth.Read"]));
    assert!(own.get("upn").is_none() && own.get("scp").is_none(), "{own}");
}

/// learn.microsoft.com/entra/identity-platform/v2-admin-consent.
#[tokio::test]
async fn an_administrator_grants_or_denies_for_everyone() {
    let house = House::new().await;
    let role = "594c1fb6-4f81-4475-ae41-0c394909246c";
    let required = json!([{ "resourceAppId": "c5393580-f805-4401-95e8-94b7a6ef2fc2", "resourceAccess": [{ "id": role, "type": "Role" }] }]);
    let (app, secret) =
        register(&house, json!({ "displayName": "Daemon", "web": { "redirectUris": [REPLY] }, "requiredResourceAccess": required })).await;
    let id = app["appId"].as_str().unwrap();
    let roles = async || {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", id),
            ("client_secret", &secret),
            ("scope", "https://manage.office.com/.default"),
        ];
        claims(&token(&house, &house.boot.tenant, "/v2.0", &form).await.1["access_token"])["roles"].clone()
    };
    assert_eq!(roles().await, Value::Null);
    let reply = "https%3A%2F%2Fapp.example.org%2Fcb";
    let url = |tail: &str| format!("{}/{}{tail}?client_id={id}&state=s&redirect_uri={reply}", house.base, house.boot.tenant);
    let mut browser = Browser::new(&house);
    let page = sign_in(&house, &mut browser, &url("/adminconsent")).await;
    let denied = browser.submit(&page, &[("action", "cancel")]).await.answer();
    assert_eq!((denied["error"].as_str(), denied["state"].as_str()), ("permission_denied", "s"));
    let page = sign_in(&house, &mut browser, &url("/v2.0/adminconsent")).await;
    let denied = browser.submit(&page, &[("action", "cancel")]).await.answer();
    assert_eq!((denied["error"].as_str(), denied["admin_consent"].as_str()), ("consent_required", "True"));
    assert_eq!(roles().await, Value::Null);
    assert!(!house.pipeline.store().consents().answer(id).await.unwrap().unwrap().granted);
    let page = sign_in(&house, &mut browser, &url("/v2.0/adminconsent")).await;
    let granted = browser.submit(&page, &[("action", "accept")]).await.answer();
    assert_eq!((granted["admin_consent"].as_str(), granted["tenant"].as_str()), ("True", house.boot.tenant.as_str()));
    assert_eq!(roles().await, json!(["ActivityFeed.Read"]));
    let stored = house.pipeline.store().consents().answer(id).await.unwrap().unwrap();
    assert!(stored.granted && stored.by == "admin");
    // The change is in the audit trail, by the person who signed in.
    let entries = house.pipeline.store().audit().of("app registration", id).await.unwrap();
    assert!(entries.iter().any(|entry| entry.action == "consent granted" && entry.actor.name == "admin@bartizan.local"), "{entries:?}");
    // Graph shows the role and withdraws it.
    let (_, principal) = answer(house.call(GRAPH, Method::GET, &format!("/v1.0/servicePrincipals?$filter=appId eq '{id}'")).await).await;
    let path = format!("/v1.0/servicePrincipals/{}/appRoleAssignments", principal["value"][0]["id"].as_str().unwrap());
    let (_, list) = answer(house.call(GRAPH, Method::GET, &path).await).await;
    assert_eq!(list["value"][0]["appRoleId"], role);
    let one = format!("{path}/{}", list["value"][0]["id"].as_str().unwrap());
    assert_eq!(answer(house.call(GRAPH, Method::DELETE, &one).await).await.0, 204);
    assert_eq!(roles().await, Value::Null);
}

/// RFC 8628; learn.microsoft.com/entra/identity-platform/v2-oauth2-device-code.
#[tokio::test]
async fn a_device_without_a_browser_gets_tokens() {
    let house = House::new().await;
    let (app, _) = register(&house, json!({ "displayName": "Tool", "isFallbackPublicClient": true })).await;
    let id = app["appId"].as_str().unwrap();
    let start = async || {
        let form = [("client_id", id), ("scope", "https://management.azure.com/.default offline_access openid")];
        answer(house.http.post(format!("{}/{}/oauth2/v2.0/devicecode", house.base, house.boot.tenant)).form(&form)).await.1
    };
    let poll = async |code: &Value| {
        let form =
            [("grant_type", "urn:ietf:params:oauth:grant-type:device_code"), ("client_id", id), ("device_code", code.as_str().unwrap())];
        token(&house, &house.boot.tenant, "/v2.0", &form).await
    };
    let started = start().await;
    assert!(started["message"].as_str().unwrap().contains(started["user_code"].as_str().unwrap()), "{started}");
    assert_eq!((&started["expires_in"], &started["interval"]), (&json!(900), &json!(5)));
    assert_eq!(poll(&started["device_code"]).await.1["error"], "authorization_pending");
    assert_eq!(poll(&started["device_code"]).await.1["error"], "slow_down");
    let mut browser = Browser::new(&house);
    let approve = async |browser: &mut Browser, code: &str, action: &str| {
        let page = browser.get(started["verification_uri"].as_str().unwrap()).await;
        let fields = [("user_code", code), ("username", "admin"), ("password", &house.boot.admin_password), ("action", "sign-in")];
        let page = browser.submit(&page, &fields).await;
        if !page.body.contains("Are you signing in to Tool?") {
            return page;
        }
        browser.submit(&page, &[("action", action)]).await
    };
    assert!(approve(&mut browser, "BCDFGHJK", "accept").await.body.contains("unknown or has expired"));
    let typed = started["user_code"].as_str().unwrap().to_lowercase();
    let typed = format!("{}-{}", &typed[..4], &typed[4..]);
    assert!(approve(&mut browser, &typed, "accept").await.body.contains("You are signed in on your device"));
    let (status, tokens) = poll(&started["device_code"]).await;
    assert_eq!(status, 200, "{tokens}");
    assert_eq!(claims(&tokens["access_token"])["scp"], "user_impersonation");
    assert!(tokens["refresh_token"].is_string() && tokens["id_token"].is_string());
    // Once only.
    assert_eq!(poll(&started["device_code"]).await.1["error"], "bad_verification_code");
    // Denied, and expired.
    let denied = start().await;
    approve(&mut browser, denied["user_code"].as_str().unwrap(), "cancel").await;
    assert_eq!(poll(&denied["device_code"]).await.1["error"], "authorization_declined");
    let late = start().await;
    house.clock.advance(Span::seconds(901));
    assert_eq!(poll(&late["device_code"]).await.1["error"], "expired_token");
}

#[tokio::test]
async fn a_delegated_token_does_no_more_than_its_scopes() {
    let house = House::new().await;
    let (app, secret) = web_app(&house).await;
    let id = app["appId"].as_str().unwrap();
    let mut browser = Browser::new(&house);
    let page = sign_in(&house, &mut browser, &authorize(&house, &app, &[("scope", "User.Read")])).await;
    let code = browser.submit(&page, &[("action", "accept")]).await.answer()["code"].clone();
    let form = [
        ("grant_type", "authorization_code"),
        ("client_id", id),
        ("client_secret", secret.as_str()),
        ("code", code.as_str()),
        ("redirect_uri", REPLY),
        ("code_verifier", VERIFIER),
    ];
    let (status, tokens) = token(&house, &house.boot.tenant, "/v2.0", &form).await;
    assert_eq!(status, 200, "{tokens}");
    assert!(tokens.get("id_token").is_none() && tokens.get("refresh_token").is_none(), "neither was asked for");
    // The person owns the tenant; the application was only allowed to read the profile.
    let graph = house.http.get(format!("{}/v1.0/applications", house.base)).bearer_auth(tokens["access_token"].as_str().unwrap());
    let (status, refused) = answer(graph).await;
    assert_eq!((status.as_u16(), &refused["error"]["code"]), (403, &json!("Authorization_RequestDenied")));
    let arm = house.http.get(format!("{}/subscriptions?api-version=2022-12-01", house.base));
    assert_eq!(answer(arm.bearer_auth(tokens["access_token"].as_str().unwrap())).await.0, 401, "another audience");
}
