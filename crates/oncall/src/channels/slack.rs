//! Slack, over an incoming webhook; Mattermost and Rocket.Chat accept the same format.
//!
//! Wire: <https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>, Block Kit's reference for limits (header 150
//! characters, section 3,000, ten fields of 2,000, button text 75, URL 3,000), read 2026-11. Text from alerts is escaped (`&`, `<`, `>`),
//! so it cannot mention (`<!channel>`) or link, and `verbatim` disables automatic links. Links are buttons and unfurling is off: fetching a
//! link preview would mark the page as seen.
//!
//! Slack has no idempotency key. It responds with 200 `ok`, 4xx with an error word, 429 with `Retry-After`.

use std::sync::Arc;

use async_trait::async_trait;
use model::Http;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::channel::{Channel, ChannelType, Receipt, SendError};
use crate::message::Message;
use crate::post::{self, Receiver, shorten};

pub static CHANNEL: ChannelType = ChannelType {
    name: "slack",
    summary: "A Slack channel, through an incoming webhook",
    address: "https://hooks.slack.com/services/T…/B…/…",
    secret_address: true,
    idempotent: false,
    settings: || schemars::schema_for!(Settings),
    check_address: post::check_address,
    build: |settings, ports| {
        let Settings { internal_hosts } = super::settings(settings)?;
        Ok(Box::new(Slack { http: ports.http.clone(), internal_hosts }))
    },
};

/// Slack's incoming webhooks.
#[derive(Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Hosts inside your network that take Slack's format (Mattermost, Rocket.Chat), also without TLS. Example: `[chat.corp.example]`.
    pub internal_hosts: Vec<String>,
}

struct Slack {
    http: Arc<dyn Http>,
    internal_hosts: Vec<String>,
}

#[async_trait]
impl Channel for Slack {
    async fn send(&self, message: &Message) -> Result<Receipt, SendError> {
        let reach = post::reach(&message.address, &self.internal_hosts)?;
        let request = post::json(&message.address, reach, &body(message));
        post::post(self.http.as_ref(), request, &Receiver { name: "Slack", knows_repeats: false }).await?;
        Ok(Receipt::default())
    }
}

fn body(message: &Message) -> Value {
    let mut blocks = vec![json!({
        "type": "header",
        "text": { "type": "plain_text", "text": shorten(some(&message.subject), 150), "emoji": false },
    })];
    if !message.long.trim().is_empty() {
        blocks.push(json!({ "type": "section", "text": text(&message.long, 3000) }));
    }
    if let Some(incident) = &message.incident {
        let mut fields = vec![("Severity", incident.severity.name().to_owned()), ("Status", incident.status.name().to_owned())];
        fields.push(("Owner", incident.owner.clone().unwrap_or_else(|| "nobody".to_owned())));
        fields.push(("Alerts", incident.alerts.to_string()));
        if !incident.tactics.is_empty() {
            fields.push(("Tactics", incident.tactics.join(", ")));
        }
        if !incident.entities.is_empty() {
            fields.push(("Entities", incident.entities.join(", ")));
        }
        let fields: Vec<Value> = fields
            .into_iter()
            .map(|(name, value)| json!({ "type": "mrkdwn", "text": format!("*{name}*\n{}", escape(some(&value), 1900)), "verbatim": true }))
            .collect();
        blocks.push(json!({ "type": "section", "fields": fields }));
        if !incident.evidence.is_empty() {
            blocks.push(json!({ "type": "section", "text": text(&incident.evidence.join("\n"), 3000) }));
        }
    }
    let buttons: Vec<Value> = message
        .links
        .named()
        .into_iter()
        .filter(|(_, url)| url.len() <= 3000)
        .enumerate()
        .map(|(nth, (label, url))| {
            let mut button = json!({
                "type": "button",
                "action_id": format!("bartizan_{}", label.to_lowercase()),
                "text": { "type": "plain_text", "text": label, "emoji": false },
                "url": url,
            });
            if nth == 0 {
                button["style"] = "primary".into();
            }
            button
        })
        .collect();
    if !buttons.is_empty() {
        blocks.push(json!({ "type": "actions", "elements": buttons }));
    }
    json!({
        // For notifications and clients that do not support blocks.
        "text": escape(some(&message.subject), 3000),
        "blocks": blocks,
        "unfurl_links": false,
        "unfurl_media": false,
    })
}

fn text(text: &str, most: usize) -> Value {
    json!({ "type": "mrkdwn", "text": escape(some(text), most), "verbatim": true })
}

/// Slack rejects empty texts.
fn some(text: &str) -> &str {
    if text.trim().is_empty() { "-" } else { text }
}

/// Escapes and truncates to `most` characters, never within an entity.
fn escape(text: &str, most: usize) -> String {
    let mut escaped = String::with_capacity(text.len());
    let mut used = 0;
    for c in text.chars() {
        let (piece, length) = match c {
            '&' => ("&amp;", 5),
            '<' => ("&lt;", 4),
            '>' => ("&gt;", 4),
            _ => ("", 1),
        };
        if used + length + 1 > most {
            escaped.push('…');
            break;
        }
        used += length;
        if piece.is_empty() { escaped.push(c) } else { escaped.push_str(piece) }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Source: docs.slack.dev/messaging/formatting-message-text, "Escaping text": these three characters and no others.
    #[test]
    fn text_cannot_mention_or_link() {
        assert_eq!(
            escape("<!channel> <https://evil.example|bank> & <@U1>", 100),
            "&lt;!channel&gt; &lt;https://evil.example|bank&gt; &amp; &lt;@U1&gt;"
        );
    }

    #[test]
    fn entities_stay_whole_at_the_limit() {
        for most in 1..40 {
            let cut = escape(&"<å&".repeat(20), most);
            assert!(cut.chars().count() <= most, "{most}: {cut}");
            let rest = cut.replace("&lt;", "").replace("&amp;", "");
            assert!(!rest.contains('&') && !rest.contains(';'), "{most}: {cut}");
        }
    }
}
