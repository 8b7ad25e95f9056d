//! From an incident to a page and back, with a real store and providers that honour keys, do not, or are slow.
//!
//! The clock is manual; fake channels record what is sent.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use model::{Actor, Clock, Incident, IncidentStatus, Secret, SecretError, SecretRef, Secrets, Span, Timestamp};
use oncall::addresses::Addresses;
use oncall::answer::{Action, Answer, AnswerError, Subject, Via};
use oncall::channel::{Channel, ChannelType, Receipt, SendError};
use oncall::desk::{Desk, DeskChange, DeskError, NewIncident};
use oncall::escalation::{Page, PageStatus};
use oncall::inbound::Request;
use oncall::links::Signer;
use oncall::message::{Message, MessageKind};
use oncall::sending::Channels;
use oncall::settings::{OnCallConfig, OnDoubt};
use oncall::{OnCall, Parts, document, records};
use serde_json::json;
use store::{PageFilter, Store};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

const TEAM: &str = "
users:
  ann: { name: Ann Berg, email: ann@example.org, contacts: { mail: { email: ann@example.org }, mobile: { sms: '+4790000001' } },
         rules: [{ contact: mobile }, { contact: mail, after: 5m }] }
  bo: { name: Bo Dahl, contacts: { mobile: { sms: '+4790000002' } } }
escalation_policies:
  night: { steps: [{ targets: ['user:ann'] }, { after: 15m, targets: ['user:bo'] }] }
alert_policies:
  all: { escalation_policy: night }
";

/// A manual clock; sleeping waits until it is advanced.
struct HandClock(tokio::sync::watch::Sender<Timestamp>);

impl HandClock {
    fn forward(&self, span: Span) {
        self.0.send_modify(|now| *now = *now + span);
    }
}

#[async_trait]
impl Clock for HandClock {
    fn now(&self) -> Timestamp {
        *self.0.borrow()
    }

    fn monotonic(&self) -> Duration {
        Duration::ZERO
    }

    async fn sleep(&self, span: Span) {
        let until = self.now() + span;
        let mut changes = self.0.subscribe();
        let _ = changes.wait_for(|now| *now >= until).await;
    }
}

/// Records resolved references; every secret is a URL.
#[derive(Default)]
struct Reads(Mutex<Vec<String>>);

impl Secrets for Reads {
    fn resolve(&self, reference: &SecretRef) -> Result<Secret<String>, SecretError> {
        self.0.lock().unwrap().push(format!("{reference:?}"));
        Ok(Secret::new("https://hooks.example.org/page".to_owned()))
    }
}

/// A channel to a fake provider.
struct Line(Arc<Fake>);

/// Results of a fake provider for the next messages.
type Script = Arc<Mutex<Vec<Result<Receipt, SendError>>>>;

/// A provider that records messages; with an idempotency key, repeats are not delivered again.
struct Fake {
    idempotent: bool,
    got: tokio::sync::watch::Sender<Vec<Message>>,
    script: Script,
    /// An address that never responds.
    stuck: Option<String>,
}

#[async_trait]
impl Channel for Line {
    async fn send(&self, message: &Message) -> Result<Receipt, SendError> {
        self.0.got.send_modify(|got| {
            if !(self.0.idempotent && got.iter().any(|known| known.key == message.key)) {
                got.push(message.clone());
            }
        });
        if self.0.stuck.as_ref() == Some(&message.address) {
            std::future::pending::<()>().await;
        }
        self.0.script.lock().unwrap().pop().unwrap_or(Ok(Receipt { provider_id: Some(message.key.to_string()), delivered: false }))
    }

    fn idempotent(&self) -> Option<bool> {
        Some(self.0.idempotent)
    }
}

/// Writes to the store as incidents would.
struct TestDesk(Store, Arc<HandClock>);

#[async_trait]
impl Desk for TestDesk {
    async fn change(&self, before: &Incident, wanted: &DeskChange, actor: &Actor) -> Result<(), DeskError> {
        let broken = |cause: store::StoreError| DeskError::Later { incident: before.id, cause: Box::new(cause) };
        let mut change = self.0.begin().await.map_err(broken)?;
        let now = change.incident(before.id).await.map_err(broken)?.ok_or(DeskError::NoIncident(before.id))?;
        if now.etag != before.etag {
            return Err(DeskError::Conflict(before.id));
        }
        let after = Incident {
            status: wanted.status.unwrap_or(now.status),
            owner: wanted.owner.clone().unwrap_or(now.owner.clone()),
            etag: Uuid::new_v4(),
            modified: self.1.now(),
            modified_by: actor.clone(),
            ..now
        };
        change.put_incident(&after).await.map_err(broken)?;
        change.commit().await.map_err(broken)
    }

    async fn comment(&self, _: Uuid, _: Uuid, _: &str, _: &Actor) -> Result<(), DeskError> {
        Ok(())
    }

    async fn open(&self, _: &NewIncident, _: &Actor) -> Result<(), DeskError> {
        Ok(())
    }
}

struct World {
    _folder: tempfile::TempDir,
    store: Store,
    clock: Arc<HandClock>,
    sms: Arc<Fake>,
    mail: Arc<Fake>,
    on_doubt: OnDoubt,
    reads: Arc<Reads>,
}

/// A running on-call service; stopping it discards everything but the store.
struct Running {
    on_call: Arc<OnCall>,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    /// Like `kill -9`.
    async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

impl World {
    async fn new(keys: bool, stuck: Option<&str>, on_doubt: OnDoubt) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("state.db")).await.unwrap();
        let start = Timestamp::parse_iso("2026-11-21T02:00:00Z").unwrap();
        let fake = || {
            Arc::new(Fake {
                idempotent: keys,
                got: tokio::sync::watch::Sender::new(Vec::new()),
                script: Script::default(),
                stuck: stuck.map(str::to_owned),
            })
        };
        let clock = Arc::new(HandClock(tokio::sync::watch::Sender::new(start)));
        Self { _folder: folder, store, clock, sms: fake(), mail: fake(), on_doubt, reads: Arc::default() }
    }

    async fn start(&self) -> Running {
        let mut channels = Channels::default();
        let kind = |name: &str| -> &'static ChannelType { oncall::channels::find(name).unwrap() };
        channels.add(kind("sms"), Box::new(Line(self.sms.clone())));
        channels.add(kind("email"), Box::new(Line(self.mail.clone())));
        channels.add(kind("slack"), Box::new(Line(self.mail.clone())));
        let phone = json!({ "account_sid": "AC1", "auth_token": "env:TOKEN", "from": "+4759440000" });
        let config = OnCallConfig {
            on_doubt: self.on_doubt,
            public_url: Some("https://soc.example.org".to_owned()),
            channels: [("sms".to_owned(), phone)].into(),
            ..OnCallConfig::default()
        };
        let team = document::parse("team.yaml", TEAM).unwrap();
        let addresses = Addresses::new(&config, &team, &Secret::new(vec![7; 32]), self.reads.clone()).unwrap();
        let parts = Parts {
            store: self.store.clone(),
            clock: self.clock.clone(),
            secrets: self.reads.clone(),
            addresses: Arc::new(addresses),
            desk: Arc::new(TestDesk(self.store.clone(), self.clock.clone())),
            signer: Signer::new(Secret::new(vec![7; 32])),
            channels,
            public_url: Some("https://soc.example.org".to_owned()),
        };
        let on_call = OnCall::new(&config, parts);
        on_call.objects.apply(&team, true, &Actor::task("test")).await.unwrap();
        let running = on_call.clone();
        let task = tokio::spawn(async move { running.run(CancellationToken::new()).await });
        Running { on_call, task }
    }

    /// An incident as written by correlation.
    async fn open(&self, number: i64, severity: &str) -> Uuid {
        let id = Uuid::new_v4();
        let now = self.clock.now();
        let incident: Incident = serde_json::from_value(json!({
            "id": id, "number": number, "etag": Uuid::new_v4(), "title": format!("Incident {number}"), "severity": severity, "status": "New",
            "created": now, "modified": now, "modified_by": Actor::task("correlation"), "provider_name": "p", "provider_incident_id": "1",
        }))
        .unwrap();
        self.put(&incident).await;
        id
    }

    async fn put(&self, incident: &Incident) {
        let mut change = self.store.begin().await.unwrap();
        change.put_incident(incident).await.unwrap();
        change.commit().await.unwrap();
    }

    async fn incident(&self, id: Uuid) -> Incident {
        self.store.incidents().get(id).await.unwrap().unwrap()
    }

    async fn pages(&self, incident: Uuid) -> Vec<Page> {
        let filter = PageFilter { incident: Some(incident), ..PageFilter::default() };
        records::pages(self.store.pages().list(&filter, 100).await.unwrap()).unwrap()
    }

    /// Waits until the store reaches the wanted state, checking at each change; fails after a timeout.
    async fn until<T>(&self, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        let mut bells = [self.store.listen(store::Topic::Pages), self.store.listen(store::Topic::Incidents)];
        let wait = async {
            loop {
                if let Some(found) = look().await {
                    return found;
                }
                let [a, b] = &mut bells;
                // The sender's own notes send no notification.
                let again = tokio::time::sleep(Duration::from_millis(5));
                tokio::select! { _ = a.changed() => {}, _ = b.changed() => {}, () = again => {} }
            }
        };
        tokio::time::timeout(Duration::from_secs(20), wait).await.unwrap_or_else(|_| panic!("it never happened: {what}"))
    }

    async fn sent(&self, incident: Uuid, user: &str) -> Page {
        self.until(&format!("a page to {user}"), async || {
            let pages = self.pages(incident).await;
            pages.into_iter().find(|page| page.user == user && matches!(page.status, PageStatus::Sent { .. }))
        })
        .await
    }
}

fn answer(subject: Subject, action: Action, user: Option<&str>) -> Answer {
    Answer { subject, action, user: user.map(str::to_owned), via: Via::Sms, from: Some("+4790000001".to_owned()) }
}

#[tokio::test]
async fn an_incident_pages_climbs_and_is_answered_once() {
    let world = World::new(true, None, OnDoubt::SendAgain).await;
    let running = world.start().await;
    let incident = world.open(1, "High").await;
    let page = world.sent(incident, "ann").await;
    let got = world.sms.got.borrow().clone();
    assert_eq!((got.len(), got[0].address.as_str(), got[0].kind), (1, "+4790000001", MessageKind::Page));
    assert!(got[0].links.acknowledge.as_deref().unwrap().starts_with("https://soc.example.org/oncall/answer/"));
    assert_eq!(got[0].reply_code.as_deref(), Some(page.reply_code.as_str()));
    // No answer: her second rule after 5 minutes, the next step after 15.
    world.clock.forward(Span(5 * Span::MINUTE.ticks()));
    world.until("mail", async || (world.mail.got.borrow().len() == 1).then_some(())).await;
    world.clock.forward(Span(10 * Span::MINUTE.ticks()));
    world.sent(incident, "bo").await;
    // By reply code; repeating it, also by the page itself, changes nothing.
    let subject = Subject::ReplyCode { code: page.reply_code.clone(), address: page.address.clone() };
    let first = running.on_call.answers.answer(answer(subject.clone(), Action::Take, None)).await.unwrap();
    assert!(first.changed && first.number == 1, "{first:?}");
    let after = world.incident(incident).await;
    assert_eq!((after.status, after.owner.assigned_to.as_deref()), (IncidentStatus::Active, Some("Ann Berg")));
    assert_eq!(after.modified_by.via, "oncall/sms");
    for subject in [subject, Subject::Page(page.id)] {
        let again = running.on_call.answers.answer(answer(subject, Action::Take, None)).await.unwrap();
        assert!(!again.changed, "{again:?}");
    }
    assert_eq!(world.incident(incident).await.etag, after.etag, "the incident is as it was");
    let audit = world.store.audit().of("escalation", &incident.to_string()).await.unwrap();
    let answers: Vec<_> = audit.iter().filter(|entry| entry.action == "answered").collect();
    assert_eq!(answers.len(), 1);
    assert_eq!((answers[0].actor.via.as_str(), answers[0].actor.address.as_deref()), ("oncall/sms", Some("+4790000001")));
    running.kill().await;
}

#[tokio::test]
async fn closing_elsewhere_stops_paging() {
    let world = World::new(true, None, OnDoubt::SendAgain).await;
    let running = world.start().await;
    let incident = world.open(1, "High").await;
    world.sent(incident, "ann").await;
    let before = world.incident(incident).await;
    let person = Actor { via: "SecurityInsights".to_owned(), ..Actor::task("Eve") };
    world.put(&Incident { status: IncidentStatus::Closed, etag: Uuid::new_v4(), modified_by: person, ..before }).await;
    world
        .until("nothing is planned", async || {
            let planned = |page: &Page| page.kind == MessageKind::Page && matches!(page.status, PageStatus::Planned { .. });
            (!world.pages(incident).await.iter().any(planned)).then_some(())
        })
        .await;
    let late = running.on_call.answers.answer(answer(Subject::Incident(incident), Action::Acknowledge, Some("bo"))).await;
    assert!(matches!(late, Err(AnswerError::Closed)), "{late:?}");
    running.kill().await;
    assert!(world.sms.got.borrow().iter().all(|message| message.kind != MessageKind::Page || message.user == "ann"));
}

/// A crash at each of three points: before the claim, between claim and send, between send and record.
#[tokio::test]
async fn a_page_that_was_claimed_when_the_service_died_is_sent_again_under_its_key() {
    for (keys, on_doubt, reached) in [(true, OnDoubt::Hold, 1), (false, OnDoubt::SendAgain, 2), (false, OnDoubt::Hold, 1)] {
        // Ann's phone never responds: the page stays claimed, and the provider has it.
        let world = World::new(keys, Some("+4790000001"), on_doubt).await;
        let running = world.start().await;
        let incident = world.open(1, "High").await;
        world.until("the provider has it", async || (!world.sms.got.borrow().is_empty()).then_some(())).await;
        running.kill().await;
        let page = world.pages(incident).await.into_iter().find(|page| page.channel == "sms").unwrap();
        assert!(matches!(page.status, PageStatus::Claimed { .. }), "{page:?}");
        let running = world.start().await;
        let claimed = async || {
            let page = world.pages(incident).await.into_iter().find(|other| other.id == page.id)?;
            (!page.troubles.is_empty()).then_some(())
        };
        world.until("the crash is noticed", claimed).await;
        world.clock.forward(Span::MINUTE);
        let page = world
            .until("it is settled", async || {
                let page = world.pages(incident).await.into_iter().find(|other| other.id == page.id)?;
                let tried = !page.troubles.is_empty() && (page.attempts == 2 || matches!(page.status, PageStatus::Doubtful { .. }));
                tried.then_some(page)
            })
            .await;
        world.until("it arrived", async || (world.sms.got.borrow().len() >= reached).then_some(())).await;
        let got = world.sms.got.borrow().iter().filter(|message| message.key == page.id).count();
        assert_eq!(got, reached, "keys {keys}, {on_doubt:?}");
        assert_eq!(page.troubles[0].doubtful, !keys, "a doubt is shown exactly where there is one");
        if on_doubt == OnDoubt::Hold && !keys {
            // It may not have been delivered: her next rule applies at once.
            world.until("mail", async || (world.mail.got.borrow().len() == 1).then_some(())).await;
        }
        running.kill().await;
    }
}

#[tokio::test]
async fn a_rejected_page_triggers_the_next_and_a_stuck_one_does_not_block_others() {
    let world = World::new(true, Some("+4790000002"), OnDoubt::SendAgain).await;
    world.sms.script.lock().unwrap().push(Err(SendError::Refused { reason: "no such number".to_owned() }));
    let running = world.start().await;
    let incident = world.open(1, "High").await;
    // Without advancing the clock: her mail is due in five minutes, but sent now because her phone failed.
    world.until("mail", async || (world.mail.got.borrow().len() == 1).then_some(())).await;
    let pages = world.pages(incident).await;
    let failed = pages.iter().find(|page| page.channel == "sms").unwrap();
    assert!(matches!(&failed.status, PageStatus::Failed { reason, .. } if reason == "no such number"), "{failed:?}");
    // Bo's provider hangs on his address; Ann's lane continues.
    let escalate = answer(Subject::IncidentNumber(1), Action::Escalate { step: None }, Some("ann"));
    running.on_call.answers.answer(escalate).await.unwrap();
    world.until("bo's hangs", async || world.sms.got.borrow().iter().any(|message| message.user == "bo").then_some(())).await;
    let second = world.open(2, "High").await;
    world.sent(second, "ann").await;
    running.kill().await;
}

/// As in Twilio's documentation: HMAC-SHA1 with the account's token, which is what [`Reads`] returns.
fn sign(text: &str) -> String {
    let mut mac = <hmac::Hmac<sha1::Sha1> as hmac::Mac>::new_from_slice(b"https://hooks.example.org/page").unwrap();
    hmac::Mac::update(&mut mac, text.as_bytes());
    base64::Engine::encode(&base64::prelude::BASE64_STANDARD, hmac::Mac::finalize(mac).into_bytes())
}

/// Posts a provider's delivery receipt for a page.
async fn receipt(running: &Running, page: Uuid, status: &str) {
    let path = format!("/api/v1/oncall/inbound/status?page={page}");
    let form = [("MessageStatus".to_owned(), status.to_owned())];
    let signature = sign(&format!("https://soc.example.org{path}MessageStatus{status}"));
    running.on_call.inbox.status(&Request { path: &path, signature: &signature, form: &form }, page).await.unwrap();
}

/// With the real service: an undelivered text message triggers her next rule at once.
#[tokio::test]
async fn a_receipt_of_failure_brings_the_next_rule_at_once() {
    let world = World::new(true, None, OnDoubt::SendAgain).await;
    let running = world.start().await;
    let incident = world.open(1, "High").await;
    let page = world.sent(incident, "ann").await;
    assert!(world.mail.got.borrow().is_empty(), "her mail is due in five minutes");
    receipt(&running, page.id, "undelivered").await;
    world.until("mail", async || (world.mail.got.borrow().len() == 1).then_some(())).await;
    let failed = world.pages(incident).await.into_iter().find(|other| other.id == page.id).unwrap();
    assert!(matches!(&failed.status, PageStatus::Failed { reason, .. } if reason.contains("undelivered")), "{failed:?}");
    running.kill().await;
}

/// `STOP` and `OPTOUT` stop text messages, and the user's next rule applies at once; `START` reverts it.
#[tokio::test]
async fn who_says_stop_gets_no_more_text_messages() {
    let world = World::new(true, None, OnDoubt::SendAgain).await;
    let running = world.start().await;
    let text = async |body: &str| {
        let path = "/api/v1/oncall/inbound/sms";
        let form = [("From".to_owned(), "+4790000001".to_owned()), ("Body".to_owned(), body.to_owned())];
        let signature = sign(&format!("https://soc.example.org{path}Body{body}From+4790000001"));
        running.on_call.inbox.sms(&Request { path, signature: &signature, form: &form }).await.unwrap()
    };
    for (number, word) in [(1, "STOP"), (2, "optout")] {
        assert!(text(word).await.ends_with("<Response/>"));
        let incident = world.open(number, "High").await;
        world.until("mail", async || (world.mail.got.borrow().len() == number as usize).then_some(())).await;
        assert!(world.sms.got.borrow().is_empty(), "{word}");
        let failed = world.pages(incident).await.into_iter().find(|page| page.channel == "sms").unwrap();
        assert!(matches!(&failed.status, PageStatus::Failed { reason, .. } if reason.contains("said stop")), "{failed:?}");
    }
    text("START").await;
    let incident = world.open(3, "High").await;
    assert_eq!(world.sent(incident, "ann").await.channel, "sms");
    running.kill().await;
}

/// A link or code does not apply to events after its use.
#[tokio::test]
async fn a_used_close_link_does_not_close_a_reopened_incident() {
    let world = World::new(true, None, OnDoubt::SendAgain).await;
    let running = world.start().await;
    let incident = world.open(1, "High").await;
    let page = world.sent(incident, "ann").await;
    let close = || answer(Subject::Page(page.id), Action::Close { classification: None, comment: None }, Some("ann"));
    assert!(running.on_call.answers.answer(close()).await.unwrap().changed);
    world
        .until("its end is seen", async || {
            let rows = world.store.escalations().of_incident(incident).await.unwrap();
            let last = records::escalation(rows.into_iter().last()?).unwrap();
            (!last.is_open() && last.seen == IncidentStatus::Closed).then_some(())
        })
        .await;
    let on_call = running.on_call.clone();
    running.kill().await;
    let closed = world.incident(incident).await;
    assert_eq!(closed.status, IncidentStatus::Closed);
    let person = Actor { via: "SecurityInsights".to_owned(), ..Actor::task("Eve") };
    world.put(&Incident { status: IncidentStatus::New, etag: Uuid::new_v4(), modified_by: person, closed: None, ..closed }).await;
    // Both before and after on-call has processed it.
    for _ in 0..2 {
        for action in [Action::Close { classification: None, comment: None }, Action::Acknowledge, Action::Take] {
            let again = on_call.answers.answer(answer(Subject::Page(page.id), action, Some("ann"))).await;
            assert!(matches!(again, Err(AnswerError::Reopened)), "{again:?}");
        }
        assert_eq!(world.incident(incident).await.status, IncidentStatus::New);
        let running = world.start().await;
        let second = async || world.pages(incident).await.into_iter().find(|other| other.escalation != page.escalation);
        world.until("another page", second).await;
        running.kill().await;
    }
}

/// Reply codes are random and cannot be computed from data in incidents.
#[tokio::test]
async fn reply_codes_do_not_follow_from_ids() {
    let world = World::new(true, None, OnDoubt::SendAgain).await;
    let running = world.start().await;
    let mut predicted = 0;
    for number in 1..=3 {
        let incident = world.open(number, "High").await;
        let page = world.sent(incident, "ann").await;
        // As earlier versions derived them from ids.
        let seed = Uuid::new_v5(&page.escalation, b"ann").as_u128();
        predicted += usize::from(page.reply_code == (1000 + seed % 9000).to_string());
        let pages = world.pages(incident).await;
        assert!(
            pages.iter().all(|other| other.user != "ann" || other.reply_code == page.reply_code),
            "one code for her phone and her mail"
        );
    }
    assert!(predicted < 3);
    running.kill().await;
}

#[tokio::test]
async fn news_and_tests_are_tracked() {
    let world = World::new(true, None, OnDoubt::SendAgain).await;
    let running = world.start().await;
    let id = running.on_call.test_contact("bo", "mobile", &Actor::task("Ann")).await.unwrap();
    let sent = world
        .until("the test", async || {
            let page = records::page(world.store.pages().get(id).await.unwrap()?).unwrap();
            matches!(page.status, PageStatus::Sent { .. }).then_some(page)
        })
        .await;
    assert_eq!(world.sms.got.borrow()[0].kind, MessageKind::Test);
    receipt(&running, sent.id, "delivered").await;
    receipt(&running, Uuid::new_v4(), "delivered").await;
    let page = records::page(world.store.pages().get(id).await.unwrap().unwrap()).unwrap();
    assert!(matches!(page.status, PageStatus::Delivered { .. }), "{page:?}");
    assert!(running.on_call.test_contact("bo", "fax", &Actor::task("Ann")).await.is_err());
    running.kill().await;
}

#[tokio::test]
async fn a_directory_is_applied_whole_or_not_at_all() {
    let world = World::new(true, None, OnDoubt::SendAgain).await;
    let running = world.start().await;
    let objects = &running.on_call.objects;
    let actor = Actor::task("Ann");
    let before = objects.directory().await.unwrap();
    let broken = document::parse(
        "x",
        "users: {cy: {name: Cy, contacts: {m: {sms: '+4790000003'}}}}\nalert_policies: {z: {escalation_policy: nihgt}}",
    );
    assert!(objects.apply(&broken.unwrap(), false, &actor).await.is_err());
    assert_eq!(objects.directory().await.unwrap(), before);
    let more = document::parse("x", "users: {cy: {name: Cy, contacts: {m: {sms: '+4790000003'}}}}").unwrap();
    let changes = objects.apply(&more, false, &actor).await.unwrap();
    assert_eq!(changes.iter().map(|change| change.name.as_str()).collect::<Vec<_>>(), ["cy"]);
    assert!(objects.apply(&more, false, &actor).await.unwrap().is_empty(), "applying twice changes nothing");
    assert_eq!(objects.directory().await.unwrap().users.len(), 3);
    // Referenced objects cannot be deleted; deletion writes an audit entry.
    assert!(objects.delete("users", "ann", None, &actor).await.is_err());
    assert!(objects.delete("users", "cy", None, &actor).await.unwrap());
    let trail = world.store.audit().of("on-call object", "users/cy").await.unwrap();
    assert_eq!(trail.iter().map(|entry| entry.action.as_str()).collect::<Vec<_>>(), ["created", "deleted"]);
    // A stale etag changes nothing.
    let (_, created) =
        objects.put("users", "cy", json!({ "name": "Cy", "contacts": { "m": { "sms": "+4790000003" } } }), None, &actor).await.unwrap();
    assert!(created);
    let stale =
        objects.put("users", "cy", json!({ "name": "C", "contacts": { "m": { "sms": "+4790000003" } } }), Some("\"x\""), &actor).await;
    assert!(matches!(stale, Err(oncall::objects::ApplyError::Conflict { .. })));
    running.kill().await;
}

/// A reference stored by an earlier version, or written to the store otherwise, cannot run a command.
#[tokio::test]
async fn a_reference_that_the_operator_did_not_write_is_not_read() {
    let world = World::new(true, None, OnDoubt::Hold).await;
    let running = world.start().await;
    for reference in ["exec:/usr/bin/id", "file:/etc/passwd", "env:PATH"] {
        let body = json!({ "name": "Eve", "contacts": { "room": { "slack": reference } } });
        let user = store::OnCallObject {
            kind: "users".to_owned(),
            name: "eve".to_owned(),
            etag: Uuid::new_v4(),
            modified: world.clock.now(),
            body: body.clone(),
        };
        let refused = running.on_call.objects.put("users", "mal", body, None, &Actor::task("test")).await;
        assert!(matches!(refused, Err(oncall::objects::ApplyError::Wrong(_))), "{refused:?}");
        let mut change = world.store.begin().await.unwrap();
        change.put_oncall_object(&user).await.unwrap();
        change.commit().await.unwrap();
        let test = running.on_call.test_contact("eve", "room", &Actor::task("test")).await.unwrap();
        let failed = async || {
            let page = records::page(world.store.pages().get(test).await.unwrap()?).unwrap();
            match page.status {
                PageStatus::Failed { reason, .. } => Some(reason),
                PageStatus::Sent { .. } => panic!("{reference} was read"),
                _ => None,
            }
        };
        let reason = world.until("the test fails", failed).await;
        assert!(reason.contains("no reference that the operator allows"), "{reason}");
    }
    assert_eq!(*world.reads.0.lock().unwrap(), ["env:TOKEN"], "of the channel's own settings");
    assert!(world.mail.got.borrow().is_empty());
    running.kill().await;
}
