//! `bartizan oncall override add|remove` — manages overrides.

use oncall::directory::Override;
use reqwest::Method;
use serde_json::{Value, json};

use super::super::{Failure, Outcome};
use super::api::{Api, Body, Common, segment};
use super::output::{Format, json as print_json};
use super::{diff, documents};

#[derive(clap::Subcommand)]
#[command(
    after_help = "Examples:\n  bartizan oncall override add --schedule weekdays --from 2026-12-24T08:00 --to 2026-12-25T08:00 --remove ann --add bo\n  bartizan oncall override add --schedule weekdays --from now --to +4h --add cy --reason 'big release'\n  bartizan oncall override remove weekdays-20261224-ann-bo"
)]
pub enum Command {
    /// Replace somebody (--remove and --add), add somebody (--add), or take somebody off (--remove).
    Add(Add),
    /// Take an override back.
    Remove(Remove),
}

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  bartizan oncall override add --schedule weekdays --from 2026-12-24T08:00 --to 2026-12-25T08:00 --remove ann --add bo\n\nTimes without a zone belong to the schedule's."
)]
pub struct Add {
    #[arg(long, value_name = "S")]
    schedule: String,
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: String,
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: String,
    /// Who is taken off.
    #[arg(long, value_name = "USER", required_unless_present = "add")]
    remove: Option<String>,
    /// Who is put on.
    #[arg(long, value_name = "USER")]
    add: Option<String>,
    #[arg(long, value_name = "TEXT", default_value = "")]
    reason: String,
    /// Its name. Default: made of the schedule, the day and the people.
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Ask for it only: it changes nothing until somebody takes it.
    #[arg(long)]
    requested: bool,
    #[command(flatten)]
    common: Common,
}

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  bartizan oncall override remove weekdays-20261224-ann-bo")]
pub struct Remove {
    #[arg(value_name = "NAME")]
    name: String,
    #[command(flatten)]
    common: Common,
}

pub async fn run(command: Command) -> Outcome {
    match command {
        Command::Add(args) => add(args).await,
        Command::Remove(args) => {
            let api = Api::connect(&args.common).await?;
            api.send(Method::DELETE, &format!("overrides/{}", segment(&args.name)), &[], Body::None).await?;
            println!("- overrides/{}", args.name);
            Ok(())
        }
    }
}

async fn add(args: Add) -> Outcome {
    let api = Api::connect(&args.common).await?;
    let zone = zone_of(&api, &args.schedule).await?;
    let plan = Override {
        schedule: args.schedule,
        from: documents::when(&args.from, &zone)?.into(),
        to: documents::when(&args.to, &zone)?.into(),
        remove: args.remove,
        add: args.add,
        requested: args.requested,
        reason: args.reason,
    };
    let name = args.name.unwrap_or_else(|| name(&plan));
    put(&api, vec![(name, plan)], args.common.format).await
}

/// A descriptive, deterministic name for an override.
pub fn name(plan: &Override) -> String {
    let day: String = plan.from.to_string().chars().take(10).filter(char::is_ascii_digit).collect();
    [Some(plan.schedule.as_str()), Some(&day), plan.remove.as_deref(), plan.add.as_deref()]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join("-")
}

/// The zone of a schedule's wall-clock times.
pub async fn zone_of(api: &Api, schedule: &str) -> Result<String, Failure> {
    let found = api.get(&format!("schedules/{}", segment(schedule)), &[]).await?;
    Ok(found["time_zone"].as_str().unwrap_or("UTC").to_owned())
}

/// Applies the overrides atomically. Fails if a name is used by a different override.
pub async fn put(api: &Api, plans: Vec<(String, Override)>, format: Format) -> Outcome {
    let names: Vec<String> = plans.iter().map(|(name, _)| name.clone()).collect();
    let document = json!({ "overrides": plans.into_iter().map(|(name, plan)| Ok((name, serde_json::to_value(plan)?))).collect::<Result<serde_json::Map<String, Value>, serde_json::Error>>()? });
    let wanted = api.post("diff", &[("prune", "false")], Body::Json(document.clone())).await?;
    for change in super::output::list(&wanted, "changes") {
        let name = change["name"].as_str().unwrap_or_default();
        if change["kind"] == "overrides" && !change["before"].is_null() && names.iter().any(|ours| ours == name) {
            return Err(Failure::Wrong(format!(
                "there is another override `{name}`; give this one a name with --name, or remove that one"
            )));
        }
    }
    let answer = api.post("apply", &[("prune", "false")], Body::Json(document)).await?;
    match format {
        Format::Json => print_json(&answer)?,
        Format::Table => print!("{}", diff::describe(&answer, "It was so already.")),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use model::Timestamp;

    use super::*;

    #[test]
    fn names_say_what_they_are() {
        let plan = Override {
            schedule: "weekdays".into(),
            from: Timestamp::parse_iso("2026-12-24T07:00:00Z").unwrap().into(),
            to: Timestamp::parse_iso("2026-12-25T07:00:00Z").unwrap().into(),
            remove: Some("ann".into()),
            add: Some("bo".into()),
            requested: false,
            reason: String::new(),
        };
        assert_eq!(name(&plan), "weekdays-20261224-ann-bo");
        assert_eq!(name(&Override { remove: None, ..plan }), "weekdays-20261224-bo");
    }
}
