//! `bartizan demo` — the service with a sample stream and sample rules, and the loop told step by step.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use simulators::{Client, Connection, flare};

use super::{Outcome, up};
use crate::service::Service;

#[derive(clap::Args)]
#[group(id = "demo")]
#[command(
    after_help = "Examples:\n  bartizan demo           runs until Ctrl-C; the stream goes on\n  bartizan demo --once    ends when an incident has opened, with exit code 0"
)]
pub struct Args {
    #[command(flatten)]
    up: up::Args,
    /// End when the loop has closed once.
    #[arg(long)]
    once: bool,
}

/// How long one turn of the loop may take before the demo says that something is broken.
const PATIENCE: Duration = Duration::from_secs(45);
/// How often the sample stream sends an event once the story is told.
const EVERY: Duration = Duration::from_secs(5);

pub fn run(args: Args) -> Outcome {
    let mut settings = args.up.settings(true)?;
    if settings.config.log.filter.is_none() {
        settings.config.log.filter = Some("warn".to_owned());
    }
    up::log(&settings.config);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let began = Instant::now();
        let mut service = Service::start(settings).await?;
        println!("Bartizan is up at {} ({} ms).", service.connect.base_url, began.elapsed().as_millis());
        println!("How to connect: {}", service.connect_path.display());
        let connection = Connection::read(&service.connect_path)?;
        let told = tokio::select! {
            told = tell(connection) => told,
            ended = service.wait() => { ended?; return service.stop().await; }
        };
        let client = match told {
            Ok(client) => client,
            Err(error) => {
                service.stop().await?;
                return Err(error);
            }
        };
        if !args.once {
            println!("\nThe stream goes on, an event every {} s. Ask it something:", EVERY.as_secs());
            println!(
                "  bartizan query --data-dir {} 'SecurityIncident | take 10'",
                service.connect_path.parent().unwrap_or(std::path::Path::new(".")).display()
            );
            println!("Ctrl-C ends it.");
            tokio::select! {
                ended = service.wait() => ended?,
                () = stream(&client) => {}
            }
        }
        service.stop().await
    })?;
    Ok(())
}

/// One turn of the loop, step by step, through the public API alone.
async fn tell(connection: Connection) -> anyhow::Result<(Client, String)> {
    let client = Client::new(connection)?;
    println!("\nA vendor (a stand-in for Flare) connects with nothing but an app registration:");
    let step = Step::begin("deploys its table and data collection rule");
    let rule = flare::deploy(&client).await?;
    step.end(&rule);

    let before = newest_incident(&client).await?;
    // Event 5 of every six is a leaked credential, which the near-real-time rule looks for; whose it is differs from run to run, so that
    // the incident is a new one.
    let turn = model::Timestamp::from_system(std::time::SystemTime::now()).unix_seconds().unsigned_abs();
    let event = flare::event(5 + 6 * turn, model::Timestamp::from_system(std::time::SystemTime::now()));
    let loop_began = Instant::now();
    let step = Step::begin("sends an event; the answer comes after it is synced to disk");
    client.upload(&rule, flare::STREAM, std::slice::from_ref(&event)).await?;
    step.end(event["event_title"].as_str().unwrap_or_default());

    let step = Step::begin("a rule in KQL sees it and an incident opens");
    let incident = tokio::time::timeout(PATIENCE, async {
        loop {
            match newest_incident(&client).await? {
                Some(incident) if Some(&incident) != before.as_ref() => return anyhow::Ok(incident),
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    })
    .await
    .map_err(|_| {
        anyhow::anyhow!("no incident opened within {} s; `bartizan up` with BARTIZAN_LOG=debug says more", PATIENCE.as_secs())
    })??;
    let properties = &incident["properties"];
    step.end(&format!("#{} {}, severity {}", properties["incidentNumber"], text(&properties["title"]), text(&properties["severity"])));
    println!("  event to incident: {} ms", loop_began.elapsed().as_millis());
    Ok((client, rule))
}

async fn newest_incident(client: &Client) -> anyhow::Result<Option<Value>> {
    let path = format!("{}/providers/Microsoft.SecurityInsights/incidents", client.connection.workspace());
    let list = client.get_with(&path, "2025-09-01", &[("$orderby", "properties/lastModifiedTimeUtc desc"), ("$top", "1")]).await?;
    Ok(list["value"]
        .as_array()
        .and_then(|list| list.first())
        .map(|incident| json!({"name": incident["name"], "etag": incident["etag"], "properties": incident["properties"]})))
}

/// The sample stream, until dropped.
async fn stream((client, rule): &(Client, String)) {
    let mut number = 0;
    loop {
        tokio::time::sleep(EVERY).await;
        let event = flare::event(number, model::Timestamp::from_system(std::time::SystemTime::now()));
        number += 1;
        if let Err(error) = client.upload(rule, flare::STREAM, &[event]).await {
            tracing::warn!(error = %model::chain(&error), "The sample stream could not send an event.");
        }
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// A line of the story, with the time it took.
struct Step {
    what: &'static str,
    began: Instant,
}

impl Step {
    fn begin(what: &'static str) -> Self {
        Self { what, began: Instant::now() }
    }

    fn end(self, result: &str) {
        println!("  {:<62} {:>6} ms  {result}", self.what, self.began.elapsed().as_millis());
    }
}
