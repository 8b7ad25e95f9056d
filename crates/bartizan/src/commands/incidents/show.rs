//! `bartizan incidents show`.

use reqwest::Method;
use serde_json::{Value, json};

use super::super::Outcome;
use super::super::output::{self, Format, list, text, time};
use super::list::owner;
use super::{Common, find, path};

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  bartizan incidents show 12\n  bartizan incidents show 12 --format json")]
pub struct Args {
    /// The number or the id.
    #[arg(value_name = "INCIDENT")]
    incident: String,
    /// The time zone of the times shown.
    #[arg(long, value_name = "ZONE", default_value = "UTC")]
    zone: String,
    #[command(flatten)]
    common: Common,
}

pub async fn run(args: Args) -> Outcome {
    let client = args.common.service.client()?;
    let incident = find(&client, &args.incident).await?;
    let place = path(incident["name"].as_str().unwrap_or_default());
    let alerts = client.security_insights(Method::POST, &format!("{place}/alerts"), &[], None).await?;
    let entities = client.security_insights(Method::POST, &format!("{place}/entities"), &[], None).await?;
    let comments = client.security_insights(Method::GET, &format!("{place}/comments"), &[], None).await?;
    if args.common.format == Format::Json {
        output::json(&json!({
            "incident": incident,
            "alerts": alerts["value"],
            "entities": entities["entities"],
            "comments": comments["value"],
        }))?;
        return Ok(());
    }
    let properties = &incident["properties"];
    let mut lines = vec![format!("#{}  {}", text(properties, "incidentNumber"), text(properties, "title"))];
    let mut field = |name: &str, value: String| {
        if !value.is_empty() {
            lines.push(format!("  {name:<15} {value}"));
        }
    };
    field("severity", text(properties, "severity"));
    field("status", text(properties, "status"));
    field("classification", [text(properties, "classification"), text(properties, "classificationReason")].join(" ").trim().to_owned());
    field("owner", owner(properties));
    field("created", time(properties, "createdTimeUtc", &args.zone));
    field("first activity", time(properties, "firstActivityTimeUtc", &args.zone));
    field("last activity", time(properties, "lastActivityTimeUtc", &args.zone));
    field("tactics", names(&properties["additionalData"]["tactics"]));
    field("techniques", names(&properties["additionalData"]["techniques"]));
    let labels: Vec<String> = list(properties, "labels").iter().map(|label| text(label, "labelName")).collect();
    field("labels", labels.join(", "));
    field("id", text(&incident, "name"));
    field("link", text(properties, "incidentUrl"));
    field("description", text(properties, "description"));
    let mut part = |title: &str, entries: Vec<String>| {
        if !entries.is_empty() {
            lines.push(String::new());
            lines.push(format!("{title} ({})", entries.len()));
            lines.extend(entries.into_iter().map(|entry| format!("  {entry}")));
        }
    };
    part(
        "Alerts",
        list(&alerts, "value")
            .iter()
            .map(|alert| {
                let alert = &alert["properties"];
                format!("{}  {:<13} {}", time(alert, "timeGenerated", &args.zone), text(alert, "severity"), text(alert, "alertDisplayName"))
            })
            .collect(),
    );
    part(
        "Entities",
        list(&entities, "entities")
            .iter()
            .map(|entity| format!("{:<15} {}", text(entity, "kind"), text(&entity["properties"], "friendlyName")))
            .collect(),
    );
    part(
        "Comments",
        list(&comments, "value")
            .iter()
            .map(|comment| {
                let comment = &comment["properties"];
                format!(
                    "{}  {}: {}",
                    time(comment, "createdTimeUtc", &args.zone),
                    text(&comment["author"], "name"),
                    text(comment, "message")
                )
            })
            .collect(),
    );
    output::lines(&lines)?;
    Ok(())
}

fn names(list: &Value) -> String {
    list.as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}
