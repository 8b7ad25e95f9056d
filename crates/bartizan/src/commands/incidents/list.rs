//! `bartizan incidents list`.

use model::{IncidentStatus, Severity};
use reqwest::Method;
use serde_json::Value;

use super::super::output::{Format, json, table, text, time};
use super::super::{Failure, Outcome};
use super::Common;

/// Page size of the API.
const PAGE: usize = 100;

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  bartizan incidents list\n  bartizan incidents list --status New,Active --severity High\n  bartizan incidents list --limit 500 --format json"
)]
pub struct Args {
    /// Only in these states: New, Active, Closed.
    #[arg(long, value_name = "STATES", value_delimiter = ',', value_parser = status)]
    status: Vec<IncidentStatus>,
    /// Only of these severities: High, Medium, Low, Informational.
    #[arg(long, value_name = "SEVERITIES", value_delimiter = ',', value_parser = severity)]
    severity: Vec<Severity>,
    /// At most this many.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
    /// The time zone of the times shown.
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    zone: String,
    #[command(flatten)]
    common: Common,
}

pub fn status(name: &str) -> Result<IncidentStatus, String> {
    IncidentStatus::ALL
        .iter()
        .copied()
        .find(|known| known.name().eq_ignore_ascii_case(name))
        .ok_or_else(|| "one of New, Active, Closed".to_owned())
}

pub fn severity(name: &str) -> Result<Severity, String> {
    let known = Severity::ALL.iter().copied().find(|known| known.name().eq_ignore_ascii_case(name));
    known.ok_or_else(|| "one of High, Medium, Low, Informational".to_owned())
}

/// `(a eq 'x' or a eq 'y')`; `None` for no values.
fn any(field: &str, values: &[&str]) -> Option<String> {
    let terms: Vec<String> = values.iter().map(|value| format!("properties/{field} eq '{value}'")).collect();
    (!terms.is_empty()).then(|| format!("({})", terms.join(" or ")))
}

pub async fn run(args: Args) -> Outcome {
    let client = args.common.service.client()?;
    let statuses: Vec<&str> = args.status.iter().map(|status| status.name()).collect();
    let severities: Vec<&str> = args.severity.iter().map(|severity| severity.name()).collect();
    let filter = [any("status", &statuses), any("severity", &severities)].into_iter().flatten().collect::<Vec<_>>().join(" and ");
    let top = args.limit.clamp(1, PAGE).to_string();
    let mut found: Vec<Value> = Vec::new();
    let mut token: Option<String> = None;
    while found.len() < args.limit {
        let mut query = vec![("$orderby", "properties/createdTimeUtc desc"), ("$top", top.as_str())];
        if !filter.is_empty() {
            query.push(("$filter", &filter));
        }
        if let Some(token) = &token {
            query.push(("$skipToken", token));
        }
        let mut answer = client.security_insights(Method::GET, "/incidents", &query, None).await?;
        if let Some(page) = answer["value"].as_array_mut() {
            found.append(page);
        }
        token = answer["nextLink"].as_str().and_then(skip_token);
        if token.is_none() {
            break;
        }
    }
    let more = found.len() > args.limit || token.is_some();
    found.truncate(args.limit);
    if args.common.format == Format::Json {
        return json(&Value::from(found)).map_err(Failure::from);
    }
    let rows: Vec<Vec<String>> = found
        .iter()
        .map(|incident| {
            let properties = &incident["properties"];
            vec![
                text(properties, "incidentNumber"),
                time(properties, "createdTimeUtc", &args.zone),
                text(properties, "severity"),
                text(properties, "status"),
                owner(properties),
                text(properties, "title"),
            ]
        })
        .collect();
    table(&["number", "created", "severity", "status", "owner", "title"], &rows)?;
    if more {
        eprintln!("note: there are more; --limit shows them");
    }
    Ok(())
}

/// The owner for display.
pub fn owner(properties: &Value) -> String {
    ["assignedTo", "userPrincipalName", "email"]
        .iter()
        .map(|field| text(&properties["owner"], field))
        .find(|name| !name.is_empty())
        .unwrap_or_default()
}

fn skip_token(link: &str) -> Option<String> {
    let url = reqwest::Url::parse(link).ok()?;
    url.query_pairs().find(|(name, _)| name.eq_ignore_ascii_case("$skiptoken")).map(|(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_join_alternatives() {
        assert_eq!(any("status", &["New", "Active"]).unwrap(), "(properties/status eq 'New' or properties/status eq 'Active')");
        assert_eq!(any("status", &[]), None);
    }

    #[test]
    fn the_token_of_the_next_page_is_read_from_its_link() {
        assert_eq!(skip_token("https://localhost:1/x?api-version=1&%24skipToken=a%2Bb").as_deref(), Some("a+b"));
        assert_eq!(skip_token("https://localhost:1/x"), None);
    }
}
