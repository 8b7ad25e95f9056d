//! The on-call API: objects, documents, who is on call, signed URLs, and links in messages.

use std::time::Duration;

use oncall::answer::Action;
use oncall::records;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use store::{PageFilter, Topic};

use crate::house::{ARM, House, answer};

const TEAM: &str = "\
users:
  ann: { name: Ann <Berg>, time_zone: Europe/Oslo, contacts: { mail: { email: ann@example.org } } }
  bo: { name: Bo, contacts: { mail: { email: bo@example.org } } }
schedules:
  week:
    time_zone: Europe/Oslo
    layers: [{ name: only, rotation: { every: week, start: 2026-01-05T08:00, users: [ann, bo] } }]
escalation_policies:
  all: { steps: [{ targets: [schedule:week] }] }
alert_policies:
  all: { escalation_policy: all }
heartbeats:
  backup: { every: 1d }
";

async fn ours(house: &House, method: Method, path: &str) -> reqwest::RequestBuilder {
    house.call(&house.base.clone(), method, &format!("/api/v1/oncall/{path}")).await
}

async fn apply(house: &House, document: &str) -> (StatusCode, Value) {
    answer(ours(house, Method::POST, "apply").await.header("content-type", "application/yaml").body(document.to_owned())).await
}

#[tokio::test]
async fn objects_are_changed_one_by_one_under_their_etags() {
    let house = House::new().await;
    let user = json!({ "name": "Ann", "contacts": { "mail": { "email": "ann@example.org" } } });
    let made = ours(&house, Method::PUT, "users/ann").await.json(&user).send().await.unwrap();
    assert_eq!(made.status(), 201);
    let etag = made.headers()["etag"].to_str().unwrap().to_owned();
    let read = ours(&house, Method::GET, "users/ann").await.send().await.unwrap();
    assert_eq!((read.status().as_u16(), read.headers()["etag"].to_str().unwrap()), (200, etag.as_str()));
    assert_eq!(read.json::<Value>().await.unwrap()["name"], "Ann");

    // RFC 9110 §13.1: a failed condition is 412, and nothing changes.
    let stale = "\"00000000-0000-0000-0000-000000000000\"";
    for (name, value) in [("if-match", stale), ("if-none-match", "*")] {
        let (status, body) = answer(ours(&house, Method::PUT, "users/ann").await.header(name, value).json(&user)).await;
        assert_eq!((status.as_u16(), body["error"]["code"].as_str()), (412, Some("PreconditionFailed")), "{name}: {body}");
    }
    let changed = json!({ "name": "Ann Berg", "contacts": { "mail": { "email": "ann@example.org" } } });
    let (status, _) = answer(ours(&house, Method::PUT, "users/ann").await.header("if-match", &etag).json(&changed)).await;
    assert_eq!(status, 200);

    // Unknown names, with suggestions.
    let policy = json!({ "steps": [{ "targets": ["user:anm"] }] });
    let (status, body) = answer(ours(&house, Method::PUT, "escalation_policies/p").await.json(&policy)).await;
    assert_eq!(status, 400, "{body}");
    assert!(body["error"]["message"].as_str().unwrap().contains("Did you mean `ann`?"), "{body}");
    let (status, body) = answer(ours(&house, Method::GET, "user/ann").await).await;
    assert!(status == 404 && body["error"]["message"].as_str().unwrap().contains("'users'"), "{body}");
    let (status, body) = answer(ours(&house, Method::GET, "users/amn").await).await;
    assert!(status == 404 && body["error"]["message"].as_str().unwrap().contains("Did you mean 'ann'?"), "{body}");

    // Objects in use cannot be deleted.
    let policy = json!({ "steps": [{ "targets": ["user:ann"] }] });
    assert_eq!(answer(ours(&house, Method::PUT, "escalation_policies/p").await.json(&policy)).await.0, 201);
    assert_eq!(answer(ours(&house, Method::DELETE, "users/ann").await).await.0, 400);
    assert_eq!(answer(ours(&house, Method::DELETE, "escalation_policies/p").await).await.0, 204);
    assert_eq!(answer(ours(&house, Method::DELETE, "users/ann").await).await.0, 204);
    assert_eq!(answer(ours(&house, Method::DELETE, "users/ann").await).await.0, 404);
}

/// Contacts written through the API cannot name commands, files or variables of the service; addresses are sealed before they are stored.
#[tokio::test]
async fn contacts_name_no_commands_and_addresses_are_sealed() {
    let house = House::new().await;
    for reference in ["exec:/usr/bin/id", "exec:sh -c id", "file:/etc/passwd", "env:PATH", "secret:room", "sealed:AAAAAAAAAAAAAAAAAAAAAAAA"]
    {
        let user = json!({ "name": "Eve", "contacts": { "room": { "slack": reference } } });
        let (status, body) = answer(ours(&house, Method::PUT, "users/eve").await.json(&user)).await;
        assert_eq!(status, 400, "{reference}: {body}");
        let document = json!({ "users": { "eve": user } }).to_string();
        assert_eq!(apply(&house, &document).await.0, 400, "{reference}");
        let (_, body) = answer(ours(&house, Method::POST, "check").await.body(document)).await;
        assert_eq!(body["problems"][0]["path"], "users.eve.contacts.room", "{body}");
    }
    assert_eq!(answer(ours(&house, Method::GET, "users").await).await.1, json!({ "value": [] }));

    let room = "https://hooks.slack.com/services/T0/B0/geheim";
    let user = json!({ "name": "Eve", "contacts": { "room": { "slack": room } } });
    let (status, body) = answer(ours(&house, Method::PUT, "users/eve").await.json(&user)).await;
    assert_eq!(status, 201, "{body}");
    let (_, exported) = answer(ours(&house, Method::GET, "export").await).await;
    for shown in [&body, &exported] {
        assert!(!shown.to_string().contains("geheim"), "{shown}");
    }
    assert!(body["contacts"]["room"]["slack"].as_str().unwrap().starts_with("sealed:"), "{body}");
    assert_eq!(apply(&house, &exported.to_string()).await.1, json!({ "changes": [] }), "what was exported can be applied again");
    assert_eq!(answer(ours(&house, Method::PUT, "users/eve").await.json(&user)).await.0, 200);
}

/// Two documents of 2 MB with only invalid names are checked concurrently with other requests, on one I/O thread. Regression test: this
/// used to block all requests for minutes.
#[tokio::test]
async fn checks_of_large_documents_do_not_block_requests() {
    use std::fmt::Write as _;
    let house = House::new().await;
    let mut users = String::new();
    for n in 0..20_000 {
        let _ =
            write!(users, "\"some-person-of-the-team-{n:05}\":{{\"name\":\"x\",\"contacts\":{{\"m\":{{\"email\":\"a@example.org\"}}}}}},");
    }
    let mut policies = String::new();
    for n in 0..10_000 {
        let _ = write!(policies, "\"p{n}\":{{\"steps\":[{{\"targets\":[\"user:some-person-of-the-taem-{n:05}\"]}}]}},");
    }
    let document =
        format!("{{\"users\":{{{}}},\"escalation_policies\":{{{}}}}}", users.trim_end_matches(','), policies.trim_end_matches(','));
    assert!(document.len() > 2_000_000, "{}", document.len());
    let check = async || answer(ours(&house, Method::POST, "check").await.body(document.clone())).await;
    let checks = async { tokio::join!(check(), check()) };
    tokio::pin!(checks);
    let (mut slowest, mut probes) = (Duration::ZERO, 0);
    let (one, other) = loop {
        let began = std::time::Instant::now();
        let probe = house.http.get(format!("{}/healthz", house.base)).send();
        tokio::pin!(probe);
        let done = tokio::select! {
            done = &mut checks => Some(done),
            healthy = &mut probe => {
                assert_eq!(healthy.unwrap().status(), 200);
                slowest = slowest.max(began.elapsed());
                probes += 1;
                None
            }
        };
        if let Some(done) = done {
            break done;
        }
    };
    println!("{probes} probes while two documents were checked; the slowest took {slowest:?}");
    // A generous limit for busy machines; in isolation it takes some milliseconds.
    assert!(probes > 2 && slowest < Duration::from_secs(5), "{probes} probes, the slowest took {slowest:?}");
    for (status, body) in [one, other] {
        let problems = body["problems"].as_array().unwrap();
        assert!(status == 200 && problems.len() == 201, "{status}: {}", problems.len());
    }
}

#[tokio::test]
async fn a_document_is_applied_whole_or_not_at_all() {
    let house = House::new().await;
    let (status, body) = apply(&house, &TEAM.replace("users: [ann, bo]", "users: [ann, bob]")).await;
    assert!(status == 400 && body["error"]["message"].as_str().unwrap().contains("`bob`"), "{body}");
    assert_eq!(answer(ours(&house, Method::GET, "users").await).await.1, json!({ "value": [] }));
    let (status, body) = apply(&house, "users:\n  ann: { nmae: Ann }\n").await;
    assert!(status == 400 && body["error"]["message"].as_str().unwrap().contains("Did you mean `name`?"), "{body}");

    let (status, body) = apply(&house, TEAM).await;
    assert_eq!((status.as_u16(), body["changes"].as_array().unwrap().len()), (200, 6), "{body}");
    assert_eq!(apply(&house, TEAM).await.1, json!({ "changes": [] }), "applying twice changes nothing");
    let exported = ours(&house, Method::GET, "export?format=yaml").await.send().await.unwrap().text().await.unwrap();
    assert_eq!(oncall::document::parse("export", &exported), oncall::document::parse("team", TEAM));

    // 2026-01-05 08:00 began Ann's week; weeks of an even distance are hers (2026-11-16 is 45 weeks later: Bo's).
    let (_, who) = answer(ours(&house, Method::GET, "who?at=2026-11-20T12:00:00Z").await).await;
    assert_eq!(who["schedules"][0]["on_call"][0]["user"], "bo", "{who}");
    let (_, who) = answer(ours(&house, Method::GET, "who?schedule=week&at=2026-11-23%2008:00").await).await;
    assert_eq!(who["schedules"][0]["on_call"][0]["user"], "ann", "{who}");
    let (_, shifts) = answer(ours(&house, Method::GET, "shifts?schedule=week&from=2026-11-20&to=2026-11-30").await).await;
    let people: Vec<&str> = shifts["shifts"].as_array().unwrap().iter().map(|shift| shift["user"].as_str().unwrap()).collect();
    assert_eq!(people, ["bo", "ann"]);
    let (status, body) = answer(ours(&house, Method::GET, "who?schedule=weak").await).await;
    assert!(status == 404 && body["error"]["message"].as_str().unwrap().contains("Did you mean 'week'?"), "{body}");
    let (status, _) = answer(ours(&house, Method::GET, "shifts?schedule=week&from=tomorrow").await).await;
    assert_eq!(status, 400);
}

#[tokio::test]
async fn signed_addresses_need_no_token_and_open_one_thing() {
    let house = House::new().await;
    assert_eq!(apply(&house, TEAM).await.0, 200);
    for (kind, name) in [("schedules", "week"), ("users", "ann")] {
        let (_, body) = answer(ours(&house, Method::GET, &format!("{kind}/{name}/address")).await).await;
        let url = body["url"].as_str().unwrap().to_owned();
        let feed = house.http.get(&url).send().await.unwrap();
        assert_eq!((feed.status().as_u16(), feed.headers()["content-type"].to_str().unwrap()), (200, "text/calendar; charset=utf-8"));
        assert!(feed.text().await.unwrap().starts_with("BEGIN:VCALENDAR\r\n"));
        for other in [url.replace(name, "bo"), url.replace(&format!("/{kind}/"), "/users/x"), url.replace("/calendars/", "/calendars/x/")] {
            assert_eq!(house.http.get(&other).send().await.unwrap().status(), 404, "{other}");
        }
        let direct = ours(&house, Method::GET, &format!("{kind}/{name}/calendar.ics")).await.send().await.unwrap();
        assert_eq!(direct.status(), 200);
    }
    let (_, body) = answer(ours(&house, Method::GET, "heartbeats/backup/address").await).await;
    let url = body["url"].as_str().unwrap().to_owned();
    assert_eq!(answer(ours(&house, Method::GET, "heartbeats/backup/state").await).await.1["heard"], Value::Null);
    assert_eq!(house.http.post(&url).send().await.unwrap().status(), 200);
    assert_eq!(answer(ours(&house, Method::GET, "heartbeats/backup/state").await).await.1["heard"], "2026-11-20T12:00:00.0000000Z");
    assert_eq!(house.http.post(format!("{url}x")).send().await.unwrap().status(), 404);
    assert_eq!(house.http.post(url.replace("backup", "other")).send().await.unwrap().status(), 404);
}

/// A paged incident; returns a function from an action to its link's path.
async fn paged(house: &House) -> oncall::escalation::Page {
    assert_eq!(apply(house, TEAM).await.0, 200);
    let mut bell = house.oncall.store.listen(Topic::Pages);
    let path = format!(
        "{}/providers/Microsoft.SecurityInsights/incidents/{}?api-version=2023-11-01",
        house.workspace(),
        "6f2b1f0a-0000-4000-8000-000000000001"
    );
    let body = json!({ "properties": { "title": "<b>Stolen</b> & sold", "severity": "High", "status": "New" } });
    assert_eq!(answer(house.call(ARM, Method::PUT, &path).await.json(&body)).await.0, 201);
    let found = async {
        loop {
            let rows = house.oncall.store.pages().list(&PageFilter::default(), 1).await.unwrap();
            if let Some(row) = rows.into_iter().next() {
                return records::page(row).unwrap();
            }
            bell.changed().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_secs(30), found).await.expect("an incident is paged about")
}

#[tokio::test]
async fn a_link_changes_nothing_until_its_button_is_pressed_and_then_once() {
    let house = House::new().await;
    let tasks = tokio::spawn({
        let (oncall, stop) = (house.oncall.clone(), house.stop.clone());
        async move { oncall.run(stop).await }
    });
    let page = paged(&house).await;
    let link = |action: &Action| {
        let expires = noon_and(7);
        format!("{}/oncall/answer/{}", house.base, house.oncall.signer.sign(page.id, action, expires).unwrap())
    };
    let acknowledge = link(&Action::Acknowledge);
    let status = async || {
        let (_, body) = answer(ours(&house, Method::GET, "escalations?incident=1").await).await;
        body["value"][0]["state"].as_str().unwrap().to_owned()
    };
    // As mail scanners and chat previews do.
    for _ in 0..3 {
        let shown = house.http.get(&acknowledge).send().await.unwrap();
        assert_eq!(shown.status(), 200);
        assert!(shown.headers()["content-security-policy"].to_str().unwrap().starts_with("default-src 'none'"));
        assert_eq!(shown.headers()["x-robots-tag"], "noindex, nofollow");
        assert_eq!(shown.headers()["cache-control"], "no-store");
        let html = shown.text().await.unwrap();
        assert!(html.contains("Acknowledge incident 1?") && html.contains("&lt;b&gt;Stolen&lt;/b&gt; &amp; sold"), "{html}");
        assert!(!html.contains("<b>Stolen"), "{html}");
    }
    assert_ne!(status().await, "acknowledged", "looking changes nothing");

    let pressed = house.http.post(&acknowledge).send().await.unwrap();
    let (code, html) = (pressed.status(), pressed.text().await.unwrap());
    assert!(code == 200 && html.contains("<h1>Done</h1>"), "{code} {html}");
    assert_eq!(status().await, "acknowledged");
    let again = house.http.post(&acknowledge).send().await.unwrap().text().await.unwrap();
    assert!(again.contains("It was done already"), "{again}");
    let shown = house.http.get(&acknowledge).send().await.unwrap().text().await.unwrap();
    assert!(shown.contains("Incident 1 is acknowledged") && !shown.contains("<form"), "{shown}");

    // Closing requires a classification.
    let close = link(&Action::Close { classification: None, comment: None });
    assert!(house.http.get(&close).send().await.unwrap().text().await.unwrap().contains("<select id=\"classification\""));
    let form = [("classification", "FalsePositive"), ("comment", "a drill")];
    let closed = house.http.post(&close).form(&form).send().await.unwrap();
    assert_eq!(closed.status(), 200, "{}", closed.text().await.unwrap());

    // Tampered, truncated and expired links: an explanation without a form.
    let mut tampered = acknowledge.clone();
    let last = if tampered.pop() == Some('A') { 'B' } else { 'A' };
    tampered.push(last);
    tampered.insert(house.base.len() + "/oncall/answer/".len(), 'x');
    for (url, expected, words) in
        [(tampered.as_str(), 404, "does not work"), (&acknowledge[..acknowledge.len() - 20], 404, "does not work")]
    {
        for method in [Method::GET, Method::POST] {
            let refused = house.http.request(method, url).send().await.unwrap();
            let (code, html) = (refused.status().as_u16(), refused.text().await.unwrap());
            assert!(code == expected && html.contains(words) && !html.contains("<form"), "{code} {html}");
        }
    }
    house.clock.advance(model::Span(8 * model::Span::DAY.ticks()));
    let expired = house.http.post(&acknowledge).send().await.unwrap();
    assert_eq!(expired.status(), 410);
    assert!(expired.text().await.unwrap().contains("has expired"));
    house.stop.cancel();
    tasks.await.unwrap();
}

fn noon_and(days: i64) -> model::Timestamp {
    model::Timestamp::clamp_ticks(crate::house::noon().ticks() + days * model::Span::DAY.ticks())
}

#[tokio::test]
async fn answers_through_the_api_name_who_gives_them() {
    let house = House::new().await;
    let tasks = tokio::spawn({
        let (oncall, stop) = (house.oncall.clone(), house.stop.clone());
        async move { oncall.run(stop).await }
    });
    paged(&house).await;
    let say = async |body: Value| answer(ours(&house, Method::POST, "incidents/1/answer").await.json(&body)).await;
    let (status, body) = say(json!({ "action": "acknowledge" })).await;
    assert_eq!((status.as_u16(), body["error"]["target"].as_str()), (400, Some("user")), "nobody in the directory is the caller: {body}");
    assert_eq!(say(json!({ "action": "acknowledge", "user": "anm" })).await.0, 400);
    assert_eq!(say(json!({ "action": "dance", "user": "ann" })).await.0, 400);
    // Claiming another channel would falsify the audit trail.
    assert_eq!(say(json!({ "action": "acknowledge", "user": "ann", "via": "sms" })).await.0, 400);
    let (status, body) = say(json!({ "action": "acknowledge", "user": "ann" })).await;
    assert_eq!((status.as_u16(), body["number"].as_i64(), body["changed"].as_bool()), (200, Some(1), Some(true)), "{body}");
    assert_eq!(say(json!({ "action": "acknowledge", "user": "ann" })).await.1["changed"], false);
    let (status, _) =
        answer(ours(&house, Method::POST, "incidents/99/answer").await.json(&json!({ "action": "take", "user": "ann" }))).await;
    assert_eq!(status, 404);
    // Pages of every status are listed, without their reply codes.
    let (_, pages) = answer(ours(&house, Method::GET, "pages?incident=1").await).await;
    assert!(!pages["value"].as_array().unwrap().is_empty() && !pages.to_string().contains("reply_code"), "{pages}");
    assert_eq!(answer(ours(&house, Method::GET, "pages?status=lost").await).await.0, 400);
    // The clock stands still at noon: the page is due at noon, and acknowledged in no time.
    let page = &pages["value"][0];
    assert_eq!((page["acknowledged_by"].is_string(), &page["time_to_acknowledge"]), (true, &json!("PT0S")), "{page}");
    let count = async |query: &str| {
        let (status, found) = answer(ours(&house, Method::GET, &format!("pages?{query}")).await).await;
        assert_eq!(status, 200, "{found}");
        found["value"].as_array().unwrap().len()
    };
    assert!(count("from=2026-11-20T12:00:00Z").await > 0 && count("from=2026-11-20T12:00:01Z").await == 0, "`from` is included");
    assert!(count("to=2026-11-20T12:00:00Z").await == 0 && count("to=2026-11-20T12:00:01Z").await > 0, "`to` is not");
    assert!(count("from=-1h&to=%2B1h").await > 0);
    assert_eq!(answer(ours(&house, Method::GET, "pages?from=yesterday").await).await.0, 400);
    house.stop.cancel();
    tasks.await.unwrap();
}
