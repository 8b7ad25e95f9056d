//! The HTML part: one column that fits a phone, with light and dark colours, accessible to screen readers, and with inline styles, which
//! mail readers preserve. No images, scripts or external resources, so opening it does not track the reader.

use std::fmt::Write;

use model::Severity;

use super::compose::{HOW_TO_ANSWER, labelled};
use crate::message::Message;
use crate::texts::wall;

/// Escapes text for element content and quoted attributes.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c if c.is_control() && c != '\n' && c != '\t' => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Dark enough for white text (WCAG 2.2, contrast of at least 4.5).
fn colour(severity: Option<Severity>) -> &'static str {
    match severity {
        Some(Severity::High) => "#b3261e",
        Some(Severity::Medium) => "#8a5300",
        Some(Severity::Low) => "#1d5fa8",
        Some(Severity::Informational) | None => "#4a5563",
    }
}

const HEAD: &str = r#"<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark"><meta name="supported-color-schemes" content="light dark">
<style>:root{color-scheme:light dark}@media (prefers-color-scheme:dark){.page{background:#15181d!important;color:#e8eaed!important}.quiet{color:#b3bac4!important}td,th{border-color:#3a414b!important}}</style>
"#;

const CELL: &str = "text-align:left;vertical-align:top;padding:6px 8px;border-bottom:1px solid #d5dae1;overflow-wrap:anywhere";

pub(super) fn render(message: &Message, answerable: bool) -> String {
    let severity = message.incident.as_ref().map(|incident| incident.severity);
    let mut html = String::from(HEAD);
    let subject = escape(&message.subject);
    // Writing to a String cannot fail.
    let _ = write!(
        html,
        "<title>{subject}</title></head>\n<body class=\"page\" style=\"margin:0;padding:16px;background:#ffffff;color:#1b1f24;\
         font:16px/1.45 system-ui,-apple-system,'Segoe UI',Roboto,Arial,sans-serif\">\n<div style=\"max-width:600px;margin:0 auto\">\n\
         <h1 style=\"font-size:20px;line-height:1.3;margin:0 0 12px;padding-left:10px;border-left:6px solid {}\">{subject}</h1>\n",
        colour(severity)
    );
    body(&mut html, message);
    let links = labelled(&message.links);
    if !links.is_empty() {
        html.push_str("<p style=\"margin:20px 0\">\n");
        for (place, (label, link)) in links.iter().enumerate() {
            let colours = if place == 0 { "background:#1d5fa8;color:#ffffff" } else { "background:#e6eaf0;color:#1b1f24" };
            let _ = writeln!(
                html,
                "<a href=\"{}\" style=\"display:inline-block;margin:0 8px 8px 0;padding:12px 20px;border-radius:6px;font-weight:600;\
                 text-decoration:none;{colours}\">{label}</a>",
                escape(link)
            );
        }
        html.push_str("</p>\n");
    }
    let quiet = "class=\"quiet\" style=\"color:#4a5563;font-size:14px\"";
    if answerable {
        let _ = writeln!(html, "<p {quiet}>{HOW_TO_ANSWER}</p>");
    }
    if let Some(code) = &message.reply_code {
        let _ = writeln!(html, "<p {quiet}>Reply code {}</p>", escape(code));
    }
    html.push_str("</div>\n</body></html>\n");
    html
}

fn body(html: &mut String, message: &Message) {
    let Some(incident) = &message.incident else {
        for paragraph in message.long.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()) {
            let _ = writeln!(html, "<p>{}</p>", escape(paragraph.trim()).replace('\n', "<br>"));
        }
        return;
    };
    if !incident.description.is_empty() {
        let _ = writeln!(html, "<p>{}</p>", escape(&incident.description).replace('\n', "<br>"));
    }
    let mut facts = vec![
        ("Incident", format!("{} {}", incident.number, incident.title)),
        ("Severity", incident.severity.name().to_owned()),
        ("Status", incident.status.name().to_owned()),
        ("Opened", wall(incident.created, message.time_zone.as_deref())),
        ("Alerts", incident.alerts.to_string()),
    ];
    if let Some(owner) = &incident.owner {
        facts.push(("Owner", owner.clone()));
    }
    if !incident.tactics.is_empty() {
        facts.push(("Tactics", incident.tactics.join(", ")));
    }
    if !incident.entities.is_empty() {
        facts.push(("Entities", incident.entities.join(", ")));
    }
    table(html, "Facts", facts.iter().map(|(name, value)| (*name, value.as_str())));
    if !incident.evidence.is_empty() {
        html.push_str("<h2 style=\"font-size:16px;margin:20px 0 4px\">What the rule found</h2>\n");
        let rows = incident.evidence.iter().map(|line| line.split_once(": ").unwrap_or(("", line.as_str())));
        table(html, "Evidence", rows);
    }
}

fn table<'a>(html: &mut String, name: &str, rows: impl Iterator<Item = (&'a str, &'a str)>) {
    let _ = writeln!(html, "<table aria-label=\"{name}\" style=\"border-collapse:collapse;width:100%;font-size:14px\">");
    for (head, value) in rows {
        let (head, value) = (escape(head), escape(value));
        let _ = writeln!(
            html,
            "<tr><th scope=\"row\" style=\"{CELL};width:30%;font-weight:600\">{head}</th><td style=\"{CELL}\">{value}</td></tr>"
        );
    }
    html.push_str("</table>\n");
}

#[cfg(test)]
mod tests {
    use super::super::compose::tests::message;
    use super::*;

    #[test]
    fn what_attackers_write_stays_text() {
        let html = render(&message(), true);
        assert!(!html.contains("<script"), "{html}");
        assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{html}");
        assert!(html.contains("href=\"https://soc.example.org/a?x=1&amp;y=2\""), "{html}");
    }

    /// Oslo is UTC+01:00 in November (tz database); the text part says the same.
    #[test]
    fn times_are_the_readers() {
        let html = render(&message(), true);
        assert!(html.contains("2026-11-20 08:59 CET") && !html.contains("07:59"), "{html}");
    }

    #[test]
    fn nothing_is_fetched_when_it_is_opened() {
        let html = render(&message(), true);
        for fetching in ["<img", "<link", "url(", "@import", "src="] {
            assert!(!html.contains(fetching), "{fetching}");
        }
    }

    /// Relative luminance and contrast as WCAG 2.2 defines them.
    #[test]
    fn severities_carry_white_text() {
        let luminance = |hex: &str| {
            let part = |at: usize| {
                let c = f64::from(u8::from_str_radix(&hex[at..at + 2], 16).unwrap()) / 255.0;
                if c <= 0.040_45 { c / 12.92 } else { ((c + 0.055) / 1.055).powf(2.4) }
            };
            0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
        };
        for severity in Severity::ALL {
            assert!(1.05 / (luminance(colour(Some(severity))) + 0.05) >= 4.5, "{}", severity.name());
        }
    }
}
