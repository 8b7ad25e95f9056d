//! Microsoft Teams, through a workflow that starts "when a Teams webhook request is received".
//!
//! Wire: a message with one Adaptive Card of version 1.5, the newest that Teams shows
//! (<https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/add-incoming-webhook>, adaptivecards.io's schema),
//! read 2026-11. Messages are limited to 28 KB. Office 365 connectors (`webhook.office.com`) are retired and rejected with a specific
//! error. Text blocks of cards render Markdown, so text from alerts is in rich text blocks, which do not: an alert cannot inject a link.
//!
//! The workflow responds with 202 when started; there is no idempotency key.

use std::sync::Arc;

use async_trait::async_trait;
use model::{Http, Severity};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::channel::{Channel, ChannelType, Receipt, SendError};
use crate::guard;
use crate::message::{Message, MessageKind};
use crate::post::{self, Receiver, shorten_bytes};

pub static CHANNEL: ChannelType = ChannelType {
    name: "teams",
    summary: "A Microsoft Teams channel or chat, through a workflow",
    address: "https://….environment.api.powerplatform.com/…/workflows/…/triggers/manual/paths/invoke?…&sig=…",
    secret_address: true,
    idempotent: false,
    settings: || schemars::schema_for!(Settings),
    check_address,
    build: |settings, ports| {
        let Settings { internal_hosts } = super::settings(settings)?;
        Ok(Box::new(Teams { http: ports.http.clone(), internal_hosts }))
    },
};

/// Workflows of Microsoft Teams.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Hosts inside your network that take Teams' format, also without TLS. Example: `[teams-relay.corp.example]`.
    pub internal_hosts: Vec<String>,
}

fn check_address(address: &str) -> Result<(), String> {
    let target = guard::target(address).map_err(|error| error.to_string())?;
    let host = target.host();
    if host == "outlook.office.com" || host == "webhook.office.com" || host.ends_with(".webhook.office.com") {
        return Err("Office 365 connectors are retired; in Teams make a workflow \"when a Teams webhook request is received\"".to_owned());
    }
    Ok(())
}

struct Teams {
    http: Arc<dyn Http>,
    internal_hosts: Vec<String>,
}

#[async_trait]
impl Channel for Teams {
    async fn send(&self, message: &Message) -> Result<Receipt, SendError> {
        check_address(&message.address).map_err(post::refused)?;
        let reach = post::reach(&message.address, &self.internal_hosts)?;
        let request = post::json(&message.address, reach, &body(message));
        post::post(self.http.as_ref(), request, &Receiver { name: "the Teams workflow", knows_repeats: false }).await?;
        Ok(Receipt::default())
    }
}

/// Teams' limit for a message, less what the workflow adds.
const MAX_BYTES: usize = 24 * 1024;

fn body(message: &Message) -> Value {
    // JSON may encode a byte as six (`\u001b`), so shrink until it fits.
    let mut texts = 8 * 1024;
    loop {
        let body = body_of(message, texts);
        if body.to_string().len() <= MAX_BYTES || texts < 64 {
            return body;
        }
        texts /= 2;
    }
}

fn body_of(message: &Message, texts: usize) -> Value {
    let mut rows = vec![rich(
        &[run(&shorten_bytes(&message.subject, 600.min(texts)), json!({ "weight": "Bolder", "size": "Large", "color": color(message) }))],
        json!({}),
    )];
    if !message.long.trim().is_empty() {
        rows.push(rich(&[run(&shorten_bytes(&message.long, texts), json!({}))], json!({ "spacing": "Medium" })));
    }
    if let Some(incident) = &message.incident {
        let facts = [
            ("Severity", incident.severity.name().to_owned()),
            ("Status", format!("{:?}", incident.status)),
            ("Owner", incident.owner.clone().unwrap_or_else(|| "nobody".to_owned())),
            ("Alerts", incident.alerts.to_string()),
            ("Tactics", incident.tactics.join(", ")),
            ("Entities", incident.entities.join(", ")),
        ];
        for (name, value) in facts.iter().filter(|(_, value)| !value.is_empty()) {
            let name = run(&format!("{name}: "), json!({ "weight": "Bolder" }));
            rows.push(rich(&[name, run(&shorten_bytes(value, texts / 8), json!({}))], json!({ "spacing": "Small" })));
        }
        if !incident.evidence.is_empty() {
            let evidence = run(&shorten_bytes(&incident.evidence.join("\n"), texts / 2), json!({ "fontType": "Monospace" }));
            rows.push(rich(&[evidence], json!({ "spacing": "Medium" })));
        }
    }
    let actions: Vec<Value> =
        message.links.named().into_iter().map(|(label, url)| json!({ "type": "Action.OpenUrl", "title": label, "url": url })).collect();
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                "version": "1.5",
                "fallbackText": shorten_bytes(&message.short, 600.min(texts)),
                "msteams": { "width": "Full" },
                "body": rows,
                "actions": actions,
            },
        }],
    })
}

fn rich(runs: &[Value], mut more: Value) -> Value {
    more["type"] = "RichTextBlock".into();
    more["inlines"] = runs.into();
    more
}

fn run(text: &str, mut more: Value) -> Value {
    more["type"] = "TextRun".into();
    more["text"] = if text.is_empty() { "-" } else { text }.into();
    more
}

fn color(message: &Message) -> &'static str {
    match (message.kind, message.incident.as_ref().map(|incident| incident.severity)) {
        (MessageKind::Closed, _) => "Good",
        (MessageKind::Page, Some(Severity::High) | None) => "Attention",
        (MessageKind::Page, Some(Severity::Medium)) => "Warning",
        _ => "Default",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retired_connectors_are_refused() {
        for host in ["contoso.webhook.office.com", "outlook.office.com", "CONTOSO.webhook.office.com."] {
            assert!(check_address(&format!("https://{host}/webhookb2/x")).is_err(), "{host}");
        }
        assert!(check_address("https://prod-01.westeurope.logic.azure.com/workflows/x?sig=y").is_ok());
        assert!(check_address("https://webhook.office.com.example.org/x").is_ok());
    }
}
