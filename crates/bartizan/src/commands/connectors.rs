//! `bartizan sources` and `bartizan destinations` — where records come from and go, in the running service.

use model::{ConnectorRole, ConnectorStatus};
use reqwest::Method;
use serde_json::json;

use super::client::{Client, ServiceArgs};
use super::output::{self, Format};
use super::{Failure, Outcome};

/// What can be done to sources and to destinations alike.
#[derive(clap::Subcommand)]
pub enum Command {
    /// List them with their state, rows and last error.
    List(List),
    /// Show one with its position and streams.
    Show(One),
    /// Ask the other side once and say what came; stores and sends nothing.
    Test(One),
    /// Stop one until it is resumed, also over restarts; it keeps its position.
    Pause(One),
    /// Run a paused one again.
    Resume(One),
    /// Move its position to the beginning, or to one that it wrote itself.
    Rewind(Rewind),
}

#[derive(clap::Args)]
pub struct List {
    #[command(flatten)]
    service: ServiceArgs,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(clap::Args)]
pub struct One {
    /// Its kind and name, such as `syslog/firewalls`, or its name alone.
    id: String,
    #[command(flatten)]
    service: ServiceArgs,
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

#[derive(clap::Args)]
pub struct Rewind {
    /// Its kind and name, such as `file/archive`, or its name alone.
    id: String,
    /// A position, as `show` prints it. Default: the beginning.
    #[arg(long)]
    to: Option<String>,
    #[command(flatten)]
    service: ServiceArgs,
}

pub fn run(role: ConnectorRole, command: Command) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match command {
            Command::List(args) => list(role, &args).await,
            Command::Show(args) => show(role, &args).await,
            Command::Test(args) => {
                let answer = act(role, &args.service, &args.id, json!({ "action": "test" })).await?;
                println!("{}", answer["found"].as_str().unwrap_or_default());
                Ok(())
            }
            Command::Pause(args) => act(role, &args.service, &args.id, json!({ "action": "pause" })).await.map(drop),
            Command::Resume(args) => act(role, &args.service, &args.id, json!({ "action": "resume" })).await.map(drop),
            Command::Rewind(args) => act(role, &args.service, &args.id, json!({ "action": "rewind", "position": args.to })).await.map(drop),
        }
    })
}

async fn act(role: ConnectorRole, service: &ServiceArgs, id: &str, body: serde_json::Value) -> Result<serde_json::Value, Failure> {
    let path = id.split('/').map(super::client::segment).collect::<Vec<_>>().join("/");
    Ok(service.client()?.ours(Method::POST, &format!("/api/v1/{}s/{path}", role.name()), Some(&body)).await?)
}

async fn statuses(client: &Client, role: ConnectorRole) -> Result<Vec<ConnectorStatus>, Failure> {
    let mut answer = client.ours(Method::GET, &format!("/api/v1/{}s", role.name()), None).await?;
    Ok(serde_json::from_value(answer["connectors"].take())?)
}

async fn list(role: ConnectorRole, args: &List) -> Outcome {
    let statuses = statuses(&args.service.client()?, role).await?;
    if args.format == Format::Json {
        return output::json(&serde_json::to_value(&statuses)?).map_err(Failure::from);
    }
    let row = |status: &ConnectorStatus| {
        vec![
            status.id.clone(),
            status.state.name().to_owned(),
            status.rows.to_string(),
            status.dead.to_string(),
            status.last_rows.map_or_else(|| "-".to_owned(), |time| time.to_string().chars().take(19).collect()),
            status.last_error.clone().filter(|_| status.failures > 0).unwrap_or_default(),
        ]
    };
    output::table(&[role.name(), "state", "rows", "dead", "last rows", "error"], &statuses.iter().map(row).collect::<Vec<_>>())?;
    Ok(())
}

async fn show(role: ConnectorRole, args: &One) -> Outcome {
    let statuses = statuses(&args.service.client()?, role).await?;
    let is = |status: &&ConnectorStatus| status.id == args.id || status.id.split_once('/').is_some_and(|(_, name)| name == args.id);
    let Some(status) = statuses.iter().find(is) else {
        let known: Vec<&str> = statuses.iter().map(|status| status.id.as_str()).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        return Err(Failure::Wrong(format!("error: there is no {} `{}`; there are {known}", role.name(), args.id)));
    };
    if args.format == Format::Json {
        return output::json(&serde_json::to_value(status)?).map_err(Failure::from);
    }
    let lines = [
        ("state", status.state.name().to_owned()),
        ("streams", status.streams.join(", ")),
        ("listening", status.listening.join(", ")),
        ("rows", status.rows.to_string()),
        ("dead letters", status.dead.to_string()),
        ("last rows", status.last_rows.map(|time| time.to_string()).unwrap_or_default()),
        ("position", status.position.clone().unwrap_or_default()),
        ("failures in a row", status.failures.to_string()),
        ("last error", status.last_error.clone().unwrap_or_default()),
    ];
    println!("{}", status.id);
    for (name, value) in lines.into_iter().filter(|(_, value)| !value.is_empty()) {
        println!("  {name:<18} {value}");
    }
    Ok(())
}
