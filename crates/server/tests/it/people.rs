//! People: signing in, sessions, second factors, administration and rights.
//!
//! Sources of expected results: RFC 6265bis (cookies), RFC 6238 (codes), OWASP's cheat sheets on sessions and cross-site requests, and
//! Graph's reference of `user` and `group`.

use hmac::{Hmac, Mac};
use model::{Secret, Span};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use sha1::Sha1;

use crate::house::{ARM, House, answer, noon};

const GRAPH: &str = "https://graph.microsoft.com";
const PASSWORD: &str = "correct horse battery";
const READER: &str = "acdd72a7-3385-48ef-bd42-f606fba81ae7";

/// A browser with one cookie.
struct Browser<'h> {
    house: &'h House,
    cookie: String,
    token: String,
}

impl<'h> Browser<'h> {
    async fn sign_in(house: &'h House, user: &str, password: &str, code: Option<&str>) -> Result<(Self, Value), (u16, Value)> {
        let mut browser = Browser { house, cookie: String::new(), token: String::new() };
        let body = json!({ "user": user, "password": password, "code": code });
        let (status, body) = browser.send(house.http.post(format!("{}/api/v1/session", house.base)).json(&body)).await;
        if status == 200 { Ok((browser, body)) } else { Err((status, body)) }
    }

    async fn send(&mut self, request: RequestBuilder) -> (u16, Value) {
        let response = request.header("cookie", &self.cookie).send().await.unwrap();
        if let Some(cookie) = response.headers().get("set-cookie") {
            let cookie = cookie.to_str().unwrap();
            assert!(cookie.starts_with("__Host-bartizan="), "{cookie}");
            for flag in ["; Path=/", "; Secure", "; HttpOnly", "; SameSite=Lax"] {
                assert!(cookie.contains(flag), "{cookie}");
            }
            assert!(!cookie.contains("Domain"), "{cookie}");
            self.cookie = cookie.split(';').next().unwrap().to_owned();
        }
        let status = response.status().as_u16();
        let text = response.text().await.unwrap();
        let body: Value = serde_json::from_str(&text).unwrap_or(Value::String(text));
        if let Some(token) = body["csrf_token"].as_str() {
            self.token = token.to_owned();
        }
        (status, body)
    }

    async fn call(&mut self, method: Method, path: &str, body: Option<Value>) -> (u16, Value) {
        let mut request = self.house.http.request(method, format!("{}{path}", self.house.base)).header("x-csrf-token", &self.token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        self.send(request).await
    }

    async fn get(&mut self, path: &str) -> u16 {
        self.call(Method::GET, path, None).await.0
    }
}

async fn admin(house: &House) -> Browser<'_> {
    Browser::sign_in(house, "admin", &house.boot.admin_password, None).await.map_err(|(_, body)| body.to_string()).unwrap().0
}

/// A person who has chosen [`PASSWORD`]; returns the object id.
async fn person(house: &House, name: &str) -> String {
    let mut admin = admin(house).await;
    let (status, made) = admin.call(Method::POST, "/api/v1/users", Some(json!({ "name": name }))).await;
    assert_eq!(status, 201, "{made}");
    let initial = made["initial_password"].as_str().unwrap();
    let (mut browser, session) = Browser::sign_in(house, name, initial, None).await.map_err(|(_, body)| body.to_string()).unwrap();
    assert_eq!(session["user"]["must_change_password"], true);
    let (status, refused) = browser.call(Method::GET, "/api/v1/rules", None).await;
    assert_eq!((status, refused["error"]["code"].as_str()), (403, Some("PasswordChangeRequired")));
    let body = json!({ "password": initial, "new_password": PASSWORD });
    let (status, changed) = browser.call(Method::POST, "/api/v1/session/password", Some(body)).await;
    assert_eq!((status, &changed["user"]["must_change_password"]), (200, &json!(false)), "{changed}");
    made["user"]["object_id"].as_str().unwrap().to_owned()
}

/// RFC 6238 in the test's own words; the key is that of a URI.
fn code(uri: &str, seconds: i64) -> String {
    let key = uri.split("secret=").nth(1).unwrap().split('&').next().unwrap();
    let bits: String = key.bytes().map(|c| format!("{:05b}", if c.is_ascii_digit() { c - b'2' + 26 } else { c - b'A' })).collect();
    let key: Vec<u8> = (0..bits.len() / 8).map(|at| u8::from_str_radix(&bits[at * 8..at * 8 + 8], 2).unwrap()).collect();
    let mut mac = <Hmac<Sha1> as Mac>::new_from_slice(&key).unwrap();
    mac.update(&(seconds / 30).to_be_bytes());
    let hash = mac.finalize().into_bytes();
    let at = (hash[19] & 15) as usize;
    let word = u32::from_be_bytes(hash[at..at + 4].try_into().unwrap()) & 0x7fff_ffff;
    format!("{:06}", word % 1_000_000)
}

async fn assign(house: &House, principal: &str, role: &str) {
    let name = uuid::Uuid::new_v4();
    let path = format!("{}/providers/Microsoft.Authorization/roleAssignments/{name}?api-version=2022-04-01", house.workspace());
    let body = json!({ "properties": { "roleDefinitionId": role, "principalId": principal } });
    let (status, body) = answer(house.call(ARM, Method::PUT, &path).await.json(&body)).await;
    assert_eq!(status.as_u16(), 201, "{body}");
}

#[tokio::test]
async fn the_administrator_signs_in_and_has_a_session() {
    let house = House::new().await;
    let name = format!("ADMIN@{}", "bartizan.local");
    let (mut browser, session) =
        Browser::sign_in(&house, &name, &house.boot.admin_password, None).await.map_err(|(_, body)| body.to_string()).unwrap();
    assert_eq!(session["user"]["user_principal_name"], "admin@bartizan.local");
    assert_eq!(session["cloud"]["workspace_id"], house.boot.cloud.workspace_id);
    assert_eq!(browser.get("/api/v1/users").await, 200);
    // The role is held at the workspace, so not over the directory.
    assert_eq!(browser.get("/v1.0/applications").await, 403);
    let (_, list) = browser.call(Method::GET, "/api/v1/sessions", None).await;
    assert_eq!((list["sessions"].as_array().unwrap().len(), &list["sessions"][0]["current"]), (1, &json!(true)));
    let before = browser.cookie.clone();
    assert_eq!(browser.call(Method::DELETE, "/api/v1/session", None).await.0, 204);
    assert_eq!(browser.cookie, "__Host-bartizan=", "the cookie is removed");
    browser.cookie = before;
    assert_eq!(browser.get("/api/v1/users").await, 401);
    let (status, body) = answer(house.call(&house.base, Method::GET, "/api/v1/session").await).await;
    assert_eq!((status.as_u16(), body["error"]["code"].as_str()), (403, Some("PersonRequired")), "an application has no session");
}

#[tokio::test]
async fn requests_of_other_sites_are_refused() {
    let house = House::new().await;
    let mut browser = admin(&house).await;
    let users = format!("{}/api/v1/users", house.base);
    let body = json!({ "name": "bo" });
    let good = browser.token.clone();
    for token in ["", "wrong", &good[1..]] {
        let (status, body) = browser.send(house.http.post(&users).header("x-csrf-token", token).json(&body)).await;
        assert_eq!((status, body["error"]["code"].as_str()), (403, Some("CsrfTokenInvalid")), "{body}");
    }
    for origin in ["https://evil.example", "null", "http://localhost"] {
        let request = house.http.post(&users).header("x-csrf-token", &good).header("origin", origin).json(&body);
        assert_eq!(browser.send(request).await.0, 403, "{origin}");
    }
    let request = house.http.post(&users).header("x-csrf-token", &good).header("origin", &house.base).json(&body);
    assert_eq!(browser.send(request).await.0, 201);
    // The token of another session is of no use.
    let other = admin(&house).await;
    assert_eq!(browser.send(house.http.delete(format!("{users}/bo")).header("x-csrf-token", &other.token)).await.0, 403);
    // A page cannot sign its own account in: forms and plain text are not accepted.
    let sign_in = format!("{}/api/v1/session", house.base);
    let text = json!({ "user": "admin", "password": house.boot.admin_password }).to_string();
    for kind in ["text/plain", "application/x-www-form-urlencoded"] {
        let (status, _) = answer(house.http.post(&sign_in).header("content-type", kind).body(text.clone())).await;
        assert_eq!(status.as_u16(), 415);
    }
    let (status, _) =
        answer(house.http.post(&sign_in).header("content-type", "application/json").header("origin", "https://evil.example").body(text))
            .await;
    assert_eq!(status.as_u16(), 403);
}

#[tokio::test]
async fn a_cookie_planted_before_signing_in_is_worth_nothing() {
    let house = House::new().await;
    let mut planted = admin(&house).await;
    let body = json!({ "user": "admin", "password": house.boot.admin_password });
    let mut victim = Browser { house: &house, cookie: planted.cookie.clone(), token: String::new() };
    assert_eq!(victim.send(house.http.post(format!("{}/api/v1/session", house.base)).json(&body)).await.0, 200);
    assert_ne!(victim.cookie, planted.cookie);
    assert_eq!((victim.get("/api/v1/users").await, planted.get("/api/v1/users").await), (200, 401));
}

#[tokio::test]
async fn guessing_is_slowed_down_whatever_the_spelling() {
    let house = House::new().await;
    let mut seen = Vec::new();
    for name in ["admin", "ADMIN", " admin ", "\u{ff41}dmin", "admin@bartizan.local", "Admin", "aDMIN@BARTIZAN.LOCAL"] {
        let (status, body) = Browser::sign_in(&house, name, "wrong", None).await.map(|_| ()).unwrap_err();
        seen.push((status, body["error"]["code"].as_str().unwrap().to_owned()));
    }
    let wrong = (401, "InvalidCredentials".to_owned());
    let slow = (429, "TooManyRequests".to_owned());
    assert_eq!(seen, [vec![wrong.clone(); 5], vec![slow.clone(); 2]].concat());
    // The right password does not help either, until the wait is over.
    let early = Browser::sign_in(&house, "admin", &house.boot.admin_password, None).await.map(|_| ()).unwrap_err();
    assert_eq!(early.0, 429);
    house.clock.advance(Span::seconds(2));
    assert!(Browser::sign_in(&house, "admin", &house.boot.admin_password, None).await.is_ok());
    // Unknown names are answered like known ones.
    let (status, unknown) = Browser::sign_in(&house, "nobody", "wrong", None).await.map(|_| ()).unwrap_err();
    assert_eq!((status, unknown["error"]["message"].as_str()), (401, Some("The user name or the password is wrong.")));
}

#[tokio::test]
async fn sessions_end_when_idle_and_after_their_lifetime() {
    let house = House::new().await;
    let mut idle = admin(&house).await;
    house.clock.advance(Span::HOUR);
    assert_eq!(idle.call(Method::GET, "/api/v1/users", None).await.1["error"]["code"], "SessionExpired");
    let mut busy = admin(&house).await;
    for _ in 0..23 {
        house.clock.advance(Span(30 * Span::MINUTE.0));
        assert_eq!(busy.get("/api/v1/users").await, 200);
    }
    house.clock.advance(Span(30 * Span::MINUTE.0));
    assert_eq!(busy.get("/api/v1/users").await, 401);
}

#[tokio::test]
async fn a_new_password_ends_other_sessions_and_rotates_this_one() {
    let house = House::new().await;
    let object_id = person(&house, "ann").await;
    let (mut one, _) = Browser::sign_in(&house, "ann", PASSWORD, None).await.map_err(drop).unwrap();
    let (mut other, _) = Browser::sign_in(&house, "ann", PASSWORD, None).await.map_err(drop).unwrap();
    let change = |old: &str, new: &str| Some(json!({ "password": old, "new_password": new }));
    for (old, new, status, code) in [
        ("wrong", "another long password", 403, "InvalidCredentials"),
        (PASSWORD, "short", 400, "PasswordNotAllowed"),
        (PASSWORD, "Password1234", 400, "PasswordNotAllowed"),
        (PASSWORD, PASSWORD, 400, "PasswordNotAllowed"),
    ] {
        let (found, body) = one.call(Method::POST, "/api/v1/session/password", change(old, new)).await;
        assert_eq!((found, body["error"]["code"].as_str()), (status, Some(code)), "{body}");
    }
    let before = one.cookie.clone();
    assert_eq!(one.call(Method::POST, "/api/v1/session/password", change(PASSWORD, "another long password")).await.0, 200);
    assert_ne!(one.cookie, before);
    assert_eq!((one.get("/api/v1/session").await, other.get("/api/v1/session").await), (200, 401));
    one.cookie = before;
    assert_eq!(one.get("/api/v1/session").await, 401);
    assert!(Browser::sign_in(&house, "ann", PASSWORD, None).await.is_err());
    let store = house.pipeline.store();
    let actions: Vec<String> = store.audit().of("account", &object_id).await.unwrap().into_iter().map(|entry| entry.action).collect();
    assert_eq!(actions, ["created", "password changed", "password changed"]);
    let text = format!("{:?}", store.audit().of("account", &object_id).await.unwrap());
    assert!(!text.contains(PASSWORD) && !text.contains("argon2"), "{text}");
}

#[tokio::test]
async fn a_second_factor_is_required_and_each_code_accepted_once() {
    let house = House::new().await;
    person(&house, "ann").await;
    let (mut browser, _) = Browser::sign_in(&house, "ann", PASSWORD, None).await.map_err(drop).unwrap();
    let proof = || Some(json!({ "password": PASSWORD }));
    let (_, key) = browser.call(Method::POST, "/api/v1/session/totp", proof()).await;
    let uri = key["uri"].as_str().unwrap().to_owned();
    assert!(uri.starts_with("otpauth://totp/Bartizan:ann?secret="), "{uri}");
    // Not in effect before it is confirmed.
    assert!(Browser::sign_in(&house, "ann", PASSWORD, None).await.is_ok());
    let mut now = noon().unix_seconds();
    let confirm = |code: String| Some(json!({ "code": code }));
    let path = "/api/v1/session/totp/confirm";
    assert_eq!(browser.call(Method::POST, path, confirm(code(&uri, now - 300))).await.0, 400);
    let (status, codes) = browser.call(Method::POST, path, confirm(code(&uri, now))).await;
    assert_eq!((status, codes["recovery_codes"].as_array().unwrap().len()), (200, 10), "{codes}");
    let recovery = codes["recovery_codes"][0].as_str().unwrap().to_owned();

    let refusal = |result: Result<(Browser<'_>, Value), (u16, Value)>| result.map(|_| ()).unwrap_err().1["error"]["code"].clone();
    assert_eq!(refusal(Browser::sign_in(&house, "ann", PASSWORD, None).await), "SecondFactorRequired");
    // The code that confirmed the app is used up.
    assert_eq!(refusal(Browser::sign_in(&house, "ann", PASSWORD, Some(&code(&uri, now))).await), "InvalidSecondFactor");
    house.clock.advance(Span::seconds(30));
    now += 30;
    let (_, session) = Browser::sign_in(&house, "ann", PASSWORD, Some(&code(&uri, now))).await.map_err(drop).unwrap();
    assert_eq!((&session["second_factor"], &session["user"]["recovery_codes_left"]), (&json!(true), &json!(10)));
    assert_eq!(refusal(Browser::sign_in(&house, "ann", PASSWORD, Some(&code(&uri, now))).await), "InvalidSecondFactor");
    let (_, session) = Browser::sign_in(&house, "ann", PASSWORD, Some(&recovery.to_uppercase())).await.map_err(drop).unwrap();
    assert_eq!(session["user"]["recovery_codes_left"], 9);
    assert_eq!(refusal(Browser::sign_in(&house, "ann", PASSWORD, Some(&recovery)).await), "InvalidSecondFactor");

    let (status, _) = admin(&house).await.call(Method::POST, "/api/v1/users/ann/reset-totp", None).await;
    assert_eq!(status, 200);
    assert_eq!(browser.get("/api/v1/session").await, 401);
    assert!(Browser::sign_in(&house, "ann", PASSWORD, None).await.is_ok());
}

#[tokio::test]
async fn people_and_groups_are_principals() {
    let house = House::new().await;
    let ann = person(&house, "ann").await;
    let (mut browser, _) = Browser::sign_in(&house, "ann", PASSWORD, None).await.map_err(drop).unwrap();
    let query = format!("/v1/workspaces/{}/query?query=T", house.boot.cloud.workspace_id);
    assert_eq!(browser.get(&query).await, 403);
    let mut admin = admin(&house).await;
    let (_, group) = admin.call(Method::POST, "/api/v1/groups", Some(json!({ "name": "Readers" }))).await;
    assign(&house, group["object_id"].as_str().unwrap(), READER).await;
    assert_eq!(browser.get(&query).await, 403);
    let (status, group) = admin.call(Method::PUT, "/api/v1/groups/readers/members/ANN", None).await;
    assert_eq!((status, &group["members"][0]["name"]), (200, &json!("ann")));
    assert_eq!(browser.get(&query).await, 200);
    let listed = async |filter: &str| {
        let path = "/providers/Microsoft.Authorization/roleAssignments?api-version=2022-04-01&$filter=";
        let (_, list) = answer(house.call(ARM, Method::GET, &format!("{}{path}{filter}('{ann}')", house.workspace())).await).await;
        list["value"].as_array().map(|list| list.iter().map(|each| each["properties"]["principalType"].clone()).collect::<Vec<_>>())
    };
    assert_eq!(listed("assignedTo").await, Some(vec![json!("Group")]), "through the group");
    // A reader may not change.
    let table = format!("{}/tables/T_CL?api-version=2022-10-01", house.workspace());
    assert_eq!(browser.call(Method::PUT, &table, Some(json!({}))).await.0, 403);
    assert_eq!(browser.get("/api/v1/users").await, 403);
    admin.call(Method::DELETE, "/api/v1/groups/Readers/members/ann", None).await;
    assert_eq!(browser.get(&query).await, 403);
    assign(&house, &ann, READER).await;
    assert_eq!(browser.get(&query).await, 200);
    let list = format!(
        "{}/providers/Microsoft.Authorization/roleAssignments?api-version=2022-04-01&$filter=principalId eq '{ann}'",
        house.workspace()
    );
    let (_, list) = answer(house.call(ARM, Method::GET, &list).await).await;
    assert_eq!(list["value"][0]["properties"]["principalType"], "User");

    // Disabled, the account has no access at once; deleted, it has no role either.
    assert_eq!(admin.call(Method::POST, "/api/v1/users/ann/disable", None).await.0, 200);
    assert_eq!(browser.get(&query).await, 401);
    let (status, body) = Browser::sign_in(&house, "ann", PASSWORD, None).await.map(|_| ()).unwrap_err();
    assert_eq!((status, body["error"]["code"].as_str()), (403, Some("AccountDisabled")));
    assert_eq!(admin.call(Method::DELETE, "/api/v1/users/ann", None).await.0, 204);
    assert_eq!(house.pipeline.store().role_assignments().list().await.unwrap().iter().filter(|each| each.principal_id == ann).count(), 0);
    assert_eq!(admin.call(Method::GET, "/api/v1/users/ann", None).await.0, 404);
}

#[tokio::test]
async fn nobody_takes_over_an_account_that_owns_more() {
    let house = House::new().await;
    let ann = person(&house, "ann").await;
    let mut change = house.pipeline.store().begin().await.unwrap();
    let owner = store::RoleAssignment {
        name: uuid::Uuid::new_v4().to_string(),
        scope: "/".to_owned(),
        definition_id: server::OWNER.to_owned(),
        principal_id: ann,
        created: noon(),
        created_by: "test".to_owned(),
    };
    change.add_role_assignment(&owner).await.unwrap();
    change.commit().await.unwrap();
    let mut admin = admin(&house).await;
    // Role assignments are read again with the next change.
    assert_eq!(admin.call(Method::POST, "/api/v1/groups", Some(json!({ "name": "x" }))).await.0, 201);
    assert_eq!(admin.call(Method::POST, "/api/v1/users/ann/reset-password", Some(json!({}))).await.0, 403);
    assert_eq!(admin.call(Method::DELETE, "/api/v1/users/ann", None).await.0, 403);
    // Not oneself either: that needs the password.
    assert_eq!(admin.call(Method::POST, "/api/v1/users/admin/disable", None).await.0, 409);
    assert_eq!(admin.call(Method::POST, "/api/v1/users/admin/reset-password", Some(json!({}))).await.0, 409);
    let (status, _) = answer(house.call(&house.base, Method::POST, "/api/v1/users/ann/reset-password").await.json(&json!({}))).await;
    assert_eq!(status.as_u16(), 200, "the first application owns everything");
}

#[tokio::test]
async fn names_are_checked_and_unique() {
    let house = House::new().await;
    let mut admin = admin(&house).await;
    let long = "x".repeat(257);
    let add = |name: &str| Some(json!({ "name": name }));
    for name in ["", " ", "a b", "a/b", "a\u{200b}b", "-a", "a\nb", &long, "11111111-1111-1111-1111-111111111111"] {
        let (status, body) = admin.call(Method::POST, "/api/v1/users", add(name)).await;
        assert_eq!((status, body["error"]["code"].as_str()), (400, Some("InvalidUserName")), "{name:?}: {body}");
    }
    for name in ["Ren\u{e9}", "o'neil@example.org", "bo@bartizan.local"] {
        assert_eq!(admin.call(Method::POST, "/api/v1/users", add(name)).await.0, 201, "{name}");
    }
    for name in ["rene\u{301}", "RENE\u{301}", "BO", "bo@Bartizan.Local", "ADMIN"] {
        assert_eq!(admin.call(Method::POST, "/api/v1/users", add(name)).await.0, 409, "{name}");
    }
    let (status, body) = admin.call(Method::POST, "/api/v1/users", Some(json!({ "name": "cy", "password": "short" }))).await;
    assert_eq!((status, body["error"]["code"].as_str()), (400, Some("PasswordNotAllowed")));
    let (status, body) = admin.call(Method::PATCH, "/api/v1/users/bo", Some(json!({ "email": "bo@example.org" }))).await;
    assert_eq!((status, &body["email"], &body["display_name"]), (200, &json!("bo@example.org"), &json!("bo")));
    let (_, body) = admin.call(Method::PATCH, "/api/v1/users/bo", Some(json!({ "email": null, "display_name": "Bo" }))).await;
    assert_eq!((&body["email"], &body["display_name"]), (&Value::Null, &json!("Bo")));
}

#[tokio::test]
async fn graph_lists_people_and_groups() {
    let house = House::new().await;
    let ann = person(&house, "ann").await;
    admin(&house).await.call(Method::POST, "/api/v1/groups", Some(json!({ "name": "Readers" }))).await;
    for (path, found) in [
        ("/v1.0/users".to_owned(), 2),
        ("/v1.0/users?$filter=userPrincipalName eq 'ANN@bartizan.local'".to_owned(), 1),
        ("/v1.0/users?$filter=displayName eq 'Administrator'".to_owned(), 1),
        ("/v1.0/users?$filter=displayName eq 'x'".to_owned(), 0),
        ("/v1.0/groups?$filter=displayName eq 'readers'".to_owned(), 1),
    ] {
        let (status, body) = answer(house.call(GRAPH, Method::GET, &path).await).await;
        assert_eq!((status.as_u16(), body["value"].as_array().map(Vec::len)), (200, Some(found)), "{path}: {body}");
    }
    for id in [ann.as_str(), "ann@bartizan.local"] {
        let (_, user) = answer(house.call(GRAPH, Method::GET, &format!("/v1.0/users/{id}")).await).await;
        assert_eq!((&user["id"], &user["accountEnabled"]), (&json!(ann), &json!(true)), "{user}");
    }
    let (status, body) = answer(house.call(GRAPH, Method::GET, "/v1.0/users/nobody").await).await;
    assert_eq!((status.as_u16(), body["error"]["code"].as_str()), (404, Some("Request_ResourceNotFound")));
    let (status, _) = answer(house.call(GRAPH, Method::GET, "/v1.0/users?$filter=mail eq 'x'").await).await;
    assert_eq!(status.as_u16(), 400);
}

#[tokio::test]
async fn the_interface_of_sign_in_pages_says_why() {
    use server::identity::{SignIn, SignInError};
    let house = House::new().await;
    let ann = person(&house, "ann").await;
    let here = "192.0.2.1".parse().unwrap();
    let secret = |text: &str| Secret::new(text.to_owned());
    let found = house.people.sign_in("Ann", &secret(PASSWORD), None, here).await.unwrap();
    assert_eq!((&found.object_id, found.name.as_str()), (&ann, "ann"));
    assert_eq!(house.people.find(&ann.to_uppercase()).await.unwrap(), Some(found));
    assert!(matches!(house.people.sign_in("ann", &secret("wrong"), None, here).await, Err(SignInError::WrongCredentials)));
    let (_, made) = admin(&house).await.call(Method::POST, "/api/v1/users", Some(json!({ "name": "bo" }))).await;
    let initial = secret(made["initial_password"].as_str().unwrap());
    assert!(matches!(house.people.sign_in("bo", &initial, None, here).await, Err(SignInError::PasswordChangeRequired)));
}
