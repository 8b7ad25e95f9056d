//! `bartizan incidents` — incidents of the running service, over Sentinel's API. Each subcommand is one file in `incidents/`.

mod change;
mod list;
mod open;
mod show;

use std::borrow::Cow;

use reqwest::Method;
use serde_json::Value;

use super::client::{CallError, Client, ServiceArgs};
use super::output::Format;
use super::{Failure, Outcome};

#[derive(clap::Subcommand)]
#[command(
    after_help = "Examples:\n  bartizan incidents list --status New,Active\n  bartizan incidents show 12\n  bartizan incidents open 'Phone tree test' --severity High --drill\n  bartizan incidents take 12 --as ann@example.com\n  bartizan incidents close 12 --classification BenignPositive --reason SuspiciousButExpected --comment 'planned test'"
)]
pub enum Command {
    /// List incidents, newest first.
    List(list::Args),
    /// Show one incident with its alerts, entities and comments.
    Show(show::Args),
    /// Open an incident by hand.
    Open(open::Args),
    /// Own an incident and set it to Active; paging stops.
    Take(change::Take),
    /// Close an incident with a classification.
    Close(change::Close),
    /// Set a closed incident back to New or Active.
    Reopen(change::Reopen),
}

/// What every subcommand has.
#[derive(clap::Args)]
struct Common {
    #[command(flatten)]
    service: ServiceArgs,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

pub fn run(command: Command) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            Command::List(args) => list::run(args).await,
            Command::Show(args) => show::run(args).await,
            Command::Open(args) => open::run(args).await,
            Command::Take(args) => change::take(args).await,
            Command::Close(args) => change::close(args).await,
            Command::Reopen(args) => change::reopen(args).await,
        }
    })
}

/// The incident with this number or id.
async fn find(client: &Client, incident: &str) -> Result<Value, Failure> {
    if uuid::Uuid::parse_str(incident).is_ok() {
        return Ok(client.security_insights(Method::GET, &path(incident), &[], None).await?);
    }
    let number: u64 = incident.trim_start_matches('#').parse().map_err(|_| {
        Failure::Wrong(format!("error: `{incident}` is neither the number nor the id of an incident; `bartizan incidents list` shows both"))
    })?;
    let filter = format!("properties/incidentNumber eq {number}");
    let found = client.security_insights(Method::GET, "/incidents", &[("$filter", &filter), ("$top", "1")], None).await?;
    found["value"]
        .get(0)
        .cloned()
        .ok_or_else(|| Failure::Wrong(format!("error: there is no incident {number}; `bartizan incidents list` shows those there are")))
}

/// The path of an incident under the provider.
fn path(id: &str) -> String {
    format!("/incidents/{}", super::client::segment(id))
}

/// Attempts to change an incident under concurrent changes.
const ATTEMPTS: usize = 4;

/// Reads the incident, applies `edit` to its properties and writes it back with its etag; retries on conflict.
async fn change(client: &Client, incident: &str, edit: impl Fn(&mut Value)) -> Result<Value, Failure> {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        let mut found = find(client, incident).await?;
        edit(&mut found["properties"]);
        let id = found["name"].as_str().map_or(Cow::Borrowed(incident), |name| Cow::Owned(name.to_owned()));
        let body = serde_json::json!({ "etag": found["etag"], "properties": found["properties"] });
        match client.security_insights(Method::PUT, &path(&id), &[], Some(&body)).await {
            Err(CallError::Refused(refused)) if matches!(refused.status.as_u16(), 409 | 412) => last = Some(refused),
            answer => return Ok(answer?),
        }
    }
    Err(last.map_or_else(|| Failure::Wrong(String::new()), |refused| CallError::Refused(refused).into()))
}
