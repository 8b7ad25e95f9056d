//! The on-call service: directory, answers, links, pages, and background tasks.

use std::sync::Arc;

use model::{Actor, Clock, Secret, SecretError, SecretRef, Secrets, Span};
use store::{AuditEntry, HeartbeatRow, Store, StoreError};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::addresses::Addresses;
use crate::answer::Answers;
use crate::answers::Answering;
use crate::compose::Composer;
use crate::desk::{Desk, NoDesk};
use crate::directory::Directory;
use crate::escalation::{Page, PageStatus};
use crate::inbound::{Inbox, StoreBook};
use crate::links::Signer;
use crate::message::MessageKind;
use crate::objects::Objects;
use crate::paging::Paging;
use crate::records;
use crate::sending::{Channels, Sending};
use crate::settings::OnCallConfig;
use crate::wishes::Wishes;

/// The on-call service. Cheap to clone.
pub struct OnCall {
    pub store: Store,
    pub clock: Arc<dyn Clock>,
    pub objects: Arc<Objects>,
    pub answers: Arc<dyn Answers>,
    /// Signs and verifies links in messages.
    pub signer: Signer,
    pub channels: Arc<Channels>,
    pub sending: Sending,
    /// Handles webhooks of telephone providers.
    pub inbox: Arc<Inbox>,
    /// The public URL of the service.
    pub public_url: Option<String>,
    paging: Arc<Paging>,
    wishes: Arc<Wishes>,
}

/// Dependencies of the on-call service.
pub struct Parts {
    pub store: Store,
    pub clock: Arc<dyn Clock>,
    /// Resolves secrets in channel settings.
    pub secrets: Arc<dyn Secrets>,
    /// Resolves addresses of contacts.
    pub addresses: Arc<Addresses>,
    pub desk: Arc<dyn Desk>,
    pub signer: Signer,
    pub channels: Channels,
    pub public_url: Option<String>,
}

struct NoSecrets;

impl Secrets for NoSecrets {
    fn resolve(&self, _: &SecretRef) -> Result<Secret<String>, SecretError> {
        Err(SecretError::NotAReference)
    }
}

/// Why a contact was not tested.
#[derive(Debug, thiserror::Error)]
pub enum TestError {
    #[error("there is no contact `{0}/{1}`")]
    NoContact(String, String),
    #[error("the test was not saved")]
    Store(#[from] StoreError),
}

impl OnCall {
    pub fn new(config: &OnCallConfig, parts: Parts) -> Arc<Self> {
        let Parts { store, clock, secrets, addresses, desk, signer, channels, public_url } = parts;
        let objects = Arc::new(Objects::new(store.clone(), clock.clone(), addresses.clone()));
        let wishes = Arc::new(Wishes::new(store.clone(), desk, clock.clone()));
        let composer = Composer { store: store.clone(), objects: objects.clone(), signer: signer.clone(), public_url: public_url.clone() };
        let channels = Arc::new(channels);
        let sending = Sending {
            store: store.clone(),
            clock: clock.clone(),
            channels: channels.clone(),
            composer: Arc::new(composer),
            addresses,
            on_doubt: config.on_doubt,
        };
        let answers = Answering { store: store.clone(), objects: objects.clone(), clock: clock.clone(), wishes: wishes.clone() };
        let paging = Arc::new(Paging { store: store.clone(), objects: objects.clone(), clock: clock.clone() });
        let answers: Arc<dyn Answers> = Arc::new(answers);
        let book = Arc::new(StoreBook::new(store.clone(), clock.clone()));
        let reached_at = config.public_url.as_deref();
        let inbox = Arc::new(Inbox::new(&config.channels, reached_at, secrets.as_ref(), answers.clone(), book, clock.clone()));
        Arc::new(Self { store, clock, objects, answers, signer, channels, sending, inbox, public_url, paging, wishes })
    }

    /// An instance without channels and incidents: it serves the directory and sends nothing. For tests.
    pub fn alone(store: Store, clock: Arc<dyn Clock>) -> Arc<Self> {
        let addresses = Addresses::new(&OnCallConfig::default(), &Directory::default(), &Secret::new(vec![0; 32]), Arc::new(NoSecrets))
            .expect("nothing is configured, so nothing of it is wrong");
        let parts = Parts {
            store,
            clock,
            secrets: Arc::new(NoSecrets),
            addresses: Arc::new(addresses),
            desk: Arc::new(NoDesk),
            signer: Signer::new(Secret::new(vec![0; 32])),
            channels: Channels::default(),
            public_url: Some("https://localhost".to_owned()),
        };
        Self::new(&OnCallConfig::default(), parts)
    }

    /// Runs all on-call tasks until cancelled.
    pub async fn run(&self, cancel: CancellationToken) {
        tokio::join!(self.run_paging(cancel.clone()), self.run_changes(cancel.clone()), self.run_sending(cancel));
    }

    /// Runs the paging task until cancelled.
    pub async fn run_paging(&self, cancel: CancellationToken) {
        self.paging.run(cancel).await;
    }

    /// Runs the task that applies answers to incidents, until cancelled.
    pub async fn run_changes(&self, cancel: CancellationToken) {
        self.wishes.run(cancel).await;
    }

    /// Runs the sending task until cancelled.
    pub async fn run_sending(&self, cancel: CancellationToken) {
        self.sending.run(cancel).await;
    }

    /// Sends a test message to one contact; returns the page's id, whose status shows the result.
    pub async fn test_contact(&self, user: &str, contact: &str, actor: &Actor) -> Result<Uuid, TestError> {
        let directory = self.objects.directory().await?;
        let reached = directory.users.get(user).and_then(|user| user.contacts.get(contact));
        let reached = reached.ok_or_else(|| TestError::NoContact(user.to_owned(), contact.to_owned()))?;
        let now = self.clock.now();
        let page = Page {
            id: Uuid::new_v4(),
            escalation: Uuid::nil(),
            incident: Uuid::nil(),
            kind: MessageKind::Test,
            round: 0,
            step: 0,
            user: user.to_owned(),
            contact: contact.to_owned(),
            channel: reached.channel.clone(),
            address: reached.address.clone(),
            because: format!("{} asked", actor.name),
            due: now,
            wait: Span::ZERO,
            alerts: Vec::new(),
            reply_code: String::new(),
            attempts: 0,
            status: PageStatus::Planned { not_before: now },
            troubles: Vec::new(),
        };
        let mut change = self.store.begin().await?;
        change.add_page(&records::page_row(&page)?).await?;
        let entry = AuditEntry {
            at: now,
            aggregate: "on-call object".to_owned(),
            id: format!("users/{user}"),
            action: "contact tested".to_owned(),
            actor: actor.clone(),
            changes: serde_json::json!({ "contact": [null, contact], "page": [null, page.id] }),
        };
        change.record(&entry).await?;
        change.commit().await?;
        Ok(page.id)
    }

    /// Records a heartbeat. Returns false if none is configured under the name.
    pub async fn beat(&self, name: &str) -> Result<bool, StoreError> {
        if !self.objects.directory().await?.heartbeats.contains_key(name) {
            return Ok(false);
        }
        let mut change = self.store.begin().await?;
        let known = change.heartbeat(name).await?;
        let now = self.clock.now();
        let row = HeartbeatRow { name: name.to_owned(), heard: now, incident: known.and_then(|known| known.incident) };
        change.put_heartbeat(&row).await?;
        change.commit().await?;
        Ok(true)
    }
}
