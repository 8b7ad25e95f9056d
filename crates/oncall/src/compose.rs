//! Builds the message of a page: current incident data, links, and who answered or commented.
//!
//! Repeated attempts for the same page have the same links and times, because providers compare messages with the same idempotency key.

use std::sync::Arc;

use store::{PageFilter, Store, StoreError};

use crate::escalation::{EscalationStatus, IncidentView, Page, PageStatus};
use crate::links::Signer;
use crate::message::{Links, Message, MessageKind};
use crate::objects::Objects;
use crate::records;
use crate::texts::{Facts, render};

/// Builds messages from pages.
pub struct Composer {
    pub store: Store,
    pub objects: Arc<Objects>,
    pub signer: Signer,
    /// The public URL of this service. `None`: messages have no links.
    pub public_url: Option<String>,
}

/// Why a page has no message.
#[derive(Debug, thiserror::Error)]
pub enum ComposeError {
    #[error("what the message is about cannot be read")]
    Store(#[from] StoreError),
    #[error("{0}")]
    Gone(String),
}

impl Composer {
    /// The message of a page for its resolved address.
    pub async fn message(&self, page: &Page, address: String) -> Result<Message, ComposeError> {
        let directory = self.objects.directory().await?;
        let user =
            directory.users.get(&page.user).ok_or_else(|| ComposeError::Gone(format!("there is no user `{}` any more", page.user)))?;
        let view = match page.incident.is_nil() {
            true => None,
            false => {
                let incident = self.store.incidents().get(page.incident).await?;
                let incident = incident.ok_or_else(|| ComposeError::Gone("the incident was deleted".to_owned()))?;
                Some(IncidentView { incident, alerts: self.store.alerts().of_incident(page.incident).await? })
            }
        };
        let (mut by, mut text) = (None, None);
        match page.kind {
            MessageKind::Mention => {
                let said = page.because.split_once(": ");
                (by, text) = (said.map(|(by, _)| by.to_owned()), said.map(|(_, text)| text.to_owned()));
            }
            MessageKind::Acknowledged | MessageKind::Closed => by = self.who_answered(page, &directory).await?,
            MessageKind::Page | MessageKind::Test => {}
        }
        let links = match page.kind {
            MessageKind::Page => self.signer.links(page.id, self.public_url.as_deref(), page.due),
            _ => Links::default(),
        };
        let more = match page.kind {
            MessageKind::Page => {
                let bundled =
                    PageFilter { status: Some("bundled".to_owned()), address: Some(page.address.clone()), ..PageFilter::default() };
                let rows = self.store.pages().list(&bundled, 1_000).await?;
                let pages = records::pages(rows)?;
                pages.iter().filter(|other| matches!(other.status, PageStatus::Bundled { into } if into == page.id)).count()
            }
            _ => 0,
        };
        let facts = Facts { page, view: view.as_ref(), user, address, at: page.due, links, by: by.as_deref(), text: text.as_deref(), more };
        let mut message = render(facts);
        if page.kind == MessageKind::Page && page.channel == "email" {
            message.reply_token = Some(self.signer.reply_token(page.id, &page.address).write());
        }
        Ok(message)
    }

    /// The display name of the user who answered.
    async fn who_answered(&self, page: &Page, directory: &crate::directory::Directory) -> Result<Option<String>, StoreError> {
        let Some(row) = self.store.escalations().get(page.escalation).await? else { return Ok(None) };
        let escalation = records::escalation(row)?;
        let by = match &escalation.status {
            EscalationStatus::Acknowledged { by, .. } => Some(by.clone()),
            _ => escalation.answered_by.clone(),
        };
        // The decision names the user: `ann answered`.
        let by = by.or_else(|| page.because.strip_suffix(" answered").map(str::to_owned));
        Ok(by.map(|by| directory.users.get(&by).map(|user| user.name.clone()).filter(|name| !name.is_empty()).unwrap_or(by)))
    }
}
