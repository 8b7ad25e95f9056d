//! Requests of the HTTP channels and how they interpret responses. Requests are also validated externally: with `BARTIZAN_WIRE` naming a
//! file, [`requests_for_the_judges_outside`] writes them there and `tests/oncall/wire.py` parses them with the vendors' own libraries.

use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use model::{
    Clock, Http, HttpError, HttpRequest, HttpResponse, IncidentStatus, Reach, Secret, SecretError, SecretRef, Secrets, Severity, Span,
    Timestamp,
};
use oncall::channel::{Channel, Ports, Receipt, SendError};
use oncall::channels;
use oncall::message::{IncidentFacts, Links, Message, MessageKind};
use serde_json::{Value, json};
use uuid::Uuid;

const KINDS: [MessageKind; 5] =
    [MessageKind::Page, MessageKind::Acknowledged, MessageKind::Closed, MessageKind::Mention, MessageKind::Test];

/// Records requests and returns the given responses in turn, then 200.
#[derive(Default)]
struct Recorder {
    seen: Mutex<Vec<HttpRequest>>,
    answers: Mutex<VecDeque<Result<HttpResponse, HttpError>>>,
}

impl Recorder {
    fn answering(answer: Result<HttpResponse, HttpError>) -> Arc<Self> {
        Arc::new(Self { seen: Mutex::default(), answers: Mutex::new([answer].into()) })
    }

    fn take(&self) -> Vec<HttpRequest> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }
}

#[async_trait]
impl Http for Recorder {
    async fn send(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        self.seen.lock().unwrap().push(request);
        self.answers.lock().unwrap().pop_front().unwrap_or_else(|| Ok(answer(200, "ok")))
    }
}

fn answer(status: u16, body: &str) -> HttpResponse {
    HttpResponse { status, headers: Default::default(), body: body.to_owned().into() }
}

/// Fixed at the current time: external verifiers reject old signatures.
struct Now(Timestamp);

#[async_trait]
impl Clock for Now {
    fn now(&self) -> Timestamp {
        self.0
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    async fn sleep(&self, _: Span) {}
}

struct Known;

/// The secret of the Standard Webhooks examples.
const WEBHOOK_SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// RFC 8291 §5, the application server's key, with its public half.
const VAPID_KEY: &str = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw";
/// RFC 8291 §5, the browser's half; the external verifier has its private key.
const SUBSCRIPTION: &str = r#"{"endpoint":"https://push.example.net:8443/push/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV","expirationTime":null,
  "keys":{"p256dh":"BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4","auth":"BTBZMqHH6r4Tts7J_aSIgg"}}"#;

impl Secrets for Known {
    fn resolve(&self, reference: &SecretRef) -> Result<Secret<String>, SecretError> {
        match reference.parts() {
            Some((_, "WEBHOOK")) => Ok(Secret::new(WEBHOOK_SECRET.to_owned())),
            Some((_, "VAPID")) => Ok(Secret::new(VAPID_KEY.to_owned())),
            Some((_, "TOKEN")) => Ok(Secret::new("tk_secret".to_owned())),
            Some((_, place)) => Err(SecretError::NoVariable(place.to_owned())),
            None => Err(SecretError::NotAReference),
        }
    }
}

fn ports(http: Arc<Recorder>) -> Ports {
    let clock = Arc::new(Now(Timestamp::from_system(std::time::SystemTime::now())));
    Ports { http, clock, secrets: Arc::new(Known) }
}

/// Name, settings, address.
fn setups() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        ("ntfy", json!({ "token": "env:TOKEN" }), "soc_night"),
        ("opsgenie", json!({ "key": "env:TOKEN" }), "team:Night SOC"),
        ("pagerduty", json!({}), "R0123456789ABCDEF0123456789ABCDE"),
        ("slack", json!({}), "https://hooks.slack.com/services/T0/B0/secret-in-path"),
        ("teams", json!({}), "https://prod-01.westeurope.logic.azure.com/workflows/secret-in-path?sig=secret"),
        ("web_push", json!({ "key": "env:VAPID", "contact": "mailto:soc@example.org" }), SUBSCRIPTION),
        ("webhook", json!({ "secret": "env:WEBHOOK" }), "https://hooks.example.org/secret-in-path"),
    ]
}

fn channel(name: &str, settings: Value, http: &Arc<Recorder>) -> Box<dyn Channel> {
    let kind = channels::find(name).unwrap_or_else(|| panic!("no channel {name}"));
    (kind.build)(settings, &ports(http.clone())).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn message(kind: MessageKind, address: &str) -> Message {
    let link = |verb: &str| Some(format!("https://soc.example.org/a/{verb}?p=0a1b2c3d&s={}", "k".repeat(64)));
    Message {
        key: Uuid::from_u128(7),
        kind,
        user: "ann".to_owned(),
        user_name: "Ann Nilsen".to_owned(),
        address: address.to_owned(),
        at: Timestamp::from_system(std::time::SystemTime::now()),
        incident: Some(incident()),
        subject: "High: Sign-in from two countries <ann@example.org>".to_owned(),
        short: "Incident 12, high: sign-in from two countries".to_owned(),
        long: "Sign-in from two countries within an hour.\nAccount ann@example.org & <!channel> [click](https://evil.example) `x`"
            .to_owned(),
        links: Links { acknowledge: link("ack"), take: link("take"), escalate: link("escalate"), close: link("close"), open: link("open") },
        reply_code: Some("4821".to_owned()),
        reply_token: None,
        time_zone: None,
    }
}

fn incident() -> IncidentFacts {
    IncidentFacts {
        id: Uuid::from_u128(12),
        number: 12,
        title: "Sign-in from two countries".to_owned(),
        description: "Two sign-ins that no traveller can make".to_owned(),
        severity: Severity::High,
        status: IncidentStatus::New,
        owner: None,
        created: Timestamp::from_system(std::time::SystemTime::now()),
        tactics: vec!["InitialAccess".to_owned()],
        alerts: 2,
        entities: vec!["ann@example.org".to_owned(), "203.0.113.9".to_owned()],
        evidence: vec!["Account: ann@example.org, Country: NO".to_owned(), "Account: ann@example.org, Country: <script>".to_owned()],
        dedup_key: "bartizan/incident/00000000-0000-0000-0000-00000000000c".to_owned(),
    }
}

/// Worst-case text from a rule: control characters (six bytes each in JSON), markup, four-byte characters.
fn hostile(kind: MessageKind, address: &str) -> Message {
    let much = "\u{1}".repeat(20_000) + &"\u{1}<&>\"\\😀\u{202e}`*_[x](http://evil)\r\n".repeat(2000);
    let mut message = message(kind, address);
    (message.subject, message.short, message.long) = (much.clone(), much.clone(), much.clone());
    let many = vec![much.clone(); 10];
    let incident = message.incident.as_mut().unwrap();
    (incident.title, incident.description, incident.owner) = (much.clone(), much.clone(), Some(much.clone()));
    (incident.tactics, incident.entities, incident.evidence) = (many.clone(), many.clone(), many);
    incident.dedup_key = much;
    message
}

async fn sent(name: &str, settings: Value, message: &Message) -> (Result<Receipt, SendError>, Vec<HttpRequest>) {
    let http = Arc::new(Recorder::default());
    let outcome = channel(name, settings, &http).send(message).await;
    let requests = http.take();
    assert!(requests.len() <= 1, "{name} tries once");
    (outcome, requests)
}

fn body(request: &HttpRequest) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

/// Input of the external verifiers: a line for each channel, kind of message and content.
#[tokio::test]
async fn requests_for_the_judges_outside() {
    let Ok(path) = std::env::var("BARTIZAN_WIRE") else {
        println!("skipped: BARTIZAN_WIRE names no file; tests/oncall/wire.py sets it");
        return;
    };
    let mut file = std::fs::File::create(path).unwrap();
    for (name, settings, address) in setups() {
        for (content, make) in [("plain", message as fn(MessageKind, &str) -> Message), ("hostile", hostile)] {
            for kind in KINDS {
                let message = make(kind, address);
                let (_, requests) = sent(name, settings.clone(), &message).await;
                for request in requests {
                    let headers: serde_json::Map<_, _> =
                        request.headers.iter().map(|(name, value)| (name.to_string(), value.to_str().unwrap().into())).collect();
                    let line = json!({
                        "channel": name, "content": content, "kind": kind, "url": request.url, "headers": headers,
                        "body": hex(&request.body),
                    });
                    writeln!(file, "{line}").unwrap();
                }
            }
        }
    }
    writeln!(file, "{}", json!({ "schema": channels::webhook_schema() })).unwrap();
}

/// The published schema matches the code. To publish a change: `BARTIZAN_PUBLISH=1`.
#[test]
fn the_published_schema_of_a_webhook_is_the_real_one() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/webhook.schema.json");
    let real = serde_json::to_string_pretty(&channels::webhook_schema()).unwrap() + "\n";
    if std::env::var_os("BARTIZAN_PUBLISH").is_some() {
        std::fs::write(path, &real).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), real);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn every_kind_goes_out_once_to_a_public_place_or_is_refused_with_a_reason() {
    for (name, settings, address) in setups() {
        (channels::find(name).unwrap().check_address)(address).unwrap();
        for kind in KINDS {
            for make in [message, hostile] {
                let (outcome, requests) = sent(name, settings.clone(), &make(kind, address)).await;
                let refuses = matches!((name, kind), ("pagerduty" | "opsgenie", MessageKind::Mention));
                assert_eq!(outcome.is_err(), refuses, "{name} {kind:?}: {outcome:?}");
                assert_eq!(requests.len(), usize::from(!refuses), "{name} {kind:?}");
                for request in &requests {
                    assert_eq!((request.reach, request.method.as_str()), (Reach::Public, "POST"), "{name}");
                    assert!(request.timeout > Span::ZERO && request.timeout <= Span::MINUTE, "{name}");
                    assert!(!format!("{:?}", request.headers).contains("tk_secret"), "{name} prints its token");
                }
            }
        }
    }
}

/// Limits are the vendors', as cited in each channel's module.
#[tokio::test]
async fn limits_hold_for_any_rule_content() {
    for (name, settings, address) in setups() {
        let (outcome, requests) = sent(name, settings, &hostile(MessageKind::Page, address)).await;
        outcome.unwrap();
        let length = requests[0].body.len();
        match name {
            "teams" => assert!(length <= 28 * 1024, "{length}"),
            "pagerduty" => {
                assert!(length <= 512 * 1024, "{length}");
                let event = body(&requests[0]);
                assert!(event["payload"]["summary"].as_str().unwrap().chars().count() <= 1024);
                assert!(event["dedup_key"].as_str().unwrap().chars().count() <= 255);
            }
            "opsgenie" => {
                let alert = body(&requests[0]);
                assert!(alert["message"].as_str().unwrap().chars().count() <= 130);
                assert!(alert["alias"].as_str().unwrap().chars().count() <= 512);
                assert!(alert["description"].as_str().unwrap().chars().count() <= 15_000);
                let details = alert["details"].as_object().unwrap();
                assert!(details.iter().map(|(key, value)| key.len() + value.as_str().unwrap().len()).sum::<usize>() <= 8000);
            }
            "webhook" => assert!(length <= 100_000, "{length}"),
            "ntfy" => assert!(body(&requests[0])["message"].as_str().unwrap().len() <= 4096),
            "web_push" => assert!(length <= 4096, "{length}"),
            _ => {}
        }
    }
}

#[tokio::test]
async fn an_answer_is_read_for_what_it_says_of_the_page() {
    let lost = || HttpError::Timeout { host: "x".to_owned(), seconds: 20 };
    let closed = || HttpError::Connect { host: "x".to_owned(), cause: "refused".into() };
    let inside = || HttpError::Guarded { host: "x".to_owned(), address: "127.0.0.1".to_owned() };
    for (name, settings, address) in setups() {
        let knows_repeats = channels::find(name).unwrap().idempotent;
        let ask = async |answer: Result<HttpResponse, HttpError>| {
            let http = Recorder::answering(answer);
            channel(name, settings.clone(), &http).send(&message(MessageKind::Page, address)).await
        };
        for status in [201, 202] {
            assert!(ask(Ok(answer(status, "{}"))).await.is_ok(), "{name} {status}");
        }
        for status in [302, 400, 403, 404, 410] {
            let error = ask(Ok(answer(status, "no_service"))).await.unwrap_err();
            assert!(matches!(error, SendError::Refused { .. }), "{name} {status}: {error:?}");
            assert!(!error.to_string().contains("secret-in-path"), "{error}");
        }
        assert!(matches!(ask(Ok(answer(429, ""))).await, Err(SendError::Later { .. })), "{name}");
        let failed = ask(Ok(answer(500, ""))).await;
        assert_eq!(matches!(failed, Err(SendError::Later { .. })), knows_repeats, "{name}: {failed:?}");
        assert!(matches!(ask(Err(lost())).await, Err(SendError::Ambiguous { .. })), "{name}");
        assert!(matches!(ask(Err(closed())).await, Err(SendError::Later { .. })), "{name}");
        assert!(matches!(ask(Err(inside())).await, Err(SendError::Refused { .. })), "{name}");
    }
}

#[tokio::test]
async fn a_subscription_that_is_gone_is_named_as_such() {
    for status in [404, 410] {
        let http = Recorder::answering(Ok(answer(status, "")));
        let settings = json!({ "key": "env:VAPID", "contact": "mailto:soc@example.org" });
        let error = channel("web_push", settings, &http).send(&message(MessageKind::Page, SUBSCRIPTION)).await.unwrap_err();
        assert!(error.to_string().contains("subscription is gone"), "{error}");
    }
}

#[tokio::test]
async fn a_webhooks_key_stays_and_its_idempotence_is_the_receivers() {
    let http = Arc::new(Recorder::default());
    let hook = channel("webhook", json!({ "secret": "env:WEBHOOK" }), &http);
    let page = message(MessageKind::Page, "https://hooks.example.org/x");
    hook.send(&page).await.unwrap();
    hook.send(&page).await.unwrap();
    let keys: Vec<_> = http.take().iter().map(|request| request.headers["idempotency-key"].clone()).collect();
    assert_eq!(keys, [page.key.to_string(), page.key.to_string()]);
    assert_eq!(hook.idempotent(), Some(false));
    let hook = channel("webhook", json!({ "secret": "env:WEBHOOK", "honours_idempotency_key": true }), &http);
    assert_eq!(hook.idempotent(), Some(true));
}

#[tokio::test]
async fn internal_places_need_the_operators_word() {
    for (name, allowed) in [
        ("webhook", json!({ "secret": "env:WEBHOOK", "internal_hosts": ["10.1.2.3:8080"] })),
        ("slack", json!({ "internal_hosts": ["10.1.2.3:8080"] })),
    ] {
        let page = message(MessageKind::Page, "http://10.1.2.3:8080/x");
        let mut plain = allowed.clone();
        plain.as_object_mut().unwrap().remove("internal_hosts");
        let (outcome, requests) = sent(name, plain, &page).await;
        assert!(matches!(outcome, Err(SendError::Refused { .. })) && requests.is_empty(), "{name}");
        let (outcome, requests) = sent(name, allowed, &page).await;
        assert!(outcome.is_ok() && requests[0].reach == Reach::Anywhere, "{name}");
    }
}

#[tokio::test]
async fn ntfys_token_goes_to_its_own_server_only() {
    let settings = json!({ "server": "https://ntfy.example.org", "token": "env:TOKEN" });
    for (address, gets) in [("soc", true), ("https://ntfy.example.org/soc", true), ("https://ntfy.example.net/soc", false)] {
        let (_, requests) = sent("ntfy", settings.clone(), &message(MessageKind::Page, address)).await;
        assert_eq!(requests[0].headers.contains_key("authorization"), gets, "{address}");
    }
}

/// SOC.md §4.2: High, Medium, Low, Informational are critical, error, warning, info.
#[tokio::test]
async fn pagerduty_gets_one_alert_per_incident_in_our_severities() {
    let key = "R0123456789ABCDEF0123456789ABCDE";
    let mut seen = Vec::new();
    for (severity, theirs) in
        [(Severity::High, "critical"), (Severity::Medium, "error"), (Severity::Low, "warning"), (Severity::Informational, "info")]
    {
        let mut page = message(MessageKind::Page, key);
        page.incident.as_mut().unwrap().severity = severity;
        let (_, requests) = sent("pagerduty", json!({}), &page).await;
        assert_eq!(body(&requests[0])["payload"]["severity"], theirs);
        seen.push(body(&requests[0])["dedup_key"].clone());
    }
    for (kind, action) in [(MessageKind::Acknowledged, "acknowledge"), (MessageKind::Closed, "resolve")] {
        let (_, requests) = sent("pagerduty", json!({}), &message(kind, key)).await;
        assert_eq!(body(&requests[0])["event_action"], action);
        seen.push(body(&requests[0])["dedup_key"].clone());
    }
    assert!(seen.iter().all(|key| key == &incident().dedup_key), "{seen:?}");
}

#[test]
fn settings_are_refused_by_field() {
    let http = Arc::new(Recorder::default());
    for (name, settings, field) in [
        ("webhook", json!({}), "secret"),
        ("webhook", json!({ "secret": "env:NOWHERE" }), "secret"),
        ("webhook", json!({ "secret": "env:TOKEN" }), "secret"), // too short to sign with
        ("pagerduty", json!({ "url": "events" }), "url"),
        ("pagerduty", json!({ "rl": 1 }), "rl"),
        ("opsgenie", json!({ "key": "the key itself" }), "key"),
        ("ntfy", json!({ "server": "file:///etc" }), "server"),
        ("web_push", json!({ "key": "env:TOKEN", "contact": "mailto:a@b.c" }), "key"),
        ("web_push", json!({ "key": "env:VAPID", "contact": "a@b.c" }), "contact"),
    ] {
        let error = (channels::find(name).unwrap().build)(settings, &ports(http.clone())).err().unwrap_or_else(|| panic!("{name} {field}"));
        let text = error.to_string();
        assert!(text.contains(field), "{text}");
        assert!(!text.contains("the key itself"), "{text}");
    }
}

/// The external check accepts only addresses that Python's `ipaddress` calls global; every address we call public must be one.
#[test]
fn what_we_call_public_is_global_elsewhere_too() {
    let mut random = testkit::Random::new(6890);
    let mut addresses = Vec::new();
    while addresses.len() < 40_000 {
        let word = random.word();
        // Half anywhere, half near the boundaries of blocks, where bugs are likely.
        let v4 = if word & 1 == 0 { (word >> 32) as u32 } else { ((word >> 40) as u32) << 20 };
        addresses.push(std::net::IpAddr::from(v4.to_be_bytes()));
        let high = [0x2001_0000u64, 0x2002_0000, 0x2000_0000, 0x3fff_0000, 0x0064_ff9b, 0xfc00_0000, 0xfe80_0000, 0][(word & 7) as usize];
        let bits = (u128::from((high << 32) ^ (random.word() >> (16 + word % 40))) << 64) | u128::from(random.word());
        addresses.push(std::net::IpAddr::from(bits.to_be_bytes()));
    }
    let public: String =
        addresses.iter().filter(|address| oncall::guard::special(**address).is_none()).map(|address| format!("{address}\n")).collect();
    let script = "import ipaddress, sys\n\
        a = [ipaddress.ip_address(l.strip()) for l in sys.stdin]\n\
        nat = ipaddress.ip_network('64:ff9b::/96')\n\
        print(len(a), *[x for x in a if not x.is_global and x not in nat][:5])";
    let child = std::process::Command::new("python3")
        .args(["-c", script])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn();
    let Ok(mut child) = child else {
        println!("skipped: there is no python3 here");
        return;
    };
    child.stdin.take().unwrap().write_all(public.as_bytes()).unwrap();
    let said = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    let mut words = said.split_whitespace();
    assert!(words.next().unwrap().parse::<usize>().unwrap() > 10_000, "{said}");
    assert_eq!(words.next(), None, "not global: {said}");
}
