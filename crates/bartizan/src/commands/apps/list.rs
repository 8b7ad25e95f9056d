//! `bartizan apps list` and `bartizan apps show`.

use std::time::SystemTime;

use model::{Span, Timestamp};
use reqwest::Method;
use serde_json::Value;

use super::super::client::ServiceArgs;
use super::super::output::{self, Format, list as entries, text};
use super::super::{Failure, Outcome};
use super::Shown;

#[derive(clap::Args)]
pub struct List {
    #[command(flatten)]
    service: ServiceArgs,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(clap::Args)]
pub struct Show {
    #[command(flatten)]
    shown: Shown,
}

/// A credential that ends within this time is marked.
const WARN: Span = Span(30 * 864_000_000_000);

pub async fn list(args: List) -> Outcome {
    let answer = args.service.client()?.graph(Method::GET, "/v1.0/applications", &[], None).await?;
    if args.format == Format::Json {
        return output::json(&answer["value"]).map_err(Failure::from);
    }
    let now = Timestamp::from_system(SystemTime::now());
    let row = |app: &Value| {
        let (secrets, certificates) = (entries(app, "passwordCredentials"), entries(app, "keyCredentials"));
        let ends = secrets.iter().chain(certificates).filter_map(|each| Timestamp::parse_iso(&text(each, "endDateTime")));
        vec![
            text(app, "displayName"),
            text(app, "appId"),
            secrets.len().to_string(),
            certificates.len().to_string(),
            ends.min().map_or_else(|| "-".to_owned(), |end| expiry(end, now)),
            if text(app, "signInAudience") == "AzureADMultipleOrgs" { "yes" } else { "no" }.to_owned(),
        ]
    };
    let rows: Vec<Vec<String>> = entries(&answer, "value").iter().map(row).collect();
    output::table(&["name", "client id", "secrets", "certificates", "next expiry", "multi-tenant"], &rows)?;
    Ok(())
}

pub async fn show(args: Show) -> Outcome {
    let (_, app) = args.shown.one.find().await?;
    if args.shown.format == Format::Json {
        return output::json(&app).map_err(Failure::from);
    }
    let now = Timestamp::from_system(SystemTime::now());
    let mut lines = vec![
        text(&app, "displayName"),
        format!("  client id      {}", text(&app, "appId")),
        format!("  object id      {}", text(&app, "id")),
        format!("  audience       {}", text(&app, "signInAudience")),
        format!("  public client  {}", text(&app, "isFallbackPublicClient")),
    ];
    for (platform, name) in [("web", "web"), ("spa", "single-page"), ("publicClient", "device, desktop")] {
        for url in entries(&app[platform], "redirectUris") {
            lines.push(format!("  reply URL      {} ({name})", url.as_str().unwrap_or_default()));
        }
    }
    for (field, what) in [("passwordCredentials", "secret"), ("keyCredentials", "certificate")] {
        for each in entries(&app, field) {
            let end = Timestamp::parse_iso(&text(each, "endDateTime")).map_or_else(|| "never expires".to_owned(), |end| expiry(end, now));
            let hint = match (text(each, "hint"), text(each, "customKeyIdentifier")) {
                (hint, _) if !hint.is_empty() => format!("{hint}…"),
                (_, thumbprint) => thumbprint,
            };
            lines.push(format!("  {what:<13}  {}  {}  {hint}  {end}", text(each, "keyId"), text(each, "displayName")));
        }
    }
    for resource in entries(&app, "requiredResourceAccess") {
        for access in entries(resource, "resourceAccess") {
            lines.push(format!("  permission     {} {} {}", text(resource, "resourceAppId"), text(access, "type"), text(access, "id")));
        }
    }
    output::lines(&lines)?;
    Ok(())
}

/// The date of an end, and a warning if it is near or past.
pub fn expiry(end: Timestamp, now: Timestamp) -> String {
    let date = end.to_string()[..10].to_owned();
    let days = (end.ticks() - now.ticks()) / Span::DAY.ticks();
    match () {
        () if end <= now => format!("{date} EXPIRED"),
        () if end <= now + WARN => format!("{date} (in {days} days)"),
        () => date,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// S1-33: "Take note of the certificate expiry".
    #[test]
    fn what_ends_soon_is_marked() {
        let now = Timestamp::parse_iso("2026-11-20T12:00:00Z").unwrap();
        let at = |text: &str| expiry(Timestamp::parse_iso(text).unwrap(), now);
        assert_eq!(at("2026-11-20T12:00:00Z"), "2026-11-20 EXPIRED");
        assert_eq!(at("2026-11-30T13:00:00Z"), "2026-11-30 (in 10 days)");
        assert_eq!(at("2028-01-01T00:00:00Z"), "2028-01-01");
    }
}
